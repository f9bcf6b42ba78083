"""JetStream → LMDB, whole: the node catching up on the real fines, against consumers of the same view written by hand.

Each round runs the node and the tuned consumer in turn. The plain one is so much slower that some events tell its rate.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from decimal import Decimal
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import orjson

from benchmarks import handwritten
from benchmarks.sides import in_a_process, opened_node
from projection.bundled import bundled
from projection.engine.deployment import load_deployment
from projection.model.envelope import Tenancy
from projection.model.ids import ViewType
from projection.model.manifest import Manifest
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.query.reading import serving_reader
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.file_feed import read_events
from projection.stream.loading import FileLoading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.deployment import DeployedView

FINES = Path(__file__).resolve().parents[2] / "shared" / "data" / "road_traffic_fines.jsonl.gz"
EVENTS = 200_000
PLAIN_EVENTS = 2_000
ROUNDS = 3
_STREAM = "fines"
_VIEW = ViewType("fine_summary")

_Views = dict[tuple[str, str], handwritten.View]  # by tenant and fine


def measure() -> Iterator[dict[str, object]]:
    """Events per second, the median of some rounds in turn, after all came to the same views."""
    if not FINES.exists():
        print(f"end_to_end is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    rates: dict[str, list[float]] = {"ours": [], "tuned": [], "plain": []}
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url))
            for round_ in range(ROUNDS):
                for who, found in rates.items():
                    found.append(in_a_process("benchmarks.end_to_end", who, server.url, place / f"{who}{round_}"))
                    print(f"end_to_end, {who}: {found[-1]:,.0f} events/s", file=sys.stderr)
        tuned = handwritten.read_views(place / "tuned0")
        _require_equal(_views_of_the_node(place / "ours0"), tuned)
        _require_equal(handwritten.read_views(place / "plain0"), _folded_by_hand(PLAIN_EVENTS))
    for name, yardstick in (("end_to_end", "tuned"), ("end_to_end_against_plain", "plain")):
        yield {
            "name": f"{name}_events_per_second",
            "ours": round(median(rates["ours"])),
            "yardstick": round(median(rates[yardstick])),
            "ratio": round(median(a / b for a, b in zip(rates["ours"], rates[yardstick], strict=True)), 2),
        }


async def _load(url: str) -> None:
    loading = FileLoading(FINES, SubjectTemplate.parse(DEFAULT_TEMPLATE), Tenancy(), limit=EVENTS)
    async with await Nats.connect(NatsConnection(url)) as nats:
        await loading.publish(nats, _STREAM, create=True)


def fine_summary() -> list[DeployedView]:
    """The view type that all sides fold."""
    manifest = Manifest.load(bundled("projections/fines/manifest.yaml"))
    return [one for one in load_deployment(manifest, Tenancy()) if one.entry.view_type == _VIEW]


async def _ours(url: str, path: Path) -> float:
    async with opened_node(fine_summary(), url, _STREAM, path) as node:
        summary = await node.run(until_caught_up=True)
    return summary.events / summary.seconds


async def _tuned(url: str, path: Path) -> float:
    result = await handwritten.consume(url, _STREAM, path, EVENTS)
    return result.events / result.seconds


async def _plain(url: str, path: Path) -> float:
    result = await handwritten.consume_plainly(url, _STREAM, path, PLAIN_EVENTS)
    return result.events / result.seconds


def _views_of_the_node(path: Path) -> _Views:
    with serving_reader(path, _VIEW) as reader:
        return {
            (str(key.tenant_id), str(key.view_id)): json.loads(view, parse_float=Decimal)
            for key, view in reader.scan(None, _VIEW)
        }


def _folded_by_hand(count: int) -> _Views:
    views: dict[tuple[str, str], handwritten.View | None] = {}
    for _line, data in islice(read_events(FINES), count):
        event = orjson.loads(data)
        key = (event["tenant_id"], event["payload"]["fine_id"])
        views[key] = handwritten.apply(views.get(key), event)
    return {key: view for key, view in views.items() if view is not None}


def _require_equal(found: _Views, expected: _Views) -> None:
    if found != expected:
        raise AssertionError(f"two sides disagree: {len(found)} and {len(expected)} views")


if __name__ == "__main__":
    side = {"ours": _ours, "tuned": _tuned, "plain": _plain}[sys.argv[1]]
    print(json.dumps(asyncio.run(side(sys.argv[2], Path(sys.argv[3])))))
