"""Making a backup of a data folder: of each store one consistent snapshot, while a node goes on writing.

It reads as any other process of the host does, and nothing waits for it. The stores are copied one after another, and
the catalog last. A build of which the catalog says something else by then, such as a further decision, or that it
answers now, is copied once more: so each copy is of a time at which all that the backup says of it was true.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from projection.errors import ConfigurationError, StorageDamagedError, StorageError
from projection.model.files import is_file
from projection.store.audit import AuditRecord
from projection.store.backups import ABOUT, SUMS, Written, parse_sums, sums_text
from projection.store.format import FORMAT_VERSION
from projection.store.lmdb_folder import DATA
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.restored import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from projection.store.audit import Author
    from projection.store.backups import Backups, Draft
    from projection.store.build import Build
    from projection.store.catalog import Catalog, CatalogReader
    from projection.store.catalog_reading import CatalogCopy
    from projection.store.lmdb_reader import LaneCopy

FORMAT = 1  # of what this writes
_NAMED = "%Y%m%dT%H%M%S.%f"  # in UTC; of the last part, three digits
_ROUNDS = 12
_ROUNDS_OF_DAMAGE = 4  # after which a store that cannot be read is not one that is just being made
_FIRST_PAUSE_S = 0.01  # behind the first round; it doubles


class StoredBuild(msgspec.Struct, frozen=True):
    """What a backup says of one build."""

    view_type: str
    build: int
    answers: bool
    fold_identity: str  # of what is stored, or, where nothing is yet, of what it is to be folded by
    path: str | None = None  # of its store in the backup; None where it had none yet
    fingerprint: str = ""  # of what is stored
    digest: str = ""  # the state digest
    scanned: int = 0
    applied: int = 0
    stream: tuple[str, str] | None = None  # the name, and when it was created; None where nothing was read yet
    views: int = 0


class About(msgspec.Struct, frozen=True):
    """What a backup says of itself."""

    format: int
    store_format: int
    version: str  # of the package
    folder: str  # whose backup it is, see `Catalog.folder_id`
    began: str  # ISO 8601
    ended: str
    builds: list[StoredBuild]

    @property
    def streams(self) -> set[str]:
        """The names of the streams that were read."""
        return {one.stream[0] for one in self.builds if one.stream is not None}


@dataclass(frozen=True, slots=True)
class Copying:
    """How far a backup is."""

    bytes: int  # copied, or found unchanged
    of: int  # about: copies are smaller than stores


@dataclass(frozen=True, slots=True)
class BackupMade:
    """The result of a backup."""

    name: str
    at: str  # where it is
    builds: int
    bytes: int  # of all its files
    copied: int  # of these, bytes that no earlier backup had
    seconds: float
    deleted: list[str] = field(default_factory=list)  # backups that were one too many
    damaged: list[str] = field(default_factory=list)  # backups with a file that is no longer as it was written

    def record(self, author: Author) -> AuditRecord:
        """What the audit says of it."""
        return AuditRecord("backup", "", author, {"backup": self.at, "bytes": self.bytes, "copied": self.copied})


def outside(data: Path, directory: Path) -> Path:
    """The directory, if its backups would outlive the data folder.

    Raises:
        ConfigurationError: it is in the folder, or is the folder.
    """
    if directory.resolve().is_relative_to(data.resolve()):
        raise ConfigurationError(
            f"{directory} is in the data folder {data}", hint="name a directory elsewhere, best on another disk"
        )
    return directory


def back_up(
    catalog: Catalog | CatalogReader,
    backups: Backups,
    *,
    keep: int | None = None,
    on_progress: Callable[[Copying], None] | None = None,
) -> BackupMade:
    """Write a backup of a data folder; a build that is as an earlier backup has it is taken over from there.

    Args:
        catalog: of the folder, open in this process, which has no store of it open.
        backups: where it is written.
        keep: how many backups are kept with this one, the oldest ones are deleted; None: all.
        on_progress: told for each piece how far it is.

    Raises:
        ConfigurationError: the place holds something else, or the backups of another folder.
        StorageDamagedError: a store cannot be read.
        StorageError: a store cannot be read, or the backup cannot be written. Earlier backups are as they were.
    """
    began = monotonic()
    with backups.taken():
        damaged: set[str] = set()
        earlier = _readable(backups, damaged)
        if others := {one.about.folder for one in earlier} - {catalog.folder_id}:
            raise ConfigurationError(
                f"{backups} has the backups of another data folder ({others.pop()})",
                hint=f"name a separate place for the backups of {catalog.data}",
            )
        name = _name(max(backups.names(), default=""))
        with backups.draft(name) as draft:
            making = _Making(catalog, draft, earlier, damaged, on_progress or (lambda _: None))
            written = making.write()
        deleted = backups.names()[:-keep] if keep is not None else []
        for one in deleted:
            backups.delete(one)
    return BackupMade(
        name=name,
        at=f"{backups}/{name}",
        builds=len(making.copies),
        bytes=written,
        copied=making.copied,
        seconds=round(monotonic() - began, 3),
        deleted=deleted,
        damaged=sorted(damaged),
    )


class _Earlier(NamedTuple):
    """A backup that this one may take files over from."""

    name: str
    about: About
    sums: dict[str, str]


def _readable(backups: Backups, damaged: set[str]) -> list[_Earlier]:
    """The earlier backups, the newest first; of those that do not say what they hold, only the names."""
    found = []
    for name in reversed(backups.names()):
        try:
            sums = parse_sums(b"".join(backups.pieces(name, SUMS)).decode(errors="replace"))
            stored = b"".join(backups.pieces(name, ABOUT))
        except StorageError:
            damaged.add(name)
            continue
        if (about := _decoded(stored)) is None or hashlib.sha256(stored).hexdigest() != sums.get(ABOUT):
            damaged.add(name)
        else:
            found.append(_Earlier(name, about, sums))
    return found


def described(backups: Backups, name: str) -> About | None:
    """What a backup says of itself; None where that cannot be understood.

    Raises:
        StorageError: it cannot be read.
    """
    return _decoded(b"".join(backups.pieces(name, ABOUT)))


def _decoded(stored: bytes) -> About | None:
    try:
        return msgspec.json.decode(stored, type=About)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _name(last: str) -> str:
    """By the time, and behind the last one, whatever the clock says."""
    now = datetime.now(UTC)
    if last:
        now = max(now, begun_at(last) + timedelta(milliseconds=1))
    return f"{now:{_NAMED}}"[:-3] + "Z"


def begun_at(name: str) -> datetime:
    """When the backup of this name was begun."""
    return datetime.strptime(name, f"{_NAMED}Z").replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Copy:
    """Of a build's store."""

    said: tuple[Build, bool]  # of it by the catalog, before it was copied
    about: StoredBuild
    written: Written | None


class _Making:
    """One backup."""

    def __init__(
        self,
        catalog: Catalog | CatalogReader,
        draft: Draft,
        earlier: list[_Earlier],
        damaged: set[str],
        on_progress: Callable[[Copying], None],
    ) -> None:
        self.copies: dict[tuple[str, int], _Copy] = {}
        self.copied = 0  # bytes that were written
        self._damaged = damaged
        self._catalog = catalog
        self._draft = draft
        self._earlier = earlier
        self._on_progress = on_progress
        self._done = self._all = 0

    def write(self) -> int:
        """Write all files; returns their bytes."""
        began = _now()
        of_catalog = self._consistent()
        about = About(
            FORMAT,
            FORMAT_VERSION,
            _version(),
            self._catalog.folder_id,
            began,
            _now(),
            [one.about for one in self._sorted()],
        )
        text = msgspec.json.format(msgspec.json.encode(about), indent=1) + b"\n"
        written = {f"{CATALOG}/{DATA}": of_catalog, ABOUT: self._draft.write(ABOUT, [text])}
        written |= {one.about.path: one.written for one in self._sorted() if one.about.path and one.written}
        sums = sums_text({path: one.sha256 for path, one in written.items()}).encode()
        self.copied += len(text)
        return sum(one.bytes for one in (*written.values(), self._draft.write(SUMS, [sums])))

    def _sorted(self) -> list[_Copy]:
        return [self.copies[key] for key in sorted(self.copies)]

    def _consistent(self) -> Written:
        """Copy the stores until the catalog says of each what it said before the store was copied."""
        trouble: StorageError | None = None
        for attempt in range(_ROUNDS):
            if attempt:
                sleep(_FIRST_PAUSE_S * 2**attempt)
            with self._catalog.streamed() as found:
                said = dict(found.builds)
            changed = self._changed(said)
            self._all = self._done + sum(_size(build) for build in changed)
            trouble = None
            for build in changed:
                try:
                    self._copy(build, answers=said[build])
                except StorageError as error:
                    if not is_file(build.lane_path() / DATA):
                        continue
                    trouble = _cannot_be_copied(build, error)  # it may be just being made, or deleted
                    if isinstance(error, StorageDamagedError) and attempt >= _ROUNDS_OF_DAMAGE:
                        raise trouble from None
            with self._catalog.streamed() as found:
                if trouble is None and not self._changed(found.builds):
                    return self._with_catalog(found)
        raise trouble or StorageError(
            "the builds of the data folder changed each time that they were copied",
            hint="try again when builds change less often",
        )

    def _changed(self, said: dict[Build, bool]) -> list[Build]:
        """The builds of which there is no copy that is of the time when the catalog said this of them."""
        for key in self.copies.keys() - {(str(build.view_type), build.number) for build in said}:
            self._forget(key)
        found = []
        for build, answers in said.items():
            copy = self.copies.get((str(build.view_type), build.number))
            if copy is None or copy.said != (build, answers):
                found.append(build)
        return found

    def _forget(self, key: tuple[str, int]) -> None:
        if (copy := self.copies.pop(key, None)) is not None and copy.about.path is not None:
            self._draft.remove(copy.about.path)

    def _with_catalog(self, found: CatalogCopy) -> Written:
        written = self._draft.write(f"{CATALOG}/{DATA}", found.copy.pieces())
        self.copied += written.bytes
        return written

    def _copy(self, build: Build, *, answers: bool) -> None:
        self._forget((str(build.view_type), build.number))
        about, written = StoredBuild(str(build.view_type), build.number, answers, build.fold_identity), None
        if is_file(build.lane_path() / DATA):
            with LmdbViewReader.open(build.lane_path()) as reader:
                with reader.streamed() as copy:
                    about = _described(build, copy, answers=answers)
                # Without the snapshot: a store grows for as long as one of its snapshots is kept.
                if (written := self._unchanged(about)) is None:
                    with reader.streamed() as copy:
                        about = _described(build, copy, answers=answers)
                        written = self._draft.write(_path(build), self._counted(copy.pieces()))
                    self.copied += written.bytes
                else:
                    self._advance(_size(build))
        self.copies[about.view_type, about.build] = _Copy((build, answers), about, written)

    def _unchanged(self, about: StoredBuild) -> Written | None:
        """The file of the newest backup that holds the same of this build, which this backup has from now on."""
        for name, backup, sums in self._earlier:
            for one in backup.builds:
                same = (one.view_type, one.build, one.fingerprint) == (about.view_type, about.build, about.fingerprint)
                if same and one.path is not None and (sha256 := sums.get(one.path)) is not None:
                    if (written := self._draft.reuse(one.path, name, sha256)) is not None:
                        return written
                    self._damaged.add(name)
        return None

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self._advance(len(piece))

    def _advance(self, size: int) -> None:
        self._done += size
        self._on_progress(Copying(self._done, max(self._all, self._done)))


def _path(build: Build) -> str:
    """Where its store is in a backup: as in the data folder."""
    return (build.lane_path() / DATA).relative_to(build.data).as_posix()


def _described(build: Build, copy: LaneCopy, *, answers: bool) -> StoredBuild:
    position = copy.position
    return StoredBuild(
        view_type=str(build.view_type),
        build=build.number,
        answers=answers,
        fold_identity=copy.fold_identity,
        path=_path(build),
        fingerprint=copy.fingerprint,
        digest=str(copy.digest),
        scanned=position.scanned,
        applied=position.applied,
        stream=position.stream,
        views=copy.views,
    )


def _size(build: Build) -> int:
    try:
        return (build.lane_path() / DATA).stat().st_size
    except OSError:
        return 0


def _cannot_be_copied(build: Build, error: StorageError) -> StorageError:
    return type(error)(
        f"{build} cannot be backed up: {error.message}",
        hint=f"rebuild view type {build.view_type}, or delete that build if it does not answer",
        code=error.code,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _version() -> str:
    from projection import __version__  # noqa: PLC0415 - the package reads its version when it is asked for

    return __version__
