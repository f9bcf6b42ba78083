"""What a node says of itself to those who look at it: its view types, and how far the builds of each are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from projection.query.freshness import age
from projection.store.indexes import described

if TYPE_CHECKING:
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.engine.tally import GasUsed
    from projection.model.ids import ViewType
    from projection.store.catalog import Catalog

State: TypeAlias = Literal["answers", "under way", "waits", "follows"]

_HOT_VIEWS = 10


class LaneStatus(msgspec.Struct, frozen=True):
    """A build that the node folds."""

    build: int
    state: State
    scanned: int  # all events of the log up to this sequence are in it
    as_of: str | None  # the time up to which all events are in it; RFC 3339; null where nothing was read yet
    lag_s: float | None  # how long ago that was
    halted: bool
    # For operators only, as the numbers of others are in it:
    to_go: int | None = None  # messages that it has still to read; null also where that is not known
    why: str | None = None  # why it has halted, or waits
    views: int | None = None
    parked: int | None = None  # with what was skipped
    gas: int | None = None  # that its program has used since the build was opened


class ViewTypeStatus(msgspec.Struct, frozen=True):
    """A view type."""

    view_type: str
    build: int  # that answers
    paused: bool
    lanes: list[LaneStatus]  # the builds that are folded; none where the manifest does not name the view type
    why: str | None = None  # for operators: why it is paused, or cannot be folded


class NodeStatus(msgspec.Struct, frozen=True):
    """A node, and all its view types."""

    version: str
    ready: bool
    view_types: list[ViewTypeStatus]
    # For operators only, as the numbers of others are in it:
    events: int | None = None  # messages that were read since the node started
    unhandled: int | None = None  # of these, that no program takes
    events_to_go: int | None = None  # until it has caught up; null where it has, or where that is not known
    catch_up_s: float | None = None  # seconds that this will take, if it goes on so
    troubles: dict[str, str] | None = None  # what keeps the node from being ready, by what it concerns


class GasOfHandler(msgspec.Struct, frozen=True):
    """What a handler has used, or some that run together on one view for one event."""

    events: list[str]  # that it takes; none: all that no other handler takes
    lines: list[int]  # of the program, on which the handlers begin
    gas: int


class HotView(msgspec.Struct, frozen=True):
    """A view that many events are for."""

    tenant_id: str
    view_id: str
    share: float  # of the changes of late, about; 0 to 1


class IndexState(msgspec.Struct, frozen=True):
    """An index of a build."""

    by: str  # as it is declared
    built: bool  # whether queries use it


class LaneDetails(msgspec.Struct, frozen=True):
    """A build that the node folds, with all that is known of it."""

    status: LaneStatus
    applied: int  # the last event that its program took
    messages: int | None  # of the log that it has seen; null where that is not known
    program: str  # the digest of its program
    fold_identity: str
    digest: str  # of everything that it holds
    suspended: int  # views and tenants for which nothing is folded any more
    routing_gas: int  # for decoding events and finding their views
    gas_by_handler: list[GasOfHandler]  # the thirstiest first
    hot_views: list[HotView]  # the hottest first
    indexes: list[IndexState]


class ViewTypeDetails(msgspec.Struct, frozen=True):
    """A view type, with all that is known of its builds."""

    status: ViewTypeStatus
    trouble: str | None  # what keeps it from following the log
    lanes: list[LaneDetails]


def node_status(node: Node, catalog: Catalog, version: str, *, for_operators: bool) -> NodeStatus:
    """The status of a node; to others than operators only the builds that answer are told of.

    Raises:
        StorageError: the catalog or a store cannot be read.
    """
    look = _Look(node, catalog, for_operators=for_operators)
    view_types = [look.view_type(one) for one in catalog.view_types()]
    if not for_operators:
        return NodeStatus(version, node.is_ready, view_types)
    health = node.health
    seconds = health.catch_up_s
    return NodeStatus(
        version,
        node.is_ready,
        view_types,
        events=node.events,
        unhandled=node.unhandled.count,
        events_to_go=health.events_to_go,
        catch_up_s=None if seconds is None else round(seconds, 1),
        troubles=health.unready(),
    )


def view_type_details(node: Node, catalog: Catalog, view_type: ViewType) -> ViewTypeDetails:
    """All that is known of a view type, for operators.

    Raises:
        ConfigurationError: there is no such view type.
        StorageError: the catalog or a store cannot be read.
    """
    catalog.require(view_type)
    look = _Look(node, catalog, for_operators=True)
    troubles = node.health.unready()
    trouble = next((troubles[one] for one in _names(view_type) if one in troubles), None)
    lanes = [_details(lane, look.lane(lane)) for lane in node.roster.of(view_type)]
    return ViewTypeDetails(look.view_type(view_type), trouble, lanes)


class _Look:
    """One look at a node: what is the same for all its lanes is asked for once."""

    def __init__(self, node: Node, catalog: Catalog, *, for_operators: bool) -> None:
        self._node = node
        self._catalog = catalog
        self._for_operators = for_operators
        self._readings = node.health.readings
        self._waiting = node.health.waiting
        self._lanes: dict[ViewType, list[Lane]] = {}
        for lane in node.lanes:
            self._lanes.setdefault(lane.view_type, []).append(lane)

    def view_type(self, view_type: ViewType) -> ViewTypeStatus:
        answers = self._catalog.serving_number(view_type) or 0
        paused = self._node.roster.paused.get(view_type)
        lanes = self._lanes.get(view_type, ())
        if not self._for_operators:
            shown = [self.lane(lane, answers) for lane in lanes if lane.build == answers]
            return ViewTypeStatus(str(view_type), answers, paused is not None, shown)
        why = paused
        if not lanes and paused is None:
            unopened = (one.error.message for one in self._node.health.unopened if one.build.view_type == view_type)
            why = next(unopened, "the manifest does not name it: it is served and no longer folded")
        return ViewTypeStatus(
            str(view_type), answers, paused is not None, [self.lane(lane, answers) for lane in lanes], why
        )

    def lane(self, lane: Lane, answers: int | None = None) -> LaneStatus:
        if answers is None:
            answers = self._catalog.serving_number(lane.view_type) or 0
        held = self._waiting.get(lane.view_type)
        is_held = held is not None and held.build == lane.build
        state: State = (
            "answers"
            if lane.build == answers
            else "follows"
            if lane in self._node.roster.followers
            else "waits"
            if is_held
            else "under way"
        )
        reading = self._readings.get(lane)
        as_of, lag_s = age(lane.position, None if reading is None else reading.feed.level)
        status = LaneStatus(lane.build, state, lane.position.scanned, as_of, lag_s, lane.halted is not None)
        if not self._for_operators:
            return status
        return msgspec.structs.replace(
            status,
            to_go=None if reading is None else reading.left,
            why=lane.halted.message if lane.halted is not None else held.why if held is not None and is_held else None,
            views=lane.store.count_views(),
            parked=lane.parked,
            gas=lane.gas,
        )


def _names(view_type: ViewType) -> tuple[str, str]:
    """What troubles call a view type."""
    return f"view type {view_type}", f"new build of view type {view_type}"


def _details(lane: Lane, status: LaneStatus) -> LaneDetails:
    used = lane.tally.by_handler()
    return LaneDetails(
        status=status,
        applied=lane.position.applied,
        messages=lane.position.messages,
        program=lane.deployed.program.digest,
        fold_identity=lane.deployed.fold_identity,
        digest=str(lane.store.digest()),
        suspended=len(lane.suspensions),
        routing_gas=lane.gas - sum(one.gas for one in used),
        gas_by_handler=[_gas(lane, one) for one in used],
        hot_views=[
            HotView(str(tenant_id), view_id, round(share, 4))
            for (tenant_id, view_id), share in lane.tally.hot_views.hottest(_HOT_VIEWS)
        ],
        indexes=[IndexState(described(one.keys), one.built) for one in lane.indexer.indexes],
    )


def _gas(lane: Lane, one: GasUsed) -> GasOfHandler:
    source = lane.deployed.program.checked.source
    handlers = [run.handler for run in one.handlers]
    events = sorted({event for handler in handlers for event in handler.events})
    return GasOfHandler(events, [source.position(handler.span.start)[0] for handler in handlers], one.gas)
