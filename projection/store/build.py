"""One build: what it folds, by what, and where its lanes have their stores."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from projection.model.promotion import BY_SETTINGS, Gate

if TYPE_CHECKING:
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.model.parked import Drop


class Lineage(NamedTuple):
    """Where an adopted build comes from: it began as a copy of what another build had come to."""

    fold_identity: str  # of that build
    scanned: int  # how far it was


@dataclass(frozen=True, slots=True)
class Build:
    """One folding of a view type with one fold identity."""

    data: Path
    view_type: ViewType
    number: int  # from 1 on, never reused
    base_identity: str  # what program, manifest and tenancy give
    recipe: str  # JSON, see `model/recipe.py`: all that is needed to fold it again without the manifest's files
    drops: tuple[Drop, ...] = ()  # an operator's decisions, in their order
    lineage: Lineage | None = None  # None: folded from the log
    gate: Gate = BY_SETTINGS  # when it may answer; no part of what it folds

    @property
    def fold_identity(self) -> str:
        """All that the state depends on, hashed."""
        return self._identity(self.drops)

    @property
    def earlier_identities(self) -> frozenset[str]:
        """What the build was folded by before each of its decisions, had it been the last."""
        return frozenset(self._identity(tuple(one for one in self.drops if one != last)) for last in self.drops)

    def decided(self, drop: Drop) -> Build:
        """The build with one decision more."""
        return replace(self, drops=tuple(sorted({*self.drops, drop}, key=lambda one: one.order)))

    def _identity(self, drops: tuple[Drop, ...]) -> str:
        if not drops and self.lineage is None:
            return self.base_identity
        terms = {"base": self.base_identity, "drops": drops, "lineage": self.lineage}
        return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()

    def lane_path(self, partition: int = 0) -> Path:
        """Where one partition of the build has its store."""
        return self.data / self.view_type / str(self.number) / str(partition)

    def draft_path(self, partition: int = 0) -> Path:
        """Where a copy of another build's store lies until it holds what this build should."""
        path = self.lane_path(partition)
        return path.parent / "draft" / path.name

    def __str__(self) -> str:
        return f"build {self.number} of view type {self.view_type}"
