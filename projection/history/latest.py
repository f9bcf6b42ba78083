"""The latest messages of the log, one page at a time, as the view types of a node understand them."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from projection.engine.event import event_reader
from projection.model.subjects import matcher
from projection.stream.jetstream import JetStream, nanoseconds
from projection.stream.markers import no_event_in
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.stream.jetstream import StoredMessage

MOST = 100  # messages of a page
_LOOKS = 4  # sequences that are asked for at most, for each message of a page: a log may have gaps
_SHOWN = 4_096  # characters of a message's body


class LoggedEvent(msgspec.Struct, frozen=True):
    """A message of the log."""

    sequence: int
    stored: str  # when the log stored it; RFC 3339
    subject: str
    bytes: int  # of its body
    tenant_id: str | None  # null, as the next five, where it is no event that a view type could read
    event_type: str | None
    aggregate_type: str | None
    aggregate_id: str | None
    timestamp: str | None
    event_id: str | None
    correlation_id: str | None
    problem: str | None  # why it is none
    handled_by: list[str]  # view types whose programs handle its event type
    body: str  # as text, its first 4,096 characters


class LogPage(msgspec.Struct, frozen=True):
    """Some messages of the log, the newest first."""

    first: int  # sequence of the log
    last: int
    events: list[LoggedEvent]
    before: int | None  # what to ask for next; null where the log holds nothing earlier


class LatestEvents:
    """Reads the log of a node from its end."""

    def __init__(self, node: Node, stream: str) -> None:
        """Read a stream by the connection of a node."""
        self._node = node
        self._stream = stream

    async def page(self, before: int | None, limit: int) -> LogPage:
        """The last messages before a sequence; None for the end of the log.

        Raises:
            StreamError: the server cannot be asked.
        """
        jetstream = JetStream(self._node.opener.nats)
        state = (await jetstream.stream_info(self._stream)).state
        first, last = max(1, state.first_seq), state.last_seq
        at = last if before is None else min(before - 1, last)
        found: list[StoredMessage] = []
        for _ in range(_LOOKS):
            wanted = range(at, max(first - 1, at - (limit - len(found))), -1)
            answers = await asyncio.gather(*(jetstream.message(self._stream, one) for one in wanted))
            found += [one for one in answers if one is not None]
            at -= len(wanted)
            if len(found) >= limit or at < first:
                break
        lanes = [lane for lane in self._node.lanes if lane not in self._node.roster.followers]
        return LogPage(first, last, [_logged(one, lanes) for one in found], at + 1 if at >= first else None)


def _logged(stored: StoredMessage, lanes: Iterable[Lane]) -> LoggedEvent:
    kind = no_event_in(stored.hdrs, 0, len(stored.hdrs), is_empty=not stored.data)
    message = Message(stored.seq, stored.subject, stored.data, str(nanoseconds(stored.time)), kind, stored.hdrs)
    mine = [lane.deployed for lane in lanes if _reads(lane.deployed.entry.subjects)(stored.subject)]
    event: Event | None = None
    problem: str | None = kind or None
    handlers: set[str] = set()
    if kind:
        pass
    elif not mine:
        problem = "no view type reads this subject"
    else:
        events = _events(message, mine)
        event = next((one for one in events.values() if one.envelope is not None), next(iter(events.values())))
        problem = event.no_event or (None if event.error is None else event.error.message) or None
        handlers = {str(one.entry.view_type) for one in mine if _takes(one, events[_format(one)])}
    envelope = None if event is None else event.envelope
    return LoggedEvent(
        sequence=stored.seq,
        stored=stored.time,
        subject=stored.subject,
        bytes=len(stored.data),
        tenant_id=None if event is None else str(event.tenant_id),
        event_type=None if envelope is None else envelope.event_type,
        aggregate_type=None if envelope is None else envelope.aggregate_type,
        aggregate_id=None if envelope is None else envelope.aggregate_id,
        timestamp=None if envelope is None else envelope.timestamp,
        event_id=None if envelope is None else envelope.event_id,
        correlation_id=None if envelope is None else envelope.correlation_id,
        problem=problem,
        handled_by=sorted(handlers),
        body=stored.data[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN],
    )


def _events(message: Message, deployed: Sequence[DeployedView]) -> dict[int, Event]:
    """The event of a message, by how view types make events of messages; nearly always that is one way."""
    found: dict[int, Event] = {}
    for one in deployed:
        if _format(one) not in found:
            found[_format(one)] = event_reader(one.entry, one.tenancy).read(message)
    return found


def _format(deployed: DeployedView) -> int:
    """What tells ways apart in which messages are made events: the manifest says it once for all that share it."""
    return id(deployed.entry.events) if deployed.entry.events is not None else 0


def _takes(deployed: DeployedView, event: Event) -> bool:
    envelope = event.envelope
    return envelope is not None and deployed.program.reaction(envelope.aggregate_type, envelope.event_type) is not None


@lru_cache(maxsize=1_024)
def _reads(subjects: tuple[str, ...]) -> Callable[[str], bool]:
    return matcher(subjects)
