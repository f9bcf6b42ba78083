"""A read transaction as a context manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.store.lmdb_errors import LMDB_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import lmdb

    from projection.errors import StorageError

    Transaction = lmdb.Transaction[bytes]


class Reading:
    """Every query has one, and a generator would take three times as long."""

    __slots__ = ("_begin", "_entry", "_leave", "_refused", "_transaction")

    def __init__(
        self,
        begin: Callable[..., tuple[int, Transaction]],
        leave: Callable[[int], None],
        refused: Callable[[Exception], StorageError],
    ) -> None:
        self._begin = begin
        self._leave = leave
        self._refused = refused

    def __enter__(self) -> Transaction:
        try:
            self._entry, self._transaction = self._begin(write=False)
        except LMDB_ERRORS as error:
            raise self._refused(error) from None
        return self._transaction

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            self._transaction.abort()
        except LMDB_ERRORS as failure:
            error = error or failure
        finally:
            self._leave(self._entry)
        if isinstance(error, LMDB_ERRORS):
            raise self._refused(error) from None
