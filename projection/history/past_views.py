"""Views of the past, for those who ask a node: folded beside what it does, a bounded number at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import msgspec

from projection.engine.recipes import deployed_by
from projection.errors import ConfigurationError, StorageError
from projection.history.past import known_of, past_view, read_moment
from projection.query.answers import PastViewAnswer
from projection.query.errors import ViewMissingError
from projection.query.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node
    from projection.history.logs import Log
    from projection.history.past import PastView
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.query_limits import QueryLimits
    from projection.query.serving import Served, Serving
    from projection.store.catalog import Catalog
    from projection.store.lmdb_reader import LmdbLane

_BUSY_S = 0.5  # that one waits for others to end, before it is refused


class PastViews:
    """Answers with views as they were."""

    def __init__(
        self, node: Node, catalog: Catalog, serving: Serving, log_for: Callable[[str], Log], limits: QueryLimits
    ) -> None:
        """Answer for a node.

        Args:
            node: folds the builds, most of them.
            catalog: of its data folder.
            serving: the builds that answer.
            log_for: opens its log, for a purpose.
            limits: how many may be folded at a time, and of how many events.
        """
        self._node = node
        self._catalog = catalog
        self._serving = serving
        self._log_for = log_for
        self._limits = limits
        self._places = Shares(limits.past, "views of the past")

    async def view(self, tenant_id: TenantId, view_type: ViewType, view_id: ViewId, moment: str) -> PastViewAnswer:
        """A view as it was behind a sequence, or at a time; see `past.past_view`.

        Raises:
            QueryError: it is not answered; says why.
            StorageError: the store, or the build's program, cannot be read.
            StreamError: the log cannot be read.
        """
        wanted = read_moment(moment)
        await self._places.take_within(_BUSY_S, tenant_id)
        try:
            served = self._serving.of(view_type)
            deployed = await self._deployed(served)
            found = await past_view(
                self._log_for("past"),
                deployed,
                tenant_id,
                view_id,
                wanted,
                build=served.build,
                known=known_of(cast("LmdbLane", served.reader), tenant_id),
                most=self._limits.past_events,
            )
        finally:
            self._places.give_back(tenant_id)
        if found.view is None:
            raise missing(view_type, view_id, found)
        return PastViewAnswer(
            build=served.number,
            program=served.program,
            at=found.sequence,
            events=found.events,
            id=str(view_id),
            view=msgspec.Raw(found.view),
            degraded=found.degraded,
            incomplete=found.incomplete,
        )

    async def _deployed(self, served: Served) -> DeployedView:
        for lane in self._node.roster.of(served.build.view_type):
            if lane.build == served.number:
                return lane.deployed
        build = self._catalog.build(served.build.view_type, served.number)  # decisions may have come since
        try:
            return await asyncio.to_thread(deployed_by, build)
        except ConfigurationError as error:
            raise StorageError(error.message, hint=error.hint) from None


def missing(view_type: ViewType, view_id: ViewId, found: PastView) -> ViewMissingError:
    """That there was no such view then."""
    return ViewMissingError(
        f"there was no {view_type} with the id {str(view_id)!r:.200} after event {found.sequence:,}",
        hint="events of it were parked by then" if found.degraded else None,
    )
