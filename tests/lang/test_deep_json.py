"""JSON of any depth: what no program declares may nest as it likes, and no result depends on how deep a stack is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import DecodeError
from projection.lang.check.checker import check
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.lang.values.codec import Codec, JsonCodec
from projection.model.envelope import decode_envelope
from projection.nested import MAX_LEVELS, shallow

PROGRAM = """\
proj 1
projection deep
event Came { id: string, any?: json }
view V { n: int = 0 }
on Came as e to e.id => { n: 1 }
"""
DEPTHS = (10, 127, 128, 129, 900, 2_000, 200_000)


def nested(depth: int, inside: str = "") -> str:
    """Lists and objects in turn."""
    return (
        "".join("[" if level % 2 else '{"a":' for level in range(depth, 0, -1))
        + inside
        + ("".join("]" if level % 2 else "}" for level in range(1, depth + 1)))
    )


def envelope(payload: str) -> bytes:
    return (
        (
            b'{"more":%s,"aggregate_type":"a","aggregate_id":"1","event_type":"Came","timestamp":"2026-01-01T00:00:00Z",'
            b'"payload":%s}'
        )
        .replace(b"%s", nested(3).encode(), 1)
        .replace(b"%s", payload.encode(), 1)
    )


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_undeclared_field_may_nest_as_deep_as_it_likes(depth):
    codec = Codec(check(Source("deep.proj", PROGRAM)).events["Came"])
    found = decode_envelope(envelope(f'{{"id":"x","other":{nested(depth)}}}'))
    assert "x" == codec.decode(found.payload).id


@pytest.mark.parametrize("depth", [33, *DEPTHS[1:]])
def test_a_declared_one_may_not_and_says_so_whatever_the_depth(depth):
    codec = Codec(check(Source("deep.proj", PROGRAM)).events["Came"])
    found = decode_envelope(envelope(f'{{"id":"x","any":{nested(depth)}}}'))
    for decode, data in ((codec.decode, found.payload), (JsonCodec().decode, nested(depth).encode())):
        with pytest.raises(DecodeError, match="more than 32 levels deep") as raised:
            decode(data)
        assert "D105" == raised.value.code


@pytest.mark.parametrize(
    "broken", ["[" * 2_000, nested(2_000) + "]", nested(2_000, "nonsense"), "[" * 2_000 + "}" * 2_000]
)
def test_what_is_no_json_is_none_at_any_depth(broken):
    with pytest.raises(DecodeError) as raised:
        decode_envelope(envelope(f'{{"id":"x","other":{broken}}}'))
    assert "D101" == raised.value.code


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('[]{}",\\:a', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"\\a', max_size=3), inner, max_size=3),
)


@given(value=values, around=st.integers(0, 3 * MAX_LEVELS))
def test_what_does_not_lie_deep_is_kept_and_what_does_is_cut(value: Any, around: int):
    for _ in range(around):
        value = [value]
    cut = shallow(json.dumps(value).encode())
    assert _cut(value, 1) == msgspec.json.decode(cut)


def _cut(value: Any, level: int) -> Any:
    if not isinstance(value, list | dict):
        return value
    if level >= MAX_LEVELS:
        return None
    if isinstance(value, list):
        return [_cut(one, level + 1) for one in value]
    return {key: _cut(one, level + 1) for key, one in value.items()}


def test_a_decimal_without_a_scale_may_have_all_its_digits_behind_the_point_and_one_with_a_scale_eighteen():
    """What the table of limits says."""
    declared = "proj 1\nprojection d\nevent E { id: string, any: decimal, some: decimal(18) }\nview V { n: int = 0 }\n"
    declared += "on E as e to e.id => { n: 1 }\n"
    codec = Codec(check(Source("d.proj", declared)).events["E"])
    digits = "0." + "3" * 38
    some = "0." + "3" * 18
    found = codec.decode(f'{{"id":"x","any":{digits},"some":{some}}}'.encode())
    assert (digits, some) == (str(found.any), str(found.some))
    for more in (f'"any":{digits}3,"some":{some}', f'"any":{digits},"some":{some}3'):
        with pytest.raises(DecodeError):
            codec.decode(f'{{"id":"x",{more}}}'.encode())
    with pytest.raises(ProgramInvalidError, match="at most 18 digits behind the point"):
        check(Source("d.proj", declared.replace("decimal(18)", "decimal(19)")))
