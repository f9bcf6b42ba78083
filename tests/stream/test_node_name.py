"""Two processes of one node's name: the second is told, whatever the first is busy with, and a dead one is no obstacle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from patience import eventually
from stream_support import Log, read, sequences

from projection.errors import StreamError
from projection.stream import node_name as node_name_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream, StreamConfig
from projection.stream.node_name import NodeName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from projection.stream.embedded import EmbeddedServer

TAKEN = r"another node reads stream .* as consumer 'me'; give each node its own node id"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process waits for as long as what a dead one asked for may outlive it."""
    monkeypatch.setattr(node_name_module, "EXPIRES_S", 2.0)


@pytest.fixture
async def other(nats_server: EmbeddedServer) -> AsyncIterator[Nats]:
    """Another process's connection."""
    async with await Nats.connect(NatsConnection(nats_server.url)) as connection:
        yield connection


def name_of(log: Log, nats: Nats | None = None) -> NodeName:
    return NodeName(JetStream(nats or log.nats), log.name, "me")


async def enter(name: NodeName, user: object = "feed") -> None:
    await name.enter(user, StreamConfig())


async def test_a_second_process_is_refused_while_the_first_lives_and_reads_nothing(log: Log, other: Nats) -> None:
    """The first need not read, nor ask for anything: it may be busy with what it has."""
    await log.publish(2_000)
    first, second = log.feed(node_name=name_of(log)), log.feed(nats=other, node_name=name_of(log, other))
    await first.open()
    with pytest.raises(StreamError, match=TAKEN):
        await second.open()
    assert log.ours == sequences(await read(first, 2_000))
    assert first.trouble is None
    await first.close()
    third = log.feed(nats=other, node_name=name_of(log, other))
    await third.open()
    assert log.ours == sequences(await read(third, 2_000))
    await third.close()
    await second.close()


async def test_feeds_of_one_process_share_its_name_until_the_last_one_leaves(log: Log, other: Nats) -> None:
    ours, theirs = name_of(log), name_of(log, other)
    await enter(ours, "one")
    await enter(ours, "two")
    await ours.leave("one")
    with pytest.raises(StreamError, match=TAKEN):
        await enter(theirs)
    await ours.leave("two")
    await ours.leave("two")
    again = name_of(log, other)
    await enter(again)
    await again.leave("feed")


async def test_a_process_that_died_is_no_obstacle(log: Log, nats_server: EmbeddedServer) -> None:
    dead = await Nats.connect(NatsConnection(nats_server.url))
    name = name_of(log, dead)
    await enter(name)
    name._keeping.cancel()
    await dead.close()
    heir = name_of(log)
    await enter(heir)
    await heir.leave("feed")


async def test_a_process_that_stands_still_is_no_obstacle_for_longer_than_its_last_word_holds(
    log: Log, other: Nats
) -> None:
    """Its connection stays open: so does that of a machine without power, for minutes."""
    frozen = name_of(log, other)
    await enter(frozen)
    frozen._keeping.cancel()
    heir = name_of(log)
    await enter(heir)
    await heir.leave("feed")


async def test_a_process_whose_name_was_taken_over_ends(log: Log, other: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been cut off for longer than its name was kept for it."""
    await log.publish(2_000)
    cut_off, name = asyncio.Event(), name_of(log)
    first = log.feed(node_name=name)
    await first.open()
    await read(first, 2_000)
    ask = name._jetstream.consumer_info

    async def ask_late(*args: object, **more: object) -> object:
        await cut_off.wait()
        return await ask(*args, **more)

    monkeypatch.setattr(name._jetstream, "consumer_info", ask_late)
    await log.jetstream.delete_consumer(log.name, "me")
    second = name_of(log, other)
    await enter(second)
    cut_off.set()
    with pytest.raises(StreamError, match=TAKEN):
        await read(first, 2_010)
    await first.close()
    assert second.taken is None
    await second.leave("feed")


async def test_a_name_is_claimed_again_where_the_server_forgot_it(own_server: EmbeddedServer, own_log: Log) -> None:
    name = name_of(own_log)
    await enter(name)
    own_server.kill()
    own_server.start()

    async def is_held() -> bool:
        try:
            found = await own_log.jetstream.consumer_info(own_log.name, "me")
        except StreamError:
            return False
        return found is not None and found.num_waiting > 0

    await eventually(is_held)
    assert name.taken is None
    await name.leave("feed")


async def test_a_server_that_does_not_answer_keeps_nobody_from_reading(
    log: Log, other: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked on; when it answers that the name is another's, the reading ends."""
    monkeypatch.setattr(node_name_module, "_RETRY_S", 0.01)
    await log.publish(10)
    first = name_of(log)
    await enter(first)
    name = name_of(log, other)
    ask, answers = name._jetstream.consumer_info, asyncio.Event()

    async def ask_in_vain(*args: object, **more: object) -> object:
        if not answers.is_set():
            raise StreamError("no answer")
        return await ask(*args, **more)

    monkeypatch.setattr(name._jetstream, "consumer_info", ask_in_vain)
    second = log.feed(nats=other, node_name=name)
    await second.open()
    assert log.ours == sequences(await read(second, 10))
    answers.set()
    with pytest.raises(StreamError, match=TAKEN):
        await read(second, 20)
    await second.close()
    await first.leave("feed")
