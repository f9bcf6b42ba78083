"""The folder of an LMDB environment: what lies in it, and what the marks beside the data say before it is opened."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import StorageError
from projection.model.files import is_file
from projection.store.dirty_mark import MARKS, DirtyMark, LoadingMark
from projection.store.disk import make_folder
from projection.store.host import require_local

if TYPE_CHECKING:
    from pathlib import Path

DATA = "data.mdb"  # the name of an environment's file
LOCK = "lock.mdb"


class Prepared(NamedTuple):
    """A folder that an environment is to be opened in for writing."""

    is_new: bool  # whether there is no data yet
    discarded: bool  # whether a store was here that a power loss may have damaged; it is deleted
    is_loading: bool  # whether the store is loaded from here on
    sync: bool  # whether commits wait for the disk; if not, the dirty mark is set


def prepared(path: Path, *, sync: bool, loads: bool) -> Prepared:
    """Make the folder where there is none, discard what cannot be trusted, and set the marks.

    Args:
        path: the folder.
        sync: whether commits are to wait for the disk.
        loads: whether a store that is empty, or is being loaded, need not wait until that has ended.

    Raises:
        StorageError: the folder holds something else, or lies on a disk that LMDB cannot be used on.
        OSError: it cannot be written.
    """
    make_folder(path)
    require_local(path)
    mark = DirtyMark(path)
    # A process killed while LMDB made the environment leaves its lock file, and maybe the mark, alone.
    if (is_new := not has_data(path)) and {entry.name for entry in path.iterdir()} - {LOCK, *MARKS}:
        raise StorageError(f"{path} is not a store: it contains other files", hint="name an empty directory")
    if discarded := mark.is_outlived():
        mark.discard()
    is_loading = LoadingMark(path).settle(wanted=loads, is_empty=is_new or discarded)
    if not sync or (is_loading and mark.can_be_set()):
        sync = not mark.try_set(discarded=discarded)
    elif discarded:
        mark.clear()
    return Prepared(is_new, discarded, is_loading, sync)


def has_data(path: Path) -> bool:
    """Whether an environment was made there."""
    return is_file(path / DATA)


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process has an environment open, and so has found it sound.

    LMDB's own lock tells, for as long as that process has it. This one must not have it open: closing a file gives up
    the locks that a process has on it.
    """
    try:
        with (path / LOCK).open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock file, or this process may not lock it
        return False
    return False
