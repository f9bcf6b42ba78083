"""Backups while nodes, commands and the processes that copy are killed: every one that is there is whole, and is true.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import random
from itertools import count
from secrets import randbits
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from crash_log import LATE, make_log, replayed, told
from crash_site import CrashSite, NodeProcess, forks
from patience import wait_until

from projection.cli.door import door_to
from projection.engine.orders import BackupOrder, DeleteOrder, DropOrder, Order, RebuildOrder
from projection.engine.recipes import deployed_by
from projection.engine.restoring import restore, verify_backup
from projection.errors import ProjectionError
from projection.query.reading import parked_events
from projection.store.audit import Author
from projection.store.backup_directory import BackupDirectory
from projection.store.catalog import Catalog, CatalogReader
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.stream.embedded import EmbeddedServer

EVENTS = 500
LIVES = 2
BACKUPS = 2  # in one life
KEPT = 3
TIME_BOX_S = 2 * 60.0
BY = {"by": "the schedule"}


def back_up(data: Path, directory: Path) -> None:
    """What the command does, in a process of its own."""
    with door_to(data) as door:
        door.backup(BackupOrder(**BY, directory=str(directory), keep=KEPT), lambda _: None)


class Schedule:
    """Lives of a node with backups, orders and kills; then each backup is restored."""

    def __init__(self, server: EmbeddedServer, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.site = CrashSite(server, folder, make_log(self.dice, EVENTS), batch=self.dice.choice((10, 50, 200)))
        self.directory = folder / "backups"
        self.view_types = [one.entry.view_type for one in self.site.deployed]
        self.checked = 0

    def carry_out(self) -> None:
        self.site.publish(2 * LATE)
        self.site.run_to_the_end()
        back_up(self.site.data, self.directory)
        for _ in range(LIVES):
            with self.site.start(until_caught_up=False) as node:
                self.live(node)
            if self.dice.random() < 0.5:
                self.command()
        self.check_all()
        self.site.publish()
        self.site.run_to_the_end()
        self.go_on_elsewhere()

    def live(self, node: NodeProcess) -> None:
        node.wait_until_it_reads()
        killing = Timer(self.dice.uniform(0.2, 2.5), node.kill)
        killing.start()
        for _ in range(BACKUPS):
            self.site.publish(self.dice.randrange(1, EVENTS // (3 * LIVES * BACKUPS)))
            self.order()
            self.command()
        killing.join()

    def command(self) -> None:
        """Make a backup; whoever waits for it may be killed, or give an order meanwhile."""
        command = forks.Process(target=back_up, args=(self.site.data, self.directory))
        command.start()
        if self.dice.random() < 0.5:
            self.order()
        command.join(self.dice.choice((None, 0.05, 0.3)))
        command.kill()
        command.join()

    def order(self) -> None:
        """Give an order that may be refused; the node may be killed meanwhile."""
        view_type = self.dice.choice(self.view_types)
        name = self.dice.choice(("pause", "resume", "rebuild", "drop", "drop", "drop", "delete"))
        try:
            order = self.drawn(name, view_type)
            with door_to(self.site.data) as door:
                getattr(door, name)(order)
        except (ProjectionError, IndexError) as error:  # nothing is parked there
            print(f"{name}: {error!s:.100}")

    def drawn(self, name: str, view_type: ViewType) -> Order:
        if name == "drop":
            one = self.dice.choice(list(parked_events(self.site.data, view_type)))
            view_id = None if one.view_id is None else str(one.view_id)
            place = {"sequence": one.sequence, "tenant_id": str(one.tenant_id), "view_id": view_id}
            return DropOrder(view_type=str(view_type), **place, **BY)
        if name == "delete":
            with CatalogReader.open(self.site.data) as catalog:
                number = self.dice.choice(catalog.builds(view_type)).number
            return DeleteOrder(view_type=str(view_type), build=number, **BY)
        if name == "rebuild":
            return RebuildOrder(view_type=str(view_type), backup=self.dice.choice((None, str(self.directory))), **BY)
        return Order(view_type=str(view_type), **BY)

    def check_all(self) -> None:
        """Every backup that is there is whole, and all its builds are replays with the decisions."""
        wait_until(self.nobody_writes)
        backups = BackupDirectory(self.directory)
        assert 1 <= len(backups.names()) <= KEPT + 1, "one may be killed before it deletes others"
        for name in backups.names():
            assert [] == verify_backup(backups, name).problems
            data = self.site.folder / f"restored-{name}"
            self.restore(name, data)
            with CatalogReader.open(data) as catalog:
                builds = catalog.all_builds()
                assert {*self.view_types} == {*catalog.view_types()}
                assert catalog.audit()[-1].operation == "restore"
            for build in builds:
                if not build.lane_path().exists():
                    continue  # it was begun, and nothing of it was stored yet
                with LmdbViewReader.open(build.lane_path()) as reader:
                    if reader.fold_identity() != build.fold_identity:
                        continue  # the effect of its last decision is still to come, at the next start
                    found = told(reader, build.view_type)
                expected = replayed([deployed_by(build)], self.site.log[: found.scanned])[build.view_type]
                if found.scanned:
                    assert expected == found, (name, build)
                self.checked += 1

    def restore(self, name: str, data: Path) -> None:
        """Restore a backup, and once more where that was killed; what it leaves then is taken by nobody."""
        arguments = (BackupDirectory(self.directory), name, data, Author("the schedule", "offline"))
        command = forks.Process(target=restore, args=arguments)
        command.start()
        command.join(self.dice.choice((None, 0.01, 0.1)))
        command.kill()
        command.join()
        try:
            CatalogReader.open(data).close()
        except ProjectionError:
            assert command.exitcode != 0
            restore(*arguments)

    def nobody_writes(self) -> bool:
        try:
            with BackupDirectory(self.directory).taken():
                return True
        except ProjectionError:
            return False

    def go_on_elsewhere(self) -> None:
        """A node goes on from the newest backup, and comes to what a replay comes to."""
        name = BackupDirectory(self.directory).names()[-1]
        self.site.data.rename(self.site.folder / "former")
        (self.site.folder / f"restored-{name}").rename(self.site.data)
        with Catalog.open(self.site.data) as catalog:
            paused = list(catalog.paused())
        for view_type in paused:
            with door_to(self.site.data) as door:
                door.resume(Order(view_type=str(view_type), **BY))
        self.site.run_to_the_end()
        assert self.site.is_committed()
        with CatalogReader.open(self.site.data) as catalog:
            builds = [catalog.require(view_type) for view_type in self.view_types]
        for build in builds:
            (expected,) = replayed([deployed_by(build)], self.site.log).values()
            with LmdbViewReader.open(build.lane_path()) as reader:
                assert expected == told(reader, build.view_type), build


def carry_out(server: EmbeddedServer, folder: Path, seed: int) -> int:
    print(f"seed {seed}")
    folder.mkdir()
    schedule = Schedule(server, folder, seed)
    try:
        schedule.carry_out()
    except BaseException as error:
        error.add_note(f"again with CRASH_SEED={seed}; what is left lies in {folder}")
        raise
    return schedule.checked


def test_backups_amid_kills_are_whole_and_what_is_restored_is_a_replay(server: EmbeddedServer, tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    assert carry_out(server, tmp_path / str(seed), seed)


@pytest.mark.long
def test_many_schedules_of_backups_and_kills(tmp_path: Path) -> None:
    from projection.stream.embedded import EmbeddedServer

    first, until, done, checked = randbits(32), monotonic() + TIME_BOX_S, 0, 0
    for seed in count(first):
        if monotonic() > until:
            break
        with EmbeddedServer(tmp_path / f"nats-{seed}") as server:
            checked += carry_out(server, tmp_path / str(seed), seed)
        done += 1
    print(f"{done} schedules, {checked} builds in backups that were held against replays, seeds from {first} on")
    assert done
