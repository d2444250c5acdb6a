"""The values that an expression can have, from its text alone and from the checks that stand before it."""

import re

from .tree import limits

COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
WRAPPERS = ("ParenExpr", "ConstantExpr", "GenericSelectionExpr")
_PASSED_ON = ("__builtin_expect", "__builtin_expect_with_probability", "__builtin_assume_aligned", "__builtin_bswap64")
# Numbers of bits, of CPUs, of characters.
_SMALL = re.compile(r"^_*(builtin_(popcount|ctz|clz|ffs|constant_p|object_size|strlen)|strn?len|(sw_)?hweight|(variable_+)?(ffs|ffz|fls)|ilog2"
                    r"|find_(first|next|last|nth)|bitmap_weight|cpumask_)")
_LEAVES = ("return", "panic", "BUG", "abort", "exit", "do_exit", "__builtin_unreachable", "__builtin_trap", "__assert_fail")


def operator(node):
    """The operator of a unary or binary operator's line."""
    parts = node.rest.split("'")
    return parts[-2] if len(parts) > 2 else ""


def callee(node):
    """The expression that is called, without casts."""
    target = node.children[0]
    while target.kind in ("ImplicitCastExpr", "ParenExpr") or target.kind == "UnaryOperator" and operator(target) == "*":
        target = target.children[0]
    return target


def referenced(node):
    """(kind, address, name) of what a DeclRefExpr names."""
    words = node.rest.split("'", 1)[-1]
    for kind in ("ParmVar", "Var", "Function", "EnumConstant"):
        at = words.find(f" {kind} 0x")
        if at >= 0:
            address, name = words[at + len(kind) + 2:].split(" ", 1)
            return kind, address, name.split("'")[1]
    return "", "", ""


def called(node):
    target = callee(node)
    return referenced(target)[2] if target.kind == "DeclRefExpr" else ""


def is_cast(node):
    return node.kind in ("ImplicitCastExpr", "CStyleCastExpr")


def peeled(node):
    """Without implicit casts and parentheses."""
    while node.kind in WRAPPERS or node.kind == "ImplicitCastExpr":
        node = last(node) if node.kind == "GenericSelectionExpr" else node.children[0] if node.kind != "ConstantExpr" else last(node)
    return node


def last(node):
    return node.children[-1]


def value_of(block):
    """The last statement of `({ … })`: its value."""
    body = block.children[0]
    return last(body) if body.children else body


def same(a, b):
    """Whether two expressions have the same text, once macros are expanded."""
    return key(a) == key(b)


def key(node):
    node = peeled(node)
    while node.kind == "CStyleCastExpr":
        node = peeled(node.children[0])
    if node.kind == "UnaryOperator" and operator(node) == "*":
        inner = key(node.children[0])
        if inner[0] == "&":
            return inner[1]
    if node.kind == "UnaryOperator" and operator(node) == "&":
        return ("&", key(node.children[0]))
    if node.kind == "StmtExpr":
        value = value_of(node)
        return key(value)
    if node.kind == "DeclRefExpr":
        return ("ref", referenced(node)[1])
    if node.kind == "MemberExpr":
        return ("member", node.rest.rsplit(" ", 1)[0].rsplit(" ", 1)[-1], key(node.children[0]))
    if node.kind == "IntegerLiteral":
        return ("literal", node.rest.rsplit(" ", 1)[-1])
    return (node.kind, operator(node), *(key(c) for c in node.children)) if len(node.children) < 8 else (node.kind, node.order)


class Ranges:
    """Ranges within one function. `bits` gives a bit-field's width, `initial` the only value of a local that has one."""

    def __init__(self, bits, initial, writes):
        self._bits, self._initial, self._writes = bits, initial, writes

    def of(self, node):
        if node.memo is None:
            node.memo = node.type.range if node.type.width else (-(1 << 64), 1 << 64)  # ends a recursion
            low, high = self._of(node)
            width = node.type.width
            if width:
                bottom, top = node.type.range
                if low < bottom or high > top:
                    low, high = bottom, top
            node.memo = (low, high)
        return node.memo

    def fits(self, node, width, signed):
        low, high = self.of(node)
        bottom, top = limits(width, signed)
        return bottom <= low and high <= top

    def _of(self, node):
        kind = node.kind
        everything = node.type.range if node.type.width else (-(1 << 64), 1 << 64)
        if kind in ("IntegerLiteral", "CharacterLiteral"):
            value = int(node.rest.rsplit(" ", 1)[-1])
            return value, value
        if kind == "ConstantExpr":
            return self.of(last(node))
        if kind == "UnaryExprOrTypeTraitExpr" or kind == "OffsetOfExpr":
            return 0, 1 << 20
        if is_cast(node) or kind in ("ParenExpr", "GenericSelectionExpr"):
            return self.of(last(node))
        if kind == "StmtExpr":
            return self.of(value_of(node))
        if kind == "ChooseExpr":
            return self._union(node.children[1:])
        if kind == "DeclRefExpr":
            return self._of_reference(node, everything)
        if kind == "MemberExpr":
            width = self._bits(node)
            return limits(width, node.type.signed) if width else everything
        if kind == "CallExpr":
            name = called(node)
            if name in _PASSED_ON and len(node.children) > 1:
                return self.of(node.children[1])
            return (0, 1 << 16) if _SMALL.match(name) else everything
        if kind == "ConditionalOperator":
            return self._of_conditional(node)
        if kind == "UnaryOperator":
            return self._of_unary(node, everything)
        if kind == "BinaryOperator":
            return self._of_binary(node, everything)
        return everything

    def _union(self, nodes):
        all_ranges = [self.of(n) for n in nodes]
        return min(r[0] for r in all_ranges), max(r[1] for r in all_ranges)

    def _of_reference(self, node, everything):
        what, address, _ = referenced(node)
        if what == "EnumConstant":
            return 0, 1 << 16
        initial = self._initial(address)
        return self.of(initial) if initial is not None else everything

    def _of_conditional(self, node):
        test, yes, no = node.children
        ranges = []
        for branch, holds in ((yes, True), (no, False)):
            low, high = self.of(branch)
            bottom, top = self.bounds(test, holds, key(branch))
            ranges.append((max(low, bottom), min(high, top)))
        return min(r[0] for r in ranges), max(r[1] for r in ranges)

    def _of_unary(self, node, everything):
        low, high = self.of(node.children[0])
        op = operator(node)
        if op == "-":
            return -high, -low
        if op == "!":
            return 0, 1
        if op == "+" or op == "__extension__":
            return low, high
        if op == "~" and low == high:
            value = ~low if node.type.signed else ~low & node.type.range[1]
            return value, value
        return everything

    def _of_binary(self, node, everything):
        op = operator(node)
        if op in COMPARISONS or op in ("&&", "||"):
            return 0, 1
        left, right = (self.of(c) for c in node.children)
        if op in ("=", ","):
            return right
        corners = [(a, b) for a in left for b in right]
        if op == "+":
            return left[0] + right[0], left[1] + right[1]
        if op == "-":
            return left[0] - right[1], left[1] - right[0]
        if op == "*":
            return min(a * b for a, b in corners), max(a * b for a, b in corners)
        if op == "&":
            tops = [r[1] for r in (left, right) if r[0] >= 0]
            return (0, min(tops)) if tops else everything
        if op in ("|", "^") and left[0] >= 0 and right[0] >= 0:
            return 0, (1 << max(left[1], right[1]).bit_length()) - 1
        if op == "%" and right[0] > 0:
            return (0 if left[0] >= 0 else 1 - right[1]), right[1] - 1
        if op == "/" and right[0] > 0 and left[0] >= 0:
            return left[0] // right[1], left[1] // right[0]
        if op == ">>" and left[0] >= 0 and 0 <= right[0] <= right[1] < 128:
            return left[0] >> right[1], left[1] >> right[0]
        if op == "<<" and left[0] >= 0 and 0 <= right[0] <= right[1] < 64:
            return left[0] << right[0], left[1] << right[1]
        return everything

    def bounds(self, test, holds, wanted):
        """What a condition says of the expression with the key `wanted` where it holds, or where it does not."""
        unknown = (-(1 << 64), 1 << 64)
        test = peeled(test)
        if test.kind == "StmtExpr":
            found = [self.bounds(c, holds, wanted) for c in test.walk() if c.kind == "BinaryOperator" and operator(c) in COMPARISONS]
            return _intersection(found) if len(found) == 1 else unknown
        if test.kind == "CallExpr" and called(test) in _PASSED_ON:
            return self.bounds(test.children[1], holds, wanted)
        if test.kind == "UnaryOperator" and operator(test) == "!":
            return self.bounds(test.children[0], not holds, wanted)
        if test.kind == "DeclRefExpr":
            initial = self._initial(referenced(test)[1])
            return self.bounds(initial, holds, wanted) if initial is not None else unknown
        if test.kind != "BinaryOperator":
            return unknown
        op = operator(test)
        if op in ("&&", "||"):
            both = [self.bounds(c, holds, wanted) for c in test.children]
            return _intersection(both) if (op == "&&") == holds else (min(b[0] for b in both), max(b[1] for b in both))
        left, right = test.children
        if op in (">>", "&") and not holds and key(left) == wanted and left.type.range[0] == 0:
            return self._without_upper_bits(op, self.of(right)) or unknown
        if op not in COMPARISONS:
            return unknown
        if key(left) == wanted:
            return self._compared(op, holds, self.of(right))
        if key(right) == wanted:
            return self._compared({"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(op, op), holds, self.of(left))
        return unknown

    @staticmethod
    def _without_upper_bits(op, other):
        """`if (x >> 32)` and `if (x & ~0xffffffff)`, where they do not hold."""
        if other[0] != other[1] or other[0] <= 0:
            return None
        if op == ">>":
            return 0, (1 << other[0]) - 1
        low_bits = ~other[0] & ((1 << 64) - 1)
        return (0, low_bits) if low_bits & (low_bits + 1) == 0 else None

    @staticmethod
    def _compared(op, holds, other):
        low, high = -(1 << 64), 1 << 64
        if not holds:
            op = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}[op]
        if op == "<":
            return low, other[1] - 1
        if op == "<=":
            return low, other[1]
        if op == ">":
            return other[0] + 1, high
        if op == ">=":
            return other[0], high
        return other if op == "==" else (low, high)

    def checked(self, node, leaf, width, signed):
        """Whether a check before `node` keeps `leaf` within the width: an enclosing branch, or an `if` that leaves."""
        wanted = key(leaf)
        bottom, top = limits(width, signed)
        low, high = self.of(leaf) if leaf.type.width else (bottom, top)
        for (a, b), since in self._facts(node, wanted):
            if not any(since < order < node.order for order in self._writes(wanted)):
                low, high = max(low, a), min(high, b)
        # A negative number is not what these checks are written for: an upper bound is enough of a signed counter.
        return high <= top and (bottom <= low or leaf.type.signed)

    def _facts(self, node, wanted):
        child, parent = node, node.parent
        while parent is not None:
            kind = parent.kind
            if kind in ("IfStmt", "ConditionalOperator", "WhileStmt") and child is not parent.children[0]:
                branches = parent.children
                test = branches[-3] if kind == "IfStmt" and len(branches) > 2 and _has_else(parent) else branches[-2] if kind == "IfStmt" else branches[0]
                if kind == "WhileStmt":
                    test = branches[-2]
                if child is not test:
                    holds = not (child is branches[-1] and len(branches) > 2 and (kind == "ConditionalOperator" or _has_else(parent)))
                    yield self.bounds(test, holds, wanted), test.last
            elif kind == "ForStmt" and child is parent.children[-1] and parent.children[2].kind != "<<<NULL>>>":
                yield self.bounds(parent.children[2], True, wanted), parent.children[2].last
            elif kind == "BinaryOperator" and operator(parent) in ("&&", "||") and child is parent.children[1]:
                yield self.bounds(parent.children[0], operator(parent) == "&&", wanted), parent.children[0].last
            elif kind == "SwitchStmt" and key(parent.children[-2]) == wanted:
                yield self._of_cases(parent, node), parent.children[-2].last
            elif kind in ("CompoundStmt", "CaseStmt", "DefaultStmt"):
                for before in parent.children:
                    if before is child:
                        break
                    yield from self._after(before, wanted)
            child, parent = parent, parent.parent

    def _of_cases(self, switch, node):
        """Within a switch over the value: the numbers of its cases, unless the nearest label before is `default`."""
        labels = [n for n in switch.walk() if n.kind in ("CaseStmt", "DefaultStmt") and n.order < node.order]
        if not labels or labels[-1].kind == "DefaultStmt":
            return -(1 << 64), 1 << 64
        return self._union([number for label in labels if label.kind == "CaseStmt" for number in label.children[:-1]])

    def _after(self, statement, wanted):
        """What holds after a statement: `if (x > MAX) return`, `if (x > MAX) x = MAX`, `BUG_ON(x > MAX)`, `WARN_ON(x > MAX)`."""
        if statement.kind == "WhileStmt" and not any(c.kind in ("BreakStmt", "GotoStmt") for c in statement.walk()):
            yield self.bounds(statement.children[-2], False, wanted), statement.last
            return
        while statement.kind in ("DoStmt", "ParenExpr", "ImplicitCastExpr") or statement.kind == "CompoundStmt" and len(statement.children) == 1:
            if not statement.children:
                return
            statement = statement.children[0]
        if statement.kind == "IfStmt":
            test, then = _test_and_then(statement)
            if leaves(then):
                yield self.bounds(test, False, wanted), statement.last
            elif any(c.kind == "BinaryOperator" and operator(c) == "=" and key(c.children[0]) == wanted for c in then.walk()):
                written = [c for c in then.walk() if c.kind == "BinaryOperator" and operator(c) == "=" and key(c.children[0]) == wanted]
                a, b = self.bounds(test, False, wanted)
                c, d = self.of(written[-1].children[1])
                yield (min(a, c), max(b, d)), statement.last
        elif statement.kind in ("StmtExpr", "CompoundStmt"):
            body = statement.children[0] if statement.kind == "StmtExpr" else statement
            tests = [_test_and_then(s) for s in body.children if s.kind == "IfStmt"]
            for test, then in tests:
                if leaves(then) or any(c.kind in ("GCCAsmStmt", "CallExpr") for c in then.walk()):
                    yield self.bounds(test, False, wanted), statement.last


def _intersection(found):
    return max(f[0] for f in found), min(f[1] for f in found)


def _has_else(node):
    return "has_else" in node.rest


def _test_and_then(node):
    return (node.children[-3], node.children[-2]) if _has_else(node) else (node.children[-2], node.children[-1])


def leaves(node):
    """Whether a statement ends what comes after it: return, goto, break, continue, or a call that does not return."""
    if node.kind in ("ReturnStmt", "GotoStmt", "BreakStmt", "ContinueStmt"):
        return True
    if node.kind == "CompoundStmt":
        return any(leaves(c) for c in node.children)
    if node.kind in ("DoStmt", "ParenExpr", "StmtExpr", "ImplicitCastExpr"):
        return bool(node.children) and leaves(node.children[0])
    if node.kind == "IfStmt" and _has_else(node):
        return leaves(node.children[-1]) and leaves(node.children[-2])
    return node.kind == "CallExpr" and called(node) in _LEAVES
