"""Builds that no node serves, such as what a replay came to, as builds that answer queries."""

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
    from collections.abc import Iterable, Iterator, Mapping

    from projection.engine.deployment import DeployedView
    from projection.engine.replay import Replay
    from projection.model.ids import ViewType
    from projection.model.query_limits import QueryLimits
    from projection.store.port import ViewReader

_NUMBER = 1  # of each build: a view type is folded once


class _Builds:
    """Implements `Builds`: one build of each view type, which answers."""

    def __init__(self, builds: Mapping[ViewType, Build]) -> None:
        self._builds = builds
        self.cursor_key = token_bytes(32)

    def view_types(self) -> list[ViewType]:
        return sorted(self._builds)

    def builds(self, view_type: ViewType) -> list[Build]:
        return [self._builds[view_type]]

    def serving_number(self, view_type: ViewType) -> int | None:
        return self._builds[view_type].number if view_type in self._builds else None

    def build(self, view_type: ViewType, number: int) -> Build:  # noqa: ARG002 - there is one
        return self._builds[view_type]


def build_in_memory(deployed: DeployedView) -> Build:
    """The one build of a view type that no data folder has."""
    return Build(Path(), deployed.entry.view_type, _NUMBER, deployed.base_identity, recipe_of(deployed).encode())


@contextmanager
def queries_on(replay: Replay, limits: QueryLimits) -> Iterator[FolderQueries]:
    """Queries on what a replay came to; they answer what a node would that has folded the same events."""
    with queries_of([(build_in_memory(lane.deployed), lane.store) for lane in replay.lanes], limits) as queries:
        yield queries


@contextmanager
def queries_of(folded: Iterable[tuple[Build, ViewReader]], limits: QueryLimits) -> Iterator[FolderQueries]:
    """Queries on builds, one of each view type, whose stores are open; they stay the caller's to close."""
    builds, stores = {}, {}
    for build, store in folded:
        builds[build.view_type], stores[build.view_type] = build, store
    queries = Queries(Serving(_Builds(builds), lambda build: stores[build.view_type]), limits)
    try:
        yield FolderQueries(queries)
    finally:
        queries.close()
