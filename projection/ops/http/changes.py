"""The stream of changes over HTTP: server-sent events, as fast as the client takes them.

Every write waits until the connection has taken the one before, so that no more than one chunk is held for a client
that does not read; the connection's own rule (`protocol.py`) ends one that takes nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from projection.engine.fault_log import log_fault
from projection.errors import StorageError
from projection.ops.http.access import OfTenant  # noqa: TC001 - FastAPI reads it
from projection.ops.http.parameters import read_parameters
from projection.ops.http.problems import RequestError, documented, problem_of
from projection.ops.http.service import service_of
from projection.query.form import Query, read_filter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Receive, Scope, Send

    from projection.model.query_limits import QueryLimits
    from projection.query.change_feed import Message, Stream

router = APIRouter(tags=["changes"])
log = structlog.get_logger()

RETRY_MS = 2_000  # until a client that lost its connection comes back
_LAST_WORD_S = 1.0  # for the end of a stream, where the client does not read
_TRUTHS = {"true": True, "false": False}
_ONCE = ("view", "filter", "snapshot", "last_event_id")
_TEXT = {"type": "string"}


def _parameter(name: str, description: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema or _TEXT, **more}


PARAMETERS = [
    _parameter("view", "The view type.", required=True, example="fine_summary"),
    _parameter("filter", "Which views: a condition, or the JSON of a structured filter.", example='status == "paid"'),
    _parameter("select", "Which fields of them, with commas; all by default.", example="status,balance"),
    _parameter(
        "snapshot",
        "Whether all present views come first, where there is no event id to go on from.",
        {"type": "boolean", "default": False},
    ),
    _parameter("last_event_id", "Where to go on, for those who cannot send the header."),
    {**_parameter("Last-Event-ID", "Where to go on: the id of the last event that came."), "in": "header"},
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
    return EventStream(stream, service.stopping, request.state.request_id)


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


class EventStream(Response):
    """A stream of changes as a response; it ends with the connection, or when the server stops."""

    def __init__(self, stream: Stream, stopping: asyncio.Event, request_id: str) -> None:
        self._stream = stream
        self._stopping = stopping
        self._request_id = request_id
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep events back
        ]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes until somebody ends it."""
        with self._stream:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            work = asyncio.ensure_future(self._send_all(send))
            ends = [asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._stopping.wait())]
            try:
                await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                for task in (work, *ends):
                    task.cancel()
                await asyncio.gather(work, *ends, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_S):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._frames()) as frames:
            async for frame in frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        yield b"retry: %d\n\n" % RETRY_MS
        try:
            async with aclosing(self._stream.messages()) as messages:
                async for some in messages:
                    frames = b"".join(map(_frame, some))
                    some.clear()  # what is in them need not wait for the client twice
                    yield frames
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told, and others go on
            log_fault(error, "sending changes", request_id=self._request_id)
            if isinstance(error, StorageError):
                log.warning("a stream of changes ends", request_id=self._request_id, reason=error.message)
            problem = problem_of(error, self._request_id)
            yield b"event: problem\ndata: %b\n\n" % msgspec.json.encode(problem)


def _frame(message: Message) -> bytes:
    """A message as it is sent. No JSON that we write has a line feed; a block without data is no event to a client."""
    if message.event is None:
        return b":\nid: %b\n\n" % message.id.encode()
    data = msgspec.json.encode(message.event)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (message.event.name.encode(), message.id.encode(), data)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
