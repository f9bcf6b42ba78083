"""Where log lines go: to stderr, for people on a terminal and as JSON for machines.

They are written in a thread: a disk that is full, or a pipe that nobody empties, neither ends nor holds up who logs.
"""

from __future__ import annotations

import atexit
import logging
from typing import TYPE_CHECKING, Any

import structlog

from projection.cli import console
from projection.engine.log_writer import LogWriter
from projection.lang.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import EventDict, Processor, WrappedLogger


_LAST_LINES_S = 2.0  # that the end of the process waits for


def configure_logs() -> None:
    """Set up structlog for this process, and have notes and errors take the same way as log lines."""
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        escaped,
        structlog.dev.ConsoleRenderer() if console.is_terminal() else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Console(),
    )
    writer = LogWriter(console.line_writer(), lambda lines: _rendered(processors, lines))
    console.write_lines_by(writer)
    atexit.register(end_logs)
    logging.lastResort = _Forward(logging.WARNING)  # of libraries: Python's own one waits for whoever reads stderr


def end_logs() -> None:
    """Wait until the last lines are written, for two seconds at most; what comes then is lost."""
    console.end_lines(_LAST_LINES_S)


def _rendered(processors: Sequence[Processor], lines: int) -> str:
    """The line that says how many were lost before it."""
    event: Any = {
        "event": "log lines could not be written",
        "lines": lines,
        "hint": "make room on the disk that the log is on, or see to it that whoever reads the log keeps up",
    }
    for processor in processors:
        event = processor(None, "warning", event)
    return str(event)


class _Console:
    """Writes each line as all other notes are written, so that a progress bar and the log do not meet on one line."""

    def msg(self, message: str) -> None:
        """Write one line."""
        console.write_line(message)

    debug = info = warning = error = critical = exception = log = fatal = msg


class _Forward(logging.Handler):
    """Takes what libraries log, and nobody else handles, the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        structlog.get_logger().warning(record.getMessage(), logger=record.name)


def escaped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: ids and messages come from events."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}
