"""Checking backups, and making a data folder of one."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projection.engine.backup import FORMAT, About, described
from projection.engine.recipes import differences
from projection.engine.verification import verified
from projection.errors import ConfigurationError, StorageDamagedError
from projection.model.ids import ViewType
from projection.store.audit import BY_PROGRAM, AuditRecord
from projection.store.backup_directory import BackupDirectory, write_file
from projection.store.backups import ABOUT, SUMS, parse_sums, sums_text
from projection.store.catalog import CatalogReader, renew
from projection.store.disk import disk_error, make_folder, sync_folder
from projection.store.folder_lock import NAME as NODE_LOCK
from projection.store.format import FORMAT_VERSION
from projection.store.lmdb_folder import DATA
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.restored import CATALOG, RESTORING, is_half_restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.model.checkpoint import LanePosition
    from projection.store.audit import Author
    from projection.store.backups import Backups

_EMPTY = {"lost+found", NODE_LOCK}  # what an empty disk has, and what a node leaves that was refused the folder


@dataclass(frozen=True, slots=True)
class CheckedBackup:
    """The findings about a backup."""

    name: str
    about: About | None
    bytes: int
    problems: list[str] = field(default_factory=list)  # a sentence each; none where it is whole


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore."""

    name: str
    began: str  # of the backup, ISO 8601: of what time the views are
    builds: int
    bytes: int


def verify_backup(backups: Backups, name: str) -> CheckedBackup:
    """Verify a backup: every file against its checksum, and every store against its commits.

    Args:
        backups: where it is.
        name: which.

    Raises:
        StorageError: it cannot be read.
    """
    sums, total = _computed(backups, name)
    problems = list(_unlike(backups, name, sums))
    about = described(backups, name) if ABOUT in sums else None
    if not problems and about is not None and isinstance(backups, BackupDirectory):
        problems += _problems_of_stores(backups.folder(name), about)
    return CheckedBackup(name, about, total, problems)


def restore(
    backups: Backups,
    name: str,
    data: Path,
    author: Author = BY_PROGRAM,
    *,
    deployed: Sequence[DeployedView] = (),
    stream: str | None = None,
    accept: Callable[[list[LanePosition]], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Restored:
    """Create a data folder from a backup; a node that uses it continues from the backup's position.

    The folder is whole at the end, or no node takes it.

    Args:
        backups: where the backup is.
        name: which.
        data: the folder, which is not there yet or is empty.
        author: whose decision it is.
        deployed: what the manifest deploys, which the backup has to go with; none: it is not compared.
        stream: the one that is to be read, which the backup has to be of; None: it is not compared.
        accept: given how far the builds are that have read anything, raises where the log is not the one they read;
            None: that is not asked.
        on_progress: told how many bytes were copied so far.

    Raises:
        ConfigurationError: the folder is not empty, or the backup is of another stream, program or version.
        StorageDamagedError: the backup has changed since it was written, or a store does not hold what it should.
        StorageError: it cannot be read, or the folder cannot be written.
    """
    about = _restorable(backups, name, stream)
    restoring = _Restoring(backups, name, on_progress or (lambda _: None))
    try:
        partial = _begun(data)
        try:
            restoring.copy(f"{CATALOG}/{DATA}", partial)
            _require_programs(partial, deployed, name)
            for path in backups.files(name):
                if path not in restoring.copied and path not in (ABOUT, SUMS):
                    restoring.copy(path, partial)
            restoring.require_whole(partial, about)
            if accept is not None:
                accept(_positions(partial, about))
            renew(partial, AuditRecord("restore", "", author, {"backup": name, "from": str(backups)}))
            _finish(data, partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise disk_error(f"{data} cannot be written: {error.strerror or error}", error.errno) from None
    return Restored(name, about.began, len(about.builds), restoring.bytes)


class _Restoring:
    """The files of one backup, as they are copied."""

    def __init__(self, backups: Backups, name: str, on_progress: Callable[[int], None]) -> None:
        self.copied: dict[str, str] = {}  # the sums of what came, by file
        self.bytes = 0
        self._backups = backups
        self._name = name
        self._on_progress = on_progress

    def copy(self, path: str, to: Path) -> None:
        """Copy a file.

        Raises:
            StorageError: it cannot be read or written.
        """
        self.copied[path] = write_file(to / path, self._counted(self._backups.pieces(self._name, path))).sha256

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self.bytes += len(piece)
            self._on_progress(self.bytes)

    def require_whole(self, folder: Path, about: About) -> None:
        """Make sure that what was copied is what was once written, and that the stores hold what they should.

        Raises:
            StorageDamagedError: they do not.
        """
        of_about = hashlib.sha256(b"".join(self._backups.pieces(self._name, ABOUT))).hexdigest()
        problems = list(_unlike(self._backups, self._name, self.copied | {ABOUT: of_about}))
        if problems := problems or _problems_of_stores(folder, about):
            raise StorageDamagedError(
                f"{self._backups}/{self._name}: {problems[0]}", hint=_another(self._backups, self._name)
            )


def _positions(folder: Path, about: About) -> list[LanePosition]:
    found = []
    for one in about.builds:
        if one.path is not None:
            with LmdbViewReader.open_still((folder / one.path).parent) as reader:
                found.append(reader.position())
    return [position for position in found if position.stream is not None]


# --- checksums --------------------------------------------------------------------------------------------------------


def _computed(backups: Backups, name: str) -> tuple[dict[str, str], int]:
    """The sum of each file but that of the sums themselves, and how many bytes there are in all."""
    found, total = {}, 0
    for path in backups.files(name):
        digest = hashlib.sha256()
        for piece in backups.pieces(name, path):
            digest.update(piece)
            total += len(piece)
        if path != SUMS:
            found[path] = digest.hexdigest()
    return found, total


def _unlike(backups: Backups, name: str, sums: dict[str, str]) -> Iterator[str]:
    """What has changed since it was written: where nothing is, the sums that were written are these, to the byte."""
    if SUMS not in backups.files(name):
        yield f"{SUMS} is missing"
        return
    stored = b"".join(backups.pieces(name, SUMS))
    if stored == sums_text(sums).encode():
        return
    known, some = parse_sums(stored.decode(errors="replace")), False
    for path in sorted(known.keys() | sums.keys()):
        if path not in sums:
            yield f"{path} is missing"
        elif path not in known:
            yield f"{path} is not in {SUMS}"
        elif known[path] != sums[path]:
            yield f"{path} has changed since it was written: its SHA-256 is {sums[path]}, and not {known[path]}"
        else:
            continue
        some = True
    if not some:
        yield f"{SUMS} has changed since it was written"


def _problems_of_stores(folder: Path, about: About) -> list[str]:
    """What stores hold that they should not, and where they are not what the backup says."""
    found = []
    with CatalogReader.open_still(folder) as catalog:
        builds = {(str(build.view_type), build.number): build for build in catalog.all_builds()}
    for one in about.builds:
        if one.path is None:
            continue
        if (build := builds.pop((one.view_type, one.build), None)) is None:
            found.append(f"its catalog has no build {one.build} of view type {one.view_type}")
            continue
        verification = verified(build, LmdbViewReader.open_still)
        problems = verification.problems
        if not problems and (audit := verification.audit) is not None and str(audit.digest) != one.digest:
            problems = [f"its digest is {audit.digest}, and the backup says {one.digest}"]
        found += [f"{build}: {problem}" for problem in problems]
    return found


def _another(backups: Backups, name: str) -> str:
    others = [one for one in backups.names() if one != name]
    return f"restore another one: {', '.join(reversed(others[-3:]))}" if others else "there is no other backup there"


# --- restoring --------------------------------------------------------------------------------------------------------


def _restorable(backups: Backups, name: str, stream: str | None) -> About:
    about = described(backups, name) if ABOUT in backups.files(name) else None
    if about is None:
        raise StorageDamagedError(f"{backups}/{name}/{ABOUT} cannot be read", hint=_another(backups, name))
    if (about.format, about.store_format) != (FORMAT, FORMAT_VERSION):
        raise ConfigurationError(
            f"{backups}/{name} was written by projection {about.version} in store format {about.store_format}, and "
            f"this version reads {FORMAT_VERSION}",
            hint=f"restore it with projection {about.version}, then start the newer version on that folder",
        )
    if stream is not None and (others := about.streams - {stream}):
        raise ConfigurationError(
            f"{backups}/{name} was folded from stream {others.pop()!r}, and not from {stream!r}",
            hint="name that stream in the settings or with --stream",
        )
    return about


def _require_programs(partial: Path, deployed: Sequence[DeployedView], name: str) -> None:
    """Make sure that the node would go on with what is restored, and not refuse to."""
    with CatalogReader.open_still(partial) as catalog:
        for one in deployed:
            builds = catalog.builds(one.entry.view_type)
            if builds and one.base_identity not in {build.base_identity for build in builds}:
                what = ", ".join(differences(catalog.require(one.entry.view_type), one).values())
                raise ConfigurationError(
                    f"the manifest folds view type {one.entry.view_type} differently than backup {name}: "
                    f"{what or 'something'} changed since",
                    hint="use the manifest of that time; or restore with --any-program, and start with `projection run "
                    "--new-build`",
                )


def _begun(data: Path) -> Path:
    """Where the folder is written until it is whole; what an earlier attempt has left is deleted."""
    make_folder(data)
    is_half = is_half_restored(data)
    entries = [entry for entry in data.iterdir() if entry.name not in _EMPTY]
    former = [entry for entry in entries if is_half and (entry.name == RESTORING or _is_restored(entry))]
    for entry in entries:
        if entry not in former:
            raise ConfigurationError(
                f"{data} is not empty: it holds {entry.name!r}",
                hint="name a folder that does not exist, or is empty; a restore overwrites nothing",
            )
    for entry in former:
        shutil.rmtree(entry)
    partial = data / RESTORING
    make_folder(partial)
    return partial


def _is_restored(entry: Path) -> bool:
    """Whether an earlier attempt put it there: a view type's directory, when all was copied."""
    try:
        ViewType(entry.name)
    except ValueError:
        return False
    return entry.is_dir()


def _finish(data: Path, partial: Path) -> None:
    """Have everything at its place, the catalog last: without it the folder is not taken for one."""
    for folder in (*(path for path in partial.rglob("*") if path.is_dir()), partial):
        sync_folder(folder)
    for entry in sorted(partial.iterdir(), key=lambda one: one.name == CATALOG):
        if entry.name == CATALOG:
            sync_folder(data)
        entry.rename(data / entry.name)
    partial.rmdir()
    sync_folder(data)
