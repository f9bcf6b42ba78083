"""Nodes on disks and loops that are slow in random ways: cutovers, stops and cancellations, at every await there is."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from random import Random
from secrets import randbits
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from engine_support import added
from node_in_memory import KINDS, Folder, MemoryFeed, a_log, of, two_view_types
from simulated_time import SimulatedLoop, clocks_of
from structlog.testing import capture_logs

from projection.engine import watchdog
from projection.engine.cutover import Cutover
from projection.engine.lane import Lane
from projection.errors import StorageError
from projection.model.settings import BackPressure
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node

_WITHIN_S = 120.0  # of simulated time: the node has ended


class SlowLoop(SimulatedLoop):
    """Each piece of work in a thread begins and ends after a time of its own; cancelling whoever waits ends no thread."""

    def __init__(self, random: Random, slowest_s: float) -> None:
        super().__init__()
        self.random = random
        self.slowest_s = slowest_s
        self.at_work: object = None  # the thread whose work is being done
        self.threads: set[object] = set()  # that have not ended

    def delay(self) -> float:
        return self.random.random() ** 3 * self.slowest_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        thread = object()

        def work() -> None:
            if future.cancelled():  # it had not begun
                return
            self.at_work = thread
            self.threads.add(thread)
            try:
                tell, outcome = future.set_result, func(*args)
            except Exception as error:  # noqa: BLE001 - it is told to who waits
                tell, outcome = future.set_exception, error
            self.call_later(self.delay(), end, tell, outcome)

        def end(tell: Callable[[Any], None], outcome: Any) -> None:
            self.threads.discard(thread)
            if not future.done():
                tell(outcome)

        self.call_later(self.delay(), work)
        return future

    def stall(self, seconds: float) -> None:
        """Something holds up the loop."""
        self._leaping.now += seconds


class WatchedStore(MemoryLaneStore):
    """A store that notes who writes to it when; `wrong` says what no store may see."""

    def __init__(self, loop: SlowLoop, fold_identity: str, fault: float = 0.0) -> None:
        super().__init__(fold_identity)
        self.is_closed = False
        self.wrong: list[str] = []
        self._loop = loop
        self._fault = fault
        self._writer: object = None

    def _begin_to_write(self) -> None:
        if self.is_closed:
            self.wrong.append("it was written after it was closed")
        if self._writer in self._loop.threads and self._writer is not self._loop.at_work:
            self.wrong.append("two threads write to it")
        self._writer = self._loop.at_work
        if self._loop.random.random() < self._fault:
            raise StorageError("the disk is full", code="storage.full")

    def commit(self, *args: Any) -> None:
        self._begin_to_write()
        super().commit(*args)

    def build_indexes(self, *args: Any) -> bool:
        self._begin_to_write()
        return super().build_indexes(*args)

    def close(self) -> None:
        if self._writer in self._loop.threads:
            self.wrong.append("it was closed while a thread wrote to it")
        self.is_closed = True


class SlowFeed(MemoryFeed):
    """Implements `Feed` on a log that grows, over a wire that takes its time."""

    async def next_batch(self) -> Any:
        await _sleep()
        return await super().next_batch()

    async def caught_up(self) -> bool:
        await _sleep()
        return await super().caught_up()

    async def acknowledge(self, sequence: int) -> None:
        await _sleep()

    async def close(self) -> None:
        await _sleep()

    forget = close


async def _sleep() -> None:
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(loop.delay() / 10)


class Life:
    """A node with a new build for each of two view types, from its start to its end."""

    def __init__(self, deployed: Sequence[DeployedView], seed: int) -> None:
        self.random = Random(seed)
        self.loop = SlowLoop(self.random, self.random.choice([0.001, 0.05, 0.3]))
        self.folder = Folder(deployed, a_log())
        fault = self.random.choice([0.0, 0.0, 0.3])
        self.stores: dict[Any, WatchedStore] = {}  # by view type and build
        for one in deployed:
            for build in (0, 1):
                self.stores[one.entry.view_type, build] = WatchedStore(self.loop, one.fold_identity, fault)
            self.folder.stores[one.entry.view_type] = self.stores[one.entry.view_type, 0]
        self.served: list[str] = []
        self.is_cut_short = self.random.random() < 0.5
        self.lost: list[dict[str, Any]] = []  # what nobody waited for
        self.loop.set_exception_handler(lambda _, context: self.lost.append(context))

    def node(self) -> Node:
        new = [Lane(one, self.stores[one.entry.view_type, 1], build=1) for one in self.folder.deployed]

        def cutovers(_: Lane) -> list[Cutover]:
            return [
                Cutover(lane, self.folder.lanes[lane.view_type], lambda lane=lane: self.served.append(lane.view_type))
                for lane in new
            ]

        with mock.patch("node_in_memory.MemoryFeed", SlowFeed):
            node = self.folder.node(new, cutovers)
        chosen = self.random.choice
        node.back_pressure = BackPressure(patience_ms=chosen([0, 5, 500]), work_ms=chosen([5, 250]))
        node._stop_timeout_s = chosen([0.0, 0.02, 0.5, 60.0])
        return node

    def run(self) -> None:
        node = self.node()
        with mock.patch("node_in_memory.MemoryFeed", SlowFeed):
            self.loop.run_until_complete(self._live(node))
        node.close()
        self.loop.run_until_complete(self._end_of_threads())
        self.check(node)

    async def _live(self, node: Node) -> None:
        running = asyncio.create_task(node.run())
        publishing = asyncio.create_task(self._publish())
        stop = self.random.choice([node.stop, running.cancel])
        if self.is_cut_short:
            await asyncio.sleep(self.random.random() ** 2 * 20 * self.loop.slowest_s)
        else:
            async with asyncio.timeout(_WITHIN_S):
                while len(self.served) < len(KINDS) or not self.is_at_end or not publishing.done():
                    assert not running.done(), running.result()
                    await asyncio.sleep(0.01)
        stop()
        async with asyncio.timeout(_WITHIN_S):
            with suppress(asyncio.CancelledError):
                await running
        publishing.cancel()

    async def _publish(self) -> None:
        for number in range(self.random.randrange(20)):
            await asyncio.sleep(self.loop.delay())
            if self.random.random() < 0.2:
                self.loop.stall(self.loop.delay())
            kind = self.random.choice([*KINDS.values()])
            self.folder.log.add(of(kind, added("xyz"[number % 3], 1)), subject=f"tenant.a.aggregate.{kind}.1")

    async def _end_of_threads(self) -> None:
        """What is left of an abandoned node is canceled, as when a loop is closed; then the disk answers at last."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        while self.loop.threads:  # noqa: ASYNC110 - of a disk
            await asyncio.sleep(0.01)

    @property
    def is_at_end(self) -> bool:
        return all(self.stores[name, 1].position().scanned == self.folder.log.last for name in KINDS)

    def check(self, node: Node) -> None:
        assert self.lost == []
        for (name, build), store in self.stores.items():
            assert (name, build, store.wrong) == (name, build, [])
            until = store.position().scanned
            assert store.audit().agrees
            assert self.folder.expected(until)[name] == str(store.digest())
            if not node.abandoned:
                assert store.is_closed
        assert [lane.halted for lane in node.lanes] == [None] * len(node.lanes)
        if not node.abandoned:
            assert [lane.position.scanned for lane in node.lanes] == [lane.scanned for lane in node.lanes]
        if not self.is_cut_short:
            assert sorted(KINDS) == sorted(self.served)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Sequence[DeployedView]:
    return two_view_types(tmp_path_factory.mktemp("slow"))


def live(deployed: Sequence[DeployedView], seed: int) -> None:
    life = Life(deployed, seed)
    try:
        with capture_logs() as logged, clocks_of(life.loop, sys.modules), mock.patch.object(watchdog, "Thread"):
            life.run()
        assert [line for line in logged if "fault" in line["event"]] == []
    except BaseException:
        print(f"SLOW_DISK_SEED={seed}")
        raise
    finally:
        life.loop.close()


def seeds(count: int) -> range:
    given = os.environ.get("SLOW_DISK_SEED")
    first = int(given) if given else randbits(32)
    return range(first, first + (1 if given else count))


def test_cutovers_stops_and_cancellations_at_any_moment_end_well_however_slow_the_disk_is(deployed):
    for seed in seeds(60):
        live(deployed, seed)


@pytest.mark.long
def test_cutovers_stops_and_cancellations_end_well_at_many_more_moments(deployed):
    chosen = seeds(5_000)
    print(f"{len(chosen)} lives from seed {chosen.start}")
    for seed in chosen:
        live(deployed, seed)
