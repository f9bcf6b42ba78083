"""Where log lines go: to stderr, for people on a terminal and as JSON for machines.

They are written in a thread: a disk that is full, or a pipe that nobody empties, neither ends nor holds up who logs.
"""

from __future__ import annotations

import atexit
import logging
from typing import TYPE_CHECKING, Any

import structlog

from projection.cli import console
from projection.engine.log_control import LEVEL_FILTER, RepeatLimit, counted
from projection.engine.log_writer import LogWriter
from projection.lang.printable import printable
from projection.model.log_settings import LogLevels
from projection.model.secrets import Redaction, secrets_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from structlog.typing import EventDict, Processor, WrappedLogger

    from projection.model.settings import Settings


_LAST_LINES_S = 2.0  # that the end of the process waits for
_repeats: RepeatLimit | None = None


def configure_logs(settings: Settings, *secrets: str) -> None:
    """Set up structlog for this process, and have notes and errors take the same way as log lines.

    Args:
        settings: of the process.
        secrets: further ones than those of the settings, which no line may show.
    """
    global _repeats  # noqa: PLW0603 - there is one log
    LEVEL_FILTER.levels = LogLevels.parse(settings.log.level)
    rendering = _rendering(settings, secrets)
    _repeats = RepeatLimit(lambda level, event: console.write_line(_rendered(rendering, level, event)))
    structlog.configure(
        processors=[LEVEL_FILTER, _repeats, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # the filter knows the components' levels
        logger_factory=lambda *_: _Console(),
    )
    writer = LogWriter(console.line_writer(), lambda lines: _rendered(rendering, "warning", _lost(lines)))
    console.write_lines_by(writer)
    atexit.register(end_logs)
    logging.lastResort = _Forward(logging.WARNING)  # of libraries: Python's own one waits for whoever reads stderr


def end_logs() -> None:
    """Wait until the last lines are written, for two seconds at most; what comes then is lost."""
    if _repeats is not None:
        _repeats.tell_more()
    console.end_lines(_LAST_LINES_S)


def _rendering(settings: Settings, secrets: Iterable[str]) -> list[Processor]:
    """What makes a text of a line that is written."""
    hidden = (*secrets_in(settings), *secrets)
    redaction = Redaction((*hidden, *map(printable, hidden)))
    is_for_people = settings.log.format == "console" or (settings.log.format == "auto" and console.is_terminal())
    ways: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=console.is_terminal(), exception_formatter=structlog.dev.plain_traceback)]
        if is_for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return [
        counted,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        escaped,
        *ways,
        lambda _logger, _method, line: redaction(str(line)),
    ]


def _lost(lines: int) -> dict[str, Any]:
    """The line that says how many were lost before it."""
    return {
        "event": "log lines could not be written",
        "component": "node",
        "lines": lines,
        "hint": "make room on the disk that the log is on, or see to it that whoever reads the log keeps up",
    }


def _rendered(processors: Sequence[Processor], level: str, event: dict[str, Any]) -> str:
    line: Any = event
    for processor in processors:
        line = processor(None, level, line)
    return str(line)


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
        structlog.get_logger(component="node").warning(record.getMessage(), logger=record.name)


def escaped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: ids and messages come from events."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}
