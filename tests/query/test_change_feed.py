"""The change feed: streams that wait for the lane, end with it, and begin anew when another build answers."""

import asyncio
import json
import threading
from contextlib import ExitStack, aclosing

import pytest
from patience import WITHIN_S

from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.query_limits import QueryLimits
from projection.model.recipe import Recipe, RecipeProgram, RecipeTenancy
from projection.query import change_feed
from projection.query.change_feed import ChangeFeed
from projection.query.errors import (
    ChangesOffError,
    CursorInvalidError,
    FilterFailedError,
    QueryBusyError,
    QueryInvalidError,
    UnknownViewTypeError,
)
from projection.query.filters import CompiledFilter
from projection.query.form import Query
from projection.query.serving import Served, Serving
from projection.store.build import Build
from projection.store.catalog import Catalog
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ACME, Owner

COUNTERS = ViewType("counters")
PROGRAM = """\
proj 1
projection counters

event Counted { name: string(32) }

view Counter { n: int, note: string(32)? }

on Counted as e creates e.name => { n: 1 }
"""
NO_SELECTION = {"view": "counters"}


def key(view_id, tenant=ACME):
    return ViewKey(tenant, COUNTERS, ViewId(view_id))


def counter(n):
    return b'{"n":%d,"note":null}' % n


class Lane:
    """A build of the catalog with its store, written by the test."""

    def __init__(self, catalog, program=PROGRAM, *, changes=True, serves=True):
        recipe = Recipe({}, RecipeTenancy(enabled=True, default=""), RecipeProgram("counters.proj", program, "digest"))
        self.build = Build(catalog.data, COUNTERS, catalog.reserve(COUNTERS), "identity", recipe.encode())
        catalog.record(self.build, serves=serves)
        self.store = LmdbLaneStore.open(self.build.lane_path(), "f0", durability="process")
        self.store.declare_changes(wanted=changes)
        self.owner = Owner(self.store)

    def write(self, **views):
        self.owner.write({key(name): None if n is None else counter(n) for name, n in views.items()})


class Node:
    """A catalog, the lanes that are open in this process, and a feed over them."""

    def __init__(self, folder):
        self.catalog = Catalog.open(folder)
        self.lanes = {}
        self.serving = Serving(self.catalog, lambda build: self.lanes[build.number].store)
        self.feed = self.limited()

    def limited(self, streams=10, streams_per_tenant=10):
        key = self.catalog.cursor_key
        return ChangeFeed(self.serving, key, QueryLimits(), streams=streams, streams_per_tenant=streams_per_tenant)

    def lane(self, program=PROGRAM, **options):
        lane = Lane(self.catalog, program, **options)
        self.lanes[lane.build.number] = lane
        return lane

    def close(self):
        self.serving.close()
        for lane in self.lanes.values():
            lane.store.close()
        self.catalog.close()


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path / "data")
    yield node
    node.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(change_feed, "PACE_S", 0.001)
    monkeypatch.setattr(change_feed, "_LOOK_S", 0.02)


def query(**parts):
    return Query.read(NO_SELECTION | parts)


async def heard(stream, until="level"):
    """What is told up to an event of this name: name, id, and what else there is to it."""
    found = []
    async with asyncio.timeout(WITHIN_S), aclosing(stream.messages()) as messages:
        async for some in messages:
            for message in some:
                if message.event is not None:
                    found.append(message)
                    if message.event.name == until:
                        return found
    return found


def short(messages):
    return [
        (one.event.name, getattr(one.event, "id", None), json.loads(bytes(one.event.view))["n"])
        if one.event.name == "changed"
        else (one.event.name, getattr(one.event, "id", None))
        for one in messages
        if one.event.name != "level"
    ]


async def test_the_present_comes_first_and_then_what_is_committed(node):
    lane = node.lane()
    lane.write(a=1, b=2)
    with node.feed.open(ACME, query(), present=True) as stream:
        found = await heard(stream)
        assert short(found) == [("changed", "a", 1), ("changed", "b", 2)]
        assert found[-1].event.scanned == 1
        waiting = asyncio.ensure_future(heard(stream, until="deleted"))
        await asyncio.sleep(0)
        lane.write(c=3)
        lane.write(a=None)
        assert short(await waiting) == [("changed", "c", 3), ("deleted", "a")]


async def test_the_first_message_says_where_the_stream_begins_so_that_one_can_come_back_who_heard_nothing(node):
    lane = node.lane()
    lane.write(a=1)
    with node.feed.open(ACME, query()) as stream:
        async with aclosing(stream.messages()) as messages:
            ((begin,),) = [await anext(messages)]
        assert begin.event is None
    lane.write(b=2)
    with node.feed.open(ACME, query(), last=begin.id) as stream:
        assert short(await heard(stream)) == [("changed", "b", 2)]


async def test_one_who_comes_back_goes_on_behind_the_last_message(node):
    lane = node.lane()
    lane.write(a=1, b=2, c=3)
    with node.feed.open(ACME, query(), present=True) as stream:
        found = await heard(stream)
    with node.feed.open(ACME, query(), last=found[0].id, present=True) as stream:
        assert short(await heard(stream)) == [("changed", "b", 2), ("changed", "c", 3)]


async def test_filter_and_selection_are_those_of_a_query(node):
    lane = node.lane()
    lane.write(a=1, b=2)
    structured = {"field": "n", "op": "gt", "value": 1}
    for condition in ("n > 1", structured):
        with node.feed.open(ACME, query(filter=condition, select=["n"]), present=True) as stream:
            (message, _) = await heard(stream)
            assert bytes(message.event.view) == b'{"n":2}'
            lane.write(b=0)
            assert short(await heard(stream, until="unmatched")) == [("unmatched", "b")]
            lane.write(b=2)


async def test_a_switch_to_another_build_is_told_and_everything_comes_anew_with_its_own_schema(node):
    lane = node.lane()
    lane.write(a=1, b=2)
    with node.feed.open(ACME, query(filter="n > 0"), present=True) as stream:
        await heard(stream)
        waiting = asyncio.ensure_future(heard(stream, until="changed"))
        await asyncio.sleep(0)
        other = node.lane(PROGRAM.replace("n: int, note", "m: int = 0, n: int, note"), serves=False)
        other.owner.write({key("a"): b'{"m":0,"n":5,"note":null}'})
        node.catalog.serve(other.build)
        lane.store.close()
        found = await waiting
        assert short(found) == [("reset", None), ("changed", "a", 5)]
        (reset,) = [one.event for one in found if one.event.name == "reset"]
        assert (reset.build, reset.reason) == (2, "build")


async def test_a_filter_that_the_new_builds_views_do_not_have_ends_the_stream_with_its_reason(node):
    node.lane().write(a=1)
    with node.feed.open(ACME, query(filter="n > 0"), present=True) as stream:
        await heard(stream)
        other = node.lane(PROGRAM.replace("n: int", "m: int").replace("n: 1", "m: 1"), serves=False)
        node.catalog.serve(other.build)
        with pytest.raises(QueryInvalidError):
            await heard(stream, until="reset")


async def test_a_filter_is_made_ready_in_turns_before_its_stream_is_opened(node, monkeypatch):
    node.lane().write(a=1)
    threads = set()
    prepare, compile_ = Served._prepare, CompiledFilter.compile
    monkeypatch.setattr(
        Served, "_prepare", lambda self, *more: threads.add(threading.current_thread().name) or prepare(self, *more)
    )
    monkeypatch.setattr(
        CompiledFilter, "compile", lambda self: threads.add(threading.current_thread().name) or compile_(self)
    )
    wanted = query(filter="n > 0 and n < 7")
    await node.feed.ready(wanted)
    assert threads == {"filter"}, "it is held up there, and here nobody is"
    with node.feed.open(ACME, wanted, present=True) as stream:
        assert short(await heard(stream)) == [("changed", "a", 1)]
    assert threads == {"filter"}


async def test_a_filter_that_computes_much_is_asked_of_one_view_in_a_turn(node, monkeypatch):
    monkeypatch.setattr("projection.query.changes.SLICE_S", 0.0)
    node.lane().write(**{f"v{number}": number for number in range(9)})
    with node.feed.open(ACME, query(filter="n * n >= 0"), present=True) as stream:
        async with aclosing(stream.messages()) as messages:
            chunks = [
                sum(one.event is not None and one.event.name == "changed" for one in await anext(messages))
                for _ in range(10)
            ]
    assert chunks == [0] + [1] * 9


async def test_a_filter_that_fails_on_a_view_ends_the_stream_with_its_reason(node):
    node.lane().write(a=0)
    with node.feed.open(ACME, query(filter="div(1, n) > 0"), present=True) as stream, pytest.raises(FilterFailedError):
        await heard(stream)


async def test_changes_that_are_switched_off_end_the_stream(node):
    lane = node.lane()
    with node.feed.open(ACME, query()) as stream:
        await heard(stream)
        lane.store.declare_changes(wanted=False)
        with pytest.raises(ChangesOffError):
            await heard(stream, until="never")


async def test_silence_is_broken_by_an_id_that_moves_on_with_the_lane(node, monkeypatch):
    monkeypatch.setattr(change_feed, "HEARTBEAT_S", 0.05)
    lane = node.lane()
    with node.feed.open(ACME, query()) as stream:
        async with asyncio.timeout(WITHIN_S), aclosing(stream.messages()) as messages:
            ((begin,), (_level,)) = [await anext(messages), await anext(messages)]
            lane.owner.write({key("a", TenantId("other")): counter(1)})
            ids = {begin.id}
            while len(ids) < 2:
                ((sign,),) = [await anext(messages)]
                assert sign.event is None
                ids.add(sign.id)


async def test_all_streams_together_read_no_longer_in_a_round_of_the_loop_than_their_share(node, monkeypatch):
    """However many there are, whatever else the loop has to do comes to its turn; and each of them to its own."""
    monkeypatch.setattr("projection.query.turns.SLICE_S", 1e-9)  # one chunk is more than that
    node.lane().write(**{f"v{number:03}": number for number in range(200)})
    rounds, reads = [0], []
    before = change_feed.Stream._read

    def read(self, *args, **more):
        reads.append(rounds[0])
        return before(self, *args, **more)

    monkeypatch.setattr(change_feed.Stream, "_read", read)

    async def tick():
        while True:
            rounds[0] += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    with ExitStack() as stack:
        feed = node.limited(50, 50)
        streams = [stack.enter_context(feed.open(ACME, query(), present=True)) for _ in range(30)]
        for found in await asyncio.gather(*(heard(stream) for stream in streams)):
            assert len(found) == 201
    ticking.cancel()
    assert len(reads) == len({*reads})


async def test_whoever_brings_an_id_of_another_node_begins_anew_if_it_wants_what_is_there(node, tmp_path):
    """Behind a balancer, a client that comes back may be led to any node."""
    other = Node(tmp_path / "other")
    try:
        for one in (node, other):
            one.lane().write(a=1)
        with other.feed.open(ACME, query(), present=True) as stream:
            given = (await heard(stream))[-1].id
    finally:
        other.close()
    with node.feed.open(TenantId("b"), query(), present=True) as stream:
        of_another_tenant = (await heard(stream))[-1].id
    for last in (given, of_another_tenant, "ü%", ""):
        with pytest.raises(CursorInvalidError):
            node.feed.open(ACME, query(), last=last)
        with node.feed.open(ACME, query(), last=last, present=True) as stream:
            found = await heard(stream)
        assert [("reset", None), ("changed", "a", 1)] == short(found)
        assert "node" == found[0].event.reason
        with node.feed.open(ACME, query(), last=found[-1].id) as stream:
            assert [] == short(await heard(stream))


async def test_whoever_heard_nothing_since_it_was_led_to_another_node_begins_anew_once_more(node):
    node.lane().write(a=1)
    with node.feed.open(ACME, query(), last="of another node", present=True) as stream:
        async with aclosing(stream.messages()) as messages:
            ((first,),) = [await anext(messages)]
    assert first.event is None
    with node.feed.open(ACME, query(), last=first.id) as stream:
        assert [("reset", None), ("changed", "a", 1)] == short(await heard(stream))


class TestWhoIsRefused:
    def test_a_view_type_that_keeps_no_changes(self, node):
        node.lane(changes=False)
        with pytest.raises(ChangesOffError, match="counters keeps no changes; set `changes: true`"):
            node.feed.open(ACME, query())

    def test_a_view_type_that_is_not_served(self, node):
        with pytest.raises(UnknownViewTypeError):
            node.feed.open(ACME, query())

    def test_a_filter_that_does_not_fit_the_views(self, node):
        node.lane()
        with pytest.raises(QueryInvalidError):
            node.feed.open(ACME, query(filter="m > 1"))

    async def test_ids_of_another_tenant_of_other_parameters_and_of_nobody(self, node):
        node.lane().write(a=1)
        with node.feed.open(ACME, query(filter="n > 0"), present=True) as stream:
            (message, _) = await heard(stream)
        for tenant, other in (
            (TenantId("acme:"), query(filter="n > 0")),
            (ACME, query(filter="n > 1")),
            (ACME, query()),
            (ACME, query(filter="n > 0", select=["n"])),
        ):
            with pytest.raises(CursorInvalidError):
                node.feed.open(tenant, other, last=message.id)
        with pytest.raises(CursorInvalidError):
            node.feed.open(ACME, query(), last="ü%")
        assert node.feed.streams == 0

    def test_more_streams_than_there_may_be_in_all_and_of_one_tenant(self, node):
        node.lane()
        feed = node.limited(streams=3, streams_per_tenant=2)
        other = TenantId("b")
        streams = [feed.open(ACME, query()) for _ in range(2)]
        with pytest.raises(QueryBusyError, match="2 streams of changes are open of this tenant"):
            feed.open(ACME, query())
        streams.append(feed.open(other, query()))
        with pytest.raises(QueryBusyError, match="3 streams of changes are open in all"):
            feed.open(other, query())
        for stream in streams:
            stream.close()
            stream.close()
        assert feed.streams == 0
        feed.open(ACME, query())
