"""The feed's port: an ordered, gap-free reading of a log, whatever it is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.errors import StreamError
    from projection.model.checkpoint import LanePosition, StreamIdentity


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of the log. A structure that the collector need not look at: there may be as many as memory holds."""

    sequence: int  # its stream sequence
    subject: str
    data: bytes
    time: str  # when the log stored it, as the log writes it (nanoseconds since the epoch, decimal)
    no_event: str = ""  # what it is where it is no event: a word of `markers`
    headers: bytes = b""  # the block of them, as NATS carries it; empty: there are none


@dataclass(frozen=True, slots=True)
class Batch:
    """What the feed saw since the last batch: the messages, and how far it has looked without a gap."""

    messages: Sequence[Message]
    scanned: int  # ≥ every sequence in `messages`; may lie beyond the last one where nothing else was stored
    scanned_time: str | None = None  # when the log stored what is there, as in `Message`


class Feed(Protocol):
    """An ordered, gap-free reading. Within and across its own re-openings no message is left out or comes twice."""

    identity: StreamIdentity | None  # of the log as it was found last; known once the feed is open
    openings: int  # how often the feed was opened; the log may have become another one each time
    trouble: StreamError | None  # why nothing comes for now; the feed tries again by itself
    # A sequence, and a moment (Unix time) at which the log held nothing of this feed behind it; None until it looked.
    level: tuple[int, float] | None

    @property
    def is_heard(self) -> bool:
        """Whether a message, or a word that there is none, has come since the feed was opened last."""

    @property
    def left(self) -> int | None:
        """How many messages it has not returned yet, here and at the server; None while that is not known."""

    async def open(self) -> None:
        """Check the log against the position and begin to read at `scanned + 1`.

        Raises:
            StreamIdentityError: the log is another one, or lost what would have to be read.
            StreamError: the server or the stream cannot be used.
        """

    async def check(self, position: LanePosition) -> None:
        """Check the log, as it is now, against the position of one who reads by this feed and may be ahead of it.

        Raises:
            StreamIdentityError: the log is another one than that of the position, or lost what was read of it.
            StreamError: the server cannot be asked.
        """

    async def next_batch(self) -> Batch | None:
        """The next messages, at once when some are here, else after at most the linger; None when nothing came.

        Bounded by the batch limits of the settings. While nothing comes and nothing is pending it may return an empty
        batch whose `scanned` has moved on.

        Raises:
            StreamIdentityError: as in `open`; found when the feed had to be opened anew.
            StreamError: another node reads under this node's id, or the server refuses for good.
        """

    async def caught_up(self) -> bool:
        """Whether the log, as it is now, holds nothing that this feed has not returned."""

    async def acknowledge(self, sequence: int) -> None:
        """Show the server how far everything is committed; a progress display, which decides nothing."""

    async def last_sequence(self) -> int:
        """The last sequence that the log has given, whoever's message that is.

        Raises:
            StreamError: the server cannot be asked.
        """

    async def close(self) -> None:
        """Stop reading; idempotent."""

    async def forget(self) -> None:
        """Close, and let nothing of the feed be left at the server: nobody reads by it any more."""
