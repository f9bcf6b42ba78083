"""The one door to LMDB: opens environments, translates errors, grows maps and frees the slots of dead readers."""

from __future__ import annotations

import time
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import lmdb

from projection.errors import StorageError
from projection.store.gate import Gate, OccupiedError, ShutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
_Result = TypeVar("_Result")

MAP_SIZE = 64 << 30  # bytes of address space, not of disk: the file grows as it is written
MAX_MAP_SIZE = 1 << 40  # a process has 2**47 bytes of addresses, and one environment a lane
MAX_READERS = 1024
PATIENCE = 10.0  # seconds that growing, mending and closing wait for this process's open transactions
READER_CHECK_INTERVAL = 10.0  # seconds; a reader that was killed pins the pages it saw until its slot is freed
_ERRORS = (lmdb.Error, ShutError)  # what a transaction may raise, and no caller ever sees
_ATTEMPTS = 3  # to begin a transaction, with a mending between two


class Environment:
    """One LMDB environment of one database, safe to use from several threads.

    py-lmdb crashes when a map is resized under an open transaction, so each transaction passes a gate, and resizing
    waits until nobody is behind it.
    """

    def __init__(self, path: Path, *, map_size: int, max_map_size: int, readonly: bool) -> None:
        self.path = path
        self._map_size = map_size
        self._max_map_size = max_map_size
        self._readonly = readonly
        self._gate = Gate()
        self._next_reader_check = 0.0
        self._lmdb = self._connect()
        with self.closed_on_error():
            self.free_dead_readers()

    @classmethod
    def create_or_open(cls, path: Path, *, map_size: int = MAP_SIZE, max_map_size: int = MAX_MAP_SIZE) -> Self:
        """Open for writing; make the directory where there is none yet.

        Args:
            path: the environment's directory.
            map_size: bytes that the data may grow to before the map has to be made larger.
            max_map_size: bytes that the map is never made larger than.

        Raises:
            StorageError: the directory holds something else, or cannot be used.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A process killed while LMDB made the environment leaves its lock file alone.
            if not _has_data(path) and {entry.name for entry in path.iterdir()} - {"lock.mdb"}:
                raise StorageError(f"{path} is not a store: it holds other files", hint="name an empty directory")
        except OSError as error:
            raise StorageError(f"{path} cannot be made a store: {error.strerror}") from None
        return cls(path, map_size=map_size, max_map_size=max_map_size, readonly=False)

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """Open for reading, while another process may be writing.

        Raises:
            StorageError: there is no store, or it cannot be used.
        """
        try:
            if not _has_data(path):
                raise StorageError(f"there is no store at {path}")
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from None
        return cls(path, map_size=0, max_map_size=0, readonly=True)  # 0: as large as the writer has made it

    def _connect(self) -> lmdb.Environment:
        try:
            return lmdb.open(
                str(self.path),
                map_size=self._map_size,
                readonly=self._readonly,
                create=False,
                max_readers=MAX_READERS,
                max_spare_txns=1,  # keeps one reader slot for the many short reads of the writing process
                mode=0o600,
            )
        except lmdb.Error as error:
            raise self._refused(error) from None

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one consistent picture.

        Raises:
            StorageError: the environment cannot be read, or was closed meanwhile.
        """
        try:
            with self._transaction(write=False) as transaction:
                yield transaction
        except _ERRORS as error:
            raise self._refused(error) from None

    def get(self, key: bytes) -> bytes | None:
        """The value of one key, or None where there is none.

        Raises:
            StorageError: the environment cannot be read.
        """
        try:  # what `read` does, without its two context managers: 3 µs instead of 6
            entry, transaction = self._begin(write=False)
            try:
                return transaction.get(key)
            finally:
                transaction.abort()
                self._gate.leave(entry)
        except _ERRORS as error:
            raise self._refused(error) from None

    def update(self, work: Callable[[Transaction], _Result], on_written: Callable[[], None] | None = None) -> _Result:
        """Run `work` in a write transaction and commit it; whatever `work` raises undoes it whole.

        `work` runs again from the start when the map had to grow, so it must have no other effect. `on_written` is
        called once, in this thread, between the first time that `work` is through and the transaction's commit, which
        waits for the disk without holding the interpreter.

        Raises:
            StorageError: the environment cannot be written; nothing changed.
        """
        try:
            while True:
                try:
                    with self._transaction(write=True) as transaction:
                        result = work(transaction)
                        if on_written is not None:
                            on_written, tell = None, on_written
                            tell()
                        transaction.commit()
                        return result
                except lmdb.MapFullError:
                    self._grow()
        except _ERRORS as error:
            raise self._refused(error) from None

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Transaction]:
        entry, transaction = self._begin(write=write)
        try:
            yield transaction
        finally:
            transaction.abort()  # of one that is committed: does nothing
            self._gate.leave(entry)

    def _begin(self, *, write: bool) -> tuple[int, Transaction]:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._try_begin(write=write)
            except lmdb.MapResizedError:  # another process has grown the map
                self._alone(lambda: self._lmdb.set_mapsize(0), "take on the size that another process gave it")
            except lmdb.PanicError:  # a commit could not write its meta page; LMDB wants to be opened anew
                self._alone(self._reconnect, "open it anew after a failed write")
        return self._try_begin(write=write)

    def _try_begin(self, *, write: bool) -> tuple[int, Transaction]:
        entry = self._gate.enter()
        try:
            return entry, self._lmdb.begin(write=write)
        except BaseException:
            self._gate.leave(entry)
            raise

    def _reconnect(self) -> None:
        self._lmdb.close()
        self._lmdb = self._connect()

    def _grow(self) -> None:
        with self._inside():
            size = self._lmdb.info()["map_size"]
        larger = min(2 * size, self._max_map_size)
        if larger <= size:
            raise StorageError(
                f"the store at {self.path} is full: it has reached its limit of {size} bytes",
                hint="give it a higher limit, or have it hold less",
            )
        self._alone(lambda: self._lmdb.set_mapsize(larger), f"grow to {larger} bytes")

    def _alone(self, action: Callable[[], None], purpose: str) -> None:
        try:
            with self._gate.alone(PATIENCE):
                action()
        except OccupiedError:
            raise StorageError(
                f"the store at {self.path} cannot {purpose} while this process reads from it",
                hint="end the open scan and try again",
            ) from None

    def free_dead_readers(self) -> None:
        """Free the slots of readers that died; does nothing within ten seconds of the last time.

        Raises:
            StorageError: the environment is closed, or its lock file cannot be used.
        """
        if (now := time.monotonic()) < self._next_reader_check:
            return
        self._next_reader_check = now + READER_CHECK_INTERVAL
        try:
            with self._inside():
                self._lmdb.reader_check()
        except _ERRORS as error:
            raise self._refused(error) from None

    @contextmanager
    def _inside(self) -> Iterator[None]:
        entry = self._gate.enter()
        try:
            yield
        finally:
            self._gate.leave(entry)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close when what is done first with an open environment fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wait for the transactions of other threads, then close; idempotent. Open scans raise at their next step."""
        self._gate.shut(PATIENCE)
        self._lmdb.close()

    def _refused(self, error: Exception) -> StorageError:
        match error:
            case ShutError():
                return StorageError(f"the store at {self.path} is closed")
            case lmdb.InvalidError():
                return StorageError(f"{self.path} is not a store, or it is damaged: its data file is not LMDB's")
            case lmdb.BadValsizeError():
                return StorageError(f"the store at {self.path} cannot take a key or a value of that size")
            case _:
                full = isinstance(error, lmdb.Error) and error.code in (ENOSPC, EDQUOT)
                return StorageError(
                    f"the store at {self.path} cannot be used: {error}",
                    hint="make room on that disk; the next write tries again" if full else None,
                )


def _has_data(path: Path) -> bool:
    return (path / "data.mdb").is_file()


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
