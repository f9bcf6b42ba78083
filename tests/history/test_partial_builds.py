"""A new build that begins with what the present one holds comes to what a fold of everything comes to."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from dataclasses import replace
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest
from history_support import VIEW_TYPE, event, log_of, moved, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from program_changes import changed as changed_tokens
from test_build_comparison import built
from test_reaching import EXAMPLES, MANY, PROGRAMS, changes_of, logs, program

from projection.engine.builds import begun, open_store
from projection.engine.deployment import deploy
from projection.engine.lane import Lane
from projection.engine.replay import FileEvents
from projection.engine.scope import scope_of, take_draft
from projection.engine.verification import verified
from projection.history import reaching
from projection.history.partial import fold_partly
from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.reach import reach
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId
from projection.model.keys import CheckpointKey
from projection.model.manifest import Policy
from projection.model.parked import Drop
from projection.store.catalog import Catalog
from projection.store.lmdb_opening import open_to_write
from projection.stream.file_feed import read_events
from projection.testing.finding import manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from projection.engine.deployment import DeployedView
    from projection.engine.outcomes import PartFolded
    from projection.store.build import Build
    from projection.store.port import ViewReader

INDEXED = MANY + "\nindex by balance desc\nindex by owner, marks\n"
MORE = INDEXED.replace("capped(e.amount) + 1", "capped(e.amount) + 2")  # of events `Spread`
SPREAD = [
    *[opened(one) for one in "abde"],
    moved(5, "b"),
    event("Spread", "z", ids=["a", "f"], amount=1),
    moved(7, "d"),
]
SEVERAL = [opened(one) for one in "ghijklmn"]  # views that no other event is for

_ids, _tenants = st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "t"])
_taken = st.one_of(  # by most programs
    st.builds(opened, _ids, _tenants),
    st.builds(moved, st.sampled_from([1, 60, 90]), _ids, _ids, _tenants),
    st.builds(lambda one, tenant: event("Closed", one, tenant), _ids, _tenants),
    st.builds(lambda one, to, cents: event("Sent", one, to=to, cents=cents), _ids, _ids, st.sampled_from([1, 45])),
    st.builds(lambda one, ids: event("Spread", one, ids=ids, amount=90), _ids, st.lists(_ids, max_size=3)),
    st.builds(lambda one, tenant: event("Thing", one, tenant), _ids, _tenants),
)
calm = st.one_of(st.lists(_taken, max_size=25), st.lists(_taken, max_size=25), logs)


@pytest.fixture(autouse=True)
def _of_few_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of the few views are reached, no more than these fold anew."""
    monkeypatch.setattr(reaching, "_MOST_PART", 1_000)


def said_of(store: ViewReader, tenants: tuple[str, ...] = ("", "t")) -> dict[str, Any]:
    """All that a store holds, and says of itself."""
    position, view_type = store.position(), next((key.view_type for key, _ in store.scan(None, VIEW_TYPE)), VIEW_TYPE)
    return {
        "digest": store.digest(),
        "audit": store.audit().recomputed,
        "views": (store.count_views(), list(store.scan(None, view_type))),
        "checkpoints": [store.get_checkpoint(CheckpointKey(TenantId(one), view_type)) for one in tenants],
        "position": (position.scanned, position.applied, position.applied_time, position.messages),
        "identity": store.fold_identity(),
    }


def gone_on(data: Path, build: Build, one: DeployedView, lines: list[bytes]) -> dict[str, Any]:
    """What a build holds once it has taken all events."""
    with open_store(build, one, durability="process") as store:
        lane = Lane(one.within(build), store)
        for each in FileEvents(one.entry, one.tenancy).read(iter(lines)):
            lane.apply(each)
        lane.commit(None)
        while store.build_indexes(lane.epoch, lane.entries_of, 1_000):
            pass
    assert [] == verified(build).problems
    with open_store(build, one) as store:
        return said_of(store)


async def partly(data: Path, old: DeployedView, new: DeployedView, lines: list[bytes]) -> tuple[PartFolded, Build]:
    """A folder with a build of the old program, and a new build that is made out of it."""
    built(data, (old, lines))
    with Catalog.open(data) as catalog:
        build = begun(catalog, new, catalog.require(old.entry.view_type))
        return await fold_partly(catalog, build, log_of(lines), lambda _done, _of: None), build


async def require_whole_fold(folder: Path, old: DeployedView, new: DeployedView, lines: list[bytes]) -> str:
    """Make sure that a part comes to what a fold of everything comes to, now and later; why there is no part."""
    part, build = await partly(folder / "part", old, new, lines)
    (whole,) = built(folder / "whole", (new, lines))
    if part.why_all:
        assert not build.draft_path().parent.exists()
    else:
        take_draft(build)
        with open_store(build, new) as one, open_store(whole, new) as other:
            assert said_of(other) == said_of(one)
        later = [*lines, *SPREAD]
        assert gone_on(folder, whole, new, later) == gone_on(folder, build, new, later)
    shutil.rmtree(folder)
    return part.why_all


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_part_that_is_folded_comes_to_what_a_fold_of_everything_comes_to(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = program(PROGRAMS[name]).program.checked
    narrow = [text for text in changes_of(name) if reach(whole, program(text).program.checked).is_narrow]
    count = Counter[str]()

    @settings(max_examples=60)
    @given(calm, st.sampled_from(narrow), st.sampled_from([Policy.PARK, Policy.SKIP, Policy.HALT]), st.booleans())
    def is_proven(lines: list[bytes], text: str, policy: Policy, back: bool) -> None:
        one, other = program(PROGRAMS[name], policy), program(text, policy)
        old, new = (other, one) if back else (one, other)
        why = asyncio.run(require_whole_fold(tmp_path_factory.mktemp("folder"), old, new, lines))
        count["in part" if not why else "all"] += 1

    is_proven()
    print(dict(count))
    assert count["in part"], count


@pytest.mark.long
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
async def test_of_the_examples_too_a_part_comes_to_what_a_fold_of_everything_comes_to(
    path: Path, tmp_path: Path
) -> None:
    seed, lines, count = SystemRandom().randrange(2**32), [data for _, data in read_events(path)], Counter[str]()
    for entry in manifest_of(path.parent).views:
        text = entry.program.read_text(encoding="utf-8")
        changes = [one for _, one in changed_tokens(text, seed)]
        Random(seed).shuffle(changes)
        for number, other in enumerate(changes[:150]):
            try:
                old, new = (deploy(entry, Program(check(Source("p", one))), Tenancy()) for one in (text, other))
            except ProgramInvalidError:
                continue
            if not reach(old.program.checked, new.program.checked).is_narrow:
                continue
            why = await require_whole_fold(tmp_path / f"{entry.view_type}{number}", old, new, lines)
            count["in part" if not why else "all"] += 1
    print(f"seed {seed}: {dict(count)}")  # nothing of examples where events are parked is folded in part
    assert count


async def test_only_the_views_of_the_events_in_question_fold_anew(tmp_path: Path) -> None:
    part, _ = await partly(tmp_path, program(INDEXED), program(MORE), SPREAD)
    assert ("", 2, 5) == (part.why_all, part.folded, part.of)


async def test_indexes_and_changes_are_those_of_the_new_program(tmp_path: Path) -> None:
    for number, indexes in enumerate(("balance desc", "balance", "marks, owner")):
        new = program(MORE.replace("index by balance desc", f"index by {indexes}"))
        old, new = (replace(one, entry=one.entry.replaced(changes=True)) for one in (program(INDEXED), new))
        assert "" == await require_whole_fold(tmp_path / str(number), old, new, [*SPREAD, *SEVERAL])


async def test_a_change_that_reaches_no_view_copies_all_of_them(tmp_path: Path) -> None:
    new = program(MANY.replace("event Closed {}", "event Closed {}\nevent Unused { n: int }"))
    reads: list[object] = []
    built(tmp_path, (program(MANY), SPREAD))
    with Catalog.open(tmp_path) as catalog:
        build = begun(catalog, new, catalog.require(VIEW_TYPE))
        part = await fold_partly(catalog, build, log_of(SPREAD), lambda *at: reads.append(at))
    assert ("", 0, 5, []) == (part.why_all, part.folded, part.of, reads)


# --- where it is not proven -------------------------------------------------------------------------------------------


FAILS = event("Moved", "a", to="b", amount=1_000)
NOT_PROVEN: dict[str, tuple[str, Callable[[DeployedView], DeployedView], list[bytes], str]] = {
    "events are parked": (MORE, lambda one: one, [FAILS], "parked or skipped in build 1"),
    "events are no events": (MORE, lambda one: one, [b"none"], "parked or skipped in build 1"),
    "the new program parks": (INDEXED.replace("+ 100 =>", "- 100 =>"), lambda one: one, [], "event 5 (R710: TOO_MUCH"),
    "a type is handled no more": (
        INDEXED.replace("\non * to meta.aggregate_id => (view ?? {}) with { marks += 1 }", ""),
        lambda one: one,
        [],
        "no longer handled",
    ),
    "the view is another one": (INDEXED.replace("marks: int = 0", "marks: int = 1"), lambda one: one, [], "can hold"),
    "it is no change": (INDEXED, lambda one: one, [], "the same program"),
}


@pytest.mark.parametrize("what", NOT_PROVEN)
async def test_what_is_not_proven_folds_all_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    text, changed, lines, why = NOT_PROVEN[what]
    part, build = await partly(tmp_path, program(INDEXED), changed(program(text)), [*SPREAD, *lines])
    assert why in part.why_all
    assert not build.draft_path().parent.exists()


async def test_a_policy_that_halts_folds_all(tmp_path: Path) -> None:
    texts = INDEXED, INDEXED.replace("+ 100 =>", "- 100 =>")
    part, _ = await partly(tmp_path, *(program(one, Policy.HALT) for one in texts), SPREAD)
    assert "TOO_MUCH" in part.why_all


async def test_dropped_events_and_an_adopted_build_fold_all(tmp_path: Path) -> None:
    (answers,) = built(tmp_path, (program(INDEXED), SPREAD))
    assert scope_of(answers, program(MORE)).is_partial
    dropped = answers.decided(Drop(2, TenantId(""), None))
    assert "dropped events" in scope_of(dropped, program(MORE)).in_words


async def test_a_store_that_is_not_sound_folds_all(tmp_path: Path) -> None:
    (answers,) = built(tmp_path, (program(INDEXED), SPREAD))
    environment = open_to_write(answers.lane_path())
    environment.update(lambda change: change.put(b"view::account:b", b'{"owner":"eve"}'))
    environment.close()
    with Catalog.open(tmp_path) as catalog:
        build = begun(catalog, program(MORE), answers)
        part = await fold_partly(catalog, build, log_of(SPREAD), lambda _done, _of: None)
    assert "build 1 is not sound" in part.why_all


async def test_most_views_are_folded_all_and_so_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_MOST_PART", 0.25)
    part, _ = await partly(tmp_path / "most", program(INDEXED), program(MORE), SPREAD)
    assert "the change reaches 2 views" in part.why_all
    monkeypatch.setattr(reaching, "MOST", 1)
    part, _ = await partly(tmp_path / "many", program(INDEXED), program(MORE), SPREAD)
    assert "more than 1 views" in part.why_all


async def test_how_far_it_is_goes_from_the_start_to_the_end(tmp_path: Path) -> None:
    lines, told = [*SPREAD, *[opened(f"v{number}") for number in range(2_500)]], list[tuple[int, int]]()
    built(tmp_path, (program(INDEXED), lines))
    with Catalog.open(tmp_path) as catalog:
        build = begun(catalog, program(MORE), catalog.require(VIEW_TYPE))
        await fold_partly(catalog, build, log_of(lines), lambda *at: told.append(at))
    assert told == sorted(told)
    assert {len(lines)} == {of for _, of in told}
    assert len(lines) == told[-1][0]
    assert len(told) > 4
