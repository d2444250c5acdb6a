"""Reads the text that clang-query prints for a match (`set output dump`) back into a tree."""

import os
import re
from functools import lru_cache

LINE = re.compile(r"^((?:[| ] )*[|`]-|)(<<<NULL>>>|[A-Za-z]\w*)(?: (?:prev )?(0x[0-9a-f]+))?(.*)$", re.S)
_STARTS = re.compile(r"^(?:[| ] )*[|`]-")
RANGE = re.compile(r"^(?: parent 0x[0-9a-f]+| prev 0x[0-9a-f]+)* <((?:<[^>]*>|[^<>])*)>")
TOKEN = re.compile(r"^ (<invalid sloc>|<[^>]*>:\d+:\d+|line:\d+:\d+|col:\d+|[^ '<>]+:\d+:\d+)")
TYPE = re.compile(r"'((?:[^'])*)'(?::'((?:[^'])*)')?")
QUALIFIER = re.compile(r"\b(?:const|volatile|restrict|__restrict|_Atomic)\b ?")

WIDTHS = {
    "_Bool": (1, False), "char": (8, True), "signed char": (8, True), "unsigned char": (8, False),
    "short": (16, True), "unsigned short": (16, False), "int": (32, True), "unsigned int": (32, False),
    "long": (64, True), "unsigned long": (64, False), "long long": (64, True), "unsigned long long": (64, False),
    "__int128": (128, True), "unsigned __int128": (128, False),
}


class Type:
    """An integer type: its width in bits, whether it is signed, and how the source spells it. Width 0: not an integer."""

    __slots__ = ("spelled", "canonical", "width", "signed")
    _known = {}

    def __init__(self, spelled, canonical):
        self.spelled = spelled
        self.canonical = QUALIFIER.sub("", canonical).strip()
        self.width, self.signed = WIDTHS.get(self.canonical, (0, False))

    @classmethod
    def of(cls, spelled, canonical=None):
        key = (spelled, canonical)
        if key not in cls._known:
            cls._known[key] = cls(spelled, canonical or spelled)
        return cls._known[key]

    @property
    def name(self):
        spelled = QUALIFIER.sub("", self.spelled).strip()
        return self.canonical if "typeof" in spelled else spelled

    @property
    def range(self):
        return limits(self.width, self.signed)


def limits(width, signed):
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


NO_TYPE = Type.of("")


class Node:
    """One line of the dump. `file`, `line` and `column` are where its text is spelled; `order` counts nodes as printed."""

    __slots__ = ("kind", "address", "file", "line", "column", "rest", "type", "children", "parent", "order", "last", "memo")

    def __init__(self, kind, address, rest):
        self.kind, self.address, self.rest = kind, address, rest
        self.file = self.line = self.column = None
        self.type, self.children, self.parent, self.memo = NO_TYPE, [], None, None

    def walk(self):
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


class _Place:
    """The dump leaves out the file and the line where they are those of the location printed before."""

    def __init__(self, directory):
        self.directory, self.file, self.line = directory, "", 0

    def move(self, token):
        if token.startswith("col:"):
            return self.file, self.line, int(token[4:])
        if token.startswith("line:"):
            _, line, column = token.split(":")
            self.line = int(line)
            return self.file, self.line, int(column)
        if token == "<invalid sloc>":
            return None
        file, line, column = token.rsplit(":", 2)
        self.file = absolute(self.directory, file)
        self.line = int(line)
        return self.file, self.line, int(column)


@lru_cache(maxsize=1 << 16)
def absolute(directory, file):
    return file if file.startswith("<") else os.path.normpath(os.path.join(directory, file))


def parse(lines, directory="."):
    """The tree of one match. Relative paths in it are relative to `directory`."""
    place, stack, root, order = _Place(directory), [], None, 0
    for text in _whole(lines):
        found = LINE.match(text)
        indent, kind, address, rest = found.groups()
        node = Node(kind, address, rest)
        node.order = order
        order += 1
        depth = len(indent) // 2
        located = RANGE.match(rest)
        if located:
            rest = rest[located.end():]
            for i, part in enumerate(located[1].split(", ")):
                if part:
                    where = place.move(part)
                    if i == 0 and where:
                        node.file, node.line, node.column = where
            name_place = TOKEN.match(rest)
            if name_place:
                place.move(name_place[1])
                rest = rest[name_place.end():]
            node.rest = rest.strip()
            typed = TYPE.search(rest)
            if typed:
                node.type = Type.of(typed[1], typed[2])
        del stack[depth:]
        if stack:
            node.parent = stack[-1]
            stack[-1].children.append(node)
        else:
            root = node
        stack.append(node)
    _close(root)
    return root


def _whole(lines):
    """A type such as `typeof(({ … }))` is printed on several lines."""
    whole = None
    for text in lines:
        if whole is not None and not _STARTS.match(text):
            whole += " " + text.strip()
            continue
        if whole is not None:
            yield whole
        whole = text
    if whole is not None:
        yield whole


def _close(root):
    """`last` is the order of a node's last descendant: with it, before and after are comparisons of numbers."""
    for node in reversed(list(root.walk())):
        node.last = node.children[-1].last if node.children else node.order


def matches(stream):
    """The lines of each match in what clang-query prints."""
    lines = None
    for text in stream:
        if text.startswith('Binding for "root":'):
            lines = []
        elif lines is not None:
            text = text.rstrip("\n")
            if text:
                lines.append(text)
            elif lines:
                yield lines
                lines = None
    if lines:
        yield lines
