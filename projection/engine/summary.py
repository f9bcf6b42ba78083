"""What a run came to, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.engine.lane import Lane


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of one run over some lanes."""

    events: int  # messages that were read
    views: int  # that the stores hold now
    parked: int  # events that are parked or were skipped, of all runs
    unhandled: int  # messages read in this run that no program handles: of another type, or no events at all
    gas: int  # that the programs used in this run
    seconds: float

    @classmethod
    def of(cls, lanes: Iterable[Lane], events: int, unhandled: int, seconds: float) -> Summary:
        """The summary of lanes as they are now."""
        lanes = list(lanes)
        return cls(
            events,
            sum(lane.store.count_views() for lane in lanes),
            sum(lane.parked for lane in lanes),
            unhandled,
            sum(lane.gas for lane in lanes),
            round(seconds, 3),
        )
