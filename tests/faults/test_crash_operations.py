"""Operators' orders while nodes are killed: one whole build answers at any time, and the views are those of a replay.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import random
import socket
from functools import partial
from secrets import randbits
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from crash_log import LATE, STREAM, TENANTS, make_log, replayed, told
from crash_site import CrashSite, NodeProcess
from patience import wait_until

from projection.cli.door import door_to
from projection.engine.orders import (
    CompactOrder,
    DeleteOrder,
    DeployOrder,
    DropOrder,
    Order,
    PromoteOrder,
    RebuildOrder,
    RepairOrder,
    RetireOrder,
)
from projection.engine.recipes import deployed_by, recipe_of
from projection.engine.verification import verify
from projection.errors import ConfigurationError, ProjectionError
from projection.history.build_comparison import compare_builds
from projection.model.settings import Settings
from projection.query.reading import parked_events, serving_reader
from projection.store import control_socket
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
ORDERS_OF = (
    *("pause", "resume", "rebuild", "rebuild", "drop", "drop", "delete", "deploy"),
    *("promote", "promote", "rollback", "rollback", "retire", "repair", "repair", "compact"),
)
SCHEDULES, TIME_BOX_S = 50, 5 * 60.0
BY = {"by": "the schedule"}


def is_switch(record: AuditRecord) -> bool:
    """Whether another build answers by it."""
    return record.operation in ("switch", "rollback") or record.details.get("answers") is True


class Schedule:
    """Lives of a node, with orders in each and between them."""

    def __init__(self, server: EmbeddedServer, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.site = CrashSite(server, folder, make_log(self.dice, EVENTS), batch=self.dice.choice((10, 50, 200)))
        self.view_types = [one.entry.view_type for one in self.site.deployed]
        self.carried_out = 0
        self.settings = Settings(nats={"url": server.url}, stream=STREAM, storage=self.site.data)

    def carry_out(self) -> None:
        """All lives, and one more in which everything comes to its end."""
        self.site.publish(2 * LATE)
        self.site.run_to_the_end()
        for _ in range(LIVES):
            with self.site.start(until_caught_up=False) as node:
                self.live(node)
            for _ in range(self.dice.randrange(2)):
                self.order()
            self.damage()
        with self.site.start(until_caught_up=False) as node:
            node.wait_until_it_reads()
            for view_type in self.view_types:
                with door_to(self.site.data) as door:
                    door.resume(Order(view_type=str(view_type), **BY))
                    wait_until(partial(self.is_repaired, door, view_type), self.site.node_log)
            self.site.publish()
            wait_until(lambda: self.is_at_rest(node), self.site.node_log)
        self.check()

    def is_repaired(self, door: Door, view_type: ViewType) -> bool:
        """Give the order; it is refused where another build takes over meanwhile, and is given again then."""
        try:
            door.repair(RepairOrder(view_type=str(view_type), **BY), self.settings)
        except ConfigurationError as refused:
            print(f"the last repair: {refused.message}")
            return False
        return True

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
        for _ in range(ORDERS):
            if self.dice.random() < 0.5:
                self.site.publish(self.dice.randrange(1, EVENTS // (2 * LIVES * ORDERS)))
            self.order()
        killing.join()

    def order(self) -> None:
        """Give an order that may be refused; the node may be killed meanwhile, and so may whoever gives it."""
        name, order = self.drawn()
        if order is None:
            return
        try:
            if self.dice.random() < 0.1:
                compare_builds(self.site.data, self.dice.choice(self.view_types))
            if self.dice.random() < 0.2:
                self.give_and_go(name, order)
            else:
                with door_to(self.site.data) as door:
                    getattr(door, name)(order, *self.more(name))
                self.carried_out += 1
        except ProjectionError as error:
            print(f"{name}: {error.message:.100}")

    def more(self, name: str) -> list[Any]:
        """What an order comes with, beside itself."""
        return {"repair": [self.settings], "compact": [lambda _: None]}.get(name, [])

    def drawn(self) -> tuple[str, Order | DeployOrder | CompactOrder | None]:
        view_type = self.dice.choice(self.view_types)
        name = self.dice.choice(ORDERS_OF)
        match name:
            case "repair":
                tenant_id = self.dice.choice((None, *TENANTS))
                return name, RepairOrder(view_type=str(view_type), tenant_id=tenant_id, **BY)
            case "rebuild":
                gate = self.dice.choice((None, "when_caught_up", "when_equal", "manual"))
                return name, RebuildOrder(view_type=str(view_type), promote=gate, **BY)
            case "compact":
                return name, CompactOrder(view_type=self.dice.choice((None, str(view_type))), **BY)
            case "promote":
                return name, PromoteOrder(view_type=str(view_type), although_parked=self.dice.random() < 0.5, **BY)
            case "retire":
                return name, RetireOrder(view_type=str(view_type), **BY)
            case "deploy":
                recipes = [recipe_of(one).encode() for one in self.site.deployed]
                return name, DeployOrder(recipes=recipes, **BY)
            case "drop":
                parked = list(parked_events(self.site.data, view_type))
                if not parked:
                    return name, None
                one = self.dice.choice(parked)
                view_id = None if one.view_id is None else str(one.view_id)
                place = {"sequence": one.sequence, "tenant_id": str(one.tenant_id), "view_id": view_id}
                return name, DropOrder(view_type=str(view_type), **place, **BY)
            case "delete":
                with CatalogReader.open(self.site.data) as catalog:
                    number = self.dice.choice(catalog.builds(view_type)).number
                return name, DeleteOrder(view_type=str(view_type), build=number, **BY)
            case "rebuild":
                return name, RebuildOrder(view_type=str(view_type), **BY)
            case _:
                return name, Order(view_type=str(view_type), **BY)

    def give_and_go(self, name: str, order: Order | DeployOrder | CompactOrder) -> None:
        """Whoever gives it is killed before there is an answer."""
        connected = control_socket.connect(self.site.data)
        if connected is None:
            return
        body = msgspec.json.encode(order)
        head = f"POST /v1/operations/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        with connected:
            connected.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            connected.shutdown(socket.SHUT_WR)

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
        for build in builds:
            (expected,) = replayed([deployed_by(build)], self.site.log).values()
            with serving_reader(self.site.data, build.view_type) as reader:
                assert expected == told(reader, build.view_type), build
            dropped = {
                (record.details["sequence"], record.details["tenant_id"], record.details["view_id"])
                for record in audit
                if record.operation == "drop" and record.view_type == build.view_type
            }
            assert dropped == {tuple(drop) for drop in build.drops}
            assert folders[build.view_type] >= {str(build.number)}
            switched = [one for one in audit if one.view_type == build.view_type and is_switch(one)]
            assert build.number == (switched[-1].details["build"] if switched else 1), [
                record.as_json() for record in audit
            ]
        assert [] == [problem for one in verify(self.site.data) for problem in one.problems]


def carry_out(server: EmbeddedServer, folder: Path, seed: int) -> int:
    print(f"seed {seed}")
    folder.mkdir()
    schedule = Schedule(server, folder, seed)
    try:
        schedule.carry_out()
    except BaseException as error:
        error.add_note(f"again with CRASH_SEED={seed}; what is left lies in {folder}")
        raise
    return schedule.carried_out


def test_a_schedule_of_orders_and_kills_ends_with_the_views_of_a_replay(server: EmbeddedServer, tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    assert carry_out(server, tmp_path / str(seed), seed) >= 0


@pytest.mark.long
def test_many_schedules_of_orders_and_kills_end_with_the_views_of_a_replay(tmp_path: Path) -> None:
    from projection.stream.embedded import EmbeddedServer

    first, until, done, orders = randbits(32), monotonic() + TIME_BOX_S, 0, 0
    for seed in range(first, first + SCHEDULES):
        if monotonic() > until:
            break
        with EmbeddedServer(tmp_path / f"nats-{seed}") as server:
            orders += carry_out(server, tmp_path / str(seed), seed)
        done += 1
    print(f"{done} schedules with {orders} orders that were carried out, seeds from {first} on")
    assert done
    assert orders
