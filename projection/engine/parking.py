"""Parking: events that a view could not take, and the later ones of the same view behind them, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from projection.errors import ErrorClass, ProjectionError
from projection.lang.failures import Failure
from projection.model.ids import ViewId
from projection.model.manifest import Policy
from projection.model.parked import HELD_CODE, Disposition, ParkedEvent, parked_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.model.ids import TenantId
    from projection.store.port import ViewReader

    Target = tuple[TenantId, str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a commit has to do with parked events: see `Commit`."""

    parked: Sequence[ParkedEvent]
    released: Sequence[tuple[TenantId, ViewId]]
    unparked: Sequence[ParkedEvent]
    gained: int  # what all of it adds to the store's digest


@dataclass(slots=True)
class _Queue:
    """What waits for one view."""

    count: int = 0
    digest: int = 0  # what these events add to the digest of the store


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
    """What is parked in one lane, stored and still to be stored."""

    def __init__(self, deployed: DeployedView, store: ViewReader) -> None:
        self._deployed = deployed
        self._store = store
        self.queues: dict[Target, _Queue] = {}  # what waits behind a parked event, by view
        self.recorded = 0  # events that are parked or were skipped
        self.waiting = 0  # those of them that are parked
        self._gained = 0
        for event in store.parked():
            self._count(event)
        self._gained = 0  # the store's digest holds them already
        self._new: list[ParkedEvent] = []
        self._released: list[tuple[TenantId, ViewId]] = []
        self._unparked: list[ParkedEvent] = []

    def _count(self, event: ParkedEvent) -> None:
        digest = parked_digest(event)
        self._gained += digest
        self.recorded += 1
        if event.disposition is Disposition.PARKED:
            self.waiting += 1
            if event.view_id is not None:
                queue = self.queues.setdefault((event.tenant_id, event.view_id), _Queue())
                queue.count += 1
                queue.digest += digest

    def holds(self, target: Target) -> bool:
        """Whether events of this view wait behind a parked one."""
        return target in self.queues

    def receive(self, event: Event, trouble: Trouble) -> None:
        """Do what the policy says with an event that some views cannot take.

        Raises:
            LaneHaltedError: it says halt, or more would be parked than the lane may hold.
        """
        where = f"view type {self._deployed.entry.view_type}, sequence {event.message.sequence}"
        policy = self._deployed.entry.on_error
        if trouble.refused and policy is Policy.HALT:
            error = trouble.refused[0][1]
            span = self._deployed.program.place(error) if isinstance(error, Failure) else None
            raise LaneHaltedError(
                f"{where}: {error.code}{f' at {span}' if span else ''}: {error.message}",
                hint="correct the program and deploy it, or let the manifest park or skip such events",
                code=error.code,
            )
        limit = self._deployed.entry.limits.parked
        more = len(trouble.held) + (len(trouble.refused) if policy is Policy.PARK else 0)
        if more and self.waiting + more > limit:
            raise LaneHaltedError(
                f"{where}: {self.waiting} events are parked, and the lane may hold {limit}",
                hint="see why with `projection parked list`, and deploy a corrected program",
            )
        for view_id, refusal in trouble.refused:
            self._refuse(event, view_id, refusal)
        for view_id in trouble.held:
            self._hold(event, view_id)
        for target in trouble.released:
            self._release(target)

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
        )
        self._new.append(parked)
        self._count(parked)

    def _release(self, target: Target) -> None:
        """Discard what waits for a view that was deleted, and what an earlier policy skipped of it."""
        tenant_id, view_id = target
        queue = self.queues.pop(target)
        self.recorded -= queue.count
        self.waiting -= queue.count
        self._gained -= queue.digest
        if self.recorded > self.waiting:
            for event in self._store.parked():
                if (event.tenant_id, event.view_id) == target and event.disposition is Disposition.SKIPPED:
                    self.recorded -= 1
                    self._gained -= parked_digest(event)
        self._new = [one for one in self._new if (one.tenant_id, one.view_id) != target]
        self._released.append((tenant_id, ViewId(view_id)))

    def discard(self, event: ParkedEvent) -> None:
        """Take one stored event out."""
        digest = parked_digest(event)
        self._gained -= digest
        self.recorded -= 1
        self.waiting -= event.disposition is Disposition.PARKED
        self._unparked.append(event)
        if event.view_id is not None and event.disposition is Disposition.PARKED:
            target = (event.tenant_id, event.view_id)
            queue = self.queues[target]
            queue.count -= 1
            queue.digest -= digest
            if not queue.count:
                del self.queues[target]

    @property
    def has_changes(self) -> bool:
        """Whether the next commit has something to write."""
        return bool(self._new or self._released or self._unparked)

    def seal(self) -> Sealed:
        """Hand over what the next commit has to do."""
        sealed = Sealed(self._new, self._released, self._unparked, self._gained)
        self._new, self._released, self._unparked, self._gained = [], [], [], 0
        return sealed
