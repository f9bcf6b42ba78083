"""A node under watch: a process of its own that folds one event after another, and how long nothing comes of them.

Everything is seen from outside: events are published all the time, sent and not waited for, and the node is asked over
HTTP how far its answers are. What the server does not store because nobody leads the stream counts as no progress, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import httpx

from projection.errors import StreamError
from projection.model.subjects import SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

BEAT_S = 0.05
_LOOK_S = 0.02
_WITHIN_S = 120.0  # for what has no bound of its own
_PROGRAM = """\
proj 1
projection {view_type}

event Beat {{ id: string(20) }}
event Noted {{ id: string(20), text: string(20000) }}

view Beats {{ beats: int = 0, text: string(20000) = "" }}

on Beat as e to e.id =>
  let one = view ?? {{}};
  one with {{ beats += {step} }}

on Noted as e to e.id =>
  let one = view ?? {{}};
  one with {{ text: e.text }}
"""


def event(stream: str, event_type: str = "Beat", view_id: str = "b", **payload: Any) -> tuple[str, bytes]:
    """The subject and the bytes of one event."""
    envelope = {
        "tenant_id": "t",
        "aggregate_type": "beat",
        "aggregate_id": "1",
        "event_type": event_type,
        "timestamp": "2026-03-01T09:30:00Z",
        "payload": {"id": view_id, **payload},
    }
    return _template(stream).subject("t", "beat", "1"), json.dumps(envelope).encode()


def _template(stream: str) -> SubjectTemplate:
    return SubjectTemplate.parse(f"{stream}.<tenant>.aggregate.<type>.<id>")


class Watched:
    """The node, which comes and goes, and the stream that it reads; `position` is what its last answer said."""

    def __init__(self, place: Path, url: str, stream: str) -> None:
        """A place for a node that is not started yet.

        Args:
            place: a folder that is empty.
            url: of the servers, as the node is told.
            stream: which is there.
        """
        self.place = place
        self.stream = stream
        self.position = 0
        self.view: dict[str, Any] = {}
        self.build = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._longest = 0.0  # without progress, since it was looked at last
        self._since = perf_counter()
        self._step = 1
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        place.mkdir(parents=True)
        self._settings = {
            "nats": {"url": url},
            "stream": stream,
            "storage": str(place / "data"),
            "manifest": str(place / "manifest.json"),
            "http": {"listen": f"127.0.0.1:{self.port}"},
        }
        self.deploy("beats")

    def deploy(self, *view_types: str, step: int = 1) -> None:
        """Say what is folded from the next start on; each beat counts as `step`."""
        self._step = step
        (self.place / "settings.json").write_text(json.dumps(self._settings))
        for name in view_types:
            (self.place / f"{name}.proj").write_text(_PROGRAM.format(view_type=name, step=step))
        views = {name: {"program": f"{name}.proj"} for name in view_types}
        manifest = {"manifest": 1, "subject_template": str(_template(self.stream)), "views": views}
        (self.place / "manifest.json").write_text(json.dumps(manifest))

    def start(
        self, *options: str, before: Sequence[str] = (), program: str | None = None, stderr: int | None = None
    ) -> None:
        """Start the node.

        Args:
            options: of `projection run`.
            before: a command that runs what follows it.
            program: Python to run instead of the package, which ends in `main()`.
            stderr: where its log goes; None for a file.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
        code = ["-m", "projection"] if program is None else ["-c", program]
        arguments = [sys.executable, *code, "run", "--config", str(self.place / "settings.json"), *options]
        with (self.place / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*before, *arguments],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=log if stderr is None else stderr,
            )

    def end(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """End the node, and wait for it; idempotent."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signum)
            try:
                process.wait(_WITHIN_S)
            finally:
                process.kill()
                process.wait()

    @property
    def pid(self) -> int:
        """The node's process id."""
        assert self.process is not None
        return self.process.pid

    # what is seen

    def begin(self) -> None:
        """From now on, the time without progress counts."""
        self._longest, self._since = 0.0, perf_counter()

    @property
    def longest_s(self) -> float:
        """The longest time without progress since `begin`, the present one included."""
        return max(self._longest, perf_counter() - self._since)

    async def goes_on(self, for_s: float) -> None:
        """Return after so many seconds, and not before there was progress in the last one."""
        await asyncio.sleep(for_s)
        await until(lambda: perf_counter() - self._since < 1.0, self.log)

    def log(self) -> str:
        """The end of the node's log."""
        path = self.place / "node.log"
        return path.read_text()[-3_000:] if path.exists() else "no node was started"

    def is_ready(self) -> bool:
        """Whether `/ready` says so."""
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/ready", timeout=_WITHIN_S).is_success
        return False

    def check(self) -> None:
        """Make sure that each event is in the view once, where all are beats."""
        if self.view["beats"] != self._step * self.position:
            raise AssertionError(f"{self.stream}: {self.view} at {self.position}")

    async def watch(self) -> None:
        """Ask the node how far it is, for ever."""
        url = f"http://127.0.0.1:{self.port}/v1/views/beats/b"
        async with httpx.AsyncClient(trust_env=False, timeout=_WITHIN_S) as client:
            while True:
                with suppress(httpx.TransportError):
                    answer = await client.get(url, headers={"x-tenant-id": "t"})
                    if answer.status_code == httpx.codes.OK:
                        self._saw(answer.json())
                await asyncio.sleep(_LOOK_S)

    def _saw(self, answer: dict[str, Any]) -> None:
        self.view, self.build = answer["view"], answer["build"]
        if answer["scanned"] > self.position:
            now = perf_counter()
            self._longest, self._since = max(self._longest, now - self._since), now
            self.position = answer["scanned"]

    async def beat(self, url: str) -> None:
        """Publish by one server, for ever."""
        subject, data = event(self.stream)
        async with Nats.connecting_later(NatsConnection(url)) as nats:
            while True:
                with suppress(StreamError):
                    await nats.publish(subject, data)
                await asyncio.sleep(BEAT_S)


@asynccontextmanager
async def watching(site: Watched, urls: Sequence[str]) -> AsyncIterator[None]:
    """Events are published by each of these servers meanwhile, and the node is asked; it is ended afterwards."""
    tasks = [asyncio.create_task(site.watch()), *(asyncio.create_task(site.beat(url)) for url in urls)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        site.end()


async def create_stream(url: str, stream: str) -> None:
    """Make the site's stream on a single server."""
    async with await Nats.connect(NatsConnection(url)) as nats:
        await JetStream(nats).ensure_stream(stream, [f"{stream}.>"])


async def until(condition: Callable[[], Any], told: Callable[[], str] = str) -> None:
    """Return once a condition holds."""
    end = perf_counter() + _WITHIN_S
    while not condition():
        if perf_counter() > end:
            raise AssertionError(f"it did not come to pass: {told()}")
        await asyncio.sleep(_LOOK_S)


def anonymous_mib(pid: int) -> float:
    """What a process has in memory, beside files that it maps."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def ports_connected_to(pid: int) -> set[int]:
    """The ports of the other ends of a process's connections."""
    inodes = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(one.readlink()))
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    ends = [(fields[2], fields[3], fields[9]) for fields in map(str.split, lines)]
    return {
        int(end.partition(":")[2], 16) for end, state, inode in ends if state == "01" and f"socket:[{inode}]" in inodes
    }
