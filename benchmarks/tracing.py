"""What traces cost: the node catching up on the fines, traced, against itself untraced on the same events.

Of the events, one in a hundred or all were recorded by whoever published them, and the node samples as large a share by
itself. Spans are sent to a receiver in a process of its own, which reads them and answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.end_to_end import FINES, fine_summary
from benchmarks.sides import opened_node, rates_in_turn, row_of_rates
from projection.engine.tracing import UNTRACED
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.ops.tracing.exporting import NodeTracing
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.file_feed import read_events
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 100_000
ROUNDS = 5
SHARES = (1, 100)  # of the events, in percent
_STREAM = "fines"


def measure() -> Iterator[dict[str, Any]]:
    """Events per second with traces, and without; the median of some rounds in turn."""
    if not FINES.exists():
        print(f"tracing is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    command = [sys.executable, "-m", "benchmarks.tracing", "receive"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        try:
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.stdout.readline().strip()
            for percent in SHARES:
                yield _compared(percent)
        finally:
            receiver.kill()


def _compared(percent: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url, percent))
            rates = rates_in_turn("benchmarks.tracing", ("traced", "untraced"), ROUNDS, server.url, place, percent)
    return row_of_rates(f"traced_at_{percent}_percent_events_per_second", rates)


async def _load(url: str, percent: int) -> None:
    random, subjects = Random(1), SubjectTemplate.parse(DEFAULT_TEMPLATE)

    def outgoing() -> Iterator[Outgoing]:
        for number, (_, data) in enumerate(islice(read_events(FINES), EVENTS)):
            event = orjson.loads(data)
            flags = "01" if number % 100 < percent else "00"
            event["traceparent"] = f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-{flags}"
            subject = subjects.subject(event["tenant_id"], event["aggregate_type"], event["aggregate_id"])
            yield Outgoing(subject, orjson.dumps(event))

    async with await Nats.connect(NatsConnection(url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, ["tenant.>"])
        await publish_all(nats, _STREAM, outgoing())


async def _fold(url: str, path: Path, percent: int, *, traced: bool) -> float:
    os.environ |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": str(percent / 100)}
    tracing = NodeTracing.open("n", _STREAM) if traced else UNTRACED
    async with opened_node(fine_summary(), url, _STREAM, path, tracing) as node:
        summary = await node.run(until_caught_up=True)
    return summary.events / summary.seconds


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _receive() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        _receive()
    else:
        ours = _fold(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), traced=sys.argv[1] == "traced")
        print(json.dumps(asyncio.run(ours)))
