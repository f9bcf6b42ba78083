"""A node, its server and its disk, all simulated but the node; everything that may happen to them is a method."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from unittest import mock

from machine_disk import Disk, KilledError
from machine_oracle import Expected, Generation, mismatch
from patience import WITHIN_S
from simulated_server import SimulatedServer
from simulated_time import SimulatedLoop, clocks_of
from structlog.testing import capture_logs

from projection.engine import builds, watchdog
from projection.engine.assembly import open_node
from projection.engine.parking import LaneHaltedError
from projection.errors import StreamError, StreamIdentityError
from projection.model.settings import Settings
from projection.store.changes import disagreements
from projection.stream import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.store.catalog import Catalog
    from projection.store.lmdb_store import LmdbLaneStore

STREAM = "events"
_WITHIN_S = 300.0  # of simulated time: whatever was wrong is well again, and the node has caught up
_MAX_ROUNDS = 50_000
_STARTS = 5
_CALM_S = 1.0  # in which nothing more goes wrong


class World:
    def __init__(
        self,
        deployed: Sequence[DeployedView],
        catalog: Catalog,
        folder: Path,
        *,
        lmdb: type[LmdbLaneStore] | None = None,
        pull: int = 2_000,
        bulk: bool = True,
        **back_pressure: int,
    ) -> None:
        self.loop = SimulatedLoop()
        self.server = SimulatedServer(self.loop)
        self.stream = self.server.create(STREAM, [">"])
        self.generations = [Generation(self.stream.created)]
        self.disk = Disk(lmdb, folder)
        self.disk.written = self._check
        self.failures: list[BaseException] = []
        self.loop.set_exception_handler(self._note)
        self.node: Node | None = None
        self._deployed, self._catalog, self._bulk = deployed, catalog, bulk
        self._settings = Settings(stream=STREAM, back_pressure={"linger_ms": 50, "in_flight": 2, **back_pressure})
        self._expected: dict[tuple[str, int], Expected] = {}
        self._seen: dict[str, tuple[int, int]] = {}  # scanned and applied, of each view type's last commit
        self._home: dict[str, int] = {}  # the generation that it belongs to
        self._context = ExitStack()
        self._context.enter_context(capture_logs())
        self._context.enter_context(clocks_of(self.loop, sys.modules))
        self._context.enter_context(mock.patch.object(builds, "LmdbLaneStore", self.disk))
        self._context.enter_context(mock.patch.object(opening, "_PULL_MESSAGES", pull))
        self._context.enter_context(mock.patch.object(watchdog, "Thread"))  # it looks at the wall's clock
        self.start()

    def close(self) -> None:
        self.crash()
        self._context.close()
        self.loop.close()

    # the node

    def start(self) -> None:
        """Start a process."""
        self.nats = self.server.connect()
        self.nats.bulk = self._bulk
        self.nats.acknowledging = self._check_acknowledgement
        self.running = self.loop.create_task(self._live())

    async def _live(self) -> None:
        with open_node(self._settings, self._deployed, self._catalog, self.nats) as node:
            self.node = node
            await node.run()

    @property
    def is_up(self) -> bool:
        return not self.running.done()

    def crash(self) -> None:
        """`kill -9`: whatever it was at, nothing of it reaches anybody any more."""
        self.nats.cut_off()
        self.disk.cut_off()
        self.loop.kill_threads()
        self.node = None
        while tasks := asyncio.all_tasks(self.loop):  # again: before Python 3.12 a `wait_for` may swallow it
            for task in sorted(tasks, key=asyncio.Task.get_name):  # the same in each run
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=WITHIN_S))

    def stop(self) -> None:
        """SIGTERM; the process is gone when this returns."""
        if self.node is not None:
            self.node.stop()
            self.run_until(lambda: not self.is_up, 60.0)
        assert self.node is None or not self.is_up, "it does not stop"
        self.crash()

    def run(self, rounds: int) -> None:
        """Let things go on for so many rounds of the event loop."""
        last = self.loop.rounds + rounds
        self.loop.run_until(lambda: self.loop.rounds >= last or not self.is_up)

    def run_for(self, seconds: float) -> None:
        self.run_until(lambda: not self.is_up, seconds)

    def run_until(self, done: Callable[[], bool], within_s: float = _WITHIN_S) -> None:
        end, last = self.loop.time() + within_s, self.loop.rounds + _MAX_ROUNDS
        self.loop.run_until(lambda: done() or self.loop.time() > end or self.loop.rounds > last)
        assert self.loop.rounds <= last, "it goes round and round"

    # the log

    def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        before = self.stream.last
        self.server.publish(subject, data, headers)
        self.generations[-1].messages += [self.stream.messages[one] for one in range(before + 1, self.stream.last + 1)]

    def lose_power(self, last: int) -> None:
        """The server's machine: what the stream stored behind a sequence is gone, and its number is given again."""
        self.server.kill()
        self.stream.cut(last)
        self.generations.append(self.generations[-1].cut(last))
        self.server.start()

    def recreate(self) -> None:
        self.server.delete(STREAM)
        self.stream = self.server.create(STREAM, [">"])
        self.generations.append(Generation(self.stream.created))

    def heal(self) -> None:
        """Everything that is wrong but what the log lost."""
        if not self.server.up:
            self.server.start()
        if self.server.frozen:
            self.server.thaw()
        self.nats.drop = self.nats.repeat = 0
        self.nats.latency_s, self.loop.thread_s = 0.0005, 0.001
        self.disk.commit_faults.clear()
        self.disk.read_faults.clear()

    # what must hold

    def settle(self) -> None:
        """Everything is well again: each view type comes to the end of the log, or has halted and had to."""
        self.heal()
        states = []
        for _ in range(_STARTS):
            if self.is_up:
                self.run_until(lambda: not self.is_up or self._is_at_rest())
                self.run_for(_CALM_S)
            self.require_no_failure()
            if self.node is not None and all(self._is_right(lane) for lane in self.node.lanes):
                return
            states.append(self.describe())
            self.crash()
            self.start()
        raise AssertionError("not well again: " + "\n".join(map(str, states)))

    def require_no_failure(self) -> None:
        if self.failures:
            raise self.failures[0]
        if self.running.done() and not self.running.cancelled():
            error = self.running.exception()
            if error is not None and not isinstance(error, StreamError):
                raise error

    def describe(self) -> dict[str, Any]:
        lanes = self.node.lanes if self.node is not None else ()
        told = {str(lane.view_type): (lane.scanned, self.scanned(str(lane.view_type)), lane.halted) for lane in lanes}
        return {**told, "stream": (self.stream.first, self.stream.last), "node": self.running}

    def _is_at_rest(self) -> bool:
        return self.node is not None and all(
            lane.halted is not None or self.scanned(str(lane.view_type)) == self.stream.last for lane in self.node.lanes
        )

    def _is_right(self, lane: Lane) -> bool:
        view_type = str(lane.view_type)
        generation, scanned = self.generations[-1], self.scanned(view_type)
        is_of_this_log = self.generations[self._home.get(view_type, -1)].common_with(generation) >= scanned
        if isinstance(lane.halted, StreamIdentityError):
            return not is_of_this_log or self.stream.first > scanned + 1
        if not is_of_this_log:
            return False
        if lane.halted is None:
            return scanned == self.stream.last
        whole = Expected(view_type)
        whole.advance(generation, len(generation.messages))
        return isinstance(lane.halted, LaneHaltedError) and whole.halted_at is not None and scanned < whole.halted_at

    @property
    def view_types(self) -> list[str]:
        return [str(one.entry.view_type) for one in self._deployed]

    def scanned(self, view_type: str) -> int:
        """How far the committed state of a view type is."""
        return self._seen.get(view_type, (0, 0))[0]

    def _note(self, _: object, context: dict[str, Any]) -> None:
        """An error that nobody waits for; a process that is killed, or cannot reach its server, may leave some."""
        error = context.get("exception") or AssertionError(context["message"])
        if not isinstance(error, StreamError | KilledError):
            self.failures.append(error)

    def _check(self, view_type: str) -> None:
        """After each commit; the node is told of a failure as well, and whoever runs the world."""
        try:
            self._require_whole(view_type)
        except AssertionError as error:
            self.failures.append(error)
            raise

    def _require_whole(self, view_type: str) -> None:
        store = self.disk.stores[view_type]
        position, audit = store.position(), store.audit()
        assert position.applied <= position.scanned
        assert audit.digest == audit.recomputed
        assert audit.views == audit.view_count
        with store.snapshot() as snapshot:
            assert disagreements(snapshot) == []
        before = self._seen.get(view_type, (0, 0))
        self._seen[view_type] = position.scanned, position.applied
        assert before[0] <= position.scanned, "it went back"
        assert before[1] <= position.applied, "it went back"
        wrong = []
        for number in reversed(range(len(self.generations))):
            problem = self._problem(view_type, number)
            if problem is None:
                self._home[view_type] = number
                return
            wrong.append(problem)
        raise AssertionError(f"{view_type} at {position} is the fold of no log there was: {wrong}")

    def _problem(self, view_type: str, number: int) -> Any:
        """Why a store is not the fold of one log up to its position."""
        store, generation = self.disk.stores[view_type], self.generations[number]
        position = store.position()
        if position.stream is None or position.stream.created != generation.created:
            return "another stream"
        if len(generation.messages) < position.scanned:
            return "behind its end"
        for sequence, time in (
            (position.scanned, position.scanned_time),
            (position.applied, position.applied_time),
        ):
            if sequence and time is not None and time != str(generation.messages[sequence - 1].time):
                return f"the message at {sequence} has another time"
        expected = self._expected.setdefault((view_type, number), Expected(view_type))
        expected.advance(generation, position.scanned)
        if expected.halted_at is not None:
            return f"it went past {expected.halted_at}"
        return mismatch(store, expected)

    def _check_acknowledgement(self, subject: str) -> None:
        _, _, _, consumer, _, sequence, *_ = subject.split(".")
        for reading in self.node._subscriptions.readings if self.node is not None else ():
            if consumer.startswith(f"{reading.feed._reader.consumer}_") and reading.members:
                committed = min(self.scanned(str(member.lane.view_type)) for member in reading.members)
                if int(sequence) > committed:
                    self.failures.append(AssertionError(f"{sequence} was acknowledged, {committed} is committed"))
