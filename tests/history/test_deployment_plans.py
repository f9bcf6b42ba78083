"""What a deployment would take, and which of some views it would change."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from history_support import ACCOUNT, VIEW_TYPE, deployed, events, log_of, moved, opened, replayed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_build_comparison import STRICTER, built, views

from projection.engine.builds import begun
from projection.engine.deploying import plan_deployment
from projection.engine.inventory import build_states
from projection.history.planning import look_ahead, look_closer, planned, some_views
from projection.model.ids import DEFAULT_TENANT, ViewId
from projection.model.manifest import Limits
from projection.model.parked import Drop
from projection.store.audit import BY_NODE, AuditRecord
from projection.store.catalog import Catalog, CatalogReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.history.planning import PlannedStep


def step_of(data: Path, one: DeployedView) -> PlannedStep:
    with CatalogReader.open(data) as catalog:
        (found,) = planned(catalog, plan_deployment(catalog, [one]))
    return found


def states(one: DeployedView, lines: list[bytes]) -> dict[tuple[str, str], bytes]:
    store = replayed(one, lines).lanes[0].store
    return {(key.tenant_id, key.view_id): view for key, view in store.scan(None, VIEW_TYPE)}


decisions = st.frozensets(
    st.builds(Drop, st.integers(1, 25), st.just(DEFAULT_TENANT), st.sampled_from(["a", "b", "c"]).map(ViewId)),
    max_size=3,
)


@settings(max_examples=25)
@given(events, decisions)
@example([opened("a"), moved(1, "a", "b")], frozenset({Drop(2, DEFAULT_TENANT, ViewId("a"))}))
async def test_the_views_that_would_differ_are_those_that_a_replay_with_the_decisions_makes_differ(
    tmp_path_factory: pytest.TempPathFactory, given_events: list[bytes], dropped: frozenset[Drop]
) -> None:
    data = tmp_path_factory.mktemp("folder")
    now, then = replace(deployed(), drops=dropped), replace(deployed(STRICTER), drops=dropped)
    (build,) = built(data, (now, given_events))
    with Catalog.open(data) as catalog:
        catalog.record(replace(build, drops=tuple(sorted(dropped, key=lambda one: one.order))), serves=True)
    step = step_of(data, deployed(STRICTER))
    drawn = some_views(build, 3)
    assert len(drawn) == min(3, len(views(build)))
    assert drawn == some_views(build, 3)
    assert set(drawn) <= views(build).keys()
    await look_ahead(step, log_of(given_events), drawn, lambda _: None)
    before, after = states(now, given_events), states(then, given_events)
    assert [key for key in drawn if before.get(key) != after.get(key)] == [
        (one.tenant_id, one.view_id) for one in step.differing
    ]
    shutil.rmtree(data)


@settings(max_examples=25)
@given(events)
async def test_where_it_is_proven_which_views_can_change_all_that_would_differ_are_found(
    tmp_path_factory: pytest.TempPathFactory, given_events: list[bytes]
) -> None:
    data = tmp_path_factory.mktemp("folder")
    built(data, (deployed(), given_events))
    step = step_of(data, deployed(STRICTER))
    await look_closer(step, log_of(given_events), 100, lambda _doing, _sequence: None)
    assert ["Moved"] == step.reach.named
    before, after = states(deployed(), given_events), states(deployed(STRICTER), given_events)
    assert {key for key in {*before, *after} if before.get(key) != after.get(key)} == {
        (one.tenant_id, one.view_id) for one in step.differing
    }
    assert len(step.touched.views) == step.sampled
    shutil.rmtree(data)


async def test_only_views_that_can_change_are_sampled_and_any_where_that_is_not_proven(tmp_path: Path) -> None:
    lines = [*[opened(one) for one in "abcdefgh"], moved(60, "b"), moved(60, "b")]
    built(tmp_path, (deployed(), lines))
    step = step_of(tmp_path, deployed(STRICTER))
    await look_closer(step, log_of(lines), 1, lambda _doing, _sequence: None)
    assert ({("", "a"), ("", "b")}, 2, 1) == (step.touched.views, step.touched.events, step.sampled)
    other = step_of(tmp_path, deployed(ACCOUNT.replace("balance: int = 0", "balance: int = 1")))
    await look_closer(other, log_of(lines), 8, lambda _doing, _sequence: None)
    assert (False, None, 8, 8) == (other.reach.is_narrow, other.touched, other.sampled, len(other.differing))


async def test_time_goes_by_what_was_measured_and_else_by_a_part_of_the_log(tmp_path: Path) -> None:
    lines = [opened(), moved(60)]
    built(tmp_path, (deployed(), lines))
    step = step_of(tmp_path, deployed(STRICTER))
    step.events = 1_000
    assert (None, None) == (step.pace, step.seconds)
    await look_closer(step, log_of(lines), 1, lambda _doing, _sequence: None)
    assert "the first 2 events" in step.pace.rests_on
    with Catalog.open(tmp_path) as catalog:
        catalog.note(AuditRecord("switch", VIEW_TYPE, BY_NODE, {"build": 1, "events": 5_000, "seconds": 2.5}))
    step = step_of(tmp_path, deployed(STRICTER))
    step.events = 1_000
    await look_closer(step, log_of(lines), 1, lambda _doing, _sequence: None)
    assert (0.5, "build 1 was folded at 2,000 events a second") == (step.seconds, step.pace.rests_on)


def test_what_is_folded_takes_disk_and_events_and_what_goes_on_takes_none(tmp_path: Path) -> None:
    builds = built(tmp_path, (deployed(), [opened()]), (deployed(STRICTER), [opened()]))
    on = step_of(tmp_path, deployed(ACCOUNT + "# more\n"))
    assert ("goes on", "comments, names, layout or tests of the program; no view changes", None, None) == (
        on.step.change,
        on.step.why,
        on.bytes,
        on.after,
    )
    back = step_of(tmp_path, deployed(STRICTER))
    assert ("goes back", builds[1], 1) == (back.step.change, back.step.known_build, back.after)
    anew = step_of(tmp_path, deployed(ACCOUNT.replace("+ 100 =>", "+ 10 =>")))
    assert ("folds anew", "the program", 0) == (anew.step.change, anew.step.why, anew.after)
    assert anew.bytes > 0
    with Catalog.open(tmp_path) as catalog:
        catalog.record(builds[1], is_candidate=True)
    assert ("is under way", None) == ((under_way := step_of(tmp_path, deployed(STRICTER))).step.change, under_way.after)


INDEXED = ACCOUNT.replace("\non Opened", "\nindex by balance desc\n\non Opened", 1)
KEPT = {  # what is deployed where `ACCOUNT` answers, and what is said of it
    "nothing": ({}, ""),
    "a limit": ({"limits": Limits(parked=20_000)}, "limits.parked (10,000 → 20,000); no view changes"),
    "an index": ({"text": INDEXED}, "new index by balance desc; no view changes"),
    "changes": ({"changes": True}, "`changes` is on; no view changes"),
    "how it is split": ({"partition_by": "view"}, "partition_by; no view changes"),
    "all": (
        {"text": INDEXED, "changes": True, "limits": Limits(skipped=0)},
        "limits.skipped (1,000 → 0), `changes` is on, new index by balance desc; no view changes",
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_changes_no_view_is_named(tmp_path: Path, case: str) -> None:
    entry, said = KEPT[case]
    built(tmp_path, (deployed(), [opened()]))
    step = step_of(tmp_path, deployed(**entry)).step
    assert ("goes on", said) == (step.change, step.why)


def test_an_index_that_goes_and_a_file_that_has_another_name_change_no_view(tmp_path: Path) -> None:
    (build,) = built(tmp_path, (deployed(INDEXED), [opened()]))
    assert "no index by balance desc any more; no view changes" == step_of(tmp_path, deployed()).step.why
    fields: dict[str, Any] = json.loads(build.recipe)
    fields["program"]["name"] = "former.proj"
    with Catalog.open(tmp_path) as catalog:
        catalog.record(replace(build, recipe=json.dumps(fields)), serves=True)
    assert "the name of the program's file; no view changes" == step_of(tmp_path, deployed(INDEXED)).step.why


def test_a_build_whose_draft_is_being_made_says_so(tmp_path: Path) -> None:
    (answers,) = built(tmp_path, (deployed(), [opened()]))
    with Catalog.open(tmp_path) as catalog:
        build = begun(catalog, deployed(STRICTER), answers, AuditRecord("deploy", VIEW_TYPE, BY_NODE, {}))
        told = [(one.state, one.why) for one in build_states(catalog)]
        assert [("answers", None), ("under way", None)] == told
        build.draft_path().mkdir(parents=True)
        told = [(one.state, one.why) for one in build_states(catalog)]
    assert ("under way", "only some views fold anew, in a copy of the build that answers") == told[1]
