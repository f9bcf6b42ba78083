"""Operators' orders while nodes are killed: one whole build answers at any time, and the views are those of a replay.

Two operators give orders at once, and one of them is killed as well, wherever it is; so is the server that has the log.
Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from functools import partial
from secrets import randbits
from threading import Timer
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from crash_log import LATE, make_log, replayed, told
from crash_operators import BY, Operator, OperatorProcess
from crash_site import CrashSite, NodeProcess
from engine_support import CORRECTED
from patience import wait_until

from projection.cli.door import door_to
from projection.engine.orders import Order, PromoteOrder, RebuildOrder, RepairOrder
from projection.engine.recipes import deployed_by, recipe_of
from projection.engine.restoring import verify_backup
from projection.engine.verification import verify
from projection.errors import ConfigurationError
from projection.query.reading import serving_reader
from projection.store.backup_directory import BackupDirectory
from projection.store.catalog import CatalogReader
from projection.store.lmdb_opening import MAP_SIZE, open_to_write

if TYPE_CHECKING:
    from pathlib import Path

    from projection.cli.door import Door
    from projection.model.ids import ViewType
    from projection.store.audit import AuditRecord
    from projection.stream.embedded import EmbeddedServer

EVENTS = 600
LIVES = 3
ORDERS = 5  # in one life
ADOPTED = ("tallies", "tallies_skipping", "tallies_late")  # view types of one program, which can be corrected
SCHEDULES, TIME_BOX_S = 50, 8 * 60.0


def is_switch(record: AuditRecord) -> bool:
    """Whether another build answers by it."""
    return record.operation in ("switch", "rollback", "adopt") or record.details.get("answers") is True


class Schedule:
    """Lives of a node, with orders in each and between them."""

    def __init__(self, server: EmbeddedServer, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.site = CrashSite(server, folder, make_log(self.dice, EVENTS), batch=self.dice.choice((10, 50, 200)))
        self.view_types = [one.entry.view_type for one in self.site.deployed]
        recipes = {str(one.entry.view_type): recipe_of(one) for one in self.site.deployed}
        corrected = [
            (name, replace(recipes[name], program=replace(recipes[name].program, text=_as(name))).encode())
            for name in ADOPTED
        ]
        texts = [one.encode() for one in recipes.values()]
        self.operator = Operator(self.site.data, server.url, [*recipes], texts, corrected, self.dice)
        self.adoptions = 0

    def carry_out(self) -> None:
        """All lives, and one more in which everything comes to its end."""
        self.site.publish(2 * LATE)
        self.site.run_to_the_end()
        for _ in range(LIVES):
            with self.started() as node:
                self.live(node)
            for _ in range(self.dice.randrange(2)):
                self.operator.give()
            self.damage()
        with self.started() as node:
            node.wait_until_it_reads()
            for view_type in self.view_types:
                with door_to(self.site.data) as door:
                    door.resume(Order(view_type=str(view_type), **BY))
                    wait_until(partial(self.is_repaired, door, view_type), self.site.node_log)
            self.site.publish()
            wait_until(lambda: self.is_at_rest(node), self.site.node_log)
        self.check()

    def started(self) -> NodeProcess:
        """A node that goes on with what was deployed, or adopted, last."""
        return NodeProcess(self.site, (), ["--as-deployed"])

    def is_repaired(self, door: Door, view_type: ViewType) -> bool:
        """Repair a view type, or fold it anew where its build was adopted, which no fold gives back.

        The order is refused where another build takes over meanwhile, and is given again then.
        """
        with CatalogReader.open(self.site.data) as catalog:
            answers, candidate = catalog.require(view_type), catalog.candidate(view_type)
        by = {"view_type": str(view_type), **BY}
        try:
            if answers.lineage is None:
                door.repair(RepairOrder(**by), self.operator.settings)
                return True
            if candidate is None:
                door.rebuild(RebuildOrder(although_parked=True, **by))
            else:
                door.promote(PromoteOrder(although_parked=True, **by))
        except ConfigurationError as refused:
            print(f"the last repair: {refused.message}")
        return False

    def damage(self) -> None:
        """While no node runs, a view of a build that answers comes to hold what another one does."""
        with CatalogReader.open(self.site.data) as catalog:
            build = catalog.require(self.dice.choice(self.view_types))
        with serving_reader(self.site.data, build.view_type) as reader:
            views = [*reader.scan(None, build.view_type)]
        if not views:  # the log has none for it yet
            return
        environment = open_to_write(build.lane_path(), map_size=MAP_SIZE)
        wrong = self.dice.choice(views)[1]
        environment.update(lambda change: change.put(self.dice.choice(views)[0].encode(), wrong))
        environment.close()

    def live(self, node: NodeProcess) -> None:
        node.wait_until_it_reads()
        killing = Timer(self.dice.uniform(0.05, 1.5), node.kill)
        killing.start()
        other = OperatorProcess(self.operator.another(), self.site.folder, ORDERS)
        for _ in range(ORDERS):
            if self.dice.random() < 0.5:
                self.site.publish(self.dice.randrange(1, EVENTS // (2 * LIVES * ORDERS)))
            self.operator.give()
            if self.dice.random() < 0.1:
                self.kill_server()
        killing.join()
        sleep(self.dice.uniform(0.0, 0.3))  # the other one finds no node, and gives orders to the folder
        other.kill()

    def kill_server(self) -> None:
        """SIGKILL, with orders of the other operator meanwhile; it comes back with what it had."""
        self.site.server.kill()
        sleep(self.dice.uniform(0.0, 0.3))
        self.site.server.start()

    def is_at_rest(self, node: NodeProcess) -> bool:
        """Whether everything is folded, and every build that was to take another's place has."""
        assert node.runs, self.site.node_log()
        with CatalogReader.open(self.site.data) as catalog:
            for view_type in self.view_types:
                candidate, held = catalog.candidate(view_type), catalog.held(view_type)
                if candidate is not None and (held is None or held.build != candidate.number):
                    return False  # it neither answers nor waits to be promoted
        return self.site.is_committed()

    def check(self) -> None:
        """While no node runs: the views are those of a replay with the decisions, and the audit has each of these."""
        with CatalogReader.open(self.site.data) as catalog:
            builds = [catalog.require(view_type) for view_type in self.view_types]
            audit = catalog.audit()
            folders = {
                view_type: {str(one.number) for one in catalog.builds(view_type)} for view_type in self.view_types
            }
        assert list(range(1, len(audit) + 1)) == [record.number for record in audit]
        self.adoptions = sum(record.operation == "adopt" for record in audit)
        for build in builds:
            (expected,) = replayed([deployed_by(build)], self.site.log).values()
            with serving_reader(self.site.data, build.view_type) as reader:
                assert expected == told(reader, build.view_type), build
            dropped = {
                (record.details["sequence"], record.details["tenant_id"], record.details["view_id"])
                for record in audit
                if record.operation == "drop" and record.view_type == build.view_type
            }
            decided = {tuple(drop) for drop in build.drops}
            # A build by the other program may have taken the event: then the decision is none about it.
            was_adopted = any((one.operation, one.view_type) == ("adopt", build.view_type) for one in audit)
            assert decided <= dropped if was_adopted else decided == dropped
            assert folders[build.view_type] >= {str(build.number)}
            switched = [one for one in audit if one.view_type == build.view_type and is_switch(one)]
            assert build.number == (switched[-1].details["build"] if switched else 1), [
                record.as_json() for record in audit
            ]
        assert [] == [problem for one in verify(self.site.data) for problem in one.problems]
        backups = BackupDirectory(self.operator.backups)
        problems = [problem for name in backups.names() for problem in verify_backup(backups, name).problems]
        # A store that was damaged when it was backed up is so there as well; every file is as it was written.
        assert [] == [problem for problem in problems if not problem.startswith("build ")]


def carry_out(server: EmbeddedServer, folder: Path, seed: int) -> Schedule:
    print(f"seed {seed}")
    folder.mkdir()
    schedule = Schedule(server, folder, seed)
    try:
        schedule.carry_out()
    except BaseException as error:
        error.add_note(f"again with CRASH_SEED={seed}; what is left lies in {folder}")
        raise
    return schedule


def _as(view_type: str) -> str:
    """The corrected program, of a view type."""
    return CORRECTED.replace("projection tallies", f"projection {view_type}")


def test_a_schedule_of_orders_and_kills_ends_with_the_views_of_a_replay(server: EmbeddedServer, tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    carry_out(server, tmp_path / str(seed), seed)


@pytest.mark.long
def test_many_schedules_of_orders_and_kills_end_with_the_views_of_a_replay(tmp_path: Path) -> None:
    from projection.stream.embedded import EmbeddedServer

    first, until, done, orders, adoptions = randbits(32), monotonic() + TIME_BOX_S, 0, 0, 0
    for seed in range(first, first + SCHEDULES):
        if monotonic() > until:
            break
        with EmbeddedServer(tmp_path / f"nats-{seed}") as server:
            schedule = carry_out(server, tmp_path / str(seed), seed)
        done, orders, adoptions = done + 1, orders + schedule.operator.carried_out, adoptions + schedule.adoptions
    print(
        f"{done} schedules with {orders} orders that were carried out and {adoptions} adoptions, seeds from {first} on"
    )
    assert done
    assert orders
    assert adoptions
