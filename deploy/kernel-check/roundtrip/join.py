"""Joins the facts of all functions: follows each narrowed value until it meets a 64-bit value again."""

import re
from collections import defaultdict, deque, namedtuple

Step = namedtuple("Step", "place text info")
Finding = namedtuple("Finding", "rule narrow source target widened meets steps kernel first back message others")

# What sequence numbers and event counters are called, wherever they are kept.
SEQUENCE = re.compile(
    r"(?:^|_)(seq|seqs|seqno|seqnum|seqcount|sequence|gen|generation|epoch|version|serial|ticket|counter|counters|cookie|events?|ticks?"
    r"|jiffies|stamp|timestamp)(?:$|_|\d)", re.I)
# Fields that nothing counts up in what was read are also called so; but so is a number of bytes or elements.
COUNT = re.compile(r"(?:^|_)(cnt|count|counts|total|completed|retired|issued)(?:$|_|\d)", re.I)
# Results of functions that convert units or round: durations and sizes.
CONVERTED = re.compile(r"_to_|round_?(up|down)|align", re.I)
# Sizes, addresses and error codes are 64 bits wide and no counters, whatever is added to them.
NOT_COUNTED = re.compile(r"(?:^|_)(addr|address|size|sz|len|length|off|offset|ret|rc|err|error|flags?|mask|bytes|ptr|start|end|pos|gpa|hva|pa|va|iova"
                         r"|shift|order|idx|index|bit|bits)(?:$|_|\d)", re.I)
# What is added to counters.
AMOUNT = re.compile(r"(?:^|_)(nr|num|pages|count|cnt|delta|amount|freed|used|zapped|reclaimed|scanned|objects|charged|total)(?:$|_|\d)", re.I)
SUMMED = ("is added to", "is added by")
STEPS_MAX = 12
CALLS_MAX = 4


class Program:
    """The value-flow graph of everything that was read."""

    def __init__(self, functions, definitions):
        self.info, self.counters = {}, set()
        self.out, self.into, self.compares = defaultdict(list), defaultdict(list), defaultdict(list)
        self._global = definitions
        edges, seen = [], set()
        for function in functions:
            for entity, info in function.info.items():
                self._learn(self._resolve(entity), info, entity[0] == "P" and entity[1] != function.identity)
            self.counters.update(self._resolve(e) for e in function.counters)
            for edge in function.edges:
                edges.append(edge._replace(source=self._resolve(edge.source), target=self._resolve(edge.target)))
            for compare in function.compares:
                compare = compare._replace(**{side: frozenset((self._resolve(e), s) for e, s in getattr(compare, side)) for side in ("left", "right")})
                for side, other in (("left", "right"), ("right", "left")):
                    for entity, site in getattr(compare, side):
                        self.compares[entity].append((site, compare, getattr(compare, other)))
        for edge in edges:
            if edge not in seen:
                seen.add(edge)
                self.out[edge.source].append(edge)
                self.into[edge.target].append(edge)
        self.edges = list(seen)

    def _learn(self, entity, info, guess):
        # A definition knows a parameter's name; a call only its number.
        if entity not in self.info or not guess:
            self.info[entity] = info

    def _resolve(self, entity):
        if entity[0] in "GPR" and ": " not in entity[1]:
            known = self._global.get((entity[0] == "G", entity[1]), ())
            if len(known) == 1:
                return (entity[0], next(iter(known)), *entity[2:])
        return ("*", self._resolve(entity[1])) if entity[0] == "*" else entity

    # Where a 64-bit value comes from.

    def sources(self, entity, site=None, narrow_too=False):
        """The entities that a 64-bit value was copied from without loss, itself included."""
        found, queue = set(), deque([(entity, (site,) if site else (), 0)])
        while queue:
            at, calls, depth = queue.popleft()
            if (at, calls) in found or depth > 8 or len(found) > 400:
                continue
            found.add((at, calls))
            for edge in self.into[at]:
                if edge.narrow or not narrow_too and self.info[edge.source].width < 64 or edge.how in SUMMED:
                    continue
                inner = calls
                if at[0] in "P*" and edge.site:
                    if inner and inner[-1] != edge.site:
                        continue
                    inner = inner[:-1]
                if edge.from_site:
                    inner = (*inner, edge.from_site)[-CALLS_MAX:]
                queue.append((edge.source, inner, depth + 1))
        return {e for e, _ in found}

    def is_counter(self, entity, depth=0):
        """Whether a value is a counter's: it is counted up somewhere, or called so, or was copied from one just before."""
        name, in_memory = self._name(entity), entity[0] in "FG*"
        if entity[0] == "N" or entity[0] == "R" and CONVERTED.search(name):
            return False
        if not NOT_COUNTED.search(name) and (SEQUENCE.search(name) or in_memory and entity in self.counters):
            return True
        if in_memory or depth > 3:
            return False
        copied = [self.is_counter(e.source, depth + 1) for e in self.into[entity] if not e.narrow and e.how not in SUMMED]
        # A parameter has many callers, a result many returns: they carry a counter if all of them do.
        return bool(copied) and (any(copied) if entity[0] == "L" else all(copied))

    def _is_drawn(self, narrow):
        """Whether a function's result is a counter's value because it is kept where counters are."""
        name = self._name(narrow.source)
        return (narrow.source[0] == "R" and not CONVERTED.search(name) and not NOT_COUNTED.search(name)
                and self.is_counter(narrow.target))

    def _name(self, entity):
        text = self.info[entity].text
        return re.split(r"->|\.", text.rstrip("()"))[-1].strip("*&")

    # Round trips.

    def findings(self, inside):
        """One finding for each place that a counter is narrowed in; `inside` tells which places are reported."""
        found = {}
        for edge in sorted((e for e in self.edges if e.narrow and inside(e.place)), key=lambda e: e.place):
            finding = self._follow(edge)
            if not finding:
                continue
            known = found.get(edge.target)
            if not known or known.meets is None and finding.meets is not None:
                found[edge.target] = finding._replace(others=known.others + (known.narrow.place,) if known else ())
            elif edge.place != known.narrow.place:
                found[edge.target] = known._replace(others=(*known.others, edge.place))
        notes = [n for n in self._kept_narrow() if inside(n.narrow.place)]
        return sorted([*found.values(), *notes], key=lambda f: f.narrow.place)

    def _follow(self, narrow):
        """The shortest way on which the narrowed value meets its counter, or else is widened to 64 bits."""
        negative = narrow.source[0] == "N"
        ours = set() if negative else self.sources(narrow.source, narrow.from_site)
        counter = not negative and (self.is_counter(narrow.source) or self._is_drawn(narrow))
        near = self._near(narrow.source)
        start = (narrow.target, (narrow.site,) if narrow.site else ())
        queue, seen, widened = deque([(start, (narrow,), None)]), {start}, None
        while queue:
            (entity, calls), way, wide = queue.popleft()
            if not negative:
                meeting = self._meeting(entity, calls, ours, narrow.source) if counter else self._near_meeting(entity, near)
                if meeting:
                    compare, other = meeting
                    return self._finding("narrow-round-trip", narrow, way, wide or compare, compare)
            if len(way) > STEPS_MAX:
                continue
            for edge in self.out[entity]:
                inner = self._through(edge, calls)
                if inner is None or edge.narrow:
                    continue
                now = wide or (edge if self._widens(edge, negative) else None)
                if now is edge and not widened and self._counts(edge, narrow, counter, negative):
                    widened = (way, edge)
                state = (edge.target, inner)
                if state not in seen:
                    seen.add(state)
                    queue.append((state, (*way, edge), now))
        if not widened:
            return None
        way, edge = widened
        return self._finding("negative-round-trip" if negative else "narrow-round-trip", narrow, (*way, edge), edge, None)

    @staticmethod
    def _through(edge, calls):
        """The calls after an edge, or None: a result comes back only to the call that the value entered by."""
        if edge.from_site:
            if calls and calls[-1] != edge.from_site:
                return None
            calls = calls[:-1]
        if edge.site and edge.target[0] in "P*":
            calls = (*calls, edge.site)[-CALLS_MAX:]
        return calls

    def _widens(self, edge, negative):
        source, target = self.info[edge.source], self.info[edge.target]
        if negative and source.type == "unsigned long" and target.width == 64:
            return "long long" in _canonical(target.type)
        return source.width <= 32 and target.width == 64

    def _counts(self, edge, narrow, counter, negative):
        if negative:
            return edge.how in SUMMED
        return counter or edge.how in SUMMED and edge.target[0] in "FG*P" and self._is_amount(narrow, edge)

    def _is_amount(self, narrow, edge):
        if any(NOT_COUNTED.search(self._name(e)) for e in (narrow.target, edge.source, edge.target)):
            return False
        return narrow.source[0] != "R" and bool(AMOUNT.search(self._name(narrow.source)))

    def _meeting(self, entity, calls, ours, source):
        for site, compare, others in self.compares[entity]:
            if site and calls and calls[-1] != site:
                continue
            for other, other_site in others:
                if self.info[other].width < 64:
                    continue
                shared = self.sources(other, other_site) & ours
                if any(e[0] in "FG*" or e == source for e in shared) or self._is_another_counter(compare, other):
                    return compare, other
        return None

    def _is_another_counter(self, compare, other):
        """A counter's other side is that counter too, where its callers are not known; or whatever it is asked to equal."""
        return self.is_counter(other) or compare.op in ("==", "!=") and not NOT_COUNTED.search(self._name(other))

    def _near(self, source):
        """The field or variable that a value was read from, directly or into one local variable."""
        found = {source} if source[0] in "FG*" else {e.source for e in self.into[source] if e.source[0] in "FG*" and not e.narrow}
        return {e for e in found if self.info[e].width == 64 and not NOT_COUNTED.search(self._name(e))}

    def _near_meeting(self, entity, near):
        """Of a value that is not known as a counter only the plainest shape: compared with what it was read from, or a count's distance from it."""
        if not near or self.info[entity].width > 32:
            return None
        for _, compare, others in self.compares[entity]:
            for other, _ in others:
                same = self._near(other) & near
                if same and (compare.op in ("==", "!=") or any(COUNT.search(self._name(e)) for e in same)):
                    return compare, other
        return None

    def _kept_narrow(self):
        """A counter kept in 32 bits or fewer whose 64-bit copy is compared with it: alike, but only modulo its width."""
        for entity in sorted((e for e in self.counters if e[0] in "FG*" and 8 <= self.info[e].width <= 32), key=str):
            for site, compare, others in self.compares[entity]:
                ways = [(other, self._way_back(other, s, entity)) for other, s in others if self.info[other].width == 64]
                way = next((w for _, w in ways if w), None)
                if way:
                    first = next(e for e in way if self._widens(e, False))
                    yield self._finding("counter-kept-narrow", first._replace(narrow=True), way, first, compare, entity)
                    break

    def _way_back(self, entity, site, goal):
        queue, seen = deque([(entity, ())]), set()
        while queue:
            at, way = queue.popleft()
            if at in seen or len(way) > 8:
                continue
            seen.add(at)
            for edge in self.into[at]:
                if edge.source == goal:
                    return (edge, *way)
                if edge.source[0] != "R":
                    queue.append((edge.source, (edge, *way)))
        return None

    # The report.

    def _finding(self, rule, narrow, way, widened, meets, kept=None):
        chain = [self.info[narrow.target]] if not kept else [self.info[kept]]
        for edge in way[0 if kept else 1:]:
            chain.append(self.info[edge.target])
        first, back, kind = _first_difference(chain, rule)
        source = self.info[kept or narrow.source]
        steps = []
        for edge in way:
            target = self.info[edge.target]
            steps.append(Step(edge.place, f"{edge.text} ({self.info[edge.source].type}) {edge.how} {self._describe(edge.target)} ({target.type})", target))
        return Finding(rule, narrow, source, self.info[narrow.target], widened, meets, steps, kind, first, back, self._message(rule, narrow, source, meets), ())

    def _describe(self, entity):
        info = self.info[entity]
        text = info.text
        if entity[0] == "P" and info.what == "parameter" and not text.startswith("argument"):
            return f"parameter {text} of {entity[1].split(': ')[-1]}()"
        if entity[0] == "R":
            return f"the result of {text}"
        return text

    def _message(self, rule, narrow, source, meets):
        target = self.info[narrow.target]
        if rule == "negative-round-trip":
            return f"negative number {narrow.text} is passed as {target.type}, then added up at 64 bits"
        if rule == "counter-kept-narrow":
            return f"counter {source.text} is kept as {source.type}, and its 64-bit copy is compared with it"
        again = "and meets it again at 64 bits" if meets else "and is widened to 64 bits again"
        return f"64-bit counter {source.text} ({source.type}) is narrowed to {target.type} by {self._describe(narrow.target)}, {again}"


def _canonical(name):
    return {"s64": "long long", "u64": "unsigned long long", "__s64": "long long", "__u64": "unsigned long long", "loff_t": "long long"}.get(name, name)


def convert(value, width, signed):
    value &= (1 << width) - 1
    return value - (1 << width) if signed and value >> (width - 1) else value


def _first_difference(chain, rule):
    """The first counter value that comes back as another one, what it comes back as, and the narrowest type on the way."""
    narrow = [i for i in chain if 0 < i.width <= 32]
    if rule == "negative-round-trip":
        width = min([i.width for i in narrow], default=32)
        return -1, (1 << width) - 1, (width, False)
    kind = min(((i.width, i.signed) for i in narrow), default=(32, True))
    for bit in range(kind[0] - 1, 64):
        value = at = 1 << bit
        for info in narrow:
            at = convert(at, info.width, info.signed)
        if at != value:
            return value, at & ((1 << 64) - 1), (bit + 1, True) if at < 0 else (bit, False)
    return 1 << kind[0], 0, kind
