"""A build that does not answer is loaded: it waits for the disk once, before it serves, and holds nobody up."""

import asyncio

from engine_support import CORRECTED, added, broken, deploy
from node_support import contents_of, replayed
from patience import WITHIN_S, eventually

from projection.engine.loading import Loading
from projection.engine.node import Node
from projection.errors import StorageDamagedError, StorageError
from projection.model.ids import ViewType
from projection.store.dirty_mark import DirtyMark
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore

TALLY = ViewType("tallies")
EVENTS = [added("x", 1), broken("x"), added("y", 5), added("x", 3)]


async def under_way(site, *, events=EVENTS):
    """A former build that answers, and the program of the one that is to replace it."""
    await site.publish(events)
    await site.catch_up(deploy(site.folder / "1", template=site.template))
    return deploy(site.folder / "2", CORRECTED, template=site.template)


def lanes_of(node: Node):
    new, old = sorted(node.lanes, key=lambda lane: -lane.build)
    return new, old


def mark_of(lane) -> bool:
    return DirtyMark(lane.store._environment.path).is_set()


async def ended(node, running):
    node.stop()
    await asyncio.wait_for(running, WITHIN_S)


async def test_it_reads_by_itself_and_serves_only_once_it_is_on_the_disk(site, monkeypatch, logged):
    second = await under_way(site)
    look = Loading.look
    monkeypatch.setattr(Loading, "look", lambda *_: None)
    async with site.node(second, new_build=True) as node:
        running = asyncio.create_task(node.run())
        new, old = lanes_of(node)
        assert (True, True, False, False) == (new.store.is_loading, mark_of(new), old.store.is_loading, mark_of(old))
        last = await site.publish([added("y", 2)])
        await eventually(lambda: min(new.position.scanned, old.position.scanned) == last, running)
        assert node._subscriptions.of(new) is not node._subscriptions.of(old)
        assert 2 == len(node._subscriptions.readings)
        assert not await node._cutovers.attempt(node._cutovers.pending[0], node._subscriptions.of(new).feed)
        assert 1 == site.catalog.serving(TALLY).number, "a loss of power would leave nothing to answer from"
        monkeypatch.setattr(Loading, "look", look)
        await eventually(lambda: site.catalog.serving(TALLY).number == 2, running)
        assert (False, False) == (new.store.is_loading, mark_of(new))
        assert new.store.waits_for_disk
        last = await site.publish([added("y", 7)])
        await eventually(lambda: new.position.scanned == last, running)
        await ended(node, running)
        assert replayed(second, [*EVENTS, added("y", 2), added("y", 7)]) == contents_of(node)
    told = [line["event"] for line in logged if "waiting for the disk" in line["event"]]
    assert [
        "a build is folded without waiting for the disk until it has caught up",
        "a build that was folded without waiting for the disk is on the disk",
    ] == told


async def test_the_audit_tells_what_the_folding_of_a_build_took(site):
    """`projection plan` estimates by it how long other builds take."""
    second = await under_way(site)
    async with site.node(second, new_build=True) as node:
        running = asyncio.create_task(node.run())
        await eventually(lambda: site.catalog.serving(TALLY).number == 2, running)
        new = next(lane for lane in node.lanes if lane.build == 2)
        (switched,) = [one for one in site.catalog.audit() if one.operation == "switch"]
        await ended(node, running)
    assert {"former_build": 1, "build": 2, **new.loaded.details} == switched.details
    assert 0 <= new.loaded.events <= len(EVENTS)
    assert new.loaded.seconds > 0


async def test_the_first_build_of_a_view_type_waits_for_the_disk_from_the_start(site):
    """It answers: what it once said is not to be unsaid by a loss of power."""
    async with site.node(deploy(site.folder, template=site.template)) as node:
        (lane,) = node.lanes
        assert (False, True, False) == (lane.store.is_loading, lane.store.waits_for_disk, mark_of(lane))


async def test_a_build_that_once_was_on_the_disk_is_not_put_at_risk_when_it_takes_over_again(site):
    second = await under_way(site)
    await site.catch_up(second, new_build=True)
    async with site.node(deploy(site.folder / "1", template=site.template)) as node:
        former, answers = sorted(node.lanes, key=lambda lane: lane.build)
        assert [False, False] == [one.store.is_loading or mark_of(one) for one in (former, answers)]


async def test_where_the_disk_refuses_it_the_build_halts_and_the_former_one_goes_on(site, monkeypatch):
    second = await under_way(site)

    def refuse(_store):
        raise StorageDamagedError("the disk refused it")

    monkeypatch.setattr(LmdbLaneStore, "end_loading", refuse)
    async with site.node(second, new_build=True) as node:
        running = asyncio.create_task(node.run())
        new, old = lanes_of(node)
        await eventually(lambda: new.halted is not None, running)
        last = await site.publish([added("z", 1)])
        await eventually(lambda: old.position.scanned == last, running)
        assert (1, None) == (site.catalog.serving(TALLY).number, old.halted)
        await ended(node, running)


async def test_what_cannot_be_done_now_is_told_and_tried_again(site, monkeypatch):
    second = await under_way(site)
    end = LmdbLaneStore.end_loading

    def not_now(_store):
        raise StorageError("somebody reads")

    monkeypatch.setattr(LmdbLaneStore, "end_loading", not_now)
    async with site.node(second, new_build=True) as node:
        running = asyncio.create_task(node.run())
        await eventually(
            lambda: node.health.troubles() == {"new build of view type tallies": "somebody reads"}, running
        )
        monkeypatch.setattr(LmdbLaneStore, "end_loading", end)
        await eventually(lambda: site.catalog.serving(TALLY).number == 2, running)
        await eventually(lambda: node.health.troubles() == {}, running)
        await ended(node, running)


def test_a_store_in_memory_has_nothing_to_load():
    store = MemoryLaneStore()
    store.end_loading()
    assert not store.is_loading
