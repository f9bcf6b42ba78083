"""Health, readiness, metrics and the log: what operators see, and that nobody sees a secret."""

from __future__ import annotations

import asyncio
import json
import time

import jwt
import pytest
from engine_support import envelope
from held_feed import HeldFeed
from ops_support import fine, served
from patience import eventually
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from projection.errors import StorageError, StreamError
from projection.model.settings import Settings
from projection.stream.feed import JetStreamFeed

SECRET = "0123456789abcdef-of-the-gateway"
KEY = "a-key-for-tokens-of-32-bytes-or-more"
GATEWAY = {"access": {"mode": "header", "secret": SECRET}}


async def numbers(one, **headers):
    answer = await one.get("/metrics", None, **headers)
    assert 200 == answer.status_code
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_health_says_that_the_process_answers(one):
    assert '{"status":"ok"}' == (await one.get("/health", None)).text


async def test_ready_says_whether_the_node_follows_the_log_and_why_not(one, monkeypatch):
    assert {"ready": True, "troubles": {}} == (await one.get("/ready", None)).json()
    (reading,) = one.node._subscriptions.readings
    monkeypatch.setattr(type(reading), "trouble", StreamError("the server is away"))  # what the feed tells goes by
    answer = await one.get("/ready", None)
    assert (503, {"ready": False, "troubles": {"stream": "the server is away"}}) == (answer.status_code, answer.json())
    assert 200 == (await one.get("/v1/views/fines/a")).status_code


async def test_a_node_that_catches_up_says_how_many_events_are_to_go(nats_server, stream_name, tmp_path, monkeypatch):
    feed = HeldFeed(monkeypatch)
    events, few = [fine("a")] * 300, {"batch": 100}
    async with served(nats_server.url, stream_name, tmp_path, events, settles=False, back_pressure=few) as one:
        await eventually(lambda: feed.first and one.node.health.events_to_go == 300 - feed.first)
        left = 300 - feed.first
        answer = await one.get("/ready")
        assert (503, left) == (answer.status_code, answer.json()["events_to_go"])
        assert {"view type fines": f"it is catching up with the log: {left} events to go"} == answer.json()["troubles"]
        found = await numbers(one)
        assert (0, left) == (found[("projection_ready",)], found[("projection_events_to_go",)])
        assert found[("projection_lag_seconds", "1", "fines")] >= 0
        feed.go_on()
        await eventually(lambda: one.node.is_ready)
        answer = await one.get("/ready")
        assert (200, {"ready": True, "troubles": {}}) == (answer.status_code, answer.json())
        assert 0 == (await numbers(one))[("projection_events_to_go",)]


async def test_a_node_that_has_heard_nothing_is_not_ready_and_its_lag_grows(
    nats_server, stream_name, tmp_path, monkeypatch
):
    monkeypatch.setattr(JetStreamFeed, "is_heard", False)
    async with served(nats_server.url, stream_name, tmp_path, settles=False) as one:
        words = {"view type fines": "nothing has been received from the stream yet"}
        await eventually(lambda: words == one.node.health.unready())
        answer = await one.get("/ready")
        assert (503, words) == (answer.status_code, answer.json()["troubles"])
        lag = ("projection_lag_seconds", "1", "fines")
        first = (await numbers(one))[lag]

        async def grows():
            return (await numbers(one))[lag] > first

        await eventually(grows)
        monkeypatch.setattr(JetStreamFeed, "is_heard", True)
        await eventually(lambda: one.node.is_ready)


async def test_metrics_count_what_no_program_handles_and_what_is_no_event(one):
    before = await numbers(one)
    assert 0 == before[("projection_unhandled_total",)]
    await one.publish([fine("a"), envelope("Nobody", {}), envelope("Nobody", {})])
    await one.site.nats.publish(one.site.subject_of(fine("a")), b"", headers={"KV-Operation": "DEL"})
    await eventually(lambda: one.node.unhandled.count == 3)
    found = await numbers(one)
    assert 3 == found[("projection_unhandled_total",)]
    assert {1.0} == {count for name, count in found.items() if name[0] == "projection_passed_over_total"}


async def test_why_it_is_not_ready_is_for_operators(nats_server, stream_name, tmp_path):
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=GATEWAY) as one:
        assert {"ready": True} == (await one.get("/ready", None)).json()
        assert {"ready": True} == (await one.get("/ready", None, x_projection_secret=SECRET)).json()
        operator = {"x_projection_secret": SECRET, "x_projection_scopes": "operator"}
        assert {"ready": True, "troubles": {}} == (await one.get("/ready", None, **operator)).json()


async def test_metrics_count_what_the_node_and_its_server_do(one):
    await one.publish([fine("a", -1)])
    for _ in range(3):
        await one.get("/v1/views/fines/a")
    await one.get("/v1/views/fines/nobody")
    await one.get("/nowhere/at/all")
    found = await numbers(one)
    assert (1, 14, 14, 13, 1, 0) == tuple(
        found[name]
        for name in (
            ("projection_ready",),
            ("projection_events_total",),
            ("projection_scanned_sequence", "1", "fines"),
            ("projection_views", "1", "fines"),
            ("projection_parked_events", "1", "R710", "fines", "parked", "program"),
            ("projection_halted", "1", "fines"),
        )
    )
    assert found["projection_lag_seconds", "1", "fines"] < 10**6
    assert found["projection_gas_total", "1", "fines"] > 0
    assert (
        2
        <= found["projection_commit_seconds_count", "1", "fines"]
        == found["projection_commit_seconds_bucket", "+Inf", "1", "fines"]
    )
    endpoint = "/v1/views/{view_type}/{view_id}"
    assert 3 == found["projection_http_requests_total", "/v1/views/{view_type}/{view_id}", "200"]
    assert 1 == found["projection_http_requests_total", endpoint, "404"]
    assert 1 == found["projection_http_requests_total", "404", "none"]
    assert 4 == found["projection_http_request_seconds_count", endpoint]
    assert found[("process_resident_memory_bytes",)] > 0


async def test_no_text_of_a_request_becomes_a_label(one):
    for n in range(30):
        await one.get(f"/marker{n}/x")
        await one.get(f"/v1/views/marker{n}/marker", f"marker{n}")
        await one.get(f"/v1/views/fines?marker{n}=1", f"marker{n}")
        await one.send("MARKER", f"/health?marker{n}")
    answer = await one.get("/metrics")
    assert "marker" not in answer.text.lower()
    assert len(answer.text.splitlines()) < 500


async def test_metrics_are_for_operators(nats_server, stream_name, tmp_path):
    access = {"access": {"mode": "jwt", "secret": KEY, "algorithms": ["HS256"]}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=access) as one:

        def bearer(**claims):
            return {"authorization": "Bearer " + jwt.encode({"exp": time.time() + 60, **claims}, KEY, "HS256")}

        refused = [
            await one.get("/metrics", None),
            await one.get("/metrics", None, **bearer(tenant_id="t", scope="read")),
        ]
        assert [(401, "access.missing"), (403, "access.forbidden")] == [
            (answer.status_code, answer.json()["code"]) for answer in refused
        ]
        assert 1 == (await numbers(one, **bearer(scope="operator")))[("projection_ready",)]
        assert 200 == (await one.get("/v1/views/fines/a", None, **bearer(tenant_id="t"))).status_code
        for target in ("/v1/views/fines/a", "/v1/views/fines", "/v1/catalog", "/v1/changes?view=fines"):
            answer = await one.get(target)
            assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
        answer = await one.post("/v1/query", {"view": "fines"})
        assert (401, "access.missing") == (answer.status_code, answer.json()["code"])


async def test_a_store_that_cannot_be_read_is_told_without_its_place(one, monkeypatch):
    def broken(*_):
        raise StorageError("/var/data/fines/1/0 cannot be read: I/O error")

    monkeypatch.setattr(one.service.queries, "view_now", broken)
    answer = await one.get("/v1/views/fines/a")
    assert (503, "storage", "1") == (answer.status_code, answer.json()["code"], answer.headers["retry-after"])
    assert "/var" not in answer.text


async def test_an_error_that_nobody_meant_is_logged_with_the_id_that_is_told(one, monkeypatch):
    def broken(*_):
        raise RuntimeError("about the insides")

    monkeypatch.setattr(one.service.queries, "view_now", broken)
    with capture_logs() as logged:
        answer = await one.get("/v1/views/fines/a")
    problem = answer.json()
    assert (500, "internal") == (answer.status_code, problem["code"])
    assert "insides" not in answer.text
    told = next(line for line in logged if line.get("doing") == "answering a request")
    assert problem["request_id"] == told["request_id"] == answer.headers["x-request-id"]
    assert "about the insides" in told["error"]
    assert "raise RuntimeError" in told["at"]
    assert 200 == (await one.get("/health")).status_code


async def test_a_request_is_logged_without_what_was_asked(one):
    with capture_logs() as logged:
        await one.get("/v1/views/fines?status=paid&by=marker", x_request_id="r1")
        await one.get("/health")
    (line,) = logged
    assert ("r1", "/v1/views/fines", 200, "t") == tuple(
        line[name] for name in ("request_id", "path", "status", "tenant")
    )
    assert "marker" not in str(line)


async def test_requests_need_not_be_logged(nats_server, stream_name, tmp_path):
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http={"access_log": False}) as one:
        with capture_logs() as logged:
            await one.get("/v1/views/fines/a")
    assert not [line for line in logged if line["event"] == "request"]


async def test_no_secret_is_shown_anywhere(nats_server, stream_name, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    inline, in_file = GATEWAY["access"], {"mode": "header", "secret_file": tmp_path / "secret"}
    shown = []
    with capture_logs() as logged:
        for number, access in enumerate((inline, in_file)):
            settings = Settings(http={"access": access})
            shown += [repr(settings), str(settings), settings.model_dump_json(), repr(settings.http.access.secret)]
            name = f"{stream_name}{number}"
            async with served(nats_server.url, name, tmp_path / name, [fine("a")], http={"access": access}) as one:
                known = {"x_projection_secret": SECRET, "x_projection_scopes": "operator"}
                wrong = {"x_projection_secret": SECRET[:-1] + "!", "authorization": f"Bearer {SECRET}"}
                for headers in (known, wrong):
                    for target in ("/metrics", "/ready", "/v1/views/fines/a", "/v1/views/fines?x=1", "/openapi.json"):
                        answer = await one.get(target, **headers)
                        shown += [answer.text, str(answer.headers)]
                    shown.append((await one.post("/v1/query", {}, **headers)).text)
                shown += [repr(one.service), str(vars(one.service.access))]
    shown.append(str(logged))
    assert [] == [text for text in shown if SECRET[:-1] in text]
    with pytest.raises(ValueError, match="not shown") as caught:
        Settings(http={"access": {"mode": "header", "secret": "hunter2"}})
    assert "hunter2" not in str(caught.value)


async def test_numbers_are_read_while_a_view_type_has_halted(nats_server, stream_name, tmp_path):
    events = [fine("a"), fine("a", -1)]
    entry = {"on_error": "halt"}
    async with served(nats_server.url, stream_name, tmp_path, events[:1], entry=entry) as one:
        halting = asyncio.create_task(one.site.publish(events[1:]))
        await eventually(lambda: one.node.lanes[0].halted)
        await halting
        assert 1 == (await numbers(one))["projection_halted", "1", "fines"]
        assert "halted" in json.dumps((await one.get("/ready")).json())
