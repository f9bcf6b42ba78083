"""How fresh an answer is, and how fresh somebody wants it to be.

A build's `scanned` says how much of the log is in its views. As time that is the later of two: when the log stored that
event, and the last moment at which the node saw that nothing of the view type had been stored beyond it. Only the node
knows the second; another process of the host knows the first, and says no more than that.

The first is told by the server's clock. A moment that our own clock has not reached shows that the two are apart, and
says nothing of how long ago it was.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from projection.model.timestamp import format_timestamp
from projection.query.errors import NotFreshError

if TYPE_CHECKING:
    from projection.model.checkpoint import LanePosition
    from projection.model.ids import ViewType


_CLOCKS_APART_S = 1.0  # that the server's clock may be ahead of ours, and the age still counts as known


class Wanted(NamedTuple):
    """How fresh an answer must be."""

    min_sequence: int | None = None  # all events of the log up to here must be in it
    wait_ms: int = 0  # how long to wait for that
    max_lag_s: float | None = None  # the longest time ago up to which all events are in it


ANY = Wanted()


class Freshness(Protocol):
    """What the node knows beyond what is stored."""

    def level_at(self, view_type: ViewType, build: int) -> tuple[int, float] | None:
        """A sequence, and a moment (Unix time) at which the log held nothing of the view type behind it.

        None where the node does not know, or does not fold that build.
        """


class Age(NamedTuple):
    """Up to when all events are in a picture of a lane."""

    as_of: str | None  # RFC 3339
    lag_s: float | None  # how long ago that was, never below 0; None where our clock cannot tell


def age(position: LanePosition, level: tuple[int, float] | None) -> Age:
    """How old a position is, by what is stored and by what the node knows."""
    moments = [int(position.scanned_time) / 1e9] if position.scanned_time else []
    if level is not None and position.scanned >= level[0]:
        moments.append(level[1])
    if not moments:
        return Age(None, None)
    now = time()
    past = [moment for moment in moments if moment <= now + _CLOCKS_APART_S]
    lag_s = max(0.0, round(now - max(past), 3)) if past else None
    return Age(_text(round(max(moments), 3)), lag_s)


def require(position: LanePosition, lag_s: float | None, wanted: Wanted) -> None:
    """Refuse an answer that is less fresh than wanted.

    Raises:
        NotFreshError: it is.
    """
    if wanted.min_sequence is not None and position.scanned < wanted.min_sequence:
        raise NotFreshError(
            f"the views include events up to sequence {position.scanned}, and not up to {wanted.min_sequence}",
            hint="wait for longer (wait_ms), or ask again in a moment",
        )
    if wanted.max_lag_s is not None and (lag_s is None or lag_s > wanted.max_lag_s):
        known = "their age is not known" if lag_s is None else f"they are {lag_s:,} s behind"
        raise NotFreshError(
            f"the views are not known to be at most {wanted.max_lag_s:,} s behind: {known}",
            hint="ask again in a moment, or allow for more (max_lag_s)",
        )


@lru_cache(maxsize=1024)  # of one commit there are many answers
def _text(moment: float) -> str:
    return format_timestamp(datetime.fromtimestamp(moment, UTC))
