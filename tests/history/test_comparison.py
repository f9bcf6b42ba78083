"""Two programs over the same events: what differs, and from which event on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from history_support import ACCOUNT, VIEW_TYPE, deployed, event, events, log_of, moved, opened, replayed
from hypothesis import given, settings

from projection.history.comparison import Comparison, Pair, compare
from projection.model.manifest import Policy

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView

STRICTER = ACCOUNT.replace("+ 100 =>", "+ 50 =>")


async def compared(old: DeployedView, new: DeployedView, given_events: list[bytes], most: int = 100) -> Comparison:
    (found,) = await compare(log_of(given_events), [Pair(old, new)], most, lambda _doing, _sequence: None)
    return found


def states(one: DeployedView, given_events: list[bytes]) -> dict[tuple[str, str], bytes]:
    store = replayed(one, given_events).lanes[0].store
    return {(key.tenant_id, key.view_id): view for key, view in store.scan(None, VIEW_TYPE)}


@settings(max_examples=30)
@given(events)
async def test_the_views_that_two_replays_make_differ_from_the_event_that_is_named(given_events: list[bytes]) -> None:
    old, new = deployed(), deployed(STRICTER)
    found = await compared(old, new, given_events)
    before, after = states(old, given_events), states(new, given_events)
    different = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    assert different == {(one.tenant_id, one.view_id) for one in found.views}
    assert len(different) == sum(found.kinds.values())
    for one in found.views:
        key = (one.tenant_id, one.view_id)
        assert (before.get(key), after.get(key)) == (one.old, one.new)
        sequences = range(len(given_events) + 1)
        first = next(
            at for at in sequences if states(old, given_events[:at]).get(key) != states(new, given_events[:at]).get(key)
        )
        assert first == one.first.event.message.sequence


async def test_equal_programs_are_equal_whatever_their_comments_and_gas() -> None:
    costlier = ACCOUNT.replace('"there are {view.balance}"', '"there are {view.balance} and no more"') + "# more\n"
    found = await compared(deployed(), deployed(costlier), [opened(), moved(1)])
    assert found.is_equal
    assert ([], 0) == (found.views, sum(found.kinds.values()))


async def test_what_is_parked_by_one_of_them_or_for_another_reason_is_told() -> None:
    given_events = [opened(), moved(60), moved(500), event("Moved", to="b", amount="much")]
    found = await compared(deployed(), deployed(STRICTER), given_events)
    assert [(2, None, "R710"), (3, "R710", "P000")] == [(one.sequence, one.old, one.new) for one in found.parked]
    assert (3, 4) == (found.old.parked, found.new.parked)  # the last event waits at both its views
    assert not found.is_equal


async def test_only_here_only_there_and_changed_are_counted_beyond_what_is_shown() -> None:
    new = ACCOUNT.replace("on Closed to meta.aggregate_id => delete", "on Closed to meta.aggregate_id => keep")
    given_events = [opened("a"), event("Closed", "a"), opened("b"), opened("c"), moved(1, "c", "b")]
    found = await compared(deployed(), deployed(new.replace("balance -=", "balance -= 1 +")), given_events, most=1)
    assert {"only_new": 1, "changed": 1} == found.kinds
    assert {"balance": 1} == found.fields
    assert ["b"] == [one.view_id for one in found.views]
    first = found.views[0].first
    assert (5, (14,), (14,)) == (first.event.message.sequence, first.old.lines, first.new.lines)


async def test_a_view_type_that_halts_in_one_of_them_is_not_equal() -> None:
    found = await compared(deployed(), deployed(policy=Policy.HALT), [opened(), moved(500), opened("b")])
    assert (None, "R710") == (found.old.halted, found.new.halted.code)
    assert {"only_old": 1} == found.kinds
    assert not found.is_equal
    assert (1, 0) == (found.old.parked, found.new.parked)
    milder = deployed(ACCOUNT.replace('fail("TOO_MUCH", "there are {view.balance}")', "keep"), Policy.HALT)
    found = await compared(deployed(policy=Policy.HALT), milder, [opened(), moved(500)])
    assert ({}, [], False) == (found.kinds, found.parked, found.is_equal)


async def test_a_field_more_changes_each_view_from_its_first_event_on() -> None:
    wider = ACCOUNT.replace("balance: int = 0,", "balance: int = 0, note: string?,")
    found = await compared(deployed(), deployed(wider), [opened(), moved(1, "a")])
    assert {"note": 1} == found.fields
    assert 1 == found.views[0].first.event.message.sequence
