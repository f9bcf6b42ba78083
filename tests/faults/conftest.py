"""A server to be harmed, and a site on it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from crash_log import make_log
from crash_site import CrashSite, warm_forks

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = 1_000
BATCH = 100


@pytest.fixture(scope="session", autouse=True)
def _warm() -> Iterator[None]:
    with warm_forks():
        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "nats") as running:
        yield running


@pytest.fixture
def site(server: EmbeddedServer, tmp_path: Path) -> CrashSite:
    """Nothing is published yet."""
    return CrashSite(server, tmp_path, make_log(random.Random(1), EVENTS), batch=BATCH)
