"""The endpoints by which operators change a node while it runs, and have its data folder looked after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from projection.engine.log_control import LEVEL_FILTER
from projection.engine.orders import (
    AdoptOrder,
    BackupOrder,
    CompactOrder,
    DropOrder,
    LogLevelOrder,
    Order,
    RepairOrder,
    VerifyOrder,
)
from projection.engine.outcomes import Done, DropCame, LogLevelCame
from projection.engine.recipes import deployed_from
from projection.errors import ConfigurationError
from projection.history.repairing import Target
from projection.ops.http.orders import (
    AUTHOR,
    FINES,
    operation,
    operations_router,
    recipe_in,
)

if TYPE_CHECKING:
    from projection.ops.http.orders import Running
    from projection.ops.http.service import Service

log = structlog.get_logger(component="http")

_BACKUP = {
    "name": "20261130T030000.125Z",
    "at": "/backups/20261130T030000.125Z",
    "builds": 3,
    "bytes": 41_943_040,
    "copied": 12_582_912,
    "seconds": 0.31,
    "deleted": ["20261123T030000.118Z"],
    "damaged": [],
}
router = operations_router()


@operation(
    router,
    DropOrder,
    "Drop a parked event",
    {**FINES, "sequence": 1024, "tenant_id": "north", "view_id": "A1"},
    "DropCame",
    {"build": 3, "fold_identity": "9b3c6e0f5a1d", "taken": 2, "waiting": []},
    "It is left out, and the events behind it were applied as far as possible.",
)
async def drop(order: DropOrder, service: Service) -> DropCame:
    """A new build takes the decision over."""
    return DropCame.of(await service.operations.drop(order.of(), order.choice, order.author(service.door)))


@operation(
    router,
    AdoptOrder,
    "Let a corrected program adopt the views",
    {**FINES, "recipe": "{…}"},
    "AdoptCame",
    {
        "view_type": "fine_summary",
        "former_build": 3,
        "build": 4,
        "scanned": 561470,
        "views_changed": 2,
        "taken": 3,
        "gone": 0,
        "late": 0,
        "parked": {},
        "skipped": {},
        "suspended": 0,
    },
    "Its build answers.",
    is_long=True,
)
def adopt(order: AdoptOrder, service: Service) -> Running:
    """What is parked runs again by the new program. The recipe is what `projection adopt` makes of a manifest."""
    deployed = deployed_from(recipe_in(order.recipe), service.node.opener.execution)
    if deployed.entry.view_type != order.view_type:
        raise ConfigurationError(f"the recipe is of view type {deployed.entry.view_type}, not {order.view_type}")
    return service.long.adopt(deployed, order.author(service.door))


@operation(
    router,
    Order,
    "Pause a view type",
    FINES,
    "Done",
    {"view_type": "fine_summary"},
    "Its views are served as they are.",
)
async def pause(order: Order, service: Service) -> Done:
    """Also over restarts. A node that has paused view types is ready all the same."""
    await service.operations.pause(order.of(), order.author(service.door))
    return Done(order.view_type)


@operation(
    router,
    Order,
    "Resume a view type that was paused or has halted",
    FINES,
    "Done",
    {"view_type": "fine_summary"},
    "It continues after its last commit.",
)
async def resume(order: Order, service: Service) -> Done:
    """Where the reason of a halt is still there, it halts again."""
    await service.operations.resume(order.of(), order.author(service.door))
    return Done(order.view_type)


@operation(
    router,
    LogLevelOrder,
    "Change the level of the log",
    {"level": "info,stream=debug", **AUTHOR},
    "LogLevelCame",
    {"level": "info,stream=debug", "was": "info"},
    "The next line is written by these levels.",
)
async def log_level(order: LogLevelOrder, service: Service) -> LogLevelCame:
    """Until the node ends: its next start uses the setting `log.level`."""
    was, LEVEL_FILTER.levels = LEVEL_FILTER.levels, order.levels
    came, author = LogLevelCame(str(order.levels), str(was)), order.author(service.door)
    log.warning("the levels of the log were changed", now=came.level, was=came.was, by=author.name, why=author.reason)
    return came


@operation(
    router,
    RepairOrder,
    "Repair one view, the views of a tenant, or all views",
    {**FINES, "tenant_id": "north", "view_id": "A1", "dry_run": False},
    "RepairCame",
    {
        "view_type": "fine_summary",
        "build": 4,
        "scanned": 561470,
        "events": 6,
        "compared": 1,
        "different": 1,
        "views": [{"view_id": "A1", "fields": ["balance"], "was": True, "ought": True}],
        "parked": 0,
        "suspended": 0,
        "entries": 2,
        "written": True,
        "sound": True,
    },
    "The differences, and whether they were corrected.",
    is_long=True,
)
def repair(order: RepairOrder, service: Service) -> Running:
    """Views are answered all the while. Where nothing differs, nothing is written."""
    target = Target(order.of(), *order.target)
    return service.long.repair(target, order.author(service.door), dry_run=order.dry_run)


@operation(
    router,
    BackupOrder,
    "Back up the data folder",
    AUTHOR,
    "BackupCame",
    _BACKUP,
    "The backup is complete, and on the disk.",
    is_long=True,
)
def backup(order: BackupOrder, service: Service) -> Running:
    """A consistent snapshot of each build, to the directory of the node's settings; folding and queries go on."""
    return service.long.backup(order, service.door)


@operation(
    router,
    VerifyOrder,
    "Verify the builds that answer",
    {"by": "alice"},
    "VerifyCame",
    {
        "builds": [
            {
                "view_type": "fine_summary",
                "build": 3,
                "problems": [],
                "fold_identity": "9b3c6e0f5a1d",
                "scanned": 561470,
                "applied": 561470,
                "views": 150370,
                "parked": 0,
                "digest": "5d1f0c8a",
            }
        ]
    },
    "The findings; if nothing is wrong, no build has problems.",
    is_long=True,
)
def verify(order: VerifyOrder, service: Service) -> Running:
    """State digests and entries of indexes are computed anew, by a process beside the node; reads go on."""
    return service.long.verify(order, service.door)


@operation(
    router,
    CompactOrder,
    "Return free pages of stores to the file system",
    FINES,
    "CompactCame",
    {"builds": [{"view_type": "fine_summary", "build": 3, "before": 83886080, "after": 52428800, "problem": None}]},
    "The disk space of each build, before and after.",
    is_long=True,
)
def compact(order: CompactOrder, service: Service) -> Running:
    """Of the builds of a view type, or of all; folding and queries go on."""
    return service.long.compact(order, service.door)
