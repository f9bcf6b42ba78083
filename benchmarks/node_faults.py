"""What happens to one node, its disk, its log, its link and its clients: seconds without progress, or what is kept.

Each on a stream of its own of one server. A disk that is slow is one whose commits are held up in the node's process.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import httpx

from benchmarks.watched import Watched, anonymous_mib, create_stream, event, until, watching
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from link import Link
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_SECONDS = 5.0  # that a fault lasts, or is watched
_FULL_S = 10.0  # that a disk is full: until the pauses between two attempts are the longest
_DISK = "16m"
_SPACE = ("unshare", "--user", "--map-root-user", "--mount")
SYNC_S = 0.12
_SLOW_DISK = f"""
import time
from projection.store.lmdb_store import LmdbLaneStore
commit = LmdbLaneStore.commit
def slow(*arguments, **named):
    time.sleep({SYNC_S})
    return commit(*arguments, **named)
LmdbLaneStore.commit = slow
from projection.cli.main import main
main()
"""
LINK = 1_000_000  # bytes a second
HEAVY = 900_000  # bytes of an event
_HEAVY_EVENTS = 10
WAITING = 256
_SLOW_SENDERS = 100
CONNECTIONS = 1_000
_LARGE_VIEWS = 400  # of 10 KB: an answer of 4 MB
_ENDLESS = (  # what comes first, and what goes on and on behind it
    (b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n" * 1_000),
    (b"GET /health HTTP/1.1\r\nhost: localhost\r\n", b"a: " + b"b" * 2_000 + b"\r\n"),
)
_LARGE = b"GET /v1/views/beats?limit=400 HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: t\r\n\r\n"
_CUT = 2  # what a damaged store's file is divided by


@asynccontextmanager
async def _node(
    place: Path, url: str, name: str, *, wire: Wire | None = None, beats_only: bool = True
) -> AsyncIterator[Watched]:
    """A node that is not started yet, and events on its stream, each of which is in the view once at the end."""
    await create_stream(url, name)
    site = Watched(place / name, url if wire is None else wire.url, name)
    async with watching(site, [url]):
        yield site
        if beats_only:
            site.check()


async def _begun(site: Watched) -> None:
    await until(lambda: site.position, site.log)
    await site.goes_on(1.0)
    site.begin()


async def node_killed(place: Path, url: str) -> float:
    """And started again at once."""
    async with _node(place, url, "killed") as site:
        site.start()
        await _begun(site)
        site.end(signal.SIGKILL)
        site.start()
        await site.goes_on(_SECONDS)
        return site.longest_s


async def consumers_deleted(place: Path, url: str) -> float:
    """All that the stream has."""
    async with _node(place, url, "deleted") as site, await Nats.connect(NatsConnection(url)) as nats:
        site.start()
        await _begun(site)
        for consumer in json.loads(await nats.request(f"$JS.API.CONSUMER.NAMES.{site.stream}"))["consumers"]:
            await JetStream(nats).delete_consumer(site.stream, consumer)
        await site.goes_on(_SECONDS)
        return site.longest_s


async def connection_cut(place: Path, url: str) -> float:
    """By somebody between the node and the server."""
    async with Wire(url) as wire, _node(place, url, "cut", wire=wire) as site:
        site.start()
        await _begun(site)
        before = wire.connections
        wire.reset()
        await site.goes_on(_SECONDS)
        if wire.connections == before:
            raise AssertionError("the connection was not cut")
        return site.longest_s


async def disk_full(place: Path, url: str) -> float:
    """Counted from the moment at which there is room again."""
    async with _node(place, url, "full", beats_only=False) as site, _growing(site, url):
        data = site.place / "data"
        data.mkdir()
        site.start(before=[*_SPACE, "sh", "-c", f'mount -t tmpfs -o size={_DISK} none {data} && exec "$@"', "sh"])
        await _begun(site)
        ballast = Path(f"/proc/{site.pid}/root{data}/ballast")
        _fill(ballast)
        await asyncio.sleep(_FULL_S)
        if site.longest_s < _FULL_S / 2:
            raise AssertionError("the disk was not full")
        await asyncio.to_thread(ballast.unlink)
        site.begin()
        await site.goes_on(_SECONDS)
        return site.longest_s


@asynccontextmanager
async def _growing(site: Watched, url: str) -> AsyncIterator[None]:
    """With another view every now and then: one that is written again needs no more room."""

    async def publish() -> None:
        async with await Nats.connect(NatsConnection(url)) as nats:
            for number in count():
                await nats.publish(*event(site.stream, "Noted", f"v{number}", text="x" * 10_000))
                await asyncio.sleep(_SECONDS / 50)

    publishing = asyncio.create_task(publish())
    try:
        yield
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


async def log_disk_full(place: Path, url: str) -> float:
    """From the first line on; each request of the watcher is one."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        return await _logging_to(place, url, "log_full", full)
    finally:
        os.close(full)


async def log_reader_gone(place: Path, url: str) -> float:
    """The reading end of the pipe is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return await _logging_to(place, url, "log_unread", writing)
    finally:
        os.close(writing)


async def log_not_emptied(place: Path, url: str) -> float:
    """A pipe of 4 KiB that nobody reads from."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    try:
        return await _logging_to(place, url, "log_pipe", writing)
    finally:
        os.close(reading)
        os.close(writing)


async def _logging_to(place: Path, url: str, name: str, stderr: int) -> float:
    async with _node(place, url, name) as site:
        site.start(stderr=stderr)
        await _begun(site)
        await site.goes_on(_SECONDS)
        return site.longest_s


async def slow_link(place: Path, url: str) -> float:
    """Seconds for each of some large events that a node finds when it comes."""
    name = "slow_link"
    await create_stream(url, name)
    async with Link(url, LINK) as wire, await Nats.connect(NatsConnection(url)) as nats:
        site = Watched(place / name, wire.url, name)
        async with watching(site, []):
            await nats.publish(*event(name))
            site.start()
            await until(lambda: site.position)
            subject, data = event(name, more="x" * HEAVY)
            began = perf_counter()
            for _ in range(_HEAVY_EVENTS):
                await nats.publish(subject, data)
            await until(lambda: site.position > _HEAVY_EVENTS, site.log)
            return (perf_counter() - began) / _HEAVY_EVENTS


async def cutover_on_a_slow_disk(place: Path, url: str) -> float:
    """From the first answer of the node that folds a new build beside the other, until well after the switch."""
    async with _node(place, url, "cutover") as site:
        site.start(program=_SLOW_DISK)
        await _begun(site)
        site.end()
        site.deploy("beats", step=2)
        before = site.position
        site.start("--new-build", program=_SLOW_DISK)
        await until(lambda: site.position > before, site.log)
        site.begin()
        await until(lambda: site.build > 1, site.log)
        await site.goes_on(_SECONDS)
        return site.longest_s


async def damaged_store(place: Path, url: str) -> float:
    """From the start of a node one of whose two stores was cut to half."""
    async with _node(place, url, "damaged") as site:
        site.deploy("beats", "others")
        site.start()
        await _begun(site)
        site.end()
        (store,) = (site.place / "data" / "others").rglob("data.mdb")
        os.truncate(store, store.stat().st_size // _CUT)
        site.begin()
        site.start()
        before = site.position
        await until(lambda: site.position > before, site.log)
        await site.goes_on(_SECONDS)
        return site.longest_s


async def health_beside_waiting_clients(place: Path, url: str) -> float:
    """The longest that `/health` takes, in seconds, while clients wait for a sequence and others send slowly."""
    async with _node(place, url, "waiting") as site:
        site.start()
        await _begun(site)
        head = b" HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: %d\r\n"
        wait = b"GET /v1/views/beats/b?min_sequence=999999999&wait_ms=30000" + head + b"\r\n"
        slow = b"POST /v1/query" + head + b"content-length: 99\r\n\r\n{"
        sent = [
            *(wait % (number % 8) for number in range(WAITING)),
            *(slow % (number % 8) for number in range(_SLOW_SENDERS)),
        ]
        with _sending(site.port, sent):
            await asyncio.sleep(1.0)
            longest = 0.0
            async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
                for _ in range(100):
                    began = perf_counter()
                    answer = await client.get(f"http://127.0.0.1:{site.port}/health")
                    longest = max(longest, perf_counter() - began)
                    answer.raise_for_status()
                    await asyncio.sleep(0.02)
            return longest


async def hostile_connections(place: Path, url: str) -> float:
    """MiB that a node's memory grows by at most: heads and trailers without an end, and answers that nobody takes."""
    name = "hostile"
    await create_stream(url, name)
    site = Watched(place / name, url, name)
    async with watching(site, []), await Nats.connect(NatsConnection(url)) as nats:
        for number in range(_LARGE_VIEWS):
            await nats.publish(*event(name, "Noted", f"v{number}", text="x" * 10_000))
        await nats.publish(*event(name))
        site.start()
        await until(lambda: site.position > _LARGE_VIEWS, site.log)
        before, most = anonymous_mib(site.pid), 0.0
        with _sending(
            site.port, [_LARGE if n % 3 == 0 else _ENDLESS[n % 3 - 1][0] for n in range(CONNECTIONS)]
        ) as clients:
            for _ in range(40):
                for number, client in enumerate(clients):
                    if number % 3:
                        with suppress(OSError):
                            client.send(_ENDLESS[number % 3 - 1][1])
                await asyncio.sleep(0.1)
                most = max(most, anonymous_mib(site.pid) - before)
        return most


@contextmanager
def _sending(port: int, requests: Sequence[bytes]) -> Iterator[Sequence[socket.socket]]:
    """A connection for each of these, of which nothing is read."""
    with ExitStack() as stack:
        clients = []
        for request in requests:
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # kernels may hold some MB of each
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            client.setblocking(False)
            clients.append(client)
        yield clients


def has_small_disks() -> bool:
    """Whether this machine lets us mount a file system of our own."""
    try:
        return subprocess.run([*_SPACE, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
