"""Selecting leaves what the paths lead to, in the view's own shape and bytes, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from view_schemas import program_of, stored, values, views

from projection.errors import StorageDamagedError
from projection.query.errors import QueryInvalidError
from projection.query.schema import ViewSchema
from projection.query.selection import selected

PROGRAM = """
proj 1
projection orders
event Placed { id: string, lines: list<Line> }
type Line { sku: string from "the-sku", price: decimal(8), to?: string }
view Order {
  total: decimal(2), days: map<date, int>, labels: map<string, Line>, lines: list<Line>, grid: list<list<Line>>, more?: Line,
  other: json, type: string, tags: set<string>,
}
on Placed as e to e.id => keep
"""
LINE = b'{"price":0.00000001,"the-sku":"\\u00e9","to":null}'
VIEW = (
    b'{"days":{"2001-01-01":1,"2001-01-02":2},"grid":[[%b],[]],"labels":{"a.b":%b,"c":%b},"lines":[%b,%b],"more":null,'
    b'"other":{"x":1},"tags":["a"],"total":1.10,"type":"t"}' % (LINE, LINE, LINE, LINE, LINE)
)
PRICE = b'{"price":0.00000001}'


def schema() -> ViewSchema:
    return ViewSchema.of("orders.proj", PROGRAM)


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        ([("type",), ("total",)], b'{"total":1.10,"type":"t"}'),
        ([("lines", "price")], b'{"lines":[%b,%b]}' % (PRICE, PRICE)),
        ([("lines", "sku"), ("lines", "to")], b'{"lines":[{"the-sku":"\\u00e9","to":null},{"the-sku":"\\u00e9","to":null}]}'),
        ([("lines", "price"), ("lines",)], b'{"lines":[%b,%b]}' % (LINE, LINE)),
        ([("lines",), ("lines", "price")], b'{"lines":[%b,%b]}' % (LINE, LINE)),
        ([("grid", "price")], b'{"grid":[[%b],[]]}' % PRICE),
        ([("labels", "a.b", "price"), ("labels", "d")], b'{"labels":{"a.b":%b}}' % PRICE),
        ([("labels", "c")], b'{"labels":{"c":%b}}' % LINE),
        ([("days", "2001-01-02")], b'{"days":{"2001-01-02":2}}'),
        ([("more", "price")], b'{"more":null}'),
        ([("other",), ("tags",)], b'{"other":{"x":1},"tags":["a"]}'),
        ([("$id",)], b"{}"),
        ([("$id",), ("type",)], b'{"type":"t"}'),
    ],
)  # fmt: skip
def test_what_the_paths_lead_to_stays_byte_for_byte(paths, left):
    assert left == selected(schema(), paths)(VIEW)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (("lines", 0), "one item of a list cannot be selected"),
        (("other", "x"), "a part of json cannot be selected"),
        (("line",), "did you mean `lines`?"),
        (("type", "x"), "nothing is inside it"),
        (("days", "yesterday"), "is no date"),
    ],
)
def test_a_path_that_cannot_be_selected_is_refused_with_its_place(path, says):
    with pytest.raises(QueryInvalidError) as refused:
        selected(schema(), [("type",), path])

    assert "/select/1" == refused.value.pointer
    assert says in str(refused.value)


def test_a_stored_view_that_is_none_is_damage_of_the_store():
    with pytest.raises(StorageDamagedError, match="orders"):
        selected(schema(), [("type",)])(b'{"type":')


def within(value: Any, kind: Any, paths: list[tuple[str, ...]]) -> Any:
    """What paths of fields leave of a value, by plain Python."""
    if value is None or () in paths:
        return value
    match kind:
        case ("opt", inner):
            return within(value, inner, paths)
        case ("list", inner):
            return [within(item, inner, paths) for item in value]
        case ("record", fields):
            kinds = dict(fields)
            chosen = {path[0] for path in paths}
            return {
                name: within(one, kinds[name], [path[1:] for path in paths if path[0] == name])
                for name, one in value.items()
                if name in chosen
            }
    raise AssertionError(kind)


@st.composite
def field_paths(draw: Any, kind: Any) -> tuple[str, ...]:
    path: list[str] = []
    while True:
        while kind[0] in ("opt", "list"):
            kind = kind[1]
        if kind[0] != "record" or (path and not draw(st.integers(0, 2))):
            return tuple(path)
        name, kind = draw(st.sampled_from(list(kind[1])))
        path.append(name)


@st.composite
def selections(draw: Any) -> tuple[Any, Any, list[tuple[str, ...]]]:
    kind = draw(views)
    return kind, draw(values(kind)), draw(st.lists(field_paths(kind), min_size=1, max_size=4))


@settings(max_examples=100)
@given(selections())
def test_any_selection_is_what_plain_python_leaves(selection):
    kind, view, paths = selection

    left = selected(ViewSchema.of("generated", program_of(kind)), paths)(stored(view))

    assert within(json.loads(stored(view), parse_float=Decimal), kind, paths) == json.loads(left, parse_float=Decimal)
