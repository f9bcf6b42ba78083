"""A node that is followed by 200 clients which never read, beside the same node without them.

The clients ask for all present views, 30 MB, and leave them in their sockets. One healthy client follows the same
changes; a round is over when it has been told of the last event. The node is a process of its own; its memory is told
before the clients come and after the last round.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

CLIENTS = 200
VIEWS = 3_000
TEXT = "x" * 10_000  # in each view
EVENTS = 20_000  # of a round
ROUNDS = 3
MIB_A_CLIENT = 0.25  # that one may cost: a chunk that was read, one that is being written, and a connection
_STREAM = "notes"
_WITHIN_S = 120.0
_TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)
_LEVEL = re.compile(rb'event: level\nid: .*\ndata: .*"scanned":(\d+)')
_PROGRAM = """\
proj 1
projection notes

event Noted { id: string(20), text: string(20000) }
event Seen { id: string(20) }

view Note { text: string(20000), seen: int = 0 }

on Noted as e creates e.id => { text: e.text }
on Seen as e updates e.id => view with { seen += 1 }
"""


def measure() -> Iterator[dict[str, Any]]:
    """Events a second until a healthy client knows of all, and MiB that the others cost; medians of rounds in turn."""
    rates: dict[int, list[float]] = {0: [], CLIENTS: []}
    grown: list[float] = []
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server, _node(server.url, place) as (node, port):
            asyncio.run(_told(port, _publish(server.url, _noted())))
            asyncio.run(_told(port, _publish(server.url, _seen(ROUNDS))))  # so that its caches are full
            for round_ in range(ROUNDS):
                for count, found in rates.items():
                    _until_idle(node)
                    before = _mib(node)
                    with _dead(port, count):
                        _until_idle(node)
                        found.append(EVENTS / asyncio.run(_told(port, _publish(server.url, _seen(round_)))))
                        more = _mib(node) - before
                    print(f"slow_clients, {count}: {found[-1]:,.0f} events/s, {more:+.0f} MiB", file=sys.stderr)
                    if count:
                        grown.append(more)
    yield {
        "name": "followed_events_per_second",
        "ours": round(median(rates[CLIENTS])),
        "yardstick": round(median(rates[0])),
        "ratio": round(median(a / b for a, b in zip(rates[CLIENTS], rates[0], strict=True)), 2),
    }
    yield {
        "name": "slow_clients_mib",
        "ours": round(median(grown), 1),
        "yardstick": CLIENTS * MIB_A_CLIENT,
        "ratio": round(median(grown) / (CLIENTS * MIB_A_CLIENT), 2),
    }


@contextmanager
def _node(nats_url: str, place: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A node that answers, and its port."""
    (place / "notes.proj").write_text(_PROGRAM)
    manifest = {"manifest": 1, "views": {"notes": {"program": "notes.proj", "changes": True}}}
    (place / "manifest.json").write_text(json.dumps(manifest))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "nats": {"url": nats_url},
        "stream": _STREAM,
        "storage": str(place / "data"),
        "manifest": str(place / "manifest.json"),
        "http": {"listen": f"127.0.0.1:{port}", "limits": {"streams_per_tenant": 2 * CLIENTS}},
    }
    (place / "settings.json").write_text(json.dumps(settings))
    asyncio.run(_create_stream(nats_url))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    command = [sys.executable, "-m", "projection", "run", "--config", str(place / "settings.json")]
    with (place / "node.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield node, port
            node.terminate()
            node.wait(_WITHIN_S)
        finally:
            node.kill()
            node.wait()


async def _create_stream(nats_url: str) -> None:
    async with await Nats.connect(NatsConnection(nats_url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, [_TEMPLATE.filter()])


async def _publish(nats_url: str, events: Iterator[Outgoing]) -> int:
    """Publish these; the sequence of the last."""
    async with await Nats.connect(NatsConnection(nats_url)) as nats:
        return (await publish_all(nats, _STREAM, events)).last


def _noted() -> Iterator[Outgoing]:
    for number in range(VIEWS):
        yield _event("Noted", {"id": f"N{number}", "text": TEXT})


def _seen(round_: int) -> Iterator[Outgoing]:
    dice = random.Random(round_)
    for _ in range(EVENTS):
        yield _event("Seen", {"id": f"N{dice.randrange(VIEWS)}"})


def _event(event_type: str, payload: dict[str, Any]) -> Outgoing:
    envelope = {
        "tenant_id": "",
        "aggregate_type": "note",
        "aggregate_id": payload["id"],
        "event_type": event_type,
        "timestamp": "2026-03-01T09:30:00Z",
        "payload": payload,
    }
    return Outgoing(_TEMPLATE.subject("", "note", payload["id"]), json.dumps(envelope).encode())


async def _told(port: int, publish: Coroutine[Any, Any, int]) -> float:
    """Seconds from the first event until a client that follows has been told of the last."""
    async with asyncio.timeout(_WITHIN_S):
        reader, writer = await _connected(port)
        writer.write(_request("&select=seen"))
        await reader.readuntil(b"event: level")
        began = perf_counter()
        publishing = asyncio.ensure_future(publish)
        scanned, tail = 0, b""
        while not publishing.done() or scanned < publishing.result():
            data = await reader.read(2**20)
            if not data:
                raise AssertionError("the stream has ended")
            if found := _LEVEL.findall(tail + data):
                scanned = int(found[-1])
            tail = (tail + data)[-500:]
        taken = perf_counter() - began
        writer.transport.abort()
        return taken


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:  # the node is starting
        try:
            return await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)


@contextmanager
def _dead(port: int, count: int) -> Iterator[None]:
    """So many clients that ask for everything and never read."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # kernels may hold some MB of each
            client.connect(("127.0.0.1", port))
            client.sendall(_request("&snapshot=true"))
        yield


def _request(parameters: str) -> bytes:
    return f"GET /v1/changes?view=notes{parameters} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def _until_idle(node: subprocess.Popen[bytes]) -> None:
    """Wait until a process has given its clients what they take, and does little."""
    before, until = -1, perf_counter() + _WITHIN_S
    while perf_counter() < until:
        ticks = sum(map(int, Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        if ticks - before <= 5:  # hundredths of a second, in half a second
            return
        before = ticks
        sleep(0.5)
    raise AssertionError("the node does not come to rest")


def _mib(node: subprocess.Popen[bytes]) -> float:
    """What a process has in memory, beside files that it maps."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{node.pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    for line in measure():
        print(json.dumps(line))
