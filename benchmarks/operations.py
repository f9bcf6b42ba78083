"""What an operator waits for, while the node runs: one fine that is repaired, and the former build that answers again;
and how fast a backup is, against a plain copy of the same bytes on the same disk.

The node has caught up on the fines and follows the log. A repair folds one fine aside from its own events, compares and
commits; a rollback waits until both builds are level, and switches.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.end_to_end import FINES
from benchmarks.rebuild import load, opened, until
from benchmarks.sides import in_a_process
from projection.engine.backup import back_up
from projection.engine.switching import Promotion
from projection.history.logs import StreamLog
from projection.history.repairing import Repairs, Target
from projection.model.ids import ViewId
from projection.model.keys import ViewKey
from projection.store.audit import BY_PROGRAM
from projection.store.backup_directory import BackupDirectory
from projection.store.build import Build
from projection.store.catalog import Catalog
from projection.store.lmdb_store import LmdbLaneStore
from projection.stream.embedded import EmbeddedServer
from projection.testing.store_owner import ACME, ORDERS, Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rebuild import Site

EVENTS = 30_000
REPAIRS = 15
ROLLBACKS = 5
WITHIN_S = 1.0  # that an operator shall wait at most, for either
VIEWS, VIEW_BYTES = 150_000, 1_000  # of the build that is backed up
BACKUPS = 3
LEAST_RATE = 200.0  # MB/s of a backup, where the disk is as fast
_STREAM = "fines"
_PIECE = 1 << 20  # bytes


def measure() -> Iterator[dict[str, Any]]:
    """Seconds until a fine is repaired, and until the former build answers again; megabytes of a backup a second."""
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        yield from _backups(place / "backups")
        if not FINES.exists():
            print(f"repair and rollback are left out: {FINES.name} is not beside this checkout", file=sys.stderr)
            return
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(load(server.url, EVENTS))
            took = in_a_process("benchmarks.operations", server.url, place / "data")
    for name, seconds in took.items():
        print(f"{name}, s: {min(seconds):.3f} to {max(seconds):.3f}", file=sys.stderr)
        ours = median(seconds)
        yield {"name": f"{name}_s", "ours": round(ours, 3), "yardstick": WITHIN_S, "ratio": round(ours / WITHIN_S, 3)}


async def _operated(url: str, path: Path) -> None:
    async with opened(url, path) as site:
        running = asyncio.create_task(site.node.run())
        await until(lambda: site.node.is_ready)
        took = {"repair_of_one_view": await _repairs(site), "rollback": await _rollbacks(site)}
        site.node.stop()
        await running
    print(json.dumps(took))


async def _repairs(site: Site) -> list[float]:
    view_type, store = site.node.lanes[0].view_type, site.node.lanes[0].store
    keys = Random(1).sample([key for key, _ in store.scan(None, view_type)], REPAIRS)
    repairs = Repairs(
        site.node,
        site.catalog,
        site.operations,
        lambda purpose: StreamLog(site.node.opener.nats, _STREAM, purpose),
    )
    took = []
    for key in keys:
        began = time.perf_counter()
        came = await repairs.repair(Target(view_type, key.tenant_id, key.view_id), BY_PROGRAM)
        took.append(time.perf_counter() - began)
        assert (came.compared, came.different) == (1, 0), came
    return took


async def _rollbacks(site: Site) -> list[float]:
    view_type, took = site.node.lanes[0].view_type, []
    await site.rebuild()
    for _ in range(ROLLBACKS):
        began = time.perf_counter()
        await site.operations.rollback(view_type, BY_PROGRAM)
        took.append(time.perf_counter() - began)
        await site.operations.promote(view_type, Promotion(), BY_PROGRAM)
    return took


def _backups(place: Path) -> Iterator[dict[str, Any]]:
    """A build that no earlier backup has, and the copy of its file, in turn; both are on the disk at the end."""
    rates, copies = [], []
    with Catalog.open(place / "data") as catalog:
        build = Build(catalog.data, ORDERS, catalog.reserve(ORDERS), "f0", "{}")
        catalog.record(build, serves=True)
        with LmdbLaneStore.open(build.lane_path(), build.fold_identity, durability="process") as store:
            random, owner = Random(1), Owner(store)
            for begin in range(0, VIEWS, 10_000):
                owner.write(
                    {
                        ViewKey(ACME, ORDERS, ViewId(f"{number:06d}")): random.randbytes(VIEW_BYTES // 2).hex().encode()
                        for number in range(begin, begin + 10_000)
                    }
                )
        for round_ in range(BACKUPS):
            made = back_up(catalog, BackupDirectory(place / str(round_)))
            rates.append(made.bytes / made.seconds / 1e6)
            copies.append(_copied(build.lane_path() / "data.mdb", place / f"copy{round_}"))
            print(f"backup, MB/s: {rates[-1]:,.0f}, a plain copy: {copies[-1]:,.0f}", file=sys.stderr)
    ours, yardstick = median(rates), min(LEAST_RATE, median(copies))
    yield {
        "name": "backup_megabytes_per_second",
        "ours": round(ours),
        "yardstick": round(yardstick),
        "ratio": round(ours / yardstick, 2),
    }


def _copied(path: Path, to: Path) -> float:
    """Megabytes a second."""
    began = time.perf_counter()
    with path.open("rb") as source, to.open("wb") as target:
        while piece := source.read(_PIECE):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    rate = path.stat().st_size / (time.perf_counter() - began) / 1e6
    to.unlink()
    return rate


if __name__ == "__main__":
    asyncio.run(_operated(sys.argv[1], Path(sys.argv[2])))
