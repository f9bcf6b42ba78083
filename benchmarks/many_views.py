"""Ten view types on one feed, each on event types of its own, against ten consumers with one of them each.

The consumers are ten nodes, or ten written by hand and tuned; each receives and decodes all events, and folds a tenth.
A node for all is to save that, so what counts is processor time (user and system, all threads; not the server's) from
the first request to the last commit. A view has twenty events. The fold is common to all sides and sets a limit: the
cheaper reading becomes, the less there is to save by doing it once.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks import handwritten
from benchmarks.sides import in_a_process, opened_node
from projection.engine.deployment import load_deployment
from projection.model.envelope import Tenancy
from projection.model.ids import ViewType
from projection.model.manifest import Manifest
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.query.reading import serving_reader
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 60_000
ROUNDS = 2
KINDS = tuple(range(10))
_ACCOUNTS = 300  # of each kind
_STREAM = "accounts"
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
    """Microseconds of processor time an event, the mean of some rounds in turn; all sides come to the same views."""
    found: dict[str, list[float]] = {"one node": [], "ten nodes": [], "ten by hand": []}
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        manifest = _deploy(place)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url))

            def seconds(side: str, data: Path, *kinds: int) -> float:
                return float(in_a_process("benchmarks.many_views", side, manifest, server.url, data, *kinds))

            for round_ in range(ROUNDS):
                here = place / str(round_)
                here.mkdir()
                found["one node"].append(seconds("node", here / "shared", *KINDS))
                found["ten nodes"].append(sum(seconds("node", here / f"node{kind}", kind) for kind in KINDS))
                found["ten by hand"].append(sum(seconds("by_hand", here / f"by_hand{kind}", kind) for kind in KINDS))
        for kind in KINDS:
            _require_equal(place / "0", kind)
    microseconds = {side: mean(taken) / EVENTS * 1e6 for side, taken in found.items()}
    for name, yardstick in (("", "ten nodes"), ("_against_by_hand", "ten by hand")):
        yield {
            "name": f"ten_view_types{name}_cpu_us_per_event",
            "ours": round(microseconds["one node"], 2),
            "yardstick": round(microseconds[yardstick], 2),
            "ratio": round(microseconds["one node"] / microseconds[yardstick], 3),
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


async def _by_node(manifest: Path, url: str, data: Path, kinds: list[int]) -> float:
    """Seconds that a node of these view types takes for the whole stream."""
    wanted = [_view_type(kind) for kind in kinds]
    deployed = [one for one in load_deployment(Manifest.load(manifest), Tenancy()) if one.entry.view_type in wanted]
    async with opened_node(deployed, url, _STREAM, data) as node:
        before = _processor_time()
        summary = await node.run(until_caught_up=True)
        taken = _processor_time() - before
    if (summary.events, summary.parked) != (EVENTS, 0):
        raise AssertionError(f"the node came to {summary}")
    return taken


async def _by_hand(_manifest: Path, url: str, data: Path, kinds: list[int]) -> float:
    """Seconds that a consumer of one view type takes for the whole stream."""
    (kind,) = kinds
    before = _processor_time()
    await handwritten.consume(url, _STREAM, data, EVENTS, fold=_fold_by_hand(kind))
    return _processor_time() - before


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _fold_by_hand(kind: int) -> handwritten.Fold:
    opened, deposited = f"Opened{kind}", f"Deposited{kind}"

    def key_of(event: handwritten.Event) -> str | None:
        if event["event_type"] not in (opened, deposited):
            return None
        return f"view:{event['tenant_id']}:accounts{kind}:{event['payload']['account']}"

    def apply(view: handwritten.View | None, event: handwritten.Event) -> handwritten.View | None:
        payload, day = event["payload"], event["timestamp"][:10]
        if event["event_type"] == opened:
            return {"balance": handwritten.ZERO, "changed_on": day, "deposits": 0, "holder": payload["holder"]}
        if view is not None:
            view["balance"] += handwritten.money(payload["amount"])
            view["deposits"] += 1
            view["changed_on"] = day
        return view

    def decode(data: bytes) -> handwritten.View:
        view: handwritten.View = orjson.loads(data)
        view["balance"] = handwritten.money(view["balance"])
        return view

    return handwritten.Fold(key_of, apply, decode)


def _require_equal(place: Path, kind: int) -> None:
    view_type = _view_type(kind)
    with serving_reader(place / "shared", view_type) as one, serving_reader(place / f"node{kind}", view_type) as other:
        views = list(one.scan(None, view_type))
        if views != list(other.scan(None, view_type)):
            raise AssertionError(f"one node and ten disagree on {view_type}")
    found = {(str(key.tenant_id), str(key.view_id)): json.loads(view, parse_float=Decimal) for key, view in views}
    if not found or found != handwritten.read_views(place / f"by_hand{kind}", _fold_by_hand(kind)):
        raise AssertionError(f"the node and the consumers by hand disagree on {view_type}")


if __name__ == "__main__":
    side_, manifest_, url_, data_, *kinds_ = sys.argv[1:]
    take = {"node": _by_node, "by_hand": _by_hand}[side_]
    print(asyncio.run(take(Path(manifest_), url_, Path(data_), [int(kind) for kind in kinds_])))
