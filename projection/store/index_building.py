"""Bringing the indexes of a store towards what was declared, a bounded piece of work at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from projection.model.keys import VIEWS
from projection.store.indexes import index_prefix
from projection.store.ranges import after, delete_below, entries_between
from projection.store.records import INDEXES
from projection.store.snapshot import stored_indexes

if TYPE_CHECKING:
    from projection.store.indexes import StoredIndexes
    from projection.store.lmdb_env import Transaction
    from projection.store.port import EntriesOf


def build_some(transaction: Transaction, entries_of: EntriesOf, views: int) -> bool:
    """Go through so many views, or entries that are no longer wanted; whether there is more to do.

    Commits bring the entries of what they change, also for indexes that are not built yet: here a view is read as it is
    stored, and to write an entry twice does no harm.
    """
    stored = stored_indexes(transaction)
    if stored.is_settled:
        return False
    if stored.dropped:
        found = _drop_some(transaction, stored, views)
    else:
        found = _add_some(transaction, stored, entries_of, views)
    transaction.put(INDEXES, found.encode())
    return not found.is_settled


def _drop_some(transaction: Transaction, stored: StoredIndexes, entries: int) -> StoredIndexes:
    number, *others = stored.dropped
    if delete_below(transaction, index_prefix(number), entries) == entries:
        return stored
    return replace(stored, dropped=tuple(others))


def _add_some(transaction: Transaction, stored: StoredIndexes, entries_of: EntriesOf, views: int) -> StoredIndexes:
    unbuilt = [index for index in stored.indexes if not index.built]
    done = min(index.progress or "" for index in unbuilt)  # what one of them has already, it gets again
    start = done.encode() + b"\0" if done else VIEWS
    chunk = list(islice(entries_between(transaction, start, after(VIEWS)), views))
    wanted = tuple(index_prefix(index.number) for index in unbuilt)
    entries = {
        entry: value
        for key, view in chunk
        for entry, value in entries_of(key, view).items()
        if entry.startswith(wanted)
    }
    with transaction.cursor() as cursor:
        cursor.putmulti(sorted(entries.items()))
    is_built, progress = len(chunk) < views, chunk[-1][0].decode() if chunk else done
    moved = (index if index.built else replace(index, built=is_built, progress=progress) for index in stored.indexes)
    return replace(stored, indexes=tuple(moved))
