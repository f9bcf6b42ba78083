"""Lines of a file as events, with errors that name the line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.headers import headers_block
from projection.stream.file_feed import MAX_LINE_BYTES, event_files, read_events, read_lines
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


@pytest.mark.parametrize(
    "body",
    [b"\xff" * MAX_ENVELOPE_BYTES, b'"' + b"x" * (MAX_ENVELOPE_BYTES - 2) + b'"'],
    ids=["no text", "a text"],
)
def test_a_body_of_the_size_of_the_largest_event_is_read_again_from_a_file(tmp_path: Path, body: bytes) -> None:
    message = Message(7, "shop." + "x" * 1_000, body, "1", "", headers_block({"a": "y" * 4_000}))
    path = tmp_path / "events.jsonl"
    path.write_bytes(recorded_line(message) + b"\n")
    ((_, line),) = read_events(path)
    assert message == recorded_message(line, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.sampled_from(["a.jsonl", "b.jsonl.gz", "B.jsonl", "events-10.jsonl", "events-2.jsonl", ".jsonl"]),
        st.lists(st.sampled_from([b"{}", b'{"a": 1}', b"", b"  "]), max_size=4),
        min_size=1,
    )
)
def test_a_folder_is_its_files_one_behind_the_other(tmp_path: Path, files: dict[str, list[bytes]]) -> None:
    folder = tmp_path / uuid4().hex
    folder.mkdir()
    (folder / "readme.txt").write_text("no events")
    (folder / "events.json").write_text("[]")
    for name, lines in files.items():
        data = b"\n".join(lines)
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    expected = [
        (f"line {number} of {str(folder / name)!r}", line)
        for name in sorted(files)
        for number, line in enumerate(files[name], 1)
        if line.strip()
    ]
    found = list(read_lines(folder))
    assert expected == [(line.place, line.data) for line in found]
    numbers = [line.number for line in found]
    assert sorted(set(numbers)) == numbers
    assert len(event_files(folder)) == len(files)
    for name in files:
        assert [data for _, data in read_events(folder / name)] == [line.data for line in read_lines(folder / name)]


def test_a_folder_without_files_of_events_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("a")
    with pytest.raises(ConfigurationError, match="holds no file of events"):
        list(read_lines(tmp_path))


def test_what_is_wrong_in_a_file_of_a_folder_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_bytes(b"{}\n{}\n")
    (tmp_path / "2.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1_000)[:-20])
    with pytest.raises(ConfigurationError, match=r"2\.jsonl\.gz' is not whole gzip data: .*, after line \d+"):
        list(read_lines(tmp_path))
