"""Putting a node together: builds, stores, lanes and feeds, as settings and manifest describe them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from projection.engine.builds import open_store, plan_builds
from projection.engine.cutover import Cutover, CutoverRules
from projection.engine.fault_log import log_fault
from projection.engine.gates import Gatekeeper
from projection.engine.health import Unopened
from projection.engine.lane import Lane
from projection.engine.node import Node
from projection.engine.parking import LaneHaltedError
from projection.engine.recipes import READING, build_differences
from projection.engine.starts import StreamStart, require_start_in_past
from projection.errors import ProjectionError, StorageDamagedError, StorageError
from projection.faults import REPORT_IT, contained
from projection.lang.run.executors import Execution
from projection.model.checkpoint import LanePosition
from projection.model.subjects import disjoint
from projection.store.audit import BY_NODE, AuditRecord
from projection.store.lmdb_reader import LmdbViewReader
from projection.stream.feed import JetStreamFeed
from projection.stream.jetstream import JetStream
from projection.stream.node_name import NodeName
from projection.stream.opening import FeedLimits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.engine.builds import PlannedBuild
    from projection.engine.deployment import DeployedView
    from projection.model.ids import ViewType
    from projection.model.promotion import HeldBuild
    from projection.model.settings import Settings
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.port import LaneStore
    from projection.stream.connection import Nats
    from projection.stream.port import Feed

log = structlog.get_logger()

_LEAST_BATCH = 1_000  # of a lane that reads by itself: a commit costs the same for fewer events
_LEAST_BATCH_BYTES = 256 * 1024
_LEAST_SHARED = 10  # events of any reading, whatever the settings say: a commit costs the same for fewer
_LEAST_SHARED_BYTES = 64 * 1024  # the same


def open_node(
    settings: Settings,
    deployed: Sequence[DeployedView],
    catalog: Catalog,
    nats: Nats,
    *,
    new_build: bool = False,
    accept_fewer_messages: bool = False,
    follow: bool = True,
) -> Node:
    """The node that the settings describe, with its lanes open; `run` begins to read the stream.

    Args:
        settings: of the node.
        deployed: what the manifest deploys.
        catalog: of the data folder, which the node has to itself.
        nats: the connection; it stays the caller's to close.
        new_build: whether a view type that is folded differently from now on may begin anew, beside its former build.
        accept_fewer_messages: whether a new build may serve that has seen fewer messages than the one it replaces.
        follow: whether former builds are folded on, as far as the settings say so.

    Raises:
        ConfigurationError: a view type is folded differently from now on, and nobody said what to do about it; or it
            starts at a time that is still to come.
        StorageError: a store cannot be opened; one that is damaged halts its view type only.
    """
    follow = follow and settings.builds.retire_after_h > 0
    planned = plan_builds(
        catalog, deployed, new_build=new_build, follow=follow, execution=Execution(settings.execution)
    )
    catalog.note_deployed(one.entry.view_type for one in deployed)
    opener = Opener(settings, deployed, catalog.node_id, nats, len(planned), keeps_following=follow)
    opened: dict[Lane, PlannedBuild] = {}
    unopened: list[Unopened] = []
    try:
        for one in planned:
            try:
                lane = opener.lane(one)
            except ProjectionError as error:
                if one.follows:
                    log.warning("a former build is not folded on", build=str(one.build), reason=error.message)
                    continue
                if not isinstance(error, (StorageDamagedError, LaneHaltedError)):
                    raise
                unopened.append(Unopened(one.build, error))
            except Exception as error:  # noqa: BLE001 - it is this build's, and the others are folded
                unopened += [] if one.follows else [_not_opened(one.build, error)]
            else:
                opened[lane] = one
    except BaseException:
        for lane in opened:
            lane.store.close()
        raise
    return Node(
        list(opened),
        opener,
        settings.back_pressure,
        StreamStart(JetStream(nats), settings.stream, opener.subjects),
        settings.stop_timeout_s,
        _cutovers(catalog, opened, opener.rules, must_see_all=not accept_fewer_messages),
        settings.http.ready_max_lag_s,
        unopened,
        catalog.paused(),
        [lane for lane, one in opened.items() if one.follows],
        settings.http.drain_s,
    )


class Opener:
    """Opens what lanes need, as settings and manifest describe it."""

    def __init__(
        self,
        settings: Settings,
        deployed: Sequence[DeployedView],
        node_id: str,
        nats: Nats,
        lanes: int,
        *,
        keeps_following: bool,
    ) -> None:
        """An opener for one node.

        Args:
            settings: of the node.
            deployed: what the manifest deploys.
            node_id: the node's name.
            nats: the connection; it stays the caller's to close.
            lanes: how many share what the node has.
            keeps_following: whether former builds are folded on.
        """
        follows = settings.builds.retire_after_h > 0
        self.rules = CutoverRules(settings.builds.promote, follows=follows, keeps_following=keeps_following)
        self.subjects = subjects_of(deployed)
        self.execution = Execution(settings.execution)
        self._settings = settings
        self._node_id = node_id
        self.nats = nats
        self._lanes = max(lanes, 1)
        back = settings.back_pressure
        self._shared = FeedLimits(
            max(back.batch, _LEAST_SHARED),
            max(back.batch_bytes, _LEAST_SHARED_BYTES),
            back.linger_ms / 1000,
            back.in_flight,
            float(back.ack_timeout_s),
            settings.nats.consumer_replicas,
        )
        self._alone = _share(self._shared, self._lanes)
        self._node_name = NodeName(JetStream(nats), settings.stream, settings.consumer_name(node_id, "node", 0))

    def take(self, deployed: Sequence[DeployedView]) -> bool:
        """Open lanes and feeds for another manifest from here on; whether lanes that are open must be made anew."""
        before, self.subjects = self.subjects, subjects_of(deployed)
        return set(before) != set(self.subjects)

    def feed(self, members: Sequence[Lane], shared: bool) -> Feed:
        """A closed feed for some lanes: the one that all can share, or one for a lane by itself."""
        first = min(members, key=lambda lane: lane.scanned)
        wanted = self.subjects if shared else first.deployed.entry.subjects
        name = _feed_name(wanted, None if shared else first)
        return JetStreamFeed(
            self.nats,
            stream=self._settings.stream,
            consumer=self._settings.consumer_name(self._node_id, name, 0),
            subjects=wanted,
            position=first.here(first.position.stream),
            limits=self._shared if shared or first.store.is_loading else self._alone,
            node_name=self._node_name,
        )

    def lane(self, one: PlannedBuild) -> Lane:
        """A lane on the store of a build, which is opened.

        Raises:
            ConfigurationError: it starts at a time that is still to come.
            StorageError: the store cannot be opened.
        """
        store = open_store(
            one.build, one.deployed, loads=one.replaces is not None, durability=self._settings.durability
        )
        try:
            store.declare_changes(wanted=one.deployed.entry.changes)
            lane = self.lane_on(store, one.deployed, one.build.number)
            if lane.position == LanePosition():
                require_start_in_past(one.deployed)
        except BaseException:
            store.close()
            raise
        return lane

    def lane_on(self, store: LaneStore, deployed: DeployedView, build: int) -> Lane:
        """A lane on an open store, which it claims.

        Raises:
            StorageError: the store cannot be written.
        """
        return Lane(
            deployed,
            store,
            build=build,
            sees_only_own=set(self.subjects) == set(deployed.entry.subjects),
            shares=self.subjects,
            cached_bytes=self._settings.back_pressure.cached_bytes // self._lanes,
        )


def subjects_of(deployed: Sequence[DeployedView]) -> tuple[str, ...]:
    """What the view types of a manifest read together."""
    return disjoint({subject for one in deployed for subject in one.entry.subjects}, deployed[0].entry.all_subjects)


def _share(limits: FeedLimits, lanes: int) -> FeedLimits:
    """For a lane that reads by itself: all lanes that do hold about as much as the one shared reading."""
    return replace(
        limits,
        batch=min(limits.batch, max(_LEAST_BATCH, limits.batch // lanes)),
        batch_bytes=min(limits.batch_bytes, max(_LEAST_BATCH_BYTES, limits.batch_bytes // lanes)),
    )


def _not_opened(build: Build, error: Exception) -> Unopened:
    doing = f"opening {build}"
    log_fault(error, doing)
    return Unopened(build, contained(error, doing, f"{REPORT_IT}; its views can be read as they are"))


def _cutovers(
    catalog: Catalog, opened: Mapping[Lane, PlannedBuild], rules: CutoverRules, *, must_see_all: bool
) -> list[Cutover]:
    found = []
    for lane, one in opened.items():
        if one.replaces is not None:
            old = next((other for other, of in opened.items() if of.build == one.replaces), None)
            found.append(cutover(catalog, one.build, lane, one.replaces, old, rules, must_see_all=must_see_all))
    return found


def cutover(
    catalog: Catalog,
    build: Build,
    lane: Lane,
    answers: Build,
    old: Lane | None,
    rules: CutoverRules,
    *,
    must_see_all: bool = True,
) -> Cutover:
    """How a build takes the place of the one that answers, which answers all the same where no lane folds it."""
    former = _stored_position(answers) if old is None else None
    # Builds that read other events have seen other numbers of them.
    compares = must_see_all and not {*READING} & build_differences(answers, build).keys()

    def serve() -> None:
        details = {"former_build": answers.number, "build": build.number} | measured(lane)
        audit = AuditRecord("switch", build.view_type, BY_NODE, details)
        catalog.serve(build, answers, follows=rules.follows and old is not None, audit=audit)

    gate = Gatekeeper(build.gate, rules.promote, partial(_noted, catalog, build.view_type))
    return Cutover(lane, old, serve, former, compares, gate, rules.keeps_following)


def measured(lane: Lane) -> dict[str, Any]:
    """What it took to fold a build that is to answer, for the audit: `projection plan` estimates others by it."""
    return {} if lane.loaded is None else lane.loaded.details


def _noted(catalog: Catalog, view_type: ViewType, held: HeldBuild | None) -> None:
    try:
        catalog.hold(view_type, held)
    except StorageError as error:  # the node says it all the same
        log.warning("it cannot be noted why a build does not answer", view_type=view_type, reason=error.message)


def _stored_position(build: Build) -> LanePosition | None:
    """How far a build has come that no lane folds; None where its store cannot be read."""
    try:
        with LmdbViewReader.open(build.lane_path()) as reader:
            return reader.position()
    except StorageError:
        return None


def _feed_name(subjects: Sequence[str], lane: Lane | None) -> str:
    """Equal for equal readings, so that a restart replaces its own consumer and no other's."""
    whose = "" if lane is None else f"{lane.view_type} {lane.build}"
    return hashlib.sha256("\n".join((*subjects, whose)).encode()).hexdigest()[:8]
