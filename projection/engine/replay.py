"""Folding events without a server or a disk: what the node's result is held against, and what authors try things on."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.engine.starts import before_start_in_file
from projection.engine.summary import Summary
from projection.engine.unhandled import Unhandled
from projection.errors import ProjectionError
from projection.model.envelope import decode_envelope
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.model.envelope import Tenancy
    from projection.model.subjects import SubjectTemplate

_MAX_TYPES = 10_000
_BATCH = 20_000  # events between two commits; the result does not depend on it


class Replay:
    """The fold of some events; `lanes` hold what came of it."""

    def __init__(self, deployed: Sequence[DeployedView], tenancy: Tenancy) -> None:
        self.lanes = [Lane(one, MemoryLaneStore()) for one in deployed]
        self.unhandled = Unhandled(lambda: (one.program for one in deployed))
        self._types: dict[tuple[str, str], bool] = {}  # of events, and whether no program handles them
        self._read = UnderOwnSubjects(deployed[0].entry.subject_template, tenancy).read

    def run(self, events: Iterable[bytes], progress: Callable[[int], None] | None = None) -> Summary:
        """Fold envelopes, the first as sequence 1, as if each had been published under its own subject.

        Raises:
            LaneHaltedError: a policy says halt; nothing later was folded.
        """
        began, sequence = perf_counter(), 0
        for lane in self.lanes:
            lane.move_to(before_start_in_file(lane.deployed))
        for sequence, data in enumerate(events, 1):
            event = self._read(sequence, data)
            self.unhandled.count += self._is_unhandled(event)
            for lane in self.lanes:
                lane.apply(event)
                if lane.halted is not None:
                    raise lane.halted
            if sequence % _BATCH == 0:
                self._commit(sequence, progress)
        self._commit(sequence, progress)
        return Summary.of(self.lanes, sequence, self.unhandled.count, perf_counter() - began)

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


class UnderOwnSubjects:
    """Makes events of envelopes that no log holds, as if each had been published under its own subject."""

    def __init__(self, template: SubjectTemplate, tenancy: Tenancy) -> None:
        self._template = template
        self._reader = EventReader(template, tenancy)

    def read(self, sequence: int, data: bytes) -> Event:
        """The event as if it came from where it would have been published; one that nobody could is unreadable."""
        envelope = None
        try:
            envelope = decode_envelope(data)
            subject = self._template.subject(envelope.tenant_id or "", envelope.aggregate_type, envelope.aggregate_id)
        except (ProjectionError, ValueError):
            subject = self._template.subject("", "unreadable", "unreadable")
        return self._reader.read(Message(sequence, subject, data, ""), envelope)
