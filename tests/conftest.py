"""What every test may ask for: a real NATS server, and a stream name of its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY_PORT = "127.0.0.1:0"

# Whoever starts the tests in the background may have SIGINT ignored, and every process would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nodes of many tests run at once, and each answers queries at a port of its own.
os.environ["PROJECTION_HTTP__LISTEN"] = ANY_PORT

# No test is about time, on a machine that others use too; what failed can be run again from what is printed.
settings.register_profile(
    "project", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("project")


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server for the whole session, one a worker; tests that harm a server start their own."""
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def stream_name() -> str:
    """A name that no other test uses."""
    return f"S{uuid4().hex[:12]}"
