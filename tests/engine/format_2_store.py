"""The data folder of store format 2 that lies beside this file, and what was folded into it.

It was written by the last version of that format, commit 6aedd31, with this script; to write it again, in a checkout of
that commit: `PYTHONPATH=.:tests/engine python format_2_store.py format_2.tar.xz`.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from build_support import fold_on
from engine_support import CORRECTED, TALLIES, TOO_MUCH, Log, added, broken, deploy, envelope, erased, shared

from projection.engine.adoption import adopt
from projection.engine.builds import open_store, plan_builds
from projection.engine.decisions import drop
from projection.engine.lane import Lane
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.store.catalog import Catalog

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView

ARCHIVE = Path(__file__).with_name("format_2.tar.xz")
INDEXED = TALLIES.replace("view Tally", "index by total desc\nindex by events, total\n\nview Tally")
PROGRAMS = {
    "indexed": INDEXED,  # with indexes and the index of last changes
    "plain": TALLIES,  # no hostile ids, so that nothing moves: the subjects of one aggregate type
    "skipping": TALLIES,
    "decided": TALLIES,  # with two decisions, the effect of the last prevented by a crash
    "adopted": TALLIES,  # until `CORRECTED` took it over
}
ENTRIES = {
    "indexed": {"changes": True},
    "plain": {"changes": True, "subjects": ["tenant.*.aggregate.plain.*"]},
    "skipping": {"on_error": "skip", "limits": {"gas": 150_000, "parked": 7}},
    "decided": {"limits": {"parked": 9_999}, "partition_by": "tenant"},
}
TENANTS = ("a", "a:b%")
HOSTILE = [
    "a", "a:", "a:b", "a&b", "a%3Ab", "a%253Ab", "%", "%25", "%2525", ":", "::", "%-", "\x00", "\x01", "\x01\x01", "\x7f",
    "a\nb", "é", "🚲", "\uffff", "=", "-", "view:a:b", "k" * 300, ":" * 80, "%" * 90 + "1", "%" * 90 + "2",
]  # fmt: skip
UNSETTLED = Drop(9, TenantId("a"), ViewId("a:b"))


def log() -> Log:
    """Everything that was published."""
    found = Log(added("x"), broken("a:b"), b"{", envelope("Added", {"id": "x", "n": "1"}), added("a:b", 2))
    found.add(added("a:b", TOO_MUCH), broken("x", "%"), added("%", 3), broken("a:b"), added("a:b", 4))
    for tenant in TENANTS:
        found.add(*(added(view_id, n + 1, tenant) for n, view_id in enumerate(HOSTILE)))
        found.add(
            shared(*HOSTILE, n=100, tenant=tenant), added("z" * 600, tenant=tenant), added(":" * 200, tenant=tenant)
        )
        found.add(*(broken(view_id, tenant=tenant) for view_id in HOSTILE[::3]))
        found.add(*(erased(view_id, tenant=tenant) for view_id in HOSTILE[1::5]))
    for sequence in range(5):
        found.add(added("p", sequence), broken("q"), subject="tenant.a.aggregate.plain.1")
    return found


def deployed(folder: Path, programs: dict[str, str] = PROGRAMS) -> tuple[DeployedView, ...]:
    """What the manifest says."""
    return deploy(folder, programs, entries=ENTRIES)


def write(folder: Path, data: Path) -> None:
    """Fold, decide and adopt, as an operator would have done."""
    views = deployed(folder / "first")
    messages = log().messages
    fold_on(data, views, messages[:30])
    with Catalog.open(data) as catalog:
        for planned in plan_builds(catalog, views):
            with open_store(planned.build, planned.deployed) as store:
                store.declare_changes(wanted=planned.deployed.entry.changes)
                lane = Lane(planned.deployed, store)
                while store.build_indexes(lane.epoch, lane.entries_of, 100) | store.build_changes(lane.epoch, 100):
                    pass
    fold_on(data, views, messages[30:])
    with Catalog.open(data) as catalog:
        drop(catalog, ViewType("decided"), TenantId("a"), 2, ViewId("a:b"))
        catalog.record(catalog.require(ViewType("decided")).decided(UNSETTLED))
        (corrected,) = (one for one in deployed(folder / "second", {"adopted": CORRECTED}))
        adopt(catalog, corrected)


def extract(data: Path) -> Path:
    """Lay the folder of the archive at `data`."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(data, filter="data")
    return data


if __name__ == "__main__":
    with TemporaryDirectory() as folder, tarfile.open(sys.argv[1], "w:xz") as archive:
        write(Path(folder), Path(folder, "data"))
        for path in sorted(Path(folder, "data").rglob("data.mdb")):
            archive.add(path, path.relative_to(Path(folder, "data")))
