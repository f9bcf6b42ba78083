"""Giving free pages of a store back to the disk, where they are, while others read and write it.

LMDB never makes its file smaller: pages that are free wait in it to be used again. Here the file gets holes in their
place, which read as zeros and take no room on the disk. That is done to no other pages than those that LMDB's next
commit may write over, and under the lock that keeps it from doing so. So nothing that anybody reads is touched, and it
makes no difference where a process is killed.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from errno import EINTR, ENOSYS, EOPNOTSUPP
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import StorageError
from projection.store.disk import disk_error
from projection.store.format import touch
from projection.store.free_pages import BEGIN, free_ranges
from projection.store.lmdb_folder import DATA
from projection.store.lmdb_opening import open_beside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.store.lmdb_env import Environment

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_SECTOR = 512  # bytes, in which the system counts what a file takes
_SLICE_S = 0.01  # that a commit may have to wait
_REST_S = 0.002  # between two slices: LMDB's lock goes to whoever asks first


class Compacted(NamedTuple):
    """What a store took on the disk, in bytes."""

    before: int
    after: int


def compact_store(path: Path, on_progress: Callable[[int, int], None] = lambda _done, _total: None) -> Compacted:
    """Give the free pages of a store back to the disk.

    Pages that somebody is reading the state of are left alone, and so are those that are freed meanwhile.

    Args:
        path: the store's folder; other processes may be reading and writing there. This one must not have it open.
        on_progress: told how many bytes of free pages have been seen to, and how many there are; what it raises ends
            the work, and what was given back by then is.

    Raises:
        StorageError: the file system does not support holes in files, or the store cannot be used.
    """
    try:
        file = os.open(path / DATA, os.O_RDWR | os.O_CLOEXEC)
        try:
            environment = open_beside(path)
            try:
                if not os.path.samestat(os.fstat(file), (path / DATA).stat()):
                    raise StorageError(f"the store at {path} was replaced just now", hint="give the order again")
                return _compacted(environment, file, on_progress)
            finally:
                environment.close()
        finally:
            os.close(file)
    except OSError as error:
        if error.errno in (EOPNOTSUPP, ENOSYS):
            raise StorageError(
                f"the file system of {path} does not support holes in files",
                hint="`projection rebuild` writes the view type to a file without free pages",
            ) from None
        raise disk_error(f"{path} cannot be compacted: {error.strerror}", error.errno) from None


def taken(path: Path) -> int:
    """Bytes that a file takes on the disk, without its holes.

    Raises:
        OSError: there is none, or it cannot be looked at.
    """
    return path.stat().st_blocks * _SECTOR


def _compacted(environment: Environment, file: int, on_progress: Callable[[int, int], None]) -> Compacted:
    path = environment.path / DATA
    before = taken(path)
    with suppress(StorageError):  # a full disk; what the last commit has freed is then left
        environment.update(touch)
    with environment.unwritten() as (last, oldest):
        total = sum(one.length for one in free_ranges(path, file, last, after=BEGIN, oldest=oldest))
    place, done, is_more = BEGIN, 0, True
    while is_more:
        on_progress(done, max(done, total))
        is_more = False
        with environment.unwritten() as (last, oldest):
            until = monotonic() + _SLICE_S
            for one in free_ranges(path, file, last, after=place, oldest=oldest):
                _take_out(file, one.start, one.length)
                place, done = one.place, done + one.length
                if is_more := monotonic() > until:
                    break
        sleep(_REST_S)
    on_progress(done, done)
    return Compacted(before, taken(path))


def _take_out(file: int, start: int, length: int) -> None:
    """Have a hole in a file, which stays as long as it is.

    Raises:
        OSError: the file system, or this system, cannot do that.
    """
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        raise OSError(ENOSYS, os.strerror(ENOSYS))
    sizes = ctypes.c_int64(start), ctypes.c_int64(length)
    while fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, *sizes) != 0:
        if (number := ctypes.get_errno()) != EINTR:
            raise OSError(number, os.strerror(number))
