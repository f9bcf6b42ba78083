"""Whether commits of an environment wait for the disk, and the marks that say what a power loss may have damaged."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from projection.store.dirty_mark import DirtyMark, LoadingMark
from projection.store.lmdb_errors import LMDB_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.store.lmdb_folder import Prepared


class Syncing:
    """How one open environment is brought to the disk.

    Methods that take `sync` call it to have LMDB write all that it has to the disk. They raise what that raises, and
    `OSError` where a mark cannot be written.
    """

    def __init__(self, path: Path, found: Prepared | None = None, *, when_loaded: bool = True) -> None:
        """Begin with what was found in the folder of an environment that is written.

        Args:
            path: the environment's directory.
            found: what was found; None where the environment is read, or written beside its owner.
            when_loaded: whether commits wait for the disk from the end of loading on.
        """
        self.every_commit = found is None or found.sync  # whether a commit is on the disk when it returns
        self.is_loading = found is not None and found.is_loading  # whether commits do so only from `end_loading` on
        self.discarded = found is not None and found.discarded  # a store that a power loss may have damaged was here
        self._path = path
        self._mark = DirtyMark(path)
        self._when_loaded = when_loaded
        self._is_condemned = False

    @property
    def is_condemned(self) -> bool:
        """Whether the disk refused what memory has: the mark stays, and the next opening discards the store."""
        return self._is_condemned

    @property
    def begins_when_loaded(self) -> bool:
        """Whether commits wait for the disk from the end of loading on, and not before."""
        return self._when_loaded and not self.every_commit

    @property
    def lacks_the_disk(self) -> bool:
        """Whether the disk may not have everything yet, and may be asked for it."""
        return not self.every_commit and not self._is_condemned

    def bring_to_disk(self, sync: Callable[[], None]) -> None:
        """Bring to the disk what was written without waiting for it."""
        try:
            sync()
        except LMDB_ERRORS:
            self._is_condemned = True  # to ask once more would succeed: the kernel has given the pages up
            with suppress(OSError):
                self._mark.condemn()
            raise

    def settle(self, sync: Callable[[], None]) -> None:
        """Bring to the disk what was written without waiting for it, then take the mark away."""
        self.bring_to_disk(sync)
        self._mark.clear()

    def begin(self, sync: Callable[[], None]) -> None:
        """Wait for the disk in every commit from here on; nobody writes meanwhile."""
        self.settle(sync)
        self.every_commit = True

    def end_loading(self) -> None:
        """Say that the store is loaded, and as durable as it is to be."""
        LoadingMark(self._path).clear()
        self.is_loading = False
