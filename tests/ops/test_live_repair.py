"""Views that are put right while the node runs: read by others all the while, under load, and with kills of nothing else."""

from __future__ import annotations

import asyncio
import json
import random
from secrets import randbits

import pytest
from engine_support import TENANCY
from node_support import folded
from ops_support import PROGRAM, fine, served
from patience import eventually

from projection.cli.door import door_to
from projection.engine.orders import RepairOrder
from projection.engine.recipes import recipe_of
from projection.engine.replay import Replay
from projection.engine.verification import _problems_of_indexes
from projection.errors import ConfigurationError
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import encoded_view_key
from projection.model.settings import Settings
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

FINES = ViewType("fines")
BY = {"view_type": "fines", "by": "alice", "reason": "the disk was replaced"}
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3), fine("c", 4, tenant="u"), fine(7, 1)]
MANY = PROGRAM.replace("on Put as e to e.id", 'on Put as e for tag in ["", "x/"] to "{tag}{e.id}"')


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    return lambda events=EVENTS, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


async def ordered(one, status=200, **order):
    answer = await one.post("/v1/operations/repair", BY | order)
    assert status == answer.status_code, answer.text
    return answer.json()


def damage(one, view_id="b", tenant="t", wrong=None) -> None:
    """What stands there is another view's, or what is given; nobody but the disk knows."""
    (lane,) = one.node.lanes
    key = encoded_view_key(TenantId(tenant), FINES, ViewId(view_id))
    wrong = wrong or lane.store.get(key).replace(b'"n":3', b'"n":33')
    lane.store._environment.update(lambda change: change.put(key, wrong))


def is_right(one, events) -> None:
    (lane,) = one.node.lanes
    build = one.site.catalog.serving(FINES)
    replay = Replay((lane.deployed.within(build),), TENANCY)
    replay.run(events)
    (expected,) = replay.lanes
    assert folded(expected.store, FINES) == folded(lane.store, FINES)
    audit = lane.store.audit()
    assert (expected.store.digest(),) * 2 == (lane.store.digest(), audit.recomputed)
    assert audit.agrees
    assert [] == _problems_of_indexes(build, lane.store)


@pytest.mark.parametrize("target", [{"tenant_id": "t", "view_id": "b"}, {"tenant_id": "t"}, {}])
async def test_a_damaged_view_is_put_right_and_the_node_goes_on(site, target):
    async with site() as one:
        damage(one)
        assert 33 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        would = await ordered(one, **target, dry_run=True)
        assert (1, False, [{"view_id": "b", "fields": ["n"], "was": True, "ought": True}]) == (
            would["different"],
            would["written"],
            would["views"],
        )
        assert 33 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        came = await ordered(one, **target)
        assert (1, True, True, 6) == (came["different"], came["written"], came["sound"], came["scanned"])
        assert 3 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        is_right(one, EVENTS)
        more = [fine("b", 8), fine("a", 9)]
        await one.publish(more)
        assert 8 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        is_right(one, EVENTS + more)
        again = await ordered(one, **target)
        assert (0, False, None) == (again["different"], again["written"], again["sound"])
        (record,) = one.site.catalog.audit()
        assert ("repair", "alice", "http", 1) == (
            record.operation, record.author.name, record.author.door, record.details["views"],
        )  # fmt: skip


async def test_views_that_are_missing_or_should_not_be_there_and_parked_events_are_put_right(site):
    async with site() as one:
        (lane,) = one.node.lanes
        keys = [encoded_view_key(TenantId("t"), FINES, ViewId(view_id)) for view_id in ("a", "x")]
        stored = lane.store.get(keys[0])
        (parked,) = [each for each in lane.store.parked() if each.view_id == "a" and each.sequence == 2]

        def change(transaction):
            from projection.store.records import parked_key

            transaction.delete(keys[0])
            transaction.put(keys[1], stored)
            transaction.delete(parked_key(parked))

        lane.store._environment.update(change)
        came = await ordered(one, tenant_id="t")
        assert {("a", False, True), ("x", True, False)} == {
            (each["view_id"], each["was"], each["ought"]) for each in came["views"]
        }
        assert (1, True) == (came["parked"], came["sound"])
        is_right(one, EVENTS)


async def test_a_view_type_that_halted_at_a_damaged_view_goes_on_once_it_is_repaired(site):
    async with site() as one:
        damage(one, "b", wrong=b'{"balan')
        (lane,) = one.node.lanes
        lane._cache._views.clear()
        last = await one.site.publish([fine("b", 8)])
        await eventually(lambda: lane.halted is not None)
        came = await ordered(one, tenant_id="t", view_id="b")
        assert [
            {"view_id": "b", "fields": ["(all of it: what was stored cannot be read)"], "was": True, "ought": True}
        ] == came["views"]
        await one.until(last)
        assert 8 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        assert not one.node.health.troubles()
        is_right(one, [*EVENTS, fine("b", 8)])


async def test_a_paused_view_type_stays_paused(site):
    async with site() as one:
        assert 200 == (await one.post("/v1/operations/pause", BY)).status_code
        damage(one)
        assert (await ordered(one, tenant_id="t", view_id="b"))["written"]
        assert 3 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        assert {"fines"} == set(one.node.roster.paused)


async def test_those_who_follow_changes_are_told(site):
    async with site(entry={"changes": True}) as one:
        asked = one.http.stream("GET", f"{one.url}/v1/changes?view=fines", headers={"x-tenant-id": "t"})
        async with asked as stream:
            lines = stream.aiter_lines()

            async def until(wanted):
                async for line in lines:
                    if wanted in line:
                        return

            await until("event: level")
            damage(one)
            await ordered(one, tenant_id="t", view_id="b")
            await until("event: reset")
            await until('"n":3')


async def test_what_no_fold_gives_back_is_refused_and_nothing_changes(site, tmp_path):
    from test_live_operations import CORRECTED, deployed

    async with site() as one:
        for order, said in (
            ({"view_type": "nobody"}, "has no view type"),
            ({"view_id": "b"}, "but not its tenant"),
        ):
            assert said in (await ordered(one, 409, **order))["detail"]
        recipe = recipe_of(deployed(tmp_path / "corrected", one.site.template, CORRECTED)).encode()
        assert 200 == (await one.post("/v1/operations/adopt", BY | {"recipe": recipe})).status_code
        assert "was adopted" in (await ordered(one, 409, tenant_id="t"))["detail"]
        await one.publish([fine("b", 5)])
        assert 5 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]


async def test_a_log_that_is_another_one_repairs_nothing(site):
    async with site() as one:
        damage(one)
        await one.site.create_anew()
        refused = await ordered(one, 409, tenant_id="t", view_id="b")
        assert "stream" in refused["detail"]
        assert 33 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]


async def test_a_log_that_has_lost_some_of_what_was_read_repairs_nothing_and_tells_no_past(
    site, nats_server, stream_name
):
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        config = {"name": stream_name, "subjects": [f"{stream_name}.>"]}
        await nats.request(f"$JS.API.STREAM.CREATE.{stream_name}", json.dumps(config).encode())
        async with site() as one:
            assert 0 == (await ordered(one, tenant_id="t", view_id="b"))["different"]
            await nats.request(f"$JS.API.STREAM.MSG.DELETE.{stream_name}", b'{"seq": 4}')
            refused = await ordered(one, 409, tenant_id="t", view_id="b")
            assert "holds 5 messages by now of the 6" in refused["detail"]
            assert 410 == (await one.get("/v1/views/fines/b?at=5")).status_code
            assert 3 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
            left = await nats.request(f"$JS.API.CONSUMER.NAMES.{stream_name}", b"")
            assert not any(purpose in left for purpose in (b"repair_", b"past_"))


@pytest.mark.parametrize("program", [PROGRAM, MANY])
async def test_under_load_repairs_come_to_what_a_replay_comes_to(site, program):
    seed = randbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    ids = [f"v{number}" for number in range(6)]

    def some(count):
        return [fine(dice.choice(ids), dice.choice((-1, *range(9))), dice.choice("tu")) for _ in range(count)]

    log = some(60)
    async with site(log, programs={"fines": program}, http={"access_log": False}) as one:
        is_over = asyncio.Event()

        async def publish():
            while not is_over.is_set():
                log.extend(more := some(5))
                await one.site.publish(more)
                await asyncio.sleep(0.01)

        async def read():
            while not is_over.is_set():
                assert (await one.get("/v1/views/fines/v1")).status_code in (200, 404)
                await asyncio.sleep(0.01)

        busy = [asyncio.create_task(publish()), asyncio.create_task(read())]
        try:
            for _ in range(4):
                (lane,) = one.node.lanes
                views = [key for key, _ in lane.store.scan(None, FINES)]
                hurt, other = dice.choice(views), dice.choice(views)
                wrong = lane.store.get_view(other)
                lane.store._environment.update(lambda change, hurt=hurt, wrong=wrong: change.put(hurt.encode(), wrong))
                if dice.random() < 0.5:
                    lane._cache._views.clear()
                target = dice.choice(
                    ({"tenant_id": hurt.tenant_id, "view_id": hurt.view_id}, {"tenant_id": hurt.tenant_id}, {})
                )
                await ordered(one, **target)
            await ordered(one)
        finally:
            is_over.set()
            await asyncio.gather(*busy)
        await eventually(lambda: one.node.lanes[0].position.scanned == len(log))
        is_right(one, log)


async def test_a_command_reaches_the_node_and_repairs_the_folder_where_none_runs(
    site, nats_server, stream_name, tmp_path
):
    data = tmp_path / "data"
    settings = Settings(nats={"url": nats_server.url}, stream=stream_name, storage=data)

    def give(**order):
        with door_to(data) as door:
            return door.repair(RepairOrder(**BY, **order), settings)

    async with site() as one:
        damage(one)
        assert (1, True) == ((came := await asyncio.to_thread(give, tenant_id="t", view_id="b")).different, came.sound)
        with pytest.raises(ConfigurationError, match="but not its tenant"):
            await asyncio.to_thread(give, view_id="b")
        damage(one)
    assert (1, False) == ((came := await asyncio.to_thread(give, dry_run=True)).different, came.written)
    assert (1, True) == ((came := await asyncio.to_thread(give, tenant_id="t")).different, came.sound)
    async with site(()) as one:
        is_right(one, EVENTS)
        assert ["socket", "offline"] == [record.author.door for record in one.site.catalog.audit()]
