"""A TCP proxy in front of a NATS server that does one thing wrong, the first so many times a client sends a text."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_API = b"$JS.API."
NOWHERE = b"$JS.APX."  # as long; nobody listens there


class Fault(StrEnum):
    """What becomes of what a client has sent."""

    CUT = "the connection is cut"
    NOBODY = "nobody answers"  # the server says so at once
    UNAUTHORIZED = "the credentials are refused"
    FORBIDDEN = "the permissions do not allow it"


class BrokenWire:
    """The proxy; it forwards everything once it has struck so many times."""

    def __init__(self, url: str, text: str, fault: Fault, times: int = 1) -> None:
        self._server = int(url.rpartition(":")[2])
        self._text, self._fault, self._left = text.encode(), fault, times
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()

    @property
    def has_struck(self) -> bool:
        return not self._left

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        up, down = await asyncio.open_connection("127.0.0.1", self._server)
        back = asyncio.create_task(_copy(up, writer))
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                if self._left and self._text in data:
                    self._left -= 1
                    data = self._struck(data, writer)
                    if data is None:
                        break
                down.write(data)
                await down.drain()
        back.cancel()
        for one in (writer, down):
            one.close()
        self._tasks.discard(task)

    def _struck(self, data: bytes, client: StreamWriter) -> bytes | None:
        """What goes on to the server; None where the connection ends."""
        if self._fault is Fault.CUT:
            return None
        if self._fault is Fault.UNAUTHORIZED:
            client.write(b"-ERR 'Authorization Violation'\r\n")
            return None
        if self._fault is Fault.FORBIDDEN:
            while found := re.search(rb"PUB (\S*%b\S*) \S+ (\d+)\r\n" % re.escape(self._text), data):
                client.write(b"-ERR 'Permissions Violation for Publish to \"%b\"'\r\n" % found[1])
                data = data[: found.start()] + data[found.end() + int(found[2]) + 2 :]
            return data
        return data.replace(_API, NOWHERE)


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
