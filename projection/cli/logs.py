"""Where log lines go: to stderr, for people on a terminal and as JSON for machines."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from projection.cli.console import write_line
from projection.lang.printable import printable

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger


def configure_logs() -> None:
    """Set up structlog for this process."""
    is_terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            escaped,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Console(),
    )


class _Console:
    """Writes each line as all other notes are written, so that a progress bar and the log do not meet on one line."""

    def msg(self, message: str) -> None:
        """Write one line."""
        write_line(message)

    debug = info = warning = error = critical = exception = log = fatal = msg


def escaped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: ids and messages come from events."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}
