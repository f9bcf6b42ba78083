"""Which backup has a build that can be folded on to some event as the build that answers would have been."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from projection.engine.backup import described
from projection.engine.builds import can_take
from projection.engine.recipes import build_differences
from projection.errors import ConfigurationError, StorageError
from projection.store.backup_directory import local_folder
from projection.store.catalog import CatalogReader
from projection.store.format import FORMAT_VERSION
from projection.store.lmdb_folder import DATA
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.restored import CATALOG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.backup import StoredBuild
    from projection.model.checkpoint import LanePosition
    from projection.model.ids import ViewType
    from projection.store.backups import Backups
    from projection.store.build import Build

_MOST_TOLD = 5  # backups that do not fit


class FittingBuild(NamedTuple):
    """A build in a backup that fits."""

    name: str  # of the backup
    stored: StoredBuild  # what the backup says of it
    build: Build  # as the backup's catalog has it


def is_same_fold(build: Build, answers: Build) -> bool:
    """Whether a build is folded as the one that answers, but for later decisions."""
    same = (build.base_identity, build.lineage) == (answers.base_identity, answers.lineage)
    return same and {*build.drops} <= {*answers.drops}


def builds_in(backups: Backups, name: str, view_type: ViewType) -> dict[int, Build]:
    """The builds of a view type by their numbers, as the catalog of a backup has them.

    Raises:
        StorageError: it cannot be read.
    """
    with (
        local_folder(backups, name, [f"{CATALOG}/{DATA}"]) as folder,
        CatalogReader.open_still(folder) as catalog,
    ):
        return {build.number: build for build in catalog.builds(view_type)}


def newest_before(
    backups: Backups, names: Sequence[str], answers: Build, position: LanePosition, at: int
) -> FittingBuild:
    """The newest backup with a build that has not come beyond an event, of the same fold as the one that answers.

    Args:
        backups: where they are.
        names: those that may be used, the oldest first.
        answers: the build that answers.
        position: how far it is, and in which stream.
        at: the last event that the build in the backup may hold.

    Raises:
        ConfigurationError: no backup fits; says why each of them does not.
    """
    reasons = []
    for name in reversed(names):
        found = _fitting(backups, name, answers, position, at)
        if isinstance(found, FittingBuild):
            return found
        reasons.append(f"{name}: {found}")
    told = "; ".join(reasons[:_MOST_TOLD]) + (f"; and {len(reasons) - _MOST_TOLD} more" * (len(reasons) > _MOST_TOLD))
    raise ConfigurationError(
        f"no backup in {backups} can be folded on to event {at:,} of view type {answers.view_type}"
        + (f" ({told})" if told else ": there is none"),
        hint="name other backups with --backup, or fold the whole log with --from-start",
    )


def _fitting(backups: Backups, name: str, answers: Build, position: LanePosition, at: int) -> FittingBuild | str:
    """The build of a backup that fits and has come furthest; or why none does."""
    view_type = answers.view_type
    try:
        about = described(backups, name)
        if about is None:
            return "it cannot be read"
        if about.store_format != FORMAT_VERSION:
            return f"it was written by projection {about.version}, in store format {about.store_format}"
        builds = builds_in(backups, name, view_type)
        found = [one for one in about.builds if one.view_type == view_type and one.path and one.build in builds]
        if not found:
            return f"it has no build of view type {view_type}"
        same = [one for one in found if is_same_fold(builds[one.build], answers)]
        if not same:
            what = ", ".join(build_differences(builds[found[-1].build], answers).values())
            return f"{what or 'decisions or the origin of the build'} changed since"
        stream = None if position.stream is None else position.stream.name
        read = [one for one in same if one.stream is None or stream in (None, one.stream[0])]
        if not read:
            return f"it is of stream {same[0].stream[0] if same[0].stream else None!r}"
        before = [one for one in read if one.scanned <= at]
        if not before:
            return f"it is at event {min(one.scanned for one in read):,}"
        taken = 0
        for stored in sorted(before, key=lambda one: one.scanned, reverse=True):
            build = builds[stored.build]
            if not (taken := _taken(backups, name, stored, build, answers)):
                return FittingBuild(name, stored, build)
    except StorageError as error:
        return error.message
    return f"it has taken event {taken:,}, which was dropped since"


def _taken(backups: Backups, name: str, stored: StoredBuild, build: Build, answers: Build) -> int:
    """The first event that a build in a backup has taken, and that was dropped since; 0 where there is none."""
    missing = [one for one in answers.drops if one not in build.drops]
    if not missing or stored.path is None:
        return 0
    with local_folder(backups, name, [stored.path]) as folder:
        local = replace(build, data=folder)
        return next((one.sequence for one in missing if not can_take(local, one, LmdbViewReader.open_still)), 0)
