"""Memory of the node, whatever the log holds: bounded for large events and large views, flat over millions of events.

It is the process's own memory that is bounded. Pages of the stores are mapped, and the system takes them back as it
likes: they are told beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from engine_support import deploy, envelope
from patience import WITHIN_S

from projection.errors import ProjectionError
from projection.model.ids import ViewType
from projection.query.reading import serving_reader
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterator

    from node_support import Site

    from projection.store.port import ViewReader

NOTES = """\
proj 1
projection notes

event Counted { id: string }
event Noted { id: string, text: string(65536) }
event Filled { id: string, texts: list<string(65536)>(100) }

view Notes { events: int = 0, texts: list<string(65536)>(100) = [] }

on Counted as e to e.id =>
  let notes = view ?? {};
  notes with { events += 1 }

on Noted as e to e.id =>
  let notes = view ?? {};
  notes with { events += 1, texts: [...notes.texts, e.text] }

on Filled as e to e.id =>
  let notes = view ?? {};
  notes with { events += 1, texts: e.texts }
"""
VIEW_TYPE = ViewType("notes")
MIB = 1024 * 1024
KIB = 1024
SAMPLED_EVERY_S = 0.02

# The node that folds large things is given little, so that a log which no test takes long over exceeds it by far.
BATCH_BYTES = 4 * MIB
CACHED_BYTES = 8 * MIB
BOUND = 144 * MIB  # the interpreter with all that is imported takes 45; without either setting this log takes over 240
EVENTS = 60_000
WINDOWS = 20  # of the log; in each, other views grow
GROWING = 12  # views in a window
NOTES_EACH = 8  # of 40 KiB, so that the view comes to 320 KiB
FULL = 4  # views in a window that one event of 1 MiB makes

# The long one: the log keeps less than it was given, and the publisher waits for the node.
MANY_EVENTS = 2_000_000
KEPT_EVENTS = 400_000
AHEAD_EVENTS = 200_000
BATCH = 2_000  # so that it matters little whether the node or the publisher is the faster one
MANY_VIEWS = 300_000  # three times of what the node keeps at hand: none is there any more when its next event comes
BOX_S = 900.0
MAY_GROW = 16 * MIB  # from the second quarter of the log to the last; one number kept of each event would be 30

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc to see memory in")


async def test_large_events_and_views_do_not_fill_the_memory(site: Site) -> None:
    deploy(site.folder / "notes", {"notes": NOTES}, template=site.template)
    await site.publish(large_events(random.Random(1)))
    settings = {"BATCH_BYTES": BATCH_BYTES, "CACHED_BYTES": CACHED_BYTES}
    async with running_node(site, settings, "--until-caught-up") as node:
        summary = await node.end()
    assert (EVENTS, WINDOWS * (GROWING + FULL) + 1, 0) == (summary["events"], summary["views"], summary["parked"])
    assert node.peak < BOUND, node.told()


@pytest.mark.long
async def test_memory_is_flat_over_two_million_events(site: Site) -> None:
    deploy(site.folder / "notes", {"notes": NOTES}, template=site.template)
    await keep_no_more_than(site, KEPT_EVENTS)
    async with running_node(site, {"BATCH": BATCH}) as node:
        began = monotonic()
        published = await publish_all(site.nats, site.stream, small_events(site, node))
        await node.wait_for(published.last)
        taken = monotonic() - began
        node.process.send_signal(signal.SIGTERM)
        summary = await node.end()
    quarters = node.quarters(published.last)
    print(f"{published.count:,} events in {taken:.0f} s; {node.told()}")
    print("the largest by quarters of the log:", ", ".join(f"{one / MIB:.1f} MiB" for one in quarters))
    assert (published.count, 0) == (summary["events"], summary["parked"])
    assert quarters[3] - quarters[1] < MAY_GROW


def large_events(dice: random.Random) -> Iterator[bytes]:
    """Views that grow, and views made at once, among many small events."""
    note, page = "n" * (40 * KIB), ["f" * 65_000] * 16
    for window in range(WINDOWS):
        events = [("Noted", f"{window}-{one}") for one in range(GROWING) for _ in range(NOTES_EACH)]
        events += [("Filled", f"{window}-full-{one}") for one in range(FULL)]
        events += [("Counted", "small")] * (EVENTS // WINDOWS - len(events))
        dice.shuffle(events)
        for event_type, view_id in events:
            payload: dict[str, Any] = {"id": view_id}
            if event_type == "Noted":
                payload["text"] = note
            elif event_type == "Filled":
                payload["texts"] = page
            yield envelope(event_type, payload)


async def small_events(site: Site, node: RunningNode) -> AsyncIterator[Outgoing]:
    """More than the node keeps at hand of all that it might remember: ids, times, tenants, types of events."""
    until = monotonic() + BOX_S
    for number in range(MANY_EVENTS):
        if number % 1_000 == 0:
            if monotonic() > until:
                return
            await node.wait_for(number - AHEAD_EVENTS)
        tenant = f"t{number}" if number % 8 == 0 else f"t{number % 7}"
        event = envelope(
            f"Unheard{number}" if number % 20 == 1 else "Counted",
            {"id": f"view-{number % MANY_VIEWS}"},
            tenant,
            aggregate_id=f"a{number}",
            correlation_id=f"c{number}",
            event_id=f"e{number}",
            timestamp=f"2024-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number:07d}Z",
        )
        yield Outgoing(site.subject_of(event), event)


async def keep_no_more_than(site: Site, events: int) -> None:
    """Have the stream forget its oldest events."""
    info = json.loads(await site.nats.request(f"$JS.API.STREAM.INFO.{site.stream}", b"{}"))
    config = {**info["config"], "max_msgs": events, "discard": "old"}
    answer = await site.nats.request(f"$JS.API.STREAM.UPDATE.{site.stream}", json.dumps(config).encode())
    assert "error" not in json.loads(answer), answer


class Sample(NamedTuple):
    """What a process holds at a moment, in bytes, and how far its node has come."""

    own: int  # anonymous memory
    mapped: int  # pages of files, of its stores above all
    committed: int


def memory_of(pid: int) -> tuple[int, int] | None:
    """Its own and its mapped memory; None of a process that has ended."""
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        own, mapped = (int(lines[name].split()[0]) * KIB for name in ("RssAnon", "RssFile"))
    except (OSError, KeyError):
        return None
    return own, mapped


class RunningNode(ExitStack):
    """`projection run` in a process of its own, watched."""

    def __init__(self, process: Process, data: Path) -> None:
        super().__init__()
        self.process = process
        self.samples: list[Sample] = []
        self._data = data
        self._reader: ViewReader | None = None

    async def watch(self) -> None:
        while self.process.returncode is None and (found := memory_of(self.process.pid)) is not None:
            self.samples.append(Sample(*found, self.committed()))
            await asyncio.sleep(SAMPLED_EVERY_S)

    def committed(self) -> int:
        if self._reader is None:
            try:
                self._reader = self.enter_context(serving_reader(self._data, VIEW_TYPE))
            except ProjectionError:  # the node has not come so far
                return 0
        return self._reader.position().scanned

    async def wait_for(self, sequence: int) -> None:
        deadline = monotonic() + WITHIN_S
        while (here := self.committed()) < sequence:
            assert self.process.returncode is None, "the node has ended"
            assert monotonic() < deadline, f"the node is at {here}, not at {sequence}"
            await asyncio.sleep(SAMPLED_EVERY_S)

    async def end(self) -> dict[str, Any]:
        """What it said on stdout when it ended well."""
        out, _ = await asyncio.wait_for(self.process.communicate(), WITHIN_S)
        assert self.process.returncode == 0
        return json.loads(out)

    @property
    def peak(self) -> int:
        return max(one.own for one in self.samples)

    def quarters(self, last: int) -> list[int]:
        """The largest memory while the node was in each quarter of the log."""
        return [
            max(one.own for one in self.samples if quarter * last // 4 < one.committed <= (quarter + 1) * last // 4)
            for quarter in range(4)
        ]

    def told(self) -> str:
        own, mapped = (max(values) / MIB for values in list(zip(*self.samples, strict=True))[:2])
        middle = median(one.own for one in self.samples) / MIB
        return f"its own memory was {middle:.0f} MiB at the median and {own:.0f} at most, mapped {mapped:.0f} at most"


@asynccontextmanager
async def running_node(site: Site, back_pressure: dict[str, int], *options: str) -> AsyncIterator[RunningNode]:
    settings = {f"PROJECTION_BACK_PRESSURE__{name}": str(value) for name, value in back_pressure.items()}
    settings["PROJECTION_HTTP__LISTEN"] = "127.0.0.1:0"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "projection", "run", "--manifest", str(site.folder / "notes" / "manifest.json")),
        *("--stream", site.stream, "--url", site.url, "--storage", str(site.data), *options),
        env={**{name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    node = RunningNode(process, site.data)
    watching = asyncio.ensure_future(node.watch())
    try:
        yield node
        await watching
    finally:
        watching.cancel()
        if process.returncode is None:
            process.kill()
        await process.wait()
        node.close()
