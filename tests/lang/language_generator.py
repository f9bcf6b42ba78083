"""Random expressions that check, of every form and every operation, random events, and programs that are nearly right.

`language_productions.txt` holds what expressions are made of: a line is a text in which `«type»` stands for an
expression of that type, `«type|x#:type;y#:type»` for one in whose scope these variables stand besides, and `#` for a
number that no other line of the same expression has.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from language_support import CASES, read_cases

from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.operations import Operation, Pattern, is_variable, parse_signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    Productions = Mapping[str, Sequence[Sequence[str]]]  # by type; of the lines of one group, one is as good as another

TYPES = """type Row {
  q: int, price: Amount, name: string = "", r?: int, tags: list<string>(4) = [], inner: Inner, marks: set<string>(3) = [],
  data: bytes(8) = utf8("-"), took?: duration, color: Color = "red", note: string(12) = "",
}
type Inner { a: int, m: map<string, int>(4) = {}, o?: Inmost }
type Inmost { z: string }
type Amount = decimal(2)
type Color = enum(red, green, blue)
fn twice(n: int) -> int = n * 2
fn or_zero(n: int?) -> int = n ?? 0
fn named(r: Row, s: string) -> Row = r with { name: s, inner.a += 1 }
fn total(rs: list<Row>) -> Amount = sum(r.price for r in rs)
fn worth(rs: list<Row>, least: decimal) -> list<Row> = [r by r.price desc, r.name for r in rs if r.price >= least]
"""
FIELDS = """
  n: int from "n" | "number", k: int, d: decimal(2), any: decimal, s: string, flag: bool, day: date, at: timestamp,
  took: duration, data: bytes(40), color: Color, kind: enum(a, b, ...), j: json, late: string = "-", opt?: int,
  text?: string, cost?: decimal(2), due?: date, maybe?: json, pause?: duration, seen?: timestamp, blob?: bytes(9),
  more?: Row, xs: list<int>(6), texts: list<string>(6), rows: list<Row>(4), ds: list<decimal(2)>(5), flags: list<bool>(4),
  days: list<date>(4), times: list<duration>(4), m: map<string, int>(6), by: map<int, Row>(3), notes: map<date, string>(3),
  counts: map<Color, int>(3), tags: set<string>(6), ids: set<int>(6), sums: set<decimal>(4), row: Row,
"""
PRELUDE = f"event In {{{FIELDS}}}\n{TYPES}"


# --- expressions -----------------------------------------------------------------------------------------------------

_PLACE = re.compile(r"«([^»|]+)(?:\|([^»]+))?»")
_SCALARS = ("int", "decimal", "string", "bool", "date", "timestamp", "duration", "enum")
_POOLS = {"S": _SCALARS, "scalar": _SCALARS, "E": (*_SCALARS, "row", "list<int>", "bytes")}
_PLAIN = re.compile(r'[\w.]+|"[^"]*"')  # needs no parentheses


def _written() -> Iterator[tuple[str, str]]:
    type_ = ""
    for line in Path(__file__).with_name("language_productions.txt").read_text(encoding="utf-8").splitlines()[3:]:
        if line.endswith(":") and not line.startswith(" "):
            type_ = line[:-1]
        elif line:
            yield type_, line.strip()


def _names(pattern: Pattern) -> set[str]:
    own = {pattern.name} if is_variable(pattern.name) or pattern.name == "scalar" else set()
    return own.union(*map(_names, pattern.arguments))


def _filled(pattern: Pattern, bound: Mapping[str, str]) -> str:
    arguments = ",".join(_filled(one, bound) for one in pattern.arguments)
    name = bound.get(pattern.name, pattern.name) + (f"<{arguments}>" if arguments else "")
    return name + ("?" if pattern.optional and not name.endswith("?") else "")


def _applied(operation: Operation, operands: list[str]) -> str:
    """An operation as programs write it."""
    if operation.scale is not None and operation.name in ("round", "div", "decimal"):  # these are constants
        operands = [{"int": "scale", "string": "mode"}.get(one, one) for one in operands]
    places = [f"«{one}»" for one in operands]
    if operation.name == "[]":
        return "{}[{}]".format(*places)
    if operation.name.isidentifier() and operation.name not in ("in", "not", "negative"):
        return f"{operation.name}({', '.join(places)})"
    symbol = {"negative": "-", "not": "not "}.get(operation.name, operation.name)
    return f" {symbol} ".join(places) if len(places) == 2 else symbol + places[0]


def _of_library(types: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Every record of the library with operands of all types that its signature takes, by the type of its result."""
    plain = [one for one in types if not one.endswith("?") and one not in ("amount", "scale", "mode")]
    for operation in (one for home in (OPERATORS, BUILTINS) for overloads in home.values() for one in overloads):
        parameters, result = parse_signature(operation.signature)
        if parameters[-1].name == "...":
            parameters = (parameters[0], parameters[0])
        variables = sorted(set[str]().union(*map(_names, (*parameters, result))))
        found = defaultdict[str, list[str]](list)
        for chosen in product(*(_POOLS.get(name, plain) for name in variables)):
            bound = dict(zip(variables, chosen, strict=True))
            operands = [_filled(parameter, bound) for parameter in parameters]
            if {*operands, yielded := _filled(result, bound)} <= {*types} - {"enum?"} and yielded != "enum":
                found[yielded].append(_applied(operation, operands))
        yield from found.items()


def _productions() -> dict[str, list[Sequence[str]]]:
    found: dict[str, list[Sequence[str]]] = defaultdict(list)
    for type_, text in _written():
        found[type_].append([text])
    for type_, texts in _of_library(list(found)):
        found[type_].append(texts)
    return dict(found)


PRODUCTIONS: Productions = _productions()
# Every production once: what begins with each in turn leaves nothing out.
ROOTS = [(type_, text) for type_, groups in PRODUCTIONS.items() for group in groups for text in group]


class Grammar:
    """Productions, without those that lead to no end."""

    def __init__(self, productions: Productions) -> None:
        self._heights: dict[str, int] = {}  # how deep an expression of a type is at least
        while True:
            found = dict(self._heights)
            for type_, groups in productions.items():
                heights = [height for group in groups for text in group if (height := self._height(text)) is not None]
                if heights:
                    found.setdefault(type_, min(heights))
            if found == self._heights:
                break
            self._heights = found
        self._groups: dict[str, list[list[str]]] = {}
        self._shortest: dict[str, list[list[str]]] = {}
        for type_, least in self._heights.items():
            kept = [[one for one in group if self._height(one) is not None] for group in productions[type_]]
            self._groups[type_] = [group for group in kept if group]
            self._shortest[type_] = [[one for group in kept for one in group if self._height(one) == least]]

    def _height(self, text: str) -> int | None:
        inner = [self._heights.get(match[1]) for match in _PLACE.finditer(text)]
        return None if None in inner else 1 + max((one for one in inner if one is not None), default=-1)

    def write(
        self,
        random: Random,
        type_: str,
        depth: int,
        scope: Mapping[str, str] | None = None,
        root: str | None = None,
        numbers: Iterator[int] | None = None,
    ) -> str:
        """An expression of a type, most of the time one that checks.

        Args:
            random: what chooses.
            type_: one of the productions'.
            depth: how many productions may stand in one another, as long as there are shorter ones.
            scope: expressions that can be had for nothing, such as variables, and their types.
            root: the production to begin with.
            numbers: what `#` stands for.
        """
        scope, numbers = scope or {}, numbers or count()
        known = [name for name, its in scope.items() if its == type_]
        if root is None and known and random.random() < (0.4 if depth > 0 else 0.8):
            return random.choice(known)
        groups = (self._groups if depth > 0 else self._shortest)[type_]
        text = (root or random.choice(random.choice(groups))).replace("#", str(next(numbers)))

        def fill(match: re.Match[str]) -> str:
            more = dict(pair.split(":", 1) for pair in match[2].split(";")) if match[2] else {}
            return self.write(random, match[1], depth - 1, {**scope, **more}, None, numbers)

        filled = _PLACE.sub(fill, text)
        return filled if _PLAIN.fullmatch(filled) else f"({filled})"


OVER_EVENT = Grammar(PRODUCTIONS)


def expression(random: Random, type_: str, depth: int = 5, root: str | None = None) -> str:
    """An expression of the type over an event `In`, most of the time one that checks; perhaps by a given production."""
    return OVER_EVENT.write(random, type_, depth, root=root)


# --- events ----------------------------------------------------------------------------------------------------------


def event(random: Random) -> dict[str, Any]:
    """The payload of an event `In`."""
    choose = random.choice
    text = lambda: choose(["", "a", "b", "k", "aé", "x" * 40, "{}", "A b ", "12", "2024-02-29", "YQ==", "a:b%"])  # noqa: E731
    number = lambda: choose([0, 1, 2, -1, 5, 2**63 - 1, -(2**63), random.randrange(-100, 100)])  # noqa: E731
    small = lambda: random.randrange(-2, 4)  # noqa: E731
    price = lambda: choose([0, 1, 2.5, -0.25, 19.99, 1e2, 0.01])  # noqa: E731
    day = lambda: choose(["2024-02-29", "1999-12-31", "2024-03-01", "0001-01-01", "9999-12-31"])  # noqa: E731
    instant = lambda: day() + choose(["T12:00:00.5Z", "T23:59:59.999999+00:00", "T12:30:00+02:00"])  # noqa: E731
    span = lambda: choose(["PT0S", "PT90M", "-P1D", "P40DT0.000001S", "PT36H", "P100000000D"])  # noqa: E731
    data = lambda: choose(["", "YQ==", "AP/+", "w6k=", "YWJjZGVmZ2g="])  # noqa: E731
    color = lambda: choose(["red", "green", "blue"])  # noqa: E731
    several = lambda make, most: [make() for _ in range(random.randrange(most + 1))]  # noqa: E731
    maybe = lambda make: choose([None, make()])  # noqa: E731

    def entries(make_key: Any, make: Any, most: int) -> dict[str, Any]:
        return {make_key(): make() for _ in range(random.randrange(most + 1))}

    def row() -> dict[str, Any]:
        found = {"q": choose([number, small])(), "price": price(), "name": text(), "tags": several(text, 3)}
        inner = {"a": small(), "m": entries(text, number, 3), "o": choose([None, {"z": text()}])}
        more = {"marks": several(text, 3), "data": data(), "took": maybe(span), "color": color(), "note": text()[:12]}
        return found | {"r": choose([None, 1, number()]), "inner": inner} | (more if random.random() < 0.7 else {})

    def anything(depth: int = 2) -> Any:
        single = [number, price, text, day, instant, span, data, color, lambda: choose([True, False, None])]
        if not depth or random.random() < 0.3:
            return choose(single)()
        inner = lambda: anything(depth - 1)  # noqa: E731
        return choose([
            lambda: several(inner, 3), lambda: {"a": inner(), "b": {"c": inner()}, "xs": several(small, 4)}, row,
            lambda: {"a": number(), "row": row()}, lambda: several(text, 3), lambda: entries(text, number, 3),
        ])()  # fmt: skip

    found = {
        choose(["n", "n", "number"]): number(), "k": small(), "d": price(), "any": price(), "s": text(),
        "flag": random.random() < 0.5, "day": day(), "at": instant(), "took": span(), "data": data(), "color": color(),
        "kind": choose(["a", "b", "c", ""]), "j": anything() or 0, "opt": maybe(small), "text": maybe(text),
        "cost": maybe(price), "due": maybe(day), "maybe": maybe(anything), "pause": maybe(span), "seen": maybe(instant),
        "blob": maybe(data), "more": maybe(row), "xs": several(choose([number, small]), 6), "texts": several(text, 6),
        "rows": several(row, 4), "ds": several(price, 5), "flags": several(lambda: random.random() < 0.5, 4),
        "days": several(day, 4), "times": several(span, 4), "m": entries(text, number, 5),
        "by": entries(lambda: str(random.randrange(4)), row, 3), "notes": entries(day, text, 3),
        "counts": entries(color, small, 3), "tags": several(text, 6), "ids": several(small, 6), "sums": several(price, 4),
        "row": row(),
    }  # fmt: skip
    for name in ("opt", "maybe", "more", "late", "text"):
        if found.get(name) is None and random.random() < 0.5:
            found.pop(name, None)  # absent, not null
    return found


def spoilt(random: Random, payload: dict[str, Any]) -> str:
    """The payload as JSON, with something in it that perhaps does not fit."""
    text = json.dumps(payload)
    for _ in range(random.randrange(4)):
        strange = random.choice(["null", "1e400", "1e99999999999999999999", "-0.0", '"\\ud800"', "[", "1.5", '"x"', "9" * 50, "{}", "[[]]", '{"1":1,"01":2}', "true", "\u2028", '"PT"', '"P1W"', '"YQ="', "[1,1.0,true]", '{"a":null}', '"9999-12-31T23:59:59.9-23:59"', "1E+600000", "-1e-76", '"' + "y" * 70_000 + '"'])  # fmt: skip
        at = random.randrange(len(text))
        end = at + random.choice([0, 0, 1, 2, 5])
        found = re.compile(r'-?[0-9.]+|"[^"]*"|null|true|false').search(text, at)
        text = text[: found.start()] + strange + text[found.end() :] if found and random.random() < 0.7 else text[:at] + text[end:]  # fmt: skip
    return text


# --- programs that are nearly right ----------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+|ms|[smhd]\b)?|\.\.\.|=>|->|==|!=|<=|>=|\+=|-=|\?\?|\?\.|\?\[|\s+|#[^\n]*|.',
    re.DOTALL,
)


def corpus() -> list[str]:
    """Whole programs of all kinds; every expression of the cases stands in one."""
    programs, expressions = [], []
    for case in (case for path in sorted(CASES.glob("*.cases")) for case in read_cases(path)):
        if case.text.startswith("proj"):
            programs.append(case.text)
        elif case.prelude.strip():
            expressions.append(
                f"proj 1\nprojection p\n{case.prelude}\nview Out {{ x: int = 0 }}\n"
                f'on In as e to "x" =>\n  let unused = ({case.text}\n); {{}}'
            )
    return programs + expressions


def mutated(random: Random, text: str, pool: list[str]) -> str:
    """The program with a few tokens dropped, swapped, repeated or taken from elsewhere."""
    tokens = _TOKEN.findall(text)
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        at, other, chance = random.randrange(len(tokens)), random.randrange(len(tokens)), random.random()
        if chance < 0.2:
            tokens[at : at + random.choice([1, 1, 2, 5])] = [" "]
        elif chance < 0.45:
            tokens[at] = random.choice(pool)
        elif chance < 0.65:
            tokens.insert(at, random.choice(pool))
        elif chance < 0.8:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        else:
            tokens[at:at] = tokens[other : other + random.randrange(8)]
    return "".join(tokens)


def tokens_of(programs: list[str]) -> list[str]:
    """Every token that stands anywhere in the programs."""
    return sorted({token for text in programs for token in _TOKEN.findall(text)})
