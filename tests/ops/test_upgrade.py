"""Nodes of the version before this one are replaced one after the other, under load: no event is lost or doubled."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from engine_support import TALLIES, added
from node_support import Site
from patience import WITHIN_MS, WITHIN_S, eventually
from rolling import RATE, TENANT, Balancer, Load, events_of_views

from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.stream.embedded import EmbeddedServer

pytestmark = pytest.mark.long
CHECKOUT = Path(__file__).resolve().parents[2]
FORMER = "2e9c559df2a7fdbad4e634fe74535dcc0c1669a3"  # the last commit before deploy/, draining, traces and the console
NEEDED = ("projection", "projections", "grammar", "docs/errors.md")
READERS, FOLLOWERS = 3, 2


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A folder with the former version, which runs in this environment."""
    command = ["git", "-C", str(CHECKOUT), "archive", FORMER, *NEEDED]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no upgrade was tried: this checkout has no history that goes back to {FORMER[:7]}")
    folder = tmp_path / "former"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


class Process:
    """One node with its folder; its version is that of the source folder that it is started from."""

    def __init__(self, folder: Path, nats_url: str, stream: str) -> None:
        folder.mkdir()
        (folder / "tallies.proj").write_text(TALLIES)
        views = {"tallies": {"program": "tallies.proj", "changes": True}}
        template = f"{stream}.<tenant>.aggregate.<type>.<id>"
        (folder / "manifest.json").write_text(json.dumps({"manifest": 1, "subject_template": template, "views": views}))
        self._folder = folder
        self._variables = {
            "PROJECTION_NODE": folder.name,
            "PROJECTION_NATS__URL": nats_url,
            "PROJECTION_STREAM": stream,
            "PROJECTION_STORAGE": "data",
            "PROJECTION_MANIFEST": "manifest.json",
            "PROJECTION_HTTP__LISTEN": "127.0.0.1:0",
            "PROJECTION_QUERY__MAX_WAIT_MS": str(WITHIN_MS),
            "PROJECTION_STOP_TIMEOUT_S": str(int(WITHIN_S)),
        }
        self._running: subprocess.Popen[bytes] | None = None
        self._log = folder / "none.log"

    @contextmanager
    def started(self, source: Path) -> Iterator[None]:
        """Run the node from this folder until the end of the block."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PROJECTION_", "OTEL_"))}
        self._log = self._folder / f"{source.name}.log"
        command = [sys.executable, "-m", "projection", "run"]
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**own, **self._variables, "PYTHONPATH": str(source)},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield
        finally:
            self._running.kill()
            self._running.wait()

    def told(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    @property
    def url(self) -> str:
        """Where it serves; nothing where it does not yet."""
        assert self._running is not None
        assert self._running.poll() is None, self._log.read_text()[-4_000:]
        return next((str(line["url"]) for line in self.told() if line["event"] == "serving"), "")

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    async def is_ready(self) -> bool:
        if not self.url:
            return False
        async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
            return (await client.get(f"{self.url}/ready")).status_code == 200

    def ended(self) -> bool:
        """Whether it ended by itself."""
        assert self._running is not None
        return self._running.poll() is not None

    def stop(self) -> None:
        assert self._running is not None
        self._running.send_signal(signal.SIGTERM)

    @property
    def status(self) -> int | None:
        assert self._running is not None
        return self._running.returncode


async def test_an_upgrade_of_one_node_after_the_other_loses_and_doubles_no_event(
    nats_server: EmbeddedServer, stream_name: str, tmp_path: Path, former: Path
) -> None:
    """The former version knows no draining, so the balancer is told first; a read may lose its connection, not its answer."""
    ports: list[int] = []
    for_readers, for_followers = Balancer(ports), Balancer(ports)
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
        nats = await opened.enter_async_context(await Nats.connect(NatsConnection(nats_server.url)))
        publisher = await Site(nats, nats_server.url, stream_name, tmp_path / "publisher").create()

        async def publish(ids: list[str]) -> int:
            return await publisher.publish([added(one, tenant=TENANT) for one in ids])

        load = Load("tallies", publish)
        await load.begin()
        nodes = [Process(tmp_path / name, nats_server.url, stream_name) for name in ("one", "two")]
        running = [opened.enter_context(ExitStack()) for _ in nodes]
        for node, process in zip(nodes, running, strict=True):
            process.enter_context(node.started(former))
            await eventually(node.is_ready)
        ports[:] = [node.port for node in nodes]
        to_read = await opened.enter_async_context(for_readers.serving())
        to_follow = await opened.enter_async_context(for_followers.serving())
        publishing = tasks.create_task(load.publish_on())
        reading = [tasks.create_task(load.read_on(number, to_read)) for number in range(READERS)]
        following = [tasks.create_task(load.follow_on(number, to_follow)) for number in range(FOLLOWERS)]
        for node, other, process in zip(nodes, reversed(nodes), running, strict=True):
            await load.some_reads(reading[0])
            ports[:] = [other.port]
            await load.some_reads(reading[0])
            node.stop()
            await eventually(node.ended)
            assert node.status == 0, node.told()[-5:]
            process.close()
            process.enter_context(node.started(CHECKOUT))
            await eventually(node.is_ready)
            ports[:] = [other.port, node.port]
        await load.some_reads(reading[0])
        last = await load.end(publishing)
        await asyncio.gather(*reading)
        followed = await asyncio.gather(*following)
        for node in nodes:
            await eventually(lambda node=node: _has(node.url, last))
            assert load.sent == await events_of_views(node.url, "tallies")
    assert [load.sent] * FOLLOWERS == followed
    assert all(broken <= len(nodes) for broken in load.broken.values()), load.broken
    print(
        f"{load.sent.total():,} events at {RATE} a second, {load.reads:,} reads, {load.broken.total()} lost connections"
    )


async def _has(url: str, sequence: int) -> bool:
    async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
        answer = await client.get(f"{url}/v1/views/tallies/v1", headers={"x-tenant-id": TENANT})
    return bool(answer.json()["scanned"] >= sequence)
