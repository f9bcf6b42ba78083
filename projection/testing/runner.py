"""Runs the tests of authors without pytest: each once, in order, snapshots compared or written."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from projection.errors import ProjectionError
from projection.testing.failing import failure_text
from projection.testing.finding import files_below
from projection.testing.snapshots import (
    FOLDER,
    SCENARIOS,
    mismatch,
    read_snapshot,
    snapshot_path,
    snapshot_text,
    write_snapshot,
)

if TYPE_CHECKING:
    from pathlib import Path

    from projection.testing.cases import Case
    from projection.testing.folding import Folded


@dataclass(frozen=True)
class Result:
    """What came of one test."""

    id: str  # `path::name`, as pytest names it
    failure: str | None  # the text; None where it passed
    seconds: float
    warnings: list[str]


class Runner:
    """Runs tests, and keeps in mind which snapshots they have."""

    def __init__(self, *, update: bool) -> None:
        self.written: list[Path] = []
        self._update = update
        self._used: set[Path] = set()

    def run(self, case: Case) -> Result:
        """Run one test."""
        began = perf_counter()
        failure: str | None = None
        warnings: list[str] = []
        snapshot = snapshot_path(case.path)
        try:
            folded = case.run(warnings.append)
            if folded is not None:
                self._used.add(snapshot)
                self._compare(snapshot, folded)
        except ProjectionError as error:
            self._used.add(snapshot)  # whatever it is that failed, the snapshot is not to be thrown away
            failure = failure_text(error)
        return Result(f"{case.path}::{case.name}", failure, perf_counter() - began, warnings)

    def _compare(self, path: Path, folded: Folded) -> None:
        found, snapshot = snapshot_text(folded), read_snapshot(path)
        if found == snapshot:
            return
        if not self._update:
            raise mismatch(path, snapshot, found)
        write_snapshot(path, found)
        self.written.append(path)

    def unused(self, folder: Path) -> list[Path]:
        """The snapshots of scenarios below a folder, all of whose tests were run, that none of them has."""
        found = (path for path in files_below(folder) if path.parent.name == FOLDER and path.match(SCENARIOS))
        return [path for path in found if path not in self._used]
