"""An operator's decision to drop a parked event: folds of the build, here or on another machine, leave it out.

What comes of the decision is folded first, and written nowhere. Then the decision is written to the catalog, and its
effect to the lane's store, in one commit; what a crash in between has prevented is done when the store is opened next.
The state is that of a fold that had left the event out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.engine.builds import open_store
from projection.engine.recipes import deployed_by
from projection.engine.requeue import decided
from projection.errors import ConfigurationError
from projection.model.parked import Disposition, Drop
from projection.store.audit import BY_PROGRAM, AuditRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.requeue import Queues
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.parked import ParkedEvent
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.lmdb_store import LmdbLaneStore


@dataclass(frozen=True, slots=True)
class Dropped:
    """What came of a decision."""

    build: Build  # with the decision
    event: ParkedEvent  # that is left out
    taken: int  # events behind it that the view has taken
    waiting: Sequence[ParkedEvent]  # what is still parked for the view; empty where the event had reached none


def drop(
    catalog: Catalog,
    view_type: ViewType,
    tenant_id: TenantId,
    sequence: int,
    view_id: ViewId | None = None,
    *,
    author: Author = BY_PROGRAM,
) -> Dropped:
    """Leave out an event that is parked in the build that answers, and apply the events behind it in order.

    Args:
        catalog: of the data folder; no node has it.
        view_type: whose build.
        tenant_id: whose event.
        sequence: its number in the log.
        view_id: the view that it is parked for; None for an event that reached no view.
        author: whose decision it is.

    Raises:
        ConfigurationError: nothing of this kind is parked there, or the build cannot be folded on; nothing changed.
        LaneHaltedError: what waited behind it fails, and the policy says halt; nothing changed.
        StorageError: the folder cannot be read or written.
    """
    build = catalog.require(view_type)
    deployed = deployed_by(build)
    with open_store(build, deployed) as store:
        return drop_in(store, catalog, build, deployed, Drop(sequence, tenant_id, view_id), author)


def drop_in(
    store: LmdbLaneStore, catalog: Catalog, build: Build, deployed: DeployedView, choice: Drop, author: Author
) -> Dropped:
    """The same in the open store of the build that answers, which nobody else writes to.

    Args:
        store: of the build.
        catalog: of the data folder.
        build: which.
        deployed: as the build folds it.
        choice: which event is left out.
        author: whose decision it is.

    Raises:
        ConfigurationError, LaneHaltedError, StorageError: as in `drop`.
    """
    tenant_id, sequence, view_id = choice.tenant_id, choice.sequence, choice.view_id
    queue = _queue(store, tenant_id, view_id)
    found = [one for one in queue if one.sequence == sequence]
    if not found:
        where = "without a view" if view_id is None else f"for the view {str(view_id)!r}"
        raise ConfigurationError(
            f"no event {sequence} of tenant {str(tenant_id)!r} is parked {where} in {build}",
            hint=f"see what is parked with `projection parked list {build.view_type} --all-tenants`",
        )
    if any(one.concerns(tenant_id, view_id) for one in store.suspensions()):
        raise ConfigurationError(
            f"event {sequence} cannot be dropped in {build}: too many events were parked with it, and later ones "
            "are missing from the build",
            hint="`projection run --new-build` folds it from the start; raise the `limits` in the manifest first",
        )
    build = build.decided(choice)
    # What reached no view may be parked for others as well. First: a decision that cannot be carried out is none.
    parked: Queues | None = None if view_id is None else {(tenant_id, view_id): queue}
    lane = decided(store, deployed.within(build), parked)
    details = {"build": build.number, "tenant_id": tenant_id, "sequence": sequence, "view_id": view_id}
    catalog.record(build, audit=AuditRecord("drop", build.view_type, author, details))
    lane.commit(lane.position.stream)
    waiting = [] if view_id is None else _queue(store, tenant_id, view_id)
    taken = 0 if view_id is None else len(queue) - 1 - len(waiting)
    return Dropped(build, found[0], taken, waiting)


def _queue(store: LmdbLaneStore, tenant_id: TenantId, view_id: ViewId | None) -> list[ParkedEvent]:
    """What is parked for one view, or has reached none, in the log's order."""
    return [one for one in store.parked_for(tenant_id, view_id) if one.disposition is Disposition.PARKED]
