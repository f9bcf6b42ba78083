"""A million small views of many tenants, with three indexes: memory, disk, an exchange of the indexes, start, counting.

Memory is what the node itself holds while it catches up (`RssAnon`), without the pages of its store, which the kernel
takes back when it needs them; what is allowed is half of what an earlier version took. An exchange of indexes may take
a minute for a million views. At most half of that goes into it, so what is compared is processor time, of the whole
process: it says the same on a busy machine. The size of the store is set against that of the events in the log. What
a start and a count may take is half of what an earlier version took.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.model.ids import TenantId, ViewType
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.query.folder import FolderQueries
from projection.query.form import Query
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Iterator

VIEWS = 1_000_000
TENANTS = 100_000  # of which one has half of the views
ALLOWED_MIB = 358  # of its own: half of what an earlier version took
ALLOWED_CPU_S = 30.0  # for the exchange of three indexes
ALLOWED_START_S = 1.8
ALLOWED_COUNT_S = 1.0  # of half a million views
_STREAM = "small"
_LOOK_S = 0.02
_INDEXES = "index by n\nindex by kind, n\nindex by kind, n desc\n"
_OTHERS = "index by n desc\nindex by kind desc, n\nindex by kind desc, n desc\n"
_PROGRAM = """\
proj 1
projection small

event Made { id: string(20), n: int, kind: string(8) }

view Small { n: int, kind: string(8) }

INDEXES
on Made as e creates e.id => { n: e.n, kind: e.kind }
"""


def measure() -> Iterator[dict[str, Any]]:
    """One run of each."""
    if not Path("/proc/self/status").exists():
        print("small_views is left out: only Linux tells what memory is a process's own", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url))
            catching_up = _run(place, server.url, _INDEXES)
            data = (place / "data/small/1/0/data.mdb").stat().st_size
            exchange = _run(place, server.url, _OTHERS)
            start = _run(place, server.url, _OTHERS)
        count_s = _counted(place / "data")
    for what, ran in {"catching up": catching_up, "exchanging three indexes": exchange, "starting": start}.items():
        print(f"small_views, {what}: {ran}", file=sys.stderr)
    yield _row("small_views_catching_up_own_mib", catching_up.own_mib, ALLOWED_MIB)
    yield _row("small_views_store_bytes_per_view", data / VIEWS, len(next(_messages()).data))
    yield _row("small_views_index_exchange_cpu_s", exchange.processor_s, ALLOWED_CPU_S)
    yield _row("small_views_start_s", start.seconds, ALLOWED_START_S)
    yield _row("small_views_count_s", count_s, ALLOWED_COUNT_S)


class _Run(NamedTuple):
    seconds: float
    processor_s: float
    own_mib: float  # the most that it held


async def _load(url: str) -> None:
    async with await Nats.connect(NatsConnection(url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, [SubjectTemplate.parse(DEFAULT_TEMPLATE).filter()])
        await publish_all(nats, _STREAM, _messages())


def _messages() -> Iterator[Outgoing]:
    """One for each view, by no order of their ids."""
    template, dice = SubjectTemplate.parse(DEFAULT_TEMPLATE), random.Random(1)
    for number in range(VIEWS):
        tenant, view_id = f"t{0 if number % 2 else number // 2 % TENANTS}", f"{number * 7_919 % VIEWS:07d}"
        envelope = {
            "tenant_id": tenant,
            "aggregate_type": "small",
            "aggregate_id": view_id,
            "event_type": "Made",
            "event_id": f"event-{number}",
            "timestamp": "2026-03-01T09:30:00Z",
            "payload": {"id": view_id, "n": dice.randrange(1_000_000), "kind": f"k{number % 50}"},
        }
        yield Outgoing(template.subject(tenant, "small", view_id), json.dumps(envelope).encode())


def _run(place: Path, url: str, indexes: str) -> _Run:
    """A node until it has caught up and its indexes are built."""
    (place / "small.proj").write_text(_PROGRAM.replace("INDEXES", indexes))
    manifest = place / "manifest.json"
    manifest.write_text(json.dumps({"manifest": 1, "views": {"small": {"program": "small.proj"}}}))
    command = [sys.executable, "-m", "projection", "run", "--until-caught-up", "--manifest", str(manifest)]
    command += ["--stream", _STREAM, "--url", url, "--storage", str(place / "data"), "--listen", "off"]
    began, before, most = time.perf_counter(), _processor_s(), 0.0
    with (place / "node.log").open("wb") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log)
        while node.poll() is None:
            with suppress(OSError):
                most = max(most, _own_mib(node.pid))
            time.sleep(_LOOK_S)
    if node.returncode:
        raise AssertionError(f"the node ended with {node.returncode}: {(place / 'node.log').read_text()[-800:]}")
    return _Run(time.perf_counter() - began, _processor_s() - before, most)


def _counted(data: Path) -> float:
    """Seconds to count the views of the largest tenant beside one page of them."""
    query = Query(view=ViewType("small"), limit=1, count=True)
    with FolderQueries.open(data) as folder:
        folder.query(TenantId("t1"), query)  # what is opened once
        began = time.perf_counter()
        answer = folder.query(TenantId("t0"), query)
    if answer.count != VIEWS // 2 + VIEWS // 2 // TENANTS:
        raise AssertionError(f"{answer.count:,} views were counted")
    return time.perf_counter() - began


def _processor_s() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _own_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


def _row(name: str, ours: float, yardstick: float) -> dict[str, Any]:
    return {"name": name, "ours": round(ours, 2), "yardstick": yardstick, "ratio": round(ours / yardstick, 3)}
