"""Reading the catalog of a data folder: builds, which of them answers, and what operators have done."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from projection.errors import ConfigurationError, StorageError
from projection.model.ids import ViewType
from projection.model.promotion import HeldBuild
from projection.store.audit import records
from projection.store.catalog_records import (
    AGE,
    ALL_BUILDS,
    BUILD,
    BUILDS,
    CANDIDATE,
    CURSOR_KEY,
    DEPLOYED,
    FOLDER_ID,
    FOLLOWER,
    HELD,
    PAUSED,
    SERVING,
    TASK,
    decoded_build,
)
from projection.store.ranges import entries_below
from projection.store.streamed_copy import StreamedCopy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.store.audit import AuditRecord
    from projection.store.build import Build
    from projection.store.lmdb_env import Environment, Transaction


class CatalogCopy(NamedTuple):
    """A snapshot of a catalog that is being copied."""

    builds: dict[Build, bool]  # all, and whether each answers for its view type
    copy: StreamedCopy


class CatalogReading:
    """What the catalog's owner and its readers share."""

    def __init__(self, data: Path, environment: Environment) -> None:
        self.data = data
        self._environment = environment

    def view_types(self) -> list[ViewType]:
        """The view types that have a serving build, in order of their names.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            serving = SERVING.encode()
            return [ViewType(key[len(serving) :].decode()) for key, _ in entries_below(transaction, serving)]

    def builds(self, view_type: ViewType) -> list[Build]:
        """All builds of a view type, the oldest first.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return list(self._below(transaction, BUILDS.format(view_type)))

    def all_builds(self) -> list[Build]:
        """All builds of all view types, those of one the oldest first.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return list(self._below(transaction, ALL_BUILDS))

    def serving(self, view_type: ViewType) -> Build | None:
        """The build that answers for a view type; None where the folder has none.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            pointer = transaction.get(SERVING.encode() + view_type.encode())
            if pointer is None:
                return None
            return self._build(transaction, view_type, int(pointer))

    def serving_number(self, view_type: ViewType) -> int | None:
        """The number of the build that answers for a view type, which every query asks; None where there is none.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood():
            pointer = self._environment.get(SERVING.encode() + view_type.encode())
            return None if pointer is None else int(pointer)

    def candidate(self, view_type: ViewType) -> Build | None:
        """The build that was begun to take the place of the one that answers; None where none was.

        Raises:
            StorageError: the catalog cannot be read.
        """
        return self._pointed(CANDIDATE, view_type)

    def follower(self, view_type: ViewType) -> Build | None:
        """The build that answered before, or that was rolled back, and is folded on; None where none is.

        Raises:
            StorageError: the catalog cannot be read.
        """
        return self._pointed(FOLLOWER, view_type)

    def _pointed(self, kind: str, view_type: ViewType) -> Build | None:
        with self._understood(), self._environment.read() as transaction:
            pointer = transaction.get(kind.encode() + view_type.encode())
            return None if pointer is None else self._build(transaction, view_type, int(pointer))

    def held(self, view_type: ViewType) -> HeldBuild | None:
        """The build that has caught up and may not answer yet, as its node noted it last; None where none is.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood():
            stored = self._environment.get(HELD.encode() + view_type.encode())
            return None if stored is None else HeldBuild(*json.loads(stored))

    def age_s(self, build: Build) -> float:
        """For how many seconds of a node's running a build has been what it is: one that follows, or a former one.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood():
            return float(self._environment.get(AGE.format(build.view_type, build.number).encode()) or 0.0)

    def paused(self) -> dict[ViewType, str]:
        """The view types that are paused, and why.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            prefix = PAUSED.encode()
            return {
                ViewType(key[len(prefix) :].decode()): reason.decode()
                for key, reason in entries_below(transaction, prefix)
            }

    def deployed(self) -> list[ViewType]:
        """The view types of the manifest that was deployed last, in order of their names; all where nobody noted it.

        Raises:
            StorageError: the catalog cannot be read.
        """
        known = self.view_types()
        with self._understood():
            noted = self._environment.get(DEPLOYED)
            names = None if noted is None else set(json.loads(noted))
        return [one for one in known if names is None or one in names]

    def audit(self) -> list[AuditRecord]:
        """What operators have done, the oldest first.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return list(records(transaction))

    def task_records(self) -> list[bytes]:
        """What is kept of long operations, as `put_task` got it.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return [stored for _, stored in entries_below(transaction, TASK.encode())]

    def build(self, view_type: ViewType, number: int) -> Build:
        """A recorded build.

        Raises:
            StorageError: there is none of that number, or the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return self._build(transaction, view_type, number)

    @property
    def cursor_key(self) -> bytes:
        """32 random bytes of this data folder, which seal what clients bring back: cursors and the like.

        Raises:
            StorageError: the catalog cannot be read, or was made by a version that had no queries.
        """
        if (key := self._environment.get(CURSOR_KEY)) is None:
            raise StorageError(f"{self._environment.path} has no key for cursors", hint="start the node once")
        return key

    @property
    def folder_id(self) -> str:
        """What tells this data folder's backups from those of others; a folder that was restored keeps it.

        Raises:
            StorageError: the catalog cannot be read, or was made by a version that had no backups.
        """
        if (stored := self._environment.get(FOLDER_ID)) is None:
            raise StorageError(f"{self._environment.path} has no id for backups", hint="start the node once")
        return stored.decode()

    @contextmanager
    def streamed(self) -> Iterator[CatalogCopy]:
        """A snapshot to be copied piece by piece.

        Raises:
            StorageError: the catalog cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            answering = {
                (key[len(SERVING) :].decode(), int(number))
                for key, number in entries_below(transaction, SERVING.encode())
            }
            builds = {
                build: (build.view_type, build.number) in answering for build in self._below(transaction, ALL_BUILDS)
            }
            yield CatalogCopy(builds, StreamedCopy(self._environment, transaction))

    def require(self, view_type: ViewType) -> Build:
        """The build that answers for a view type.

        Raises:
            ConfigurationError: the folder has no such view type.
            StorageError: the catalog cannot be read.
        """
        if (build := self.serving(view_type)) is None:
            known = ", ".join(self.view_types()) or "none yet"
            raise ConfigurationError(f"{self.data} has no view type {str(view_type)!r}", hint=f"it has: {known}")
        return build

    def close(self) -> None:
        """Give back what the catalog holds; idempotent."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _build(self, transaction: Transaction, view_type: ViewType, number: int) -> Build:
        stored = transaction.get(BUILD.format(view_type, number).encode())
        if stored is None:
            raise ValueError(f"build {number} of {view_type} is missing")
        return decoded_build(self.data, view_type, number, stored)

    def _below(self, transaction: Transaction, prefix: str) -> Iterator[Build]:
        for key, stored in entries_below(transaction, prefix.encode()):
            _, view_type, number = key.decode().split(":")
            yield decoded_build(self.data, ViewType(view_type), int(number), stored)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{self._environment.path} holds a record that cannot be read: {error}") from None
