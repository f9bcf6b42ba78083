"""Free pages are given back while the node runs: it folds on, its views are answered, and the audit tells."""

from __future__ import annotations

import asyncio
import threading

import pytest
from engine_support import TENANCY
from node_support import folded
from ops_support import PROGRAM, busy, fine, served
from patience import WITHIN_S, eventually

from projection.cli.door import door_to
from projection.engine.compaction import compact
from projection.engine.inventory import build_states
from projection.engine.orders import CompactOrder
from projection.engine.replay import Replay
from projection.errors import ConfigurationError
from projection.model.ids import ViewType
from projection.store.catalog import Catalog, CatalogReader

FINES, OTHERS = ViewType("fines"), ViewType("others")
BY = {"by": "alice", "reason": "the disk is small"}
BOTH = {"fines": PROGRAM, "others": PROGRAM.replace("projection fines", "projection others")}
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3)]
JUNK = [b"junk:%04d" % number for number in range(3_000)]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder."""
    return lambda events=EVENTS: served(nats_server.url, stream_name, tmp_path, events, programs=BOTH)


def swollen(*lanes):
    """Have megabytes of free pages in the stores of some lanes."""
    for lane in lanes:
        update = lane.store._environment.update
        update(lambda transaction: [transaction.put(key, bytes(900)) for key in JUNK])
        update(lambda transaction: [transaction.delete(key) for key in JUNK])


async def ordered(one, status=200, **order):
    answer = await one.post("/v1/operations/compact", BY | order)
    assert status == answer.status_code, answer.text
    return answer


async def test_the_node_folds_on_and_answers_and_comes_to_the_same(site):
    log = list(EVENTS)
    async with site() as one:
        swollen(*one.node.lanes)
        async with busy(one, log) as answers:
            builds = (await ordered(one)).json()["builds"]
            before = len(answers)
            await eventually(lambda: len(answers) > before)
        assert {(200, 3)} == set(answers)
        assert {"fines", "others"} == {each["view_type"] for each in builds}
        assert all(each["before"] - each["after"] > 1_000_000 for each in builds)
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == len(log))
        assert not one.node.health.troubles()
        for lane in one.node.lanes:
            replay = Replay((lane.deployed,), TENANCY)
            replay.run(log)
            (expected,) = replay.lanes
            assert folded(expected.store, lane.view_type) == folded(lane.store, lane.view_type)
            assert lane.store.audit().agrees
        (record,) = one.site.catalog.audit()
        assert ("compact", "", "alice", "http", 2) == (
            record.operation, record.view_type, record.author.name, record.author.door, record.details["builds"],
        )  # fmt: skip
        assert record.details["given_back"] == sum(each["before"] - each["after"] for each in builds)


async def test_one_view_type_is_compacted_by_command_and_others_are_left(site):
    async with site() as one:
        swollen(*one.node.lanes)

        def give(view_type):
            with door_to(one.site.data) as door:
                return door.compact(CompactOrder(view_type=view_type, **BY), lambda _: None)

        came = await asyncio.to_thread(give, "others")
        assert [("others", 1)] == [(each.view_type, each.build) for each in came.builds]
        assert came.given_back > 1_000_000
        with pytest.raises(ConfigurationError, match="has no view type 'none'"):
            await asyncio.to_thread(give, "none")
        assert "no view type" in (await ordered(one, 409, view_type="none")).json()["detail"]
        data = one.site.data
    with CatalogReader.open(data) as catalog:
        free = {str(each.build.view_type): each.free for each in build_states(catalog)}
    assert free["others"] < 200_000
    assert free["fines"] > 1_000_000


async def test_one_that_is_canceled_ends_at_once_also_where_the_store_is_held_up(site):
    async with site() as one:
        swollen(*one.node.lanes)
        (lane,) = one.node.roster.of(FINES)
        held, over = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            held.set()
            assert over.wait(WITHIN_S)

        writing = asyncio.create_task(asyncio.to_thread(lane.store._environment.update, hold))
        await asyncio.to_thread(held.wait, WITHIN_S)
        try:
            begun = await one.post("/v1/operations/compact", BY | {"view_type": "fines"}, prefer="respond-async")
            assert 202 == begun.status_code, begun.text
            location = begun.headers["location"]
            assert "running" == (await one.get(location)).json()["state"]
            canceled = await one.send("DELETE", f"{location}?by=alice")
            assert 200 == canceled.status_code, canceled.text
            tasks = one.service.long.tasks
            await eventually(lambda: tasks.one(location.rpartition("/")[2]).state == "canceled")
        finally:
            over.set()
            await writing
        assert [] == one.site.catalog.audit()
        await one.publish([fine("b", 9)])
        assert 9 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]


async def test_builds_that_are_not_folded_are_compacted_and_a_damaged_one_is_passed_over(site):
    async with site() as one:
        swollen(*one.node.lanes)
        data = one.site.data
    path = data / "others" / "1" / "0" / "data.mdb"
    with path.open("r+b") as file:
        file.write(bytes(4096))
    with Catalog.open(data) as catalog:
        came = compact(catalog)
        (record,) = catalog.audit()
    found = {each.view_type: each for each in came.builds}
    assert found["fines"].before - found["fines"].after > 1_000_000
    assert "damaged" in found["others"].problem
    assert found["others"].before == found["others"].after
    assert ("compact", "offline", 2) == (record.operation, record.author.door, record.details["builds"])
