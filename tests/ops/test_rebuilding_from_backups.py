"""A new build that begins with a backup, where the log has lost its start: it comes to what the answering one came to."""

from __future__ import annotations

import asyncio

import pytest
from backup_support import backed_up
from node_support import Site, folded
from ops_support import fine, served
from patience import eventually

from projection.cli.door import door_to
from projection.engine.backup import back_up
from projection.engine.backup_bucket import BackupBucket
from projection.engine.orders import RebuildOrder
from projection.model.ids import ViewType
from projection.store.catalog import Catalog
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
        with BackupBucket(NatsConnection(nats_server.url), stream_name) as bucket, Catalog.open(data) as catalog:
            back_up(catalog, bucket)
        async with site(EVENTS[3:]) as one:
            for sequence, view_id in ((2, "a"), (4, "b")):
                order = {"sequence": sequence, "tenant_id": "t", "view_id": view_id}
                answer = await one.post("/v1/operations/drop", BY | order)
                assert 200 == answer.status_code, answer.text
        await nats.request(f"$JS.API.STREAM.PURGE.{stream_name}", b'{"seq": 4}')
    return data


@pytest.fixture(params=["directory", "bucket"])
def source(request, stream_name, tmp_path):
    """Where the backup is, as an order names it, and as the audit does."""
    directory = str(tmp_path / "backups")
    if request.param == "directory":
        return {"backup": directory}, directory
    return {"object_store": stream_name}, f"object store {stream_name}"


@pytest.fixture
def rebuilt(left, source, nats_server):
    def rebuild():
        with door_to(left) as door:
            return door.rebuild(RebuildOrder(**BY, **source[0]), lambda: NatsConnection(nats_server.url))

    return rebuild


async def is_level(one, before, number):
    await eventually(lambda: one.site.catalog.serving(FINES).number == number)
    await eventually(lambda: len(one.node.lanes) == 1)
    (lane,) = one.node.lanes
    assert before == (folded(lane.store, FINES), lane.store.digest(), lane.store.fold_identity())


async def test_it_goes_on_from_the_backup_with_later_decisions_while_a_node_runs(site, rebuilt, source):
    async with site() as one:
        (lane,) = one.node.lanes
        before = folded(lane.store, FINES), lane.store.digest(), lane.store.fold_identity()
        came = await asyncio.to_thread(rebuilt)
        await is_level(one, before, came.build)
        *_, ordered_by, _switched = one.site.catalog.audit()
        assert ("rebuild", source[1]) == (ordered_by.operation, ordered_by.details["backup"])
        await one.publish([fine("c", 9)])
        assert 9 == (await one.get("/v1/views/fines/c")).json()["view"]["n"]
        answer = await one.post("/v1/operations/rebuild", BY | source[0])
        assert (409, "a request over the network cannot name a backup") == (answer.status_code, answer.json()["detail"])


async def test_it_goes_on_from_the_backup_at_the_next_start(site, rebuilt):
    async with site() as one:
        (lane,) = one.node.lanes
        before = folded(lane.store, FINES), lane.store.digest(), lane.store.fold_identity()
    came = await asyncio.to_thread(rebuilt)
    async with site() as one:
        await is_level(one, before, came.build)
