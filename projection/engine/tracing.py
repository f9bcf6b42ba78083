"""What a node tells of its batches and commits to whoever traces them; here, nobody does, and nothing is kept.

`projection/ops/tracing/` has the observers that make spans of it. Each is told a few times for a batch, never for an
event: what an event took is seen by a `BatchTrace` that has it offered by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.committer import Committer
    from projection.engine.event import Event
    from projection.engine.lane import Lane

    Offered = tuple[int, tuple[Lane | None, Exception] | None]
    Offer = Callable[[Sequence[Event]], Offered]


class CommitTrace:
    """Is told of the commits of one lane."""

    def begin(self) -> None:
        """A commit has begun: of what was folded since the last one, and is folded until it is sealed."""

    def failed(self) -> None:
        """The store refused it for now; it is tried again."""

    def end(self, lane: Lane, error: Exception | None = None) -> None:
        """The commit under way is stored, or never will be; the lane still has it."""


class BatchTrace:
    """Is told of the batches of one reading."""

    def received(self, began: float) -> None:
        """The feed was waited for since then, by `perf_counter`, and a batch has come now."""

    def offer(self, offer: Offer, events: Sequence[Event]) -> Offered:
        """Offer decoded events to the lanes by `offer`, all at once or some after the others; as `Offers.offer`."""
        return offer(events)

    def folded(self, began: float, messages: int, decoding_s: float) -> None:
        """A turn that began then ends now.

        Args:
            began: when, by `perf_counter`.
            messages: how many were folded in it.
            decoding_s: how much of it was spent on making events of messages.
        """

    def hand_over(self) -> None:
        """What was folded since the last time is to be committed now."""


class Tracing:
    """What a node is traced by."""

    def of_reading(self, members: Sequence[Committer]) -> BatchTrace:
        """Return what is told of the batches of a new reading; `members` is the reading's own list, as it changes."""
        del members
        return _UNTRACED_BATCHES


UNTRACED_COMMITS = CommitTrace()
_UNTRACED_BATCHES = BatchTrace()
UNTRACED = Tracing()
