"""A node that answers in the test's own event loop, and clients of its change feed: good ones, slow ones, dead ones."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from patience import WITHIN_S, eventually

from projection.ops.http.server import Listener, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from node_support import Site

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node
    from projection.ops.http.service import Service


class Answering(NamedTuple):
    """A node that follows its log and answers."""

    node: Node
    service: Service
    port: int

    async def scanned(self, sequence: int) -> None:
        """Wait until it is committed up to here."""
        await eventually(lambda: min(lane.position.scanned for lane in self.node.lanes) >= sequence)


@asynccontextmanager
async def answering(
    site: Site, deployed: tuple[DeployedView, ...], *, new_build: bool = False, **http: Any
) -> AsyncIterator[Answering]:
    """The node runs until the end of the block."""
    settings = site.settings(http={"listen": "127.0.0.1:0", "access_log": False, **http})
    with Listener.open(settings) as listener:
        async with site.node(deployed, new_build=new_build) as node:
            running = asyncio.create_task(node.run())
            try:
                async with serving(listener, node, site.catalog, settings) as service:
                    yield Answering(node, service, listener.bound.getsockname()[1])
            finally:
                node.stop()
                await asyncio.wait_for(running, WITHIN_S)


class Told(NamedTuple):
    """An event as a client has it."""

    name: str  # empty: only an id, or a comment
    data: Any
    id: str | None


class Stream:
    """A client that reads; it speaks just enough HTTP to see every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last: str | None = None  # the id of the last block that had one
        self.blocks: list[str] = []
        self._text = ""  # that came and is not a whole block yet

    async def begin(self) -> Stream:
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return self

    async def body(self) -> bytes:
        """Of an answer that has an end."""
        return await self._reader.readexactly(int(self.headers["content-length"]))

    async def told(self) -> AsyncIterator[Told]:
        """Block by block, comments and lone ids too; ends where the server ends it."""
        while True:
            while "\n\n" in self._text:
                block, _, self._text = self._text.partition("\n\n")
                self.blocks.append(block)
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                self.last = fields.get("id", self.last)
                yield Told(fields.get("event", ""), json.loads(fields.get("data", "null")), fields.get("id"))
            if not (chunk := await self._chunk()):
                return
            self._text += chunk

    async def _chunk(self) -> str:
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        return (await self._reader.readexactly(size + 2))[:-2].decode()

    async def until(self, name: str, *, scanned: int = 0) -> list[Told]:
        """Events up to one of this name that stands at this position or behind; what has no name is left out."""
        found: list[Told] = []
        async with asyncio.timeout(WITHIN_S):
            async for one in self.told():
                if one.name:
                    found.append(one)
                if one.name == name and (not scanned or one.data["scanned"] >= scanned):
                    return found
        raise AssertionError(f"the stream ended before a {name}: {found}")

    def close(self) -> None:
        self._writer.transport.abort()


def request(tenant: str, *, path: str = "/v1/changes", headers: dict[str, str] | None = None, **params: Any) -> bytes:
    """What is sent to follow the tallies of a tenant."""
    address = f"{path}?{urlencode({'view': 'tallies', **params})}"
    lines = [f"GET {address} HTTP/1.1", "host: localhost", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    return "\r\n".join((*lines, "x-tenant-id: ")).encode() + tenant.encode() + b"\r\n\r\n"


@asynccontextmanager
async def following(
    port: int, tenant: str = "a", headers: dict[str, str] | None = None, **params: Any
) -> AsyncIterator[Stream]:
    """A client that follows the tallies of a tenant."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    stream = Stream(reader, writer)
    try:
        writer.write(request(tenant, headers=headers, **params))
        yield await stream.begin()
    finally:
        stream.close()


async def not_reading(port: int, tenant: str = "a", **params: Any) -> socket.socket:
    """A client that asks and then reads nothing; its kernel takes as little as it can be made to."""
    dead = socket.socket()
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(dead, ("127.0.0.1", port))
    await loop.sock_sendall(dead, request(tenant, **params))
    return dead
