"""What it costs that a node can be observed: metrics that are scraped each second and a log at info, against neither.

Both sides catch up on the same events in processes of their own, in turn. The rate is by processor time, which is all
that measuring takes: so a machine that is busy with something else changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.end_to_end import FINES, fine_summary
from benchmarks.rebuild import load
from benchmarks.sides import opened_node, rates_in_turn, row_of_rates
from projection.engine import reading
from projection.engine.log_control import LEVEL_FILTER
from projection.model.distribution import Distribution
from projection.model.log_settings import LogLevels
from projection.ops import metric_declarations as declared
from projection.ops.metric_families import Exposition, Families
from projection.ops.node_metrics import NodeNumbers
from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.node import Node

EVENTS = 100_000
ROUNDS = 7
_SCRAPE_S = 1.0
_STREAM = "fines"


def measure() -> Iterator[dict[str, Any]]:
    """Events per second of processor time, the median of the rounds."""
    if not FINES.exists():
        print(f"observing is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(load(server.url, EVENTS))
            rates = rates_in_turn("benchmarks.observing", ("on", "off"), ROUNDS, server.url, place)
    yield row_of_rates("metrics_and_logs_events_per_second", rates)


async def _rate(url: str, path: Path, *, is_observed: bool) -> float:
    async with opened_node(fine_summary(), url, _STREAM, path) as node:
        if not is_observed:
            LEVEL_FILTER.levels = LogLevels("error")
            _measure_nothing()
        scraping = asyncio.create_task(_scrape(node)) if is_observed else None
        began = time.process_time()
        summary = await node.run(until_caught_up=True)
        seconds = time.process_time() - began
        if scraping is not None:
            scraping.cancel()
            with suppress(asyncio.CancelledError):
                await scraping
    return summary.events / seconds


def _measure_nothing() -> None:
    for owner, name, instead in (
        (Distribution, "add", lambda *_: None),
        (reading, "is_told_of_each", lambda: False),
        (reading, "recorded_parent", lambda _: None),
    ):
        mock.patch.object(owner, name, instead).start()


async def _scrape(node: Node) -> None:
    numbers = NodeNumbers(node, None)
    while True:
        families, exposition = Families(declared.OF_NODE), Exposition("application/openmetrics-text")
        for _ in numbers.adding(families):
            await asyncio.sleep(0)
        for family in families:
            exposition.text(family)
            await asyncio.sleep(0)
        await asyncio.sleep(_SCRAPE_S)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_rate(sys.argv[2], Path(sys.argv[3]), is_observed=sys.argv[1] == "on"))))
