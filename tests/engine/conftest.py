"""Stores for a lane, in memory and in LMDB: what holds for the one has to hold for the other; and a site for a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine_support import deploy
from node_support import Site
from structlog.testing import capture_logs

from projection.engine.lane import Lane
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from structlog.typing import EventDict

    from projection.engine.deployment import DeployedView
    from projection.store.port import LaneStore
    from projection.stream.embedded import EmbeddedServer


@pytest.fixture
def deployed(tmp_path: Path) -> tuple[DeployedView, ...]:
    return deploy(tmp_path / "deployed")


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, deployed: tuple[DeployedView, ...]) -> Iterator[LaneStore]:
    if request.param == "memory":
        yield MemoryLaneStore()
        return
    with LmdbLaneStore.open(tmp_path / "lane", deployed[0].fold_identity) as opened:
        yield opened


@pytest.fixture
def lane(store: LaneStore, deployed: tuple[DeployedView, ...]) -> Lane:
    return Lane(deployed[0], store)


@pytest.fixture
async def site(nats_server: EmbeddedServer, stream_name: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        yield await Site(nats, nats_server.url, stream_name, tmp_path).create()


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What the node logs."""
    with capture_logs() as lines:
        yield lines
