"""How long a build will take to be folded: by what was measured, and said with what it rests on."""

from __future__ import annotations

from history_support import ACCOUNT, VIEW_TYPE, deployed, event, log_of, moved, opened

from projection.history import estimating
from projection.history.estimating import measured, tried
from projection.model.ids import ViewType
from projection.model.manifest import Policy
from projection.store.audit import BY_NODE, AuditRecord


def switched(build, **details):
    return AuditRecord("switch", VIEW_TYPE, BY_NODE, {"former_build": build - 1, "build": build, **details})


def test_the_last_build_that_was_measured_tells():
    records = [switched(2, events=9_000, seconds=3.0), switched(3, events=10_000, seconds=2.0), switched(4)]
    found = measured(records, VIEW_TYPE)
    assert (5_000, "build 3 was folded at 5,000 events a second") == (found.rate, found.rests_on)
    assert 4.0 == found.seconds(20_000)


def test_what_was_hardly_measured_or_is_of_others_tells_nothing():
    too_short = switched(2, events=9_000, seconds=0.1)
    of_others = AuditRecord("switch", ViewType("others"), BY_NODE, {"build": 2, "events": 9_000, "seconds": 3.0})
    nothing = switched(3, events=0, seconds=60.0)
    assert measured([too_short, of_others, nothing, switched(4)], VIEW_TYPE) is None


async def test_the_beginning_of_the_log_is_folded_to_see_how_fast_that_goes(monkeypatch):
    monkeypatch.setattr(estimating, "_TRIED", 3)
    clock = iter([10.0, 10.5])
    monkeypatch.setattr(estimating, "perf_counter", lambda: next(clock))
    found = await tried(log_of([opened(), moved(1), moved(1), moved(1)]), deployed())
    assert (6, "the first 3 events were folded in memory just now, at 6 a second") == (found.rate, found.rests_on)


async def test_of_a_log_in_which_nothing_is_there_is_no_telling():
    assert await tried(log_of([]), deployed()) is None


async def test_where_the_policy_halts_what_was_folded_until_then_tells():
    lines = [opened(), event("Moved", "a", amount="much"), moved(1)]
    assert (await tried(log_of(lines), deployed(ACCOUNT, Policy.HALT))).rate > 0
