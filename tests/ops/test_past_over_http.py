"""Views of the past over HTTP: after each event what it was, and in words why where there is no telling."""

from __future__ import annotations

import asyncio
import json

import pytest
from ops_support import PROGRAM, fine, served

from projection.engine.lane import Lane
from projection.model.ids import ViewId, ViewType
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

A_LIFE = [fine("a", 1), fine("b", 5), fine("a", 2), fine("a", -1), fine("a", 7)]
KEYED = PROGRAM.replace("to e.id", "to meta.aggregate_id")


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    return lambda events=A_LIFE, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


async def past(one, at, view_id="a", tenant="t"):
    return await one.get(f"/v1/views/fines/{view_id}?at={at}", tenant=tenant)


async def test_after_each_event_the_view_is_what_it_was_then(site):
    async with site() as one:
        found = [(await past(one, at)).json() for at in range(1, 6)]
        assert [1, 1, 2, 2, 2] == [each["view"]["n"] for each in found]
        assert [False, False, False, True, True] == [each["degraded"] for each in found]
        assert [(1, at) for at in range(1, 6)] == [(each["build"], each["at"]) for each in found]
        stored = (await one.site.jetstream.message(one.site.stream, 2)).time
        assert found[1] == (await past(one, stored)).json()
        now = (await one.get("/v1/views/fines/a")).json()
        assert (now["view"], now["program"]) == (found[-1]["view"], found[-1]["program"])
        order = {"view_type": "fines", "by": "alice", "sequence": 4, "tenant_id": "t", "view_id": "a"}
        assert 200 == (await one.post("/v1/operations/drop", order)).status_code
        assert [2, 2, 7] == [(await past(one, at)).json()["view"]["n"] for at in (3, 4, 5)], "as decided since"


@pytest.mark.parametrize("program", [PROGRAM, KEYED])
async def test_only_the_views_own_events_are_read_where_its_id_tells_which(site, program):
    async with site(programs={"fines": program}) as one:
        view_id = "1" if program is KEYED else "b"
        assert 5 == (await past(one, 5, view_id)).json()["events"]
        assert 404 == (await past(one, 5, "1" if program is PROGRAM else "b")).status_code


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("a?at=6", (412, "query.not_fresh", "has come to event 5, and not to 6")),
        ("b?at=1", (404, "query.view_missing", "there was no fines with the id 'b' after event 1")),
        ("nobody?at=5", (404, "query.view_missing", "")),
        ("a?at=0", (400, "query.invalid", "neither the sequence of an event nor a time")),
        ("a?at=yesterday", (400, "query.invalid", "2026-03-02T08:00:00Z")),
        ("a?at=2999-01-01T00:00:00Z", (400, "query.invalid", "in the future")),
        ("a?at=1&at=2", (400, "http.invalid", "goes with no other")),
        ("a?at=1&min_sequence=1", (400, "http.invalid", "goes with no other")),
        ("a?at=2001-01-01T00:00:00Z", (404, "query.view_missing", "after event 0")),
    ],
)
async def test_where_there_is_no_telling_the_answer_says_why(site, target, expected):
    async with site() as one:
        answer = await one.get(f"/v1/views/fines/{target}")
        assert expected[:2] == (answer.status_code, answer.json()["code"])
        assert expected[2] in json.dumps(answer.json())
        assert 404 == (await one.get("/v1/views/nobody/a?at=1")).status_code


async def test_another_tenants_past_is_not_seen(site):
    async with site([*A_LIFE, fine("a", 9, tenant="u")]) as one:
        assert [2, 9] == [(await past(one, 6, tenant=tenant)).json()["view"]["n"] for tenant in "tu"]
        assert 404 == (await past(one, 5, tenant="u")).status_code


async def test_what_it_may_take_is_bounded(site):
    async with site(query={"past_events": 3, "past": 1}) as one:
        assert 200 == (await past(one, 3)).status_code
        refused = await past(one, 4)
        assert (422, "past_events", 3) == (refused.status_code, refused.json()["limit"], refused.json()["value"])
        places = one.service.past._places
        places.take("t")
        busy = await past(one, 3)
        assert (429, "query.busy") == (busy.status_code, busy.json()["code"])
        places.give_back("t")
        assert 200 == (await past(one, 3)).status_code
        assert 0 == places.taken


async def test_a_log_that_has_lost_its_start_tells_no_past(site, nats_server, stream_name):
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        config = {"name": stream_name, "subjects": [f"{stream_name}.>"]}
        await nats.request(f"$JS.API.STREAM.CREATE.{stream_name}", json.dumps(config).encode())
        async with site() as one:
            await nats.request(f"$JS.API.STREAM.PURGE.{stream_name}", b'{"seq": 3}')
            answer = await past(one, 5)
            assert (410, "query.history_gone") == (answer.status_code, answer.json()["code"])
            assert "begins at 3" in answer.json()["detail"]
            await nats.request(f"$JS.API.STREAM.DELETE.{stream_name}", b"")
            answer = await past(one, 5)
            assert (503, "query.log_unavailable") == (answer.status_code, answer.json()["code"])


async def test_whoever_hangs_up_leaves_nothing_behind(site):
    async with site() as one:
        asking = asyncio.create_task(one.service.past.view("t", ViewType("fines"), ViewId("a"), "5"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert 0 == one.service.past._places.taken
        assert 200 == (await past(one, 5)).status_code


async def test_what_breaks_in_a_decision_or_behind_it_ends_neither_the_node_nor_other_answers(site, monkeypatch):
    """In the decision it is an answer, and nothing is decided; behind it, the view type halts with a word."""

    def breaks(*_: object) -> None:
        raise RuntimeError("it breaks here")

    order = {"view_type": "fines", "by": "alice", "sequence": 4, "tenant_id": "t", "view_id": "a"}
    async with site() as one:
        with monkeypatch.context() as faulty:
            faulty.setattr(Lane, "refold", breaks)
            assert 500 == (await one.post("/v1/operations/drop", order)).status_code
        assert [None] == [lane.halted for lane in one.node.lanes]
        monkeypatch.setattr(one.node.opener, "lane_on", breaks)
        await one.post("/v1/operations/drop", order)
        (lane,) = one.node.lanes
        assert lane.halted.message.startswith("a fault of projection itself while going on with view type fines")
        assert 200 == (await one.get("/health")).status_code
        assert 200 == (await one.get("/v1/views/fines/b")).status_code
