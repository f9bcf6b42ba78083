"""Some views alone, event by event, against the fold of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from history_support import ACCOUNT, deployed, event, events, moved, opened, replayed, view_of
from hypothesis import given, settings

from projection.engine.replay import FileEvents
from projection.engine.starts import before_start_in_file
from projection.history.changes import ABSENT
from projection.history.watching import Effect, Outcome, WatchedViews
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.manifest import Policy, Start

A = (DEFAULT_TENANT, ViewId("a"))


def effects(one, given_events, *targets):
    views = WatchedViews(one, targets or [A], before_start_in_file(one))
    read = FileEvents(one.entry, one.tenancy).event
    return [effect for number, data in enumerate(given_events, 1) for effect in views.take(read(number, data))], views


def outcomes(found: list[Effect]) -> list[tuple[int, str]]:
    return [(one.event.message.sequence, one.outcome.value) for one in found]


@pytest.mark.parametrize("policy", [Policy.PARK, Policy.SKIP])
@settings(max_examples=40)
@given(given_events=events)
def test_a_view_watched_alone_is_at_each_event_what_a_replay_makes_of_all(policy, given_events) -> None:
    one = deployed(policy=policy)
    targets = [(TenantId(tenant), ViewId(view_id)) for tenant in ("", "t") for view_id in ("a", "b")]
    found, views = effects(one, given_events, *targets)
    replay = replayed(one, given_events)
    assert [view_of(replay, view_id, tenant) for tenant, view_id in targets] == [views.view(*each) for each in targets]
    for effect in found:
        if effect.view_id is not None:
            before = replayed(one, given_events[: effect.event.message.sequence - 1])
            after = replayed(one, given_events[: effect.event.message.sequence])
            tenant = effect.event.tenant_id
            assert (view_of(before, effect.view_id, tenant), view_of(after, effect.view_id, tenant)) == (
                effect.before,
                effect.after,
            )
    recorded = {(one.sequence, one.tenant_id, one.view_id) for one in replay.lanes[0].store.parked()}
    told = {
        (one.event.message.sequence, one.event.tenant_id, one.view_id)
        for one in found
        if one.outcome in (Outcome.PARKED, Outcome.WAITS, Outcome.SKIPPED)
    }
    assert recorded <= told  # what an erasure discarded was told of as well


def test_each_outcome_is_told_with_its_reason_and_line() -> None:
    given_events = [
        opened(),
        opened(),  # keeps the view
        moved(1),
        b"no envelope",  # no view can be found for it
        moved(500),
        moved(2),
        event("Closed"),
        opened("b"),  # another view
        opened("a", "t"),  # another tenant
    ]
    found, _ = effects(deployed(), given_events)
    assert [
        (1, "made"), (2, "unchanged"), (3, "changed"), (4, "parked"), (5, "parked"), (6, "waits"), (7, "deleted")
    ] == outcomes(found)  # fmt: skip
    assert [None, None, None, "D101", "R710", "P000", None] == [one.reason and one.reason.code for one in found]
    assert "account.proj:15:41" == found[4].reason.place
    assert (None, (), ViewId("a"), (14,)) == (found[3].view_id, found[3].lines, found[4].view_id, found[4].lines)
    assert [False, True] == [one.releases for one in found[5:]]
    assert [("balance", 0, -1), ("moves[0]", ABSENT, 1)] == found[2].changes


def test_gas_of_an_event_is_what_the_node_uses_for_it() -> None:
    given_events = [opened(), moved(1, to="a"), moved(2, to="a")]
    found, _ = effects(deployed(), given_events)
    assert replayed(deployed(), given_events).lanes[0].gas == sum(one.gas for one in found)


def test_what_an_operator_dropped_is_left_out_and_told() -> None:
    one = replace(deployed(), drops=frozenset({(2, DEFAULT_TENANT, "a"), (4, DEFAULT_TENANT, None)}))
    given_events = [opened(), moved(500), moved(1), event("Moved", to="b", amount="much")]
    found, views = effects(one, given_events)
    assert [(1, "made"), (2, "dropped"), (3, "changed"), (4, "dropped")] == outcomes(found)
    assert view_of(replayed(one, given_events), "a") == views.view(*A)


def test_nothing_is_folded_behind_a_halt_or_before_the_start_or_from_other_subjects() -> None:
    given_events = [opened(), moved(500), moved(1), event("Moved", to="b", amount="much")]
    found, views = effects(deployed(policy=Policy.HALT), given_events)
    assert ([(1, "made"), (2, "halted")], "R710") == (outcomes(found), views.halted.code)
    later = deployed(start=Start(sequence=2))
    assert [(2, "made")] == outcomes(effects(later, [opened(), opened()])[0])
    elsewhere = deployed(subjects=("tenant.*.aggregate.account.b",))
    assert [] == effects(elsewhere, given_events)[0]


def test_handlers_that_ran_are_told_in_their_order() -> None:
    both = ACCOUNT.replace("to if e.to == meta.aggregate_id then none else e.to", "to e.to")
    found, _ = effects(deployed(both), [opened(), moved(1, to="a")])
    assert (14, 18) == found[1].lines
