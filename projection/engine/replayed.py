"""What a replay came to, as builds that answer queries: for those who ask before there is a node."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING

from projection.engine.recipes import recipe_of
from projection.query.folder import FolderQueries
from projection.query.service import Queries
from projection.query.serving import Serving
from projection.store.build import Build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.replay import Replay
    from projection.model.ids import ViewType
    from projection.model.query_limits import QueryLimits

_NUMBER = 1  # of each build: a view type is folded once


class _Replayed:
    """Implements `Builds`: each lane of a replay is the one build of its view type."""

    def __init__(self, replay: Replay) -> None:
        self._deployed = {lane.view_type: lane.deployed for lane in replay.lanes}
        self.cursor_key = token_bytes(32)

    def view_types(self) -> list[ViewType]:
        return sorted(self._deployed)

    def builds(self, view_type: ViewType) -> list[Build]:
        return [self.build(view_type, _NUMBER)]

    def serving_number(self, view_type: ViewType) -> int | None:
        return _NUMBER if view_type in self._deployed else None

    def build(self, view_type: ViewType, number: int) -> Build:
        deployed = self._deployed[view_type]
        return Build(Path(), view_type, number, deployed.base_identity, recipe_of(deployed).encode())


@contextmanager
def queries_on(replay: Replay, limits: QueryLimits) -> Iterator[FolderQueries]:
    """Queries on what a replay came to; they answer what a node would that has folded the same events."""
    stores = {lane.view_type: lane.store for lane in replay.lanes}
    queries = Queries(Serving(_Replayed(replay), lambda build: stores[build.view_type]), limits)
    try:
        yield FolderQueries(queries)
    finally:
        queries.close()
