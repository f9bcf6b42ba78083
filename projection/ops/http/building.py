"""The endpoints by which operators begin builds while a node runs, and say which of them answers."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response

from projection.engine.deploying import deployed_together
from projection.engine.orders import (
    CompareOrder,
    DeleteOrder,
    DeployOrder,
    Order,
    PromoteOrder,
    RebuildOrder,
    ReloadOrder,
    RetireOrder,
)
from projection.engine.outcomes import BuildCame, DeployCame, SwitchCame
from projection.engine.switching import Promotion
from projection.ops.http.orders import (
    AUTHOR,
    FINES,
    FROM_OPERATORS,
    answer,
    at_task,
    begun,
    came_of,
    described,
    order_of,
    recipe_in,
)
from projection.ops.http.problems import RequestError
from projection.ops.http.service import service_of

_DEPLOYED = {"steps": [{"view_type": "fine_summary", "change": "folds anew", "why": "the program", "build": 4}]}
_SWITCHED = {"view_type": "fine_summary", "build": 4, "former_build": 3, "answers": True}
_SIDE = {"build": 3, "at": 561470, "views": 150370, "parked": 0, "suspended": 0, "digest": "f5a1d9b3c6e0"}
router = APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=FROM_OPERATORS)


@router.post(
    "/deploy",
    summary="Deploy a manifest",
    operation_id="deploy",
    **described(
        "DeployOrder",
        {"recipes": ["{…}"], "promote": "when_equal", **AUTHOR},
        "DeployCame",
        _DEPLOYED,
        "What is done with each view type.",
    ),
)
async def deploy(request: Request) -> Response:
    """What changes is folded beside the builds that answer until then. What is not named is folded no more."""
    order, service = await order_of(request, DeployOrder), service_of(request)
    recipes = [recipe_in(one) for one in order.recipes]

    async def work() -> DeployCame:
        deployed = deployed_together(recipes, service.node.opener.execution)
        steps = await service.operations.deploy(deployed, order.author(service.door), order.gate)
        return DeployCame.of(steps)

    return answer(await came_of(work))


@router.post(
    "/reload",
    summary="Deploy the node's own manifest",
    operation_id="reload",
    **described(
        "ReloadOrder",
        {"promote": "when_equal", **AUTHOR},
        "DeployCame",
        _DEPLOYED,
        "What is done with each view type.",
    ),
)
async def reload(request: Request) -> Response:
    """The file is read anew, and deployed. Where there is none, what was deployed last goes on."""
    order, service = await order_of(request, ReloadOrder), service_of(request)
    steps = await came_of(lambda: service.operations.reload(order.author(service.door), order.gate))
    return answer(DeployCame.of(steps))


@router.post(
    "/rebuild",
    summary="Rebuild a view type",
    operation_id="rebuild",
    **described(
        "RebuildOrder",
        {**FINES, "promote": "when_equal"},
        "BuildCame",
        {"view_type": "fine_summary", "build": 4},
        "The new build is being folded.",
    ),
)
async def rebuild(request: Request) -> Response:
    """The former build answers until the new one has caught up with it, and its gate is open."""
    order, service = await order_of(request, RebuildOrder), service_of(request)
    if order.backup is not None and service.door == "http":
        hint = "use `projection rebuild --from`"
        raise RequestError("operation.refused", "a request over the network cannot name a backup", hint=hint)
    backup, author = None if order.backup is None else Path(order.backup), order.author(service.door)
    task, came = await came_of(lambda: service.long.rebuild(order.of(), author, order.gate, backup))
    return answer(came, at_task(task))


@router.post(
    "/promote",
    summary="Promote a build that waits, or that was rolled back",
    operation_id="promote",
    **described("PromoteOrder", FINES, "SwitchCame", _SWITCHED, "It answers, or does once it has caught up."),
)
async def promote(request: Request) -> Response:
    """Refused where it parks events that the build which answers does not, unless that is accepted."""
    order, service = await order_of(request, PromoteOrder), service_of(request)
    choice = Promotion(order.build, order.although_parked, order.accept_fewer_messages)
    came = await came_of(lambda: service.operations.promote(order.of(), choice, order.author(service.door)))
    return answer(SwitchCame.of(came))


@router.post(
    "/rollback",
    summary="Roll back to the former build",
    operation_id="rollback",
    **described(
        "Order",
        FINES,
        "SwitchCame",
        _SWITCHED | {"build": 3, "former_build": 4},
        "It answers, and the other build follows.",
    ),
)
async def rollback(request: Request) -> Response:
    """It was folded on, so nothing is lost. The other one answers again only when it is promoted."""
    order, service = await order_of(request, Order), service_of(request)
    came = await came_of(lambda: service.operations.rollback(order.of(), order.author(service.door)))
    return answer(SwitchCame.of(came))


@router.post(
    "/retire",
    summary="Stop folding the build that follows",
    operation_id="retire",
    **described("RetireOrder", FINES, "BuildCame", {"view_type": "fine_summary", "build": 3}, "It stays on the disk."),
)
async def retire(request: Request) -> Response:
    """From then on one cannot go back to it in one step."""
    order, service = await order_of(request, RetireOrder), service_of(request)
    build = await came_of(lambda: service.operations.retire(order.of(), order.build, order.author(service.door)))
    return answer(BuildCame.of(build))


@router.post(
    "/delete",
    summary="Delete a build that does not answer",
    operation_id="deleteBuild",
    **described(
        "DeleteOrder",
        {**FINES, "build": 2},
        "BuildCame",
        {"view_type": "fine_summary", "build": 2},
        "It is deleted, with its files.",
    ),
)
async def delete(request: Request) -> Response:
    """One that is under way is given up."""
    order, service = await order_of(request, DeleteOrder), service_of(request)
    build = await came_of(lambda: service.operations.delete(order.of(), order.build, order.author(service.door)))
    return answer(BuildCame.of(build))


@router.post(
    "/compare",
    summary="Compare the views of two builds",
    operation_id="compare",
    **described(
        "CompareOrder",
        {"view_type": "fine_summary", "old": 3, "new": 4, "limit": 20},
        "BuildDifferences",
        {
            "view_type": "fine_summary",
            "equal": False,
            "at_one_event": True,
            "old": _SIDE,
            "new": _SIDE | {"build": 4, "digest": "0d7714be02aa"},
            "only_old": 0,
            "only_new": 0,
            "changed": 1,
            "in_between": 0,
            "fields": {"balance": 1},
            "newly_parked": 0,
            "no_longer_parked": 0,
            "parked_otherwise": 0,
            "views": [
                {
                    "tenant_id": "north",
                    "view_id": "A1",
                    "differs": "changed",
                    "changes": [{"path": "balance", "before": 1.5, "after": 2.5}],
                    "first": None,
                }
            ],
            "parked": [],
        },
        "The differences: all are counted, and the first ones are listed.",
        is_long=True,
    ),
)
async def compare(request: Request) -> Response:
    """Both at one event, where the node folds both. Takes as long as it takes to read all views; the node goes on."""
    order, service = await order_of(request, CompareOrder), service_of(request)
    return await begun(request, lambda: service.long.compare(order, service.door))
