"""What every test may ask for: a real NATS server, and a stream name of its own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sampling
from hypothesis import HealthCheck, settings
from patience import WITHIN_S
from processor_time import ProcessorTime, beside
from warm_commands import end_warm_commands

from projection.store import lmdb_env
from projection.stream import connection, publisher
from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres_server import PostgresServer

ANY_PORT = "127.0.0.1:0"

# Whoever starts the tests in the background may have SIGINT ignored, and every process would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where nobody wants bytecode beside the sources, each process that a test starts would compile the package anew.
if sys.dont_write_bytecode and "PYTHONPYCACHEPREFIX" not in os.environ:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix, "bytecode"))

# Nodes of many tests run at once, and each answers queries at a port of its own.
os.environ["PROJECTION_HTTP__LISTEN"] = ANY_PORT

# No test is about time, on a machine that others use too; what failed can be run again from what is printed.
settings.register_profile(
    "project", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("project")

# What gives up in the product, for somebody who waits, must not give up in a test because the machine is slow.
connection._CONNECT_S = WITHIN_S / 10  # a connection that comes back tries again: it may not wait as long as the test
publisher._ACKNOWLEDGED_WITHIN_S = WITHIN_S
lmdb_env.PATIENCE = WITHIN_S


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ProcessorTime(), "processor time")


def pytest_report_header() -> str:
    return sampling.header()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sampling.scale_examples(items, long="property" in config.option.markexpr)
    sampling.rotate(items)


def pytest_sessionfinish() -> None:
    end_warm_commands()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server for the whole session, one a worker; tests that harm a server start their own."""
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        beside.add(server.pid)
        yield server
        beside.discard(server.pid)


@pytest.fixture
def stream_name() -> str:
    """A name that no other test uses."""
    return f"S{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole session, one a worker; tests that harm a server start their own."""
    import postgres_server

    if (programs := postgres_server.binaries()) is None:
        pytest.skip(postgres_server.NONE)
    with postgres_server.PostgresServer(programs) as server:
        beside.add(server.pid)
        yield server
        beside.discard(server.pid)


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres.new_database()
