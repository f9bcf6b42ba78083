"""The socket in a data folder by which commands reach the node that has the folder.

The path of a Unix socket may have about a hundred bytes, and a data folder may stand deeper. So it is named from the
folder, which is open already, where the system allows that.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from projection.store.disk import disk_error

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "control.sock"  # with a dot in it no view type's directory has this name
_BACKLOG = 16
_OF_PROCESS = Path("/proc/self/fd")


def listen(data: Path) -> socket.socket:
    """Listen in a data folder that this process has locked. Only the folder's owner may connect.

    Raises:
        StorageError: the socket cannot be made.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(data) as path:
            with suppress(FileNotFoundError):
                Path(path).unlink()  # of a node that was killed
            before = os.umask(0o177)
            try:
                bound.bind(path)
            finally:
                os.umask(before)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise disk_error(f"{data / NAME} cannot be listened at: {error.strerror or error}", error.errno or 0) from None
    return bound


def remove(data: Path) -> None:
    """Take the socket away that nobody listens at any more; the data folder is still this process's."""
    with suppress(OSError), _reachable(data) as path:
        Path(path).unlink()


def connect(data: Path, timeout_s: float | None = None) -> socket.socket | None:
    """Connect to the node that has a data folder; None where none listens there."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(timeout_s)
    try:
        with _reachable(data) as path:
            found.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        found.close()
        return None
    except OSError as error:
        found.close()
        raise disk_error(f"{data / NAME} cannot be reached: {error.strerror or error}", error.errno or 0) from None
    return found


@contextmanager
def _reachable(data: Path) -> Iterator[str]:
    folder = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    try:
        near = _OF_PROCESS / str(folder)
        yield str((near if near.exists() else data) / NAME)
    finally:
        os.close(folder)
