"""JetStream → LMDB, whole: our node against a hand-written, tuned consumer of the same view, on the real fines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import handwritten
from projection.bundled import bundled
from projection.engine.deployment import load_deployment
from projection.engine.node import open_node
from projection.model.envelope import Tenancy
from projection.model.ids import ViewType
from projection.model.manifest import Manifest
from projection.model.settings import NatsSettings, Settings
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.query.reading import serving_reader
from projection.store.catalog import Catalog
from projection.stream.connection import Nats, NatsConnection
from projection.stream.embedded import EmbeddedServer
from projection.stream.loading import FileLoading

if TYPE_CHECKING:
    from collections.abc import Iterator

FINES = Path(__file__).resolve().parents[2] / "shared" / "data" / "road_traffic_fines.jsonl.gz"
EVENTS = 200_000
ROUNDS = 3
_STREAM = "fines"
_VIEW = ViewType("fine_summary")


def measure() -> Iterator[dict[str, object]]:
    """Events per second, the median of some rounds in turn, after both came to the same views."""
    if not FINES.exists():
        print(f"end_to_end is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url))
            rates: dict[str, list[float]] = {"ours": [], "yardstick": []}
            for round_ in range(ROUNDS):
                for who, found in rates.items():
                    found.append(_in_a_process(who, server.url, place / f"{who}{round_}"))
                    print(f"end_to_end, {who}: {found[-1]:,.0f} events/s", file=sys.stderr)
        _require_equal(place / "ours0", place / "yardstick0")
    ours, yardstick = median(rates["ours"]), median(rates["yardstick"])
    ratio = median(a / b for a, b in zip(rates["ours"], rates["yardstick"], strict=True))
    yield {
        "name": "end_to_end_events_per_second",
        "ours": round(ours),
        "yardstick": round(yardstick),
        "ratio": round(ratio, 2),
    }


async def _load(url: str) -> None:
    loading = FileLoading(FINES, SubjectTemplate.parse(DEFAULT_TEMPLATE), Tenancy(), limit=EVENTS)
    async with await Nats.connect(NatsConnection(url)) as nats:
        await loading.publish(nats, _STREAM, create=True)


def _in_a_process(who: str, url: str, path: Path) -> float:
    """Each side in a fresh interpreter: neither meets the other's caches or heap."""
    command = [sys.executable, "-m", "benchmarks.end_to_end", who, url, str(path)]
    seconds = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return EVENTS / float(seconds)


async def _ours(url: str, path: Path) -> float:
    manifest = Manifest.load(bundled("projections/fines/manifest.yaml"))
    settings = Settings(nats=NatsSettings(url=url), stream=_STREAM, storage=path)
    deployed = [one for one in load_deployment(manifest, settings.tenancy) if one.entry.view_type == _VIEW]
    with Catalog.open(path) as catalog:
        async with await Nats.connect(NatsConnection(url)) as nats:
            with await open_node(settings, deployed, catalog, nats) as node:
                return (await node.run(until_caught_up=True)).seconds


async def _yardstick(url: str, path: Path) -> float:
    return (await handwritten.consume(url, _STREAM, path, EVENTS)).seconds


def _require_equal(ours: Path, yardstick: Path) -> None:
    with serving_reader(ours, _VIEW) as reader:
        found = {
            (str(key.tenant_id), str(key.view_id)): json.loads(view, parse_float=Decimal)
            for key, view in reader.scan(None, _VIEW)
        }
    expected = handwritten.read_views(yardstick)
    if found != expected:
        raise AssertionError(f"the two sides disagree: {len(found)} and {len(expected)} views")


if __name__ == "__main__":
    side = {"ours": _ours, "yardstick": _yardstick}[sys.argv[1]]
    print(json.dumps(asyncio.run(side(sys.argv[2], Path(sys.argv[3])))))
