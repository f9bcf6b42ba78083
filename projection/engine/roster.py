"""The lanes of a node, which come and go while the others go on.

A lane lives on its store from the moment that it claims it. What has to be alone with a store retires the lane first:
all that it folded is stored by then, and the views can be read all the while. Then another lane takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from projection.engine.builds import PlannedBuild
    from projection.engine.committers import Committers, Halt
    from projection.engine.cutover import Cutover, CutoverRules, Cutovers
    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.readiness import CatchingUp
    from projection.engine.subscriptions import Subscriptions
    from projection.lang.run.executors import Execution
    from projection.model.ids import ViewType
    from projection.store.port import LaneStore
    from projection.stream.connection import Nats
    from projection.stream.port import Feed


class LaneOpener(Protocol):
    """Opens what lanes need."""

    execution: Execution  # how programs are run
    nats: Nats  # by which the log is read
    rules: CutoverRules

    def take(self, deployed: Sequence[DeployedView]) -> bool:
        """Open lanes and feeds for another manifest from here on; whether lanes that are open must be made anew."""

    def feed(self, members: Sequence[Lane], shared: bool) -> Feed:
        """A closed feed for some lanes: the one that all can share, or one for a lane by itself."""

    def lane(self, one: PlannedBuild) -> Lane:
        """A lane on the store of a build, which is opened.

        Raises:
            ConfigurationError: it starts at a time that is still to come.
            StorageError: the store cannot be opened.
        """

    def lane_on(self, store: LaneStore, deployed: DeployedView, build: int) -> Lane:
        """A lane on an open store, which it claims.

        Raises:
            StorageError: the store cannot be written.
        """


class Roster:
    """Which lanes there are, and which of them are paused."""

    def __init__(
        self,
        lanes: list[Lane],
        paused: Mapping[ViewType, str],
        subscriptions: Subscriptions,
        committers: Committers,
        cutovers: Cutovers,
        catching_up: CatchingUp,
        is_reading: Callable[[], bool],
        halt: Halt,
        followers: Iterable[Lane] = (),
    ) -> None:
        """The roster of a node that is still.

        Args:
            lanes: of the node, which shares this list.
            paused: the view types of which nothing is folded, and why.
            subscriptions: by which lanes read.
            committers: that write for them.
            cutovers: that are still to be made.
            catching_up: which of them have caught up.
            is_reading: whether the node has begun to read; before, nobody does.
            halt: halts a lane, for an error, while something was being done.
            followers: the lanes of builds that are folded on so that one can go back to them.
        """
        self.lanes = lanes
        self.followers = set(followers)
        self.paused = dict(paused)
        self._subscriptions = subscriptions
        self._committers = committers
        self._cutovers = cutovers
        self._catching_up = catching_up
        self._is_reading = is_reading
        self._halt = halt

    def of(self, view_type: ViewType) -> list[Lane]:
        """The lanes of a view type: of the build that answers, one that is to replace it, and one that follows."""
        return [lane for lane in self.lanes if lane.view_type == view_type]

    def follower_of(self, view_type: ViewType) -> Lane | None:
        """The lane of the build that follows, where there is one."""
        return next((lane for lane in self.followers if lane.view_type == view_type), None)

    def lane_of(self, view_type: ViewType, build: int) -> Lane | None:
        """The lane of a build; None where the node does not fold it."""
        return next((lane for lane in self.of(view_type) if lane.build == build), None)

    def is_paused(self, lane: Lane) -> bool:
        """Whether a lane reads nothing until its view type is resumed."""
        return lane.view_type in self.paused

    def hold(self, view_types: Iterable[ViewType]) -> None:
        """Have no build of these view types replaced until `release`."""
        self._cutovers.held.update(view_types)

    def release(self, view_types: Iterable[ViewType]) -> None:
        """See `hold`."""
        self._cutovers.held.difference_update(view_types)

    @property
    def cutovers(self) -> Cutovers:
        """Those that are still to be made."""
        return self._cutovers

    def cutover_to(self, lane: Lane) -> Cutover | None:
        """The pending cutover to a lane; None where there is none."""
        return next((one for one in self._cutovers.pending if one.new is lane), None)

    async def retire(self, lane: Lane) -> None:
        """Have a lane read no more, store what it folded, and write nothing more; its store stays open.

        Raises:
            StaleCommitError, StorageDamagedError: it cannot be stored.
        """
        self._subscriptions.dismiss(lane)
        await self._committers.retire(lane)

    def replace(self, lane: Lane, new: Lane) -> None:
        """Have a new lane take the place of one that was retired, on the same store, and read unless it is paused."""
        self.lanes[self.lanes.index(lane)] = new
        if lane in self.followers:
            self.followers.remove(lane)
            self.followers.add(new)
        self._catching_up.replaced(lane, new)
        self._cutovers.replaced(lane, new)
        self._committers.replace(lane, new, self._halt)
        self._start(new)

    def add(self, lane: Lane, cutover: Cutover | None = None) -> None:
        """Have one more lane read, unless it is paused.

        Args:
            lane: open; it is the node's to close. It stands where it is to begin.
            cutover: to this lane, where it is to replace another.
        """
        self.lanes.append(lane)
        if cutover is not None:
            self._cutovers.pending.append(cutover)
        self._committers.add(lane, self._halt)
        self._start(lane)

    def switch(self, one: Cutover) -> None:
        """Carry out a cutover that the catalog has made: only the lane that was replaced may follow on."""
        if one.old is not None:
            self._catching_up.replaced(one.old, one.new)
        self.followers.discard(one.new)
        if (before := self.follower_of(one.new.view_type)) is not None:
            self._remove(before)
        if one.old is not None and one.follows:
            self.followers.add(one.old)
        elif one.old is not None:
            self._remove(one.old)

    def take_over(self, old: Lane, new: Lane) -> None:
        """Remove a lane of which another one is the successor, and one that follows; their stores are closed later."""
        self._catching_up.replaced(old, new)
        self._remove(old)
        if (before := self.follower_of(old.view_type)) is not None:
            self._remove(before)

    async def remove(self, lane: Lane) -> None:
        """Remove a lane, with its cutover, and wait until its store is closed."""
        self._cutovers.forget(lane)
        await self._remove(lane)

    def _remove(self, lane: Lane) -> asyncio.Task[None]:
        self.lanes.remove(lane)
        self.followers.discard(lane)
        self._subscriptions.dismiss(lane)
        return self._committers.remove(lane)

    def _start(self, lane: Lane) -> None:
        if lane.halted is None and not self.is_paused(lane) and self._is_reading():
            self._subscriptions.start(self._committers.by_lane[lane])
