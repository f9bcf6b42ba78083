"""A new build that begins with what a backup has of the same fold: for where the log no longer holds its start."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from projection.engine.backup import described
from projection.engine.backup_choice import builds_in, is_same_fold
from projection.engine.builds import can_take
from projection.engine.recipes import build_differences
from projection.engine.verification import verified
from projection.errors import ConfigurationError, StorageDamagedError
from projection.store.backup_directory import write_file
from projection.store.backups import SUMS, parse_sums
from projection.store.lmdb_folder import DATA
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from projection.engine.backup import StoredBuild
    from projection.engine.backup_place import BackupSource
    from projection.store.backups import Backups
    from projection.store.build import Build
    from projection.store.catalog import Catalog


def refilled(catalog: Catalog, answers: Build, source: BackupSource) -> Build:
    """Make a build with what a backup has; it does not answer yet, and the catalog does not know of it.

    Args:
        catalog: of the data folder.
        answers: the build that answers, by whose program and decisions the new one is folded on.
        source: the backup.

    Raises:
        ConfigurationError: there is no backup, it has no build of this fold, or has taken what was dropped since.
        StorageDamagedError: the build has changed since it was written, or its store does not hold what it should.
        StorageError: it cannot be read, or the folder cannot be written. Nothing is left of what was begun.
    """
    with source.opened() as (backups, name):
        stored, former = _fitting(backups, name, answers)
        build = replace(answers, number=catalog.reserve(answers.view_type), drops=former.drops, recipe=answers.recipe)
        try:
            copy_store(backups, name, stored, build)
            _require_untaken(name, build, answers)
        except BaseException:
            shutil.rmtree(build.lane_path().parent, ignore_errors=True)
            raise
    return build


def _fitting(backups: Backups, name: str, answers: Build) -> tuple[StoredBuild, Build]:
    """The build of a backup that is folded as the one that answers is, but for later decisions; the furthest one."""
    about = described(backups, name)
    if about is None:
        raise StorageDamagedError(f"{backups}/{name} cannot be read", hint="`projection verify --backup` tells more")
    builds = builds_in(backups, name, answers.view_type)
    found = [one for one in about.builds if one.view_type == answers.view_type and one.path and one.build in builds]
    same = [one for one in found if is_same_fold(builds[one.build], answers)]
    if same:
        stored = max(same, key=lambda one: one.scanned)
        return stored, builds[stored.build]
    if not found:
        raise ConfigurationError(f"backup {name} has no build of view type {answers.view_type}")
    what = ", ".join(build_differences(builds[found[-1].build], answers).values()) or "decisions or the build's origin"
    raise ConfigurationError(
        f"backup {name} has no build of view type {answers.view_type} that is folded as {answers} is: {what} changed "
        "since",
        hint="name another backup; or `projection restore` it into a folder of its own, to read it",
    )


def _require_untaken(name: str, build: Build, answers: Build) -> None:
    """Make sure that what was decided since the backup can still have its effect."""
    for drop in answers.drops:
        if drop not in build.drops and not can_take(build, drop):
            raise ConfigurationError(
                f"backup {name} has taken event {drop.sequence}, which was dropped since from {answers}",
                hint="name an earlier backup",
            )


def copy_store(backups: Backups, name: str, stored: StoredBuild, build: Build) -> None:
    """Copy the store of a build out of a backup, to where another build has its own, and check all of it.

    Raises:
        StorageDamagedError: it has changed since it was written, or does not hold what it should.
        StorageError: it cannot be read, or written there.
    """
    assert stored.path is not None  # noqa: S101 - it fits
    sums = parse_sums(b"".join(backups.pieces(name, SUMS)).decode(errors="replace"))
    written = write_file(build.lane_path() / DATA, backups.pieces(name, stored.path))
    problems = ["it has changed since it was written"] if written.sha256 != sums.get(stored.path) else []
    if problems := problems or verified(build, LmdbViewReader.open_still).problems:
        raise StorageDamagedError(
            f"{stored.path} of backup {name}: {problems[0]}", hint="`projection verify --backup` tells more"
        )
