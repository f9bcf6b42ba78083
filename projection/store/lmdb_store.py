"""A lane's store in LMDB: one environment a lane, written by its owner, read by any process of the host."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from projection.errors import StorageError
from projection.model.checkpoint import Checkpoint
from projection.model.keys import VIEWS, CheckpointKey, ViewKey
from projection.model.parked import parked_digest
from projection.model.state_digest import StateDigest, entry_digest
from projection.store.changes import build_changes, change_index, declare_changes, forget_tenant, record_changes
from projection.store.format import Kind, check_stamp, stamp_or_check
from projection.store.index_building import build_some
from projection.store.indexes import index_prefix
from projection.store.lmdb_env import MAP_SIZE, MAX_MAP_SIZE, Environment
from projection.store.port import Audit, require_epoch
from projection.store.ranges import delete_below, entries_below, entries_between
from projection.store.records import (
    DIGEST,
    EPOCH,
    FOLD_IDENTITY,
    INDEXES,
    PARKED,
    POSITION,
    UNRECORDED,
    VIEW_COUNT,
    decode_parked,
    encode_parked,
    encode_suspension,
    encode_unrecorded,
    parked_key,
    parked_prefix,
    suspended_key,
    unreached_key,
)
from projection.store.snapshot import (
    LmdbSnapshot,
    stored_indexes,
    stored_position,
    stored_suspensions,
    stored_unrecorded,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.parked import ParkedEvent, Suspension, Unrecorded
    from projection.model.settings import Durability
    from projection.store.indexes import DeclaredIndex, StoredIndex, StoredIndexes
    from projection.store.lmdb_env import Transaction
    from projection.store.port import Commit, EntriesOf


class _LmdbLane:
    """What reader and owner share: reading. Safe to use from several threads."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def snapshot(self) -> LmdbSnapshot:
        """See `ViewReader.snapshot`."""
        return LmdbSnapshot(self._environment)

    def get_view(self, key: ViewKey) -> bytes | None:
        """See `ViewReader.get_view`."""
        return self.get(key.encode())

    def get(self, encoded: bytes) -> bytes | None:
        """See `ViewReader.get`."""
        return self._environment.get(encoded)

    def get_checkpoint(self, key: CheckpointKey) -> Checkpoint | None:
        """See `ViewReader.get_checkpoint`."""
        stored = self._environment.get(key.encode())
        with self._understood():
            return None if stored is None else Checkpoint.model_validate_json(stored)

    def position(self) -> LanePosition:
        """See `ViewReader.position`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_position(transaction)

    def scan(self, tenant_id: TenantId | None, view_type: ViewType) -> Iterator[tuple[ViewKey, bytes]]:
        """See `ViewReader.scan`. The picture is that of the first step; it is given back with the iterator."""
        prefix = VIEWS if tenant_id is None else ViewKey.prefix(tenant_id, view_type)
        with self._understood(), self._environment.read() as transaction:
            for encoded, view in entries_below(transaction, prefix):
                key = ViewKey.parse(encoded.decode())
                if key.view_type == view_type:
                    yield key, view

    def parked(self) -> Iterator[ParkedEvent]:
        """See `ViewReader.parked`. The picture is that of the first step; it is given back with the iterator."""
        with self._understood(), self._environment.read() as transaction:
            for _, stored in entries_below(transaction, PARKED):
                yield decode_parked(stored)

    def parked_for(self, tenant_id: TenantId, view_id: ViewId | None) -> Iterator[ParkedEvent]:
        """Those of `parked` that are parked for one view, or reached none, without a look at the others."""
        with self._understood(), self._environment.read() as transaction:
            for _, stored in entries_below(transaction, parked_prefix(tenant_id, view_id)):
                if (event := decode_parked(stored)).view_id == view_id:  # of a long id, keys hold the begin
                    yield event

    def suspensions(self) -> list[Suspension]:
        """See `ViewReader.suspensions`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_suspensions(transaction)

    def unrecorded(self) -> Unrecorded:
        """See `ViewReader.unrecorded`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_unrecorded(transaction)

    def count_views(self) -> int:
        """See `ViewReader.count_views`."""
        with self._understood(), self._environment.read() as transaction:
            return _stored_number(transaction, VIEW_COUNT)

    def digest(self) -> StateDigest:
        """See `ViewReader.digest`."""
        with self._understood(), self._environment.read() as transaction:
            return _stored_digest(transaction)

    def fold_identity(self) -> str:
        """See `ViewReader.fold_identity`."""
        with self._understood(), self._environment.read() as transaction:
            return _stored_identity(transaction)

    def audit(self) -> Audit:
        """See `ViewReader.audit`. Keeps the pages of that picture from being used again as long as it takes."""
        with self._understood(), self._environment.read() as transaction:
            views, of_views = _summed(transaction, VIEWS, entry_digest)
            parked, of_parked = _summed(transaction, PARKED, lambda _, stored: parked_digest(decode_parked(stored)))
            suspended = stored_suspensions(transaction)
            not_kept = sum(one.digest for one in suspended) + stored_unrecorded(transaction).digest
            return Audit(
                position=stored_position(transaction),
                fold_identity=_stored_identity(transaction),
                digest=_stored_digest(transaction),
                recomputed=StateDigest.EMPTY.plus(of_views + of_parked + not_kept),
                view_count=_stored_number(transaction, VIEW_COUNT),
                views=views,
                parked=parked,
                suspended=suspended,
            )

    def indexes_when(self, declared: Sequence[DeclaredIndex]) -> tuple[StoredIndex, ...]:
        """What `declare_indexes` would answer; nothing is written.

        Raises:
            StorageError: the store cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return _declared(transaction, declared).indexes

    def copy_to(self, path: Path) -> None:
        """Make a compacted copy of one consistent picture, in a new directory: complete and on the disk, or not there.

        Takes as long as the disk takes to write it; reading and writing go on meanwhile. Its owner has to claim it.

        Raises:
            StorageError: there is something at `path`, it cannot be written, or the store cannot be read.
        """
        self._environment.copy_to(path)

    def close(self) -> None:
        """See `ViewReader.close`. Waits for reads and writes of other threads; open scans raise at their next step."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:  # pydantic's and json's errors are ValueErrors
            raise unreadable(self._environment.path, error) from None


class LmdbViewReader(_LmdbLane):
    """Implements `ViewReader`, for any process but the writing one: LMDB opens an environment once in a process."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a lane's store for reading, while another process may be writing it.

        Raises:
            StorageDamagedError: the data file is not LMDB's, or damaged, or the power went before it was on the disk.
            StorageError: there is no store, it is of another format version, or it cannot be read.
        """
        environment = Environment.open_readonly(path)
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.LANE, path)
        return cls(environment)


class LmdbLaneStore(_LmdbLane):
    """Implements `LaneStore`. With durability `sync` every commit is on the disk when it returns."""

    @classmethod
    def open(
        cls,
        path: Path,
        fold_identity: str,
        *,
        earlier: Collection[str] = (),
        durability: Durability = "sync",
        map_size: int = MAP_SIZE,
        max_map_size: int = MAX_MAP_SIZE,
    ) -> Self:
        """Open a lane's store for writing; make it where there is none yet.

        Args:
            path: the lane's directory.
            fold_identity: what the views are folded by; only a commit changes that.
            earlier: identities that the store may have as well: of the same build, before its last decision.
            durability: what a commit outlives: loss of power (`sync`), or the end of this process (`process`).
            map_size: bytes that the data may grow to before the map has to be made larger.
            max_map_size: bytes that the map is never made larger than.

        Raises:
            StorageDamagedError: the data file is not LMDB's, or damaged.
            StorageError: the directory is no lane's store, of another format version or fold identity, or unusable.
        """

        def found(transaction: Transaction) -> None:
            if stamp_or_check(transaction, Kind.LANE, path):
                transaction.put(FOLD_IDENTITY, fold_identity.encode())
            elif (stored := _stored_identity(transaction)) not in (fold_identity, *earlier):
                raise StorageError(
                    f"{path} was folded by {stored}, not by {fold_identity}", hint="a changed program makes a new build"
                )

        environment = Environment.create_or_open(
            path, map_size=map_size, max_map_size=max_map_size, sync=durability == "sync"
        )
        with environment.closed_on_error():
            environment.update(found)
        return cls(environment)

    @property
    def discarded(self) -> bool:
        """Whether a store was here that a power loss may have damaged; it is gone, and this one began empty."""
        return self._environment.discarded

    @property
    def waits_for_disk(self) -> bool:
        """Whether a commit is on the disk when it returns."""
        return self._environment.waits_for_disk

    def claim(self) -> int:
        """See `LaneStore.claim`."""

        def raise_epoch(transaction: Transaction) -> int:
            epoch = _stored_number(transaction, EPOCH) + 1
            transaction.put(EPOCH, b"%d" % epoch)
            return epoch

        with self._understood():
            return self._environment.update(raise_epoch)

    def commit(self, commit: Commit, on_written: Callable[[], None] | None = None) -> None:
        """See `LaneStore.commit`. Frees, every ten seconds, the slots of readers that died."""
        # Sorted, each key is found near the one before it: 20,000 random puts cost half as much.
        written, deleted = _sorted_changes(commit.views)
        added, removed = _sorted_changes(commit.entries)

        def write(transaction: Transaction) -> None:
            with self._understood():
                epoch, count = _stored_number(transaction, EPOCH), _stored_number(transaction, VIEW_COUNT)
                position, digest = stored_position(transaction), _stored_digest(transaction)
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
            transaction.put(VIEW_COUNT, b"%d" % (count + views - entries))
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
            found = _declared(transaction, declared)
            transaction.put(INDEXES, found.encode())
            return found.indexes

        with self._understood():
            with self._environment.read() as transaction:
                if (stored := stored_indexes(transaction)) == _declared(transaction, declared):
                    return stored.indexes
            return self._environment.update(declare)

    def build_indexes(
        self, epoch: int, entries_of: EntriesOf, views: int, on_written: Callable[[], None] | None = None
    ) -> bool:
        """See `LaneStore.build_indexes`."""

        def build(transaction: Transaction) -> bool:
            require_epoch(epoch, _stored_number(transaction, EPOCH))
            return build_some(transaction, entries_of, views)

        with self._understood():
            with self._environment.read() as transaction:
                if stored_indexes(transaction).is_settled:
                    return False
            return self._environment.update(build, on_written)

    def declare_changes(self, *, wanted: bool) -> None:
        """See `LaneStore.declare_changes`."""

        def declare(transaction: Transaction) -> None:
            is_empty = _stored_number(transaction, VIEW_COUNT) == 0
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
            require_epoch(epoch, _stored_number(transaction, EPOCH))
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
            transaction.put(VIEW_COUNT, b"%d" % (_stored_number(transaction, VIEW_COUNT) - count))
            transaction.put(DIGEST, str(_stored_digest(transaction).plus(-gone)).encode())
            transaction.delete(CheckpointKey(tenant_id, view_type).encode())
            for index in stored_indexes(transaction).indexes:
                delete_below(transaction, index_prefix(index.number, tenant_id))
            forget_tenant(_Records(transaction), tenant_id)
            return count

        with self._understood():
            return self._environment.update(delete)


def _declared(transaction: Transaction, declared: Sequence[DeclaredIndex]) -> StoredIndexes:
    return stored_indexes(transaction).declare(declared, is_empty=_stored_number(transaction, VIEW_COUNT) == 0)


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


def _stored_digest(transaction: Transaction) -> StateDigest:
    stored = transaction.get(DIGEST)
    return StateDigest.EMPTY if stored is None else StateDigest.parse(stored.decode())


def _stored_identity(transaction: Transaction) -> str:
    return transaction.get(FOLD_IDENTITY, b"").decode()


def _stored_number(transaction: Transaction, key: bytes) -> int:
    return int(transaction.get(key, b"0"))


def _summed(transaction: Transaction, prefix: bytes, digest: Callable[[bytes, bytes], int]) -> tuple[int, int]:
    """Count the entries below a prefix, and add up their digests."""
    count = total = 0
    for key, value in entries_below(transaction, prefix):
        count += 1
        total += digest(key, value)
    return count, total
