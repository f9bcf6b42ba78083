"""Folding events without a server or a disk: what the node's result is held against, and what authors try things on."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from projection.engine.event import Event, event_reader
from projection.engine.lane import Lane
from projection.engine.starts import before_start_in_file
from projection.engine.summary import Summary
from projection.engine.unhandled import Unhandled
from projection.errors import ConfigurationError, DecodeError, ProjectionError
from projection.model.envelope import decode_envelope
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message
from projection.stream.recorded import holds_envelope, is_recorded, recorded_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.model.envelope import Envelope, Tenancy
    from projection.model.manifest import ManifestView

_MAX_TYPES = 10_000
_BATCH = 20_000  # events between two commits; the result does not depend on it


class Replay:
    """The fold of some events; `lanes` hold what came of it."""

    def __init__(self, deployed: Sequence[DeployedView], tenancy: Tenancy) -> None:
        self.lanes = [Lane(one, MemoryLaneStore()) for one in deployed]
        self.unhandled = Unhandled(lambda: (one.program for one in deployed))
        self._types: dict[tuple[str, str], bool] = {}  # of events, and whether no program handles them
        self.file_events = FileEvents(deployed[0].entry, tenancy)

    def run(self, events: Iterable[bytes], progress: Callable[[int], None] | None = None) -> Summary:
        """Fold envelopes, the first as sequence 1, as if each had been published under its own subject.

        Raises:
            LaneHaltedError: a policy says halt; nothing later was folded.
        """
        began, count = perf_counter(), 0
        for lane in self.lanes:
            lane.move_to(before_start_in_file(lane.deployed))
        for count, event in enumerate(self.file_events.read(events), 1):
            if event.no_event:
                self.unhandled.passed_over(event.no_event, event.message.subject)
            else:
                self.unhandled.count += self._is_unhandled(event)
            for lane in self.lanes:
                if event.no_event:
                    lane.move_to(event.message.sequence)
                else:
                    lane.apply(event)
                if lane.halted is not None:
                    raise lane.halted
            if count % _BATCH == 0:
                self._commit(count, progress)
        self._commit(count, progress)
        return Summary.of(self.lanes, count, self.unhandled.count, perf_counter() - began)

    def _is_unhandled(self, event: Event) -> bool:
        if (envelope := event.envelope) is None:
            return False
        key = envelope.aggregate_type, envelope.event_type
        if (found := self._types.get(key)) is None:
            if len(self._types) >= _MAX_TYPES:  # types that come from outside may not fill the memory
                self._types.clear()
            found = self._types[key] = self.unhandled.is_unhandled(*key)
        return found

    def digests(self) -> dict[str, str]:
        """The state digest of each view type: equal to that of a node which has folded the same events."""
        return {lane.view_type: str(lane.store.digest()) for lane in self.lanes}

    def _commit(self, sequence: int, progress: Callable[[int], None] | None) -> None:
        for lane in self.lanes:
            lane.commit(None)
        if progress is not None:
            progress(sequence)


class FileEvents:
    """Makes events of the lines of a file: messages that were recorded, and envelopes that no log holds.

    An envelope is read as if it had been published under its own subject. Where the manifest describes other messages,
    it has none.
    """

    def __init__(self, entry: ManifestView, tenancy: Tenancy) -> None:
        self._template = entry.subject_template if entry.events is None else None
        self._tenancy = tenancy
        self._reader = event_reader(entry, tenancy)

    def read(self, lines: Iterable[bytes]) -> Iterator[Event]:
        """The events in their order. Envelopes are numbered, from 1 or behind the message before them.

        Raises:
            ConfigurationError: recorded messages are not in their order.
        """
        before = 0
        for data in lines:
            event = self.event(before + 1, data)
            if event.message.sequence <= before:
                raise ConfigurationError(
                    f"the recorded message {event.message.sequence} stands behind {before}",
                    hint="the messages of one stream must be in its order",
                )
            before = event.message.sequence
            yield event

    def event(self, sequence: int, data: bytes) -> Event:
        """The event of one line; an envelope that nobody could publish is unreadable."""
        nowhere = Message(sequence, "", data, "")
        if is_recorded(data):
            try:
                return self._recorded(recorded_message(data, sequence), is_envelope=holds_envelope(data))
            except DecodeError as error:
                return Event(nowhere, self._tenancy.default, error=error)
        if self._template is None:
            try:
                return self._reader.read(nowhere, decode_envelope(data))
            except DecodeError as error:
                return Event(nowhere, self._tenancy.default, error=error)
        envelope = None
        with suppress(ProjectionError):
            envelope = decode_envelope(data)
        return self._reader.read(Message(sequence, self._subject(envelope), data, ""), envelope)

    def _recorded(self, message: Message, *, is_envelope: bool) -> Event:
        if not is_envelope:
            return self._reader.read(message)
        envelope = decode_envelope(message.data)
        if not message.subject and self._template is not None:
            message = msgspec.structs.replace(message, subject=self._subject(envelope))
        return self._reader.read(message, envelope)

    def _subject(self, envelope: Envelope | None) -> str:
        """Where an envelope would be published; one that nobody could publish is anywhere."""
        template = self._template
        assert template is not None  # noqa: S101 - who calls it has looked
        if envelope is not None:
            with suppress(ProjectionError, ValueError):
                return template.subject(envelope.tenant_id or "", envelope.aggregate_type, envelope.aggregate_id)
        return template.subject("", "unreadable", "unreadable")
