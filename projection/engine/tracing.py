"""What a node tells of its batches and commits to whoever traces them; here, nobody does, and nothing is kept.

`projection/ops/tracing/` has the observers that make spans of it. Each is told a few times for a batch, never for an
event: what an event took is seen by the reader that a `BatchTrace` may wrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from projection.engine.committer import Committer
    from projection.engine.event import Event
    from projection.engine.lane import Lane
    from projection.stream.port import Batch, Message

    Read = Callable[[Message], Event]


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

    def reader(self, read: Read, members: Sequence[Committer]) -> Read:
        """Return what makes events of messages from here on; `members` is the reading's own list, as it changes."""
        del members
        return read

    async def receive(self, next_batch: Callable[[], Awaitable[Batch | None]]) -> Batch | None:
        """Wait for the next batch, and return it.

        Raises:
            StreamError: as `Feed.next_batch`.
        """
        return await next_batch()

    def folded(self, began: float, messages: int) -> None:
        """So many messages were folded in a turn that began then, by `perf_counter`, and ends now."""

    def hand_over(self, members: Sequence[Committer]) -> None:
        """What was folded since the last time is to be committed now."""


class Tracing:
    """What a node is traced by."""

    def of_reading(self) -> BatchTrace:
        """Return what is told of the batches of a new reading."""
        return _UNTRACED_BATCHES


UNTRACED_COMMITS = CommitTrace()
_UNTRACED_BATCHES = BatchTrace()
UNTRACED = Tracing()
