"""A rebuild beside the build that answers: how fast it folds, and how much later live events are committed meanwhile.

Folding: a node catches up on the fines, each commit on the disk, and then folds them anew while it follows the log. The
rebuild's time runs from the order to the cutover.

Latency: events are published one by one at a steady pace to a node that has caught up. An event is there when the build
that answers has committed it. In turn, nothing else happens for a while, and the view type is rebuilt.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from functools import wraps
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.end_to_end import FINES, fine_summary
from benchmarks.sides import in_a_process
from projection.cli.logs import configure_logs
from projection.engine.assembly import open_node
from projection.engine.operations import Operations
from projection.model.envelope import Tenancy, decode_envelope
from projection.model.settings import NatsSettings, Settings
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.store.audit import BY_PROGRAM
from projection.store.catalog import Catalog
from projection.store.lmdb_store import LmdbLaneStore
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.file_feed import read_events
from projection.stream.loading import FileLoading
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable, Iterator

    from projection.engine.node import Node

EVENTS = 30_000  # that are folded anew
ROUNDS = 2
PER_SECOND = 500  # published meanwhile, for the latency
ALONE_S = 3.0  # of a round without a rebuild
LATENCY_ROUNDS = 2
MOST_TIMES = 3.0  # the latency of live events without a rebuild, that of the slowest hundredth may be with one
_STREAM = "fines"
_WITHIN_S = 30.0
_GLANCE_S = 0.01
_TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)


def measure() -> Iterator[dict[str, Any]]:
    """Events per second of catching up and of a rebuild, and milliseconds from publishing to the commit."""
    if not FINES.exists():
        print(f"rebuild is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(load(server.url, EVENTS))
            rates = []
            for round_ in range(ROUNDS):
                rates.append(in_a_process("benchmarks.rebuild", "fold", server.url, place / str(round_)))
                print("rebuild, events/s: {:,.0f}, catching up: {:,.0f}".format(*rates[-1]), file=sys.stderr)
            yield {
                "name": "rebuild_events_per_second",
                "ours": round(median(rebuild for rebuild, _ in rates)),
                "yardstick": round(median(catching_up for _, catching_up in rates)),
                "ratio": round(median(rebuild / catching_up for rebuild, catching_up in rates), 2),
            }
            during, alone = asyncio.run(_latencies(server.url, place / "latency"))
    for place_, name in ((49, "p50"), (98, "p99")):
        ours, yardstick = quantiles(during, n=100)[place_], quantiles(alone, n=100)[place_]
        yield {
            "name": f"latency_{name}_during_a_rebuild_ms",
            "ours": round(ours, 2),
            "yardstick": round(yardstick, 2),
            "ratio": round(ours / yardstick, 2),
        }
    yield {  # of the last of them: above 1 the bound is broken
        "name": f"latency_{name}_during_a_rebuild_bound",
        "ours": round(ours / yardstick, 2),
        "yardstick": MOST_TIMES,
        "ratio": round(ours / yardstick / MOST_TIMES, 2),
    }


async def load(url: str, events: int) -> None:
    """Publish the first of the fines' events to a stream."""
    loading = FileLoading(FINES, _TEMPLATE, Tenancy(), limit=events)
    async with await Nats.connect(NatsConnection(url)) as nats:
        await loading.publish(nats, _STREAM, create=True)


class Site(NamedTuple):
    """A node to be measured, with what operators do to it."""

    node: Node
    catalog: Catalog
    operations: Operations

    @property
    def serving(self) -> Path:
        """Where the build that answers has its store."""
        return self.catalog.require(self.node.lanes[0].view_type).lane_path()

    async def rebuild(self) -> None:
        """Fold the view type anew, and return once the new build answers."""
        former = self.serving
        await self.operations.rebuild(self.node.lanes[0].view_type, BY_PROGRAM)
        await until(lambda: self.serving != former)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not condition():  # noqa: ASYNC110 - nothing tells when it holds
        await asyncio.sleep(_GLANCE_S)


@asynccontextmanager
async def opened(url: str, data: Path) -> AsyncIterator[Site]:
    """A node of the fines, with the default settings."""
    settings = Settings(nats=NatsSettings(url=url), stream=_STREAM, storage=data)
    configure_logs(settings)  # to stderr: stdout is for figures
    with Catalog.open(data) as catalog:
        async with await Nats.connect(NatsConnection(url)) as nats:
            with open_node(settings, fine_summary(), catalog, nats) as node:
                yield Site(node, catalog, Operations(node, catalog, lambda _: None, settings))


async def _fold(url: str, path: Path) -> None:
    async with opened(url, path) as site:
        summary = await site.node.run(until_caught_up=True)
    async with opened(url, path) as site:
        running = asyncio.create_task(site.node.run())
        await until(lambda: site.node.is_ready)
        began = time.perf_counter()
        await site.rebuild()
        seconds = time.perf_counter() - began
        site.node.stop()
        await running
    print(json.dumps([EVENTS / seconds, summary.events / summary.seconds]))


async def _latencies(url: str, path: Path) -> tuple[list[float], list[float]]:
    """Milliseconds from publishing to the commit, of events during a rebuild, and of others."""
    run = _Run()
    async with await Nats.connect(NatsConnection(url)) as nats:
        command = ("-m", "benchmarks.rebuild", "follow", url, str(path))
        side = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        listening = asyncio.ensure_future(run.listen(side))
        try:
            await publish_all(nats, _STREAM, run.messages())
            await asyncio.wait_for(listening, _WITHIN_S)
            await asyncio.wait_for(side.wait(), _WITHIN_S)
        except BaseException:
            listening.cancel()
            side.kill()
            await side.wait()
            raise
    return run.waits(rebuilt=True), run.waits(rebuilt=False)


class _Run:
    """What is published, and what the node says of it."""

    def __init__(self) -> None:
        self._published: list[float] = []  # when, by sequence - EVENTS - 1
        self._commits: list[tuple[int, float]] = []  # up to which sequence, and when
        self._phases: list[tuple[str, float]] = []  # what began when
        self._begun = asyncio.Event()
        self._ended = False

    async def listen(self, side: Process) -> None:
        assert side.stdout is not None
        async for line in side.stdout:
            what, when = json.loads(line)
            if isinstance(what, int):
                self._commits.append((what, when))
            else:
                self._phases.append((what, when))
                self._begun.set()
                self._ended = what == "over"

    async def messages(self) -> AsyncIterator[Outgoing]:
        """Events at the pace, from when the node has caught up until it is through with its rounds."""
        await asyncio.wait_for(self._begun.wait(), _WITHIN_S)
        start = time.monotonic()
        for place, (_line, data) in enumerate(islice(read_events(FINES), EVENTS, None)):
            await asyncio.sleep(start + place / PER_SECOND - time.monotonic())
            if self._ended:
                break
            envelope = decode_envelope(data)
            subject = _TEMPLATE.subject(envelope.tenant_id or "", envelope.aggregate_type, envelope.aggregate_id)
            self._published.append(time.monotonic())
            yield Outgoing(subject, data)

    def waits(self, *, rebuilt: bool) -> list[float]:
        found: list[float] = []
        ends = [when for _, when in self._phases[1:]]
        spans = [
            (begin, end)
            for (what, begin), end in zip(self._phases, ends, strict=False)
            if (what == "rebuild") == rebuilt
        ]
        commits = iter(self._commits)
        until, committed = next(commits)
        for sequence, published in enumerate(self._published, EVENTS + 1):
            while until < sequence:
                until, committed = next(commits, (sys.maxsize, time.monotonic()))
            if any(begin <= published < end for begin, end in spans):
                found.append((committed - published) * 1e3)
        return found


def _tell(what: int | str) -> None:
    print(json.dumps([what, time.monotonic()]), flush=True)


async def _follow(url: str, path: Path) -> None:
    serving: Path | None = None
    commit = LmdbLaneStore.commit

    @wraps(commit)
    def told(*arguments: Any, **named: Any) -> None:
        commit(*arguments, **named)
        if arguments[0]._environment.path == serving:
            _tell(arguments[1].position.scanned)

    LmdbLaneStore.commit = told  # type: ignore[method-assign]  # watched from outside
    async with opened(url, path) as site:
        running = asyncio.create_task(site.node.run())
        await until(lambda: site.node.lanes[0].position.scanned >= EVENTS)
        for _ in range(LATENCY_ROUNDS):
            serving = site.serving
            _tell("nothing")
            await asyncio.sleep(ALONE_S)
            _tell("rebuild")
            await site.rebuild()
        serving = site.serving
        _tell("over")
        await asyncio.sleep(1.0)  # what was published last is committed
        site.node.stop()
        await running


if __name__ == "__main__":
    do = {"fold": _fold, "follow": _follow}[sys.argv[1]]
    asyncio.run(do(sys.argv[2], Path(sys.argv[3])))
