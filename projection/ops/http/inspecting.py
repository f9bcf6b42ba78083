"""Endpoints that show parked events, the history of a view, and the end of the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response

from projection.errors import StreamError
from projection.history.latest import MOST as MOST_LOGGED
from projection.model.ids import TenantId, ViewId
from projection.ops.http.access import OfOperator, OfTenant
from projection.ops.http.described import answered, parameter
from projection.ops.http.parameters import read_number, read_texts
from projection.ops.http.problems import RequestError, documented
from projection.ops.http.service import service_of
from projection.ops.http.status_examples import HISTORY, LOG_PAGE, PARKED_DETAILS, PARKED_PAGE
from projection.ops.http.views import log, unless_gone, view_type_of
from projection.query.parked_pages import MOST as MOST_PARKED
from projection.query.parked_pages import parked_event, parked_page
from projection.store.lmdb_reader import LmdbLane

if TYPE_CHECKING:
    from projection.ops.http.service import Service
    from projection.store.build import Build

_JSON = "application/json"
_MOST_EFFECTS = 500
_MOST_PARKED = 50
_SEQUENCE = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_numbers = msgspec.json.Encoder(decimal_format="number").encode
router = APIRouter(tags=["operations"])
Type = Annotated[str, Path(description="The view type.", examples=["fine_summary"])]
_WHOSE = parameter("tenant_id", "Whose event.", {"type": "string"}, "north")


def _limit(what: str, default: int, most: int) -> dict[str, Any]:
    return parameter("limit", f"How many {what}.", {"type": "integer", "minimum": 1, "maximum": most}, default)


@router.get(
    "/v1/parked/{view_type}",
    summary="Parked events of a view type",
    operation_id="parked",
    dependencies=[OfOperator],
    openapi_extra={
        "parameters": [
            parameter("tenant_id", "Only those of a tenant.", {"type": "string"}, "north"),
            parameter("code", "Only those with this error code.", {"type": "string"}, "R720"),
            parameter("cursor", "`next` of the page before.", {"type": "string"}, PARKED_PAGE["next"]),
            _limit("events", _MOST_PARKED, MOST_PARKED),
        ]
    },
    responses={
        **documented("query.cursor_invalid", "query.unknown_view_type"),
        **answered("ParkedPage", PARKED_PAGE, "A page of them."),
    },
)
async def parked(request: Request, view_type: Type) -> Response:
    """Of the build that answers, in the order of tenants, views and the log. With a code, a page may have fewer."""
    given = read_texts(request.scope["query_string"], ("tenant_id", "code", "cursor", "limit"))
    limit = read_number(given, "limit", _MOST_PARKED, MOST_PARKED)
    tenant_id = None if "tenant_id" not in given else _tenant(given["tenant_id"])
    build, reader = _served(service_of(request), view_type)
    page = await asyncio.to_thread(
        parked_page,
        build,
        reader,
        tenant_id=tenant_id,
        code=given.get("code"),
        cursor=given.get("cursor"),
        limit=limit,
    )
    return Response(msgspec.json.encode(page), media_type=_JSON)


@router.get(
    "/v1/parked/{view_type}/{sequence}",
    summary="One parked event",
    operation_id="parkedEvent",
    dependencies=[OfOperator],
    openapi_extra={
        "parameters": [
            _WHOSE,
            parameter(
                "view_id", "The view that it is parked for; left out where it reached none.", {"type": "string"}, "A1"
            ),
        ]
    },
    responses={
        **documented("http.not_found", "query.unknown_view_type"),
        **answered("ParkedDetails", PARKED_DETAILS, "The reason, the place in the program, and the event."),
    },
)
async def one_parked(
    request: Request,
    view_type: Type,
    sequence: Annotated[str, Path(description="The event's number in the log.", examples=["1024"])],
) -> Response:
    """The envelope is the original one."""
    given = read_texts(request.scope["query_string"], ("tenant_id", "view_id"))
    service = service_of(request)
    named = given.get("tenant_id")
    tenant_id = service.operations.settings.tenancy.default if named is None else _tenant(named)
    view_id = None if "view_id" not in given else _view_id(given["view_id"])
    build, reader = _served(service, view_type)
    found = None
    if sequence.isascii() and sequence.isdigit() and len(sequence) < 20:
        found = await asyncio.to_thread(parked_event, build, reader, tenant_id, view_id, int(sequence))
    if found is None:
        hint = f"GET /v1/parked/{build.view_type} lists all parked events"
        raise RequestError("http.not_found", f"event {sequence[:20]} is not parked there", hint=hint)
    return Response(msgspec.json.encode(found), media_type=_JSON)


@router.get(
    "/v1/history/{view_type}",
    summary="The events that made a view",
    operation_id="history",
    openapi_extra={
        "parameters": [
            {**parameter("id", "The view.", {"type": "string", "minLength": 1}, "A1"), "required": True},
            parameter(
                "at",
                "Up to this event, or to the last one stored at this time (RFC 3339) or before.",
                {"type": "string", "minLength": 1},
                "4711",
            ),
            _limit("events are listed, the last ones", 100, _MOST_EFFECTS),
        ]
    },
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
        **answered("HistoryAnswer", HISTORY, "What each event changed in the view, or why it was not applied."),
    },
)
async def history(request: Request, reader: OfTenant, view_type: Type) -> Response:
    """The view is folded again from the log, as by `projection why`, within the limits of views of the past."""
    given = read_texts(request.scope["query_string"], ("id", "at", "limit"))
    limit = read_number(given, "limit", 100, _MOST_EFFECTS)
    if "id" not in given:
        raise RequestError("http.invalid", "the parameter id is missing", hint="name the view")
    past = service_of(request).past
    asking = past.history(reader.tenant_id, view_type_of(view_type), _view_id(given["id"]), given.get("at"), limit)
    try:
        found = await unless_gone(request, asking)
    except StreamError as error:
        log.warning("the history of a view cannot be folded", view_type=view_type, reason=error.message)
        raise RequestError("query.log_unavailable", "the node's log tells why", hint="ask again in a moment") from None
    return Response(_numbers(found), media_type=_JSON)


@router.get(
    "/v1/log",
    summary="The latest messages of the log",
    operation_id="log",
    dependencies=[OfOperator],
    openapi_extra={
        "parameters": [
            parameter("before", "Those before this sequence.", _SEQUENCE, 561470),
            _limit("messages", 50, MOST_LOGGED),
        ]
    },
    responses={
        **documented("query.log_unavailable"),
        **answered("LogPage", LOG_PAGE, "The newest first, and which view types handle each of them."),
    },
)
async def latest(request: Request) -> Response:
    """Of all tenants, including messages that are not events."""
    given = read_texts(request.scope["query_string"], ("before", "limit"))
    limit = read_number(given, "limit", 50, MOST_LOGGED)
    before = read_number(given, "before", 0, 2**63 - 1) or None
    try:
        page = await service_of(request).latest.page(before, limit)
    except StreamError as error:
        log.warning("the log cannot be read", reason=error.message)
        raise RequestError("query.log_unavailable", "the node's log tells why", hint="ask again in a moment") from None
    return Response(msgspec.json.encode(page), media_type=_JSON)


def _served(service: Service, view_type: str) -> tuple[Build, LmdbLane]:
    served = service.queries.serving.of(view_type_of(view_type))
    assert isinstance(served.reader, LmdbLane)  # noqa: S101 - of a node
    return served.build, served.reader


def _view_id(text: str) -> ViewId:
    try:
        return ViewId(text)
    except ValueError as error:
        raise RequestError("http.invalid", str(error)) from None


def _tenant(text: str) -> TenantId:
    try:
        return TenantId(text)
    except ValueError:
        raise RequestError("http.invalid", "the parameter tenant_id is not a tenant id") from None
