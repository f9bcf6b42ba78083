"""What keeps a node from being well or ready, put together from everything that works in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.engine.committers import Committers
    from projection.engine.lane import Lane
    from projection.engine.loading import Loading
    from projection.engine.pace import Pace
    from projection.engine.readiness import CatchingUp
    from projection.engine.reading import Reading
    from projection.engine.roster import Roster
    from projection.engine.start_up import StartUp
    from projection.engine.subscriptions import Subscriptions
    from projection.engine.watchdog import Watchdog
    from projection.errors import ProjectionError
    from projection.model.ids import ViewType
    from projection.model.promotion import HeldBuild
    from projection.store.build import Build


@dataclass(frozen=True, slots=True)
class Unopened:
    """A build whose store could not be opened: nothing folds it, and what it came to can be read."""

    build: Build
    error: ProjectionError


class Health:
    """What a node has to say of itself; it changes nothing."""

    def __init__(
        self,
        start_up: StartUp,
        watchdog: Watchdog,
        roster: Roster,
        subscriptions: Subscriptions,
        committers: Committers,
        loading: Loading,
        unopened: tuple[Unopened, ...],
        catching_up: CatchingUp,
        pace: Pace,
    ) -> None:
        """The health of the node of which these are the parts."""
        self.fault: ProjectionError | None = None  # of the node's supervision itself, in its last round
        self.leaving: str | None = None  # how, while the node drains or stops
        self.unopened = unopened
        self._start_up = start_up
        self._watchdog = watchdog
        self._roster = roster
        self._subscriptions = subscriptions
        self._committers = committers
        self._loading = loading
        self._catching_up = catching_up
        self._pace = pace

    def unready(self) -> dict[str, str]:
        """What keeps the node from being ready, by what it concerns: troubles, and lanes that are behind."""
        found, readings = self.troubles(), self._subscriptions.by_lane()
        for lane, left in self._left(readings).items():
            is_heard = lane in readings and readings[lane].feed.is_heard
            behind = self._catching_up.behind(lane, left, is_reading=self._start_up.is_over, is_heard=is_heard)
            if behind is not None:
                found.setdefault(f"view type {lane.view_type}", behind)
        if self.leaving is not None:
            found["node"] = self.leaving
        return found

    @property
    def events_to_go(self) -> int | None:
        """Messages until the last lane that serves has caught up; None where all have, or that is not known."""
        return self._catching_up.events_to_go(self._left(self._subscriptions.by_lane()))

    @property
    def catch_up_s(self) -> float | None:
        """Seconds until the last lane that serves has caught up, if it goes on so; None where nobody knows."""
        return self._pace.left_s(self.events_to_go)

    def _left(self, readings: Mapping[Lane, Reading]) -> dict[Lane, int | None]:
        """Messages still to be folded, by lane that serves; one on standby does not count until its cutover.

        One that follows does not count any more. What is paused does not count, either: its views are served, and are
        as old as they are meant to be.
        """
        roster = self._roster
        standby = self._roster.cutovers.standby | roster.followers
        return {
            lane: readings[lane].left if lane in readings else None
            for lane in self._roster.lanes
            if lane not in standby and not roster.is_paused(lane)
        }

    def readings(self) -> dict[Lane, Reading]:
        """The reading of each lane that reads."""
        return self._subscriptions.by_lane()

    @property
    def refused(self) -> list[ProjectionError]:
        """Why builds may not replace others."""
        return self._roster.cutovers.refused

    @property
    def halts(self) -> list[ProjectionError]:
        """Why view types have halted, those first that never began."""
        followers = self._roster.followers
        halted = [one.halted for one in self._roster.lanes if one.halted is not None and one not in followers]
        return [one.error for one in self.unopened] + halted

    @property
    def waiting(self) -> dict[ViewType, HeldBuild]:
        """The builds that have caught up and may not answer yet, and why."""
        return self._roster.cutovers.waiting

    def troubles(self) -> dict[str, str]:
        """What keeps the node from following the log, by what it concerns; empty while all is well."""
        found = {}
        if self._watchdog.held_up:
            found["node"] = "it is held up"
        if self._start_up.trouble is not None:
            found["stream"] = self._start_up.trouble.message
        if self.fault is not None:
            found["node"] = self.fault.message
        for one in self.unopened:
            found[f"view type {one.build.view_type}"] = f"halted: {one.error.message}"
        for lane, member in self._committers.by_lane.items():
            trouble = lane.halted or member.breaker.trouble
            if trouble is not None and lane not in self._roster.followers:
                found[f"view type {lane.view_type}"] = f"{'halted: ' if lane.halted else ''}{trouble.message}"
        for view_type, error in self._roster.cutovers.delayed.items():
            found[f"new build of view type {view_type}"] = error.message
        for lane, error in self._loading.delayed.items():
            found[f"new build of view type {lane.view_type}"] = error.message
        for reading in self._subscriptions.readings:
            if reading.trouble is not None:
                found["stream"] = reading.trouble.message
        return found

    def to_tell(self) -> dict[str, str]:
        """What the log should hold, by what it concerns: the troubles, and those that keep no view from being fresh."""
        waiting = {
            f"build {held.build} of view type {view_type}": f"it does not answer: {held.why}"
            for view_type, held in self.waiting.items()
        }
        followers = {
            f"former build {lane.build} of view type {lane.view_type}": f"halted: {lane.halted.message}"
            for lane in self._roster.followers
            if lane.halted is not None
        }
        return self.troubles() | waiting | followers
