"""One rule for each type, wherever a value comes from: an event, `narrow`, a text that is parsed, a default, a query.

No library decides it: the table holds what a value means, and each entry is held against the table.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import DecodeError
from projection.lang import types as ty
from projection.lang.check.checker import check
from projection.lang.library import BUILTINS, text_of
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.lang.values.codec import Codec, JsonCodec
from projection.lang.values.narrowing import narrowed
from projection.lang.values.times import MICROSECOND, duration_text, parse_duration
from projection.query.errors import QueryInvalidError
from projection.query.values import read_value

LONG = "1" * 30
# By type: JSON, and the value as text, none where the type does not take it.
TABLE: dict[str, list[tuple[str, str | None]]] = {
    "bool": [("true", "true"), ("1", None), ('"true"', None), ("0", None)],
    "int": [
        ("1", "1"), ("-0", "0"), ("1.0", None), ("1e0", None), ("1E2", None), ("true", None), ('"1"', None),
        ("9223372036854775807", "9223372036854775807"), ("9223372036854775808", None),
        ("-9223372036854775808", "-9223372036854775808"), ("-9223372036854775809", None), ("1" + "0" * 400, None),
    ],
    "decimal": [
        ("1", "1"), ("1.0", "1.0"), ("1.10", "1.10"), ("1e2", "100"), ("1E+2", "100"), ("1.5E-3", "0.0015"),
        ("-0", "0"), ("-0.0", "0.0"), ("0e5", "0"), ("1e37", "1" + "0" * 37), ("1e38", None), ("1e400", None),
        ("1e-38", "0." + "0" * 37 + "1"), ("1e-39", None), ("1e-999999999999", None), ("1e999999999", None),
        ("18446744073709551616", "18446744073709551616"), ("1" * 38, "1" * 38), ("1" * 39, None),
        ("0." + "0" * 38, "0." + "0" * 38), ("true", None),
    ],
    "decimal(2)": [("1", "1.00"), ("1.100", "1.10"), ("1e1", "10.00"), ("-0", "0.00"), ("1.10" + "0" * 30, "1.10")],
    "string": [
        ('"a"', "a"), (r'"\ud83d\ude00"', "😀"), (r'"e\u0301"', "e\u0301"), ('"é"', "é"), (r'"\u0000"', "\0"),
        ("1", None), ("true", None), ('"İıẞß"', "İıẞß"),
    ],
    "date": [
        ('"2024-02-29"', "2024-02-29"), ('"2023-02-29"', None), ('"0000-01-01"', None), ('"2024-W09-4"', None),
        ('"20240229"', None), ('"2024-2-29"', None), ('" 2024-02-29"', None), ('"\u0662024-02-29"', None),
        ('"2024-02-29T23:30:00-05:00"', "2024-02-29"), ('"2024-02-29t00:00:00z"', "2024-02-29"),
        ('"2024-02-29 12:00:00"', "2024-02-29"), ('"2024-02-29T24:00:00Z"', None), ('"2024-02-29T23:59:60Z"', None),
        ("20240229", None),
    ],
    "timestamp": [
        ('"2024-02-29T12:00:00Z"', "2024-02-29T12:00:00Z"), ('"2024-02-29t12:00:00z"', "2024-02-29T12:00:00Z"),
        ('"2024-02-29 12:00:00Z"', "2024-02-29T12:00:00Z"), ('"2024-02-29T12:00:00-00:00"', "2024-02-29T12:00:00Z"),
        ('"2024-02-29T12:00:00.5+01:00"', "2024-02-29T11:00:00.500000Z"),
        ('"2024-02-29T12:00:00.1234567Z"', "2024-02-29T12:00:00.123456Z"),
        ('"2024-02-29T12:00:00.1234569999999Z"', "2024-02-29T12:00:00.123456Z"),
        (f'"2024-02-29T12:00:00.{LONG}Z"', "2024-02-29T12:00:00.111111Z"), (f'"2024-02-29T12:00:00.{LONG}1Z"', None),
        ('"9999-12-31T23:59:59.9999999Z"', "9999-12-31T23:59:59.999999Z"), ('"9999-12-31T23:59:59-00:01"', None),
        ('"0001-01-01T00:00:00+00:01"', None), ('"2016-12-31T23:59:60Z"', None), ('"2024-02-29T24:00:00Z"', None),
        ('"2024-02-29T12:00:00"', None), ('"2024-02-29T12:00Z"', None), ('"2024-02-29T12:00:00,5Z"', None),
        ('"2024-02-29T12:00:00+0100"', None), ('"2024-02-29T12:00:00+24:00"', None), ('"2024-02-29"', None),
        ("1709208000", None),
    ],
    "duration": [
        ('"PT90M"', "PT5400S"), ('"P1DT1H1M1.5S"', "P1DT3661.5S"), ('"-PT0.25S"', "-PT0.25S"), ('"+PT1S"', "PT1S"),
        ('"pt1s"', "PT1S"), ('"PT1.5H"', "PT5400S"), ('"P1.5D"', "P1DT43200S"), ('"PT1.5H1M"', None),
        ('"PT1.1234567S"', "PT1.123456S"), ('"PT1.9999999S"', "PT1.999999S"), ('"-PT1.1234567S"', "-PT1.123456S"),
        ('"-PT0.0000001S"', "P0D"), (f'"PT0.{LONG}S"', "PT0.111111S"), (f'"PT0.{LONG}1S"', None),
        ('"PT0.00000002777777777777777777H"', "PT0.000099S"), ('"PT0.00000002777777777777777778H"', "PT0.0001S"),
        ('"P106751991D"', "P106751991D"), ('"P106751992D"', None), ('"P200000000D"', None), (f'"P{LONG}D"', None),
        ('"PT9223372036854.7758079S"', "P106751991DT14454.775807S"), ('"PT9223372036854.775808S"', None),
        ('"-PT9223372036854.775808S"', "-P106751991DT14454.775808S"), ('"-PT9223372036854.775809S"', None),
        ('"PT000000000000000000001S"', "PT1S"), ('"P0D"', "P0D"), ('"P"', None), ('"PT"', None), ('"P1DT"', None),
        ('"P1W"', None), ('"P1M"', None), ('"P1Y"', None), ('"PT1,5S"', None), ('"PT1e3S"', None), ('"PT.5S"', None),
        ('"PT-1S"', None), ('"PT\u0661S"', None), ('"PT1S "', None), ('"90m"', None), ("90", None),
    ],
    "bytes": [
        ('"AQ=="', "AQ=="), ('""', ""), ('"AQ"', None), ('"AR=="', None), ('"A_8="', None), ('"AQ==\\n"', None),
        ('"AQ ="', None), ("1", None),
    ],
    "map<int, bool>": [
        ('{"1":true}', "1"), ('{"-1":true}', "-1"), ('{"01":true}', None), ('{"-0":true}', None), ('{"+1":true}', None),
        ('{"1.0":true}', None), ('{"1e2":true}', None), ('{" 1":true}', None), ('{"1":false,"1":true}', "1"),
        ('{"9223372036854775808":true}', None),
    ],
    "map<date, bool>": [
        ('{"2024-02-29":true}', "2024-02-29"), ('{"2024-02-29T12:00:00Z":true,"2024-02-29":false}', "2024-02-29"),
        ('{"2024-02-29":false,"2024-02-29T12:00:00Z":true}', "2024-02-29"), ('{"x":true}', None),
    ],
}  # fmt: skip
ROWS = [pytest.param(kind, *row, id=f"{kind} {row[0]:.60}") for kind, rows in TABLE.items() for row in rows]
PARSED_BY = {
    "date": "parse_date",
    "timestamp": "parse_timestamp",
    "duration": "parse_duration",
    "bytes": "parse_base64",
}

PROGRAM = """proj 1
projection p
type Inner {{ f: {0} }}
event E {{ f: {0} }}
event Inside {{ o: Inner, l: list<{0}> = [], i?: {0}, m: map<string, {0}> = {{}} }}
view V {{ n: int = 0 }}
on E as e to "x" => {{}}
on Inside as e to "x" => {{}}
"""


def checked(kind: str) -> Any:
    return check(Source("p", PROGRAM.format(kind)))


def shown(value: Any) -> str:
    if isinstance(value, dict):
        ((key, flag),) = value.items()
        assert flag is True  # of two that are one, the last, or the later text, counts
        return text_of(key)
    return json.loads(f'"{value_base64(value)}"') if isinstance(value, bytes) else text_of(value)


def value_base64(value: bytes) -> str:
    return str(BUILTINS["base64"][0].function(value))


@pytest.mark.parametrize(("kind", "written", "expected"), ROWS)
def test_in_an_event_wherever_it_stands(kind: str, written: str, expected: str | None) -> None:
    program = checked(kind)
    places = [("E", f'{{"f":{written}}}', lambda event: event.f)]
    places.append(("Inside", f'{{"o":{{"f":{written}}}}}', lambda event: event.o.f))
    for payload, found in (
        (f'"i":{written}', lambda event: event.i),
        (f'"m":{{"k":{written}}}', lambda event: event.m["k"]),
        (f'"l":[{written}]', lambda event: event.l[0]),
    ):
        ok = TABLE[kind][0][0]
        places.append(("Inside", f'{{"o":{{"f":{ok}}},{payload}}}', found))
    for name, payload, found in places:
        codec = Codec(program.events[name])
        if expected is None:
            with pytest.raises(DecodeError) as caught:
                codec.decode(payload.encode())
            assert caught.value.code == "D105"
        else:
            assert expected == shown(found(codec.decode(payload.encode())))


@pytest.mark.parametrize(("kind", "written", "expected"), ROWS)
def test_by_narrow(kind: str, written: str, expected: str | None) -> None:
    type_ = checked(kind).events["E"].fields["f"].type
    try:
        plain = JsonCodec().decode(written.encode())
    except DecodeError:
        assert expected is None  # a number that is no value of json, either
        return
    value = narrowed(plain, type_)
    assert expected == (None if value is None else shown(value))


@pytest.mark.parametrize(
    ("kind", "written", "expected"), [row for row in ROWS if row.values[0] in PARSED_BY and row.values[1][0] == '"']
)
def test_by_the_builtin_that_reads_it_from_a_text(kind: str, written: str, expected: str | None) -> None:
    value = BUILTINS[PARSED_BY[kind]][0].function(json.loads(written))
    assert expected == (None if value is None else shown(value))


@pytest.mark.parametrize(
    ("kind", "written", "expected"), [row for row in ROWS if row.values[0] in PARSED_BY and row.values[1][0] == '"']
)
def test_as_a_default(kind: str, written: str, expected: str | None) -> None:
    text = f"proj 1\nprojection p\nevent E {{ f: {kind} = {PARSED_BY[kind]}({written})! }}\nview V {{ n: int = 0 }}\n"
    text += 'on E as e to "x" => {}\n'
    if expected is None:
        with pytest.raises(ProgramInvalidError):
            check(Source("p", text))
    else:
        assert expected == shown(check(Source("p", text)).events["E"].fields["f"].default)


@pytest.mark.parametrize(
    ("kind", "written", "expected"), [row for row in ROWS if "map" not in row.values[0] and "(2)" not in row.values[0]]
)
def test_in_a_query(kind: str, written: str, expected: str | None) -> None:
    type_ = checked(kind).events["E"].fields["f"].type
    try:
        plain = JsonCodec().decode(written.encode())
    except DecodeError:
        return
    if expected is None:
        with pytest.raises(QueryInvalidError):
            read_value(plain, type_)
    else:
        assert expected == shown(read_value(plain, type_))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1500ms", "PT1.5S"),
        ("90m", "PT5400S"),
        ("106751991d", "P106751991D"),
        ("106751992d", None),
        ("2562047789h", None),
    ],
)
def test_as_a_literal(written: str, expected: str | None) -> None:
    text = f'proj 1\nprojection p\nevent E {{ f: duration = {written} }}\nview V {{ n: int = 0 }}\non E as e to "x" => {{}}\n'
    if expected is None:
        with pytest.raises(ProgramInvalidError) as caught:
            check(Source("p", text))
        assert ["P111"] == [one.code for one in caught.value.diagnostics]
    else:
        assert expected == text_of(check(Source("p", text)).events["E"].fields["f"].default)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_duration_is_read_from_the_text_that_it_is_written_as(microseconds: int) -> None:
    duration = microseconds * MICROSECOND
    assert duration == parse_duration(duration_text(duration))


def test_two_texts_of_one_date_may_hold_values_without_an_order() -> None:
    type_ = ty.Map(ty.DATE, ty.List(ty.Json()))
    found = narrowed({"2024-02-29": [{}], "2024-02-29T12:00:00Z": [{"a": 1}]}, type_)
    assert [[{"a": 1}]] == list(found.values())
