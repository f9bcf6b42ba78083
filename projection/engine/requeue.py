"""Parked queues folded again: after a decision of an operator, and under a corrected program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.model.parked import Disposition
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.engine.deployment import DeployedView
    from projection.model.ids import TenantId, ViewId
    from projection.model.parked import ParkedEvent
    from projection.store.port import LaneStore, ViewReader

    Queues = dict[tuple[TenantId, ViewId | None], list[ParkedEvent]]


def queues(store: ViewReader) -> Queues:
    """What is parked, by tenant and view id, in the log's order; without an id, what reached no view.

    Raises:
        StorageError: the store cannot be read.
    """
    found: Queues = {}
    for one in store.parked():
        if one.disposition is Disposition.PARKED:
            found.setdefault((one.tenant_id, one.view_id), []).append(one)
    return found


def run_again(
    lane: Lane, view_id: ViewId, queue: Iterable[ParkedEvent], *, without: Iterable[ParkedEvent] = ()
) -> None:
    """Fold the queue of one view again, from its first event on; the lane is no further in the log afterwards.

    Args:
        lane: that holds the queue.
        view_id: whose queue.
        queue: all of it.
        without: events of it that are left out from now on.

    Raises:
        LaneHaltedError: an event fails again, and the policy says halt.
        StorageError: the view cannot be read.
    """
    queue, left_out = list(queue), {one.sequence for one in without}
    reader = EventReader(lane.deployed.entry.subject_template, lane.deployed.tenancy)
    for one in queue:
        lane.unpark(one)
    for one in queue:
        if one.sequence not in left_out:
            # When the log stored it, no program can see.
            lane.refold(reader.read(Message(one.sequence, one.subject, one.envelope, "")), view_id)


def settle(store: LaneStore, deployed: DeployedView) -> None:
    """Let a store's state be what a fold comes to that knew the build's decisions from its start.

    Does nothing where it is. The store takes on the build's identity in the same commit.

    Args:
        store: of the build; of its own identity, or of that before its last decision.
        deployed: as the build folds it, decisions included.

    Raises:
        StorageError: the store cannot be read or written; nothing changed.
    """
    if store.fold_identity() == deployed.fold_identity:
        return
    lane = Lane(deployed, store)
    for (tenant_id, view_id), queue in queues(store).items():
        dropped = [one for one in queue if (one.sequence, tenant_id, view_id) in deployed.drops]
        if view_id is None:
            for one in dropped:
                lane.unpark(one)
        elif dropped:
            run_again(lane, view_id, queue, without=dropped)
    lane.commit(lane.position.stream)
