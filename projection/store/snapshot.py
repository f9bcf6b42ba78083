"""One consistent picture of a lane's store in LMDB: what a query reads from."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from projection.model.checkpoint import LanePosition
from projection.model.parked import Disposition
from projection.store.indexes import StoredIndexes
from projection.store.ranges import entries_below, entries_between
from projection.store.records import INDEXES, POSITION, decode_parked, parked_prefix, tenant_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.model.ids import TenantId, ViewId
    from projection.store.indexes import StoredIndex
    from projection.store.lmdb_env import Transaction


class LmdbSnapshot:
    """Implements `Snapshot` on a read transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.get: Callable[[bytes], bytes | None] = transaction.get

    @property
    def position(self) -> LanePosition:
        """See `Snapshot.position`."""
        return stored_position(self._transaction)

    @property
    def indexes(self) -> tuple[StoredIndex, ...]:
        """See `Snapshot.indexes`."""
        return stored_indexes(self._transaction).indexes

    def entries(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot.entries`."""
        return entries_between(self._transaction, start, stop, reverse=reverse)

    def has_parked(self, tenant_id: TenantId) -> bool:
        """See `Snapshot.has_parked`. Says so too where events were only skipped."""
        return any(entries_below(self._transaction, tenant_prefix(tenant_id)))

    def is_parked(self, tenant_id: TenantId, view_id: ViewId) -> bool:
        """See `Snapshot.is_parked`."""
        found = entries_below(self._transaction, parked_prefix(tenant_id, view_id))
        return any(decode_parked(stored).disposition is Disposition.PARKED for _, stored in found)


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


# A query asks for both, and between two commits they are the same: decoding costs more than the rest of a point read.
_decoded_position = lru_cache(maxsize=256)(LanePosition.model_validate_json)
_decoded_indexes = lru_cache(maxsize=256)(StoredIndexes.decode)
