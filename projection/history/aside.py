"""A view, all views of one tenant, or everything, folded aside: by the lane that the node folds with, from the log.

A view depends on no other, so what comes out is what a fold of everything holds of it. One thing depends on the others:
whether too much is parked for the tenant as a whole, and nothing more is folded for it. A fold of one view is told so.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from projection.engine.lane import Lane
from projection.history.subjects import Subjects, subjects_of, subjects_of_tenant
from projection.lang.failures import Failure
from projection.lang.program import only_deletes
from projection.model.keys import CheckpointKey
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.errors import ProjectionError
    from projection.history.logs import Log
    from projection.lang.program import Step
    from projection.model.checkpoint import Checkpoint
    from projection.model.ids import TenantId, ViewId
    from projection.store.port import LaneStore

    Target = tuple[TenantId, str]  # whose view, and its id

_SLICE_S = 0.002  # of work, until others have their turn
_COMMIT = 1_000  # events between two commits: what a lane has changed stays decoded until then


class _LaneAside(Lane):
    """Folds what concerns one view, one tenant, or some views."""

    def __init__(
        self,
        deployed: DeployedView,
        store: LaneStore,
        view_id: ViewId | None,
        suspended_at: int | None,
        views: Collection[Target] | None,
    ) -> None:
        super().__init__(deployed, store)
        self._view_id = view_id
        self._views = views
        self.suspended_at = suspended_at

    def erase(self, target: Target) -> None:
        """Take a view away, as if no event had made it."""
        try:
            cached = self._load(target)
        except Failure:  # no store holds a view whose id is too long
            return
        if cached.view is not None:
            self._cache.change(cached, None, None)

    def _touch(self, event: Event, payload: Any, targets: Mapping[str, Sequence[Step]], *, again: bool = False) -> None:
        if self._view_id is not None:
            targets = {view_id: steps for view_id, steps in targets.items() if view_id == self._view_id}
        if self._views is not None:
            tenant_id, views = event.tenant_id, self._views
            targets = {view_id: steps for view_id, steps in targets.items() if (tenant_id, view_id) in views}
        if self._is_suspended(event):
            targets = {view_id: steps for view_id, steps in targets.items() if only_deletes(steps)}
        super()._touch(event, payload, targets, again=again)

    def _refuse(
        self, event: Event, view_ids: Sequence[str | None], error: ProjectionError, *, again: bool = False
    ) -> None:
        if self._view_id is not None:
            view_ids = [view_id for view_id in view_ids if view_id == self._view_id]
        if not self._is_suspended(event):
            super()._refuse(event, view_ids, error, again=again)

    def _is_suspended(self, event: Event) -> bool:
        return self.suspended_at is not None and event.message.sequence >= self.suspended_at


class FoldAside:
    """What the events of a log come to, for one view, some, all of a tenant, or all; `store` holds it."""

    def __init__(
        self,
        deployed: DeployedView,
        tenant_id: TenantId | None,
        view_id: ViewId | None = None,
        *,
        before: int = 0,
        suspended_at: int | None = None,
        store: LaneStore | None = None,
        views: Collection[Target] | None = None,
    ) -> None:
        """The fold before its first event.

        Args:
            deployed: what to fold, with the operator's decisions.
            tenant_id: whose views; None for those of all tenants.
            view_id: which of them; None for all, and what reached none.
            before: the last sequence that the view type does not read.
            suspended_at: the event from which on nothing is folded for the tenant; of all its views, the fold finds it.
            store: what is folded on, up to `before`; it stays the caller's to close. None: nothing yet, in memory.
            views: the only views that events have an effect on; None for all. What is parked is parked all the same.
        """
        self.deployed = deployed
        self.tenant_id = tenant_id
        self.view_id = view_id
        self.at = before  # the last sequence that is in it
        self.events = 0  # of the log, that were read
        self.seen = before  # the sequence of the last of them
        self.store = MemoryLaneStore() if store is None else store
        self._lane = _LaneAside(deployed, self.store, view_id, suspended_at, views)
        self._taken = 0  # events of these tenants
        self.tenants: set[TenantId] = set()  # whose these are

    @property
    def is_whole(self) -> bool:
        """Whether it is all that a build holds."""
        return self.view_id is None and (self.tenant_id is None or not self.deployed.tenancy.enabled)

    @property
    def subjects(self) -> Subjects:
        """What has to be read for it."""
        if self.tenant_id is None:
            return Subjects(self.deployed.entry.subjects, are_own=False)
        if self.view_id is None:
            return subjects_of_tenant(self.deployed, self.tenant_id)
        return subjects_of(self.deployed, self.tenant_id, self.view_id)

    def checkpoints(self) -> list[tuple[CheckpointKey, Checkpoint]]:
        """The last event of each tenant that is in it."""
        view_type = self.deployed.entry.view_type
        found = (
            (key, self.store.get_checkpoint(key)) for key in (CheckpointKey(one, view_type) for one in self.tenants)
        )
        return [(key, made) for key, made in found if made is not None]

    @property
    def parked(self) -> int:
        """How many events are parked or were skipped."""
        return self._lane.parked

    def erase(self, views: Iterable[Target]) -> None:
        """Take views away, as if no event had made them; the store is no further in the log afterwards."""
        for count, target in enumerate(views, 1):
            self._lane.erase(target)
            if count % _COMMIT == 0:
                self._lane.commit(None)
        self._lane.commit(None)

    def suspend_from(self, sequence: int | None) -> None:
        """Say from which event on nothing is folded for the tenant; one that is still to be read."""
        self._lane.suspended_at = sequence

    async def read(
        self,
        log: Log,
        until: int,
        *,
        turn: AbstractAsyncContextManager[Any] | None = None,
        read: Callable[[FoldAside], None] | None = None,
    ) -> None:
        """Fold what there is up to a sequence; others have their turn every few milliseconds.

        Args:
            log: with the events; one that was read before knows no later ones.
            until: the last sequence that is wanted; the log has come so far.
            turn: what is held while it folds.
            read: called for each batch, with this; it may raise.

        Raises:
            LaneHaltedError: a policy says halt.
            ProjectionError: the log cannot be read.
        """
        if until <= self.at:
            return
        async with aclosing(log.read(self.deployed, self.subjects.filters, self.at, until)) as batches:
            async for batch in batches:
                self.events += len(batch)
                self.seen = batch[-1].message.sequence if batch else self.seen
                if read is not None:
                    read(self)
                await self._fold(batch, turn)
        self._lane.commit(None)
        self.at = until

    def end(self) -> None:
        """Have the store say how far it is."""
        self._lane.move_to(self.at)
        self._lane.commit(None)

    async def _fold(self, batch: Sequence[Event], turn: AbstractAsyncContextManager[Any] | None) -> None:
        done = 0
        while done < len(batch):
            async with turn or _no_turn():
                ends = perf_counter() + _SLICE_S
                while done < len(batch) and perf_counter() < ends:
                    self._take(batch[done])
                    done += 1
            await asyncio.sleep(0)

    def _take(self, event: Event) -> None:
        if self.tenant_id not in (None, event.tenant_id):
            return
        self._lane.apply(event)
        if self._lane.halted is not None:
            raise self._lane.halted
        self._taken += 1
        self.tenants.add(event.tenant_id)
        if self._taken % _COMMIT == 0:
            self._lane.commit(None)


@asynccontextmanager
async def _no_turn() -> AsyncIterator[None]:
    yield
