"""Whether a store holds what its commits left in it, and whether two data folders that should be equal are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.engine.recipes import deployed_like
from projection.errors import ConfigurationError, DecodeError, StorageError
from projection.model.keys import VIEWS
from projection.model.state_digest import entry_digest
from projection.store import changes
from projection.store.catalog import CatalogReader
from projection.store.indexes import ENTRIES, Indexer, described
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.ranges import after, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from projection.lang.program import Program
    from projection.model.ids import ViewType
    from projection.model.parked import Suspension
    from projection.store.build import Build
    from projection.store.port import Audit, Snapshot, ViewReader


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in the store of the build that answers for a view type."""

    build: Build
    audit: Audit | None  # None where the store cannot be read
    of_indexes: tuple[str, ...] = ()  # what is wrong with them, a sentence each
    unreadable: str | None = None  # why

    @property
    def problems(self) -> list[str]:
        """What is wrong with the store, a sentence each; none if it is sound."""
        found, audit = [], self.audit
        if audit is None:
            return [self.unreadable or "it cannot be read"]
        if audit.fold_identity not in (self.build.fold_identity, *self.build.earlier_identities):
            found.append(f"it was folded by {audit.fold_identity}, and the catalog says {self.build.fold_identity}")
        if audit.digest != audit.recomputed:
            found.append(f"its digest is {audit.digest}, but what it holds comes to {audit.recomputed}")
        if audit.view_count != audit.views:
            found.append(f"it counts {audit.view_count:,} views, and holds {audit.views:,}")
        return [*found, *self.of_indexes]


def verify(
    data: Path, view_types: list[ViewType] | None = None, on_progress: Callable[[int, int], object] | None = None
) -> list[Verification]:
    """Verify the answering builds of a data folder; a node may be running meanwhile.

    A store that is damaged, or cannot be read, is one of the problems, and the others are gone through all the same.

    Args:
        data: the folder.
        view_types: which of them; None for all.
        on_progress: told now and then how many entries of the stores were read, and of how many, about.

    Raises:
        ConfigurationError: there is no such folder or view type.
        StorageError: the folder's catalog cannot be read.
    """
    with CatalogReader.open(data) as catalog:
        builds = [catalog.require(one) for one in (catalog.view_types() if view_types is None else view_types)]
    if on_progress is None:
        return [verified(build) for build in builds]
    sizes, found = [_entries_to_read(build) for build in builds], []
    for number, build in enumerate(builds):
        found.append(verified(build, seen=_Seen(sum(sizes[:number]), sizes[number], sum(sizes), on_progress).more))
        on_progress(sum(sizes[: number + 1]), sum(sizes))
    return found


def _entries_to_read(build: Build) -> int:
    """How many entries are read to verify a build, about; 0 where its store cannot be read."""
    try:
        with LmdbViewReader.open(build.lane_path()) as reader, reader.snapshot() as snapshot:
            return reader.count_entries() + (reader.count_views() if snapshot.indexes else 0)  # of which twice
    except StorageError:
        return 0


@dataclass(slots=True)
class _Seen:
    """How many entries of one store were read."""

    before: int  # in other stores
    most: int  # in this one
    of: int  # in all
    tell: Callable[[int, int], object]
    seen: int = 0

    def more(self, entries: int) -> None:
        self.seen = min(self.seen + entries, self.most)
        self.tell(self.before + self.seen, self.of)


def verified(
    build: Build,
    open_: Callable[[Path], LmdbViewReader] = LmdbViewReader.open,
    seen: Callable[[int], object] | None = None,
    at: Path | None = None,
) -> Verification:
    """Go through everything that the store of a build holds.

    Args:
        build: whose store.
        open_: opens it.
        seen: told now and then how many more entries of it were read.
        at: where a copy of the store lies that is looked at instead.
    """
    try:
        with open_(build.lane_path() if at is None else at) as reader:
            return Verification(build, reader.audit(seen), tuple(_problems_of_indexes(build, reader, seen)))
    except StorageError as error:
        return Verification(build, None, unreadable=error.message)


def _problems_of_indexes(build: Build, reader: ViewReader, seen: Callable[[int], object] | None = None) -> list[str]:
    with reader.snapshot() as snapshot:
        of_changes = changes.disagreements(snapshot)
        if not snapshot.indexes:
            return of_changes
        try:
            return [*_disagreements(snapshot, deployed_like(build).program, seen), *of_changes]
        except ConfigurationError as error:
            return [f"its indexes cannot be checked: {error.message}", *of_changes]


def _disagreements(snapshot: Snapshot, program: Program, seen: Callable[[int], object] | None = None) -> list[str]:
    """Which indexes have other entries than the views give; of those that are built."""
    indexer = Indexer(snapshot.indexes, program.checked.view)
    wanted, found = defaultdict[int, list[int]](lambda: [0, 0]), defaultdict[int, list[int]](lambda: [0, 0])
    for key, view in counted(snapshot.entries(VIEWS, after(VIEWS)), seen):
        try:
            decoded = program.decode_view(view)
        except DecodeError as error:
            return [f"view {key.decode()} is damaged: {error.message}"]
        for entry, value in indexer.entries(key, decoded).items():
            _count(wanted, entry, value)
    for entry, value in counted(snapshot.entries(ENTRIES, after(ENTRIES)), seen):
        _count(found, entry, value)
    return [
        f"its index by {described(index.keys)} has {found[index.number][0]:,} entries, which are not the "
        f"{wanted[index.number][0]:,} that its views give"
        for index in snapshot.indexes
        if index.built and wanted[index.number] != found[index.number]
    ]


def _count(totals: dict[int, list[int]], entry: bytes, value: bytes) -> None:
    """Add an entry to what its index comes to: how many, and the sum of their digests, which no order changes."""
    total = totals[int(entry.split(b":", 2)[1])]
    total[0] += 1
    total[1] += entry_digest(entry, value)


def _listed(suspended: Sequence[Suspension]) -> str:
    most = 5
    shown = [
        f"{'all views' if one.view_id is None else f'view {str(one.view_id)!r}'} of tenant {str(one.tenant_id)!r} from "
        f"event {one.sequence:,} on"
        for one in suspended[:most]
    ]
    return ", ".join(shown) + (", …" if len(suspended) > most else "") or "none"


def differences(one: Verification, other: Verification) -> list[str]:
    """The differences between two stores of one view type, a sentence each; none if they are equal.

    What was folded by the same identity up to the same event must be the same. Else there is nothing to compare, and
    that is the difference.
    """
    here, there = one.audit, other.audit
    if here is None or there is None:
        return []  # which is told already
    found = []
    if here.fold_identity != there.fold_identity:
        found.append(
            f"they were folded by {here.fold_identity} and by {there.fold_identity}: program, settings, decisions or "
            "origin differ, so there is nothing to compare"
        )
    # Not by how far they have looked: beyond the last event that was applied there was none of theirs.
    if here.position.applied != there.position.applied:
        found.append(f"one is at event {here.position.applied}, the other at event {there.position.applied}")
    if not found and here.recomputed != there.recomputed:
        found.append(f"they hold different states: {here.recomputed} and {there.recomputed}")
        if {*here.suspended} != {*there.suspended}:
            found.append(
                f"other views or tenants are suspended in the one ({_listed(here.suspended)}) than in the other "
                f"({_listed(there.suspended)}): the bounds in the manifest's `limits` are no part of the fold identity"
            )
    return found
