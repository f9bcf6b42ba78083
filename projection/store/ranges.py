"""The entries of an environment whose keys begin alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.store.lmdb_env import Transaction


def entries_below(transaction: Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys that begin with `prefix`, and their values, in key order."""
    with transaction.cursor() as cursor:
        if cursor.set_range(prefix):
            for key, value in cursor.iternext():
                if not key.startswith(prefix):
                    return
                yield key, value


def delete_below(transaction: Transaction, prefix: bytes) -> int:
    """Delete every key that begins with `prefix`; how many it were."""
    count = 0
    with transaction.cursor() as cursor:
        found = cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            found = cursor.delete()  # moves to the next key
            count += 1
    return count
