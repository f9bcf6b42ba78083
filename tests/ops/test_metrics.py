"""Metrics: what is documented is exposed and nothing else, by Prometheus' conventions, and nothing from outside is a label."""

from __future__ import annotations

import asyncio
import json
import random
import re
from contextlib import AsyncExitStack

import httpx
import pytest
from ops_support import PROGRAM, ask_each_address, fine, served
from patience import WITHIN_S, eventually
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as classic

from projection.engine.health import Health
from projection.errors import StorageError
from projection.model.ids import ViewType
from projection.model.promotion import Gate
from projection.ops import metric_declarations as declared
from projection.ops.metric_declarations import Kind
from projection.store.audit import Author
from projection.store.lmdb_reader import LmdbLane

OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
FINES = ViewType("fines")
ALICE = Author("alice", "socket")
_ADDED = {"_bucket": {"le"}, "_sum": set(), "_count": set()}  # to the name and the labels of a histogram


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    return lambda events=(), **more: served(nats_server.url, stream_name, tmp_path, events, **more)


async def samples(one, parse=classic, accept=""):
    answer = await one.get("/metrics", None, accept=accept)
    assert 200 == answer.status_code, answer.text
    return [sample for family in parse(answer.text) for sample in family.samples]


async def values(one):
    """The numbers by name and by the values of the labels in the order of their names."""
    return {(one.name, *(one.labels[name] for name in sorted(one.labels))): one.value for one in await samples(one)}


def told(found):
    """The metrics in some samples: names to query by, with their labels."""
    histograms = {one.name for one in declared.OF_NODE if one.kind is Kind.HISTOGRAM}
    for sample in found:
        suffix = next((s for s in _ADDED if sample.name.removesuffix(s) in histograms), "")
        name = sample.name.removesuffix(suffix)
        yield name, frozenset(sample.labels.keys() - _ADDED.get(suffix, set()))


async def test_what_is_documented_is_exposed_and_nothing_else(site, tmp_path, monkeypatch):
    """`docs/metrics.md` is made from the declarations (tests/docs/test_docs_tables.py)."""
    events = [fine("a"), fine("b", -1), fine("b"), fine("c", event_type="Unheard"), b"no envelope"]
    found = set()
    async with AsyncExitStack() as opened:
        one = await opened.enter_async_context(
            site(events, backup={"directory": tmp_path / "backups"}, builds={"retire_after_h": 24})
        )
        with monkeypatch.context() as behind:
            behind.setattr(Health, "catch_up_s", 4.8)  # of a node that has not caught up, as test_pace has it
            found |= set(told(await samples(one)))
        assert 200 == (await one.post("/v1/operations/backup", {"by": "alice"})).status_code
        assert 404 == (await one.get("/v1/views/fines/nobody")).status_code
        await one.service.operations.rebuild(FINES, ALICE, Gate("manual"))
        await eventually(lambda: FINES in one.node.health.waiting)
        may_end = asyncio.Event()
        _, waits = one.service.long.tasks.begin("verify", "", ALICE, lambda _: may_end.wait())
        await one.site.jetstream.nats.publish(one.site.subject_of(fine("d")), b"", headers={"KV-Operation": "DEL"})
        await eventually(lambda: one.node.unhandled.markers)
        found |= set(told(await samples(one)))
        may_end.set()
        await waits
    wanted = {(one.sample, frozenset(one.labels)) for one in declared.OF_NODE}
    assert wanted == found


def test_names_follow_the_conventions_of_prometheus():
    everything = {*declared.OF_NODE, *declared.OF_SINK}
    assert len(everything) == len({one.name for one in everything}) == len({one.sample for one in everything})
    for one in everything:
        assert re.fullmatch(r"(projection|process)_[a-z]+(_[a-z]+)*", one.name), one
        assert not one.name.endswith(("_total", "_info", "_count", "_sum", "_bucket")), one
        assert one.unit in ("", "seconds", "bytes", "ratio"), one
        assert one.name.endswith(f"_{one.unit}") if one.unit else True, one
        assert one.unit or not re.search(r"_(ms|seconds|milliseconds|bytes|kib|mib|percent)(_|$)", one.name), one
        assert re.fullmatch(r".*\.", one.help), one
        assert all(re.fullmatch("[a-z]+(_[a-z]+)*", label) for label in one.labels), one
        assert {"le", "quantile"}.isdisjoint(one.labels), one


async def test_what_happens_is_counted(site, monkeypatch):
    async with site([fine("a"), fine("b", -1), fine("b"), fine("a", 2)]) as one:
        found = await values(one)
        assert (1, 0, 4, 1, 1, 0) == tuple(
            found[name]
            for name in (
                ("projection_ready",),
                ("projection_events_to_go",),
                ("projection_events_total",),
                ("projection_stream_up",),
                ("projection_build_serves", "1", "fines"),
                ("projection_lag_events", "1", "fines"),
            )
        )
        assert 4 == found["projection_folded_events_total", "1", "fines"]
        parked = {name[2:5]: value for name, value in found.items() if name[0] == "projection_parked_events"}
        assert {
            ("program", "R710", "parked"): 1.0,
            ("program", "P000", "parked"): 1.0,
            ("", "unrecorded", "skipped"): 0.0,
        } == parked
        hits, misses = (found[f"projection_view_cache_{what}_total", "1", "fines"] for what in ("hits", "misses"))
        assert (1, 2) == (hits, misses)  # of `b`, the second event waits and asks for nothing
        for stage in ("receive", "decode", "fold", "commit", "fsync"):
            assert found["projection_stage_seconds_count", stage] >= 1
        assert 4 == found["projection_batch_events_sum",]
        assert abs(found["projection_log_clock_offset_seconds",]) < 3_600  # one machine, however busy
        assert found["projection_store_bytes", "1", "fines"] >= found["projection_store_used_bytes", "1", "fines"] > 0
        fill = found["projection_store_map_fill_ratio", "1", "fines"]
        assert found["projection_store_bytes", "1", "fines"] == pytest.approx(
            fill * found["projection_store_map_bytes", "1", "fines"]
        )
        with one.node.lanes[0].store.snapshot():
            during = await values(one)
        assert 1 == during["projection_store_readers", "1", "fines"] - found["projection_store_readers", "1", "fines"]
        assert found["projection_disk_free_bytes",] <= found["projection_disk_size_bytes",]

        def broken(_):
            raise StorageError("the disk does not read")

        monkeypatch.setattr(LmdbLane, "figures", broken)
        after = await values(one)
        assert ("projection_store_bytes", "1", "fines") not in after
        assert after["projection_scanned_sequence", "1", "fines"] == 4


async def test_a_feed_that_is_opened_anew_is_counted(site):
    async with site([fine("a")]) as one:
        (reading,) = one.node._subscriptions.readings
        assert 0 == (await values(one))["projection_stream_reopenings_total",]
        await one.site.jetstream.delete_consumer(one.site.stream, reading.feed.consumer)
        await eventually(lambda: reading.feed.openings > 1)
        assert (await values(one))["projection_stream_reopenings_total",] >= 1


async def test_a_store_that_cannot_be_written_opens_its_circuit_and_a_commit_closes_it(site, monkeypatch):
    async with site([fine("a")]) as one:
        lane = one.node.lanes[0]
        before = await values(one)
        with monkeypatch.context() as faulty:
            faulty.setattr(lane.store, "commit", lambda *_: (_ for _ in ()).throw(StorageError("the disk is full")))
            publishing = asyncio.create_task(one.publish([fine("b")]))
            await eventually(lambda: one.node.health.committers[lane].breaker.trouble)
            during = await values(one)
        await publishing
        after = await values(one)
        name = ("projection_circuit_open", "1", "commit", "fines")
        assert [0, 1, 0] == [found[name] for found in (before, during, after)]
        assert after["projection_circuit_failures_total", "1", "commit", "fines"] >= 1


async def test_queries_are_counted_by_their_shape(site):
    async with site([fine(f"v{n}", n) for n in range(9)]) as one:
        asked = {
            "view": ["/v1/views/fines/v1", "/v1/views/fines/v2?min_sequence=1"],
            "ids": ["/v1/views/fines?id=v1&id=v2"],
            "index": ["/v1/views/fines?status=paid&sort=-balance"],
            "index_sorted": ["/v1/views/fines?status=paid"],
            "scan": ["/v1/views/fines?n=3"],
            "scan_sorted": ["/v1/views/fines?sort=n"],
            "past": ["/v1/views/fines/v1?at=2"],
        }
        for targets in asked.values():
            for target in targets:
                assert 200 == (await one.get(target)).status_code
        for target in ("/v1/views/fines/nobody", "/v1/views/nothing/v1", "/v1/views/fines?limit=999999"):
            assert (await one.get(target)).status_code >= 400
        found = await values(one)
        assert {shape: len(targets) for shape, targets in asked.items()} == {
            shape: found["projection_query_seconds_count", shape] for shape in asked
        }
        assert 9 == found["projection_query_examined_views_total", "scan"]
        assert {"query.view_missing": 1, "query.unknown_view_type": 1, "query.limit": 1} == {
            name[1]: value for name, value in found.items() if name[0] == "projection_query_failures_total"
        }


async def test_a_build_that_is_folded_anew_is_told_with_its_progress_and_its_program(site):
    async with site([fine("a"), fine("b")], builds={"retire_after_h": 24}) as one:
        await one.service.operations.rebuild(FINES, ALICE, Gate("manual"))
        await eventually(lambda: FINES in one.node.health.waiting)
        found = await samples(one)
        by_build = {
            name: {one.labels["build"]: one.value for one in found if one.name == f"projection_{name}"}
            for name in ("build_serves", "build_progress_ratio", "build_held", "build_info")
        }
        assert {
            "build_serves": {"1": 1, "2": 0},
            "build_progress_ratio": {"1": 1, "2": 1},
            "build_held": {"2": 1},
            "build_info": {"1": 1, "2": 1},
        } == by_build
        (digest,) = {one.labels["digest"] for one in found if one.name == "projection_build_info"}
        assert one.node.lanes[0].deployed.program.digest == digest
        assert {"unknown"} == {one.labels["commit"] for one in found if one.name == "projection_build_info"}


async def test_a_trace_that_is_recorded_is_an_exemplar_of_what_was_measured(site):
    traced = json.loads(fine("a")) | {"traceparent": TRACEPARENT}
    async with site([json.dumps(traced).encode()]) as one:
        await one.get("/v1/views/fines/a", traceparent=TRACEPARENT)
        found = await samples(one, open_metrics, OPEN_METRICS)
        with_exemplar = {
            (sample.name, sample.labels.get("stage")) for sample in found
            if sample.exemplar is not None and sample.exemplar.labels == {"trace_id": TRACE}
        }  # fmt: skip
        assert {
            *(("projection_stage_seconds_bucket", stage) for stage in ("decode", "fold", "commit", "fsync")),
            ("projection_commit_seconds_bucket", None),
            ("projection_http_request_seconds_bucket", None),
        } == with_exemplar
        assert TRACE not in (await one.get("/metrics", None)).text


@pytest.mark.parametrize(
    "traceparent",
    [f"00-{TRACE}-{SPAN}-00", "00-nonsense", f"00-{'0' * 32}-{SPAN}-01", 'x"} 1 # {trace_id="evil', "é" * 60],
    ids=["not sampled", "cut", "zeros", "hostile", "not ASCII"],
)
async def test_a_trace_that_is_not_recorded_or_none_is_no_exemplar(site, traceparent):
    traced = json.loads(fine("a")) | {"traceparent": traceparent}
    async with site([json.dumps(traced).encode()]) as one:
        if traceparent.isascii():
            await one.get("/v1/views/fines/a", traceparent=traceparent)
        assert not [sample for sample in await samples(one, open_metrics, OPEN_METRICS) if sample.exemplar]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html, nonsense;;,", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (OPEN_METRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text; version=x.y", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;q=0", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_the_format_is_the_one_that_the_client_accepts(site, accept, expected):
    async with site([fine("a")]) as one:
        answer = await one.get("/metrics", None, **({"accept": accept} if accept else {"accept": "*/*"}))
        assert (200, expected) == (answer.status_code, answer.headers["content-type"])
        is_open = "openmetrics" in expected
        assert is_open == answer.text.endswith("# EOF\n")
        assert int(is_open) == answer.text.count("# EOF")
        assert list((open_metrics if is_open else classic)(answer.text))


async def test_requests_of_each_address_are_counted_by_its_template(site):
    async with site([fine("a"), fine("b", -1)]) as one:
        asked = {path for _, path in await ask_each_address(one)}
        found = await values(one)
        counted = {name[1] for name in found if name[0] == "projection_http_requests_total"}
        assert asked <= counted
        assert {"/console/{path}", "/v1/status", "/v1/builds", "/v1/history/{view_type}", "/v1/log"} <= counted
        assert found["projection_http_requests_total", "none", "200"] == 1  # the OpenAPI document itself
        timed = {name[1] for name in found if name[0] == "projection_http_request_seconds_count"}
        assert counted == timed


HOSTILE = ['"', "\\", "\n", "{", "}", ",", "=", "# EOF", "é😀", " ", "le", "view_type"]
MARKER = "mArKeR"


async def test_nothing_that_comes_from_outside_becomes_a_label(site):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    def hostile():
        return MARKER + "".join(rng.choices(HOSTILE, k=3)) + MARKER

    def event():
        one = json.loads(fine(hostile(), rng.choice((1, -1)), event_type=rng.choice(("Put", hostile()))))
        more = {name: hostile() for name in ("correlation_id", "traceparent", "trace_id", "event_id")}
        return json.dumps(one | more | {"aggregate_type": rng.choice(("fine", f"{MARKER}x"))}).encode()

    async with site([fine("a"), fine("b", -1)]) as one:
        await one.get("/nowhere")
        await one.get("/v1/views/fines/nobody")
        await one.get("/v1/views/nothing/x")
        await one.get("/v1/views/fines?unknown=1")
        await one.send("BREW", "/health")
        names = {(sample.name, *sorted(sample.labels.items())) for sample in await samples(one)}
        await one.site.publish([event() for _ in range(30)], one.site.subject_of(fine("a")))
        await one.publish([fine("a", tenant=f"{MARKER}{n}") for n in range(9)])
        for n in range(20):
            quoted = httpx.URL("", params={"x": hostile()}).query.decode()[2:]
            await one.get(f"/{quoted}/x", traceparent=MARKER)
            await one.get(f"/v1/views/{quoted}/{quoted}", f"{MARKER}{n}")
            await one.get(f"/v1/views/fines/{quoted}", f"{MARKER}{n}")
            await one.get(f"/v1/views/fines?{quoted}=1", f"{MARKER}{n}")
            await one.send(MARKER.upper(), f"/health?{quoted}")
        for accept in ("", OPEN_METRICS):
            answer = await one.get("/metrics", None, accept=accept)
            assert MARKER.lower() not in answer.text.lower()
        after = {(sample.name, *sorted(sample.labels.items())) for sample in await samples(one)}
        new = {name for name in after - names if "_bucket" not in name[0]}
        assert len(new) <= 12, sorted(new)  # other codes of problems, and statuses of the same endpoints


async def test_what_a_tenant_is_erased_or_retried_of_is_parked_no_more(site):
    async with site([fine("a", -1), fine("a"), fine("b", -1)]) as one:
        choice = {"view_type": "fines", "by": "alice", "sequence": 1, "tenant_id": "t", "view_id": "a"}
        assert 200 == (await one.post("/v1/operations/drop", choice)).status_code
        found = {name[3]: value for name, value in (await values(one)).items() if name[0] == "projection_parked_events"}
        assert {"R710": 1, "unrecorded": 0} == {code: count for code, count in found.items() if count or code[0] == "u"}
        assert one.node.lanes[0].parked == 1


async def test_a_scrape_of_many_builds_lets_others_have_their_turn(site):
    programs = {f"p{n}": PROGRAM.replace("projection fines", f"projection p{n}") for n in range(8)}
    async with site([fine("a")], programs={"fines": PROGRAM, **programs}) as one:
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        async with asyncio.timeout(WITHIN_S):
            text, _ = await one.service.metrics.exposition()
        counting.cancel()
        assert text.count(b"projection_build_serves{") == 9
        assert turns > 30
