"""The long operations of a running node, and what a restart does to those that were under way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, TypeAlias

import structlog

from projection.engine.compaction import audit_of
from projection.engine.deploying import FoldsAnew
from projection.engine.outcomes import AdoptCame, BuildCame, DeployCame, FoldCame, RepairCame, StepCame
from projection.engine.side_process import done_beside
from projection.engine.side_work import CompactWork
from projection.engine.tasks import State, TaskCanceledError, Tasks
from projection.errors import ConfigurationError, StorageError
from projection.history.build_comparison import compared, compared_builds
from projection.history.differences import BuildDifferences
from projection.model.promotion import BY_SETTINGS
from projection.store.audit import BY_NODE, Author
from projection.store.lmdb_reader import LmdbLane
from projection.store.ranges import A_WHILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from projection.engine.backup_place import BackupSource
    from projection.engine.deploying import StepTaken
    from projection.engine.deployment import DeployedView
    from projection.engine.live_backups import LiveBackups
    from projection.engine.node import Node
    from projection.engine.operations import Operations
    from projection.engine.orders import BackupOrder, CompactOrder, CompareOrder, VerifyOrder
    from projection.engine.outcomes import BackupCame, CompactCame, VerifyCame
    from projection.engine.tasks import Task, TaskRecord
    from projection.history.repairing import Repairs, Target
    from projection.model.ids import ViewType
    from projection.model.promotion import Gate
    from projection.ops.new_builds import NewBuilds
    from projection.store.audit import Door
    from projection.store.build import Build
    from projection.store.catalog import Catalog

log = structlog.get_logger(component="builds")

_BREATH_S = 0.001  # that a comparison rests now and then, so that others fold and answer
_ENDED = "the node ended before it was done; `projection audit` says whether it had its effect"
_DEPLOY, _REBUILD = "deploy", "rebuild"  # whose builds outlive them

Begun: TypeAlias = "tuple[Task, asyncio.Task[AdoptCame]] | tuple[Task, asyncio.Task[RepairCame]]"


class LongOperations:
    """See the module."""

    def __init__(
        self,
        node: Node,
        catalog: Catalog,
        operations: Operations,
        repairs: Repairs,
        backups: LiveBackups,
        new_builds: NewBuilds,
    ) -> None:
        """Operations of a node.

        Args:
            node: open.
            catalog: of its data folder.
            operations: of the node.
            repairs: of the node.
            backups: of its data folder.
            new_builds: of the node.
        """
        self.tasks = Tasks(catalog, node.wait_for)
        self._node = node
        self._catalog = catalog
        self._operations = operations
        self._repairs = repairs
        self.backups = backups
        self._new_builds = new_builds

    def adopt(self, deployed: DeployedView, author: Author) -> tuple[Task, asyncio.Task[AdoptCame]]:
        """Begin `Operations.adopt`. What it copies is copied to the end."""

        async def work(task: Task) -> AdoptCame:
            task.point_of_no_return()
            return AdoptCame.of(await self._operations.adopt(deployed, author))

        return self.tasks.begin("adopt", str(deployed.entry.view_type), author, work)

    def repair(self, target: Target, author: Author, *, dry_run: bool) -> tuple[Task, asyncio.Task[RepairCame]]:
        """Begin `Repairs.repair`."""

        def work(task: Task) -> Awaitable[RepairCame]:
            return self._repairs.repair(target, author, dry_run=dry_run, task=task)

        return self.tasks.begin("repair", str(target.view_type), author, work)

    def backup(self, order: BackupOrder, door: Door) -> tuple[Task, asyncio.Task[BackupCame]]:
        """Begin `LiveBackups.ordered`.

        Raises:
            ConfigurationError: as in `LiveBackups.target`.
        """
        (place, keep), author = self.backups.target(order, door), order.author(door)
        return self.tasks.begin("backup", "", author, lambda task: self.backups.ordered(place, keep, author, task))

    def verify(self, order: VerifyOrder, door: Door) -> tuple[Task, asyncio.Task[VerifyCame]]:
        """Begin `LiveBackups.verify`."""
        return self.tasks.begin("verify", "", order.author(door), lambda task: self.backups.verify(order, task))

    def compact(self, order: CompactOrder, door: Door) -> tuple[Task, asyncio.Task[CompactCame]]:
        """Begin to give free pages of builds' stores back to the disk, by a process beside the node.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalog cannot be read.
        """
        author = order.author(door)
        view_type = order.of()
        named = None if view_type is None else str(self._catalog.require(view_type).view_type)

        async def work(task: Task) -> CompactCame:
            try:
                said = await done_beside(CompactWork(str(self._catalog.data), named), self._node.stopping, task)
            except TaskCanceledError as canceled:
                raise TaskCanceledError(canceled.message, hint="what it gave back until then is given back") from None
            came = said.compacted
            assert came is not None  # noqa: S101 - what was asked for
            audit = audit_of(view_type, author, came)
            await self._node.workshop.alone(lambda: self._catalog.note(audit))
            log.info("compacted", view_type=named, builds=len(came.builds), given_back=came.given_back)
            return came

        return self.tasks.begin("compact", named or "", author, work)

    def compare(self, order: CompareOrder, door: Door) -> tuple[Task, asyncio.Task[BuildDifferences]]:
        """Begin to compare two builds that the node folds.

        Raises:
            ConfigurationError: there is none of a number, none to compare with, or the node does not fold one of them.
            StorageError: the catalog cannot be read.
        """
        view_type = order.of()
        builds = compared_builds(self._catalog, view_type, order.old, order.new)
        old, new = (self._store_of(one) for one in builds)

        async def work(task: Task) -> BuildDifferences:
            loop, done = asyncio.get_running_loop(), 0
            total = max(old.count_views(), new.count_views())  # about: events come meanwhile
            task.progress(0, total)

            def breathe() -> None:
                nonlocal done
                task.check()
                if self._node.stopping.is_set():
                    raise StorageError("the node is stopping, and the comparison was given up")
                done = min(done + A_WHILE, total)
                loop.call_soon_threadsafe(task.progress, done, total)
                sleep(_BREATH_S)

            try:
                found = await asyncio.to_thread(compared, builds, (old, new), order.limit, breathe)
            except StorageError:
                for build, store in zip(builds, (old, new), strict=True):
                    if self._node.reader_of(build) is not store:  # it was closed while it was read
                        raise ConfigurationError(
                            f"{build} was replaced, deleted or opened anew while it was compared",
                            hint="give the order again; `projection builds list` shows which builds there are",
                        ) from None
                raise
            task.progress(total, total)
            return BuildDifferences.of(found)

        return self.tasks.begin("compare", str(view_type), order.author(door), work)

    def _store_of(self, build: Build) -> LmdbLane:
        """The store of a build that the node folds; another one must not be opened twice in a process.

        Raises:
            ConfigurationError: the node does not fold it.
        """
        if not isinstance(found := self._node.reader_of(build), LmdbLane):
            raise ConfigurationError(
                f"{build} is not folded by this node, and not compared here",
                hint=f"`projection compare {build.view_type}` reads the data folder itself",
            )
        return found

    async def rebuild(
        self, view_type: ViewType, author: Author, gate: Gate = BY_SETTINGS, backup: BackupSource | None = None
    ) -> tuple[Task, BuildCame]:
        """Begin `Operations.rebuild`, or `rebuild_from`, which lasts until the build answers; canceled, it is deleted.

        Raises:
            ConfigurationError, StreamError, StorageError: as in `Operations.rebuild` and `rebuild_from`.
        """
        if backup is None:
            build = await self._operations.rebuild(view_type, author, gate)
        else:
            build = await self._operations.rebuild_from(view_type, backup, author, gate)
        work = self._new_builds.until_it_answers(build, author)
        task, _ = self.tasks.begin(_REBUILD, str(view_type), author, work, build=build.number)
        return task, BuildCame.of(build)

    async def deploy(self, deployed: Sequence[DeployedView], author: Author, gate: Gate = BY_SETTINGS) -> DeployCame:
        """Do `Operations.deploy`, and begin an operation for each new build; it lasts until the build answers.

        Raises:
            ConfigurationError, StreamError, StorageError: as in `Operations.deploy`.
        """
        return await self._deployed(self._operations.deploy(deployed, author, gate, defers=True), author)

    async def reload(self, author: Author, gate: Gate = BY_SETTINGS) -> DeployCame:
        """The same by `Operations.reload`; raises as that."""
        return await self._deployed(self._operations.reload(author, gate, defers=True), author)

    async def _deployed(self, deployment: Awaitable[list[StepTaken]], author: Author) -> DeployCame:
        try:
            return DeployCame([self._followed(one, author) for one in await deployment])
        finally:
            with suppress(StorageError):  # the next deployment, or the next start, does it
                self._begin_with_parts()  # also what was begun before a step failed, now or in an earlier deployment

    def _followed(self, taken: StepTaken, author: Author) -> StepCame:
        step, build = taken.step, taken.build
        if build is None or not isinstance(step, FoldsAnew):
            return StepCame.of(step, build)
        came = FoldCame(str(step.view_type), build.number, why=step.wanted.why_all)
        work = self._new_builds.until_it_answers(build, author, came, waits=step.wanted.is_partial)
        task, _ = self.tasks.begin(_DEPLOY, str(step.view_type), author, work, build=build.number)
        return StepCame.of(step, build, task.record.id)

    def restore(self) -> None:
        """See to what an earlier process has left: a build goes on, and everything else was given up."""
        try:
            for record in self.tasks.unfinished():
                self._restore(record)
            self._begin_with_parts()
        except StorageError as error:
            log.warning("operations of before the start are not seen to", reason=error.message)

    def _restore(self, record: TaskRecord) -> None:
        builds = {str(one): one for one in self._catalog.view_types()}
        view_type = builds.get(record.view_type)
        if record.operation not in (_DEPLOY, _REBUILD) or view_type is None:
            self.tasks.give_up(record, _ENDED)
        elif self._catalog.serving_number(view_type) == record.build:
            self.tasks.give_up(record, "", State.DONE)
        elif record.build is None or not self._new_builds.is_candidate(view_type, record.build):
            self.tasks.give_up(record, f"build {record.build} was deleted")
        else:
            author = Author(record.by, "offline", record.reason)
            build = self._catalog.build(view_type, record.build)
            waits = record.operation == _DEPLOY and self._new_builds.may_begin_with_part(build)
            work = self._new_builds.until_it_answers(build, author, waits=waits)
            self.tasks.begin(record.operation, record.view_type, author, work, again=record)

    def _begin_with_parts(self) -> None:
        """Follow new builds that nobody follows yet, if not all of their views may have to be folded.

        They were begun while no node ran, or by a deployment that failed later.

        Raises:
            StorageError: the catalog cannot be read or written.
        """
        followed = {(one.view_type, one.build) for one in self.tasks.all() if not one.has_ended}
        for view_type in self._catalog.view_types():
            build = self._catalog.candidate(view_type)
            if build is None or (str(view_type), build.number) in followed:
                continue
            if self._new_builds.may_begin_with_part(build):
                work = self._new_builds.until_it_answers(build, BY_NODE, waits=True)
                self.tasks.begin(_DEPLOY, str(view_type), BY_NODE, work, build=build.number)
