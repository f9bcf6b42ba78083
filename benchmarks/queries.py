"""Queries on the real fines: point reads over HTTP while events are folded, and queries in process beside SQLite.

Over HTTP the node is a process of its own, and so is the load; events are published at 1,000 a second meanwhile. In
process, both sides hold the same 150,370 views on the same disk and give the same ids and the same JSON. Ours is the
whole query: its form read, the serving build looked up, planned, answered with position, lag, degraded ids and cursor,
all of one moment. The yardstick is first the bare statement, then (`_whole`) what gives an answer that says as much.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmarks.end_to_end import FINES
from benchmarks.sqlite_side import as_row, sqlite_views
from projection.bundled import bundled
from projection.client import Client, ClientError
from projection.model.envelope import decode_envelope
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.query.folder import FolderQueries
from projection.query.form import Query
from projection.query.reading import serving_reader
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.file_feed import read_events
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from benchmarks.sqlite_side import SqliteViews

PER_SECOND = 1_000  # events that are published while the node is asked
KEPT_BACK = 30_000  # events, for that
SECONDS = 6.0  # of each load
CONNECTIONS = 16
READS_PER_SECOND = 3_000  # what the server must bear
WITHIN_MS = 15.0  # 99 of 100 reads, at that pace
RANGE_WITHIN_MS = 5.0
SCANNED_PER_SECOND = 100_000
PAGE = 50
READS = 20_000
RANGES = 400
ROUNDS = 5
_STREAM = "fines"
_VIEW = ViewType("fine_summary")
_LARGEST = TenantId("office-s")
_WITHIN_S = 180.0
_dice = random.Random(1)

Key = tuple[TenantId, ViewId]


def measure() -> Iterator[dict[str, Any]]:
    """Requests over HTTP first, while the log grows; then the same data folder in process."""
    if not FINES.exists():
        print(f"queries is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server, _node(server.url, place) as url:
            yield from asyncio.run(_over_http(server.url, url))
        yield from _in_process(place)


# over HTTP


@contextmanager
def _node(nats_url: str, place: Path) -> Iterator[str]:
    """A node that folds the fines and answers at the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "projection", "run", "--manifest", str(bundled("projections/fines/manifest.yaml"))),
        *("--stream", _STREAM, "--url", nats_url, "--storage", str(place / "data"), "--listen", f"127.0.0.1:{port}"),
    ]
    settings = {"PROJECTION_HTTP__ACCESS_LOG": "false"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")} | settings
    asyncio.run(_create_stream(nats_url))
    with (place / "node.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
            node.terminate()
            if node.wait(_WITHIN_S) != 0:
                raise AssertionError(
                    f"the node ended with {node.returncode}: {(place / 'node.log').read_text()[-800:]}"
                )
        finally:
            node.kill()
            node.wait()


async def _create_stream(nats_url: str) -> None:
    async with await Nats.connect(NatsConnection(nats_url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, [SubjectTemplate.parse(DEFAULT_TEMPLATE).filter()])


async def _over_http(nats_url: str, url: str) -> list[dict[str, Any]]:
    events = [data for _, data in read_events(FINES)]
    held = len(events) - KEPT_BACK
    async with await Nats.connect(NatsConnection(nats_url)) as nats:
        await publish_all(nats, _STREAM, map(_outgoing, events[:held]))
        await asyncio.to_thread(_wait_until, url, held)
        keys = [_key(data) for data in events[:held:17] if b'"CreateFine"' in data]
        pace = _Pace(events[held:])
        publishing = asyncio.ensure_future(publish_all(nats, _STREAM, pace.messages()))
        closed = await _load(url, keys, None)
        behind = await asyncio.to_thread(_scanned, url)
        steady = await _load(url, keys, READS_PER_SECOND)
        lag = held + pace.published - await asyncio.to_thread(_scanned, url)
        print(f"queries, over HTTP: closed loop {closed}", file=sys.stderr)
        print(f"queries, over HTTP: {READS_PER_SECOND:,}/s {steady}", file=sys.stderr)
        print(f"queries, over HTTP: {pace.published:,} events published, {lag} not yet committed", file=sys.stderr)
        if behind <= held or lag > 2 * PER_SECOND:
            raise AssertionError(f"the node did not keep up: it is {lag} events behind")
        pace.hurry()
        await publishing
        await asyncio.to_thread(_wait_until, url, len(events))
    return [
        _line("http_point_reads_per_second", closed["per_second"], READS_PER_SECOND),
        _line("http_point_read_p99_ms", steady["p99_ms"], WITHIN_MS),
    ]


def _outgoing(data: bytes) -> Outgoing:
    envelope = decode_envelope(data)
    subject = _TEMPLATE.subject(envelope.tenant_id or "", envelope.aggregate_type, envelope.aggregate_id)
    return Outgoing(subject, data)


_TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)


def _key(data: bytes) -> Key:
    event = json.loads(data)
    return TenantId(event["tenant_id"]), ViewId(event["payload"]["fine_id"])


class _Pace:
    """Events one by one at the pace, until they are wanted at once."""

    def __init__(self, events: list[bytes]) -> None:
        self._events = events
        self._hurried = asyncio.Event()
        self.published = 0

    def hurry(self) -> None:
        self._hurried.set()

    async def messages(self) -> AsyncIterator[Outgoing]:
        start = time.monotonic()
        for place, data in enumerate(self._events):
            wait = start + place / PER_SECOND - time.monotonic()
            if wait > 0 and not self._hurried.is_set():
                await asyncio.sleep(wait)
            yield _outgoing(data)
            self.published = place + 1


async def _load(url: str, keys: list[Key], per_second: int | None) -> dict[str, Any]:
    """Point reads of these views, in random order, from a process of its own."""
    host, port = url.removeprefix("http://").split(":")
    requests = [
        f"GET /v1/views/{_VIEW}/{quote(view_id, safe='')} HTTP/1.1\r\nhost: {host}\r\nx-tenant-id: {tenant_id}\r\n\r\n"
        for tenant_id, view_id in _dice.sample(keys, 5_000)
    ]
    job = {
        "host": host,
        "port": int(port),
        "requests": [base64.b64encode(one.encode()).decode() for one in requests],
        "connections": CONNECTIONS,
        "seconds": SECONDS,
        "per_second": per_second,
    }
    command = (sys.executable, "-m", "benchmarks.http_load")
    pipe = asyncio.subprocess.PIPE
    load = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    out, _ = await load.communicate(json.dumps(job).encode())
    found: dict[str, Any] = json.loads(out)
    if set(found["statuses"]) != {"200"}:
        raise AssertionError(f"not all views were found: {found}")
    return found


def _wait_until(url: str, sequence: int) -> None:
    """Until the node has committed this event."""
    deadline = time.monotonic() + _WITHIN_S
    while _scanned(url) < sequence:
        if time.monotonic() > deadline:
            raise AssertionError(f"the node has not come to event {sequence} in {_WITHIN_S:.0f} s")
        time.sleep(0.1)


def _scanned(url: str) -> int:
    """The event up to which the node has folded; 0 while it does not answer."""
    try:
        with Client(url) as client:
            return next(one.scanned for one in client.catalog().views if one.view == _VIEW)
    except (ClientError, StopIteration):
        return 0


# in process


def _in_process(place: Path) -> Iterator[dict[str, Any]]:
    data = place / "data"
    with serving_reader(data, _VIEW) as reader:
        rows = [as_row(key.tenant_id, key.view_type, key.view_id, view) for key, view in reader.scan(None, _VIEW)]
    print(f"queries, in process: {len(rows):,} views", file=sys.stderr)
    tenants = sorted({row[0] for row in rows})
    with sqlite_views(place / "views.sqlite", rows) as sqlite, FolderQueries.open(data) as ours:
        keys = [(TenantId(row[0]), ViewId(row[2])) for row in _dice.sample(rows, READS)]
        bounds = [_dice.randrange(4_000, 20_000) / 100 for _ in range(RANGES)]
        _require_equal(ours, sqlite, keys, bounds)
        for name, statements in (("", sqlite.view), ("_whole", sqlite.view_with_position)):
            seconds = _in_turn(partial(_read_all, ours.view, keys), partial(_read_all, statements, keys), READS)
            yield _line(f"point_read{name}_us", *(one * 1e6 for one in seconds))
        for name, statement in (("", sqlite.query), ("_whole", sqlite.query_with_position)):
            seconds = _in_turn(partial(_query_ours, ours, bounds), partial(_query_sqlite, statement, bounds), RANGES)
            yield _line(f"indexed_query{name}_us", *(one * 1e6 for one in seconds))
        yield _line("indexed_query_ms", seconds[0] * 1e3, RANGE_WITHIN_MS)
        yield _line("full_scan_views_per_second", _scan(ours, tenants), SCANNED_PER_SECOND)


def _in_turn(ours: Callable[[], object], yardstick: Callable[[], object], count: int) -> tuple[float, float]:
    """Seconds that one of each takes: the median of some rounds in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, found in zip((ours, yardstick), taken, strict=True):
            begin = time.perf_counter()
            work()
            found.append((time.perf_counter() - begin) / count)
    return median(taken[0]), median(taken[1])


def _read_all(view: Callable[..., object], keys: list[Key]) -> None:
    for tenant_id, view_id in keys:
        view(tenant_id, _VIEW, view_id)


def _range(below: float) -> Query:
    filter_ = {"and": [
        {"field": "status", "op": "eq", "value": "in_collection"},
        {"field": "balance", "op": "lt", "value": f"{below:.2f}"},
    ]}  # fmt: skip
    return Query.read({"view": str(_VIEW), "filter": filter_, "sort": ["-balance"], "limit": PAGE})


def _query_ours(ours: FolderQueries, bounds: list[float]) -> None:
    for below in bounds:
        ours.query(_LARGEST, _range(below))


def _query_sqlite(query: Callable[..., object], bounds: list[float]) -> None:
    for below in bounds:
        query(_LARGEST, _VIEW, "in_collection", below, PAGE)


def _require_equal(ours: FolderQueries, sqlite: SqliteViews, keys: list[Key], bounds: list[float]) -> None:
    for tenant_id, view_id in islice(keys, 1_000):
        view = ours.view(tenant_id, _VIEW, view_id).view
        if bytes(view).decode() != sqlite.view(tenant_id, _VIEW, view_id):
            raise AssertionError(f"two sides disagree on view {view_id!r} of {tenant_id!r}")
    for below in bounds:
        found = [(one.id, bytes(one.view).decode()) for one in ours.query(_LARGEST, _range(below)).views]
        if len(found) != PAGE or found != sqlite.query(_LARGEST, _VIEW, "in_collection", below, PAGE):
            raise AssertionError(f"two sides disagree on what is below {below}")


def _scan(ours: FolderQueries, tenants: list[str]) -> float:
    """Views a second that a filter without an index looks at."""
    examined, began = 0, time.perf_counter()
    for tenant in tenants:
        query = Query.read({"view": str(_VIEW), "filter": 'vehicle == "C" and paid > 100.00', "sort": ["-paid"]})
        explained = ours.explain(TenantId(tenant), query)
        examined += explained.examined
    return examined / (time.perf_counter() - began)


def _line(name: str, ours: float, yardstick: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours, 2),
        "yardstick": round(yardstick, 2),
        "ratio": round(ours / yardstick, 2),
    }
