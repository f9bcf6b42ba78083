"""What operators do to a node while it runs; its views can be read all the while.

One operation at a time. Each begins with everything checked that can be, and ends with one step in the catalog, which
holds the audit record as well: whatever comes in between, the next start finds the state before it or behind it.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from projection.engine.adoption import adoptable, adopted, record_adoption
from projection.engine.assembly import cutover
from projection.engine.builds import PlannedBuild, taking_decisions
from projection.engine.candidates import require_no_candidate
from projection.engine.decisions import drop_in
from projection.engine.deployer import Deployer
from projection.engine.deploying import plan_deployment
from projection.engine.event import event_reader
from projection.engine.event_log import about
from projection.engine.fault_log import log_fault, suppress_faults
from projection.engine.lane_access import LaneAccess
from projection.engine.reloading import deployed_anew
from projection.engine.requeue import read_again
from projection.engine.switching import Switching
from projection.model.promotion import BY_SETTINGS
from projection.store.audit import AuditRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from projection.engine.adoption import Adoption
    from projection.engine.backup_place import BackupSource
    from projection.engine.decisions import Dropped
    from projection.engine.deploying import Step, StepTaken
    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.engine.outcomes import FoldCame, PartFolded
    from projection.engine.switching import Promotion, Switched
    from projection.model.ids import ViewType
    from projection.model.parked import Drop
    from projection.model.promotion import Gate
    from projection.model.settings import Settings
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.lmdb_store import LmdbLaneStore

log = structlog.get_logger(component="builds")
_Result = TypeVar("_Result")


class Operations:
    """The operations of one node. An operation that was begun is brought to its end, whoever asked for it."""

    def __init__(self, node: Node, catalog: Catalog, release: Callable[[ViewType], None], settings: Settings) -> None:
        """Operations of a node.

        Args:
            node: open; its lanes' stores are in LMDB.
            catalog: of its data folder.
            release: closes what this process has opened to read a view type that the node does not fold.
            settings: of the node; they name its manifest.
        """
        self.catalog = catalog
        self.settings = settings
        self._node = node
        self._roster = node.roster
        self._catalog = catalog
        self._access = LaneAccess(node, catalog)
        self._deployer = Deployer(self._access, release)
        self._switching = Switching(self._access, self._deployer.waits)
        self._one = asyncio.Lock()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work with these operations that nobody waits for but the end of the node."""
        self._node.wait_for(asyncio.create_task(work))

    def folded(self, view_type: ViewType) -> list[int]:
        """The builds of a view type that the node folds so that they answer, now or later."""
        return self._access.folded(view_type)

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
        """Pause a view type, in this process and in later ones; its views are served.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalog cannot be written.
        """
        await self._do(view_type, self._pause(view_type, author))

    async def resume(self, view_type: ViewType, author: Author) -> None:
        """Resume a view type that was paused or has halted, behind its last commit.

        Raises:
            ConfigurationError: there is no such view type.
            StorageError: the catalog or a store cannot be written.
        """
        await self._do(view_type, self._resume(view_type, author))

    async def rebuild(self, view_type: ViewType, author: Author, gate: Gate = BY_SETTINGS) -> Build:
        """Fold a view type anew beside the build that answers, which goes on until the new one has caught up.

        Args:
            view_type: which.
            author: who says so.
            gate: when the new build may answer.

        Raises:
            ConfigurationError: there is no such view type, or a build is under way already.
            StreamError: the stream cannot be asked; nothing changed.
            StorageError: the folder cannot be written; nothing changed.
        """
        return await self._do(view_type, self._deployer.rebuild(view_type, gate, author))

    async def rebuild_from(
        self, view_type: ViewType, backup: BackupSource, author: Author, gate: Gate = BY_SETTINGS
    ) -> Build:
        """The same, and the new build begins with what a backup has of the same fold; see `refilling.refilled`.

        Raises:
            ConfigurationError: as in `rebuild`, or the backup does not fit.
            StorageError: the backup or the folder cannot be used; nothing changed.
        """
        return await self._do(view_type, self._deployer.rebuild_from(view_type, backup, gate, author))

    async def deploy(
        self, deployed: Sequence[DeployedView], author: Author, gate: Gate = BY_SETTINGS, *, defers: bool = False
    ) -> list[StepTaken]:
        """Deploy a manifest: what it changes anew, beside the builds that answer until then.

        Args:
            deployed: what the manifest says.
            author: who says so.
            gate: when new builds may answer.
            defers: whether a new build of which only some views have to be folded waits for `fold`.

        Raises:
            ConfigurationError: another build of a view type that is to change is under way; nothing changed.
            StreamError: the stream cannot be asked.
            StorageError: the folder cannot be written. What was begun before goes on, and a later deployment, or the
                next start with this manifest, does the rest.
        """
        return await self._do(None, self._deployer.deploy(deployed, gate, author, defers=defers))

    def waits(self, build: Build) -> bool:
        """Whether a new build waits for `fold`."""
        return self._deployer.waits(build)

    async def hold_back(self, view_type: ViewType, number: int) -> None:
        """Have a new build that has folded nothing yet wait for `fold`, as one that `deploy` defers.

        Raises:
            ConfigurationError: it was deleted.
        """
        await self._do(view_type, self._deployer.hold_back(view_type, number))

    async def fold(self, view_type: ViewType, number: int, part: PartFolded, author: Author) -> FoldCame:
        """Fold a new build that waits: on from its draft, or from its start where that is not what it should be.

        Args:
            view_type: whose.
            number: of the build.
            part: what was made of its draft, if anything.
            author: who began it.

        Raises:
            ConfigurationError: it was deleted.
            StreamError, StorageError: it cannot be begun now; it still waits.
        """
        return await self._do(view_type, self._deployer.fold(view_type, number, part, author))

    async def reload(self, author: Author, gate: Gate = BY_SETTINGS, *, defers: bool = False) -> list[StepTaken]:
        """Deploy the node's own manifest, read anew; see `reloading.deployed_anew`.

        Args:
            author: who says so.
            gate: when new builds may answer.
            defers: as in `deploy`.

        Raises:
            ConfigurationError: the manifest cannot be read, or as in `deploy`; nothing changed.
            ProgramsInvalidError: with the diagnostics of all programs; nothing changed.
            StreamError, StorageError: as in `deploy`.
        """
        return await self.deploy(await deployed_anew(self.settings, self._access), author, gate, defers=defers)

    async def steps_of_reload(self) -> list[Step]:
        """What `reload` would do by now; nothing is changed.

        Raises:
            ConfigurationError, ProgramsInvalidError, StorageError: as in `reload`.
        """
        return plan_deployment(self._catalog, await deployed_anew(self.settings, self._access))

    async def promote(self, view_type: ViewType, choice: Promotion, author: Author) -> Switched:
        """Promote a build that waits, or that was rolled back; now, or once it has caught up.

        Raises:
            ConfigurationError: there is no such build, it has halted, it parks what the other does not, or it has seen
                fewer messages; nothing changed.
            StreamError: the end of the log cannot be looked at.
            StorageError: the catalog cannot be written.
        """
        return await self._do(view_type, self._switching.promote(view_type, choice, author))

    async def rollback(self, view_type: ViewType, author: Author) -> Switched:
        """Roll back to the former build, which has followed; the other one follows from here on.

        Raises:
            ConfigurationError: none follows, it has halted, or it has not caught up; nothing changed.
            StreamError: the end of the log cannot be looked at.
            StorageError: the catalog cannot be written.
        """
        return await self._do(view_type, self._switching.rollback(view_type, author))

    async def retire(self, view_type: ViewType, number: int | None, author: Author) -> Build:
        """Stop folding the build that follows; it stays on the disk.

        Raises:
            ConfigurationError: none follows, or not that one.
            StorageError: the catalog cannot be written.
        """
        return await self._do(view_type, self._switching.retire(view_type, number, author))

    async def delete(self, view_type: ViewType, number: int, author: Author) -> Build:
        """Delete a build that does not answer; one that is under way is given up.

        Raises:
            ConfigurationError: there is none of that number, or it answers.
            StorageError: the folder cannot be written.
        """
        return await self._do(view_type, self._switching.delete(view_type, number, author))

    def serving(self, view_type: ViewType) -> tuple[Build, Lane]:
        """The build that answers, and its lane.

        Raises:
            ConfigurationError: there is no such view type, or the node does not fold it.
        """
        return self._access.serving(view_type)

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
            build, lane = self._access.serving(view_type)
            async with self._access.at_rest(lane) as store:
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
        build, lane = self._access.serving(view_type)
        others = [one for one in self._roster.of(view_type) if one is not lane]
        async with self._access.at_rest(lane) as store:
            dropped = await self._access.in_thread(
                lambda: drop_in(store, self._catalog, build, lane.deployed, choice, author)
            )
        with suppress_faults("telling of a dropped event"):
            event = read_again(dropped.event, event_reader(lane.deployed.entry, lane.deployed.tenancy))
            log.info("dropped a parked event", **about(event, lane), view=choice.view_id, by=author.name)
        for one in others:
            try:
                await self._decided_as_well(one, dropped.build)
            except Exception as error:  # noqa: BLE001 - the decision is made: the next start tells that build as well
                log_fault(error, "telling a build under way", view_type=view_type, build=one.build)
        return dropped

    async def _decided_as_well(self, lane: Lane, answers: Build) -> None:
        """Have another build know what was decided about the one that answers.

        One that is under way may have to be folded anew; one that follows, and has taken the event, keeps it.
        """
        pending, follows = self._roster.cutover_to(lane), lane in self._roster.followers
        build = self._catalog.build(lane.view_type, lane.build)
        await self._roster.remove(lane)
        deployed = lane.deployed
        build = await self._access.in_thread(
            lambda: taking_decisions(self._catalog, deployed, build, answers, anew=not follows)
        )
        planned = PlannedBuild(deployed.within(build), build, None if follows else answers)
        new = await self._access.in_thread(lambda: self._node.opener.lane(planned))
        await self._access.look_at(new)
        if follows:
            self._roster.add(new)
            self._roster.followers.add(new)
            return
        old = self._roster.lane_of(lane.view_type, answers.number)
        must_see_all = pending is None or pending.must_see_all
        rules = self._node.opener.rules
        one = cutover(self._catalog, build, new, answers, old, rules, must_see_all=must_see_all)
        self._roster.add(new, one)

    async def _adopt(self, deployed: DeployedView, author: Author) -> Adoption:
        view_type = deployed.entry.view_type
        former, lane = self._access.serving(view_type)
        adoptable(self._catalog, deployed)
        require_no_candidate(self._catalog, view_type, self._access.folded(view_type))
        async with self._access.at_rest(lane) as store:
            # Not in the workshop: others fold on beside the copy, however long that takes.
            adoption = await asyncio.to_thread(adopted, self._catalog, former, deployed, store)
            build = adoption.build
            assert build is not None  # noqa: S101 - it was made
            try:
                new = await self._access.in_thread(
                    lambda: self._node.opener.lane(PlannedBuild(deployed.within(build), build))
                )
                self._roster.add(new)
                try:
                    await self._access.in_thread(lambda: record_adoption(self._catalog, adoption, author))
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
        reason = self._catalog.pause(view_type, AuditRecord("pause", view_type, author))
        self._roster.paused[view_type] = reason
        log.warning("paused: nothing is folded until it is resumed", view_type=view_type, reason=reason)
        for lane in self._roster.of(view_type):
            await self._roster.retire(lane)

    async def _resume(self, view_type: ViewType, author: Author) -> None:
        self._catalog.require(view_type)
        self._catalog.resume(view_type, AuditRecord("resume", view_type, author))
        was_paused = self._roster.paused.pop(view_type, None) is not None
        for lane in self._roster.of(view_type):
            if was_paused or lane.halted is not None:
                async with self._access.at_rest(lane):
                    pass
        log.info("resumed", view_type=view_type, by=author.name)
