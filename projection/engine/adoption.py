"""Adoption: a corrected program takes over what a build has come to, and runs the events that are parked there.

The build is copied where it is, and nothing of it changes. The copy answers once it is complete, by one step in the
catalog; whatever happens before, the former build goes on answering, and the next attempt begins with a new number.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from projection.engine.builds import open_store, remove_leftovers
from projection.engine.event import event_reader, with_message
from projection.engine.lane import Lane
from projection.engine.recipes import READING, deployed_by, deployed_like, differences, recipe_of
from projection.engine.requeue import queues, read_again, run_again
from projection.engine.shapes import misfit
from projection.errors import ConfigurationError, DecodeError, StorageError
from projection.lang.failures import Failure
from projection.model.event_format.reader import header_names
from projection.model.parked import Disposition
from projection.store.audit import BY_PROGRAM, AuditRecord
from projection.store.build import Build, Lineage
from projection.store.indexes import declared_indexes
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.port import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from projection.engine.deployment import DeployedView
    from projection.model.ids import TenantId
    from projection.model.parked import ParkedEvent
    from projection.store.audit import Author
    from projection.store.catalog import Catalog, CatalogReader
    from projection.store.indexes import DeclaredIndex, StoredIndex
    from projection.store.lmdb_reader import LmdbLane
    from projection.store.port import LaneStore


@dataclass(frozen=True, slots=True)
class Adoption:
    """The result, or the preview, of an adoption."""

    former: Build
    build: Build | None  # which answers now; None where nothing was written
    scanned: int  # how far the former build was
    views_changed: int
    taken: int  # parked events that their views have taken
    gone: int  # parked events that the new program takes to no view, or not to that one
    late: int  # of those still parked: they reached no view and now would, but behind later events of it
    parked: Mapping[str, int]  # events still parked, by code
    skipped: Mapping[str, int]  # events recorded and passed over, as the new policy says, by code
    suspended: int  # views and tenants that stay suspended: what came later is not in the build


def preview(catalog: Catalog | CatalogReader, deployed: DeployedView) -> Adoption:
    """Preview an adoption; writes nothing. While a node writes, it is an approximation.

    Raises:
        ConfigurationError: there is nothing to adopt, or this program cannot take it over.
        LaneHaltedError: the new program fails on a parked event, or too many stay parked, and it may not go on.
        StorageError: the store cannot be read.
    """
    former = adoptable(catalog, deployed)
    with _Draft.open(former.lane_path()) as draft:
        return _Takeover(former, deployed, draft).adoption()


def adopt(catalog: Catalog, deployed: DeployedView, author: Author = BY_PROGRAM) -> Adoption:
    """Let a program adopt the build that answers for its view type.

    Each parked queue runs again in order, at its view only, until an event fails again; that one and what follows stay
    parked, by the new program's reasons. What reached no view stays parked: run now, it would come behind later events
    of its views. It goes where it waits at each view that the new program takes it to, or is taken to none. What was
    recorded as skipped stays recorded, and what is suspended stays so.

    Args:
        catalog: of the data folder; no node has it.
        deployed: the program and what the manifest says of it.
        author: whose decision it is.

    Raises:
        ConfigurationError: there is nothing to adopt, or this program cannot take it over.
        LaneHaltedError: the new program fails on a parked event, or too many stay parked, and it may not go on.
        StorageError: a store cannot be read or written. The former build answers in any case.
    """
    former = adoptable(catalog, deployed)
    _settle(former)
    with LmdbViewReader.open(former.lane_path()) as reader:
        adoption = adopted(catalog, former, deployed, reader)
    record_adoption(catalog, adoption, author)
    return adoption


def adopted(catalog: Catalog, former: Build, deployed: DeployedView, reader: LmdbLane) -> Adoption:
    """Make the build that is to answer; it does not yet, and the catalog does not know of it.

    Args:
        catalog: of the data folder.
        former: the build that answers, as `adoptable` gave it; nobody writes to it meanwhile.
        deployed: as in `adopt`.
        reader: of its store.

    Raises:
        LaneHaltedError, StorageError: as in `adopt`. Nothing is left of what was begun.
    """
    remove_leftovers(catalog, former.view_type)
    draft = reader.beside(_Draft)
    takeover = _Takeover(former, deployed, draft)
    build = replace(takeover.build, number=catalog.reserve(former.view_type))
    try:
        draft.copy_to(build.lane_path())
        with LmdbLaneStore.open(build.lane_path(), build.fold_identity, earlier={former.fold_identity}) as store:
            takeover.write(store)
    except BaseException:
        shutil.rmtree(build.lane_path().parent, ignore_errors=True)
        raise
    return replace(takeover.adoption(), build=build)


def record_adoption(catalog: Catalog, adoption: Adoption, author: Author) -> None:
    """Have the build of an adoption answer from here on.

    Raises:
        StorageError: the catalog cannot be written.
    """
    assert adoption.build is not None  # noqa: S101 - it was made
    details = {"former_build": adoption.former.number, "build": adoption.build.number, "taken": adoption.taken}
    audit = AuditRecord("adopt", adoption.former.view_type, author, details)
    catalog.record(adoption.build, serves=True, audit=audit)


class _Draft(LmdbViewReader):
    """A store for a lane that writes nothing: its commit is kept aside."""

    made: Commit | None = None

    def claim(self) -> int:
        return 0

    def declare_indexes(self, declared: Sequence[DeclaredIndex]) -> tuple[StoredIndex, ...]:
        return self.indexes_when(declared)

    def commit(self, commit: Commit, _on_written: Callable[[], None] | None = None) -> None:
        self.made = commit


class _Takeover:
    """The new program's run over what is parked, on paper: a commit for the copy, and what it says."""

    def __init__(self, former: Build, deployed: DeployedView, draft: _Draft) -> None:
        """Run the queues.

        Raises:
            LaneHaltedError: the new program may not go on behind a parked event.
            StorageError: the store cannot be read.
        """
        if draft.fold_identity() != former.fold_identity:
            raise StorageError(f"the store of {former} is folded by {draft.fold_identity()}, not as the catalog says")
        position = draft.position()
        lineage = Lineage(former.fold_identity, position.scanned)
        self.build = replace(
            former, base_identity=deployed.base_identity, recipe=recipe_of(deployed).encode(), lineage=lineage
        )
        self._former, self._draft, self._deployed, self._program = former, draft, deployed, deployed.program
        self._reader = event_reader(deployed.entry, deployed.tenancy)
        self._queues = queues(draft)
        self._require_kept_parts()
        self._suspended = draft.suspensions()
        suspended = {(one.tenant_id, one.view_id) for one in self._suspended}
        self._places: dict[tuple[TenantId, int], set[str]] = {}  # the views that an event is parked for
        for (tenant_id, view_id), queue in self._queues.items():
            for one in queue:
                self._places.setdefault((tenant_id, one.sequence), set()).update(() if view_id is None else (view_id,))
        lane = Lane(deployed.within(self.build), cast("LaneStore", draft))  # which deletes no prefixes
        for (tenant_id, view_id), queue in self._queues.items():
            if {(tenant_id, None), (tenant_id, view_id)} & suspended:
                continue  # what came behind these events is not here
            if view_id is not None:
                run_again(lane, view_id, queue)
                continue
            for one in queue:
                if self._reaches_all(one):
                    lane.unpark(one)
        lane.commit(position.stream)
        self._commit = draft.made or Commit(
            0, position, position, digest=draft.digest(), fold_identity=self.build.fold_identity
        )

    def _require_kept_parts(self) -> None:
        """A parked event keeps of its message what the former program read, and no more."""
        events = self._deployed.entry.events
        kept = deployed_like(self._former).program.checked.message_parts
        headers = {*header_names(events), *kept.headers}
        parts = self._program.checked.message_parts
        lacking = parts.lacking(headers, stored_at=kept.stored_at or events is not None)
        if lacking and self._queues:
            raise ConfigurationError(
                f"the program reads {', '.join(lacking)}, which events that are parked in {self._former} do not keep",
                hint="`projection run --new-build` folds the log from the start",
            )

    def _destinations(self, parked: ParkedEvent) -> Collection[str] | None:
        """The views that the new program takes an event to; None where it fails before it comes to any."""
        event = with_message(read_again(parked, self._reader), self._program.message_parts)
        if event.envelope is None:
            return None
        reaction = self._program.reaction(event.envelope.aggregate_type, event.envelope.event_type)
        if reaction is None:
            return ()
        try:
            _, targets, _ = reaction.take(event.envelope.payload, event.meta)
        except (DecodeError, Failure):
            return None
        return tuple(targets)

    def _reaches_all(self, parked: ParkedEvent) -> bool:
        """Whether an event is parked for each view that the new program takes it to: it waits in the right place."""
        destinations = self._destinations(parked)
        return destinations is not None and self._places[parked.tenant_id, parked.sequence].issuperset(destinations)

    def adoption(self) -> Adoption:
        """What it comes to."""
        unparked = {(one.tenant_id, one.view_id, one.sequence) for one in self._commit.unparked}
        again = {(one.tenant_id, one.view_id, one.sequence): one for one in self._commit.parked}
        counts, codes = Counter[str](), {disposition: Counter[str]() for disposition in Disposition}
        for (tenant_id, view_id), queue in self._queues.items():
            for one in queue:
                place = (tenant_id, view_id, one.sequence)
                found = again.get(place) if place in unparked else one
                destinations = self._destinations(one) or ()
                if found is not None:
                    codes[found.disposition][found.code] += 1
                    counts["late"] += view_id is None and bool(destinations)
                elif view_id is not None or not destinations:  # else it is counted at its views
                    counts["taken" if view_id in destinations else "gone"] += 1
        return Adoption(
            former=self._former,
            build=None,
            scanned=self._commit.position.scanned,
            views_changed=len(self._commit.views),
            taken=counts["taken"],
            gone=counts["gone"],
            late=counts["late"],
            parked=dict(sorted(codes[Disposition.PARKED].items())),
            skipped=dict(sorted(codes[Disposition.SKIPPED].items())),
            suspended=len(self._suspended),
        )

    def write(self, store: LaneStore) -> None:
        """Let a copy of the store hold what the new program makes of it.

        Raises:
            StorageError: it cannot be written.
        """
        store.declare_indexes(declared_indexes(self._program.checked))  # numbered as they were on paper
        store.commit(replace(self._commit, epoch=store.claim()))


def adoptable(catalog: Catalog | CatalogReader, deployed: DeployedView) -> Build:
    """The build that answers, if this program can take it over.

    Raises:
        ConfigurationError: it cannot.
    """
    former = catalog.require(deployed.entry.view_type)
    if former.base_identity == deployed.base_identity:
        raise ConfigurationError(f"{former} is folded by this program already", hint="there is nothing to adopt")
    changed = differences(former, deployed)
    if reading := [changed[name] for name in READING if name in changed]:
        raise ConfigurationError(
            f"{', '.join(reading)} changed since {former} was made: it lacks events that it would need",
            hint="`projection run --new-build` folds them from the start",
        )
    if (problem := misfit(deployed.program.checked.view, deployed_like(former).program.checked.view)) is not None:
        raise ConfigurationError(
            f"the views of {former} do not fit the new program: {problem}",
            hint="`projection run --new-build` rebuilds them from the start",
        )
    return former


def _settle(former: Build) -> None:
    """Give a decision its effect that a crash has kept from having it."""
    with LmdbViewReader.open(former.lane_path()) as reader:
        found = reader.fold_identity()
    if found != former.fold_identity:
        open_store(former, deployed_by(former)).close()
