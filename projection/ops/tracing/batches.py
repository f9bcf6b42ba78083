"""Spans of batches and their stages, of events in them that whoever published them has recorded, and of commits."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
from opentelemetry.trace import Link, SpanContext, SpanKind

from projection.engine.event import recorded_parent
from projection.engine.tracing import BatchTrace, CommitTrace
from projection.errors import ProjectionError
from projection.ops.tracing.spans import bounded, remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.committer import Committer
    from projection.engine.event import Event
    from projection.engine.lane import Lane
    from projection.engine.tracing import Offer, Offered
    from projection.model.ids import ViewType
    from projection.model.traceparent import TraceParent
    from projection.ops.tracing.spans import Spans

    LastCommits = dict[ViewType, "TracedCommit"]

MAX_EVENTS = 32  # of a batch that get spans; the others are not even looked at
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
    took: tuple[float, float]  # its begin and end
    was_refused: bool


class TracedBatches(BatchTrace):
    """Makes the spans of one reading's batches.

    A batch is what is committed together: where the feed's batch is committed in parts, each part is one.
    """

    def __init__(self, spans: Spans, stream: str, last_commits: LastCommits, members: Sequence[Committer]) -> None:
        """Nothing is read yet.

        Args:
            spans: makes them.
            stream: the name of the log.
            last_commits: where each view type's last commit that has a span is noted.
            members: of the reading, as they are now.
        """
        self._spans = spans
        self._stream = stream
        self._last_commits = last_commits
        self._members = members
        self._received: tuple[float, float] | None = None  # since when the feed was waited for, and until when
        self._begin_batch()

    def _begin_batch(self) -> None:
        self._folding: tuple[float, float] | None = None  # the first turn's begin, and the last one's end
        self._messages = self._turns = 0
        self._decoding_s = 0.0
        self._events: list[_TracedEvent] = []

    def received(self, began: float) -> None:
        """See `BatchTrace.received`."""
        self._received = (began, perf_counter())

    def offer(self, offer: Offer, events: Sequence[Event]) -> Offered:
        """See `BatchTrace.offer`. Events that get spans are offered by themselves, the others together."""
        done = 0
        for at, event in enumerate(events):
            if len(self._events) >= MAX_EVENTS:
                break
            parent = None if event.no_event else recorded_parent(event)
            if parent is None:
                continue
            if at > done:
                taken, refused = offer(events[done:at])
                done += taken
                if refused is not None:
                    return done, refused
            began, refusals = perf_counter(), self._refusals()
            taken, refused = offer(events[at : at + 1])
            self._note(event, parent, began, was_refused=self._refusals() > refusals)
            done += taken
            if refused is not None:
                return done, refused
        taken, refused = offer(events[done:] if done else events)
        return done + taken, refused

    def _note(self, event: Event, parent: TraceParent, began: float, *, was_refused: bool) -> None:
        last = self._events[-1] if self._events else None
        if last is not None and last.event.message.sequence == event.message.sequence:
            began = last.took[0]  # a lane could not take it, and it was offered again
            self._events.pop()
        self._events.append(_TracedEvent(event, Link(remote(parent)), (began, perf_counter()), was_refused))

    def _refusals(self) -> int:
        """How many events are parked or were skipped, and at how many a lane has halted."""
        return sum(member.lane.parked + (member.lane.halted is not None) for member in self._members)

    def folded(self, began: float, messages: int, decoding_s: float) -> None:
        """See `BatchTrace.folded`."""
        self._folding = (began if self._folding is None else self._folding[0], perf_counter())
        self._messages += messages
        self._turns += 1
        self._decoding_s += decoding_s

    def hand_over(self) -> None:
        """See `BatchTrace.hand_over`. Now it is known whether anything of the batch is recorded elsewhere."""
        if self._folding is None or not self._messages:
            return
        self._spans.look_at_clock()
        batch = self._add_batch(self._folding)
        if batch is not None:
            for member in self._members:
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
        # Decoding and folding take turns, some events at a time: here, each has as much as it took of the time.
        decoded = min(began + self._decoding_s, ended)
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
            one.took,
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
    """Makes spans of those commits of one lane that contain a batch with a span."""

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
