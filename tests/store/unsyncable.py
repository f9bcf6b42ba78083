"""A disk that refuses what an open store has in memory: its file is put in the place of one that cannot be synced."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unsyncable(store: Path) -> Iterator[None]:
    """Until the end of the block, what this process has open of the store's data cannot be brought to the disk."""
    kept = [(descriptor, os.dup(descriptor)) for descriptor in _data_files(store)]
    with Path(os.devnull).open("rb") as refusing:
        for descriptor, _ in kept:
            os.dup2(refusing.fileno(), descriptor)
    try:
        yield
    finally:
        for descriptor, copy in kept:
            os.dup2(copy, descriptor)
            os.close(copy)


def _data_files(store: Path) -> list[int]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = link.readlink()
        except OSError:
            continue  # the descriptor that lists the directory is gone by now
        if target == store / "data.mdb":
            found.append(int(link.name))
    return found
