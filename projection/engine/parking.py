"""Parking: events that a view could not take, and the later ones of the same view behind it, in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import ErrorClass, ProjectionError
from projection.lang.failures import Failure
from projection.model.event_format.headers import chosen_headers
from projection.model.event_format.reader import header_names
from projection.model.ids import ViewId
from projection.model.manifest import Policy
from projection.model.parked import HELD_CODE, Disposition, ParkedEvent, Suspension, Unrecorded, parked_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.engine.event_log import EventLog
    from projection.model.ids import TenantId
    from projection.store.port import ViewReader

    Target = tuple[TenantId, str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a commit has to do with parked events: see `Commit`."""

    parked: Sequence[ParkedEvent]
    released: Sequence[tuple[TenantId, ViewId]]
    unparked: Sequence[ParkedEvent]
    suspended: Sequence[Suspension]
    unreached: Mapping[TenantId, int]
    unrecorded: Unrecorded | None
    gained: int  # what all of it adds to the store's digest


class ParkedAs(NamedTuple):
    """What was done with an event that a view could not take, and why; there are few of these."""

    disposition: Disposition
    error_class: ErrorClass
    code: str

    @classmethod
    def of(cls, event: ParkedEvent) -> ParkedAs:
        """That of one event."""
        return _parked_as(event.disposition, event.error_class, event.code)


_parked_as = lru_cache(maxsize=1_024)(ParkedAs)  # many events share one


@dataclass(slots=True)
class _Queue:
    """What waits for one view."""

    count: int = 0
    codes: Counter[ParkedAs] = field(default_factory=Counter)
    digest: int = 0  # what these events add to the digest of the store
    suspension: Suspension | None = None  # nothing is added any more


class LaneHaltedError(ProjectionError):
    """The lane stopped in front of an event that it may not pass."""

    error_class = ErrorClass.PROGRAM
    default_code = "lane.halted"


@dataclass(slots=True)
class Trouble:
    """What keeps an event from having its whole effect."""

    refused: list[tuple[ViewId | None, ProjectionError]] = field(default_factory=list)
    held: list[ViewId] = field(default_factory=list)  # behind parked events of the same view
    released: list[Target] = field(default_factory=list)  # erased, with what was parked for them


class Parking:
    """What is parked in one lane, stored and still to be stored.

    How much may be is bounded three times: for a view and for a tenant, which are then *suspended*, so that the others
    go on; and for the lane, which then halts (docs/decisions/0026-bounds-of-parking.md).

    The store is read once, at the start, and never again: what `receive` does cannot fail when half of it is recorded.
    """

    def __init__(self, deployed: DeployedView, store: ViewReader) -> None:
        self.event_log: EventLog | None = None  # told of what is parked
        self._deployed = deployed
        self._limits = deployed.entry.limits
        parts = deployed.program.checked.message_parts
        self._header_names = {*header_names(deployed.entry.events), *parts.headers}
        self._keeps_time = deployed.entry.events is not None or parts.stored_at
        self.queues: dict[Target, _Queue] = {}  # what waits behind a parked event, by view
        self.tenants: dict[TenantId, Suspension] = {}  # that are suspended as a whole
        self._suspensions: dict[tuple[TenantId, ViewId | None], Suspension] = {}  # all there are
        self.waiting = 0  # events that are parked
        self._waiting_of: Counter[TenantId] = Counter()  # those of one tenant
        self._unreached: Counter[TenantId] = Counter()  # those of them that reached no view
        self.by_code: Counter[ParkedAs] = Counter()  # events that are kept whole
        # Digests of the skipped events that are kept whole.
        self._skipped: dict[tuple[TenantId, ViewId | None], list[tuple[int, ParkedAs]]] = {}
        self._kept = 0  # skipped events
        self._unrecorded = store.unrecorded()  # those of which no more is known than how many
        self._gained = 0
        for event in store.parked():
            self._count(event)
        for one in store.suspensions():
            self._note(one)
        self._gained = 0  # the store's digest holds them already
        self._counted: set[TenantId] = set(self._unreached)  # whose count is to be stored
        with store.snapshot() as snapshot:  # a store of old has none
            self._lacks_counts = not all(snapshot.is_incomplete(one) for one in self._unreached)
        self._new: list[ParkedEvent] = []
        self._released: list[tuple[TenantId, ViewId]] = []
        self._unparked: list[ParkedEvent] = []
        self._suspended: list[Suspension] = []

    @property
    def recorded(self) -> int:
        """How many events are parked or were skipped."""
        return self.waiting + self._kept + self._unrecorded.events

    @property
    def suspensions(self) -> list[Suspension]:
        """Whatever is suspended now."""
        return list(self._suspensions.values())

    def _count(self, event: ParkedEvent) -> None:
        digest = parked_digest(event)
        self._gained += digest
        parked_as = ParkedAs.of(event)
        self.by_code[parked_as] += 1
        if event.disposition is Disposition.SKIPPED:
            self._skipped.setdefault((event.tenant_id, event.view_id), []).append((digest, parked_as))
            self._kept += 1
            return
        self.waiting += 1
        self._waiting_of[event.tenant_id] += 1
        if event.view_id is None:
            self._unreached[event.tenant_id] += 1
        else:
            queue = self.queues.setdefault((event.tenant_id, event.view_id), _Queue())
            queue.count += 1
            queue.codes[parked_as] += 1
            queue.digest += digest

    def _note(self, one: Suspension) -> None:
        self._gained += one.digest
        self._suspensions[one.tenant_id, one.view_id] = one
        if one.view_id is None:
            self.tenants[one.tenant_id] = one
        else:
            self.queues.setdefault((one.tenant_id, one.view_id), _Queue()).suspension = one

    def holds(self, target: Target) -> bool:
        """Whether events of this view wait behind a parked one, or are passed over: the view is suspended."""
        return target in self.queues

    def receive(self, event: Event, trouble: Trouble, *, again: bool = False) -> bool:
        """Do what the policy says with an event that some views cannot take.

        Args:
            event: of the log.
            trouble: what keeps it from its effect.
            again: whether it has been parked before, for these views, so that no bound can be new to it.

        Returns:
            Whether it may have its effect on other views: it may not where it suspends its tenant.

        Raises:
            LaneHaltedError: it says halt, or more would be parked than the lane may hold.
        """
        if event.tenant_id in self.tenants:
            trouble.refused, trouble.held = [], []
        policy = self._deployed.entry.on_error
        if trouble.refused and policy is Policy.HALT:
            raise self._halted(event, trouble.refused[0][1])
        parks = policy is Policy.PARK
        full: list[ViewId] = []
        refused, held = trouble.refused, trouble.held
        if not again:
            for view_id in (*held, *(one for one, _ in refused if one is not None and parks)):
                queue = self.queues.get((event.tenant_id, view_id))
                if queue is not None and (queue.suspension or queue.count >= self._limits.parked_per_view):
                    full.append(view_id)
            refused = [one for one in refused if one[0] not in full]
            held = [one for one in held if one not in full]
        if more := len(held) + (len(refused) if parks else 0):
            most = self._limits.parked_per_tenant
            if not again and self._deployed.tenancy.enabled and self._waiting_of[event.tenant_id] + more > most:
                self._suspend(event, None)
                return False
            if self.waiting + more > self._limits.parked:
                raise LaneHaltedError(
                    f"{self._at(event)}: {self.waiting} events are parked, and the lane may hold {self._limits.parked}",
                    hint="see why with `projection parked list`, and deploy a corrected program",
                )
        for view_id in full:
            self._suspend(event, view_id)
        for refused_by, refusal in refused:
            self._refuse(event, refused_by, refusal)
        for view_id in held:
            self._hold(event, view_id)
        for target in trouble.released:
            self._release(target)
        return True

    def _at(self, event: Event) -> str:
        return f"view type {self._deployed.entry.view_type}, sequence {event.message.sequence}"

    def _halted(self, event: Event, error: ProjectionError) -> LaneHaltedError:
        span = self._deployed.program.place(error) if isinstance(error, Failure) else None
        return LaneHaltedError(
            f"{self._at(event)}: {error.code}{f' at {span}' if span else ''}: {error.message}",
            hint="correct the program and deploy it, or let the manifest park or skip such events",
            code=error.code,
        )

    def _suspend(self, event: Event, view_id: ViewId | None) -> None:
        """Fold no more for a view, or for all views of a tenant, from this event on."""
        if view_id is not None and self.queues[event.tenant_id, view_id].suspension:
            return
        one = Suspension(event.tenant_id, view_id, event.message.sequence)
        self._note(one)
        self._suspended.append(one)

    def _refuse(self, event: Event, view_id: ViewId | None, error: ProjectionError) -> None:
        """Record an event that a view could not take; without a view id, one that reached no view."""
        skips = self._deployed.entry.on_error is Policy.SKIP
        disposition = Disposition.SKIPPED if skips else Disposition.PARKED
        span = self._deployed.program.place(error) if isinstance(error, Failure) else None
        if span is not None:
            span = PurePath(span).name  # what is stored may not depend on where a manifest lies
        self._add(event, view_id, error.error_class, error.code, error.message, span, disposition)

    def _hold(self, event: Event, view_id: ViewId) -> None:
        """Keep an event behind the parked ones of its view."""
        message = "an earlier event of this view is parked"
        self._add(event, view_id, ErrorClass.PROGRAM, HELD_CODE, message, None, Disposition.PARKED)

    def _add(
        self,
        event: Event,
        view_id: ViewId | None,
        error_class: ErrorClass,
        code: str,
        message: str,
        span: str | None,
        disposition: Disposition,
    ) -> None:
        parked = ParkedEvent(
            tenant_id=event.tenant_id,
            view_type=self._deployed.entry.view_type,
            view_id=view_id,
            sequence=event.message.sequence,
            error_class=error_class,
            code=code,
            message=message,
            span=span,
            fold_identity=self._deployed.base_identity,
            disposition=disposition,
            subject=event.message.subject,
            envelope=event.message.data,
            headers=tuple(sorted(chosen_headers(event.message.headers, self._header_names).items())),
            stored=event.message.time if self._keeps_time else "",
        )
        if self.event_log is not None:
            self.event_log.parked(event, parked)
        if disposition is Disposition.SKIPPED and self._kept >= self._limits.skipped:
            digest = parked_digest(parked)
            self._gained += digest
            self._unrecorded = self._unrecorded.plus(digest)
            return
        self._new.append(parked)
        self._count(parked)
        if disposition is Disposition.PARKED and view_id is None:
            self._counted.add(event.tenant_id)

    def _release(self, target: Target) -> None:
        """Discard what waits for a view that was deleted, and what an earlier policy skipped of it."""
        tenant_id, view_id = target
        queue = self.queues.pop(target)
        self.waiting -= queue.count
        self.by_code.subtract(queue.codes)
        self._waiting_of[tenant_id] -= queue.count
        self._gained -= queue.digest + (queue.suspension.digest if queue.suspension else 0)
        for digest, parked_as in self._skipped.pop((tenant_id, ViewId(view_id)), ()):
            self._kept -= 1
            self.by_code[parked_as] -= 1
            self._unrecorded = self._unrecorded.plus(digest)
        self._suspensions.pop((tenant_id, ViewId(view_id)), None)
        self._new = [one for one in self._new if (one.tenant_id, one.view_id) != target]
        self._suspended = [one for one in self._suspended if (one.tenant_id, one.view_id) != target]
        self._released.append((tenant_id, ViewId(view_id)))

    def discard(self, event: ParkedEvent) -> None:
        """Take one stored event out, which is parked."""
        digest = parked_digest(event)
        self._gained -= digest
        self.waiting -= 1
        self.by_code[ParkedAs.of(event)] -= 1
        self._waiting_of[event.tenant_id] -= 1
        self._unparked.append(event)
        if event.view_id is None:
            self._unreached[event.tenant_id] -= 1
            self._counted.add(event.tenant_id)
            return
        target = (event.tenant_id, event.view_id)
        queue = self.queues[target]
        queue.count -= 1
        queue.codes[ParkedAs.of(event)] -= 1
        queue.digest -= digest
        if not queue.count:
            del self.queues[target]

    @property
    def has_changes(self) -> bool:
        """Whether the next commit has something to write."""
        return bool(
            self._new or self._released or self._unparked or self._suspended or self._gained or self._lacks_counts
        )

    def seal(self) -> Sealed:
        """Hand over what the next commit has to do."""
        sealed = Sealed(
            self._new,
            self._released,
            self._unparked,
            self._suspended,
            {tenant_id: self._unreached[tenant_id] for tenant_id in self._counted},
            self._unrecorded if self._unrecorded.events else None,
            self._gained,
        )
        self._new, self._released, self._unparked, self._suspended = [], [], [], []
        self._counted, self._gained, self._lacks_counts = set(), 0, False
        return sealed
