"""Spans of batches and their stages, of events in them that whoever published them has recorded, and of commits."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
from opentelemetry.trace import Link, SpanContext, SpanKind

from projection.engine.tracing import BatchTrace, CommitTrace
from projection.errors import ProjectionError
from projection.model.traceparent import LAST_OF_FLAGS, RECORDED, sampled_parent
from projection.ops.tracing.spans import bounded, remote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from projection.engine.committer import Committer
    from projection.engine.event import Event
    from projection.engine.lane import Lane
    from projection.engine.tracing import Read
    from projection.model.ids import ViewType
    from projection.ops.tracing.spans import Spans
    from projection.stream.port import Batch, Message

    LastCommits = dict[ViewType, "TracedCommit"]

MAX_EVENTS = 32  # of a batch that get spans; the others are not even looked at
_TIMED = 8  # one event of so many is timed while it is decoded: a clock takes a tenth of what it measures
_MAX_BATCHES = 8  # that one commit names, as a store that is slow makes it one of many


class TracedCommit(msgspec.Struct, frozen=True):
    """The last commit of a view type that has a span."""

    build: int
    scanned: int  # all events up to this sequence are in it
    context: SpanContext


class _TracedEvent(msgspec.Struct):
    """An event that gets a span, once its batch has one."""

    event: Event
    link: Link
    began: float
    refused_before: int
    ended: float = 0.0
    was_refused: bool = False


class TracedBatches(BatchTrace):
    """Makes the spans of one reading's batches.

    A batch is what is committed together: where the feed's batch is committed in parts, each part is one.
    """

    def __init__(self, spans: Spans, stream: str, last_commits: LastCommits) -> None:
        """Nothing is read yet.

        Args:
            spans: makes them.
            stream: the name of the log.
            last_commits: where each view type's last commit that has a span is noted.
        """
        self._spans = spans
        self._stream = stream
        self._last_commits = last_commits
        self._members: Sequence[Committer] = ()
        self._received: tuple[float, float] | None = None  # since when the feed was waited for, and until when
        self._begin_batch()

    def _begin_batch(self) -> None:
        self._folding: tuple[float, float] | None = None  # the first turn's begin, and the last one's end
        self._messages = self._turns = self._timed = 0
        self._decoding_s = 0.0  # of those that were timed
        self._has_room = True  # for more events that get spans
        self._events: list[_TracedEvent] = []
        self._at_hand: _TracedEvent | None = None  # which is being folded

    def reader(self, read: Read, members: Sequence[Committer]) -> Read:
        """See `BatchTrace.reader`. Lanes take an event behind the call for it; the next call tells that they have."""
        self._members = members

        def traced(message: Message) -> Event:
            if self._at_hand is not None:
                self._put_aside(perf_counter())
            if message.sequence % _TIMED:
                event = read(message)
            else:
                began = perf_counter()
                event = read(message)
                self._decoding_s += perf_counter() - began
                self._timed += 1
            if self._has_room:
                envelope = event.envelope
                text = None if envelope is None else envelope.traceparent
                if message.headers or (text is not None and text[LAST_OF_FLAGS] in RECORDED):
                    self._note(event, text)
            return event

        return traced

    def _note(self, event: Event, text: str | None) -> None:
        parent = sampled_parent(text, event.message.headers)
        if parent is not None and not event.no_event:
            self._at_hand = _TracedEvent(event, Link(remote(parent)), perf_counter(), self._refusals())

    def _put_aside(self, now: float) -> None:
        one, self._at_hand = self._at_hand, None
        if one is None:
            return
        if self._events and self._events[-1].event.message.sequence == one.event.message.sequence:
            one = self._events[-1]  # a lane could not take it, and it was offered again
        else:
            self._events.append(one)
            self._has_room = len(self._events) < MAX_EVENTS
        one.ended, one.was_refused = now, self._refusals() > one.refused_before

    def _refusals(self) -> int:
        """How many events are parked or were skipped, and at how many a lane has halted."""
        return sum(member.lane.parked + (member.lane.halted is not None) for member in self._members)

    async def receive(self, next_batch: Callable[[], Awaitable[Batch | None]]) -> Batch | None:
        """See `BatchTrace.receive`."""
        began = perf_counter()
        batch = await next_batch()
        self._received = None if batch is None else (began, perf_counter())
        return batch

    def folded(self, began: float, messages: int) -> None:
        """See `BatchTrace.folded`."""
        now = perf_counter()
        self._put_aside(now)
        self._folding = (began if self._folding is None else self._folding[0], now)
        self._messages += messages
        self._turns += 1

    def hand_over(self, members: Sequence[Committer]) -> None:
        """See `BatchTrace.hand_over`. Now it is known whether anything of the batch is recorded elsewhere."""
        if self._folding is None or not self._messages:
            return
        self._spans.look_at_clock()
        batch = self._add_batch(self._folding)
        if batch is not None:
            for member in members:
                if not isinstance(member.trace, TracedCommits):
                    member.trace = TracedCommits(self._spans, self._last_commits)
                if member.busy or member.lane.has_changes:
                    member.trace.hold(batch)
        self._received = None
        self._begin_batch()

    def _add_batch(self, folding: tuple[float, float]) -> SpanContext | None:
        began, ended = folding
        received, add = self._received, self._spans.add
        batch = add(
            f"process {self._stream}",
            (began if received is None else received[0], ended),
            self._messaging("process", "process") | {"messaging.batch.message_count": self._messages},
            kind=SpanKind.CONSUMER,
            links=[one.link for one in self._events],
        )
        if batch is None:
            return None
        if received is not None:
            add(
                f"fetch {self._stream}",
                received,
                self._messaging("fetch", "receive"),
                kind=SpanKind.CLIENT,
                parent=batch,
            )
        # Decoding and folding take turns, event by event: here, each has as much as it took of the time.
        decoding_s = self._decoding_s / self._timed * self._messages if self._timed else 0.0
        decoded = min(began + decoding_s, ended)
        add("decode", (began, decoded), {}, parent=batch)
        add("fold", (decoded, ended), {"projection.turns": self._turns}, parent=batch)
        for one in self._events:
            self._add_event(one, batch)
        return batch

    def _add_event(self, one: _TracedEvent, batch: SpanContext) -> None:
        event, envelope = one.event, one.event.envelope
        attributes: dict[str, str | int | bool] = {
            **self._messaging("process", "process"),
            "messaging.message.body.size": len(event.message.data),
            "projection.sequence": event.message.sequence,
            "projection.tenant": bounded(event.tenant_id),
        }
        name = "process"
        if envelope is not None:
            name = f"process {bounded(envelope.event_type)}"
            attributes["projection.aggregate_type"] = bounded(envelope.aggregate_type)
            if envelope.event_id is not None:
                attributes["messaging.message.id"] = bounded(envelope.event_id)
            if envelope.correlation_id is not None:
                attributes["messaging.message.conversation_id"] = bounded(envelope.correlation_id)
        error = None
        if event.error is not None:
            error = event.error.code
        elif one.was_refused:
            error = "refused"
        self._spans.add(
            name,
            (one.began, one.ended),
            attributes,
            kind=SpanKind.CONSUMER,
            parent=batch,
            links=[one.link],
            error=error,
        )

    def _messaging(self, operation: str, kind: str) -> dict[str, str | int | bool]:
        return {
            "messaging.system": "nats",
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            "messaging.destination.name": self._stream,
        }


class TracedCommits(CommitTrace):
    """Makes the spans of one lane's commits: of those that a batch with a span is in."""

    def __init__(self, spans: Spans, last_commits: LastCommits) -> None:
        self._spans = spans
        self._last_commits = last_commits
        self._holds: deque[SpanContext] = deque(maxlen=_MAX_BATCHES)  # batches that the commit under way holds
        self._later: deque[SpanContext] = deque(maxlen=_MAX_BATCHES)  # and those that came after its begin
        self._began = 0.0
        self._failures = 0

    def hold(self, batch: SpanContext) -> None:
        """Note a batch of which something is still to be stored."""
        self._later.append(batch)

    def begin(self) -> None:
        """See `CommitTrace.begin`."""
        self._take_later()
        self._began, self._failures = perf_counter(), 0

    def failed(self) -> None:
        """See `CommitTrace.failed`."""
        self._failures += 1

    def end(self, lane: Lane, error: Exception | None = None) -> None:
        """See `CommitTrace.end`."""
        if not lane.has_changes:  # what came after the begin was folded before the commit was sealed
            self._take_later()
        holds, self._holds = self._holds, deque(maxlen=_MAX_BATCHES)
        commit = lane.under_way
        if not holds or commit is None:
            return
        *others, last = holds
        self._spans.look_at_clock()
        attributes: dict[str, str | int | bool] = {
            "db.system.name": "lmdb",
            "db.operation.name": "commit",
            "db.collection.name": str(lane.view_type),
            "projection.build": lane.build,
            "projection.position": commit.position.scanned,
            "projection.attempts": self._failures + 1,
        }
        if len(commit.views) > 1:
            attributes["db.operation.batch.size"] = len(commit.views)
        context = self._spans.add(
            f"commit {lane.view_type}",
            (self._began, perf_counter()),
            attributes,
            parent=last,
            links=[Link(one) for one in others],
            error=None if error is None else _class_of(error),
        )
        if context is not None and error is None:
            self._last_commits[lane.view_type] = TracedCommit(lane.build, commit.position.scanned, context)

    def _take_later(self) -> None:
        self._holds.extend(self._later)
        self._later.clear()


def _class_of(error: Exception) -> str:
    return error.code if isinstance(error, ProjectionError) else type(error).__qualname__
