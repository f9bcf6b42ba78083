"""Traces of `projection run`, as an OTLP receiver sees them: whole, and of no harm where the receiver is of no use."""

from __future__ import annotations

import json
import re
import signal
import socket

import httpx
import pytest
from command_support import counted, deploy, eventually, fill, projection, refused, started
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context
from otlp_receiver import otlp_receiver
from patience import WITHIN_S

from projection import __version__
from projection.errors import EXIT_ABANDONED

NEVER = str(10**9)  # ms, for what would otherwise be sent in between
CLIENT, SERVER, PRODUCER, CONSUMER = 3, 2, 4, 5  # as OTLP writes kinds


def url_of(folder, node):
    """Where a node says that it serves."""

    def found():
        lines = [json.loads(line) for line in told(folder)]
        return next((line["url"] for line in lines if line["event"] == "serving"), None)

    eventually(found, node)
    return found()


def has_noted(url, sequence):
    """Whether the node itself knows that a commit up to there is stored, which its store tells before."""
    text = httpx.get(f"{url}/metrics", timeout=WITHIN_S).text
    return re.search(rf"^projection_scanned_sequence{{.*}} {sequence}(\.0)?$", text, re.MULTILINE) is not None


def told(folder):
    return [line for line in (folder / "stderr.txt").read_text().splitlines() if line.startswith("{")]


def propagated(span):
    carrier = {}
    inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]


def test_a_trace_from_a_producer_through_batch_and_commit_to_a_query_is_seen_whole(tmp_path, nats_server, stream_name):
    """All that the node has is sent when it stops."""
    deploy(tmp_path, stream=stream_name)
    with otlp_receiver() as receiver:
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces", timeout=WITHIN_S)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("a producer")
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=k",
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(int(WITHIN_S)),
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",  # nothing but what others have sampled
            "OTEL_BSP_SCHEDULE_DELAY": NEVER,
            "PROJECTION_NODE": "n1",
            "PROJECTION_STOP_TIMEOUT_S": str(int(WITHIN_S)),
        }
        at = ("--url", nats_server.url, "--stream", stream_name)
        with started("run", *at, folder=tmp_path, **variables) as node:
            url = url_of(tmp_path, node)
            with tracer.start_as_current_span("order", kind=SpanKind.SERVER):
                with tracer.start_as_current_span("publish", kind=SpanKind.PRODUCER) as publish:
                    events = [counted("x", event_id="e1", traceparent=propagated(publish)), counted("y")]
                    last = fill(nats_server.url, stream_name, events)
                with tracer.start_as_current_span("ask", kind=SpanKind.CLIENT) as ask:
                    answer = httpx.get(
                        f"{url}/v1/views/counter/x",
                        params={"min_sequence": last, "wait_ms": 20_000},
                        headers={"x-tenant-id": "a", "traceparent": propagated(ask)},
                        timeout=WITHIN_S,
                    )
            assert (200, {"total": 1}) == (answer.status_code, answer.json()["view"])
            before = {span.name for span in receiver.spans}
            node.send_signal(signal.SIGTERM)
            node.communicate(timeout=WITHIN_S)
            assert 0 == node.returncode, told(tmp_path)
    assert {"order", "publish", "ask"} == before
    (producer,) = receiver.named("publish")
    (event,) = receiver.named("process Counted")
    batch = next(span for span in receiver.named(f"process {stream_name}") if span.span_id == event.parent_id)
    (commit,) = receiver.named("commit counter")
    (query,) = receiver.named("GET /v1/views/{view_type}/{view_id}")
    asked = receiver.named("ask")[0]
    there = (producer.trace_id, producer.span_id)
    # the batch is a trace of the node's own, and knows where its event comes from
    assert [there] == batch.links == event.links
    assert "" == batch.parent_id
    assert {batch.trace_id} == {event.trace_id, commit.trace_id}
    assert batch.span_id == event.parent_id == commit.parent_id
    stages = [span.name for span in receiver.spans if span.parent_id == batch.span_id]
    assert sorted([f"fetch {stream_name}", "decode", "fold", event.name, commit.name]) == sorted(stages)
    # the query is a part of its client's trace, and knows the commit
    assert (asked.trace_id, asked.span_id) == (query.trace_id, query.parent_id)
    assert [(commit.trace_id, commit.span_id)] == query.links
    assert (PRODUCER, CONSUMER, CONSUMER, SERVER) == (producer.kind, batch.kind, event.kind, query.kind)
    assert producer.began <= event.began <= event.ended <= commit.began <= commit.ended
    assert batch.began <= event.began
    assert ("e1", 1) == (event.attributes["messaging.message.id"], event.attributes["projection.sequence"])
    told_of_node = {
        "service.name": "projection-node",
        "service.version": __version__,
        "service.instance.id": "n1",
    }
    assert told_of_node.items() <= batch.resource.items()
    assert "k" == {name.lower(): value for name, value in receiver.headers[-1].items()}["x-key"]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_receiver_that_is_away_or_hangs_holds_up_neither_the_node_nor_its_end(
    hangs, tmp_path, nats_server, stream_name
):
    deploy(tmp_path, stream=stream_name)
    last = fill(nats_server.url, stream_name, [counted("x"), counted("x")])
    with otlp_receiver(hangs=True) as receiver, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url if hangs else f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "100000" if hangs else "1",  # s
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "PROJECTION_STOP_TIMEOUT_S": "2" if hangs else str(int(WITHIN_S)),
        }
        at = ("--url", nats_server.url, "--stream", stream_name)
        with started("run", *at, folder=tmp_path, **variables) as node:
            url = url_of(tmp_path, node)
            eventually(lambda: httpx.get(f"{url}/ready").status_code == 200, node)
            asked = {"min_sequence": last, "wait_ms": 20_000}
            answer = httpx.get(
                f"{url}/v1/views/counter/x", params=asked, headers={"x-tenant-id": "a"}, timeout=WITHIN_S
            )
            assert (200, {"total": 2}) == (answer.status_code, answer.json()["view"])
            if hangs:
                eventually(receiver.asked.is_set, node)
            else:
                eventually(lambda: "traces cannot be exported" in "".join(told(tmp_path)), node)
            node.send_signal(signal.SIGTERM)
            node.communicate(timeout=WITHIN_S)
    # Where even two seconds were too short for a node that has nothing to store, the machine was slow.
    assert node.returncode in ((0, EXIT_ABANDONED) if hangs else (0,))
    log = [json.loads(line)["event"] for line in told(tmp_path)]
    assert 1 == log.count("the last traces were not exported" if hangs else "traces cannot be exported")
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', but a node can only export by http/protobuf",
        ),
    ],
)
def test_what_a_node_cannot_export_by_is_refused(variables, said, tmp_path):
    deploy(tmp_path)
    refused(projection("run", folder=tmp_path, **variables), 2, said, "hint: ")
    assert not (tmp_path / "data").exists()
