"""Dropping a parked event: what comes of it is what a fold comes to that had left the event out from its start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from build_support import TALLY, answering, fold_on, folded_with, state, state_of
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
    parked,
    shared,
    totals,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.engine.builds import open_store, plan_builds
from projection.engine.decisions import drop
from projection.engine.lane import Lane
from projection.engine.recipes import recipe_of
from projection.engine.requeue import queues, settle
from projection.errors import ConfigurationError
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.store import lmdb_reader
from projection.store.build import Build
from projection.store.catalog import Catalog
from projection.store.memory import MemoryLaneStore
from projection.store.records import decode_parked

if TYPE_CHECKING:
    from projection.engine.decisions import Dropped

A = TenantId("a")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def tallies(tmp_path_factory: pytest.TempPathFactory):
    return deploy(tmp_path_factory.mktemp("tallies"))


def drops(data: Path, sequence: int, view_id: str | None, tenant: str = "a") -> Dropped:
    with Catalog.open(data) as catalog:
        return drop(catalog, TALLY, TenantId(tenant), sequence, None if view_id is None else ViewId(view_id))


def held(data: Path) -> tuple[dict[tuple[str, str], int], list[tuple[str, str | None, int, str]]]:
    with answering(data) as (_, store):
        return totals(store), parked(store)


def as_if_never_there(data: Path, log: Log) -> None:
    with answering(data) as (build, _):
        pass
    assert folded_with(build, log) == state(data)


def test_what_waited_behind_a_dropped_event_goes_on_in_order(data, tallies):
    log = Log(added("x"), broken("x"), added("x", 10), broken("y"), added("x", 100))
    fold_on(data, tallies, log.messages)
    came = drops(data, 2, "x")
    assert ({("a", "x"): 111}, [("a", "y", 4, "R710")]) == held(data)
    assert (2, 2, []) == (came.event.sequence, came.taken, came.waiting)
    as_if_never_there(data, log)


def test_the_queue_goes_on_until_an_event_fails_again_which_is_parked_with_its_own_reason(data, tallies):
    log = Log(broken("x"), added("x"), broken("x"), added("x"), added("x"))
    fold_on(data, tallies, log.messages)
    came = drops(data, 1, "x")
    assert ({("a", "x"): 1}, [("a", "x", 3, "R710"), ("a", "x", 4, "P000"), ("a", "x", 5, "P000")]) == held(data)
    assert (1, [(3, "R710"), (4, "P000"), (5, "P000")]) == (came.taken, [(e.sequence, e.code) for e in came.waiting])
    as_if_never_there(data, log)


def test_an_event_may_be_dropped_out_of_the_middle_of_a_queue(data, tallies):
    log = Log(broken("x"), added("x", 5), added("x", 7))
    fold_on(data, tallies, log.messages)
    assert 0 == drops(data, 2, "x").taken
    assert ({}, [("a", "x", 1, "R710"), ("a", "x", 3, "P000")]) == held(data)
    as_if_never_there(data, log)
    drops(data, 1, "x")
    assert ({("a", "x"): 7}, []) == held(data)
    as_if_never_there(data, log)


def test_one_event_of_many_is_dropped_without_a_look_at_those_of_other_views(data, tallies, monkeypatch):
    """Each is read once, when the lane is opened; of 50,000, reading all of them four times took ten seconds."""
    others = [broken(f"y{number}") for number in range(100)]
    log = Log(added("x"), broken("x"), *others, added("x", 10))
    fold_on(data, tallies, log.messages)
    read: list[bytes] = []

    def decode(stored: bytes):
        read.append(stored)
        return decode_parked(stored)

    monkeypatch.setattr(lmdb_reader, "decode_parked", decode)
    assert 1 == drops(data, 2, "x").taken
    assert len(read) <= len(others) + 10
    as_if_never_there(data, log)


def test_an_event_that_reached_no_view_is_dropped_alone(data, tallies):
    log = Log(added("x"), b"{", envelope("Added", {"n": 1}), broken("x"))
    fold_on(data, tallies, log.messages)
    came = drops(data, 3, None)
    assert [("a", None, 2, "D101"), ("a", "x", 4, "R710")] == held(data)[1]
    assert (0, []) == (came.taken, came.waiting)
    as_if_never_there(data, log)


def test_an_event_is_dropped_for_the_named_view_and_tenant_only(data, tallies):
    """Of several views that wait for it, and of equal ids of other tenants."""
    log = Log(broken("x", "y"), broken("y", "x"), shared("x", "y"), broken("x", tenant="b"), added("x", tenant="b"))
    fold_on(data, tallies, log.messages)
    assert [("a", "x", 1, "R710"), ("a", "x", 2, "P000"), ("a", "x", 3, "P000")] == held(data)[1][:3]
    drops(data, 2, "y")
    assert {("a", "y"): 1} == held(data)[0]
    assert [1, 2, 3] == [sequence for tenant, _, sequence, _ in held(data)[1] if tenant == "a"]
    assert [4, 5] == [sequence for tenant, _, sequence, _ in held(data)[1] if tenant == "b"]
    as_if_never_there(data, log)


def test_the_build_goes_on_with_the_decision_and_under_the_identity_that_it_gives(data, tallies):
    log = Log(broken("x"), added("x"))
    fold_on(data, tallies, log.messages)
    came = drops(data, 1, "x")
    log.add(added("x", 10), broken("x"), added("x"))
    fold_on(data, tallies, log.messages)
    assert ({("a", "x"): 11}, [("a", "x", 4, "R710"), ("a", "x", 5, "P000")]) == held(data)
    assert came.build.fold_identity == state(data)[-1] != tallies[0].fold_identity
    as_if_never_there(data, log)


def test_the_program_is_the_builds_own_whatever_the_manifest_says_by_now(data, tmp_path):
    deployed = deploy(tmp_path / "deployed")
    fold_on(data, deployed, Log(broken("x"), added("x")).messages)
    (tmp_path / "deployed" / "tallies.proj").unlink()
    drops(data, 1, "x")
    assert {("a", "x"): 1} == held(data)[0]


@pytest.mark.parametrize(
    ("sequence", "view_id", "tenant"), [(1, "x", "a"), (2, "y", "a"), (2, "x", "b"), (2, None, "a"), (4, "x", "a")]
)
def test_only_what_is_parked_can_be_dropped(data, tallies, sequence, view_id, tenant):
    fold_on(data, tallies, Log(added("x"), broken("x"), envelope("Added", {})).messages)
    before = state(data)
    with pytest.raises(
        ConfigurationError, match=rf"no event {sequence} of tenant '{tenant}' is parked .* in build 1 of"
    ):
        drops(data, sequence, view_id, tenant)
    assert before == state(data)


def test_what_a_policy_skipped_is_not_parked_and_cannot_be_dropped(data, tmp_path):
    fold_on(data, deploy(tmp_path / "deployed", on_error="skip"), Log(broken("x")).messages)
    with pytest.raises(ConfigurationError, match="no event 1 of tenant 'a' is parked"):
        drops(data, 1, "x")


def test_a_view_type_that_the_folder_does_not_have_is_told(data, tallies):
    fold_on(data, tallies, [])
    with Catalog.open(data) as catalog, pytest.raises(ConfigurationError, match="no view type 'others'"):
        drop(catalog, ViewType("others"), A, 1)


def test_a_crash_between_the_decision_and_its_effect_is_made_good_when_the_store_is_opened_next(
    data, tallies, monkeypatch
):
    log = Log(added("x"), broken("x"), added("x", 10), broken("y"))
    fold_on(data, tallies, log.messages)
    with monkeypatch.context() as crash:
        crash.setattr(Lane, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drops(data, 2, "x")
    with Catalog.open(data) as catalog:
        assert 1 == len(catalog.require(TALLY).drops)
    assert ({("a", "x"): 11}, [("a", "y", 4, "R710")]) == held(data)
    as_if_never_there(data, log)


# Few ids and many failures, so that queues are long; where each decision falls among them, and what is chosen.
one_of_two = st.sampled_from(["x", "y"])
happenings = st.one_of(
    st.builds(broken, one_of_two),
    st.builds(added, one_of_two, st.sampled_from([1, 5, TOO_MUCH])),
    st.builds(lambda bad: shared(*bad), st.permutations(["x", "y"])),
    st.builds(lambda bad: broken(*bad), st.permutations(["x", "y"])),
    st.builds(erased, one_of_two),
    st.builds(lambda one: envelope("Added", {"id": one}), one_of_two),
    st.builds(lambda some: envelope("Shared", {"ids": some, "n": "1"}), st.permutations(["x", "y"])),
    st.just(b"{"),
)
histories = st.lists(
    st.tuples(st.lists(happenings, min_size=1, max_size=6), st.integers(0, 40)), min_size=2, max_size=8
)


@settings(deadline=None, max_examples=100)
@given(history=histories)
def test_whenever_it_is_dropped_the_state_is_that_of_a_fold_that_knew_it_from_the_start(tallies, history):
    """Some events, a decision about one of those that are parked by then, some events more, and so on."""
    log, build = Log(), Build(Path(), TALLY, 1, tallies[0].base_identity, recipe_of(tallies[0]).encode())
    store = MemoryLaneStore(build.fold_identity)
    for events, choice in history:
        feed(Lane(tallies[0].within(build), store), log.add(*events).messages)
        if found := [one for queue in queues(store).values() for one in queue]:
            one = found[choice % len(found)]
            build = build.decided(Drop(one.sequence, one.tenant_id, one.view_id))
            settle(store, tallies[0].within(build))
    assert folded_with(build, log) == state_of(store)


OPENED = """\
proj 1
projection tallies

event Opened { id: string }

view Tally { total: int = 0 }

on Opened as e creates e.id => {}
"""


def test_how_a_refusal_is_worded_does_not_tell_a_drop_before_the_rest_from_one_after_it(tmp_path):
    """The third event is refused by a fold of the log here, and by a run of the queue there."""
    deployed = deploy(tmp_path / "deployed", OPENED)
    opened = envelope("Opened", {"id": "x"})
    log = Log(opened, opened, opened)
    before, after = tmp_path / "before", tmp_path / "after"
    fold_on(before, deployed, log.messages[:2])
    drops(before, 2, "x")
    fold_on(before, deployed, log.messages)
    fold_on(after, deployed, log.messages)
    drops(after, 2, "x")
    assert [("a", "x", 3, "R706")] == held(before)[1] == held(after)[1]
    assert state(before)[-2:] == state(after)[-2:]  # digest and identity


# a build under way


def under_way(data: Path, tallies, corrected, log: Log, upto: int) -> None:
    """A build of the corrected program, begun beside the one that answers, which has come up to a sequence."""
    fold_on(data, tallies, log.messages)
    with Catalog.open(data) as catalog:
        new, _ = plan_builds(catalog, corrected, new_build=True)
        with open_store(new.build, new.deployed) as store:
            feed(Lane(new.deployed, store), log.messages[:upto])


def takes_over(data: Path, corrected, log: Log) -> None:
    """The node is started again: the new build catches up and takes over."""
    with Catalog.open(data) as catalog:
        new = plan_builds(catalog, corrected)[0]
        with open_store(new.build, new.deployed) as store:
            feed(Lane(new.deployed, store), log.messages)
        catalog.serve(new.build)


@pytest.mark.parametrize("upto", range(5))
@pytest.mark.parametrize(("sequence", "view_id"), [(2, "x"), (3, "x"), (4, None)])
def test_a_decision_holds_in_the_build_under_way_wherever_that_has_come_to(
    data, tallies, tmp_path, upto, sequence, view_id
):
    """The corrected program takes the event that is dropped, or parks it as well, or has not come to it."""
    corrected = deploy(tmp_path / "corrected", CORRECTED)
    log = Log(added("x"), broken("x"), added("x", 10), envelope("Added", {"id": 7, "n": 1}))
    under_way(data, tallies, corrected, log, upto)
    drops(data, sequence, view_id)
    takes_over(data, corrected, log)
    with answering(data) as (build, _):
        assert (2, [(sequence, "a", view_id)]) == (build.number, [tuple(one) for one in build.drops])
    as_if_never_there(data, log)


def test_several_decisions_reach_the_build_under_way(data, tallies, tmp_path):
    corrected = deploy(tmp_path / "corrected", TALLIES.replace('"as asked"', '"still"'))
    log = Log(broken("x"), added("x"), broken("y"), broken("x"), added("x", 5))
    under_way(data, tallies, corrected, log, 4)
    for sequence, view_id in ((1, "x"), (4, "x"), (3, "y")):
        drops(data, sequence, view_id)
    takes_over(data, corrected, log)
    assert ({("a", "x"): 6}, []) == held(data)
    as_if_never_there(data, log)


def test_an_event_that_is_dropped_altogether_is_left_out_by_a_program_that_would_take_it(data, tallies, tmp_path):
    corrected = deploy(
        tmp_path / "corrected",
        CORRECTED.replace("id: string, n: int }", "id: json, n: int }", 1).replace(
            "on Added as e to e.id", 'on Added as e to "x"'
        ),
    )
    log = Log(envelope("Added", {"id": 7, "n": 1}), envelope("Added", {"id": "x", "n": 10}))
    under_way(data, tallies, corrected, log, 0)
    drops(data, 1, None)
    takes_over(data, corrected, log)
    assert {("a", "x"): 10} == held(data)[0]
