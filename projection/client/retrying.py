"""When a question is asked again: where no harm comes of it, a few times, and not for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.client.errors import UnreachableError
from projection.jitter import jittered

if TYPE_CHECKING:
    from projection.client.calls import Answer

ATTEMPTS = 3
_PAUSE_S = 0.1  # after the first failure; it doubles, and jitters so that many clients do not come back at once
_LONGEST_PAUSE_S = 5.0  # a node that wants more time than this is told of to the caller


class Attempts:
    """The attempts at one call. Every call only reads, so one that the node may have seen can be sent once more."""

    def __init__(self) -> None:
        self._failed = 0

    def pause_after(self, outcome: Answer | UnreachableError) -> float | None:
        """Seconds to wait before the next attempt; None where this outcome stands."""
        self._failed += 1
        if self._failed == ATTEMPTS:
            return None
        if isinstance(outcome, UnreachableError):
            return backoff(self._failed)
        if outcome.status not in (429, 503):
            return None
        wanted = outcome.headers.get("retry-after", "")
        if not wanted.isdecimal() or int(wanted) > _LONGEST_PAUSE_S:
            return None
        return max(float(wanted), backoff(self._failed))


def backoff(failed: int, longest_s: float = _LONGEST_PAUSE_S) -> float:
    """A pause after so many failures in a row."""
    return jittered(min(longest_s, _PAUSE_S * 2.0 ** min(failed - 1, 10)))
