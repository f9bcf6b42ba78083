"""`kill -9` of the node at random moments, and of the server once: the views are those of a replay, to the byte.

The seed is printed; with CRASH_SEED in the environment the same moments come again, as far as a machine's speed allows.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from secrets import randbits
from typing import TYPE_CHECKING, Any

import pytest
from engine_support import TENANCY
from node_support import Contents, folded, replayed

from projection.bundled import bundled
from projection.engine.deployment import load_deployment
from projection.errors import ProjectionError
from projection.model.ids import ViewType
from projection.model.manifest import Manifest
from projection.query.reading import serving_reader
from projection.stream.connection import Nats, NatsConnection
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all
from projection.testing.shop import shop_lines

if TYPE_CHECKING:
    from pathlib import Path

    from projection.store.port import ViewReader

MANIFEST = bundled("projections/shop.yaml")
VIEW_TYPES = [ViewType(name) for name in ("shop_customers", "shop_orders", "shop_sales")]
STREAM = "shop"
BATCH = 200  # events in a commit: many commits, so many different moments
PATIENCE_S = 60.0


@pytest.mark.parametrize(
    ("count", "kills"), [(12_000, 20), pytest.param(200_000, 200, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_kills_of_the_node_and_one_of_the_server_change_nothing(tmp_path: Path, count: int, kills: int) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    print(f"seed {seed}")
    lines = list(shop_lines(count))
    with EmbeddedServer(tmp_path / "nats") as server:
        publish(server, lines)
        moments = Victim(server, tmp_path, count, random.Random(seed)).run_and_kill(kills)
        summary = run_to_the_end(server, tmp_path)
    print(f"{kills} kills at {moments}")
    expected = replayed(load_deployment(Manifest.load(MANIFEST), TENANCY), lines)
    found = stored(tmp_path)
    assert {name: one[1] for name, one in expected.items()} == {name: one[1] for name, one in found.items()}
    assert expected == found
    assert 0 == summary["parked"]
    assert summary["events"] < 3 * count  # three view types, each by itself where they stand far apart
    assert sorted(moments) == moments  # what is committed is never less than before
    assert len({moment // (count // 10) for moment in moments}) > 6, f"not spread: {moments}"
    assert counted(lines) == counts_in(found)


class Victim:
    """A node that is started and killed, again and again, each time a bit further."""

    def __init__(self, server: EmbeddedServer, folder: Path, count: int, dice: random.Random) -> None:
        self._server = server
        self._folder = folder
        self._count = count
        self._dice = dice
        self._committed = Committed(folder / "data")
        self._starting_s = 0.8  # what a node needs until its first commit, until that is measured

    def run_and_kill(self, kills: int) -> list[int]:
        """Kill so many times; the committed position after each."""
        moments = []
        with self._committed:
            for number in range(kills):
                node = start(self._server, self._folder)
                try:
                    self._wait(node, number, kills)
                    if number == kills // 2:
                        self._kill_the_server(node)
                    assert node.poll() is None, log_of(self._folder)
                finally:
                    node.kill()  # SIGKILL
                    node.communicate()
                moments.append(self._committed.now())
        return moments

    def _wait(self, node: subprocess.Popen[bytes], number: int, kills: int) -> None:
        """Two of three kills come somewhere in their own part of the log, the third at any time, also while it starts."""
        if number == 1:
            began = time.monotonic()
            self._wait_until_at(self._committed.now() + 1, node)
            self._starting_s = time.monotonic() - began
        part = (self._count - 10 * BATCH) // kills
        if number % 3 == 0:
            until = time.monotonic() + self._dice.uniform(0.0, 2 * self._starting_s)
            while time.monotonic() < until and self._committed.now() < (number + 1) * part:
                time.sleep(0.001)
            return
        self._wait_until_at(number * part + self._dice.randrange(part), node)
        time.sleep(self._dice.uniform(0.0, 0.01))  # into the next batch, or into its commit

    def _kill_the_server(self, node: subprocess.Popen[bytes]) -> None:
        """It comes back with what it had; the node has to find to it by itself."""
        self._server.kill()
        here = self._committed.now()
        self._server.start()
        self._wait_until_at(here + 3 * BATCH, node)

    def _wait_until_at(self, position: int, node: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            ended = node.poll() is not None  # asked first: what it committed before it ended counts
            if (here := self._committed.now()) >= position:
                return
            assert not ended, log_of(self._folder)
            assert time.monotonic() < deadline, f"at {here}, not at {position}: {log_of(self._folder)}"
            time.sleep(0.002)


class Committed(ExitStack):
    """How far the furthest view type has come, asked of the stores while the node writes them."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data
        self._readers: dict[ViewType, ViewReader] = {}

    def now(self) -> int:
        """The last committed sequence; 0 while there is nothing to read yet."""
        for view_type in VIEW_TYPES:
            if view_type not in self._readers:
                try:
                    self._readers[view_type] = self.enter_context(serving_reader(self._data, view_type))
                except ProjectionError:  # the node has not come so far
                    return 0
        return max(reader.position().scanned for reader in self._readers.values())


def publish(server: EmbeddedServer, lines: list[bytes]) -> None:
    template = Manifest.load(MANIFEST).subject_template

    def outgoing(line: bytes) -> Outgoing:
        event = json.loads(line)
        return Outgoing(template.subject(event["tenant_id"], event["aggregate_type"], event["aggregate_id"]), line)

    async def all_of_it() -> None:
        async with await Nats.connect(NatsConnection(server.url)) as nats:
            await JetStream(nats).ensure_stream(STREAM, [template.filter()])
            await publish_all(nats, STREAM, map(outgoing, lines))

    asyncio.run(all_of_it())


def start(server: EmbeddedServer, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "projection", "run", "--until-caught-up", "--manifest", MANIFEST]
    command += ["--stream", STREAM, "--url", server.url, "--storage", folder / "data"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    environment["PROJECTION_BACK_PRESSURE__BATCH"] = str(BATCH)
    with (folder / "node.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log)


def run_to_the_end(server: EmbeddedServer, folder: Path) -> dict[str, Any]:
    node = start(server, folder)
    try:
        out, _ = node.communicate(timeout=PATIENCE_S)
    finally:
        node.kill()
        node.communicate()
    assert node.returncode == 0, log_of(folder)
    return json.loads(out)


def log_of(folder: Path) -> str:
    return (folder / "node.log").read_text()[-2_000:]


def stored(folder: Path) -> Contents:
    found = {}
    for view_type in VIEW_TYPES:
        with serving_reader(folder / "data", view_type) as reader:
            found[view_type] = folded(reader, view_type)
    return found


def counted(lines: list[bytes]) -> Counter[str]:
    """What happened, told from the events alone."""
    return Counter(
        kind
        for line in lines
        if (kind := json.loads(line)["event_type"]) in ("OrderPlaced", "OrderPaid", "OrderCancelled")
    )


def counts_in(found: Contents) -> Counter[str]:
    """The same, told from the counters of the views of all days: an event lost or applied twice would show."""
    counts: Counter[str] = Counter()
    for _, data in found[ViewType("shop_sales")][0]:
        day = json.loads(data)
        for event_type, field in (
            ("OrderPlaced", "orders_placed"),
            ("OrderPaid", "orders_paid"),
            ("OrderCancelled", "orders_cancelled"),
        ):
            counts[event_type] += day[field]
    return counts
