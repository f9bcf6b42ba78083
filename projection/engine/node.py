"""The node: the lanes of one process, the readings by which they follow the log, and what becomes of both.

Lanes that stand at about the same place share one reading. A lane that is far behind, or whose store or program holds
up the others, reads by itself and comes back once it is level.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Self

import structlog

from projection.engine.collector import calm_collector
from projection.engine.committer import Committer, Workshop
from projection.engine.indexing import build_indexes
from projection.engine.reading import Reading
from projection.engine.successions import Succession, fewer_messages
from projection.engine.summary import Summary
from projection.engine.watchdog import Watchdog
from projection.errors import StorageError, StreamIdentityError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.durations import Durations
    from projection.engine.lane import Lane
    from projection.errors import ProjectionError
    from projection.model.ids import ViewType
    from projection.model.parked import Suspension
    from projection.model.settings import BackPressure
    from projection.store.catalog import Build
    from projection.store.port import ViewReader
    from projection.stream.port import Feed

log = structlog.get_logger()

_HELD_UP_S = 5.0  # that the event loop may take to come round
_LONGEST_ALONE_S = 60.0  # that a lane which holds up the others again and again reads by itself
_TICK_S = 0.25  # between two looks at readings that say nothing


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    events: int  # read so far
    pending: int  # that the server still holds


class Node:
    """The lanes of one process. `run` follows the log; `troubles` says what keeps the node from being well."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        feeds: Callable[[Sequence[Lane], bool], Feed],
        back_pressure: BackPressure,
        stop_timeout_s: float = 10.0,
        successions: Sequence[Succession] = (),
    ) -> None:
        """A node that is still.

        Args:
            lanes: open; they are the node's to close.
            feeds: a closed feed for some lanes: the one that all can share, or one for a lane by itself.
            back_pressure: how much may be under way.
            stop_timeout_s: how long the last commits may take.
            successions: which lanes are to take the place of which.
        """
        self.lanes = list(lanes)
        self.back_pressure = back_pressure
        self.stopping = asyncio.Event()
        self.wants_ends = False
        self.abandoned = False  # a batch could not be committed in time, and is folded again at the next start
        self.workshop = Workshop(len(lanes), back_pressure.patience_ms / 1000)
        self._feeds = feeds
        self._stop_timeout_s = stop_timeout_s
        self._members = {lane: Committer(lane, self.workshop, self.changed) for lane in lanes}
        self._successions = list(successions)
        self._shared: Reading | None = None
        self._readings: dict[Reading, asyncio.Task[None]] = {}
        self._parted: dict[Committer, tuple[int, float]] = {}  # how often a lane parted; until when it stays alone
        self._read_before = 0  # messages, by readings that have ended
        self._building: dict[Lane, asyncio.Task[None]] = {}  # of indexes, in the background
        self._finishing: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        self._told: dict[str, str] = {}
        self._suspended: set[tuple[ViewType, int, Suspension]] = set()
        self.refused: list[ProjectionError] = []  # builds that may not take the place of others, and why
        self._watchdog = Watchdog(_HELD_UP_S, self.changed)

    def close(self) -> None:
        """Close the stores of all lanes; idempotent. After an abandoned batch they are the process's to close."""
        self.workshop.close()
        if not self.abandoned:
            for lane in self.lanes:
                lane.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Ask `run` to end: nothing more is asked of the server, and what is folded is committed; idempotent."""
        if not self.stopping.is_set():
            log.info("the node is stopping")
        self.stopping.set()
        self.changed()

    @property
    def events(self) -> int:
        """Messages read; one that two readings read counts twice."""
        return self._read_before + sum(reading.events for reading in self._readings)

    def reader_of(self, build: Build) -> ViewReader | None:
        """The store of a build that this node has open; it stays the node's to close. None of others."""
        return next((lane.store for lane in self.lanes if _is_of(lane, build.view_type, build.number)), None)

    def level_at(self, view_type: ViewType, build: int) -> tuple[int, float] | None:
        """See `Freshness.level_at`: by the last look at the log, of whoever reads for the build."""
        for reading in self._readings:
            if any(_is_of(member.lane, view_type, build) for member in reading.members):
                return reading.feed.level
        return None

    @property
    def durations(self) -> dict[Lane, Durations]:
        """How long the commits of each lane took."""
        return {lane: member.durations for lane, member in self._members.items()}

    @property
    def is_ready(self) -> bool:
        """Whether the node follows the log with all its lanes."""
        return not self.stopping.is_set() and not self.troubles()

    def troubles(self) -> dict[str, str]:
        """What keeps the node from following the log, by what it concerns; empty while all is well."""
        found = {}
        if self._watchdog.held_up:
            found["node"] = "it is held up"
        for lane, member in self._members.items():
            trouble = lane.halted or member.breaker.trouble
            if trouble is not None:
                found[f"view type {lane.view_type}"] = f"{'halted: ' if lane.halted else ''}{trouble.message}"
        for reading in self._readings:
            if reading.trouble is not None:
                found["stream"] = reading.trouble.message
        return found

    async def run(
        self, *, until_caught_up: bool = False, on_progress: Callable[[Progress], None] | None = None
    ) -> Summary:
        """Follow the log until stopped, until every lane has halted, or until there is nothing more to read.

        Raises:
            StreamError: the stream cannot be read at all, or another node reads under this node's name.
        """
        began = perf_counter()
        self.wants_ends = until_caught_up
        async with self._watchdog:
            with calm_collector():
                try:
                    await self._begin()
                    for lane, member in self._members.items():
                        self._building[lane] = asyncio.create_task(self._build_indexes(member))
                    while self._readings and not self.stopping.is_set():
                        await self._hear()
                        self._tend()
                        await self._let_succeed()
                        if on_progress is not None:
                            on_progress(Progress(self.events, await self._pending()))
                        if until_caught_up and self._is_level_everywhere():
                            self.stopping.set()
                finally:
                    await self._end()
        return Summary.of(self.lanes, self.events, perf_counter() - began)

    # readings

    async def _begin(self) -> None:
        """The most lanes that stand near one another share a reading, the others begin by themselves."""
        near = max((self._near(lane) for lane in self.lanes), key=len)
        feed = self._feeds(near, True)
        for lane in self.lanes:
            try:
                await feed.check(lane.here(lane.position.stream))
            except StreamIdentityError as error:
                self.halt(self._members[lane], error)
        near = [lane for lane in near if lane.halted is None]
        if near:
            self._shared = Reading(self._feeds(near, True), [self._members[lane] for lane in near], self)
            await self._shared.feed.open()
            self._start(self._shared)
        for lane in self.lanes:
            if lane.halted is None and lane not in near:
                self._start(self._own_reading(self._members[lane]))

    def _near(self, first: Lane) -> list[Lane]:
        """The lanes that can share a reading which begins where this one stands."""
        end = first.scanned + self.back_pressure.batch
        return [
            lane
            for lane in self.lanes
            if first.scanned <= lane.scanned <= end and _events_of(lane) == _events_of(first)
        ]

    def _own_reading(self, member: Committer) -> Reading:
        return Reading(self._feeds([member.lane], False), [member], self)

    def _start(self, reading: Reading) -> None:
        task = self._readings[reading] = asyncio.create_task(reading.run())
        task.add_done_callback(lambda _: self.changed())

    async def _hear(self) -> None:
        """Wait for news, and for a moment at most."""
        try:
            await asyncio.wait_for(self._news.wait(), _TICK_S)
        except TimeoutError:
            return
        finally:
            self._news.clear()

    def _tend(self) -> None:
        """See to what has changed: readings that ended, lanes that are level again, trouble that came or went."""
        for reading, task in list(self._readings.items()):
            if task.done() and not self.stopping.is_set():
                del self._readings[reading]
                self._read_before += reading.events
                if reading is self._shared:
                    self._shared = None
                self._finishing.append(asyncio.create_task(reading.feed.forget()))
                task.result()
        self._finishing = [task for task in self._finishing if not task.done()]
        for lane, task in list(self._building.items()):
            if task.done():
                del self._building[lane]
                task.result()
        if self._shared is not None:
            for reading in self._readings:
                if reading is not self._shared and self._is_near(reading, self._shared):
                    self._shared.invite(reading)
        self._tell()

    def _is_near(self, reading: Reading, shared: Reading) -> bool:
        if not reading.members or not shared.members:
            return False
        guest, member = reading.members[0], shared.members[0]
        apart = abs(guest.lane.scanned - shared.position)
        alike = _events_of(guest.lane) == _events_of(member.lane)
        return apart <= self.back_pressure.batch and alike and monotonic() >= self._parted.get(guest, (0, 0.0))[1]

    def part(self, member: Committer, reason: str) -> None:
        """See `Host.part`."""
        log.warning("a view type goes on by itself", view_type=member.lane.view_type, reason=reason)
        times = self._parted.get(member, (0, 0.0))[0] + 1
        alone_s = min(_LONGEST_ALONE_S, self.back_pressure.patience_ms / 1000 * 2**times)
        self._parted[member] = times, monotonic() + alone_s  # what holds up the others each time does so rarely
        self._start(self._own_reading(member))

    def halt(self, member: Committer, error: ProjectionError) -> None:
        """See `Host.halt`."""
        member.lane.halted = error
        self.changed()

    def finish(self, member: Committer) -> None:
        """See `Host.finish`."""
        self._finishing.append(asyncio.create_task(self._write_last(member)))
        self.changed()

    async def _write_last(self, member: Committer) -> None:
        try:
            await member.settle()
            member.begin()
            await member.settle()
        except StorageError as error:  # it has halted anyway
            log.warning("the last commit failed", view_type=member.lane.view_type, reason=error.message)

    async def _build_indexes(self, member: Committer) -> None:
        try:
            await build_indexes(member)
        except StorageError as error:  # that no trying mends
            self.halt(member, error)
        self.changed()

    def changed(self) -> None:
        """See `Host.changed`."""
        self._news.set()

    def _is_level_everywhere(self) -> bool:
        is_done = all(one.new.halted is not None for one in self._successions) and not self._building
        return is_done and all(reading.caught_up for reading in self._readings)

    async def _pending(self) -> int:
        return max([await reading.feed.pending() for reading in self._readings], default=0)

    def _tell(self) -> None:
        now = self.troubles()
        for what, trouble in now.items():
            if self._told.get(what) != trouble:
                tell = log.error if trouble.startswith("halted") else log.warning
                tell("trouble", at=what, reason=trouble)
        for what in self._told.keys() - now.keys():
            log.info("well again", at=what)
        self._told = now
        suspended = {(lane.view_type, lane.build, one) for lane in self.lanes for one in lane.suspensions}
        for view_type, build, one in suspended - self._suspended:
            log.warning(
                "nothing more is folded for a view or a tenant: too many of its events are parked",
                view_type=view_type,
                build=build,
                tenant=one.tenant_id,
                view=one.view_id or "all",
                sequence=one.sequence,
                hint="correct the program or raise the manifest's limits, and `projection run --new-build`",
            )
        self._suspended = suspended

    # successions

    async def _let_succeed(self) -> None:
        """Switch to builds that are level with those they replace, and let these go."""
        for one in list(self._successions):
            reading = next((reading for reading in self._readings if reading.reads(one.new)), None)
            if reading is None or not await self._is_level(one, reading):
                continue
            if one.must_see_all and (fewer := fewer_messages(one)) is not False:
                if fewer is not None:
                    self._successions.remove(one)
                    self.refused.append(fewer)
                    log.error("a new build may not serve", reason=fewer.message, hint=fewer.hint)
                continue
            one.serve()
            self._successions.remove(one)
            log.info("a new build serves", view_type=one.new.view_type, scanned=one.new.position.scanned)
            if one.old is not None:
                await self._let_go(one.old)

    async def _is_level(self, one: Succession, reading: Reading) -> bool:
        if one.old is not None and one.old.halted is None:
            return one.new.position.scanned >= one.old.position.scanned
        return one.new.scanned == one.new.position.scanned and await reading.feed.caught_up()

    async def _let_go(self, lane: Lane) -> None:
        member = self._members.pop(lane)
        self.lanes.remove(lane)
        if (building := self._building.pop(lane, None)) is not None:
            building.cancel()
        for reading in self._readings:
            reading.dismiss(lane)
        self._finishing.append(asyncio.create_task(self._close(member)))

    async def _close(self, member: Committer) -> None:
        with suppress(StorageError):
            await member.settle()
        member.lane.store.close()

    # the end

    async def _end(self) -> None:
        """Let readings end, wait for the last commits, acknowledge them, and close the feeds."""
        self.stopping.set()
        for building in self._building.values():
            building.cancel()  # what it was at is done whole or not at all, and the rest at the next start
        until = monotonic() + self._stop_timeout_s
        while (left := until - monotonic()) > 0 and (busy := self._unfinished()):
            await asyncio.wait(busy, timeout=left)
        for member in self._members.values():
            try:
                settled = await member.settle(max(0.0, until - monotonic()))
            except StorageError as error:
                member.lane.halted = member.lane.halted or error
            else:
                self.abandoned |= not settled or (member.lane.has_changes and member.lane.halted is None)
        for task in (unfinished := self._unfinished()):
            task.cancel()
        await asyncio.gather(*unfinished, *self._building.values(), return_exceptions=True)
        for reading in self._readings:
            await reading.acknowledge()
            await (reading.feed.close() if reading is self._shared else reading.feed.forget())
        self._tell()
        for task in self._readings.values():
            if not task.cancelled() and (failure := task.exception()) is not None:
                raise failure

    def _unfinished(self) -> list[asyncio.Task[None]]:
        return [task for task in (*self._readings.values(), *self._finishing) if not task.done()]


def _is_of(lane: Lane, view_type: ViewType, build: int) -> bool:
    return lane.build == build and lane.view_type == view_type


def _events_of(lane: Lane) -> object:
    """What an event is made of a message by; a former build may do so in another way than the manifest does now."""
    return lane.deployed.entry.subject_template, lane.deployed.tenancy
