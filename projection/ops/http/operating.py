"""The endpoints by which operators change a node while it runs, and have its data folder looked after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from projection.engine.orders import AdoptOrder, BackupOrder, CompactOrder, DropOrder, Order, RepairOrder, VerifyOrder
from projection.engine.outcomes import AdoptCame, Done, DropCame, RepairCame
from projection.engine.recipes import deployed_from
from projection.errors import ConfigurationError
from projection.history.repairing import Target
from projection.ops.http.orders import (
    AUTHOR,
    FINES,
    FROM_OPERATORS,
    answer,
    begun,
    came_of,
    described,
    order_of,
    recipe_in,
)
from projection.ops.http.service import service_of

if TYPE_CHECKING:
    import asyncio

    from projection.engine.tasks import Task

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
router = APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=FROM_OPERATORS)


@router.post(
    "/drop",
    summary="Drop a parked event",
    operation_id="drop",
    **described(
        "DropOrder",
        {**FINES, "sequence": 1024, "tenant_id": "north", "view_id": "A1"},
        "DropCame",
        {"build": 3, "fold_identity": "9b3c6e0f5a1d", "taken": 2, "waiting": []},
        "It is left out, and the events behind it were applied as far as possible.",
    ),
)
async def drop(request: Request) -> Response:
    """A new build takes the decision over."""
    order, service = await order_of(request, DropOrder), service_of(request)
    author = order.author(service.door)
    dropped = await came_of(lambda: service.operations.drop(order.of(), order.choice, author))
    return answer(DropCame.of(dropped))


@router.post(
    "/adopt",
    summary="Let a corrected program adopt the views",
    operation_id="adopt",
    **described(
        "AdoptOrder",
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
    ),
)
async def adopt(request: Request) -> Response:
    """What is parked runs again by the new program. The recipe is what `projection adopt` makes of a manifest."""
    order, service = await order_of(request, AdoptOrder), service_of(request)
    recipe = recipe_in(order.recipe)

    def begin() -> tuple[Task, asyncio.Task[AdoptCame]]:
        deployed = deployed_from(recipe, service.node.opener.execution)
        if deployed.entry.view_type != order.view_type:
            raise ConfigurationError(f"the recipe is of view type {deployed.entry.view_type}, not {order.view_type}")
        return service.long.adopt(deployed, order.author(service.door))

    return await begun(request, begin)


@router.post(
    "/pause",
    summary="Pause a view type",
    operation_id="pause",
    **described("Order", FINES, "Done", {"view_type": "fine_summary"}, "Its views are served as they are."),
)
async def pause(request: Request) -> Response:
    """Also over restarts. A node that has paused view types is ready all the same."""
    order, service = await order_of(request, Order), service_of(request)
    await came_of(lambda: service.operations.pause(order.of(), order.author(service.door)))
    return answer(Done(order.view_type))


@router.post(
    "/resume",
    summary="Resume a view type that was paused or has halted",
    operation_id="resume",
    **described("Order", FINES, "Done", {"view_type": "fine_summary"}, "It continues after its last commit."),
)
async def resume(request: Request) -> Response:
    """Where the reason of a halt is still there, it halts again."""
    order, service = await order_of(request, Order), service_of(request)
    await came_of(lambda: service.operations.resume(order.of(), order.author(service.door)))
    return answer(Done(order.view_type))


@router.post(
    "/repair",
    summary="Repair one view, the views of a tenant, or all views",
    operation_id="repair",
    **described(
        "RepairOrder",
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
    ),
)
async def repair(request: Request) -> Response:
    """Views are answered all the while. Where nothing differs, nothing is written."""
    order, service = await order_of(request, RepairOrder), service_of(request)

    def begin() -> tuple[Task, asyncio.Task[RepairCame]]:
        target, author = Target(order.of(), *order.target), order.author(service.door)
        return service.long.repair(target, author, dry_run=order.dry_run)

    return await begun(request, begin)


@router.post(
    "/backup",
    summary="Back up the data folder",
    operation_id="backup",
    **described(
        "BackupOrder",
        AUTHOR,
        "BackupCame",
        _BACKUP,
        "The backup is complete, and on the disk.",
        is_long=True,
    ),
)
async def backup(request: Request) -> Response:
    """A consistent snapshot of each build, to the directory of the node's settings; folding and queries go on."""
    order, service = await order_of(request, BackupOrder), service_of(request)
    return await begun(request, lambda: service.long.backup(order, service.door))


@router.post(
    "/verify",
    summary="Verify the builds that answer",
    operation_id="verify",
    **described(
        "VerifyOrder",
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
    ),
)
async def verify(request: Request) -> Response:
    """State digests and entries of indexes are computed anew, by a process beside the node; reads go on."""
    order, service = await order_of(request, VerifyOrder), service_of(request)
    return await begun(request, lambda: service.long.verify(order, service.door))


@router.post(
    "/compact",
    summary="Return free pages of stores to the file system",
    operation_id="compact",
    **described(
        "CompactOrder",
        FINES,
        "CompactCame",
        {"builds": [{"view_type": "fine_summary", "build": 3, "before": 83886080, "after": 52428800, "problem": None}]},
        "The disk space of each build, before and after.",
        is_long=True,
    ),
)
async def compact(request: Request) -> Response:
    """Of the builds of a view type, or of all; folding and queries go on."""
    order, service = await order_of(request, CompactOrder), service_of(request)
    return await begun(request, lambda: service.long.compact(order, service.door))
