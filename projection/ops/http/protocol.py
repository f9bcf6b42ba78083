"""One connection: uvicorn's protocol, with bounds on what a stranger may have it wait for and keep.

A connection ends when a request's head does not come in time or is too large, and when somebody takes too little of
what they asked for: without that, each dead client would keep an answer in memory, for ever.
"""

from __future__ import annotations

import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from projection.ops.http.problems import MEDIA_TYPE, RequestError, problem_of

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 65_536  # of a request line with its headers: a thousand view ids have room in an address
KEEP_ALIVE_S = 75  # between two requests; more than proxies keep theirs
HEAD_S = 10.0  # from the first byte of a request, or from the handshake, to the end of its headers
STALL_S = 30.0  # in which somebody who does not keep up must take a buffer's worth
_STALL_BYTES = 65_536
_NOT_AT_ALL = struct.pack("ii", 1, 0)  # for how long to offer what was sent once a connection is closed
_MAX_PIPELINED = 64  # requests that wait for the answer to an earlier one


class BoundedProtocol(HttpToolsProtocol):
    """See the module; `max_connections` is set by whoever makes a class for a server."""

    max_connections = 2_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = 0  # of a head under way; None: there is none
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more; beyond the limit it is told so."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(RequestError("http.busy", "too many connections are open", headers={"retry-after": "1"}))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()

    # the head of a request

    def data_received(self, data: bytes) -> None:
        """Some bytes; a head that is not whole yet may neither grow nor take its time."""
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + len(data):  # what came at once is measured when it is whole
                self._refuse(head_too_large())
                return
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes and self._head_timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._head_bytes is None:
            self._head_bytes = 1  # how much of these bytes is its own is not known, and does not matter

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._head_bytes = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if len(self.url) >= MAX_HEAD_BYTES:  # more than the library takes apart
            self._refuse(head_too_large())
        if self.transport.is_closing() or len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("this connection is over")  # the parser hands it on to `send_400_response`
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        if self._head_bytes:
            self._refuse(RequestError("http.slow", f"the headers did not come within {HEAD_S:.0f} s"))
        else:
            self.transport.close()  # nobody has asked for anything

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        del msg
        self._refuse(RequestError("http.invalid", "this is no HTTP/1.1 request"))

    def _refuse(self, error: RequestError) -> None:
        """Answer for the application, which has not seen the request, and hang up."""
        if self.transport.is_closing():
            return
        problem = problem_of(error, "")
        body = msgspec.json.encode(problem)
        phrase = HTTPStatus(problem.status).phrase
        lines = [f"HTTP/1.1 {problem.status} {phrase}", f"content-type: {MEDIA_TYPE}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in error.headers.items()]
        if self.cycle is None or self.cycle.response_complete:  # else it would stand in the midst of another answer
            self.transport.write("\r\n".join((*lines, "connection: close", "", "")).encode() + body)
        self.transport.close()

    # the answer

    def pause_writing(self) -> None:
        """Nobody takes what was written."""
        super().pause_writing()
        if self._stall_timer is None:
            self._watch()

    def resume_writing(self) -> None:
        """It was taken."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _watch(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(STALL_S, self._look)

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() > self._unsent - _STALL_BYTES:
            self._drop()
        else:
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked for; an answer that is still not taken is not waited for."""
        if self.transport.get_write_buffer_size():
            self._drop()
        else:
            super().timeout_keep_alive_handler()

    def _drop(self) -> None:
        """End it, and let go of what was not taken: the kernel would go on offering it."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOT_AT_ALL)
        self.transport.abort()


def head_too_large() -> RequestError:
    """The refusal of a request whose address and headers are too large."""
    return RequestError(
        "http.head_too_large",
        f"address and headers may have {MAX_HEAD_BYTES:,} bytes",
        hint="send the query by POST /v1/query",
    )
