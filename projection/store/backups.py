"""What every place for backups can do: keep whole ones, and write one more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

ABOUT = "backup.json"  # what a backup holds
SUMS = "SHA256SUMS"  # of all other files of a backup, as `sha256sum` writes and reads it; written last
NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")  # when it was begun, so that the order of names is that of time
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


class Written(NamedTuple):
    """A file of a backup."""

    bytes: int
    sha256: str


class Draft(Protocol):
    """A backup that is being written."""

    def write(self, path: str, pieces: Iterable[bytes]) -> Written:
        """Write a file.

        Raises:
            StorageError: it cannot be written.
        """

    def reuse(self, path: str, name: str, sha256: str) -> Written | None:
        """Have the file of an earlier backup in this one, too; None where that is no longer as it was written.

        Raises:
            StorageError: it cannot be read or written.
        """

    def remove(self, path: str) -> None:
        """Leave out a file that was written or taken over."""


class Backups(Protocol):
    """A place for the backups of one data folder."""

    def names(self) -> list[str]:
        """The complete backups, the oldest first.

        Raises:
            StorageError: the place cannot be read.
        """

    def files(self, name: str) -> list[str]:
        """The files of a backup that are there, in order.

        Raises:
            StorageError: the place cannot be read.
        """

    def pieces(self, name: str, path: str) -> Iterator[bytes]:
        """The content of a file.

        Raises:
            StorageError: it is not there, or cannot be read.
        """

    def taken(self) -> AbstractContextManager[None]:
        """The place for oneself, to write and to delete; what earlier attempts have left is deleted.

        Raises:
            ConfigurationError: it holds something else than backups.
            StorageError: it cannot be written, or somebody else is writing there.
        """

    def draft(self, name: str) -> AbstractContextManager[Draft]:
        """A backup to be written; it is there, whole, at the end of the block, or not at all.

        Raises:
            StorageError: it cannot be written.
        """

    def delete(self, name: str) -> None:
        """Delete a backup.

        Raises:
            StorageError: it cannot be deleted.
        """

    def __str__(self) -> str:
        """Where it is, for people."""


def sums_text(sums: Mapping[str, str]) -> str:
    """The content of `SHA256SUMS` for SHA-256 sums by file."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))


def parse_sums(text: str) -> dict[str, str]:
    """The sums by file that a `SHA256SUMS` names; lines that are none are left out."""
    return {found[2]: found[1] for line in text.split("\n") if (found := _LINE.fullmatch(line))}
