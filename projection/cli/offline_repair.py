"""The operations of a data folder that no node has, with those that need the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.engine.offline import OfflineOperations
from projection.history.repairing import Target, repair

if TYPE_CHECKING:
    from projection.engine.orders import RepairCame, RepairOrder
    from projection.model.settings import Settings
    from projection.store.catalog import Catalog


class OfflineDoor(OfflineOperations):
    """Implements `Door`."""

    def __init__(self, catalog: Catalog) -> None:
        """Operations of a folder; its catalogue stays the caller's to close."""
        super().__init__(catalog)
        self._of = catalog

    def repair(self, order: RepairOrder, settings: Settings) -> RepairCame:
        """See `Door.repair`."""
        import asyncio

        from projection.cli.connection import nats_connection
        from projection.history.logs import StreamLog
        from projection.stream.connection import Nats

        async def repaired() -> RepairCame:
            async with await Nats.connect(nats_connection(settings.nats)) as nats:
                target, author = Target(order.of(), *order.target), order.author("offline")
                log_for = lambda purpose: StreamLog(nats, settings.stream, purpose)  # noqa: E731 - it is one
                return await repair(self._of, target, log_for, author=author, dry_run=order.dry_run)

        return asyncio.run(repaired())
