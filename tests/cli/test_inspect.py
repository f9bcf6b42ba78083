"""`projection inspect`: what is in a stream that nobody described, and the manifest that it drafts."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from datetime import UTC, datetime, timedelta

import cbor2
import msgspec
import pytest
import yaml
from command_support import projection, refused
from encoded import encoded, zstd

from projection.errors import EXIT_FAILED, EXIT_USAGE
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

TYPES = ("OrderPlaced", "OrderPaid")
MONTH = datetime(2026, 3, 1, 10, tzinfo=UTC)


def data(number: int) -> dict[str, object]:
    return {"order": f"o-{number % 7}", "amount": number + 0.25}


def at(number: int) -> datetime:
    return MONTH + timedelta(minutes=number)


def stamp(number: int) -> str:
    return at(number).isoformat().replace("+00:00", "Z")


def of(body: object, tail: str = "orders", headers: dict[str, str] | None = None) -> Outgoing:
    return Outgoing(tail, json.dumps(body).encode(), headers)


def cloud(number: int) -> dict[str, object]:
    name, order = TYPES[number % 2], f"o-{number % 7}"
    return {
        "specversion": "1.0",
        "type": name,
        "source": "/s",
        "subject": order,
        "id": f"e{number}",
        "time": stamp(number),
    }


def enveloped(number: int) -> dict[str, object]:
    return {
        "eventType": TYPES[number % 2],
        "streamId": f"o-{number % 7}",
        "timestamp": at(number).timestamp() + 0.25,
        "data": {**data(number), "lines": [{"sku": "s", "price": 0.5}], "raw": "x"},
    }


ENVELOPED = {
    "event_type": "body.eventType",
    "aggregate_id": "body.streamId",
    "timestamp": {"from": "body.timestamp", "as": "epoch_s"},
    "payload": "body.data",
}

# Of each kind, the messages by their number; and what is drafted.
KINDS = {
    "CloudEvents, structured": (lambda n: of({**cloud(n), "data": data(n)}), "cloudevents"),
    "CloudEvents, binary": (
        lambda n: of(data(n), headers={f"ce-{name}": str(value) for name, value in cloud(n).items()}),
        "cloudevents",
    ),
    "CloudEvents of tenants": (
        lambda n: of({**cloud(n), "tenantid": f"t{n % 3}", "data": data(n)}),
        {"format": "cloudevents", "tenant_id": "attribute.tenantid"},
    ),
    "the type in the subject": (
        lambda n: of({**data(n), "at": stamp(n)}, f"Order-{n % 7}.{TYPES[n % 2]}"),
        {
            "subjects": ["{stream}.Order-<id>.<event>"],
            "event_type": "subject.<event>",
            "aggregate_id": "subject.<id>",
            "timestamp": "body.at",
        },
    ),
    "a tenant and the type in the subject": (
        lambda n: of({**data(n), "at": stamp(n)}, f"t-{n // 2 % 2}.order.Order-{n % 7}.{TYPES[n % 2]}"),
        {
            "subjects": ["{stream}.<tenant>.order.Order-<id>.<event>"],
            "event_type": "subject.<event>",
            "aggregate_id": "subject.<id>",
            "timestamp": "body.at",
            "tenant_id": "subject.<tenant>",
        },
    ),
    "types of aggregates in the subject, with events of their own": (
        lambda n: of({**data(n), "at": stamp(n)}, f"{('order', 'payment')[n % 2]}.v1.o-{n % 7}.{TYPES[n % 2]}"),
        {
            "subjects": ["{stream}.*.v1.<id>.<event>"],
            "event_type": "subject.<event>",
            "aggregate_id": "subject.<id>",
            "timestamp": "body.at",
        },
    ),
    "types of aggregates just before the id, with the same events": (
        lambda n: of({**data(n), "at": stamp(n)}, f"{('order', 'cart')[n // 2 % 2]}.o-{n % 7}.{TYPES[n % 2]}"),
        {
            "subjects": ["{stream}.*.<id>.<event>"],
            "event_type": "subject.<event>",
            "aggregate_id": "subject.<id>",
            "timestamp": "body.at",
        },
    ),
    "metadata in headers": (
        lambda n: of(
            data(n),
            headers={
                "Event-Type": TYPES[n % 2],
                "Stream-Id": f"o-{n % 7}",
                "X-Tenant": f"t{n % 2}",
                "Nats-Msg-Id": f"m{n}",
                "Created": stamp(n),
            },
        ),
        {
            "event_type": "header.event-type",
            "aggregate_id": "header.stream-id",
            "timestamp": "header.created",
            "tenant_id": "header.x-tenant",
            "event_id": "header.nats-msg-id",
        },
    ),
    "an envelope with epoch milliseconds": (
        lambda n: of(
            {
                "id": n + 1,
                "eventType": TYPES[n % 2],
                "streamId": f"o-{n % 7}",
                "timestamp": int(at(n).timestamp() * 1_000),
                "data": data(n),
                "metadata": {"correlationId": f"c{n}"},
            }
        ),
        {
            "event_type": "body.eventType",
            "aggregate_id": "body.streamId",
            "timestamp": {"from": "body.timestamp", "as": "epoch_ms"},
            "payload": "body.data",
            "event_id": "body.id",
            "correlation_id": "body.metadata.correlationId",
        },
    ),
    "msgpack": (
        lambda n: Outgoing("orders", msgspec.msgpack.encode(enveloped(n)), None),
        {**ENVELOPED, "encoding": "msgpack"},
    ),
    "CBOR, compressed with zstd": (
        lambda n: Outgoing("orders", zstd.compress(cbor2.dumps(enveloped(n))), {"Content-Encoding": "zstd"}),
        {**ENVELOPED, "encoding": "cbor"},
    ),
    "JSON, compressed with gzip": (
        lambda n: of(enveloped(n), headers={"Content-Encoding": "gzip"})._replace(
            data=gzip.compress(json.dumps(enveloped(n)).encode())
        ),
        ENVELOPED,
    ),
    "CloudEvents, binary, msgpack": (
        lambda n: Outgoing(
            "orders",
            msgspec.msgpack.encode(data(n)),
            {f"ce-{name}": str(value) for name, value in cloud(n).items()} | {"Content-Type": "application/msgpack"},
        ),
        {"format": "cloudevents", "encoding": "msgpack"},
    ),
    "our own envelopes": (
        lambda n: of(
            {
                "event_type": TYPES[n % 2],
                "aggregate_type": "order",
                "aggregate_id": f"o-{n % 7}",
                "timestamp": stamp(n),
                "payload": data(n),
            }
        ),
        None,
    ),
}


def fill(url: str, stream: str, messages: list[Outgoing]) -> None:
    async def publish() -> None:
        async with await Nats.connect(NatsConnection(url)) as nats:
            await JetStream(nats).ensure_stream(stream, [f"{stream}.>"])
            await publish_all(nats, stream, [one._replace(subject=f"{stream}.{one.subject}") for one in messages])

    asyncio.run(publish())


@pytest.fixture
def where(nats_server, stream_name):
    return ("--url", nats_server.url, "--stream", stream_name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_draft_reads_the_stream_as_it_stands(kind, nats_server, stream_name, where, tmp_path):
    make, expected = KINDS[kind]
    fill(nats_server.url, stream_name, [make(number) for number in range(30)])
    ended = projection("inspect", *where, "--write", "draft", folder=tmp_path)
    assert 0 == ended.returncode, ended.stderr
    manifest = yaml.safe_load((tmp_path / "draft" / "manifest.yaml").read_text())
    wanted = json.loads(json.dumps(expected).replace("{stream}", stream_name))
    assert wanted == manifest.get("events")
    checked = projection("check", "draft", folder=tmp_path)
    assert 0 == checked.returncode, checked.stdout
    assert {"L604"} >= set(re.findall(r"warning\[(\w+)\]", checked.stdout))  # that nothing reads a field yet
    if expected is not None:
        ended = projection("dump", "dumped.jsonl", *where, folder=tmp_path)
        folded = projection("replay", "../dumped.jsonl", "--summary", folder=tmp_path / "draft")
        found = json.loads(folded.stdout)
        assert (30, 0, 0) == tuple(found[name] for name in ("events", "parked", "unhandled")), folded.stderr


def test_what_is_shown_are_places_and_counts_and_no_values(nats_server, stream_name, where, tmp_path):
    make, _ = KINDS["metadata in headers"]
    fill(nats_server.url, stream_name, [make(number) for number in range(30)])
    ended = projection("inspect", *where, folder=tmp_path, COLUMNS="120")
    assert f"stream {stream_name}: 30 messages, sequences 1 to 30; looked at 30" in ended.stdout
    assert "bodies: 30 JSON object" in ended.stdout
    assert ["header.event-type", "30", "text", "2"] in [line.split() for line in ended.stdout.splitlines()]
    assert ["body.amount", "30", "number", "30"] in [line.split() for line in ended.stdout.splitlines()]
    assert "o-1" not in ended.stdout
    assert "o-1" in projection("inspect", *where, "--values", folder=tmp_path).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_types_are_told_with_their_counts_and_sizes(kind, nats_server, stream_name, where, tmp_path):
    make, _ = KINDS[kind]
    messages = [make(number) for number in range(30) if number % 2 == 0 or number % 3 == 0]
    fill(nats_server.url, stream_name, messages)
    told = [line.split() for line in projection("inspect", *where, folder=tmp_path).stdout.splitlines()]
    sizes = [len(one.data) for one in messages]
    paid = sum(len(make(number).data) for number in range(3, 30, 6))
    assert ["OrderPlaced", "15", f"{sum(sizes) - paid:,}"] in told
    assert ["OrderPaid", "5", f"{paid:,}"] in told


@pytest.mark.parametrize("types", ["person", "many"])
def test_types_whose_names_may_be_data_are_counted_and_left_out(types, nats_server, stream_name, where, tmp_path):
    """CloudEvents whose types are not what types should be."""
    named = {"person": lambda n: f"ann{n % 3}@example.org" if n % 2 else "Paid", "many": lambda n: f"Paid{n}"}[types]
    fill(nats_server.url, stream_name, [of({**cloud(n), "type": named(n), "data": data(n)}) for n in range(400)])
    ended = projection("inspect", *where, "--write", "draft", folder=tmp_path, COLUMNS="200")
    if types == "person":
        assert "example.org" not in ended.stdout + (tmp_path / "draft" / f"{stream_name.lower()}.proj").read_text()
        assert "(3 whose names may be data)" in ended.stdout
        assert 0 == projection("check", "draft", folder=tmp_path).returncode
    else:
        assert "(400 whose names may be data)" in ended.stdout
        assert EXIT_USAGE == ended.returncode
        assert "may be data, and nothing was written" in ended.stderr
        assert "Paid7" in projection("inspect", *where, "--values", folder=tmp_path).stdout


@pytest.mark.parametrize("marked", [("event", "Command"), ("Domain-Event", "query"), (None, "command")])
def test_what_is_no_event_is_ignored_where_a_header_or_field_tells_it(
    marked, nats_server, stream_name, where, tmp_path
):
    """A place that is called `kind` holds no type of event then."""
    make, _ = KINDS["the type in the subject"]
    kinds = [marked[number % 3 == 2] for number in range(30)]
    in_headers = [make(n)._replace(headers=kind and {"Kind": kind}) for n, kind in enumerate(kinds)]
    in_bodies = [
        of({**json.loads(make(n).data), **({"messageType": kind} if kind else {})}, make(n).subject)
        for n, kind in enumerate(kinds)
    ]
    for number, (messages, place) in enumerate(((in_headers, "header.kind"), (in_bodies, "body.messageType"))):
        stream = f"{stream_name}{number}"
        fill(nats_server.url, stream, messages)
        ended = projection("inspect", *where[:3], stream, "--write", stream, folder=tmp_path)
        assert 0 == ended.returncode, ended.stderr
        events = yaml.safe_load((tmp_path / stream / "manifest.yaml").read_text())["events"]
        assert ({place: [marked[1]]}, "subject.<event>") == (events["ignore"], events["event_type"])


PEOPLE = ("ann@example.org", "bob@example.org")


def of_people(number: int) -> dict[str, object]:
    """An envelope whose payload has values and keys that nobody but the publisher may see."""
    people = {PEOPLE[number % 2]: {"paid": number}}
    payload = {"mail": PEOPLE[number // 2 % 2], "by_mail": people, "by_id": {f"customer-{number}": {"paid": number}}}
    return {**enveloped(number), "data": {**payload, "lines": [{"of": people}]}, "notes": people}


@pytest.mark.parametrize("arguments", [(), ("--values",)])
@pytest.mark.parametrize("make", [of_people, lambda number: {**of_people(number), "data": of_people(number)["notes"]}])
def test_values_and_keys_of_maps_are_shown_and_written_on_demand(
    arguments, make, nats_server, stream_name, where, tmp_path
):
    fill(nats_server.url, stream_name, [of(make(number)) for number in range(40)])
    ended = projection("inspect", *where, *arguments, "--write", "draft", folder=tmp_path, COLUMNS="200")
    assert 0 == ended.returncode, ended.stderr
    written = [path.read_text() for path in sorted((tmp_path / "draft").iterdir())]
    told = "\n".join([ended.stdout, *written])
    assert 2 == len(written)
    assert bool(arguments) == any(secret in told for secret in (*PEOPLE, "customer-"))
    if not arguments:
        assert ["body.notes", "40", "object", "(2", "keys)"] in [line.split() for line in ended.stdout.splitlines()]
    assert 0 == projection("check", "draft", folder=tmp_path).returncode


def test_messages_that_the_draft_cannot_read_are_counted_and_shown_on_demand(nats_server, stream_name, where, tmp_path):
    """A batch and an image among CloudEvents: to learn of them from the node, once they are parked, is late."""
    make, _ = KINDS["CloudEvents, structured"]
    image = {f"ce-{name}": str(value) for name, value in cloud(99).items()} | {"Content-Type": "image/jpeg"}
    odd = [
        Outgoing("orders", b"\xff\xd8\xff\xe0", image),
        of([cloud(1)], headers={"Content-Type": "application/cloudevents-batch+json"}),
    ]
    fill(nats_server.url, stream_name, [*map(make, range(98)), *odd])
    ended = projection("inspect", *where, "--write", "draft", folder=tmp_path, COLUMNS="200")
    assert "2 of 100 messages cannot be read by this, and a node would park them:" in ended.stdout
    assert "  D102 (2; the first is message 99)\n  --values shows why; where they are no events" in ended.stdout
    assert "protobuf" not in ended.stdout
    assert "image" not in ended.stdout
    shown = projection("inspect", *where, "--values", folder=tmp_path, COLUMNS="200").stdout
    assert "D102: the data of the CloudEvent is image/jpeg; JSON is read (1; the first is message 99)" in shown
    assert "(1; the first is message 100)" in shown


def test_what_makes_a_rebuild_unsafe_is_said(nats_server, stream_name, where, tmp_path):
    async def make() -> None:
        async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
            config = {"name": stream_name, "subjects": [f"{stream_name}.>"], "max_msgs_per_subject": 5}
            await nats.request(f"$JS.API.STREAM.CREATE.{stream_name}", json.dumps(config).encode())

    asyncio.run(make())
    fill(nats_server.url, stream_name, [of(data(1))])
    ended = projection("inspect", *where, folder=tmp_path)
    assert "max_msgs_per_subject=5: older messages of an aggregate are removed" in ended.stdout


@pytest.mark.parametrize(("sample", "expected"), [(1, [1]), (4, [1, 2, 29, 30]), (5, [1, 2, 3, 29, 30]), (100, 30)])
def test_a_sample_is_of_both_ends(nats_server, stream_name, where, tmp_path, sample, expected):
    fill(nats_server.url, stream_name, [of({"n": number}) for number in range(1, 31)])
    ended = projection("inspect", *where, "--sample", sample, "--values", folder=tmp_path, COLUMNS="200")
    count = expected if isinstance(expected, int) else len(expected)
    assert f"looked at {count}" in ended.stdout
    if isinstance(expected, list):
        (row,) = [line.split() for line in ended.stdout.splitlines() if line.startswith("body.n")]
        assert str(len(expected)) == row[3]
        assert [str(number) for number in expected[:3]] == [value.strip(",") for value in row[4:]]


def test_other_encodings_are_told(nats_server, stream_name, where, tmp_path):
    packed = gzip.compress(b"{}")
    bodies = [b"", b"plain", b"\xff\xfe\xfa", packed, msgspec.msgpack.encode({"a": 1}), b"[1]", b"{}", b"{}"]
    bodies += [cbor2.dumps({"a": 1}), b"\0\0\0\0\x07\x0a\x03o-1", zstd.compress(b"x")]
    under = [(packed, "gzip"), (zstd.compress(cbor2.dumps({})), "zstd"), (b"{}", "gzip"), (b"{}", "br")]
    messages = [Outgoing("x", body, None) for body in bodies]
    messages += [Outgoing("x", body, {"content-encoding": name}) for body, name in under]
    fill(nats_server.url, stream_name, messages)
    ended = projection("inspect", *where, folder=tmp_path, COLUMNS="200")
    for found in (
        *("1 empty", "1 text", "1 binary", "1 msgpack", "1 cbor", "1 JSON, no object", "2 JSON object"),
        *("1 gzip without a header content-encoding", "1 zstd without a header", "1 framed by a schema registry"),
        *("1 gzip of JSON object", "1 zstd of cbor", "1 damaged gzip", "1 compressed with br"),
    ):
        assert found in ended.stdout
    assert "not all bodies are objects of JSON" in ended.stdout
    assert "`event_type` is a guess" in ended.stdout
    assert "(a zero byte and the id of a schema) is not read" in ended.stdout


def test_what_protobuf_and_avro_take_is_said(nats_server, stream_name, where, tmp_path):
    order = {"order": "o-1\xff", "cents": 2**40, "lines": []}
    fill(nats_server.url, stream_name, [Outgoing("x", encoded("protobuf", order, "OrderPlaced"), None)] * 3)
    ended = projection("inspect", *where, folder=tmp_path, COLUMNS="200")
    assert "3 binary" in ended.stdout
    assert "encoding: {protobuf: {descriptors: FILE, messages: {EVENT_TYPE: package.Message}}}" in ended.stdout
    ended = projection("inspect", *where, "--write", "draft", folder=tmp_path)
    assert EXIT_USAGE == ended.returncode
    assert "nothing was written" in ended.stderr
    assert "descriptors" in ended.stderr


def test_what_cannot_be_done_is_said(nats_server, stream_name, where, tmp_path):
    refused(projection("inspect", *where, folder=tmp_path), EXIT_FAILED, stream_name)
    fill(nats_server.url, stream_name, [])
    refused(projection("inspect", *where, folder=tmp_path), EXIT_USAGE, "holds no message")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    refused(projection("inspect", *where, "--write", "full", folder=tmp_path), EXIT_USAGE, "full is not empty")
