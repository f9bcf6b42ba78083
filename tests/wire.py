"""A TCP proxy in front of a NATS server; what it does to what passes is its subclasses'."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter


class Wire:
    """The proxy, with an `url` of its own while it is entered; where no server runs, it ends connections at once."""

    def __init__(self, url: str) -> None:
        self._server = int(url.rpartition(":")[2])
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """End all connections that there are."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _join(self, reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await self._connected()
        back = asyncio.create_task(self._to_client(from_server, writer))
        try:
            await self._from_client(reader, to_server, writer)
        finally:
            to_server.close()  # before anything is waited for: a second reset would end the waiting
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    async def _connected(self) -> tuple[StreamReader, StreamWriter]:
        """The way to the server."""
        return await asyncio.open_connection("127.0.0.1", self._server)

    async def _from_client(self, reader: StreamReader, to_server: StreamWriter, client: StreamWriter) -> None:
        """Pass on what a client sends, until it ends."""
        while data := await reader.read(65_536):
            passed = self._to_server(data, client)
            if passed is None:
                break
            to_server.write(passed)
            await to_server.drain()

    def _to_server(self, data: bytes, _client: StreamWriter) -> bytes | None:
        """What goes on to the server of what a client has sent; None where the connection ends."""
        return data

    async def _to_client(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass on what comes from the server, until it ends."""
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()
