"""Deploying a manifest to a node that runs, and folding view types anew there."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from projection.engine.assembly import cutover
from projection.engine.builds import PlannedBuild, begun, remove_build, taking_decisions
from projection.engine.candidates import require_no_candidate
from projection.engine.deploying import (
    Begins,
    FoldsAnew,
    GoesBack,
    GoesOn,
    IsLeftOut,
    IsUnderWay,
    StepTaken,
    plan_deployment,
)
from projection.engine.outcomes import FoldCame
from projection.engine.recipes import deployed_by, recipe_of
from projection.engine.refilling import refilled
from projection.engine.scope import discard_draft, take_draft
from projection.errors import ConfigurationError, StorageError, StreamError
from projection.model.checkpoint import LanePosition
from projection.store.audit import AuditRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.backup_place import BackupSource
    from projection.engine.deploying import Step
    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.lane_access import LaneAccess
    from projection.engine.outcomes import PartFolded
    from projection.model.ids import ViewType
    from projection.model.promotion import Gate
    from projection.store.audit import Author
    from projection.store.build import Build

log = structlog.get_logger(component="builds")
LEFT_OUT = "the manifest no longer names it"  # why a view type is paused that a deployment left out


class Deployer:
    """Begins builds beside those that answer."""

    def __init__(self, access: LaneAccess, release: Callable[[ViewType], None]) -> None:
        """What begins builds of a node.

        Args:
            access: to its lanes.
            release: closes what this process has opened to read a view type that the node does not fold.
        """
        self._access = access
        self._release = release
        self._waiting: dict[tuple[ViewType, int], DeployedView] = {}  # new builds that no lane folds before `fold`

    async def rebuild(self, view_type: ViewType, gate: Gate, author: Author) -> Build:
        """See `Operations.rebuild`."""
        access = self._access
        answers, lane = access.serving(view_type)
        require_no_candidate(access.catalog, view_type, access.folded(view_type))
        audit = AuditRecord("rebuild", view_type, author, {"former_build": answers.number})
        return await self._begin(lane.deployed, answers, audit, gate)

    async def rebuild_from(self, view_type: ViewType, backup: BackupSource, gate: Gate, author: Author) -> Build:
        """See `Operations.rebuild_from`."""
        access = self._access
        answers, lane = access.serving(view_type)
        require_no_candidate(access.catalog, view_type, access.folded(view_type))
        # Not in the workshop: others fold on beside the copy, however long that takes.
        build = await asyncio.to_thread(refilled, access.catalog, answers, backup)
        audit = AuditRecord("rebuild", view_type, author, {"former_build": answers.number, "backup": str(backup)})
        try:
            return await self._begin(lane.deployed, answers, audit, gate, build)
        except BaseException:
            given_up = replace(audit, operation="rebuild given up", details={"build": build.number})
            await access.in_thread(lambda: remove_build(access.catalog, build, given_up))
            raise

    async def deploy(
        self, deployed: Sequence[DeployedView], gate: Gate, author: Author, *, defers: bool
    ) -> list[StepTaken]:
        """See `Operations.deploy`."""
        access = self._access
        steps = [self._settled(step) for step in plan_deployment(access.catalog, deployed)]
        await access.in_thread(lambda: access.catalog.note_deployed(one.entry.view_type for one in deployed))
        if access.node.opener.take(deployed):
            for lane in list(access.roster.lanes):  # what messages come to it may be others from here on
                async with access.at_rest(lane):
                    pass
        return [StepTaken(step, await self._take(step, gate, author, defers=defers)) for step in steps]

    def _settled(self, step: Step) -> Step:
        """A step that knows what the lane of the build that answers says of it."""
        if not isinstance(step, FoldsAnew) or not step.wanted.is_partial:
            return step
        lane = self._access.roster.lane_of(step.view_type, step.answers.number)
        if lane is None:
            why = f"build {step.answers.number} is not folded"
        elif lane.position == LanePosition():
            why = f"build {step.answers.number} has folded nothing yet"
        elif lane.parked or lane.suspensions:
            why = f"events are parked or skipped in build {step.answers.number}"
        else:
            return step
        return replace(step, wanted=step.wanted._replace(why_all=why))

    def waits(self, build: Build) -> bool:
        """See `Operations.waits`."""
        return (build.view_type, build.number) in self._waiting

    async def hold_back(self, view_type: ViewType, number: int) -> None:
        """See `Operations.hold_back`."""
        if (view_type, number) in self._waiting:
            return
        access, build = self._access, self._candidate(view_type, number)
        lane = access.roster.lane_of(view_type, number)
        deployed = deployed_by(build, access.node.opener.execution) if lane is None else lane.deployed
        if lane is not None:
            await access.roster.remove(lane)
        await access.in_thread(lambda: shutil.rmtree(build.lane_path(), ignore_errors=True))
        self._waiting[view_type, number] = deployed

    async def fold(self, view_type: ViewType, number: int, part: PartFolded, author: Author) -> FoldCame:
        """See `Operations.fold`."""
        access, build = self._access, self._candidate(view_type, number)
        answers = access.catalog.require(view_type)
        why = part.why_all or self._changed_since(part, answers)
        if not build.lane_path().exists():  # else it was taken by a try that failed behind that
            await access.in_thread(lambda: discard_draft(build) if why else take_draft(build))
        came = FoldCame(str(view_type), number, None if why else part.folded, None if why else part.of, why)
        details: dict[str, object] = {"build": number, "former_build": answers.number}
        if why:
            details |= {"why": why}
        else:
            details |= {"folded": part.folded, "of": part.of}
            details |= {"part_events": part.events, "part_seconds": part.seconds}
        audit = AuditRecord("fold", view_type, author, details)
        deployed = self._waiting.pop((view_type, number))
        try:
            await self._begin(deployed, answers, audit, build.gate, build)
        except (StorageError, StreamError):
            self._waiting[view_type, number] = deployed
            raise
        log.info("a new build is folded", view_type=view_type, build=number, folds=came.in_words)
        return came

    def _candidate(self, view_type: ViewType, number: int) -> Build:
        build = self._access.catalog.candidate(view_type)
        if build is None or build.number != number:
            self._waiting.pop((view_type, number), None)
            raise ConfigurationError(f"build {number} of view type {view_type} was deleted")
        return build

    def _changed_since(self, part: PartFolded, answers: Build) -> str:
        """Why a copy that was made before is not what the build that answers holds, in a few words; empty if it is."""
        if (part.answers, part.identity) != (answers.number, answers.fold_identity):
            return "another build answers by now, or something was decided about it"
        later = (one for one in self._access.catalog.audit() if one.number > part.audited)
        if any((one.operation, one.view_type) == ("repair", answers.view_type) for one in later):
            return f"build {answers.number} was repaired meanwhile"
        return ""

    async def _take(self, step: Step, gate: Gate, author: Author, *, defers: bool) -> Build | None:
        """Carry out one step; the build that is folded from here on, where it is another than before."""
        access, view_type = self._access, step.view_type
        if access.roster.paused.get(view_type) == LEFT_OUT and not isinstance(step, IsLeftOut):
            del access.roster.paused[view_type]
            for lane in access.roster.of(view_type):
                async with access.at_rest(lane):
                    pass
        lanes = access.roster.of(view_type)
        audit = AuditRecord("deploy", view_type, author, {"change": step.change, "why": step.why})
        match step:
            case IsLeftOut():
                access.roster.paused.setdefault(view_type, LEFT_OUT)
                for lane in lanes:  # the stores stay open, for they are served
                    await access.roster.retire(lane)
            case GoesOn():
                await self._with_recipe(step, lanes, audit)
            case Begins():
                return await self._begin(step.deployed, None, audit, gate)
            case FoldsAnew() if defers and step.wanted.is_partial:
                build = await access.in_thread(lambda: begun(access.catalog, step.deployed, step.answers, audit, gate))
                self._waiting[view_type, build.number] = step.deployed
                return build
            case FoldsAnew():
                return await self._begin(step.deployed, step.answers, audit, gate)
            case GoesBack():
                return await self._begin(step.deployed, step.answers, audit, gate, step.build)
            case IsUnderWay() if not self._is_begun(view_type, step.build.number):
                # It was begun while no node ran, or for another manifest than the node was started with.
                return await self._begin(step.deployed, step.answers, audit, step.build.gate, step.build)
        return None

    def _is_begun(self, view_type: ViewType, number: int) -> bool:
        is_waiting = (view_type, number) in self._waiting
        return is_waiting or self._access.roster.lane_of(view_type, number) is not None

    async def _begin(
        self, deployed: DeployedView, answers: Build | None, audit: AuditRecord, gate: Gate, former: Build | None = None
    ) -> Build:
        """Fold a new build, or a former one again, beside the one that answers, until it takes its place.

        Raises:
            StreamError: the stream cannot be asked; no build was made.
            StorageError: it cannot be written; no build was made.
        """
        access = self._access
        if former is None or answers is None:
            build = await access.in_thread(lambda: begun(access.catalog, deployed, answers, audit, gate))
        else:
            if (follower := access.roster.lane_of(former.view_type, former.number)) is not None:
                await access.roster.remove(follower)  # it goes on by what the manifest says of it now
            back = replace(former, recipe=recipe_of(deployed).encode(), gate=gate)
            build = await access.in_thread(lambda: self._back(deployed, back, answers, audit))
        try:
            planned = PlannedBuild(deployed.within(build), build, answers)
            new = await access.in_thread(lambda: access.node.opener.lane(planned))
            try:
                if new.position == LanePosition():
                    await access.node.look_at(new)
            except BaseException:
                new.store.close()
                raise
        except BaseException:
            if former is None and answers is not None:
                given_up = replace(audit, operation=f"{audit.operation} given up", details={"build": build.number})
                await access.in_thread(lambda: remove_build(access.catalog, build, given_up))
            raise
        if answers is None:
            access.roster.add(new)
        else:
            old = access.roster.lane_of(build.view_type, answers.number)
            access.roster.add(new, cutover(access.catalog, build, new, answers, old, access.node.opener.rules))
        log.info("a build is under way", view_type=build.view_type, build=build.number, by=audit.author.name)
        return build

    def _back(self, deployed: DeployedView, build: Build, answers: Build, audit: AuditRecord) -> Build:
        self._access.catalog.record(build, is_candidate=True, audit=audit)
        return taking_decisions(self._access.catalog, deployed, build, answers)

    async def _with_recipe(self, step: GoesOn, lanes: Sequence[Lane], audit: AuditRecord) -> None:
        """Go on with the build that answers by what the manifest says of it now: the fold is the same."""
        access = self._access
        lane = next((one for one in lanes if one.build == step.build.number), None)
        if lane is None:  # a manifest had left it out
            self._release(step.view_type)
            # In one go with that: LMDB opens a store once in a process, and the next query would read it.
            new = access.node.opener.lane(PlannedBuild(step.deployed.within(step.build), step.build))
            await access.look_at(new)
            access.roster.add(new)
        if step.why:
            build = replace(step.build, recipe=recipe_of(step.deployed).encode())
            await access.in_thread(lambda: access.catalog.record(build, audit=audit))
        if lane is not None and step.why:
            async with access.at_rest(lane, step.deployed) as store:
                wanted = step.deployed.entry.changes
                await access.in_thread(lambda: store.declare_changes(wanted=wanted))
            self._release(step.view_type)  # what is asked from here on goes by what the program says now
