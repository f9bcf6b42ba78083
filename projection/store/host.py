"""What a store must know of the machine: since when it runs, whose process numbers are whose, where a disk really is.

Linux tells it under `/proc`. Where that is not there nothing is known, and nothing is refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from projection.errors import StorageError

_PROC = Path("/proc")
_NETWORKED = {"9p", "afs", "ceph", "cifs", "lustre", "nfs", "nfs4", "smb3"}
_ESCAPE = re.compile(r"\\([0-7]{3})")  # of blanks and backslashes in the table of mounts


def boot_id() -> str | None:
    """What tells one run of the machine from another; None where nothing does."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None


def pid_namespace() -> str | None:
    """Within which process numbers mean the same processes; None where that cannot be told."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return None


def require_local(folder: Path) -> None:
    """Make sure that a folder is on a disk of this machine: LMDB's locks and its map do not reach beyond.

    Raises:
        StorageError: it is on a network file system or in FUSE.
    """
    try:
        mounts = os.fsdecode((_PROC / "self/mounts").read_bytes())
    except OSError:
        return
    kind = file_system(folder.resolve(), mounts)
    if kind in _NETWORKED or kind.startswith("fuse"):
        raise StorageError(
            f"{folder} is on a file system of type {kind}, and a store needs a local one",
            hint="name a folder on a disk of this machine",
        )


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds an absolute path, by a table of mounts; empty where that names none."""
    inside, found, length = f"{path}/", "", 0
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ", 3)
        mounted = _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), point).rstrip("/") + "/"
        # Of two mounts on one place the later one is seen.
        if inside.startswith(mounted) and len(mounted) >= length:
            found, length = kind, len(mounted)
    return found
