"""The change feed over HTTP: a real log, a real node and real sockets, some of which nobody reads from."""

import asyncio
import json
import os
from contextlib import ExitStack, aclosing, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from change_clients import answering, following, not_reading
from engine_support import TALLIES, added, deploy, envelope, erased
from node_support import Site
from patience import WITHIN_S, eventually

from projection.ops.http import protocol
from projection.ops.http.protocol import BoundedProtocol
from projection.query import change_feed
from projection.query.changes import CHUNK_BYTES
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.testing.hostile_ids import TRAPS

OTHER = TALLIES.replace("total: int = 0,", "total: int = 0, also: int = 7,")


@pytest.fixture
async def site(nats_server, stream_name, tmp_path):
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        yield await Site(nats, nats_server.url, stream_name, tmp_path).create()


@pytest.fixture
def tallies(site, tmp_path):
    """The view type of these tests, with its changes kept."""

    def tallies(program=TALLIES, *, changes=True):
        return deploy(tmp_path / "deployed", program, template=site.template, changes=changes)

    return tallies


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(change_feed, "PACE_S", 0.001)
    monkeypatch.setattr(change_feed, "_LOOK_S", 0.02)


def short(told):
    """Name, id and total of what changed, by id: between two commits only the newest is told."""
    return {
        one.data["id"]: (one.name, one.data["view"]["total"]) if "view" in one.data else (one.name,)
        for one in told
        if one.name in ("changed", "deleted", "unmatched")
    }


async def test_a_stream_tells_the_present_and_what_changes_and_goes_on_where_it_was_cut(site, tallies):
    async with answering(site, tallies()) as at:
        await at.scanned(await site.publish([added("one"), added("two", 2), added("one", tenant="b")]))
        async with following(at.port, snapshot="true") as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            found = await stream.until("level")
            assert short(found) == {"one": ("changed", 1), "two": ("changed", 2)}
            assert found[-1].data["scanned"] == 3
            last = await site.publish([added("one", 10)])
            assert short(await stream.until("level", scanned=last)) == {"one": ("changed", 11)}
            cut = stream.last
        last = await site.publish(
            [erased("two"), added("three", 3), added("one"), added("one"), added("two", tenant="b")]
        )
        await at.scanned(last)
        for way in ({"headers": {"last-event-id": cut}}, {"last_event_id": cut, "snapshot": "true"}):
            async with following(at.port, **way) as stream:
                found = short(await stream.until("level"))
                assert found == {"two": ("deleted",), "three": ("changed", 3), "one": ("changed", 13)}
        async with following(at.port, headers={"last-event-id": stream.last}, last_event_id=cut) as stream:
            assert short(await stream.until("level")) == {}  # the header is newer than the address
        await _ended(at)


async def _ended(at, connections=(), count=0):
    """Wait until so many connections were made and all streams are closed; the server learns of that by the socket."""
    await eventually(lambda: len(connections) >= count and not at.service.changes.streams)


async def test_filter_and_selection_stand_in_the_address(site, tallies):
    structured = json.dumps({"field": "total", "op": "gt", "value": 5})
    async with answering(site, tallies()) as at:
        await at.scanned(await site.publish([added("one"), added("two", 20)]))
        for condition in ("total > 5", structured):
            async with following(at.port, filter=condition, select="total,events", snapshot="true") as stream:
                told = await stream.until("level")
                assert told[0].data["view"] == {"events": 1, "total": 20}
        async with following(at.port, filter="total > 5") as stream:
            await stream.until("level")
            last = await site.publish([added("two", -18)])
            assert short(await stream.until("level", scanned=last)) == {"two": ("unmatched",)}


@pytest.mark.parametrize("tenant", ["a", "b"])
async def test_silence_is_broken_by_comments_which_carry_an_id(site, tallies, monkeypatch, tenant):
    """Also where other tenants' views change."""
    monkeypatch.setattr(change_feed, "HEARTBEAT_S", 0.05)
    async with answering(site, tallies()) as at, following(at.port, tenant) as stream:
        await stream.until("level")
        before, ids = len(stream.blocks), {stream.last}
        last = await site.publish([added("one", tenant="c")])
        async with asyncio.timeout(WITHIN_S), aclosing(stream.told()) as told:
            async for one in told:
                assert one.name == ""
                ids.add(one.id)
                if len(ids) >= 2:  # it moves on, so that one who comes back begins behind what is not its own
                    break
        assert all(block.startswith(":\nid: ") for block in stream.blocks[before:])
        await at.scanned(last)


async def test_each_tenant_is_told_of_its_own_views_whatever_it_is_called(site, tallies):
    """And an id of one is refused to every other."""
    tenants = [trap for trap in TRAPS if trap.isprintable() and trap == trap.strip()][:20]
    async with answering(site, tallies()) as at:
        await at.scanned(
            await site.publish([added(name, number, tenant=name) for number, name in enumerate(tenants, 1)])
        )
        ids = {}
        for number, name in enumerate(tenants, 1):
            async with following(at.port, name, snapshot="true") as stream:
                assert short(await stream.until("level")) == {name: ("changed", number)}
                ids[name] = stream.last
        for name, other in pairwise(tenants):
            await _is_refused(at, other, "query.cursor_invalid", headers={"last-event-id": ids[name]})


async def _is_refused(at, tenant, code, headers=None, **params):
    async with following(at.port, tenant, headers=headers, **params) as stream:
        problem = json.loads(await stream.body())
        assert (problem["code"], problem["status"]) == (code, stream.status)
        return problem


async def test_what_cannot_be_followed_is_refused_before_the_stream_begins(site, tallies):
    async with answering(site, tallies(), limits={"streams": 2, "streams_per_tenant": 1}) as at:
        await at.scanned(await site.publish([added("one")]))
        async with following(at.port, "a", filter="total > 0", snapshot="true") as stream:
            await stream.until("level")
            problem = await _is_refused(at, "a", "query.busy")
            assert "1 streams of changes are open of this tenant" in problem["detail"]
        await _ended(at)
        for hostile in (
            stream.last,
            stream.last[:-3],
            stream.last + "AA",
            "x" * 5000,
            "%00",
            "é".encode().decode("latin-1"),
        ):
            await _is_refused(at, "a", "query.cursor_invalid", headers={"last-event-id": hostile})
            await _is_refused(at, "a", "query.cursor_invalid", last_event_id=hostile)
        await _is_refused(at, "a", "query.invalid", filter="sum > 0")
        await _is_refused(at, "a", "query.invalid", select="sum")
        await _is_refused(at, "a", "query.unknown_view_type", view="nothing")
        await _is_refused(at, "a", "http.invalid", snapshot="yes")
        await _is_refused(at, "a", "http.invalid", since="7")
        assert at.service.changes.streams == 0


async def test_changes_that_are_not_kept_are_refused_with_what_to_do(site, tallies):
    async with answering(site, tallies(changes=False)) as at:
        problem = await _is_refused(at, "a", "query.changes_off")
        assert "changes: true" in problem["hint"]


async def test_changes_are_there_once_a_store_is_filled_and_gone_when_they_are_switched_off(site, tallies):
    async with answering(site, tallies(changes=False)) as at:
        await at.scanned(await site.publish([added(f"v{number}", number) for number in range(300)]))
    async with answering(site, tallies()) as at:
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with following(at.port, snapshot="true") as stream:
                    if stream.status == 200:
                        found = short(await stream.until("level"))
                        break
                await asyncio.sleep(0.01)
        assert found == {f"v{number}": ("changed", number) for number in range(300)}
        cut = stream.last
    async with answering(site, tallies(changes=False)) as at:
        await _is_refused(at, "a", "query.changes_off", headers={"last-event-id": cut})


async def test_another_build_is_told_by_a_reset_and_everything_comes_anew(site, tallies):
    """While the stream is open, and to one who comes back later."""
    async with answering(site, tallies()) as at:
        await at.scanned(await site.publish([added("one"), added("two")]))
        async with following(at.port, snapshot="true") as stream:
            await stream.until("level")
            cut = stream.last
    last = await site.publish([erased("two")])
    async with (
        answering(site, tallies(OTHER), new_build=True) as at,
        following(at.port, headers={"last-event-id": cut}) as stream,
    ):
        found = await stream.until("reset")
        assert found[-1].data["reason"] == "build"
        found = await stream.until("level", scanned=last)
        assert short(found) == {"one": ("changed", 1)}
        assert found[0].data["view"]["also"] == 7


async def test_a_stream_that_cannot_go_on_tells_why_and_ends(site, tallies):
    async with answering(site, tallies()) as at:
        await at.scanned(await site.publish([added("one", 1)]))
        async with following(at.port, filter="div(1, total) == 1", snapshot="true") as stream:
            assert short(await stream.until("level")) == {"one": ("changed", 1)}
            await site.publish([added("one", -1)])
            (problem,) = await stream.until("problem")
            assert (problem.data["code"], problem.data["pointer"], problem.id) == (
                "query.filter_failed",
                "/filter",
                None,
            )
            assert [one async for one in stream.told()] == []


async def test_streams_end_when_the_server_stops(site, tallies):
    async with answering(site, tallies()) as at, following(at.port) as stream:
        await stream.until("level")
        at.service.stopping.set()
        async with asyncio.timeout(WITHIN_S):
            async for one in stream.told():
                assert one.name == ""  # and then the stream ends as HTTP says


class TestClientsThatDoNotRead:
    """Must show: 200 slow or dead clients do not slow the node, nor grow memory without bound."""

    CLIENTS = 200
    VIEWS = 400
    TEXT = "x" * 10_000  # in each view: what is there is some times what kernels hold for a connection

    @pytest.fixture
    def connections(self, monkeypatch):
        """The server's side of every connection that was ever made."""
        made = []
        before = BoundedProtocol.connection_made

        def connection_made(self, transport):
            made.append(transport)
            before(self, transport)

        monkeypatch.setattr(BoundedProtocol, "connection_made", connection_made)
        return made

    async def test_they_are_held_one_chunk_each_and_nobody_else_notices(self, site, tallies, connections, monkeypatch):
        monkeypatch.setattr(protocol, "STALL_S", float("inf"))  # longer than the test takes, on whatever machine
        grown = [envelope("Grown", {"id": f"v{number}", "texts": [self.TEXT]}) for number in range(self.VIEWS)]
        async with answering(site, tallies(), limits={"streams_per_tenant": 2 * self.CLIENTS}) as at:
            await at.scanned(await site.publish(grown))
            with ExitStack() as stack:
                for _ in range(self.CLIENTS):
                    stack.enter_context(await not_reading(at.port, snapshot="true"))
                await eventually(lambda: at.service.changes.streams == self.CLIENTS)
                before = _memory()
                async with following(at.port, snapshot="true", select="total") as healthy:
                    await healthy.until("level")
                    last = await site.publish(
                        [added(f"v{number % self.VIEWS}") for number in range(5 * self.VIEWS)] + [erased("v0")]
                    )
                    found = short(await healthy.until("level", scanned=last))
                expected = {f"v{number}": ("changed", 5) for number in range(1, self.VIEWS)} | {"v0": ("deleted",)}
                assert {one: found[one] for one in expected} == expected
                assert at.service.changes.streams >= self.CLIENTS
                held = [one.get_write_buffer_size() for one in connections if not one.is_closing()]
                assert max(held) <= 4 * CHUNK_BYTES
                assert sum(held) > 0  # they do not read
                assert _memory() - before < 64 * 2**20

    async def test_they_are_disconnected_when_they_take_nothing_for_a_while_and_make_room(
        self, site, tallies, connections, monkeypatch
    ):
        monkeypatch.setattr(protocol, "STALL_S", 0.2)
        grown = [envelope("Grown", {"id": f"v{number}", "texts": [self.TEXT]}) for number in range(self.VIEWS)]
        async with answering(site, tallies()) as at:
            await at.scanned(await site.publish(grown))
            with ExitStack() as stack:
                clients = [stack.enter_context(await not_reading(at.port, snapshot="true")) for _ in range(20)]
                dripping = asyncio.create_task(_drip(clients[:5]))
                await _ended(at, connections, len(clients))
                dripping.cancel()
            assert all(one.is_closing() for one in connections)


async def _drip(clients):
    """Read a byte of each, again and again."""
    while True:
        for client in clients:
            with suppress(OSError):
                client.recv(1)
        await asyncio.sleep(0.05)


def _memory():
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
