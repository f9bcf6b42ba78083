"""What a lane does with events that a view cannot take: order is kept for that view, and for it only."""

from __future__ import annotations

import pytest
from engine_support import (
    CORRECTED,
    TALLIES,
    TOO_MUCH,
    Log,
    added,
    broken,
    deploy,
    envelope,
    erased,
    feed,
    folded,
    parked,
    shared,
    totals,
    views,
)

from projection.engine.lane import Lane
from projection.errors import ErrorClass
from projection.model.parked import HELD_CODE, Disposition
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore


def test_later_events_of_a_parked_view_wait_behind_it_in_order_and_other_views_go_on(lane):
    log = Log(added("x"), broken("x"), added("x", 10), added("y", 5), shared("x", "y"), added("x", 100))
    feed(lane, log.messages)
    assert {("a", "x"): 1, ("a", "y"): 6} == totals(lane.store)
    assert [
        ("a", "x", 2, "R710"),
        ("a", "x", 3, HELD_CODE),
        ("a", "x", 5, HELD_CODE),
        ("a", "x", 6, HELD_CODE),
    ] == parked(lane.store)
    assert 4 == lane.parked


@pytest.mark.parametrize("commit_every", [1, 2, 3, 100])
def test_what_waits_still_waits_after_a_commit_and_after_a_reopening(deployed, commit_every):
    log = Log(added("x"), broken("x"), added("x", 10), added("y", 5), added("x", 100))
    store = MemoryLaneStore()
    for cut in range(0, log.last, 2):
        feed(Lane(deployed[0], store), log.messages[cut : cut + 2], commit_every=commit_every)
    assert {("a", "x"): 1, ("a", "y"): 5} == totals(store)
    assert [2, 3, 5] == [sequence for _, _, sequence, _ in parked(store)]
    assert 3 == Lane(deployed[0], store).parked


def test_an_equal_view_id_of_another_tenant_goes_on(lane):
    log = Log(added("x"), added("x", 7, "b"), broken("x"), added("x", 7, "b"), added("x"), broken("x", tenant="b"))
    feed(lane, log.messages)
    assert {("a", "x"): 1, ("b", "x"): 14} == totals(lane.store)
    assert [("a", "x", 3, "R710"), ("a", "x", 5, HELD_CODE), ("b", "x", 6, "R710")] == parked(lane.store)


def test_an_event_for_several_views_is_parked_for_the_failing_one_only(lane):
    log = Log(broken("x", "y", "z", bad="y"), shared("x", "y", "z"))
    feed(lane, log.messages)
    assert {"x": 2, "z": 2} == {view_id: view["events"] for (_, view_id), view in views(lane.store).items()}
    assert [("a", "y", 1, "R710"), ("a", "y", 2, HELD_CODE)] == parked(lane.store)


def test_an_event_that_reaches_no_view_is_parked_alone_and_holds_nothing(lane):
    misfit = envelope("Added", {"id": 7, "n": 1})
    log = Log(added("x"), misfit, added("x"), envelope("Nowhere", {"id": ""}), added("x"))
    feed(lane, log.messages)
    assert {("a", "x"): 3} == totals(lane.store)
    assert [("a", None, 2, "D105"), ("a", None, 4, "R707")] == parked(lane.store)


def test_a_parked_event_says_what_where_and_why_and_holds_the_envelope_as_it_came(lane, deployed):
    log = Log(added("x"), broken("x"))
    feed(lane, log.messages)
    (one,) = lane.store.parked()
    line = 1 + TALLIES.splitlines().index('  when one == e.bad => fail("BAD", "as asked")')
    assert (log.messages[1].data, log.messages[1].subject) == (one.envelope, one.subject)
    assert (ErrorClass.PROGRAM, "R710", "BAD: as asked") == (one.error_class, one.code, one.message)
    assert one.span.startswith(f"tallies.proj:{line}:")  # of whatever folder: a parked event is the same anywhere
    assert (deployed[0].fold_identity, Disposition.PARKED) == (one.fold_identity, one.disposition)


def test_an_event_of_a_parked_view_is_not_even_tried(lane):
    """Adding too much twice would fail; behind a parked event it is held, as fine events are."""
    feed(lane, Log(added("x", TOO_MUCH), added("x", 1), added("x", 1)).messages)
    assert {("a", "x"): TOO_MUCH} == totals(lane.store)
    assert [("a", "x", 2, "R701"), ("a", "x", 3, HELD_CODE)] == parked(lane.store)


def test_a_route_to_nothing_touches_nothing_and_is_applied(lane):
    feed(lane, Log(envelope("Nowhere", {})).messages)
    assert ({}, [], 1) == (totals(lane.store), parked(lane.store), lane.position.applied)


# skip


def test_skip_records_the_event_and_goes_on(tmp_path):
    log = Log(added("x"), broken("x", "y"), added("x"), envelope("Added", {}), added("x"))
    lane = folded(deploy(tmp_path, on_error="skip"), log)
    assert {("a", "x"): 3, ("a", "y"): 0} == totals(lane.store)
    assert [("a", None, 4, "D105"), ("a", "x", 2, "R710")] == parked(lane.store)
    assert {Disposition.SKIPPED} == {one.disposition for one in lane.store.parked()}
    reopened = feed(Lane(lane.deployed, lane.store), log.add(added("x")).messages)
    assert (4, 2) == (totals(reopened.store)["a", "x"], reopened.parked)


# halt


def test_halt_stops_before_the_event_with_nothing_of_it_done(tmp_path):
    log = Log(added("x"), added("y"), broken("x", "y", "z", bad="y"), added("x"), added("z"))
    lane = folded(deploy(tmp_path, on_error="halt"), log)
    assert {("a", "x"): 1, ("a", "y"): 1} == totals(lane.store)
    assert {1} == {view["events"] for view in views(lane.store).values()}
    assert [] == parked(lane.store)
    assert (2, 2) == (lane.store.position().scanned, lane.store.position().applied)
    assert "R710" == lane.halted.code
    assert "view type tallies, sequence 3: R710 at " in lane.halted.message


def test_a_halted_lane_neither_applies_nor_moves_on_nor_counts_gas(tmp_path):
    deployed = deploy(tmp_path, on_error="halt")
    lane = folded(deployed, Log(added("x"), broken("x")))
    gas = lane.gas
    feed(lane, Log(added("x"), broken("x"), added("y"), added("x")).messages)
    lane.move_to(1_000)
    lane.commit(None)
    assert (1, gas, {("a", "x"): 1}) == (lane.store.position().scanned, lane.gas, totals(lane.store))


@pytest.mark.parametrize("event", [b"{", envelope("Added", {"id": 7, "n": 1}), envelope("Nowhere", {"id": ""})])
def test_halt_also_stops_before_an_event_that_reaches_no_view(tmp_path, event):
    lane = folded(deploy(tmp_path, on_error="halt"), Log(added("x"), event, added("x")))
    assert ({("a", "x"): 1}, [], 1) == (totals(lane.store), parked(lane.store), lane.store.position().scanned)
    assert lane.halted is not None


def test_a_halted_lane_goes_on_where_it_stopped_once_it_may(tmp_path):
    """Opened again by the same deployment it halts again; with a corrected program the new build takes the event."""
    log = Log(added("x"), broken("x", "y"), added("x"))
    halting = deploy(tmp_path / "halting", on_error="halt")
    with LmdbLaneStore.open(tmp_path / "1", halting[0].fold_identity) as store:
        feed(Lane(halting[0], store), log.messages)
        again = feed(Lane(halting[0], store), log.messages)
        assert (again.halted.code, store.position().scanned) == ("R710", 1)
    corrected = deploy(tmp_path / "corrected", CORRECTED, on_error="halt")
    assert corrected[0].fold_identity != halting[0].fold_identity
    with LmdbLaneStore.open(tmp_path / "2", corrected[0].fold_identity) as store:
        lane = feed(Lane(corrected[0], store), log.messages)
        assert (None, {("a", "x"): 2, ("a", "y"): 0}) == (lane.halted, totals(store))


# the bound


def test_a_lane_parks_up_to_its_bound_and_halts_before_the_event_beyond_it(tmp_path):
    log = Log(broken("x"), added("x"), added("y"), added("x"), added("x"), added("y"))
    lane = folded(deploy(tmp_path, limits={"parked": 3}), log)
    assert [1, 2, 4] == [sequence for _, _, sequence, _ in parked(lane.store)]
    assert ({("a", "y"): 1}, 4) == (totals(lane.store), lane.store.position().scanned)
    assert "3 events are parked, and the lane may hold 3" in lane.halted.message


def test_the_bound_counts_what_was_parked_before_a_reopening(tmp_path):
    log = Log(broken("x"), added("x"), added("y"), added("x"))
    deployed = deploy(tmp_path, limits={"parked": 2})
    lane = feed(folded(deployed, Log(*[one.data for one in log.messages[:2]])), ())
    reopened = feed(Lane(deployed[0], lane.store), log.messages)
    assert (reopened.halted is not None, reopened.store.position().scanned) == (True, 3)


def test_an_event_that_would_park_for_more_views_than_the_bound_leaves_is_done_for_none(tmp_path):
    log = Log(broken("x"), broken("y"), shared("x", "y", "z"))
    lane = folded(deploy(tmp_path, limits={"parked": 3}), log)
    assert ({}, 2, 2) == (totals(lane.store), lane.parked, lane.store.position().scanned)


def test_an_erasure_goes_through_even_when_the_lane_is_full(tmp_path):
    log = Log(broken("x"), added("x"), erased("x"), added("x"))
    lane = folded(deploy(tmp_path, limits={"parked": 2}), log)
    assert (None, {("a", "x"): 1}, 0) == (lane.halted, totals(lane.store), lane.parked)


# erasure


@pytest.mark.parametrize("commit_every", [1, 2, 3, 4, 100])
def test_an_erasure_does_not_wait_and_discards_what_waits_for_the_view(deployed, store, commit_every):
    """Also what was parked earlier in the same batch, and only this view's and this tenant's."""
    log = Log(
        added("x"),
        broken("x"),
        added("x"),
        broken("xy"),
        broken("x", tenant="b"),
        erased("x"),
        added("x", 9),
        broken("x"),
        added("x"),
    )
    lane = feed(Lane(deployed[0], store), log.messages, commit_every=commit_every)
    assert {("a", "x"): 9} == totals(store)
    assert [
        ("a", "x", 8, "R710"),
        ("a", "x", 9, HELD_CODE),
        ("a", "xy", 4, "R710"),
        ("b", "x", 5, "R710"),
    ] == parked(store)
    assert 4 == lane.parked == Lane(deployed[0], store).parked


def test_an_erasure_of_several_views_discards_for_each_what_waits(lane):
    feed(lane, Log(broken("x"), added("y", 3), broken("y"), added("z"), erased("x", "y", "z", "none")).messages)
    assert ({}, []) == (totals(lane.store), parked(lane.store))


def test_erasing_a_view_that_never_was_discards_what_waits_for_it(lane):
    feed(lane, Log(broken("x"), erased("x")).messages, commit_every=1)
    assert ([], 0, {}) == (parked(lane.store), lane.parked, totals(lane.store))


def test_what_was_parked_alone_outlives_every_erasure(lane):
    feed(lane, Log(b"{", envelope("Added", {"n": 1}), broken("x"), erased("x")).messages, commit_every=2)
    assert [("a", None, 1, "D101"), ("a", None, 2, "D105")] == parked(lane.store)


def test_a_handler_that_may_do_more_than_delete_waits(tmp_path):
    program = TALLIES.replace(
        "on Erased as e to e.id => delete",
        "on Erased as e to e.id\n  when view == none => keep\n  else => delete",
    )
    lane = folded(deploy(tmp_path, program), Log(added("x"), broken("x"), erased("x")))
    assert {("a", "x"): 1} == totals(lane.store)
    assert [("a", "x", 2, "R710"), ("a", "x", 3, HELD_CODE)] == parked(lane.store)


def test_an_erasure_whose_condition_is_false_discards_nothing(tmp_path):
    program = TALLIES.replace(
        "event Erased { id: string }", "event Erased { id: string, really: bool = false }"
    ).replace("on Erased as e to e.id => delete", "on Erased as e to e.id when e.really => delete")
    lane = folded(deploy(tmp_path, program), Log(added("x"), broken("x"), erased("x")))
    assert {("a", "x"): 1} == totals(lane.store)
    assert ("a", "x", 2, "R710") in parked(lane.store)


def test_an_erasure_that_says_updates_discards_what_waits_for_a_view_that_was_never_made(tmp_path):
    program = TALLIES.replace("on Erased as e to e.id => delete", "on Erased as e updates e.id => delete")
    lane = folded(deploy(tmp_path, program), Log(broken("x"), erased("x")))
    assert ([], {}) == (parked(lane.store), totals(lane.store))


def test_an_erasure_discards_what_waits_for_an_id_that_is_too_long_for_a_view(lane):
    long = "k" * 600
    feed(lane, Log(added(long), added(long), added("x"), erased(long)).messages, commit_every=3)
    assert ([], 0, {("a", "x"): 1}) == (parked(lane.store), lane.parked, totals(lane.store))
