"""The backups of a node that runs: one at a time, when an operator says so or a day has gone by."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import structlog

from projection.engine.backup import no_directory, outside
from projection.engine.fault_log import log_fault
from projection.engine.orders import BackupState
from projection.engine.side_process import done_beside
from projection.engine.side_work import BackupWork, VerifyWork
from projection.errors import ConfigurationError, ProjectionError, StorageError
from projection.store.audit import AuditRecord
from projection.store.backup_directory import BackupDirectory

if TYPE_CHECKING:
    from projection.engine.node import Node
    from projection.engine.orders import BackupCame, BackupOrder, BackupProgress, VerifyCame, VerifyOrder
    from projection.model.settings import BackupSettings
    from projection.store.audit import Author, Door
    from projection.store.catalog import Catalog

log = structlog.get_logger()

_HOUR_S = 3600.0
_AGAIN_S = 600.0  # behind a scheduled backup that failed, at most
_NAME = "%Y%m%dT%H%M%S.%fZ"


class LiveBackups:
    """Makes backups of the data folder of a node, by a process that only reads; nothing in the node waits for it."""

    def __init__(self, node: Node, catalog: Catalog, settings: BackupSettings) -> None:
        """The backups of a node.

        Args:
            node: whose folder it is; a backup that is under way when it stops is given up.
            catalog: of the folder.
            settings: where backups are, how often they are made, and how many are kept.
        """
        self.last_good: float | None = None  # Unix time: when the newest backup was begun that is known of
        self.failures = 0
        self._node = node
        self._catalog = catalog
        self._settings = settings
        self._is_under_way = False
        self._progress: BackupProgress | None = None
        self._last: BackupCame | None = None
        self._failure: str | None = None

    @property
    def state(self) -> BackupState:
        """How far the one that is under way is, and what came of the last."""
        return BackupState(self._progress, self._last, self._failure)

    async def order(self, order: BackupOrder, door: Door) -> BackupCame:
        """Make a backup that an operator wants, and note it in the audit; it is made even where nobody waits for it.

        Raises:
            ConfigurationError: nobody says where, the place is not for this node, or this door names no places.
            StorageError: another one is under way, a store cannot be read, or it cannot be written. Earlier backups are
                as they were.
        """
        if order.directory is not None and door == "http":
            raise ConfigurationError(
                "over the network no directory is named: who may ask the node may not write anywhere on its machine",
                hint="leave it out: the backup is written to the setting `backup.directory`",
            )
        directory, keep = self._settings.directory, order.keep or self._settings.keep
        if order.directory is not None:
            directory, keep = Path(order.directory), order.keep
            if not directory.is_absolute():
                raise ConfigurationError(
                    f"{directory} is no absolute path", hint="the node may have another current folder"
                )
        if directory is None:
            raise no_directory()
        task = asyncio.create_task(self._ordered(directory.absolute(), keep, order.author(door)))
        self._node.wait_for(task)
        return await asyncio.shield(task)

    async def _ordered(self, directory: Path, keep: int | None, author: Author) -> BackupCame:
        came = await self.make(directory, keep)
        details = {"backup": came.at, "bytes": came.bytes, "copied": came.copied}
        record = AuditRecord("backup", "", author, details)
        await self._node.workshop.alone(lambda: self._catalog.note(record))
        return came

    async def make(self, directory: Path, keep: int | None) -> BackupCame:
        """Make a backup.

        Raises:
            ConfigurationError, StorageError: as in `order`.
        """
        if self._is_under_way:
            raise StorageError("a backup is under way", hint="wait until it is done")
        self._is_under_way = True
        try:
            work = BackupWork(str(self._catalog.data), str(outside(self._catalog.data, directory)), keep)
            began = time()
            made = (await done_beside(work, self._node.stopping, self._advance)).made
            assert made is not None  # noqa: S101 - what was asked for
        except ProjectionError as error:
            self._failed(directory, error)
            raise
        finally:
            self._is_under_way, self._progress = False, None
        self._last, self._failure, self.last_good = made, None, began
        log.info("backed up", backup=made.at, bytes=made.bytes, copied=made.copied, seconds=made.seconds)
        for name in made.damaged:
            log.error("a backup is damaged", directory=str(directory), backup=name)
        return made

    def _failed(self, directory: Path, error: ProjectionError) -> None:
        self.failures += 1
        self._failure = error.message
        log.error("a backup failed", directory=str(directory), reason=error.message, hint=error.hint)

    def _advance(self, progress: BackupProgress) -> None:
        self._progress = progress

    async def verify(self, order: VerifyOrder) -> VerifyCame:
        """Go through everything that the builds that answer hold.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalogue cannot be read.
        """
        work = VerifyWork(str(self._catalog.data), order.of())
        task = asyncio.create_task(done_beside(work, self._node.stopping))
        self._node.wait_for(task)
        found = (await asyncio.shield(task)).verified
        assert found is not None  # noqa: S101 - what was asked for
        return found

    # by the clock

    async def follow_schedule(self) -> None:
        """Make the backups that are due by the settings, until canceled. It is asked of the directory when that is.

        One that fails is tried again, after ten minutes at most.
        """
        directory, every_h = self._settings.directory, self._settings.every_h
        if directory is None:
            return
        self.last_good = await asyncio.to_thread(newest, directory)
        if every_h is None:
            return
        while True:
            await asyncio.sleep(self._left_s(every_h * _HOUR_S))
            try:
                await self.make(directory.absolute(), self._settings.keep)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one is tried
                log_fault(error, "making a backup")
                await asyncio.sleep(min(_AGAIN_S, every_h * _HOUR_S))

    def _left_s(self, every_s: float) -> float:
        """Seconds until the next one is due; a clock that was set back makes it no later than it would be."""
        if self.last_good is None:
            return 0.0
        return min(max(self.last_good + every_s - time(), 0.0), every_s)


def newest(directory: Path) -> float | None:
    """When the newest backup in a directory was begun, Unix time; None where there is none, or it cannot be read."""
    try:
        names = BackupDirectory(directory).names()
    except StorageError:
        return None
    return datetime.strptime(names[-1], _NAME).replace(tzinfo=UTC).timestamp() if names else None
