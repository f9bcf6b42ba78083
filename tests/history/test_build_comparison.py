"""Two builds in one data folder: what they hold differently, as they are stored, at one event or at different ones."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from history_support import ACCOUNT, VIEW_TYPE, deployed, event, events, log_of, moved, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.cli.compare import _print
from projection.engine.builds import begun, open_store
from projection.engine.lane import Lane
from projection.engine.replay import FileEvents
from projection.errors import ConfigurationError
from projection.history import build_comparison
from projection.history.build_comparison import compare_builds, compare_with_log, compared, compared_builds
from projection.history.differences import BuildDifferences
from projection.model.manifest import Policy
from projection.store.catalog import Catalog, CatalogReader
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.history.build_comparison import BuildComparison
    from projection.store.build import Build

STRICTER = ACCOUNT.replace("+ 100 =>", "+ 50 =>")


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node folds meanwhile: builds that stand at different events go on doing so."""
    monkeypatch.setattr(build_comparison, "PATIENCE_S", 0.0)


def built(data: Path, *folds: tuple[DeployedView, list[bytes]]) -> list[Build]:
    """A data folder with a build for each program, which has folded these events."""
    found = []
    with Catalog.open(data) as catalog:
        for one, lines in folds:
            build = begun(catalog, one, catalog.serving(VIEW_TYPE))
            with open_store(build, one, durability="process") as store:
                lane = Lane(one, store)
                for given_event in FileEvents(one.entry, one.tenancy).read(iter(lines)):
                    lane.apply(given_event)
                lane.commit(None)
            found.append(build)
    return found


def views(build: Build) -> dict[tuple[str, str], bytes]:
    with LmdbViewReader.open(build.lane_path()) as reader:
        return {(key.tenant_id, key.view_id): view for key, view in reader.scan(None, VIEW_TYPE)}


def parked(build: Build) -> dict[tuple[str, str | None, int], str]:
    with LmdbViewReader.open(build.lane_path()) as reader:
        return {(one.tenant_id, one.view_id, one.sequence): one.code for one in reader.parked()}


def on_its_own(builds: list[Build], limit: int) -> BuildComparison:
    with ExitStack() as stack:
        readers = [stack.enter_context(LmdbViewReader.open(one.lane_path())) for one in builds]
        return compared((builds[0], builds[1]), (readers[0], readers[1]), limit)


async def with_events(builds: list[Build], lines: list[bytes], limit: int = 100) -> BuildComparison:
    return await compare_with_log((builds[0], builds[1]), log_of(lines), limit, lambda _doing, _sequence: None)


@settings(max_examples=25)
@given(events, st.integers(0, 40), st.integers(0, 3), st.sampled_from(list(Policy)))
async def test_what_differs_is_what_a_look_at_all_of_both_finds(
    tmp_path_factory: pytest.TempPathFactory, given_events: list[bytes], at: int, limit: int, policy: Policy
) -> None:
    data = tmp_path_factory.mktemp("folder")
    behind = given_events[:at]
    builds = built(data, (deployed(policy=policy), behind), (deployed(STRICTER, policy=policy), given_events))
    before, after = views(builds[0]), views(builds[1])
    different = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    found = on_its_own(builds, limit)
    assert (len(before), len(after)) == (found.old.views, found.new.views)
    assert len(different) == found.kinds.total()
    told = [(one.tenant_id, one.view_id) for one in found.views]
    assert len(told) == min(limit, len(different))
    assert set(told) <= set(different)
    known = await with_events(builds, given_events)
    in_place = dict.fromkeys([(one.tenant_id, one.view_id) for one in known.views])
    assert len(different) == known.kinds.total() + known.in_between
    level = built(data, (deployed(policy=policy), given_events))[-1]
    same = await with_events([level, builds[1]], given_events)
    assert {(one.tenant_id, one.view_id) for one in same.views if one.first.event.message.sequence <= at} >= {*in_place}
    codes = parked(level), parked(builds[1])
    wanted = {key for key in {*codes[0], *codes[1]} if codes[0].get(key) != codes[1].get(key)}
    assert len(wanted) == same.newly_parked + same.no_longer_parked + same.parked_otherwise
    assert policy is Policy.HALT or not same.in_between  # one that halted stands where it did
    shutil.rmtree(data)


async def test_views_that_only_one_build_may_have_an_event_of_are_told_apart(tmp_path: Path) -> None:
    lines = [opened(), opened("b"), moved(10), event("Opened", "c", owner="y")]
    builds = built(tmp_path, (deployed(), lines[:2]), (deployed(STRICTER), lines))
    found = await with_events(builds, lines)
    assert (False, True) == (found.is_at_one_event, found.is_equal)
    assert (3, 0) == (found.in_between, found.kinds.total())
    told = BuildDifferences.of(on_its_own(builds, 5))
    assert (None, False, 2, 1) == (told.in_between, told.at_one_event, told.changed, told.only_new)


async def test_the_first_event_that_made_the_difference_is_named(tmp_path: Path) -> None:
    lines = [opened(), moved(20), moved(60)]
    builds = built(tmp_path, (deployed(), lines), (deployed(STRICTER), lines))
    found = await with_events(builds, lines)
    (one,) = [view for view in found.views if view.view_id == "a"]
    assert 3 == one.first.event.message.sequence
    assert {"balance", "moves"} == found.fields.keys()
    assert 0 < found.newly_parked
    told = BuildDifferences.of(found).views[0]
    assert (3, "Moved") == (told.first.sequence, told.first.event_type)


async def test_people_are_told_all_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [opened(), moved(20), moved(60), event("Opened", "c", owner="y")]
    builds = built(tmp_path, (deployed(), lines[:3]), (deployed(STRICTER), lines))
    _print(await with_events(builds, lines, 1))
    told = capsys.readouterr().out
    for line in (
        "build 1 of view type account at event 3: 1 view, 0 parked",
        "build 2 of view type account at event 4: 2 views, 1 parked",
        "views: 1 changed",
        "fields: balance in 1, moves in 1",
        "not compared: 1 view that events between the two positions are for",
        "parked or skipped: 1 newly, 0 no longer, 0 for another reason",
        "3 Moved",
    ):
        assert line in told, told


def test_the_builds_are_the_one_that_answers_and_the_one_beside_it_unless_they_are_named(tmp_path: Path) -> None:
    lines = [opened()]
    builds = built(tmp_path, (deployed(), lines), (deployed(STRICTER), lines))
    with pytest.raises(ConfigurationError, match="no build of view type account is under way"):
        compare_builds(tmp_path, VIEW_TYPE)
    with Catalog.open(tmp_path) as catalog:
        catalog.record(builds[1], is_candidate=True)
    assert compare_builds(tmp_path, VIEW_TYPE).is_equal
    assert compare_builds(tmp_path, VIEW_TYPE, 2, 1).is_equal
    with Catalog.open(tmp_path) as catalog:
        begun(catalog, deployed(ACCOUNT.replace("+ 100 =>", "+ 10 =>")), builds[0])
    with pytest.raises(ConfigurationError, match="build 3 of view type account has folded nothing yet"):
        compare_builds(tmp_path, VIEW_TYPE, 1, 3)
    with CatalogReader.open(tmp_path) as catalog:
        for wrong, message in (((4, None), "has no build 4"), ((None, 1), "is not compared with itself")):
            with pytest.raises(ConfigurationError, match=message):
                compared_builds(catalog, VIEW_TYPE, *wrong)
