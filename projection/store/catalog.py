"""The catalogue of a data folder: which builds there are, which one serves each view type, and whose node it is."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Self

from projection.errors import ConfigurationError, StorageError
from projection.model.ids import ViewType
from projection.store.folder_lock import FolderLock
from projection.store.format import Kind, check_stamp, stamp_or_check
from projection.store.lmdb_env import Environment, entries_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.store.lmdb_env import Transaction

_FOLDER = "catalog"
_MAP_SIZE = 1 << 30  # bytes: thousands of builds
_NODE_ID = re.compile(r"[A-Za-z0-9-]{1,63}")
_NODE_ID_KEY = b"node_id"
_BUILD = "build:{}:{:010d}"
_BUILDS = "build:{}:"
_LAST_NUMBER = "last_number:{}"  # outlives its build, so that no number is ever used again
_SERVING = "serving:"


@dataclass(frozen=True, slots=True)
class Build:
    """One folding of a view type with one fold identity."""

    data: Path
    view_type: ViewType
    number: int  # from 1 on, never reused
    fold_identity: str

    def lane_path(self, partition: int = 0) -> Path:
        """Where one partition of the build has its store."""
        return self.data / self.view_type / str(self.number) / str(partition)


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
            return list(self._builds(transaction, view_type))

    def serving(self, view_type: ViewType) -> Build | None:
        """The build that answers for a view type; None where the folder has none.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            pointer = transaction.get(_SERVING.encode() + view_type.encode())
            if pointer is None:
                return None
            number = int(pointer)
            stored = transaction.get(_BUILD.format(view_type, number).encode())
            if stored is None:
                raise ValueError(f"the serving build {number} of {view_type} is missing")
            return Build(self.data, view_type, number, json.loads(stored)["fold_identity"])

    def close(self) -> None:
        """Give back what the catalogue holds; idempotent."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _builds(self, transaction: Transaction, view_type: ViewType) -> Iterator[Build]:
        for key, stored in entries_below(transaction, _BUILDS.format(view_type).encode()):
            yield Build(self.data, view_type, int(key.rsplit(b":", 1)[1]), json.loads(stored)["fold_identity"])

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{self._environment.path} holds a record that cannot be read: {error}") from None


class CatalogReader(_Catalogue):
    """The catalogue as another process of the host sees it, while the node may be running."""

    @classmethod
    def open(cls, data: Path) -> Self:
        """Open the catalogue of a data folder for reading.

        Raises:
            ConfigurationError: there is no data folder, or it cannot be read.
            StorageError: the catalogue is of another format version, or cannot be read.
        """
        path = data / _FOLDER
        try:
            found = path.is_dir()
        except OSError as error:
            raise ConfigurationError(f"the data folder {data} cannot be read: {error.strerror}") from None
        if not found:
            raise ConfigurationError(
                f"there is no data folder of a node at {data}", hint="name the folder that `projection run` writes to"
            )
        environment = Environment.open_readonly(path)
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.CATALOGUE, path)
        return cls(data, environment)

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


class Catalog(_Catalogue):
    """The catalogue in the hands of the node, which has the data folder to itself until `close` or its end."""

    def __init__(self, data: Path, environment: Environment, lock: FolderLock, node_id: str) -> None:
        super().__init__(data, environment)
        self._lock = lock
        self.node_id = node_id

    @classmethod
    def open(cls, data: Path, node_id: str | None = None) -> Self:
        """Take a data folder and open its catalogue; make both where there are none yet.

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
            path = data / _FOLDER
            environment = Environment.create_or_open(path, map_size=_MAP_SIZE)
            with environment.closed_on_error():
                named = environment.update(lambda transaction: _take(transaction, path, node_id))
        except BaseException:
            lock.close()
            raise
        return cls(data, environment, lock, named)

    def build_for(self, view_type: ViewType, fold_identity: str) -> Build:
        """The build with this fold identity, made if there is none; it serves from here on.

        Raises:
            StorageError: the catalogue cannot be written.
        """

        def find_or_make(transaction: Transaction) -> Build:
            for build in self._builds(transaction, view_type):
                if build.fold_identity == fold_identity:
                    break
            else:
                last_number = _LAST_NUMBER.format(view_type).encode()
                build = Build(self.data, view_type, int(transaction.get(last_number, b"0")) + 1, fold_identity)
                transaction.put(last_number, b"%d" % build.number)
                record = json.dumps({"fold_identity": fold_identity}).encode()
                transaction.put(_BUILD.format(view_type, build.number).encode(), record)
            transaction.put(_SERVING.encode() + view_type.encode(), b"%d" % build.number)
            return build

        with self._understood():
            return self._environment.update(find_or_make)

    def close(self) -> None:
        """Give the data folder back; idempotent."""
        super().close()
        self._lock.close()


def _take(transaction: Transaction, path: Path, node_id: str | None) -> str:
    stamp_or_check(transaction, Kind.CATALOGUE, path)
    named = node_id or transaction.get(_NODE_ID_KEY, b"").decode() or f"node-{token_hex(4)}"
    transaction.put(_NODE_ID_KEY, named.encode())
    return named
