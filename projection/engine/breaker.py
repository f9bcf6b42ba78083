"""A circuit breaker: what fails is left in peace for a growing while, and then tried with one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from projection.jitter import jittered

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.errors import ProjectionError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class CircuitBreaker:
    """Closed, it lets calls through; open, none for a while; half-open, one.

    A failure opens it. After a pause it is half-open: the next call is a probe, which closes it, or opens it for twice
    as long. One task calls at a time, so that a half-open breaker lets one probe through by itself.
    """

    def __init__(self, on_change: Callable[[], None] | None = None) -> None:
        self.trouble: ProjectionError | None = None  # the last failure, while the breaker is not closed
        self._on_change = on_change or (lambda: None)
        self.failures = 0  # calls that failed, since it was made
        self._failures = 0  # in a row

    async def admit(self) -> None:
        """Wait until a call may be tried: at once while closed, else for a pause that grows with each failure."""
        if self._failures:
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._failures - 1))
            await asyncio.sleep(jittered(longest))

    def failed(self, error: ProjectionError) -> None:
        """A call failed: the breaker is open."""
        self.failures += 1
        self._failures = min(self._failures + 1, 10)
        self.trouble = error
        self._on_change()

    def succeeded(self) -> None:
        """A call went well: the breaker is closed."""
        if self._failures:
            self._failures, self.trouble = 0, None
            self._on_change()
