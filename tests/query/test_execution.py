"""Running a query: in slices, within limits, and in pages that go on under writes."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_support import FILTERS, IDS, LONG, SORTS, TENANT, Site, filled, in_order, thing

from projection.model.query_limits import QueryLimits
from projection.query.cursors import Cursors
from projection.query.errors import QueryLimitError
from projection.query.execution import Execution
from projection.query.form import Query
from projection.query.running import Context, run


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    filled(site, seed=3)
    yield site
    site.close()


def asked(**query):
    return Query.read({"view": "things", **query})


def answer(site, query, limits=None, tenant=TENANT):
    with site.queries(limits) as queries:
        return queries.run_now(tenant, query).answer


def ids(answered):
    return [found.id for found in answered.views]


# --- pages -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(FILTERS, SORTS, st.integers(1, 9), st.integers(0, 2**32))
def test_under_writes_no_view_that_stays_as_it_is_is_left_out_or_comes_twice(site, filter_, sort, limit, seed):
    dice = random.Random(seed)
    with site.queries() as queries:
        query = {"view": "things", "sort": sort, "limit": limit, **({"filter": filter_} if filter_ else {})}
        before = {view_id: view for (tenant, view_id), view in site.store.views.items() if tenant == TENANT}
        at_first = set(ids(answer(site, Query.read({**query, "limit": 1_000}))))
        touched, found, cursor = set(), [], None
        while True:
            page = queries.run_now(TENANT, Query.read({**query, **({"cursor": cursor} if cursor else {})})).answer
            found += ids(page)
            assert len(found) < 150, "it comes to an end"
            cursor = page.next
            if cursor is None:
                break
            for view_id in dice.sample(IDS, 3):
                touched.add(view_id)
                site.store.put({(TENANT, view_id): dice.choice([None, thing("t", dice), thing("t", dice, n=1)])})
    untouched = [view_id for view_id in found if view_id not in touched]
    assert sorted(at_first - touched) == sorted(untouched)
    assert untouched == in_order(before, untouched, sort)


def test_the_last_page_has_no_cursor_though_it_is_full(site):
    all_of_it = answer(site, asked(limit=1_000))
    assert all_of_it.next is None
    exactly = answer(site, asked(limit=len(all_of_it.views)))
    assert (all_of_it.views, None) == (exactly.views, exactly.next)
    assert answer(site, asked(limit=len(all_of_it.views) - 1)).next is not None


def test_a_page_ends_early_where_its_views_would_be_too_many_bytes(site):
    limits = QueryLimits(response_bytes=3_000)
    found, cursor, pages = [], None, 0
    while True:
        page = answer(site, asked(sort=["n"], limit=1_000, **({"cursor": cursor} if cursor else {})), limits)
        assert 0 < sum(len(bytes(one.view)) for one in page.views) <= 3_000
        found += ids(page)
        pages += 1
        if (cursor := page.next) is None:
            break
    assert ids(answer(site, asked(sort=["n"], limit=1_000))) == found
    assert pages > 2


def test_a_view_that_is_too_large_for_any_answer_is_an_error_that_says_so_and_a_part_of_it_is_not(tmp_path):
    site = Site(tmp_path)
    site.store.put({(TENANT, "a"): thing("t", random.Random(1), name="x" * 1_500)})
    limits = QueryLimits(response_bytes=1_024)
    with pytest.raises(QueryLimitError, match="one view is larger than the 1,024 bytes") as refused:
        answer(site, asked(), limits)
    assert ("response_bytes", 1_024, "select fewer of its fields") == (
        refused.value.limit, refused.value.value, refused.value.hint,
    )  # fmt: skip
    assert b'{"n":' in bytes(answer(site, asked(select=["n"]), limits).views[0].view)
    site.close()


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_query_looks_at_so_many_views_and_no_more(site):
    limits = QueryLimits(scanned=20)
    with pytest.raises(QueryLimitError, match="20 views were looked at, and that is not all") as refused:
        answer(site, asked(sort=["lines.0.qty"]), limits)
    assert ("scanned", 20) == (refused.value.limit, refused.value.value)
    assert "narrow the filter" in refused.value.hint
    with pytest.raises(QueryLimitError, match="20 views") as refused:
        answer(site, asked(count=True), limits)
    assert "leave out the count" in refused.value.hint
    assert len(answer(site, asked(limit=10), limits).views) == 10


def test_a_filter_uses_so_much_gas_and_no_more(site):
    with pytest.raises(QueryLimitError) as refused:
        answer(site, asked(filter="n * n > 0 and price > 100.00"), QueryLimits(gas=100))
    assert ("gas", 100) == (refused.value.limit, refused.value.value)


def test_a_query_has_so_much_time_and_lets_go_then(site, monkeypatch):
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    clock = iter(range(10_000))
    monkeypatch.setattr("projection.query.execution.perf_counter", lambda: next(clock) / 1_000)
    with pytest.raises(QueryLimitError, match="takes longer than 30 ms") as refused:
        answer(site, asked(sort=["lines.0.qty"]), QueryLimits(time_ms=30))
    assert ("time_ms", 30) == (refused.value.limit, refused.value.value)


def test_a_page_has_so_many_views_and_no_more(site):
    with pytest.raises(QueryLimitError, match="a page has at most 1,000") as refused:
        answer(site, asked(limit=1_001))
    assert ("max_limit", "/limit") == (refused.value.limit, refused.value.pointer)
    assert len(answer(site, asked(), QueryLimits(default_limit=7)).views) == 7


def test_so_many_views_are_asked_for_by_name_and_no_more(site):
    by_name = {"field": "$id", "op": "in", "value": ["a", "b", "c"]}
    with pytest.raises(QueryLimitError, match="3 views are asked for by their ids") as refused:
        answer(site, asked(filter=by_name), QueryLimits(max_ids=2))
    assert "several queries" in refused.value.hint


# --- slices ----------------------------------------------------------------------------------------------------------


def test_others_have_their_turn_while_a_query_works_and_the_answer_is_of_one_moment(site, monkeypatch):
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    expected = answer(site, asked(sort=["price"], limit=1_000, count=True))
    with site.queries() as queries:
        served = queries.serving.of(asked().view)
        served.prepared(asked(sort=["price"]), queries.limits)
        steps = run(
            Context(queries.limits, Cursors(bytes(32)), None),
            served,
            TENANT,
            asked(sort=["price"], limit=1_000, count=True),
        )
        turns = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found = end.value.answer
                break
            turns += 1
            site.store.put({(TENANT, f"new {turns}"): thing("t", random.Random(turns))})
        assert turns > 4
        assert (expected.views, expected.count, expected.scanned) == (found.views, found.count, found.scanned)
        site.store.put({(TENANT, f"new {turn}"): None for turn in range(1, turns + 1)})


def test_a_query_may_be_held_up_before_each_view(site, monkeypatch):
    """One view may take a slice alone: by its size, or by what the filter computes for it."""
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    with site.queries() as queries:
        served = queries.serving.of(asked().view)
        query = asked(filter="n * n > 0 and price > 100.00")
        served.prepared(query, queries.limits)[0].filter.compile()
        turns = sum(1 for _ in run(Context(queries.limits, Cursors(bytes(32)), None), served, TENANT, query))
    assert turns >= 40


def test_views_that_are_only_counted_or_left_for_a_later_page_are_not_read(site, monkeypatch):
    """By their ids, or by an index that decides the filter: their values may be large, and are many."""
    read = []

    class Counting:
        def __init__(self, snapshot):
            self._snapshot = snapshot

        def __getattr__(self, name):
            return getattr(self._snapshot, name)

        def get(self, key):
            read.append(key)
            return self._snapshot.get(key)

        def entries(self, start, stop, *, reverse=False):
            for key, value in self._snapshot.entries(start, stop, reverse=reverse):
                read.append(key)
                yield key, value

    monkeypatch.setattr(
        "projection.query.running.Execution",
        lambda task, plan, snapshot, limits: Execution(task, plan, Counting(snapshot), limits),
    )
    everything = [view for (tenant, _), view in site.store.views.items() if tenant == TENANT]
    for query in (
        asked(limit=3),
        asked(limit=3, sort=["-$id"]),
        asked(limit=3, count=True),
        asked(limit=3, count=True, sort=["-$id"]),
    ):
        read.clear()
        found = answer(site, query)
        assert (3, len(everything) if query.count else None) == (len(found.views), found.count)
        assert len(read) <= 12, query
    expected = sum(view["status"] == "open" for view in everything)
    read.clear()
    assert expected == answer(site, asked(limit=3, count=True, filter='status == "open"')).count
    assert len(read) <= expected + 8, "the entries, and the views of the page"


def test_a_query_that_is_given_up_lets_go_of_its_picture(site, monkeypatch):
    monkeypatch.setattr("projection.query.execution.SLICE_S", 0.0)
    with site.queries() as queries:
        served = queries.serving.of(asked().view)
        served.prepared(asked(sort=["price"]), queries.limits)
        steps = run(Context(queries.limits, Cursors(bytes(32)), None), served, TENANT, asked(sort=["price"]))
        next(steps)
        assert site.store.lane._environment._gate._inside
        steps.close()
        assert not site.store.lane._environment._gate._inside


# --- answers ---------------------------------------------------------------------------------------------------------


def test_views_go_out_as_they_are_stored(site):
    for found in answer(site, asked(limit=5)).views:
        view = site.store.views[TENANT, found.id]
        assert b'"price":%b' % str(Decimal(view["price"])).encode() in bytes(found.view)


def test_degraded_ids_are_those_of_the_page_and_of_the_tenant(tmp_path):
    site = Site(tmp_path)
    filled(site, seed=4)
    some = ids(answer(site, asked(limit=3)))
    other = next(tenant for tenant, _ in site.store.views if tenant != TENANT)
    site.store.park(TENANT, some[1], "not there", None)
    assert [some[1]] == answer(site, asked(limit=3)).degraded
    assert answer(site, asked(limit=1)).degraded == []
    assert answer(site, asked(limit=1_000), tenant=other).degraded == []
    site.close()


def test_a_view_that_is_asked_for_by_its_id_and_is_not_there_is_degraded_where_its_first_event_is_parked(tmp_path):
    """As the answer for it alone says; on the first of several pages."""
    site = Site(tmp_path)
    filled(site, seed=4)
    there = ids(answer(site, asked(limit=2)))
    site.store.park(TENANT, "not there", "nor there")
    wanted = {"field": "$id", "op": "in", "value": [*there, "not there", "never was"]}
    page = answer(site, asked(filter=wanted, limit=1))
    assert (["not there"], False) == (page.degraded, page.incomplete)
    assert [] == answer(site, asked(filter=wanted, limit=1, cursor=page.next)).degraded
    assert ["not there"] == answer(site, asked(filter={"field": "$id", "op": "eq", "value": "not there"})).degraded
    site.close()


def test_an_answer_says_that_events_of_its_tenant_have_reached_no_view(tmp_path):
    site = Site(tmp_path)
    filled(site, seed=4)
    other = next(tenant for tenant, _ in site.store.views if tenant != TENANT)
    site.store.park(TENANT, None)
    assert [True, False] == [answer(site, asked(limit=3), tenant=one).incomplete for one in (TENANT, other)]
    site.close()


def test_long_texts_are_sorted_as_a_whole_and_pages_go_on_among_them(tmp_path):
    site = Site(tmp_path)
    dice = random.Random(5)
    names = {f"{number:02}": LONG * 5 + dice.choice("abc") * dice.randrange(3) for number in range(30)}
    site.store.put({(TENANT, view_id): thing("t", dice, name=name) for view_id, name in names.items()})
    found, cursor = [], None
    while True:
        page = answer(site, asked(sort=["-name"], limit=4, **({"cursor": cursor} if cursor else {})))
        found += ids(page)
        if (cursor := page.next) is None:
            break
        assert len(cursor) <= 4_096
    assert in_order({view_id: {"name": name} for view_id, name in names.items()}, list(names), ["-name"]) == found
    site.close()
