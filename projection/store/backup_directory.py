"""Backups in a directory: a folder each, of plain files; a file that did not change is linked, not copied."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from projection.errors import ConfigurationError, StorageError
from projection.model.files import is_file, is_folder
from projection.store.backups import NAME, SUMS, Written
from projection.store.disk import disk_error, make_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from projection.store.backups import Backups

_PIECE = 1 << 20  # bytes
_UNWRITTEN = 32 << 20  # bytes, of which two such parts wait for the disk at most: a node's commits would wait for them
_LOCK = ".lock"
_PARTIAL, _DELETED = ".partial", ".deleted"  # of a folder that is being written, and of one that is being deleted
_ALSO_THERE = {_LOCK, "lost+found"}


class BackupDirectory:
    """A directory of backups: implements `Backups`. A folder in it is there once all its files are on the disk."""

    def __init__(self, path: Path) -> None:
        """The directory at a path, which is made when the first backup is written."""
        self._path = path.absolute()

    @classmethod
    def of(cls, path: Path) -> tuple[BackupDirectory, str | None]:
        """The directory that a path names, and the backup in it: the path itself, or the newest; None without any.

        Raises:
            ConfigurationError: there is nothing at the path.
            StorageError: it cannot be read.
        """
        path = path.absolute()
        with _told(path, "read"):
            if not is_folder(path):
                raise ConfigurationError(
                    f"there is no backup at {path}", hint="name a backup, or a directory of backups"
                )
            if is_file(path / SUMS):
                return cls(path.parent), path.name
        found = cls(path)
        return found, next(reversed(found.names()), None)

    def __str__(self) -> str:
        return str(self._path)

    def folder(self, name: str) -> Path:
        """Where a backup is."""
        return self._path / name

    def names(self) -> list[str]:
        """The complete backups, the oldest first."""
        with _told(self._path, "read"):
            if not is_folder(self._path):
                return []
            found = [entry.name for entry in self._path.iterdir() if NAME.fullmatch(entry.name)]
        return sorted(found)

    def files(self, name: str) -> list[str]:
        """See `Backups.files`."""
        folder = self.folder(name)
        with _told(folder, "read"):
            found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
        return sorted(found)

    def pieces(self, name: str, path: str) -> Iterator[bytes]:
        """See `Backups.pieces`."""
        place = self.folder(name) / path
        with _told(place, "read"), place.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    @contextmanager
    def taken(self) -> Iterator[None]:
        """See `Backups.taken`."""
        with _told(self._path, "written"):
            make_folder(self._path)
            self._require_ours()
            lock = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _told(self._path, "written"):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise StorageError(
                        f"another backup is being written to {self._path}", hint="wait until it is done"
                    ) from None
                for entry in list(self._path.iterdir()):
                    if entry.suffix in (_PARTIAL, _DELETED) and entry.name not in _ALSO_THERE:
                        shutil.rmtree(entry)
            yield
        finally:
            os.close(lock)

    def _require_ours(self) -> None:
        """Make sure that nothing else is here: it might be taken for a backup, or be deleted as one."""
        for entry in self._path.iterdir():
            name = entry.name.removesuffix(_PARTIAL).removesuffix(_DELETED)
            if not NAME.fullmatch(name) and name not in _ALSO_THERE:
                raise ConfigurationError(
                    f"{self._path} is not a directory of backups: it contains {entry.name!r}",
                    hint="name an empty directory, one that does not exist, or one that holds backups only",
                )

    @contextmanager
    def draft(self, name: str) -> Iterator[DirectoryDraft]:
        """See `Backups.draft`."""
        partial = self.folder(f"{name}{_PARTIAL}")
        try:
            with _told(partial, "written"):
                make_folder(partial)
            yield DirectoryDraft(self, partial)
            with _told(partial, "written"):
                for folder in (*(path for path in partial.rglob("*") if path.is_dir()), partial):
                    sync_folder(folder)
                partial.rename(self.folder(name))
                sync_folder(self._path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # gives its room back, where the disk was full

    def delete(self, name: str) -> None:
        """See `Backups.delete`."""
        folder = self.folder(name)
        with _told(folder, "deleted"):
            doomed = folder.rename(self.folder(f"{name}{_DELETED}"))  # what is half deleted is no backup
            shutil.rmtree(doomed)


class DirectoryDraft:
    """Implements `Draft`."""

    def __init__(self, directory: BackupDirectory, folder: Path) -> None:
        self._directory = directory
        self._folder = folder

    def write(self, path: str, pieces: Iterable[bytes]) -> Written:
        """See `Draft.write`."""
        return write_file(self._folder / path, pieces)

    def reuse(self, path: str, name: str, sha256: str) -> Written | None:
        """See `Draft.reuse`. The file is linked, or copied where the file system has no links."""
        place, size, digest = self._folder / path, 0, hashlib.sha256()
        try:
            for piece in self._directory.pieces(name, path):
                digest.update(piece)
                size += len(piece)
        except StorageError:
            return None
        if digest.hexdigest() != sha256:
            return None
        with _told(place, "written"):
            make_folder(place.parent)
            try:
                os.link(self._directory.folder(name) / path, place)
            except OSError:
                return self.write(path, self._directory.pieces(name, path))
        return Written(size, sha256)

    def remove(self, path: str) -> None:
        """See `Draft.remove`."""
        place = self._folder / path
        with _told(place, "deleted"):
            place.unlink(missing_ok=True)
            for folder in place.parents:
                if folder == self._folder:
                    break
                with suppress(OSError):  # which still holds others
                    folder.rmdir()


@contextmanager
def local_folder(backups: Backups, name: str, paths: Iterable[str]) -> Iterator[Path]:
    """A folder that has some files of a backup, until the end of the block: its own, or one with copies of them.

    Args:
        backups: where it is.
        name: of the backup.
        paths: the files; what a directory has beside them is there as well.

    Raises:
        StorageError: a file cannot be read, or copied.
    """
    if isinstance(backups, BackupDirectory):
        yield backups.folder(name)
        return
    with TemporaryDirectory(prefix="projection-backup-") as folder:
        for path in paths:
            write_file(Path(folder) / path, backups.pieces(name, path))
        yield Path(folder)


def write_file(path: Path, pieces: Iterable[bytes]) -> Written:
    """Write a new file, for this user alone, with its folder; it is on the disk when the call returns.

    Raises:
        StorageError: it cannot be written.
    """
    size, synced, digest = 0, 0, hashlib.sha256()
    under_way: Future[None] | None = None
    with _told(path, "written"):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file, ThreadPoolExecutor(1, "fsync") as syncing:
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
                digest.update(piece)
                size += len(piece)
                if size - synced >= _UNWRITTEN:
                    if under_way is not None:
                        under_way.result()
                    synced, under_way = size, syncing.submit(os.fsync, descriptor)
            if under_way is not None:
                under_way.result()
            os.fsync(descriptor)
    return Written(size, digest.hexdigest())


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(f"{path} cannot be {what}: {error.strerror or error}", error.errno) from None
