"""Operators' orders to a data folder that no node has: the same as a running node takes, see `orders`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from projection.engine.adoption import adopt
from projection.engine.backup import Copying, back_up, outside
from projection.engine.backup_place import Place
from projection.engine.builds import begun, remove_build, taking_decisions
from projection.engine.candidates import can_go_back, deletable, nothing_waits, require_no_candidate, retirable
from projection.engine.compaction import compact
from projection.engine.decisions import drop
from projection.engine.deploying import FoldsAnew, GoesBack, deployed_together, plan_deployment
from projection.engine.outcomes import (
    AdoptCame,
    BackupCame,
    BuildCame,
    DeployCame,
    Done,
    DropCame,
    StepCame,
    SwitchCame,
)
from projection.engine.recipes import deployed_by, deployed_from
from projection.engine.refilling import refilled
from projection.errors import ConfigurationError
from projection.lang.run.executors import Execution
from projection.model.promotion import Gate
from projection.model.recipe import Recipe
from projection.store.audit import AuditRecord
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.deploying import Step
    from projection.engine.orders import (
        AdoptOrder,
        BackupOrder,
        CompactOrder,
        DeleteOrder,
        DeployOrder,
        DropOrder,
        Order,
        PromoteOrder,
        RebuildOrder,
        RetireOrder,
    )
    from projection.engine.outcomes import CompactCame
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.stream.address import NatsConnection


class OfflineOperations:
    """The operations of a data folder; what they begin, the next start of a node goes on with."""

    def __init__(self, catalog: Catalog) -> None:
        """Operations of a folder; its catalog stays the caller's to close."""
        self._catalog = catalog

    def drop(self, order: DropOrder) -> DropCame:
        """See `Operations.drop`."""
        return DropCame.of(drop(self._catalog, order.of(), *order.place, author=order.author("offline")))

    def adopt(self, order: AdoptOrder) -> AdoptCame:
        """See `Operations.adopt`."""
        deployed = deployed_from(Recipe.decode(order.recipe))
        return AdoptCame.of(adopt(self._catalog, deployed, order.author("offline")))

    def deploy(self, order: DeployOrder) -> DeployCame:
        """See `Operations.deploy`; what is new, or has another recipe only, the next start sees to."""
        deployed = deployed_together([Recipe.decode(one) for one in order.recipes], Execution.COMPILED)
        steps = plan_deployment(self._catalog, deployed)
        self._catalog.note_deployed(one.entry.view_type for one in deployed)
        author = order.author("offline")
        return DeployCame([StepCame.of(step, self._take(step, order.gate, author)) for step in steps])

    def _take(self, step: Step, gate: Gate, author: Author) -> Build | None:
        audit = AuditRecord("deploy", step.view_type, author, {"change": step.change, "why": step.why})
        match step:
            case FoldsAnew():
                return begun(self._catalog, step.deployed, step.answers, audit, gate)
            case GoesBack():
                self._catalog.record(replace(step.build, gate=gate), is_candidate=True, audit=audit)
        return None

    def promote(self, order: PromoteOrder) -> SwitchCame:
        """See `Operations.promote`; without a node, a build is folded no further, and answers at the next start.

        Raises:
            ConfigurationError: there is no such build, or it has not caught up.
        """
        answers = self._catalog.require(order.of())
        follower = self._catalog.follower(answers.view_type)
        waiting = self._catalog.candidate(answers.view_type) or follower
        if waiting is None or order.build not in (None, waiting.number):
            raise nothing_waits(answers, order.build)
        author = order.author("offline")
        details = {"former_build": answers.number, "build": waiting.number}
        if waiting == follower:
            if not waiting.gate.rolled_back:
                raise nothing_waits(answers, order.build)
            _require_level(waiting, answers)
            audit = AuditRecord("promote", answers.view_type, author, details | {"answers": True})
            self._catalog.serve(waiting, answers, follows=True, audit=audit)
            return SwitchCame(order.view_type, waiting.number, answers.number, answers=True)
        audit = AuditRecord("promote", answers.view_type, author, details | {"answers": False})
        opened = replace(waiting, gate=Gate("when_caught_up", order.although_parked))
        self._catalog.record(opened, is_candidate=True, audit=audit)
        return SwitchCame(order.view_type, waiting.number, answers.number, answers=False)

    def rollback(self, order: Order) -> SwitchCame:
        """See `Operations.rollback`.

        Raises:
            ConfigurationError: no build follows, or it has not caught up.
        """
        answers = self._catalog.require(order.of())
        build = can_go_back(answers, self._catalog.follower(answers.view_type))
        _require_level(build, answers)
        details = {"former_build": answers.number, "build": build.number}
        audit = AuditRecord("rollback", answers.view_type, order.author("offline"), details)
        self._catalog.serve(build, answers, follows=True, rolled_back=True, audit=audit)
        return SwitchCame(order.view_type, build.number, answers.number, answers=True)

    def retire(self, order: RetireOrder) -> BuildCame:
        """See `Operations.retire`."""
        answers = self._catalog.require(order.of())
        build = retirable(answers, self._catalog.follower(answers.view_type), order.build)
        self._catalog.retire(
            build, AuditRecord("retire", build.view_type, order.author("offline"), {"build": build.number})
        )
        return BuildCame.of(build)

    def backup(
        self,
        order: BackupOrder,
        on_progress: Callable[[Copying], None] | None = None,
        connection: NatsConnection | None = None,
    ) -> BackupCame:
        """See `LiveBackups.make`; the connection is to the server that has the bucket."""
        directory = None if order.directory is None else outside(self._catalog.data, Path(order.directory))
        with Place.of(directory, order.object_store, connection).opened() as backups:
            made = back_up(self._catalog, backups, keep=order.keep, on_progress=on_progress)
        self._catalog.note(made.record(order.author("offline")))
        return BackupCame.of(made)

    def compact(self, order: CompactOrder, on_progress: Callable[[Copying], None] | None = None) -> CompactCame:
        """See `compact`."""

        def tell(done: int, total: int) -> None:
            if on_progress is not None:
                on_progress(Copying(done, total))

        return compact(self._catalog, order.of(), author=order.author("offline"), on_progress=tell)

    def pause(self, order: Order) -> Done:
        """See `Operations.pause`."""
        build = self._catalog.require(order.of())
        self._catalog.pause(build.view_type, AuditRecord("pause", build.view_type, order.author("offline")))
        return Done(order.view_type)

    def resume(self, order: Order) -> Done:
        """See `Operations.resume`."""
        build = self._catalog.require(order.of())
        self._catalog.resume(build.view_type, AuditRecord("resume", build.view_type, order.author("offline")))
        return Done(order.view_type)

    def rebuild(self, order: RebuildOrder, connect: Callable[[], NatsConnection] | None = None) -> BuildCame:
        """See `Operations.rebuild` and `Operations.rebuild_from`; the connection is to the server that has the bucket.

        Raises:
            ConfigurationError: as there, or a bucket is named and no connection.
        """
        answers = self._catalog.require(order.of())
        require_no_candidate(self._catalog, answers.view_type)
        details: dict[str, object] = {"former_build": answers.number}
        author, deployed = order.author("offline"), deployed_by(answers)
        source = order.source(connect or _unconnected)
        if source is None:
            audit = AuditRecord("rebuild", answers.view_type, author, details)
            return BuildCame.of(begun(self._catalog, deployed, answers, audit, order.gate))
        build = replace(refilled(self._catalog, answers, source), gate=order.gate)
        audit = AuditRecord("rebuild", answers.view_type, author, {**details, "backup": str(source)})
        self._catalog.record(build, is_candidate=True, audit=audit)
        return BuildCame.of(taking_decisions(self._catalog, deployed, build, answers))

    def delete(self, order: DeleteOrder) -> BuildCame:
        """See `Operations.delete`."""
        answers = self._catalog.require(order.of())
        build = deletable(self._catalog.builds(answers.view_type), answers, order.build)
        details = {"build": build.number}
        remove_build(
            self._catalog, build, AuditRecord("delete build", build.view_type, order.author("offline"), details)
        )
        return BuildCame.of(build)


def _unconnected() -> NatsConnection:
    raise ConfigurationError("a bucket is named, but no server that has it", hint="name a directory of backups")


def _require_level(build: Build, answers: Build) -> None:
    """Make sure that a build has come as far as the one that answers.

    Raises:
        ConfigurationError: it has not.
        StorageError: a store cannot be read.
    """
    with LmdbViewReader.open(build.lane_path()) as one, LmdbViewReader.open(answers.lane_path()) as other:
        at, wanted = one.position().scanned, other.position().scanned
    if at < wanted:
        raise ConfigurationError(
            f"{build} has not caught up: it is folded up to event {at:,}, and {answers} up to event {wanted:,}",
            hint="start the node, and try again once it has caught up",
        )
