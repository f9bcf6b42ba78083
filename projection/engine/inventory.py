"""What builds a data folder has, and what each came to."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from projection.errors import StorageError
from projection.model.files import is_folder
from projection.model.keys import VIEWS
from projection.store import changes
from projection.store.compacting import taken
from projection.store.indexes import described, index_prefix
from projection.store.lmdb_folder import DATA
from projection.store.lmdb_reader import LmdbLane, LmdbViewReader
from projection.store.ranges import after
from projection.store.records import PARKED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.store.build import Build
    from projection.store.catalog_reading import CatalogReading
    from projection.store.port import Snapshot, ViewReader

    ReaderOf = Callable[[Build], ViewReader | None]

_DRAFT = "only some views fold anew, in a copy of the build that answers"
State: TypeAlias = Literal["answers", "under way", "waits", "follows", "former"]


@dataclass(frozen=True, slots=True)
class BuildState:
    """A build, as other processes see it while a node may be writing it."""

    build: Build
    state: State
    why: str | None  # why it waits, does not answer any more or has no store, where there is more to say than `state`
    paused: str | None  # why its view type is; None where it is not
    bytes: int = 0  # on the disk
    free: int | None = None  # of these, about what `compact` gives back; None where its store cannot be read
    scanned: int | None = None  # how far it has read; None where its store cannot be read, or is not there yet
    views: int | None = None
    parked: int | None = None
    problem: str | None = None  # why its store cannot be read

    @property
    def made_of(self) -> dict[str, Any]:
        """Program and settings by which it is folded, the decisions made about it, and where it comes from."""
        lineage = self.build.lineage
        return {
            "recipe": json.loads(self.build.recipe),
            "drops": [one._asdict() for one in self.build.drops],
            "gate": self.build.gate._asdict(),
            "lineage": None if lineage is None else lineage._asdict(),
        }


def build_states(
    catalog: CatalogReading, view_type: ViewType | None = None, open_already: ReaderOf | None = None
) -> list[BuildState]:
    """The builds of a view type, or of all; those of one the oldest first.

    Args:
        catalog: of the data folder.
        view_type: whose builds; None for those of all.
        open_already: gives the stores that this process has open, in which none may be opened twice; of the others
            only their size is told. None: nobody here has one open, and all are looked into.

    Raises:
        StorageError: the catalog cannot be read; of a store that cannot be, its state says so.
    """
    builds, paused = catalog.all_builds() if view_type is None else catalog.builds(view_type), catalog.paused()
    states = (BuildState(one, *_state(catalog, one), paused.get(one.view_type)) for one in builds)
    return [_measured(one, open_already) for one in states]


def _state(catalog: CatalogReading, build: Build) -> tuple[State, str | None]:
    """What a build is, and what there is to say about that."""
    view_type = build.view_type
    candidate, follower, held = catalog.candidate(view_type), catalog.follower(view_type), catalog.held(view_type)
    rolled_back = "it was rolled back" if build.gate.rolled_back else None
    if catalog.serving_number(view_type) == build.number:
        return "answers", None
    if held is not None and held.build == build.number:
        return "waits", f"{held.gate}: {held.why}"
    if candidate is not None and candidate.number == build.number:
        return "under way", rolled_back
    if follower is not None and follower.number == build.number:
        return "follows", rolled_back
    return "former", rolled_back


def _measured(one: BuildState, open_already: ReaderOf | None) -> BuildState:
    path = one.build.lane_path()
    one = replace(one, bytes=_taken(path.parent))
    if not is_folder(path):
        return replace(one, why=one.why or (_DRAFT if is_folder(one.build.draft_path()) else None))
    try:
        if open_already is None:
            with LmdbViewReader.open(path) as reader:
                return _looked_into(one, reader)
        found = open_already(one.build)
        return _looked_into(one, found) if isinstance(found, LmdbLane) else one
    except StorageError as error:
        return replace(one, problem=error.message)


def _looked_into(one: BuildState, reader: LmdbLane) -> BuildState:
    with reader.snapshot() as store:
        parked = sum(1 for _ in store.keys(PARKED, after(PARKED)))
    free = max(0, taken(one.build.lane_path() / DATA) - reader.used_bytes())
    return replace(one, scanned=reader.position().scanned, views=reader.count_views(), parked=parked, free=free)


def contents_of(build: Build) -> dict[str, Any] | None:
    """What a build's store holds, in bytes of keys and values; None where there is none. Goes through all of it.

    Pages that are not full and those that are free come on top of it.

    Raises:
        StorageError: the store cannot be read.
    """
    if not is_folder(build.lane_path()):
        return None
    with LmdbViewReader.open(build.lane_path()) as reader:
        return contents_of_store(reader)


def contents_of_store(reader: ViewReader) -> dict[str, Any]:
    """The same of an open store; raises as well."""
    with reader.snapshot() as store:
        return {
            "views": _bytes_below(store, VIEWS),
            "indexes": {
                described(index.keys): _bytes_below(store, index_prefix(index.number)) for index in store.indexes
            },
            "changes": sum(_bytes_below(store, prefix) for prefix in changes.PREFIXES),
            "parked": _bytes_below(store, PARKED),
        }


def _bytes_below(store: Snapshot, prefix: bytes) -> int:
    return sum(len(key) + len(value) for key, value in store.entries(prefix, after(prefix)))


def _taken(folder: Path) -> int:
    """Bytes that the files below a folder take: LMDB's are larger than what they take."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += taken(path)
        except FileNotFoundError:
            continue
    return found
