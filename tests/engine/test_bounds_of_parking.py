"""Bounds of what is parked: a view or a tenant that reaches its own is suspended, and all others go on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from build_support import TALLY, fold_on, state_of
from engine_support import (
    CORRECTED,
    TALLIES,
    TENANCY,
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
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projection.engine.adoption import adopt
from projection.engine.builds import plan_builds
from projection.engine.decisions import drop
from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.engine.verification import Verification, differences
from projection.errors import ConfigurationError, StorageError
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId, ViewId
from projection.model.manifest import Policy
from projection.model.parked import Suspension
from projection.store.catalog import Catalog
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.model.parked import ParkedEvent

A, B, X, Y = TenantId("a"), TenantId("b"), ViewId("x"), ViewId("y")
NOWHERE = b'{"tenant_id": "a"}'  # no event: it reaches no view


@pytest.fixture(scope="module")
def bounded(tmp_path_factory) -> DeployedView:
    limits = {"parked_per_tenant": 3, "parked_per_view": 2}
    return deploy(tmp_path_factory.mktemp("bounded"), limits=limits)[0]


def degraded(lane: Lane) -> list[tuple[bool, ...]]:
    """Of tenants a and b: whether x is degraded, whether y is, whether answers are incomplete."""
    with lane.store.snapshot() as snapshot:
        return [
            (snapshot.is_degraded(one, X), snapshot.is_degraded(one, Y), snapshot.is_incomplete(one)) for one in (A, B)
        ]


def test_a_tenant_beyond_its_bound_is_suspended_where_it_is_and_the_others_go_on(bounded):
    bad = [broken("p"), broken("q"), broken("r"), broken("s")]
    lane = folded(
        (bounded,), Log(added("x"), *bad, added("x", 10), broken("t"), added("x", 5, "b"), added("y", 5, "b"))
    )
    assert lane.halted is None
    assert {("a", "x"): 1, ("b", "x"): 5, ("b", "y"): 5} == totals(lane.store)
    assert [2, 3, 4] == [sequence for _, _, sequence, _ in parked(lane.store)]
    assert [Suspension(A, None, 5)] == lane.store.suspensions()
    assert [(True, True, True), (False, False, False)] == degraded(lane)
    assert (9, 9) == (lane.store.position().scanned, lane.store.position().applied)


def test_an_event_that_suspends_its_tenant_has_no_effect_on_other_views(bounded):
    lane = folded((bounded,), Log(broken("p"), broken("q"), broken("r"), broken("x", "s", bad="s")))
    assert {} == totals(lane.store)
    assert [Suspension(A, None, 4)] == lane.store.suspensions()


def test_a_view_beyond_its_bound_is_suspended_and_the_others_of_its_tenant_go_on(bounded):
    lane = folded((bounded,), Log(broken("x"), added("x"), shared("x", "y", n=7), added("x"), added("y")))
    assert {("a", "y"): 8} == totals(lane.store)
    assert [("a", "x", 1, "R710"), ("a", "x", 2, "P000")] == parked(lane.store)
    assert [Suspension(A, X, 3)] == lane.store.suspensions()
    assert [(True, False, False), (False, False, False)] == degraded(lane)


def test_an_erasure_is_not_kept_from_a_suspended_tenant_and_ends_the_suspension_of_a_view(bounded):
    bad = [broken("p"), broken("q"), broken("r"), broken("s")]
    lane = folded((bounded,), Log(added("x"), added("y"), *bad, erased("x"), erased("p", "y"), erased("nobody")))
    assert ({}, ["q", "r"]) == (totals(lane.store), [view_id for _, view_id, _, _ in parked(lane.store)])
    lane = folded((bounded,), Log(added("x"), broken("x"), added("x"), added("x"), erased("x"), added("x", 5)))
    assert ({("a", "x"): 5}, [], []) == (totals(lane.store), parked(lane.store), lane.store.suspensions())
    assert [(False, False, False), (False, False, False)] == degraded(lane)


def test_an_event_that_erases_one_view_and_suspends_its_tenant_at_another_erases(tmp_path):
    program = f"""{TALLIES}
event Left {{ id: string, other: string }}
on Left as e to e.id => delete
on Left as e to e.other => fail("BAD", "as asked")
"""
    deployed = deploy(tmp_path, program, limits={"parked_per_tenant": 1})
    lane = folded(deployed, Log(added("x"), broken("p"), envelope("Left", {"id": "x", "other": "y"})))
    assert ({}, [("a", "p", 2, "R710")]) == (totals(lane.store), parked(lane.store))
    assert [Suspension(A, None, 3)] == lane.store.suspensions()


def test_without_tenants_there_is_no_bound_of_one_and_the_lane_halts_at_its_own(tmp_path):
    tenancy = Tenancy(enabled=False)
    deployed = deploy(tmp_path, tenancy=tenancy, limits={"parked_per_tenant": 1, "parked": 2})
    log = Log().add(*(envelope("Broken", {"ids": [one], "bad": one}, None) for one in "pqr"), tenant="")
    lane = folded(deployed, log, tenancy=tenancy)
    assert ("lane.halted", 2, []) == (lane.halted.code, lane.scanned, lane.store.suspensions())


def test_the_bounds_are_no_part_of_the_fold_identity_and_a_comparison_says_where_one_was_reached(tmp_path, bounded):
    free = deploy(tmp_path)[0]
    assert free.fold_identity == bounded.fold_identity
    log = Log(broken("x"), broken("y"), added("x"), added("z"))
    below = [folded((one,), log) for one in (free, bounded)]
    assert state_of(below[0].store) == state_of(below[1].store)
    log.add(broken("z"), added("z"))
    found = [Verification(None, folded((one,), log).store.audit()) for one in (free, bounded)]
    said = differences(*found)
    assert 2 == len(said)
    assert "all views of tenant 'a' from event 5 on" in said[1]


def test_a_suspension_outlives_a_restart_and_says_the_same_however_the_log_was_committed(bounded):
    log = Log(broken("x"), added("x"), added("x"), broken("y"), broken("z"), added("x"), added("z"), erased("x"))
    states = []
    for commit_every in (1, 2, 3, 100):
        store = MemoryLaneStore(bounded.fold_identity)
        for start in range(0, log.last, commit_every):
            feed(Lane(bounded, store), log.messages[start : start + commit_every])
        states.append(state_of(store))
    assert all(states[0] == one for one in states)


happenings = st.one_of(
    *(
        st.builds(make, st.sampled_from("xyz"), tenant=st.sampled_from("ab"))
        for make in (added, broken, lambda one, tenant: envelope("Added", {"id": one}, tenant))
    ),
    st.builds(lambda some, tenant: shared(*some, tenant=tenant), st.permutations("xyz"), st.sampled_from("ab")),
    st.just(NOWHERE),
)


@settings(deadline=None, max_examples=100)
@given(happened=st.lists(happenings, max_size=25), every=st.integers(1, 30))
def test_up_to_its_suspension_a_tenant_holds_what_it_would_alone_and_nothing_later(bounded, happened, every):
    """And the other tenant what it would hold if there were no bounds for the first one to reach."""
    log = Log(*happened)
    store = feed(Lane(bounded, MemoryLaneStore(bounded.fold_identity)), log.messages, commit_every=every).store
    assert store.audit().agrees
    for tenant in (A, B):
        ended = next((one.sequence for one in store.suspensions() if one.tenant_id == tenant and not one.view_id), 99)
        own = [one for one in log.messages if one.subject.split(".")[1] == tenant and one.sequence < ended]
        alone = feed(Lane(bounded, MemoryLaneStore(bounded.fold_identity)), own).store
        assert held(alone, tenant) == held(store, tenant)


def held(store: MemoryLaneStore, tenant: TenantId) -> Any:
    of_views = [one for one in store.suspensions() if one.view_id is not None and one.tenant_id == tenant]
    return list(store.scan(tenant, TALLY)), [one for one in parked(store) if one[0] == tenant], of_views


# a store that cannot be read


class Forgetful(MemoryLaneStore):
    """Cannot be read every other time, once `reads` are counted."""

    reads: int | None = None

    def _fail_in_turn(self) -> None:
        if self.reads is not None:
            self.reads += 1
            if self.reads % 2:
                raise StorageError("the disk does not read", code="storage.io")

    def get(self, encoded: bytes) -> bytes | None:
        self._fail_in_turn()
        return super().get(encoded)

    def parked(self) -> Iterator[ParkedEvent]:
        self._fail_in_turn()
        return super().parked()


in_part = st.builds(lambda tenant: erased("k" * 600, "x", "y", tenant=tenant), st.sampled_from("ab"))  # one is refused


@settings(deadline=None, max_examples=100)
@given(happened=st.lists(happenings | in_part, max_size=25), every=st.integers(1, 30), policy=st.sampled_from(Policy))
@example(happened=[broken("x"), erased("k" * 600, "x", "y")], every=1, policy=Policy.PARK)
def test_an_event_has_no_effect_while_the_store_cannot_be_read_and_its_whole_effect_afterwards(
    bounded, happened, every, policy
):
    deployed = replace(bounded, entry=bounded.entry.replaced(on_error=policy))
    log, store = Log(*happened), Forgetful(bounded.fold_identity)
    expected = feed(Lane(deployed, MemoryLaneStore(bounded.fold_identity)), log.messages)
    lane = Lane(deployed, store, cached_bytes=0)
    read = EventReader(deployed.entry.subject_template, TENANCY).read
    for message in log.messages:
        store.reads, is_taken = 0, False
        while not is_taken:
            before = lane.parked, lane.suspensions, lane.has_changes
            try:
                lane.apply(read(message))
                is_taken = True
            except StorageError:
                assert before == (lane.parked, lane.suspensions, lane.has_changes)
        store.reads = None
        if message.sequence % every == 0:
            lane.commit(None)
    lane.commit(None)
    assert state_of(expected.store) == state_of(store)


# the way out


def test_a_new_build_of_the_same_program_folds_what_was_suspended_and_takes_over(tmp_path: Path):
    data, log = tmp_path / "data", Log(broken("x"), added("x"), added("x"))
    tight = deploy(tmp_path / "tight", limits={"parked_per_view": 1})
    fold_on(data, tight, log.messages)
    wide = deploy(tmp_path / "wide")
    with Catalog.open(data) as catalog:
        assert [1] == [one.build.number for one in plan_builds(catalog, wide)]
        assert [2, 1] == [one.build.number for one in plan_builds(catalog, wide, new_build=True)]
        assert [2, 1] == [one.build.number for one in plan_builds(catalog, wide, new_build=True)]
        assert [2, 1] == [one.build.number for one in plan_builds(catalog, wide)]
        catalog.serve(catalog.build(TALLY, 2))
    fold_on(data, wide, log.messages)
    with Catalog.open(data) as catalog:
        assert [2] == [one.build.number for one in plan_builds(catalog, wide, new_build=True)]
        drop(catalog, TALLY, A, 1, X)


@pytest.mark.parametrize("view_id", ["x", "y", None])
def test_nothing_can_be_dropped_where_later_events_are_missing(tmp_path: Path, view_id: str | None):
    data = tmp_path / "data"
    log = Log(broken("y"), NOWHERE, broken("x"), added("x"))
    fold_on(data, deploy(tmp_path / "tight", limits={"parked_per_view": 1}), log.messages)
    sequence = {"x": 3, "y": 1, None: 2}[view_id]
    with Catalog.open(data) as catalog:
        if view_id == "y":
            drop(catalog, TALLY, A, sequence, ViewId(view_id))
            return
        with pytest.raises(ConfigurationError, match="later ones are missing"):
            drop(catalog, TALLY, A, sequence, view_id and ViewId(view_id))


def test_an_adoption_leaves_a_suspended_view_as_it_is_and_says_so(tmp_path: Path):
    data = tmp_path / "data"
    tight = {"parked_per_view": 1}
    fold_on(data, deploy(tmp_path / "old", limits=tight), Log(broken("x"), added("x"), broken("y")).messages)
    with Catalog.open(data) as catalog:
        came = adopt(catalog, deploy(tmp_path / "new", CORRECTED, limits=tight)[0])
    assert (1, 1, {"R710": 1}) == (came.suspended, came.taken, came.parked)


# skip


def test_skipped_events_beyond_the_bound_are_counted_and_the_digest_does_not_tell(tmp_path: Path):
    log = Log(*(broken(one) for one in "pqrst"), NOWHERE, added("x"))
    lanes = [
        folded(deploy(tmp_path / str(kept), on_error="skip", limits={"skipped": kept}), log, commit_every=2)
        for kept in (0, 2, 1_000)
    ]
    assert [0, 2, 6] == [len(parked(lane.store)) for lane in lanes]
    assert 1 == len({str(lane.store.audit().recomputed) for lane in lanes})
    log.add(broken("z"))
    for lane in lanes:
        assert lane.store.audit().agrees
        again = Lane(lane.deployed, lane.store)
        assert 6 == lane.parked == again.parked
        assert 7 == feed(again, log.messages).parked
