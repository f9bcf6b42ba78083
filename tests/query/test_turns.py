"""Turns: long work is done a slice at a time, in the order in which it comes, and ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import suppress
from decimal import localcontext

import pytest
from query_support import TENANT, THINGS

from projection.lang.steps import tick
from projection.model.ids import ViewId
from projection.query import turns
from projection.query.form import Query
from projection.query.serving import Served
from projection.query.turns import Turns, exhausted, sliced


@pytest.fixture
def at_each_look(monkeypatch):
    """Have a slice end at each look at the clock."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)


def held():
    """The threads that work is held up in."""
    return [one for one in threading.enumerate() if one.name == "filter"]


def walked(steps, seen=None):
    for number in range(steps):
        tick()
        if seen is not None:
            seen.append(number)
    return steps


# --- slices ----------------------------------------------------------------------------------------------------------


def test_work_is_held_up_after_so_many_steps_and_goes_on_where_it_was(at_each_look):
    seen = []
    work = sliced(lambda: walked(100, seen))
    counts = []
    for _ in work:
        counts.append(len(seen))
    assert seen == list(range(100))
    assert counts == [turns._STEPS_A_LOOK * turn - 1 for turn in range(1, 100 // turns._STEPS_A_LOOK + 1)]


def test_what_a_slice_makes_is_collected_with_it(at_each_look):
    kept = []

    def making():
        for _ in range(200):
            kept.extend([object] for _ in range(100))
            tick()

    young = []
    before = gc.get_threshold()
    gc.set_threshold(10**6, *before[1:])
    try:
        for _ in sliced(making):
            young.append(gc.get_count()[0])
    finally:
        gc.set_threshold(*before)
    assert len(young) > 10
    assert max(young) < 1_000 < len(kept)


def test_work_that_raises_raises_where_it_is_waited_for(at_each_look):
    def failing():
        walked(20)
        raise LookupError("so it is")

    with pytest.raises(LookupError, match="so it is"):
        exhausted(sliced(failing))


def test_work_that_nobody_waits_for_any_more_ends(at_each_look):
    seen = []
    work = sliced(lambda: walked(10**9, seen))
    next(work)
    work.close()
    assert len(seen) < 2 * turns._STEPS_A_LOOK
    assert not held()


def test_work_that_cleans_up_in_steps_ends_as_well(at_each_look):
    cleaned = []

    def untidy():
        try:
            walked(10**9)
        finally:
            for number in range(100):
                cleaned.append(number)
                with suppress(BaseException):  # the worst that there could be
                    tick()

    work = sliced(untidy)
    next(work)
    work.close()
    assert len(cleaned) == 100
    assert not held()


def test_work_that_was_never_begun_leaves_no_thread_behind():
    sliced(lambda: walked(1)).close()
    assert not held()


def test_steps_are_told_to_the_work_that_takes_them_and_to_no_other(at_each_look):
    one, other = sliced(lambda: walked(40)), sliced(lambda: exhausted(sliced(lambda: walked(40))))
    next(one)
    walked(1_000)  # here, and nobody is held up
    assert (exhausted(one), exhausted(other)) == (40, 40)


def test_work_has_the_context_of_whoever_waits_for_it():
    from decimal import getcontext

    with localcontext(prec=7):
        assert exhausted(sliced(lambda: getcontext().prec)) == 7


# --- the event loop --------------------------------------------------------------------------------------------------


async def test_in_a_round_of_the_loop_first_steps_have_their_share_and_all_others_one_step(monkeypatch):
    monkeypatch.setattr(turns, "SLICE_S", 1e-9)  # one step is more than that
    rounds, taken = [0], []

    def work(name):
        for _ in range(4):
            taken.append((rounds[0], name))
            yield
        return name

    async def counting():
        while True:
            rounds[0] += 1
            await asyncio.sleep(0)

    clock = asyncio.ensure_future(counting())
    all_of_it = Turns()
    assert list(range(20)) == await asyncio.gather(*(all_of_it.taken(work(name)) for name in range(20)))
    clock.cancel()
    in_rounds = [at for at, _ in taken]
    assert max(in_rounds.count(at) for at in set(in_rounds)) <= 2
    assert max(in_rounds) - min(in_rounds) <= 2 * len(taken), "no round is left out for long"


async def test_work_whose_task_is_cancelled_ends_and_others_go_on(at_each_look, monkeypatch):
    monkeypatch.setattr(turns, "_STEPS_A_LOOK", 1)
    seen = []
    all_of_it = Turns()
    all_of_it._first._begin = lambda: setattr(all_of_it._first, "_used", -1.0)
    all_of_it._first._begin()
    task = asyncio.ensure_future(all_of_it.taken(sliced(lambda: walked(10**9, seen))))
    while len(seen) < 3:  # noqa: ASYNC110 - its turns are what is waited for
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not held()


# --- who uses them ---------------------------------------------------------------------------------------------------


def slices_of(monkeypatch):
    """Have each slice end at each look, and count them."""
    count = [0]
    held = turns._Held.goes_on

    def counted(self):
        count[0] += 1
        self._until = 0.0
        return held(self)

    monkeypatch.setattr(turns._Held, "goes_on", counted)
    monkeypatch.setattr(turns._Held, "_wait", _waiting(turns._Held._wait))
    return count


def _waiting(wait):
    def without_a_slice(self):
        wait(self)
        self._until = 0.0

    return without_a_slice


async def test_a_query_is_checked_and_compiled_in_turns_once(own, monkeypatch):
    count = slices_of(monkeypatch)
    large = Query.read({"view": "things", "filter": " or ".join(f"n == {number}" for number in range(40))})
    with own.queries() as queries:
        await queries.ready(THINGS)
        before = count[0]
        first = await queries.query(TENANT, large)
        assert count[0] - before > 20
        before = count[0]
        assert first.views == (await queries.query(TENANT, large)).views
        assert count[0] == before


async def test_queries_that_are_made_ready_side_by_side_do_not_wait_for_one_another(own, monkeypatch):
    slices_of(monkeypatch)
    texts = [f"n == {number} or n * n == {number}" for number in range(4)]
    with own.queries() as queries:
        expected = [queries.run_now(TENANT, Query.read({"view": "things", "filter": text})).answer for text in texts]
    with own.queries() as queries:
        asked = [queries.query(TENANT, Query.read({"view": "things", "filter": text})) for text in [*texts, *texts]]
        found = await asyncio.gather(*asked)
    assert [one.views for one in found] == [one.views for one in expected] * 2


async def test_the_catalog_reads_programs_in_turns_and_a_view_needs_none(own, monkeypatch):
    count = slices_of(monkeypatch)
    with own.queries() as queries:
        view_id = next(view_id for tenant, view_id in own.store.views if tenant == TENANT)
        assert (await queries.view(TENANT, THINGS, ViewId(view_id))).id == view_id
        assert count[0] == 0
        found, again = await asyncio.gather(queries.catalog(), queries.catalog())
        assert count[0] > 5
        schemas = [[one.json_schema for one in answer.views] for answer in (found, again, queries.catalog_now())]
        assert schemas[0] == schemas[1] == schemas[2] != []


async def test_a_program_is_read_once_for_all_queries_that_come_at_a_time(own, monkeypatch):
    from projection.query.schema import ViewSchema

    read = []
    before = ViewSchema.of.__func__

    def counting(cls, name, text):
        read.append(name)
        return before(cls, name, text)

    monkeypatch.setattr(ViewSchema, "of", classmethod(counting))
    with own.queries() as queries:
        await asyncio.gather(*(queries.query(TENANT, Query.read({"view": "things", "limit": 1 + n})) for n in range(9)))
    assert len(read) == 1


def test_queries_that_are_kept_ready_are_bounded_by_their_bytes_all_builds_together(own, monkeypatch):
    with own.queries() as queries:
        serving = queries.serving
        prepared = serving._prepared
        # as many builds as there are view types: each answers with what it has of its own, and shares the budget
        others = [Served(own.build, own.store.lane, is_own=False, prepared=prepared) for _ in range(7)]
        builds = [serving.of(THINGS), *others]
        many = [f"n in [{','.join(str(number + place) for place in range(60))}]" for number in range(400)]
        large = " or ".join(f"n * {number} == 7" for number in range(90))
        monkeypatch.setattr("projection.query.serving.PREPARED_BYTES", 2**20)
        for number, text in enumerate([large, *many]):
            served = builds[number % len(builds)]
            served.prepared(Query.read({"view": "things", "filter": text}), queries.limits)
            builds[0].prepared(Query.read({"view": "things", "filter": many[0]}), queries.limits)
        assert {one._prepared for one in builds} == {prepared}
        assert sum(one.weight for one in prepared._kept.values()) == prepared._weight <= 2**20
        assert 5 < len(prepared._kept) < 20
        kept = [served for served, form in prepared._kept if many[0].encode() in form]
        assert builds[0] in kept, "what is used stays"

        for served in others:
            served.close()
        assert {served for served, _ in prepared._kept} == {builds[0]}, "of builds that no longer answer none stays"
        assert sum(one.weight for one in prepared._kept.values()) == prepared._weight


def test_the_builds_of_a_node_share_what_they_keep_ready(own):
    with own.queries() as queries:
        served = queries.serving.of(THINGS)
        served.prepared(Query.read({"view": "things"}), queries.limits)
        assert len(queries.serving._prepared._kept) == 1
        queries.serving.release(THINGS)
        assert not queries.serving._prepared._kept


def test_plans_of_a_query_are_kept_for_so_many_ranges(own):
    with own.queries() as queries:
        query = Query.read({"view": "things", "filter": {"field": "$id", "op": "in", "value": ["a"] * 90}})
        for number in range(300):
            queries.run_now(type(TENANT)(f"tenant {number}"), query)
        prepared, _ = queries.serving.of(THINGS).prepared(query, queries.limits)
        assert sum(plans.size for _, plans in prepared.plans.values()) <= 256
