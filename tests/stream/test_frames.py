"""The parser in the library's place: the same deliveries in the same order, however the bytes come."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client, Srv
from nats.errors import ProtocolError
from patience import eventually
from stream_support import Log, read, sequences

from projection.errors import StreamError
from projection.model.event_format.headers import all_headers
from projection.stream import connection as connection_module
from projection.stream import frames as frames_module
from projection.stream.address import NatsConnection
from projection.stream.chain import Chain
from projection.stream.connection import Nats
from projection.stream.frames import FrameParser, read_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.stream.embedded import EmbeddedServer
    from projection.stream.frames import Delivery
    from projection.stream.port import Message

OURS, FOREIGN, NOBODYS = (1, 2), 3, 9  # subscriptions' numbers


class Recorder:
    """A receiver: its messages as a chain, everything else as it came, with its place between the messages."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.others: list[tuple[object, ...]] = []
        self.in_bulk = 0

    def receive(self, delivery: Delivery) -> None:
        problem = self.chain.add(delivery) if delivery.reply else "a status"
        if problem is not None:
            place = len(self.chain.messages)
            self.others.append((place, problem, delivery.subject, delivery.reply, delivery.data, delivery.headers))

    def receive_frames(self, data: bytes, position: int, sid: bytes) -> int:
        before = len(self.chain.messages)
        position = self.chain.add_frames(data, position, sid)
        self.in_bulk += len(self.chain.messages) - before
        return position


def without_spelling(message: Message) -> tuple[object, ...]:
    """A message with the names of its headers alone: the library keeps one of each, and not how it was written."""
    names = set(all_headers(message.headers)) - {"Status", "Description"}  # which it makes of the first line
    return msgspec.structs.astuple(msgspec.structs.replace(message, headers=b"")), names


class Wire:
    """A client of the library that has no connection: what it reads is what a test gives it, and nothing is sent."""

    def __init__(self, *, by_frames: bool) -> None:
        self.client = Client()
        self.client._flush_queue = asyncio.Queue()
        self.client._current_server = Srv(urlparse("nats://127.0.0.1:4222"))
        self.client.options = {"dont_randomize": True, "allow_reconnect": False}
        self.errors: list[str] = []
        self.client._error_cb = self._on_error
        if by_frames:
            read_frames(self.client)
        self.by_frames = by_frames
        self.received: dict[int, Recorder] = {}

    async def _on_error(self, error: Exception) -> None:
        self.errors.append(str(error))

    async def subscribe(self) -> None:
        for sid in (*OURS, FOREIGN):
            recorder = self.received[sid] = Recorder()

            async def receive(message, recorder=recorder) -> None:
                recorder.receive(message)

            subscription = await self.client.subscribe(f"inbox.{sid}", cb=receive, pending_msgs_limit=0)
            assert subscription._id == sid
            if self.by_frames and sid in OURS:
                self.client._ps.add(sid, recorder)
        self.client._pending.clear()

    async def read(self, pieces: Sequence[bytes]) -> str | None:
        """Read the pieces; the kind of error that ended it."""
        try:
            for piece in pieces:
                await self.client._ps.parse(piece)
        except ProtocolError as error:
            return type(error).__name__
        finally:
            for subscription in list(self.client._subs.values()):
                await subscription._pending_queue.join()
        return None

    def seen(self) -> object:
        return (
            {
                sid: (list(map(without_spelling, one.chain.messages)), one.chain.pending, one.others)
                for sid, one in self.received.items()
            },
            self.client._pending,  # an answer for each ping
            [server.uri.netloc for server in self.client._server_pool],  # learned from INFO
            self.errors,
        )

    async def end(self) -> None:
        for subscription in list(self.client._subs.values()):
            subscription._stop_processing()
            await asyncio.gather(subscription._wait_for_msgs_task, return_exceptions=True)


# --- any frames, in any pieces ----------------------------------------------------------------------------------------
subjects = st.sampled_from(["tenant.a.aggregate.fine.S1", "x", "é.ü", "MSG", "a\\b"])
payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\r\n", b"MSG x 1 5\r\nhello\r\n", b"PING\r\n", b'{"a": "MSG"}', b"\r", b"x" * 3_000]),
)
headers = st.sampled_from(
    [
        b"NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\nA: c\r\nd:e\r\n\r\n",
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 9\r\n\r\n",
        b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
    ]
)
controls = st.sampled_from(
    [
        b"PING\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
        b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n",
        b'INFO {"connect_urls":["10.0.0.1:4222","MSG:1"]}\r\n',
    ]
)
anywhere = st.sampled_from(["", "_INBOX.x", "$JS.ACK.S.C.1.4.4.77.0", "$JS.ACK.S.C.1.x.2.77.0", "$JS.ACK.S"])
sids = st.sampled_from([*OURS, *OURS, FOREIGN, NOBODYS, 12])
messages = st.tuples(st.just("message"), sids, subjects, anywhere, st.none() | headers, payloads)
# Mostly in order, as a consumer delivers: with a step that is wrong here and there.
in_chain = st.tuples(
    st.just("next"),
    st.sampled_from(OURS),
    subjects,
    st.sampled_from([(1, 1, "1")] * 20 + [(1, 3, "1"), (0, 1, "1"), (2, 1, "1"), (1, 0, "1"), (1, 1, "2")]),
    st.none() | st.none() | headers,
    payloads,
)
steps = st.lists(in_chain | in_chain | in_chain | messages | st.tuples(st.just("control"), controls), max_size=30)
forms = st.sampled_from(["$JS.ACK.S.C.{}", "$JS.ACK.hub.acc.S.C.{}", "$JS.ACK._.acc.S-1.C_2.{}.rnd"])


def stream(steps, form: str) -> list[bytes]:
    numbers = {sid: [0, 0] for sid in OURS}
    frames = []
    for kind, *step in steps:
        if kind == "control":
            frames.append(step[0])
            continue
        sid, subject, reply, header, payload = step
        if kind == "next":
            numbers[sid][0] += reply[0]
            numbers[sid][1] += reply[1]
            number, sequence = numbers[sid]
            reply = form.format(f"{reply[2]}.{sequence}.{number}.{1_700_000_000_000_000_000 + sequence}.{sequence % 7}")
        frames.append(frame(sid, subject, reply, payload, header))
    return frames


def frame(sid: int, subject: str, reply: str, payload: bytes, header: bytes | None = None) -> bytes:
    between = f" {reply} " if reply else " "
    if header is None:
        return f"MSG {subject} {sid}{between}{len(payload)}\r\n".encode() + payload + b"\r\n"
    line = f"HMSG {subject} {sid}{between}{len(header)} {len(header) + len(payload)}\r\n"
    return line.encode() + header + payload + b"\r\n"


def ordered(sid: int, numbers: Sequence[int], payload: bytes = b"{}") -> bytes:
    return b"".join(frame(sid, "a.b", f"$JS.ACK.S.C.1.{one}.{one}.77.0", payload) for one in numbers)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def broken_by(step: tuple[int, int, str]) -> list[tuple[object, ...]]:
    return [("next", 1, "x", one, None, b"{}") for one in [(1, 1, "1")] * 4 + [step] + [(1, 1, "1")] * 3]


@settings(max_examples=300)
@given(steps, forms, st.lists(st.integers(0, 100_000), max_size=12), st.sampled_from([0, 1, 7]))
@example([("next", 1, "x", (1, 1, "1"), None, b"\r\nMSG x 2 3\r\nabc\r\n")] * 4, "$JS.ACK.S.C.{}", [5, 70, 95], 0)
@example(broken_by((0, 1, "1")), "$JS.ACK.S.C.{}", [], 0)
@example(broken_by((2, 1, "1")), "$JS.ACK.S.C.{}", [], 0)
@example(broken_by((1, 0, "1")), "$JS.ACK.S.C.{}", [], 0)
@example(broken_by((1, 1, "2")), "$JS.ACK.hub.acc.S.C.{}.rnd", [], 0)
async def test_any_frames_in_any_pieces_come_as_by_the_librarys_own_parser(steps, form, places, every) -> None:
    data = b"".join(stream(steps, form))
    pieces = [data[at : at + every] for at in range(0, len(data), every)] if every else cut(data, places)
    wires = Wire(by_frames=True), Wire(by_frames=False)
    for wire in wires:
        await wire.subscribe()
        assert await wire.read(pieces) is None
        await wire.end()
    assert wires[0].seen() == wires[1].seen()
    assert isinstance(wires[0].client._ps, FrameParser) != isinstance(wires[1].client._ps, FrameParser)


async def test_what_goes_on_with_the_chain_is_taken_in_bulk_with_headers_or_without() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    with_headers = [
        frame(1, "a.b", f"$JS.ACK.S.C.1.{one}.{one}.77.0", b"{}", b"NATS/1.0\r\nA: b\r\n\r\n")
        for one in range(101, 201)
    ]
    await wire.read([ordered(1, range(1, 101)) + b"".join(with_headers)])
    assert len(wire.received[1].chain.messages) == 200
    assert wire.received[1].in_bulk == 199  # of the first one the form of the replies is learned
    assert {message.data for message in wire.received[1].chain.messages} == {b"{}"}
    await wire.end()


async def test_two_subscriptions_whose_frames_alternate_are_both_taken_in_bulk() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    await wire.read([b"".join(ordered(sid, [one]) for one in range(1, 51) for sid in OURS)])
    assert [wire.received[sid].in_bulk for sid in OURS] == [49, 49]
    await wire.end()


async def test_the_pieces_of_a_large_frame_are_kept_as_they_come_and_put_together_once() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    data = ordered(1, [1, 2]) + ordered(1, [3], b"x" * 1_000_000)
    pieces = [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    for number, piece in enumerate(pieces[:-1], 1):
        await wire.client._ps.parse(piece)
        assert len(wire.client._ps._parts) == number
    await wire.client._ps.parse(pieces[-1])
    assert [len(message.data) for message in wire.received[1].chain.messages] == [2, 2, 1_000_000]
    await wire.end()


@pytest.mark.parametrize(
    "garbage", [b"NONSENSE\r\n", b"\r\n", b"MSG a b c\r\n", b"MSG a x 5\r\nhello\r\n", b"msg a 1 0\r\n\r\n"]
)
async def test_what_is_no_frame_is_the_librarys_to_refuse(garbage: bytes) -> None:
    for by_frames in (True, False):
        wire = Wire(by_frames=by_frames)
        await wire.subscribe()
        assert await wire.read([ordered(1, [1, 2]) + garbage]) == "ProtocolError"
        wire.client._ps.reset()  # as the library does then
        assert await wire.read([ordered(1, [3]) + ordered(FOREIGN, [1])]) is None
        assert sequences(wire.received[1].chain.messages) == [1, 2, 3]
        assert sequences(wire.received[FOREIGN].chain.messages) == [1]
        await wire.end()


async def test_a_subject_that_is_no_utf_8_ends_nothing() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    bad = ordered(1, [3]).replace(b"a.b", b"a.\xff")
    assert await wire.read([ordered(1, [1, 2]) + bad + ordered(1, [4])]) is None
    assert [message.subject for message in wire.received[1].chain.messages] == ["a.b", "a.b", "a.\\xff", "a.b"]
    await wire.end()


async def test_an_error_of_the_server_ends_the_client_as_ever() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    await wire.read([ordered(1, [1]) + b"-ERR 'Authorization Violation'\r\n" + ordered(1, [2])])

    async def closed() -> bool:
        return wire.client.is_closed

    await eventually(closed)
    assert sequences(wire.received[1].chain.messages) == [1, 2]


async def test_what_comes_after_the_end_of_a_subscription_is_nobodys() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    await wire.read([ordered(1, [1, 2])])
    wire.client._ps.remove(1)
    await wire.client._subs[1].unsubscribe()
    await wire.read([ordered(1, [3]) + ordered(2, [1])])
    assert sequences(wire.received[1].chain.messages) == [1, 2]
    assert sequences(wire.received[2].chain.messages) == [1]
    await wire.end()


async def test_half_a_frame_of_a_lost_connection_is_forgotten() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()
    await wire.read([ordered(1, [1]) + ordered(1, [2])[:-10]])
    wire.client._ps.reset()
    await wire.read([b"PING\r\n" + ordered(1, [2, 3])])
    assert sequences(wire.received[1].chain.messages) == [1, 2, 3]
    assert [b"PONG\r\n"] == wire.client._pending
    await wire.end()


async def test_what_stands_behind_the_frame_that_ended_a_connection_is_forgotten() -> None:
    wire = Wire(by_frames=True)
    await wire.subscribe()

    async def reconnect(_message) -> None:
        wire.client._ps.reset()

    wire.client._process_err = reconnect
    await wire.read([ordered(1, [1]) + b"-ERR 'Stale Connection'\r\n" + ordered(1, [2, 3])])
    assert sequences(wire.received[1].chain.messages) == [1]
    await wire.end()


# --- only in the place of a parser that we know -----------------------------------------------------------------------
def test_the_library_that_is_installed_is_one_that_we_know() -> None:
    client = Client()
    read_frames(client)
    assert isinstance(client._ps, FrameParser)


@pytest.mark.parametrize("version", ["2.11.0", "2.17.0", "3.0.0", "0.0.0", "2", "two.0.1"])
def test_another_version_keeps_its_own_parser(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "version", lambda _: version)
    frames_module._library_is_known.cache_clear()
    try:
        client = Client()
        read_frames(client)
        assert not isinstance(client._ps, FrameParser)
    finally:
        frames_module._library_is_known.cache_clear()


class TestAnotherShape:
    class Parser:
        def parse(self, data: bytes) -> None: ...
        def reset(self) -> None: ...

    class NoReset:
        async def parse(self, data: bytes) -> None: ...

    @pytest.mark.parametrize("parser", [None, Parser(), NoReset()])
    def test_a_parser_that_works_otherwise_stays(self, parser: object) -> None:
        client = Client()
        client._ps = parser
        read_frames(client)
        assert client._ps is parser

    def test_a_client_without_the_parts_that_are_needed_stays_as_it_is(self) -> None:
        read_frames(object())
        client = Client()
        client._process_headers = None
        read_frames(client)
        assert not isinstance(client._ps, FrameParser)


# --- the real server --------------------------------------------------------------------------------------------------
async def test_messages_with_headers_are_events_too(log: Log) -> None:
    for number in range(50):
        headers = {"Nats-Msg-Id": str(number), "Trace": "é"} if number % 3 else None
        await log.nats.publish(f"{log.name}.ours.0", json.dumps(number).encode(), headers=headers)
    feed = log.feed()
    await feed.open()
    messages = await read(feed, 50)
    assert [b"%d" % number for number in range(50)] == [message.data for message in messages]
    await feed.close()


async def test_a_subject_that_is_no_utf_8_is_delivered(log: Log, nats_server: EmbeddedServer) -> None:
    server = urlparse(nats_server.url)
    with socket.create_connection((server.hostname, server.port)) as raw:
        raw.sendall(
            b"CONNECT {}\r\n"
            + b"".join(b"PUB %b.ours.%b 2\r\n{}\r\n" % (log.name.encode(), one) for one in (b"a", b"\xff", b"b"))
            + b"PING\r\n"
        )
        while b"PONG" not in raw.recv(4096):
            pass
    feed = log.feed()
    await feed.open()
    messages = await read(feed, 3)
    assert [f"{log.name}.ours.{one}" for one in ("a", "\\xff", "b")] == [message.subject for message in messages]
    await feed.close()


async def test_two_feeds_and_requests_share_a_connection(log: Log) -> None:
    await log.publish(3_000)
    feeds = [log.feed(consumer=name) for name in ("one", "two")]
    for feed in feeds:
        await feed.open()
    infos = [asyncio.create_task(log.jetstream.stream_info(log.name)) for _ in range(50)]
    results = await asyncio.gather(*(read(feed, 3_000) for feed in feeds))
    assert [log.ours] * 2 == [sequences(messages) for messages in results]
    assert {info.state.last_seq for info in await asyncio.gather(*infos)} == {3_000}
    for feed in feeds:
        await feed.close()


async def test_half_a_frame_that_comes_while_the_connection_is_given_up_does_not_reach_into_the_next(log: Log) -> None:
    client = log.nats._client
    await client._process_op_err(OSError())  # the parser is reset here, and what is under way is still read
    await client._ps.parse(b"MSG x 77 1000000\r\nhalf")

    async def lost() -> bool:
        return log.nats.losses > 0

    await eventually(lost)
    await eventually(log.reachable)


async def test_a_receiver_whose_library_is_another_gets_the_same(
    nats_server: EmbeddedServer, stream_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[list[tuple[object, ...]]] = []
    for replace in (read_frames, lambda client: None):
        monkeypatch.setattr(connection_module, "read_frames", replace)
        async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
            recorder = Recorder()
            subscription = await nats.subscribe_in_bulk(f"{stream_name}.>", recorder)
            for number in range(1, 40):
                await nats.publish(
                    f"{stream_name}.{number}", b"x" * number, reply=f"ack.by.S.C.1.{number}.{number}.7.0"
                )
            await nats.publish(f"{stream_name}.status", b"", headers={"A": "b"})

            async def all_came(recorder=recorder) -> bool:
                return len(recorder.others) == 1

            await eventually(all_came)
            assert (len(recorder.chain.messages), recorder.in_bulk > 0) == (39, replace is read_frames)
            received.append([recorder.chain.messages, recorder.others])
            await subscription.end()
            await subscription.end()
            if replace is read_frames:
                assert nats._client._ps._receivers == {}
            await nats.publish(f"{stream_name}.late", b"")
            assert await nats.request("$JS.API.INFO")
            assert len(recorder.others) == 1
    assert received[0] == received[1]
    with pytest.raises(StreamError, match="was closed"):
        await nats.subscribe_in_bulk("x", Recorder())
