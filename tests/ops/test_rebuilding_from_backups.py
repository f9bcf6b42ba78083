"""A new build that begins with a backup, where the log has lost its start: it comes to what the answering one came to."""

from __future__ import annotations

import asyncio

import pytest
from backup_support import backed_up
from node_support import Site, folded
from ops_support import fine, served
from patience import eventually

from projection.cli.door import door_to
from projection.engine.orders import RebuildOrder
from projection.model.ids import ViewType
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

FINES = ViewType("fines")
BY = {"view_type": "fines", "by": "alice", "reason": "the log begins later"}
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", -3), fine("b", 3), fine("c", 4)]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    return lambda events=(): served(nats_server.url, stream_name, tmp_path, events)


@pytest.fixture
async def left(site, nats_server, stream_name, tmp_path):
    """A folder with a backup of two decisions fewer than it has, on a stream that has lost its first events."""
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        await (await Site(nats, nats_server.url, stream_name, tmp_path).create()).create_anew()  # one that loses some
        async with site(EVENTS[:3]) as one:
            data = one.site.data
        backed_up(data, tmp_path / "backups")
        async with site(EVENTS[3:]) as one:
            for sequence, view_id in ((2, "a"), (4, "b")):
                order = {"sequence": sequence, "tenant_id": "t", "view_id": view_id}
                answer = await one.post("/v1/operations/drop", BY | order)
                assert 200 == answer.status_code, answer.text
        await nats.request(f"$JS.API.STREAM.PURGE.{stream_name}", b'{"seq": 4}')
    return data


def rebuilt(data, backup):
    with door_to(data) as door:
        return door.rebuild(RebuildOrder(**BY, backup=str(backup)))


async def is_level(one, before, number):
    await eventually(lambda: one.site.catalog.serving(FINES).number == number)
    await eventually(lambda: len(one.node.lanes) == 1)
    (lane,) = one.node.lanes
    assert before == (folded(lane.store, FINES), lane.store.digest(), lane.store.fold_identity())


async def test_it_goes_on_from_the_backup_with_later_decisions_while_a_node_runs(site, left, tmp_path):
    async with site() as one:
        (lane,) = one.node.lanes
        before = folded(lane.store, FINES), lane.store.digest(), lane.store.fold_identity()
        came = await asyncio.to_thread(rebuilt, left, tmp_path / "backups")
        await is_level(one, before, came.build)
        *_, ordered_by, _switched = one.site.catalog.audit()
        assert ("rebuild", str(tmp_path / "backups")) == (ordered_by.operation, ordered_by.details["backup"])
        await one.publish([fine("c", 9)])
        assert 9 == (await one.get("/v1/views/fines/c")).json()["view"]["n"]
        answer = await one.post("/v1/operations/rebuild", BY | {"backup": str(tmp_path / "backups")})
        assert (409, "a request over the network cannot name a backup") == (answer.status_code, answer.json()["detail"])


async def test_it_goes_on_from_the_backup_at_the_next_start(site, left, tmp_path):
    async with site() as one:
        (lane,) = one.node.lanes
        before = folded(lane.store, FINES), lane.store.digest(), lane.store.fold_identity()
    came = rebuilt(left, tmp_path / "backups")
    async with site() as one:
        await is_level(one, before, came.build)
