"""Server-sent events as a response.

Every write waits until the connection has taken the one before, so that no more than one chunk is held for a client
that does not read; the connection's own rule (`protocol.py`) ends one that takes nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

_LAST_WORD_S = 1.0  # for the end of a stream, where the client does not read


class EventStream(Response):
    """Events as they come; they end by themselves, with the connection, or when the server stops."""

    def __init__(
        self, frames: AsyncGenerator[bytes], stopping: asyncio.Event, on_end: Callable[[], None] | None = None
    ) -> None:
        """The response that sends these frames until `stopping`.

        Args:
            frames: each of them is one event or more.
            stopping: set when the server stops.
            on_end: called at the end, also where no frame was ever asked for.
        """
        self._frames = frames
        self._stopping = stopping
        self._on_end = on_end
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep events back
        ]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes until somebody ends it."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_until_an_end(receive, send)
        finally:
            if self._on_end is not None:
                self._on_end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_until_an_end(self, receive: Receive, send: Send) -> None:
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

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            async for frame in frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
