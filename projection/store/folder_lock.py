"""The lock by which one node process has a data folder to itself; the kernel frees it when the process dies.

The file says who has it: for people, and for readers, which must know processes by the same numbers as the node does.
LMDB tells its readers apart by them: of two with one number, the one that ends gives up the other's picture.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, NamedTuple, Self

from projection.errors import StorageError
from projection.store.disk import disk_error
from projection.store.host import boot_id, pid_namespace, require_local

if TYPE_CHECKING:
    from pathlib import Path

NAME = "node.lock"  # with a dot in it no view type's directory has this name
_MAX_BYTES = 1024


class _Holder(NamedTuple):
    """The process that has the folder, or had it last."""

    pid: int
    pid_namespace: str | None  # None: this machine does not tell
    boot_id: str | None

    @classmethod
    def here(cls) -> Self:
        return cls(os.getpid(), pid_namespace(), boot_id())

    @classmethod
    def read(cls, file: int) -> Self | None:
        """None where the file says nothing that could be understood."""
        try:
            return cls(**json.loads(os.pread(file, _MAX_BYTES, 0)))
        except (ValueError, TypeError):
            return None

    def write(self, file: int) -> None:
        text = json.dumps(self._asdict()).encode() + b"\n"
        os.pwrite(file, text, 0)
        os.ftruncate(file, len(text))

    def is_elsewhere(self) -> bool:
        """Whether its number means nothing here, on the machine as it runs now."""
        here = self.here()
        return self.boot_id == here.boot_id and self.pid_namespace != here.pid_namespace

    def __str__(self) -> str:
        return f"process {self.pid}{' of another container' if self.is_elsewhere() else ''}"


class FolderLock:
    """Held from its making until `close`, or until the process ends, in whatever way.

    Raises:
        StorageError: another process holds it, it cannot be made, or the folder is not on a disk of this machine.
    """

    def __init__(self, folder: Path) -> None:
        require_local(folder)
        path = folder / NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise disk_error(f"{path} cannot be opened: {error.strerror}", error.errno) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _Holder.here().write(self._file)
        except BlockingIOError:
            holder = _Holder.read(self._file)
            self.close()
            raise StorageError(
                f"{folder} is in use by another node or command: {holder or 'an unknown process'}",
                hint="wait until that process has ended, or stop it; each node needs its own data folder",
            ) from None
        except OSError as error:
            self.close()
            raise disk_error(f"{path} cannot be locked: {error.strerror}", error.errno) from None

    def close(self) -> None:
        """Let the next process have the folder; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def require_same_host(folder: Path) -> None:
    """Make sure that this process may read a data folder beside the node that has it, if one does.

    Cheap enough to be asked before every query: a node of another container may come at any time.

    Raises:
        StorageError: the node runs in another pid namespace; or this process sees the folder as read-only, so that the
            node would not know that it reads.
    """
    try:
        file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # no node was ever here, or it cannot be read: then neither can its stores
    try:
        holder = _Holder.read(file)
        elsewhere = holder is not None and holder.is_elsewhere()
        if not elsewhere and not os.fstatvfs(file).f_flag & os.ST_RDONLY:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refused(folder, holder, elsewhere=elsewhere) from None
    finally:
        os.close(file)


def _refused(folder: Path, holder: _Holder | None, *, elsewhere: bool) -> StorageError:
    if elsewhere:
        return StorageError(
            f"the node that has {folder} is {holder}, and a store is for processes of one pid namespace",
            hint="read it in the node's container",
        )
    return StorageError(
        f"{folder} is read-only here, and a node is writing it: it would not know that it is read",
        hint="mount it writable, or stop the node",
    )
