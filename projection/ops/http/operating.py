"""The endpoints by which operators change a node while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from projection.engine.deploying import deployed_together
from projection.engine.orders import (
    AdoptCame,
    AdoptOrder,
    BackupOrder,
    BuildCame,
    CompareOrder,
    DeleteOrder,
    DeployCame,
    DeployOrder,
    Done,
    DropCame,
    DropOrder,
    Order,
    PromoteOrder,
    RebuildOrder,
    RepairCame,
    RepairOrder,
    RetireOrder,
    StepCame,
    SwitchCame,
    VerifyOrder,
)
from projection.engine.recipes import deployed_from
from projection.engine.switching import Promotion
from projection.errors import ConfigurationError, ErrorClass, ProjectionError
from projection.history.repairing import Target
from projection.model.recipe import Recipe
from projection.ops.http.access import OfOperator
from projection.ops.http.described import TASK, answered
from projection.ops.http.parameters import none_expected
from projection.ops.http.problems import RequestError, documented
from projection.ops.http.service import service_of
from projection.ops.http.views import json_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projection.engine.tasks import Task

_JSON = "application/json"
_numbers = msgspec.json.Encoder(decimal_format="number").encode
_Order = TypeVar("_Order", bound=Order | DeployOrder | BackupOrder | VerifyOrder | CompareOrder)
_Came = TypeVar("_Came")
_PREFER = {
    "name": "prefer",
    "in": "header",
    "description": "`respond-async` has the answer come at once, and not when all is done.",
    "schema": {"type": "string"},
    "example": "respond-async",
}
_AUTHOR = {"by": "alice", "reason": "the gateway sent it twice"}
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
_FINES = {"view_type": "fine_summary", **_AUTHOR}


async def same_origin(request: Request) -> None:
    """Refuse what a page of another site has a browser send: it may come from the operator's own machine.

    Raises:
        RequestError: it says that it is of another site.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise RequestError("access.forbidden", "pages of other sites give no orders")


router = APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=[OfOperator, Depends(same_origin)])


def _described(
    name: str, example: dict[str, Any], answer: str, came: dict[str, Any], says: str, *, is_long: bool = False
) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}}
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    responses = {
        **documented("http.media_type", "operation.refused", "operation.unavailable"),
        **answered(answer, came, says),
    }
    if is_long:
        extra["parameters"] = [_PREFER]
        responses[202] = {
            "description": "It has begun: `location` names it (with `prefer: respond-async`).",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "GET it for how far it is."}},
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/TaskRecord"}, "example": TASK}},
        }
    return {"openapi_extra": extra, "responses": responses}


@router.post(
    "/drop",
    summary="Leave out a parked event for good",
    operation_id="drop",
    **_described(
        "DropOrder",
        {**_FINES, "sequence": 1024, "tenant_id": "north", "view_id": "A1"},
        "DropCame",
        {"build": 3, "fold_identity": "9b3c6e0f5a1d", "taken": 2, "waiting": []},
        "It is left out, and what waited behind it was folded as far as it goes.",
    ),
)
async def drop(request: Request) -> Response:
    """A new build takes the decision over."""
    order, service = await _order(request, DropOrder), service_of(request)
    author = order.author(service.door)
    dropped = await _came(lambda: service.operations.drop(order.of(), order.choice, author))
    return _answer(DropCame.of(dropped))


@router.post(
    "/adopt",
    summary="Have a corrected program take over the views as they are",
    operation_id="adopt",
    **_described(
        "AdoptOrder",
        {**_FINES, "recipe": "{…}"},
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
        "It folds, and its build answers.",
        is_long=True,
    ),
)
async def adopt(request: Request) -> Response:
    """What is parked runs again by the new program. The recipe is what `projection adopt` makes of a manifest."""
    order, service = await _order(request, AdoptOrder), service_of(request)
    recipe = _recipe(order.recipe)

    def begin() -> tuple[Task, asyncio.Task[AdoptCame]]:
        deployed = deployed_from(recipe, service.node.opener.execution)
        if deployed.entry.view_type != order.view_type:
            raise ConfigurationError(f"the recipe is of view type {deployed.entry.view_type}, not {order.view_type}")
        return service.long.adopt(deployed, order.author(service.door))

    return await _begun(request, begin)


@router.post(
    "/deploy",
    summary="Fold what a manifest says from here on",
    operation_id="deploy",
    **_described(
        "DeployOrder",
        {"recipes": ["{…}"], "promote": "when_equal", **_AUTHOR},
        "DeployCame",
        {"steps": [{"view_type": "fine_summary", "change": "folds anew", "why": "the program", "build": 4}]},
        "What is done with each view type.",
    ),
)
async def deploy(request: Request) -> Response:
    """What changes is folded beside the builds that answer until then. What is not named is folded no more."""
    order, service = await _order(request, DeployOrder), service_of(request)
    recipes = [_recipe(one) for one in order.recipes]

    async def work() -> DeployCame:
        deployed = deployed_together(recipes, service.node.opener.execution)
        steps = await service.operations.deploy(deployed, order.author(service.door), order.gate)
        return DeployCame([StepCame.of(one.step, one.build) for one in steps])

    return _answer(await _came(work))


@router.post(
    "/pause",
    summary="Fold nothing for a view type until it is resumed",
    operation_id="pause",
    **_described("Order", _FINES, "Done", {"view_type": "fine_summary"}, "Its views are served as they are."),
)
async def pause(request: Request) -> Response:
    """Also over restarts. A node that has paused view types is ready all the same."""
    order, service = await _order(request, Order), service_of(request)
    await _came(lambda: service.operations.pause(order.of(), order.author(service.door)))
    return _answer(Done(order.view_type))


@router.post(
    "/resume",
    summary="Go on with a view type that was paused, or that has halted",
    operation_id="resume",
    **_described("Order", _FINES, "Done", {"view_type": "fine_summary"}, "It goes on behind its last commit."),
)
async def resume(request: Request) -> Response:
    """Where the reason of a halt is still there, it halts again."""
    order, service = await _order(request, Order), service_of(request)
    await _came(lambda: service.operations.resume(order.of(), order.author(service.door)))
    return _answer(Done(order.view_type))


@router.post(
    "/rebuild",
    summary="Fold a view type anew, beside the build that answers",
    operation_id="rebuild",
    **_described(
        "RebuildOrder",
        {**_FINES, "promote": "when_equal"},
        "BuildCame",
        {"view_type": "fine_summary", "build": 4},
        "The new build is under way.",
    ),
)
async def rebuild(request: Request) -> Response:
    """The former build answers until the new one has caught up with it, and its gate is open."""
    order, service = await _order(request, RebuildOrder), service_of(request)
    if order.backup is not None and service.door == "http":
        hint = "use `projection rebuild --from`"
        raise RequestError("operation.refused", "over the network no backup is named", hint=hint)
    backup, author = None if order.backup is None else Path(order.backup), order.author(service.door)
    task, came = await _came(lambda: service.long.rebuild(order.of(), author, order.gate, backup))
    return _answer(came, _at(task))


_SWITCHED = {"view_type": "fine_summary", "build": 4, "former_build": 3, "answers": True}


@router.post(
    "/promote",
    summary="Have the build answer that its gate holds, or that was rolled back",
    operation_id="promote",
    **_described("PromoteOrder", _FINES, "SwitchCame", _SWITCHED, "It answers, or does once it has caught up."),
)
async def promote(request: Request) -> Response:
    """Refused where it parks events that the build which answers does not, unless that is accepted."""
    order, service = await _order(request, PromoteOrder), service_of(request)
    choice = Promotion(order.build, order.although_parked, order.accept_fewer_messages)
    came = await _came(lambda: service.operations.promote(order.of(), choice, order.author(service.door)))
    return _answer(SwitchCame.of(came))


@router.post(
    "/rollback",
    summary="Have the former build answer again",
    operation_id="rollback",
    **_described(
        "Order",
        _FINES,
        "SwitchCame",
        _SWITCHED | {"build": 3, "former_build": 4},
        "It answers, and the other build follows.",
    ),
)
async def rollback(request: Request) -> Response:
    """It was folded on, so nothing is lost. The other one answers again only when it is promoted."""
    order, service = await _order(request, Order), service_of(request)
    came = await _came(lambda: service.operations.rollback(order.of(), order.author(service.door)))
    return _answer(SwitchCame.of(came))


@router.post(
    "/retire",
    summary="Fold the build that follows no longer",
    operation_id="retire",
    **_described(
        "RetireOrder", _FINES, "BuildCame", {"view_type": "fine_summary", "build": 3}, "It stays on the disk."
    ),
)
async def retire(request: Request) -> Response:
    """From then on one cannot go back to it in one step."""
    order, service = await _order(request, RetireOrder), service_of(request)
    build = await _came(lambda: service.operations.retire(order.of(), order.build, order.author(service.door)))
    return _answer(BuildCame.of(build))


@router.post(
    "/repair",
    summary="Fold a view, or the views of a tenant, anew, and put right what the build holds otherwise",
    operation_id="repair",
    **_described(
        "RepairOrder",
        {**_FINES, "tenant_id": "north", "view_id": "A1", "dry_run": False},
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
        "What was otherwise, and whether it was put right.",
        is_long=True,
    ),
)
async def repair(request: Request) -> Response:
    """Views are answered all the while. Where nothing differs, nothing is written."""
    order, service = await _order(request, RepairOrder), service_of(request)

    def begin() -> tuple[Task, asyncio.Task[RepairCame]]:
        target, author = Target(order.of(), *order.target), order.author(service.door)
        return service.long.repair(target, author, dry_run=order.dry_run)

    return await _begun(request, begin)


@router.post(
    "/delete",
    summary="Delete a build that does not answer",
    operation_id="deleteBuild",
    **_described(
        "DeleteOrder",
        {**_FINES, "build": 2},
        "BuildCame",
        {"view_type": "fine_summary", "build": 2},
        "It is gone, and so are its files.",
    ),
)
async def delete(request: Request) -> Response:
    """One that is under way is given up."""
    order, service = await _order(request, DeleteOrder), service_of(request)
    build = await _came(lambda: service.operations.delete(order.of(), order.build, order.author(service.door)))
    return _answer(BuildCame.of(build))


_SIDE = {"build": 3, "at": 561470, "views": 150370, "parked": 0, "suspended": 0, "digest": "f5a1d9b3c6e0"}


@router.post(
    "/compare",
    summary="Compare two builds by what they hold",
    operation_id="compare",
    **_described(
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
        "What differs; all is counted, and the first ones are told.",
        is_long=True,
    ),
)
async def compare(request: Request) -> Response:
    """Both at one event, where the node folds both. Takes as long as it takes to read all views; the node goes on."""
    order, service = await _order(request, CompareOrder), service_of(request)
    return await _begun(request, lambda: service.long.compare(order, service.door))


@router.post(
    "/backup",
    summary="Back the data folder up",
    operation_id="backup",
    **_described(
        "BackupOrder",
        _AUTHOR,
        "BackupCame",
        _BACKUP,
        "The backup is whole, and on the disk.",
        is_long=True,
    ),
)
async def backup(request: Request) -> Response:
    """A consistent snapshot of each build, to the directory of the node's settings; folding and queries go on."""
    order, service = await _order(request, BackupOrder), service_of(request)
    return await _begun(request, lambda: service.long.backup(order, service.door))


@router.post(
    "/verify",
    summary="Go through everything that the builds that answer hold",
    operation_id="verify",
    **_described(
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
        "What was found; where nothing is wrong, no build has problems.",
        is_long=True,
    ),
)
async def verify(request: Request) -> Response:
    """State digests and entries of indexes are computed anew, by a process beside the node; reads go on."""
    order, service = await _order(request, VerifyOrder), service_of(request)
    return await _begun(request, lambda: service.long.verify(order, service.door))


def _recipe(text: str) -> Recipe:
    try:
        return Recipe.decode(text)
    except ValueError as error:
        raise RequestError("http.invalid", f"recipe: {error}") from None


async def _order(request: Request, kind: type[_Order]) -> _Order:
    """The order in a request.

    Raises:
        RequestError: it is none.
    """
    none_expected(request.scope["query_string"])
    try:
        return msgspec.json.decode(await json_body(request), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("http.invalid", f"the body is no order: {error}") from None


async def _came(work: Callable[[], Awaitable[_Came]]) -> _Came:
    """What came of an operation; why it was not done is told, for only operators ask.

    Raises:
        RequestError: it was refused, or could not be done now.
    """
    try:
        return await work()
    except ProjectionError as error:
        if error.error_class is ErrorClass.PRODUCT:
            raise
        is_ours = error.error_class is ErrorClass.INFRASTRUCTURE
        code = "operation.unavailable" if is_ours else "operation.refused"
        raise RequestError(code, error.message, hint=error.hint) from error


async def _begun(request: Request, begin: Callable[[], tuple[Task, asyncio.Task[_Came]]]) -> Response:
    """What came of a long operation; or at once how far it is, for whoever does not want to wait."""

    async def begun() -> tuple[Task, asyncio.Task[_Came]]:
        return begin()

    task, running = await _came(begun)
    wishes = {one.strip().lower() for one in request.headers.get("prefer", "").split(",")}
    if "respond-async" in wishes:  # RFC 7240
        return _answer(task.record, {**_at(task), "preference-applied": "respond-async"}, 202)
    return _answer(await _came(lambda: asyncio.shield(running)), _at(task))


def _at(task: Task) -> dict[str, str]:
    return {"location": f"/v1/operations/{task.record.id}"}


def _answer(came: object, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(_numbers(came), status, headers, _JSON)
