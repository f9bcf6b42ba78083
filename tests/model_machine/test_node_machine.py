"""A whole node through random lives: after every commit its views are the fold of the log, and nothing is lost.

The node is the real one: feeds, readings, lanes, commits. Server, disk and time are simulated, so that a life of many
crashes takes some milliseconds, and is the same again with MODEL_SEED in the environment.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from pathlib import Path
from secrets import randbits
from time import monotonic
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from engine_support import TEMPLATE, TOO_MUCH, added, broken, envelope, erased, shared
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from machine_disk import AFTER, BEFORE
from machine_oracle import TENANTS, deployment
from machine_world import STREAM, World

from projection.store.catalog import Catalog
from projection.store.lmdb_store import LmdbLaneStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.deployment import DeployedView

_ids, _tenants = st.sampled_from(["1", "2", "3"]), st.sampled_from(TENANTS)
_several = st.lists(_ids, min_size=2, max_size=3, unique=True)
_good = st.one_of(
    st.builds(added, _ids, st.integers(1, 5), _tenants),
    st.builds(lambda some, n, tenant: shared(*some, n=n, tenant=tenant), _several, st.integers(1, 5), _tenants),
    st.builds(lambda some, tenant: erased(*some, tenant=tenant), _several, _tenants),
    st.builds(lambda tenant: envelope("Unheard", {"id": "1"}, tenant), _tenants),
)
_bad = st.one_of(
    st.builds(added, _ids, st.just(TOO_MUCH), _tenants),
    st.builds(lambda some, tenant: broken(*some, tenant=tenant), _several, _tenants),
    st.sampled_from([b"{", envelope("Added", {"id": "1", "n": "1"})]),
)
_UNHARMED = 15  # steps in which the log loses nothing
_seconds = st.sampled_from([0.01, 1.0, 7.0])
_note = st.builds(lambda one, tenant: envelope("Noted", {"id": one}, tenant), _ids, _tenants)


class NodeMachine(RuleBasedStateMachine):
    deployed: tuple[DeployedView, ...]
    catalog: Catalog
    lmdb: type[LmdbLaneStore] | None = None

    @initialize(
        batch=st.sampled_from([1, 3, 20_000]),
        batch_bytes=st.sampled_from([1024, 64 << 20]),
        pull=st.sampled_from([2, 2_000]),
        bulk=st.booleans(),
        pace=st.sampled_from([0, 5, 20, 60]),
    )
    def begin(self, batch: int, batch_bytes: int, pull: int, bulk: bool, pace: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.pace = pace  # how far things go on after each step
        self.steps = 0
        self.has_lost = False
        self.world = World(
            self.deployed,
            self.catalog,
            self.folder,
            lmdb=self.lmdb,
            pull=pull,
            bulk=bulk,
            batch=batch,
            batch_bytes=batch_bytes,
        )

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.settle()
            finally:
                self.world.close()
                shutil.rmtree(self.folder)

    @invariant()
    def nothing_has_gone_wrong(self) -> None:
        self.steps += 1
        self.world.run(self.pace)
        self.world.require_no_failure()

    @property
    def may_lose(self) -> bool:
        """Once, and late: behind a loss there is little left to go wrong."""
        return self.steps > _UNHARMED and not self.has_lost

    # what publishers do

    def _publish(self, aggregate: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        tenant = "b" if b'"tenant_id": "b"' in data else "a"
        self.world.publish(TEMPLATE.subject(tenant, aggregate, "1"), data, headers)

    @rule(events=st.lists(_good, min_size=1, max_size=12))
    def publish(self, events: list[bytes]) -> None:
        for data in events:
            self._publish("tally", data)

    @rule(events=st.lists(_good, min_size=1, max_size=8), every_s=st.sampled_from([0.0002, 0.003, 0.1]))
    def publish_meanwhile(self, events: list[bytes], every_s: float) -> None:
        for number, data in enumerate(events):
            self.world.loop.call_later(number * every_s, self._publish, "tally", data)

    @rule(data=_bad)
    def publish_what_goes_wrong(self, data: bytes) -> None:
        self._publish("tally", data)

    @rule(data=_note | st.just(b"{"))
    def publish_a_note(self, data: bytes) -> None:
        self._publish("note", data)

    @rule(count=st.integers(1, 3))
    def publish_to_others(self, count: int) -> None:
        for _ in range(count):
            self._publish("else", b"{}")

    @rule(data=_good, number=st.integers(1, 3))
    def publish_with_an_id(self, data: bytes, number: int) -> None:
        self._publish("tally", data, {"Nats-Msg-Id": str(number)})

    # what time does

    @rule(rounds=st.integers(1, 200))
    def go_on(self, rounds: int) -> None:
        self.world.run(rounds)

    @rule(seconds=_seconds)
    def wait(self, seconds: float) -> None:
        self.world.run_for(seconds)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    # what happens to the node

    @rule(rounds=st.integers(0, 60))
    def crash(self, rounds: int) -> None:
        self.world.run(rounds)
        self.world.crash()
        self.world.start()

    @rule()
    def stop(self) -> None:
        self.world.stop()
        self.world.start()

    # what happens to the server and the wire

    @rule(count=st.integers(1, 3))
    def drop_what_comes(self, count: int) -> None:
        self.world.nats.drop = count

    @rule(count=st.integers(1, 3))
    def repeat_what_comes(self, count: int) -> None:
        self.world.nats.repeat = count

    @rule(latency_s=st.sampled_from([0.0005, 0.05, 1.0, 6.0]))
    def slow_down_the_wire(self, latency_s: float) -> None:
        self.world.nats.latency_s = latency_s

    @rule()
    def lose_the_connection(self) -> None:
        self.world.nats.lose()

    @rule()
    def delete_the_consumers(self) -> None:
        for stream, name in list(self.world.server.consumers):
            self.world.server.delete_consumer(stream, name)

    @rule()
    def deliver_again(self) -> None:
        for consumer in self.world.server.consumers.values():
            consumer.deliver_again()

    @rule(seconds=_seconds)
    def kill_the_server(self, seconds: float) -> None:
        self.world.server.kill()
        self.world.run_for(seconds)
        self.world.server.start()

    @rule(seconds=_seconds)
    def freeze_the_server(self, seconds: float) -> None:
        self.world.server.freeze()
        self.world.run_for(seconds)
        self.world.server.thaw()

    # what happens to the log

    # Not behind another loss: of numbers that were given again, and are gone again, nothing is left to tell them by.
    @precondition(lambda self: not self.has_lost)
    @rule()
    def purge_what_all_have_read(self) -> None:
        world = self.world
        world.server.purge(STREAM, min(world.scanned(name) for name in world.view_types) + 1)

    @precondition(lambda self: self.may_lose)
    @rule(more=st.integers(1, 5))
    def purge_what_is_to_be_read(self, more: int) -> None:
        world = self.world
        below = min(world.scanned(name) for name in world.view_types) + 1 + more
        if below <= world.stream.last + 1:
            self.has_lost = True
            world.server.purge(STREAM, below)

    @precondition(lambda self: self.may_lose)
    @rule(count=st.integers(1, 8), again=st.lists(_good, max_size=10))
    def lose_power(self, count: int, again: list[bytes]) -> None:
        self.has_lost = True
        self.world.lose_power(max(0, self.world.stream.last - count))
        self.publish(again)

    @precondition(lambda self: self.may_lose)
    @rule(again=st.lists(_good, max_size=10))
    def make_the_stream_anew(self, again: list[bytes]) -> None:
        self.has_lost = True
        self.world.recreate()
        self.publish(again)

    # what happens to the disk

    @rule(which=st.integers(0, 2), faults=st.lists(st.sampled_from([BEFORE, AFTER]), min_size=1, max_size=4))
    def let_commits_fail(self, which: int, faults: list[str]) -> None:
        self.world.disk.commit_faults[self.world.view_types[which]] = deque(faults)

    @rule(which=st.integers(0, 2), count=st.integers(1, 3))
    def let_reads_fail(self, which: int, count: int) -> None:
        self.world.disk.read_faults[self.world.view_types[which]] = count

    @rule(thread_s=st.sampled_from([0.001, 0.3, 3.0]))
    def slow_down_the_disk(self, thread_s: float) -> None:
        self.world.loop.thread_s = thread_s

    @rule(which=st.integers(0, 2))
    def let_somebody_else_claim(self, which: int) -> None:
        view_type = self.world.view_types[which]
        if view_type in self.world.disk.stores:
            self.world.disk.claim(view_type)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("machine")
    with Catalog.open(folder / "data") as catalog:
        yield {"deployed": deployment(folder), "catalog": catalog}


def live(site: dict[str, Any], lives: int, seed: int, lmdb: type[LmdbLaneStore] | None = None) -> None:
    machine = hypothesis.seed(seed)(type("Lives", (NodeMachine,), {**site, "lmdb": lmdb}))
    long = settings(max_examples=lives, stateful_step_count=50, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=long)


def a_seed() -> int:
    seed = int(os.environ.get("MODEL_SEED") or randbits(32))
    print(f"MODEL_SEED={seed}")
    return seed


def test_a_node_survives_random_lives(site: dict[str, Any]) -> None:
    live(site, 60, a_seed())


def test_a_node_on_lmdb_survives_random_lives(site: dict[str, Any]) -> None:
    live(site, 15, a_seed(), LmdbLaneStore)


@pytest.mark.long
def test_a_node_survives_as_many_lives_as_three_minutes_hold(site: dict[str, Any]) -> None:
    until, lives = monotonic() + 180.0, 0
    while monotonic() < until:
        live(site, 250, a_seed())
        live(site, 50, a_seed(), LmdbLaneStore)
        lives += 300
    print(f"{lives} lives")
