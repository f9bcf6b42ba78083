"""How operations come to the lanes of a node and their stores."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from projection.engine.fault_log import log_fault
from projection.errors import ConfigurationError, StreamError
from projection.faults import contained
from projection.model.checkpoint import LanePosition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.model.ids import ViewType
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.lmdb_store import LmdbLaneStore

_Result = TypeVar("_Result")
_RESUME = "`projection resume` tries again"


class LaneAccess:
    """The lanes of a node as operations find them, and have their stores to themselves."""

    def __init__(self, node: Node, catalog: Catalog) -> None:
        """Access to the lanes of a node, whose stores are in LMDB; its catalog is that of the data folder."""
        self.node = node
        self.roster = node.roster
        self.catalog = catalog

    def serving(self, view_type: ViewType) -> tuple[Build, Lane]:
        """The build that answers, and its lane.

        Raises:
            ConfigurationError: there is no such view type, or the node does not fold it.
        """
        build = self.catalog.require(view_type)
        lane = self.roster.lane_of(view_type, build.number)
        if lane is None:
            raise ConfigurationError(
                f"{build} is served and not folded: its program or its store cannot be used, or the manifest does not "
                "name it",
                hint="the node's log tells why",
            )
        return build, lane

    def folded(self, view_type: ViewType) -> list[int]:
        """The builds that are folded to answer: the one that does, and one that is to replace it."""
        return [lane.build for lane in self.roster.of(view_type) if lane not in self.roster.followers]

    @asynccontextmanager
    async def at_rest(self, lane: Lane, deployed: DeployedView | None = None) -> AsyncIterator[LmdbLaneStore]:
        """Have a store to oneself, with all stored that its lane folded; another lane goes on from there afterwards.

        Unless the lane was removed meanwhile, or cannot go on: then it halts and says so.

        Args:
            lane: whose store.
            deployed: as it is folded afterwards, where that is not as before.
        """
        store: Any = lane.store
        try:
            await self.roster.retire(lane)
            yield store
        finally:
            if lane in self.roster.lanes:
                await self._go_on(lane, deployed or lane.deployed)

    async def _go_on(self, lane: Lane, deployed: DeployedView) -> None:
        try:
            build = self.catalog.build(lane.view_type, lane.build)
            deployed = deployed.within(build)
            new = await self.in_thread(lambda: self.node.opener.lane_on(lane.store, deployed, lane.build))
            await self.look_at(new)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this view type's
            doing = f"going on with view type {lane.view_type}"
            log_fault(error, doing, view_type=lane.view_type, build=lane.build)
            lane.halted = contained(error, doing, _RESUME)
            return
        self.roster.replace(lane, new)

    async def look_at(self, lane: Lane) -> None:
        """Have a lane that begins stand where the manifest says; where the stream cannot be asked, it halts."""
        if lane.position != LanePosition():
            return
        try:
            await self.node.look_at(lane)
        except StreamError as error:
            lane.halted = StreamError(error.message, hint=_RESUME, code=error.code)

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Do something in a thread while nothing is folded and nothing is written."""
        return await self.node.workshop.alone(work)
