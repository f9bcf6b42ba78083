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


def after(prefix: bytes) -> bytes:
    """The least key that comes after all keys which begin with `prefix`, of which one byte at least is not 255."""
    rest = prefix.rstrip(b"\xff")
    return rest[:-1] + bytes((rest[-1] + 1,))


def entries_between(
    transaction: Transaction, start: bytes, stop: bytes, *, reverse: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """Keys with `start` ≤ key < `stop`, and their values, in key order or in the reverse of it."""
    with transaction.cursor() as cursor:
        if not reverse:
            if cursor.set_range(start):
                for key, value in cursor.iternext():
                    if key >= stop:
                        return
                    yield key, value
            return
        # The last key before `stop`: the one before the first that is not, or the last of all.
        if cursor.prev() if cursor.set_range(stop) else cursor.last():
            for key, value in cursor.iterprev():
                if key < start:
                    return
                yield key, value


def delete_below(transaction: Transaction, prefix: bytes, most: int | None = None) -> int:
    """Delete every key that begins with `prefix`, or so many of them; how many it were."""
    count = 0
    with transaction.cursor() as cursor:
        found = cursor.set_range(prefix)
        while found and count != most and cursor.key().startswith(prefix):
            found = cursor.delete()  # moves to the next key
            count += 1
    return count
