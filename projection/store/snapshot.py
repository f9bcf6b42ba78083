"""One consistent picture of a lane's store in LMDB: what a query reads from."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Self

from projection.errors import StorageDamagedError
from projection.model.checkpoint import LanePosition
from projection.model.parked import Disposition
from projection.model.state_digest import StateDigest
from projection.store.indexes import StoredIndexes
from projection.store.ranges import entries_below, entries_between, keys_between
from projection.store.records import (
    DIGEST,
    FOLD_IDENTITY,
    INDEXES,
    POSITION,
    SUSPENDED,
    UNRECORDED,
    VIEW_COUNT,
    decode_parked,
    decode_suspension,
    decode_unrecorded,
    parked_prefix,
    suspended_key,
    suspended_prefix,
    tenant_prefix,
    unreached_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from projection.model.ids import TenantId, ViewId
    from projection.model.parked import Suspension, Unrecorded
    from projection.store.indexes import DeclaredIndex, StoredIndex
    from projection.store.lmdb_env import Environment, Transaction


class LmdbSnapshot:
    """Implements `Snapshot` on a read transaction, which it holds as long as it is entered."""

    __slots__ = ("_path", "_reading", "_transaction", "get")

    def __init__(self, environment: Environment) -> None:
        self._reading = environment.read()
        self._path = environment.path

    def __enter__(self) -> Self:
        self._transaction = self._reading.__enter__()
        self.get: Callable[[bytes], bytes | None] = self._transaction.get
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reading.__exit__(kind, error, traceback)

    @property
    def position(self) -> LanePosition:
        """See `Snapshot.position`."""
        try:
            return stored_position(self._transaction)
        except ValueError as error:
            raise unreadable(self._path, error) from None

    @property
    def digest(self) -> StateDigest:
        """The state digest that the last commit left."""
        try:
            return stored_digest(self._transaction)
        except ValueError as error:
            raise unreadable(self._path, error) from None

    @property
    def view_count(self) -> int:
        """How many views there are."""
        try:
            return stored_number(self._transaction, VIEW_COUNT)
        except ValueError as error:
            raise unreadable(self._path, error) from None

    @property
    def indexes(self) -> tuple[StoredIndex, ...]:
        """See `Snapshot.indexes`."""
        try:
            return stored_indexes(self._transaction).indexes
        except ValueError as error:
            raise unreadable(self._path, error) from None

    def entries(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot.entries`."""
        return entries_between(self._transaction, start, stop, reverse=reverse)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """See `Snapshot.keys`."""
        return keys_between(self._transaction, start, stop, reverse=reverse)

    def has_degraded(self, tenant_id: TenantId) -> bool:
        """See `Snapshot.has_degraded`. Says so too where events were only skipped."""
        prefixes = tenant_prefix(tenant_id), suspended_prefix(tenant_id)
        return any(any(entries_below(self._transaction, prefix)) for prefix in prefixes)

    def is_degraded(self, tenant_id: TenantId, view_id: ViewId) -> bool:
        """See `Snapshot.is_degraded`."""
        if any(self._transaction.get(suspended_key(tenant_id, one)) is not None for one in (None, view_id)):
            return True
        prefix, cursor = parked_prefix(tenant_id, view_id), self._transaction.cursor()
        if not cursor.set_range(prefix) or not cursor.key().startswith(prefix):  # as nearly always
            return False
        try:
            found = entries_below(self._transaction, prefix)
            return any(decode_parked(stored).disposition is Disposition.PARKED for _, stored in found)
        except ValueError as error:
            raise unreadable(self._path, error) from None

    def is_incomplete(self, tenant_id: TenantId) -> bool:
        """See `Snapshot.is_incomplete`."""
        return self.unreached(tenant_id) > 0 or self._transaction.get(suspended_key(tenant_id, None)) is not None

    def unreached(self, tenant_id: TenantId) -> int:
        """How many parked events of a tenant have reached no view, by what the store says."""
        return int(self._transaction.get(unreached_key(tenant_id), b"0"))


def unreadable(path: Path, error: ValueError) -> StorageDamagedError:
    """What is said of a store that holds what this package never wrote."""
    return StorageDamagedError(
        f"the store at {path} holds a record that cannot be read: {error}",
        hint="move it away; the views are then rebuilt",
    )


def stored_position(transaction: Transaction) -> LanePosition:
    """How far the lane has come, as the transaction sees it.

    Raises:
        ValueError: the record cannot be read.
    """
    stored = transaction.get(POSITION)
    return LanePosition() if stored is None else _decoded_position(stored)


def stored_indexes(transaction: Transaction) -> StoredIndexes:
    """The indexes that the store keeps, as the transaction sees them.

    Raises:
        ValueError: the record cannot be read.
    """
    stored = transaction.get(INDEXES)
    return StoredIndexes.EMPTY if stored is None else _decoded_indexes(stored)


def stored_suspensions(transaction: Transaction) -> list[Suspension]:
    """The views and tenants for which nothing is folded any more, as the transaction sees them.

    Raises:
        ValueError: a record cannot be read.
    """
    return [decode_suspension(stored) for _, stored in entries_below(transaction, SUSPENDED)]


def stored_unrecorded(transaction: Transaction) -> Unrecorded:
    """The skipped events that are not kept, as the transaction sees them.

    Raises:
        ValueError: the record cannot be read.
    """
    return decode_unrecorded(transaction.get(UNRECORDED))


# A query asks for both, and between two commits they are the same: decoding costs more than the rest of a point read.
_decoded_position = lru_cache(maxsize=256)(LanePosition.model_validate_json)
_decoded_indexes = lru_cache(maxsize=256)(StoredIndexes.decode)


def used_bytes(transaction: Transaction) -> int:
    """What the pages are that a store's state is on, in bytes."""
    stat = transaction.stat()
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * int(stat["psize"])


def stored_digest(transaction: Transaction) -> StateDigest:
    """The digest that the last commit left."""
    stored = transaction.get(DIGEST)
    return StateDigest.EMPTY if stored is None else StateDigest.parse(stored.decode())


def stored_identity(transaction: Transaction) -> str:
    """The fold identity; empty where nothing was folded."""
    return transaction.get(FOLD_IDENTITY, b"").decode()


def stored_number(transaction: Transaction, key: bytes) -> int:
    """A number under a key; 0 where there is none."""
    return int(transaction.get(key, b"0"))


def declared_indexes(transaction: Transaction, declared: Sequence[DeclaredIndex]) -> StoredIndexes:
    """The stored indexes once these are declared."""
    return stored_indexes(transaction).declare(declared, is_empty=stored_number(transaction, VIEW_COUNT) == 0)
