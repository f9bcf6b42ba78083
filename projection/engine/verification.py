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
from projection.store.ranges import after

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
        """What the store should not say of itself, a sentence each; none where it is sound."""
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


def verify(data: Path, view_types: list[ViewType] | None = None) -> list[Verification]:
    """Go through everything that the answering builds of a data folder hold; a node may be running meanwhile.

    A store that is damaged, or cannot be read, is one of the problems, and the others are gone through all the same.

    Args:
        data: the folder.
        view_types: which of them; None for all.

    Raises:
        ConfigurationError: there is no such folder or view type.
        StorageError: the folder's catalog cannot be read.
    """
    with CatalogReader.open(data) as catalog:
        builds = [catalog.require(one) for one in (catalog.view_types() if view_types is None else view_types)]
    return [verified(build) for build in builds]


def verified(build: Build, open_: Callable[[Path], LmdbViewReader] = LmdbViewReader.open) -> Verification:
    """Go through everything that the store of a build holds; `open_` opens it."""
    try:
        with open_(build.lane_path()) as reader:
            return Verification(build, reader.audit(), tuple(_problems_of_indexes(build, reader)))
    except StorageError as error:
        return Verification(build, None, unreadable=error.message)


def _problems_of_indexes(build: Build, reader: ViewReader) -> list[str]:
    with reader.snapshot() as snapshot:
        of_changes = changes.disagreements(snapshot)
        if not snapshot.indexes:
            return of_changes
        try:
            return [*_disagreements(snapshot, deployed_like(build).program), *of_changes]
        except ConfigurationError as error:
            return [f"its indexes cannot be checked: {error.message}", *of_changes]


def _disagreements(snapshot: Snapshot, program: Program) -> list[str]:
    """Which indexes have other entries than the views give; of those that are built."""
    indexer = Indexer(snapshot.indexes, program.checked.view)
    wanted, found = defaultdict[int, list[int]](lambda: [0, 0]), defaultdict[int, list[int]](lambda: [0, 0])
    for key, view in snapshot.entries(VIEWS, after(VIEWS)):
        try:
            decoded = program.decode_view(view)
        except DecodeError as error:
            return [f"view {key.decode()} is damaged: {error.message}"]
        for entry, value in indexer.entries(key, decoded).items():
            _count(wanted, entry, value)
    for entry, value in snapshot.entries(ENTRIES, after(ENTRIES)):
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
    """What keeps two stores of one view type from being equal, a sentence each; none where they are.

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
