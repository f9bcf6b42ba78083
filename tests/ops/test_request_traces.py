"""Spans of requests, by a node that is asked; and the door to all traces: what the log tells of the exporter."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from ops_support import ask_each_address, fine, served
from patience import WITHIN_S, eventually
from structlog.testing import capture_logs

from projection.errors import ConfigurationError
from projection.ops.http.admission import PROBES
from projection.ops.tracing.choice import secret_headers, wants_traces
from projection.ops.tracing.exporting import NodeTracing, _LastWords, _Told
from projection.ops.tracing.spans import MAX_TEXT

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
VIEW = "/v1/views/{view_type}/{view_id}"


@pytest.fixture
async def traced(nats_server, stream_name, tmp_path, monkeypatch):
    """A node that answers requests, and the spans that it exports."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    exporter = InMemorySpanExporter()
    with NodeTracing.open("n1", stream_name, exporter) as tracing:
        tracing.left_s = WITHIN_S
        events = [fine("a", traceparent=PARENT), fine("b")]
        async with served(nats_server.url, stream_name, tmp_path, events, tracing=tracing) as one:

            def requests():
                tracing._provider.force_flush()
                return [span for span in exporter.get_finished_spans() if span.kind is SpanKind.SERVER]

            yield one, requests, exporter


async def test_a_request_is_a_span_by_the_conventions_in_the_trace_of_its_client(traced):
    one, requests, exporter = traced
    await one.get("/v1/views/fines/a?min_sequence=1", traceparent=PARENT)
    await eventually(requests)
    (span,) = requests()
    port = int(one.url.rpartition(":")[2])
    assert f"GET {VIEW}" == span.name
    assert {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": VIEW,
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.path": "/v1/views/fines/a",
        "url.scheme": "http",
        "projection.tenant": "t",
    } == span.attributes
    assert (TRACE_ID, True) == (span.context.trace_id, span.parent.is_remote)
    commits = {one.context.span_id for one in exporter.get_finished_spans() if one.name == "commit fines"}
    assert {link.context.span_id for link in span.links} <= commits
    assert span.links


@pytest.mark.parametrize(
    "header", [None, "garbage", PARENT.upper(), PARENT + "-more", PARENT.replace("-b7ad6b7169203331-", f"-{'0' * 16}-")]
)
async def test_a_parent_that_is_none_is_ignored(traced, header):
    one, requests, _ = traced
    await one.get("/v1/views/fines/a", **({} if header is None else {"traceparent": header}))
    await eventually(requests)
    (span,) = requests()
    assert (None, True) == (span.parent, span.context.trace_id != TRACE_ID)


async def test_two_parents_are_none(traced):
    one, requests, _ = traced
    await one.http.get(f"{one.url}/v1/views/fines/a", headers=[("traceparent", PARENT)] * 2 + [("x-tenant-id", "t")])
    await eventually(requests)
    assert [None] == [span.parent for span in requests()]


async def test_each_kind_of_request_is_named_by_its_route_and_probes_are_left_out(traced):
    one, requests, _ = traced
    for probe in ("/health", "/ready", "/metrics"):
        await one.get(probe)
    await one.get("/v1/views/fines/nobody")
    await one.get(f"/nowhere/{'%C3%A4' * MAX_TEXT}")
    await one.get("/v1/views/fines?status=paid")
    await one.post("/v1/query", {"view": "fines"})
    await one.send("HEAD", "/v1/views/fines/a", tenant="t")
    await one.send("DELETE", "/v1/catalog", tenant="t")
    await eventually(lambda: len(requests()) >= 6)
    told = [
        (span.name, span.attributes["http.response.status_code"], len(span.links), span.status.is_ok)
        for span in requests()
    ]
    assert [
        (f"GET {VIEW}", 404, 0, True),
        ("GET", 404, 0, True),
        ("GET /v1/views/{view_type}", 200, 1, True),
        ("POST /v1/query", 200, 1, True),
        (f"HEAD {VIEW}", 200, 1, True),
        ("DELETE", 405, 0, True),
    ] == [("DELETE" if name.startswith("DELETE") else name, *rest) for name, *rest in told]
    assert all(len(span.attributes["url.path"]) <= MAX_TEXT for span in requests())


async def test_requests_of_each_address_are_spans_by_its_template(traced):
    one, requests, _ = traced
    asked = await ask_each_address(one)
    wanted = {f"{method} {path}" for method, path in asked if path not in PROBES}
    await eventually(lambda: wanted <= {span.name for span in requests()})


async def test_a_method_that_is_none_has_no_name_of_its_own(traced):
    one, requests, _ = traced
    scope = {"method": "BREW" * 100, "path": "/", "scheme": "http", "http_version": "1.1", "headers": [], "state": {}}
    one.service.traces.answered(scope, None, None, 405, 0.0)
    (span,) = requests()
    assert ("HTTP", "_OTHER") == (span.name, span.attributes["http.request.method"])
    assert MAX_TEXT == len(span.attributes["http.request.method_original"])


async def test_an_answer_that_is_a_fault_of_the_node_is_an_error(traced, monkeypatch):
    one, requests, _ = traced
    monkeypatch.setattr(type(one.service.queries), "view", None)
    assert 500 == (await one.get("/v1/views/fines/a")).status_code
    await eventually(requests)
    (span,) = requests()
    assert ("500", False) == (span.attributes["error.type"], span.status.is_ok)


# the exporter


class Exporter(InMemorySpanExporter):
    """Fails as long as it is told to."""

    fails = True

    def export(self, spans):
        return SpanExportResult.FAILURE if self.fails else super().export(spans)


def test_the_log_tells_once_that_traces_cannot_be_exported_and_once_that_they_are_again():
    exporter = Exporter()
    told = _Told(exporter)
    with capture_logs() as log:
        for exporter.fails in (True, True, True, False, False, True):
            told.export([object()])
    events = [(line["event"], line.get("lost_spans")) for line in log]
    cannot = ("traces cannot be exported", None)
    assert [cannot, ("traces are exported again", 3), cannot] == events


def test_what_an_address_holds_behind_its_path_is_not_told():
    import logging

    words = _LastWords()
    words.emit(logging.makeLogRecord({"msg": "refused with url: /v1/traces?key=secret (Caused by 'x')", "levelno": 30}))
    assert "refused with url: /v1/traces?… (Caused by 'x')" == words.text


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            True,
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
    ],
)
def test_the_standard_variables_say_whether_traces_are_exported(variables, wanted):
    assert wanted == wants_traces(variables)


def test_a_variable_that_the_library_cannot_use_ends_the_start_with_its_name_and_a_way_out(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with pytest.raises(ConfigurationError, match="a variable OTEL_… of the environment cannot be used") as refused:
        NodeTracing.open("n1", "events", InMemorySpanExporter())
    assert "OTEL_TRACES_EXPORTER=none" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_TRACES_SAMPLER", "parentbased_ratio", "parentbased_ratio"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon", "OTEL_BSP_SCHEDULE_DELAY"),
        ("OTEL_RESOURCE_ATTRIBUTES", "region", "region"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key-of-a-collector", "a list such as name=value"),
    ],
)
def test_a_value_that_the_library_would_replace_by_one_of_its_own_ends_the_start(name, value, said, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigurationError, match=f"a variable OTEL_… of the environment cannot be used: .*{said}"
    ) as it:
        NodeTracing.open("n1", "events", None if "HEADERS" in name else InMemorySpanExporter())
    assert "key-of-a-collector" not in it.value.message


def test_a_share_that_is_no_number_ends_the_start(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1%")
    with pytest.raises(ConfigurationError, match="SAMPLER_ARG"):
        NodeTracing.open("n1", "events", InMemorySpanExporter())


@pytest.mark.parametrize(
    ("sampler", "described"),
    [("", "root:AlwaysOnSampler,"), ("parentbased_traceidratio", "root:TraceIdRatioBased{1.0},")],
)
def test_an_empty_variable_is_none(sampler, described, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    for name in ("OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.setenv(name, "")
    with NodeTracing.open("n1", "events", InMemorySpanExporter()) as tracing:
        tracing.left_s = WITHIN_S
        assert described in tracing._provider.sampler._otherwise.get_description()


def test_what_spans_are_sent_with_is_a_secret_of_the_log():
    variables = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=of%20the-collector, x=YWxpY2U6c2VjcmV0==,x-scope-orgid=north",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "no-pair-of-words",
    }
    wanted = {"of%20the-collector", "of the-collector", "YWxpY2U6c2VjcmV0==", "no-pair-of-words"}
    assert wanted == {*secret_headers(variables)}
    assert [] == secret_headers({})
