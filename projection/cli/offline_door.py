"""The operations of a data folder that no node has, with those that need the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.engine.offline import OfflineOperations
from projection.history.folder_repair import repair_with
from projection.history.repairing import Target

if TYPE_CHECKING:
    from projection.engine.orders import RepairOrder
    from projection.engine.outcomes import RepairCame
    from projection.model.settings import Settings
    from projection.store.catalog import Catalog


class OfflineDoor(OfflineOperations):
    """Implements `Door`."""

    def __init__(self, catalog: Catalog) -> None:
        """Operations of a folder; its catalog stays the caller's to close."""
        super().__init__(catalog)
        self._folder = catalog

    def repair(self, order: RepairOrder, settings: Settings) -> RepairCame:
        """See `Door.repair`."""
        target, author = Target(order.of(), *order.target), order.author("offline")
        return repair_with(self._folder, settings, target, author, dry_run=order.dry_run)
