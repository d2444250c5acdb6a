"""What one function does with integers: which values go where, what is compared with what, what counts.

An entity is a place that a value lives in:
  ("F", record, field)  a field          ("G", name)          a global variable, or a static local one
  ("P", function, n)    a parameter      ("R", function)      a function's result
  ("L", function, address, n)  what the n-th write gave a local variable       ("*", entity)  what a pointer points to
  ("N", place)          a negative constant
"""

import re
from collections import namedtuple

from .ranges import (COMPARISONS, Ranges, WRAPPERS, called, callee, is_cast, key, last, leaves, operator, peeled, referenced,
                     value_of)
from .tree import Type, absolute

Info = namedtuple("Info", "width signed type text what wire")
# A value's way from `source` to `target`. `site` is the call that an argument enters by, `from_site` the call that a result comes from.
Edge = namedtuple("Edge", "source from_site target site how place narrow text")
Compare = namedtuple("Compare", "place op left right text operands")

_READS = re.compile(r"(read|load|get|fetch|peek|value|sum|return|xchg|snapshot|once|sync)", re.I)
_COUNTS = re.compile(r"(?:^|_)(inc|dec|add|sub|mod)(?:_|$|[0-9])")
_BYTE_ORDER = re.compile(r"^_*(cpu_to_[bl]e|[bl]e\d+_to_cpu|[bl]e\d+_to_|hton|ntoh|hto[bl]e|put_unaligned|get_unaligned|f?swab|bswap|builtin_bswap|arch_swab)")
_WIRE = re.compile(r"__(be|le|sum|wsum)\d*\b|^(be|le)\d+$|^old_time32_t$|^compat_")
# What user space of 32 bits hands over and gets: as narrow as it was made, on purpose.
_USER_32 = re.compile(r"(?:^|: )(?:struct |union )?(?:old_\w*32|compat_\w+)\b")
_COUNTER_RECORD = re.compile(r"^(struct )?(atomic64_t|atomic_long_t|local64_t|local_t|percpu_counter|u64_stats_t|page_counter)$|^_Atomic")
# The errors that a value which does not fit is refused with: E2BIG, EINVAL, EFBIG, ENOSPC, ERANGE, EOVERFLOW.
_DOES_NOT_FIT = (7, 22, 27, 28, 34, 75)
_NO_BRANCH = {"IfStmt": 0, "WhileStmt": 0, "ConditionalOperator": 0, "SwitchStmt": 0, "ForStmt": 0}


class Unit:
    """What a translation unit declares, for its functions."""

    def __init__(self, file, directory):
        self.file, self.directory = file, directory
        self.own_functions, self.own_records, self.own_globals = set(), set(), set()
        self.bits, self.packed, self.fields, self.types = {}, set(), {}, {}

    def is_wire(self, record):
        """Whether a record's fields are as wide as somebody else needs them."""
        return record in self.packed or bool(_USER_32.search(record))

    def add_record(self, root):
        stack = [root]
        while stack:
            record = stack.pop()
            name = " ".join(w for w in record.rest.split() if w != "definition")
            anonymous = len(name.split()) == 1
            name = f"{name} @{record.file}:{record.line}:{record.column}" if anonymous else name
            if record.file == self.file:
                self.own_records.add(name)
            identity = self.record(name)
            if any(c.kind == "PackedAttr" for c in record.children):
                self.packed.add(identity)
            fields = []
            for child in record.children:
                if child.kind == "RecordDecl":
                    stack.append(child)
                elif child.kind == "FieldDecl":
                    field = child.rest.split(" '")[0].split()
                    field = field[-1] if field and field[-1] not in ("referenced", "implicit") else ""
                    fields.append(field)
                    if child.type.width and child.children and child.children[0].kind == "ConstantExpr":
                        value = re.search(r"(\d+)$", (child.children[0].children or [child.children[0]])[0].rest)
                        if value:
                            self.bits[identity, field] = int(value[1])
            self.fields[identity] = fields

    def record(self, name):
        name = re.sub(r"\b(const|volatile|restrict)\b ?", "", name).rstrip("* ").strip()
        unnamed = re.search(r"(struct|union) .*\(unnamed[^)]* at ([^)]*)\)", name)
        if unnamed:
            file, line, column = unnamed[2].rsplit(":", 2)
            name = f"{unnamed[1]} @{absolute(self.directory, file)}:{line}:{column}"
        return f"{self.file}: {name}" if name in self.own_records else name

    def function(self, name):
        return f"{self.file}: {name}" if name in self.own_functions else name


class Function:
    """One function's facts: `edges`, `compares`, `counters`, and `info` of every entity in them."""

    def __init__(self, root, unit):
        self.root, self.unit = root, unit
        self.name = root.rest.split(" '")[0].split()[-1]
        self.identity = unit.function(self.name)
        self.edges, self.compares, self.counters, self.info = [], [], set(), {}
        self.end = 0
        self._parameters, self._definitions, self._initials, self._declared = {}, {}, {}, {}
        self._write_orders, self._memo = {}, {}
        body = [c for c in root.children if c.kind == "CompoundStmt"]
        for index, parameter in enumerate(c for c in root.children if c.kind == "ParmVarDecl"):
            entity = ("P", self.identity, index)
            self._parameters[parameter.address] = entity
            self._declared[parameter.address] = parameter
            self._tell(entity, parameter.type, self._decl_name(parameter), "parameter")
        if body:
            self._nodes = list(body[0].walk())
            self._find_definitions()
            self.ranges = Ranges(self._bit_width, lambda a: self._initials.get(a), self._writes)
            for node in self._nodes:
                self._visit(node)

    @staticmethod
    def _decl_name(node):
        words = node.rest.split(" '")[0].split()
        return words[-1] if words and words[-1] not in ("used", "referenced") else "(unnamed)"

    def _tell(self, entity, type_, text, what, bits=0, wire=False):
        if entity not in self.info:
            width = bits or type_.width
            name = f"{type_.name} : {bits}" if bits and bits < type_.width else type_.name
            self.info[entity] = Info(width, type_.signed, name, text, what, wire or bool(_WIRE.search(type_.name)))
        return entity

    # Local variables: what each write gives them.

    def _find_definitions(self):
        writes = {}
        for node in self._nodes:
            if node.kind == "VarDecl" and " static" not in node.rest.rsplit("'", 1)[-1] and " extern" not in node.rest.rsplit("'", 1)[-1]:
                self._declared[node.address] = node
                self._definitions.setdefault(node.address, [])
                value = [c for c in node.children if not c.kind.endswith("Attr")]
                if value:
                    self._define(node.address, node, value[-1], True)
            elif node.kind == "BinaryOperator" and operator(node) == "=" or node.kind == "CompoundAssignOperator":
                target = peeled(node.children[0])
                if target.kind == "DeclRefExpr":
                    address = referenced(target)[1]
                    self._define(address, node, node.children[1], node.kind == "BinaryOperator")
                self._write_orders.setdefault(key(node.children[0]), []).append(node.last)
            elif node.kind == "UnaryOperator" and operator(node) in ("++", "--"):
                writes.setdefault(key(node.children[0]), 0)
                self._write_orders.setdefault(key(node.children[0]), []).append(node.last)
            elif node.kind == "UnaryOperator" and operator(node) == "&":
                target = peeled(node.children[0])
                if target.kind == "DeclRefExpr" and self._is_argument(node):
                    self._define(referenced(target)[1], node, None, False)
                if not self._is_compared(node):
                    writes[key(node.children[0])] = 1
        for address, definitions in self._definitions.items():
            if len(definitions) == 1 and definitions[0][2] and definitions[0][1].kind == "VarDecl" and ("ref", address) not in writes:
                self._initials[address] = definitions[0][3]

    def _define(self, address, node, value, kills):
        self._definitions.setdefault(address, []).append((node.last, node, kills and value is not None, value))

    @staticmethod
    def _is_argument(node):
        parent = node.parent
        while parent is not None and (is_cast(parent) or parent.kind in WRAPPERS):
            parent = parent.parent
        return parent is not None and parent.kind == "CallExpr"

    @staticmethod
    def _is_compared(node):
        """`&a == &b`: how min() asks whether two types are the same."""
        return node.parent is not None and node.parent.kind == "BinaryOperator" and operator(node.parent) in COMPARISONS

    def _writes(self, wanted):
        return self._write_orders.get(wanted, ())

    def _local(self, address, n):
        declared = self._declared[address]
        entity = ("L", self.identity, address, n)
        what = "parameter" if address in self._parameters else "local"
        return self._tell(entity, declared.type, self._decl_name(declared), what)

    def _reaching(self, address, use):
        """The writes whose value a read of a local variable can see."""
        found, killed, branches = set(), False, set()
        definitions = self._definitions.get(address, [])
        for n in reversed(range(len(definitions))):
            end, node, kills, _ = definitions[n]
            if end < use.order and not killed:
                found.add(self._local(address, n))
                killed = kills and (self._always_before(node, use) or self._in_both_branches(node, use, branches))
            elif end >= use.order and self._in_one_loop(node, use):
                found.add(self._local(address, n))
        if not killed and address in self._parameters:
            found.add(self._parameters[address])
        return found

    @staticmethod
    def _branch(node):
        """The innermost branch of the function that a node stands in."""
        child, parent = node, node.parent
        while parent is not None:
            if parent.kind in _NO_BRANCH and child is not parent.children[0] or parent.kind in ("CaseStmt", "DefaultStmt"):
                return child
            if parent.kind == "BinaryOperator" and operator(parent) in ("&&", "||") and child is parent.children[1]:
                return child
            child, parent = parent, parent.parent
        return child

    def _always_before(self, node, use):
        branch = self._branch(node)
        return branch.order <= use.order <= branch.last and (branch.parent is None or branch.parent.kind != "SwitchStmt")

    def _in_both_branches(self, node, use, branches):
        """Whether this write and a later one are the two branches of one `if`: what came before is overwritten either way."""
        branch = self._branch(node)
        statement = branch.parent
        if statement is None or statement.kind != "IfStmt" or not self._always_before(statement, use):
            return False
        branches.add(branch.order)
        return len(statement.children) > 2 and all(c.order in branches for c in statement.children[-2:])

    @staticmethod
    def _in_one_loop(node, use):
        parent = use.parent
        while parent is not None:
            if parent.kind in ("ForStmt", "WhileStmt", "DoStmt") and parent.order <= node.order <= parent.last:
                return True
            parent = parent.parent
        return False

    # Entities of expressions.

    def _field(self, node):
        words = node.rest.rsplit(" ", 2)
        name = words[-2].lstrip("->.") if len(words) > 1 else ""
        return self.unit.record(node.children[0].type.canonical), name

    def _bit_width(self, node):
        return self.unit.bits.get(self._field(node), 0) if " bitfield " in node.rest else 0

    def place_of(self, node):
        """The entity that an lvalue names, or None. A local variable is given as ("local", address)."""
        node = peeled(node)
        kind = node.kind
        if kind == "DeclRefExpr":
            what, address, name = referenced(node)
            if address in self._declared:
                return ("local", address)
            # What a const variable holds is a constant.
            if what != "Var" or "const" in node.type.spelled.split() and "volatile" not in node.type.spelled.split():
                return None
            own = name in self.unit.own_globals or "static" in node.rest
            return self._tell(("G", f"{self.unit.file}: {name}" if own else name), node.type, name, "variable")
        if kind == "MemberExpr":
            record, name = self._field(node)
            return self._tell(("F", record, name), node.type, text_of(node), "field", self._bit_width(node), self.unit.is_wire(record))
        if kind == "ArraySubscriptExpr":
            base = self.place_of(node.children[0])
            return self._element(base, node)
        if kind == "UnaryOperator" and operator(node) == "*":
            return self._pointed(node.children[0], node)
        if kind == "UnaryOperator" and operator(node) == "__extension__":
            return self.place_of(node.children[0])
        if kind == "CompoundAssignOperator" or kind == "BinaryOperator" and operator(node) == "=":
            return self.place_of(node.children[0])
        return None

    def _element(self, base, node):
        if base and base[0] == "local":
            base = self._parameters.get(base[1]) or ("G", f"{self.identity}: {self._decl_name(self._declared[base[1]])}")
        if base is None:
            return None
        return self._tell(("*", base), node.type, text_of(node), "element")

    def _pointed(self, pointer, node):
        target = peeled(pointer)
        while target.kind == "CStyleCastExpr":
            target = peeled(target.children[0])
        if target.kind == "UnaryOperator" and operator(target) == "&":
            inner = peeled(target.children[0])
            # Read as another width through a cast of the pointer: written out.
            if node.type.width and inner.type.width and node.type.width != inner.type.width:
                return None
            return self.place_of(inner)
        if target.kind == "DeclRefExpr":
            address = referenced(target)[1]
            initial = self._initials.get(address)
            if initial is not None and peeled(initial) is not target:
                return self._pointed(initial, node)
        base = self.place_of(target)
        return self._element(base, node)

    def origins(self, node):
        """The entities whose value, or their value and a bit, an expression has: a set of (entity, call)."""
        if node.order not in self._memo:
            self._memo[node.order] = frozenset()
            self._memo[node.order] = frozenset(self._origins(node))
        return self._memo[node.order]

    def _origins(self, node):
        kind = node.kind
        if kind in WRAPPERS or kind == "ImplicitCastExpr":
            return self.origins(last(node))
        if kind == "CStyleCastExpr":
            inner = node.children[-1]
            width = peeled(inner).type.width
            cut = node.type.width and (node.type.width < width and node.type.width < 64 or self._is_pointer(inner))
            return () if cut or not node.type.width else self.origins(inner)
        if kind == "StmtExpr":
            return self.origins(value_of(node))
        if kind == "ChooseExpr":
            return self.origins(node.children[1]) | self.origins(node.children[2])
        if kind in ("ConditionalOperator", "BinaryConditionalOperator"):
            return frozenset().union(*(self.origins(c) for c in node.children[-2:]))
        if kind == "CallExpr":
            return self._origins_of_call(node)
        if kind == "UnaryOperator" and operator(node) in ("++", "--", "+", "__extension__"):
            return self.origins(node.children[0])
        if kind == "BinaryOperator":
            return self._origins_of_binary(node)
        if kind == "OpaqueValueExpr" and node.children:
            return self.origins(node.children[0])
        place = self.place_of(node)
        if place is None or not node.type.width:
            return ()
        if place[0] == "local":
            return {(e, None) for e in self._reaching(place[1], node)}
        return {(place, None)}

    @staticmethod
    def _is_pointer(node):
        return peeled(node).type.canonical.endswith(("*", "]"))

    def _origins_of_binary(self, node):
        op = operator(node)
        left, right = node.children
        if op == ",":
            return self.origins(right)
        if op == "=":
            target = self._target(left, node)
            return {(target, None)} if target else ()
        if op not in ("+", "-"):
            return ()
        ours, theirs = self.origins(left), self.origins(right)
        # The distance of two counters is not a counter.
        return () if op == "-" and theirs else ours | theirs

    def _origins_of_call(self, node):
        name = called(node)
        if _BYTE_ORDER.match(name):
            return ()
        if name.startswith("__builtin_expect"):
            return self.origins(node.children[1])
        if not node.type.width:
            return ()
        if _READS.search(name):
            read = {(e, None) for e in (self._counter_at(a) for a in node.children[1:]) if e}
            if read:
                return read
        identity = self._callee(node)
        if identity is None:
            return ()
        result = self._tell(("R", identity), node.type, f"{name or text_of(callee(node))}()", "result")
        return {(result, self._site(node))}

    def _counter_at(self, argument):
        """The counter that a pointer argument points to, such as `&kvm->seq` of `atomic64_read(&kvm->seq)`."""
        target = peeled(argument)
        pointee = target.type.canonical
        if not pointee.endswith("*") or pointee.endswith("**"):
            return None
        pointee = pointee[:-1].strip()
        spelled = target.type.spelled.rstrip("* ").strip()
        plain = Type.of(pointee)
        record = next((t for t in (spelled, pointee) if _COUNTER_RECORD.match(re.sub(r"\b(const|volatile)\b ?", "", t))), None)
        if not record and (plain.width != 64 or not (target.kind == "UnaryOperator" and operator(target) == "&")):
            return None
        place = self.place_of(target.children[0]) if target.kind == "UnaryOperator" and operator(target) == "&" else self._pointer_place(target)
        if place and place[0] == "local":
            return None
        if place and record:
            old = self.info[place]
            self.info[place] = old._replace(width=64, signed=True, type=re.sub(r"\b(const|volatile)\b ?", "", record))
        return place

    def _pointer_place(self, target):
        class _Pointee:
            type = Type.of("long long")
            kind, rest, children = "", "", []
        base = self.place_of(target)
        if base and base[0] == "local":
            initial = self._initials.get(base[1])
            if initial is not None and peeled(initial).kind == "UnaryOperator" and operator(peeled(initial)) == "&":
                return self.place_of(peeled(initial).children[0])
            base = self._parameters.get(base[1])
        return self._tell(("*", base), _Pointee.type, text_of(target), "element") if base else None

    def _callee(self, node):
        target = callee(node)
        if target.kind == "DeclRefExpr" and referenced(target)[0] == "Function":
            return self.unit.function(referenced(target)[2])
        if target.kind == "MemberExpr":
            return "{}.{}".format(*self._field(target))
        return None

    def _site(self, node):
        return (*self._where(node), node.order)

    def _where(self, node):
        """The node's place in this function, also where its text comes from a macro."""
        start = self.root
        while node is not None and not (node.file == start.file and node.line >= start.line):
            node = node.parent
        node = node or start
        return node.file, node.line, node.column

    # What is done with them.

    def _visit(self, node):
        kind = node.kind
        if kind == "VarDecl" and node.address in self._definitions:
            for n, (_, written, _, value) in enumerate(self._definitions[node.address]):
                if written is node and value is not None and node.type.width:
                    self._flow(value, self._local(node.address, n), "initialises", node)
                elif written is node and value is not None:
                    self._initialise(value)
        elif kind == "BinaryOperator":
            op = operator(node)
            if op == "=":
                self._assign(node)
            elif op in COMPARISONS:
                self._compare(node, op)
            elif op == "-" and node.type.width == 64 and not self._is_narrow_distance(node):
                self._compare(node, op)
        elif kind == "CompoundAssignOperator":
            self._accumulate(node)
        elif kind == "UnaryOperator" and operator(node) in ("++", "--"):
            self._count(self.place_of(node.children[0]))
        elif kind == "CallExpr":
            self._call(node)
        elif kind == "ReturnStmt" and node.children:
            value = node.children[0]
            if value.type.width:
                result = self._tell(("R", self.identity), value.type, f"{self.name}()", "result")
                self._flow(value, result, "returns", node)
        elif kind == "CompoundLiteralExpr":
            self._initialise(node.children[0])

    def _initialise(self, node):
        node = peeled(node)
        if node.kind == "CompoundLiteralExpr":
            return self._initialise(node.children[0])
        if node.kind != "InitListExpr":
            return None
        record = self.unit.record(node.type.canonical)
        fields = self.unit.fields.get(record, [])
        for field, value in zip(fields, node.children) if node.type.canonical.startswith("struct") else ():
            if value.type.width:
                entity = self._tell(("F", record, field), value.type, field, "field", self.unit.bits.get((record, field), 0), self.unit.is_wire(record))
                self._flow(value, entity, "initialises", value)
            else:
                self._initialise(value)
        return None

    def _target(self, node, definition):
        place = self.place_of(node)
        if place and place[0] == "local":
            numbers = [n for n, d in enumerate(self._definitions.get(place[1], ())) if d[1] is definition]
            return self._local(place[1], numbers[0]) if numbers and self._declared[place[1]].type.width else None
        return place

    def _assign(self, node):
        target = self._target(node.children[0], node)
        if not target or not node.type.width:
            value = peeled(node.children[1])
            if value.kind in ("CompoundLiteralExpr", "InitListExpr"):
                self._initialise(value)
            return
        self._flow(node.children[1], target, "is assigned to", node)
        value = peeled(node.children[1])
        if value.kind == "BinaryOperator" and operator(value) in ("+", "-") and any(e == target for e, _ in self.origins(value)):
            self.counters.add(target)

    def _accumulate(self, node):
        op = operator(node) or re.search(r"'([^']*=)'", node.rest)[1]
        op = re.findall(r"'([^']*=)'", node.rest)[0] if not op.endswith("=") else op
        if op not in ("+=", "-="):
            return
        target = self._target(node.children[0], node)
        if not target:
            return
        low, high = self.ranges.of(peeled(node.children[1]))
        if low == high:
            self._count(self.place_of(node.children[0]))
        self._flow(node.children[1], target, "is added to", node)

    def _count(self, place):
        if not place:
            return
        if place[0] == "local":
            self.counters.update(self._local(place[1], n) for n in range(len(self._definitions.get(place[1], ()))))
            if place[1] in self._parameters:
                self.counters.add(self._parameters[place[1]])
        else:
            self.counters.add(place)

    def _call(self, node):
        name, identity = called(node), self._callee(node)
        if identity is None or _BYTE_ORDER.match(name) or name.startswith("__builtin"):
            return
        counts = _COUNTS.search(name)
        if counts:
            for argument in node.children[1:]:
                place = self._counter_at(argument)
                if place:
                    self.counters.add(place)
        site = self._site(node)
        for index, argument in enumerate(node.children[1:]):
            entity = ("P", identity, index)
            if argument.type.width:
                self._tell(entity, argument.type, f"argument {index + 1} of {name or text_of(callee(node))}()", "parameter")
                self._flow(argument, entity, "is added by" if counts else "is passed to", node, site, argument)
            else:
                self._out_parameter(argument, entity, site)

    def _out_parameter(self, argument, entity, site):
        target = peeled(argument)
        if target.kind != "UnaryOperator" or operator(target) != "&" or not peeled(target.children[0]).type.width:
            return
        inner = peeled(target.children[0])
        pointed = self._tell(("*", entity), inner.type, "*" + text_of(inner), "pointee")
        for source, from_site in self.origins(inner):
            self.edges.append(Edge(source, from_site, pointed, site, "is pointed to by", self._where(target), False, text_of(inner)))
        place = self._target(inner, target)
        if place:
            self.edges.append(Edge(pointed, site, place, None, "is stored in", self._where(target), False, text_of(inner)))

    def _flow(self, value, target, how, node, site=None, at=None):
        info = self.info[target]
        if not info.width or info.width == 1:
            return
        inner, place = peeled(value), self._where(at or node)
        origins = self.origins(inner)
        if not origins:
            return self._negative(inner, target, how, site, place)
        width = inner.type.width
        if node.kind == "CompoundAssignOperator" and info.width < 64:
            computed = re.search(r"ComputeResultTy='([^']*)'(?::'([^']*)')?", node.rest)
            width = Type.of(computed[1], computed[2]).width if computed else width
        narrows = info.width < width and info.width <= 32 and width == 64
        if narrows and (self.ranges.fits(inner, info.width, info.signed) or self._is_checked(inner, info, node, target)):
            return None
        if info.wire:
            return None
        for source, from_site in origins:
            if source != target:
                self.edges.append(Edge(source, from_site, target, site, how, place, narrows, text_of(inner)))
        return None

    def _negative(self, inner, target, how, site, place):
        low, high = self.ranges.of(inner)
        info = self.info[target]
        negative = high < 0 or inner.kind == "UnaryOperator" and operator(inner) == "-" and inner.type.signed and low < 0
        if site and negative and not info.signed and (info.width <= 32 or info.type == "unsigned long"):
            source = self._tell(("N", place), inner.type, text_of(inner), "negative number")
            self.edges.append(Edge(source, None, target, site, how, place, True, text_of(inner)))

    def _is_checked(self, inner, info, node, target):
        for part in inner.walk():
            if part.type.width == 64 and part.kind in ("DeclRefExpr", "MemberExpr", "UnaryOperator", "StmtExpr", "CallExpr", "ArraySubscriptExpr"):
                if self.ranges.checked(inner, part, info.width, info.signed):
                    return True
        return self._is_split(inner) or self._is_refused(inner, target)

    def _is_split(self, inner):
        """Both halves are taken: `lo = v; hi = v >> 32`."""
        wanted = key(inner)
        return any(n.kind == "BinaryOperator" and operator(n) == ">>" and key(n.children[0]) == wanted
                   and self.ranges.of(n.children[1])[0] >= 16 for n in self._nodes)

    def _is_refused(self, inner, target):
        """`n = v; if (n != v) return -EOVERFLOW;`: compared in order to see whether it fits."""
        wanted = key(inner)
        for test in self._nodes:
            if test.kind != "BinaryOperator" or operator(test) not in ("!=", "==") or test.order < inner.order:
                continue
            sides = [peeled(c) for c in test.children]
            for ours, other in (sides, reversed(sides)):
                if key(other) == wanted and self._names(ours, target) and self._refuses(test):
                    if not any(inner.order < w < test.order for w in self._writes(wanted)):
                        return True
        return False

    def _names(self, node, target):
        place = self.place_of(node)
        return place == target or bool(place) and place[0] == "local" and place[1] == target[2:3] + () or (
            bool(place) and place[0] == "local" and target[0] == "L" and place[1] == target[2])

    def _refuses(self, test):
        statement = test
        while statement is not None and statement.kind != "IfStmt":
            statement = statement.parent
        if statement is None:
            return False
        for child in statement.children:
            for node in child.walk():
                if node.kind == "UnaryOperator" and operator(node) == "-" and -self.ranges.of(node)[0] in _DOES_NOT_FIT:
                    return True
        return False

    def _compare(self, node, op):
        left, right = node.children
        if left.type.width != 64 or right.type.width != 64:
            return
        for side, other in ((left, right), (right, left)):
            low, high = self.ranges.of(peeled(other))
            if -(1 << 31) <= low and high < 1 << 32 and not self.origins(other):
                return
        sides = [frozenset(self.origins(s)) for s in (left, right)]
        if all(sides) and not self._in_refusal(node):
            operands = tuple((peeled(s).type.width, text_of(peeled(s))) for s in (left, right))
            self.compares.append(Compare(self._where(node), op, *sides, text_of(node), operands))

    @staticmethod
    def _is_narrow_distance(node):
        """A distance that is cut to the width of its narrower side at once is right modulo that width."""
        narrower = min(peeled(side).type.width for side in node.children)
        while node.parent is not None and (node.parent.kind in WRAPPERS or is_cast(node.parent)):
            node = node.parent
            if 0 < node.type.width <= narrower < 64:
                return True
        return False

    def _in_refusal(self, node):
        """A comparison that only asks whether a value fits: see _is_refused."""
        if operator(node) not in ("!=", "==") or not self._refuses(node):
            return False
        for ours, other in (node.children, reversed(node.children)):
            place = self.place_of(peeled(ours))
            if place and place[0] == "local":
                for _, _, _, value in self._definitions.get(place[1], ()):
                    if value is not None and key(value) == key(other) and peeled(value).type.width == 64 and peeled(ours).type.width < 64:
                        return True
        return False


def text_of(node, depth=0):
    """An expression as C text, macros expanded, shortened."""
    node = peeled(node)
    if depth > 6:
        return "…"
    def inner(n=0):
        return text_of(node.children[n], depth + 1)
    kind = node.kind
    if kind == "DeclRefExpr":
        return referenced(node)[2]
    if kind == "MemberExpr":
        member = node.rest.rsplit(" ", 2)[-2]
        base = inner()
        if member in ("->", "."):
            return base
        return base + (member if member[0] in "-." else "." + member)
    if kind == "IntegerLiteral":
        return node.rest.rsplit(" ", 1)[-1]
    if kind == "CStyleCastExpr":
        return inner() if "*" in node.type.spelled else f"({node.type.name}){inner()}"
    if kind == "StmtExpr":
        return text_of(value_of(node), depth + 1)
    if kind == "ConditionalOperator":
        return f"{inner(0)} ? {inner(1)} : {inner(2)}"
    if kind == "CallExpr":
        if called(node).startswith("__builtin_expect"):
            return inner(1)
        return f"{text_of(callee(node), depth + 1)}({', '.join(inner(i) for i in range(1, len(node.children)))})"
    if kind == "UnaryOperator":
        op = operator(node)
        target = peeled(node.children[0])
        while target.kind == "CStyleCastExpr":
            target = peeled(target.children[0])
        if op == "*" and target.kind == "UnaryOperator" and operator(target) == "&":
            return text_of(target.children[0], depth + 1)
        return inner() if op == "__extension__" else inner() + op if op in ("++", "--") and "postfix" in node.rest else op + inner()
    if kind in ("BinaryOperator", "CompoundAssignOperator"):
        return f"{inner(0)} {operator(node) or '+='} {inner(1)}"
    if kind == "ArraySubscriptExpr":
        return f"{inner(0)}[{inner(1)}]"
    if kind == "ChooseExpr":
        return inner(1)
    return "…"
