"""Repair: a view, the views of a tenant, or all, folded aside from the log, and put right in one commit of the lane.

While a node runs, most is folded beside it. The lane is retired only for the rest, the comparison and the commit; its
views can be read all the while, and they are those before that commit or behind it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import structlog

from projection.engine.builds import open_store
from projection.engine.outcomes import RepairCame, ViewDiffered
from projection.engine.recipes import deployed_by
from projection.engine.tasks import NoTask
from projection.errors import ConfigurationError, StorageError
from projection.history.aside import FoldAside
from projection.history.mending import differences, digest_after
from projection.query.errors import HistoryGoneError
from projection.store.audit import BY_PROGRAM, AuditRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node
    from projection.engine.operations import Operations
    from projection.engine.tasks import TaskContext
    from projection.history.logs import StreamLog
    from projection.history.mending import Differences
    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.lmdb_store import LmdbLaneStore
    from projection.store.port import Commit

    LogFor = Callable[[str], StreamLog]  # opens the log, for a purpose

log = structlog.get_logger(component="builds")

_NEAR = 1_000  # events that may be left to fold when the lane is retired
_ROUNDS = 10  # of catching up with a lane that goes on, until it is retired all the same


class _EndsWithNode:
    """Implements `TaskContext` for another one, and has it end when the node does."""

    def __init__(self, node: Node, task: TaskContext) -> None:
        self._node, self._task = node, task
        self.progress = task.progress

    def check(self) -> None:
        """See `TaskContext.check`."""
        if self._node.stopping.is_set():
            raise StorageError("the node is stopping, and nothing was written", hint="give the order again")
        self._task.check()

    def point_of_no_return(self) -> None:
        """See `TaskContext.point_of_no_return`."""
        self.check()
        self._task.point_of_no_return()


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be repaired."""

    view_type: ViewType
    tenant_id: TenantId | None = None  # None: those of all tenants
    view_id: ViewId | None = None  # None: all views of the tenant

    @property
    def details(self) -> dict[str, Any]:
        """For the audit."""
        return {"tenant_id": self.tenant_id, "view_id": self.view_id}


class _Side:
    """The fold aside, and the log that it comes from."""

    def __init__(self, build: Build, deployed: DeployedView, target: Target, before: int, log_for: LogFor) -> None:
        self.build = build
        self.fold = FoldAside(deployed, target.tenant_id, target.view_id, before=before)
        self._log_for = log_for

    @classmethod
    async def begun(
        cls, build: Build, deployed: DeployedView, target: Target, position: LanePosition, log_for: LogFor
    ) -> _Side:
        """Before the first event, in a log that is known to be that of the build.

        Raises:
            ConfigurationError: it was adopted, so that its program does not make its views; or the log is another.
            StreamError: the log cannot be asked.
        """
        if build.lineage is not None:
            raise ConfigurationError(
                f"{build} was adopted from another one: no fold of the log comes to its views",
                hint="`projection rebuild` folds the view type anew by its program; after that, views can be repaired",
            )
        try:
            before = await log_for("repair").whole_from(deployed, position)
        except HistoryGoneError as error:
            raise ConfigurationError(error.message, hint=error.hint) from None
        return cls(build, deployed, target, before, log_for)

    async def read(
        self, store: LmdbLaneStore, until: int, task: TaskContext, turn: AbstractAsyncContextManager[Any] | None = None
    ) -> None:
        """Fold up to a sequence that the build has come to."""
        if self.fold.view_id is not None:  # else the fold finds it out
            whole = [one.sequence for one in store.suspensions() if one[:2] == (self.fold.tenant_id, None)]
            self.fold.suspend_from(min(whole, default=None))

        def told(fold: FoldAside) -> None:
            task.check()
            task.progress(fold.seen, until)

        await self.fold.read(self._log_for("repair"), until, turn=turn, read=told)


class Repairs:
    """Repairs while a node runs."""

    def __init__(self, node: Node, catalog: Catalog, operations: Operations, log_for: LogFor) -> None:
        """Repair what a node folds.

        Args:
            node: open.
            catalog: of its data folder.
            operations: of the node, one of which is at work at a time.
            log_for: opens its log, for a purpose.
        """
        self._node = node
        self._catalog = catalog
        self._operations = operations
        self._log_for = log_for

    async def repair(
        self, target: Target, author: Author, *, dry_run: bool = False, task: TaskContext | None = None
    ) -> RepairCame:
        """Put right what the build that answers holds otherwise than the log makes it; the lane goes on afterwards.

        Args:
            target: what is to be repaired.
            author: who says so.
            dry_run: whether nothing is written.
            task: what is told how far it is.

        Raises:
            ConfigurationError: there is no such view type, or the log does not give its views back; nothing changed.
            StreamError: the log cannot be read; nothing changed.
            StorageError: a store cannot be read or written.
        """
        told = _EndsWithNode(self._node, task or NoTask())
        build, lane = self._operations.serving(target.view_type)
        side = await _Side.begun(build, lane.deployed, target, lane.position, self._log_for)
        for _ in range(_ROUNDS):
            until = lane.position.scanned
            await side.read(cast("LmdbLaneStore", lane.store), until, told, self._node.workshop.turn)
            if lane.position.scanned - until <= _NEAR:
                break
        came = await self._operations.with_store(
            target.view_type,
            lambda now, store: self._mend(side, target, author, now, store, dry_run=dry_run, task=told),
        )
        if came.written:
            log.warning("repaired what was stored otherwise than the log makes it", **_told(came))
            if not came.sound:
                log.error("the build holds more that it should not: `projection verify`", **_told(came))
        return came

    async def _mend(
        self,
        side: _Side,
        target: Target,
        author: Author,
        build: Build,
        store: LmdbLaneStore,
        *,
        dry_run: bool,
        task: TaskContext,
    ) -> RepairCame:
        if build != side.build:
            raise ConfigurationError(
                f"{build} is another one than when the repair began, or something was decided about it",
                hint="give the order again",
            )
        await side.read(store, store.position().scanned, task, self._node.workshop.turn)
        task.point_of_no_return()
        # Not in the workshop: others fold on beside it, however long that takes.
        mending = await asyncio.to_thread(_Mending.found, store, side, dry_run=dry_run)
        if mending.came.written:
            await self._node.workshop.alone(lambda: mending.write(self._catalog, target, author))
        return mending.came


async def repair_in(
    catalog: Catalog,
    target: Target,
    log_for: LogFor,
    *,
    author: Author = BY_PROGRAM,
    dry_run: bool = False,
    task: TaskContext | None = None,
) -> RepairCame:
    """The same in a data folder that no node has; see `Repairs.repair`.

    Args:
        catalog: of the folder.
        target: what is to be repaired.
        log_for: opens the log, for a purpose.
        author: who says so.
        dry_run: whether nothing is written.
        task: what is told how far it is.

    Raises:
        ConfigurationError, StreamError, StorageError: as in `Repairs.repair`.
    """
    build = catalog.require(target.view_type)
    deployed = deployed_by(build)
    with open_store(build, deployed) as store:
        side = await _Side.begun(build, deployed, target, store.position(), log_for)
        await side.read(store, store.position().scanned, task or NoTask())
        mending = _Mending.found(store, side, dry_run=dry_run)
        if mending.came.written:
            mending.write(catalog, target, author)
        return mending.came


@dataclass(frozen=True, slots=True)
class _Mending:
    """What a store holds otherwise, and how that is put right."""

    store: LmdbLaneStore
    commit: Commit
    came: RepairCame  # as it will be told

    @classmethod
    def found(cls, store: LmdbLaneStore, side: _Side, *, dry_run: bool) -> _Mending:
        """Compare a store with a fold that has come as far; nobody writes to it meanwhile.

        Raises:
            StorageError: it cannot be read.
        """
        found = differences(store, side.fold)
        if dry_run or not (found.any or found.is_whole):
            return cls(store, found.commit, _came(side, found))
        audit = store.audit()
        if not found.any and audit.agrees:
            return cls(store, found.commit, _came(side, found))
        digest = digest_after(found, audit)
        commit = replace(found.commit, digest=digest, view_count=audit.views + found.grown)
        is_sound = digest == audit.recomputed.plus(found.gained)
        return cls(store, commit, _came(side, found, written=True, sound=is_sound))

    def write(self, catalog: Catalog, target: Target, author: Author) -> None:
        """Write it in one commit. The audit says so first; an order that is killed in between is given again.

        Raises:
            StorageError: a store cannot be written.
        """
        came = self.came
        counts = {"build": came.build, "views": came.different, "parked": came.parked, "entries": came.entries}
        catalog.note(AuditRecord("repair", target.view_type, author, {**target.details, **counts}))
        self.store.commit(replace(self.commit, epoch=self.store.claim()))


def _came(side: _Side, found: Differences, *, written: bool = False, sound: bool | None = None) -> RepairCame:
    return RepairCame(
        view_type=str(side.build.view_type),
        build=side.build.number,
        scanned=found.commit.position.scanned,
        events=side.fold.events,
        compared=found.compared,
        different=found.views,
        views=[ViewDiffered(str(one.view_id), list(one.fields), one.stored, one.made) for one in found.shown],
        parked=found.parked,
        suspended=found.suspended,
        entries=found.entries,
        written=written,
        sound=sound,
    )


def _told(came: RepairCame) -> dict[str, Any]:
    names = ("view_type", "build", "different", "parked", "entries")
    return {name: getattr(came, name) for name in names}
