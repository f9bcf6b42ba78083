"""The log's side of events: each line about one says which event of which trace it is, and in which build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.engine.event import trace_of
from projection.model.parked import HELD_CODE

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from projection.engine.event import Event
    from projection.engine.lane import Lane
    from projection.errors import ProjectionError
    from projection.model.parked import ParkedEvent


def about(event: Event, lane: Lane | None = None) -> dict[str, Any]:
    """What a line about an event carries; None stands where the event says nothing."""
    envelope, trace = event.envelope, trace_of(event)
    found = {
        "sequence": event.message.sequence,
        "tenant": str(event.tenant_id),
        "correlation_id": None if envelope is None else envelope.correlation_id,
        "trace_id": (envelope.trace_id if envelope is not None else None) if trace is None else trace.trace,
    }
    return found if lane is None else {**found, "view_type": lane.view_type, "build": lane.build}


def is_told_of_each() -> bool:
    """Whether each event that is folded is logged."""
    from projection.engine.log_control import LEVEL_FILTER  # noqa: PLC0415 - see `_log`

    return LEVEL_FILTER.admits("fold", "debug")


def tell_handled(event: Event, lane: Lane) -> None:
    """Log that a build handles an event."""
    _log().debug("an event was handled", **about(event, lane))


class EventLog:
    """Tells of the events that one lane cannot take."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def parked(self, event: Event, parked: ParkedEvent) -> None:
        """An event was parked or skipped; those that wait behind a parked one are not told, as they are fine."""
        if parked.code == HELD_CODE:
            return
        _log().warning(
            f"an event is {parked.disposition}",
            **about(event, self._lane),
            view=parked.view_id,
            code=parked.code,
            place=parked.span,
            hint=f"see why with `projection parked list {parked.view_type}`",  # the reason may quote the event
        )

    def halted(self, event: Event, error: ProjectionError) -> None:
        """The lane halts in front of an event."""
        _log().error(
            "a view type halts in front of an event",
            **about(event, self._lane),
            code=error.code,
            hint=error.hint,
        )


def _log() -> FilteringBoundLogger:
    import structlog  # noqa: PLC0415 - 50 ms, with Rich and asyncio; replays and authors' tests rarely log anything

    log: FilteringBoundLogger = structlog.get_logger(component="fold")
    return log
