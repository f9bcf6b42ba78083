"""Views of the past, for those who ask a node: folded beside what it does, a bounded number at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import msgspec

from projection.engine.recipes import deployed_by
from projection.errors import ConfigurationError, StorageError, StreamIdentityError
from projection.history.differences import change_as_json
from projection.history.explaining import Bounds, explain, folded_otherwise, stored_in
from projection.history.past import known_of, past_view, read_moment, sequence_at
from projection.query.answers import HistoryAnswer, HistoryEvent, HistoryReason, PastViewAnswer
from projection.query.errors import HistoryGoneError, ViewMissingError
from projection.query.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node
    from projection.history.explaining import Explanation
    from projection.history.logs import Log
    from projection.history.past import PastView
    from projection.history.watching import Effect
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.query_limits import QueryLimits
    from projection.query.serving import Served, Serving
    from projection.store.catalog import Catalog
    from projection.store.lmdb_reader import LmdbLane

_HISTORY_BYTES = 16 * 1024**2  # of views that a history compares
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
        self.log_for = log_for
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
                self.log_for("past"),
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

    async def history(
        self, tenant_id: TenantId, view_type: ViewType, view_id: ViewId, moment: str | None, most: int
    ) -> HistoryAnswer:
        """The events that made a view, up to a sequence or a time, or up to where the build is.

        Args:
            tenant_id: whose view.
            view_type: of which type.
            view_id: which.
            moment: a sequence, or a time; None for now.
            most: how many events are told of, the last ones.

        Raises:
            QueryError, StorageError, StreamError: as in `view`.
        """
        wanted = None if moment is None else read_moment(moment)
        await self._places.take_within(_BUSY_S, tenant_id)
        try:
            served = self._serving.of(view_type)
            deployed = await self._deployed(served)
            stored = stored_in(served.build, cast("LmdbLane", served.reader), tenant_id, view_id)
            position = served.reader.position()
            log = self.log_for("why")
            at = stored.scanned if wanted is None else await sequence_at(log, wanted, served.build, position)
            await log.whole_from(deployed, position)
            compared = stored if wanted is None and folded_otherwise(stored, deployed) is None else None
            bounds = Bounds(self._limits.past_events, most, _HISTORY_BYTES)
            found = await explain(log, deployed, tenant_id, view_id, at=at, stored=compared, bounds=bounds)
        except StreamIdentityError as error:
            raise HistoryGoneError(error.message, hint=error.hint) from None
        finally:
            self._places.give_back(tenant_id)
        if found.view is None and not found.effects:
            raise ViewMissingError(f"no event up to {at:,} is for a {view_type} with the id {str(view_id)!r:.200}")
        return await asyncio.to_thread(_told, served, found)

    async def _deployed(self, served: Served) -> DeployedView:
        for lane in self._node.roster.of(served.build.view_type):
            if lane.build == served.number:
                return lane.deployed
        build = self._catalog.build(served.build.view_type, served.number)  # decisions may have come since
        try:
            return await asyncio.to_thread(deployed_by, build)
        except ConfigurationError as error:
            raise StorageError(error.message, hint=error.hint) from None


def _told(served: Served, found: Explanation) -> HistoryAnswer:
    return HistoryAnswer(
        build=served.number,
        program=served.program,
        id=str(found.view_id),
        at=found.end,
        view=None if found.view is None else msgspec.Raw(found.view),
        events=[_effect(one) for one in found.effects],
        left_out=found.left_out,
        agrees=found.agrees,
    )


def _effect(effect: Effect) -> HistoryEvent:
    envelope, reason = effect.event.envelope, effect.reason
    return HistoryEvent(
        sequence=effect.event.message.sequence,
        event_type=None if envelope is None else envelope.event_type,
        timestamp=None if envelope is None else envelope.timestamp,
        event_id=None if envelope is None else envelope.event_id,
        outcome=effect.outcome.value,
        reached_view=effect.view_id is not None,
        lines=[*effect.lines],
        gas=effect.gas,
        changes=[change_as_json(one) for one in effect.changes],
        reason=None if reason is None else HistoryReason(reason.code, reason.message, reason.place),
    )


def missing(view_type: ViewType, view_id: ViewId, found: PastView) -> ViewMissingError:
    """That there was no such view then."""
    return ViewMissingError(
        f"there was no {view_type} with the id {str(view_id)!r:.200} after event {found.sequence:,}",
        hint="events of it were parked by then" if found.degraded else None,
    )
