"""What the node tells those who look at it: its view types, builds, parked events, histories, and the end of the log."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest
from engine_support import TENANCY
from hypothesis import given
from hypothesis import strategies as st
from ops_support import PROGRAM, fine, served
from patience import eventually

from projection.engine.deployment import load_deployment
from projection.engine.recipes import recipe_of
from projection.engine.tally import COMBINED, KEPT, WINDOW, HotViews, Tally
from projection.model.ids import ViewType
from projection.model.manifest import Manifest
from projection.store.audit import BY_NODE, AuditRecord

FINES = ViewType("fines")
KEY = "a-key-for-tokens-of-32-bytes-or-more"
TOKENS = {"access": {"mode": "jwt", "secret": KEY, "algorithms": ["HS256"]}}
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3), fine("a", 5)]
FAILED_LINE = next(number for number, line in enumerate(PROGRAM.splitlines(), 1) if "fail(" in line)


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder."""
    return lambda events=EVENTS, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


def bearer(**claims):
    return {"authorization": "Bearer " + jwt.encode({"exp": time.time() + 600, **claims}, KEY, "HS256")}


async def told(one, target, tenant="t", status=200, **headers):
    answer = await one.get(target, tenant, **headers)
    assert status == answer.status_code, answer.text
    return answer.json()


async def test_the_status_says_how_far_each_build_is_and_what_it_holds(site):
    async with site() as one:
        found = await told(one, "/v1/status")
        assert (True, 5, {}) == (found["ready"], found["events"], found["troubles"])
        (fines,) = found["view_types"]
        (lane,) = fines["lanes"]
        assert ("fines", 1, False) == (fines["view_type"], fines["build"], fines["paused"])
        assert ("answers", 5, 2, 3, False) == tuple(
            lane[name] for name in ("state", "scanned", "views", "parked", "halted")
        )
        assert one.node.lanes[0].gas == lane["gas"] > 0


async def test_a_view_type_that_is_paused_or_rebuilt_says_so(site):
    async with site() as one:
        by = {"view_type": "fines", "by": "alice", "reason": "the move"}
        assert 200 == (await one.post("/v1/operations/rebuild", by | {"promote": "manual"})).status_code

        async def states():
            return [lane["state"] for lane in (await told(one, "/v1/status"))["view_types"][0]["lanes"]]

        await eventually(lambda: _is(states(), ["answers", "waits"]))
        assert 200 == (await one.post("/v1/operations/pause", by)).status_code
        (fines,) = (await told(one, "/v1/status"))["view_types"]
        assert (True, "the move") == (fines["paused"], fines["why"])


async def _is(asked, wanted):
    return wanted == await asked


async def test_those_who_only_read_see_no_numbers_of_others(site):
    async with site(http=TOKENS) as one:
        reader, operator = bearer(tenant_id="t", scope="read"), bearer(scope="operator")
        found = await told(one, "/v1/status", None, **reader)
        ((lane,),) = (view_type["lanes"] for view_type in found["view_types"])
        assert {"views", "parked", "gas", "why", "to_go"} == {name for name, value in lane.items() if value is None}
        assert found["events"] is found["troubles"] is None
        assert {"mode": "jwt", "tenants": True, "tenant_id": "t", "operator": False} == await told(
            one, "/v1/access", None, **reader
        )
        assert {"mode": "jwt", "tenants": True, "tenant_id": None, "operator": True} == await told(
            one, "/v1/access", None, **operator
        )
        for target in (
            "/v1/status/fines",
            "/v1/builds",
            "/v1/builds/fines/1",
            "/v1/plan",
            "/v1/audit",
            "/v1/parked/fines",
            "/v1/parked/fines/2?tenant_id=t&view_id=a",
            "/v1/log",
        ):
            assert "access.forbidden" == (await told(one, target, None, 403, **reader))["code"]
            assert "access.missing" == (await told(one, target, None, 401))["code"]
        assert 3 == len((await told(one, "/v1/parked/fines", None, **operator))["events"])
        assert 4 == len((await told(one, "/v1/history/fines?id=a", None, **reader))["events"])
        await told(one, "/v1/history/fines?id=a", None, 404, **bearer(tenant_id="another"))


async def test_the_details_name_the_handlers_that_use_gas_and_the_views_that_are_hot(site):
    many = [fine("hot", n) for n in range(300)] + [fine(f"v{n}", n) for n in range(30)]
    async with site(many) as one:
        found = await told(one, "/v1/status/fines")
        (lane,) = found["lanes"]
        (handler,) = lane["gas_by_handler"]
        assert (["Put"], one.node.lanes[0].gas) == (handler["events"], handler["gas"] + lane["routing_gas"])
        assert "on Put as e" in PROGRAM.splitlines()[handler["lines"][0] - 1]
        assert ("t", "hot") == (lane["hot_views"][0]["tenant_id"], lane["hot_views"][0]["view_id"])
        assert lane["hot_views"][0]["share"] > 0.5
        assert str(one.node.lanes[0].store.digest()) == lane["digest"]
        assert [{"by": "status, balance desc", "built": True}] == lane["indexes"]
        assert "query.unknown_view_type" == (await told(one, "/v1/status/nothing", status=404))["code"]


@given(
    st.lists(st.integers(0, 3 * KEPT), max_size=400).flatmap(
        lambda rare: st.tuples(st.just(rare), st.integers(len(rare) // KEPT + 2, 60), st.randoms(use_true_random=False))
    )
)
def test_a_view_with_more_than_its_share_is_found_whatever_the_others_are(drawn):
    rare, often, random = drawn
    looks = [("t", f"v{one}") for one in rare] + [("t", "hot")] * often
    random.shuffle(looks)
    views = HotViews()
    for target in looks:
        views.saw(target)
    found = {one.target: one.share for one in views.hottest(KEPT)}
    if often > len(looks) // (KEPT + 1) + 1:
        assert found[("t", "hot")] <= often / len(looks)


def test_handlers_that_run_together_are_told_apart_up_to_a_bound():
    tally, handlers = Tally(), [object() for _ in range(12)]
    combinations = [[one for place, one in enumerate(handlers) if number >> place & 1] for number in range(1, 2**12)]
    for combined in combinations:
        tally.add([(one, None) for one in combined], 1)
    assert COMBINED <= len(tally.by_handler()) <= COMBINED + len(handlers)
    assert len(combinations) == sum(one.gas for one in tally.by_handler())


def test_what_was_hot_long_ago_is_forgotten():
    views = HotViews()
    for n in range(20 * WINDOW):
        views.saw(("t", "then" if n < WINDOW else "now"))
    assert ["now"] == [target[1] for target, share in views.hottest(10) if share > 0.01]


async def test_builds_are_listed_with_what_they_take_and_shown_with_their_program(site):
    async with site() as one:
        await one.post("/v1/operations/rebuild", {"view_type": "fines", "by": "alice", "promote": "manual"})
        await eventually(lambda: len(one.node.lanes) == 2)
        found = (await told(one, "/v1/builds?view_type=fines"))["builds"]
        assert [1, 2] == [build["build"] for build in found]
        assert ("answers", 2, 3) == tuple(found[0][name] for name in ("state", "views", "parked"))
        assert found[0]["bytes"] > 0
        shown = await told(one, "/v1/builds/fines/1")
        assert (PROGRAM, 1) == (shown["program"], shown["record"]["build"])
        assert "query.unknown_view_type" == (await told(one, "/v1/builds/fines/7", status=404))["code"]
        assert "query.unknown_view_type" == (await told(one, "/v1/builds?view_type=no", status=404))["code"]


async def test_builds_are_listed_and_looked_into_while_they_are_folded_and_deleted(site):
    """No store is opened twice in one process: LMDB would not bear it."""
    async with site() as one:
        by = {"view_type": "fines", "by": "alice"}

        async def look():
            for _ in range(30):
                await told(one, "/v1/builds")
                await told(one, "/v1/status")

        looking = asyncio.create_task(look())
        for number in (2, 3):
            await one.post("/v1/operations/rebuild", by | {"promote": "manual"})
            await one.post("/v1/operations/delete", by | {"build": number})
        await looking
        assert 200 == (await one.get("/v1/views/fines/b")).status_code


@pytest.mark.parametrize(
    ("events", "folds", "rests_on"),
    [
        (EVENTS, "folds all views anew: events are parked or skipped in build 1", ""),
        ([fine("a", n) for n in range(5)], "folds anew only views that had events of these types: Put", "at most; "),
    ],
    ids=["all views", "some views"],
)
async def test_the_plan_says_what_a_reload_would_do_and_changes_nothing(site, tmp_path, events, folds, rests_on):
    manifest = tmp_path / "manifest.yaml"
    (tmp_path / "fines.proj").write_text(PROGRAM.replace("below zero", "too little").replace("e.n < 0", "e.n < -9"))
    async with site(events, manifest=manifest) as one:
        manifest.write_text(
            f"manifest: 1\nsubject_template: {one.site.template!r}\nviews:\n  fines: {{ program: fines.proj }}\n"
        )
        (step,) = (await told(one, "/v1/plan"))["steps"]
        assert ("fines", "folds anew", 5) == (step["view_type"], step["change"], step["events"])
        assert "the program" in step["why"]
        assert "only views that had events of these types can differ: Put" == step["reach"]
        assert folds == step["folds"]
        assert (None, None) == (step["seconds"], step["seconds_rest_on"]), "no build was measured yet"
        one.site.catalog.note(AuditRecord("switch", FINES, BY_NODE, {"build": 1, "events": 5_000, "seconds": 2.5}))
        (step,) = (await told(one, "/v1/plan"))["steps"]
        assert f"{rests_on}build 1 was folded at 2,000 events a second" == step["seconds_rest_on"]
        recipes = [recipe_of(each).encode() for each in load_deployment(Manifest.load(manifest), TENANCY)]
        asked = await one.post("/v1/operations/plan", {"recipes": recipes})
        assert (200, [step]) == (asked.status_code, asked.json()["steps"])
        assert [1] == [build.number for build in one.site.catalog.builds(FINES)]
        manifest.write_text("manifest: 1\nviews: [")
        assert "operation.refused" == (await told(one, "/v1/plan", status=409))["code"]


async def test_what_operators_did_is_told_the_latest_first(site):
    async with site() as one:
        for operation in ("pause", "resume"):
            await one.post(f"/v1/operations/{operation}", {"view_type": "fines", "by": "alice", "reason": "why not"})
        found = (await told(one, "/v1/audit?limit=2"))["records"]
        assert [("resume", "alice", "http"), ("pause", "alice", "http")] == [
            (record["operation"], record["author"]["name"], record["author"]["door"]) for record in found
        ]


async def test_parked_events_come_in_pages_each_once(site):
    events = [fine(f"v{n % 7}", -1, tenant=f"t{n % 3}") for n in range(40)]
    async with site(events) as one:
        found, cursor, pages = [], "", 0
        while cursor is not None:
            page = await told(one, f"/v1/parked/fines?limit=6{cursor and f'&cursor={cursor}'}")
            found += page["events"]
            cursor, pages = page["next"], pages + 1
        assert (40, 7) == (len({event["sequence"] for event in found}), pages)
        assert found == sorted(found, key=lambda event: (event["tenant_id"], event["view_id"], event["sequence"]))
        ours = await told(one, "/v1/parked/fines?tenant_id=t1")
        assert {"t1"} == {event["tenant_id"] for event in ours["events"]}
        held = await told(one, "/v1/parked/fines?code=P000&limit=100")
        assert {"P000"} == {event["code"] for event in held["events"]}
        assert 40 == len(held["events"]) + len((await told(one, "/v1/parked/fines?code=R710"))["events"])
        for cursor in ("!", "bGFuZTo", "cGFya2VkOg" * 90):
            assert "query.cursor_invalid" == (await told(one, f"/v1/parked/fines?cursor={cursor}", status=400))["code"]
        for wrong in ("limit=0", "limit=x", "limit=201", "else=1", "limit=1&limit=1"):
            assert "http.invalid" == (await told(one, f"/v1/parked/fines?{wrong}", status=400))["code"]


async def test_a_parked_event_is_shown_with_its_envelope_and_the_line_that_failed(site):
    async with site() as one:
        found = await told(one, "/v1/parked/fines/2?tenant_id=t&view_id=a")
        assert ("R710", "NEGATIVE: below zero") == (found["event"]["code"], found["event"]["message"])
        assert EVENTS[1].decode() == found["envelope"]
        (failed,) = (line for line in found["source"] if line["number"] == found["line"])
        assert PROGRAM.splitlines()[found["line"] - 1] == failed["text"]
        assert abs(FAILED_LINE - found["line"]) <= 1
        held = await told(one, "/v1/parked/fines/3?tenant_id=t&view_id=a")
        assert ("P000", None, []) == (held["event"]["code"], held["line"], held["source"])
        for target in ("2?tenant_id=t&view_id=", f"2?tenant_id={'x' * 201}"):
            assert "http.invalid" == (await told(one, f"/v1/parked/fines/{target}", status=400))["code"]
        for target in ("4?tenant_id=t&view_id=a", "2?tenant_id=t&view_id=b", "2?tenant_id=t", "x?tenant_id=t"):
            assert "http.not_found" == (await told(one, f"/v1/parked/fines/{target}", status=404))["code"]


async def test_the_history_of_a_view_says_what_each_event_did(site):
    async with site([fine("a", 1), fine("b", 9), fine("a", 2), fine("a", -1), fine("a", 3)]) as one:
        found = await told(one, "/v1/history/fines?id=a")
        assert [(1, "made"), (3, "changed"), (4, "parked"), (5, "waits")] == [
            (event["sequence"], event["outcome"]) for event in found["events"]
        ]
        changed = {change["path"]: (change["before"], change["after"]) for change in found["events"][1]["changes"]}
        assert (1, 2) == changed["n"]
        assert "R710" == found["events"][2]["reason"]["code"]
        assert (2, 5, True, 0) == (found["view"]["n"], found["at"], found["agrees"], found["left_out"])
        earlier = await told(one, "/v1/history/fines?id=a&at=2")
        assert (1, 2, None) == (earlier["view"]["n"], earlier["at"], earlier["agrees"])
        last = await told(one, "/v1/history/fines?id=a&limit=1")
        assert ([5], 3) == ([event["sequence"] for event in last["events"]], last["left_out"])
        assert "query.view_missing" == (await told(one, "/v1/history/fines?id=nobody", status=404))["code"]
        assert "query.not_fresh" == (await told(one, "/v1/history/fines?id=a&at=99", status=412))["code"]
        assert "query.invalid" == (await told(one, "/v1/history/fines?id=a&at=yesterday", status=400))["code"]
        for nobody in ("", "?id="):
            assert "http.invalid" == (await told(one, f"/v1/history/fines{nobody}", status=400))["code"]


async def test_a_history_reads_no_more_events_than_it_may(site):
    async with site([fine("a", n) for n in range(20)], query={"past_events": 5}) as one:
        problem = await told(one, "/v1/history/fines?id=a", status=422)
        assert ("query.limit", "past_events", 5) == (problem["code"], problem["limit"], problem["value"])


async def test_decimals_of_a_history_are_exact(site):
    async with site([fine("a", 1, balance=0.10), fine("a", 1, balance=0.30)]) as one:
        text = (await one.get("/v1/history/fines?id=a")).text
        assert '{"path":"balance","before":0.10,"after":0.30}' in text


async def test_the_end_of_the_log_is_read_backwards_with_what_is_no_event(site):
    async with site([fine("a", 1), fine("b", 2)]) as one:
        await one.publish([b"no event", fine("c", 3, tenant="other")])
        page = await told(one, "/v1/log?limit=3")
        assert ([4, 3, 2], 2, 1, 4) == (
            [event["sequence"] for event in page["events"]],
            page["before"],
            page["first"],
            page["last"],
        )
        last, broken, _ = page["events"]
        assert ("Put", "other", ["fines"]) == (last["event_type"], last["tenant_id"], last["handled_by"])
        assert fine("c", 3, tenant="other").decode() == last["body"]
        assert broken["event_type"] is None
        assert "JSON" in broken["problem"]
        rest = await told(one, f"/v1/log?limit=3&before={page['before']}")
        assert ([1], None) == ([event["sequence"] for event in rest["events"]], rest["before"])
