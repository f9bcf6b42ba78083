"""A site for a node: on the session's server, or on a server of its own, to be harmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from node_support import Site
from structlog.testing import capture_logs

from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from structlog.typing import EventDict


@pytest.fixture
async def site(nats_server: EmbeddedServer, stream_name: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        yield await Site(nats, nats_server.url, stream_name, tmp_path).create()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def own_site(own_server: EmbeddedServer, stream_name: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with await Nats.connect(NatsConnection(own_server.url)) as nats:
        yield await Site(nats, own_server.url, stream_name, tmp_path).create()


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What the node logs."""
    with capture_logs() as lines:
        yield lines
