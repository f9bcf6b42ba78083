"""When a node is ready: once every build that answers has caught up with the log since the node started."""

from __future__ import annotations

import asyncio

import pytest
from engine_support import CORRECTED, added, deploy
from held_feed import HeldFeed
from node_support import WITHIN_S

from projection.engine import readiness as readiness_module
from projection.engine.readiness import WITHIN_S as CAUGHT_UP_WITHIN_S
from projection.engine.readiness import CatchingUp
from projection.store.lmdb_store import LmdbLaneStore


class Position:
    scanned = 0


class TheLane:
    def __init__(self):
        self.position = Position()


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000.0

    monkeypatch.setattr(readiness_module, "monotonic", lambda: Clock.now)
    return Clock


def test_a_lane_has_caught_up_when_it_is_where_the_log_ended_a_moment_ago(clock):
    lane, catching_up = TheLane(), CatchingUp()
    catching_up.look([lane])
    assert not catching_up.has_caught_up(lane)  # nobody has looked at the log
    catching_up.saw_end(100, clock.now)
    lane.position.scanned = 99
    catching_up.look([lane])
    assert not catching_up.has_caught_up(lane)
    lane.position.scanned = 100
    catching_up.look([lane])
    assert catching_up.has_caught_up(lane)
    assert 0.0 == catching_up.lag_s(lane)


def test_a_lane_that_came_to_an_old_end_has_not_caught_up_with_a_log_that_goes_on(clock):
    lane, catching_up = TheLane(), CatchingUp()
    catching_up.saw_end(100, clock.now)
    catching_up.look([lane])
    for _ in range(60):
        clock.now += 1.0
        catching_up.saw_end(100 + int(clock.now), clock.now)
        catching_up.look([lane])
    lane.position.scanned = 150
    catching_up.look([lane])
    assert not catching_up.has_caught_up(lane)
    assert 60.0 == catching_up.lag_s(lane)
    lane.position.scanned = 100 + int(clock.now)
    catching_up.look([lane])
    assert catching_up.has_caught_up(lane)


def test_a_lane_that_keeps_up_with_a_log_that_never_stands_still_has_caught_up(clock):
    lane, catching_up = TheLane(), CatchingUp()
    for second in range(10):
        clock.now += 1.0
        catching_up.saw_end(1_000 * second, clock.now)
        lane.position.scanned = 1_000 * (second - 1)  # always a second behind
        catching_up.look([lane])
    assert catching_up.has_caught_up(lane)
    assert 0 < catching_up.lag_s(lane) <= 2.0 < CAUGHT_UP_WITHIN_S


def test_once_it_has_caught_up_a_lane_that_falls_behind_has_a_lag(clock):
    lane, catching_up = TheLane(), CatchingUp()
    catching_up.saw_end(0, clock.now)
    catching_up.look([lane])
    catching_up.saw_end(100, clock.now + 1)
    clock.now += 30
    catching_up.look([lane])
    assert catching_up.has_caught_up(lane)
    assert 30.0 == catching_up.lag_s(lane)


async def until(condition, running):
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            assert not running.done(), running.result()
            await asyncio.sleep(0.005)


async def test_a_node_is_not_ready_until_it_has_folded_what_the_log_holds(site, monkeypatch):
    last = await site.publish([added("x")] * 300)
    deployed = deploy(site.folder, template=site.template)
    feed = HeldFeed(monkeypatch)
    async with site.node(deployed, back_pressure={"batch": 100}) as node:
        assert {"view type tallies": "the stream has not been checked yet"} == node.health.unready()
        running = asyncio.create_task(node.run())
        await until(
            lambda: feed.first and node.health.events_to_go == 300 - feed.first, running
        )  # the first one is folded
        assert not node.is_ready
        assert {
            "view type tallies": f"it is catching up with the log: {300 - feed.first} events to go"
        } == node.health.unready()
        assert {} == node.health.troubles()
        feed.go_on()
        await until(lambda: node.is_ready, running)
        assert (last, None) == (node.lanes[0].position.scanned, node.health.events_to_go)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
        assert not node.is_ready


async def test_a_new_build_that_folds_beside_the_one_that_answers_leaves_the_node_ready(site, monkeypatch):
    await site.publish([added("x")] * 300)
    await site.catch_up(deploy(site.folder / "1", template=site.template))
    commit, may_go_on = LmdbLaneStore.commit, asyncio.Event()
    loop = asyncio.get_running_loop()

    def held(self, one, on_written=None):
        if one.base.scanned < 300 and not may_go_on.is_set():
            asyncio.run_coroutine_threadsafe(may_go_on.wait(), loop).result()
        commit(self, one, on_written)

    monkeypatch.setattr(LmdbLaneStore, "commit", held)
    second = deploy(site.folder / "2", CORRECTED, template=site.template)
    async with site.node(second, new_build=True, back_pressure={"batch": 100, "patience_ms": 1}) as node:
        running = asyncio.create_task(node.run())
        await until(lambda: node.is_ready, running)
        assert 2 == len(node.lanes)
        may_go_on.set()
        await until(lambda: len(node.lanes) == 1, running)
        assert node.is_ready
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)


async def test_a_largest_lag_makes_a_node_unready_while_its_commits_wait(site, monkeypatch):
    await site.publish([added("x")])
    deployed = deploy(site.folder, template=site.template)
    async with site.node(deployed, http={"ready_max_lag_s": 2}) as node:
        running = asyncio.create_task(node.run())
        await until(lambda: node.is_ready, running)
        monkeypatch.setattr(node._catching_up, "lag_s", lambda lane: 7.0)
        assert {"view type tallies": "it is 7 s behind the log, and 2 s are allowed"} == node.health.unready()
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
