"""A connection, and a log on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stream_support import Log

from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def nats(nats_server: EmbeddedServer) -> AsyncIterator[Nats]:
    async with await Nats.connect(NatsConnection(nats_server.url)) as connection:
        yield connection


@pytest.fixture
async def log(nats: Nats, stream_name: str) -> Log:
    return await Log(JetStream(nats), stream_name).create()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server to be harmed."""
    with EmbeddedServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def own_log(own_server: EmbeddedServer, stream_name: str) -> AsyncIterator[Log]:
    async with await Nats.connect(NatsConnection(own_server.url)) as connection:
        yield await Log(JetStream(connection), stream_name).create()
