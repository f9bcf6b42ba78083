"""The calls of queries: which build answers, how fresh, to whom, and how many at a time."""

from __future__ import annotations

import asyncio
import random
from time import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import eventually
from query_support import FILTERS, IDS, SORTS, TENANT, TENANTS, THINGS, Site, filled, thing

from projection.errors import StorageError
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.query_limits import QueryLimits
from projection.query.errors import (
    CursorGoneError,
    CursorInvalidError,
    NotFreshError,
    QueryBusyError,
    QueryLimitError,
    UnknownViewTypeError,
    ViewMissingError,
)
from projection.query.folder import FolderQueries
from projection.query.form import Query
from projection.query.freshness import Wanted
from projection.query.service import Queries
from projection.query.serving import Serving
from projection.testing.hostile_ids import view_ids

NAMES = st.sampled_from(IDS) | view_ids()
PARKED_OF, PARKED = TENANTS[::2], IDS[::2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    filled(site, seed=6)
    for tenant in PARKED_OF:
        site.store.park(tenant, *PARKED)
    yield site
    site.close()


@pytest.fixture(scope="module")
def queries(site):
    with site.queries() as queries:
        yield queries


def asked(**query):
    return Query.read({"view": "things", **query})


def owners(found):
    return {msgspec.json.decode(bytes(view))["owner"] for view in found}


# --- isolation -------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.sampled_from(TENANTS), FILTERS, SORTS, st.booleans())
def test_no_query_of_a_tenant_shows_or_counts_anything_of_another(site, queries, tenant, filter_, sort, counts):
    """By indexes, pages, counts and degraded ids; the other tenants hold the same ids."""
    own = {view_id for owner, view_id in site.store.views if owner == tenant}
    query = {"view": "things", "sort": sort, "limit": 7, "count": counts, **({"filter": filter_} if filter_ else {})}
    found, cursor = [], None
    while True:
        ran = queries.run_now(tenant, Query.read({**query, **({"cursor": cursor} if cursor else {})}))
        page = ran.answer
        found += page.views
        shown = {one.id for one in page.views}
        absent = set(page.degraded) - shown  # asked for by id, and without a view because their first event is parked
        assert set(page.degraded) & shown == (shown & set(PARKED) if tenant in PARKED_OF else set())
        assert not absent or (tenant in PARKED_OF and cursor is None)
        assert absent <= {one for one in PARKED if one in str(filter_)} - own
        assert page.count is None or len(page.views) <= page.count <= len(own)
        assert ran.execution.examined <= 50 * len(own)  # entries of an index over lists
        if (cursor := page.next) is None:
            break
    assert {one.id for one in found} <= own
    assert owners(one.view for one in found) <= {str(tenant)}
    assert len({one.id for one in found}) == len(found)


@settings(max_examples=60)
@given(st.sampled_from(TENANTS), st.sampled_from(TENANTS), SORTS, FILTERS)
def test_a_cursor_leads_another_tenant_nowhere(queries, tenant, other, sort, filter_):
    query = {"view": "things", "sort": sort, "limit": 1, **({"filter": filter_} if filter_ else {})}
    cursor = queries.run_now(tenant, Query.read(query)).answer.next
    if cursor is not None and tenant != other:
        with pytest.raises(CursorInvalidError):
            queries.run_now(other, Query.read({**query, "cursor": cursor}))


@given(st.sampled_from(TENANTS), NAMES)
def test_one_view_is_the_tenants_own_or_missing(site, queries, tenant, view_id):
    is_parked = tenant in PARKED_OF and view_id in PARKED
    if (tenant, view_id) in site.store.views:
        found = queries.view_now(tenant, THINGS, ViewId(view_id))
        assert ({str(tenant)}, view_id, is_parked) == (owners([found.view]), found.id, found.degraded)
        return
    with pytest.raises(ViewMissingError) as missing:
        queries.view_now(tenant, THINGS, ViewId(view_id))
    assert ("events of it are parked" if is_parked else None) == missing.value.hint


@pytest.mark.parametrize("filter_", [None, 'status == "open"', {"field": "$id", "op": "in", "value": IDS}])
def test_a_query_that_another_tenant_has_just_asked_gives_ones_own_views(queries, filter_):
    """What is kept of a query for the next time is not kept for another tenant."""
    query = asked(sort=["-price"], **({"filter": filter_} if filter_ else {}))
    for tenant in TENANTS:
        assert {str(tenant)} == owners(one.view for one in queries.run_now(tenant, query).answer.views)


def test_an_etag_tells_states_tenants_ids_and_degraded_views_apart(site):
    with site.queries() as queries:
        found = queries.view_now(
            TENANT, THINGS, ViewId(next(one for owner, one in site.store.views if owner == TENANT))
        )
        variants = [
            (TENANT, THINGS, found),
            (TenantId("u"), THINGS, found),
            (TENANT, ViewType("others"), found),
            (TENANT, THINGS, msgspec.structs.replace(found, id="other")),
            (TENANT, THINGS, msgspec.structs.replace(found, view=msgspec.Raw(b"{}"))),
            (TENANT, THINGS, msgspec.structs.replace(found, degraded=not found.degraded)),
            (TENANT, THINGS, msgspec.structs.replace(found, incomplete=not found.incomplete)),
        ]
        assert len({queries.etag(*one) for one in variants}) == len(variants)
        later = msgspec.structs.replace(found, scanned=found.scanned + 1, lag_s=9.0)
        assert queries.etag(*variants[0]) == queries.etag(TENANT, THINGS, later)


@pytest.mark.parametrize("view_id", ["x" * 10_000, "é" * 300, ":" * 400, "%9"])
def test_an_id_that_no_view_can_have_is_missing_also_in_a_list(site, view_id):
    with site.queries() as queries:
        with pytest.raises(ViewMissingError):
            queries.view_now(TENANT, THINGS, ViewId(view_id))
        for op, value in (("eq", view_id), ("starts_with", view_id)):
            assert queries.run_now(TENANT, asked(filter={"field": "$id", "op": op, "value": value})).answer.views == []


def test_an_unknown_view_type_is_told_with_those_there_are(site):
    with site.queries() as queries, pytest.raises(UnknownViewTypeError, match="no view type 'nothing'") as unknown:
        queries.schema(ViewType("nothing"))
    assert unknown.value.hint == "there are: things"


# --- builds ----------------------------------------------------------------------------------------------------------


def switch(site, *, close_old=True):
    """Have another build serve, as a node does when it is level."""
    build, store = site.another_build()
    store.put(dict(site.store.views))
    old = site.store
    site.catalog.serve(build)
    site.build, site.store = build, store
    if close_old:
        old.lane.close()
    return old


def serving(site, stores):
    return Queries(Serving(site.catalog, lambda build: stores[build.number]().lane), QueryLimits())


def test_after_a_switch_the_new_build_answers_and_cursors_of_the_old_one_are_gone(own):
    stores = {}
    for number in (1, 2):
        stores[number] = lambda: own.store
    queries = serving(own, stores)
    first = queries.run_now(TENANT, asked(limit=3)).answer
    assert queries.view_now(TENANT, THINGS, ViewId(first.views[0].id)).build == 1
    switch(own)
    again = queries.run_now(TENANT, asked(limit=3)).answer
    assert (2, first.views) == (again.build, again.views)
    with pytest.raises(CursorGoneError):
        queries.run_now(TENANT, asked(limit=3, cursor=first.next))
    assert queries.view_now(TENANT, THINGS, ViewId(first.views[0].id)).build == 2


async def test_a_switch_in_the_midst_of_a_first_page_is_answered_by_the_new_build(own, monkeypatch):
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    queries = serving(own, {1: lambda: own.store, 2: lambda: own.store})
    expected = queries.run_now(TENANT, asked(sort=["price"])).answer
    task = asyncio.create_task(queries.query(TENANT, asked(sort=["price"])))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    switch(own)
    found = await task
    assert (2, expected.views) == (found.build, found.views)


async def test_a_switch_in_the_midst_of_a_later_page_ends_it(own, monkeypatch):
    queries = serving(own, {1: lambda: own.store, 2: lambda: own.store})
    cursor = queries.run_now(TENANT, asked(sort=["price"], limit=2)).answer.next
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    task = asyncio.create_task(queries.query(TENANT, asked(sort=["price"], limit=2, cursor=cursor)))
    for _ in range(5):
        await asyncio.sleep(0)
    switch(own)
    with pytest.raises(CursorGoneError):
        await task


async def test_a_store_that_is_closed_for_good_is_an_error_and_no_loop(own):
    queries = serving(own, {1: lambda: own.store})
    await queries.query(TENANT, asked())
    own.store.lane.close()
    with pytest.raises(StorageError, match="closed"):
        await queries.query(TENANT, asked())
    with pytest.raises(StorageError, match="closed"):
        await queries.view(TENANT, THINGS, ViewId("a"), Wanted(99, 1_000))


def test_readers_of_builds_that_no_longer_serve_are_closed_and_lent_ones_are_not(tmp_path):
    site = Site(tmp_path)
    filled(site, seed=8)
    build, store = site.another_build()
    store.put(dict(site.store.views))
    store.lane.close()  # nobody in this process has it open
    lent = site.store.lane
    queries = Queries(Serving(site.catalog, lambda one: lent if one.number == 1 else None), QueryLimits())
    queries.run_now(TENANT, asked())
    site.catalog.serve(build)
    queries.run_now(TENANT, asked())
    opened = queries.serving.of(THINGS).reader
    site.catalog.serve(site.build)
    queries.run_now(TENANT, asked())
    with pytest.raises(StorageError, match="closed"):
        opened.position()
    queries.close()
    assert lent.position().scanned > 0
    site.close()


# --- freshness -------------------------------------------------------------------------------------------------------


class Node:
    """What a node would know."""

    level = None

    def level_at(self, view_type, build):
        assert (THINGS, 1) == (view_type, build)
        return self.level


def test_an_answer_says_up_to_when_all_events_are_in_it(own):
    node = Node()
    with own.queries(freshness=node) as queries:
        stored = queries.run_now(TENANT, asked()).answer
        assert ("2023-11-14T22:13:20.123000Z", True) == (stored.as_of, stored.lag_s > 10**6)
        assert (own.build.number, own.checked.digest) == (stored.build, stored.program)
        node.level = (stored.scanned, time())
        assert queries.run_now(TENANT, asked()).answer.lag_s < 10**6
        node.level = (stored.scanned + 1, time())  # the log had more, which is not committed here
        assert queries.run_now(TENANT, asked()).answer.lag_s > 10**6


def test_of_a_lane_that_has_read_nothing_no_age_is_known(tmp_path):
    site = Site(tmp_path)
    with site.queries() as queries:
        found = queries.run_now(TENANT, asked()).answer
        assert (0, None, None) == (found.scanned, found.as_of, found.lag_s)
        with pytest.raises(NotFreshError, match="how old they are is not known"):
            queries.run_now(TENANT, asked(max_lag_s=1e9))
    site.close()


def test_answers_that_are_older_than_wanted_are_refused(own):
    with own.queries() as queries:
        with pytest.raises(NotFreshError, match="at most 5"):
            queries.run_now(TENANT, asked(max_lag_s=5))
        with pytest.raises(NotFreshError):
            queries.view_now(TENANT, THINGS, ViewId("000"), Wanted(max_lag_s=5))
        assert queries.run_now(TENANT, asked(max_lag_s=1e12)).answer.views


async def test_who_names_a_sequence_waits_for_it_and_is_refused_where_it_does_not_come(own):
    here = own.store.lane.position().scanned
    with own.queries() as queries:
        assert (await queries.query(TENANT, asked(min_sequence=here))).scanned == here
        waiting = asyncio.create_task(queries.query(TENANT, asked(min_sequence=here + 2, wait_ms=20_000)))
        await eventually(lambda: queries.serving.of(THINGS).watch.waiting)
        own.store.put({(TENANT, "new"): thing("t", random.Random(1))})
        await asyncio.sleep(0)
        assert not waiting.done()
        own.store.put({})
        assert (await waiting).scanned == here + 2
        with pytest.raises(NotFreshError, match=f"up to sequence {here + 2}, and not up to {here + 3}"):
            await queries.view(TENANT, THINGS, ViewId("new"), Wanted(here + 3, 1))
        with pytest.raises(QueryLimitError, match="wait_ms") as refused:
            await queries.query(TENANT, asked(min_sequence=here, wait_ms=30_001))
        assert refused.value.limit == "max_wait_ms"


async def test_who_waits_through_a_switch_is_answered_by_the_new_build(own):
    here = own.store.lane.position().scanned
    queries = serving(own, {1: lambda: own.store, 2: lambda: own.store})
    waiting = asyncio.create_task(queries.query(TENANT, asked(min_sequence=here + 1, wait_ms=20_000)))
    await eventually(lambda: queries.serving.of(THINGS).watch.waiting)
    switch(own)
    while own.store.lane.position().scanned <= here:
        own.store.put({})
    assert (await waiting).build == 2


# --- at a time -------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    monkeypatch.setattr("projection.query.service._BUSY_S", 0.01)


async def test_so_many_queries_are_under_way_and_others_are_told_to_come_back(own, slow):
    with own.queries(QueryLimits(concurrent=2)) as queries:
        who = TENANTS[:2]
        tasks = [asyncio.create_task(queries.query(one, asked(sort=["price"]))) for one in who]
        await asyncio.sleep(0)
        async with queries._turns._others:  # nobody gets on meanwhile
            with pytest.raises(QueryBusyError, match="all 2 places for queries under way are taken"):
                await queries.query(TENANT, asked())
        assert all(page.views for page in await asyncio.gather(*tasks))
        assert (await queries.query(TENANT, asked())).views


async def test_a_tenant_that_asks_for_all_it_can_leaves_places_to_others(own, slow):
    with own.queries(QueryLimits(concurrent=8)) as queries:
        async with queries._turns._others:  # nobody gets on meanwhile
            tasks = [asyncio.create_task(queries.query(TENANT, asked(sort=["price"]))) for _ in range(20)]
            await eventually(lambda: sum(task.done() for task in tasks) == 16)
            refused = [task for task in tasks if task.done()]
            other = asyncio.create_task(queries.query(TENANTS[1], asked(sort=["price"])))
            await asyncio.sleep(0)
        assert all("are of this tenant" in str(task.exception()) for task in refused)
        assert (await other).views
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_tenant_that_waits_as_often_as_it_can_leaves_waits_to_others(own):
    wanted = Wanted(own.store.lane.position().scanned + 1, 20_000)

    def waits(tenant):
        return asyncio.create_task(queries.view(tenant, THINGS, own_id, wanted))

    own_id = next(view_id for tenant, view_id in own.store.views if tenant == TENANT)
    with own.queries(QueryLimits(waiting=4)) as queries:
        watch = queries.serving.of(THINGS).watch
        tasks = [waits(TENANT) for _ in range(2)]
        await eventually(lambda: watch.waiting == 2)
        with pytest.raises(QueryBusyError, match="2 of 2 requests that wait for a sequence are of this tenant"):
            await waits(TENANT)
        other = waits(TENANTS[1])
        await eventually(lambda: watch.waiting == 3)
        assert (await queries.view(TENANT, THINGS, own_id, wanted._replace(min_sequence=0))).id  # it is there already
        for task in (*tasks, other):
            task.cancel()
        await asyncio.wait((*tasks, other))
        assert 0 == queries._waits.taken


async def test_queries_take_turns_of_one_step_in_each_round_of_the_loop(own, slow):
    with own.queries() as queries:
        order = []

        async def run(name):
            await queries.query(TENANT, asked(sort=["price"]))
            order.append(name)

        async def rounds():
            while len(order) < 3:
                order_before = len(order)
                await asyncio.sleep(0)
                assert len(order) - order_before <= 1

        await asyncio.gather(run("a"), run("b"), run("c"), rounds())
        assert ["a", "b", "c"] == order, "as they came"


async def test_a_query_that_is_cancelled_gives_everything_back(own, slow):
    with own.queries(QueryLimits(concurrent=1)) as queries:
        for _ in range(3):
            task = asyncio.create_task(queries.query(TENANT, asked(sort=["price"])))
            for _ in range(4):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not own.store.lane._environment._gate._inside
        assert (await queries.query(TENANT, asked())).views


# --- the others ------------------------------------------------------------------------------------------------------


async def test_explaining_runs_the_query_and_says_how(site):
    with site.queries() as queries:
        query = asked(filter='status == "open"', sort=["-price"], limit=3)
        explained = await queries.explain(TENANT, query)
        assert ("an index range, in order", "status, price desc", "index", 1, 3) == (
            explained.plan, explained.index, explained.order, explained.ranges, explained.returned,
        )  # fmt: skip
        assert explained.examined <= 4
        assert {"name, n desc"} < {unused.index for unused in explained.unused}
        scanned = await queries.explain(TENANT, asked(filter="price * 2 > 1.00", sort=["lines.0.qty"]))
        assert ("all views, sorted", None, 40, True) == (scanned.plan, scanned.index, scanned.examined, scanned.gas > 0)


def test_the_catalog_lists_view_types_with_schema_indexes_and_builds(site):
    with site.queries() as queries:
        (entry,) = queries.catalog_now().views
        assert ("things", [1], False) == (entry.view, entry.builds, entry.changes)
        assert entry.json_schema["properties"]["price"]
        assert {"by": "status, price desc", "built": True} in msgspec.to_builtins(entry.indexes)
        assert msgspec.json.encode(entry)


def test_a_data_folder_is_read_also_while_another_process_writes_it(own):
    """The writer's half of the process has the environments open; a reader's half is a process of its own."""
    own_views = {view_id for tenant, view_id in own.store.views if tenant == TENANT}
    here = own.store.lane.position().scanned
    data = own.catalog.data
    own.close()
    with FolderQueries.open(data) as queries:
        found = queries.query(TENANT, asked(limit=1_000))
        assert own_views == {one.id for one in found.views}
        assert queries.view(TENANT, THINGS, ViewId(found.views[0].id)).scanned == here
        assert queries.explain(TENANT, asked()).returned == 40
        assert queries.catalog().views[0].scanned == here
        with pytest.raises(NotFreshError):
            queries.query(TENANT, asked(min_sequence=here + 1, wait_ms=30))
