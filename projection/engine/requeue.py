"""Parked queues folded again: after a decision of an operator, and under a corrected program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.engine.event import event_reader
from projection.engine.lane import Lane
from projection.model.event_format.headers import headers_block
from projection.model.parked import Disposition
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import DescribedReader, Event, EventReader
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
    for one in parked_in(store):
        found.setdefault((one.tenant_id, one.view_id), []).append(one)
    return found


def parked_in(store: ViewReader) -> Iterator[ParkedEvent]:
    """What is parked, without what was skipped, in the store's order.

    Raises:
        StorageError: the store cannot be read.
    """
    return (one for one in store.parked() if one.disposition is Disposition.PARKED)


def run_again(lane: Lane, view_id: ViewId, queue: Sequence[ParkedEvent]) -> None:
    """Fold the whole queue of one view again, from its first event on; the lane is no further in the log afterwards.

    Raises:
        LaneHaltedError: an event fails again, and the policy says halt.
        StorageError: the view cannot be read.
    """
    reader = event_reader(lane.deployed.entry, lane.deployed.tenancy)
    for one in queue:
        lane.unpark(one)
    for one in queue:
        lane.refold(read_again(one, reader), view_id)


def read_again(parked: ParkedEvent, reader: EventReader | DescribedReader) -> Event:
    """The event as it came from the log, with as much of the message as its format reads."""
    headers = headers_block(dict(parked.headers))
    return reader.read(Message(parked.sequence, parked.subject, parked.envelope, parked.stored, "", headers))


def decided(store: LaneStore, deployed: DeployedView, parked: Queues | None = None) -> Lane:
    """Fold what the decisions of a build change; nothing is written before the lane commits.

    The lane holds what a fold comes to that knew them from its start. The store takes on the build's identity in the
    same commit.

    Args:
        store: of the build, as it was before its last decision.
        deployed: as the build folds it, decisions included.
        parked: what is parked where decisions have had no effect yet; None: all that is parked.

    Raises:
        LaneHaltedError: an event fails again, and the policy says halt.
        StorageError: the store cannot be read.
    """
    lane = Lane(deployed, store)
    for (tenant_id, view_id), queue in (queues(store) if parked is None else parked).items():
        places = {(tenant_id, None), (tenant_id, view_id)}
        dropped = [one for one in queue if any((one.sequence, *place) in deployed.drops for place in places)]
        if view_id is None:
            for one in dropped:
                lane.unpark(one)
        elif dropped:
            run_again(lane, view_id, queue)  # which leaves them out
    lane.seal(lane.position.stream, always=True)
    return lane


def settle(store: LaneStore, deployed: DeployedView) -> None:
    """Let the decisions of a build have the effect that a crash has kept from them; does nothing where they have it.

    Args:
        store: of the build; of its own identity, or of that before its last decision.
        deployed: as in `decided`.

    Raises:
        LaneHaltedError, StorageError: as in `decided`; or it cannot be written. Nothing changed.
    """
    if store.fold_identity() != deployed.fold_identity:
        decided(store, deployed).commit(store.position().stream)
