"""Frames of the NATS protocol, taken from the buffer in bulk: a parser in the place of the library's own.

The library makes an object, a queue entry and several coroutine calls of every message, which costs more than all else
that the node does with it. Here the frames of chosen subscriptions go to their receivers as they stand in the buffer.
Everything else goes to the library's parser, frame for frame: the connection, TLS, pings, errors and all other
subscriptions stay its business. Where the library is one that we do not know, nothing is replaced.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from inspect import iscoroutinefunction
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_KNOWN = (2, 12), (2, 17)  # versions of nats-py whose insides were looked at: from the first on, below the second
_MESSAGE = re.compile(rb"(H)?MSG\s+(\S+)\s+(\S+)\s+(?:(\S+)[^\S\r\n]+)?(?(1)(\d+)\s+)(\d+)\r\n")  # as lax as theirs
_END = b"\r\n"
_ERROR = b"-ERR"
_SLOW_S = 0.25  # a frame that takes longer than that comes by a slow link


class Delivery(Protocol):
    """What comes for a subscription; the library's own messages are such."""

    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def reply(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> bytes: ...  # noqa: D102
    @property
    def headers(self) -> dict[str, str] | None: ...  # noqa: D102


class FrameDelivery(NamedTuple):
    """A delivery with the block of its headers as it came."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None
    block: bytes


class Receiver(Protocol):
    """Takes what comes for one subscription: everything, in order, by either method."""

    def receive(self, delivery: Delivery) -> None:
        """Take one message."""

    def receive_frames(self, data: bytes, position: int, sid: bytes) -> int:
        """Take as many frames as stand whole in the buffer and need no second look; where the next one begins.

        Args:
            data: the buffer.
            position: where a frame begins, of any kind.
            sid: the subscription's number, as it stands in its frames. What has another one is not the receiver's.
        """


class FrameParser:
    """Has what the library's client calls of its parser."""

    def __init__(self, parser: Any, headers_of: Callable[[bytes], Awaitable[dict[str, str] | None]]) -> None:
        self._parser = parser  # the library's; it is given whole frames only
        self._headers_of = headers_of
        self._receivers: dict[bytes, Receiver] = {}
        self._sid = b""  # of the receiver whose frames came last
        self._parts: list[bytes] = []  # of a frame that is not whole yet
        self._missing = 0  # how many bytes must come before it can be
        self._resets = 0
        self.heard_in_part = 0.0  # when bytes of a frame came last that is not whole yet; 0: it is
        self.slow_s = 0.0  # that frames took to come in, those that took long
        self._began = 0.0  # when the frame that is not whole began to come
        self.last_error = ""  # of the server, as it wrote it; the library hands it on in lower case

    def add(self, sid: int, receiver: Receiver) -> None:
        """Give a subscription's frames to a receiver, from the next frame on."""
        self._receivers[b"%d" % sid] = receiver

    def remove(self, sid: int) -> None:
        """Leave a subscription's frames to the library again."""
        self._receivers.pop(b"%d" % sid, None)

    def reset(self) -> None:
        """Forget what is not whole: the connection is another one."""
        self._parts, self.heard_in_part = [], 0.0
        self._resets += 1
        self._parser.reset()

    @property
    def spent_s(self) -> float:
        """Seconds that were spent on frames that took long to come in, up to now: nothing else could come meanwhile."""
        took = monotonic() - self._began if self._parts else 0.0
        return self.slow_s + (took if took > _SLOW_S else 0.0)

    async def parse(self, data: bytes = b"") -> None:
        """Hand over all frames that are whole now. Raises what the library's parser raises."""
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                self.heard_in_part = monotonic()
                return
            self.slow_s, self.heard_in_part = self.spent_s, 0.0
            data = b"".join(self._parts)  # once a frame, however many parts it came in
            self._parts = []
        position, resets = 0, self._resets
        while position < len(data):
            receiver = self._receivers.get(self._sid)
            if receiver is not None and (behind := receiver.receive_frames(data, position, self._sid)) > position:
                position = behind
                continue
            position, self._missing = await self._one(data, position)
            if resets != self._resets:
                return  # while we waited; the rest is of a connection that is gone
            if self._missing:
                self._parts = [data[position:]]
                self._began = self.heard_in_part = monotonic()
                return

    async def _one(self, data: bytes, position: int) -> tuple[int, int]:
        """Hand over one frame, whatever it is; where the next one begins, and how many bytes are missing till then."""
        if (frame := _MESSAGE.match(data, position)) is None:
            end = data.find(_END, position) + len(_END)
            if end < len(_END):
                return position, 1  # at least
            if data.startswith(_ERROR, position):
                self.last_error = data[position + len(_ERROR) : end].strip(b" '\r\n").decode(errors="replace")
            await self._parser.parse(data[position:end])
            return end, 0
        _, subject, sid, reply, header_size, size = frame.groups()
        start = frame.end()
        end = start + int(size) + len(_END)
        if end > len(data):
            return position, end - len(data)
        if (receiver := self._receivers.get(sid)) is None:
            await self._parser.parse(data[position:end])
        elif sid != self._sid:
            self._sid = sid
            return position, 0  # the receiver may take this one and more at once
        else:
            body = start + int(header_size or 0)
            block, message = data[start:body], data[body : end - len(_END)]
            headers = await self._headers_of(block)
            receiver.receive(FrameDelivery(_text(subject), _text(reply or b""), message, headers, block))
        return end, 0


def _text(subject: bytes) -> str:
    # The library ends reading, for ever, on a subject that is no UTF-8; to a server and other clients it may be one.
    return subject.decode(errors="backslashreplace")


def read_frames(client: Any) -> None:
    """Put a parser of ours into a client of the library that has not connected yet, if it is one that we know."""
    parser = getattr(client, "_ps", None)
    headers_of = getattr(client, "_process_headers", None)
    if (
        _library_is_known()
        and iscoroutinefunction(getattr(parser, "parse", None))
        and callable(getattr(parser, "reset", None))
        and iscoroutinefunction(headers_of)
    ):
        client._ps = FrameParser(parser, headers_of)  # noqa: SLF001 - there is no public way


def parser_of(client: Any) -> FrameParser | None:
    """Our parser in this client; None where there is none of ours."""
    parser = getattr(client, "_ps", None)
    return parser if isinstance(parser, FrameParser) else None


def frames_of(client: Any, subscription: Any) -> tuple[FrameParser, int] | None:
    """Our parser in this client, and the number of a subscription there; None where there is no parser of ours."""
    parser, sid = parser_of(client), getattr(subscription, "_id", None)
    return (parser, sid) if parser is not None and isinstance(sid, int) else None


@cache
def _library_is_known() -> bool:
    first, behind = _KNOWN
    try:
        major, minor, *_ = version("nats-py").split(".")
        return first <= (int(major), int(minor)) < behind
    except ValueError:
        return False
