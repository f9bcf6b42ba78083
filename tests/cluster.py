"""Three real servers as one cluster, and what may happen to each of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from configured_server import ConfiguredServer
from patience import WITHIN_S, eventually
from processor_time import beside

from projection.errors import StreamError
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 3
_STARTED_ANEW = 3  # times, where somebody took a port that was free a moment ago


class Cluster:
    """`SIZE` servers, each with a store of its own; `harm` and `mend` leave it whole for whoever comes next."""

    def __init__(self, folder: Path, *, credentials: Path | None = None, **more: Any) -> None:
        """Servers that are not started yet.

        Args:
            folder: where they have their stores.
            credentials: by which everybody signs in, where the configuration asks for that.
            more: of each server's configuration.
        """
        self._folder = folder
        self._credentials = credentials
        self._more = more
        self.servers: list[ConfiguredServer] = []
        self._paused: set[int] = set()
        self._down: set[int] = set()

    def __enter__(self) -> Self:
        for attempt in range(_STARTED_ANEW):
            try:
                self._start(self._folder / str(attempt))
            except StreamError:
                if attempt == _STARTED_ANEW - 1:
                    raise
            else:
                return self
        raise AssertionError

    def _start(self, folder: Path) -> None:
        ports = _free_ports(SIZE)
        routes = [f"nats://127.0.0.1:{port}" for port in ports]
        with ExitStack() as started:
            self.servers = []
            for number, port in enumerate(ports):
                cluster = {"name": "C", "listen": f"127.0.0.1:{port}", "routes": routes, "no_advertise": True}
                more = {"lame_duck_duration": "30s", "lame_duck_grace_period": "1s", **self._more}
                server = ConfiguredServer(folder / f"n{number}", server_name=f"n{number}", cluster=cluster, **more)
                self.servers.append(started.enter_context(server))
                beside.add(server.pid)
            started.pop_all()

    def __exit__(self, *_: object) -> None:
        for number, server in enumerate(self.servers):
            beside.discard(server.pid)
            self.resume(number)
            server.stop()

    @property
    def url(self) -> str:
        """All servers."""
        return ",".join(server.url for server in self.servers)

    def connection(self, *numbers: int) -> NatsConnection:
        """To some of the servers in this order, or to all."""
        urls = ",".join(self.servers[number].url for number in numbers or range(SIZE))
        return NatsConnection(urls, credentials=self._credentials)

    def number_of(self, name: str | None) -> int:
        """Of a server as the others call it."""
        return int((name or "").removeprefix("n"))

    # what may happen to one of them

    def kill(self, number: int) -> None:
        """End it as a crash does (SIGKILL)."""
        self._is_down(number)
        self.servers[number].kill()

    def stop(self, number: int) -> None:
        """End it in order (SIGTERM)."""
        self._is_down(number)
        self.servers[number].stop()

    def lame_duck(self, number: int) -> None:
        """Have it take leave: it hands over its leaderships, sends its clients away and ends (SIGUSR2)."""
        os.kill(self.servers[number].pid, signal.SIGUSR2)
        self._is_down(number)

    def pause(self, number: int) -> None:
        """Freeze it (SIGSTOP)."""
        self.servers[number].pause()
        self._paused.add(number)

    def resume(self, number: int) -> None:
        """Let it go on; idempotent."""
        if number in self._paused:
            self._paused.discard(number)
            self.servers[number].resume()

    def restart(self, number: int) -> None:
        """Have it run: one that is down is started, one that is frozen goes on; idempotent."""
        self.resume(number)
        if number in self._down:
            server = self.servers[number]
            server.stop()  # one that takes leave may still be at it
            server.start()
            beside.add(server.pid)
            self._down.discard(number)

    def _is_down(self, number: int) -> None:
        beside.discard(self.servers[number].pid)
        self._down.add(number)

    async def mend(self, jetstream: JetStream) -> None:
        """Have all servers run, and every stream be in the charge of one and level with it."""
        for number in range(SIZE):
            self.restart(number)
        await eventually(lambda: self.is_whole(jetstream))

    async def is_whole(self, jetstream: JetStream) -> bool:
        """Whether the servers know each other and all of the streams' copies are level."""
        try:
            listed = await asked(jetstream, "STREAM.LIST")
        except (StreamError, TimeoutError):
            return False
        streams = listed.get("streams") or []
        copies = [copy for one in streams for copy in one["cluster"].get("replicas") or ()]
        led = all(one["cluster"].get("leader") for one in streams)
        level = not any(copy.get("offline") or not copy["current"] for copy in copies)
        return led and level and not listed.get("missing")

    # what is asked of it

    async def is_formed(self, jetstream: JetStream) -> bool:
        """Whether all servers can be given something to keep."""
        config = {"name": "FORMED", "subjects": ["formed"], "num_replicas": SIZE, "storage": "memory"}
        try:
            made = await asked(jetstream, "STREAM.CREATE.FORMED", **config)
            if "error" in made:
                return False
            await asked(jetstream, "STREAM.DELETE.FORMED")
        except (StreamError, TimeoutError):
            return False
        return True

    async def leader(self, jetstream: JetStream, stream: str) -> int | None:
        """Which server has a stream in its charge; None where none is known to."""
        with suppress(StreamError):
            found = (await asked(jetstream, f"STREAM.INFO.{stream}")).get("cluster", {}).get("leader")
            return self.number_of(found) if found else None
        return None

    async def host(self, jetstream: JetStream, stream: str, consumer: str) -> int | None:
        """Which server delivers for a consumer."""
        with suppress(StreamError):
            found = (await asked(jetstream, f"CONSUMER.INFO.{stream}.{consumer}")).get("cluster", {}).get("leader")
            return self.number_of(found) if found else None
        return None

    async def step_down(self, jetstream: JetStream, stream: str) -> None:
        """Have another server take charge of a stream."""
        await asked(jetstream, f"STREAM.LEADER.STEPDOWN.{stream}")


async def called(jetstream: JetStream, subject: str, **body: object) -> dict[str, Any]:
    """What the API answers, errors as well; asked again while nobody answers, as while servers choose a leader."""
    end = monotonic() + WITHIN_S
    while True:
        try:
            return await asked(jetstream, subject, **body)
        except StreamError:
            if monotonic() > end:
                raise


async def asked(jetstream: JetStream, subject: str, **body: object) -> dict[str, Any]:
    """What the API answers, asked once."""
    return json.loads(await jetstream.nats.request(f"$JS.API.{subject}", json.dumps(body).encode() if body else b""))


def form(cluster: Cluster) -> None:
    """Wait until the servers have found each other."""

    async def formed() -> None:
        async with await Nats.connect(cluster.connection()) as nats:
            jetstream = JetStream(nats)
            await eventually(lambda: cluster.is_formed(jetstream))

    asyncio.run(formed())


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
