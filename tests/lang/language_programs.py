"""Random whole programs with the events to run them on and the limits to run them within: food for property tests."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from language_generator import FIELDS, OVER_EVENT, PRODUCTIONS, TYPES, Grammar, event, spoilt

from projection.lang.program import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

# Of the view: declaration, name, the type of expressions that fit, and whether each new view has to have it.
_VIEW = [
    ("n: int = 0", "int"), ("total: Amount", "amount"), ("any?: decimal", "decimal?"), ('s: string(60) = ""', "string"),
    ("flag: bool = false", "bool"), ("day?: date", "date?"), ("at: timestamp", "timestamp"), ("took: duration = 0s", "duration"),
    ('data: bytes(20) = utf8("")', "bytes"), ('color: Color = "red"', "enum"), ('kind: enum(a, b, ...) = "a"', "string"),
    ("j?: json", "json?"), ("o?: Row", "row?"), ("row: Row", "row"), ("xs: list<int>(12) = []", "list<int>"),
    ("rows: list<Row>(9) = []", "list<row>"), ("texts: list<string>(9) = []", "list<string>"), ("ids: set<int>(9) = []", "set<int>"),
    ("m: map<string, int>(9) = {}", "map<string,int>"), ("by: map<int, Row>(5) = {}", "map<int,row>"),
    ("tags: set<string>(9) = []", "set<string>"), ("groups: map<string, list<int>>(6) = {}", "map<string,list<int>>"),
    ("cost?: decimal(4)", "amount"), ("ds: list<decimal> = []", "list<decimal>"),
]  # fmt: skip
_UPDATES = {
    "n": ["n += «int»", "n -= «int»"], "total": ["total += «amount»"], "s": ["s += «string»"], "took": ["took += «duration»"],
    "o": ["o.q += «int»", "o.inner.m[«string»]: «int»"], "row": ["row.inner.a += «int», row.q: «int»", "row.name += «string»"],
    "m": ["m[«string»] += «int»", "m[«string»]: «int», drop m[«string»]", "drop m[«string»]", "m[«string»] -= «int», m[«string»] += «int»"],
    "by": ["by[«int»].q += «int»", "by[«int»]: «row»", "by[«int»].inner.o.z: «string»", "by[«int»].q: «int», by[«int»]: «row»"],
    "groups": ["groups[«string»]: «list<int>»"], "tags": ["tags: add(view.tags, «string»)"],
    "xs": ["xs: take_last([...view.xs, «int»], 12)"], "rows": ["rows: take([«row», ...view.rows], 9)"],
}  # fmt: skip
_FUNCTIONS = {
    "f1": ("fn f1(a: int, r: Row) -> int", "int", {"a": "int", "r": "row"}),
    "f2": (
        "fn f2(s: string, m: map<string, int>, r: Row) -> string", "string",
        {"s": "string", "m": "map<string,int>", "r": "row", "f1(length(m), r)": "int"},
    ),
    "f3": (
        "fn f3(xs: list<int>, d: decimal, r: Row) -> Row", "row",
        {"xs": "list<int>", "d": "decimal", "r": "row", "f1(count(xs), r)": "int", "f2(r.note, r.inner.m, r)": "string"},
    ),
}  # fmt: skip
_CALLS = {"f1(e.n, e.row)": "int", "f2(e.s, e.m, e.row)": "string", "f3(e.xs, e.any, e.row)": "row"}
_SMALL = "{ id: string, n: int, opt?: int }"
_SMALL_SCOPE = {"e.id": "string", "e.n": "int", "e.opt": "int?"}
_COPIED = {name: f"e.{name}" for name in re.findall(r"(\w+)\??: ", FIELDS)}  # an event of these, as it is
_REPLACED = {"n": "int", "s": "string", "flag": "bool", "text": "string?", "row": "row", "xs": "list<int>", "k": "int"}
_ROUTES = ['"a"', "key(e.k)", '"r{e.k}"', "e.text", "(if e.flag then none else e.late)", "key(e.color, e.flag)", "e.s"]
_ROUTES_OF_ITEMS = {
    "row": ["x.name", "key(x.color)", "x.note", "(if x.q > 1 then none else x.name)"],
    "int": ["key(x)", '"a{x}"'],
    "string": ["x", '"s{x}"'],
}

_REST = {
    type_: [[one for one in group if not re.search(r"\be\.|\bmeta\.", one)] for group in groups]
    for type_, groups in PRODUCTIONS.items()
}
OVER_NOTHING = Grammar(_REST)


class Run(NamedTuple):
    """A program, the limits to run it within, and events: their types and payloads."""

    text: str
    limits: Limits
    events: list[tuple[str, str]]


def run(random: Random) -> Run:
    """A program, most of the time one that checks, and all that a run of it needs."""
    return Run(_Program(random).text(), _limits(random), [_event(random) for _ in range(random.randrange(3, 8))])


def _limits(random: Random) -> Limits:
    return Limits(
        gas=random.choice([200_000, 200_000, 200_000, random.randrange(40, 4_000)]),
        route_gas=random.choice([10_000, 10_000, 10_000, random.randrange(40, 600)]),
        alloc=random.choice([1_000_000, 1_000_000, random.randrange(1_500)]),
        ids_per_event=random.choice([64, 64, 2]),
        view_bytes=random.choice([1 << 20, 1 << 20, 200]),
    )


def _event(random: Random) -> tuple[str, str]:
    name = random.choice(["In", "In", "In", "Also", "also-this", "Small", "Other", "Old", "Old", "Medium"])
    if name in ("Small", "Medium"):
        return name, json.dumps({"id": random.choice(["a", "0", "r1", ""]), "n": random.randrange(-3, 9)})
    if random.random() < 0.1:
        return name, spoilt(random, event(random)).encode("utf-8", "replace").decode()
    return name, json.dumps(event(random))


class _Program:
    """One program as it is written."""

    def __init__(self, random: Random) -> None:
        self.random = random
        fields = random.sample(_VIEW, random.randrange(2, 9))
        self._declared = [declared for declared, _type in fields]
        self._fields = {re.split(r"[?:]", declared)[0]: type_ for declared, type_ in fields}
        self._required = {name for name in self._fields if name in ("total", "at", "row")}
        self._routes: set[tuple[str, str]] = set()
        self._functions = [name for name in _FUNCTIONS if random.random() < 0.6]

    def text(self) -> str:
        random = self.random
        handlers = [self._handler() for _ in range(random.randrange(1, 5))]
        functions = []
        for name in self._functions:
            head, type_, scope = _FUNCTIONS[name]
            functions.append(f"{head} = {self._write(OVER_NOTHING, type_, self._known(scope))}\n")
        also = f'event Also from "also-this" | "Also" {{{FIELDS}}}{self._was_old(self._copy)}\n'
        in_, small = self._was_old(self._copy), self._was_old(self._small)
        small += self._was("Medium", self._small, OVER_NOTHING, _SMALL_SCOPE)
        declarations = [
            f"event In {{{FIELDS}}}{in_}\n", also if any("Also as e" in one for one in handlers) else "",
            f"event Small {_SMALL}{small}\nevent Old {{{FIELDS}}}\n",
            f"event Medium {_SMALL}{self._was_old(self._small)}\n", TYPES,
            f"view Out {{ {', '.join(self._declared)} }}\n", *functions,
        ]  # fmt: skip
        return "proj 1\nprojection generated\n" + "".join(declarations) + "".join(handlers)

    def _was_old(self, record: Callable[[Grammar, Mapping[str, str]], str]) -> str:
        return self._was("Old", record, OVER_EVENT, self._known(_CALLS))

    def _was(
        self, old: str, record: Callable[[Grammar, Mapping[str, str]], str], grammar: Grammar, scope: Mapping[str, str]
    ) -> str:
        """How an event is made of an old form, in some programs."""
        random = self.random
        if random.random() < 0.5:
            return ""
        arms = []
        for _ in range(random.choice([0, 0, 1, 2])):
            arms.append(f"when {self._write(grammar, 'bool', scope)} => {record(grammar, scope)}")
        if not arms:
            return f" was {old} as e => {record(grammar, scope)}"
        return "\n  ".join([f" was {old} as e", *arms, *[f"else => {record(grammar, scope)}"] * random.randrange(2)])

    def _small(self, grammar: Grammar, scope: Mapping[str, str]) -> str:
        """A record of `Small`, or of `Medium`."""
        id_ = self.random.choice(['"a"', self._write(grammar, "string", scope)])
        n, opt = self._write(grammar, "int", scope), self._write(grammar, "int?", scope)
        return self.random.choice([f"{{ id: {id_}, n: {n}, opt: {opt} }}", f"let kept = {n}; {{ id: {id_}, n: kept }}"])

    def _copy(self, grammar: Grammar, scope: Mapping[str, str]) -> str:
        """A record of `In`, or of `Also`: that of `Old`, with something else in it."""
        changed = self.random.sample(list(_REPLACED), 2)
        written = {name: self._write(grammar, _REPLACED[name], scope) for name in changed}
        return "{ " + ", ".join(f"{name}: {value}" for name, value in {**_COPIED, **written}.items()) + " }"

    def _known(self, scope: Mapping[str, str]) -> dict[str, str]:
        """A scope without calls of functions that this program does not have."""
        missing = [f"{name}(" for name in _FUNCTIONS if name not in self._functions]
        return {text: type_ for text, type_ in scope.items() if not any(one in text for one in missing)}

    def _write(
        self, grammar: Grammar, type_: str, scope: Mapping[str, str], root: str | None = None,
        numbers: Iterator[int] | None = None,
    ) -> str:  # fmt: skip
        return grammar.write(self.random, type_, self.random.choice([0, 1, 1, 2, 3]), scope, root, numbers)

    def _handler(self) -> str:
        random = self.random
        events = random.choice(["In", "In", "In", "In, Also", "Also", "Small", "*"])
        target = random.choice(["to", "to", "creates", "updates"])
        grammar, scope = OVER_EVENT, self._known(_CALLS)
        routes, tests = (
            _ROUTES,
            ["e.flag and «bool»", "e.k > «int» or «bool»", "e.s != «string»", "e.text == none and «bool»"],
        )
        if events == "Small":
            grammar, scope = OVER_NOTHING, _SMALL_SCOPE
            routes, tests = ["e.id", "key(e.n)", '"a"'], ["e.n > «int»", "e.opt == none and «bool»"]
        elif events == "*":
            grammar, scope = OVER_NOTHING, {"e": "json", "e.a": "json?"}
            routes, tests = ['"a"', "meta.type", 'narrow(e.s) ?? "a"'], ["e.a == none and «bool»", "e.a == «json?»"]
        loop = ""
        if random.random() < 0.3:
            item = random.choice(list(_ROUTES_OF_ITEMS))
            source = random.choice([f"list<{item}>", f"set<{item}>"] if item != "row" else ["list<row>"])
            loop = f" for x in {self._write(grammar, source, scope)}"
            scope = {**scope, "x": item}
            if random.random() < 0.5:
                loop += f" if {self._write(grammar, 'bool', scope)}"
            routes = _ROUTES_OF_ITEMS[item]
        free = [one for one in routes if (events, one) not in self._routes]  # one of a type may not go there twice
        route = random.choice(free) if free and random.random() < 0.9 else self._write(grammar, "string", scope)
        self._routes.add((events, route))
        results = self._results(grammar, target, {**scope, "id": "string"}, tests)
        return f"on {events} as e{loop} {target} {route}{results}\n"

    def _results(self, grammar: Grammar, target: str, scope: Mapping[str, str], tests: list[str]) -> str:
        random, there = self.random, {f"view.{name}": type_ for name, type_ in self._fields.items()}
        arms = []
        if target == "to" and random.random() < 0.8:
            first = random.choice([self._new(grammar, scope), self._new(grammar, scope), "keep"])
            arms.append(f"when view == none => {first}")
            target = "updates"
        if target == "updates":
            scope = {**scope, **there}
        for _ in range(random.choice([0, 0, 1, 2])):
            condition = self._write(grammar, "bool", scope, random.choice(tests))
            arms.append(f"when {condition} => {self._result(grammar, target, scope)}")
        last = self._result(grammar, target, scope)
        if not arms:
            return f" => {last}"
        return "\n  " + "\n  ".join([*arms, *([f"else => {last}"] if random.random() < 0.8 else [])])

    def _result(self, grammar: Grammar, target: str, scope: Mapping[str, str]) -> str:
        random = self.random
        if (chance := random.random()) < 0.06:
            return random.choice(["keep", "delete"])
        if chance < 0.1:
            return f'fail("E1", {self._write(grammar, "string", scope)})'
        if target == "creates":
            return self._new(grammar, scope)
        if target == "to":
            return f"(view ?? {self._new(grammar, scope)}) with {self._changes(grammar, scope)}"
        if chance < 0.25:
            condition = self._write(grammar, "bool", scope)
            return f"if {condition} then view else view with {self._changes(grammar, scope)}"
        if chance < 0.35:
            return f"let kept: Out = {self._new(grammar, scope)}; kept"
        return f"view with {self._changes(grammar, scope)}"

    def _new(self, grammar: Grammar, scope: Mapping[str, str]) -> str:
        chosen = [name for name in self._fields if name in self._required or self.random.random() < 0.4]
        numbers = count()
        values = (f"{name}: {self._write(grammar, self._fields[name], scope, None, numbers)}" for name in chosen)
        return "{ " + ", ".join(values) + " }"

    def _changes(self, grammar: Grammar, scope: Mapping[str, str]) -> str:
        random, numbers = self.random, count()
        changes = []
        for name in random.sample(list(self._fields), random.randrange(1, min(4, len(self._fields)) + 1)):
            of_old = [one for one in _UPDATES.get(name, ()) if "view." not in one or f"view.{name}" in scope]
            root = random.choice([*of_old, f"{name}: «{self._fields[name]}»"])
            changes.append(self._write(grammar, self._fields[name], scope, root, numbers)[1:-1])
        return "{ " + ", ".join(changes) + " }"
