"""Which lanes share a subscription: those that stand near one another, while none of them holds up the others."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.lane import Lane
    from projection.engine.reading import Reading
    from projection.model.settings import BackPressure

_LONGEST_ALONE_S = 60.0  # that a lane which holds up the others again and again reads by itself


class Sharing:
    """Says who may share a subscription, and remembers which lanes were detached from it."""

    def __init__(self, back_pressure: BackPressure) -> None:
        self._within = back_pressure.batch  # sequences
        self._patience_s = back_pressure.patience_s
        self._detached: dict[Lane, tuple[int, float]] = {}  # how often each was, and until when it stays alone

    def largest_group(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Return the most lanes that can share one subscription; empty where there are no lanes.

        A build that is loaded reads by itself: its commits are larger, and the end of loading takes the disk long.
        """
        able = [lane for lane in lanes if not lane.store.is_loading] or lanes
        return max((self._near(lane, able) for lane in able), key=len, default=[])

    def _near(self, first: Lane, lanes: Sequence[Lane]) -> list[Lane]:
        """Those of some lanes that can share a subscription which begins where the first one stands."""
        end = first.scanned + self._within
        return [
            lane for lane in lanes if first.scanned <= lane.scanned <= end and _events_of(lane) == _events_of(first)
        ]

    def detach(self, lane: Lane) -> None:
        """Have a lane that holds up the others stay alone: for longer each time, so that it rarely does."""
        times = self._detached.get(lane, (0, 0.0))[0] + 1
        self._detached[lane] = times, monotonic() + min(_LONGEST_ALONE_S, self._patience_s * 2**times)

    def may_join(self, alone: Reading, shared: Reading) -> bool:
        """Return whether the one lane of a subscription may join those of the shared one."""
        if not alone.members or not shared.members:
            return False
        lane, other = alone.members[0].lane, shared.members[0].lane
        is_near = not lane.store.is_loading and abs(lane.scanned - shared.position) <= self._within
        alone_until = self._detached.get(lane, (0, 0.0))[1]
        return is_near and _events_of(lane) == _events_of(other) and monotonic() >= alone_until


def _events_of(lane: Lane) -> object:
    """What messages come, and what an event is made of one by; that may be other than what the manifest says now."""
    entry = lane.deployed.entry
    return entry.subject_template, entry.events, lane.deployed.tenancy, lane.shares
