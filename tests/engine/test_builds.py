"""Which builds a node folds: the one that answers, one begun anew beside it, and never another on the quiet."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from engine_support import CORRECTED, TALLIES, deploy

from projection.engine.builds import plan_builds
from projection.engine.recipes import deployed_by, differences, recipe_of
from projection.errors import ConfigurationError
from projection.lang.library import BUILTINS
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.store.build import Build, Lineage
from projection.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TALLY = ViewType("tallies")
DROP = Drop(3, TenantId("a"), ViewId("x"))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "data") as catalog:
        yield catalog


@pytest.fixture
def old(tmp_path: Path):
    return deploy(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path):
    return deploy(tmp_path / "new", CORRECTED)


def planned(catalog, deployed, *, new_build=False):
    """Number of the build, number of what it replaces."""
    found = plan_builds(catalog, deployed, new_build=new_build)
    assert all(one.deployed.fold_identity == one.build.fold_identity for one in found)
    return [(one.build.number, one.replaces and one.replaces.number) for one in found]


# planning


def test_the_first_build_of_a_view_type_serves_at_once(catalog, old):
    assert [(1, None)] == planned(catalog, old)
    assert 1 == catalog.serving(TALLY).number


def test_the_same_manifest_goes_on_with_the_build_that_answers(catalog, old, tmp_path):
    plan_builds(catalog, old)
    again = deploy(tmp_path / "again", "# a comment\n" + TALLIES)
    assert [(1, None)] == planned(catalog, again) == planned(catalog, again, new_build=True)


def test_a_changed_program_is_refused_with_what_changed_and_the_ways_out(catalog, old, tmp_path):
    plan_builds(catalog, old)
    changed = deploy(tmp_path / "changed", CORRECTED, on_error="skip", limits={"gas": 5000})
    with pytest.raises(ConfigurationError) as refused:
        plan_builds(catalog, changed)
    assert (
        "the program, on_error (park → skip), limits.gas (200,000 → 5,000) changed since build 1 of view type tallies "
        "was made"
    ) == refused.value.message
    assert "`projection run --new-build`" in refused.value.hint
    assert "`projection adopt tallies`" in refused.value.hint
    assert 1 == len(catalog.builds(TALLY))


def test_all_view_types_that_changed_are_named_and_none_is_begun(catalog, tmp_path):
    plan_builds(catalog, deploy(tmp_path / "old", {"one": TALLIES, "other": TALLIES, "third": TALLIES}))
    changed = deploy(tmp_path / "new", {"one": CORRECTED, "other": TALLIES, "third": CORRECTED, "fourth": TALLIES})
    with pytest.raises(
        ConfigurationError, match=r"build 1 of view type one was made; .* build 1 of view type third"
    ) as e:
        plan_builds(catalog, changed)
    assert "`projection adopt --all`" in e.value.hint
    assert [] == catalog.builds(ViewType("fourth"))


def test_with_new_build_the_new_one_is_folded_beside_the_one_that_answers(catalog, old, new):
    plan_builds(catalog, old)
    found = plan_builds(catalog, new, new_build=True)
    assert [(2, 1), (1, None)] == [(one.build.number, one.replaces and one.replaces.number) for one in found]
    assert [new[0].fold_identity, old[0].fold_identity] == [one.deployed.fold_identity for one in found]
    assert old[0].program.digest == found[1].deployed.program.digest
    assert 1 == catalog.serving(TALLY).number


def test_a_build_that_was_begun_goes_on_without_being_asked_for_again(catalog, old, new):
    plan_builds(catalog, old)
    plan_builds(catalog, new, new_build=True)
    assert [(2, 1), (1, None)] == planned(catalog, new) == planned(catalog, new, new_build=True)


def test_once_the_new_build_answers_it_is_folded_alone(catalog, old, new):
    plan_builds(catalog, old)
    catalog.serve(plan_builds(catalog, new, new_build=True)[0].build)
    assert [(2, None)] == planned(catalog, new)


def test_back_to_the_former_program_its_build_catches_up_and_takes_over(catalog, old, new):
    plan_builds(catalog, old)
    catalog.serve(plan_builds(catalog, new, new_build=True)[0].build)
    assert [(1, 2), (2, None)] == planned(catalog, old)


def test_a_new_build_takes_over_the_decisions_of_the_one_that_answers(catalog, old, new):
    (first,) = plan_builds(catalog, old)
    catalog.record(first.build.decided(DROP))
    (second, beside) = plan_builds(catalog, new, new_build=True)
    assert {DROP} == second.deployed.drops == beside.deployed.drops
    assert new[0].fold_identity != second.deployed.fold_identity == second.build.fold_identity


def test_of_two_builds_of_one_program_the_one_that_answers_goes_on_else_the_later(catalog, old, new):
    plan_builds(catalog, old)
    adopted = replace(
        plan_builds(catalog, new, new_build=True)[0].build,
        number=catalog.reserve(TALLY),
        lineage=Lineage(old[0].fold_identity, 9),
    )
    catalog.record(adopted)
    assert [(3, 1), (1, None)] == planned(catalog, new)
    catalog.serve(catalog.builds(TALLY)[1])
    assert [(2, None)] == planned(catalog, new)


def test_view_types_that_the_manifest_no_longer_names_are_left_alone(catalog, tmp_path):
    plan_builds(catalog, deploy(tmp_path / "two", {"one": TALLIES, "other": TALLIES}))
    plan_builds(catalog, deploy(tmp_path / "one", {"one": TALLIES}))
    assert 1 == catalog.serving(ViewType("other")).number


def test_a_former_build_that_this_version_cannot_fold_answers_and_is_left_behind(catalog, old, new, logged):
    (first,) = plan_builds(catalog, old)
    catalog.record(replace(first.build, recipe=first.build.recipe.replace("proj 1", "proj 9")))
    assert [(2, 1)] == planned(catalog, new, new_build=True)
    assert ["build 1 of view type tallies"] == [line["build"] for line in logged]


# recipes


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"on_error": "halt", "limits": {"gas": 7, "parked": 3}},
        {"start": {"sequence": 5}, "subjects": ["tenant.*.aggregate.tally.*"]},
        {"start": {"time": "2024-01-01T00:00:00+02:00"}, "partition_by": "tenant"},
    ],
)
@pytest.mark.parametrize("tenancy", [Tenancy(), Tenancy(False, TenantId("only"))])
def test_a_recipe_gives_the_same_fold_again_without_any_file(tmp_path, entry, tenancy):
    (one,) = deploy(tmp_path, tenancy=tenancy, **entry)
    build = Build(tmp_path / "data", TALLY, 1, one.base_identity, recipe_of(one).encode(), (DROP,))
    (tmp_path / "tallies.proj").unlink()
    again = deployed_by(build)
    assert one.within(build).fold_identity == again.fold_identity
    assert (one.entry.fold_terms(), one.entry.partition_by, tenancy) == (
        again.entry.fold_terms(),
        again.entry.partition_by,
        again.tenancy,
    )
    assert {DROP} == again.drops
    assert {} == differences(build, one)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"start": {"sequence": 5}}, "start (first → sequence 5)"),
        (
            {"subjects": ["tenant.*.aggregate.tally.*"]},
            "subjects (tenant.*.aggregate.*.* → tenant.*.aggregate.tally.*)",
        ),
        ({"template": "t.<type>.<id>"}, "subject_template (tenant.<tenant>.aggregate.<type>.<id> → t.<type>.<id>)"),
        ({"limits": {"gas": 5_000}}, "limits.gas (200,000 → 5,000)"),
        ({"tenancy": Tenancy(False)}, "the tenancy (multi_tenancy, default_tenant)"),
    ],
)
def test_differences_are_told_by_the_names_of_the_manifest(tmp_path, old, entry, expected):
    build = Build(tmp_path, TALLY, 1, old[0].base_identity, recipe_of(old[0]).encode())
    assert expected in differences(build, deploy(tmp_path / "new", **entry)[0]).values()


def test_how_much_may_wait_is_no_difference(tmp_path, old):
    build = Build(tmp_path, TALLY, 1, old[0].base_identity, recipe_of(old[0]).encode())
    (bounded,) = deploy(tmp_path / "new", limits={"parked": 5})
    assert {} == differences(build, bounded)
    assert build.base_identity == bounded.base_identity


def test_a_recipe_of_a_version_that_knew_fewer_settings_makes_the_same_fold(tmp_path, old):
    recipe = json.loads(recipe_of(old[0]).encode())
    for name in ("partition_by", "changes"):
        del recipe["manifest"][name]
    recipe["manifest"]["limits"], recipe["tenancy"] = {}, {}
    build = Build(tmp_path, TALLY, 1, old[0].base_identity, json.dumps(recipe))
    assert old[0].base_identity == deployed_by(build).base_identity
    assert {} == differences(build, old[0])


def test_an_identity_is_the_hash_of_what_is_not_at_its_default(tmp_path):
    """Held as a value: stores keep it, and whoever compares two of them."""
    (one,) = deploy(tmp_path, on_error="skip", limits={"gas": 7, "parked": 3}, tenancy=Tenancy(False, TenantId("only")))
    terms = {
        "program": one.program.digest,
        "on_error": "skip",
        "limits.gas": 7,
        "tenancy.enabled": False,
        "tenancy.default": "only",
    }
    assert sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest() == one.base_identity


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("proj 1", "proj 9", "the program that build 4 of view type tallies keeps cannot be used: "),
        ("as asked", "otherwise", "folds the program that build 4 of view type tallies keeps into something else"),
        ('"park"', '"ask"', "the program that build 4 of view type tallies keeps cannot be used: "),
    ],
)
def test_a_recipe_that_makes_no_such_fold_is_refused_by_the_name_of_its_build(tmp_path, old, was, becomes, said):
    recipe = recipe_of(old[0]).encode()
    assert was in recipe
    build = Build(tmp_path, TALLY, 4, old[0].base_identity, recipe.replace(was, becomes))
    with pytest.raises(ConfigurationError, match=said):
        deployed_by(build)


def test_a_builtin_that_a_release_adds_changes_no_build(tmp_path, catalog, monkeypatch):
    """Its name is that of a function of the program that is stored: the build is found, and can be folded on."""
    text = TALLIES.replace("total += e.n", "total += median([e.n])", 1)
    text = text.replace("on Added", "fn median(xs: list<int>) -> int = max(xs) ?? 0\n\non Added", 1)
    before = deploy(tmp_path / "programs", text)
    (planned,) = plan_builds(catalog, before)
    monkeypatch.setitem(BUILTINS, "median", BUILTINS["max"])
    after = deploy(tmp_path / "programs", text)
    assert before[0].program.digest == after[0].program.digest
    assert [planned.build] == [one.build for one in plan_builds(catalog, after)]
    assert before[0].base_identity == deployed_by(planned.build).base_identity
