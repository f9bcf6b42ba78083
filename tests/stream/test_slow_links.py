"""A link that is slow: what is under way is what it moves in about a second, and nothing is moved twice for impatience."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest
from configured_server import ConfiguredServer
from hypothesis import given
from hypothesis import strategies as st
from link import Link
from stream_support import Log, read, sequences

from projection.stream import flow as flow_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.flow import Flow
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

MIB = 1024 * 1024


async def test_large_events_come_once_over_a_slow_link(
    log: Log, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.9 MB at 1 MB/s, with others' messages between them, so that the log is asked about them."""
    for _ in range(6):
        await log.publish(1, data=b"x" * 900_000)
        await log.publish(1, "theirs")
    async with (
        Link(nats_server.url, MIB) as wire,
        await Nats.connect(NatsConnection(wire.url)) as slow,
    ):
        feed = log.feed(nats=slow)
        await feed.open()
        assert log.ours == sequences(await read(feed, 12))
        # Once, on a machine that has time; whoever is starved may take silence for a loss, and then begins anew.
        assert wire.moved < 6 * 900_000 * 5
        await feed.close()


async def test_a_server_that_keeps_little_for_a_slow_client_is_asked_for_less(tmp_path: Path) -> None:
    """It sends the client away each time that more lies there; with less under way that ends."""
    with ConfiguredServer(tmp_path, max_pending=128 * 1024, max_payload=16 * 1024) as server:
        async with await Nats.connect(NatsConnection(server.url)) as nats:
            log = await Log(JetStream(nats), "L").create()
            await log.publish(1_500, data=b"x" * 2_000)
            async with Link(server.url, MIB) as wire, await Nats.connect(NatsConnection(wire.url)) as slow:
                feed = log.feed(nats=slow)
                await feed.open()
                assert log.ours == sequences(await read(feed, 1_500))
                assert wire.connections < 20
                await feed.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(flow_module, "monotonic", lambda: now[0])
    return now


async def test_a_link_that_is_reset_while_it_ends_closes_what_it_opened(nats_server: EmbeddedServer) -> None:
    """The tests' own link: what it leaves open fails whichever test runs when it is collected."""
    async with Link(nats_server.url) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(wire.url.rpartition(":")[2]))
        assert (await reader.read(4)) == b"INFO"
        wire.reset()
        await asyncio.sleep(0)
        wire.reset()
        while await reader.read(1024):
            pass
        writer.close()
    gc.collect()


def test_what_may_be_under_way_follows_the_link(clock: list[float]) -> None:
    flow = Flow(16 * MIB, 8)
    assert 256 * 1024 == flow.allowed
    for _ in range(10):
        clock[0] += 0.01
        flow.moved(flow.allowed)
    assert 16 * MIB == flow.allowed, "a fast link is used within some round trips"
    for _ in range(3):
        clock[0] += 1.0
        flow.moved(MIB)
    assert MIB == flow.allowed
    clock[0] += 10.0
    assert 256 * 1024 == flow.allowed


def test_a_lost_connection_asks_for_less_for_a_while(clock: list[float]) -> None:
    flow = Flow(16 * MIB, 8)
    flow.broke(0)
    assert 256 * 1024 == flow.allowed, "nothing was under way: it was no matter of that"
    flow.broke(200_000)
    assert 100_000 == flow.allowed
    for _ in range(100):
        flow.broke(flow.allowed)
    assert 16 * 1024 == flow.allowed
    for _ in range(20):
        clock[0] += 61.0
        flow.moved(32 * MIB)
    assert 16 * MIB == flow.allowed


@given(sizes=st.lists(st.integers(1, 4 * MIB), max_size=30), wait_s=st.floats(0, 3))
def test_any_message_passes_in_the_end(sizes: list[int], wait_s: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        now = [1_000.0]
        patch.setattr(flow_module, "monotonic", lambda: now[0])
        flow = Flow(2 * MIB, 8)
        for size in sizes:
            asked = 0
            while flow.request < size:
                assert flow.may_ask(0)
                asked += 1
                flow.did_not_fit(flow.request)
            assert asked < 20
            assert not flow.may_ask(flow.allowed)
            flow.moved(size)
            now[0] += wait_s
