"""How an endpoint of operators' orders is declared: who may give them, how they are read, carried out and answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from projection.errors import ErrorClass, ProjectionError
from projection.model.recipe import Recipe
from projection.ops.http.access import OfOperator
from projection.ops.http.described import TASK, answered
from projection.ops.http.parameters import none_expected
from projection.ops.http.problems import RequestError, documented
from projection.ops.http.service import service_of
from projection.ops.http.views import json_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projection.engine.orders import (
        BackupOrder,
        CompactOrder,
        CompareOrder,
        LogLevelOrder,
        Order,
        PlanOrder,
        ReloadOrder,
        VerifyOrder,
    )
    from projection.engine.tasks import Task
    from projection.ops.http.service import Service

    Running = tuple[Task, asyncio.Task[Any]]
    _Order = TypeVar(
        "_Order",
        bound=Order | ReloadOrder | PlanOrder | BackupOrder | VerifyOrder | CompareOrder | CompactOrder | LogLevelOrder,
    )

AUTHOR = {"by": "alice", "reason": "the gateway sent it twice"}
FINES = {"view_type": "fine_summary", **AUTHOR}
_JSON = "application/json"
_numbers = msgspec.json.Encoder(decimal_format="number").encode
_Came = TypeVar("_Came")
_Work = TypeVar("_Work", bound="Callable[[Any, Service], Any]")
_PREFER = {
    "name": "prefer",
    "in": "header",
    "description": "With `respond-async`, the answer comes at once, and not when everything is done.",
    "schema": {"type": "string"},
    "example": "respond-async",
}


async def same_origin(request: Request) -> None:
    """Refuse what a page of another site has a browser send: it may come from the operator's own machine.

    Raises:
        RequestError: it says that it is of another site.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise RequestError("access.forbidden", "pages of other sites cannot send commands")


FROM_OPERATORS = [OfOperator, Depends(same_origin)]  # what endpoints of orders depend on


def operations_router() -> APIRouter:
    """A router for endpoints that only operators may use."""
    return APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=FROM_OPERATORS)


def operation(
    router: APIRouter,
    kind: type[_Order],
    summary: str,
    example: dict[str, Any],
    outcome: str,
    came: dict[str, Any],
    says: str,
    *,
    operation_id: str = "",
    is_long: bool = False,
) -> Callable[[_Work], _Work]:
    """Declare the endpoint of an operation, at the name of the function that carries it out, with `-` for `_`.

    The function gets the order and the service; what it returns is the answer. Why it was not done is told, for only
    operators ask. The function of a long operation begins it, and returns the task and what is running. The answer is
    then its outcome or, for a client that does not want to wait, its progress at once.

    Args:
        router: where the endpoint goes.
        kind: what the body is.
        summary: what it does, in the reference.
        example: of a body.
        outcome: the name of the answer's schema.
        came: an example of the answer.
        says: of the answer, one sentence.
        operation_id: in the reference, where it is not the function's name.
        is_long: whether the operation is a long one.
    """

    def declared(work: _Work) -> _Work:
        async def endpoint(request: Request) -> Response:
            order, service = await _order_of(request, kind), service_of(request)
            if is_long:
                return await _begun(request, lambda: work(order, service))
            done = await came_of(lambda: work(order, service))
            return done if isinstance(done, Response) else answer(done)

        endpoint.__doc__ = work.__doc__
        reference = _reference(kind.__name__, example, outcome, came, says, is_long=is_long)
        name = work.__name__
        router.post(f"/{name.replace('_', '-')}", summary=summary, operation_id=operation_id or name, **reference)(
            endpoint
        )
        return work

    return declared


def _reference(
    name: str, example: dict[str, Any], answer: str, came: dict[str, Any], says: str, *, is_long: bool
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
            "headers": {"Location": {"schema": {"type": "string"}, "description": "GET it for its progress."}},
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/TaskRecord"}, "example": TASK}},
        }
    return {"openapi_extra": extra, "responses": responses}


async def _order_of(request: Request, kind: type[_Order]) -> _Order:
    """The order in a request.

    Raises:
        RequestError: it is none.
    """
    none_expected(request.scope["query_string"])
    try:
        return msgspec.json.decode(await json_body(request), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("http.invalid", f"the body is not a valid request: {error}") from None


async def came_of(work: Callable[[], Awaitable[_Came]]) -> _Came:
    """What came of an operation; why it was not done is told, for only operators ask.

    Raises:
        RequestError: it was refused, or could not be done now.
    """
    try:
        return await work()
    except ProjectionError as error:
        if error.error_class is ErrorClass.PRODUCT or isinstance(error, RequestError):
            raise
        is_ours = error.error_class is ErrorClass.INFRASTRUCTURE
        code = "operation.unavailable" if is_ours else "operation.refused"
        raise RequestError(code, error.message, hint=error.hint) from error


async def _begun(request: Request, begin: Callable[[], Running]) -> Response:
    async def begun() -> Running:
        return begin()

    task, running = await came_of(begun)
    wishes = {one.strip().lower() for one in request.headers.get("prefer", "").split(",")}
    if "respond-async" in wishes:  # RFC 7240
        return answer(task.record, {**at_task(task), "preference-applied": "respond-async"}, 202)
    return answer(await came_of(lambda: asyncio.shield(running)), at_task(task))


def at_task(task: Task) -> dict[str, str]:
    """The header that says where a long operation is told of."""
    return {"location": f"/v1/operations/{task.record.id}"}


def answer(came: object, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """What came of an order, as JSON."""
    return Response(_numbers(came), status, headers, _JSON)


def recipe_in(text: str) -> Recipe:
    """The recipe in an order.

    Raises:
        RequestError: it is none.
    """
    try:
        return Recipe.decode(text)
    except ValueError as error:
        raise RequestError("http.invalid", f"recipe: {error}") from None
