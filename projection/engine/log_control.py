"""Which log lines are written: those of a component's level, and of lines that repeat one another the first.

Both are processors of structlog, for the whole process, as there is one log.
"""

from __future__ import annotations

from threading import Lock, Timer
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from projection.engine.log_writer import LINES
from projection.model.log_settings import LEVELS, LogLevels

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, WrappedLogger

_RANKS: dict[str, int] = {level: rank for rank, level in enumerate((*LEVELS, "critical"))}
_INFO = _RANKS["info"]
# What lines have in common that are like one another. Ids, numbers and texts of errors differ.
_LIKENESS = ("component", "event", "view_type", "build", "code", "doing", "at", "what", "kind", "reason")
REPEAT_S = 10.0  # similar lines within this time are written once
_MOST = 1_000  # kinds of lines that are remembered


class LevelFilter:
    """Drops lines below the level of their component; may be told other levels at any time."""

    def __init__(self) -> None:
        self.levels = LogLevels()

    def admits(self, component: str, level: str) -> bool:
        """Whether lines of this level are written for a component."""
        return _RANKS.get(level, _INFO) >= _RANKS[self.levels.of(component)]

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """See structlog's processors."""
        if not self.admits(event.setdefault("component", "node"), method):
            raise structlog.DropEvent
        return event


LEVEL_FILTER = LevelFilter()  # of this process


class _Kind(NamedTuple):
    """Lines that are like one another."""

    level: str
    fields: tuple[tuple[str, Any], ...]


class RepeatLimit:
    """Writes the first of several similar warnings or errors, and later how many more there were.

    Lines below are let through: what is written there once for each request or event has a switch or a level of its
    own.
    """

    def __init__(
        self,
        tell: Callable[[str, dict[str, Any]], None],
        every_s: float = REPEAT_S,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """No line came yet.

        Args:
            tell: writes a line of a level that says how many there were more.
            every_s: in which one line is let through.
            later: calls something after so many seconds.
        """
        self._tell = tell
        self._every_s = every_s
        self._later = later or _later
        self._seen: dict[_Kind, list[float]] = {}  # when one was let through, and how many came since
        self._is_due = False  # whether `tell_more` will be called
        self._lock = Lock()  # lines come from all threads

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """See structlog's processors."""
        if _RANKS.get(method, _INFO) <= _INFO:
            return event
        kind = _Kind(method, tuple((name, str(event[name])) for name in _LIKENESS if name in event))
        now = monotonic()
        with self._lock:
            seen = self._seen.get(kind)
            if seen is None or (now - seen[0] >= self._every_s and not seen[1]):
                if len(self._seen) >= _MOST:
                    self._seen = {one: told for one, told in self._seen.items() if told[1]}
                if len(self._seen) < _MOST:  # else all of them repeat: this one is not counted
                    self._seen[kind] = [now, 0]
                return event
            seen[1] += 1
            LINES.suppressed += 1
            if not self._is_due:
                self._is_due = True
                self._later(self._every_s, self.tell_more)
        raise structlog.DropEvent

    def tell_more(self) -> None:
        """Say how many lines were not written, and let one of each kind through again."""
        with self._lock:
            self._is_due = False
            more = [(kind, int(seen[1])) for kind, seen in self._seen.items() if seen[1]]
            for kind, _ in more:
                del self._seen[kind]
        for kind, count in more:
            fields = dict(kind.fields)
            self._tell(kind.level, {**fields, "event": f"{count:,} more like it", "like": fields.get("event")})


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = Timer(seconds, call)
    timer.daemon = True
    timer.start()


def counted(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Count a line that is written; a processor of structlog."""
    level = {"exception": "error", "fatal": "critical", "warn": "warning"}.get(method, method)
    LINES.by_level[level] = LINES.by_level.get(level, 0) + 1
    return event
