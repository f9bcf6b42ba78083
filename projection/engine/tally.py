"""What a lane's work goes into: the gas of each handler, and the views that most events are for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.program import Runnable, Step
    from projection.model.ids import TenantId

    Target = tuple[TenantId, str]  # whose view, and its id

SAMPLED = 13  # every so many events, one is looked at; a prime, so that logs in which kinds alternate are met evenly
KEPT = 256  # views that are counted at a time
WINDOW = 8_192  # looks, after which all counts are halved: what was long ago counts for less and less


COMBINED = 1_000  # handlers and combinations of them that are told apart


class ViewShare(NamedTuple):
    """A view that many events are for."""

    target: Target
    share: float  # of the recent changes, at least; 0 to 1


class HotViews:
    """Finds the views that most events are for, in bounded memory (Misra and Gries, on a sample).

    A view that has more than one in `KEPT` of the looks is among those that are counted, whatever the others are.
    """

    def __init__(self) -> None:
        self._counts: dict[Target, int] = {}
        self._looks = 0

    def saw(self, target: Target) -> None:
        """Count a view that an event has changed."""
        counts = self._counts
        if target in counts:
            counts[target] += 1
        elif len(counts) < KEPT:
            counts[target] = 1
        else:  # each loses one, and so does this view
            self._counts = {one: count - 1 for one, count in counts.items() if count > 1}
        self._looks += 1
        if self._looks >= WINDOW:
            self._looks //= 2
            self._counts = {one: count // 2 for one, count in self._counts.items() if count > 1}

    def hottest(self, most: int) -> list[ViewShare]:
        """The views with the largest shares, the largest first; those that were seen more than once."""
        found = sorted((one for one in self._counts.items() if one[1] > 1), key=lambda one: (-one[1], one[0]))
        return [ViewShare(target, count / self._looks) for target, count in found[:most]]


class GasUsed(NamedTuple):
    """What some handlers used that ran together on a view; nearly always that is one."""

    handlers: tuple[Runnable, ...]
    gas: int


class Tally:
    """What a lane has used since it was opened."""

    def __init__(self) -> None:
        # By handler; where several ran on one view for one event, by all of them together, as they share one budget. A
        # program may combine its handlers in more ways than fit in memory: those beyond the bound count for the first.
        self.gas: defaultdict[Runnable | tuple[Runnable, ...], int] = defaultdict(int)
        self.hot_views = HotViews()

    def add(self, steps: Sequence[Step], gas: int) -> None:
        """Count the gas of steps that ran on one view."""
        key: Runnable | tuple[Runnable, ...] = steps[0][0]
        if len(steps) > 1:
            together = tuple(dict.fromkeys(run for run, _ in steps))
            if len(together) > 1 and (together in self.gas or len(self.gas) < COMBINED):
                key = together
        self.gas[key] += gas

    def by_handler(self) -> list[GasUsed]:
        """The gas of each handler, the thirstiest first."""
        found = [GasUsed(key if isinstance(key, tuple) else (key,), gas) for key, gas in self.gas.items()]
        return sorted(found, key=lambda one: -one.gas)
