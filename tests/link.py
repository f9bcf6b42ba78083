"""A network between a client and a server: TCP proxies that are slow, cut connections or let nothing through, if told to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Self, TypeVar

from patience import WITHIN_S
from wire import Wire

if TYPE_CHECKING:
    import random
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")
_BUFFER = 32 * 1024  # bytes that the proxy holds, beside what the kernel does
_PIECE = 65_536
_PIECE_S = 0.02


class Link(Wire):
    """The proxy; it forwards everything at once until it is told otherwise."""

    def __init__(self, url: str, bytes_per_s: int | None = None) -> None:
        super().__init__(url)
        self.bytes_per_s = bytes_per_s
        """Of each connection, in each direction; None: as many as there are."""
        self.moved = 0  # bytes that have come from the server
        self._lifetime: Callable[[], float] | None = None  # of new connections, in bytes of each direction
        self._passes = asyncio.Event()
        self._passes.set()
        self._refuses = False

    def cut(self, dice: random.Random, mean: int) -> None:
        """End all connections, and each later one behind a random number of bytes, in the mean so many."""
        self._lifetime = lambda: 1 + dice.expovariate(1 / mean)
        self.reset()

    def silence(self) -> None:
        """Let nothing through; connections stay, and what is sent comes once the link is whole."""
        self._passes.clear()

    def refuse(self) -> None:
        """End all connections, and take none."""
        self._refuses = True
        self.reset()

    def make_whole(self) -> None:
        """Forward everything at once; connections that are there stay."""
        self.bytes_per_s, self._lifetime, self._refuses = None, None, False
        self._passes.set()

    async def _connected(self) -> tuple[StreamReader, StreamWriter]:
        if self._refuses:
            raise ConnectionRefusedError
        await self._passes.wait()
        up = socket.socket()
        up.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        up.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(up, ("127.0.0.1", self._server))
        except BaseException:
            up.close()
            raise
        return await asyncio.open_connection(sock=up, limit=_BUFFER)

    async def _from_client(self, reader: StreamReader, to_server: StreamWriter, _client: StreamWriter) -> None:
        await self._pass(reader, to_server)

    async def _to_client(self, reader: StreamReader, writer: StreamWriter) -> None:
        await self._pass(reader, writer, self._count)
        writer.close()

    def _count(self, size: int) -> None:
        self.moved += size

    async def _pass(
        self, reader: StreamReader, writer: StreamWriter, count: Callable[[int], None] = lambda _: None
    ) -> None:
        """Pass on what comes until it ends, or as much as this connection is to pass."""
        left = None if self._lifetime is None else int(self._lifetime())
        with suppress(OSError):
            while left != 0 and (data := await reader.read(self._piece)):
                await self._passes.wait()
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                count(len(data))
                writer.write(data)
                await writer.drain()
                if self.bytes_per_s is not None:
                    await asyncio.sleep(len(data) / self.bytes_per_s)

    @property
    def _piece(self) -> int:
        return _PIECE if self.bytes_per_s is None else max(1, int(self.bytes_per_s * _PIECE_S))


class Links:
    """Links in a thread of their own: they go on whatever else this process waits for."""

    def __init__(self) -> None:
        self._links: list[Link] = []

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="links")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            self._run(link.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(self, url: str) -> Link:
        """A link to a server, which need not run."""

        async def made() -> Link:
            return await Link(url).__aenter__()

        self._links.append(self._run(made()))
        return self._links[-1]

    def tell(self, change: Callable[[], object]) -> None:
        """Change links, from the thread of this process that a test runs in."""

        async def changed() -> None:
            change()

        self._run(changed())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_S)
