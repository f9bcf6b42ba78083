"""Live: how long after it is published an event is committed, at a steady 1,000 events a second.

Both sides write in one transaction what came within 20 ms, the node's default. An event is published at the moment
before it is sent, and committed when the call has returned that wrote it and everything before it: from then on every
reader of the store sees it. Both moments are told by a clock that all processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from functools import wraps
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from benchmarks import handwritten
from benchmarks.end_to_end import FINES, fine_summary
from benchmarks.sides import opened_node
from projection.model.envelope import decode_envelope
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.store.lmdb_store import LmdbLaneStore
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.file_feed import read_events
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterator

PER_SECOND = 1_000
EVENTS = 6 * PER_SECOND
WARM_UP = PER_SECOND  # events that are not counted
ROUNDS = 3
LINGER_S = 0.02
_STREAM = "fines"
_START_WITHIN_S = 30.0
_END_WITHIN_S = 10.0


def measure() -> Iterator[dict[str, Any]]:
    """Milliseconds from publishing to the commit, the median of some rounds in turn."""
    if not FINES.exists():
        print(f"latency is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "yardstick": []}
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        for round_ in range(ROUNDS):
            for who, measured in found.items():
                place = Path(folder, f"{who}{round_}")
                place.mkdir()
                waits = asyncio.run(_waits(who, place))
                percentiles = quantiles(waits, n=100)
                measured.append((percentiles[49], percentiles[98]))
                print(
                    f"latency, {who}: p50 {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms, "
                    f"at most {max(waits):.1f} ms",
                    file=sys.stderr,
                )
    for place_, name in enumerate(("p50", "p99")):
        ours, yardstick = ([one[place_] for one in found[who]] for who in ("ours", "yardstick"))
        yield {
            "name": f"latency_{name}_ms",
            "ours": round(median(ours), 2),
            "yardstick": round(median(yardstick), 2),
            "ratio": round(median(a / b for a, b in zip(ours, yardstick, strict=True)), 2),
        }


async def _waits(who: str, place: Path) -> list[float]:
    """Publish at a steady pace to one side; how long each event waited for its commit, in milliseconds."""
    run = _Run()
    with EmbeddedServer(place / "nats") as server:
        async with await Nats.connect(NatsConnection(server.url)) as nats:
            template = SubjectTemplate.parse(DEFAULT_TEMPLATE)
            await JetStream(nats).ensure_stream(_STREAM, [template.filter()])
            command = ("-m", "benchmarks.latency", who, server.url, str(place / "data"))
            side = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
            listening = asyncio.ensure_future(run.listen(side))
            try:
                await publish_all(nats, _STREAM, run.messages(template))
                await asyncio.wait_for(asyncio.gather(listening, side.wait()), _END_WITHIN_S)
            except BaseException:
                listening.cancel()
                side.kill()
                await side.wait()
                raise
    return run.waits()


class _Run:
    """What is published, and what the side at work says of it."""

    def __init__(self) -> None:
        self._published: list[float] = []  # when, by sequence - 1
        self._commits: list[tuple[int, float]] = []  # up to which sequence, and when
        self._begun = asyncio.Event()  # the side has committed something

    async def listen(self, side: Process) -> None:
        assert side.stdout is not None
        async for line in side.stdout:
            sequence, when = json.loads(line)
            self._commits.append((sequence, when))
            self._begun.set()

    async def messages(self, template: SubjectTemplate) -> AsyncIterator[Outgoing]:
        """The first event at once; when it is committed, the others one by one at the pace."""
        start = 0.0
        for place, (_line, data) in enumerate(islice(read_events(FINES), EVENTS)):
            envelope = decode_envelope(data)
            subject = template.subject(envelope.tenant_id or "", envelope.aggregate_type, envelope.aggregate_id)
            if place == 1:
                await asyncio.wait_for(self._begun.wait(), _START_WITHIN_S)
                start = time.monotonic()
            elif place > 1:
                await asyncio.sleep(start + (place - 1) / PER_SECOND - time.monotonic())
            self._published.append(time.monotonic())
            yield Outgoing(subject, data)

    def waits(self) -> list[float]:
        commits = iter(self._commits)
        until, when = next(commits)
        found = []
        for sequence, published in enumerate(self._published, 1):
            while until < sequence:
                until, when = next(commits)
            found.append((when - published) * 1e3)
        return found[WARM_UP:]


def _tell(sequence: int) -> None:
    print(json.dumps([sequence, time.monotonic()]), flush=True)


async def _ours(url: str, path: Path) -> None:
    loop = asyncio.get_running_loop()
    commit = LmdbLaneStore.commit
    async with opened_node(fine_summary(), url, _STREAM, path) as node:

        @wraps(commit)
        def told(*arguments: Any, **named: Any) -> None:
            commit(*arguments, **named)
            committed = arguments[1].position.scanned
            _tell(committed)
            if committed >= EVENTS:
                loop.call_soon_threadsafe(node.stop)

        LmdbLaneStore.commit = told  # type: ignore[method-assign]  # watched from outside
        await node.run()


async def _yardstick(url: str, path: Path) -> None:
    await handwritten.consume(url, _STREAM, path, EVENTS, linger_s=LINGER_S, committed=_tell)


if __name__ == "__main__":
    take = {"ours": _ours, "yardstick": _yardstick}[sys.argv[1]]
    asyncio.run(take(sys.argv[2], Path(sys.argv[3])))
