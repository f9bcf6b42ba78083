"""A data folder of store format 2: it is migrated where it is, and is then what a fold anew comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from build_support import fold_on, folded_with, state_of
from engine_support import CORRECTED, added, broken
from format_2_store import PROGRAMS, UNSETTLED, deployed, extract, log

from projection.engine.builds import open_store, plan_builds
from projection.engine.lane import Lane
from projection.engine.recipes import deployed_by
from projection.engine.verification import verify
from projection.errors import ConfigurationError, StorageError
from projection.model.checkpoint import LanePosition
from projection.model.ids import ViewType
from projection.model.parked import Disposition
from projection.model.recipe import Recipe
from projection.store import migration
from projection.store.catalog import Catalog, CatalogReader
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.store.build import Build


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return extract(tmp_path / "data")


def states(data: Path) -> dict[str, tuple[Build, tuple[Any, ...]]]:
    """What the answering builds hold, by view type."""
    found = {}
    with Catalog.open(data) as catalog:
        for view_type in catalog.view_types():
            build = catalog.require(view_type)
            with open_store(build, deployed_by(build)) as store:
                found[str(view_type)] = build, state_of(store)
    return found


def settled(data: Path, programs: tuple[DeployedView, ...]) -> None:
    """Everything that is built in the background is built."""
    with Catalog.open(data) as catalog:
        for planned in plan_builds(catalog, programs):
            with open_store(planned.build, planned.deployed) as store:
                lane = Lane(planned.deployed, store)
                while store.build_indexes(lane.epoch, lane.entries_of, 100) | store.build_changes(lane.epoch, 100):
                    pass


def of_manifest(folder: Path) -> tuple[DeployedView, ...]:
    return deployed(folder, {**PROGRAMS, "adopted": CORRECTED})


def without_count(state):
    """A state but for how many messages were seen, which format 2 did not know."""
    return tuple(one.model_copy(update={"messages": 0}) if isinstance(one, LanePosition) else one for one in state)


def test_what_was_folded_before_equals_a_fold_anew(data):
    found = states(data)
    assert set(PROGRAMS) == set(found)
    for view_type in set(PROGRAMS) - {"adopted"}:
        build, state = found[view_type]
        if build.lineage is not None:  # events that reached no view wait at views today
            assert build.fold_identity != build.base_identity
            assert any(one.view_id is None for one in state[1])
            continue
        assert without_count(folded_with(build, log())) == without_count(state)


def test_an_adopted_build_keeps_its_views_and_knows_where_it_comes_from(data):
    found = states(data)
    build, state = found["adopted"]
    with Catalog.open(data) as catalog:
        former, _ = catalog.builds(ViewType("adopted"))
    assert build.lineage is not None
    assert former.fold_identity == build.lineage.fold_identity
    views = folded_with(replace(build, lineage=None, drops=()), log())
    assert views[0] == state[0]


def test_a_decision_whose_effect_a_crash_prevented_has_it_now(data):
    build, state = states(data)["decided"]
    assert UNSETTLED in build.drops
    assert state[-1] == build.fold_identity


def test_each_store_is_sound_and_goes_on(data, tmp_path):
    programs = of_manifest(tmp_path / "manifest")
    fold_on(data, programs, log().add(added("a:b"), added("a&b"), broken("a%3Ab"), added("%25")).messages)
    settled(data, programs)
    for one in verify(data):
        assert [] == one.problems, str(one.build)


def test_nothing_is_folded_anew(data, tmp_path):
    """The manifest that the stores were folded by names the builds that are there."""
    with Catalog.open(data) as catalog:
        planned = plan_builds(catalog, of_manifest(tmp_path / "manifest"))
        assert {one: (2 if one == "adopted" else 1) for one in PROGRAMS} == {
            str(one.build.view_type): one.build.number for one in planned
        }


def test_indexes_and_changes_that_name_renamed_views_are_built_anew_and_others_stay(data):
    Catalog.open(data).close()
    with Catalog.open(data) as catalog:
        for view_type, is_kept in (("indexed", False), ("plain", True)):
            build = catalog.require(ViewType(view_type))
            with LmdbViewReader.open(build.lane_path()) as reader, reader.snapshot() as snapshot:
                assert all(index.built == is_kept for index in snapshot.indexes)
                assert (b'"stage": "on"' in (snapshot.get(b"lane:changes") or b"")) == is_kept


def test_a_reader_is_told_to_let_the_node_migrate_first(data):
    for opened in (lambda: CatalogReader.open(data), lambda: LmdbViewReader.open(data / "plain" / "1" / "0")):
        with pytest.raises(
            StorageError, match="was written in store format 2, and this program reads and writes 3"
        ) as told:
            opened()
        assert "start the node with this version once: it migrates its data folder" in (told.value.hint or "")


class KilledError(Exception):
    """As if the process had ended here."""


@pytest.mark.parametrize("transaction", range(7))
def test_a_migration_that_is_killed_begins_again_and_comes_to_the_same(data, tmp_path, monkeypatch, transaction):
    """In the middle of each of its transactions: those of six lanes, and that of the catalog."""
    expected = {view_type: state for view_type, (_, state) in states(extract(tmp_path / "whole")).items()}
    count, stamp = 0, migration.stamp

    def killed(*arguments: Any) -> None:
        nonlocal count
        stamp(*arguments)
        if count == transaction:
            raise KilledError
        count += 1

    monkeypatch.setattr(migration, "stamp", killed)
    with pytest.raises(KilledError):
        Catalog.open(data)
    monkeypatch.undo()
    assert expected == {view_type: state for view_type, (_, state) in states(data).items()}


def test_a_program_that_means_something_else_by_now_goes_on_answering_and_is_folded_anew_when_told_to(data, tmp_path):
    programs = deployed(tmp_path / "manifest", {"plain": PROGRAMS["plain"]})
    with Catalog.open(data) as catalog:
        build = catalog.require(ViewType("plain"))
        recipe = Recipe.decode(build.recipe)
        recipe = replace(recipe, program=replace(recipe.program, digest="0" * 64))
        build = replace(build, recipe=recipe.encode(), base_identity=recipe.base_identity)
        catalog.record(build)
        with pytest.raises(ConfigurationError, match="what this version of projection makes of the program") as told:
            plan_builds(catalog, programs)
        assert "--new-build" in (told.value.hint or "")
        (planned,) = plan_builds(catalog, programs, new_build=True)
        assert (2, build) == (planned.build.number, planned.replaces)
        assert build == catalog.require(ViewType("plain"))


def test_a_store_that_is_damaged_keeps_no_other_from_being_migrated(data):
    (data / "plain" / "1" / "0" / "data.mdb").write_bytes(b"nothing of LMDB's" * 1_000)
    with Catalog.open(data) as catalog:
        build = catalog.require(ViewType("indexed"))
        with open_store(build, deployed_by(build)) as store:
            assert store.audit().agrees


def test_a_migration_is_told(data, capsys):
    Catalog.open(data).close()
    assert "the data folder was migrated to this version's store format" in capsys.readouterr().out
    Catalog.open(data).close()
    assert "" == capsys.readouterr().out


def test_a_folder_of_this_format_is_not_migrated(tmp_path):
    with Catalog.open(tmp_path / "data") as catalog:
        assert not migration.is_of_former_format(catalog._environment)


def test_events_that_reached_no_view_are_told_once(data, logged):
    without_view = {
        (str(build.lane_path()), count)
        for build, state in states(data).values()
        if (count := sum(one.view_id is None and one.disposition is Disposition.PARKED for one in state[1]))
    }
    told = [(one["store"], one["events"]) for one in logged if "reached no view" in one["event"]]
    assert set() != without_view <= set(told)  # former builds are migrated, too
    assert len(told) == len(set(told))
