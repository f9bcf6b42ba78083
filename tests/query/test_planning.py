"""Plans: whichever is taken, the answer is the same; and which one is taken."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from patience import WITHIN_MS
from query_support import FILTERS, IDS, SORTS, TENANT, TENANTS, Site, filled, in_order, thing

from projection.lang.library import BUILTINS
from projection.model.ids import TenantId
from projection.model.query_limits import QueryLimits
from projection.query.execution import Execution, Task
from projection.query.form import Query
from projection.query.planning import Grain, Plan, Wish, choosing, possible
from projection.query.turns import exhausted
from projection.store import indexes

LIMITS = QueryLimits(time_ms=WITHIN_MS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "MAX_ENTRIES", 4)  # so that some views have too many
        site = Site(tmp_path_factory.mktemp("site"))
        filled(site, seed=1)
    yield site
    site.close()


class Asked:
    """A query on the site's store, to be run by any plan."""

    def __init__(self, site, tenant, filter_=None, sort=(), *, counts=False):
        self.site, self.tenant, self.filtered = site, tenant, filter_ is not None
        query = Query.read({"view": "things", "sort": list(sort), **({"filter": filter_} if filter_ else {})})
        self.prepared, _ = site.served.prepared(query, LIMITS)
        self.counts = counts
        with site.store.lane.snapshot() as snapshot:
            wish = Wish(tenant, query.view, self.prepared.bounds, self.prepared.is_exact, self.prepared.order)
            self.plans, self.unused = possible(wish, snapshot.indexes)
            self.chosen = exhausted(choosing(self.plans, counts, snapshot))

    def page(self, plan, limit=1_000, after=None):
        prepared = self.prepared
        matches = prepared.filter.matches if self.filtered else None
        task = Task(
            self.tenant, self.site.build.view_type, prepared.decode or (lambda _: None), matches,
            prepared.order, None, limit, self.counts, after,
        )  # fmt: skip
        with self.site.store.lane.snapshot() as snapshot:
            self.execution = Execution(task, plan, snapshot, LIMITS)
            steps = self.execution.run()
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value

    @property
    def by_views(self) -> Plan:
        """What is held against the others: all views, sorted."""
        plan = next(one for one in self.plans if one.index is None and one.ids is None)
        return replace(plan, grain=Grain.NONE, reverse=False, decides=False)


QUERIES = (st.sampled_from(TENANTS[:4]), FILTERS, SORTS, st.booleans())
PAGES = (st.integers(1, 7), st.randoms(use_true_random=False))


def same_by_every_plan(site, tenant, filter_, sort, counts):
    asked = Asked(site, tenant, filter_, sort, counts=counts)
    expected = asked.page(asked.by_views)
    views = {view_id: view for (owner, view_id), view in site.store.views.items() if owner == tenant}
    ids = [found.id for found in expected.views]
    assert ids == in_order(views, ids, sort)
    for plan in asked.plans:
        page = asked.page(plan)
        assert (plan, expected.views, expected.count) == (plan, page.views, page.count)


def same_by_pages_of_random_plans(site, tenant, filter_, sort, counts, limit, dice):
    asked = Asked(site, tenant, filter_, sort, counts=counts)
    found, after = [], None
    while True:
        page = asked.page(dice.choice(asked.plans), limit, after)
        found += [one.id for one in page.views]
        if (after := page.end) is None:
            break
        assert len(page.views) == limit
    everything = asked.page(asked.by_views)
    assert [one.id for one in everything.views] == found
    assert everything.count == page.count


@settings(max_examples=300)
@given(*QUERIES)
def test_every_plan_gives_the_same_views_in_the_same_order_and_the_same_count(site, tenant, filter_, sort, counts):
    same_by_every_plan(site, tenant, filter_, sort, counts)


@settings(max_examples=300)
@given(*QUERIES, *PAGES)
def test_pages_go_on_by_another_plan_where_the_last_one_ended(site, tenant, filter_, sort, counts, limit, dice):
    same_by_pages_of_random_plans(site, tenant, filter_, sort, counts, limit, dice)


@pytest.mark.long
@settings(max_examples=10_000)
@given(*QUERIES, *PAGES)
def test_plans_agree_on_ten_thousand_queries(site, tenant, filter_, sort, counts, limit, dice):
    same_by_every_plan(site, tenant, filter_, sort, counts)
    same_by_pages_of_random_plans(site, tenant, filter_, sort, counts, limit, dice)


@given(st.sampled_from(TENANTS), FILTERS, SORTS)
def test_no_plan_leads_to_another_tenants_views(site, tenant, filter_, sort):
    asked = Asked(site, tenant, filter_, sort, counts=True)
    for plan in asked.plans:
        page = asked.page(plan)
        for one in page.views:
            assert b'"owner":"%s"' % str(tenant).replace("\\", "\\\\").encode() in bytes(one.view)
        assert page.count <= 40


def test_different_items_of_a_list_may_fulfil_the_ends_of_a_range(tmp_path):
    site = Site(tmp_path)
    dice = random.Random(1)
    lines = [{"sku": "x", "qty": 0}, {"sku": "x", "qty": 3}]
    site.store.put({(TENANT, view_id): thing("t", dice, lines=lines) for view_id in "ab"})
    both = [
        {"field": "lines.sku", "op": "eq", "value": "x"},
        {"field": "lines.qty", "op": "ge", "value": 2},
        {"field": "lines.qty", "op": "le", "value": 1},
    ]
    asked = Asked(site, TENANT, {"and": both})
    assert {"lines.sku", "lines.sku, lines.qty desc, n"} <= {
        indexes.described(plan.index.keys) for plan in asked.plans if plan.index
    }
    for plan in asked.plans:
        assert [one.id for one in asked.page(plan).views] == ["a", "b"]
    site.close()


def test_a_page_begins_also_behind_keys_between_which_a_known_one_stands(site):
    asked = Asked(site, TENANT, "n == 1", ["status", "price"])
    everything = [one.id for one in asked.page(asked.by_views).views]
    plan = next(plan for plan in asked.plans if plan.index and len(plan.index.keys) == 3 and plan.grain is Grain.ALL)
    found, after = [], None
    while True:
        page = asked.page(plan, 1, after)
        found += [one.id for one in page.views]
        assert len(found) <= len(everything)
        if (after := page.end) is None:
            break
    assert everything == found
    assert len(found) > 2


def test_a_page_looks_at_nothing_before_it(site):
    """Deep in a range of equal keys, the id leads to the place."""
    asked = Asked(site, TENANT, 'status == "open"', ["-price"])
    first = asked.page(asked.chosen, 5)
    assert asked.execution.examined <= 6
    asked.page(asked.chosen, 5, first.end)
    assert asked.execution.examined <= 7


def chosen(site, filter_=None, sort=(), *, counts=False):
    asked = Asked(site, TENANT, filter_, sort, counts=counts)
    index = asked.chosen.index
    return indexes.described(index.keys) if index else None, asked.chosen


def test_an_index_that_narrows_and_has_the_order_is_gone_through_only_as_far_as_the_page_needs(site):
    by, plan = chosen(site, 'status == "open"', ["-price"])
    assert ("status, price desc", Grain.ALL, True, "an index range, in order") == (
        by,
        plan.grain,
        plan.narrows,
        plan.words,
    )


def test_an_index_is_gone_through_backwards_for_the_opposite_order(site):
    by, plan = chosen(site, None, ["-n", "-$id"])
    assert ("n", Grain.ALL, True, "a whole index, in order, backwards") == (by, plan.grain, plan.reverse, plan.words)
    by, plan = chosen(site, None, ["-n"])
    assert ("n", Grain.KEYS, True) == (by, plan.grain, plan.reverse)


def test_keys_that_the_filter_fixes_count_for_the_order_wherever_they_stand(site):
    by, plan = chosen(site, 'status == "open" and n == 1', ["n", "price", "status"])
    assert ("status, n, price", Grain.ALL) == (by, plan.grain)


def test_ids_are_looked_up(site):
    by, plan = chosen(site, {"field": "$id", "op": "in", "value": ["a", "b"]}, ["n"])
    assert (None, (b"a", b"b"), "sorted") == (by, plan.ids, plan.order)


def test_alternatives_become_as_many_ranges(site):
    by, plan = chosen(site, 'status in ["open", "lost"] and n > 0', ["-rate"])
    assert ("status, n, price", 2) == (by, len(plan.ranges)) or by == "n"


def test_the_smallest_range_is_taken_where_all_of_it_must_be_gone_through(site):
    both = [{"field": "status", "op": "eq", "value": "open"}, {"field": "home.zip", "op": "eq", "value": 2}]
    by, _ = chosen(site, {"and": both}, ["name"])
    assert by == "home.zip"


def test_without_a_filter_and_without_an_order_views_come_as_they_are_stored(site):
    by, plan = chosen(site)
    assert (None, Grain.ALL, "all views, in order") == (by, plan.grain, plan.words)


def test_an_index_over_lists_is_no_way_to_views_whose_list_may_be_empty(site):
    asked = Asked(site, TENANT, "n == 1", ["n"])
    unused = {indexes.described(index.keys): why for index, why in asked.unused}
    assert "are not in it" in unused["tags, n"]
    assert "neither the filter nor the order" in unused["rate desc, status"]


def test_an_index_that_is_not_built_yet_is_not_used(tmp_path):
    site = Site(tmp_path, indexes=False)
    dice = random.Random(1)
    site.store.put({(TENANT, view_id): thing("t", dice) for view_id in IDS})
    site.store.lane.declare_indexes(indexes.declared_indexes(site.checked))
    asked = Asked(site, TENANT, "n == 1", ["n"])
    assert [None] == [plan.index for plan in asked.plans]
    assert {"it is being built"} == {why for _, why in asked.unused}
    site.close()


def test_a_huge_range_that_has_no_order_gives_way_to_the_order_of_the_ids(site):
    """Of many views that an index finds all had to be sorted; in the order of their ids the first ones do."""
    many = TenantId("many")
    dice = random.Random(2)
    site.store.put({(many, f"{number:05}"): thing("many", dice, n=1) for number in range(2_500)})
    asked = Asked(site, many, "n >= 1 and price > 0.00")
    assert asked.chosen.index is None
    assert asked.chosen.grain is Grain.ALL
    counting = Asked(site, many, "n >= 1 and price > 0.00", counts=True)
    assert counting.chosen.index is not None


HOSTILE = [
    "a:b",
    "a&b",
    "a",
    "a:",
    "a%3Ab",
    "A",
    "%",
    "%41",
    "é",
    "😀",
    "\uffff",
    "\x00",
    "\x01",
    "\x01\x01",
    "a\x00",
    "~" * 90,
]
MADE = [BUILTINS["key"][0].function(*parts) for parts in product(("a", "a:", "%", "&", "\x00"), repeat=2)]


@pytest.mark.parametrize("sort", [(), ("$id",), ("-$id",), ("n",), ("status", "-price")])
@pytest.mark.parametrize("limit", [1, 3])
def test_who_pages_by_hand_with_the_last_id_sees_every_view_once(tmp_path, sort, limit):
    """`id > LAST` is in the order of the answers: there is one order of ids, in filters, keys and indexes."""
    site = Site(tmp_path)
    same = thing("t", random.Random(1))
    site.store.put({(TENANT, view_id): same for view_id in (*HOSTILE, *MADE)})
    wanted = sorted({*HOSTILE, *MADE}, reverse="-$id" in sort)
    found, last = [], None
    while True:
        behind = None if last is None else {"field": "$id", "op": "lt" if "-$id" in sort else "gt", "value": last}
        asked = Asked(site, TENANT, behind, sort)
        page = asked.page(asked.chosen, limit)
        if not page.views:
            break
        found += [view.id for view in page.views]
        last = found[-1]
        if behind is not None and sort in ((), ("$id",), ("-$id",)):
            assert asked.chosen.words.startswith("a range of views, in order")
            assert asked.execution.examined <= limit + 3  # of more than forty
    assert wanted == found
    site.close()


@pytest.mark.parametrize("op", ["lt", "le", "gt", "ge", "starts_with"])
@pytest.mark.parametrize("value", [*HOSTILE, "", "zz", "\U0010ffff", "~" * 600, ":" * 600, "é" * 300])
def test_a_range_of_ids_has_what_python_says(hostile, op, value):
    takes = {"lt": str.__lt__, "le": str.__le__, "gt": str.__gt__, "ge": str.__ge__, "starts_with": str.startswith}[op]
    asked = Asked(hostile, TENANT, {"field": "$id", "op": op, "value": value})
    expected = sorted(one for one in {*HOSTILE, *MADE} if takes(one, value))
    for plan in asked.plans:
        assert expected == [view.id for view in asked.page(plan).views]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("hostile"))
    site.store.put({(TENANT, view_id): thing("t", random.Random(1)) for view_id in (*HOSTILE, *MADE)})
    yield site
    site.close()
