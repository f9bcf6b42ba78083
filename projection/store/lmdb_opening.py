"""The ways to open an LMDB environment: to write it, to read it, beside its owner, or where nobody writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import StorageDamagedError, StorageError
from projection.store.dirty_mark import DirtyMark
from projection.store.disk import disk_error, sync_folder
from projection.store.host import require_local
from projection.store.lmdb_env import Environment
from projection.store.lmdb_folder import DATA, has_data, is_open_elsewhere, prepared
from projection.store.lmdb_syncing import Syncing

if TYPE_CHECKING:
    from pathlib import Path

MAP_SIZE = 64 << 30  # bytes of address space, not of disk: the file grows as it is written
MAX_MAP_SIZE = 1 << 40  # a process has 2**47 bytes of addresses, and one environment a lane


def open_to_write(
    path: Path,
    *,
    map_size: int = MAP_SIZE,
    max_map_size: int = MAX_MAP_SIZE,
    sync: bool = True,
    loads: bool = False,
) -> Environment:
    """Open for writing; make the directory where there is none yet.

    Args:
        path: the environment's directory.
        map_size: bytes that the data may grow to before the map has to be made larger.
        max_map_size: bytes that the map is never made larger than.
        sync: whether a commit waits for the disk. If not, a power loss loses the whole environment. It waits all the
            same, until it is opened again, where the disk has no room for the mark that says so.
        loads: whether a store that is empty, or was opened so and has not come to `end_loading`, waits for the disk
            only from there on. Any other is never put at risk again.

    Raises:
        StorageDamagedError: the data file is not LMDB's, or damaged.
        StorageError: the directory holds something else, or cannot be used.
    """
    try:
        found = prepared(path, sync=sync, loads=loads)
        try:
            environment = Environment(
                path,
                Syncing(path, found, when_loaded=sync),
                map_size=map_size,
                max_map_size=max_map_size,
                is_sound=found.is_new or found.discarded,
            )
        except StorageError:
            if found.is_new:  # a page of two may have found room
                (path / DATA).unlink(missing_ok=True)
            raise
        with environment.closed_on_error():
            if found.sync and DirtyMark(path).is_set():
                environment.settle()
            if found.is_new:
                sync_folder(path)
    except OSError as error:
        raise disk_error(f"{path} cannot be made a store: {error.strerror}", error.errno) from None
    return environment


def open_to_read(path: Path) -> Environment:
    """Open for reading, while another process may be writing.

    Raises:
        StorageDamagedError: the data file is not LMDB's, or damaged, or the power went before it was on the disk.
        StorageError: there is no store, or it cannot be used.
    """
    try:
        _require_store(path)  # with a map as the writer has made it
        return Environment(path, Syncing(path), readonly=True, is_sound=is_open_elsewhere(path))
    except OSError as error:
        raise disk_error(f"{path} cannot be read: {error.strerror}", error.errno) from None


def open_beside(path: Path) -> Environment:
    """Open for writing beside the owner, which may be another process; the marks stay as they are.

    Raises:
        StorageDamagedError: the data file is not LMDB's, or damaged, or the power went before it was on the disk.
        StorageError: there is no store, or it cannot be used.
    """
    try:
        _require_store(path)
        return Environment(path, Syncing(path), is_sound=is_open_elsewhere(path))
    except OSError as error:
        raise disk_error(f"{path} cannot be used: {error.strerror}", error.errno) from None


def open_still(path: Path) -> Environment:
    """Open for reading what nobody writes to, such as a backup; nothing is written, and any disk will do.

    Raises:
        StorageDamagedError: the data file is not LMDB's, or damaged.
        StorageError: there is no store, or it cannot be used.
    """
    try:
        if not has_data(path):
            raise StorageError(f"there is no store at {path}")
        return Environment(path, Syncing(path), readonly=True, is_still=True)
    except OSError as error:
        raise disk_error(f"{path} cannot be read: {error.strerror}", error.errno) from None


def _require_store(path: Path) -> None:
    """Make sure that there is a store that another process may open.

    Raises:
        StorageDamagedError: the power went before it was on the disk.
        StorageError: there is none, or not on a disk of this machine.
        OSError: it cannot be read.
    """
    if not has_data(path):
        raise StorageError(f"there is no store at {path}")
    require_local(path)
    if DirtyMark(path).is_outlived():
        raise StorageDamagedError(
            f"the store at {path} was written without waiting for the disk, and the machine went down",
            hint="start the node: it discards the store and rebuilds the views",
        )
