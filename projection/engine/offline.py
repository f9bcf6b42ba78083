"""Operators' orders to a data folder that no node has: the same as a running node takes, see `orders`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from projection.engine.adoption import adopt
from projection.engine.backup import back_up, outside
from projection.engine.backup_place import Place
from projection.engine.builds import begun, remove_build, taking_decisions
from projection.engine.decisions import drop
from projection.engine.deploying import Change, deployed_together, plan_deployment
from projection.engine.operations import deletable, require_no_candidate
from projection.engine.orders import AdoptCame, BackupCame, BuildCame, DeployCame, Done, DropCame, StepCame
from projection.engine.recipes import deployed_by, deployed_from
from projection.engine.refilling import refilled
from projection.lang.run.executors import Execution
from projection.model.recipe import Recipe
from projection.store.audit import AuditRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.backup import Copying
    from projection.engine.deploying import Step
    from projection.engine.orders import (
        AdoptOrder,
        BackupOrder,
        DeleteOrder,
        DeployOrder,
        DropOrder,
        Order,
        RebuildOrder,
    )
    from projection.store.audit import Author
    from projection.store.catalog import Catalog
    from projection.stream.address import NatsConnection


class OfflineOperations:
    """The operations of a data folder; what they begin, the next start of a node goes on with."""

    def __init__(self, catalog: Catalog) -> None:
        """Operations of a folder; its catalogue stays the caller's to close."""
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
        return DeployCame([StepCame.of(self._step(step, order.author("offline"))) for step in steps])

    def _step(self, step: Step, author: Author) -> Step:
        audit = AuditRecord("deploy", step.view_type, author, {"change": str(step.change), "why": step.why})
        if step.deployed is None or step.change not in (Change.ANEW, Change.BACK):
            return step
        if step.build is None:
            return replace(step, build=begun(self._catalog, step.deployed, step.answers, audit))
        self._catalog.record(step.build, is_candidate=True, audit=audit)
        return step

    def backup(
        self, order: BackupOrder, on_progress: Callable[[Copying], None], connection: NatsConnection | None = None
    ) -> BackupCame:
        """See `LiveBackups.make`; the connection is to the server that has the bucket."""
        directory = None if order.directory is None else outside(self._catalog.data, Path(order.directory))
        with Place.of(directory, order.object_store, connection).opened() as backups:
            made = back_up(self._catalog, backups, keep=order.keep, on_progress=on_progress)
        self._catalog.note(made.record(order.author("offline")))
        return BackupCame.of(made)

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

    def rebuild(self, order: RebuildOrder) -> BuildCame:
        """See `Operations.rebuild` and `Operations.rebuild_from`."""
        answers = self._catalog.require(order.of())
        require_no_candidate(self._catalog, answers.view_type)
        details: dict[str, object] = {"former_build": answers.number}
        author, deployed = order.author("offline"), deployed_by(answers)
        if order.backup is None:
            audit = AuditRecord("rebuild", answers.view_type, author, details)
            return BuildCame.of(begun(self._catalog, deployed, answers, audit))
        build = refilled(self._catalog, answers, Path(order.backup))
        audit = AuditRecord("rebuild", answers.view_type, author, {**details, "backup": order.backup})
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
