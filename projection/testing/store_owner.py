"""What tests of stores share: one who writes as a lane does, and a picture of everything that a store holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import HealthCheck, settings

from projection.errors import ErrorClass
from projection.model.checkpoint import Checkpoint, LanePosition
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import CheckpointKey, ViewKey
from projection.model.parked import HELD_CODE, Disposition, ParkedEvent, parked_digest
from projection.model.state_digest import StateDigest, entry_digest
from projection.store.port import Commit
from projection.store.records import parked_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projection.store.port import LaneStore, ViewReader

ORDERS = ViewType("orders")
ORDERS_2 = ViewType("orders_2")
VIEW_TYPES = (ORDERS, ORDERS_2)
ACME = TenantId("acme")
TOO_LONG = ViewId("x" * 600)  # no key of the store can hold it

# A fresh store is made for each example, which on a disk takes its time; every back end runs the same functions.
property_of_stores = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow]
)


class Picture(NamedTuple):
    """Everything that can be read from a store, for comparing."""

    position: LanePosition
    views: list[tuple[ViewKey, bytes]]
    view_count: int
    checkpoints: list[tuple[CheckpointKey, Checkpoint]]
    parked: list[ParkedEvent]
    digest: StateDigest
    fold_identity: str


def picture(
    store: ViewReader, tenants: Iterable[TenantId] = (), view_types: Iterable[ViewType] = VIEW_TYPES
) -> Picture:
    """Everything that a store holds: views of all tenants, and the checkpoints of these."""
    keys = [CheckpointKey(tenant, view_type) for tenant in sorted({*tenants}) for view_type in view_types]
    checkpoints = [(key, checkpoint) for key in keys if (checkpoint := store.get_checkpoint(key)) is not None]
    views = [item for view_type in view_types for item in store.scan(None, view_type)]
    return Picture(
        store.position(),
        views,
        store.count_views(),
        checkpoints,
        list(store.parked()),
        store.digest(),
        store.fold_identity(),
    )


def parked_event(
    sequence: int, view_id: str | None = "1", tenant_id: str = "acme", envelope: bytes = b"\xff{"
) -> ParkedEvent:
    """An event parked for a reason that does not matter here."""
    return ParkedEvent(
        tenant_id=TenantId(tenant_id),
        view_type=ORDERS,
        view_id=None if view_id is None else ViewId(view_id),
        sequence=sequence,
        error_class=ErrorClass.PROGRAM,
        code=HELD_CODE,
        message="an earlier event of “1” is parked",
        span="orders.proj:3:1",
        fold_identity="f0",
        disposition=Disposition.PARKED,
        subject="tenant.acme.aggregate.order.1",
        envelope=envelope,
    )


def digest_after(store: ViewReader, commit: Commit) -> StateDigest:
    """The state digest of a store after a commit, worked out from what it changes."""
    difference = 0
    for key, view in commit.views.items():
        for data, sign in ((store.get_view(ViewKey.parse(key.decode())), -1), (view, 1)):
            if data is not None:
                difference += sign * entry_digest(key, data)
    before = {parked_key(event): event for event in store.parked()}
    unparked = {parked_key(event) for event in commit.unparked}
    after = {
        key: event
        for key, event in before.items()
        if (event.tenant_id, event.view_id) not in commit.released and key not in unparked
    } | {parked_key(event): event for event in commit.parked}
    for events, sign in ((before, -1), (after, 1)):
        difference += sign * sum(map(parked_digest, events.values()))
    return store.digest().plus(difference)


class Owner:
    """One who writes to a store as a lane does: each commit from the position that the last one left."""

    def __init__(self, store: LaneStore) -> None:
        self.store = store
        self.epoch = store.claim()

    def prepare(
        self,
        views: Mapping[ViewKey, bytes | None] | None = None,
        checkpoints: Mapping[CheckpointKey, Checkpoint] | None = None,
        parked: Iterable[ParkedEvent] = (),
        released: Iterable[tuple[TenantId, ViewId]] = (),
        unparked: Iterable[ParkedEvent] = (),
        fold_identity: str | None = None,
    ) -> Commit:
        """A commit that moves the lane by one event."""
        base = self.store.position()
        commit = Commit(
            epoch=self.epoch,
            base=base,
            position=LanePosition(scanned=base.scanned + 1, applied=base.scanned + 1),
            views={key.encode(): view for key, view in (views or {}).items()},
            checkpoints=checkpoints or {},
            parked=tuple(parked),
            released=tuple(released),
            unparked=tuple(unparked),
            fold_identity=fold_identity,
        )
        return replace(commit, digest=digest_after(self.store, commit))

    def write(
        self,
        views: Mapping[ViewKey, bytes | None] | None = None,
        checkpoints: Mapping[CheckpointKey, Checkpoint] | None = None,
        parked: Iterable[ParkedEvent] = (),
        released: Iterable[tuple[TenantId, ViewId]] = (),
        unparked: Iterable[ParkedEvent] = (),
        fold_identity: str | None = None,
    ) -> None:
        """Prepare a commit and write it."""
        self.store.commit(self.prepare(views, checkpoints, parked, released, unparked, fold_identity))


def order(view_id: str, tenant_id: TenantId = ACME) -> ViewKey:
    """Where an order is kept."""
    return ViewKey(tenant_id, ORDERS, ViewId(view_id))
