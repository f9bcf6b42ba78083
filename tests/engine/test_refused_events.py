"""Events that are refused before they are routed: what they are meant for is degraded, or their tenant is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from build_support import TALLY, folded_with, state_of
from engine_support import Log, deploy, envelope, feed, folded, parked, view_key, views
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.engine import adoption, lane
from projection.engine.lane import Lane
from projection.engine.requeue import queues, settle
from projection.lang.run.executors import Execution
from projection.model.ids import TenantId, ViewId
from projection.model.parked import Drop
from projection.store.catalog import Build
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView

# Each handler finds its views in another way; each but the last refuses what the corrected program takes.
STRICT = """\
proj 1
projection tallies

type Person { id: string, age: int }
type Line { sku: string, count: int }
event Paid { id: string, amount: int }
event Sold { seller: Person, lines: list<Line>(50), note?: string(3) }
event Seen { place: int }
event Split { ids: list<string>(50), parts: int }
event Gone { id: string, reason: int }

view Tally { total: int = 0, events: int = 0 }

on Paid as e to e.id => let tally = view ?? {}; tally with { total += e.amount, events += 1 }
on Paid as e to "all:{e.id}" => let tally = view ?? {}; tally with { total += e.amount, events += 1 }
on Sold as e to e.seller.id => let tally = view ?? {}; tally with { events += 1 }
on Sold as e for line in e.lines if line.sku != "none" to line.sku
  => let tally = view ?? {}; tally with { total += line.count, events += 1 }
on Seen as e to meta.aggregate_id => let tally = view ?? {}; tally with { total += e.place, events += 1 }
on Seen as e to "place {e.place}" => let tally = view ?? {}; tally with { events += 1 }
on Split as e for one in e.ids to one => let tally = view ?? {}; tally with { total += e.parts, events += 1 }
on Gone as e to e.id => delete
"""
WIDE = (
    STRICT.replace("amount: int }", "amount: json }")
    .replace("total += e.amount", "total += number(e.amount)")
    .replace("age: int", "age: json")
    .replace("count: int", "count: json")
    .replace("total += line.count", "total += number(line.count)")
    .replace("place: int", "place: json")
    .replace("total += e.place", "total += number(e.place)")
    .replace("place {e.place}", "place {number(e.place)}")
    .replace("note?: string(3)", "note?: json")
    .replace("parts: int", "parts: json")
    .replace("total += e.parts", "total += number(e.parts)")
    .replace("reason: int", "reason: json")
    .replace("view Tally", "fn number(x: json) -> int = narrow(x) ?? 0\n\nview Tally")
)


ids = st.sampled_from(["x", "y", "x", "y", "", 7])
number = st.sampled_from([1, 2, 3, "1", 2**70])


def event(kind: str, tenant: str = "a", at: str = "1", **payload: Any) -> bytes:
    return envelope(kind, payload, tenant, aggregate_id=at)


tenants = st.sampled_from(["a", "b"])
lines = st.lists(
    st.fixed_dictionaries({"sku": st.sampled_from(["x", "y", "z", "none", 5]), "count": number}), max_size=3
)
events = st.one_of(
    st.builds(lambda tenant, one, n: event("Paid", tenant, id=one, amount=n), tenants, ids, number),
    st.builds(
        lambda tenant, one, age, some, note: event(
            "Sold", tenant, seller={"id": one, "age": age}, lines=some, note=note
        ),
        tenants,
        ids,
        number,
        lines,
        st.sampled_from(["ok", "too long", 1]),
    ),
    st.builds(lambda tenant, one, n: event("Seen", tenant, one, place=n), tenants, st.sampled_from(["x", "y"]), number),
    st.builds(
        lambda tenant, some, n: event("Split", tenant, ids=some, parts=n),
        tenants,
        st.lists(st.sampled_from("uvwxyz"), max_size=5),
        number,
    ),
    st.builds(lambda tenant, one, n: event("Gone", tenant, id=one, reason=n), tenants, ids, number),
    st.just(b"{"),
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory) -> DeployedView:
    return deploy(tmp_path_factory.mktemp("strict"), STRICT, limits={"ids_per_event": 3})[0]


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> DeployedView:
    return deploy(tmp_path_factory.mktemp("wide"), WIDE)[0]


def told(store: MemoryLaneStore) -> tuple[Any, ...]:
    return views(store), sorted(parked(store), key=repr)


def untold(store: MemoryLaneStore, right: MemoryLaneStore) -> set[tuple[str, str]]:
    """Views that are not what they should be, and of which no answer says so."""
    found, wanted = views(store), views(right)
    with store.snapshot() as snapshot:
        return {
            (tenant, view_id)
            for tenant, view_id in found.keys() | wanted.keys()
            if found.get((tenant, view_id)) != wanted.get((tenant, view_id))
            and not snapshot.is_degraded(TenantId(tenant), ViewId(view_id))
            and not snapshot.is_incomplete(TenantId(tenant))
        }


@settings(deadline=None, max_examples=100)
@given(happened=st.lists(events, max_size=12))
def test_what_differs_from_a_replay_of_a_corrected_program_is_told_and_adoption_mends_what_is_known(
    strict, wide, happened
):
    log = Log(*happened)
    store = feed(Lane(strict, MemoryLaneStore(strict.fold_identity)), log.messages).store
    replayed = feed(Lane(wide, MemoryLaneStore(wide.fold_identity)), log.messages).store
    assert set() == untold(store, replayed)
    unknown = [one for one in store.parked() if one.view_id is None]
    build = Build(Path(), TALLY, 1, strict.base_identity, adoption.recipe_of(strict).encode())
    takeover = adoption._Takeover(build, wide, _OnPaper(store))
    takeover.write(store)
    assert set() == untold(store, replayed)
    if not unknown:
        assert told(replayed) == told(store)
    assert store.audit().agrees


@settings(deadline=None, max_examples=100)
@given(
    history=st.lists(st.tuples(st.lists(events, min_size=1, max_size=5), st.integers(0, 40)), min_size=2, max_size=5)
)
def test_whichever_part_of_a_refused_event_is_dropped_the_state_is_that_of_a_fold_that_knew_it(strict, history):
    """For one of its views, or altogether where one is unknown."""
    log, build = Log(), Build(Path(), TALLY, 1, strict.base_identity, adoption.recipe_of(strict).encode())
    store = MemoryLaneStore(build.fold_identity)
    for happened, choice in history:
        feed(Lane(strict.within(build), store), log.add(*happened).messages)
        if found := [one for queue in queues(store).values() for one in queue]:
            one = found[choice % len(found)]
            build = build.decided(Drop(one.sequence, one.tenant_id, one.view_id))
            settle(store, strict.within(build))
    assert folded_with(build, log) == state_of(store)


def test_an_event_is_kept_for_as_many_views_as_its_size_allows(tmp_path, monkeypatch):
    happened = event("Split", ids=["u", "v", "w", "x", "y"], parts="1")
    monkeypatch.setattr(lane, "_MOST_PARKED_BYTES", 4 * len(happened))
    deployed = deploy(tmp_path, STRICT, limits={"ids_per_event": 2})
    assert [None, *"uvwx"] == [view_id for _, view_id, _, _ in parked(folded(deployed, Log(happened)).store)]


class _OnPaper:
    """A store in memory as `_Draft` shows one on a disk."""

    def __init__(self, store: MemoryLaneStore) -> None:
        self._store, self.made = store, None

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    claim = adoption._Draft.claim
    commit = adoption._Draft.commit


@pytest.mark.parametrize("execution", Execution)
@pytest.mark.parametrize(
    ("happened", "places"),
    [
        (event("Paid", id="x", amount="1"), ["all:x", "x"]),
        (event("Paid", id="", amount=1), [None, "all:"]),
        (event("Sold", seller={"id": "x", "age": 1}, lines=[{"sku": "y", "count": "1"}]), ["x", "y"]),
        (event("Sold", seller={"id": "x", "age": "1"}, lines=[{"sku": 1, "count": 1}]), [None, "x"]),
        (event("Sold", seller=1, lines=[{"sku": "none", "count": 1}, {"sku": "z", "count": 1}]), [None, "z"]),
        (event("Sold", lines=[]), [None]),
        (event("Seen", at="x", place="1"), [None, "x"]),
        (event("Split", ids=["x", "y", "z", "x", "u"], parts=1), ["u", "x", "y", "z"]),
        (event("Gone", id="x", reason="1"), ["x"]),
        (event("Gone", id=1, reason=1), [None]),
        (b"{", [None]),
    ],
)
def test_a_refused_event_is_parked_wherever_its_routes_lead_and_apart_where_one_is_unknown(
    tmp_path, happened, places, execution
):
    deployed = deploy(tmp_path, STRICT, limits={"ids_per_event": 3})[0]
    program = type(deployed.program)(deployed.program.checked, deployed.program.limits, execution)
    store = folded((replace(deployed, program=program),), Log(happened)).store
    assert places == [view_id for _, view_id, _, _ in parked(store)]
    assert {} == views(store)


def test_later_events_wait_behind_a_refused_one_and_an_erasure_discards_it(strict):
    log = Log(
        event("Paid", id="x", amount=1),
        event("Paid", id="x", amount="1"),
        event("Paid", id="x", amount=5),
        event("Paid", id="y", amount=7),
    )
    store = folded((strict,), log).store
    assert [
        ("a", "all:x", 2, "D105"),
        ("a", "all:x", 3, "P000"),
        ("a", "x", 2, "D105"),
        ("a", "x", 3, "P000"),
    ] == parked(store)
    assert (1, 7) == (views(store)["a", "x"]["total"], views(store)["a", "y"]["total"])
    with store.snapshot() as snapshot:
        assert snapshot.is_degraded(TenantId("a"), ViewId("x"))
        assert not snapshot.is_degraded(TenantId("a"), ViewId("y"))
        assert not snapshot.is_incomplete(TenantId("a"))
    store = folded((strict,), log.add(event("Gone", id="x", reason=1))).store
    assert store.get_view(view_key("x")) is None
    assert ["all:x", "all:x"] == [view_id for _, view_id, _, _ in parked(store)]


def test_a_tenant_of_which_an_event_reached_no_view_is_told_and_no_other(strict):
    store = folded((strict,), Log(event("Paid", id=7, amount=1), event("Paid", "b", id="x", amount=1))).store
    with store.snapshot() as snapshot:
        assert [True, False] == [snapshot.is_incomplete(TenantId(tenant)) for tenant in "ab"]
