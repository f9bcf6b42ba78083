"""What every request passes on its way in, and every answer on its way out.

Limits, an id, headers for safety, compression, the log and the metrics: once, around all endpoints.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import structlog

from projection.engine.fault_log import log_fault
from projection.model.traceparent import parse_traceparent
from projection.ops.http.admission import PROBES, STREAMS, WITHOUT_PLACE, Place
from projection.ops.http.compression import compressed, takes_gzip
from projection.ops.http.credentials import only
from projection.ops.http.problems import RequestError, response_of
from projection.ops.http.protocol import MAX_HEAD_BYTES, head_too_large
from projection.query.shares import Shares

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from projection.model.traceparent import TraceParent
    from projection.ops.http.service import Service

log = structlog.get_logger(component="http")

_BODY_S = 30.0  # until a request's body has come
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SAFETY = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"accept-encoding, authorization, x-tenant-id"),
)
_PIECE = 262_144  # bytes that are written at a time: encrypted, what is written at once is nowhere seen to wait
_LAST = (b"connection", b"close")  # of a node that leaves: the next request finds another one
_PRIVATE = (b"cache-control", b"no-store")


class Front:
    """See the module."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._under_way = Shares(service.settings.limits.requests, "requests under way")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever happens, there is an answer."""
        began = perf_counter()
        request_id = _request_id(scope)
        scope["state"] = {"request_id": request_id}
        answer = _Answer(send, request_id, gzip=takes_gzip(scope["headers"]), is_last=self._service.node.is_leaving)
        place = scope["place"] = Place(self._under_way)
        try:
            self._admit(scope)
            if scope["path"] not in WITHOUT_PLACE:
                place.take()
            await self._service.access.look()
            body = _Body(receive, self._service.settings.limits.body_bytes)
            inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope  # uvicorn leaves its body out
            try:
                await self._app(inner, body.receive, answer.send)
            finally:
                inner["method"] = scope["method"]
                scope = inner  # what the router has found stands in it
        except RequestError as error:
            await response_of(error, request_id)(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next request is served
            log_fault(error, "answering a request", request_id=request_id, path=_shown(scope))
            if answer.status is None:
                await response_of(RuntimeError(), request_id)(scope, receive, answer.send)
        finally:
            place.end()
            self._account(scope, answer, perf_counter() - began)

    def _admit(self, scope: Scope) -> None:
        """Let a request in.

        Raises:
            RequestError: it is too large, or nothing that could be asked.
        """
        headers, raw_path = scope["headers"], scope["raw_path"]
        size = len(raw_path) + len(scope["query_string"]) + sum(len(name) + len(value) for name, value in headers)
        if size > MAX_HEAD_BYTES:
            raise head_too_large()
        limits = self._service.settings.limits
        length = only(headers, b"content-length")
        if length is not None and length.isdigit() and int(length) > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        if scope["method"] == "HEAD" and scope["path"] in STREAMS:
            raise RequestError("http.method_not_allowed", "a stream has no end", headers={"allow": "GET"})
        if b"%" in raw_path:
            try:
                scope["path"] = unquote_to_bytes(raw_path).decode()  # uvicorn puts U+FFFD where it is no UTF-8
            except UnicodeDecodeError:
                raise RequestError("http.invalid", "the address is no UTF-8 once it is unescaped") from None

    def _account(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route = scope.get("route")
        endpoint = "none" if route is None else route.path_format
        status = answer.status or 499  # whoever asked had gone
        trace = _trace_of(scope)
        recorded = trace.trace if trace is not None and trace.is_sampled else ""
        self._service.metrics.answered(endpoint, status, seconds, recorded)
        if self._service.traces is not None and (endpoint not in PROBES or status >= HTTPStatus.BAD_REQUEST):
            self._service.traces.answered(scope, trace, None if route is None else endpoint, status, seconds)
        if self._service.settings.access_log and (endpoint not in PROBES or status >= HTTPStatus.BAD_REQUEST):
            log.info(
                "request",
                method=scope["method"],
                path=_shown(scope),
                status=status,
                ms=round(seconds * 1000, 3),
                bytes=answer.size,
                **scope["state"],
                **({} if trace is None else {"trace_id": trace.trace}),
            )


class _Body:
    """A request's body, which may neither be endless nor take for ever."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = self._limit = limit
        self._more = True
        self._until = asyncio.get_running_loop().time() + _BODY_S

    async def receive(self) -> Message:
        """The next part; once all are there, the end of the connection."""
        if not self._more:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                "http.slow", f"the body did not arrive within {_BODY_S:.0f} s", headers={"connection": "close"}
            ) from None
        self._more = message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large(self._limit)
        return message


class _Answer:
    """An answer on its way out."""

    def __init__(self, send: Send, request_id: str, *, gzip: bool, is_last: bool) -> None:
        self.status: int | None = None
        self.size = 0  # bytes of the body, as they are sent
        self._send = send
        self._gzip = gzip
        self._head: Message | None = None  # kept until the body is there that it speaks of
        self._added = (*_SAFETY, (b"x-request-id", request_id.encode()), *([_LAST] if is_last else []))

    async def send(self, message: Message) -> None:
        """Pass on what an endpoint sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            names = {name for name, _ in message["headers"]}
            added = [one for one in (*self._added, _PRIVATE) if one[0] not in names]  # an endpoint may say otherwise
            message = {**message, "headers": [*message["headers"], *added]}
            if b"content-length" in names:
                self._head = message
                return
        elif self._head is not None:
            if self._gzip and not message.get("more_body"):
                await compressed(self._head, message)
            head, self._head = self._head, None
            await self._send(head)
        body = message.get("body", b"")
        self.size += len(body)
        at = 0
        while len(body) - at > _PIECE:
            await self._send({**message, "body": body[at : at + _PIECE], "more_body": True})
            at += _PIECE
        await self._send({**message, "body": body[at:]} if at else message)


def _too_large(limit: int) -> RequestError:
    return RequestError(
        "http.too_large",
        f"a body may have {limit:,} bytes",
        hint="the setting is http.limits.body_bytes",
        headers={"connection": "close"},
    )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return token_hex(8)


def _trace_of(scope: Scope) -> TraceParent | None:
    """The span that a request belongs to; none where several are named."""
    named = [value for name, value in scope["headers"] if name == b"traceparent"]
    return parse_traceparent(named[0].strip(b" \t").decode("latin-1")) if len(named) == 1 else None


def _shown(scope: Scope) -> str:
    return str(scope["raw_path"][:200].decode("latin-1"))
