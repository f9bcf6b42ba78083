"""Messages in a file: whatever a message holds, it comes back as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import DecodeError
from projection.model.event_format.headers import all_headers, chosen_headers, headers_block
from projection.stream.port import Message
from projection.stream.recorded import holds_envelope, is_recorded, recorded_line, recorded_message

NAMES = st.text("abcXYZ-_0", min_size=1, max_size=8)
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=20).map(str.strip)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5).map(
        lambda value: json.dumps(value).encode()
    ),
    st.sampled_from([b"", b" {} ", b"{\n}", b'{"a":1.10}', b'{"a":1e400}', b"\xff", b"NaN", b"[" * 10_000]),
)


@given(
    st.integers(1, 2**63 - 1),
    st.text(st.characters(min_codepoint=0x21, exclude_categories=("Cs",)), min_size=1, max_size=20),
    BODIES,
    st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, min_size=2, max_size=3)), max_size=3),
    st.integers(0, 4_000_000_000_999_999_999),
)
def test_a_message_comes_back_byte_for_byte(sequence, subject, body, headers, time):
    message = Message(sequence, subject, body, str(time), "", headers_block(headers))
    line = recorded_line(message)
    assert b"\n" not in line
    assert is_recorded(line)
    assert message == recorded_message(line, 99)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"subject":"a","body":1}', True),
        (b'{"subject":"a","body_base64":""}', True),
        (b'{"subject":"a"}', False),
        (b'{"event_type":"X","payload":{"subject":"a","body":1}}', False),
        (b'{"event_type":"X","subject":"a","body":1}', False),
        (b'{"subject":"a","body":1', False),
        (b'{"subject":' + b"[" * 100_000, False),
        (b"[]", False),
        (b'{"envelope":{"event_type":"X"}}', True),
        (b'{"event_type":"X","payload":{},"envelope":1}', False),
        (b'{"event_type":"X","payload":{"envelope":1}}', False),
    ],
)
def test_an_envelope_is_not_taken_for_one(line, expected):
    assert expected == is_recorded(line)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('"body_base64":"!"', "base64"),
        ('"body":1,"time":"yesterday"', "RFC 3339"),
        ('"body":1,"headers":{"a":1}', "headers"),
        ('"body":1,"headers":{"a":"b\\r\\nc: d"}', "holds the end of a line"),
        ('"body":1,"sequence":"7"', "sequence"),
        ('"body":1,"bodies":1', "bodies"),
        ('"body":1,"body_base64":""', "two bodies"),
        ('"body":1,"envelope":{}', "two bodies"),
        ('"envelope":{},"body_base64":""', "two bodies"),
    ],
)
def test_what_is_no_message_is_said(more, said):
    with pytest.raises(DecodeError) as error:
        recorded_message(f'{{"subject":"a",{more}}}'.encode(), 1)
    assert said in str(error.value)
    assert "D101" == error.value.code


def test_one_without_a_sequence_gets_the_next():
    assert 5 == recorded_message(b'{"subject":"a","body":1}', 5).sequence


def test_an_envelope_in_the_place_of_a_body_needs_no_subject():
    line = b'{"envelope":{"event_type":"X"},"headers":{"A":"b"}}'
    found = recorded_message(line, 3)
    assert ("", b'{"event_type":"X"}', {"A": "b"}) == (found.subject, found.data, all_headers(found.headers))
    assert (True, False) == (holds_envelope(line), holds_envelope(b'{"subject":"envelope","body":"envelope"}'))
    with pytest.raises(DecodeError, match="no subject"):
        recorded_message(b'{"body":1}', 1)


def test_headers_are_found_however_they_are_written():
    block = b"NATS/1.0\r\nX-Tenant:  north \r\nx-tenant: south\r\nOther: 1\r\nno colon\r\nEmpty:\r\n\r\n"
    assert {"x-tenant": "north", "empty": ""} == chosen_headers(block, ("x-tenant", "empty", "absent"))
    assert {"X-Tenant": "north", "x-tenant": "south", "Other": "1", "Empty": ""} == all_headers(block)
    assert {} == chosen_headers(b"", ("x-tenant",)) == all_headers(b"NATS/1.0\r\n\r\n")
