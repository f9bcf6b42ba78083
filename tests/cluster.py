"""Three real servers as one cluster, and what may happen to each of them.

Each pair of servers has a link for the way from each to the other, and each server has one for nodes and one for whoever
publishes; none knows of a way past them. Tests themselves take the straight way.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from certificates import Authority
from configured_server import ConfiguredServer
from link import Links
from patience import WITHIN_S, eventually
from processor_time import beside

from projection.errors import StreamError
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from link import Link

SIZE = 3
_NOWHERE = "127.0.0.1:1"  # where servers tell each other to be found: they go by what is configured
_STARTED_ANEW = 3  # times, where somebody took a port that was free a moment ago


class Cluster:
    """`SIZE` servers, each with a store of its own; `harm` and `mend` leave it whole for whoever comes next."""

    def __init__(self, folder: Path, *, tls: bool = False, credentials: Path | None = None, **more: Any) -> None:
        """A cluster that is not started yet.

        Args:
            folder: for the servers' files, and for certificates.
            tls: whether clients have to show a certificate.
            credentials: by which everybody signs in, where the configuration asks for that.
            more: of each server's configuration.
        """
        self._folder = folder
        self._credentials = credentials
        self._more = more
        self.servers: list[ConfiguredServer] = []
        self.to_nodes: list[Link] = []
        self.to_loaders: list[Link] = []
        self.links = Links()
        self._routes: dict[tuple[int, int], Link] = {}
        self._paused: set[int] = set()
        self._down: set[int] = set()
        self._tls = tls

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        if self._tls:
            self._certify()
        with ExitStack() as entered:
            entered.enter_context(self.links)
            self._start_on_free_ports()
            entered.pop_all()
        self.to_nodes = [self.links.add(server.url) for server in self.servers]
        self.to_loaders = [self.links.add(server.url) for server in self.servers]
        return self

    def _start_on_free_ports(self) -> None:
        for attempt in range(_STARTED_ANEW):
            try:
                self._start(self._folder / str(attempt))
            except StreamError:
                if attempt == _STARTED_ANEW - 1:
                    raise
            else:
                return

    def _start(self, folder: Path) -> None:
        ports = _free_ports(SIZE)
        pairs = [(one, other) for one in range(SIZE) for other in range(SIZE) if one != other]
        self._routes = {pair: self.links.add(f"nats://127.0.0.1:{ports[pair[1]]}") for pair in pairs}
        with ExitStack() as started:
            self.servers = []
            for number, port in enumerate(ports):
                server = ConfiguredServer(folder / f"n{number}", **self._configuration(number, port))
                self.servers.append(started.enter_context(server))
                beside.add(server.pid)
            started.pop_all()

    def _configuration(self, number: int, port: int) -> dict[str, Any]:
        routes = [link.url for (one, _), link in self._routes.items() if one == number]
        cluster = {"name": "C", "listen": f"127.0.0.1:{port}", "advertise": _NOWHERE, "routes": routes}
        more: dict[str, Any] = {"lame_duck_duration": "30s", "lame_duck_grace_period": "1s", **self._more}
        if self._tls:
            more["tls"] = {**Authority.files(self._folder, f"n{number}"), "verify": True}
        return {"server_name": f"n{number}", "cluster": {**cluster, "no_advertise": True}, **more}

    def __exit__(self, *_: object) -> None:
        for number, server in enumerate(self.servers):
            beside.discard(server.pid)
            self.resume(number)
            server.stop()
        self.links.__exit__()

    @property
    def url(self) -> str:
        """All servers."""
        return ",".join(server.url for server in self.servers)

    def connection(self, *numbers: int) -> NatsConnection:
        """To some of the servers in this order, or to all."""
        return self.connection_by(self.servers[number] for number in numbers or range(SIZE))

    def connection_by(self, places: Iterable[ConfiguredServer | Link]) -> NatsConnection:
        """By links, or straight to servers."""
        return NatsConnection(
            ",".join(place.url for place in places), credentials=self._credentials, **self.client_files
        )

    @property
    def client_files(self) -> dict[str, Path]:
        """What a client signs in with, as `NatsConnection` calls it; nothing where it need not."""
        if not self._tls:
            return {}
        files = {name: Path(path) for name, path in Authority.files(self._folder, "client").items()}
        return {"tls_ca": files["ca_file"], "tls_certificate": files["cert_file"], "tls_key": files["key_file"]}

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

    def isolate(self, number: int, *, refused: bool = False) -> None:
        """Cut it off from the two others; all run, and whoever reaches one of them still does.

        Args:
            number: of the server.
            refused: whether the servers are told, by connections that are refused; else they hear nothing.
        """
        links = self._routes_of(number)
        self.links.tell(lambda: [link.refuse() if refused else link.silence() for link in links])

    def rejoin(self, number: int) -> None:
        """Let it reach the others, and let it be reached; idempotent."""
        links = [*self._routes_of(number), self.to_nodes[number], self.to_loaders[number]]
        self.links.tell(lambda: [link.make_whole() for link in links])

    def _routes_of(self, number: int) -> list[Link]:
        return [link for pair, link in self._routes.items() if number in pair]

    def restart(self, number: int) -> None:
        """Have it run: one that is down is started, one that is frozen or cut off goes on; idempotent."""
        self.resume(number)
        self.rejoin(number)
        if number in self._down:
            server = self.servers[number]
            server.stop()  # one that takes leave may still be at it
            server.start()
            beside.add(server.pid)
            self._down.discard(number)

    def _is_down(self, number: int) -> None:
        beside.discard(self.servers[number].pid)
        self._down.add(number)

    def renew(self) -> None:
        """Have another authority sign all certificates, in the same files; connections that are there stay."""
        self._certify()
        for server in self.servers:
            os.kill(server.pid, signal.SIGHUP)
        for number in range(SIZE):
            asyncio.run(eventually(lambda number=number: _lets_in(self.connection(number))))

    def _certify(self) -> None:
        authority = Authority("some authority")
        for name in ("client", *(f"n{number}" for number in range(SIZE))):
            authority.write(self._folder, name)

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
        await called(jetstream, f"STREAM.LEADER.STEPDOWN.{stream}")


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


async def make_stream(jetstream: JetStream, name: str, copies: int = SIZE) -> None:
    """Make a stream over `name.>`; a cluster that was mended just now may refuse it for a while."""
    config = {"name": name, "subjects": [f"{name}.>"], "num_replicas": copies}
    said: list[object] = []

    async def is_made() -> bool:
        try:
            answer = await called(jetstream, f"STREAM.CREATE.{name}", **config)
        except StreamError as error:
            answer = {"error": error}
        said.append(answer)
        return "error" not in answer

    await eventually(is_made, told=lambda: str(said[-1]))


async def _lets_in(connection: NatsConnection) -> bool:
    try:
        async with await Nats.connect(connection):
            return True
    except StreamError:
        return False


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
