"""Finds the files and their compiler flags, and asks clang-query for their trees."""

import glob
import gzip
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess

from . import tree

MATCHERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "matchers.query")

# What a compile command brings that does not change the tree: outputs, dependencies, warnings, and flags of gcc alone.
_DROPPED = re.compile(r"-(c|M[A-Z]*|Wp,.*|W(?!p,).*|f(sanitize|stack|no-stack|plugin|conserve|no-allow|min-function).*|m(record|indirect-branch|preferred-stack).*|pg|mfentry|falign.*)$")


class UsageError(Exception):
    """The command line or the tree is not what the check needs."""


def clang_query():
    for name in ("clang-query", *sorted((f"clang-query-{v}" for v in range(14, 30)), reverse=True)):
        if shutil.which(name):
            return name
    raise UsageError("clang-query is not installed: Debian's package clang-tools has it")


def commands(paths, database):
    """(directory, file, flags) of every C file under `paths`."""
    database = database or _database_above(paths[0])
    if database:
        return _from_database(paths, database)
    root = _kernel_root(paths[0])
    if root:
        return _from_kbuild(paths, root)
    return _plain(paths)


def _database_above(path):
    folder = os.path.abspath(path if os.path.isdir(path) else os.path.dirname(path) or ".")
    if os.path.basename(path) == "compile_commands.json":
        return os.path.abspath(path)
    while True:
        if os.path.isfile(os.path.join(folder, "compile_commands.json")):
            return os.path.join(folder, "compile_commands.json")
        if folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)


def _within(path, roots):
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _from_database(paths, database):
    roots = [os.path.abspath(p) for p in paths if os.path.basename(p) != "compile_commands.json"] or ["/"]
    try:
        with open(database, encoding="utf-8") as file:
            entries = json.load(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{database}: expected a compilation database: {error}") from error
    found = {}
    for entry in entries:
        path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        if path.endswith(".c") and (_within(path, roots) or _within(path, [os.path.realpath(r) for r in roots])):
            words = entry.get("arguments") or shlex.split(entry["command"])
            found[path] = (entry["directory"], entry["file"], _flags(words[1:], entry["file"]))
    return list(found.values())


def reported(paths):
    """Whether a place is in what the check was asked about: headers from elsewhere are read, not reported."""
    roots = [os.path.abspath(p) for p in paths]
    if any(os.path.basename(r) == "compile_commands.json" for r in roots):
        roots = [os.path.dirname(r) for r in roots if os.path.basename(r) == "compile_commands.json"] + roots
    # A file is read with the headers beside it.
    roots = [r if os.path.isdir(r) else os.path.dirname(r) if r.endswith(".c") else r for r in roots]
    return lambda place: _within(place[0], roots)


def _kernel_root(path):
    folder = os.path.abspath(path)
    while folder != os.path.dirname(folder):
        if all(os.path.exists(os.path.join(folder, name)) for name in ("Kbuild", "Kconfig", "MAINTAINERS", "scripts/Makefile.build")):
            return folder
        folder = os.path.dirname(folder)
    return None


def _from_kbuild(paths, root):
    """Kbuild's own commands, printed and not run: only a configured and prepared tree is needed, no built one."""
    if not os.path.exists(os.path.join(root, "include/generated/autoconf.h")):
        raise UsageError(f"{root} is not prepared: run `make CC=clang allmodconfig prepare modules_prepare` there first")
    targets = sorted({folder for p in paths for folder in _makefile_folders(os.path.abspath(p), root)})
    compiler = shutil.which("clang") or shutil.which("clang-14") or "clang"
    printed = subprocess.run(["make", "-n", "-k", f"CC={os.path.basename(compiler)}", *(t + "/" for t in targets)], cwd=root,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    found, roots = {}, [os.path.abspath(p) for p in paths]
    for command in re.finditer(r"; (\S*clang\S* [^;]*? -c -o \S+ (\S+\.c))\s*;", printed.stdout):
        path = os.path.realpath(os.path.join(root, command[2]))
        if _within(path, [os.path.realpath(r) for r in roots]):
            found[path] = (root, os.path.relpath(path, os.path.realpath(root)), _flags(shlex.split(command[1])[1:], command[2]))
    if not found:
        raise UsageError(f"make -n in {root} printed no compiler command for {', '.join(targets)}:\n{printed.stderr.strip()[-800:]}")
    return list(found.values())


def _makefile_folders(path, root):
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    # virt/kvm has no objects of its own: each architecture's KVM builds them.
    if os.path.relpath(folder, root) == "virt/kvm":
        return ["arch/x86/kvm"]
    # drivers/gpu/drm/amd has no Makefile, its folders have.
    below = [os.path.dirname(m) for m in glob.glob(os.path.join(glob.escape(folder), "*/Makefile"))]
    while folder != root and not any(os.path.exists(os.path.join(folder, name)) for name in ("Makefile", "Kbuild")):
        if below:
            return [os.path.relpath(b, root) for b in below]
        folder = os.path.dirname(folder)
    return [os.path.relpath(folder, root)]


def _plain(paths):
    files = []
    for path in paths:
        if not os.path.exists(path):
            raise UsageError(f"{path}: no such file or directory")
        files += sorted(glob.glob(os.path.join(glob.escape(path), "**/*.c"), recursive=True)) if os.path.isdir(path) else [path]
    roots = [p if os.path.isdir(p) else os.path.dirname(p) or "." for p in paths]
    include = [flag for r in roots for d in (r, os.path.join(r, "include")) if os.path.isdir(d) for flag in ("-I", os.path.abspath(d))]
    return [(os.getcwd(), file, ["-std=gnu11", *include]) for file in files]


def _flags(words, file):
    kept, skip = [], False
    for word in words:
        if skip or word == file or os.path.basename(word) == os.path.basename(file) and word.endswith(".c"):
            skip = False
        elif word == "-o":
            skip = True
        elif not _DROPPED.match(word):
            kept.append(word)
    return kept


# The parts of clang's -Wconversion that are about integers.
FLAGS = ("-Wshorten-64-to-32", "-Wimplicit-int-conversion", "-Wsign-conversion")
# clang's own warnings of this kind, for --clang-warnings.
WARNINGS = ("-Wconversion", "-Wsign-conversion", "-Wshorten-64-to-32", "-fno-caret-diagnostics")


def read(command, cache=None, seen=None, warnings=False):
    """One file's trees, as lists of lines; what clang could not read; and clang's own warnings, if they are asked for."""
    directory, file, flags = command
    stored = cache and os.path.join(cache, hashlib.sha256("\0".join([directory, file, *flags]).encode()).hexdigest()[:32] + ".gz")
    known = _stored(stored, warnings) if stored else None
    trees, complaints, warned = known or _ask(command, warnings)
    if stored and not known and not complaints:
        _store(stored, trees, warned if warnings else None)
    return [t for t in trees if _is_new(t[0], seen)], complaints, warned


def _ask(command, warnings):
    directory, file, flags = command
    run = subprocess.Popen([clang_query(), "-f", MATCHERS, file, "--", *flags, *(WARNINGS if warnings else ("-w",)), "-ferror-limit=0"],
                           cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    # Both streams are read at once: a full pipe of errors would stop clang-query.
    output, errors = run.communicate()
    trees = _reachable(tree.matches(output.splitlines()))
    complaints = [line for line in errors.splitlines() if "error:" in line]
    # A signal ends clang-query after part of its output.
    if run.returncode < 0 or run.returncode != 0 and not trees:
        complaints.append(f"{file}: clang-query ended with {run.returncode}: {errors.strip()[-300:]}")
    return trees, complaints, [line for line in errors.splitlines() if ": warning: " in line]


def _stored(path, warnings):
    if not os.path.exists(path) or warnings and not os.path.exists(path + ".warnings"):
        return None
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as stream:
        trees = list(tree.matches(stream))
    if not warnings:
        return trees, [], []
    with open(path + ".warnings", encoding="utf-8") as stream:
        return trees, [], stream.read().splitlines()


def _store(path, trees, warned):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if warned is not None:
        with open(path + ".warnings", "w", encoding="utf-8") as stream:
            stream.writelines(line + "\n" for line in warned)
    # Last, and renamed: what is there under its name is whole.
    with gzip.open(path + ".part", "wt", encoding="utf-8", compresslevel=1) as stream:
        for lines in trees:
            stream.write('Binding for "root":\n' + "\n".join(lines) + "\n\n")
    os.replace(path + ".part", path)


_NAME = re.compile(r" (\w+) '[^']*\(")
_CALLED = re.compile(r" Function 0x[0-9a-f]+ '(\w+)'")


def _reachable(trees):
    """Records, variables, what the file and the headers beside it define, and the functions that these call."""
    functions, wanted, kept = {}, [], []
    for lines in trees:
        name = lines[0].startswith("FunctionDecl") and _NAME.search(lines[0])
        if name and "/include/" in (_HEAD.match(lines[0]) or " ")[0]:
            functions[name[1]] = lines
        else:
            kept.append(lines)
            if name:
                wanted.append(lines)
    while wanted:
        for name in set(_CALLED.findall("\n".join(wanted.pop()))):
            if name in functions:
                wanted.append(functions.pop(name))
                kept.append(wanted[-1])
    return kept


_WARNING = re.compile(r"^(.+?):(\d+):(\d+): warning: .*\[(-W[\w-]+)\]$")


def warning(line, directory):
    """((file, line, column), flag) of one of clang's warnings."""
    found = _WARNING.match(line)
    return found and ((tree.absolute(directory, found[1]), int(found[2]), int(found[3])), found[4])


_ADDRESS = re.compile(r" 0x[0-9a-f]+")
_HEAD = re.compile(r"^\w+ 0x[0-9a-f]+(?: (?:prev|parent) 0x[0-9a-f]+)* <([^>]*\.h:[^>]*)>")


def _is_new(head, seen):
    """What a header defines is the same in every file that includes it."""
    found = _HEAD.match(head)
    if not found or seen is None:
        return True
    # With the name: a header such as paging_tmpl.h defines the same lines under several names.
    head = _ADDRESS.sub("", head)
    if head in seen:
        return False
    seen.add(head)
    return True
