"""The node: supervises the lanes of one process and the subscriptions by which they follow the log.

Lanes that stand near one another share one subscription. A lane that is far behind, or whose store or program holds up
the others, is detached: it reads by itself and joins them again once it has caught up. The node runs until it is
stopped: without a server, without a stream, and when every lane has halted, its stores can be read all the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Self

import structlog

from projection.engine.background import Background
from projection.engine.collector import calm_collector
from projection.engine.committer import Workshop
from projection.engine.committers import Committers
from projection.engine.cutover import Cutovers, has_caught_up
from projection.engine.fault_log import log_fault
from projection.engine.health import Health
from projection.engine.loading import Loading
from projection.engine.pace import Pace
from projection.engine.readiness import CatchingUp
from projection.engine.roster import Roster
from projection.engine.start_up import StartUp
from projection.engine.status_log import StatusLog
from projection.engine.subscriptions import Subscriptions
from projection.engine.summary import Summary
from projection.engine.tracing import UNTRACED
from projection.engine.unhandled import Unhandled
from projection.engine.watchdog import Watchdog
from projection.errors import StreamError
from projection.faults import REPORT_IT, contained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.engine.committer import Committer
    from projection.engine.cutover import Cutover
    from projection.engine.health import Unopened
    from projection.engine.lane import Lane
    from projection.engine.roster import LaneOpener
    from projection.engine.starts import StreamStart
    from projection.engine.tracing import Tracing
    from projection.model.ids import ViewType
    from projection.model.settings import BackPressure
    from projection.store.build import Build
    from projection.store.port import ViewReader

log = structlog.get_logger(component="node")

_HELD_UP_S = 5.0  # that the event loop may take to come round
_TICK_S = 0.25  # between two looks at readings that say nothing
_HALTED_BY_A_FAULT = (
    f"{REPORT_IT}; its views stay as of its last commit and can be read, and the next start tries again from there"
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    events: int  # read so far
    left: int | None  # still to be read; None while that is not known


class Node:
    """The lanes of one process. `run` follows the log; `health` says what keeps it from being well."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        opener: LaneOpener,
        back_pressure: BackPressure,
        start: StreamStart,
        stop_timeout_s: float = 10.0,
        cutovers: Sequence[Cutover] = (),
        max_lag_s: float | None = None,
        unopened: Sequence[Unopened] = (),
        paused: Mapping[ViewType, str] | None = None,
        followers: Sequence[Lane] = (),
        drain_s: float = 0.0,
        tracing: Tracing = UNTRACED,
    ) -> None:
        """A node that is still.

        Args:
            lanes: open; they are the node's to close.
            opener: opens feeds, and lanes that come later.
            back_pressure: how much may be under way.
            start: what is asked of the stream before it is read.
            stop_timeout_s: how long the last commits may take.
            cutovers: which lanes are to replace which.
            max_lag_s: the largest lag with which the node is ready; None: any.
            unopened: the builds that have no lane.
            paused: the view types of which nothing is folded for now, and why.
            followers: the lanes of builds that are folded on so that one can go back to them.
            drain_s: how long `drain` lets all go on.
            tracing: is told of batches and commits.
        """
        self.lanes = list(lanes)
        self.back_pressure = back_pressure
        self.stopping = asyncio.Event()
        self.tracing = tracing
        self.left_s = stop_timeout_s  # that was left for the end when `run` ended
        self._drain_s = drain_s
        self.wants_ends = False
        self.abandoned = False  # a batch could not be committed in time, and is folded again at the next start
        self.workshop = Workshop(max(len(lanes), 1), back_pressure.patience_s)
        self._status_log = StatusLog()
        self.unhandled = Unhandled(
            lambda: (lane.deployed.program for lane in self.lanes),
            self._status_log.tell_unhandled,
            self._status_log.tell_marker,
        )
        self.opener = opener
        self._start_up = StartUp(start, self.changed)
        self._catching_up = CatchingUp(max_lag_s)
        self._pace = Pace()
        self._cutovers = Cutovers(cutovers)
        self._stop_timeout_s = stop_timeout_s
        self._background = Background()
        self._committers = Committers(lanes, self.workshop, self._background, self.changed)
        self._loading = Loading(self._committers, self._background, self.halt, back_pressure.batch)
        self._subscriptions = Subscriptions(opener.feed, self, self._background)
        self.roster = Roster(
            self.lanes,
            paused or {},
            self._subscriptions,
            self._committers,
            self._cutovers,
            self._catching_up,
            lambda: self._start_up.is_over,
            self.halt,
            followers,
        )
        self._news = asyncio.Event()
        self._watchdog = Watchdog(_HELD_UP_S, self.changed)
        self.health = Health(
            self._start_up,
            self._watchdog,
            self.roster,
            self._subscriptions,
            self._committers,
            self._loading,
            tuple(unopened),
            self._catching_up,
            self._pace,
        )

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

    def drain(self) -> None:
        """Be ready no longer, and `stop` once load balancers have had the time to see it; idempotent.

        Until then events are folded and queries answered.
        """
        if self.is_leaving:
            return
        if not self._drain_s:
            self.stop()
            return
        log.info("the node is draining", stops_in_s=self._drain_s)
        self.health.leaving = "it is draining: it answers on, and stops soon"
        asyncio.get_running_loop().call_later(self._drain_s, self.stop)
        self.changed()

    def stop(self) -> None:
        """Ask `run` to end: nothing more is asked of the server, and what is folded is committed; idempotent."""
        if not self.stopping.is_set():
            log.info("the node is stopping")
        self.health.leaving = "it is stopping"
        self.stopping.set()
        self.changed()

    @property
    def events(self) -> int:
        """Messages read; one that two readings read counts twice."""
        return self._subscriptions.events

    def reader_of(self, build: Build) -> ViewReader | None:
        """The store of a build that this node has open; it stays the node's to close. None of others."""
        return next((lane.store for lane in self.lanes if _is_of(lane, build.view_type, build.number)), None)

    def level_at(self, view_type: ViewType, build: int) -> tuple[int, float] | None:
        """See `Freshness.level_at`: by the last look at the log, of whoever reads for the build."""
        for reading in self._subscriptions.readings:
            if any(_is_of(member.lane, view_type, build) for member in reading.members):
                return reading.feed.level
        return None

    @property
    def is_leaving(self) -> bool:
        """Whether the node drains or stops."""
        return self.stopping.is_set() or self.health.leaving is not None

    @property
    def is_ready(self) -> bool:
        """Whether the node follows the log with all its lanes, and each one that serves has caught up."""
        return not self.stopping.is_set() and not self.health.unready()

    async def run(
        self, *, until_caught_up: bool = False, on_progress: Callable[[Progress], None] | None = None
    ) -> Summary:
        """Follow the log until stopped; or until there is nothing more to read, or nobody who can read it.

        Args:
            until_caught_up: whether to end then, and at once where the stream cannot be used at the start. Otherwise
                that is tried again.
            on_progress: told now and then how far the run is.

        Raises:
            StreamError: another node reads under this node's name; with `until_caught_up`, the stream cannot be used.
        """
        began = perf_counter()
        self.wants_ends = until_caught_up
        async with self._watchdog:
            with calm_collector():
                following = asyncio.create_task(self._follow(once=until_caught_up))
                following.add_done_callback(lambda _: self.changed())
                try:
                    self._committers.build_indexes(self.halt)
                    while not self.stopping.is_set():
                        await self._hear()
                        if following.done():
                            following.result()
                        await self._look_after(on_progress)
                        if until_caught_up and self._start_up.is_over and self._has_caught_up():
                            self.stopping.set()
                finally:
                    following.cancel()
                    await self._end()
        return Summary.of(self.lanes, self.events, self.unhandled.count, perf_counter() - began)

    def _progress(self) -> Progress:
        return Progress(self.events, self._subscriptions.left)

    # supervision

    async def _follow(self, *, once: bool) -> None:
        """Begin to read as soon as the stream can be used, and then look at its end again and again.

        Args:
            once: whether to try once and no more, and to look at no end.

        Raises:
            StreamError: it cannot be used, and was tried once.
        """
        await self._start_up.run(partial(self._begin, once=once), once=once)
        if self.lanes and not once:
            await self._catching_up.follow_end(self.opener.feed(self.lanes, True))

    async def look_at(self, lane: Lane) -> None:
        """Move a lane that has folded nothing yet to where it starts, and halt one that cannot follow the stream.

        Raises:
            StreamError: the server cannot be asked.
        """
        await self._start_up.look([lane], self.opener.feed([lane], True), self.halt)

    async def has_caught_up(self, one: Cutover) -> bool:
        """Whether a build could replace another one by how far it is.

        Raises:
            StreamError: the end of the log cannot be looked at.
        """
        reading = self._subscriptions.of(one.new)
        return one.is_level if reading is None else await has_caught_up(one, reading.feed)

    def wait_for(self, operation: asyncio.Task[Any]) -> None:
        """Wait for an operator's work before the node ends, as long as a stop may take."""
        self._background.watch(operation)

    async def _begin(self, *, once: bool) -> None:
        """Have all lanes read that can."""
        if self.lanes:
            await self._start_up.look(self.lanes, self.opener.feed(self.lanes, True), self.halt)
            members = [
                member
                for lane, member in self._committers.by_lane.items()
                if lane.halted is None and not self.roster.is_paused(lane)
            ]
            await self._subscriptions.begin(members, once=once)

    async def _look_after(self, on_progress: Callable[[Progress], None] | None) -> None:
        """One round of supervision; a fault in it is told, and the next round comes all the same.

        Raises:
            StreamError: as in `run`.
        """
        doing, fault = "looking after the subscriptions", None
        try:
            self._tend()
            await self._cut_over()
            if on_progress is not None and self._start_up.is_over:
                on_progress(self._progress())
        except StreamError:
            raise
        except Exception as error:  # noqa: BLE001 - it is no view type's, and all of them go on
            fault = contained(error, doing)
            if self.health.fault is None or self.health.fault.message != fault.message:
                log_fault(error, doing)
        self.health.fault = fault

    async def _hear(self) -> None:
        """Wait for news, and for a moment at most."""
        try:
            async with asyncio.timeout(_TICK_S):
                await self._news.wait()
        except TimeoutError:
            return
        finally:
            self._news.clear()

    def _tend(self) -> None:
        """See to what has changed: readings that ended, lanes that have caught up, trouble that came or went."""
        self._subscriptions.remove_ended()
        self._subscriptions.join()
        readings = self._subscriptions.by_lane()
        self._pace.saw(self.health.events_to_go)
        self._loading.look(self.lanes, readings)
        self._catching_up.look(lane for lane in self.lanes if lane in readings and readings[lane].feed.is_heard)
        self._tell()

    def detach(self, member: Committer, reason: str, told: dict[str, Any] | None = None) -> None:
        """See `Host.detach`."""
        self._subscriptions.detach(member, reason, told)

    def halt(self, lane: Lane, error: Exception, doing: str, told: dict[str, Any] | None = None) -> None:
        """See `Host.halt`."""
        log_fault(error, doing, **{**(told or {}), "view_type": lane.view_type, "build": lane.build})
        lane.halted = contained(error, f"{doing} for view type {lane.view_type}", _HALTED_BY_A_FAULT)
        self._subscriptions.dismiss(lane)
        self.changed()

    def finish(self, member: Committer) -> None:
        """See `Host.finish`."""
        self._committers.finish(member)
        self.changed()

    def changed(self) -> None:
        """See `Host.changed`."""
        self._news.set()

    def _has_caught_up(self) -> bool:
        """Whether every reading has come to the end of the log, and nothing else is still to be done there."""
        if not self._subscriptions.readings:
            return True  # every lane has halted
        return (
            self._cutovers.may_end(self.roster.is_paused)
            and not self._committers.are_building
            and self._subscriptions.have_caught_up
        )

    def _tell(self) -> None:
        self._status_log.tell(self.health.to_tell(), self.lanes, is_ready=self.is_ready)

    # cutovers

    async def _cut_over(self) -> None:
        """Switch to builds that have caught up with those they replace, and close these.

        Where a cutover fails for good, the new build halts, and the former one goes on serving.

        Raises:
            StreamError: the end of the log cannot be looked at.
        """
        for one in list(self._cutovers.pending):
            try:
                reading = self._subscriptions.of(one.new)
                if await self._cutovers.attempt(one, None if reading is None else reading.feed):
                    self.roster.switch(one)
            except StreamError:
                raise
            except Exception as error:  # noqa: BLE001 - it is this build's, whatever it is
                self._cutovers.give_up(one)
                self.halt(one.new, error, "replacing the former build")

    # the end

    async def _end(self) -> None:
        """Let readings end, wait for the last commits, acknowledge them, and close the feeds."""
        self.stopping.set()
        building = self._committers.cancel_building()
        until = monotonic() + self._stop_timeout_s
        while (left := until - monotonic()) > 0 and (busy := self._unfinished()):
            await asyncio.wait(busy, timeout=left)
        for task in (unfinished := self._unfinished()):
            task.cancel()
        await asyncio.gather(*unfinished, *building, return_exceptions=True)
        failures = self._subscriptions.failures()
        self.abandoned |= not await self._committers.settle(until, self.halt)
        self.left_s = max(0.0, until - monotonic())
        await self._subscriptions.close()
        self._tell()
        for failure in failures:
            raise failure

    def _unfinished(self) -> list[asyncio.Task[None]]:
        return self._subscriptions.unfinished + self._background.unfinished


def _is_of(lane: Lane, view_type: ViewType, build: int) -> bool:
    return lane.build == build and lane.view_type == view_type
