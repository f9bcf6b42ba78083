"""Deployments of which only some views fold anew, while nodes are killed: each build that answers is a fold of everything.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from functools import partial
from secrets import randbits
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from crash_log import STREAM, replayed, told
from crash_site import CrashSite, NodeProcess
from node_support import SHOP
from patience import wait_until
from program_changes import changed as changed_tokens

from projection.cli.door import door_to
from projection.engine.orders import DeleteOrder, DeployOrder
from projection.engine.recipes import deployed_by, recipe_of
from projection.engine.verification import verify
from projection.errors import ProjectionError
from projection.lang.check.checker import check
from projection.lang.reach import reach
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.query.reading import serving_reader
from projection.store.catalog import CatalogReader
from projection.testing.shop import shop_lines

if TYPE_CHECKING:
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

EVENTS = 3_000
LIVES = 4
CHANGES = 4  # of one program
SCHEDULES, TIME_BOX_S = 25, 4 * 60.0
VIEW_TYPES = ("shop_customers", "shop_orders")  # whose views have events of several types


def changes_of(text: str, dice: random.Random) -> list[str]:
    """Programs of which one token is another, so that only some views can differ; and the program itself."""
    whole, found = check(Source("p", text)), [text]
    texts = [one for _, one in changed_tokens(text, dice.randrange(1_000))]
    dice.shuffle(texts)
    for one in texts:
        try:
            is_narrow = reach(whole, check(Source("p", one))).is_narrow
        except ProgramInvalidError:
            continue
        found += [one] * is_narrow
        if len(found) > CHANGES:
            break
    return found


class Schedule:
    """Lives of a node that is told to fold one changed program after the other."""

    def __init__(self, server: EmbeddedServer, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        log = list(shop_lines(EVENTS, self.dice.randrange(1_000)))
        self.site = CrashSite(server, folder, log, batch=self.dice.choice((50, 200)))
        self.texts = {view_type: changes_of(SHOP[view_type], self.dice) for view_type in VIEW_TYPES}
        self.recipes = {str(one.entry.view_type): recipe_of(one) for one in self.site.deployed}

    def carry_out(self) -> Counter[str]:
        """All lives, and one more in which everything comes to its end; how builds were begun."""
        self.site.publish(EVENTS // 2)
        self.site.run_to_the_end()
        for _ in range(LIVES):
            with self.started() as node:
                killing = Timer(self.dice.uniform(0.2, 6.0), node.kill)
                killing.start()
                while killing.is_alive():
                    self.order()
                    killing.join(self.dice.uniform(0.1, 2.0))
            if self.dice.random() < 0.3:
                self.order()  # while no node runs
        with self.started() as node:
            self.site.publish()
            wait_until(partial(self.is_at_rest, node), self.site.node_log)
        return self.check()

    def started(self) -> NodeProcess:
        return NodeProcess(self.site, (), ["--as-deployed"])

    def order(self) -> None:
        """Deploy another program for a view type; it is refused while another build is under way."""
        view_type = self.dice.choice(VIEW_TYPES)
        if self.dice.random() < 0.5:
            left = (len(self.site.log) - self.site.published) // 4
            self.site.publish(self.dice.randrange(left + 1))
        recipe = self.recipes[view_type]
        program = replace(recipe.program, text=self.dice.choice(self.texts[view_type]))
        self.recipes[view_type] = replace(recipe, program=program)
        recipes = [one.encode() for one in self.recipes.values()]
        order = DeployOrder(recipes=recipes, by="the schedule", although_parked=self.dice.random() < 0.5)
        try:
            with door_to(self.site.data) as door:
                door.deploy(order)
        except ProjectionError as error:
            print(f"deploy: {error.message:.100}")
            if self.dice.random() < 0.5:
                self.delete(view_type)

    def delete(self, view_type: str) -> None:
        """Give up the build that is under way."""
        with CatalogReader.open(self.site.data) as catalog:
            build = next((catalog.candidate(one) for one in catalog.view_types() if one == view_type), None)
        if build is None:
            return
        try:
            with door_to(self.site.data) as door:
                door.delete(DeleteOrder(view_type=view_type, build=build.number, by="the schedule"))
        except ProjectionError as error:
            print(f"delete: {error.message:.100}")

    def is_at_rest(self, node: NodeProcess) -> bool:
        """Whether everything is folded, and every build that was to replace another has."""
        assert node.runs, self.site.node_log()
        with CatalogReader.open(self.site.data) as catalog:
            for view_type in catalog.view_types():
                candidate, held = catalog.candidate(view_type), catalog.held(view_type)
                if candidate is not None and (held is None or held.build != candidate.number):
                    return False
        return self.site.is_committed()

    def check(self) -> Counter[str]:
        """While no node runs: the views are those of a replay by the program of the build that answers."""
        with CatalogReader.open(self.site.data) as catalog:
            builds = [catalog.require(view_type) for view_type in catalog.view_types()]
            begun = [one.details for one in catalog.audit() if one.operation == "fold"]
        for build in builds:
            (expected,) = replayed([deployed_by(build)], self.site.log).values()
            with serving_reader(self.site.data, build.view_type) as reader:
                assert expected == told(reader, build.view_type), build
        assert [] == [problem for one in verify(self.site.data) for problem in one.problems]
        return Counter("in part" if "folded" in one else one["why"][:60] for one in begun)


def carry_out(server: EmbeddedServer, folder: Path, seed: int) -> Counter[str]:
    print(f"seed {seed}")
    folder.mkdir()
    try:
        return Schedule(server, folder, seed).carry_out()
    except BaseException as error:
        error.add_note(f"again with CRASH_SEED={seed}; what is left lies in {folder}, and the stream is {STREAM}")
        raise


@pytest.mark.long
def test_schedules_of_changed_programs_and_kills_end_with_the_views_of_a_replay(tmp_path: Path) -> None:
    from projection.stream.embedded import EmbeddedServer

    first = int(os.environ.get("CRASH_SEED") or randbits(32))
    until, done, begun = monotonic() + TIME_BOX_S, 0, Counter[str]()
    for seed in range(first, first + (1 if "CRASH_SEED" in os.environ else SCHEDULES)):
        if monotonic() > until:
            break
        with EmbeddedServer(tmp_path / f"nats-{seed}") as server:
            begun += carry_out(server, tmp_path / str(seed), seed)
        done += 1
    print(f"{done} schedules, seeds from {first} on: {dict(begun)}")
    assert begun["in part"]
