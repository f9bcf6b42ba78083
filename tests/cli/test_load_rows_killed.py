"""A loader that is killed, and a database that is: whatever the moment, every row once, and in order."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import suppress
from random import Random, SystemRandom
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg
import pytest
from backfill_support import keys
from command_support import command, environment
from patience import WITHIN_S, wait_until
from postgres_server import NONE, PostgresServer, binaries

from projection.errors import StreamError
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

KILLS = ("loader", "database", "both")


def test_a_few_kills_lose_and_double_no_row(tmp_path: Path, nats_server: EmbeddedServer, stream_name: str) -> None:
    kills_of_both(tmp_path, nats_server, stream_name, 3, SystemRandom().randrange(2**32))


@pytest.mark.long
def test_many_kills_lose_and_double_no_row(tmp_path: Path, nats_server: EmbeddedServer, stream_name: str) -> None:
    kills_of_both(tmp_path, nats_server, stream_name, 40, SystemRandom().randrange(2**32))


def kills_of_both(tmp_path: Path, nats_server: EmbeddedServer, stream: str, count: int, seed: int) -> None:
    print(f"seed {seed}, {count} kills")
    if (programs := binaries()) is None:
        pytest.skip(NONE)
    random = Random(seed)
    with PostgresServer(programs) as server:
        database = server.new_database()
        with psycopg.connect(database) as connection:
            connection.execute("CREATE TABLE events (id bigserial PRIMARY KEY, note text)")
            connection.execute("INSERT INTO events (note) SELECT repeat('x', i % 500) FROM generate_series(1, 4000) i")
        stopping = Event()
        writer = Thread(target=_write, args=(database, stopping))
        writer.start()
        options = ["--table", "events", "--subject-template", f"{stream}.rows", "--create", "--follow"]
        arguments = ["load", "--from", database, *options, "--stream", stream, "--url", nats_server.url]

        def start() -> subprocess.Popen[bytes]:
            with (tmp_path / "log").open("ab") as log:
                return subprocess.Popen(
                    command(*arguments), cwd=tmp_path, env=environment(), stdout=log, stderr=log, start_new_session=True
                )

        loader = start()
        try:
            kills = [*KILLS[: max(0, min(count, 3))], *random.choices(KILLS, k=max(0, count - 3))]
            random.shuffle(kills)
            for kill in kills:
                asyncio.run(_moved(nats_server.url, stream, loader, lambda end: end + random.randint(1, 900)))
                if kill != "database":
                    loader.kill()
                    loader.wait(WITHIN_S)
                if kill != "loader":
                    server.kill()
                    server.start()
                if kill != "database":
                    loader = start()
            stopping.set()
            writer.join()
            with psycopg.connect(database) as connection:
                expected = [key for (key,) in connection.execute("SELECT id FROM events ORDER BY id")]
            asyncio.run(_moved(nats_server.url, stream, loader, lambda _: len(expected)))
            loader.send_signal(signal.SIGTERM)
            assert loader.wait(WITHIN_S) == 0, (tmp_path / "log").read_text()
        finally:
            stopping.set()
            loader.kill()
            loader.wait(WITHIN_S)
            writer.join()
    assert expected == keys(nats_server.url, stream)


def _write(database: str, stopping: Event) -> None:
    """Write rows, one a transaction, through everything."""
    while not stopping.is_set():
        with suppress(psycopg.Error), psycopg.connect(database, autocommit=True, connect_timeout=5) as connection:
            while not stopping.wait(0.002):
                connection.execute("INSERT INTO events (note) VALUES ('live')")


async def _moved(url: str, stream: str, loader: subprocess.Popen[bytes], goal_of: Callable[[int], int]) -> None:
    """Wait until the stream has come to a goal, which is made of its end now."""
    goal = None
    async with asyncio.timeout(WITHIN_S), await Nats.connect(NatsConnection(url)) as nats:
        while True:
            assert loader.poll() is None, "the loader has ended"
            try:
                end = (await JetStream(nats).stream_info(stream)).state.last_seq
            except StreamError:  # it is not made yet
                end = 0
            if goal is None:
                goal = goal_of(end)
            if end >= goal:
                return
            await asyncio.sleep(0.02)


def test_a_load_that_waits_for_a_writer_ends_when_it_is_told_to(
    database: str, tmp_path: Path, nats_server: EmbeddedServer, stream_name: str
) -> None:
    options = ["--table", "events", "--subject-template", stream_name, "--stream", stream_name, "--create"]
    with psycopg.connect(database, autocommit=True) as connection, psycopg.connect(database) as late:
        connection.execute("CREATE TABLE events (id bigserial PRIMARY KEY)")
        late.execute("INSERT INTO events DEFAULT VALUES")
        connection.execute("INSERT INTO events DEFAULT VALUES")
        loader = subprocess.Popen(
            command("load", "--from", database, *options, "--url", nats_server.url),
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
        )
        waits = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND query LIKE '%%SELECT pid FROM pg_locks%%'"
        )
        wait_until(lambda: connection.execute(waits, ("projection load",)).fetchone() or loader.poll() is not None)
        loader.send_signal(signal.SIGINT)
        _, said = loader.communicate(timeout=WITHIN_S)
        late.rollback()
    assert loader.returncode == 130, said
    assert b"interrupted before the first row; the same command continues there" in said
