"""A TCP proxy in front of a server that lets so many bytes a second through to the client, and keeps few by itself."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from wire import Wire

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_BUFFER = 32 * 1024  # bytes that the proxy holds, beside what the kernel does
_PIECE_S = 0.02


class ThrottledWire(Wire):
    """The proxy; `moved` tells how many bytes have come from the server."""

    def __init__(self, url: str, bytes_per_s: int) -> None:
        super().__init__(url)
        self._piece = max(1, int(bytes_per_s * _PIECE_S))
        self.moved = 0

    async def _connected(self) -> tuple[StreamReader, StreamWriter]:
        up = socket.socket()
        up.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        up.setblocking(False)
        await asyncio.get_running_loop().sock_connect(up, ("127.0.0.1", self._server))
        return await asyncio.open_connection(sock=up, limit=_BUFFER)

    async def _to_client(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(self._piece):
                self.moved += len(data)
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(_PIECE_S * len(data) / self._piece)
        writer.close()
