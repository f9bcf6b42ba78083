"""The endpoints that answer with views."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, Path, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Route

from projection.errors import ProjectionError, StreamError
from projection.model.ids import ViewId, ViewType
from projection.ops.http.access import OfAnyone, OfTenant, reader_of
from projection.ops.http.admission import place_of
from projection.ops.http.described import (
    CATALOG,
    EXPLANATION,
    PAGE,
    PARAMETERS_OF_VIEW,
    PARAMETERS_OF_VIEWS,
    answered,
    answered_as_it_is_or_was,
    asked,
)
from projection.ops.http.parameters import none_expected, read_parameters, read_query, read_wanted
from projection.ops.http.problems import RequestError, documented
from projection.ops.http.service import service_of
from projection.query.errors import UnknownViewTypeError
from projection.query.measures import PAST

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from projection.model.ids import TenantId
    from projection.ops.http.parameters import Parameters

log = structlog.get_logger(component="http")
router = APIRouter(tags=["views"])

_JSON = "application/json"
_REVALIDATE = "private, no-cache"  # a browser may keep an answer, and asks whether it is still good
_QUERY_PROBLEMS = (
    "query.busy",
    "query.cursor_gone",
    "query.cursor_invalid",
    "query.filter_failed",
    "query.invalid",
    "query.limit",
    "query.not_fresh",
    "query.unknown_view_type",
)
Answer = TypeVar("Answer")


class _Rest(Convertor[str]):
    """The rest of a path, of whatever characters; Starlette's own stops at the end of a line."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("rest", _Rest())

Type = Annotated[str, Path(description="The view type.", examples=["fine_summary"])]
Id = Annotated[str, Path(description="The view's id, percent-encoded.", examples=["A1"])]


VIEW_PATH = "/v1/views/{view_type}/{view_id:rest}"


@router.get(
    VIEW_PATH,
    summary="One view",
    operation_id="view",
    openapi_extra={"parameters": PARAMETERS_OF_VIEW},
    responses={
        **documented(
            "query.busy",
            "query.history_gone",
            "query.invalid",
            "query.limit",
            "query.log_unavailable",
            "query.not_fresh",
            "query.unknown_view_type",
            "query.view_missing",
        ),
        **answered_as_it_is_or_was(),
        304: {"description": "The view is the one that the client has (`If-None-Match`)."},
    },
)
async def view(request: Request, reader: OfTenant, view_type: Type, view_id: Id) -> Response:
    """One view by its id. A `/` in the id may stand as it is or as `%2F`; `.` and `..` are best sent as `%2E`."""
    service = service_of(request)
    parameters = read_parameters(request.scope["query_string"])
    named = view_type_of(view_type)
    if any(name == "at" for name, _ in parameters):
        return await _past_view(request, reader.tenant_id, named, ViewId(view_id), parameters)
    wanted = read_wanted(parameters)
    asking = service.queries.view(
        reader.tenant_id, named, ViewId(view_id), wanted, while_waiting=place_of(request).left()
    )
    answer = await (unless_gone(request, asking) if wanted.wait_ms else asking)
    request.scope["answer"] = named, answer.build, answer.scanned
    tag = f'W/"{service.queries.etag(reader.tenant_id, named, answer)}"'
    headers = {"etag": tag, "cache-control": _REVALIDATE}
    if _has(request, tag):
        return Response(None, 304, headers)
    return Response(msgspec.json.encode(answer), 200, headers, _JSON)


async def _past_view(
    request: Request, tenant_id: TenantId, view_type: ViewType, view_id: ViewId, parameters: Parameters
) -> Response:
    if len(parameters) > 1:
        raise RequestError("http.invalid", "the parameter at goes with no other", hint="name it once, and alone")
    asking = service_of(request).past.view(tenant_id, view_type, view_id, parameters[0][1])
    measures, began = service_of(request).queries.measures, perf_counter()
    try:
        answer = await unless_gone(request, asking)
    except StreamError as error:
        measures.refused(error)
        log.warning("a view of the past cannot be folded", view_type=view_type, reason=error.message)
        raise RequestError("query.log_unavailable", "the node's log tells why", hint="ask again in a moment") from None
    except ProjectionError as error:
        measures.refused(error)
        raise
    measures.answered(PAST, began)
    return Response(msgspec.json.encode(answer), media_type=_JSON)


async def view_directly(request: Request) -> Response:
    """The same, without FastAPI taking apart the request: that took 60 µs, and all the rest takes 45."""
    request.scope["route"] = VIEW_ROUTE  # as FastAPI leaves it
    return await view(request, await reader_of(request), **request.path_params)


VIEW_ROUTE = Route(VIEW_PATH, view_directly, methods=["GET"])


@router.get(
    "/v1/views/{view_type}",
    summary="Views of a type",
    operation_id="views",
    openapi_extra={"parameters": PARAMETERS_OF_VIEWS},
    responses={**documented(*_QUERY_PROBLEMS), **answered("QueryAnswer", PAGE, "A page of views.")},
)
async def views(request: Request, reader: OfTenant, view_type: Type) -> Response:
    """Views that meet conditions: `status=paid`, `balance[gt]=100`; or by their ids: `id=A1&id=A2`."""
    service = service_of(request)
    named = view_type_of(view_type)
    await service.queries.ready(named)
    parameters, queries = read_parameters(request.scope["query_string"]), service.queries
    query = read_query(named, parameters, queries.schema, queries.limits)
    asking = queries.query(reader.tenant_id, query, while_waiting=place_of(request).left())
    answer = await unless_gone(request, asking)
    request.scope["answer"] = named, answer.build, answer.scanned
    return Response(msgspec.json.encode(answer), media_type=_JSON)


@router.post(
    "/v1/query",
    summary="A query",
    operation_id="query",
    openapi_extra=asked("Query"),
    responses={**documented(*_QUERY_PROBLEMS, "http.media_type"), **answered("QueryAnswer", PAGE, "A page of views.")},
)
async def query(request: Request, reader: OfTenant) -> Response:
    """A query in the form of docs/query.md."""
    queries = service_of(request).queries
    asked_for = await queries.read(await json_body(request))
    asking = queries.query(reader.tenant_id, asked_for, while_waiting=place_of(request).left())
    answer = await unless_gone(request, asking)
    request.scope["answer"] = asked_for.view, answer.build, answer.scanned
    return Response(msgspec.json.encode(answer), media_type=_JSON)


@router.post(
    "/v1/query/explain",
    summary="How a query is run",
    operation_id="explain",
    openapi_extra=asked("Query"),
    responses={
        **documented(*_QUERY_PROBLEMS, "http.media_type"),
        **answered("Explanation", EXPLANATION, "The plan, and what it took."),
    },
)
async def explain(request: Request, reader: OfTenant) -> Response:
    """The query is run, and what comes of it is not sent."""
    queries = service_of(request).queries
    asked_for = await queries.read(await json_body(request))
    asking = queries.explain(reader.tenant_id, asked_for, while_waiting=place_of(request).left())
    answer = await unless_gone(request, asking)
    return Response(msgspec.json.encode(answer), media_type=_JSON)


@router.get(
    "/v1/catalog",
    summary="What can be asked for",
    operation_id="catalog",
    responses=answered("CatalogAnswer", CATALOG, "The view types, with schemas and indexes."),
)
async def catalog(request: Request, who: OfAnyone) -> Response:
    """The view types, the JSON Schema of each, its indexes and builds; nothing of any tenant's."""
    del who  # only that it is somebody
    none_expected(request.scope["query_string"])
    return Response(msgspec.json.encode(await service_of(request).queries.catalog()), media_type=_JSON)


def view_type_of(name: str) -> ViewType:
    """The view type that an address names.

    Raises:
        UnknownViewTypeError: it can be none.
    """
    try:
        return ViewType(name)
    except ValueError:
        raise UnknownViewTypeError(f"there is no view type {name[:80]!r}") from None


def _has(request: Request, tag: str) -> bool:
    """Whether the client has what bears this tag; weak or strong makes no difference here (RFC 9110, 13.1.2)."""
    shown = request.headers.get("if-none-match")
    if shown is None:
        return False
    tags = [one.strip() for one in shown.split(",")]
    return "*" in tags or any(one.removeprefix("W/") == tag.removeprefix("W/") for one in tags)


async def json_body(request: Request) -> bytes:
    """The body of a request without parameters.

    Raises:
        RequestError: it is not sent as plain JSON.
    """
    none_expected(request.scope["query_string"])
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _JSON:
        raise RequestError(
            "http.media_type", f"the content-type is not {_JSON}", hint=f"send the header `content-type: {_JSON}`"
        )
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise RequestError(
            "http.media_type",
            f"the body is encoded as {coding!r:.40}, and bodies are taken as they are",
            hint="send it without the header content-encoding, and not compressed",
            headers={"accept-encoding": "identity"},
        )
    return await request.body()


class GoneError(Exception):
    """Whoever asked has hung up: there is nobody to answer."""


async def unless_gone(request: Request, asking: Coroutine[Any, Any, Answer]) -> Answer:
    """What is asked for; where the client hangs up meanwhile, nobody works on it any more.

    Raises:
        GoneError: it did.
    """
    work = asyncio.ensure_future(asking)
    await asyncio.sleep(0)  # most answers are there at once
    if work.done():
        return work.result()
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        gone.result()
        raise GoneError
    finally:
        gone.cancel()
        work.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
