"""A TCP proxy in front of a server that lets so many bytes a second through to the client, and keeps few by itself."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_BUFFER = 32 * 1024  # bytes that the proxy holds, beside what the kernel does
_PIECE_S = 0.02


class ThrottledWire:
    """The proxy; `moved` tells how many bytes have come from the server."""

    def __init__(self, url: str, bytes_per_s: int) -> None:
        self._server = int(url.rpartition(":")[2])
        self._piece = max(1, int(bytes_per_s * _PIECE_S))
        self._tasks: set[asyncio.Task[None]] = set()
        self.moved = 0
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        up = socket.socket()
        up.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        up.setblocking(False)
        await asyncio.get_running_loop().sock_connect(up, ("127.0.0.1", self._server))
        from_server, to_server = await asyncio.open_connection(sock=up, limit=_BUFFER)
        back = asyncio.create_task(self._slowly(from_server, writer))
        try:
            with suppress(OSError, asyncio.CancelledError):
                while data := await reader.read(65_536):
                    to_server.write(data)
                    await to_server.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            for one in (writer, to_server):
                one.close()
            self._tasks.discard(task)

    async def _slowly(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(self._piece):
                self.moved += len(data)
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(_PIECE_S * len(data) / self._piece)
        writer.close()
