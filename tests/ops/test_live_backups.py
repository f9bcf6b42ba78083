"""Backups and checks of a node that runs: events are folded and queries answered meanwhile, and what is restored is true."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from engine_support import TENANCY
from node_support import folded
from ops_support import PROGRAM, busy, fine, served
from patience import eventually

from projection.cli.door import door_to
from projection.engine import live_backups, side_process
from projection.engine.backup import Copying, described
from projection.engine.backup_place import Place
from projection.engine.orders import BackupOrder
from projection.engine.replay import Replay
from projection.engine.restoring import restore, verify_backup
from projection.errors import ConfigurationError, StorageError
from projection.model.ids import ViewType
from projection.store.audit import Author
from projection.store.backup_directory import BackupDirectory
from projection.stream.address import NatsConnection

if TYPE_CHECKING:
    from pathlib import Path

FINES, OTHERS = ViewType("fines"), ViewType("others")
BY = {"by": "alice", "reason": "as the ticket says"}
BOTH = {"fines": PROGRAM, "others": PROGRAM.replace("projection fines", "projection others")}
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3)]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream, on a data folder of the name that is given."""
    return lambda events=(), name="first", **more: served(
        nats_server.url, stream_name, tmp_path / name, events, **{"programs": BOTH, **more}
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backups"


async def ordered(one, name, status=200, **order):
    answer = await one.post(f"/v1/operations/{name}", BY | order)
    assert status == answer.status_code, answer.text
    return answer.json()


async def backed_up(one, directory, on_progress=lambda _: None, **order):
    """By the door of commands, which is the one that names directories."""

    def give():
        with door_to(one.site.data) as door:
            return door.backup(BackupOrder(**BY, directory=str(directory), **order), on_progress)

    return await asyncio.to_thread(give)


def restored(directory, name, data):
    return restore(BackupDirectory(directory), name, data, Author("alice", "offline"))


def is_a_replay(lane, log):
    """Whether a lane holds what a replay of the log comes to that knew the decisions from its start."""
    replay = Replay((lane.deployed,), TENANCY)
    replay.run(log)
    (expected,) = replay.lanes
    assert folded(expected.store, lane.view_type) == folded(lane.store, lane.view_type)
    assert expected.store.digest() == lane.store.digest()


async def test_a_backup_under_load_that_is_restored_elsewhere_and_caught_up_is_the_original(site, directory, tmp_path):
    log = list(EVENTS)
    async with site(EVENTS) as one:
        await ordered(one, "pause", view_type="others")  # so that the lanes are at different positions
        await ordered(one, "drop", view_type="fines", sequence=2, tenant_id="t", view_id="a")
        async with busy(one, log, least=-1) as answers:
            first = await backed_up(one, directory)
            await eventually(lambda: one.node.roster.of(FINES)[0].position.scanned > 100)
            before = len(answers)
            made = await backed_up(one, directory)
            assert len(answers) > before
        assert {(200, 3)} == set(answers)
        backups = BackupDirectory(directory)
        assert [[], []] == [verify_backup(backups, name).problems for name in (first.name, made.name)]
        about = {build.view_type: build for build in described(backups, made.name).builds}
        assert (4, True) == (about["others"].scanned, about["fines"].scanned > 100)
        (lane,) = one.node.roster.of(FINES)
        replay = Replay((lane.deployed,), TENANCY)
        replay.run(log[: about["fines"].scanned])
        assert str(replay.lanes[0].store.digest()) == about["fines"].digest
        await ordered(one, "resume", view_type="others")
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == len(log))
        original = {lane.view_type: folded(lane.store, lane.view_type) for lane in one.node.lanes}
        digests = {lane.view_type: lane.store.digest() for lane in one.node.lanes}
        assert ["pause", "drop", "backup", "backup", "resume"] == [
            record.operation for record in one.site.catalog.audit()
        ]
    restored(directory, made.name, tmp_path / "second" / "data")
    async with site(name="second") as one:
        await ordered(one, "resume", view_type="others")
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == len(log))
        assert original == {lane.view_type: folded(lane.store, lane.view_type) for lane in one.node.lanes}
        assert digests == {lane.view_type: lane.store.digest() for lane in one.node.lanes}
        for lane in one.node.lanes:
            is_a_replay(lane, log)


async def test_an_order_over_http_goes_to_the_directory_of_the_settings_alone(site, directory, tmp_path):
    async with site(EVENTS, backup={"directory": directory, "keep": 1}) as one:
        made = await ordered(one, "backup")
        again = await ordered(one, "backup")
        assert ([made["name"]], [again["name"]]) == (again["deleted"], BackupDirectory(directory).names())
        refused = await ordered(one, "backup", 409, directory=str(tmp_path / "anywhere"))
        assert "a request over the network cannot name a place" in refused["detail"]
        *_, task = (await one.get("/v1/operations")).json()["operations"]
        assert ("backup", "done", again) == (task["operation"], task["state"], task["result"])
        (record, _) = one.site.catalog.audit()
        assert ("backup", "alice", "http", f"{directory}/{made['name']}") == (
            record.operation,
            record.author.name,
            record.author.door,
            record.details["backup"],
        )
        shown = (await one.get("/metrics")).text
        assert "projection_backup_last_good_timestamp_seconds" in shown
        assert "projection_backup_failures_total 0.0" in shown
    async with site(EVENTS) as one:
        assert "no place for backups is named" in (await ordered(one, "backup", 409))["detail"]


async def test_an_object_store_is_a_place_as_well_and_the_node_goes_on_elsewhere_from_there(
    site, stream_name, tmp_path
):
    async with site(EVENTS, backup={"object_store": stream_name, "keep": 1}) as one:
        await ordered(one, "backup")
        made = await ordered(one, "backup")
        assert f"object store {stream_name}/{made['name']}" == made["at"]
        digests = {lane.view_type: lane.store.digest() for lane in one.node.lanes}
        place = Place.of(None, stream_name, NatsConnection(one.site.url))

    def restored_from_there():
        with place.opened() as backups:
            assert [made["name"]] == backups.names()
            restore(backups, made["name"], tmp_path / "second" / "data")

    await asyncio.to_thread(restored_from_there)
    async with site(name="second") as one:
        assert digests == {lane.view_type: lane.store.digest() for lane in one.node.lanes}


async def test_what_fails_is_told_counted_and_leaves_the_node_as_it_was(site, directory, tmp_path):
    directory.mkdir()
    (directory / "holiday.jpg").write_text("x")
    async with site(EVENTS) as one:
        with pytest.raises(ConfigurationError, match="is not a directory of backups"):
            await backed_up(one, directory)
        with pytest.raises(ConfigurationError, match="is no absolute path"):
            await backed_up(one, "backups")
        with pytest.raises(ConfigurationError, match="is in the data folder"):
            await backed_up(one, one.site.data / "backups")
        *_, task = (await one.get("/v1/operations")).json()["operations"]
        assert ("failed", "configuration") == (task["state"], task["error_class"])
        assert "is in the data folder" in task["error"]
        assert "projection_backup_failures_total 2.0" in (await one.get("/metrics")).text
        await one.publish([fine("b", 9)])
        assert (9, []) == ((await one.get("/v1/views/fines/b")).json()["view"]["n"], one.site.catalog.audit())


@pytest.fixture
def frozen(monkeypatch):
    """The processes that do the work stand still from their start."""
    started = []
    real = asyncio.create_subprocess_exec

    async def start(*arguments, **more):
        process = await real(*arguments, **more)
        process.send_signal(signal.SIGSTOP)
        started.append(process)
        return process

    monkeypatch.setattr(side_process.asyncio, "create_subprocess_exec", start)
    return started


async def test_one_that_is_under_way_keeps_no_order_waiting_and_ends_with_the_node(site, directory, frozen):
    seen = []
    async with site(EVENTS) as one:
        backup = asyncio.create_task(backed_up(one, directory, seen.append))
        await eventually(lambda: frozen)
        (task,) = one.service.long.tasks._under_way.values()
        task.progress(5, 10)
        await eventually(lambda: Copying(5, 10) in seen)
        with pytest.raises(StorageError, match="a backup is under way"):
            await backed_up(one, directory)
        await ordered(one, "pause", view_type="others")
        await ordered(one, "rebuild", view_type="fines")
        await eventually(lambda: one.site.catalog.serving(FINES).number == 2)
        one.node.stop()
        with pytest.raises(StorageError, match=r"the node is stopping|has gone"):
            await backup
        await eventually(lambda: frozen[0].returncode is not None)


async def test_one_that_is_canceled_ends_its_process_and_leaves_the_earlier_ones_whole(site, directory, request):
    async with site(EVENTS, backup={"directory": directory}) as one:
        made = await ordered(one, "backup")
        frozen = request.getfixturevalue("frozen")
        begun = await one.post("/v1/operations/backup", BY, prefer="respond-async")
        assert 202 == begun.status_code
        await eventually(lambda: frozen)
        where = begun.headers["location"]
        await one.send("DELETE", f"{where}?by=bob")
        await eventually(lambda: frozen[0].returncode is not None)
        await eventually(lambda: not one.service.long.tasks._under_way)
        assert "canceled" == (await one.get(where)).json()["state"]
        assert "projection_backup_failures_total 0.0" in (await one.get("/metrics")).text
    assert [made["name"]] == BackupDirectory(directory).names()
    assert [] == verify_backup(BackupDirectory(directory), made["name"]).problems


async def test_a_process_that_is_killed_fails_the_backup_and_no_more(site, directory, frozen):
    async with site(EVENTS) as one:
        backup = asyncio.create_task(backed_up(one, directory))
        await eventually(lambda: frozen)
        frozen[0].kill()
        with pytest.raises(StorageError, match="has ended with status -9"):
            await backup
        await one.publish([fine("b", 9)])
        assert one.node.is_ready


async def test_a_node_makes_its_backups_by_the_clock(site, directory, monkeypatch):
    monkeypatch.setattr(live_backups, "_HOUR_S", 0.01)
    async with site(EVENTS, backup={"directory": directory, "every_h": 1, "keep": 2}) as one:
        await eventually(lambda: len(BackupDirectory(directory).names()) == 2)
        first = BackupDirectory(directory).names()
        await eventually(lambda: first[0] not in BackupDirectory(directory).names())
        assert [] == one.site.catalog.audit(), "which has a place for what operators do"
    monkeypatch.undo()
    last = live_backups.newest(Place(str(directory)))
    async with site(EVENTS, backup={"directory": directory, "every_h": 1, "keep": 2}) as one:
        await eventually(lambda: one.service.long.backups.last_good == last)
        assert one.service.long.backups._left_s(3600.0) > 0


def test_a_clock_that_was_set_back_makes_no_backup_late(site, directory):
    assert live_backups.newest(Place(str(directory))) is None
    (directory / "29991231T235959.000Z").mkdir(parents=True)
    schedule = live_backups.LiveBackups(None, None, None, None)
    schedule.last_good = live_backups.newest(Place(str(directory)))
    assert 3600.0 == schedule._left_s(3600.0)
    schedule.last_good = 0.0
    assert 0.0 == schedule._left_s(3600.0)


async def test_a_running_node_is_verified_and_answers_meanwhile(site):
    async with site(EVENTS) as one:
        answer = await one.post("/v1/operations/verify", {"by": "alice"})
        found = {build["view_type"]: build for build in answer.json()["builds"]}
        assert {"fines", "others"} == found.keys()
        (lane,) = one.node.roster.of(FINES)
        fines = found["fines"]
        assert (1, [], 4, str(lane.store.digest())) == (
            fines["build"],
            fines["problems"],
            fines["scanned"],
            fines["digest"],
        )
        lane.store._environment.update(lambda transaction: transaction.put(b"view:t:fines:b", b"{}"))
        answer = await one.post("/v1/operations/verify", {"by": "alice", "view_types": ["fines"]})
        (fines,) = answer.json()["builds"]
        assert "its digest is" in fines["problems"][0]
        answer = await one.post("/v1/operations/verify", {"by": "alice", "view_types": ["nobody"]})
        assert (409, "operation.refused") == (answer.status_code, answer.json()["code"])
        answer = await one.post("/v1/operations/verify", {"by": "alice", "view_types": ["No!"]})
        assert (409, "operation.refused") == (answer.status_code, answer.json()["code"])
