"""Faults where stores are opened and operators decide: nothing is half done, and one view type keeps no other away."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from build_support import TALLY, answering, fold_on, state
from engine_support import CORRECTED, TALLIES, Log, added, broken, deploy, totals
from node_support import WITHIN_S, replayed

from projection.engine import assembly
from projection.engine.adoption import adopt
from projection.engine.decisions import drop
from projection.engine.lane import Lane
from projection.engine.starts import StreamStart
from projection.errors import StorageDamagedError
from projection.lang.program import Program
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.ops import metric_declarations
from projection.ops.metric_families import Families
from projection.ops.node_metrics import NodeNumbers
from projection.query.errors import ViewMissingError
from projection.query.service import Queries
from projection.query.serving import Serving
from projection.store.catalog import Catalog
from projection.store.lmdb_store import LmdbLaneStore

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.node import Node

A, X = TenantId("a"), ViewId("x")
EVENTS = [added("x"), broken("x"), added("x", 10), added("y")]
OTHERS = ViewType("others")


def breaks(*_: object, **__: object) -> None:
    raise RuntimeError("it breaks here")


# decisions and adoptions


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize(("owner", "name"), [(Program, "apply"), (Lane, "refold"), (Lane, "seal"), (Lane, "unpark")])
def test_a_decision_that_cannot_be_carried_out_is_none(data, tmp_path, monkeypatch, owner, name):
    fold_on(data, deploy(tmp_path / "tallies"), Log(*EVENTS).messages)
    before = state(data)
    with monkeypatch.context() as faulty, Catalog.open(data) as catalog:
        faulty.setattr(owner, name, breaks)
        with pytest.raises(RuntimeError, match="it breaks here"):
            drop(catalog, TALLY, A, 2, X)
        assert () == catalog.require(TALLY).drops
    assert before == state(data)
    with Catalog.open(data) as catalog:
        assert 1 == drop(catalog, TALLY, A, 2, X).taken


@pytest.mark.parametrize("name", ["refold", "seal", "unpark"])
def test_an_adoption_that_fails_leaves_the_former_build_answering(data, tmp_path, monkeypatch, name):
    fold_on(data, deploy(tmp_path / "tallies"), Log(*EVENTS).messages)
    before, corrected = state(data), deploy(tmp_path / "corrected", CORRECTED)[0]
    with monkeypatch.context() as faulty, Catalog.open(data) as catalog:
        faulty.setattr(Lane, name, breaks)
        with pytest.raises(RuntimeError, match="it breaks here"):
            adopt(catalog, corrected)
    assert before == state(data)
    assert ["1"] == [path.name for path in (data / TALLY).iterdir()]
    with Catalog.open(data) as catalog:
        assert 2 == adopt(catalog, corrected).taken


# a node that starts


def two(folder: Path, template: str, tallies: str = TALLIES):
    programs = {"tallies": tallies, "others": TALLIES.replace("projection tallies", "projection others")}
    return deploy(folder, programs, template=template)


async def others_catch_up(node: Node) -> None:
    """Run a node until the other view type has read all; the tallies have halted all the while."""
    (others,) = (lane for lane in node.lanes if lane.view_type == OTHERS)
    running = asyncio.create_task(node.run())
    async with asyncio.timeout(WITHIN_S):
        while others.position.scanned < len(EVENTS) + 1:
            assert not running.done(), running.result()
            assert not node.is_ready
            await asyncio.sleep(0.005)
        node.stop()
        await running


def is_readable(node: Node, catalog: Catalog, limits) -> bool:
    """Whether the view of the tallies is answered with, although nothing folds it."""
    queries = Queries(Serving(catalog, node.reader_of), limits)
    try:
        return b'"total":1' in bytes(queries.view_now(A, TALLY, X).view)
    except ViewMissingError:
        return False
    finally:
        queries.close()


def of_tallies(original, error):
    def opened(path, *args, **named):
        if "tallies" in path.parts:
            raise error
        return original(path, *args, **named)

    return opened


@pytest.mark.parametrize("error", [RuntimeError("it breaks here"), StorageDamagedError("a page is no page")], ids=repr)
async def test_a_store_that_cannot_be_opened_halts_its_view_type_only(site, monkeypatch, error):
    await site.publish(EVENTS)
    deployed = two(site.folder / "deployed", site.template)
    await site.catch_up(deployed)
    await site.publish([added("y")])
    with monkeypatch.context() as faulty:
        faulty.setattr(LmdbLaneStore, "open", of_tallies(LmdbLaneStore.open, error))
        async with site.node(deployed) as node:
            await others_catch_up(node)
            trouble = node.health.troubles()["view type tallies"]
            assert is_readable(node, site.catalog, site.settings().query)
            families = Families(metric_declarations.OF_NODE)
            assert list(NodeNumbers(node, None).adding(families))
            assert {("tallies", 1.0), ("others", 0.0)} == {
                (sample.labels["view_type"], sample.value)
                for family in families
                for sample in family.samples
                if family.name == "projection_halted"
            }
            assert [error.args[0]] == [halt.message for halt in node.health.halts] or "internal" == node.health.halts[
                0
            ].code
    assert trouble.startswith("halted: ")
    assert error.args[0] in trouble
    _, found = await site.catch_up(deployed)
    assert replayed(deployed, [*EVENTS, added("y")]) == found


@pytest.mark.parametrize(
    ("owner", "name", "doing"),
    [(Lane, "__init__", "opening build 1 of"), (StreamStart, "move", "beginning to read for")],
)
async def test_a_lane_that_cannot_be_made_halts_its_view_type_only(site, monkeypatch, owner, name, doing):
    await site.publish([*EVENTS, added("y")])
    deployed = two(site.folder / "deployed", site.template)
    original = getattr(owner, name)

    def made(*args, **named):
        one = args[1] if name == "__init__" else args[1].deployed
        if one.entry.view_type == TALLY:
            raise RuntimeError("it breaks here")
        return original(*args, **named)

    with monkeypatch.context() as faulty:
        faulty.setattr(owner, name, made)
        async with site.node(deployed) as node:
            await others_catch_up(node)
            assert f"while {doing} view type tallies" in node.health.troubles()["view type tallies"]
    _, found = await site.catch_up(deployed)
    assert replayed(deployed, [*EVENTS, added("y")]) == found


async def test_a_recorded_decision_that_cannot_be_carried_out_keeps_no_node_from_starting(site, monkeypatch):
    """As one that an earlier release recorded before it failed; and a new build is a way out meanwhile."""
    await site.publish(EVENTS)
    deployed = two(site.folder / "deployed", site.template)
    await site.catch_up(deployed)
    with Catalog.open(site.data) as catalog:
        catalog.record(catalog.require(TALLY).decided(Drop(2, A, X)))
    await site.publish([added("y")])
    with monkeypatch.context() as faulty:
        faulty.setattr(Lane, "refold", breaks)
        async with site.node(deployed) as node:
            await others_catch_up(node)
            assert "RuntimeError: it breaks here" in node.health.troubles()["view type tallies"]
            assert is_readable(node, site.catalog, site.settings().query)
        corrected = two(site.folder / "corrected", site.template, CORRECTED)
        _, found = await site.catch_up(corrected, new_build=True)
        views = {str(key.view_id): json.loads(view)["total"] for key, view in found[TALLY][0]}
        assert {"x": 11, "y": 2} == views
    await site.catch_up(deployed)  # back to the former program
    with answering(site.data) as (_, store):
        assert {("a", "x"): 11, ("a", "y"): 2} == totals(store)


async def test_a_node_none_of_whose_stores_can_be_opened_says_so(site, monkeypatch):
    deployed = two(site.folder / "deployed", site.template)
    await site.catch_up(deployed)
    monkeypatch.setattr(assembly, "open_store", breaks)
    async with site.node(deployed) as node:
        assert not node.is_ready
        assert ["internal", "internal"] == [halt.code for halt in node.health.halts]
        running = asyncio.create_task(node.run(until_caught_up=True))
        await asyncio.wait_for(running, WITHIN_S)
