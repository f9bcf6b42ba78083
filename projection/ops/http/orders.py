"""What the endpoints of operators' orders share: who may give them, how they are read and answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from fastapi import Depends, Request, Response

from projection.engine.orders import BackupOrder, CompactOrder, CompareOrder, Order, ReloadOrder, VerifyOrder
from projection.errors import ErrorClass, ProjectionError
from projection.model.recipe import Recipe
from projection.ops.http.access import OfOperator
from projection.ops.http.described import TASK, answered
from projection.ops.http.parameters import none_expected
from projection.ops.http.problems import RequestError, documented
from projection.ops.http.views import json_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projection.engine.tasks import Task

AUTHOR = {"by": "alice", "reason": "the gateway sent it twice"}
FINES = {"view_type": "fine_summary", **AUTHOR}
_JSON = "application/json"
_numbers = msgspec.json.Encoder(decimal_format="number").encode
_Order = TypeVar("_Order", bound=Order | ReloadOrder | BackupOrder | VerifyOrder | CompareOrder | CompactOrder)
_Came = TypeVar("_Came")
_PREFER = {
    "name": "prefer",
    "in": "header",
    "description": "`respond-async` has the answer come at once, and not when all is done.",
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


def described(
    name: str, example: dict[str, Any], answer: str, came: dict[str, Any], says: str, *, is_long: bool = False
) -> dict[str, Any]:
    """The OpenAPI entry of an endpoint that carries out an order: schemas and examples of the order and its outcome."""
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


async def order_of(request: Request, kind: type[_Order]) -> _Order:
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
        if error.error_class is ErrorClass.PRODUCT:
            raise
        is_ours = error.error_class is ErrorClass.INFRASTRUCTURE
        code = "operation.unavailable" if is_ours else "operation.refused"
        raise RequestError(code, error.message, hint=error.hint) from error


async def begun(request: Request, begin: Callable[[], tuple[Task, asyncio.Task[_Came]]]) -> Response:
    """What came of a long operation; or at once how far it is, for whoever does not want to wait."""

    async def begun() -> tuple[Task, asyncio.Task[_Came]]:
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
