"""The entries of an environment whose keys begin alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from projection.store.lmdb_env import Cursor, Transaction

_Entry = TypeVar("_Entry")
A_WHILE = 256  # entries


def entries_below(transaction: Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys that begin with `prefix`, and their values, in key order."""
    with transaction.cursor() as cursor:
        if cursor.set_range(prefix):
            for key, value in cursor.iternext():
                if not key.startswith(prefix):
                    return
                yield key, value


def counted(entries: Iterable[_Entry], seen: Callable[[int], object] | None) -> Iterator[_Entry]:
    """The same entries; now and then, `seen` is told how many more of them were read."""
    for number, entry in enumerate(entries, 1):
        if seen is not None and number % A_WHILE == 0:
            seen(A_WHILE)
        yield entry


def after(prefix: bytes) -> bytes:
    """The least key that comes after all keys which begin with `prefix`, of which one byte at least is not 255."""
    rest = prefix.rstrip(b"\xff")
    return rest[:-1] + bytes((rest[-1] + 1,))


def entries_between(
    transaction: Transaction, start: bytes, stop: bytes, *, reverse: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """Keys with `start` ≤ key < `stop`, and their values, in key order or in the reverse of it."""
    with transaction.cursor() as cursor:
        if _is_at_first(cursor, start, stop, reverse=reverse):
            for key, value in cursor.iterprev() if reverse else cursor.iternext():
                if key < start if reverse else key >= stop:
                    return
                yield key, value


def keys_between(transaction: Transaction, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
    """The same without the values, which are not copied."""
    with transaction.cursor() as cursor:
        if _is_at_first(cursor, start, stop, reverse=reverse):
            for key in cursor.iterprev(values=False) if reverse else cursor.iternext(values=False):
                if key < start if reverse else key >= stop:
                    return
                yield key


def _is_at_first(cursor: Cursor, start: bytes, stop: bytes, *, reverse: bool) -> bool:
    """Go to the first entry, of either end; whether there is one."""
    if not reverse:
        return cursor.set_range(start)
    # The last key before `stop`: the one before the first that is not, or the last of all.
    return cursor.prev() if cursor.set_range(stop) else cursor.last()


def delete_below(transaction: Transaction, prefix: bytes, most: int | None = None) -> int:
    """Delete every key that begins with `prefix`, or so many of them; how many it were."""
    count = 0
    with transaction.cursor() as cursor:
        found = cursor.set_range(prefix)
        while found and count != most and cursor.key().startswith(prefix):
            found = cursor.delete()  # moves to the next key
            count += 1
    return count
