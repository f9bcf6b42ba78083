"""What LMDB's errors mean to whoever uses a store."""

from __future__ import annotations

from errno import EIO, ENOSPC
from typing import TYPE_CHECKING

import lmdb

from projection.errors import StorageDamagedError, StorageError
from projection.store.disk import disk_error, is_full
from projection.store.gate import ShutError

if TYPE_CHECKING:
    from pathlib import Path

LMDB_ERRORS = (lmdb.Error, ShutError)  # what a transaction may raise, and no caller of the environment ever sees
DAMAGE = (
    lmdb.BadChecksumError,
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.ProblemError,
    lmdb.VersionMismatchError,
)


def storage_error(path: Path, error: Exception) -> StorageError:
    """The error that takes the place of one of `LMDB_ERRORS`.

    Args:
        path: of the environment.
        error: what its transaction raised.
    """
    match error:
        case ShutError():
            return StorageError(f"the store at {path} is closed")
        case _ if isinstance(error, DAMAGE):
            return StorageDamagedError(
                f"{path} is not a store, or it is damaged: {error}",
                hint="move it away; the views are then rebuilt",
            )
        case lmdb.BadValsizeError():
            return StorageError(f"the store at {path} cannot store a key or a value of that size")
    number = getattr(error, "code", 0)
    if number == EIO and is_full(path):
        number = ENOSPC  # LMDB says so of a write of which only a part found room
    message = f"the store at {path} cannot be used: {error}"
    return disk_error(message, number) if number > 0 else StorageError(message)  # LMDB's own numbers are negative
