"""The one door to LMDB: an open environment, its transactions, the size of its map and the slots of dead readers."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from errno import EROFS
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import lmdb

from projection.errors import StorageDamagedError, StorageError
from projection.store.disk import disk_error, reserve, storage_full, whole_folder
from projection.store.gate import Gate, OccupiedError, ShutError
from projection.store.lmdb_errors import LMDB_ERRORS, storage_error
from projection.store.lmdb_folder import DATA, LOCK
from projection.store.lmdb_reading import Reading
from projection.store.pages import require_sound, require_sound_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from projection.store.lmdb_syncing import Syncing

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Cursor: TypeAlias = "lmdb.Cursor[bytes]"
_Result = TypeVar("_Result")

MAX_READERS = 1024
_LOCK_BYTES = MAX_READERS * 64 + 128  # of the file that all processes map to write themselves into
PATIENCE = 10.0  # seconds that growing, mending and closing wait for this process's open transactions
_PATIENCE_WHEN_LOADED = 0.1  # seconds; tried again soon, and those who want to read wait meanwhile
READER_CHECK_INTERVAL = 10.0  # seconds; a reader that was killed pins the pages it saw until its slot is freed
_HEADS = 2  # pages that say where everything else is
_ATTEMPTS = 3  # to begin a transaction, with a mending between two


class EnvironmentFigures(NamedTuple):
    """How large an environment is."""

    size: int  # bytes of the data file that were written at some time
    used: int  # bytes of the pages that the last commit's state is on
    map_size: int  # bytes
    free_pages: int  # that a later commit can use again, or that list those
    readers: int  # transactions that read now, of all processes
    oldest_reader: int  # commits since the oldest of these began


class Environment:
    """One LMDB environment of one database, safe to use from several threads.

    py-lmdb crashes when a map is resized under an open transaction, so each transaction passes a gate, and resizing
    waits until nobody is behind it.
    """

    def __init__(
        self,
        path: Path,
        syncing: Syncing,
        *,
        map_size: int = 0,
        max_map_size: int = 0,
        readonly: bool = False,
        is_sound: bool = False,
        is_still: bool = False,
    ) -> None:
        """What `lmdb_opening` calls. Where not every commit is to wait for the disk, it has set the dirty mark.

        A store that is not known to be sound is looked at before anything of it is followed.
        """
        self.path = path
        self.syncing = syncing
        self._map_size = map_size
        self._max_map_size = max_map_size
        self._readonly = readonly
        self._is_still = is_still
        self._gate = Gate()
        self._next_reader_check = 0.0
        self._connected = False
        self._closed = False
        if not is_sound:
            require_sound_head(path / DATA)
        self._lmdb = self._connect()
        with self.closed_on_error():
            if not is_sound:
                with self.read() as transaction:
                    require_sound(path / DATA, transaction.id())
            self.free_dead_readers()

    def _connect(self) -> lmdb.Environment:
        try:
            if not self._is_still:
                reserve(self.path / LOCK, _LOCK_BYTES)
        except OSError as error:
            if error.errno != EROFS or not self._readonly:  # there LMDB does without: nobody can be writing
                raise disk_error(f"{self.path}/lock.mdb cannot be written: {error.strerror}", error.errno) from None
        try:
            connected = lmdb.open(
                str(self.path),
                map_size=self._map_size,
                readonly=self._readonly,
                lock=not self._is_still,
                create=False,
                sync=self.syncing.every_commit,
                max_readers=MAX_READERS,
                max_spare_txns=1,  # keeps one reader slot for the many short reads of the writing process
                mode=0o600,
            )
        except lmdb.Error as error:
            raise self._refused(error) from None
        self._connected = True
        return connected

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one consistent picture.

        Raises:
            StorageError: the environment cannot be read, or was closed meanwhile.
        """
        return Reading(self._begin, self._gate.leave, self._refused)

    def get(self, key: bytes) -> bytes | None:
        """The value of one key, or None where there is none.

        Raises:
            StorageError: the environment cannot be read.
        """
        try:  # what `read` does, without a context manager
            entry, transaction = self._begin(write=False)
            try:
                return transaction.get(key)
            finally:
                transaction.abort()
                self._gate.leave(entry)
        except LMDB_ERRORS as error:
            raise self._refused(error) from None

    def update(self, work: Callable[[Transaction], _Result], on_written: Callable[[], None] | None = None) -> _Result:
        """Run `work` in a write transaction and commit it; whatever `work` raises undoes it whole.

        `work` runs again from the start when the map had to grow, so it must have no other effect. `on_written` is
        called once, in this thread, between the first time that `work` is through and the transaction's commit, which
        waits for the disk without holding the interpreter.

        Raises:
            StorageError: the environment cannot be written; nothing changed.
        """
        told = False
        try:
            while True:
                try:
                    with self._transaction(write=True) as transaction:
                        result = work(transaction)
                        if on_written is not None and not told:
                            told = True
                            on_written()
                        transaction.commit()
                        return result
                except lmdb.MapFullError:
                    self._grow()
        except LMDB_ERRORS as error:
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
        entry = self._enter()
        try:
            return entry, self._lmdb.begin(write=write)
        except BaseException:
            self._gate.leave(entry)
            raise

    def _enter(self) -> int:
        if not self._connected:
            self._alone(self._reconnect, "open it anew after a failed write")
        return self._gate.enter()

    def _reconnect(self) -> None:
        self._connected = False  # until it succeeds: the disk may refuse that as well
        self._lmdb.close()
        self._lmdb = self._connect()

    def _grow(self) -> None:
        with self._inside():
            size = self._lmdb.info()["map_size"]
        larger = min(2 * size, self._max_map_size)
        if larger <= size:
            raise storage_full(
                f"the store at {self.path} is full: it has reached its limit of {size} bytes",
                "give it a higher limit, or store less",
            )
        self._alone(lambda: self._lmdb.set_mapsize(larger), f"grow to {larger} bytes")

    def _alone(self, action: Callable[[], None], purpose: str, patience: float = PATIENCE) -> None:
        try:
            with self._gate.alone(patience):
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
        except LMDB_ERRORS as error:
            raise self._refused(error) from None

    @contextmanager
    def unwritten(self) -> Iterator[tuple[int, int]]:
        """Have nobody commit, in any process, until the end of the block; reading goes on.

        Gives the last transaction that was committed, and the oldest whose state anybody may still be reading.

        Raises:
            StorageError: the environment cannot be used.
        """
        try:
            self.free_dead_readers()
            with self._transaction(write=True) as transaction:
                last = transaction.id() - 1
                # Who begins to read from here on reads the last one. A line has process, thread and transaction.
                read = [line.split()[-1] for line in self._lmdb.readers().splitlines()]
                yield last, min([last, *(int(one) for one in read if one.isdecimal())])
        except LMDB_ERRORS as error:
            raise self._refused(error) from None

    def figures(self) -> EnvironmentFigures:
        """Say how large everything is, by what LMDB keeps count of: nothing is gone through.

        Raises:
            StorageError: the environment cannot be read.
        """
        try:
            with self._transaction(write=False) as transaction:
                stat, info = transaction.stat(), self._lmdb.info()
                read = [line.split()[-1] for line in self._lmdb.readers().splitlines()]
        except LMDB_ERRORS as error:
            raise self._refused(error) from None
        last = int(info["last_txnid"])
        pages = int(info["last_pgno"]) + 1
        used = int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
        held = [int(one) for one in read if one.isdecimal()]  # our own is the last, or a later one
        return EnvironmentFigures(
            size=pages * int(stat["psize"]),
            used=used * int(stat["psize"]),
            map_size=int(info["map_size"]),
            free_pages=max(0, pages - used - _HEADS),
            readers=max(0, len(held) - 1),
            oldest_reader=max(0, last - min(held, default=last)),
        )

    def copy_to(self, path: Path) -> None:
        """Make a compacted copy of one consistent picture: a new directory, complete and on the disk, or not there.

        Takes as long as the disk takes to write it; reading and writing go on, growing does not.

        Raises:
            StorageError: there is something at `path`, or it cannot be written, or the environment cannot be read.
        """
        try:
            with whole_folder(path) as folder, self._inside():
                self._lmdb.copy(str(folder), compact=True)
        except lmdb.Error as error:
            raise disk_error(f"{path} cannot be written: {error}", error.code) from None
        except ShutError as error:
            raise self._refused(error) from None

    def copy_into(self, file: int, transaction: Transaction) -> None:
        """Write a compacted copy of what a read transaction sees to a file or a pipe, and return when all is written.

        Raises:
            StorageError: it cannot be written, or the environment cannot be read.
        """
        try:
            self._lmdb.copyfd(file, compact=True, txn=transaction)
        except lmdb.Error as error:
            raise self._refused(error) from None

    @contextmanager
    def _inside(self) -> Iterator[None]:
        entry = self._enter()
        try:
            yield
        finally:
            self._gate.leave(entry)

    def end_loading(self) -> None:
        """Have what was loaded on the disk, and every commit from here on if the store is to wait for it; idempotent.

        Nobody may write meanwhile. Reading goes on, but for the moment in which LMDB is told.

        Raises:
            StorageDamagedError: the disk refused what memory has; the store is discarded when it is opened next.
            StorageError: this process reads here for too long, or the mark cannot be removed; try again.
        """
        if not self.syncing.is_loading:
            return
        try:
            if self.syncing.begins_when_loaded:
                with self._inside():
                    self.syncing.bring_to_disk(self._sync)
                self._alone(self._wait_from_here_on, "begin to wait for the disk", _PATIENCE_WHEN_LOADED)
            self.syncing.end_loading()
        except OSError as error:
            raise disk_error(f"{self.path} cannot be written: {error.strerror}", error.errno) from None
        except LMDB_ERRORS as error:
            if not self.syncing.is_condemned:
                raise self._refused(error) from None
            raise StorageDamagedError(
                f"the disk refused what was written to {self.path} without waiting for it: {error}",
                hint="once the disk works again, restart the node: it discards the store and rebuilds the views",
            ) from None

    def _wait_from_here_on(self) -> None:
        self.syncing.begin(self._sync)
        self._reconnect()

    def _sync(self) -> None:
        self._lmdb.sync(force=True)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close when what is done first with an open environment fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wait for the transactions of other threads, then close; idempotent. Open scans raise at their next step.

        What was written without waiting for the disk is brought there. Where another thread's transaction does not end,
        on a disk that hangs, the environment stays open until the process ends: closing it would crash that thread.
        """
        if not self._gate.shut(PATIENCE) or self._closed:
            return
        self._closed = True
        if self.syncing.lacks_the_disk and self._connected:
            with suppress(StorageError):  # the mark tells whoever opens it next
                self.settle()
        self._lmdb.close()

    def settle(self) -> None:
        """Bring to the disk what was written without waiting for it, then take the mark away.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            self.syncing.settle(self._sync)
        except lmdb.Error as error:
            raise self._refused(error) from None
        except OSError as error:
            raise disk_error(f"{self.path} cannot be written: {error.strerror}", error.errno) from None

    def _refused(self, error: Exception) -> StorageError:
        return storage_error(self.path, error)
