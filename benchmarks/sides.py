"""What measurements over a server share: a side of a comparison in a process of its own, a node to be measured."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
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


def in_a_process(module: str, *arguments: object) -> Any:
    """The JSON that a module prints: in an interpreter of its own a side does not meet the others' caches or heap."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


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
