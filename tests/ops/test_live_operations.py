"""Operators' orders while a node runs: whatever they change, views can be read, and they are those of a replay."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from engine_support import deploy
from node_support import folded
from ops_support import PROGRAM, fine, served
from patience import eventually

from projection.cli.door import door_to
from projection.engine.orders import DeleteOrder, DropOrder, Order, RebuildOrder
from projection.engine.recipes import recipe_of
from projection.errors import ConfigurationError, StorageError
from projection.model.ids import ViewType
from projection.store.indexes import described

FINES = ViewType("fines")
BY = {"view_type": "fines", "by": "alice", "reason": "as the ticket says"}
CORRECTED = PROGRAM.replace("when e.n < 0 =>", "when e.n < -100 =>")
BROKEN_A = {"sequence": 2, "tenant_id": "t", "view_id": "a"}
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3)]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder, again and again."""
    return lambda events=(), **more: served(nats_server.url, stream_name, tmp_path, events, **more)


def deployed(folder, template, program):
    (found,) = deploy(folder, {"fines": program}, template=template)
    return found


async def ordered(one, name, status=200, **order):
    """What comes of an order."""
    answer = await one.post(f"/v1/operations/{name}", BY | order)
    assert status == answer.status_code, answer.text
    return answer.json()


def numbers(one, view_type=FINES):
    return [build.number for build in one.site.catalog.builds(view_type)]


def serving(one) -> int:
    return one.site.catalog.serving(FINES).number


async def n_of(one, view_id):
    return (await one.get(f"/v1/views/fines/{view_id}")).json()["view"]["n"]


@asynccontextmanager
async def read_all_along(one, view_id="b"):
    """Somebody reads a view again and again; no answer may be anything but the view."""
    answers, over = [], asyncio.Event()

    async def read():
        while not over.is_set():
            answer = await one.get(f"/v1/views/fines/{view_id}")
            answers.append((answer.status_code, answer.json().get("view", {}).get("n")))

    reading = asyncio.create_task(read())
    try:
        yield
    finally:
        over.set()
        await reading
    assert answers
    assert {(200, 3)} == set(answers)


async def test_a_parked_event_is_dropped_and_the_view_goes_on(site):
    async with site(EVENTS) as one:
        assert 1 == await n_of(one, "a")
        async with read_all_along(one):
            came = await ordered(one, "drop", **BROKEN_A)
        assert (1, []) == (came["taken"], came["waiting"])
        found = (await one.get("/v1/views/fines/a")).json()
        assert (2, False) == (found["view"]["n"], found["degraded"])
        await one.publish([fine("a", 5)])
        assert 5 == await n_of(one, "a")
        (record,) = one.site.catalog.audit()
        assert ("drop", "alice", "http", "as the ticket says") == (
            record.operation,
            record.author.name,
            record.author.door,
            record.author.reason,
        )
        assert 2 == record.details["sequence"]
    async with site() as one:
        assert 5 == await n_of(one, "a")


async def test_what_is_refused_changes_nothing_and_the_view_type_goes_on(site):
    async with site(EVENTS) as one:
        refused = await ordered(one, "drop", 409, sequence=3, tenant_id="t", view_id="b")
        assert "no event 3 of tenant 't' is parked for the view 'b' in build 1" in refused["detail"]
        assert "projection parked list fines" in refused["hint"]
        await one.publish([fine("b", 9)])
        assert (9, []) == (await n_of(one, "b"), one.site.catalog.audit())


async def test_a_corrected_program_takes_over_and_goes_on(site, tmp_path):
    async with site(EVENTS) as one:
        program = deployed(tmp_path / "corrected", one.site.template, CORRECTED)
        async with read_all_along(one):
            came = await ordered(one, "adopt", recipe=recipe_of(program).encode())
        assert (1, 2, 2, {}) == (came["former_build"], came["build"], came["taken"], came["parked"])
        assert 2 == await n_of(one, "a")
        await one.publish([fine("a", -7)])
        assert -7 == await n_of(one, "a"), "it is folded by the corrected program"
        assert (
            "there is nothing to adopt"
            in (await ordered(one, "adopt", 409, recipe=recipe_of(program).encode()))["hint"]
        )


async def test_a_paused_view_type_is_served_and_not_folded_until_it_is_resumed_over_restarts_too(site):
    async with site(EVENTS) as one:
        await ordered(one, "pause")
        last = await one.site.publish([fine("b", 8)])
        await eventually(lambda: one.node.is_ready)
        assert 3 == await n_of(one, "b")
        assert (200, {"fines": "as the ticket says"}) == (
            (answer := await one.get("/ready")).status_code,
            answer.json()["paused"],
        )
    async with site() as one:
        assert (3, {"fines": "as the ticket says"}) == (await n_of(one, "b"), one.node.roster.paused)
        await ordered(one, "resume")
        await one.until(last)
        assert (8, {}) == (await n_of(one, "b"), one.node.roster.paused)
    async with site() as one:
        assert {} == one.node.roster.paused
        assert ["pause", "resume"] == [record.operation for record in one.site.catalog.audit()]


async def test_a_second_pause_without_a_reason_leaves_the_first_ones(site):
    async with site(EVENTS) as one:
        for reason, expected in (("moving", "moving"), ("", "moving"), ("again", "again"), ("", "again")):
            await ordered(one, "pause", reason=reason)
            assert {"fines": expected} == one.node.roster.paused == one.site.catalog.paused()
        assert ["moving", "", "again", ""] == [each.author.reason for each in one.site.catalog.audit()]
    async with site() as one:
        assert {"fines": "again"} == one.node.roster.paused


async def test_a_view_type_that_has_halted_is_resumed_without_a_restart(site, monkeypatch):
    async with site(EVENTS) as one:
        (lane,) = one.node.lanes

        def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr(lane, "_fold", broken)
        last = await one.site.publish([fine("b", 8)])
        await eventually(lambda: lane.halted is not None)
        await ordered(one, "resume")
        await one.until(last)
        assert 8 == await n_of(one, "b")
        assert not one.node.health.troubles()


async def test_a_rebuild_takes_over_once_it_is_level_and_comes_to_the_same(site):
    async with site(EVENTS) as one:
        before = folded(one.node.lanes[0].store, FINES)
        async with read_all_along(one):
            assert {"view_type": "fines", "build": 2} == await ordered(one, "rebuild")
            await eventually(lambda: serving(one) == 2 and len(one.node.lanes) == 1)
        assert before == folded(one.node.lanes[0].store, FINES)
        await one.publish([fine("b", 9)])
        assert (9, [1, 2]) == (await n_of(one, "b"), numbers(one))


async def test_a_rebuild_goes_on_after_a_restart(site):
    async with site(EVENTS) as one:
        one.node.roster.hold([FINES])  # so that no build is replaced before the node ends
        one.node.roster.hold = one.node.roster.release = lambda _: None
        await ordered(one, "rebuild")
        refused = await ordered(one, "rebuild", 409)
        assert "build 2 of view type fines is under way" in refused["detail"]
        assert 1 == serving(one)
    async with site() as one:
        assert 2 in {serving(one), *(lane.build for lane in one.node.lanes)}
        await eventually(lambda: serving(one) == 2)
        assert (3, None) == (await n_of(one, "b"), one.site.catalog.candidate(FINES))


async def test_a_decision_reaches_the_build_that_is_under_way(site):
    async with site(EVENTS) as one:
        one.node.roster.hold([FINES])
        one.node.roster.hold = one.node.roster.release = lambda _: None
        may_switch, due = one.node._cutovers._may_switch, []
        one.node._cutovers._may_switch = lambda cutover: due.append(cutover) or may_switch(cutover)
        await ordered(one, "rebuild")
        await eventually(lambda: due and all(lane.position.scanned == 4 for lane in one.node.lanes))
        assert 1 == serving(one)
        await ordered(one, "drop", **BROKEN_A)
        assert {1: 1, 2: 1} == {build.number: len(build.drops) for build in one.site.catalog.builds(FINES)}
        one.node._cutovers.held.clear()
        await eventually(lambda: serving(one) == 2)
        assert 2 == await n_of(one, "a")


async def test_a_decision_is_made_also_where_the_build_under_way_cannot_be_told_before_the_next_start(
    site, monkeypatch
):
    async with site(EVENTS) as one:
        one.node.roster.hold([FINES])
        one.node.roster.hold = one.node.roster.release = lambda _: None
        await ordered(one, "rebuild")
        await eventually(lambda: all(lane.position.scanned == 4 for lane in one.node.lanes))

        def refused(_):
            raise StorageError("the disk is full")

        monkeypatch.setattr(one.node.opener, "lane", refused)
        assert 1 == (await ordered(one, "drop", **BROKEN_A))["taken"]
        assert 2 == await n_of(one, "a")
    async with site() as one:
        await eventually(lambda: serving(one) == 2)
        assert 2 == await n_of(one, "a")
        assert {1: 1, 2: 1} == {build.number: len(build.drops) for build in one.site.catalog.builds(FINES)}


async def test_a_build_that_does_not_answer_is_deleted_and_one_that_answers_is_not(site):
    async with site(EVENTS) as one:
        await ordered(one, "rebuild")
        await eventually(lambda: serving(one) == 2 and len(one.node.lanes) == 1)
        refused = await ordered(one, "delete", 409, build=2)
        assert "answers, and is not deleted" in refused["detail"]
        assert refused["hint"].startswith("have another build answer first: `projection promote`")
        assert "has no build 7" in (await ordered(one, "delete", 409, build=7))["detail"]
        await ordered(one, "delete", build=1)
        assert ([2], ["2"]) == (numbers(one), [path.name for path in (one.site.data / "fines").iterdir()])
        one.node.roster.hold([FINES])
        one.node.roster.hold = one.node.roster.release = lambda _: None
        await ordered(one, "rebuild")
        await ordered(one, "delete", build=3)
        assert ([2], ["2"], 1) == (
            numbers(one),
            [path.name for path in (one.site.data / "fines").iterdir()],
            len(one.node.lanes),
        )
        await one.publish([fine("b", 9)])
        assert 9 == await n_of(one, "b")


def give_twice_on_one_connection(data) -> None:
    """With an end in between, as the node's patience with a silent connection has one."""
    with door_to(data) as door:
        door.resume(Order(**BY))
        door._connection.close()
        door.pause(Order(**BY))


async def test_a_command_reaches_the_node_by_the_folder_and_the_folder_where_none_runs(site, tmp_path):
    order = DropOrder(**BY, **BROKEN_A)
    data = tmp_path / "data"

    def give(name, order):
        with door_to(data) as door:
            return getattr(door, name)(order)

    async with site(EVENTS) as one:
        assert 0o600 == (data / "control.sock").stat().st_mode & 0o777
        assert 1 == (await asyncio.to_thread(give, "drop", order)).taken
        assert 2 == await n_of(one, "a")
        with pytest.raises(ConfigurationError, match="has no build 9") as refused:
            await asyncio.to_thread(give, "delete", DeleteOrder(**BY, build=9))
        assert "it has: 1" == refused.value.hint
        await asyncio.to_thread(give_twice_on_one_connection, data)
    give("resume", Order(**BY))
    assert 2 == give("rebuild", RebuildOrder(**BY)).build
    async with site() as one:
        assert {} == one.node.roster.paused
        await eventually(lambda: serving(one) == 2)
        doors = [(record.operation, record.author.door) for record in one.site.catalog.audit()]
        by_socket, by_folder = ["drop", "resume", "pause"], ["resume", "rebuild"]
        by_hand = [(one, "socket") for one in by_socket] + [(one, "offline") for one in by_folder]
        assert [*by_hand, ("switch", "node")] == doors


async def test_pages_of_other_sites_and_those_who_are_no_operators_give_no_orders(nats_server, stream_name, tmp_path):
    secret = "0123456789abcdef-of-the-gateway"
    header = {"access": {"mode": "header", "secret": secret}}
    async with served(nats_server.url, stream_name, tmp_path, EVENTS, http=header) as one:
        known = {"x_projection_secret": secret}
        for headers, status in (({}, 401), (known, 403), (known | {"x_projection_scopes": "operator"}, 200)):
            answer = await one.post("/v1/operations/pause", BY, **headers)
            assert status == answer.status_code
        answer = await one.post(
            "/v1/operations/resume",
            BY,
            x_projection_secret=secret,
            x_projection_scopes="operator",
            origin="https://elsewhere.example",
        )
        assert 403 == answer.status_code
        assert {"fines"} == set(one.node.roster.paused)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"{", b'{"view_type": 1, "by": "x"}', b'{"view_type":"x","by":"y","z":1}']
)
async def test_what_is_no_order_is_refused(site, body):
    async with site(EVENTS[:1]) as one:
        answer = await one.post("/v1/operations/pause", body)
        assert (400, "http.invalid") == (answer.status_code, answer.json()["code"])
        unknown = await one.post("/v1/operations/pause", {**BY, "view_type": "nobody"})
        assert 409 == unknown.status_code
        assert "has no view type 'nobody'" in unknown.json()["detail"]


# --- deployments ------------------------------------------------------------------------------------------------------

DOUBLED = PROGRAM.replace("n: e.n,", "n: e.n * 2,")
BY_N = PROGRAM.replace("index by status, balance desc", "index by n")


def recipes(folder, one, programs, **entries):
    found = deploy(folder, programs, template=one.site.template, entries=entries)
    return [recipe_of(view).encode() for view in found]


async def deployed_as(one, tmp_path, programs, status=200, **entries):
    """What a deployment does: of each view type what, and why."""
    folder = tmp_path / f"deployment-{uuid4().hex}"
    order = {"recipes": recipes(folder, one, programs, **entries), "by": "alice"}
    answer = await one.post("/v1/operations/deploy", order)
    assert status == answer.status_code, answer.text
    if status != 200:
        return answer.json()
    return {step["view_type"]: (step["change"], step["build"]) for step in answer.json()["steps"]}


async def test_a_changed_program_folds_anew_and_takes_over_and_the_former_one_can_come_back(site, tmp_path):
    async with site(EVENTS) as one:
        assert {"fines": ("folds anew", 2)} == await deployed_as(one, tmp_path, {"fines": DOUBLED})
        await eventually(lambda: serving(one) == 2)
        await one.publish([fine("b", 4)])
        assert 8 == await n_of(one, "b")
        assert {"fines": ("goes back", 1)} == await deployed_as(one, tmp_path, {"fines": PROGRAM})
        await eventually(lambda: serving(one) == 1 and len(one.node.lanes) == 1)
        assert 4 == await n_of(one, "b"), "it has folded what it lacked"
        assert {"fines": ("goes on", 1)} == await deployed_as(one, tmp_path, {"fines": PROGRAM})
    async with site() as one:
        assert (4, 1) == (await n_of(one, "b"), serving(one))


def built(one):
    """What there is an index by."""
    with one.node.lanes[0].store.snapshot() as snapshot:
        return [described(index.keys) for index in snapshot.indexes if index.built]


async def test_an_index_is_built_without_a_restart_and_the_fold_goes_on(site, tmp_path):
    async with site(EVENTS) as one:
        assert {"fines": ("goes on", 1)} == await deployed_as(one, tmp_path, {"fines": BY_N})
        await one.publish([fine("c", 7)])

        async def explained():
            return (await one.post("/v1/query/explain", {"view": "fines", "filter": "n == 7"})).json()

        await eventually(lambda: built(one) == ["n"])
        found = await explained()
        assert ("n", "an index range, in order", 1) == (found["index"], found["plan"], found["returned"])


async def test_view_types_come_and_go_and_what_is_left_out_is_served(site, tmp_path):
    others = PROGRAM.replace("projection fines", "projection others")
    async with site(EVENTS) as one:
        both = {"fines": PROGRAM, "others": others}
        assert {"fines": ("goes on", 1), "others": ("is new", 1)} == await deployed_as(one, tmp_path, both)
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == 4)
        assert 3 == (await one.get("/v1/views/others/b")).json()["view"]["n"]
        left = await deployed_as(one, tmp_path, {"others": others})
        assert {"others": ("goes on", 1), "fines": ("is left out", None)} == left
        last = await one.site.publish([fine("b", 9)])
        await eventually(lambda: one.node.roster.of(ViewType("others"))[0].position.scanned == last)
        assert (3, 9) == (await n_of(one, "b"), (await one.get("/v1/views/others/b")).json()["view"]["n"])
        assert one.node.is_ready
        await deployed_as(one, tmp_path, both)
        await eventually(lambda: one.node.roster.of(FINES)[0].position.scanned == last)
        assert 9 == await n_of(one, "b")
    async with site() as one:  # with the first manifest: others is served, and not open
        assert 9 == (await one.get("/v1/views/others/b")).json()["view"]["n"]
        assert {"fines": ("goes on", 1), "others": ("goes on", 1)} == await deployed_as(one, tmp_path, both)
        last = await one.site.publish([fine("b", 5)])
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == last)
        assert 5 == (await one.get("/v1/views/others/b")).json()["view"]["n"]


async def test_other_subjects_are_read_from_the_next_deployment_on(site, tmp_path):
    async with site([*EVENTS, fine("k", 6, tenant="k")], entry={"subjects": ["{stream}.t.aggregate.*.*"]}) as one:
        assert 404 == (await one.get("/v1/views/fines/k", tenant="k")).status_code
        others = PROGRAM.replace("projection fines", "projection others")
        stream = one.site.stream
        wanted = {
            "fines": {"subjects": [f"{stream}.t.aggregate.*.*"]},
            "others": {"subjects": [f"{stream}.k.aggregate.*.*"]},
        }
        both = await deployed_as(one, tmp_path, {"fines": PROGRAM, "others": others}, **wanted)
        assert {"fines": ("goes on", 1), "others": ("is new", 1)} == both
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == 5)
        assert 6 == (await one.get("/v1/views/others/k", tenant="k")).json()["view"]["n"]
        last = await one.site.publish([fine("k", 7, tenant="k"), fine("b", 8)])
        await eventually(lambda: min(lane.position.scanned for lane in one.node.lanes) == last)
        assert 404 == (await one.get("/v1/views/fines/k", tenant="k")).status_code
        assert 404 == (await one.get("/v1/views/others/b")).status_code
        assert (8, 7) == (await n_of(one, "b"), (await one.get("/v1/views/others/k", tenant="k")).json()["view"]["n"])


async def test_a_deployment_that_cannot_be_changes_nothing(site, tmp_path):
    async with site(EVENTS) as one:
        (recipe,) = recipes(tmp_path / "sound", one, {"fines": PROGRAM})
        broken = recipe.replace("proj 1", "proj 1 nonsense")
        for wanted in ([], [recipe, recipe], [broken]):
            answer = await one.post("/v1/operations/deploy", {"recipes": wanted, "by": "alice"})
            assert 409 == answer.status_code, answer.text
        assert 400 == (await one.post("/v1/operations/deploy", {"recipes": ["{"], "by": "alice"})).status_code
        one.node.roster.hold([FINES])
        one.node.roster.hold = one.node.roster.release = lambda _: None
        await deployed_as(one, tmp_path, {"fines": DOUBLED})
        refused = await deployed_as(one, tmp_path, {"fines": PROGRAM}, 409)
        assert "build 2 of view type fines is under way" in refused["detail"]
        assert ([1, 2], 3) == (numbers(one), await n_of(one, "b"))


async def test_a_view_type_that_starts_later_has_seen_as_many_messages_once_more(site):
    """Beside others that read from the first on, or by itself: what is before its start is none of its messages."""
    others = PROGRAM.replace("projection fines", "projection others")
    both = {"fines": PROGRAM, "others": others}
    async with site(EVENTS, programs=both, entry={"start": {"sequence": 3}}) as one:
        await eventually(lambda: {lane.position.scanned for lane in one.node.lanes} == {4})
        assert {2} == {lane.position.messages for lane in one.node.roster.of(FINES)}
        await ordered(one, "rebuild")
        await eventually(lambda: serving(one) == 2 or one.node.health.refused)
        assert [] == one.node.health.refused
