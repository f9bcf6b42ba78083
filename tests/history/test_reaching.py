"""A changed program can only change views that had an event which the two programs handle differently."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest
from history_support import ACCOUNT, deployed, event, log_of, moved, opened, replayed
from history_support import events as account_events
from hypothesis import given, settings
from hypothesis import strategies as st
from program_changes import changed as changed_tokens
from test_build_comparison import STRICTER, built

from projection.bundled import bundled
from projection.engine.deployment import deploy
from projection.engine.replay import FileEvents
from projection.history.comparison import Pair
from projection.history.reaching import TouchedViews, stored_scope, touched_views
from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.reach import reach
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.model.envelope import Tenancy
from projection.model.manifest import Limits, Policy
from projection.store.build import Lineage
from projection.stream.file_feed import read_events
from projection.testing.finding import manifest_of

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.replay import Replay
    from projection.lang.reach import Reach

MANY = """\
proj 1
projection account

event Opened { owner: string, note: Note = { n: 1 } }
event Moved { to: string, amount: int }
  was Sent as old => { to: old.to, amount: old.cents * 2 }
event Sent { to: string, cents: int }
event Closed {}
event Spread { ids: list<string>(4), amount: int }

type Note { n: int, text: string = "-" }

view Account { owner: string = "", balance: int = 0, moves: list<int>(3) = [], marks: int = 0, last: string = "" }

fn capped(n: int) -> int = if n > 80 then 80 else n
fn told(note: Note) -> string = "{note.n}: {note.text}"

on Opened as e creates meta.aggregate_id => { owner: e.owner, last: told(e.note) }

on Moved as e updates meta.aggregate_id
  when e.amount > view.balance + 100 => fail("TOO_MUCH", "there are {view.balance}")
  else => view with { balance -= capped(e.amount), moves: [...view.moves, e.amount] }

on Moved as e to if e.to == meta.aggregate_id then none else e.to
  when view == none => keep
  else => view with { balance += e.amount, last: meta.aggregate_id }

on Spread as e for one in e.ids if one != "c" to one => (view ?? {}) with { balance += capped(e.amount) + 1 }

on Closed to meta.aggregate_id => delete

on * to meta.aggregate_id => (view ?? {}) with { marks += 1 }
"""
PROGRAMS = {"account": ACCOUNT, "many": MANY}
EXAMPLES = sorted(bundled("projections").glob("*/events.jsonl"))
_ids = st.sampled_from(["a", "b", "c"])
_more = st.one_of(
    st.builds(lambda one, to, cents: event("Sent", one, to=to, cents=cents), _ids, _ids, st.sampled_from([1, 45, 70])),
    st.builds(lambda one, ids: event("Spread", one, ids=ids, amount=90), _ids, st.lists(_ids, max_size=3)),
    st.builds(lambda one: event("Thing", one), _ids),
    st.builds(lambda one: event("Spread", one, ids=["a", ""], amount=1), _ids),
    st.builds(lambda one: event("Opened", one, owner="x", note={"n": 2}), _ids),
)
logs = st.builds(
    lambda begin, some, more, dice: [*begin, *dice.sample([*some, *more], len(some) + len(more))],
    st.sampled_from([[], [opened("a"), opened("b"), opened("c")]]),
    account_events,
    st.lists(_more, max_size=15),
    st.randoms(use_true_random=False),
)


@cache
def changes_of(name: str) -> list[str]:
    """What becomes of a program where one token of it is another, as far as that still is a program."""
    found = []
    for text in dict.fromkeys(text for seed in range(2) for _, text in changed_tokens(PROGRAMS[name], seed)):
        try:
            program(text)
        except ProgramInvalidError:
            continue
        found.append(text)
    return found


@cache
def program(text: str, policy: Policy = Policy.PARK) -> DeployedView:
    return deployed(text, policy)


def views_of(replay: Replay) -> dict[tuple[str, str], bytes]:
    lane = replay.lanes[0]
    return {(key.tenant_id, key.view_id): view for key, view in lane.store.scan(None, lane.view_type)}


def parked_in(replay: Replay) -> set[tuple[str, str | None, int, str]]:
    return {(one.tenant_id, one.view_id, one.sequence, one.code) for one in replay.lanes[0].store.parked()}


def require_touched(pair: Pair, found: Reach, lines: list[bytes]) -> int:
    """Make sure that nothing differs but what is touched, by replays of a log; how many views differ."""
    old, new = (replayed(one, lines) for one in pair)
    before, after = views_of(old), views_of(new)
    differ = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    touched = TouchedViews(pair, found, (0, 0))
    for one in FileEvents(pair.new.entry, pair.new.tenancy).read(iter(lines)):
        touched.take(one)
    assert differ <= touched.views
    assert {one[:2] for one in parked_in(old) ^ parked_in(new) if one[1] is not None} <= touched.views
    return len(differ)


async def touched_in(pair: Pair, found: Reach, lines: list[bytes]) -> TouchedViews:
    return await touched_views(pair, found, log_of(lines), lambda _: None)


@pytest.mark.parametrize("name", PROGRAMS)
def test_views_that_had_no_event_which_is_handled_differently_are_the_same_by_both_programs(name: str) -> None:
    whole = program(PROGRAMS[name]).program.checked
    narrow = [text for text in changes_of(name) if reach(whole, program(text).program.checked).is_narrow]
    assert len(narrow) > 10

    @settings(max_examples=100)
    @given(logs, st.sampled_from(narrow), st.sampled_from([Policy.PARK, Policy.SKIP]), st.booleans())
    def is_proven(lines: list[bytes], text: str, policy: Policy, back: bool) -> None:
        pair = Pair(program(PROGRAMS[name], policy), program(text, policy))
        if back:
            pair = Pair(pair.new, pair.old)
        require_touched(pair, reach(*(one.program.checked for one in pair)), lines)

    is_proven()


@pytest.mark.long
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_of_the_examples_too_views_without_such_events_are_the_same(path: Path) -> None:
    seed, lines, count = SystemRandom().randrange(2**32), [data for _, data in read_events(path)], Counter[str]()
    for entry in manifest_of(path.parent).views:
        text = entry.program.read_text(encoding="utf-8")
        changes = [one for _, one in changed_tokens(text, seed)]
        Random(seed).shuffle(changes)
        for other in changes[:200]:
            try:
                pair = Pair(*(deploy(entry, Program(check(Source("p", one))), Tenancy()) for one in (text, other)))
            except ProgramInvalidError:
                continue
            if (found := reach(*(one.program.checked for one in pair))).is_narrow:
                count["programs"] += 1
                count["that make another view"] += require_touched(pair, found, lines) > 0
    print(f"seed {seed}: {dict(count)}")
    assert count["programs"]


async def test_only_the_views_of_the_events_in_question_are_touched() -> None:
    pair = Pair(program(MANY), program(MANY.replace("capped(e.amount) + 1", "capped(e.amount) + 2")))
    found = reach(*(one.program.checked for one in pair))
    assert ["Spread"] == found.named
    lines = [opened(), opened("b"), moved(5), event("Spread", "z", ids=["a", "c"], amount=1), event("Thing", "c")]
    touched = await touched_in(pair, found, lines)
    assert ({("", "a")}, 1, True) == (touched.views, touched.events, touched.is_whole)


async def test_views_that_such_an_event_fails_for_are_touched() -> None:
    pair = Pair(program(MANY), program(MANY.replace("view.balance + 100", "view.balance + 1")))
    lines = [event("Moved", "a", to="b", amount="much"), event("Moved", "c", amount=1)]
    touched = await touched_in(pair, reach(*(one.program.checked for one in pair)), lines)
    assert {("", "a"), ("", "b"), ("", "c")} == touched.views


async def test_no_more_views_are_remembered_than_memory_is_given_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projection.history.reaching.MOST", 2)
    pair = Pair(program(ACCOUNT), program(STRICTER))
    found = reach(*(one.program.checked for one in pair))
    for ids, is_whole in (("ab", True), ("aba", True), ("abc", False)):
        touched = await touched_in(pair, found, [moved(1, to=one, account="a") for one in ids])
        assert (2, is_whole) == (len(touched.views), touched.is_whole)


# --- what else is different -------------------------------------------------------------------------------------------


def test_what_the_program_alone_does_not_tell_reaches_everything(tmp_path: Path) -> None:
    (build,) = built(tmp_path, (deployed(), [opened()]))
    assert ["Moved"] == stored_scope(build, deployed(STRICTER)).reach.named
    for answers, wanted in (
        (replace(build, lineage=Lineage("x", 1)), deployed(STRICTER)),
        (replace(build, base_identity="of another version"), deployed(STRICTER)),
        (replace(build, number=7), deployed(STRICTER)),
        (build, deployed(STRICTER, limits=Limits(view_bytes=2_000))),
        (build, deployed(STRICTER, policy=Policy.SKIP)),
        (build, deployed(STRICTER, subjects=("tenant.*.aggregate.account.*",))),
    ):
        assert stored_scope(answers, wanted).reach.everything


def test_where_a_tenant_is_suspended_any_of_its_views_may_differ(tmp_path: Path) -> None:
    suspends = deployed(limits=Limits(parked_per_tenant=1))
    (build,) = built(tmp_path, (suspends, [opened(tenant="t"), *[event("Moved", "a", "t", amount=1)] * 3]))
    assert "suspended" in stored_scope(build, deployed(STRICTER, limits=Limits(parked_per_tenant=1))).reach.everything
