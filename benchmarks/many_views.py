"""Many view types on one feed, each on event types of its own, against consumers that do the same.

Ten of them are set against ten consumers with one each: ten nodes, or ten written by hand and tuned; each receives and
decodes all events, and folds a tenth. A node for all is to save that, so what counts is processor time (user and
system, all threads; not the server's) from the first request to the last commit. A view has twenty events. The fold is
common to all sides and sets a limit: the cheaper reading becomes, the less there is to save by doing it once.

Three hundred of them are set against the least that could do: one consumer written by hand that folds all three hundred
into one LMDB environment, a transaction for a thousand events. The node has a lane, an environment and commits for each
view type, so that one can halt, be slow or be folded anew by itself; what that costs are these two figures, processor
time and bytes written to the disk.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import tempfile
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

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
    from collections.abc import Iterable, Iterator

EVENTS = 60_000
ROUNDS = 2
TEN, THREE_HUNDRED = range(10), range(300)
_VIEWS = 3_000  # of all kinds together
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
    """Costs for an event; all sides come to the same views."""
    with _site(TEN) as site:
        yield from _ten(site)
    with _site(THREE_HUNDRED) as site:
        yield from _three_hundred(site)


class Cost(NamedTuple):
    """What one side took."""

    processor_s: float
    written: int  # bytes, to the disk


class _Site(NamedTuple):
    """Where sides are measured."""

    place: Path
    manifest: Path
    url: str

    def cost(self, side: str, data: Path, *kinds: int) -> Cost:
        """Have a side fold these kinds in a process of its own."""
        return Cost(*in_a_process("benchmarks.many_views", side, self.manifest, self.url, data, *kinds))


@contextmanager
def _site(kinds: range) -> Iterator[_Site]:
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        manifest = _deploy(place, kinds)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url, kinds))
            yield _Site(place, manifest, server.url)


def _ten(site: _Site) -> Iterator[dict[str, Any]]:
    """Microseconds of processor time an event, the mean of some rounds in turn."""
    found: dict[str, list[float]] = {"one node": [], "ten nodes": [], "ten by hand": []}
    for round_ in range(ROUNDS):
        here = site.place / str(round_)
        here.mkdir()
        found["one node"].append(site.cost("node", here / "shared", *TEN).processor_s)
        for name, side in (("ten nodes", "node"), ("ten by hand", "by_hand")):
            found[name].append(sum(site.cost(side, here / f"{side}{kind}", kind).processor_s for kind in TEN))
    for kind in TEN:
        views = _views(site.place / "0/shared", [kind])
        _require_equal(views, _views(site.place / f"0/node{kind}", [kind]))
        _require_equal(views, handwritten.read_views(site.place / f"0/by_hand{kind}", _fold_by_hand([kind])))
    microseconds = {side: mean(taken) / EVENTS * 1e6 for side, taken in found.items()}
    for name, yardstick in (("", "ten nodes"), ("_against_by_hand", "ten by hand")):
        yield _row(f"ten_view_types{name}_cpu_us_per_event", microseconds["one node"], microseconds[yardstick])


def _three_hundred(site: _Site) -> Iterator[dict[str, Any]]:
    """Microseconds of processor time and bytes written an event, in one run."""
    ours = site.cost("node", site.place / "shared", *THREE_HUNDRED)
    by_hand = site.cost("by_hand", site.place / "by_hand", *THREE_HUNDRED)
    views = _views(site.place / "shared", THREE_HUNDRED)
    _require_equal(views, handwritten.read_views(site.place / "by_hand", _fold_by_hand(THREE_HUNDRED)))
    scale = 1e6 / EVENTS
    yield _row("300_view_types_cpu_us_per_event", ours.processor_s * scale, by_hand.processor_s * scale)
    yield _row("300_view_types_written_bytes_per_event", ours.written / EVENTS, by_hand.written / EVENTS)


def _row(name: str, ours: float, yardstick: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours, 2),
        "yardstick": round(yardstick, 2),
        "ratio": round(ours / yardstick, 3),
    }


def _view_type(kind: int) -> ViewType:
    return ViewType(f"accounts{kind}")


def _deploy(folder: Path, kinds: range) -> Path:
    """The manifest of all view types."""
    for kind in kinds:
        (folder / f"accounts{kind}.proj").write_text(_PROGRAM.format(kind=kind))
    views = {_view_type(kind): {"program": f"accounts{kind}.proj"} for kind in kinds}
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"manifest": 1, "views": views}))
    return manifest


async def _load(url: str, kinds: range) -> None:
    template = SubjectTemplate.parse(DEFAULT_TEMPLATE)
    async with await Nats.connect(NatsConnection(url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, [template.filter()])
        await publish_all(nats, _STREAM, _messages(template, kinds))


def _messages(template: SubjectTemplate, kinds: range) -> Iterator[Outgoing]:
    dice = random.Random(1)
    opened: set[tuple[int, int]] = set()
    for number in range(EVENTS):
        kind, account = whose = dice.choice(kinds), dice.randrange(_VIEWS // len(kinds))
        name = f"A{kind:03d}-{account:05d}"
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


async def _by_node(manifest: Path, url: str, data: Path, kinds: list[int]) -> Cost:
    """What a node of these view types takes for the whole stream."""
    wanted = {_view_type(kind) for kind in kinds}
    deployed = [one for one in load_deployment(Manifest.load(manifest), Tenancy()) if one.entry.view_type in wanted]
    async with opened_node(deployed, url, _STREAM, data) as node:
        before = _taken_so_far()
        summary = await node.run(until_caught_up=True)
        cost = _since(before)
    if (summary.events, summary.parked) != (EVENTS, 0):
        raise AssertionError(f"the node came to {summary}")
    return cost


async def _by_hand(_manifest: Path, url: str, data: Path, kinds: list[int]) -> Cost:
    """What one consumer of these view types takes for the whole stream."""
    before = _taken_so_far()
    await handwritten.consume(url, _STREAM, data, EVENTS, fold=_fold_by_hand(kinds))
    return _since(before)


def _taken_so_far() -> Cost:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    lines = Path("/proc/self/io").read_text().splitlines()  # bytes that this process caused to be written
    return Cost(usage.ru_utime + usage.ru_stime, int(dict(line.split(": ") for line in lines)["write_bytes"]))


def _since(before: Cost) -> Cost:
    now = _taken_so_far()
    return Cost(now.processor_s - before.processor_s, now.written - before.written)


def _fold_by_hand(kinds: Iterable[int]) -> handwritten.Fold:
    kind_of = {f"{event_type}{kind}": kind for kind in kinds for event_type in ("Opened", "Deposited")}.get

    def key_of(event: handwritten.Event) -> str | None:
        kind = kind_of(event["event_type"])
        if kind is None:
            return None
        return f"view:{event['tenant_id']}:accounts{kind}:{event['payload']['account']}"

    def apply(view: handwritten.View | None, event: handwritten.Event) -> handwritten.View | None:
        payload, day = event["payload"], event["timestamp"][:10]
        if event["event_type"].startswith("Opened"):
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


Views = dict[tuple[str, str], Any]  # by tenant and view id: no two kinds have an id in common


def _views(data: Path, kinds: Iterable[int]) -> Views:
    found: Views = {}
    for view_type in map(_view_type, kinds):
        with serving_reader(data, view_type) as reader:
            for key, view in reader.scan(None, view_type):
                found[str(key.tenant_id), str(key.view_id)] = json.loads(view, parse_float=Decimal)
    return found


def _require_equal(ours: Views, theirs: Views) -> None:
    if not ours or ours != theirs:
        raise AssertionError(f"the sides disagree: {len(ours):,} views and {len(theirs):,}")


if __name__ == "__main__":
    side_, manifest_, url_, data_, *kinds_ = sys.argv[1:]
    take = {"node": _by_node, "by_hand": _by_hand}[side_]
    print(json.dumps(asyncio.run(take(Path(manifest_), url_, Path(data_), [int(kind) for kind in kinds_]))))
