"""One connection: uvicorn's protocol, with bounds on what a stranger may have it wait for and keep.

Whatever a client sends, a connection keeps one head, some requests that wait for their turn, and a buffer of a body.
It ends when a head does not come in time or is too large, when a request goes on behind its answer, and when somebody
takes too little of what they asked for: without that, each dead client would keep an answer in memory, for ever.
"""

from __future__ import annotations

import socket
import struct
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from projection.ops.http.problems import MEDIA_TYPE, RequestError, problem_of

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application, HTTPScope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from projection.ops.http.connections import Connections

MAX_HEAD_BYTES = 65_536  # of a request line with its headers: a thousand view ids have room in an address
MAX_HEADERS = 100  # of a request: each takes some 130 bytes beyond its own
KEEP_ALIVE_S = 75  # between two requests; more than proxies keep theirs
HEAD_S = 10.0  # from the first byte of a request, or from the handshake, to the end of its headers
HALF_CLOSED_S = 2.0  # for the answer to a client that sends nothing any more, and may have gone
STALL_S = 30.0  # in which somebody who does not keep up must take a buffer's worth
MAX_DISCARDED_BYTES = 1_048_576  # of a body behind its answer: what was on its way when the answer was sent
_STALL_BYTES = 65_536
_SLICE = 16_384  # that the parser is given at a time; so much more than a limit may come until it is noticed
_NOT_AT_ALL = struct.pack("ii", 1, 0)  # for how long to offer what was sent once a connection is closed
_MAX_PIPELINED = 64  # requests that wait for the answer to an earlier one
_HEADER_BYTES = 128  # that a header takes beside its name and value


class _Part(Enum):
    """Which part of a request comes next."""

    START = "start"  # nothing of it is there
    HEAD = "head"
    REST = "rest"  # body and trailers


class BoundedProtocol(HttpToolsProtocol):
    """See the module; whoever starts a server binds its `Connections`."""

    def __init__(self, all_of_them: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = all_of_them
        self._part = _Part.START
        self._framing = 0  # bytes of this request that are not of its body: head, sizes of chunks, trailers
        self._framing_limit = MAX_HEAD_BYTES
        self._discarded = 0  # bytes of its body that came behind its answer
        self._request_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._half_closed_timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._answered: RequestResponseCycle | None = None  # the request whose answer is sent, or was sent last
        self._held: tuple[RequestResponseCycle, ASGI3Application] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more; beyond the limit it is told so."""
        super().connection_made(transport)
        if self._all.add(self):
            self._await_request()
        else:
            self._refuse(_too_many_connections())

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        self._all.remove(self)
        for timer in (self._request_timer, self._stall_timer, self._half_closed_timer):
            if timer is not None:
                timer.cancel()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more: it has gone, or it has closed its side only and still takes its answer.

        Both look alike until something is sent. So an answer that is there soon is sent, and others are not waited for.
        """
        is_asked = self._part is _Part.START and not self._is_idle()
        if not is_asked or self.scheme == "https":  # encrypted, there is no half
            return False
        self._half_closed_timer = self.loop.call_later(HALF_CLOSED_S, self.transport.close)
        return True

    # a request

    def data_received(self, data: bytes) -> None:
        """Some bytes; what is neither body nor a whole head may neither grow nor take its time."""
        for at in range(0, len(data), _SLICE):
            some = data[at : at + _SLICE]
            self._framing += len(some)
            super().data_received(some)
            if self.transport.is_closing():
                return
            if self._framing > self._framing_limit + _SLICE:  # of a slice, something may be of the request before
                self._refuse(head_too_large())
                return
        if self._is_idle():
            if self._framing:  # line ends between two requests
                self._await_request()
            elif self.timeout_keep_alive_task is None and self.cycle is not None:
                self.timeout_keep_alive_task = self.loop.call_later(KEEP_ALIVE_S, self.timeout_keep_alive_handler)
        elif self._part is _Part.HEAD:
            self._await_request()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._part = _Part.HEAD
        self._framing = max(self._framing, 1)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Trailers are left out (RFC 9110, 6.5.1): whoever stands in front has not looked at them."""
        if self._part is _Part.REST:
            return
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._refuse(too_many_headers())
            raise ValueError("this connection is over")  # the parser hands it on to `send_400_response`

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._part = _Part.REST
        self._framing, self._framing_limit, self._discarded = 0, MAX_HEAD_BYTES, 0
        self._stop_awaiting()
        if len(self.url) >= MAX_HEAD_BYTES:  # more than the library takes apart
            self._refuse(head_too_large())
        if not self.transport.is_closing() and not self._all.begin(self, self.url):
            self._refuse(_too_many_connections())
        if self.transport.is_closing():
            raise ValueError("this connection is over")
        super().on_headers_complete()
        waiting = [cycle.scope for cycle, _ in self.pipeline]
        if len(waiting) > _MAX_PIPELINED or sum(map(_size, waiting)) > MAX_HEAD_BYTES:
            raise ValueError("too much waits for the answer to an earlier request")

    def on_body(self, body: bytes) -> None:
        """A part of its body; behind its answer, nobody reads it."""
        self._framing = max(0, self._framing - len(body))  # where a slice began with the head, that is counted already
        self._framing_limit += len(body) // 2  # chunks that are mostly size and extension carry nothing
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.transport.close()

    def on_message_complete(self) -> None:
        """It is whole."""
        super().on_message_complete()
        self._part = _Part.START
        self._framing, self._framing_limit = 0, MAX_HEAD_BYTES
        self._stop_awaiting()

    def on_response_complete(self) -> None:
        """It is answered; what has not come of it yet must come soon, and nobody reads it."""
        if not self.flow.write_paused:
            self._has_flowed()
        super().on_response_complete()
        if self.cycle.response_complete:
            self._all.rest(self)
            if self._half_closed_timer is not None:
                self.transport.close()
            if self._part is _Part.REST and not self.transport.is_closing():
                self._await_request()

    def make_room(self) -> None:
        """See `Connection`."""
        if self.unsent():
            self._drop()
        else:
            self.transport.abort()

    def _is_idle(self) -> bool:
        """Whether no request is under way, and nothing of one has come."""
        return self._part is _Part.START and (self.cycle is None or self.cycle.response_complete)

    def _await_request(self) -> None:
        if self._request_timer is None:
            self._request_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_awaiting(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _give_up(self) -> None:
        if self._part is _Part.HEAD:
            self._refuse(RequestError("http.slow", f"the headers did not arrive within {HEAD_S:.0f} s"))
        else:
            self.transport.close()  # nobody has asked for anything, or all is answered

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        del msg
        self._refuse(RequestError("http.invalid", "this is no HTTP/1.1 request"))

    def _refuse(self, error: RequestError) -> None:
        """Answer for the application, and hang up."""
        if self.transport.is_closing():
            return
        problem = problem_of(error, "")
        body = msgspec.json.encode(problem)
        phrase = HTTPStatus(problem.status).phrase
        lines = [f"HTTP/1.1 {problem.status} {phrase}", f"content-type: {MEDIA_TYPE}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in error.headers.items()]
        if self._is_to_be_answered():
            self.transport.write("\r\n".join((*lines, "connection: close", "", "")).encode() + body)
            if self.cycle is not None:
                self.cycle.disconnected = True  # whatever the application still says of it
        self.transport.close()
        self._all.rest(self)

    def _is_to_be_answered(self) -> bool:
        """Whether an answer that is written now is the answer to the request that is coming in."""
        cycle = self.cycle
        if self._part is _Part.REST and cycle is not None and cycle.scope is self.scope:
            return not self.pipeline and not cycle.response_started
        return cycle is None or cycle.response_complete

    # the answer

    def pause_writing(self) -> None:
        """Nobody takes what was written."""
        super().pause_writing()
        self._all.stalls(self)
        if self._stall_timer is None and not self.transport.is_closing():
            self._watch()

    def resume_writing(self) -> None:
        """It was taken."""
        super().resume_writing()
        self._has_flowed()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        if self._held is not None and not self.transport.is_closing():
            held, self._held = self._held, None
            self._start_asgi_task(*held)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin with a request, once the answer before it was taken: no connection keeps two."""
        if self.flow.write_paused:
            self._held = cycle, app
        else:
            self._answered = cycle
            super()._start_asgi_task(cycle, app)

    def unsent(self) -> int:
        """See `Stalled`. What was not written yet of an answer counts: the application keeps it."""
        answered = self._answered
        left = 0 if answered is None or answered.response_complete else answered.expected_content_length
        return self.transport.get_write_buffer_size() + left

    def _has_flowed(self) -> None:
        if self._answered is None or self._answered.response_complete:
            self._all.flows(self)

    def _watch(self) -> None:
        self._unsent = self.unsent()
        self._stall_timer = self.loop.call_later(STALL_S, self._look)

    def _look(self) -> None:
        if self.unsent() > self._unsent - _STALL_BYTES:
            self._drop()
        else:
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked for; an answer that is still not taken is not waited for."""
        if self.unsent():
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


def too_many_headers() -> RequestError:
    """The refusal of a request with too many headers."""
    return RequestError("http.head_too_large", f"a request may have {MAX_HEADERS} headers", hint="send fewer headers")


def _too_many_connections() -> RequestError:
    return RequestError("http.busy", "too many connections are open", headers={"retry-after": "1"})


def _size(scope: HTTPScope) -> int:
    """About how many bytes a request takes while it waits: its head, and what its headers take beside that."""
    address = len(scope["raw_path"]) + len(scope["query_string"])
    return address + sum(len(name) + len(value) + _HEADER_BYTES for name, value in scope["headers"])
