"""`projection dump`: a stream in a file, and back."""

from __future__ import annotations

import asyncio
import gzip
import json
import re

import pytest
from command_support import in_this_process, projection, refused

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


def test_chosen_places_get_pseudonyms_that_are_equal_in_all_files_of_one_key(dumped, stream_name, monkeypatch):
    folder, where, _ = dumped
    (folder / "key").write_text("a secret of the team\n")
    monkeypatch.setenv("OUR_KEY", "a secret of the team")
    json_only = ("--to", "1")
    chosen = ("--pseudonymize", "body.n", "--pseudonymize", "header.x-kind", "--pseudonymize", "subject.<id>")
    subjects = ("--subjects", f"{stream_name}.<id>")
    ended = projection("dump", "a.jsonl", *where, *json_only, *chosen, *subjects, "--key-file", "key", folder=folder)
    counts = {"body.n": 1, "header.x-kind": 1, "subject.<id>": 1}
    assert {"messages": 1, "last_sequence": 1, "pseudonymized": counts} == json.loads(ended.stdout), ended.stderr
    (found,) = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert {"Nats-Msg-Id": "m1"}.items() < found["headers"].items()
    assert re.fullmatch("[a-z]{5}", found["headers"]["X-Kind"])
    assert "event" != found["headers"]["X-Kind"]
    assert re.fullmatch(rf"{stream_name}\.[a-z]", found["subject"])
    with_variable = (*json_only, *chosen, *subjects, "--key-variable", "OUR_KEY")
    assert 0 == in_this_process("dump", "b.jsonl", *where, *with_variable, folder=folder).returncode
    assert (folder / "a.jsonl").read_bytes() == (folder / "b.jsonl").read_bytes()


def test_a_place_that_no_message_has_is_told(dumped):
    folder, where, _ = dumped
    (folder / "key").write_text("a secret of the team\n")
    chosen = ("--to", "1", "--pseudonymize", "body.m", "--key-file", "key")
    ended = in_this_process("dump", "c.jsonl", *where, *chosen, folder=folder)
    assert "body.m is in none of these messages, and nothing was replaced for it" in ended.stderr


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--pseudonymize", "body.n"), EXIT_USAGE, "needs a key"),
        (("--pseudonymize", "body.n", "--key-file", "k", "--key-variable", "K"), EXIT_USAGE, "name one --key-file or"),
        (("--pseudonymize", "body.n", "--key-file", "none"), EXIT_USAGE, "none cannot be read"),
        (("--pseudonymize", "body.n", "--key-variable", "NONE"), EXIT_USAGE, "variable NONE holds a key of 0 bytes"),
        (("--pseudonymize", "n", "--key-file", "key"), EXIT_USAGE, "is not where a part of an event can be"),
        (("--pseudonymize", "body.n", "--subjects", "a..b", "--key-file", "key"), EXIT_USAGE, "option --subjects"),
        (("--key-file", "key"), EXIT_USAGE, "go with --pseudonymize"),
        (("--pseudonymize", "body.n", "--key-file", "key"), EXIT_FAILED, "message 2 cannot be pseudonymized"),
    ],
)
def test_what_cannot_be_pseudonymized_is_said_and_leaves_nothing(dumped, options, status, said):
    folder, where, _ = dumped
    (folder / "key").write_text("a secret of the team\n")
    before = sorted(folder.iterdir())
    refused(in_this_process("dump", "x.jsonl", *where, *options, folder=folder), status, said)
    assert before == sorted(folder.iterdir())


def test_what_cannot_be_pseudonymized_can_be_left_out_and_is_counted(dumped):
    """An image among events would otherwise keep all of them from becoming fixtures."""
    folder, where, _ = dumped
    (folder / "key").write_text("0123456789abcdef")
    options = ("--pseudonymize", "body.n", "--key-file", "key", "--skip-unreadable")
    ended = in_this_process("dump", "x.jsonl", *where, *options, "--limit", 2, folder=folder)
    assert {"messages": 2, "last_sequence": 3, "skipped": 1, "pseudonymized": {"body.n": 2}} == json.loads(ended.stdout)
    assert "left 1 message out; the first: message 2 cannot be pseudonymized: its body is no JSON" in ended.stderr
    assert [1, 3] == [json.loads(line)["sequence"] for line in (folder / "x.jsonl").read_text().splitlines()]
    ended = in_this_process("dump", "y.jsonl", *where, "--skip-unreadable", folder=folder)
    refused(ended, EXIT_USAGE, "--skip-unreadable goes with --pseudonymize")


def test_a_message_whose_line_would_not_be_read_again_is_named(dumped, monkeypatch):
    folder, where, _ = dumped
    monkeypatch.setattr("projection.stream.file_feed.MAX_LINE_BYTES", 40)
    before = sorted(folder.iterdir())
    ended = in_this_process("dump", "x.jsonl", *where, folder=folder)
    refused(ended, EXIT_FAILED, "message 1 has 10 bytes: its line would have")
    assert before == sorted(folder.iterdir())


def test_a_stream_whose_beginning_is_gone_is_dumped_from_where_it_begins(dumped, stream_name):
    folder, where, _ = dumped

    async def trim() -> None:
        async with await Nats.connect(NatsConnection(where[1])) as nats:
            config = {"name": f"{stream_name}_T", "subjects": [f"{stream_name}_T.>"], "max_msgs": 2}
            await JetStream(nats)._call(f"STREAM.CREATE.{stream_name}_T", config, object)
            messages = [Outgoing(f"{stream_name}_T.a", b"%d" % number) for number in range(5)]
            await publish_all(nats, f"{stream_name}_T", messages)

    asyncio.run(trim())
    ended = in_this_process("dump", "late.jsonl", *where[:3], f"{stream_name}_T", folder=folder)
    assert 0 == ended.returncode, ended.stderr
    assert f"stream '{stream_name}_T' begins at 4: earlier messages are gone" in ended.stderr
    assert [4, 5] == [json.loads(line)["sequence"] for line in (folder / "late.jsonl").read_text().splitlines()]


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
