"""Which code and class each kind of bad input gets, and that none of it harms anything else."""

from __future__ import annotations

import pytest
from engine_support import (
    TOO_MUCH,
    Log,
    added,
    broken,
    contents,
    deploy,
    envelope,
    feed,
    folded,
    parked,
    shared,
    totals,
    view_key,
    views,
)

from projection.engine.lane import Lane
from projection.errors import ErrorClass
from projection.model.envelope import MAX_ENVELOPE_BYTES, Tenancy
from projection.model.ids import TenantId
from projection.model.keys import MAX_KEY_BYTES
from projection.model.parked import HELD_CODE
from projection.store.memory import MemoryLaneStore

ELSEWHERE = "tenant.b.aggregate.tally.1"
WITHOUT_TYPE = envelope("?", {}).replace(b'"event_type": "?", ', b"")

DATA, PROGRAM = ErrorClass.DATA, ErrorClass.PROGRAM


@pytest.mark.parametrize(
    ("event", "code", "error_class"),
    [
        (b"", "D101", DATA),
        (b"not JSON", "D101", DATA),
        (b"\xff\xfe", "D101", DATA),
        (b'{"payload":' + b"[" * 100_000, "D101", DATA),
        (b"[]", "D102", DATA),
        (b"{}", "D102", DATA),
        (WITHOUT_TYPE, "D102", DATA),
        (envelope("Added", {"id": "x", "n": 1}, timestamp="yesterday"), "D102", DATA),
        (envelope("Added", {"id": "x", "n": 1}, tenant="b"), "D103", DATA),
        (b" " * (MAX_ENVELOPE_BYTES + 1), "D104", DATA),
        (envelope("Added", {"id": 7, "n": 1}), "D105", DATA),
        (envelope("Added", {"n": 1}), "D105", DATA),
        (envelope("Added", []), "D105", DATA),
        (envelope("Added", {"id": "", "n": 1}), "R707", PROGRAM),
        (shared(*(f"v{number}" for number in range(50)), *("x",) * 30), "D105", DATA),
    ],
)
def test_an_event_that_cannot_be_taken_is_parked_alone_with_its_code_and_class(lane, event, code, error_class):
    log = Log(added("x")).add(event, subject="tenant.a.aggregate.tally.1").add(added("x"))
    feed(lane, log.messages)
    (one,) = lane.store.parked()
    assert (code, error_class, 2) == (one.code, one.error_class, one.sequence)
    assert (None, "a", event) == (one.view_id, one.tenant_id, one.envelope)
    assert {("a", "x"): 2} == totals(lane.store)


@pytest.mark.parametrize(
    ("event", "view_id", "code"),
    [
        (added("x", TOO_MUCH), "x", "R701"),
        (broken("x"), "x", "R710"),
        (added("k" * MAX_KEY_BYTES), "k" * MAX_KEY_BYTES, "R708"),
        (added(":" * 200), ":" * 200, "R708"),
        (envelope("Grown", {"id": "g", "texts": ["t" * 65_536] * 32}), "g", "R712"),
    ],
)
def test_an_event_that_a_view_cannot_take_is_parked_for_that_view(lane, event, view_id, code):
    feed(lane, Log(added("x"), added("y"), event, added("y")).messages)
    (one,) = lane.store.parked()
    assert (code, PROGRAM, view_id) == (one.code, one.error_class, one.view_id)
    assert {("a", "x"): 1, ("a", "y"): 2} == totals(lane.store)


@pytest.mark.parametrize(
    "payload", [{"id": "x"}, {"id": "x", "n": "1"}, {"id": "x", "n": 1.5}, {"id": "x", "n": 2**63}]
)
def test_an_event_that_does_not_fit_waits_at_the_view_that_it_is_meant_for(lane, payload):
    feed(lane, Log(added("x"), envelope("Added", payload), added("x"), added("y")).messages)
    assert [("a", "x", 2, "D105"), ("a", "x", 3, HELD_CODE)] == parked(lane.store)
    assert {("a", "x"): 1, ("a", "y"): 1} == totals(lane.store)


def test_a_route_that_names_too_many_views_is_parked_for_each_of_them(tmp_path):
    lane = folded(deploy(tmp_path, limits={"ids_per_event": 3}), Log(shared("x", "y", "z"), shared("w", "x", "y", "z")))
    assert [("a", view_id, 2, "R709") for view_id in "wxyz"] == parked(lane.store)
    assert {("a", "x"): 1, ("a", "y"): 1, ("a", "z"): 1} == totals(lane.store)


@pytest.mark.parametrize(
    ("limits", "view_id", "code"), [({"gas": 20}, "v0", "O901"), ({"route_gas": 20}, None, "O901")]
)
def test_an_event_that_costs_too_much_is_parked(tmp_path, limits, view_id, code):
    """The route pays for each of its items, on a budget of its own; each view has one for its handlers."""
    events = shared(*(f"v{number}" for number in range(40)))
    lane = folded(deploy(tmp_path, limits=limits), Log(events))
    assert (view_id, code) == next((found, why) for _, found, _, why in parked(lane.store))
    assert {} == totals(lane.store)


def test_the_longest_key_that_fits_is_a_view_and_one_byte_more_is_parked(lane):
    longest = "k" * (MAX_KEY_BYTES - len(view_key("k").encode()) + 1)
    feed(lane, Log(added(longest), added(longest + "k"), added(longest), added(longest + "k")).messages)
    assert {("a", longest): 2} == totals(lane.store)
    assert [("a", f"{longest}k", 2, "R708"), ("a", f"{longest}k", 4, HELD_CODE)] == parked(lane.store)


def test_ids_too_long_for_a_key_that_differ_at_their_end_only_are_told_apart(lane):
    one, other = "k" * 600 + "1", "k" * 600 + "2"
    feed(lane, Log(added(one), added(other), added(one)).messages, commit_every=1)
    assert [(one, 1), (one, 3), (other, 2)] == sorted(
        (view_id, sequence) for _, view_id, sequence, _ in parked(lane.store)
    )


@pytest.mark.parametrize("commit_every", [1, 2, 3, 100])
def test_a_view_of_2_mb_is_parked_and_the_view_stays_as_it_was_whatever_the_batch(deployed, store, commit_every):
    small, large = ["t" * 65_536] * 8, ["t" * 65_536] * 32
    log = Log(
        envelope("Grown", {"id": "x", "texts": small}),
        added("y"),
        envelope("Grown", {"id": "x", "texts": large}),
        added("x"),
        added("y"),
    )
    feed(Lane(deployed[0], store), log.messages, commit_every=commit_every)
    assert {"total": 0, "events": 1, "texts": small} == views(store)["a", "x"]
    assert (2, [("a", "x", 3, "R712"), ("a", "x", 4, HELD_CODE)]) == (totals(store)["a", "y"], parked(store))


def test_a_view_may_be_exactly_as_large_as_the_limit_and_no_larger(tmp_path):
    """The limit is on the view's JSON in bytes, as it is stored, and not on its characters."""
    texts = ["é" * 50]
    log = Log(envelope("Grown", {"id": "x", "texts": texts}))
    size = len(folded(deploy(tmp_path / "0"), log).store.get_view(view_key("x")))
    fits = folded(deploy(tmp_path / "1", limits={"view_bytes": size}), log)
    too_large = folded(deploy(tmp_path / "2", limits={"view_bytes": size - 1}), log)
    assert (1, []) == (fits.store.count_views(), parked(fits.store))
    assert (0, [("a", "x", 1, "R712")]) == (too_large.store.count_views(), parked(too_large.store))


# tenants


@pytest.mark.parametrize(
    "subject", ["orders.1", "tenant.a", "tenant.a.aggregate.tally.1.2", "tenant.%zz.aggregate.t.1"]
)
def test_a_subject_of_another_form_is_parked_for_the_default_tenant(tmp_path, subject):
    deployed = deploy(tmp_path)
    lane = Lane(deployed[0], MemoryLaneStore(), sees_only_own=True)
    feed(lane, Log().add(added("x", tenant=""), subject=subject).messages)
    assert [("", None, 1, "D103")] == parked(lane.store)


def test_the_subject_says_whose_an_event_is_that_names_no_tenant(lane):
    feed(lane, Log().add(envelope("Added", {"id": "x", "n": 1}, tenant=None), subject=ELSEWHERE).messages)
    assert {("b", "x"): 1} == totals(lane.store)


def test_an_envelope_of_another_tenant_than_its_subject_is_parked_for_the_subjects(lane):
    feed(lane, Log().add(added("x", tenant="a"), subject=ELSEWHERE).messages)
    assert ([("b", None, 1, "D103")], {}) == (parked(lane.store), totals(lane.store))


def test_any_tenant_is_a_data_error_while_multi_tenancy_is_off(tmp_path):
    off = Tenancy(enabled=False)
    log = Log(added("x", tenant=""), added("x", tenant="b")).add(
        envelope("Added", {"id": "x", "n": 1}, tenant=None), subject=ELSEWHERE
    )
    lane = folded(deploy(tmp_path, tenancy=off), log, tenancy=off)
    assert {("", "x"): 1} == totals(lane.store)
    assert [("", None, 2, "D103"), ("", None, 3, "D103")] == parked(lane.store)


def test_events_without_a_tenant_go_to_the_default_one(tmp_path):
    named = Tenancy(default=TenantId("house"))
    lane = folded(deploy(tmp_path, tenancy=named), Log(added("x", tenant="")), tenancy=named)
    assert {("house", "x"): 1} == totals(lane.store)


def test_hostile_tenants_and_ids_never_meet(deployed, store):
    """Prefixes of one another, separators, escapes and wildcards, as tenants and as ids, many in one cache."""
    odd = ["", "a", "a:", "a:tallies", "a%3A", "%", "*", ">", "a.b", "a_b", "é", "🚲", "A", "-", "=", "\x00"]
    pairs = [(tenant, view_id) for tenant in odd for view_id in odd if view_id]
    log = Log(*(added(view_id, number + 1, tenant) for number, (tenant, view_id) in enumerate(pairs)))
    log.add(*(broken(view_id, tenant=tenant) for tenant, view_id in pairs[::3]))
    log.add(*(added(view_id, 1_000_000, tenant) for tenant, view_id in pairs))
    feed(Lane(deployed[0], store), log.messages, commit_every=50)
    expected = {pair: number + 1 + (number % 3 != 0) * 1_000_000 for number, pair in enumerate(pairs)}
    assert expected == totals(store)
    assert {(tenant, view_id) for tenant, view_id, *_ in parked(store)} == set(pairs[::3])


def test_unknown_fields_of_an_envelope_change_nothing_and_are_kept_where_it_is_parked(deployed):
    plain, rich = added("x"), envelope("Added", {"id": "x", "n": 1, "extra": [1]}, more={"a": None}, event_id="e")
    one, other = (folded(deployed, Log(event, event)) for event in (plain, rich))
    assert contents(one.store) == contents(other.store)
    (kept,) = folded(deployed, Log(rich.replace(b'"n": 1', b'"n": "1"'))).store.parked()
    assert b'"more": {"a": null}' in kept.envelope
