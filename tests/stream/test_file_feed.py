"""Lines of a file as events, with errors that name the line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.headers import headers_block
from projection.stream.file_feed import MAX_LINE_BYTES, read_events
from projection.stream.port import Message
from projection.stream.recorded import recorded_line, recorded_message

if TYPE_CHECKING:
    from pathlib import Path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.sampled_from([b"{}", b'{"a": 1}', b"", b"  ", b"\t{} "])), packed=st.booleans())
def test_every_line_that_is_not_blank_comes_with_its_number(tmp_path: Path, lines: list[bytes], packed: bool) -> None:
    path = tmp_path / ("events.jsonl.gz" if packed else "events.jsonl")
    data = b"\r\n".join(lines)
    path.write_bytes(gzip.compress(data) if packed else data)
    expected = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    assert expected == list(read_events(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*none\.jsonl"):
        next(read_events(tmp_path / "none.jsonl"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read after line 0: Is a directory"):
        next(read_events(tmp_path))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: b"{}\n" + data, lambda data: data[:40] + b"\0" * 40 + data[80:]]
)
def test_damaged_gzip_names_the_last_good_line(tmp_path: Path, damage) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b"".join(b'{"n": %d}\n' % number for number in range(1_000)))))
    with pytest.raises(ConfigurationError, match=r"events\.jsonl\.gz' is not whole gzip data: .*, after line \d+"):
        list(read_events(path))


def test_a_line_may_be_as_long_as_a_recorded_event_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    longest = b"x" * MAX_LINE_BYTES
    path.write_bytes(b"{}\n" + longest + b"\r\n{}\n")
    assert [(1, b"{}"), (2, longest), (3, b"{}")] == list(read_events(path))
    path.write_bytes(b"{}\n" + longest + b"x\n")
    with pytest.raises(ConfigurationError, match=f"line 2 of .* has more than {MAX_LINE_BYTES} bytes"):
        list(read_events(path))
    path.write_bytes(b"{}\n" + longest + b"x" * 1_000_000)
    with pytest.raises(ConfigurationError, match="line 2 of"):
        list(read_events(path))


@pytest.mark.parametrize("body", [b"\xff" * MAX_ENVELOPE_BYTES, b'"' + b"x" * (MAX_ENVELOPE_BYTES - 2) + b'"'])
def test_a_body_of_the_size_of_the_largest_event_is_read_again_from_a_file(tmp_path: Path, body: bytes) -> None:
    message = Message(7, "shop." + "x" * 1_000, body, "1", "", headers_block({"a": "y" * 4_000}))
    path = tmp_path / "events.jsonl"
    path.write_bytes(recorded_line(message) + b"\n")
    ((_, line),) = read_events(path)
    assert message == recorded_message(line, 1)
