"""Readiness: how far lanes are behind the end of the log, by looks at that end and by the node's own clock alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from projection.engine.fault_log import suppress_faults
from projection.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projection.engine.lane import Lane
    from projection.stream.port import Feed

WITHIN_S = 5.0  # a lane that holds all that the log held so long ago has caught up, however busy the log is
_END_EVERY_S = 1.0  # between two looks at the end of the log


class CatchingUp:
    """Which lanes have caught up since the node started.

    The end of a busy log is never where it was a moment ago. So a lane is held against the end as it was seen at some
    moment: once it has committed up to there, its views are complete as of that moment.
    """

    def __init__(self, max_lag_s: float | None = None) -> None:
        """Track lanes; `max_lag_s` is the largest lag with which one that caught up is not behind, None: any."""
        self._max_lag_s = max_lag_s
        self._end: tuple[int, float] | None = None  # the last sequence of the log, and when that was asked
        self._targets: dict[Lane, tuple[int, float]] = {}  # an end that a lane has not been seen to reach yet
        self._complete_at: dict[Lane, float] = {}
        self._caught_up: set[Lane] = set()
        self._began = monotonic()

    async def follow_end(self, feed: Feed) -> None:
        """Look at the end of the log again and again, until canceled."""
        while True:
            moment = monotonic()
            with suppress_faults("looking at the end"), suppress(StreamError):  # whoever reads has it, too, and tells
                self.saw_end(await feed.last_sequence(), moment)
            await asyncio.sleep(_END_EVERY_S)

    @property
    def end(self) -> int | None:
        """The last sequence of the log, as it was seen last; None until then."""
        return None if self._end is None else self._end[0]

    def saw_end(self, sequence: int, moment: float) -> None:
        """Note that the log ended at a sequence at this moment of the monotonic clock."""
        self._end = sequence, moment

    def look(self, lanes: Iterable[Lane]) -> None:
        """Note how far lanes have committed."""
        if self._end is None:
            return
        for lane in lanes:
            sequence, moment = self._targets.setdefault(lane, self._end)
            if lane.position.scanned >= sequence:
                self._complete_at[lane] = moment
                self._targets[lane] = self._end
                if monotonic() - moment <= WITHIN_S:
                    self._caught_up.add(lane)

    def replaced(self, old: Lane, new: Lane) -> None:
        """Note a cutover: the new lane has caught up if the old one had."""
        self._targets.pop(old, None)
        if (moment := self._complete_at.pop(old, None)) is not None:
            self._complete_at.setdefault(new, moment)
        if old in self._caught_up:
            self._caught_up.remove(old)
            self._caught_up.add(new)

    def has_caught_up(self, lane: Lane) -> bool:
        """Return whether a lane has caught up with the log once."""
        return lane in self._caught_up

    def lag_s(self, lane: Lane) -> float:
        """Return how long ago, at most, a lane's views were complete; while nothing tells, the time since the start."""
        return max(0.0, monotonic() - self._complete_at.get(lane, self._began))

    def behind(self, lane: Lane, left: int | None, *, is_reading: bool, is_heard: bool) -> str | None:
        """Say how a lane is further behind the log than it may be in a node that is ready; None where it is not.

        Args:
            lane: of a build that serves.
            left: its messages still to be folded; None where that is not known.
            is_reading: whether the node has begun to read.
            is_heard: whether anything came since it began to.
        """
        if not self.has_caught_up(lane):
            if not is_reading:
                return "the stream has not been checked yet"
            if not is_heard:
                return "nothing has been received from the stream yet"
            return "it is catching up with the log" + ("" if left is None else f": {left:,} events to go")
        lag_s = self.lag_s(lane)
        if self._max_lag_s is not None and lag_s > self._max_lag_s:
            return f"it is {lag_s:,.0f} s behind the log, and {self._max_lag_s:,g} s are allowed"
        return None

    def events_to_go(self, left: Mapping[Lane, int | None]) -> int | None:
        """Return the messages until the last of some lanes has caught up; None where all have, or if not known.

        Args:
            left: by lane, the messages still to be folded; None where that is not known.
        """
        behind = [lane for lane in left if not self.has_caught_up(lane) and lane.halted is None]
        return max((to_go for lane in behind if (to_go := left[lane]) is not None), default=None)
