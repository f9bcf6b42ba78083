"""New builds that operators began: what they begin with, and how far they are until they answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from projection.engine.backup_place import plain_connection
from projection.engine.outcomes import BuildCame, FoldCame, PartFolded
from projection.engine.scope import discard_draft, scope_of
from projection.engine.side_process import done_beside
from projection.engine.tasks import TaskCanceledError, TaskLeftError
from projection.errors import ConfigurationError, ProjectionError, StorageError, StreamError
from projection.history.side_folding import FoldWork
from projection.model.checkpoint import LanePosition
from projection.stream.configured import nats_connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projection.engine.node import Node
    from projection.engine.operations import Operations
    from projection.engine.tasks import Task
    from projection.model.ids import ViewType
    from projection.model.settings import Settings
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog

    Work = Callable[[Task], Awaitable[BuildCame | FoldCame]]

log = structlog.get_logger(component="builds")

_LOOK_S = 0.25  # between two looks how far a build is
_AGAIN_S = 1.0  # until what the disk or the server refused is tried again


class NewBuilds:
    """See the module."""

    def __init__(self, node: Node, catalog: Catalog, operations: Operations, settings: Settings) -> None:
        """New builds of a node.

        Args:
            node: open.
            catalog: of its data folder.
            operations: of the node.
            settings: of the node; they name the stream, and how it is reached.
        """
        self._node = node
        self._catalog = catalog
        self._operations = operations
        self._settings = settings

    def is_candidate(self, view_type: ViewType, number: int) -> bool:
        """Whether a build is under way to replace the one that answers."""
        candidate = self._catalog.candidate(view_type)
        return candidate is not None and candidate.number == number

    def _has_answered(self, view_type: ViewType, number: int) -> bool:
        """Whether a build answers, or did so until somebody went back from it."""
        follower = self._catalog.follower(view_type)
        is_follower = follower is not None and follower.number == number
        return is_follower or self._catalog.serving_number(view_type) == number

    def may_begin_with_part(self, build: Build) -> bool:
        """Whether a build waits, or an earlier process began it, and not all views may have to fold.

        Raises:
            StorageError: the catalog cannot be read.
        """
        if self._operations.waits(build):
            return True
        lane = self._node.roster.lane_of(build.view_type, build.number)
        if lane is None or lane.position != LanePosition():
            return False
        pending = self._node.roster.cutover_to(lane)
        if pending is None or not pending.must_see_all:  # the log may have lost some, and all shall be folded
            return False
        return scope_of(self._catalog.require(build.view_type), lane.deployed).is_partial

    def until_it_answers(
        self, build: Build, author: Author, came: BuildCame | FoldCame | None = None, *, waits: bool = False
    ) -> Work:
        """Follow a build until it answers; canceled, it is deleted.

        Args:
            build: which.
            author: who began it.
            came: the outcome, if it is known already; None: the new build will answer.
            waits: whether the build waits for its draft, or will; then the draft decides the outcome.
        """
        view_type, number = build.view_type, build.number

        async def work(task: Task) -> BuildCame | FoldCame:
            beginning = None
            if waits:
                beginning = asyncio.create_task(self._begun(view_type, number, author, task))
            else:
                await asyncio.to_thread(discard_draft, build)  # of a process that was killed
            try:
                await self._follow(view_type, number, task, beginning)
                if beginning is not None:
                    return await beginning
            except TaskCanceledError:
                await _given_up(beginning)
                assert task.canceled_by is not None  # noqa: S101 - or it would not have been canceled
                await self._operations.delete(view_type, number, task.canceled_by)
                raise
            finally:
                await _given_up(beginning)
            return came or BuildCame.of(build)

        return work

    async def _follow(
        self, view_type: ViewType, number: int, task: Task, beginning: asyncio.Task[FoldCame] | None
    ) -> None:
        """Tell how far a build is until it answers.

        Raises:
            TaskCanceledError: it is to be given up.
            ConfigurationError: it was deleted.
            TaskLeftError: the node is stopping.
        """
        while not self._has_answered(view_type, number):
            if task.canceled_by is not None:
                raise TaskCanceledError(f"build {number} of view type {view_type} was given up")
            if not self.is_candidate(view_type, number):
                raise ConfigurationError(f"build {number} of view type {view_type} was deleted")
            if beginning is None or beginning.done():
                if beginning is not None:
                    beginning.result()
                self._look(task, view_type, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._node.stopping.wait()
            if self._node.stopping.is_set():
                raise TaskLeftError("the node is stopping", hint="the build goes on with its next start")
        for lane in self._node.roster.of(view_type):
            if lane.build == number:
                task.progress(lane.position.scanned, lane.position.scanned)

    def _look(self, task: Task, view_type: ViewType, number: int) -> None:
        """Tell how far a build is, and what it waits for: its gate, or that a view type which halted is resumed."""
        lanes = {lane.build: lane for lane in self._node.roster.of(view_type)}
        if (lane := lanes.get(number)) is None:  # for a moment: it is told a decision
            return
        held = self._node.health.waiting.get(view_type)
        if held is not None and held.build == number:
            task.waits(f"{held.gate}: {held.why}")
        else:
            task.waits(None if lane.halted is None else lane.halted.message)
        others = [other.position.scanned for build, other in lanes.items() if build != number]
        task.progress(lane.position.scanned, max(others, default=None))

    async def _begun(self, view_type: ViewType, number: int, author: Author, task: Task) -> FoldCame:
        """Have a build begin with what the one that answers holds, as far as that is proven; else from its start.

        Raises:
            ConfigurationError: it was deleted.
            TaskCanceledError: the task was canceled.
            TaskLeftError: the node is stopping.
        """
        await self._operations.hold_back(view_type, number)
        part = await self._part(view_type, number, task)
        while True:
            try:
                return await self._operations.fold(view_type, number, part, author)
            except (StorageError, StreamError) as error:
                task.waits(error.message)
            await asyncio.sleep(_AGAIN_S)  # it ends with whoever follows the build

    async def _part(self, view_type: ViewType, number: int, task: Task) -> PartFolded:
        connection = plain_connection(nats_connection(self._settings.nats))
        work = FoldWork(str(self._catalog.data), str(view_type), number, self._settings.stream, connection)
        try:
            said = await done_beside(work, self._node.stopping, task)
        except TaskCanceledError:
            raise
        except ProjectionError as error:
            if self._node.stopping.is_set():
                raise TaskLeftError("the node is stopping", hint="the build begins with its next start") from None
            log.warning(
                "a part of a build could not be folded", view_type=view_type, build=number, reason=error.message
            )
            return PartFolded(why_all=error.message)
        assert said.folded is not None  # noqa: S101 - what was asked for
        return said.folded


async def _given_up(beginning: asyncio.Task[FoldCame] | None) -> None:
    """Have nothing more be done for what a build begins with; a process beside the node is ended."""
    if beginning is not None:
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)
