"""Parking: events that a view could not take, and the later ones of the same view behind them, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import ErrorClass, ProjectionError
from projection.model.ids import ViewId
from projection.model.manifest import Policy
from projection.model.parked import HELD_CODE, Disposition, ParkedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.model.ids import TenantId
    from projection.store.port import ViewReader

    Target = tuple[TenantId, str]


class Parking:
    """What is parked in one lane, stored and still to be stored."""

    def __init__(self, deployed: DeployedView, store: ViewReader) -> None:
        self._deployed = deployed
        self._held: dict[Target, int] = {}  # views that events wait for, and how many
        self.count = 0
        for event in store.parked():
            self._count(event)
        self._new: list[ParkedEvent] = []
        self._released: list[tuple[TenantId, ViewId]] = []

    def _count(self, event: ParkedEvent) -> None:
        self.count += 1
        if event.view_id is not None and event.disposition is Disposition.PARKED:
            target = (event.tenant_id, event.view_id)
            self._held[target] = self._held.get(target, 0) + 1

    def holds(self, target: Target) -> bool:
        """Whether events of this view wait behind a parked one."""
        return target in self._held

    def refuse(self, event: Event, view_id: ViewId | None, error: ProjectionError, span: str | None) -> None:
        """Record an event that a view could not take; without a view id, one that reached no view."""
        skips = self._deployed.entry.on_error is Policy.SKIP
        disposition = Disposition.SKIPPED if skips else Disposition.PARKED
        self._add(event, view_id, error.error_class, error.code, error.message, span, disposition)

    def hold(self, event: Event, view_id: ViewId) -> None:
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
            fold_identity=self._deployed.fold_identity,
            disposition=disposition,
            subject=event.message.subject,
            envelope=event.message.data,
        )
        self._new.append(parked)
        self._count(parked)

    def release(self, target: Target) -> None:
        """Discard what waits for a view that was deleted."""
        tenant_id, view_id = target
        self.count -= self._held.pop(target)
        self._new = [one for one in self._new if (one.tenant_id, one.view_id) != target]
        self._released.append((tenant_id, ViewId(view_id)))

    def pending(self) -> tuple[Sequence[ParkedEvent], Sequence[tuple[TenantId, ViewId]]]:
        """What the next commit has to write, and what to discard before."""
        return self._new, self._released

    def committed(self) -> None:
        """The store has it."""
        self._new, self._released = [], []
