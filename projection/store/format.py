"""What an environment says of itself: which kind of store it is, and which version of its format it was written in."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from projection.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from projection.store.lmdb_env import Transaction

# Of keys and values of lanes and catalog alike; raised by every change that old code misreads, with a migration.
FORMAT_VERSION = 3
FORMER_VERSION = 2  # that `migration` brings to this one
_KEY = b"format"


class Kind(StrEnum):
    """What an environment holds."""

    LANE = "lane"
    CATALOGUE = "catalog"


def stamp(transaction: Transaction, kind: Kind) -> None:
    """Write that the environment is of this kind, and of this program's version of the format."""
    transaction.put(_KEY, json.dumps({"kind": kind, "version": FORMAT_VERSION}).encode())


def touch(transaction: Transaction) -> None:
    """Change nothing, in a commit of its own: what the one before it has freed is free for good from then on."""
    if (stored := transaction.get(_KEY)) is not None:
        transaction.put(_KEY, stored)


def version_of(transaction: Transaction) -> int | None:
    """The version of the format that the environment was written in; None where it says none."""
    try:
        return int(json.loads(transaction.get(_KEY, b"null"))["version"])
    except (ValueError, TypeError, KeyError):
        return None


def stamp_or_check(transaction: Transaction, kind: Kind, path: Path) -> bool:
    """Write the stamp into an empty environment, or check the one that is there; whether it was empty.

    Raises:
        StorageError: it is not a store of this kind, or of another version of the format.
    """
    if transaction.stat()["entries"] == 0:
        stamp(transaction, kind)
        return True
    check_stamp(transaction, kind, path)
    return False


def check_stamp(transaction: Transaction, kind: Kind, path: Path) -> None:
    """Make sure that this program reads what the environment holds.

    Raises:
        StorageError: it is not a store of this kind, or of another version of the format.
    """
    try:
        found = json.loads(transaction.get(_KEY, b"null"))
        found_kind, found_version = found["kind"], found["version"]
    except (ValueError, TypeError, KeyError):
        raise StorageError(f"{path} is not a {kind} of a projection node: it carries no format stamp") from None
    if found_version == FORMER_VERSION:
        raise StorageError(
            f"{path} was written in store format {found_version}, and this program reads and writes {FORMAT_VERSION}",
            hint="start the node with this version once: it migrates its data folder, and nothing is rebuilt",
        )
    if found_version != FORMAT_VERSION:
        raise StorageError(
            f"{path} was written in store format {found_version}, and this program reads and writes {FORMAT_VERSION}",
            hint="run the program version that wrote it, or rebuild the views in another data folder",
        )
    if found_kind != kind:
        raise StorageError(f"{path} is the {found_kind} of a projection node, not a {kind}")
