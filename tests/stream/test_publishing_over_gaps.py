"""Publishing to a stream some of whose sequences hold no message: deleted ones, or what a cluster skipped."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from secrets import randbits
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
import pytest
from link import Link
from patience import eventually
from stream_support import Log, read

from projection.errors import StreamError
from projection.model.checkpoint import LanePosition
from projection.stream import publisher as publisher_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream, StreamCluster, StreamInfo
from projection.stream.publisher import Outgoing, Published, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from projection.stream.embedded import EmbeddedServer

FEW, MANY = 5, 100
TIME_BOX_S = 60.0


class Other:
    """Somebody else, with a connection of their own, who publishes to the log and deletes messages of it."""

    def __init__(self, nats: Nats, log: Log) -> None:
        self._nats = nats
        self._log = log

    async def publish(self, subject: str = "theirs.0", data: bytes = b"not ours") -> int:
        """Publish a message; its sequence."""
        answer = await self._nats.request(f"{self._log.name}.{subject}", data)
        return msgspec.json.decode(answer)["seq"]

    async def delete(self, sequence: int) -> None:
        await self._ask("STREAM.MSG.DELETE", seq=sequence)

    async def leave_gap(self, count: int) -> None:
        """Leave so many sequences that hold no message."""
        for sequence in [await self.publish() for _ in range(count)]:
            await self.delete(sequence)

    async def purge(self, **what: object) -> None:
        await self._ask("STREAM.PURGE", **what)

    async def _ask(self, what: str, **body: object) -> None:
        answer = await self._nats.request(f"$JS.API.{what}.{self._log.name}", msgspec.json.encode(body))
        assert msgspec.json.decode(answer)["success"]


@pytest.fixture
async def other(log: Log, nats_server: EmbeddedServer) -> AsyncIterator[Other]:
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        yield Other(nats, log)


def numbered(log: Log, count: int) -> Iterator[Outgoing]:
    return (Outgoing(f"{log.name}.ours.x", b"%d" % number) for number in range(count))


async def stored(log: Log) -> list[int]:
    """The numbers of our messages in the order in which the log holds them."""
    state = (await log.jetstream.stream_info(log.name)).state
    feed = log.feed(LanePosition(scanned=state.first_seq - 1))
    await feed.open()
    numbers = [int(message.data) for message in await read(feed, state.last_seq)]
    await feed.close()
    return numbers


def during_interruptions(monkeypatch: pytest.MonkeyPatch, *happens: Callable[[], Awaitable[object]]) -> None:
    """One after another happens in an interruption each, before the publisher asks what the stream holds."""
    settle, left = publisher_module._Publishing._settle, iter(happens)

    async def settled(publishing, waiting):
        if (happening := next(left, None)) is not None:
            await happening()
        return await settle(publishing, waiting)

    monkeypatch.setattr(publisher_module._Publishing, "_settle", settled)
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)


def cut_at(log: Log, *numbers: int) -> Callable[[int], None]:
    """Progress that loses the connection when so many messages are acknowledged."""

    def progress(number: int) -> None:
        if number in numbers:
            log.nats._client._transport.close()

    return progress


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside others"])
@pytest.mark.parametrize("window", [1, 3, 100])
async def test_sequences_without_a_message_are_passed_over_in_an_interruption(
    log: Log, other: Other, monkeypatch: pytest.MonkeyPatch, window: int, *, alone: bool
) -> None:
    during_interruptions(
        monkeypatch, lambda: other.leave_gap(1), lambda: other.leave_gap(2), lambda: other.leave_gap(70)
    )
    published = await publish_all(
        log.nats, log.name, numbered(log, 900), window=window, progress=cut_at(log, 200, 400, 600), alone=alone
    )
    assert Published(900, 1, 900 + 1 + 2 + 70) == published
    assert list(range(900)) == await stored(log)


async def test_a_gap_right_behind_our_last_message_is_passed_over(
    log: Log, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is refused there, for the end of the stream is not where it was."""
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    gaps = {10: 1, 30: 40, 50: 3}

    async def source() -> AsyncIterator[Outgoing]:
        for number, message in enumerate(numbered(log, 60)):
            await other.leave_gap(gaps.get(number, 0))
            yield message

    assert Published(60, 1, 60 + 44) == await publish_all(log.nats, log.name, source(), window=1, alone=True)
    assert list(range(60)) == await stored(log)


async def test_what_is_stored_out_of_turn_behind_a_gap_is_told(
    log: Log, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many under way, one is sent for the place that the end of the stream skips to."""
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)

    async def are_stored() -> bool:
        return (await log.jetstream.stream_info(log.name)).state.last_seq == 10

    async def source() -> AsyncIterator[Outgoing]:
        for number, message in enumerate(numbered(log, 60)):
            if number == 10:
                await eventually(are_stored)
                await other.leave_gap(5)
            yield message

    with pytest.raises(StreamError, match=r"holds another message at 16 .* the first 10 messages are stored in order"):
        await publish_all(log.nats, log.name, source(), alone=True)


async def test_a_stream_whose_last_sequences_hold_no_message_is_published_to(log: Log, other: Other) -> None:
    """Nothing is refused: it goes on where the stream ends, not where its last message is."""
    await other.leave_gap(3)
    assert Published(100, 4, 103) == await publish_all(log.nats, log.name, numbered(log, 100), alone=True)
    await other.purge()
    assert Published(100, 104, 203) == await publish_all(log.nats, log.name, numbered(log, 100), alone=True)


async def test_the_sequences_of_a_long_gap_are_not_asked_for_one_by_one(
    log: Log, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    request = log.nats.request

    async def counted(subject: str, *more: object, **others: object) -> bytes:
        asked.append(subject)
        return await request(subject, *more, **others)

    monkeypatch.setattr(log.nats, "request", counted)
    during_interruptions(monkeypatch, lambda: other.purge(seq=1_000_000))
    published = await publish_all(
        log.nats, log.name, numbered(log, 100), window=10, progress=cut_at(log, 50), alone=True
    )
    assert published.count == 100
    assert published.last > 1_000_000
    assert len(asked) < 50


async def test_a_stream_that_is_shorter_than_what_it_acknowledged_ends_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def make_anew() -> None:
        await eventually(log.reachable)
        await log.call("STREAM.DELETE")
        await log.create()

    during_interruptions(monkeypatch, make_anew)
    with pytest.raises(StreamError, match=r"ends at sequence 0, but .* up to 50; the first 50 messages are stored"):
        await publish_all(log.nats, log.name, numbered(log, 100), window=10, progress=cut_at(log, 50), alone=True)


async def test_what_another_leader_does_not_hold_yet_is_no_gap(
    log: Log, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two questions the leader changes; the next message came to the stream by a copy that was still on the wire."""
    leaders = ["a"]
    next_message, stream_info = JetStream.next_message, JetStream.stream_info

    async def asked_of_a_new_leader(self, *where: object) -> object:
        if leaders == ["a"]:
            leaders.append("b")
            return None
        return await next_message(self, *where)

    async def with_leader(self, stream: str) -> StreamInfo:
        return msgspec.structs.replace(await stream_info(self, stream), cluster=StreamCluster(leaders[-1]))

    monkeypatch.setattr(JetStream, "next_message", asked_of_a_new_leader)
    monkeypatch.setattr(JetStream, "stream_info", with_leader)
    during_interruptions(monkeypatch, lambda: other.publish("ours.x", b"50"))
    published = await publish_all(
        log.nats, log.name, numbered(log, 100), window=1, progress=cut_at(log, 50), alone=True
    )
    assert Published(100, 1, 100) == published
    assert list(range(100)) == await stored(log)


class Schedule:
    """What happens while messages are published over a link: cuts, and others who publish and delete."""

    def __init__(self, seed: int) -> None:
        dice = self._dice = random.Random(seed)
        self.alone = dice.random() < 0.5
        self.count = dice.randrange(50, 600)
        self.window = dice.choice((1, 5, 50, 2_048))
        kinds = ("gap", "cut", "cut and gap", "message", "deletion", "pause")
        happens = dice.choices(kinds, (3, 2, 3, 1, 2, 4), k=dice.randrange(1, 10))
        self._happens = sorted((dice.randrange(self.count), what) for what in happens)
        self._held: list[int] = []  # others' messages that are there

    async def carry_out(self, log: Log, other: Other, url: str) -> Published | StreamError:
        """What publishing comes to."""
        async with Link(url) as link, await Nats.connect(NatsConnection(link.url)) as nats:
            try:
                return await publish_all(
                    nats, log.name, self._source(log, other, link), window=self.window, alone=self.alone
                )
            except StreamError as error:
                return error

    async def _source(self, log: Log, other: Other, link: Link) -> AsyncIterator[Outgoing]:
        happens = list(self._happens)
        for number, message in enumerate(numbered(log, self.count)):
            while happens and happens[0][0] == number:
                await self._happen(happens.pop(0)[1], other, link)
            yield message

    async def _happen(self, what: str, other: Other, link: Link) -> None:
        if what.startswith("cut"):
            link.reset()
        if what.endswith("gap"):
            await other.leave_gap(self._dice.choice((1, 1, 2, 40)))
        if what == "message" and not self.alone:
            self._held.append(await other.publish())
        if what == "deletion" and self._held:
            await other.delete(self._held.pop(self._dice.randrange(len(self._held))))
        if what == "pause":
            await asyncio.sleep(self._dice.choice((0.0, 0.01)))


async def carry_out(seed: int, log: Log, server: EmbeddedServer) -> bool:
    """Whether all was published; else an error says how much, and that much is there."""
    schedule = Schedule(seed)
    log = await Log(log.jetstream, f"{log.name}_{seed}").create()
    async with await Nats.connect(NatsConnection(server.url)) as nats:
        came = await schedule.carry_out(log, Other(nats, log), server.url)
    found = await stored(log)
    if isinstance(came, Published):
        assert (schedule.count, list(range(schedule.count))) == (came.count, found)
        return True
    told = re.search(r"the first (\d+) messages are stored in order", came.message)
    assert told is not None, came
    assert list(range(int(told[1]))) == found[: int(told[1])], came
    return False


async def test_whatever_is_cut_published_and_deleted_all_is_there_in_order_or_it_is_told(
    log: Log, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.05)
    first = randbits(32)
    print(f"{FEW} schedules, seeds from {first} on")
    for seed in range(first, first + FEW):
        await carry_out(seed, log, nats_server)


@pytest.mark.long
async def test_many_schedules_of_cuts_and_gaps_leave_all_in_order_or_are_told(
    log: Log, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.05)
    first, until = randbits(32), monotonic() + TIME_BOX_S
    done: Counter[bool] = Counter()
    while sum(done.values()) < MANY or monotonic() < until:
        done[await carry_out(first + sum(done.values()), log, nats_server)] += 1
    print(
        f"{sum(done.values())} schedules, seeds from {first} on: {done[True]} published all, {done[False]} told why not"
    )
    assert done[True]
