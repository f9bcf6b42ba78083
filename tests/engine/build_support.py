"""What the tests of decisions and adoptions share: data folders as a node leaves them, without a node."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine_support import contents, feed

from projection.engine.builds import open_store, plan_builds
from projection.engine.lane import Lane
from projection.engine.recipes import deployed_by
from projection.model.ids import ViewType
from projection.store.catalog import Catalog
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from engine_support import Log

    from projection.engine.deployment import DeployedView
    from projection.store.build import Build
    from projection.store.port import LaneStore
    from projection.stream.port import Message

TALLY = ViewType("tallies")


def fold_on(data: Path, deployed: Iterable[DeployedView], messages: Iterable[Message]) -> None:
    """What a node does with messages: the builds of these view types take them and commit."""
    with Catalog.open(data) as catalog:
        for one in plan_builds(catalog, list(deployed)):
            with open_store(one.build, one.deployed) as store:
                feed(Lane(one.deployed, store), messages)


@contextmanager
def answering(data: Path) -> Iterator[tuple[Build, LaneStore]]:
    """The build that answers for the tallies, and its store."""
    with Catalog.open(data) as catalog:
        build = catalog.require(TALLY)
        with open_store(build, deployed_by(build)) as store:
            yield build, store


def state(data: Path) -> tuple[Any, ...]:
    """Everything that the answering build's store tells, digest and identity included; held against a recount."""
    with answering(data) as (_, store):
        return state_of(store)


def state_of(store: LaneStore) -> tuple[Any, ...]:
    audit = store.audit()
    assert audit.agrees
    return (*contents(store), str(audit.digest), audit.fold_identity)


def folded_with(build: Build, log: Log) -> tuple[Any, ...]:
    """What a fold of the whole log comes to that knows the build's decisions from its start."""
    deployed = deployed_by(build)
    lane = feed(Lane(deployed, MemoryLaneStore(build.fold_identity)), log.messages)
    return state_of(lane.store)
