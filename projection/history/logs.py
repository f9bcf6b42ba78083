"""Logs that can be folded again: a file of events, or a stream, by a consumer of its own that is gone afterwards."""

from __future__ import annotations

from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from itertools import islice, takewhile
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from projection.engine.event import event_reader
from projection.engine.replay import FileEvents
from projection.engine.starts import before_start_in_file, before_start_in_stream
from projection.errors import ConfigurationError, StreamError, StreamIdentityError
from projection.model.checkpoint import LanePosition
from projection.model.subjects import matcher
from projection.model.timestamp import just_after
from projection.query.errors import HistoryGoneError
from projection.stream.feed import JetStreamFeed
from projection.stream.identity import check_identity, require_history
from projection.stream.jetstream import JetStream, seconds
from projection.stream.log_end import LogEnd
from projection.stream.losses import require_limits
from projection.stream.opening import FeedLimits, Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.stream.connection import Nats
    from projection.stream.port import Message

    Batches = AsyncGenerator[Sequence[Event], None]

_BATCH = 1_000  # events of a file that are handed over at once
_FEW = 8  # subjects, of which the log is asked one by one
_PATIENCE_S = 10.0  # with a server that is in trouble
_CANNOT_BE_MADE = "what is stored cannot be made again from this stream; `projection verify` says whether it is sound"
_LIMITS = FeedLimits(forgotten_after_s=60.0)  # where the process is killed, so that it can delete nothing


class Log(Protocol):
    """Events in their order, which can be read more than once."""

    end: int  # the last sequence of it; of a stream, when it was first read; 0 before

    async def before_start(self, deployed: DeployedView) -> int:
        """The last sequence that a view type does not read.

        Raises:
            ProjectionError: the log does not tell, or does not reach so far.
        """

    async def whole_from(
        self, deployed: DeployedView, position: LanePosition | None = None, behind: LanePosition | None = None
    ) -> int:
        """The same, of a log that is known to hold everything behind it.

        Args:
            deployed: whose start.
            position: how far a build has read this log, and how many messages it has seen.
            behind: the same of a build that is folded on: only what is behind it is asked for, and is the result.

        Raises:
            HistoryGoneError: it does not, or is another log than was read.
            ProjectionError: as in `before_start`.
        """

    async def last_at(self, time: str) -> int:
        """The last sequence that was stored at a time (RFC 3339), or before it; 0 where there is none.

        Raises:
            ConfigurationError: the log does not tell, or it is no time.
            StreamError: the server cannot be used.
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

    async def whole_from(
        self,
        deployed: DeployedView,
        position: LanePosition | None = None,  # noqa: ARG002 - nothing tells
        behind: LanePosition | None = None,
    ) -> int:
        """See `Log.whole_from`: nobody can tell what a file lacks."""
        return before_start_in_file(deployed) if behind is None else behind.scanned

    async def last_at(self, time: str) -> int:
        """See `Log.last_at`."""
        raise ConfigurationError(
            f"a file does not say when its events were stored, so that there is no telling which came before {time}",
            hint="name a sequence",
        )

    async def read(
        self, deployed: DeployedView, subjects: Sequence[str], after: int, until: int | None = None
    ) -> Batches:
        """See `Log.read`."""
        is_wanted = matcher(subjects)
        events = FileEvents(deployed.entry, deployed.tenancy).read(self._lines())
        if until is not None:
            events = takewhile(lambda event: not self._is_behind(event, until), events)
        while batch := list(islice(events, _BATCH)):
            self.end = max(self.end, batch[-1].message.sequence)
            behind = [event for event in batch if event.message.sequence > after and not event.no_event]
            yield [event for event in behind if is_wanted(event.message.subject)]

    def _is_behind(self, event: Event, until: int) -> bool:
        self.end = max(self.end, event.message.sequence)
        return event.message.sequence > until


class StreamLog:
    """Implements `Log` on a stream. What is stored after the first reading began is not read."""

    def __init__(self, nats: Nats, stream: str, purpose: str, *, batch: int | None = None) -> None:
        """A log on a connection, which stays the caller's to close.

        Args:
            nats: the connection.
            stream: the stream's name.
            purpose: a word for the name of the consumer, which is no node's.
            batch: the most messages at once, where others wait for their turn; None for what is fastest.
        """
        self.end = 0
        self._nats, self._stream = nats, stream
        self._jetstream = JetStream(nats)
        self._purpose = purpose
        self._limits = _LIMITS if batch is None else replace(_LIMITS, batch=batch)

    async def before_start(self, deployed: DeployedView) -> int:
        """See `Log.before_start`."""
        return await before_start_in_stream(deployed, self._jetstream, self._stream)

    async def whole_from(
        self, deployed: DeployedView, position: LanePosition | None = None, behind: LanePosition | None = None
    ) -> int:
        """See `Log.whole_from`."""
        before = await self.before_start(deployed) if behind is None else behind.scanned
        info = await self._jetstream.stream_info(self._stream)
        require_limits(self._stream, info.config)
        time_of = partial(self._jetstream.message_time, self._stream)
        try:
            for one in (position, behind):
                if one is not None:
                    await check_identity(self._stream, info, one, time_of)
            require_history(self._stream, info, before + 1)
        except StreamIdentityError as error:
            raise HistoryGoneError(error.message, hint=_CANNOT_BE_MADE) from None
        if behind is None and deployed.entry.start.time is not None and info.state.first_seq > max(1, before):
            raise HistoryGoneError(
                f"stream {self._stream!r} begins at {info.state.first_seq:,} by now: it is not known whether it has "
                f"lost messages that were stored since {deployed.entry.start.time}, where view type "
                f"{deployed.entry.view_type} begins",
                hint=_CANNOT_BE_MADE,
            )
        seen = None if position is None else position.messages
        if seen is not None and behind is not None:
            seen = None if behind.messages is None else seen - behind.messages
        if position is not None and seen is not None:
            there = await self._count(deployed.entry.subjects, before, position.scanned)
            if there < seen:
                raise HistoryGoneError(
                    f"stream {self._stream!r} holds {there:,} messages by now of the {seen:,} that view "
                    f"type {deployed.entry.view_type} was folded from",
                    hint=_CANNOT_BE_MADE,
                )
        return before

    async def _is_behind(self, log_end: LogEnd, subjects: Sequence[str], scanned: int, until: int) -> bool:
        """Whether nothing is left to be read; the consumer may be wrong about that, and the log is not."""
        if len(subjects) > _FEW:
            return False
        try:
            _, unread = await log_end.unread(scanned)
        except StreamError:  # the feed has it as well, and knows how long to wait
            return False
        return unread is None or unread > until

    async def _count(self, subjects: Sequence[str], after: int, until: int) -> int:
        """How many messages there are behind a sequence and up to another, or more; as the server counts them."""
        beyond = await self._pending(subjects, until + 1)  # first: what comes meanwhile may only be counted as there
        return await self._pending(subjects, after + 1) - beyond

    async def _pending(self, subjects: Sequence[str], start: int) -> int:
        consumer = f"{self._purpose}_{uuid4().hex}"
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "filter_subjects": list(subjects),
            "num_replicas": self._limits.replicas,
            "mem_storage": True,
            "inactive_threshold": seconds(self._limits.forgotten_after_s),
        }
        try:
            return (await self._jetstream.create_consumer(self._stream, consumer, config)).num_pending
        finally:
            with suppress(StreamError):  # it is forgotten by itself soon
                await self._jetstream.delete_consumer(self._stream, consumer)

    async def last_at(self, time: str) -> int:
        """See `Log.last_at`."""
        return await self._jetstream.last_sequence_before(self._stream, just_after(time))

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
        reader = Reader(self._stream, f"{self._purpose}_{uuid4().hex}", tuple(subjects))
        log_end = LogEnd(self._jetstream, reader)
        feed = JetStreamFeed(
            self._nats,
            stream=self._stream,
            consumer=reader.consumer,
            subjects=subjects,
            position=LanePosition(scanned=after),
            limits=self._limits,
        )
        try:
            await feed.open()
            self.end = self.end or (await self._jetstream.stream_info(self._stream)).state.last_seq
            until = self.end if until is None else min(until, self.end)
            scanned, heard = after, monotonic()
            while scanned < until:
                if feed.left == 0 and await self._is_behind(log_end, subjects, scanned, until):
                    return
                batch = await feed.next_batch()
                if batch is not None:
                    scanned, heard = batch.scanned, monotonic()
                    yield [one for one in batch.messages if one.sequence <= until]
                elif feed.trouble is not None and monotonic() - heard > _PATIENCE_S:
                    raise feed.trouble
        finally:
            await feed.forget()
