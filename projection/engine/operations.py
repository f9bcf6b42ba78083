"""What operators do to a node while it runs; its views can be read all the while.

One operation at a time. Each begins with everything checked that can be, and ends with one step in the catalogue, which
holds the audit record as well: whatever comes in between, the next start finds the state before it or behind it.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from projection.engine.adoption import adoptable, adopted, record_adoption
from projection.engine.assembly import cutover
from projection.engine.builds import PlannedBuild, begun, remove_build, taking_decisions
from projection.engine.decisions import drop_in
from projection.engine.deploying import Change, plan_deployment
from projection.engine.fault_log import log_fault
from projection.engine.recipes import recipe_of
from projection.engine.refilling import refilled
from projection.errors import ConfigurationError, StreamError
from projection.faults import contained
from projection.model.checkpoint import LanePosition
from projection.store.audit import AuditRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
    from pathlib import Path

    from projection.engine.adoption import Adoption
    from projection.engine.decisions import Dropped
    from projection.engine.deploying import Step
    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.model.ids import ViewType
    from projection.model.parked import Drop
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.lmdb_store import LmdbLaneStore

log = structlog.get_logger()
_Result = TypeVar("_Result")
_LEFT_OUT = "the manifest no longer names it"
_RESUME = "`projection resume` tries again"


class Operations:
    """The operations of one node. An operation that was begun is brought to its end, whoever asked for it."""

    def __init__(self, node: Node, catalog: Catalog, release: Callable[[ViewType], None]) -> None:
        """Operations of a node.

        Args:
            node: open; its lanes' stores are in LMDB.
            catalog: of its data folder.
            release: closes what this process has opened to read a view type that the node does not fold.
        """
        self._node = node
        self._roster = node.roster
        self._catalog = catalog
        self._release = release
        self._one = asyncio.Lock()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work with these operations that nobody waits for but the end of the node."""
        self._node.wait_for(asyncio.create_task(work))

    async def drop(self, view_type: ViewType, choice: Drop, author: Author) -> Dropped:
        """Leave out a parked event; see `decisions.drop`. A build under way takes the decision over.

        Raises:
            ConfigurationError: nothing of this kind is parked there, or the build is not folded; nothing changed.
            LaneHaltedError: what waited behind it fails, and the policy says halt; nothing changed.
            StorageError: the folder cannot be written.
        """
        return await self._do(view_type, self._drop(view_type, choice, author))

    async def adopt(self, deployed: DeployedView, author: Author) -> Adoption:
        """Have a corrected program take over the build that answers; see `adoption.adopt`.

        Raises:
            ConfigurationError: there is nothing to adopt, this program cannot take it over, or a build is under way.
            LaneHaltedError, StorageError: as in `adoption.adopt`; the former build goes on.
        """
        return await self._do(deployed.entry.view_type, self._adopt(deployed, author))

    async def pause(self, view_type: ViewType, author: Author) -> None:
        """Fold nothing for a view type until it is resumed, in this process and in later ones; its views are served.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalogue cannot be written.
        """
        await self._do(view_type, self._pause(view_type, author))

    async def resume(self, view_type: ViewType, author: Author) -> None:
        """Go on with a view type that was paused, or that has halted, behind its last commit.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalogue or a store cannot be written.
        """
        await self._do(view_type, self._resume(view_type, author))

    async def rebuild(self, view_type: ViewType, author: Author) -> Build:
        """Fold a view type anew beside the build that answers, which goes on until the new one is level.

        Raises:
            ConfigurationError: there is no such view type, or a build is under way already.
            StreamError: the stream cannot be asked; nothing changed.
            StorageError: the folder cannot be written; nothing changed.
        """
        return await self._do(view_type, self._rebuild(view_type, author))

    async def rebuild_from(self, view_type: ViewType, backup: Path, author: Author) -> Build:
        """The same, and the new build begins with what a backup has of the same fold; see `refilling.refilled`.

        Raises:
            ConfigurationError: as in `rebuild`, or the backup does not fit.
            StorageError: the backup or the folder cannot be used; nothing changed.
        """
        return await self._do(view_type, self._rebuild(view_type, author, backup))

    async def deploy(self, deployed: Sequence[DeployedView], author: Author) -> list[Step]:
        """Fold what a manifest says from here on: what it changes anew, beside the builds that answer until then.

        Raises:
            ConfigurationError: another build of a view type that is to change is under way; nothing changed.
            StreamError: the stream cannot be asked.
            StorageError: the folder cannot be written. What was begun before goes on, and a later deployment, or the
                next start with this manifest, does the rest.
        """
        return await self._do(None, self._deploy(deployed, author))

    async def delete(self, view_type: ViewType, number: int, author: Author) -> Build:
        """Delete a build that does not answer; one that is under way is given up.

        Raises:
            ConfigurationError: there is none of that number, or it answers.
            StorageError: the folder cannot be written.
        """
        return await self._do(view_type, self._delete(view_type, number, author))

    def serving(self, view_type: ViewType) -> tuple[Build, Lane]:
        """The build that answers, and its lane.

        Raises:
            ConfigurationError: there is no such view type, or the node does not fold it.
        """
        return self._serving(view_type)

    async def with_store(
        self, view_type: ViewType, work: Callable[[Build, LmdbLaneStore], Coroutine[Any, Any, _Result]]
    ) -> _Result:
        """Do something with the store of the build that answers, alone, with all stored that its lane folded.

        Raises:
            ConfigurationError: as in `serving`.
            StorageError: what the lane folded cannot be stored.
            Exception: whatever the work raises.
        """

        async def done() -> _Result:
            build, lane = self._serving(view_type)
            async with self._at_rest(lane) as store:
                return await work(build, store)

        return await self._do(view_type, done())

    async def _do(self, view_type: ViewType | None, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do an operation alone, in a task of its own: whoever asked may go."""
        task = asyncio.create_task(self._alone(view_type, work))
        self._node.wait_for(task)
        return await asyncio.shield(task)

    async def _alone(self, view_type: ViewType | None, work: Coroutine[Any, Any, _Result]) -> _Result:
        async with self._one:
            held = self._catalog.view_types() if view_type is None else [view_type]
            self._roster.hold(held)
            try:
                return await work
            finally:
                self._roster.release(held)
                self._node.changed()

    # one operation each

    async def _drop(self, view_type: ViewType, choice: Drop, author: Author) -> Dropped:
        build, lane = self._serving(view_type)
        candidates = [one for one in self._roster.of(view_type) if one is not lane]
        async with self._at_rest(lane) as store:
            dropped = await self._in_thread(lambda: drop_in(store, self._catalog, build, lane.deployed, choice, author))
        log.info("dropped a parked event", view_type=view_type, sequence=choice.sequence, by=author.name)
        for one in candidates:
            try:
                await self._decided_as_well(one, dropped.build)
            except Exception as error:  # noqa: BLE001 - the decision is made: the next start tells that build as well
                log_fault(error, "telling a build under way", view_type=view_type, build=one.build)
        return dropped

    async def _decided_as_well(self, lane: Lane, answers: Build) -> None:
        """Have a build under way know what was decided about the one that answers; it may have to be folded anew."""
        pending = self._roster.cutover_to(lane)
        build = self._catalog.build(lane.view_type, lane.build)
        await self._roster.remove(lane)
        build = await self._in_thread(lambda: taking_decisions(self._catalog, lane.deployed, build, answers))
        new = await self._in_thread(lambda: self._node.opener.lane(PlannedBuild(lane.deployed.within(build), build)))
        await self._look_at(new)
        old = next(one for one in self._roster.of(lane.view_type) if one.build == answers.number)
        must_see_all = pending is None or pending.must_see_all
        self._roster.add(new, cutover(self._catalog, build, new, answers, old, must_see_all=must_see_all))

    async def _adopt(self, deployed: DeployedView, author: Author) -> Adoption:
        view_type = deployed.entry.view_type
        former, lane = self._serving(view_type)
        adoptable(self._catalog, deployed)
        require_no_candidate(self._catalog, view_type, (one.build for one in self._roster.of(view_type)))
        async with self._at_rest(lane) as store:
            # Not in the workshop: others fold on beside the copy, however long that takes.
            adoption = await asyncio.to_thread(adopted, self._catalog, former, deployed, store)
            build = adoption.build
            assert build is not None  # noqa: S101 - it was made
            try:
                new = await self._in_thread(lambda: self._node.opener.lane(PlannedBuild(deployed.within(build), build)))
                self._roster.add(new)
                try:
                    await self._in_thread(lambda: record_adoption(self._catalog, adoption, author))
                except BaseException:
                    await self._roster.remove(new)
                    raise
            except BaseException:
                shutil.rmtree(build.lane_path().parent, ignore_errors=True)
                raise
            self._roster.take_over(lane, new)
        log.info("adopted", view_type=view_type, former_build=former.number, build=build.number, by=author.name)
        return adoption

    async def _pause(self, view_type: ViewType, author: Author) -> None:
        self._catalog.require(view_type)
        self._catalog.pause(view_type, AuditRecord("pause", view_type, author))
        self._roster.paused[view_type] = author.reason
        log.warning("paused: nothing is folded until it is resumed", view_type=view_type, reason=author.reason)
        for lane in self._roster.of(view_type):
            await self._roster.retire(lane)

    async def _resume(self, view_type: ViewType, author: Author) -> None:
        self._catalog.require(view_type)
        self._catalog.resume(view_type, AuditRecord("resume", view_type, author))
        was_paused = self._roster.paused.pop(view_type, None) is not None
        for lane in self._roster.of(view_type):
            if was_paused or lane.halted is not None:
                async with self._at_rest(lane):
                    pass
        log.info("resumed", view_type=view_type, by=author.name)

    async def _rebuild(self, view_type: ViewType, author: Author, backup: Path | None = None) -> Build:
        answers, lane = self._serving(view_type)
        require_no_candidate(self._catalog, view_type, (one.build for one in self._roster.of(view_type)))
        details: dict[str, object] = {"former_build": answers.number}
        if backup is None:
            return await self._begin(lane.deployed, answers, AuditRecord("rebuild", view_type, author, details))
        # Not in the workshop: others fold on beside the copy, however long that takes.
        build = await asyncio.to_thread(refilled, self._catalog, answers, backup)
        audit = AuditRecord("rebuild", view_type, author, {**details, "backup": str(backup)})
        try:
            return await self._begin(lane.deployed, answers, audit, build)
        except BaseException:
            given_up = replace(audit, operation="rebuild given up", details={"build": build.number})
            await self._in_thread(lambda: remove_build(self._catalog, build, given_up))
            raise

    async def _begin(
        self, deployed: DeployedView, answers: Build | None, audit: AuditRecord, former: Build | None = None
    ) -> Build:
        """Fold a new build, or a former one again, beside the one that answers, until it takes its place.

        Raises:
            StreamError: the stream cannot be asked; no build was made.
            StorageError: it cannot be written; no build was made.
        """
        build = await self._in_thread(lambda: self._made(deployed, answers, audit, former))
        try:
            planned = PlannedBuild(deployed.within(build), build, answers)
            new = await self._in_thread(lambda: self._node.opener.lane(planned))
            try:
                if new.position == LanePosition():
                    await self._node.look_at(new)
            except BaseException:
                new.store.close()
                raise
        except BaseException:
            if former is None and answers is not None:
                given_up = replace(audit, operation=f"{audit.operation} given up", details={"build": build.number})
                await self._in_thread(lambda: remove_build(self._catalog, build, given_up))
            raise
        if answers is None:
            self._roster.add(new)
        else:
            old = next((one for one in self._roster.of(build.view_type) if one.build == answers.number), None)
            self._roster.add(new, cutover(self._catalog, build, new, answers, old))
        log.info("a build is under way", view_type=build.view_type, build=build.number, by=audit.author.name)
        return build

    def _made(self, deployed: DeployedView, answers: Build | None, audit: AuditRecord, former: Build | None) -> Build:
        if former is None:
            return begun(self._catalog, deployed, answers, audit)
        assert answers is not None  # noqa: S101 - there is a former one
        build = replace(former, recipe=recipe_of(deployed).encode())
        self._catalog.record(build, is_candidate=True, audit=audit)
        return taking_decisions(self._catalog, deployed, build, answers)

    async def _deploy(self, deployed: Sequence[DeployedView], author: Author) -> list[Step]:
        steps = plan_deployment(self._catalog, deployed)
        if self._node.opener.take(deployed):
            for lane in list(self._roster.lanes):  # what messages come to it may be others from here on
                async with self._at_rest(lane):
                    pass
        return [await self._step(step, author) for step in steps]

    async def _step(self, step: Step, author: Author) -> Step:
        lanes = self._roster.of(step.view_type)
        if self._roster.paused.get(step.view_type) == _LEFT_OUT and step.change is not Change.LEFT:
            del self._roster.paused[step.view_type]
            for lane in lanes:
                async with self._at_rest(lane):
                    pass
            lanes = self._roster.of(step.view_type)
        audit = AuditRecord("deploy", step.view_type, author, {"change": str(step.change), "why": step.why})
        if step.change is Change.LEFT:
            self._roster.paused.setdefault(step.view_type, _LEFT_OUT)
            for lane in lanes:  # the stores stay open, for they are served
                await self._roster.retire(lane)
        elif step.change is Change.ON:
            await self._with_recipe(step, lanes, audit)
        elif step.deployed is not None and step.change is not Change.UNDER_WAY:
            return replace(step, build=await self._begin(step.deployed, step.answers, audit, step.build))
        return step

    async def _with_recipe(self, step: Step, lanes: Sequence[Lane], audit: AuditRecord) -> None:
        """Go on with the build that answers by what the manifest says of it now: the fold is the same."""
        assert step.deployed is not None  # noqa: S101 - it goes on
        assert step.build is not None  # noqa: S101 - it answers
        lane = next((one for one in lanes if one.build == step.build.number), None)
        if lane is None:  # a manifest had left it out
            self._release(step.view_type)
            # In one go with that: LMDB opens a store once in a process, and the next query would read it.
            new = self._node.opener.lane(PlannedBuild(step.deployed.within(step.build), step.build))
            await self._look_at(new)
            self._roster.add(new)
        if step.why:
            build = replace(step.build, recipe=recipe_of(step.deployed).encode())
            await self._in_thread(lambda: self._catalog.record(build, audit=audit))
        if lane is not None and step.why:
            async with self._at_rest(lane, step.deployed) as store:
                wanted = step.deployed.entry.changes
                await self._in_thread(lambda: store.declare_changes(wanted=wanted))
            self._release(step.view_type)  # what is asked from here on goes by what the program says now

    async def _delete(self, view_type: ViewType, number: int, author: Author) -> Build:
        answers = self._catalog.require(view_type)
        build = deletable(self._catalog.builds(view_type), answers, number)
        for lane in self._roster.of(view_type):
            if lane.build == number:
                await self._roster.remove(lane)
        audit = AuditRecord("delete build", view_type, author, {"build": number})
        await self._in_thread(lambda: remove_build(self._catalog, build, audit))
        log.info("deleted a build", view_type=view_type, build=number, by=author.name)
        return build

    # what they share

    def _serving(self, view_type: ViewType) -> tuple[Build, Lane]:
        """The build that answers, and its lane.

        Raises:
            ConfigurationError: there is no such view type, or the node does not fold it.
        """
        build = self._catalog.require(view_type)
        lane = next((one for one in self._roster.of(view_type) if one.build == build.number), None)
        if lane is None:
            raise ConfigurationError(
                f"{build} is served and not folded: its program or its store cannot be used, or the manifest does not "
                "name it",
                hint="the node's log tells why",
            )
        return build, lane

    @asynccontextmanager
    async def _at_rest(self, lane: Lane, deployed: DeployedView | None = None) -> AsyncIterator[LmdbLaneStore]:
        """Have a store to oneself, with all stored that its lane folded; another lane goes on from there afterwards.

        Unless the lane was removed meanwhile, or cannot go on: then it halts and says so.

        Args:
            lane: whose store.
            deployed: as it is folded afterwards, where that is not as before.
        """
        store: Any = lane.store
        try:
            await self._roster.retire(lane)
            yield store
        finally:
            if lane in self._roster.lanes:
                await self._go_on(lane, deployed or lane.deployed)

    async def _go_on(self, lane: Lane, deployed: DeployedView) -> None:
        try:
            build = self._catalog.build(lane.view_type, lane.build)
            deployed = deployed.within(build)
            new = await self._in_thread(lambda: self._node.opener.lane_on(lane.store, deployed, lane.build))
            await self._look_at(new)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this view type's
            doing = f"going on with view type {lane.view_type}"
            log_fault(error, doing, view_type=lane.view_type, build=lane.build)
            lane.halted = contained(error, doing, _RESUME)
            return
        self._roster.replace(lane, new)

    async def _look_at(self, lane: Lane) -> None:
        """Have a lane that begins stand where the manifest says; where the stream cannot be asked, it halts."""
        if lane.position != LanePosition():
            return
        try:
            await self._node.look_at(lane)
        except StreamError as error:
            lane.halted = StreamError(error.message, hint=_RESUME, code=error.code)

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await self._node.workshop.alone(work)


def require_no_candidate(catalog: Catalog, view_type: ViewType, folded: Iterable[int] = ()) -> None:
    """Make sure that no build is under way to take the place of the one that answers.

    Args:
        catalog: of the data folder.
        view_type: whose builds.
        folded: the builds that a node folds.

    Raises:
        ConfigurationError: one is.
    """
    answers, candidate = catalog.require(view_type), catalog.candidate(view_type)
    others = {*folded, *(() if candidate is None else (candidate.number,))} - {answers.number}
    if others:
        number = max(others)
        raise ConfigurationError(
            f"build {number} of view type {view_type} is under way to take the place of build {answers.number}",
            hint=f"wait until it answers, or give it up: `projection builds delete {view_type} {number}`",
        )


def deletable(builds: list[Build], answers: Build, number: int) -> Build:
    """The build of a number, if it may be deleted.

    Raises:
        ConfigurationError: there is none of that number, or it answers.
    """
    known = {one.number: one for one in builds}
    if number not in known:
        shown = ", ".join(map(str, known))
        raise ConfigurationError(f"view type {answers.view_type} has no build {number}", hint=f"it has: {shown}")
    if number == answers.number:
        raise ConfigurationError(f"{answers} answers, and is not deleted", hint="only builds that do not answer are")
    return known[number]
