"""The endpoints by which operators begin builds while a node runs, and say which of them answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.engine.deploying import deployed_together, plan_deployment
from projection.engine.orders import (
    CompareOrder,
    DeleteOrder,
    DeployOrder,
    Order,
    PlanOrder,
    PromoteOrder,
    RebuildOrder,
    ReloadOrder,
    RetireOrder,
)
from projection.engine.outcomes import BuildCame, DeployCame, SwitchCame
from projection.engine.switching import Promotion
from projection.ops.http.described import TASK
from projection.ops.http.orders import (
    AUTHOR,
    FINES,
    answer,
    at_task,
    operation,
    operations_router,
    recipe_in,
)
from projection.ops.http.problems import RequestError
from projection.ops.http.status import plan_answer
from projection.ops.http.status_examples import PLAN
from projection.stream.configured import nats_connection

if TYPE_CHECKING:
    from fastapi import Response

    from projection.ops.http.orders import Running
    from projection.ops.http.service import Service
    from projection.ops.http.status import PlanAnswer

_DEPLOYED = {
    "steps": [
        {
            "view_type": "fine_summary",
            "change": "folds anew",
            "why": "the program",
            "build": 4,
            "folds": "folds anew only views that had events of these types: Payment",
            "operation": TASK["id"],
        }
    ]
}
_SWITCHED = {"view_type": "fine_summary", "build": 4, "former_build": 3, "answers": True}
_SIDE = {"build": 3, "at": 561470, "views": 150370, "parked": 0, "suspended": 0, "digest": "f5a1d9b3c6e0"}
router = operations_router()


@operation(
    router,
    DeployOrder,
    "Deploy a manifest",
    {"recipes": ["{…}"], "promote": "when_equal", **AUTHOR},
    "DeployCame",
    _DEPLOYED,
    "What is done with each view type.",
)
async def deploy(order: DeployOrder, service: Service) -> DeployCame:
    """What changes is folded beside the builds that answer until then. What is not named is folded no more."""
    deployed = deployed_together([recipe_in(one) for one in order.recipes], service.node.opener.execution)
    return await service.long.deploy(deployed, order.author(service.door), order.gate)


@operation(
    router,
    ReloadOrder,
    "Deploy the node's own manifest",
    {"promote": "when_equal", **AUTHOR},
    "DeployCame",
    _DEPLOYED,
    "What is done with each view type.",
)
async def reload(order: ReloadOrder, service: Service) -> DeployCame:
    """The file is read anew, and deployed. Where there is none, what was deployed last goes on."""
    return await service.long.reload(order.author(service.door), order.gate)


@operation(
    router,
    PlanOrder,
    "Show what deploying a manifest would do",
    {"recipes": ["{…}"], "by": "alice"},
    "PlanAnswer",
    PLAN,
    "What would be done with each view type, why, and what that takes.",
    operation_id="planManifest",
)
async def plan(order: PlanOrder, service: Service) -> PlanAnswer:
    """Nothing is changed. Figures are rough."""
    deployed = deployed_together([recipe_in(one) for one in order.recipes], service.node.opener.execution)
    return await plan_answer(service, plan_deployment(service.operations.catalog, deployed))


@operation(
    router,
    RebuildOrder,
    "Rebuild a view type",
    {**FINES, "promote": "when_equal"},
    "BuildCame",
    {"view_type": "fine_summary", "build": 4},
    "The new build is being folded.",
)
async def rebuild(order: RebuildOrder, service: Service) -> Response:
    """The former build answers until the new one has caught up with it, and its gate is open."""
    if service.door == "http" and (order.backup is not None or order.object_store is not None):
        hint = "use `projection rebuild --from`"
        raise RequestError("operation.refused", "a request over the network cannot name a backup", hint=hint)
    backup = order.source(lambda: nats_connection(service.operations.settings.nats))
    task, came = await service.long.rebuild(order.of(), order.author(service.door), order.gate, backup)
    return answer(came, at_task(task))


@operation(
    router,
    PromoteOrder,
    "Promote a build that waits, or that was rolled back",
    FINES,
    "SwitchCame",
    _SWITCHED,
    "It answers, or does once it has caught up.",
)
async def promote(order: PromoteOrder, service: Service) -> SwitchCame:
    """Refused where it parks events that the build which answers does not, unless that is accepted."""
    choice = Promotion(order.build, order.although_parked, order.accept_fewer_messages)
    return SwitchCame.of(await service.operations.promote(order.of(), choice, order.author(service.door)))


@operation(
    router,
    Order,
    "Roll back to the former build",
    FINES,
    "SwitchCame",
    _SWITCHED | {"build": 3, "former_build": 4},
    "It answers, and the other build follows.",
)
async def rollback(order: Order, service: Service) -> SwitchCame:
    """It was folded on, so nothing is lost. The other one answers again only when it is promoted."""
    return SwitchCame.of(await service.operations.rollback(order.of(), order.author(service.door)))


@operation(
    router,
    RetireOrder,
    "Stop folding the build that follows",
    FINES,
    "BuildCame",
    {"view_type": "fine_summary", "build": 3},
    "It stays on the disk.",
)
async def retire(order: RetireOrder, service: Service) -> BuildCame:
    """From then on one cannot go back to it in one step."""
    return BuildCame.of(await service.operations.retire(order.of(), order.build, order.author(service.door)))


@operation(
    router,
    DeleteOrder,
    "Delete a build that does not answer",
    {**FINES, "build": 2},
    "BuildCame",
    {"view_type": "fine_summary", "build": 2},
    "It is deleted, with its files.",
    operation_id="deleteBuild",
)
async def delete(order: DeleteOrder, service: Service) -> BuildCame:
    """One that is under way is given up."""
    return BuildCame.of(await service.operations.delete(order.of(), order.build, order.author(service.door)))


@operation(
    router,
    CompareOrder,
    "Compare the views of two builds",
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
)
def compare(order: CompareOrder, service: Service) -> Running:
    """Both at one event, where the node folds both. Takes as long as it takes to read all views; the node goes on."""
    return service.long.compare(order, service.door)
