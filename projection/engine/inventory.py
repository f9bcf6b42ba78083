"""What builds a data folder has, and what each came to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from projection.errors import StorageError
from projection.model.files import is_folder
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.store.build import Build
    from projection.store.catalog import CatalogReader

_SECTOR = 512  # bytes, in which the system counts what a file takes


@dataclass(frozen=True, slots=True)
class BuildState:
    """A build, as other processes see it while a node may be writing it."""

    build: Build
    state: Literal["answers", "under way", "former"]
    paused: str | None  # why its view type is; None where it is not
    bytes: int  # on the disk
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
            "lineage": None if lineage is None else lineage._asdict(),
        }


def build_states(catalog: CatalogReader, view_type: ViewType | None = None) -> list[BuildState]:
    """The builds of a view type, or of all; those of one the oldest first.

    Raises:
        StorageError: the catalogue cannot be read; of a store that cannot be, its state says so.
    """
    found, paused = [], catalog.paused()
    for build in catalog.all_builds() if view_type is None else catalog.builds(view_type):
        candidate = catalog.candidate(build.view_type)
        state: Literal["answers", "under way", "former"] = "former"
        if catalog.serving_number(build.view_type) == build.number:
            state = "answers"
        elif candidate is not None and candidate.number == build.number:
            state = "under way"
        found.append(_state(build, state, paused.get(build.view_type)))
    return found


def _state(build: Build, state: Literal["answers", "under way", "former"], paused: str | None) -> BuildState:
    taken = _taken(build.lane_path().parent)
    if not is_folder(build.lane_path()):
        return BuildState(build, state, paused, taken)
    try:
        with LmdbViewReader.open(build.lane_path()) as reader:
            parked = sum(1 for _ in reader.parked())
            return BuildState(build, state, paused, taken, reader.position().scanned, reader.count_views(), parked)
    except StorageError as error:
        return BuildState(build, state, paused, taken, problem=error.message)


def _taken(folder: Path) -> int:
    """Bytes that the files below a folder take: LMDB's are larger than what they take."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_blocks * _SECTOR
        except FileNotFoundError:
            continue
    return found
