"""The log's side of faults: what nobody foresaw is logged with the way to its place."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from projection.errors import ProjectionError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

_FRAMES = 8  # of the place where it came from
_SHOWN = 200  # characters of the exception


def log_fault(error: Exception, doing: str, **more: Any) -> None:
    """Log an exception that was not foreseen, with the way to its place, and without the values there."""
    if not isinstance(error, ProjectionError):
        at = "".join(traceback.format_tb(error.__traceback__, limit=-_FRAMES))
        _log().error("a fault of projection itself", doing=doing, error=repr(error)[:_SHOWN], at=at, **more)


@contextmanager
def suppress_faults(doing: str) -> Iterator[None]:
    """Go on behind the block even if something unforeseen, on which nothing depends, was raised in it; it is logged."""
    try:
        yield
    except ProjectionError as error:
        _log().warning("something failed that nothing depends on", doing=doing, reason=error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is
        log_fault(error, doing)


def log_lost_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what was raised where nobody waits for it; a loop's exception handler."""
    error = context.get("exception")
    if isinstance(error, Exception):
        log_fault(error, context["message"])
    else:
        _log().error("a fault of projection itself", doing=context["message"], error=repr(error))


def _log() -> FilteringBoundLogger:
    import structlog  # noqa: PLC0415 - 50 ms, with Rich and asyncio; replays and authors' tests rarely log anything

    log: FilteringBoundLogger = structlog.get_logger(component="node")
    return log
