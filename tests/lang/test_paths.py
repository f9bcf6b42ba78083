"""Paths of one `with`: either they lead to places that are apart, and each change is made, or nothing is."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import combinations
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st
from language_support import Expression, plenty

from projection.lang.failures import Failure
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution
from projection.lang.values.codec import encode

PRELUDE = """event In { a: string, b: string, c: string, box: Box }
type Box { n: int = 0, m: map<string, int> = {}, mm: map<string, map<string, int>> = {}, r: map<string, Row> = {} }
type Row { x: int = 0, y: int = 0, m: map<string, int> = {} }
"""
BOX: dict[str, Any] = {
    "n": 0,
    "m": {"p": 1, "q": 2},
    "mm": {"p": {"p": 1}, "q": {}},
    "r": {"p": {"x": 1, "y": 1, "m": {"q": 1}}, "q": {"x": 0, "y": 0, "m": {}}},
}
KEYS = ("e.a", "e.b", "e.c", '"p"', '"q"', "v", "e.a + e.b")
SHAPES = {  # what a path ends at: the fields, and where keys stand
    "n": "int", "m": "map", "m[]": "int", "mm[]": "map", "mm[][]": "int", "r[].x": "int", "r[].y": "int",
    "r[].m": "map", "r[].m[]": "int", "r[]": "row",
}  # fmt: skip
WHOLE: dict[str, tuple[str, Any]] = {
    "map": ('{["p"]: 7}', {"p": 7}),
    "row": ('{ x: 7, m: {["q"]: 7} }', {"x": 7, "y": 0, "m": {"q": 7}}),
}


class Change(NamedTuple):
    """One change, as it is drawn."""

    shape: str
    keys: tuple[str, ...]
    operator: str  # `:`, `+=`, `-=` or `drop`

    @property
    def path(self) -> str:
        """The path as it is written."""
        keys = iter(self.keys)
        return "".join(f"[{next(keys)}" if character == "[" else character for character in self.shape)

    def steps(self, values: dict[str, str]) -> tuple[str, ...]:
        """Where it leads, with the keys computed."""
        keys = iter(self.keys)
        parts = self.shape.replace("[]", ".[]").split(".")
        return tuple(values[next(keys)] if part == "[]" else part for part in parts)


def changes() -> st.SearchStrategy[Change]:
    def of(shape: str) -> st.SearchStrategy[Change]:
        keys = st.tuples(*[st.sampled_from(KEYS)] * shape.count("["))
        operators = [":"] + (["+=", "-="] if SHAPES[shape] == "int" else []) + (["drop"] if shape.endswith("]") else [])
        return st.builds(Change, st.just(shape), keys, st.sampled_from(operators))

    return st.sampled_from(sorted(SHAPES)).flatmap(of)


def written(change: Change, number: int) -> str:
    if change.operator == "drop":
        return f"drop {change.path}"
    value = WHOLE[kind][0] if (kind := SHAPES[change.shape]) in WHOLE else str(number)
    return f"{change.path} {change.operator} {value}"


def expected(found: list[Change], values: dict[str, str]) -> dict[str, Any] | str:
    """What must come of the changes, made one after the other on what was there before; or a code."""
    box = deepcopy(BOX)
    for number, change in enumerate(found, 1):
        inside: Any = box
        path = change.steps(values)
        for step in path[:-1]:
            if step not in inside:
                return "R704"
            inside = inside[step]
        if change.operator == "drop":
            inside.pop(path[-1], None)
        elif (kind := SHAPES[change.shape]) in WHOLE:
            inside[path[-1]] = deepcopy(WHOLE[kind][1])
        else:
            signs = {":": (0, 1), "+=": (1, 1), "-=": (1, -1)}
            kept, sign = signs[change.operator]
            inside[path[-1]] = kept * inside.get(path[-1], 0) + sign * number
    return box


def meet(found: list[Change], values: dict[str, str]) -> bool:
    """Whether two changes are one of the same place, or of a place and of what is in it."""
    steps = [change.steps(values) for change in found]
    return any(one == other[: len(one)] or other == one[: len(other)] for one, other in combinations(steps, 2))


def checked(text: str) -> Expression | set[str]:
    """The expression, or the codes of what is wrong with it."""
    try:
        return Expression(text, PRELUDE)
    except ProgramInvalidError as error:
        return {one.code for one in error.diagnostics}


def outcome(run: Expression, payload: str, execution: Execution) -> tuple[Any, int]:
    meter = plenty()
    try:
        return json.loads(encode(run.run(payload, meter, execution))), meter.used
    except Failure as failure:
        return failure.code, meter.used


@settings(max_examples=100)
@given(st.lists(changes(), min_size=1, max_size=5), st.tuples(*[st.sampled_from("pqz")] * 3))
@example([Change("m[]", ("e.a",), "-="), Change("m[]", ("e.b",), "+=")], ("p", "p", "z"))
@example([Change("r[]", ("e.a",), "drop"), Change("r[].m[]", ("e.b", "v"), "+=")], ("p", "p", "z"))
def test_changes_are_all_made_or_none_is(found: list[Change], keys: tuple[str, str, str]) -> None:
    values = dict(zip(("e.a", "e.b", "e.c"), keys, strict=True))
    values |= {'"p"': "p", '"q"': "q", "v": keys[0], "e.a + e.b": keys[0] + keys[1]}
    texts = [written(change, number) for number, change in enumerate(found, 1)]
    text = f"let v = e.a; e.box with {{ {', '.join(texts)} }}"
    wanted = {"R720", "R704"} if meet(found, values) else [expected(found, values)]  # a value may fail before
    run = checked(text)
    if not isinstance(run, Expression):
        assert run == {"T314"}, text
        assert "R720" in wanted, text
        return
    payload = json.dumps({**dict(zip("abc", keys, strict=True)), "box": BOX})
    ends = [outcome(run, payload, execution) for execution in Execution]
    assert ends[0] == ends[1], text
    assert ends[0][0] in list(wanted), text


def test_keys_that_are_known_to_differ_cost_nothing() -> None:
    one = Expression('e.box with { m["p"]: 1, m["q"]: 2 }', PRELUDE)
    assert "apart" not in repr(one.core)
    other = Expression("e.box with { m[e.a]: 1, r[e.a].x: 2 }", PRELUDE)
    assert "apart" not in repr(other.core)


def test_many_keys_are_compared_once_not_each_with_each() -> None:
    updates = ", ".join(f'm["{{e.a}}{number}"]: 1' for number in range(40))
    run = Expression(f"e.box with {{ {updates} }}", PRELUDE)
    assert repr(run.core).count("name='apart'") == 1
