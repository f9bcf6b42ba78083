"""Offers: messages are decoded once for all lanes of a reading, and each event goes to the lanes that handle it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from projection.engine.event import Event
from projection.engine.event_log import about, tell_handled
from projection.model.ids import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.committer import Committer
    from projection.engine.lane import Lane
    from projection.engine.unhandled import Unhandled
    from projection.lang.reaction import Reaction
    from projection.model.envelope import Envelope
    from projection.stream.port import Message

    Takers = Sequence[tuple[Lane, Reaction | None]]

_UNHANDLED: Takers = ()  # of a type that no program of the node handles
_MAX_TYPES = 10_000  # of events: types that come from outside may not fill the memory


class Offers:
    """Offers events to the members of a reading. Decoding and folding are apart, so that each can be measured."""

    def __init__(
        self, read: Callable[[Message], Event], members: Callable[[], Sequence[Committer]], unhandled: Unhandled
    ) -> None:
        """Offers to members.

        Args:
            read: makes an event of a message.
            members: the members, as they are now.
            unhandled: counts what no program handles.
        """
        self._read = read
        self._members = members
        self._unhandled = unhandled
        self._takers: dict[tuple[str, str], Takers] = {}

    def forget(self) -> None:
        """Look anew for who handles which type: members have come or gone."""
        self._takers.clear()

    def decode(self, messages: Sequence[Message]) -> tuple[list[Event], Exception | None]:
        """The events of some messages, up to one that cannot be read, and why that is so."""
        read, found = self._read, list[Event]()
        try:
            for message in messages:
                no_event = message.no_event
                found.append(Event(message, DEFAULT_TENANT, no_event=no_event) if no_event else read(message))
        except Exception as error:  # noqa: BLE001 - whatever it is, what was read before is folded
            return found, error
        return found, None

    def offer(self, events: Sequence[Event]) -> tuple[int, tuple[Lane | None, Exception] | None]:
        """Offer events to the members: how many were taken, and which lane could not take the next, and why."""
        takers_of, unhandled = self._takers.get, self._unhandled
        for number, event in enumerate(events):
            lane = None
            try:
                envelope = event.envelope
                if envelope is None and event.no_event:
                    unhandled.passed_over(event.no_event, event.message.subject)
                    continue
                if envelope is None:
                    takers: Takers = [(member.lane, None) for member in self._members()]
                else:
                    known = takers_of((envelope.aggregate_type, envelope.event_type))
                    takers = self._find_takers(envelope) if known is None else known
                if takers is _UNHANDLED:
                    unhandled.count += 1
                for lane, reaction in takers:
                    lane.take(event, reaction)
            except Exception as error:  # noqa: BLE001 - it is the lane's, whatever it is, and the others go on
                return number, (lane, error)
        return len(events), None

    def tell(self, events: Sequence[Event]) -> None:
        """Log each of some events, for each lane that handles it."""
        for event in events:
            if (envelope := event.envelope) is not None:
                for lane, _ in self._takers.get((envelope.aggregate_type, envelope.event_type), ()):
                    tell_handled(event, lane)

    def _find_takers(self, envelope: Envelope) -> Takers:
        """The members whose programs take events of this type, with their reactions."""
        if len(self._takers) >= _MAX_TYPES:
            self._takers.clear()
        key = envelope.aggregate_type, envelope.event_type
        found: Takers = [(one.lane, reaction) for one in self._members() if (reaction := one.lane.reaction(*key))]
        if not found and self._unhandled.is_unhandled(*key):
            found = _UNHANDLED
        self._takers[key] = found
        return found

    def about(self, message: Message, lane: Lane | None) -> dict[str, Any]:
        """What log lines about the event of a message carry; where it cannot be read, its sequence."""
        with suppress(Exception):
            return about(self._read(message), lane)
        return {"sequence": message.sequence}
