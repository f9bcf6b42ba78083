"""The catalog of a data folder: which builds there are, which one serves each view type, and whose node it is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from secrets import token_bytes, token_hex
from typing import TYPE_CHECKING, Self, TypeVar

from projection.errors import ConfigurationError, StorageError
from projection.model.files import is_folder
from projection.store.audit import write_record
from projection.store.catalog_reading import CatalogReading
from projection.store.catalog_records import (
    AGE,
    BUILD,
    CANDIDATE,
    CURSOR_KEY,
    DEPLOYED,
    FOLDER_ID,
    FOLLOWER,
    HELD,
    LAST_NUMBER,
    NODE_ID_KEY,
    PAUSED,
    SERVING,
    TASK,
    clear_pointers,
    point_to,
    put_build,
)
from projection.store.folder_lock import FolderLock, require_same_host
from projection.store.format import Kind, check_stamp, stamp_or_check
from projection.store.lmdb_opening import open_still, open_to_read, open_to_write
from projection.store.migration import is_of_former_format, migrate
from projection.store.ranges import entries_below
from projection.store.restored import CATALOG as FOLDER
from projection.store.restored import require_restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.model.promotion import HeldBuild
    from projection.store.audit import AuditRecord
    from projection.store.build import Build
    from projection.store.lmdb_env import Environment, Transaction

_Result = TypeVar("_Result")

_MAP_SIZE = 1 << 30  # bytes: thousands of builds
_NODE_ID = re.compile(r"[A-Za-z0-9-]{1,63}")


class CatalogReader(CatalogReading):
    """The catalog as another process of the host sees it, while the node may be running."""

    @classmethod
    def open(cls, data: Path) -> Self:
        """Open the catalog of a data folder for reading.

        Raises:
            ConfigurationError: there is no data folder, or it cannot be read.
            StorageError: the catalog is of another format version, or cannot be read; or a node of another container
                has the folder.
        """
        path = data / FOLDER
        try:
            found = is_folder(path)
        except OSError as error:
            raise ConfigurationError(f"the data folder {data} cannot be read: {error.strerror}") from None
        if not found:
            require_restored(data)
            raise ConfigurationError(
                f"there is no data folder of a node at {data}", hint="name the folder that `projection run` writes to"
            )
        require_same_host(data)
        environment = open_to_read(path)
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.CATALOGUE, path)
        return cls(data, environment)

    @classmethod
    def open_still(cls, data: Path) -> Self:
        """Open the catalog of a backup, to which nobody writes; nothing is written beside it.

        Raises:
            StorageError: there is none, or it cannot be read.
        """
        environment = open_still(data / FOLDER)
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.CATALOGUE, environment.path)
        return cls(data, environment)


class Catalog(CatalogReading):
    """The catalog of a node, which owns the data folder until `close` or its end."""

    def __init__(self, data: Path, environment: Environment, lock: FolderLock, node_id: str) -> None:
        super().__init__(data, environment)
        self._lock = lock
        self._serving: dict[ViewType, int] = {}  # as they are stored: nobody else writes them
        self.node_id = node_id

    @classmethod
    def open(cls, data: Path, node_id: str | None = None) -> Self:
        """Lock a data folder and open its catalog; create both if they do not exist.

        A folder of the former store format is migrated first.

        Args:
            data: the data folder.
            node_id: the node's name from here on; without one the folder's own is kept, or a new one made.

        Raises:
            ConfigurationError: the node id is not made of ASCII letters, digits, `_` and `-`.
            StorageError: another process has the folder, it is of another format version, or it cannot be used.
        """
        if node_id is not None and not _NODE_ID.fullmatch(node_id):
            raise ConfigurationError(f"node id {node_id!r} is not 1 to 64 ASCII letters, digits, `_` and `-`")
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the data folder {data} cannot be made: {error.strerror}") from None
        lock = FolderLock(data)
        try:
            require_restored(data)
            path = data / FOLDER
            environment = open_to_write(path, map_size=_MAP_SIZE)
            with environment.closed_on_error():
                if is_of_former_format(environment):
                    migrate(data, environment, CatalogReading(data, environment).all_builds(), put_build)
                named = environment.update(lambda transaction: _take(transaction, path, node_id))
        except BaseException:
            lock.close()
            raise
        return cls(data, environment, lock, named)

    def serving_number(self, view_type: ViewType) -> int | None:
        """See `CatalogReader.serving_number`; from memory, where it was asked before."""
        if (number := self._serving.get(view_type)) is None and (number := super().serving_number(view_type)):
            self._serving[view_type] = number
        return number

    def reserve(self, view_type: ViewType) -> int:
        """The number of the next build; nobody gets it again, whether a build comes of it or not.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def count(transaction: Transaction) -> int:
            last_number = LAST_NUMBER.format(view_type).encode()
            number = int(transaction.get(last_number, b"0")) + 1
            transaction.put(last_number, b"%d" % number)
            return number

        with self._understood():
            return self._environment.update(count)

    def record(
        self, build: Build, *, serves: bool = False, is_candidate: bool = False, audit: AuditRecord | None = None
    ) -> None:
        """Record a build as it is now.

        Args:
            build: which.
            serves: whether it serves its view type from here on.
            is_candidate: whether it is to replace the serving build once it has caught up.
            audit: what this is the effect of.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            put_build(transaction, build)
            if serves:
                point_to(transaction, SERVING, build)
                for kind in (CANDIDATE, FOLLOWER, HELD):  # it was to replace another one, or has followed that
                    transaction.delete(kind.encode() + build.view_type.encode())
            if is_candidate:
                clear_pointers(transaction, build)  # it may have followed
                point_to(transaction, CANDIDATE, build)
            if audit is not None:
                write_record(transaction, audit)

        self._change(write)

    def serve(
        self,
        build: Build,
        former: Build | None = None,
        *,
        follows: bool = False,
        rolled_back: bool = False,
        audit: AuditRecord | None = None,
    ) -> None:
        """Have a recorded build answer for its view type; the caller knows that it has caught up with the one before.

        Args:
            build: which.
            former: the one before, if there is one.
            follows: whether the one before is to be folded on.
            rolled_back: whether that one answers again only when it is promoted by hand.
            audit: what this is the effect of.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            self._mark(transaction, build, rolled_back=False)
            point_to(transaction, SERVING, build)
            clear_pointers(transaction, build)
            transaction.delete(FOLLOWER.encode() + build.view_type.encode())
            if former is not None:
                self._mark(transaction, former, rolled_back=rolled_back)
                clear_pointers(transaction, former)
                if follows:
                    point_to(transaction, FOLLOWER, former)
            if audit is not None:
                write_record(transaction, audit)

        with self._understood():
            self._change(write)

    def _mark(self, transaction: Transaction, build: Build, *, rolled_back: bool) -> None:
        stored = self._build(transaction, build.view_type, build.number)
        if stored.gate.rolled_back != rolled_back:
            put_build(transaction, replace(stored, gate=stored.gate._replace(rolled_back=rolled_back)))

    def hold(self, view_type: ViewType, held: HeldBuild | None) -> None:
        """Note why a build that has caught up may not answer yet, or that there is none such any more.

        Raises:
            StorageError: the catalog cannot be written.
        """
        key = HELD.encode() + view_type.encode()

        def write(transaction: Transaction) -> None:
            if held is None:
                transaction.delete(key)
            else:
                transaction.put(key, json.dumps(held, ensure_ascii=False).encode())

        self._change(write)

    def retire(self, build: Build, audit: AuditRecord) -> None:
        """Note that a build which follows is no longer folded.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            clear_pointers(transaction, build)
            write_record(transaction, audit)

        self._change(write)

    def grow_older(self, seconds: float, builds: Iterable[Build]) -> None:
        """Note that a node has run for some seconds more, for builds that follow and for former ones.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            for build in builds:
                key = AGE.format(build.view_type, build.number).encode()
                transaction.put(key, b"%.0f" % (float(transaction.get(key, b"0")) + seconds))

        self._change(write)

    def forget(self, build: Build, audit: AuditRecord) -> None:
        """Forget a build that does not serve; its number is not used again.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            transaction.delete(BUILD.format(build.view_type, build.number).encode())
            clear_pointers(transaction, build)
            write_record(transaction, audit)

        self._change(write)

    def put_task(self, task_id: str, record: bytes, most: int) -> None:
        """Keep the record of a long operation in place of its former one; of more than `most`, the first written go.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            known = {key.rpartition(b":")[2]: key for key, _ in entries_below(transaction, TASK.encode())}
            last = max((int(key.split(b":")[1]) for key in known.values()), default=0)
            key = known.pop(task_id.encode(), None) or f"{TASK}{last + 1:012d}:{task_id}".encode()
            transaction.put(key, record)
            for old in sorted(known.values())[: max(0, len(known) + 1 - most)]:
                transaction.delete(old)

        self._change(write)

    def note(self, audit: AuditRecord) -> None:
        """Record what an operator does where nothing else in the catalog changes by it.

        Raises:
            StorageError: the catalog cannot be written.
        """
        self._change(lambda transaction: write_record(transaction, audit))

    def note_deployed(self, view_types: Iterable[ViewType]) -> None:
        """Note which view types the manifest names that is deployed from here on.

        Raises:
            StorageError: the catalog cannot be written.
        """
        names = json.dumps(sorted(view_types)).encode()
        if self._environment.get(DEPLOYED) != names:
            self._change(lambda transaction: transaction.put(DEPLOYED, names))

    def pause(self, view_type: ViewType, audit: AuditRecord) -> str:
        """Note that nothing is folded for a view type until it is resumed, and return why.

        Where it is paused already, and no reason is given now, the former one still holds.

        Raises:
            StorageError: the catalog cannot be written.
        """
        key = PAUSED.encode() + view_type.encode()

        def write(transaction: Transaction) -> str:
            reason = audit.author.reason.encode() or transaction.get(key, b"")
            transaction.put(key, reason)
            write_record(transaction, audit)
            return reason.decode()

        return self._change(write)

    def resume(self, view_type: ViewType, audit: AuditRecord) -> None:
        """Note that a view type is folded again.

        Raises:
            StorageError: the catalog cannot be written.
        """

        def write(transaction: Transaction) -> None:
            transaction.delete(PAUSED.encode() + view_type.encode())
            write_record(transaction, audit)

        self._change(write)

    def _change(self, write: Callable[[Transaction], _Result]) -> _Result:
        try:
            return self._environment.update(write)
        finally:  # a disk that refuses may have kept it all the same
            self._serving.clear()

    def close(self) -> None:
        """Release the data folder; idempotent."""
        super().close()
        self._lock.close()


def _take(transaction: Transaction, path: Path, node_id: str | None) -> str:
    stamp_or_check(transaction, Kind.CATALOGUE, path)
    named = node_id or transaction.get(NODE_ID_KEY, b"").decode() or f"node-{token_hex(4)}"
    transaction.put(NODE_ID_KEY, named.encode())
    if transaction.get(CURSOR_KEY) is None:
        transaction.put(CURSOR_KEY, token_bytes(32))
    if transaction.get(FOLDER_ID) is None:
        transaction.put(FOLDER_ID, token_hex(8).encode())
    return named


def renew(data: Path, audit: AuditRecord) -> None:
    """Make a restored catalog independent of the one that it is a copy of.

    It gets another node id, so that both nodes may run. Cursors and ids of changes that the other one has given out
    mean nothing here: it may have gone on since.

    Args:
        data: the folder; nobody else has it.
        audit: of the restore.

    Raises:
        StorageError: it cannot be written.
    """

    def write(transaction: Transaction) -> None:
        transaction.delete(NODE_ID_KEY)
        transaction.delete(CURSOR_KEY)
        _take(transaction, data / FOLDER, None)
        write_record(transaction, audit)

    environment = open_to_write(data / FOLDER, map_size=_MAP_SIZE)
    try:
        environment.update(write)
    finally:
        environment.close()
