"""JSON at the boundary: exact or an error, and what is written can be read again as the same bytes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_support import is_of
from yardstick import A_LOT, steps

from projection.errors import DecodeError, ErrorClass
from projection.lang import types as ty
from projection.lang.check.checker import check
from projection.lang.source import Source, Span
from projection.lang.values.codec import Codec, encode, largest
from projection.lang.values.mending import parse_timestamp
from projection.lang.values.structs import build_structs

PROGRAM = """proj 1
projection p
event E {{ {fields} }}
type Inner {{ n: int, d: decimal(2) = 0, t: string from "T" | "t" | "tt" = "-" }}
view V {{ n: int }}
on E to "x" => {{ n: 1 }}
"""


def codec(fields: str) -> Codec:
    """The codec of an event with these fields."""
    return Codec(check(Source("p", PROGRAM.format(fields=fields))).events["E"])


def read(field_type: str, text: str) -> Any:
    """A field's value, from its JSON."""
    return codec(f"x: {field_type}").decode(f'{{"x": {text}}}'.encode()).x


def refusal(field_type: str, text: str) -> str:
    """Why a field's JSON is refused."""
    with pytest.raises(DecodeError) as caught:
        read(field_type, text)
    assert ("D105", ErrorClass.DATA) == (caught.value.code, caught.value.error_class)
    assert len(str(caught.value)) < 300
    return caught.value.message


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("decimal(2)", "62.59", "62.59"),
        ("decimal(2)", "62.5", "62.50"),
        ("decimal(2)", "62", "62.00"),
        ("decimal(2)", "1e2", "100.00"),
        ("decimal(2)", "6259E-2", "62.59"),
        ("decimal(2)", "62.590000", "62.59"),
        ("decimal(2)", "-0.0", "0.00"),
        ("decimal(2)", "-0", "0.00"),
        ("decimal(2)", "0e999999", "0.00"),
        ("decimal(18)", "0.000000000000000001", "1E-18"),
        ("decimal(0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
        ("decimal", "62.590", "62.590"),
        ("decimal", "1e2", "100"),
        ("decimal", "-0.00", "0.00"),
        ("decimal", "0.1234567890123456789012345678901234567", "0.1234567890123456789012345678901234567"),
    ],
)
def test_a_decimal_is_what_its_text_says_at_its_scale(type_: str, text: str, expected: str) -> None:
    assert expected == str(read(type_, text))


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("decimal(2)", "62.591"),
        ("decimal(2)", "1e-3"),
        ("decimal(2)", '"62.59"'),
        ("decimal(2)", "true"),
        ("decimal(2)", "[1]"),
        ("decimal(2)", "null"),
        ("decimal(2)", "1E+600000"),
        ("decimal(2)", "1e-600000"),
        ("decimal(2)", "1e99999999999999999999"),
        ("decimal(2)", "1e-99999999999999999999"),
        ("decimal(2)", "9" * 37),
        ("decimal(2)", "9" * 4000),
        ("decimal(2)", "9" * 100_000),
        ("decimal(2)", "0." + "9" * 100_000),
        ("decimal", "1e38"),
        ("decimal", "1e400"),
        ("decimal", "0." + "1" * 39),
        ("decimal", "1e-77"),
        ("decimal", "NaN"),
        ("decimal", "Infinity"),
        ("decimal", "01"),
        ("decimal", "1_000"),
        ("decimal", "+1"),
        ("decimal", ".5"),
        ("int", "1.0"),
        ("int", "1e2"),
        ("int", '"1"'),
        ("int", "true"),
        ("int", "9223372036854775808"),
        ("int", "-9223372036854775809"),
        ("int", "9" * 5000),
        ("bool", "1"),
        ("bool", '"true"'),
        ("string", "1"),
        ("string(3)", '"abcd"'),
        ("string", '"\\ud800"'),
        ("string", '"' + "x" * 65_537 + '"'),
        ("enum(a, b)", '"c"'),
        ("enum(a, b)", '"A"'),
        ("enum(a, ...)", '"' + "x" * 65_537 + '"'),
        ("list<int>(2)", "[1, 2, 3]"),
        ("list<int>", "[1, null]"),
        ("list<decimal(1)>", "[1, 2.55]"),
        ("list<int>", "{}"),
        ("map<string, int>(1)", '{"a": 1, "b": 2}'),
        ("map<string(1), int>", '{"ab": 1}'),
        ("map<string, int>", '{"a": null}'),
        ("map<int, int>", '{"a": 1}'),
        ("map<int, int>", '{"9223372036854775808": 1}'),
        ("map<int, int>", '{"01": 1}'),
        ("map<date, int>", '{"2024-02-30": 1}'),
        ("map<enum(a, b), int>", '{"c": 1}'),
        ("Inner", "{}"),
        ("Inner", '{"n": 1, "d": 0.001}'),
        ("date", '"2024-02-30"'),
        ("date", '"2024-2-3"'),
        ("date", '"2024-02-29T"'),
        ("date", '"2024-02-29T25:00:00Z"'),
        ("date", '"2024-02-29 and more"'),
        ("date", '"٢٠٢٤-02-29"'),
        ("date", "20240229"),
        ("timestamp", '"2024-02-29"'),
        ("timestamp", '"2024-02-29T12:00:00"'),
        ("timestamp", '"2024-02-29T12:00:00+24:00"'),
        ("timestamp", '"2024-02-29T12:00:00+01:60"'),
        ("timestamp", '"2024-02-29T24:00:00Z"'),
        ("timestamp", '"2024-02-29T12:00:60Z"'),
        ("timestamp", '"0001-01-01T00:00:00+01:00"'),
        ("timestamp", '"9999-12-31T23:59:59-01:00"'),
        ("timestamp", "1709208000"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(type_: str, text: str) -> None:
    told = list[str]()
    assert steps(lambda: told.append(refusal(type_, text))) < A_LOT
    assert told[0].startswith("the payload does not fit event E: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("2000-01-01T00:00:00.0000000+01:00", date(2000, 1, 1)),  # in UTC it is the day before
        ("2000-01-01t23:59:59-11:00", date(2000, 1, 1)),
        ("2000-01-01 00:00:00", date(2000, 1, 1)),
    ],
)
def test_a_date_is_taken_as_it_is_written(text: str, expected: date) -> None:
    assert expected == read("date", f'"{text}"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2024-02-29t12:00:00.5z", datetime(2024, 2, 29, 12, microsecond=500_000, tzinfo=UTC)),
        ("2024-02-29 12:00:00.1234567+00:00", datetime(2024, 2, 29, 12, microsecond=123_456, tzinfo=UTC)),
        ("2024-02-29T12:00:00.999999999Z", datetime(2024, 2, 29, 12, microsecond=999_999, tzinfo=UTC)),
        ("2024-02-29T23:30:00-05:30", datetime(2024, 3, 1, 5, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_an_instant_of_whole_microseconds(text: str, expected: datetime) -> None:
    assert expected == read("timestamp", f'"{text}"') == parse_timestamp(text)
    assert read("timestamp", f'"{text}"').tzinfo is UTC


def test_absent_and_null_are_none_where_a_field_is_optional_and_the_default_where_it_has_one() -> None:
    both = codec("a?: int, b: int = 5, c: decimal(1)?, d: list<int> = []")
    for text in (b"{}", b'{"a": null, "b": null, "c": null, "d": null}'):
        event = both.decode(text)
        assert (None, 5, None, []) == (event.a, event.b, event.c, event.d)


def test_the_first_wire_name_that_is_present_wins_and_null_is_not_present() -> None:
    names = codec('x: int from "a" | "b" | "c"')
    assert 1 == names.decode(b'{"c": 3, "b": 2, "a": 1}').x
    assert 2 == names.decode(b'{"c": 3, "b": 2, "a": null}').x
    assert 3 == names.decode(b'{"c": 3, "x": 9}').x
    with pytest.raises(DecodeError, match="missing required field `a`"):
        names.decode(b'{"x": 1}')


def test_an_alternative_name_is_checked_even_where_another_wins() -> None:
    with pytest.raises(DecodeError, match=r"\$\.b"):
        codec('x: int from "a" | "b"').decode(b'{"a": 1, "b": "no int"}')


def test_names_of_fields_are_free_also_where_alternatives_need_names_of_their_own() -> None:
    event = codec('x: int from "a" | "b", x__1: int, class: int, None: int, self: int').decode(
        b'{"b": 1, "x__1": 2, "class": 3, "None": 4, "self": 5}'
    )
    assert (1, 2, 3, 4, 5) == (event.x, event.x__1, *(getattr(event, name) for name in ("class", "None", "self")))


def test_undeclared_fields_are_ignored_however_deep() -> None:
    deep = b"[" * 200 + b"]" * 200
    assert 1 == codec("x: int").decode(b'{"more": ' + deep + b', "x": 1, "y": {"x": 2}}').x


def test_nesting_without_end_is_refused_not_a_crash() -> None:
    with pytest.raises(DecodeError):
        codec("x: int").decode(b'{"x": 1, "more": ' + b"[" * 1_000_000)
    with pytest.raises(DecodeError):
        codec("x: decimal").decode(b'{"x": ' + b"[" * 1_000_000)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b'{"x": 1} 2', b'{"x": "\xff"}', b'{"x": "\xed\xa0\x80"}'])
def test_what_is_no_object_of_json_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        codec("x: string").decode(data)
    assert "D105" == caught.value.code


def test_of_a_key_that_stands_twice_the_last_wins_for_now() -> None:
    """msgspec cannot tell; a reader of its own would cost more than the whole decoding."""
    assert 2 == codec("x: int").decode(b'{"x": 1, "x": 2}').x


def test_maps_are_in_the_order_of_their_keys_whatever_order_they_come_in() -> None:
    assert ["Z", "a", "é", "￿", "😀"] == list(read("map<string, int>", '{"😀":1,"￿":2,"é":3,"a":4,"Z":5}'))
    assert [-2, 9, 10] == list(read("map<int, int>", '{"10": 1, "9": 2, "-2": 3}'))
    days = read(
        "map<date, Inner>", '{"2024-03-01T00:00:00Z": {"n": 1}, "2024-02-29": {"n": 2}, "2024-03-01": {"n": 3}}'
    )
    assert [date(2024, 2, 29), date(2024, 3, 1)] == list(days)
    assert 1 == days[date(2024, 3, 1)].n  # two texts of one date: the later text wins, wherever it stands


def test_a_path_leads_to_what_does_not_fit() -> None:
    items = "list<Inner>"
    assert "`$.x[1].n`" in refusal(items, '[{"n": 1}, {"n": "1"}]')
    assert "`$.x[1].d`" in refusal(items, '[{"n": 1}, {"n": 1, "d": "2"}]')
    assert "`$.x[...].d`" in refusal("map<string, Inner>", '{"a": {"n": 1, "d": 0.001}}')
    assert "`$.x`" in refusal("date", '"yesterday"')


# --- what is written can be read again: over generated schemas and values ---------------------------------------------

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_ints = st.integers(-(2**63), 2**63 - 1)
_scalars: list[st.SearchStrategy[ty.Type]] = [
    st.just(ty.BOOL), st.just(ty.INT), st.just(ty.DATE), st.just(ty.TIMESTAMP), st.just(ty.String(6)),
    st.builds(ty.Decimal, st.none() | st.integers(0, ty.MAX_SCALE)), st.just(ty.Enum(("a", "b c", 'd"'), open=False)),
    st.just(ty.Enum(("a",), open=True)),
]  # fmt: skip
_keys = st.sampled_from([ty.INT, ty.DATE, ty.String(6), ty.Enum(("a", "b c"), open=False)])


def _record(fields: list[tuple[ty.Type, bool]]) -> ty.Record:
    record = ty.Record("R", "type")
    for number, (type_, optional) in enumerate(fields):
        wires = ((f"f{number}",), (f"wire {number}",), (f"a{number}", f"b{number}"))[number % 3]
        final = ty.optional(type_) if optional else type_
        record.fields[f"f{number}"] = ty.Field(f"f{number}", final, wires, ty.REQUIRED, Span(0, 0))
    build_structs([record])
    return record


_types = st.recursive(
    st.one_of(_scalars),
    lambda inner: st.one_of(
        st.builds(ty.List, inner, st.just(4)),
        st.builds(ty.Map, _keys, inner, st.just(4)),
        st.builds(_record, st.lists(st.tuples(inner, st.booleans()), max_size=4)),
    ),
    max_leaves=6,
)


def _decimal(scale: int | None) -> st.SearchStrategy[Decimal]:
    scales = st.integers(0, 2 * 38 - 1) if scale is None else st.just(scale)
    digits = st.integers(-(10**38) + 1, 10**38 - 1) | st.integers(-200, 200)
    return st.builds(lambda n, s: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -s)), digits, scales)


def values(type_: ty.Type) -> st.SearchStrategy[Any]:
    """Values of a type, as programs hold them."""
    match type_:
        case ty.Bool():
            return st.booleans()
        case ty.Int():
            return _ints
        case ty.Decimal():
            return _decimal(type_.scale)
        case ty.String():
            return _texts
        case ty.Enum():
            return st.sampled_from(type_.members) | (_texts if type_.open else st.nothing())
        case ty.Date():
            return st.dates()
        case ty.Timestamp():
            return st.datetimes(timezones=st.just(UTC))
        case ty.List():
            return st.lists(values(type_.item), max_size=4)
        case ty.Map():
            entries = st.dictionaries(values(type_.key), values(type_.value), max_size=4)
            return entries.map(lambda found: dict(sorted(found.items())))
        case ty.Optional():
            return st.none() | values(type_.inner)
        case ty.Record():
            return st.fixed_dictionaries({name: values(field.type) for name, field in type_.fields.items()}).map(
                lambda found: type_.made()(**found)
            )
    raise AssertionError(type_)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), fields=st.lists(st.tuples(_types, st.booleans()), min_size=1, max_size=5))
def test_what_is_written_is_read_again_as_the_same_value_and_the_same_bytes(data: st.DataObject, fields: Any) -> None:
    record = _record(fields)
    value = data.draw(values(record))
    assert is_of(value, record)
    written = encode(value)
    again = Codec(record).decode(written)
    assert value == again
    assert is_of(again, record)
    assert written == encode(again)
    assert len(written) <= largest(record)


def test_records_that_hold_one_another_in_very_many_ways_are_read_and_measured_at_once() -> None:
    types = "".join(f"type T{n} {{ a?: T{n - 1}, b?: T{n - 1} }}\n" for n in range(1, 31))
    text = PROGRAM.format(fields="x: T30").replace("view V", "type T0 { d: decimal(2) }\n" + types + "view V")
    event = check(Source("p", text)).events["E"]

    def read_and_measure() -> None:
        assert Codec(event).decode(b'{"x": {"a": {"b": {}}}}').x.a.b.a is None
        assert largest(event) > 2**30

    assert steps(read_and_measure) < A_LOT
