"""What a disk answers: its refusals as errors with a code, and what it must be told for a change to last."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EFBIG, EMFILE, ENFILE, ENOMEM, ENOSPC, EPERM, EROFS
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from projection.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = "storage.full"  # the code of what goes on by itself once there is room
_FULL = {ENOSPC, EDQUOT, EFBIG}
_READ_ONLY = {EROFS, EACCES, EPERM}
_DESCRIPTORS = {EMFILE, ENFILE}
_RAISE_DESCRIPTORS = (
    "raise the limit of open files (`ulimit -n`): a node needs three for each build, and one for each connection"
)
_RAISE_ADDRESSES = (
    "raise the limit on address space (`ulimit -v`): each build needs 64 GiB for its map, which use no memory"
)
_PROBE = 64 << 10  # bytes


def disk_error(message: str, number: int | None) -> StorageError:
    """The error for what the operating system refused with this `errno`; `message` says what and where."""
    if number in _FULL:
        return storage_full(message, "make room on that disk; the next write tries again")
    if number in _DESCRIPTORS:
        return StorageError(message, hint=_RAISE_DESCRIPTORS, code="storage.io")
    if number == ENOMEM:
        return StorageError(message, hint=_RAISE_ADDRESSES, code="storage.io")
    if number in _READ_ONLY:
        return StorageError(message, hint="let the node's user write there", code="storage.read_only")
    return StorageError(message, code="storage.io")


def storage_full(message: str, hint: str) -> StorageError:
    """The error for a store that can take no more, of whatever limit that is."""
    return StorageError(message, hint=hint, code=FULL)


def is_full(folder: Path) -> bool:
    """Whether a disk takes nothing more: no room, or a used-up quota. Writes a little file that nobody sees."""
    try:
        with TemporaryFile(dir=folder, buffering=0) as probe:
            return probe.write(bytes(_PROBE)) < _PROBE
    except OSError as error:
        return error.errno in _FULL


def reserve(path: Path, size: int) -> None:
    """Have a file be at least so large, with room on the disk for all of it.

    A file that is made larger without being written has none yet; where it is mapped, the first write to a page that
    then finds no room kills the process.

    Raises:
        OSError: there is no room, or the file cannot be written.
    """
    missing = size - (path.stat().st_size if path.exists() else 0)
    if missing > 0:  # else not even opened: closing it would give up the locks that this process has on it
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as file:
            file.write(bytes(missing))


def make_folder(path: Path) -> None:
    """Make a folder and those above it, for this user alone and to stay after a power loss.

    Raises:
        OSError: it cannot be made.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have a folder's entries stay after a power loss: files that were made, renamed and deleted in it.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Give a small file this content, for good once the call returns, and whole at every moment.

    Raises:
        OSError: it cannot be written.
    """
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a folder to be filled; at the end of the block it is at `path`, with its files on the disk, or not at all.

    Raises:
        StorageError: there is something at `path`, or it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.exists():
            raise StorageError(f"{path} exists already", hint="name a directory that does not exist")
        if partial.exists():  # of a process that was killed
            shutil.rmtree(partial)
        make_folder(partial)
        yield partial
        for entry in partial.iterdir():
            entry.chmod(0o600)
            with entry.open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(partial)
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(f"{path} cannot be written: {error.strerror}", error.errno) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gives its room back, where the disk was full
