"""Which lanes share a subscription: those that stand near one another, while none of them holds up the others.

The functions are the policy, over positions and costs alone; `Sharing` asks them about lanes, and remembers.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.lane import Lane
    from projection.engine.reading import Reading
    from projection.model.settings import BackPressure

_LONGEST_ALONE_S = 60.0  # that a lane which holds up the others again and again reads by itself
_MOST_DOUBLINGS = 10  # of that time: beyond any patience, and a number however often it was detached
_GAS_S = 11e-9  # what a unit of gas takes (docs/decisions/0006-gas-calibration.md)


class Place(NamedTuple):
    """Where a lane stands in the log, and what it reads of it."""

    scanned: int
    events: object  # what messages come, and what an event is made of one by
    is_loading: bool = False


def largest_group(places: Sequence[Place], within: int) -> list[int]:
    """Return which lanes can share one subscription, the most that can; empty where there are none.

    A build that is loaded reads by itself: the end of loading takes the disk long.

    Args:
        places: of the lanes.
        within: sequences that a subscription may have to offer again to the lane which is furthest.
    """
    able = [number for number, place in enumerate(places) if not place.is_loading] or [*range(len(places))]
    groups = ([other for other in able if _can_join(places[other], places[first], within)] for first in able)
    return max(groups, key=len, default=[])


def _can_join(place: Place, first: Place, within: int) -> bool:
    """Whether a lane can share a subscription that begins where another one stands."""
    return place.events == first.events and first.scanned <= place.scanned <= first.scanned + within


def may_join(place: Place, shared: Place, within: int) -> bool:
    """Return whether a lane by itself may join a subscription that is shared, and stands somewhere."""
    return not place.is_loading and place.events == shared.events and abs(place.scanned - shared.scanned) <= within


def heaviest(gas: Sequence[int], seconds: float) -> int | None:
    """Return which lane takes most of the work where the programs cannot keep up with the log; None where none does.

    Args:
        gas: what the program of each lane has used.
        seconds: in which time.
    """
    total = sum(gas)
    if len(gas) == 1 or 2 * total * _GAS_S < seconds:
        return None
    most = max(range(len(gas)), key=gas.__getitem__, default=None)
    return most if most is not None and 2 * gas[most] > total else None


def alone_s(times: int, patience_s: float) -> float:
    """Return for how long a lane stays alone that was detached so often: longer each time, so that it rarely is."""
    return min(_LONGEST_ALONE_S, patience_s * 2.0 ** min(times, _MOST_DOUBLINGS))


class Sharing:
    """Says which lanes of a node may share a subscription, and remembers which were detached from it."""

    def __init__(self, back_pressure: BackPressure) -> None:
        self._within = back_pressure.batch  # sequences
        self._patience_s = back_pressure.patience_s
        # How often each was, and until when it stays alone. A lane that was replaced is forgotten, with what it holds.
        self._detached: WeakKeyDictionary[Lane, tuple[int, float]] = WeakKeyDictionary()

    def largest_group(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Return the most lanes that can share one subscription; empty where there are no lanes."""
        return [lanes[number] for number in largest_group([_place(lane) for lane in lanes], self._within)]

    def detach(self, lane: Lane) -> None:
        """Have a lane that holds up the others stay alone for a time."""
        times = self._detached.get(lane, (0, 0.0))[0] + 1
        self._detached[lane] = times, monotonic() + alone_s(times, self._patience_s)

    def may_join(self, alone: Reading, shared: Reading) -> bool:
        """Return whether the one lane of a subscription may join those of the shared one."""
        if not alone.members or not shared.members:
            return False
        lane, there = alone.members[0].lane, _place(shared.members[0].lane)._replace(scanned=shared.position)
        alone_until = self._detached.get(lane, (0, 0.0))[1]
        return may_join(_place(lane), there, self._within) and monotonic() >= alone_until


def _place(lane: Lane) -> Place:
    """Where a lane stands; what it reads may be other than what the manifest says by now."""
    entry = lane.deployed.entry
    events = entry.subject_template, entry.events, lane.deployed.tenancy, lane.shares
    return Place(lane.scanned, events, lane.store.is_loading)
