"""What measurements over a server share: a side of a comparison in a process of its own, a node to be measured."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

from projection.cli.logs import configure_logs
from projection.engine.assembly import open_node
from projection.engine.tracing import UNTRACED
from projection.model.settings import NatsSettings, Settings
from projection.store.catalog import Catalog
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node
    from projection.engine.tracing import Tracing

Rates = tuple[list[float], list[float]]  # of each round


def in_a_process(module: str, *arguments: object) -> Any:
    """The JSON that a module prints: in an interpreter of its own a side does not meet the others' caches or heap."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def rates_in_turn(module: str, sides: tuple[str, str], rounds: int, url: str, place: Path, *more: object) -> Rates:
    """What two sides of a module print, ours and the yardstick: each round has both, in an order that changes."""
    rates: Rates = ([], [])
    for round_ in range(rounds):
        for side in (0, 1) if round_ % 2 == 0 else (1, 0):
            at = place / f"{sides[side]}{round_}"
            rates[side].append(in_a_process(module, sides[side], url, at, *more))
            print(f"{module} {sides[side]} {' '.join(map(str, more))}: {rates[side][-1]:,.0f}/s", file=sys.stderr)
    return rates


def row_of_rates(name: str, rates: Rates) -> dict[str, Any]:
    """The medians of both sides, and of the ratios round by round, which leave out what a machine does meanwhile."""
    ours, theirs = rates
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    return {"name": name, "ours": round(median(ours)), "yardstick": round(median(theirs)), "ratio": round(ratio, 3)}


@asynccontextmanager
async def opened_node(
    deployed: Sequence[DeployedView], url: str, stream: str, data: Path, tracing: Tracing = UNTRACED
) -> AsyncIterator[Node]:
    """A node of these view types with the default settings, on a data folder that is made where it is missing."""
    settings = Settings(nats=NatsSettings(url=url), stream=stream, storage=data)
    configure_logs(settings)  # to stderr: stdout is for figures
    with Catalog.open(data) as catalog:
        async with await Nats.connect(NatsConnection(url)) as nats:
            with open_node(settings, deployed, catalog, nats, tracing=tracing) as node:
                yield node
