"""Bringing the indexes of a store towards what was declared, a bounded piece of work at a time."""

from __future__ import annotations

import marshal
import os
from dataclasses import replace
from heapq import merge
from itertools import islice
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from projection.model.keys import VIEWS
from projection.store.disk import disk_error
from projection.store.indexes import index_prefix
from projection.store.ranges import after, delete_below, entries_between
from projection.store.records import INDEXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from projection.store.indexes import StoredIndexes
    from projection.store.lmdb_env import Transaction
    from projection.store.port import EntriesOf

    _Entry = tuple[bytes, bytes, bytes]  # its key, its value, and the key of its view

MOST_ENTRIES = 1_000_000  # in one round: of about 100 bytes each, in a file
_RUN = 16_384  # entries that are sorted at once: however small the pieces are, few runs are merged
_BLOCK = 64  # entries that are read of a run at once
_MOST_CHANGED = 100_000  # views that are remembered to have changed; beyond that any may have


def drop_some(transaction: Transaction, stored: StoredIndexes, entries: int) -> StoredIndexes:
    """Delete so many entries of an index that is no longer declared."""
    number, *others = stored.dropped
    found = stored
    if delete_below(transaction, index_prefix(number), entries) < entries:
        found = replace(stored, dropped=tuple(others))
    transaction.put(INDEXES, found.encode())
    return found


class IndexRound:
    """The entries of the views that come next: collected, then written in the order of their keys.

    Views come in the order of their ids, and their entries belong anywhere. Written as they come, each transaction
    would write pages all over an index; in order, each page is written about once a round. What is collected waits in a
    file without a name, which ends with the process: then the round begins again.

    Commits bring the entries of what they change, also for indexes that are not built yet. So an entry of a view that
    changed after it was collected is only written if the view still has it.
    """

    def __init__(self, folder: Path, stored: StoredIndexes) -> None:
        """A round for what is not built yet; its file is made in the folder.

        Raises:
            StorageError: the disk refuses the file.
        """
        self._folder = folder
        self._unbuilt = [index for index in stored.indexes if not index.built]
        self._wanted = tuple(index_prefix(index.number) for index in self._unbuilt)
        self._done = min(index.progress or "" for index in self._unbuilt)  # what one has already, it gets again
        self._run: list[_Entry] = []  # that is not in the file yet
        self._runs: list[list[tuple[int, int]]] = []  # of each, where its blocks are, and how long
        self._entries = self._size = 0
        self._is_last = self.is_collected = False
        self._changed: set[bytes] | None = set()  # keys of views; None: any may have
        self._merged: Iterator[_Entry] = iter(())
        self._pending: list[_Entry] = []
        try:
            self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it lives as long as the round
        except OSError as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Forget what was collected."""
        self._file.close()

    def changed(self, view_keys: Iterable[bytes]) -> None:
        """Note views that a commit changes."""
        if self._changed is not None:
            self._changed.update(view_keys)
            if len(self._changed) > _MOST_CHANGED:
                self._changed = None

    def collect(self, transaction: Transaction, entries_of: EntriesOf, views: int) -> None:
        """Collect the entries of so many views.

        Raises:
            StorageError: the disk refuses them; the next call tries that again.
        """
        if len(self._run) < _RUN and not self._is_last:
            start = self._done.encode() + b"\0" if self._done else VIEWS
            chunk = list(islice(entries_between(transaction, start, after(VIEWS)), views))
            self._run += [
                (entry, value, key)
                for key, view in chunk
                for entry, value in entries_of(key, view).items()
                if entry.startswith(self._wanted)
            ]
            if chunk:
                self._done = chunk[-1][0].decode()
            self._is_last = len(chunk) < views
        is_full = self._is_last or self._entries + len(self._run) >= MOST_ENTRIES
        if is_full or len(self._run) >= _RUN:
            self._keep(sorted(self._run))
            self._run = []
        if is_full:
            self.is_collected = True
            self._merged = merge(*map(self._read, self._runs))

    def _keep(self, run: list[_Entry]) -> None:
        blocks = [marshal.dumps(run[at : at + _BLOCK]) for at in range(0, len(run), _BLOCK)]
        data, at, places = b"".join(blocks), self._size, []
        for block in blocks:
            places.append((at, len(block)))
            at += len(block)
        try:
            written = os.pwrite(self._file.fileno(), data, self._size)
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:], self._size + written)
        except OSError as error:
            raise self._refused(error) from None
        self._runs.append(places)
        self._size, self._entries = at, self._entries + len(run)

    def _read(self, run: list[tuple[int, int]]) -> Iterator[_Entry]:
        for at, size in run:
            yield from marshal.loads(os.pread(self._file.fileno(), size, at))  # noqa: S302 - of our own, this moment

    def take(self, entries: int) -> None:
        """Have so many entries written next; what was taken and not written is first."""
        if not self._pending:
            try:
                self._pending = list(islice(self._merged, entries))
            except OSError as error:
                raise self._refused(error) from None

    def write(self, transaction: Transaction, stored: StoredIndexes, entries_of: EntriesOf) -> StoredIndexes:
        """Write what was taken; where that was nothing, note that the round is through."""
        if self._pending:
            with transaction.cursor() as cursor:
                cursor.putmulti(
                    [
                        (entry, value)
                        for entry, value, key in self._pending
                        if not self._may_have_changed(key) or _has(transaction, key, entry, entries_of)
                    ]
                )
            return stored
        moved = (
            index if index.built else replace(index, built=self._is_last, progress=self._done)
            for index in stored.indexes
        )
        found = replace(stored, indexes=tuple(moved))
        transaction.put(INDEXES, found.encode())
        return found

    def _may_have_changed(self, view_key: bytes) -> bool:
        return self._changed is None or view_key in self._changed

    def written(self) -> bool:
        """What was taken is stored; whether the round is through."""
        is_through, self._pending = not self._pending, []
        return is_through

    def _refused(self, error: OSError) -> Exception:
        return disk_error(f"an index cannot be built in {self._folder}: {error.strerror}", error.errno)


def _has(transaction: Transaction, view_key: bytes, entry: bytes, entries_of: EntriesOf) -> bool:
    """Whether a view has an entry as it is now."""
    view = transaction.get(view_key)
    return view is not None and entry in entries_of(view_key, view)
