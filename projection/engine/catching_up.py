"""How far lanes are behind the end of the log: known by looks at that end, and by the node's own clock alone."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.engine.lane import Lane

WITHIN_S = 5.0  # a lane that holds all that the log held so long ago has caught up, however busy the log is


class CatchingUp:
    """Which lanes have caught up since the node started.

    The end of a busy log is never where it was a moment ago. So a lane is held against the end as it was seen at some
    moment: once it has committed up to there, its views are complete as of that moment.
    """

    def __init__(self) -> None:
        self._end: tuple[int, float] | None = None  # the last sequence of the log, and when that was asked
        self._targets: dict[Lane, tuple[int, float]] = {}  # an end that a lane has not been seen to reach yet
        self._complete_at: dict[Lane, float] = {}
        self._caught_up: set[Lane] = set()

    def saw_end(self, sequence: int, moment: float) -> None:
        """The log ended there at this moment of the monotonic clock."""
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
        """A lane stands no lower than another one, and takes its place."""
        for known in (self._targets, self._complete_at):
            known.pop(old, None)
        if old in self._caught_up:
            self._caught_up.remove(old)
            self._caught_up.add(new)

    def is_level(self, lane: Lane) -> bool:
        """Whether a lane has caught up with the log once."""
        return lane in self._caught_up

    def lag_s(self, lane: Lane) -> float | None:
        """The least time ago as of which a lane's views are known to be complete; None while that is not known."""
        moment = self._complete_at.get(lane)
        return None if moment is None else max(0.0, monotonic() - moment)
