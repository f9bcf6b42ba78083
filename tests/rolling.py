"""Nodes behind a balancer, and what goes on while they are restarted: events that come, readers, and followers."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from itertools import count, islice
from typing import TYPE_CHECKING

import httpx
from patience import WITHIN_MS, WITHIN_S, eventually

from projection.client import AsyncClient, CursorInvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

TENANT = "a"
RATE = 500  # events a second
_BATCH = 25
_VIEWS = 40
_SOME = 20  # reads after which something is taken to go on
_END = "end"  # the view of the last event of all, which is compared with nothing


class Balancer:
    """Leads each connection to one of the nodes that are in turn, and passes on what is said in both directions."""

    def __init__(self, ports: list[int]) -> None:
        """A balancer of these ports, which may change at any time."""
        self._ports = ports
        self._turn = count()
        self.open: Counter[int] = Counter()  # connections by port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen until the end of the block; where."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await eventually(lambda: not self.open.total())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._ports[next(self._turn) % len(self._ports)]
        self.open[port] += 1
        try:
            node_reader, node_writer = await asyncio.open_connection("127.0.0.1", port)
            ways = [
                asyncio.create_task(_passed_on(reader, node_writer)),
                asyncio.create_task(_passed_on(node_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                node_writer.close()
        except OSError:
            pass  # whoever connected sees that the connection ends
        finally:
            writer.close()
            self.open[port] -= 1


async def _passed_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()


class Load:
    """500 events a second, readers that read what they have read or newer, and followers that keep all views."""

    def __init__(self, view_type: str, publish: Callable[[list[str]], Awaitable[int]]) -> None:
        """Nothing goes on yet.

        Args:
            view_type: of views that count their events in `events`.
            publish: one event for each of these views; returns the sequence of the last one.
        """
        self._view_type = view_type
        self._publish = publish
        self.sent: Counter[str] = Counter()  # events by view
        self.reads = 0
        self.broken: Counter[int] = Counter()  # reads whose connection ended, by reader
        self.resets: Counter[int] = Counter()  # by follower
        self.refused = 0  # followers whose id another node did not take
        self._stopped = asyncio.Event()
        self._last: int | None = None  # the sequence of the last event, once nothing more comes

    async def begin(self) -> int:
        """Have each view made, so that there is something to read; the sequence of the last event."""
        return await self._send([f"v{number}" for number in range(_VIEWS)])

    async def _send(self, ids: list[str]) -> int:
        last = await self._publish(ids)
        self.sent.update(ids)
        return last

    async def publish_on(self) -> None:
        """Publish events until it is told to end."""
        ids = (f"v{number % _VIEWS}" for number in count())
        while not self._stopped.is_set():
            await self._send([*islice(ids, _BATCH)])
            await asyncio.sleep(_BATCH / RATE)

    async def read_on(self, reader: int, url: str) -> None:
        """Read one view until it is told to end: each answer holds what the one before held."""
        path, least, events = f"{url}/v1/views/{self._view_type}/v1", 1, 0
        async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False, headers={"x-tenant-id": TENANT}) as client:
            while not self._stopped.is_set():
                params = {"min_sequence": least, "wait_ms": WITHIN_MS}
                try:
                    answer = await client.get(path, params=params)
                except httpx.TransportError:
                    self.broken[reader] += 1
                    answer = await client.get(path, params=params)  # by another connection, which must do
                assert answer.status_code == 200, answer.text
                told = answer.json()
                assert told["scanned"] >= least
                assert told["view"]["events"] >= events
                least, events = told["scanned"], told["view"]["events"]
                self.reads += 1

    async def follow_on(self, follower: int, url: str) -> dict[str, int]:
        """Follow all views until the last event is in them; how many events each has."""
        async with AsyncClient(url, tenant=TENANT, timeout_s=WITHIN_S) as client:
            while True:
                views: dict[str, int] = {}
                try:
                    async for change in client.changes(self._view_type, snapshot=True):
                        if change.kind == "changed":
                            views[change.id] = change.view["events"]
                        elif change.kind == "reset":
                            self.resets[follower] += 1
                            views.clear()
                        elif change.kind == "level" and self._last is not None and change.scanned >= self._last:
                            views.pop(_END, None)
                            return views
                        assert change.kind in ("changed", "reset", "level")
                except CursorInvalidError:
                    self.refused += 1

    async def some_reads(self, going_on: asyncio.Task[None]) -> None:
        """Wait until some more reads were answered."""
        before = self.reads
        await eventually(lambda: self.reads >= before + _SOME, going_on)

    async def end(self, publishing: asyncio.Task[None]) -> int:
        """Have no more events come; the sequence of the last one that counts."""
        self._stopped.set()
        await publishing
        self._last = await self._send(["v0"])
        await self._publish([_END])  # followers are told of this one when they know that it is the end
        return self._last


async def events_of_views(url: str, view_type: str) -> dict[str, int]:
    """How many events each view has at a node."""
    async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
        target = f"{url}/v1/views/{view_type}?limit={2 * _VIEWS}"
        answer = await client.get(target, headers={"x-tenant-id": TENANT})
    found = answer.json()
    assert ([], None) == (found["degraded"], found["next"])
    return {one["id"]: one["view"]["events"] for one in found["views"] if one["id"] != _END}
