"""Logs that can be folded again: a file of events, or a stream, by a consumer of its own that is gone afterwards."""

from __future__ import annotations

from contextlib import aclosing
from itertools import islice, takewhile
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from projection.engine.event import event_reader
from projection.engine.replay import FileEvents
from projection.engine.starts import before_start_in_file, before_start_in_stream
from projection.model.checkpoint import LanePosition
from projection.model.subjects import matcher
from projection.stream.feed import JetStreamFeed
from projection.stream.jetstream import JetStream
from projection.stream.opening import FeedLimits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.stream.connection import Nats
    from projection.stream.port import Message

    Batches = AsyncGenerator[Sequence[Event], None]

_BATCH = 1_000  # events of a file that are handed over at once
_PATIENCE_S = 10.0  # with a server that is in trouble
_LIMITS = FeedLimits(forgotten_after_s=60.0)  # where the process is killed, so that it can delete nothing


class Log(Protocol):
    """Events in their order, which can be read more than once."""

    end: int  # the last sequence of it; of a stream, when it was first read; 0 before

    async def before_start(self, deployed: DeployedView) -> int:
        """The last sequence that a view type does not read.

        Raises:
            ProjectionError: the log does not tell, or does not reach so far.
        """

    def read(self, deployed: DeployedView, subjects: Sequence[str], after: int, until: int | None = None) -> Batches:
        """The events of some subjects behind a sequence, in batches. To be closed.

        Args:
            deployed: whose subject template and tenancy say how messages become events.
            subjects: disjoint filters; empty: there is nothing to read.
            after: the last sequence that is not wanted.
            until: the last one that is; None for the end of the log.

        Raises:
            StreamError: the server cannot be used, or the stream lost what would have to be read.
            ConfigurationError: the file cannot be read.
        """


class FileLog:
    """Implements `Log` on a file of recorded messages, or of envelopes, which are numbered from 1."""

    def __init__(self, lines: Callable[[], Iterator[bytes]]) -> None:
        self.end = 0
        self._lines = lines

    async def before_start(self, deployed: DeployedView) -> int:
        """See `Log.before_start`."""
        return before_start_in_file(deployed)

    async def read(
        self, deployed: DeployedView, subjects: Sequence[str], after: int, until: int | None = None
    ) -> Batches:
        """See `Log.read`."""
        is_wanted = matcher(subjects)
        events = FileEvents(deployed.entry, deployed.tenancy).read(self._lines())
        if until is not None:
            events = takewhile(lambda event: event.message.sequence <= until, events)
        while batch := list(islice(events, _BATCH)):
            self.end = max(self.end, batch[-1].message.sequence)
            behind = [event for event in batch if event.message.sequence > after and not event.no_event]
            yield [event for event in behind if is_wanted(event.message.subject)]


class StreamLog:
    """Implements `Log` on a stream. What is stored after the first reading began is not read."""

    def __init__(self, nats: Nats, stream: str, purpose: str) -> None:
        """A log on a connection, which stays the caller's to close.

        Args:
            nats: the connection.
            stream: the stream's name.
            purpose: a word for the name of the consumer, which is no node's.
        """
        self.end = 0
        self._nats, self._stream = nats, stream
        self._jetstream = JetStream(nats)
        self._purpose = purpose

    async def before_start(self, deployed: DeployedView) -> int:
        """See `Log.before_start`."""
        return await before_start_in_stream(deployed, self._jetstream, self._stream)

    async def read(
        self, deployed: DeployedView, subjects: Sequence[str], after: int, until: int | None = None
    ) -> Batches:
        """See `Log.read`."""
        read = event_reader(deployed.entry, deployed.tenancy).read
        async with aclosing(self.messages(subjects, after, until)) as batches:
            async for batch in batches:
                events = map(read, (one for one in batch if not one.no_event))
                yield [event for event in events if not event.no_event]

    async def messages(
        self, subjects: Sequence[str], after: int = 0, until: int | None = None
    ) -> AsyncGenerator[Sequence[Message], None]:
        """The messages of some subjects behind a sequence, in batches, whatever they hold. To be closed.

        Raises:
            StreamError: see `Log.read`.
        """
        if not subjects:
            return
        feed = JetStreamFeed(
            self._nats,
            stream=self._stream,
            consumer=f"{self._purpose}_{uuid4().hex}",
            subjects=subjects,
            position=LanePosition(scanned=after),
            limits=_LIMITS,
        )
        try:
            await feed.open()
            self.end = self.end or (await self._jetstream.stream_info(self._stream)).state.last_seq
            until = self.end if until is None else min(until, self.end)
            scanned, heard = after, monotonic()
            while scanned < until:
                batch = await feed.next_batch()
                if batch is not None:
                    scanned, heard = batch.scanned, monotonic()
                    yield [one for one in batch.messages if one.sequence <= until]
                elif feed.trouble is not None and monotonic() - heard > _PATIENCE_S:
                    raise feed.trouble
        finally:
            await feed.forget()
