"""A filter takes what it says: both forms, in both executors, against an evaluator in plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from filter_model import NoTextError, Writer, filters, reached, takes
from hypothesis import event, given, settings
from hypothesis import strategies as st
from view_schemas import program_of, stored, typed, values, views

from projection.lang.run.executors import Execution
from projection.model.query_limits import QueryLimits
from projection.query.bounds import bounds_of
from projection.query.comparisons import bounds_of_tree, checked
from projection.query.filters import compile_filter
from projection.query.form import Query
from projection.query.schema import ViewSchema
from projection.query.structured import condition_of

if TYPE_CHECKING:
    from projection.query.bounds import Bound
    from projection.query.filters import CompiledFilter

GAS = 10**9
IDS = st.sampled_from(["a", "ab", "b", "red", "é"])


@st.composite
def questions(draw: Any) -> tuple[Any, list[tuple[str, Any]], list[Any]]:
    """A view type, some of its views with their ids, some filters."""
    kind = draw(views)
    rows = draw(st.lists(st.tuples(IDS, values(kind)), min_size=1, max_size=4))
    return kind, rows, draw(st.lists(filters(kind), min_size=1, max_size=4))


def agree(kind: Any, rows: list[tuple[str, Any]], wanted: list[Any]) -> None:
    schema = ViewSchema.of("generated", program_of(kind))
    for one in wanted:
        compiled = [_compiled(schema, one, execution) for execution in Execution]
        _bounds_are_those_of_the_core(schema, one)
        try:
            text = Writer(kind).text(one)
        except NoTextError:
            text = None
        else:
            event("also as a text")
            compiled += [_compiled(schema, text, execution) for execution in Execution]
        for view_id, view in rows:
            expected = takes(one, view, kind, view_id)
            event(f"taken: {expected}")
            found = [_matches(schema, each, view, view_id) for each in compiled]
            assert [expected] * len(found) == found, (one, text, view)
            for each in compiled:
                _bounds_hold(each, view, kind, view_id, expected)


def _compiled(schema: ViewSchema, filter_: Any, execution: Execution) -> CompiledFilter:
    query = Query.read({"view": "v", "filter": filter_})
    return compile_filter(schema, query.filter, execution=execution)


def _matches(schema: ViewSchema, compiled: CompiledFilter, view: Any, view_id: str) -> bool:
    found, left = compiled.matches(GAS, schema.decoder(compiled.fields)(stored(view)), view_id)
    assert left <= GAS
    return found


def _bounds_are_those_of_the_core(schema: ViewSchema, filter_: Any) -> None:
    """A structured filter's bounds are told without its core; only what the core knows to be constant tells it more."""
    tree = checked(schema, Query.read({"view": "v", "filter": filter_}).filter, QueryLimits())
    if not _asks_for_presence(filter_):
        assert bounds_of(condition_of(tree, schema.scope).core) == bounds_of_tree(tree)


def _asks_for_presence(node: Any) -> bool:
    parts = node.get("and") or node.get("or") or ([node["not"]] if "not" in node else [])
    return any(map(_asks_for_presence, parts)) or (not parts and node.get("value") in (None, True, False))


def _bounds_hold(compiled: CompiledFilter, view: Any, kind: Any, view_id: str, is_taken: bool) -> None:
    fulfilled = [_fulfils(bound, view, kind, view_id) for bound in compiled.bounds]
    if is_taken:
        assert all(fulfilled), compiled.bounds
    if compiled.is_exact:
        event("exact bounds")
        assert all(fulfilled) == is_taken, compiled.bounds


def _fulfils(bound: Bound, view: Any, kind: Any, view_id: str) -> bool:
    found = [(view_id, "string")] if bound.path == ("$id",) else list(_items(view, kind, bound.path))
    assert len(found) <= 1 or bound.is_multi
    if bound.op == "starts_with":
        return any(one.startswith(bound.value) for one, _kind in found)
    values = bound.value if bound.op == "in" else (bound.value,)
    op = "eq" if bound.op == "in" else bound.op
    return any(_compares(typed(one, there), op, value) for one, there in found for value in values)


def _items(view: Any, kind: Any, path: tuple[str, ...]) -> Any:
    """What is at a path of fields, items of lists one by one."""
    for value, there in reached(view, kind, list(path)):
        if there[0] in ("list", "set"):
            yield from ((item, there[1]) for item in value)
        else:
            yield value, there


def _compares(one: Any, op: str, other: Any) -> bool:
    return {"eq": one == other, "lt": op == "lt" and one < other, "le": op == "le" and one <= other,
            "gt": op == "gt" and one > other, "ge": op == "ge" and one >= other}[op]  # fmt: skip


@settings(max_examples=60)
@given(questions())
def test_both_forms_of_a_filter_take_what_plain_python_takes(question):
    agree(*question)


@pytest.mark.long
@settings(max_examples=3_000)
@given(questions())
def test_both_forms_of_many_filters_take_what_plain_python_takes(question):
    agree(*question)
