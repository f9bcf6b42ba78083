"""A lane's store in LMDB: one environment a lane, written by its owner, read by any process of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from projection.errors import StorageError
from projection.model.keys import CheckpointKey, ViewKey
from projection.model.state_digest import entry_digest
from projection.store.changes import build_changes, change_index, declare_changes, forget_tenant, record_changes
from projection.store.format import Kind, stamp_or_check
from projection.store.index_building import IndexRound, drop_some
from projection.store.indexes import index_prefix
from projection.store.lmdb_opening import MAP_SIZE, MAX_MAP_SIZE, open_to_write
from projection.store.lmdb_reader import LmdbLane
from projection.store.port import require_epoch
from projection.store.ranges import delete_below, entries_below, entries_between
from projection.store.records import (
    DIGEST,
    EPOCH,
    FOLD_IDENTITY,
    INDEXES,
    POSITION,
    UNRECORDED,
    VIEW_COUNT,
    encode_parked,
    encode_suspension,
    encode_unrecorded,
    parked_key,
    parked_prefix,
    suspended_key,
    unreached_key,
)
from projection.store.snapshot import (
    declared_indexes,
    stored_digest,
    stored_identity,
    stored_indexes,
    stored_number,
    stored_position,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from projection.model.ids import TenantId, ViewType
    from projection.model.settings import Durability
    from projection.store.indexes import DeclaredIndex, StoredIndex
    from projection.store.lmdb_env import Transaction
    from projection.store.port import Commit, EntriesOf


class LmdbLaneStore(LmdbLane):
    """Implements `LaneStore`. With durability `sync` every commit is on the disk when it returns."""

    _round: IndexRound | None = None  # of entries that are being brought to indexes

    @classmethod
    def open(
        cls,
        path: Path,
        fold_identity: str,
        *,
        earlier: Collection[str] = (),
        durability: Durability = "sync",
        loads: bool = False,
        map_size: int = MAP_SIZE,
        max_map_size: int = MAX_MAP_SIZE,
    ) -> Self:
        """Open a lane's store for writing; make it where there is none yet.

        Args:
            path: the lane's directory.
            fold_identity: what the views are folded by; only a commit changes that.
            earlier: identities that the store may have as well: of the same build, before its last decision.
            durability: what a commit outlives: loss of power (`sync`), or the end of this process (`process`).
            loads: whether an empty store, or one opened so before, is loaded: until `end_loading`, no commit waits for
                the disk.
            map_size: bytes that the data may grow to before the map has to be made larger.
            max_map_size: bytes that the map is never made larger than.

        Raises:
            StorageDamagedError: the data file is not LMDB's, or damaged.
            StorageError: the directory is no lane's store, of another format version or fold identity, or unusable.
        """

        def found(transaction: Transaction) -> None:
            if stamp_or_check(transaction, Kind.LANE, path):
                transaction.put(FOLD_IDENTITY, fold_identity.encode())
            elif (stored := stored_identity(transaction)) not in (fold_identity, *earlier):
                raise StorageError(
                    f"{path} was folded by {stored}, not by {fold_identity}", hint="a changed program makes a new build"
                )

        environment = open_to_write(
            path, map_size=map_size, max_map_size=max_map_size, sync=durability == "sync", loads=loads
        )
        with environment.closed_on_error():
            environment.update(found)
        return cls(environment)

    @property
    def discarded(self) -> bool:
        """Whether a store was here that a power loss may have damaged; it is gone, and this one began empty."""
        return self._environment.syncing.discarded

    @property
    def waits_for_disk(self) -> bool:
        """Whether a commit is on the disk when it returns."""
        return self._environment.syncing.every_commit

    @property
    def is_loading(self) -> bool:
        """See `LaneStore.is_loading`."""
        return self._environment.syncing.is_loading

    def end_loading(self) -> None:
        """See `LaneStore.end_loading`."""
        self._environment.end_loading()

    def claim(self) -> int:
        """See `LaneStore.claim`."""

        def raise_epoch(transaction: Transaction) -> int:
            epoch = stored_number(transaction, EPOCH) + 1
            transaction.put(EPOCH, b"%d" % epoch)
            return epoch

        with self._understood():
            return self._environment.update(raise_epoch)

    def commit(self, commit: Commit, on_written: Callable[[], None] | None = None) -> None:
        """See `LaneStore.commit`. Frees, every ten seconds, the slots of readers that died."""
        # Sorted, each key is found near the one before it: 20,000 random puts cost half as much.
        written, deleted = _sorted_changes(commit.views)
        if self._round is not None:
            self._round.changed(commit.views)
        added, removed = _sorted_changes(commit.entries)

        def write(transaction: Transaction) -> None:
            with self._understood():
                epoch, count = stored_number(transaction, EPOCH), stored_number(transaction, VIEW_COUNT)
                position, digest = stored_position(transaction), stored_digest(transaction)
            if commit.is_stored(epoch, position, digest):
                # The disk may have failed so that memory has it and the disk has not: this commit waits for both.
                transaction.put(POSITION, commit.position.model_dump_json().encode())
                return
            entries = transaction.stat()["entries"]
            with transaction.cursor() as cursor:
                cursor.putmulti(written)
            for key in deleted:
                transaction.delete(key)
            views = transaction.stat()["entries"]
            with transaction.cursor() as cursor:
                cursor.putmulti(added)
            for key in removed:
                transaction.delete(key)
            held = count + views - entries if commit.view_count is None else commit.view_count
            transaction.put(VIEW_COUNT, b"%d" % held)
            record_changes(_Records(transaction), commit)
            for checkpoint_key, checkpoint in commit.checkpoints.items():
                transaction.put(checkpoint_key.encode(), checkpoint.model_dump_json().encode())
            for tenant_id, view_id in commit.released:
                delete_below(transaction, parked_prefix(tenant_id, view_id))
                transaction.delete(suspended_key(tenant_id, view_id))
            for one in commit.suspended:
                transaction.put(suspended_key(one.tenant_id, one.view_id), encode_suspension(one))
            for tenant_id, count in commit.unreached.items():
                transaction.put(unreached_key(tenant_id), b"%d" % count)
            if commit.unrecorded is not None:
                transaction.put(UNRECORDED, encode_unrecorded(commit.unrecorded))
            for event in commit.unparked:
                transaction.delete(parked_key(event))
            for event in commit.parked:
                transaction.put(parked_key(event), encode_parked(event))
            transaction.put(POSITION, commit.position.model_dump_json().encode())
            transaction.put(DIGEST, str(commit.digest).encode())
            if commit.fold_identity is not None:
                transaction.put(FOLD_IDENTITY, commit.fold_identity.encode())

        self._environment.free_dead_readers()
        self._environment.update(write, on_written)

    def declare_indexes(self, declared: Sequence[DeclaredIndex]) -> tuple[StoredIndex, ...]:
        """See `LaneStore.declare_indexes`."""

        def declare(transaction: Transaction) -> tuple[StoredIndex, ...]:
            found = declared_indexes(transaction, declared)
            transaction.put(INDEXES, found.encode())
            return found.indexes

        self._forget_round()
        with self._understood():
            with self._environment.read() as transaction:
                if (stored := stored_indexes(transaction)) == declared_indexes(transaction, declared):
                    return stored.indexes
            return self._environment.update(declare)

    def build_indexes(
        self, epoch: int, entries_of: EntriesOf, views: int, on_written: Callable[[], None] | None = None
    ) -> bool:
        """See `LaneStore.build_indexes`. Entries that are collected for a round are written by later calls."""
        with self._understood():
            with self._environment.read() as transaction:
                require_epoch(epoch, stored_number(transaction, EPOCH))
                if (stored := stored_indexes(transaction)).is_settled:
                    return False
                if not stored.dropped and (self._round is None or not self._round.is_collected):
                    self._round = self._round or IndexRound(self._environment.path, stored)
                    self._round.collect(transaction, entries_of, views)
                    return True
            return self._write_indexes(epoch, entries_of, views, on_written)

    def _write_indexes(
        self, epoch: int, entries_of: EntriesOf, entries: int, on_written: Callable[[], None] | None
    ) -> bool:
        current = self._round

        def write(transaction: Transaction) -> bool:
            require_epoch(epoch, stored_number(transaction, EPOCH))
            stored = stored_indexes(transaction)
            if stored.dropped or current is None:
                return not drop_some(transaction, stored, entries).is_settled
            return not current.write(transaction, stored, entries_of).is_settled

        if current is not None:
            try:
                current.take(entries)
            except StorageError:
                self._forget_round()
                raise
        is_more = self._environment.update(write, on_written)
        if current is not None and current.written():
            self._forget_round()
        return is_more

    def _forget_round(self) -> None:
        """Have the entries that were collected and not written be collected again."""
        if self._round is not None:
            self._round.close()
            self._round = None

    def close(self) -> None:
        """See `ViewReader.close`."""
        super().close()
        self._forget_round()

    def declare_changes(self, *, wanted: bool) -> None:
        """See `LaneStore.declare_changes`."""

        def declare(transaction: Transaction) -> None:
            is_empty = stored_number(transaction, VIEW_COUNT) == 0
            scanned = stored_position(transaction).scanned
            declare_changes(_Records(transaction), scanned, wanted=wanted, is_empty=is_empty)

        with self._understood():
            with self._environment.read() as transaction:
                if change_index(_Records(transaction)).wanted == wanted:
                    return
            self._environment.update(declare)

    def build_changes(self, epoch: int, entries: int, on_written: Callable[[], None] | None = None) -> bool:
        """See `LaneStore.build_changes`."""

        def build(transaction: Transaction) -> bool:
            require_epoch(epoch, stored_number(transaction, EPOCH))
            return build_changes(_Records(transaction), stored_position(transaction).scanned, entries)

        with self._understood():
            with self._environment.read() as transaction:
                if change_index(_Records(transaction)).is_settled:
                    return False
            return self._environment.update(build, on_written)

    def delete_prefix(self, tenant_id: TenantId, view_type: ViewType) -> int:
        """See `LaneStore.delete_prefix`."""
        prefix = ViewKey.prefix(tenant_id, view_type)

        def delete(transaction: Transaction) -> int:
            gone = sum(entry_digest(key, view) for key, view in entries_below(transaction, prefix))
            count = delete_below(transaction, prefix)
            transaction.put(VIEW_COUNT, b"%d" % (stored_number(transaction, VIEW_COUNT) - count))
            transaction.put(DIGEST, str(stored_digest(transaction).plus(-gone)).encode())
            transaction.delete(CheckpointKey(tenant_id, view_type).encode())
            for index in stored_indexes(transaction).indexes:
                delete_below(transaction, index_prefix(index.number, tenant_id))
            forget_tenant(_Records(transaction), tenant_id)
            return count

        self._forget_round()
        with self._understood():
            return self._environment.update(delete)


class _Records:
    """Implements `changes.Records` on a write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.get: Callable[[bytes], bytes | None] = transaction.get
        self.put: Callable[[bytes, bytes], object] = transaction.put
        self.delete: Callable[[bytes], object] = transaction.delete

    def entries(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return entries_between(self._transaction, start, stop)

    def delete_below(self, prefix: bytes, most: int) -> int:
        return delete_below(self._transaction, prefix, most)


def _sorted_changes(changes: Mapping[bytes, bytes | None]) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """What is to be put, and what is to be deleted, each in key order."""
    keys = sorted(changes)
    put = [(key, value) for key in keys if (value := changes[key]) is not None]
    return put, [key for key in keys if changes[key] is None] if len(put) < len(keys) else []
