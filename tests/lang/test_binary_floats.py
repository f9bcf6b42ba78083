"""A binary float is no exact number: it says so where it comes in, and a program says how it is rounded."""

from __future__ import annotations

import msgspec
import pytest
from test_codec import codec

from projection.errors import DecodeError
from projection.model.event_format.encodings.msgpack import msgpack_as_json


def payload(value: object) -> bytes:
    return msgpack_as_json(msgspec.msgpack.encode({"x": value}), None)


@pytest.mark.parametrize(
    ("declared", "value", "path"),
    [
        ("decimal(2)", 12.5, "$.x"),
        ("decimal", 12.0, "$.x"),
        ("decimal?", float("nan"), "$.x"),
        ("list<decimal(2)>", [12, 12.5], "$.x[1]"),
        ("map<string, decimal>", {"k": 12.5}, "$.x[...]"),
    ],
)
def test_a_float_is_no_decimal_and_the_refusal_says_what_to_do(declared, value, path):
    with pytest.raises(DecodeError) as caught:
        codec(f"x: {declared}").decode(payload(value))
    assert "D106" == caught.value.code
    assert "round its `float` where it is used" in str(caught.value)
    assert f"`{path}`" in str(caught.value)


@pytest.mark.parametrize("declared", ["int", "string", "bool", "date"])
def test_where_no_number_with_a_fraction_is_declared_the_same_is_said(declared):
    with pytest.raises(DecodeError) as caught:
        codec(f"x: {declared}").decode(payload(12.5))
    assert "D105" == caught.value.code
    assert "round its `float`" in str(caught.value)
    with pytest.raises(DecodeError) as caught:
        codec(f"x: {declared}").decode(payload({"other": 1}))
    assert "float" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (12.5, "12.5"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-0.0, "0.0"),
        (1e22, "10000000000000000000000"),
    ],
)
def test_a_program_that_declares_a_float_has_its_shortest_digits(value, digits):
    found = codec("x: json").decode(payload(value)).x
    assert {"float"} == found.keys()
    assert digits == str(found["float"])


def test_an_object_with_more_than_a_float_is_none():
    with pytest.raises(DecodeError) as caught:
        codec("x: decimal").decode(payload({"float": 1, "more": 2}))
    assert "D105" == caught.value.code


def test_numbers_that_are_whole_stay_numbers():
    assert "12" == str(codec("x: decimal").decode(payload(12)).x)
