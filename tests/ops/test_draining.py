"""A node that is to stop: it answers on, unready, until load balancers have seen it, and a rolling restart loses no read."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

import httpx
import pytest
from ops_support import fine, served
from patience import WITHIN_S, eventually

if TYPE_CHECKING:
    from ops_support import Served

AS_LONG_AS_IT_TAKES = {"drain_s": 3_600}
_READERS = 3
_SOME_READS = 10


async def test_a_node_that_drains_folds_and_answers_and_is_not_ready(nats_server, stream_name, tmp_path):
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=AS_LONG_AS_IT_TAKES) as one:
        assert "connection" not in (await one.get("/v1/views/fines/a")).headers
        one.node.drain()
        one.node.drain()
        told = await one.get("/ready")
        assert (503, False) == (told.status_code, told.json()["ready"])
        assert told.json()["troubles"]["node"].startswith("it is draining")
        assert "projection_ready 0" in (await one.get("/metrics")).text
        await one.publish([fine("a", 2)])
        answer = await one.get("/v1/views/fines/a")
        assert (200, 2) == (answer.status_code, answer.json()["view"]["n"])
        assert "close" == answer.headers["connection"]  # the next request finds another node
        assert not one.node.stopping.is_set()


@pytest.mark.parametrize("drain_s", [0, 1])
async def test_it_stops_once_the_grace_is_over(drain_s, nats_server, stream_name, tmp_path):
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http={"drain_s": drain_s}) as one:
        one.node.drain()
        assert one.node.stopping.is_set() == (drain_s == 0)
        await eventually(one.node.stopping.is_set)


class Balancer:
    """Sends reads in turn to the nodes that were ready when they were last asked, which may be a while ago."""

    def __init__(self) -> None:
        self.ready: list[str] = []
        self.reads: Counter[str] = Counter()

    async def probe(self, nodes: list[Served]) -> None:
        self.ready = [node.url for node in nodes if (await node.get("/ready")).status_code == 200]

    async def read_on(self, stopped: asyncio.Event) -> None:
        """Read until told otherwise; connections are kept for the next read, as long as nodes let them."""
        async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False) as reader:
            while not stopped.is_set():
                url = self.ready[self.reads.total() % len(self.ready)]
                answer = await reader.get(f"{url}/v1/views/fines/a", headers={"x-tenant-id": "t"})
                assert answer.status_code == 200, answer.text
                self.reads[url] += 1

    async def some_reads(self, url: str, reading: asyncio.Task[None]) -> None:
        before = self.reads[url]
        await eventually(lambda: self.reads[url] >= before + _SOME_READS, reading)


async def end_with(one: Served, process: AsyncExitStack) -> None:
    """End a server as soon as its node stops, as the command does."""
    await one.node.stopping.wait()
    await process.aclose()


async def test_a_rolling_restart_under_readers_fails_no_read_and_loses_no_event(nats_server, stream_name, tmp_path):
    balancer, stopped, numbers = Balancer(), asyncio.Event(), count(1)
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as all_nodes:
        processes = [await all_nodes.enter_async_context(AsyncExitStack()) for _ in range(2)]

        async def start(number: int) -> Served:
            events, folder = [fine("a", next(numbers))], tmp_path / str(number)
            node = served(nats_server.url, stream_name, folder, events, http=AS_LONG_AS_IT_TAKES)
            one = await processes[number].enter_async_context(node)
            await eventually(lambda: one.node.is_ready)
            return one

        nodes = [await start(0), await start(1)]
        await balancer.probe(nodes)
        reading = [tasks.create_task(balancer.read_on(stopped)) for _ in range(_READERS)]
        for number in (0, 1):
            leaving, staying = nodes[number], nodes[1 - number]
            await balancer.some_reads(leaving.url, reading[0])
            leaving.node.drain()
            ending = tasks.create_task(end_with(leaving, processes[number]))
            await balancer.some_reads(leaving.url, reading[0])  # until the balancer asks again
            assert not leaving.node.stopping.is_set()
            await balancer.probe(nodes)
            assert [staying.url] == balancer.ready
            await balancer.some_reads(staying.url, reading[0])  # all that were under way have been answered
            leaving.node.stop()  # as it does by itself once the grace is over
            await ending
            nodes[number] = await start(number)
            await balancer.probe(nodes)
        for node in nodes:
            await balancer.some_reads(node.url, reading[0])
        stopped.set()
        await asyncio.gather(*reading)
        last = await nodes[0].site.publish([fine("a", n := next(numbers))])
        for node in nodes:
            await node.until(last)
            assert n == (await node.get("/v1/views/fines/a")).json()["view"]["n"]
