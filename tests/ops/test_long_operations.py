"""Long operations: each has an id, tells how far it is, can be canceled, and is not forgotten by a restart."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from ops_support import fine, served
from patience import eventually
from test_live_operations import CORRECTED, EVENTS, FINES, deployed, serving
from test_live_repair import damage

from projection.cli.door import running_node
from projection.engine import tasks as tasks_module
from projection.engine.recipes import recipe_of
from projection.engine.tasks import KEPT, State, Task, TaskRecord, Tasks, stored_tasks
from projection.errors import ConfigurationError, StorageError
from projection.store.audit import Author
from projection.store.catalog import Catalog, CatalogReader

BY = {"view_type": "fines", "by": "alice", "reason": "as the ticket says"}
ALICE = Author("alice", "http", "as the ticket says")


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    return lambda events=EVENTS, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


async def begun(one, name, status=202, **order):
    answer = await one.post(f"/v1/operations/{name}", BY | order, prefer="respond-async")
    assert status == answer.status_code, answer.text
    return answer.headers["location"]


async def ended(one, location):
    """What the operation says once it has ended."""
    tasks = one.service.long.tasks
    await eventually(lambda: tasks.one(location.rpartition("/")[2]).has_ended)
    return (await one.get(location)).json()


async def events_of(one, location):
    """All events of a stream until it ends."""
    found = []
    async with one.http.stream("GET", f"{one.url}{location}/events", headers={"x-tenant-id": "t"}) as stream:
        assert "text/event-stream; charset=utf-8" == stream.headers["content-type"]
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
    return found


def held(one):
    """No build is replaced until that is taken back."""
    one.node.roster.hold([FINES])
    one.node.roster.hold = one.node.roster.release = lambda _: None


async def test_each_of_them_has_an_id_tells_how_far_it_is_and_what_came_of_it(site, tmp_path):
    async with site() as one:
        damage(one)
        repaired = await ended(one, await begun(one, "repair", tenant_id="t"))
        assert ("repair", "done", "alice", 1) == (
            repaired["operation"], repaired["state"], repaired["by"], repaired["result"]["different"],
        )  # fmt: skip
        assert (len(EVENTS), len(EVENTS)) == (repaired["done"], repaired["total"])
        rebuilt = await ended(one, await begun(one, "rebuild", 200))
        assert ("done", {"view_type": "fines", "build": 2}, 2) == (
            rebuilt["state"], rebuilt["result"], serving(one),
        )  # fmt: skip
        recipe = recipe_of(deployed(tmp_path / "corrected", one.site.template, CORRECTED)).encode()
        adopted = await ended(one, await begun(one, "adopt", recipe=recipe))
        assert ("done", 3) == (adopted["state"], adopted["result"]["build"])
        failed = await ended(one, await begun(one, "adopt", recipe=recipe))
        assert ("failed", True) == (failed["state"], "by this program already" in failed["error"])
        listed = (await one.get("/v1/operations")).json()["operations"]
        assert [repaired, rebuilt, adopted, failed] == listed
        refused = await one.post("/v1/operations/repair", BY | {"tenant_id": "t"})
        assert 409 == refused.status_code
    with CatalogReader.open(one.site.data) as catalog:
        assert 5 == len(stored_tasks(catalog.task_records()))


async def test_a_stream_tells_each_step_until_the_end(site):
    async with site() as one:
        held(one)
        location = await begun(one, "rebuild", 200)
        watching = asyncio.create_task(events_of(one, location))
        await eventually(lambda: one.service.long.tasks.all()[0].done == len(EVENTS))
        one.node._cutovers.held.clear()
        found = await watching
        assert ["running"] * (len(found) - 1) + ["done"] == [each["state"] for each in found]
        assert len(EVENTS) in [each["done"] for each in found]
        assert [found[-1]] == await events_of(one, location), "of one that has ended, its end is told"
        for target in ("/v1/operations/none", "/v1/operations/none/events"):
            assert (404, "operation.unknown") == ((answer := await one.get(target)).status_code, answer.json()["code"])


async def test_a_rebuild_that_is_canceled_leaves_the_former_build_and_nothing_else(site):
    async with site() as one:
        held(one)
        location = await begun(one, "rebuild", 200)
        await eventually(lambda: len(one.node.lanes) == 2)
        for wrong in ("why=x", "by=a&by=b"):
            assert 400 == (await one.send("DELETE", f"{location}?{wrong}")).status_code
        assert 200 == (await one.send("DELETE", f"{location}?by=bob&reason=slow")).status_code
        assert "canceled" == (await ended(one, location))["state"]
        *_, record = one.site.catalog.audit()
        assert ("delete build", "bob", "http", "slow") == (
            record.operation, record.author.name, record.author.door, record.author.reason,
        )  # fmt: skip
        assert ([1], 1) == ([build.number for build in one.site.catalog.builds(FINES)], len(one.node.lanes))
        again = await one.send("DELETE", location)
        assert (409, "has ended already" in again.json()["detail"]) == (again.status_code, True)
        assert 404 == (await one.send("DELETE", "/v1/operations/none")).status_code
        await one.publish([fine("b", 7)])
        assert 7 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]


async def test_a_rebuild_whose_build_is_held_waits_until_it_is_promoted_or_deleted(site):
    async with site() as one:
        (lane,) = one.node.lanes
        lane.position = lane.position.model_copy(update={"messages": 9})  # as if the log had lost some since
        orders = (("delete", {"build": 2}, "failed"), ("promote", {"accept_fewer_messages": True}, "done"))
        for order, more, state in orders:
            location = await begun(one, "rebuild", 200)
            task_id = location.rpartition("/")[2]
            await eventually(lambda: one.service.long.tasks.one(task_id).state == State.WAITS)  # noqa: B023
            found = (await one.get(location)).json()
            assert ("waits", None, None) == (found["state"], found["error"], found["ended"])
            assert found["why"].startswith("fewer_messages: ")
            watching = asyncio.create_task(events_of(one, location))
            assert 200 == (await one.post(f"/v1/operations/{order}", BY | more)).status_code
            assert (state, None) == ((told := await ended(one, location))["state"], told["why"])
            assert {"waits", state} <= {each["state"] for each in await watching} <= {"running", "waits", state}


async def test_a_rebuild_that_halts_waits_until_it_is_resumed(site, monkeypatch):
    async with site() as one:
        location = await begun(one, "rebuild", 200, promote="manual")
        task_id = location.rpartition("/")[2]
        await eventually(lambda: FINES in one.node.health.waiting)
        new = one.node.roster.lane_of(FINES, 2)

        def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr(new, "_fold", broken)
        await one.site.publish([fine("c", 5)])
        await eventually(lambda: "halted" in (one.service.long.tasks.one(task_id).why or ""))
        assert 200 == (await one.post("/v1/operations/resume", BY)).status_code
        await eventually(lambda: (one.service.long.tasks.one(task_id).why or "").startswith("manual"))
        assert 200 == (await one.post("/v1/operations/promote", BY)).status_code
        assert "done" == (await ended(one, location))["state"]


async def test_what_is_verified_and_compared_tells_how_far_it_is(site, monkeypatch):
    events = [fine(f"v{number}", number) for number in range(600)]
    told, progress = [], Task.progress

    def noted(task, done, total=None):
        told.append((task.record.operation, done, total))
        progress(task, done, total)

    monkeypatch.setattr(Task, "progress", noted)
    async with site(events) as one:
        assert 200 == (await one.post("/v1/operations/verify", {"by": "alice"})).status_code
        assert 200 == (await one.post("/v1/operations/rebuild", BY | {"promote": "manual"})).status_code
        await eventually(lambda: FINES in one.node.health.waiting)
        assert 200 == (await one.post("/v1/operations/compare", {"view_type": "fines", "by": "alice"})).status_code
        ended = {each.operation: (each.done, each.total) for each in one.service.long.tasks.all()}
        for name, least in (("verify", 3 * len(events)), ("compare", len(events))):
            of = [(done, total) for operation, done, total in told if operation == name]
            assert of == sorted(of), name
            assert (of[-1][1], True) == (ended[name][1], of[-1][1] >= least), name
            assert (ended[name][0], 1) == (ended[name][1], len({total for _, total in of})), name
            assert any(0 < done < total for done, total in of), name


async def test_a_repair_that_is_canceled_has_changed_nothing(site, monkeypatch):
    async with site() as one:
        damage(one)
        reached, may_go = asyncio.Event(), asyncio.Event()
        read = one.service.long._repairs._operations.with_store

        async def later(*arguments):
            reached.set()
            await may_go.wait()
            return await read(*arguments)

        monkeypatch.setattr(one.service.long._repairs._operations, "with_store", later)
        location = await begun(one, "repair", tenant_id="t")
        await reached.wait()
        assert 200 == (await one.send("DELETE", location)).status_code
        may_go.set()
        assert "canceled" == (await ended(one, location))["state"]
        assert 33 == (await one.get("/v1/views/fines/b")).json()["view"]["n"]
        assert [] == one.site.catalog.audit()


async def test_after_a_restart_a_rebuild_goes_on_under_its_id_and_all_else_was_given_up(site):
    async with site() as one:
        held(one)
        location = await begun(one, "rebuild", 200)
        for task_id, operation, build in (("lost", "repair", None), ("there", "rebuild", 1), ("gone", "rebuild", 9)):
            record = TaskRecord(
                id=task_id, operation=operation, view_type="fines", by="bob", reason="", began="2026-01-01T00:00:00Z",
                state=State.RUNNING, build=build,
            )  # fmt: skip
            one.site.catalog.put_task(task_id, msgspec.json.encode(record), KEPT)
    async with site(()) as one:
        found = await ended(one, location)
        assert ("done", 2, location.rpartition("/")[2]) == (found["state"], serving(one), found["id"])
        others = {task_id: (await one.get(f"/v1/operations/{task_id}")).json() for task_id in ("lost", "there", "gone")}
        assert {"lost": "given up", "there": "done", "gone": "given up"} == {
            task_id: told["state"] for task_id, told in others.items()
        }
        assert "projection audit" in others["lost"]["error"]
        assert "build 9 was deleted" == others["gone"]["error"]
    async with site(()) as one:
        assert {"given up", "done"} == {
            each["state"] for each in (await one.get("/v1/operations")).json()["operations"]
        }


async def test_commands_reach_them_by_the_folder(site, tmp_path):
    def ask(work):
        with running_node(tmp_path / "data") as node:
            return None if node is None else work(node)

    async with site() as one:
        held(one)
        location = await begun(one, "rebuild", 200)
        task_id = location.rpartition("/")[2]
        (listed,) = await asyncio.to_thread(ask, lambda node: node.tasks())
        assert (task_id, "running") == (listed.id, listed.state)
        assert task_id == (await asyncio.to_thread(ask, lambda node: node.cancel(task_id, "carol"))).id
        await ended(one, location)
        assert "canceled" == (await asyncio.to_thread(ask, lambda node: node.task(task_id))).state
        with pytest.raises(ConfigurationError, match="no operation 'nobody'"):
            await asyncio.to_thread(ask, lambda node: node.task("nobody"))
    assert ask(lambda node: node.tasks()) is None


async def test_only_operators_see_them_and_no_page_of_another_site_cancels_one(nats_server, stream_name, tmp_path):
    secret = "0123456789abcdef-of-the-gateway"
    header = {"access": {"mode": "header", "secret": secret}}
    async with served(nats_server.url, stream_name, tmp_path, EVENTS, http=header) as one:
        known = {"x_projection_secret": secret}
        operator = known | {"x_projection_scopes": "operator"}
        for target in ("/v1/operations", "/v1/operations/x", "/v1/operations/x/events"):
            assert 401 == (await one.get(target)).status_code
            assert 403 == (await one.get(target, **known)).status_code
        assert 200 == (await one.get("/v1/operations", **operator)).status_code
        strange = operator | {"origin": "https://elsewhere.example"}
        assert 403 == (await one.send("DELETE", "/v1/operations/x", headers=strange)).status_code
        assert 404 == (await one.send("DELETE", "/v1/operations/x", headers=operator)).status_code


# the registry by itself


@pytest.fixture
def tasks(tmp_path):
    with Catalog.open(tmp_path / "data") as catalog:
        yield Tasks(catalog, lambda _: None)


def test_the_rate_is_that_of_the_work_and_of_no_wait_before_it(monkeypatch):
    now = 0.0
    monkeypatch.setattr(tasks_module, "monotonic", lambda: now)
    told = {"id": "1", "operation": "rebuild", "view_type": "fines", "by": "alice", "reason": "", "began": ""}
    task = Task(TaskRecord(**told, state=State.RUNNING), lambda: None)

    def at(moment, done):
        nonlocal now
        now = moment
        task.progress(done, 1_000)
        return task.record.rate, task.record.left_s

    assert (None, None) == at(0.0, 0)
    assert (50.0, 10.0) == at(10.0, 500)
    task.waits("it has halted")
    at(5_000.0, 500)
    task.waits(None)
    assert (None, None) == at(5_000.0, 500)
    assert (50.0, 8.0) == at(5_002.0, 600)
    assert (None, None) == at(5_003.0, 100), "what was made of it is of no use, and it begins anew"
    assert (100.0, 8.0) == at(5_004.0, 200)


async def test_a_task_that_cannot_be_canceled_any_more_says_so(tasks):
    reached, may_end = asyncio.Event(), asyncio.Event()

    async def work(task):
        task.progress(0, 10)
        task.point_of_no_return()
        reached.set()
        await may_end.wait()
        task.progress(10, 10)
        return {"views": 3}

    task, running = tasks.begin("backup", "fines", ALICE, work)
    await reached.wait()
    with pytest.raises(ConfigurationError, match="can no longer be canceled"):
        tasks.cancel(task.record.id, ALICE)
    may_end.set()
    assert {"views": 3} == await running
    found = tasks.one(task.record.id)
    assert ("done", {"views": 3}, 10, 10) == (found.state, found.result, found.done, found.total)


async def test_what_fails_is_kept_with_its_reason_and_so_is_a_fault(tasks):
    async def refused(_):
        raise StorageError("the disk is full", hint="make room")

    async def broken(_):
        raise ZeroDivisionError

    task, running = tasks.begin("backup", "fines", ALICE, refused)
    with pytest.raises(StorageError):
        await running
    assert ("failed", "the disk is full", "make room") == (
        (found := tasks.one(task.record.id)).state, found.error, found.hint,
    )  # fmt: skip
    task, running = tasks.begin("backup", "fines", ALICE, broken)
    with pytest.raises(ZeroDivisionError):
        await running
    assert "a fault of projection itself" in tasks.one(task.record.id).error
    assert [] == tasks.unfinished()


async def test_the_last_ones_are_kept_in_their_order(tasks):
    async def work(_):
        return None

    for number in range(KEPT + 5):
        _, running = tasks.begin(f"o{number}", "fines", ALICE, work)
        await running
    assert KEPT == len(tasks.all())
    assert {f"o{number}" for number in range(5, KEPT + 5)} == {one.operation for one in tasks.all()}
