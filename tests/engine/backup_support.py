"""What the tests of backups share: data folders of two view types, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from build_support import state_of
from engine_support import TALLIES, Log, added, broken, shared

from projection.engine.backup import back_up
from projection.engine.builds import open_store
from projection.engine.recipes import deployed_by
from projection.engine.restoring import restore
from projection.model.ids import ViewType
from projection.store.audit import Author
from projection.store.backup_directory import BackupDirectory
from projection.store.catalog import Catalog

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.backup import BackupMade

OTHERS = ViewType("others")
PROGRAMS = {"tallies": TALLIES, "others": TALLIES.replace("projection tallies", "projection others")}
ALICE = Author("alice", "offline", "as the ticket says")


def some_log() -> Log:
    """With events that are parked, alone and behind others."""
    return Log(added("x"), broken("x"), added("x", 10), shared("x", "y", n=5), broken("y", "z"), added("z", 7))


def backed_up(data: Path, directory: Path, **more: Any) -> BackupMade:
    with Catalog.open(data) as catalog:
        return back_up(catalog, BackupDirectory(directory), **more)


def restored(directory: Path, data: Path, **more: Any) -> Path:
    backups, name = BackupDirectory.of(directory)
    assert name is not None
    restore(backups, name, data, ALICE, **more)
    return data


def states(data: Path) -> dict[tuple[str, int], tuple[Any, ...]]:
    """All that the stores tell, by view type and build."""
    found = {}
    with Catalog.open(data) as catalog:
        for build in catalog.all_builds():
            with open_store(build, deployed_by(build)) as store:
                found[str(build.view_type), build.number] = state_of(store)
    return found
