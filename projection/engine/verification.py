"""Whether a store holds what its commits left in it, and whether two data folders that should be equal are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.store.catalog import CatalogReader
from projection.store.lmdb_store import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.store.catalog import Build
    from projection.store.port import Audit


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in the store of the build that answers for a view type."""

    build: Build
    audit: Audit

    @property
    def problems(self) -> list[str]:
        """What the store should not say of itself, a sentence each; none where it is sound."""
        found, audit = [], self.audit
        if audit.fold_identity not in (self.build.fold_identity, *self.build.earlier_identities):
            found.append(f"it was folded by {audit.fold_identity}, and the catalogue says {self.build.fold_identity}")
        if audit.digest != audit.recomputed:
            found.append(f"its digest is {audit.digest}, and what it holds comes to {audit.recomputed}")
        if audit.view_count != audit.views:
            found.append(f"it counts {audit.view_count:,} views, and holds {audit.views:,}")
        return found


def verify(data: Path, view_types: list[ViewType] | None = None) -> list[Verification]:
    """Go through everything that the answering builds of a data folder hold; a node may be running meanwhile.

    Args:
        data: the folder.
        view_types: which of them; None for all.

    Raises:
        ConfigurationError: there is no such folder or view type.
        StorageError: the folder cannot be read.
    """
    with CatalogReader.open(data) as catalog:
        builds = [catalog.require(one) for one in (catalog.view_types() if view_types is None else view_types)]
    found = []
    for build in builds:
        with LmdbViewReader.open(build.lane_path()) as reader:
            found.append(Verification(build, reader.audit()))
    return found


def differences(one: Verification, other: Verification) -> list[str]:
    """What keeps two stores of one view type from being equal, a sentence each; none where they are.

    What was folded by the same identity up to the same event must be the same. Else there is nothing to compare, and
    that is the difference.
    """
    here, there = one.audit, other.audit
    found = []
    if here.fold_identity != there.fold_identity:
        found.append(f"they were folded by {here.fold_identity} and by {there.fold_identity}")
    # Not by how far they have looked: beyond the last event that was applied there was none of theirs.
    if here.position.applied != there.position.applied:
        found.append(f"one is at event {here.position.applied}, the other at event {there.position.applied}")
    if not found and here.recomputed != there.recomputed:
        found.append(f"they hold different states: {here.recomputed} and {there.recomputed}")
    return found
