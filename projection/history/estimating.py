"""How long the folding of a build will take: by what former builds took, or by a part of the log that is folded now."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from projection.engine.parking import LaneHaltedError
from projection.history.aside import FoldAside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.engine.deployment import DeployedView
    from projection.history.logs import Log
    from projection.model.ids import ViewType
    from projection.store.audit import AuditRecord

_LEAST_S = 1.0  # that a measured folding took: below that, beginning and end are most of it
_TRIED = 20_000  # sequences of the log that are folded to see how fast that goes


@dataclass(frozen=True, slots=True)
class FoldPace:
    """How fast a view type is folded."""

    rate: float  # sequences of the stream a second
    rests_on: str  # what tells, in a sentence without its end

    def seconds(self, events: int) -> float:
        """How long it takes to fold so many sequences."""
        return events / self.rate


def measured(audit: Iterable[AuditRecord], view_type: ViewType, *, of_parts: bool = False) -> FoldPace | None:
    """By the last build of the view type whose folding the node has measured; None where there is none.

    Args:
        audit: all records of the data folder, the oldest first.
        view_type: which.
        of_parts: whether builds count of which only some views were folded, and no others.
    """
    found, names = None, ("part_events", "part_seconds") if of_parts else ("events", "seconds")
    for one in audit:
        events, seconds = (one.details.get(name) for name in names)
        if one.view_type != view_type or not events or seconds is None or seconds < _LEAST_S:
            continue
        rate = events / seconds
        what = "the part that was folded of build" if of_parts else "build"
        told = f"{what} {one.details['build']} was folded at {rate:,.0f} events a second"
        found = FoldPace(rate, told)
    return found


async def tried(log: Log, deployed: DeployedView) -> FoldPace | None:
    """By folding the beginning of the log in memory; None where there is nothing in it.

    Raises:
        ProjectionError: the log cannot be read.
    """
    before = await log.before_start(deployed)
    fold = FoldAside(deployed, None, before=before)
    began = perf_counter()
    with suppress(LaneHaltedError):  # what was folded until then tells as much
        await fold.read(log, before + _TRIED)
    seconds, events = perf_counter() - began, fold.seen - before
    if events <= 0:
        return None
    rate = events / seconds
    return FoldPace(rate, f"the first {events:,} events were folded in memory just now, at {rate:,.0f} a second")
