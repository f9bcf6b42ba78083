"""Two nodes behind a balancer are restarted one after the other, under load: no read fails, no event is lost or doubled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from engine_support import TALLIES, added
from node_support import Site
from ops_support import served
from patience import eventually
from rolling import RATE, TENANT, Balancer, Load, events_of_views

from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from pathlib import Path

    from ops_support import Served

    from projection.stream.embedded import EmbeddedServer

pytestmark = pytest.mark.long
AS_LONG_AS_IT_TAKES = {"drain_s": 3_600}
PROGRAM = TALLIES.replace("projection tallies", "projection fines")
READERS, FOLLOWERS = 3, 3


async def test_a_rolling_restart_under_load_fails_no_read_and_loses_or_doubles_no_event(
    nats_server: EmbeddedServer, stream_name: str, tmp_path: Path
) -> None:
    ports: list[int] = []
    for_readers, for_followers = Balancer(ports), Balancer(ports)
    async with AsyncExitStack() as all_nodes, asyncio.TaskGroup() as tasks:
        processes = [await all_nodes.enter_async_context(AsyncExitStack()) for _ in range(2)]

        async def start(number: int) -> Served:
            node = served(
                nats_server.url,
                stream_name,
                tmp_path / str(number),
                http=AS_LONG_AS_IT_TAKES,
                programs={"fines": PROGRAM},
                entry={"changes": True},
            )
            one = await processes[number].enter_async_context(node)
            await eventually(lambda: one.node.is_ready)
            return one

        nodes = [await start(0), await start(1)]
        nats = await all_nodes.enter_async_context(await Nats.connect(NatsConnection(nats_server.url)))
        publisher = Site(nats, nats_server.url, stream_name, tmp_path / "publisher")

        async def publish(ids: list[str]) -> int:
            return await publisher.publish([added(one, tenant=TENANT) for one in ids])

        async def ask_who_is_ready() -> None:
            ports[:] = [_port(one) for one in nodes if (await one.get("/ready")).status_code == 200]

        load = Load("fines", publish)
        first = await load.begin()
        for one in nodes:
            await one.until(first)
        await ask_who_is_ready()
        to_read = await all_nodes.enter_async_context(for_readers.serving())
        to_follow = await all_nodes.enter_async_context(for_followers.serving())
        publishing = tasks.create_task(load.publish_on())
        reading = [tasks.create_task(load.read_on(number, to_read)) for number in range(READERS)]
        following = [tasks.create_task(load.follow_on(number, to_follow)) for number in range(FOLLOWERS)]
        await eventually(lambda: for_followers.open.total() == FOLLOWERS)
        for number in (0, 1):
            leaving, left, staying = nodes[number], _port(nodes[number]), _port(nodes[1 - number])
            await load.some_reads(reading[0])
            leaving.node.drain()
            await load.some_reads(reading[0])  # until the balancer asks again
            await ask_who_is_ready()
            assert [staying] == ports
            await eventually(lambda port=left: not for_readers.open[port], reading[0])
            leaving.node.stop()  # as it does by itself once the grace is over
            await processes[number].aclose()
            await eventually(lambda port=staying: for_followers.open[port] == FOLLOWERS)
            await load.some_reads(reading[0])
            nodes[number] = await start(number)
            await ask_who_is_ready()
        last = await load.end(publishing)
        await asyncio.gather(*reading)
        followed = await asyncio.gather(*following)
        for one in nodes:
            await one.until(last)
            assert load.sent == await events_of_views(one.url, "fines")
    assert [load.sent] * FOLLOWERS == followed
    assert ({}, 0) == (load.broken, load.refused)
    assert {*range(FOLLOWERS)} == load.resets.keys(), "each was led to the other node at least once"
    print(f"{load.sent.total():,} events at {RATE} a second, {load.reads:,} reads, {load.resets.total()} resets")


def _port(one: Served) -> int:
    port = urlsplit(one.url).port
    assert port is not None
    return port
