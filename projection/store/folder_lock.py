"""The lock by which one node process has a data folder to itself; the kernel frees it when the process dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from projection.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "node.lock"  # holds the owner's process id, for people; with a dot in it no view type's directory has this name


class FolderLock:
    """Held from its making until `close`, or until the process ends, in whatever way.

    Raises:
        StorageError: another process holds it, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            owner = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            self.close()
            raise StorageError(
                f"{folder} is in use by another node: process {owner or 'unknown'}",
                hint="stop that process, or give this node a data folder of its own",
            ) from None
        except OSError as error:
            self.close()
            raise StorageError(f"{path} cannot be locked: {error.strerror}") from None

    def close(self) -> None:
        """Let the next process have the folder; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
