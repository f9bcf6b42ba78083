"""Deployments that rebuild only some views while the node runs end with the views of a full rebuild."""

from __future__ import annotations

import asyncio
import json

import pytest
from engine_support import TENANCY
from node_support import folded
from ops_support import PROGRAM, fine, served
from patience import eventually
from test_live_operations import FINES, deployed, deployed_as, n_of, numbers, ordered, read_all_along, serving
from test_live_repair import damage
from test_long_operations import ended, events_of

from projection.cli.door import door_to
from projection.engine.deployer import Deployer
from projection.engine.orders import DeployOrder
from projection.engine.recipes import deployed_by, recipe_of
from projection.engine.replay import Replay
from projection.engine.tasks import State
from projection.errors import StorageError
from projection.ops import new_builds
from projection.store.disk import FULL

NOTING = PROGRAM.replace("\nview Fine", "\nevent Noted { id: string(200), by: string }\nevent Gone { id: string(200) }\n\nview Fine") + """
on Noted as e updates e.id => view with { by: e.by }

on Gone as e to e.id => delete
"""  # fmt: skip
LOUDER = NOTING.replace("by: e.by }\n\non Gone", 'by: "{e.by}!" }\n\non Gone')
FEWER = NOTING.replace("\non Gone as e to e.id => delete\n", "")
EVENTS = [fine(one, 3) for one in "abcdefghijklmnop"]


def noted(view_id, by="ann"):
    event = json.loads(fine(view_id))
    return json.dumps(event | {"event_type": "Noted", "payload": {"id": view_id, "by": by}}).encode()


LOG = [*EVENTS, noted("a"), noted("c"), fine("d", 4), noted("a", "bob")]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    def opened(events=(), program=NOTING, **more):
        return served(nats_server.url, stream_name, tmp_path, events, programs={"fines": program}, **more)

    return opened


@pytest.fixture
def held(monkeypatch):
    """What is made beside the node is made only once this is set."""
    may_go, done_beside = asyncio.Event(), new_builds.done_beside

    async def later(work, stopping, task):
        waits = [asyncio.ensure_future(one.wait()) for one in (may_go, stopping, task.canceled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        return await done_beside(work, stopping, task)

    monkeypatch.setattr(new_builds, "done_beside", later)
    return may_go


def recipe(one, tmp_path, program=LOUDER):
    return recipe_of(deployed(tmp_path / "changed", one.site.template, program)).encode()


async def deploys(one, tmp_path, program=LOUDER, **gate):
    """Deploy a program; what the answer says of the one view type."""
    order = {"recipes": [recipe(one, tmp_path, program)], "by": "alice", **gate}
    answer = await one.post("/v1/operations/deploy", order)
    assert answer.status_code == 200, answer.text
    (step,) = answer.json()["steps"]
    return step


async def came(one, step):
    """What comes of the new build, once it answers."""
    found = await ended(one, f"/v1/operations/{step['operation']}")
    assert ("deploy", "done", step["build"]) == (found["operation"], found["state"], found["build"]), found
    assert step["build"] == serving(one)
    return found["result"]


def is_a_replay(one, log):
    """Every build that is folded holds what a replay by its program comes to, and no draft is left."""
    for lane in one.node.lanes:
        build = one.site.catalog.build(FINES, lane.build)
        replay = Replay((deployed_by(build),), TENANCY)
        replay.run(log)
        (expected,) = replay.lanes
        assert folded(expected.store, FINES) == folded(lane.store, FINES)
        assert expected.store.digest() == lane.store.digest() == lane.store.audit().recomputed
        assert not build.draft_path().parent.exists()


def folds(one):
    """What the audit says of builds that were begun so."""
    return [
        (each.details.get("folded"), each.details.get("of"))
        for each in one.site.catalog.audit()
        if each.operation == "fold"
    ]


async def test_only_views_that_the_change_reaches_fold_anew_under_live_events_and_queries(site, tmp_path, held):
    log = list(LOG)
    async with site(LOG) as one:
        async with read_all_along(one, "b"):
            step = await deploys(one, tmp_path)
            assert ("folds anew", "folds anew only views that had events of these types: Noted") == (
                step["change"], step["folds"],
            )  # fmt: skip
            log += [noted("e"), fine("z", 1), noted("a", "cid")]
            await one.publish(log[-3:])
            held.set()
            watching = asyncio.create_task(events_of(one, f"/v1/operations/{step['operation']}"))
            assert {"view_type": "fines", "build": 2, "folded": 3, "of": 17, "why": ""} == await came(one, step)
        assert "done" == (await watching)[-1]["state"]
        assert [(3, 17)] == folds(one)
        assert "cid!" == (await one.get("/v1/views/fines/a")).json()["view"]["by"]
        log += [noted("g", "dan"), fine("z", 2)]
        await one.publish(log[-2:])
        assert "dan!" == (await one.get("/v1/views/fines/g")).json()["view"]["by"]
        await eventually(lambda: len(one.node.lanes) == 1)
        is_a_replay(one, log)
    async with site(program=LOUDER) as one:
        is_a_replay(one, log)


async def test_what_is_not_proven_folds_all_and_says_why(site, tmp_path):
    async with site([*LOG, noted("z")]) as one:  # there is no `z`: that is parked
        step = await deploys(one, tmp_path, although_parked=True)
        why = "events are parked or skipped in build 1"
        assert f"folds all views anew: {why}" == step["folds"]
        assert {"folded": None, "of": None, "why": why} == {
            name: told for name, told in (await came(one, step)).items() if name in ("folded", "of", "why")
        }
    async with site(program=LOUDER) as one:
        step = await deploys(one, tmp_path / "fewer", FEWER, although_parked=True)
        assert "folds all views anew: events of some types are no longer handled" == step["folds"]
        await came(one, step)


async def test_a_new_program_that_parks_is_found_beside_and_folds_all(site, tmp_path):
    strict = NOTING.replace(
        "on Noted as e updates e.id =>",
        'on Noted as e updates e.id\n  when e.by == "bob" => fail("BOB", "no")\n  else =>',
    )
    async with site(LOG) as one:
        step = await deploys(one, tmp_path, strict)
        await eventually(lambda: FINES in one.node.health.waiting)
        assert ("parked", 1) == (one.node.health.waiting[FINES].gate, serving(one))
        assert [(None, None)] == folds(one)
        assert "event 20 (R710: BOB" in one.site.catalog.audit()[-1].details["why"]
        await ordered(one, "delete", build=step["build"])


async def test_one_that_is_canceled_leaves_the_former_build_and_nothing_else(site, tmp_path, held):
    async with site(LOG) as one:
        step = await deploys(one, tmp_path)
        location = f"/v1/operations/{step['operation']}"
        assert 200 == (await one.send("DELETE", f"{location}?by=bob")).status_code
        assert "canceled" == (await ended(one, location))["state"]
        assert ([1], 1, []) == (numbers(one), len(one.node.lanes), folds(one))
        assert not (tmp_path / "data" / "fines" / "2").exists()
        held.set()
        assert 2 == (await came(one, await deploys(one, tmp_path / "again")))["folded"]


async def test_other_orders_are_not_held_up_and_what_they_change_counts(site, tmp_path, held):
    async with site(LOG) as one:
        step = await deploys(one, tmp_path, promote="manual")
        assert {"fines": ("is under way", 2)} == await deployed_as(one, tmp_path / "again", {"fines": LOUDER})
        await ordered(one, "pause")
        await ordered(one, "resume")
        assert "is under way" in (await ordered(one, "rebuild", 409))["detail"]
        assert [1] == [lane.build for lane in one.node.lanes]
        promoted = await ordered(one, "promote")
        assert (2, False) == (promoted["build"], promoted["answers"])
        held.set()
        assert 2 == (await came(one, step))["folded"]
        await eventually(lambda: len(one.node.lanes) == 1)
        is_a_replay(one, LOG)


async def test_one_that_is_deleted_by_another_order_ends(site, tmp_path, held):
    async with site(LOG) as one:
        step = await deploys(one, tmp_path)
        await ordered(one, "delete", build=2)
        found = await ended(one, f"/v1/operations/{step['operation']}")
        assert ("failed", "build 2 of view type fines was deleted") == (found["state"], found["error"])
        assert 3 == await n_of(one, "b")


async def test_a_copy_of_what_was_repaired_since_is_not_used(site, tmp_path, monkeypatch):
    async with site(LOG) as one:
        done_beside = new_builds.done_beside

        async def then_repaired(work, stopping, task):
            said = await done_beside(work, stopping, task)
            damage(one)
            await ordered(one, "repair")
            return said

        monkeypatch.setattr(new_builds, "done_beside", then_repaired)
        assert "build 1 was repaired meanwhile" == (await came(one, await deploys(one, tmp_path)))["why"]


async def test_one_that_is_gone_back_from_at_once_is_done(site, tmp_path, monkeypatch):
    monkeypatch.setattr(new_builds, "_LOOK_S", 1.0)
    async with site(LOG, builds={"retire_after_h": 24}) as one:
        step = await deploys(one, tmp_path)
        await eventually(lambda: serving(one) == 2)
        await ordered(one, "rollback")
        found = await ended(one, f"/v1/operations/{step['operation']}")
        assert ("done", 2, 1) == (found["state"], found["result"]["folded"], serving(one))


async def test_what_a_deployment_began_before_it_failed_goes_on(site, tmp_path, monkeypatch):
    async with site(LOG) as one:
        take = Deployer._take

        async def refused(deployer, *arguments, **more):
            await take(deployer, *arguments, **more)
            raise StorageError("there is no room", code=FULL)

        monkeypatch.setattr(Deployer, "_take", refused)
        order = {"recipes": [recipe(one, tmp_path)], "by": "alice"}
        assert 503 == (await one.post("/v1/operations/deploy", order)).status_code
        await eventually(lambda: serving(one) == 2)
        assert [(2, 16)] == folds(one)


async def test_after_a_restart_it_begins_anew_and_only_these_views_are_folded(site, tmp_path, held):
    async with site(LOG) as one:
        step = await deploys(one, tmp_path)
        (tmp_path / "data" / "fines" / "2" / "draft" / "0").mkdir(parents=True)  # as a kill leaves it
    held.set()
    async with site(program=LOUDER) as one:
        assert 2 == (await came(one, step))["folded"]
        await eventually(lambda: len(one.node.lanes) == 1)
        is_a_replay(one, LOG)


async def test_what_was_deployed_without_a_node_begins_so_with_the_next_start(site, tmp_path):
    async with site(LOG) as one:
        order = DeployOrder(recipes=[recipe(one, tmp_path)], by="alice")
    with door_to(tmp_path / "data") as door:
        (step,) = door.deploy(order).steps
    assert ("folds anew only views that had events of these types: Noted", None) == (step.folds, step.operation)
    async with site(program=LOUDER) as one:
        await eventually(lambda: serving(one) == 2)
        await eventually(lambda: len(one.node.lanes) == 1)
        assert [(2, 16)] == folds(one)
        is_a_replay(one, LOG)


async def test_a_process_beside_the_node_that_is_lost_costs_a_fold_of_everything(site, tmp_path, monkeypatch):
    async def lost(*_):
        raise StorageError("the process that did the work has ended with status -9")

    monkeypatch.setattr(new_builds, "done_beside", lost)
    async with site(LOG) as one:
        found = await came(one, await deploys(one, tmp_path))
        assert (None, True) == (found["folded"], "ended with status -9" in found["why"])
        await eventually(lambda: len(one.node.lanes) == 1)
        is_a_replay(one, LOG)


async def test_a_full_disk_is_told_and_waited_for(site, tmp_path, monkeypatch):
    from projection.engine import deployer

    taken, refusals = deployer.take_draft, iter([StorageError("there is no room", code=FULL)])

    def take(build):
        for refused in refusals:
            raise refused
        taken(build)

    monkeypatch.setattr(deployer, "take_draft", take)
    monkeypatch.setattr(new_builds, "_AGAIN_S", 0.0)
    async with site(LOG) as one:
        step = await deploys(one, tmp_path)
        told = await events_of(one, f"/v1/operations/{step['operation']}")
        assert 2 == (await came(one, step))["folded"]
        assert {State.WAITS, State.DONE} & {each["state"] for each in told}
        await eventually(lambda: len(one.node.lanes) == 1)
        is_a_replay(one, LOG)
