"""Ten view types on one feed, each on event types of its own, against ten nodes with one of them each.

Ten consumers receive and decode every event ten times. What a node is to save is that, so what counts is the processor
time of the nodes (user and system, all threads; not the server's), from the first request to the last commit.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.sides import in_a_process, opened_node
from projection.engine.deployment import load_deployment
from projection.model.envelope import Tenancy
from projection.model.ids import ViewType
from projection.model.manifest import Manifest
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.query.reading import serving_reader
from projection.stream.connection import Nats, NatsConnection
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 60_000
ROUNDS = 3
KINDS = tuple(range(10))
_ACCOUNTS = 1_000  # of each kind
_STREAM = "accounts"
_MODULE = "benchmarks.many_views"
_PROGRAM = """\
proj 1
projection accounts{kind}

event Opened{kind} {{ account: string(32), holder: string(80) }}
event Deposited{kind} {{ account: string(32), amount: decimal(2) }}

view Account {{ holder: string(80), balance: decimal(2) = 0.00, deposits: int = 0, changed_on: date }}

on Opened{kind} as e creates e.account => {{ holder: e.holder, changed_on: meta.date }}

on Deposited{kind} as e updates e.account =>
  view with {{ balance += e.amount, deposits += 1, changed_on: meta.date }}
"""


def measure() -> Iterator[dict[str, Any]]:
    """Microseconds of processor time an event, the median of some rounds in turn; both sides come to the same views."""
    shared, apart = [], []
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        manifest = _deploy(place)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url))
            for round_ in range(ROUNDS):
                here = place / str(round_)
                shared.append(in_a_process(_MODULE, manifest, server.url, here / "shared", *KINDS))
                apart.append(
                    sum(in_a_process(_MODULE, manifest, server.url, here / f"apart{kind}", kind) for kind in KINDS)
                )
                print(
                    f"many_views: {shared[-1] / EVENTS * 1e6:.1f} µs an event in one node, "
                    f"{apart[-1] / EVENTS * 1e6:.1f} µs in ten",
                    file=sys.stderr,
                )
        for kind in KINDS:
            _require_equal(place / "0" / "shared", place / "0" / f"apart{kind}", _view_type(kind))
    yield {
        "name": "ten_view_types_cpu_us_per_event",
        "ours": round(median(shared) / EVENTS * 1e6, 2),
        "yardstick": round(median(apart) / EVENTS * 1e6, 2),
        "ratio": round(median(a / b for a, b in zip(shared, apart, strict=True)), 3),
    }


def _view_type(kind: int) -> ViewType:
    return ViewType(f"accounts{kind}")


def _deploy(folder: Path) -> Path:
    """The manifest of all view types."""
    for kind in KINDS:
        (folder / f"accounts{kind}.proj").write_text(_PROGRAM.format(kind=kind))
    views = {_view_type(kind): {"program": f"accounts{kind}.proj"} for kind in KINDS}
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"manifest": 1, "views": views}))
    return manifest


async def _load(url: str) -> None:
    template = SubjectTemplate.parse(DEFAULT_TEMPLATE)
    async with await Nats.connect(NatsConnection(url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, [template.filter()])
        await publish_all(nats, _STREAM, _messages(template))


def _messages(template: SubjectTemplate) -> Iterator[Outgoing]:
    dice = random.Random(1)
    opened: set[tuple[int, int]] = set()
    for number in range(EVENTS):
        kind, account = whose = dice.choice(KINDS), dice.randrange(_ACCOUNTS)
        name = f"A{account:05d}"
        payload: dict[str, Any] = {"account": name}
        if whose in opened:
            event_type, payload["amount"] = f"Deposited{kind}", dice.randrange(1, 100_000) / 100
        else:
            event_type, payload["holder"] = f"Opened{kind}", f"Holder of {name}"
            opened.add(whose)
        envelope = {
            "tenant_id": "north",
            "aggregate_type": "account",
            "aggregate_id": name,
            "event_type": event_type,
            "event_id": f"event-{number:07d}",
            "timestamp": f"2026-03-{number * 28 // EVENTS + 1:02d}T09:30:00+01:00",
            "payload": payload,
        }
        yield Outgoing(template.subject("north", "account", name), json.dumps(envelope).encode())


async def _processor_time(manifest: Path, url: str, data: Path, kinds: set[int]) -> float:
    """Seconds that a node of these view types takes for the whole stream."""
    wanted = {_view_type(kind) for kind in kinds}
    deployed = [one for one in load_deployment(Manifest.load(manifest), Tenancy()) if one.entry.view_type in wanted]
    async with opened_node(deployed, url, _STREAM, data) as node:
        before = resource.getrusage(resource.RUSAGE_SELF)
        summary = await node.run(until_caught_up=True)
        after = resource.getrusage(resource.RUSAGE_SELF)
        if (summary.events, summary.parked) != (EVENTS, 0):
            raise AssertionError(f"the node came to {summary}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _require_equal(shared: Path, apart: Path, view_type: ViewType) -> None:
    with serving_reader(shared, view_type) as one, serving_reader(apart, view_type) as other:
        views = list(one.scan(None, view_type))
        if not views or views != list(other.scan(None, view_type)):
            raise AssertionError(f"the two sides disagree on {view_type}")


if __name__ == "__main__":
    manifest_, url_, data_, *kinds_ = sys.argv[1:]
    print(asyncio.run(_processor_time(Path(manifest_), url_, Path(data_), set(map(int, kinds_)))))
