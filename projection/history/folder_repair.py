"""Repair in a data folder that no node has, for programs and commands: with the stream that the settings name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from projection.history.logs import StreamLog
from projection.history.repairing import Target, repair_in
from projection.store.audit import BY_PROGRAM
from projection.store.catalog import Catalog
from projection.stream.configured import nats_connection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from projection.engine.outcomes import RepairCame
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.settings import Settings
    from projection.store.audit import Author


def repair(
    settings: Settings,
    view_type: ViewType,
    tenant_id: TenantId | None = None,
    view_id: ViewId | None = None,
    *,
    dry_run: bool = False,
    author: Author = BY_PROGRAM,
) -> RepairCame:
    """Fold a view, a tenant's views or all anew, and put right what the build that answers holds otherwise.

    Args:
        settings: of the data folder, which no node has, and of the stream.
        view_type: whose build.
        tenant_id: whose views; None for those of all tenants.
        view_id: which; None for all of the tenant.
        dry_run: whether nothing is written.
        author: who says so.

    Raises:
        ConfigurationError: there is no such view type, or the stream does not give its views back; nothing changed.
        StreamError: the stream cannot be read; nothing changed.
        StorageError: the folder cannot be read or written, or a node has it.
    """
    with Catalog.open(settings.storage) as catalog:
        return repair_with(catalog, settings, Target(view_type, tenant_id, view_id), author, dry_run=dry_run)


def repair_with(catalog: Catalog, settings: Settings, target: Target, author: Author, *, dry_run: bool) -> RepairCame:
    """The same with a catalog that is open; raises as `repair`."""

    async def repaired() -> RepairCame:
        async with await Nats.connect(nats_connection(settings.nats)) as nats:

            def log_for(purpose: str) -> StreamLog:
                return StreamLog(nats, settings.stream, purpose)

            return await repair_in(catalog, target, log_for, author=author, dry_run=dry_run)

    return asyncio.run(repaired())
