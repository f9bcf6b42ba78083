"""The disk below a simulated node: stores that outlive it, and that fail when they are told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.errors import StorageError
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from pathlib import Path

    from projection.store.lmdb_store import LmdbLaneStore
    from projection.store.port import Commit, LaneStore

BEFORE, AFTER = "before", "after"  # it was written: whether a failing commit left nothing, or everything


class KilledError(Exception):
    """The process that asked is no more."""


class Disk:
    """Takes the place of `LmdbLaneStore` where the node opens its stores."""

    def __init__(self, lmdb: type[LmdbLaneStore] | None, folder: Path) -> None:
        self.stores: dict[str, LaneStore] = {}  # by view type, as the running process or the last one has them
        self.commit_faults: dict[str, deque[str]] = {}
        self.read_faults: dict[str, int] = {}
        self.written: Callable[[str], None] = lambda view_type: None  # told after each commit
        self.epochs: dict[str, int] = {}  # the last claim
        self._lmdb = lmdb
        self._folder = folder
        self._holder: object = object()

    def open(self, path: Path, fold_identity: str, **_: Any) -> StoreOfProcess:
        view_type = path.parent.parent.name
        if self._lmdb is not None:
            self.stores[view_type] = self._lmdb.open(self._folder / view_type, fold_identity, map_size=256 << 10)
        elif view_type not in self.stores:
            self.stores[view_type] = MemoryLaneStore(fold_identity)
        return StoreOfProcess(self, view_type, self._holder)

    def is_held_by(self, process: object) -> bool:
        return self._holder is process

    def claim(self, view_type: str) -> int:
        """By whom, does not matter: from here on nobody else may write."""
        self.epochs[view_type] = self.stores[view_type].claim()
        return self.epochs[view_type]

    def cut_off(self) -> None:
        """The process that wrote is gone, whatever its threads still want."""
        self._holder = object()
        for view_type in self.stores if self._lmdb is not None else ():
            self.stores[view_type].close()


class StoreOfProcess:
    """A lane's store in the hands of one process."""

    discarded = False  # see `LmdbLaneStore.discarded`

    def __init__(self, disk: Disk, view_type: str, process: object) -> None:
        self._disk = disk
        self._view_type = view_type
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mine(), name)

    def claim(self) -> int:
        self._mine()
        return self._disk.claim(self._view_type)

    def get(self, encoded: bytes) -> bytes | None:
        if self._disk.read_faults.get(self._view_type, 0):
            self._disk.read_faults[self._view_type] -= 1
            raise StorageError("the disk does not read", code="storage.io")
        return self._mine().get(encoded)

    def commit(self, commit: Commit, on_written: Callable[[], None] | None = None) -> None:
        faults = self._disk.commit_faults.get(self._view_type)
        fault = faults.popleft() if faults else None
        if fault == BEFORE:
            raise StorageError("the disk is full", code="storage.full")
        self._mine().commit(commit, on_written)
        assert commit.epoch == self._disk.epochs[self._view_type], "somebody else has claimed the store since"
        self._disk.written(self._view_type)
        if fault == AFTER:
            raise StorageError("the disk does not say whether it wrote", code="storage.io")

    def close(self) -> None:
        """Nothing: a store is closed when its process is gone."""

    def _mine(self) -> LaneStore:
        if not self._disk.is_held_by(self._process):
            raise KilledError
        return self._disk.stores[self._view_type]
