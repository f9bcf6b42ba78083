"""Comparisons are symmetric: `a == b` checks where `b == a` does, and they are equal; also inside what holds values."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import pytest
from language_support import Expression, plenty

from projection.lang import types as ty
from projection.lang.check.checker import scope_of
from projection.lang.check.filters import checked_filter
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.lang.values.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.lang.check.checker import Scope

FIELDS = {
    "flag": ("bool", True), "n": ("int", 1), "d": ("decimal(2)", 1), "any": ("decimal", 1), "s": ("string", "a"),
    "short": ("string(5)", "a"), "data": ("bytes", "YQ=="), "day": ("date", "2024-02-29"),
    "at": ("timestamp", "2024-02-29T00:00:00Z"), "took": ("duration", "PT1S"), "hue": ("enum(a, b)", "a"),
    "tone": ("enum(a, c, ...)", "a"), "rank": ("enum(x, y)", "x"), "opt": ("int?", 1), "cost": ("decimal(2)?", 1),
    "note": ("string?", None), "j": ("json", 1), "row": ("Row", {"n": 1}), "ns": ("list<int>", [1]),
    "ds": ("list<decimal(2)>", [1]), "texts": ("list<string>", ["a"]), "hues": ("list<enum(a, b)>", ["a"]),
    "ranks": ("list<enum(x, y)>", ["x"]), "nested": ("list<list<int>>", [[1]]), "deep": ("list<list<decimal>>", [[1]]),
    "ids": ("set<int>", [1]), "sums": ("set<decimal>", [1]), "tags": ("set<string>", ["a"]),
    "kinds": ("set<enum(a, b)>", ["a"]), "m": ("map<string, int>", {"a": 1}), "md": ("map<string, decimal>", {"a": 1}),
    "by": ("map<enum(a, b), int>", {"a": 1}), "rows": ("list<Row>", [{"n": 1}]), "js": ("list<json>", [1]),
    "maybe": ("list<int>?", [1]),
}  # fmt: skip
LITERALS = (
    "true", "1", "1.0", "2.50", "-1", '"a"', '"x"', "none", "1s", "[]", "[1]", "[1.0]", "[2, 1.0]", '["a"]',
    '["x", "y"]', "[[1]]", "[[1.0]]", "[[]]", "{}", '{["a"]: 1}', '{["a"]: 1.0}', "{ n: 1 }", "[{ n: 1 }]", "[{}]",
    "set([1])", "set([1.0])", "[x for x in [1]]", "[true]",
)  # fmt: skip
DECLARED = ", ".join(f"{name}{'?' if of.endswith('?') else ''}: {of.rstrip('?')}" for name, (of, _) in FIELDS.items())
ROW = "type Row { n: int = 1, price: decimal(2) = 0.00 }\n"
EVENT = json.dumps({name: value for name, (_, value) in FIELDS.items() if value is not None})
SIDES = (*(f"view.{name}" for name in FIELDS), *LITERALS)
HEAD = "proj 1\nprojection p\nevent E { id: string }\n"
VIEW = f"{ROW}view V {{ {DECLARED} }}\non E as e to e.id => keep\n"


@cache
def scope() -> Scope:
    return scope_of(Source("p.proj", HEAD + VIEW))


def checks(condition: str) -> bool:
    """Whether it is a condition on a view, as a filter of a query is one."""
    try:
        checked_filter(scope(), condition)
    except ProgramInvalidError:
        return False
    return True


def outcomes(conditions: list[str]) -> list[bool]:
    """What conditions come to, in one program; both executors agree."""
    texts = ", ".join(f"({one})" for one in conditions).replace("view.", "e.")
    run = Expression(f"[{texts}]", f"event In {{ {DECLARED} }}\n{ROW}")
    interpreted, compiled = (json.loads(encode(run.run(EVENT, plenty(), execution))) for execution in Execution)
    assert interpreted == compiled
    return list(interpreted)


def both_ways(pairs: Iterable[tuple[str, str]], operator: str = "==") -> list[tuple[str, str]]:
    """The pairs that can be compared; none of them in one order only."""
    found = []
    for one, other in pairs:
        forth, back = checks(f"{one} {operator} {other}"), checks(f"{other} {operator} {one}")
        assert forth == back, (one, other)
        found += [(one, other)] * forth
    return found


def test_what_can_be_compared_is_equal_in_both_orders() -> None:
    pairs = both_ways(combinations_with_replacement(SIDES, 2))
    assert len(pairs) > 200
    for start in range(0, len(pairs), 90):
        some = pairs[start : start + 90]
        assert outcomes([f"{a} == {b}" for a, b in some]) == outcomes([f"{b} == {a}" for a, b in some])
        assert outcomes([f"{a} != {b}" for a, b in some]) == [
            not one for one in outcomes([f"{a} == {b}" for a, b in some])
        ]


def test_a_value_is_in_a_list_of_what_it_is_equal_to() -> None:
    """`a in [b]` is `a == b`; beside an enum, what is listed is of that enum, and no other text."""
    fields = [f"view.{name}" for name, (of, _) in FIELDS.items() if not of.endswith("?") and "json" not in of]
    pairs = list(product(fields, fields))
    known = [(a, b) for a, b in pairs if checks(f"{a} in [{b}]")]
    for a, b in pairs:
        is_enum = FIELDS[a.removeprefix("view.")][0].startswith("enum")
        assert ((a, b) in known) == checks(f"{a} == {b}") or (is_enum and (a, b) not in known), (a, b)
    for start in range(0, len(known), 90):
        some = known[start : start + 90]
        equal = outcomes([f"{a} == {b}" for a, b in some])
        assert equal == outcomes([f"{a} in [{b}]" for a, b in some])
        assert equal == outcomes([f"index_of([{b}], {a}) != none" for a, b in some])


def test_which_type_comes_first_does_not_matter_to_what_is_either() -> None:
    types = [scope().checked.view.fields[name].type for name in FIELDS]
    for one, other in product(types, types):
        assert ty.join(one, other) == ty.join(other, one)
        assert ty.comparable(one, other) == ty.comparable(other, one)


@pytest.mark.parametrize("text", ["1", "1.0", '"a"', '"b"', "true"])
def test_a_case_takes_what_is_equal_to_it(text: str) -> None:
    for side in ("view.n", "view.d", "view.any", "view.s", "view.hue", "view.tone", "view.flag"):
        matched = f"match {side} {{ {text} => true, _ => false }}"
        if checks(f"{side} == {text}"):
            assert outcomes([matched]) == outcomes([f"{side} == {text}"])
        else:
            assert not checks(matched)
