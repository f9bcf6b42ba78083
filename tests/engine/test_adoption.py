"""Adoption: a corrected program takes over a build at its checkpoint and runs what is parked, in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from build_support import TALLY, answering, fold_on, state, state_of
from engine_support import (
    CORRECTED,
    TALLIES,
    TOO_MUCH,
    Log,
    added,
    broken,
    deploy,
    envelope,
    erased,
    feed,
    parked,
    shared,
    totals,
    views,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.engine import adoption
from projection.engine.adoption import adopt, preview
from projection.engine.builds import plan_builds
from projection.engine.decisions import drop
from projection.engine.lane import Lane
from projection.engine.parking import LaneHaltedError
from projection.errors import ConfigurationError, StorageError
from projection.model.ids import TenantId, ViewId
from projection.model.parked import Disposition
from projection.store.build import Lineage
from projection.store.catalog import Catalog, CatalogReader
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from projection.engine.adoption import Adoption

CLOSED = CORRECTED.replace("event Nowhere", "event Other").replace("on Nowhere as e to e.id", "on Other as e to e.id")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def old(tmp_path: Path):
    return deploy(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path):
    return deploy(tmp_path / "new", CORRECTED)


def adopts(data: Path, deployed) -> Adoption:
    """Adopts, and sees that the preview said so and changed nothing."""
    before = files(data)
    with CatalogReader.open(data) as reader:
        foreseen = preview(reader, deployed[0])
    assert before == files(data)
    with Catalog.open(data) as catalog:
        came = adopt(catalog, deployed[0])
        assert came.build == catalog.serving(TALLY)
    assert foreseen == came.__class__(**{name: getattr(came, name) for name in came.__slots__} | {"build": None})
    return came


def files(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.rglob("data.mdb")}


def held(data: Path):
    with answering(data) as (_, store):
        return totals(store), parked(store)


def test_what_is_parked_runs_in_order_under_the_new_program_and_the_views_go_on_from_where_they_were(data, old, new):
    log = Log(added("x", 1), broken("x"), added("x", 10), added("y", 5), broken("y"), shared("x", "y", n=100))
    fold_on(data, old, log.messages)
    came = adopts(data, new)
    assert ({("a", "x"): 111, ("a", "y"): 105}, []) == held(data)
    assert (2, 5, 0, 0, {}, {}) == (
        came.views_changed,
        came.taken,
        came.gone,
        came.late,
        came.parked,
        came.skipped,
    )
    log.add(added("x", 1000), broken("x"))
    fold_on(data, new, log.messages)
    assert 1111 == held(data)[0]["a", "x"]


def test_the_former_build_stays_as_it_is_and_the_new_one_says_where_it_comes_from(data, old, new):
    fold_on(data, old, Log(broken("x"), added("x")).messages)
    before = files(data)
    came = adopts(data, new)
    assert (1, 2, 2) == (came.former.number, came.build.number, came.scanned)
    assert Lineage(old[0].fold_identity, 2) == came.build.lineage
    assert before[came.former.lane_path() / "data.mdb"] == files(data)[came.former.lane_path() / "data.mdb"]
    assert came.build.fold_identity == state(data)[-1] not in {new[0].fold_identity, old[0].fold_identity}
    with Catalog.open(data) as catalog:
        assert [1, 2] == [build.number for build in catalog.builds(TALLY)]
        assert [came.build] == [one.build for one in plan_builds(catalog, new)]


def test_what_fails_again_stays_parked_with_what_follows_by_the_new_reason(data, old, tmp_path):
    log = Log(added("x", 2), broken("x"), added("x", TOO_MUCH), added("x", 1), added("y", 1), broken("y"))
    fold_on(data, old, log.messages)
    came = adopts(data, deploy(tmp_path / "new", CORRECTED))
    assert [("a", "x", 3, "R701"), ("a", "x", 4, "P000")] == held(data)[1]
    assert ({"P000": 1, "R701": 1}, 2) == (came.parked, came.taken)
    with answering(data) as (build, store):
        assert {build.base_identity} == {one.fold_identity for one in store.parked()}


def test_what_no_longer_goes_to_the_view_leaves_the_queue(data, tmp_path):
    """Also an event of a type that the new program does not know."""
    log = Log(broken("x"), envelope("Nowhere", {"id": "x"}), added("x", 3), shared("x", "y"))
    fold_on(data, deploy(tmp_path / "old"), log.messages)
    came = adopts(data, deploy(tmp_path / "new", CLOSED))
    assert 4 == held(data)[0]["a", "x"]
    assert (3, 1, {}) == (came.taken, came.gone, came.parked)


def test_a_queue_runs_at_its_own_view_and_touches_no_other(data, old, new):
    """The event that is parked for one view has been taken by the others already."""
    log = Log(broken("x", "y", "z", bad="y"), shared("x", "y", "z"))
    fold_on(data, old, log.messages)
    adopts(data, new)
    assert {("a", "x"): 1, ("a", "y"): 1, ("a", "z"): 1} == held(data)[0]
    with answering(data) as (_, store):
        assert {("a", "x"): 2, ("a", "y"): 1, ("a", "z"): 2} == {k: v["events"] for k, v in views(store).items()}


def test_an_erasure_that_the_new_program_sees_discards_what_fails_before_it(data, tmp_path):
    program = TALLIES.replace("on Erased as e to e.id => delete", "on Erased as e to e.id when view != none => delete")
    fold_on(data, deploy(tmp_path / "old", program), Log(broken("x"), added("x"), erased("x"), added("x", 7)).messages)
    assert 4 == len(held(data)[1])
    adopts(data, deploy(tmp_path / "new", TALLIES))
    assert ({("a", "x"): 7}, []) == held(data)


def test_what_reached_no_view_stays_parked_and_what_would_come_late_is_told(data, old, tmp_path):
    """To run it now would put it behind later events of its view."""
    misfit = envelope("Added", {"id": 7, "n": 1})
    log = Log(b"{", misfit, added("x"), envelope("Added", {"n": 1}))
    fold_on(data, old, log.messages)
    wider = CORRECTED.replace("event Added { id: string, n: int }", "event Added { id?: string, n: int }").replace(
        "on Added as e to e.id =>", 'on Added as e to e.id ?? "x" =>'
    )
    came = adopts(data, deploy(tmp_path / "new", wider))
    assert ({("a", "x"): 1}, [1, 2, 4]) == (held(data)[0], [sequence for _, _, sequence, _ in held(data)[1]])
    assert (1, {"D101": 1, "D105": 2}, 0) == (came.late, came.parked, came.taken)


def test_an_event_that_waited_at_each_of_its_views_is_taken_wherever_it_was_refused_before(data, tmp_path):
    """It is parked without a view as well, as long as one of its views is unknown."""
    two = (
        "{}\n\non Added as e to e.other =>\n  let tally = view ?? {{}};\n  tally with {{ total += e.n, events += 1 }}\n"
    )
    strict = two.format(TALLIES).replace(
        "event Added { id: string, n: int }", "event Added { id: string, n: int, other: int }"
    )
    strict = strict.replace("to e.other", 'to "{e.other}"')
    wider = strict.replace("other: int", "other?: int").replace('to "{e.other}"', 'to "x"')
    misfit = envelope("Added", {"id": "x", "n": 1})
    fold_on(
        data,
        deploy(tmp_path / "old", strict),
        Log(misfit, envelope("Added", {"id": "x", "n": 10, "other": 5})).messages,
    )
    assert [("a", None, 1, "D105"), ("a", "x", 1, "D105"), ("a", "x", 2, "P000")] == held(data)[1]
    came = adopts(data, deploy(tmp_path / "new", wider))
    assert ({("a", "x"): 22, ("a", "5"): 10}, []) == held(data)
    assert (2, 0, 0, {}) == (came.taken, came.gone, came.late, came.parked)


def test_what_reached_no_view_goes_where_the_new_program_takes_it_nowhere(data, tmp_path):
    fold_on(data, deploy(tmp_path / "old"), Log(b"{", envelope("Nowhere", {"id": ""}), broken("x")).messages)
    came = adopts(data, deploy(tmp_path / "new", CLOSED))
    assert [("a", None, 1, "D101")] == held(data)[1]
    assert (1, 1, {"D101": 1}) == (came.gone, came.taken, came.parked)


def test_what_was_recorded_as_skipped_stays_recorded(data, tmp_path):
    fold_on(data, deploy(tmp_path / "old", on_error="skip"), Log(broken("x"), added("x"), b"{").messages)
    before = held(data)
    came = adopts(data, deploy(tmp_path / "new", CORRECTED))
    assert before == held(data)
    assert ({}, {}, 0) == (came.parked, came.skipped, came.taken)


def test_a_policy_of_skip_records_what_fails_again_and_goes_on(data, old, tmp_path):
    fold_on(data, old, Log(broken("x"), added("x"), broken("x"), added("x")).messages)
    came = adopts(data, deploy(tmp_path / "new", on_error="skip"))
    assert ({("a", "x"): 2}, [("a", "x", 1, "R710"), ("a", "x", 3, "R710")]) == held(data)
    assert ({}, {"R710": 2}, 2) == (came.parked, came.skipped, came.taken)
    with answering(data) as (_, store):
        assert {Disposition.SKIPPED} == {one.disposition for one in store.parked()}


@pytest.mark.parametrize(
    ("entry", "said"),
    [({"on_error": "halt"}, "sequence 1: R710"), ({"limits": {"parked": 1, "gas": 100_000}}, "may hold 1")],
)
def test_a_policy_that_would_halt_at_a_parked_event_lets_nothing_be_adopted(data, old, tmp_path, entry, said):
    fold_on(data, old, Log(broken("x"), added("x")).messages)
    deployed, before = deploy(tmp_path / "new", **entry), state(data)
    with Catalog.open(data) as catalog:
        for attempt in (preview, adopt):
            with pytest.raises(LaneHaltedError, match=said):
                attempt(catalog, deployed[0])
    assert before == state(data)


def test_decisions_go_along(data, old, new):
    log = Log(broken("x"), added("x"), added("x", TOO_MUCH))
    fold_on(data, old, log.messages)
    with Catalog.open(data) as catalog:
        drop(catalog, TALLY, TenantId("a"), 3, ViewId("x"))
    came = adopts(data, new)
    assert came.former.drops == came.build.drops != ()
    assert ({("a", "x"): 1}, []) == held(data)


def test_decisions_are_made_about_an_adopted_build_too(data, old, tmp_path):
    fold_on(data, old, Log(broken("x"), added("x")).messages)
    adopts(data, deploy(tmp_path / "new", on_error="park", limits={"gas": 100_000}))
    with Catalog.open(data) as catalog:
        drop(catalog, TALLY, TenantId("a"), 1, ViewId("x"))
    assert ({("a", "x"): 1}, []) == held(data)
    assert state(data)


# views

SHAPES = """\
proj 1
projection tallies
event Added { id: string, n: int }
type Line { sku: string(8), count: int = 0 }
view Tally { total: int = 0, state: enum(open, closed) = "open", name?: string(8), lines: list<Line>(5) = [],
  seen: set<string(4)>(3) = [], sums: map<string(4), decimal(2)>(3) = {} }
on Added as e to e.id =>
  let tally = view ?? {};
  tally with { total += e.n }
"""


@pytest.mark.parametrize(
    "change",
    [
        ("name?: string(8)", "name?: string(9)"),
        ("sku: string(8)", "sku?: string(8)"),
        ("enum(open, closed)", "enum(ajar, open, closed, ...)"),
        ("enum(open, closed)", "enum(ajar, closed, open)"),
        (">(5)", ">(6)"),
        ("set<string(4)>(3)", "set<string(5)>"),
        ("map<string(4), decimal(2)>(3)", "map<string(40), decimal(2)>(30)"),
    ],
)
def test_a_program_whose_view_takes_all_that_the_former_one_took_can_go_on_with_it(data, tmp_path, change):
    fold_on(data, deploy(tmp_path / "old", SHAPES), Log(added("x", TOO_MUCH), added("x", 1), added("y", 3)).messages)
    views_before = state(data)[0]
    adopts(data, deploy(tmp_path / "new", SHAPES.replace(*change)))
    assert views_before == state(data)[0]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("total: int = 0, ", "total: int = 0, more: int = 0, ", "more is new"),
        ("total: int = 0, ", "total: int = 0, more?: int, ", "more is new"),
        ("lines: list<Line>(5) = [],", "", "lines is gone"),
        ("total: int = 0", "total: decimal(0) = 0", "total was int and is decimal(0)"),
        ("decimal(2)", "decimal(3)", "sums[] was decimal(2) and is decimal(3)"),
        ("name?: string(8)", 'name: string(8) = ""', "name was string(8)? and is string(8)"),
        ("sku: string(8)", "sku: string(7)", "lines[].sku was string(8) and is string(7)"),
        ("enum(open, closed)", "enum(open, shut)", "state was enum(open, closed) and is enum(open, shut)"),
        (">(5)", ">(4)", "lines was list<Line>(5) and is list<Line>(4)"),
        ("set<string(4)>(3)", "set<string(4)>(2)", "seen was set<string(4)>(3) and is set<string(4)>(2)"),
        ("map<string(4)", "map<string(3)", "sums[] was string(4) and is string(3)"),
        ("set<string(4)>(3)", "list<string(4)>(3)", "seen was set<string(4)>(3) and is list<string(4)>(3)"),
    ],
)
def test_a_program_to_which_stored_views_may_be_none_takes_nothing_over(data, tmp_path, was, becomes, said):
    fold_on(data, deploy(tmp_path / "old", SHAPES), Log(added("x")).messages)
    assert was in SHAPES
    deployed, before = deploy(tmp_path / "new", SHAPES.replace(was, becomes)), state(data)
    with Catalog.open(data) as catalog:
        for attempt in (preview, adopt):
            with pytest.raises(
                ConfigurationError, match=f"the views of build 1 .* the new program: {re.escape(said)};"
            ):
                attempt(catalog, deployed[0])
    assert before == state(data)


# what cannot be adopted


def test_the_program_that_answers_already_has_nothing_to_adopt(data, old, tmp_path):
    fold_on(data, old, Log(broken("x")).messages)
    with Catalog.open(data) as catalog, pytest.raises(ConfigurationError, match="by this program already; there is no"):
        adopt(catalog, deploy(tmp_path / "again", "# a comment\n" + TALLIES)[0])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"start": {"sequence": 2}}, "start .first → sequence 2."),
        ({"subjects": ["tenant.*.aggregate.tally.*"]}, "subjects"),
        ({"template": "t.<type>.<id>"}, "subject_template"),
    ],
)
def test_what_decides_which_events_are_read_cannot_change(data, old, tmp_path, entry, said):
    fold_on(data, old, Log(broken("x")).messages)
    deployed = deploy(tmp_path / "new", CORRECTED, **entry)
    with Catalog.open(data) as catalog:
        for attempt in (preview, adopt):
            with pytest.raises(ConfigurationError, match=f"{said}.* it lacks events"):
                attempt(catalog, deployed[0])


# crashes


@pytest.mark.parametrize("step", ["copy_to", "commit", "record"])
def test_a_crash_leaves_the_former_build_answering_and_the_next_attempt_begins_anew(data, old, new, step, monkeypatch):
    log = Log(broken("x"), added("x"))
    fold_on(data, old, log.messages)
    before = state(data)
    owner = {"copy_to": adoption._Draft, "commit": adoption.LmdbLaneStore, "record": Catalog}[step]
    with monkeypatch.context() as crash:
        crash.setattr(adoption.shutil, "rmtree", lambda *_, **__: None)  # a process that is killed removes nothing
        crash.setattr(owner, step, _dies)
        with Catalog.open(data) as catalog, pytest.raises(KeyboardInterrupt):
            adopt(catalog, new[0])
    assert before == state(data)
    fold_on(data, old, log.add(added("x", 5)).messages)
    assert 3 == adopts(data, new).build.number
    assert ({("a", "x"): 6}, []) == held(data)
    assert ["1", "3"] == sorted(path.name for path in (data / TALLY).iterdir())


def _dies(*_, **__):
    raise KeyboardInterrupt


def test_a_disk_that_refuses_the_copy_leaves_nothing_behind(data, old, new, monkeypatch):
    fold_on(data, old, Log(broken("x")).messages)

    def full(*_):
        raise StorageError("the disk is full")

    monkeypatch.setattr(adoption.LmdbLaneStore, "commit", full)
    with Catalog.open(data) as catalog, pytest.raises(StorageError, match="the disk is full"):
        adopt(catalog, new[0])
    assert ["1"] == [path.name for path in (data / TALLY).iterdir()]


def test_a_decision_that_a_crash_left_without_effect_has_it_before_the_build_is_copied(data, old, new, monkeypatch):
    fold_on(data, old, Log(broken("x"), added("x", TOO_MUCH), added("x")).messages)
    with monkeypatch.context() as crash:
        crash.setattr(Lane, "write", _dies)
        with Catalog.open(data) as catalog, pytest.raises(KeyboardInterrupt):
            drop(catalog, TALLY, TenantId("a"), 2, ViewId("x"))
    with Catalog.open(data) as catalog:
        adopt(catalog, new[0])
    assert ({("a", "x"): 1}, []) == held(data)


# any log

ids = st.sampled_from(["x", "y"])
happenings = st.one_of(
    st.builds(broken, ids),
    st.builds(added, ids, st.sampled_from([1, 5])),
    st.builds(lambda some: shared(*some), st.permutations(["x", "y"])),
    st.builds(lambda some: broken(*some), st.permutations(["x", "y"])),
    st.builds(erased, ids),
)


@settings(deadline=None, max_examples=100)
@given(before=st.lists(happenings, max_size=12), after=st.lists(happenings, max_size=5))
def test_where_each_event_fits_an_adopted_build_holds_what_the_new_program_makes_of_the_whole_log(
    tallies, corrected, before, after
):
    """For the new program differs only in what was parked: then the queues, run in order, make up for it."""
    log = Log(*before)
    lane = feed(Lane(tallies, MemoryLaneStore(tallies.fold_identity)), log.messages)
    store = lane.store
    build = adoption.Build(Path(), TALLY, 1, tallies.base_identity, adoption.recipe_of(tallies).encode())
    takeover = adoption._Takeover(build, corrected, _OnPaper(store))
    takeover.write(store)
    feed(Lane(corrected.within(takeover.build), store), log.add(*after).messages)
    at_once = feed(Lane(corrected, MemoryLaneStore(corrected.fold_identity)), log.messages)
    assert state_of(at_once.store)[:-1] == state_of(store)[:-1]


class _OnPaper:
    """A store in memory as `_Draft` shows one on a disk."""

    def __init__(self, store: MemoryLaneStore) -> None:
        self._store, self.made = store, None

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    claim = adoption._Draft.claim
    commit = adoption._Draft.commit


@pytest.fixture(scope="module")
def tallies(tmp_path_factory):
    return deploy(tmp_path_factory.mktemp("old"))[0]


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    return deploy(tmp_path_factory.mktemp("new"), CORRECTED)[0]
