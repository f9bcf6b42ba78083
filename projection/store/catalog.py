"""The catalogue of a data folder: which builds there are, which one serves each view type, and whose node it is."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from secrets import token_bytes, token_hex
from typing import TYPE_CHECKING, NamedTuple, Self

from projection.errors import ConfigurationError, StorageError
from projection.model.files import is_folder
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.store.audit import records, write_record
from projection.store.build import Build, Lineage
from projection.store.folder_lock import FolderLock, require_same_host
from projection.store.format import Kind, check_stamp, stamp_or_check
from projection.store.lmdb_env import Environment
from projection.store.migration import is_of_former_format, migrate
from projection.store.ranges import entries_below
from projection.store.restored import CATALOG as FOLDER
from projection.store.restored import require_restored
from projection.store.streamed_copy import StreamedCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from projection.store.audit import AuditRecord
    from projection.store.lmdb_env import Transaction

_MAP_SIZE = 1 << 30  # bytes: thousands of builds
_NODE_ID = re.compile(r"[A-Za-z0-9-]{1,63}")
_NODE_ID_KEY = b"node_id"
_BUILD = "build:{}:{:010d}"
_BUILDS = "build:{}:"
_ALL_BUILDS = "build:"
_CURSOR_KEY = b"cursor_key"
_FOLDER_ID = b"folder_id"
_LAST_NUMBER = "last_number:{}"  # outlives its build, so that no number is ever used again
_SERVING = "serving:"
_CANDIDATE = "candidate:"  # the build that is to replace the serving one
_PAUSED = "paused:"
_TASK = "task:"  # and a number, so that they are in their order


class _Catalogue:
    """What owner and reader share: reading."""

    def __init__(self, data: Path, environment: Environment) -> None:
        self.data = data
        self._environment = environment

    def view_types(self) -> list[ViewType]:
        """The view types that have a serving build, in order of their names.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            serving = _SERVING.encode()
            return [ViewType(key[len(serving) :].decode()) for key, _ in entries_below(transaction, serving)]

    def builds(self, view_type: ViewType) -> list[Build]:
        """All builds of a view type, the oldest first.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return list(self._below(transaction, _BUILDS.format(view_type)))

    def all_builds(self) -> list[Build]:
        """All builds of all view types, those of one the oldest first.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return list(self._below(transaction, _ALL_BUILDS))

    def serving(self, view_type: ViewType) -> Build | None:
        """The build that answers for a view type; None where the folder has none.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            pointer = transaction.get(_SERVING.encode() + view_type.encode())
            if pointer is None:
                return None
            return self._build(transaction, view_type, int(pointer))

    def serving_number(self, view_type: ViewType) -> int | None:
        """The number of the build that answers for a view type, which every query asks; None where there is none.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood():
            pointer = self._environment.get(_SERVING.encode() + view_type.encode())
            return None if pointer is None else int(pointer)

    def candidate(self, view_type: ViewType) -> Build | None:
        """The build that was begun to take the place of the one that answers; None where none was.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            pointer = transaction.get(_CANDIDATE.encode() + view_type.encode())
            return None if pointer is None else self._build(transaction, view_type, int(pointer))

    def paused(self) -> dict[ViewType, str]:
        """The view types that are paused, and why.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            prefix = _PAUSED.encode()
            return {
                ViewType(key[len(prefix) :].decode()): reason.decode()
                for key, reason in entries_below(transaction, prefix)
            }

    def audit(self) -> list[AuditRecord]:
        """What operators have done, the oldest first.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return list(records(transaction))

    def task_records(self) -> list[bytes]:
        """What is kept of long operations, as `put_task` got it.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return [stored for _, stored in entries_below(transaction, _TASK.encode())]

    def build(self, view_type: ViewType, number: int) -> Build:
        """A recorded build.

        Raises:
            StorageError: there is none of that number, or the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return self._build(transaction, view_type, number)

    @property
    def cursor_key(self) -> bytes:
        """32 random bytes of this data folder, which seal what clients bring back: cursors and the like.

        Raises:
            StorageError: the catalogue cannot be read, or was made by a version that had no queries.
        """
        if (key := self._environment.get(_CURSOR_KEY)) is None:
            raise StorageError(f"{self._environment.path} has no key for cursors", hint="start the node once")
        return key

    @property
    def folder_id(self) -> str:
        """What tells this data folder's backups from those of others; a folder that was restored keeps it.

        Raises:
            StorageError: the catalogue cannot be read, or was made by a version that had no backups.
        """
        if (stored := self._environment.get(_FOLDER_ID)) is None:
            raise StorageError(f"{self._environment.path} has no id for backups", hint="start the node once")
        return stored.decode()

    @contextmanager
    def streamed(self) -> Iterator[CatalogCopy]:
        """A snapshot to be copied piece by piece.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            answering = {
                (key[len(_SERVING) :].decode(), int(number))
                for key, number in entries_below(transaction, _SERVING.encode())
            }
            builds = {
                build: (build.view_type, build.number) in answering for build in self._below(transaction, _ALL_BUILDS)
            }
            yield CatalogCopy(builds, StreamedCopy(self._environment, transaction))

    def require(self, view_type: ViewType) -> Build:
        """The build that answers for a view type.

        Raises:
            ConfigurationError: the folder has no such view type.
            StorageError: the catalogue cannot be read.
        """
        if (build := self.serving(view_type)) is None:
            known = ", ".join(self.view_types()) or "none yet"
            raise ConfigurationError(f"{self.data} has no view type {str(view_type)!r}", hint=f"it has: {known}")
        return build

    def close(self) -> None:
        """Give back what the catalogue holds; idempotent."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _build(self, transaction: Transaction, view_type: ViewType, number: int) -> Build:
        stored = transaction.get(_BUILD.format(view_type, number).encode())
        if stored is None:
            raise ValueError(f"build {number} of {view_type} is missing")
        return _decoded(self.data, view_type, number, stored)

    def _below(self, transaction: Transaction, prefix: str) -> Iterator[Build]:
        for key, stored in entries_below(transaction, prefix.encode()):
            _, view_type, number = key.decode().split(":")
            yield _decoded(self.data, ViewType(view_type), int(number), stored)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{self._environment.path} holds a record that cannot be read: {error}") from None


class CatalogCopy(NamedTuple):
    """A snapshot of a catalogue that is being copied."""

    builds: dict[Build, bool]  # all, and whether each answers for its view type
    copy: StreamedCopy


class CatalogReader(_Catalogue):
    """The catalogue as another process of the host sees it, while the node may be running."""

    @classmethod
    def open(cls, data: Path) -> Self:
        """Open the catalogue of a data folder for reading.

        Raises:
            ConfigurationError: there is no data folder, or it cannot be read.
            StorageError: the catalogue is of another format version, or cannot be read; or a node of another container
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
        environment = Environment.open_readonly(path)
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.CATALOGUE, path)
        return cls(data, environment)

    @classmethod
    def open_still(cls, data: Path) -> Self:
        """Open the catalogue of a backup, to which nobody writes; nothing is written beside it.

        Raises:
            StorageError: there is none, or it cannot be read.
        """
        environment = Environment.open_still(data / FOLDER)
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.CATALOGUE, environment.path)
        return cls(data, environment)


class Catalog(_Catalogue):
    """The catalogue in the hands of the node, which has the data folder to itself until `close` or its end."""

    def __init__(self, data: Path, environment: Environment, lock: FolderLock, node_id: str) -> None:
        super().__init__(data, environment)
        self._lock = lock
        self._serving: dict[ViewType, int] = {}  # as they are stored: nobody else writes them
        self.node_id = node_id

    @classmethod
    def open(cls, data: Path, node_id: str | None = None) -> Self:
        """Take a data folder and open its catalogue; make both where there are none yet.

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
            environment = Environment.create_or_open(path, map_size=_MAP_SIZE)
            with environment.closed_on_error():
                if is_of_former_format(environment):
                    migrate(data, environment, _Catalogue(data, environment).all_builds(), _put)
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
            StorageError: the catalogue cannot be written.
        """

        def count(transaction: Transaction) -> int:
            last_number = _LAST_NUMBER.format(view_type).encode()
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
            StorageError: the catalogue cannot be written.
        """

        def write(transaction: Transaction) -> None:
            _put(transaction, build)
            if serves:
                _point(transaction, _SERVING, build)
                transaction.delete(_CANDIDATE.encode() + build.view_type.encode())  # it was to replace another one
            if is_candidate:
                _point(transaction, _CANDIDATE, build)
            if audit is not None:
                write_record(transaction, audit)

        self._change(write)

    def serve(self, build: Build) -> None:
        """Have a recorded build answer for its view type; the caller knows that it is level with the one before.

        Raises:
            StorageError: the catalogue cannot be written.
        """

        def write(transaction: Transaction) -> None:
            _point(transaction, _SERVING, build)
            _is_no_candidate(transaction, build)

        self._change(write)

    def forget(self, build: Build, audit: AuditRecord) -> None:
        """Forget a build that does not serve; its number is not used again.

        Raises:
            StorageError: the catalogue cannot be written.
        """

        def write(transaction: Transaction) -> None:
            transaction.delete(_BUILD.format(build.view_type, build.number).encode())
            _is_no_candidate(transaction, build)
            write_record(transaction, audit)

        self._change(write)

    def put_task(self, task_id: str, record: bytes, most: int) -> None:
        """Keep the record of a long operation in place of its former one; of more than `most`, the first written go.

        Raises:
            StorageError: the catalogue cannot be written.
        """

        def write(transaction: Transaction) -> None:
            known = {key.rpartition(b":")[2]: key for key, _ in entries_below(transaction, _TASK.encode())}
            last = max((int(key.split(b":")[1]) for key in known.values()), default=0)
            key = known.pop(task_id.encode(), None) or f"{_TASK}{last + 1:012d}:{task_id}".encode()
            transaction.put(key, record)
            for old in sorted(known.values())[: max(0, len(known) + 1 - most)]:
                transaction.delete(old)

        self._change(write)

    def note(self, audit: AuditRecord) -> None:
        """Record what an operator does where nothing else in the catalogue changes by it.

        Raises:
            StorageError: the catalogue cannot be written.
        """
        self._change(lambda transaction: write_record(transaction, audit))

    def pause(self, view_type: ViewType, audit: AuditRecord) -> None:
        """Note that nothing is folded for a view type until it is resumed.

        Raises:
            StorageError: the catalogue cannot be written.
        """

        def write(transaction: Transaction) -> None:
            transaction.put(_PAUSED.encode() + view_type.encode(), audit.author.reason.encode())
            write_record(transaction, audit)

        self._change(write)

    def resume(self, view_type: ViewType, audit: AuditRecord) -> None:
        """Note that a view type is folded again.

        Raises:
            StorageError: the catalogue cannot be written.
        """

        def write(transaction: Transaction) -> None:
            transaction.delete(_PAUSED.encode() + view_type.encode())
            write_record(transaction, audit)

        self._change(write)

    def _change(self, write: Callable[[Transaction], object]) -> None:
        try:
            self._environment.update(write)
        finally:  # a disk that refuses may have kept it all the same
            self._serving.clear()

    def close(self) -> None:
        """Give the data folder back; idempotent."""
        super().close()
        self._lock.close()


def _take(transaction: Transaction, path: Path, node_id: str | None) -> str:
    stamp_or_check(transaction, Kind.CATALOGUE, path)
    named = node_id or transaction.get(_NODE_ID_KEY, b"").decode() or f"node-{token_hex(4)}"
    transaction.put(_NODE_ID_KEY, named.encode())
    if transaction.get(_CURSOR_KEY) is None:
        transaction.put(_CURSOR_KEY, token_bytes(32))
    if transaction.get(_FOLDER_ID) is None:
        transaction.put(_FOLDER_ID, token_hex(8).encode())
    return named


def renew(data: Path, audit: AuditRecord) -> None:
    """Make a restored catalogue independent of the one that it is a copy of.

    It gets another node id, so that both nodes may run. Cursors and ids of changes that the other one has given out
    mean nothing here: it may have gone on since.

    Args:
        data: the folder; nobody else has it.
        audit: of the restore.

    Raises:
        StorageError: it cannot be written.
    """

    def write(transaction: Transaction) -> None:
        transaction.delete(_NODE_ID_KEY)
        transaction.delete(_CURSOR_KEY)
        _take(transaction, data / FOLDER, None)
        write_record(transaction, audit)

    environment = Environment.create_or_open(data / FOLDER, map_size=_MAP_SIZE)
    try:
        environment.update(write)
    finally:
        environment.close()


def _put(transaction: Transaction, build: Build) -> None:
    transaction.put(_BUILD.format(build.view_type, build.number).encode(), _encoded(build))


def _point(transaction: Transaction, kind: str, build: Build) -> None:
    transaction.put(kind.encode() + build.view_type.encode(), b"%d" % build.number)


def _is_no_candidate(transaction: Transaction, build: Build) -> None:
    key = _CANDIDATE.encode() + build.view_type.encode()
    if transaction.get(key) == b"%d" % build.number:
        transaction.delete(key)


def _encoded(build: Build) -> bytes:
    fields = ("base_identity", "recipe", "drops", "lineage")
    return json.dumps({name: getattr(build, name) for name in fields}, ensure_ascii=False).encode()


def _decoded(data: Path, view_type: ViewType, number: int, stored: bytes) -> Build:
    fields = json.loads(stored)
    return Build(
        data,
        view_type,
        number,
        fields["base_identity"],
        fields["recipe"],
        tuple(
            Drop(sequence, TenantId(tenant_id), None if view_id is None else ViewId(view_id))
            for sequence, tenant_id, view_id in fields["drops"]
        ),
        None if fields["lineage"] is None else Lineage(*fields["lineage"]),
    )
