"""A query means the same however it is written, with exact numbers; a view type's schema is that of its views' JSON."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_support import PROGRAM
from view_schemas import program_of, stored, values, views

from projection.model.ids import ViewId
from projection.query.errors import QueryInvalidError
from projection.query.form import And, Comparison, Query, SortKey, read_filter
from projection.query.schema import ViewSchema

PAID = {"field": "status", "op": "eq", "value": "paid"}


@pytest.mark.parametrize(
    "other",
    [
        b'{"view":"v","filter":{"field":"a.b","op":"lt","value":0.10},"sort":["-a","b"]}',
        '{"view":"v","filter":{"field":["a","b"],"op":"lt","value":0.10},"sort":[{"field":"a","desc":true},{"field":["b"]}]}',
        {"view": "v", "filter": {"field": ("a", "b"), "op": "lt", "value": Decimal("0.10")}, "sort": ["-a", "b"]},
    ],
)
def test_one_query_in_several_forms(other):
    query = Query.read(other)

    assert Comparison(field=("a", "b"), op="lt", value=Decimal("0.10")) == query.filter
    assert (SortKey(field=("a",), desc=True), SortKey(field=("b",))) == query.sort
    assert "0.10" == str(query.filter.value)
    assert Query.read(query.model_dump_json()) == query.model_copy(
        update={"filter": query.filter.model_copy(update={"value": "0.10"})}  # decimals are texts in its own JSON
    )


def test_python_values_count_as_the_json_that_they_make():
    query = Query.read(
        {"view": "v", "filter": {"field": "$id", "op": "in", "value": [ViewId("a"), date(2001, 2, 3), 1.5]}}
    )

    assert ["a", "2001-02-03", Decimal("1.5")] == query.filter.value


@pytest.mark.parametrize("value", [object(), {1, object()}, lambda: None])
def test_python_values_that_make_no_json_are_refused(value):
    with pytest.raises(QueryInvalidError, match="not JSON"):
        Query.read({"view": "v", "filter": {"field": "a", "op": "eq", "value": value}})


def test_a_filter_in_a_url_is_a_condition_or_json():
    assert 'status == "paid"' == read_filter('status == "paid"')
    assert And(**{"and": (Comparison(**PAID),)}) == read_filter(f' {{"and": [{json.dumps(PAID)}]}}')


@pytest.mark.parametrize("text", ["", '{"field": "a"}, "filter": "true"', "{", '{"field":"a","op":"exists"} true'])
def test_what_is_neither_is_refused(text):
    with pytest.raises(QueryInvalidError):
        read_filter(text)


@st.composite
def stored_views(draw: Any) -> tuple[Any, Any, list[str]]:
    kind = draw(views)
    return kind, draw(values(kind)), draw(st.lists(st.sampled_from([name for name, _kind in kind[1]])))


@settings(max_examples=60)
@given(stored_views())
def test_every_view_is_of_the_json_schema_and_no_field_of_it_may_be_missing(found):
    kind, view, _fields = found
    schema = ViewSchema.of("generated", program_of(kind)).json_schema()
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    as_json = json.loads(stored(view))

    validator.validate(as_json)
    for name in as_json:
        assert not validator.is_valid({other: value for other, value in as_json.items() if other != name})
    assert not validator.is_valid(as_json | {"more": 1})


@settings(max_examples=60)
@given(stored_views())
def test_some_fields_decode_to_what_the_whole_view_has_there(found):
    kind, view, fields = found
    schema = ViewSchema.of("generated", program_of(kind))

    some = schema.decoder(frozenset(fields))(stored(view))
    whole = schema.decoder(frozenset(view))(stored(view))

    assert [getattr(whole, name) for name in fields] == [getattr(some, name) for name in fields]
    assert sorted(set(fields)) == list(type(some).__struct_fields__)
    assert schema.record.made() is type(whole)


@pytest.mark.parametrize(
    ("path", "type_", "optional", "multi", "names"),
    [
        ("n", "int", False, False, ("n",)),
        ("rate", "decimal", True, False, ("rate",)),
        ("home.city", "string", True, False, ("home", "city")),
        ("lines.qty", "int", False, True, ("lines", "qty")),
        ("lines.0.qty", "int", True, False, None),
        ("tags", "set<string>", False, False, ("tags",)),
        ("$id", "string", False, False, ("$id",)),
    ],
)
def test_a_path_tells_what_is_there_and_whether_it_always_is(path, type_, optional, multi, names):
    found = ViewSchema.of("things.proj", PROGRAM).resolve(tuple(path.split(".")))

    assert (type_, optional, multi, names) == (str(found.type), found.is_optional, found.is_multi, found.names)


@settings(max_examples=60)
@given(
    outer=st.lists(st.sampled_from(["view", "limit", "filter", "x"]), unique=True, max_size=3),
    depth=st.integers(0, 5),
    name=st.text(max_size=3),
    is_escaped=st.booleans(),
    as_bytes=st.booleans(),
)
def test_a_name_that_is_there_twice_is_refused_wherever_it_is(outer, depth, name, is_escaped, as_bytes):
    second = "".join(f"\\u{unit:04x}" for unit in utf_16(name)) if is_escaped else json.dumps(name)[1:-1]
    inner = f'{{{json.dumps(name)}: 1, "{second}": 1}}'
    for _ in range(depth):
        inner = f'{{"and": [0.5, {inner}]}}'
    text = "{" + "".join(f"{json.dumps(one)}: 1, " for one in outer) + f'"y": {inner}}}'
    with pytest.raises(QueryInvalidError, match="is there 2 times in one object"):
        Query.read(text.encode() if as_bytes else text)
    assert msgspec.json.decode(text)  # as JSON it passes


def utf_16(text):
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]


def test_a_structured_filter_of_an_address_names_everything_once():
    with pytest.raises(QueryInvalidError, match="'value' is there 2 times"):
        read_filter('{"field": "n", "op": "eq", "value": 1, "value": 2}')
    assert read_filter('{"and": [{"field": "n", "op": "eq", "value": 1}, {"field": "n", "op": "eq", "value": 2}]}')
