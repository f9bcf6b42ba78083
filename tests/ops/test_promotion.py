"""Which build of a running node answers: gates, promotion by hand, going back, and former builds that follow."""

from __future__ import annotations

import pytest
from node_support import folded
from ops_support import PROGRAM, fine, served
from patience import eventually
from test_live_operations import (
    BROKEN_A,
    DOUBLED,
    EVENTS,
    FINES,
    deployed_as,
    n_of,
    numbers,
    ordered,
    read_all_along,
    recipes,
    serving,
)

from projection.engine import switching
from projection.engine.inventory import build_states, contents_of_store
from projection.engine.loading import Loading
from projection.engine.recipes import deployed_by
from projection.engine.replay import Replay
from projection.engine.retention import Retention
from projection.errors import StorageError
from projection.model.envelope import Tenancy
from projection.model.settings import BuildSettings
from projection.store.disk import FULL

STRICT = PROGRAM.replace("when e.n < 0 =>", "when e.n < 0 or e.n == 3 =>")
SAME_VIEWS = PROGRAM.replace("n: e.n,", "n: e.n + 0,")


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder, again and again; its former builds are folded on."""

    def opened(events=(), **more):
        builds = {"retire_after_h": 24, **more.pop("builds", {})}
        return served(nats_server.url, stream_name, tmp_path, events, builds=builds, **more)

    return opened


async def deployed_with(one, tmp_path, program, status=200, **gate):
    order = {
        "recipes": recipes(tmp_path / f"gated-{len(numbers(one))}", one, {"fines": program}),
        "by": "alice",
        **gate,
    }
    answer = await one.post("/v1/operations/deploy", order)
    assert status == answer.status_code, answer.text
    return answer.json()


async def waits(one, gate):
    """Until the gate holds a build, what all places say of it."""
    await eventually(lambda: FINES in one.node.health.waiting)
    held = one.node.health.waiting[FINES]
    assert gate == held.gate
    ready = (await one.get("/ready")).json()
    assert f"build {held.build}: {held.why}" == ready["waiting"]["fines"]
    assert ready["ready"]
    metrics = (await one.get("/metrics")).text
    assert f'projection_build_held{{build="{held.build}",gate="{gate}",view_type="fines"}} 1.0' in metrics
    assert (held.build, "waits", f"{gate}: {held.why}") in states(one)
    return held


async def publish(one, events):
    """Publish events, and wait until every build that is folded has their effect."""
    last = await one.site.publish(events)
    await eventually(lambda: all(lane.position.scanned >= last for lane in one.node.lanes))


def states(one):
    return [(each.build.number, each.state, each.why) for each in build_states(one.site.catalog, FINES)]


def operations(one):
    return [(each.operation, each.author.door, each.details.get("build")) for each in one.site.catalog.audit()]


def is_a_replay(one, log):
    """Every build that is folded holds what a replay by its program and decisions comes to."""
    for lane in one.node.lanes:
        replay = Replay((deployed_by(one.site.catalog.build(FINES, lane.build)),), Tenancy())
        replay.run(log)
        assert folded(replay.lanes[0].store, FINES) == folded(lane.store, FINES), lane.build


async def test_a_build_that_is_not_on_the_disk_yet_is_promoted_once_it_is(site, tmp_path, monkeypatch):
    look = Loading.look
    monkeypatch.setattr(Loading, "look", lambda *_: None)
    monkeypatch.setattr(switching, "_PATIENCE_S", 0.1)
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED, promote="manual")
        await eventually(lambda: {lane.position.scanned for lane in one.node.lanes} == {len(EVENTS)})
        came = await ordered(one, "promote")
        assert (False, 1) == (came["answers"], serving(one)), "a loss of power would leave nothing to answer from"
        monkeypatch.setattr(Loading, "look", look)
        await eventually(lambda: serving(one) == 2)
        assert not any(lane.store.is_loading for lane in one.node.lanes)


async def test_a_build_waits_until_it_is_promoted_by_hand_over_restarts_too(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED, promote="manual")
        await waits(one, "manual")
        assert 1 == serving(one)
    async with site() as one:  # with the former manifest: nothing folds the new build, and nothing promotes it
        assert 1 == serving(one)
    async with site(programs={"fines": DOUBLED}) as one:
        await waits(one, "manual")
        await publish(one, [fine("b", 4)])
        assert 4 == await n_of(one, "b")
        came = await ordered(one, "promote")
        assert {"view_type": "fines", "build": 2, "former_build": 1, "answers": True} == came
        assert (8, {}) == (await n_of(one, "b"), one.node.health.waiting)
        assert ("promote", "http", 2) == operations(one)[-1]
        assert [(1, "follows", None), (2, "answers", None)] == states(one)
        assert "answers already" in (await ordered(one, "promote", 409, build=2))["detail"]


async def test_the_settings_say_when_a_build_answers_where_the_order_does_not(site, tmp_path):
    async with site(EVENTS, builds={"promote": "manual"}) as one:
        await ordered(one, "rebuild")
        await waits(one, "manual")
        await ordered(one, "promote")
        await ordered(one, "rebuild", promote="when_caught_up")
        await eventually(lambda: serving(one) == 3)


async def test_a_build_that_parks_what_the_other_does_not_answers_only_when_told(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, STRICT)
        held = await waits(one, "parked")
        assert "event 4 for the view 'b': R710: NEGATIVE: below zero" in held.why
        assert 1 == serving(one)
        refused = await ordered(one, "promote", 409)
        assert "it parks what build 1 does not: one event is parked or skipped" in refused["detail"]
        assert "--although-parked" in refused["hint"]
        await ordered(one, "promote", although_parked=True)
        assert (2, {}) == (serving(one), one.node.health.waiting)


async def test_a_build_may_be_told_beforehand_to_answer_although_it_parks(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, STRICT, although_parked=True)
        await eventually(lambda: serving(one) == 2)


async def test_a_build_that_parks_what_the_other_parks_too_answers(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, SAME_VIEWS)
        await eventually(lambda: serving(one) == 2)


async def test_a_program_that_takes_nothing_never_answers(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, PROGRAM.replace("when e.n < 0 =>", "when e.n < 1000 =>"))
        held = await waits(one, "parked")
        assert "events are parked or skipped" in held.why
        await publish(one, [fine("c", 5)])
        assert (1, 5) == (serving(one), await n_of(one, "c"))


async def test_equal_views_are_waited_for_and_the_difference_is_named(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED, promote="when_equal")
        held = await waits(one, "when_equal")
        assert "the view 'a' of tenant 't' differs at event 4" in held.why
        await ordered(one, "delete", build=2)
        assert {} == one.node.health.waiting
        await deployed_with(one, tmp_path, SAME_VIEWS, promote="when_equal")
        await eventually(lambda: serving(one) == 3)


async def test_views_that_come_to_be_equal_later_open_the_gate(site, tmp_path):
    async with site([fine("b", 4)]) as one:
        await deployed_with(one, tmp_path, DOUBLED, promote="when_equal")
        await waits(one, "when_equal")
        await publish(one, [fine("b", 0)])  # twice nothing is nothing
        await eventually(lambda: serving(one) == 2)


async def test_going_back_is_one_step_and_loses_nothing_and_holds_over_restarts(site, tmp_path):
    log = list(EVENTS)
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED)
        await eventually(lambda: serving(one) == 2)
        log += [fine("b", 5), fine("c", 7)]
        await publish(one, log[-2:])
        assert 10 == await n_of(one, "b")
        assert [(1, "follows", None), (2, "answers", None)] == states(one)
        came = await ordered(one, "rollback")
        assert {"view_type": "fines", "build": 1, "former_build": 2, "answers": True} == came
        assert (5, 7) == (await n_of(one, "b"), await n_of(one, "c"))
        assert "was rolled back already" in (await ordered(one, "rollback", 409))["detail"]
        assert ("rollback", "http", 1) == operations(one)[-1]
    async with site(programs={"fines": DOUBLED}) as one:  # the manifest still says so
        log += [fine("b", 6)]
        await publish(one, log[-1:])
        assert (6, 1) == (await n_of(one, "b"), serving(one))
        assert [(1, "answers", None), (2, "follows", "it was rolled back")] == states(one)
        assert {"fines": ("was rolled back", 2)} == await deployed_as(one, tmp_path, {"fines": DOUBLED})
        last = one.node.lanes[0].position.scanned
        await eventually(lambda: all(lane.position.scanned >= last for lane in one.node.lanes))
        is_a_replay(one, log)
        await ordered(one, "promote")
        assert (12, 2) == (await n_of(one, "b"), serving(one))
        await ordered(one, "rollback")
        assert (6, 1) == (await n_of(one, "b"), serving(one))


async def test_views_are_read_all_along_while_builds_answer_in_turn(site, tmp_path):
    async with site(EVENTS) as one, read_all_along(one):
        await ordered(one, "rebuild")
        await eventually(lambda: serving(one) == 2)
        for _ in range(5):
            await ordered(one, "rollback")
            await ordered(one, "promote")


async def test_a_build_under_way_replaces_whichever_answers_by_then(site, tmp_path):
    async with site(EVENTS) as one:
        await ordered(one, "rebuild")
        await eventually(lambda: serving(one) == 2)
        await deployed_with(one, tmp_path, DOUBLED, promote="manual")
        await waits(one, "manual")
        await ordered(one, "rollback")
        assert 1 == serving(one)
        await ordered(one, "promote", build=3)
        assert 3 == serving(one)
        assert [(1, "follows", None), (2, "former", "it was rolled back"), (3, "answers", None)] == states(one)
        assert {1, 3} == {lane.build for lane in one.node.lanes}


async def test_a_build_that_is_retired_is_folded_no_longer(site, tmp_path):
    async with site(EVENTS) as one:
        assert "no build of view type fines follows" in (await ordered(one, "retire", 409))["detail"]
        await ordered(one, "rebuild")
        await eventually(lambda: serving(one) == 2)
        assert {"view_type": "fines", "build": 1} == await ordered(one, "retire")
        assert ([(1, "former", None), (2, "answers", None)], [2]) == (
            states(one),
            [each.build for each in one.node.lanes],
        )
        refused = await ordered(one, "rollback", 409)
        assert "no former build of view type fines follows build 2" in refused["detail"]
        await publish(one, [fine("b", 9)])
        assert 9 == await n_of(one, "b")
    async with site() as one:
        assert [2] == [each.build for each in one.node.lanes]


async def test_a_former_build_that_follows_goes_back_when_its_manifest_is_deployed(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED)
        await eventually(lambda: serving(one) == 2)
        assert {"fines": ("goes back", 1)} == await deployed_as(one, tmp_path, {"fines": PROGRAM})
        await eventually(lambda: serving(one) == 1)
        assert [(1, "answers", None), (2, "follows", None)] == states(one)
        await publish(one, [fine("b", 9)])
        assert 9 == await n_of(one, "b")


async def test_a_decision_reaches_the_build_that_follows_unless_it_has_taken_the_event(site, tmp_path):
    log = list(EVENTS)
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, SAME_VIEWS)
        await eventually(lambda: serving(one) == 2)
        await ordered(one, "drop", **BROKEN_A)
        assert {1: 1, 2: 1} == {build.number: len(build.drops) for build in one.site.catalog.builds(FINES)}
        is_a_replay(one, log)
        await ordered(one, "rollback")
        assert 2 == await n_of(one, "a")
        await deployed_with(one, tmp_path, STRICT, although_parked=True)
        await eventually(lambda: serving(one) == 3)
        await ordered(one, "drop", sequence=4, tenant_id="t", view_id="b")
        assert {1: 1, 2: 1, 3: 2} == {build.number: len(build.drops) for build in one.site.catalog.builds(FINES)}
        assert 404 == (await one.get("/v1/views/fines/b")).status_code
        is_a_replay(one, log)
        await ordered(one, "rollback")
        assert 3 == await n_of(one, "b")


async def test_a_build_that_was_begun_without_a_node_is_folded_when_its_manifest_is_deployed(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED, promote="manual")
        await waits(one, "manual")
    async with site() as one:
        assert [1] == [lane.build for lane in one.node.lanes]
        assert {"fines": ("is under way", 2)} == await deployed_as(one, tmp_path, {"fines": DOUBLED})
        await waits(one, "manual")


async def test_a_build_that_has_seen_fewer_messages_waits_until_that_is_accepted(site):
    async with site(EVENTS) as one:
        (lane,) = one.node.lanes
        lane.position = lane.position.model_copy(update={"messages": 9})  # as if the log had lost some since
        await ordered(one, "rebuild")
        await waits(one, "fewer_messages")
        refused = await ordered(one, "promote", 409)
        assert "build 2 of view type fines has seen 4 messages of the log" in refused["detail"]
        assert "--accept-fewer-messages" in refused["hint"]
        assert 1 == serving(one)
        await ordered(one, "promote", accept_fewer_messages=True)
        assert (2, {}) == (serving(one), one.node.health.waiting)


async def test_a_build_that_halts_says_so_and_answers_once_it_goes_on(site, tmp_path, monkeypatch):
    async with site(EVENTS) as one:
        await ordered(one, "rebuild", promote="manual")
        await waits(one, "manual")
        new = one.node.roster.lane_of(FINES, 2)

        def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr(new, "_fold", broken)
        await one.site.publish([fine("c", 5)])
        await eventually(lambda: "halted" == one.node.health.waiting[FINES].gate)
        assert (2, "waits") in [each[:2] for each in states(one)]
        assert "has halted" in (await ordered(one, "promote", 409))["detail"]
        await ordered(one, "resume")
        await waits(one, "manual")
        await ordered(one, "promote")
        assert 2 == serving(one)


async def test_a_build_for_which_the_disk_has_no_room_does_not_answer_before_there_is_some(site, tmp_path, monkeypatch):
    async with site(EVENTS) as one:
        opened, is_full = one.node.opener.lane, True

        def lane(planned):
            made = opened(planned)
            commit = made.store.commit

            def refused(*arguments):
                if is_full:
                    raise StorageError("there is no room on the disk", code=FULL)
                commit(*arguments)

            monkeypatch.setattr(made.store, "commit", refused)
            return made

        monkeypatch.setattr(one.node.opener, "lane", lane)
        await deployed_with(one, tmp_path, DOUBLED)
        await eventually(one.node.health.troubles)
        assert {"view type fines": "there is no room on the disk"} == one.node.health.troubles()
        assert [(1, "answers", None), (2, "under way", None)] == states(one)
        assert 3 == await n_of(one, "b")
        is_full = False
        await eventually(lambda: serving(one) == 2)


async def compared(one, status=200, **builds):
    answer = await one.post("/v1/operations/compare", {"view_type": "fines", **builds})
    assert status == answer.status_code, answer.text
    return answer.json()


async def test_two_builds_are_compared_at_one_event_while_the_node_folds_both(site, tmp_path):
    async with site(EVENTS) as one:
        assert "none follows the one that answers" in (await compared(one, 409))["detail"]
        await deployed_with(one, tmp_path, DOUBLED.replace("e.n < 0 =>", "e.n < 0 or e.n == 2 =>"), promote="manual")
        await waits(one, "manual")
        await publish(one, [fine("c", 7)])
        found = await compared(one, limit=1)
        assert (False, True, 1, 2) == (
            found["equal"],
            found["at_one_event"],
            found["old"]["build"],
            found["new"]["build"],
        )
        assert (5, 5) == (found["old"]["at"], found["new"]["at"])
        assert {"n": 3} == found["fields"]
        assert (3, 0, 0, 0) == (found["changed"], found["only_old"], found["only_new"], found["in_between"])
        assert [("a", [{"path": "n", "before": 1, "after": 2}])] == [
            (view["view_id"], view["changes"]) for view in found["views"]
        ]
        await ordered(one, "promote")
        await ordered(one, "retire")
        assert "not compared here" in (await compared(one, 409, old=1, new=2))["detail"]


# --- how long former builds are kept ----------------------------------------------------------------------------------


def retention(one, **hours):
    return Retention(one.service.operations, one.site.catalog, BuildSettings(**hours))


async def test_a_build_follows_for_as_long_as_the_settings_say_of_the_time_that_nodes_run(site, tmp_path):
    async with site(EVENTS) as one:
        await ordered(one, "rebuild")
        await eventually(lambda: serving(one) == 2)
        await retention(one, retire_after_h=2).passed(7_199)
        assert [(1, "follows", None), (2, "answers", None)] == states(one)
    async with site() as one:
        await retention(one, retire_after_h=2).passed(1)
        assert [(1, "former", None), (2, "answers", None)] == states(one)
        assert ("retire", "node", 1) == operations(one)[-1]
        await retention(one, delete_after_h=1).passed(3_599)
        await retention(one).passed(10**9)
        assert [1, 2] == numbers(one)
        await retention(one, delete_after_h=1).passed(1)
        assert ([2], ("delete build", "node", 1)) == (numbers(one), operations(one)[-1])


async def test_builds_that_answer_or_may_yet_or_were_rolled_back_are_not_deleted_by_themselves(site, tmp_path):
    async with site(EVENTS) as one:
        await deployed_with(one, tmp_path, DOUBLED)
        await eventually(lambda: serving(one) == 2)
        await ordered(one, "rollback")
        await ordered(one, "rebuild", promote="manual")
        await waits(one, "manual")
        await retention(one, delete_after_h=1).passed(10**9)
        await retention(one, delete_after_h=1).passed(10**9)
        assert [(1, "answers"), (2, "former"), (3, "waits")] == [each[:2] for each in states(one)]


async def test_what_a_build_holds_is_told_by_its_kinds(site):
    async with site(EVENTS, entry={"changes": True}) as one:
        (lane,) = one.node.lanes
        held = lane.store.snapshot()
        with held as store:
            entries = list(store.entries(b"", b"\xff"))
        found = contents_of_store(lane.store)
        for kind, prefixes in {
            "views": [b"view:"],
            "parked": [b"parked:"],
            "changes": [b"change", b"tombstone"],
        }.items():
            wanted = sum(len(k) + len(v) for k, v in entries if any(k.startswith(each) for each in prefixes))
            assert (kind, wanted) == (kind, found[kind])
            assert wanted
        assert ["status, balance desc"] == list(found["indexes"])
        assert (
            sum(len(k) + len(v) for k, v in entries if k.startswith(b"index:"))
            == found["indexes"]["status, balance desc"]
        )
