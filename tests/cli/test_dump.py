"""`projection dump`: a stream in a file, and back."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from command_support import projection, refused

from projection.errors import EXIT_FAILED, EXIT_USAGE
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

MESSAGES = [
    Outgoing("{stream}.a", b'{"n":1.10}', {"Nats-Msg-Id": "m1", "X-Kind": "event"}),
    Outgoing("{stream}.b", b"\xff\x00", None),
    Outgoing("{stream}.a", b'{\n"n": 2}', None),
    Outgoing("{stream}.c.d", b"", {"Empty": ""}),
    Outgoing("{stream}.a", b"", {"KV-Operation": "DEL"}),  # a tombstone, which is no event
]


def prepare(url: str, stream: str) -> None:
    async def publish() -> None:
        async with await Nats.connect(NatsConnection(url)) as nats:
            await JetStream(nats).ensure_stream(stream, [f"{stream}.>"])
            messages = [one._replace(subject=one.subject.format(stream=stream)) for one in MESSAGES]
            await publish_all(nats, stream, messages)

    asyncio.run(publish())


@pytest.fixture
def dumped(nats_server, stream_name, tmp_path):
    """A folder, the arguments that name server and stream, and the lines of its dump."""
    prepare(nats_server.url, stream_name)
    where = ("--url", nats_server.url, "--stream", stream_name)
    ended = projection("dump", "all.jsonl", *where, folder=tmp_path)
    assert (0, {"messages": 4, "last_sequence": 4}) == (ended.returncode, json.loads(ended.stdout)), ended.stderr
    assert f"wrote 4 messages of stream '{stream_name}' to all.jsonl" in ended.stderr
    return tmp_path, where, [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]


def test_each_message_is_a_line_with_all_that_the_stream_holds_of_it(dumped, stream_name):
    _, _, lines = dumped
    assert [1, 2, 3, 4] == [one.pop("sequence") for one in lines]
    assert all(one.pop("time").endswith("Z") for one in lines)
    assert [
        {"subject": f"{stream_name}.a", "headers": {"Nats-Msg-Id": "m1", "X-Kind": "event"}, "body": {"n": 1.1}},
        {"subject": f"{stream_name}.b", "body_base64": "/wA="},
        {"subject": f"{stream_name}.a", "body_base64": "ewoibiI6IDJ9"},
        {"subject": f"{stream_name}.c.d", "headers": {"Empty": ""}, "body_base64": ""},
    ] == lines
    assert '"body":{"n":1.10}' in (dumped[0] / "all.jsonl").read_text()


def test_what_was_dumped_can_be_loaded_and_dumped_again(dumped, stream_name):
    folder, (_, url, *_), lines = dumped
    again = f"{stream_name}_again"
    moved = (folder / "all.jsonl").read_text().replace(stream_name, again)
    (folder / "moved.jsonl").write_text(moved)
    where = ("--url", url, "--stream", again)
    ended = projection("load", "moved.jsonl", "--create", *where, folder=folder)
    assert (0, 4) == (ended.returncode, json.loads(ended.stdout)["events"]), ended.stderr
    ended = projection("dump", "again.jsonl.gz", *where, folder=folder)
    assert 0 == ended.returncode, ended.stderr
    found = [json.loads(line) for line in gzip.decompress((folder / "again.jsonl.gz").read_bytes()).splitlines()]
    for one in (*found, *lines):
        del one["time"]
    assert found == json.loads(json.dumps(lines).replace(stream_name, again))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--from", "2"), [2, 3, 4]),
        (("--from", "2", "--to", "3"), [2, 3]),
        (("--to", "1"), [1]),
        (("--limit", "2"), [1, 2]),
        (("--subject", "{stream}.a"), [1, 3]),
        (("--subject", "{stream}.c.>"), [4]),
        (("--from", "9"), []),
    ],
)
def test_a_part_of_a_stream(dumped, stream_name, options, expected):
    folder, where, _ = dumped
    chosen = [one.format(stream=stream_name) for one in options]
    ended = projection("dump", "part.jsonl", *where, *chosen, folder=folder)
    assert 0 == ended.returncode, ended.stderr
    assert expected == [json.loads(line)["sequence"] for line in (folder / "part.jsonl").read_text().splitlines()]


def test_a_file_that_exists_is_left_as_it_is(dumped):
    folder, where, _ = dumped
    before = (folder / "all.jsonl").read_bytes()
    refused(projection("dump", "all.jsonl", *where, folder=folder), EXIT_USAGE, "all.jsonl exists already")
    assert before == (folder / "all.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("x.jsonl", "--subject", "a..b"), EXIT_USAGE, "is not a subject filter"),
        (("none/x.jsonl",), EXIT_USAGE, "cannot be written"),
        (("x.jsonl", "--stream", "no_such_stream"), EXIT_FAILED, "no_such_stream"),
    ],
)
def test_what_cannot_be_dumped_is_said_and_leaves_nothing(dumped, arguments, status, said):
    folder, where, _ = dumped
    before = sorted(folder.iterdir())
    ended = projection("dump", *arguments[:1], *where, *arguments[1:], folder=folder)
    refused(ended, status, said)
    assert before == sorted(folder.iterdir())
