"""Random expressions that check, random events, and programs that are nearly right: food for property tests."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from language_support import CASES, read_cases

if TYPE_CHECKING:
    from random import Random

PRELUDE = """event In {
  n: int, k: int, d: decimal(2), any: decimal, s: string, flag: bool, day: date, at: timestamp, color: enum(red, green, blue),
  opt?: int, text?: string, more?: Row, xs: list<int>(6), texts: list<string>(6), rows: list<Row>(4), m: map<string, int>(6),
  by: map<int, Row>(3), days: map<date, string>(3), row: Row,
}
type Row { q: int, price: decimal(2), name: string = "", r?: int, tags: list<string>(4) = [], inner: Inner }
type Inner { a: int, m: map<string, int>(4) = {}, o?: Inmost }
type Inmost { z: string }
fn twice(n: int) -> int = n * 2
fn or_zero(n: int?) -> int = n ?? 0
fn named(r: Row, s: string) -> Row = r with { name: s, inner.a += 1 }
fn total(rs: list<Row>) -> decimal(2) = sum(r.price for r in rs)
"""

# Productions by type: `{type}` stands for an expression of it, `{new}` for a fresh variable, `{int:new}` for one in
# whose scope the rest stands. What does not check after all is thrown away.
PRODUCTIONS: dict[str, list[str]] = {
    "int": [
        "e.n",
        "e.k",
        "0",
        "1",
        "-3",
        "7",
        "9223372036854775807",
        "-9223372036854775808",
        "meta.sequence",
        "{int} + {int}",
        "{int} - {int}",
        "{int} * {int}",
        "-{int}",
        "div({int}, {int})",
        "rem({int}, {int})",
        "abs({int})",
        "{int?} ?? {int}",
        "{int?}!",
        "count({ints})",
        "sum({ints})",
        "length({str})",
        "length({map})",
        "year({date})",
        "month({date})",
        "if {bool} then {int} else {int}",
        "let a# = {int}; a# + {int}",
        "twice({int})",
        "or_zero({int?})",
        "{row}.q",
        "match {int} {{ 0 => {int}, n# if n# > {int} => n#, _ => {int} }}",
        "match {int?} {{ none => {int}, n# => n# * 2 }}",
        "count({rows})",
        "sum(r#.q for r# in {rows} if {bool})",
        'match {color} {{ "red" => {int}, "green" | "blue" => {int} }}',
        "{row}.inner.a",
        'fail({str}, "on purpose")',
        "match {bool} {{ true => {int}, false => {int} }}",
    ],
    "int?": [
        "e.opt",
        "none",
        "{int}",
        "{ints}[{int}]",
        "{map}[{str}]",
        "min({ints})",
        "max({ints})",
        "first({ints})",
        "{row}.r",
        "e.more?.q",
        "{int?} ?? {int?}",
        "if {bool} then {int?} else {int?}",
        "e.more?.inner.m[{str}]",
        "e.by[{int}]?.q",
    ],
    "dec": [
        "e.d",
        "e.any",
        "0.00",
        "1.5",
        "-2.25",
        "99999999999999999999.99",
        "{dec} + {dec}",
        "{dec} - {int}",
        "{dec} * {dec}",
        "-{dec}",
        "abs({dec})",
        'round({dec}, 2, "half_up")',
        'div({dec}, {dec}, 4, "half_even")',
        "sum(r#.price for r# in {rows})",
        "if {bool} then {dec} else {int}",
        "total({rows})",
        "max(r#.price for r# in {rows}) ?? {dec}",
        "{row}.price",
    ],
    "str": [
        "e.s",
        '""',
        '"aé😀"',
        '"{{{int}}}-{{{dec}}}"',
        "{str} + {str}",
        "e.text ?? {str}",
        "text({int})",
        "text({dec})",
        "key({int}, {str})",
        "upper({str})",
        "lower({str})",
        "trim({str})",
        "{row}.name",
        "if {bool} then {str} else {str}",
        "first({texts}) ?? {str}",
        "{color} + {str}",
        "meta.tenant_id",
        "let s# = {str}; s# + s#",
        "text({date})",
        "e.days[{date}] ?? {str}",
    ],
    "bool": [
        "true",
        "false",
        "e.flag",
        "not {bool}",
        "{bool} and {bool}",
        "{bool} or {bool}",
        "{int} < {int}",
        "{dec} >= {int}",
        "{str} <= {str}",
        "{date} > {date}",
        "{int} == {int}",
        "{dec} != {dec}",
        "{str} == {str}",
        "{int?} == {int?}",
        "{int?} == none",
        "{ints} == {ints}",
        "{map} == {map}",
        "{row} == {row}",
        "{int} in {ints}",
        "{str} not in {map}",
        "{str} in {str}",
        "{row} in {rows}",
        '{color} == "red"',
        "any(x# > 0 for x# in {ints})",
        "all({bools})",
        "starts_with({str}, {str})",
        "ends_with({str}, {str})",
        "e.opt != none and e.opt > {int}",
        "e.at < meta.time",
        "{bool} == {bool}",
    ],
    "bools": ["[]", "[{bool}, {bool}]", "[x# > 0 for x# in {ints}]"],
    "ints": [
        "e.xs",
        "[]",
        "[{int}]",
        "[{int}, {int}]",
        "[...{ints}, {int}]",
        "[...{ints}, ...{ints}]",
        "[x# * {int} for x# in {ints}]",
        "[x# for x# in {ints} if {bool}]",
        "values({map})",
        "keys(e.by)",
        "take({ints}, {int})",
        "take_last({ints}, {int})",
        "[length(t#) for t# in {texts}]",
        "[v# for k#, v# in {map}]",
        "if {bool} then {ints} else {ints}",
        "let l# = {ints}; [...l#, ...l#]",
    ],
    "texts": [
        "e.texts",
        "[{str}]",
        "keys({map})",
        '["{{x#}}" for x# in {ints}]',
        "{row}.tags",
        "[...{texts}, {str}]",
        "[t# for t# in {texts} if t# != {str}]",
    ],
    "map": [
        "e.m",
        "{{[{str}]: {int}}}",
        "{{...{map}, [{str}]: {int}}}",
        "{{[t#]: {int} for t# in {texts}}}",
        "{{[k#]: v# + {int} for k#, v# in {map}}}",
        "{{[k#]: v# for k#, v# in {map} if {bool}}}",
        "{row}.inner.m",
        "if {bool} then {map} else {map}",
    ],
    "row": [
        "e.row",
        "named({row}, {str})",
        "{row} with {{ q: {int} }}",
        "{row} with {{ q += {int}, name: {str} }}",
        "{row} with {{ inner.m[{str}] : {int} }}",
        "{row} with {{ inner.a -= {int}, drop inner.m[{str}], r: {int?} }}",
        "{row} with {{ inner.m[{str}] += {int} }}",
        "{row} with {{ inner.o.z: {str} }}",
        "e.more ?? {row}",
        "e.by[{int}] ?? {row}",
        "if {bool} then {row} else {row}",
        "first({rows})!",
        'let r#: Row = {{ q: {int}, price: round({dec}, 2, "up"), inner: {{ a: {int} }} }}; r#',
    ],
    "rows": [
        "e.rows",
        "[{row}]",
        "[...{rows}, {row}]",
        "[r# with {{ q: {int} }} for r# in {rows}]",
        "values(e.by)",
        "[r# for r# in {rows} if r#.q < {int}]",
    ],
    "date": ["e.day", "meta.date"],
    "color": ["e.color", '(if {bool} then e.color else "red")'],
}


def expression(random: Random, type_: str, depth: int = 5) -> str:
    """An expression of the type, most of the time one that checks."""
    counter = [0]

    def one(wanted: str, left: int) -> str:
        choices = [text for text in PRODUCTIONS[wanted] if left > 0 or "{" not in text.replace("{{", "")]
        counter[0] += 1
        template = random.choice(choices).replace("#", str(counter[0]))
        parts = re.split(r"(\{\{|\}\}|\{[a-z?]+\})", template)
        filled = (
            {"{{": "{", "}}": "}"}.get(part) or (one(part[1:-1], left - 1) if part.startswith("{") else part)
            for part in parts
        )
        text = "".join(filled)
        return f"({text})" if re.search(r"\W", template) and not re.fullmatch(r"[\w.]+|\".*\"", text) else text

    return one(type_, depth)


def event(random: Random) -> dict[str, Any]:
    """The payload of an event `In`."""
    text = lambda: random.choice(["", "a", "b", "k", "aé", "x" * 40, "{}", "A b "])  # noqa: E731
    number = lambda: random.choice([0, 1, 2, -1, 5, 2**63 - 1, -(2**63), random.randrange(-100, 100)])  # noqa: E731
    price = lambda: random.choice([0, 1, 2.5, -0.25, 19.99, 1e2])  # noqa: E731
    several = lambda make, most: [make() for _ in range(random.randrange(most + 1))]  # noqa: E731
    day = lambda: random.choice(["2024-02-29", "1999-12-31", "2024-03-01"])  # noqa: E731

    def entries(make_key: Any, make: Any, most: int) -> dict[str, Any]:
        return {make_key(): make() for _ in range(random.randrange(most + 1))}

    def row() -> dict[str, Any]:
        found = {"q": number(), "price": price(), "name": text(), "tags": several(text, 3)}
        inner = {"a": number(), "m": entries(text, number, 3), "o": random.choice([None, {"z": text()}])}
        return found | {"r": random.choice([None, 1, number()]), "inner": inner}

    return {
        "n": number(), "k": random.randrange(-2, 4), "d": price(), "any": price(), "s": text(), "flag": random.random() < 0.5,
        "day": day(), "at": day() + "T12:00:00.5Z", "color": random.choice(["red", "green", "blue"]),
        "opt": random.choice([None, number()]), "text": random.choice([None, text()]), "more": random.choice([None, row()]),
        "xs": several(number, 6), "texts": several(text, 6), "rows": several(row, 4), "m": entries(text, number, 5),
        "by": entries(lambda: str(random.randrange(4)), row, 3), "days": entries(day, text, 3), "row": row(),
    }  # fmt: skip


def spoilt(random: Random, payload: dict[str, Any]) -> str:
    """The payload as JSON, with something in it that perhaps does not fit."""
    text = json.dumps(payload)
    for _ in range(random.randrange(4)):
        strange = random.choice(["null", "1e400", "1e99999999999999999999", "-0.0", '"\\ud800"', "[", "1.5", '"x"', "9" * 50, "{}", "[[]]", '{"1":1,"01":2}', "true", "\u2028", '"' + "y" * 70_000 + '"'])  # fmt: skip
        at = random.randrange(len(text))
        end = at + random.choice([0, 0, 1, 2, 5])
        found = re.compile(r'-?[0-9.]+|"[^"]*"|null|true|false').search(text, at)
        text = text[: found.start()] + strange + text[found.end() :] if found and random.random() < 0.7 else text[:at] + text[end:]  # fmt: skip
    return text


# --- programs that are nearly right ----------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?|\.\.\.|=>|->|==|!=|<=|>=|\+=|-=|\?\?|\?\.|\s+|#[^\n]*|.',
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
