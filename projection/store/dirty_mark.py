"""The mark of a store that is written without waiting for the disk: a power loss may have damaged it unseen.

It lies beside the data, and is on the disk before anything else is: it names the boot of the machine in which the store
is written. As long as that machine runs, its memory has what the disk may not have yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import StorageError
from projection.model.files import is_there
from projection.store.disk import FULL, disk_error, sync_folder, write_durably
from projection.store.host import boot_id

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "unsynced"
_LOADING = "loading"
MARKS = (_NAME, f"{_NAME}.new", _LOADING)  # what may lie beside a store; the second while the mark is written
_UNKNOWN = "unknown"  # in place of a boot: the disk refused what memory had


class DirtyMark:
    """The mark in one folder. Every method raises `OSError` where the folder cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _NAME

    def can_be_set(self) -> bool:
        """Whether anything tells one boot of this machine from another."""
        return boot_id() is not None

    def is_set(self) -> bool:
        """Whether the store was last written without waiting for the disk, and not closed since."""
        return is_there(self._path)

    def is_outlived(self) -> bool:
        """Whether the mark is of another boot than this one, so that the store may be damaged."""
        return self.is_set() and self._path.read_text() != boot_id()

    def set(self) -> None:
        """Set the mark; from here on the store may be written without waiting for the disk.

        Raises:
            StorageError: nothing tells one boot of this machine from another.
        """
        boot = boot_id()
        if boot is None:
            raise StorageError(
                "durability `process` needs to know when the machine was started, and this one does not tell",
                hint="set durability to `sync`",
            )
        write_durably(self._path, boot)

    def try_set(self, *, discarded: bool) -> bool:
        """Set the mark where it is not, and return whether it is set: a disk may have no room for it.

        Args:
            discarded: whether it is there, and of another boot.
        """
        try:
            if discarded or not self.is_set():
                self.set()
        except OSError as error:
            if discarded or disk_error("", error.errno).code != FULL:
                raise
            return False
        return True

    def condemn(self) -> None:
        """The disk refused what memory had: no boot vouches for the store any more."""
        write_durably(self._path, _UNKNOWN)

    def clear(self) -> None:
        """Everything is on the disk."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._folder)

    def discard(self) -> None:
        """Delete the store of another boot. The mark stays until it is replaced, lest a power loss brings half back."""
        for name in ("data.mdb", "lock.mdb"):
            (self._folder / name).unlink(missing_ok=True)
        sync_folder(self._folder)


class LoadingMark:
    """Says that a store has been loaded without waiting for the disk ever since it was empty.

    It outlives the dirty mark where the store is closed in between, so that a store that once was on the disk for good
    is never put at risk again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LOADING

    def settle(self, *, wanted: bool, is_empty: bool) -> bool:
        """Set or remove the mark as a store is opened, and return whether it is loaded from here on.

        Args:
            wanted: whether the store is to be loaded.
            is_empty: whether nothing is in the store.

        Raises:
            OSError: the folder cannot be written, other than for want of room.
        """
        if not wanted or not (is_empty or is_there(self._path)):
            self.clear()
            return False
        try:
            self._path.touch(mode=0o600)
        except OSError as error:
            if disk_error("", error.errno).code != FULL:
                raise
            return False
        return True

    def clear(self) -> None:
        """Say so no longer. A power loss may bring the mark back; it then concerns what is written from there on."""
        self._path.unlink(missing_ok=True)
