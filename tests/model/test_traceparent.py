"""`traceparent` is read as the W3C's Trace Context has it, and whatever else stands there is ignored."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projection.model.event_format.headers import headers_block
from projection.model.traceparent import TraceParent, parse_traceparent, sampled_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
THERE = TraceParent(int(TRACE, 16), int(SPAN, 16), 1)
OTHER = f"00-{'1' * 32}-{'2' * 16}-01"

parents = st.builds(TraceParent, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
versions = st.integers(1, 254).map("{:02x}".format)
texts = st.text(st.sampled_from("0123456789abcdefABF-\n \x00é"), max_size=60)


def written(parent: TraceParent, version: str = "00") -> str:
    return f"{version}-{parent.trace_id:032x}-{parent.span_id:016x}-{parent.flags:02x}"


@given(parents)
def test_what_is_written_is_read(parent):
    assert parent == parse_traceparent(written(parent))
    assert parent.is_sampled == bool(parent.flags & 1)


@given(parents, versions, texts)
def test_of_a_later_version_that_is_read_which_all_share(parent, version, more):
    assert parent == parse_traceparent(written(parent, version))
    assert parent == parse_traceparent(f"{written(parent, version)}-{more}")
    if more[:1] != "-":
        assert (parse_traceparent(written(parent, version) + more) is None) == bool(more)


@given(parents, st.data())
def test_one_character_that_is_otherwise_makes_it_another_or_none(parent, data):
    text = written(parent)
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.text(max_size=2)) + text[at + 1 :]
    found = parse_traceparent(changed)
    assert found is None or written(found, changed[:2]) == changed[:55]


@given(texts | st.text())
@example("")
@example(UNSAMPLED.upper())
@example(SAMPLED + "\n")
@example("\n" + SAMPLED)
@example(f"ff-{TRACE}-{SPAN}-01")
@example(f"ff-{TRACE}-{SPAN}-01-more")
@example(f"00-{TRACE}-{SPAN}-01-more")
@example(f"00-{'0' * 32}-{SPAN}-01")
@example(f"00-{TRACE}-{'0' * 16}-01")
@example(f"00-{TRACE}-{SPAN}-0\u0661")
def test_garbage_is_none(text):
    if re.fullmatch(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", text, re.ASCII) is None or text in (
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ):
        assert parse_traceparent(text) is None
    sampled_parent(text, text.encode())  # and raises nothing


@given(parents, st.none() | texts, st.sampled_from(["traceparent", "Traceparent", "TRACEPARENT"]))
def test_a_recorded_span_is_found_wherever_it_stands(parent, garbage, name):
    expected = parent if parent.is_sampled else None
    block = headers_block({"Nats-Msg-Id": "1", name: written(parent), "x-traceparent": OTHER})
    assert expected == sampled_parent(written(parent), b"")
    assert expected == sampled_parent(garbage, block) or parse_traceparent(garbage or "") is not None


@pytest.mark.parametrize(
    ("text", "header", "found"),
    [
        (SAMPLED, OTHER, THERE),
        (UNSAMPLED, OTHER, None),  # whoever made the envelope decided, and not the way that it took
        ("garbage", SAMPLED, THERE),
        (None, SAMPLED, THERE),
        (None, UNSAMPLED, None),
        (None, "garbage", None),
        (None, f"  {SAMPLED}\t ", THERE),
    ],
)
def test_the_envelope_comes_before_the_header(text, header, found):
    assert found == sampled_parent(text, f"NATS/1.0\r\ntraceparent:{header}\r\n\r\n".encode())


def test_a_header_of_another_name_is_none():
    assert sampled_parent(None, headers_block({"x-traceparent": SAMPLED, "tracestate": SAMPLED})) is None
