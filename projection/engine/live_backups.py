"""The backups of a node that runs: one at a time, when an operator says so or a day has gone by."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import structlog

from projection.engine.backup import begun_at, outside
from projection.engine.backup_place import Place
from projection.engine.fault_log import log_fault
from projection.engine.side_process import done_beside
from projection.engine.side_work import BackupWork, VerifyWork
from projection.engine.tasks import TaskCanceledError
from projection.errors import ConfigurationError, ProjectionError, StorageError
from projection.store.audit import AuditRecord

if TYPE_CHECKING:
    from projection.engine.node import Node
    from projection.engine.orders import BackupOrder, VerifyOrder
    from projection.engine.outcomes import BackupCame, VerifyCame
    from projection.engine.tasks import Task
    from projection.model.settings import BackupSettings
    from projection.store.audit import Author, Door
    from projection.store.catalog import Catalog
    from projection.stream.address import NatsConnection

log = structlog.get_logger(component="backup")

_HOUR_S = 3600.0
_AGAIN_S = 600.0  # behind a scheduled backup that failed, at most


class LiveBackups:
    """Makes backups of the data folder of a node, by a process that only reads; nothing in the node waits for it."""

    def __init__(self, node: Node, catalog: Catalog, settings: BackupSettings, connection: NatsConnection) -> None:
        """The backups of a node.

        Args:
            node: whose folder it is; a backup that is under way when it stops is given up.
            catalog: of the folder.
            settings: where backups are, how often they are made, and how many are kept.
            connection: to the server that has the buckets.
        """
        self.last_good: float | None = None  # Unix time: when the newest backup was begun that is known of
        self.failures = 0
        self._node = node
        self._catalog = catalog
        self._settings = settings
        self._connection = connection
        self._is_under_way = False

    def target(self, order: BackupOrder, door: Door) -> tuple[Place, int | None]:
        """Where a backup that an operator wants is written to, and how many are to be kept there.

        Raises:
            ConfigurationError: nobody says where, the place is not for this node, or this door names no places.
        """
        if order.directory is None and order.object_store is None:
            return self._of_settings(), order.keep or self._settings.keep
        if door == "http":
            raise ConfigurationError(
                "a request over the network cannot name a place: it could write anywhere on the node's machine",
                hint="leave it out: the backup is written to the setting `backup.directory` or `backup.object_store`",
            )
        return Place.of(_absolute(order.directory), order.object_store, self._connection), order.keep

    def _of_settings(self) -> Place:
        directory = self._settings.directory
        directory = None if directory is None else directory.absolute()
        return Place.of(directory, self._settings.object_store, self._connection)

    async def ordered(self, place: Place, keep: int | None, author: Author, task: Task) -> BackupCame:
        """Make a backup that an operator wants, and note it in the audit; to cancel the task ends it.

        Raises:
            ConfigurationError: the place is not for this node.
            StorageError: another one is under way, a store cannot be read, or it cannot be written. Earlier backups are
                as they were.
            TaskCanceledError: the task was canceled, likewise.
        """
        came = await self.make(place, keep, task)
        details = {"backup": came.at, "bytes": came.bytes, "copied": came.copied}
        record = AuditRecord("backup", "", author, details)
        await self._node.workshop.alone(lambda: self._catalog.note(record))
        return came

    async def make(self, place: Place, keep: int | None, task: Task | None = None) -> BackupCame:
        """Make a backup.

        Raises:
            ConfigurationError, StorageError, TaskCanceledError: as in `ordered`.
        """
        if self._is_under_way:
            raise StorageError("a backup is under way", hint="wait until it is done")
        self._is_under_way = True
        try:
            if place.directory is not None:
                outside(self._catalog.data, Path(place.directory))
            work = BackupWork(str(self._catalog.data), place, keep)
            began = time()
            made = (await done_beside(work, self._node.stopping, task)).made
            assert made is not None  # noqa: S101 - what was asked for
        except TaskCanceledError:
            raise
        except ProjectionError as error:
            self._failed(place, error)
            raise
        finally:
            self._is_under_way = False
        self.last_good = began
        log.info("backed up", backup=made.at, bytes=made.bytes, copied=made.copied, seconds=made.seconds)
        for name in made.damaged:
            log.error("a backup is damaged", at=str(place), backup=name)
        return made

    def _failed(self, place: Place, error: ProjectionError) -> None:
        self.failures += 1
        log.error("a backup failed", to=str(place), reason=error.message, hint=error.hint)

    async def verify(self, order: VerifyOrder, task: Task) -> VerifyCame:
        """Verify the builds that answer; to cancel the task ends it.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalog cannot be read.
            TaskCanceledError: the task was canceled.
        """
        found = (await done_beside(VerifyWork(str(self._catalog.data), order.of()), self._node.stopping, task)).verified
        assert found is not None  # noqa: S101 - what was asked for
        return found

    # by the clock

    async def follow_schedule(self) -> None:
        """Make the backups that are due by the settings, until canceled. It is asked of the directory when that is.

        One that fails is tried again, after ten minutes at most.
        """
        every_h = self._settings.every_h
        if self._settings.directory is None and self._settings.object_store is None:
            return
        place = self._of_settings()
        self.last_good = await asyncio.to_thread(newest, place)
        if every_h is None:
            return
        while True:
            await asyncio.sleep(self._left_s(every_h * _HOUR_S))
            try:
                await self.make(place, self._settings.keep)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one is tried
                log_fault(error, "making a backup")
                await asyncio.sleep(min(_AGAIN_S, every_h * _HOUR_S))

    def _left_s(self, every_s: float) -> float:
        """Seconds until the next one is due; a clock that was set back makes it no later than it would be."""
        if self.last_good is None:
            return 0.0
        return min(max(self.last_good + every_s - time(), 0.0), every_s)


def newest(place: Place) -> float | None:
    """When the newest backup was begun, Unix time; None where there is none, or that cannot be told."""
    try:
        with place.opened() as backups:
            names = backups.names()
    except ProjectionError:
        return None
    return begun_at(names[-1]).timestamp() if names else None


def _absolute(directory: str | None) -> Path | None:
    """The directory of an order.

    Raises:
        ConfigurationError: nobody knows from where on it counts.
    """
    if directory is not None and not Path(directory).is_absolute():
        raise ConfigurationError(f"{directory} is no absolute path", hint="the node may have another current folder")
    return None if directory is None else Path(directory)
