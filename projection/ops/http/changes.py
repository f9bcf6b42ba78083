"""The stream of changes over HTTP: server-sent events, as fast as the client takes them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from fastapi import APIRouter, Request, Response

from projection.engine.fault_log import log_fault
from projection.errors import StorageError
from projection.ops.http.access import OfTenant  # noqa: TC001 - FastAPI reads it
from projection.ops.http.event_stream import EventStream
from projection.ops.http.parameters import read_parameters
from projection.ops.http.problems import RequestError, documented, problem_of
from projection.ops.http.service import service_of
from projection.query.form import Query, read_filter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from projection.model.query_limits import QueryLimits
    from projection.query.change_feed import Message, Stream

router = APIRouter(tags=["changes"])
log = structlog.get_logger(component="http")

RETRY_MS = 2_000  # until a client that lost its connection comes back
_TRUTHS = {"true": True, "false": False}
_ONCE = ("view", "filter", "snapshot", "last_event_id")
_TEXT = {"type": "string"}


def _parameter(name: str, description: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema or _TEXT, **more}


PARAMETERS = [
    _parameter("view", "The view type.", required=True, example="fine_summary"),
    _parameter("filter", "The filter: a condition, or the JSON of a structured one.", example='status == "paid"'),
    _parameter("select", "The fields, separated by commas; all by default.", example="status,balance"),
    _parameter(
        "snapshot",
        "Whether all current views are sent first, if there is no event id of this node to resume from.",
        {"type": "boolean", "default": False},
    ),
    _parameter("last_event_id", "Where to resume, for clients that cannot send the header."),
    {**_parameter("Last-Event-ID", "Where to resume: the id of the last event received."), "in": "header"},
]
EXAMPLE = (
    "retry: 2000\n\n"
    "event: changed\nid: 4kq0…\n"
    'data: {"id":"A1","scanned":4711,"degraded":false,"view":{"balance":0.00,"status":"paid"}}\n\n'
    "event: level\nid: 4kq1…\n"
    'data: {"build":1,"program":"9b1c…","scanned":4711,"as_of":"2026-03-01T09:30:00Z","incomplete":false}\n\n'
)


@router.get(
    "/v1/changes",
    summary="What changes",
    operation_id="changes",
    openapi_extra={"parameters": PARAMETERS},
    responses={
        **documented(
            "query.busy",
            "query.changes_off",
            "query.cursor_invalid",
            "query.invalid",
            "query.limit",
            "query.unknown_view_type",
        ),
        200: {
            "description": "Server-sent events, without end.",
            "content": {"text/event-stream": {"schema": _TEXT, "example": EXAMPLE}},
        },
    },
)
async def changes(request: Request, reader: OfTenant) -> Response:
    """The changed views of a type, the newest state of each, as server-sent events; see docs/changes.md."""
    service = service_of(request)
    query, present, last = _asked(request, service.queries.limits)
    await service.changes.ready(query)
    stream = service.changes.open(reader.tenant_id, query, last=last, present=present)
    return EventStream(_frames(stream, request.state.request_id), service.stopping, stream.close)


def _asked(request: Request, limits: QueryLimits) -> tuple[Query, bool, str | None]:
    """What is to be followed, whether all present views come first, and the id to go on from."""
    given: dict[str, str] = {}
    selected: list[str] = []
    for name, text in read_parameters(request.scope["query_string"]):
        if name == "select":
            selected += text.split(",")
        elif name not in _ONCE:
            raise RequestError("http.invalid", f"the parameter {name[:80]!r} means nothing here")
        elif name in given:
            raise RequestError("http.invalid", f"the parameter {name} is there twice")
        else:
            given[name] = text
    if "view" not in given:
        raise RequestError("http.invalid", "the parameter view is missing", hint="name the view type")
    if given.get("snapshot", "false") not in _TRUTHS:
        raise RequestError("http.invalid", "the parameter snapshot is not true or false")
    query = Query.read({"view": given["view"], **({"select": selected} if selected else {})})
    if "filter" in given:
        query = query.model_copy(update={"filter": read_filter(given["filter"], limits)})
    # A browser that comes back sends the header, and the address that it began with.
    last = request.headers.get("last-event-id") or given.get("last_event_id") or None
    return query, _TRUTHS[given.get("snapshot", "false")], last


async def _frames(stream: Stream, request_id: str) -> AsyncGenerator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        async with aclosing(stream.messages()) as messages:
            async for some in messages:
                frames = b"".join(map(_frame, some))
                some.clear()  # what is in them need not wait for the client twice
                yield frames
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told, and others go on
        log_fault(error, "sending changes", request_id=request_id)
        if isinstance(error, StorageError):
            log.warning("a stream of changes ends", request_id=request_id, reason=error.message)
        yield b"event: problem\ndata: %b\n\n" % msgspec.json.encode(problem_of(error, request_id))


def _frame(message: Message) -> bytes:
    """A message as it is sent. No JSON that we write has a line feed; a block without data is no event to a client."""
    if message.event is None:
        return b":\nid: %b\n\n" % message.id.encode()
    data = msgspec.json.encode(message.event)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (message.event.name.encode(), message.id.encode(), data)
