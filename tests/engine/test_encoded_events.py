"""Streams of other encodings than JSON, and compressed ones, read by a node: the same views, and what cannot be read."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import cbor2
import msgspec
import pytest
import yaml
from encoded import COMPRESSIONS, DESCRIPTORS, ENCODINGS, MESSAGES, encoded, write_schemas, zstd
from engine_support import TENANCY
from hypothesis import given, settings
from hypothesis import strategies as st
from node_support import contents_of
from test_described_events import publish, recorded

from projection.engine.deployment import load_deployment, recipe
from projection.engine.event import event_reader
from projection.engine.lane import Lane
from projection.engine.recipes import recipe_differences
from projection.engine.replay import Replay
from projection.lang.values.numbers import EXACT
from projection.model.event_format.encodings import compressed
from projection.model.event_format.headers import headers_block
from projection.model.manifest import Manifest
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.deployment import DeployedView

ORDERS = """\
proj 1
projection orders

type Float { float: decimal }
type Line { sku: string(60), quantity: int }
event OrderPlaced { order: string(60), cents?: int, price?: Float, lines: list<Line>(50) = [] }
event OrderPaid { order: string(60), cents: int }

view Order { total: decimal(2), paid: decimal(2) = 0.00, skus: list<string(60)>(50) = [], on?: date }

on OrderPlaced as e to e.order => {
  total: if e.price == none then div(e.cents ?? 0, 100, 2, "half_up") else round(e.price.float, 2, "half_up"),
  skus: [line.sku for line in e.lines if line.quantity != 0], on: meta.date
}
on OrderPaid as e updates e.order => view with { paid += div(e.cents, 100, 2, "half_up") }
"""
AT = "2026-03-01T10:00:00Z"
PLACED, PAID = {"order": "o-1", "cents": 1250, "lines": [{"sku": "TEA", "quantity": 2}]}, {"order": "o-1", "cents": 250}
BROKEN = b"\xc1\xff"  # in each encoding
VIEW = {"total": 12.50, "paid": 2.50, "skus": ["TEA"], "on": "2026-03-01"}


def deploy(folder: Path, manifest: str, stream: str = "", program: str = ORDERS) -> tuple[DeployedView, ...]:
    folder.mkdir(exist_ok=True)
    (folder / "orders.proj").write_text(program)
    write_schemas(folder)
    (folder / "manifest.yaml").write_text(manifest.replace("{stream}", stream))
    return load_deployment(Manifest.load(folder / "manifest.yaml"), TENANCY)


def headers(kind: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "at": AT, **more}


# Of each kind: the manifest, two messages, each with the end of its subject, and one that does not fit.
STREAMS: dict[str, tuple[str, list[tuple[str, bytes, Any]], bytes]] = {
    "msgpack": (
        """\
manifest: 1
events:
  event_type: body.type
  timestamp: { from: body.at, as: epoch_s }
  payload: body.data
  encoding: msgpack
views:
  orders: { program: orders.proj }
""",
        [
            ("x", msgspec.msgpack.encode({"type": kind, "at": 1_772_359_200.0, "data": data}), None)
            for kind, data in (
                ("OrderPlaced", {"order": "o-1", "price": 12.499999999999998, "lines": PLACED["lines"]}),
                ("OrderPaid", PAID),
            )
        ],
        msgspec.msgpack.encode({"type": "OrderPaid", "at": 0, "data": {"order": "o-1", "cents": 2.5}}),
    ),
    "protobuf": (
        """\
manifest: 1
events:
  subjects: ["{stream}.<event>"]
  event_type: subject.<event>
  timestamp: header.at
  encoding: { protobuf: { descriptors: shop.binpb, messages: { OrderPlaced: shop.v1.OrderPlaced, OrderPaid: shop.v1.OrderPaid } } }
views:
  orders: { program: orders.proj }
""",
        [
            ("OrderPlaced", encoded("protobuf", PLACED, "OrderPlaced"), {"at": AT}),
            ("OrderPaid", encoded("protobuf", PAID, "OrderPaid"), {"at": AT}),
        ],
        MESSAGES["OrderPaid"](order="o-1" * 30).SerializeToString(),
    ),
    "gzip": (
        """\
manifest: 1
events:
  event_type: body.type
  timestamp: body.at
  payload: body.data
views:
  orders: { program: orders.proj }
""",
        [
            (
                "x",
                gzip.compress(json.dumps({"type": kind, "at": AT, "data": data}).encode()),
                {"Content-Encoding": "gzip"},
            )
            for kind, data in (("OrderPlaced", PLACED), ("OrderPaid", PAID))
        ],
        gzip.compress(json.dumps({"type": "OrderPaid", "at": AT, "data": {"order": 1}}).encode()),
    ),
}


@pytest.mark.parametrize("kind", STREAMS)
async def test_an_unprepared_stream_becomes_views(site, kind):
    manifest, messages, _ = STREAMS[kind]
    assert len(manifest.splitlines()) <= 10
    deployed = deploy(site.folder / "manifest", manifest, site.stream)
    await publish(site, messages)
    _, found = await site.catch_up(deployed)
    views, parked, scanned, _ = found["orders"]
    assert ([], 2) == (parked, scanned)
    ((_, data),) = views
    assert VIEW == json.loads(data)


@pytest.mark.parametrize("kind", STREAMS)
async def test_what_was_recorded_folds_to_the_same_bytes(site, kind):
    """What cannot be read, and what does not fit, is parked as it came, and so is what waits behind it."""
    manifest, messages, misfit = STREAMS[kind]
    tail, _, more = messages[-1]
    deployed = deploy(site.folder / "manifest", manifest, site.stream)
    await publish(site, [*messages, (tail, BROKEN, more), (tail, misfit, more), messages[-1]])
    async with site.node(deployed) as node:
        await node.run(until_caught_up=True)
        live, digest = contents_of(node), {lane.view_type: str(lane.store.digest()) for lane in node.lanes}
    codes = [one.code for one in live["orders"][1]]
    assert ["D101", "D105"] == codes[:2]
    assert {BROKEN, misfit} <= {one.envelope for one in live["orders"][1]}
    replay = Replay(deployed, TENANCY)
    replay.run(await recorded(site, deployed))
    assert live == contents_of(replay)
    assert digest == replay.digests()


async def test_what_was_parked_compressed_is_read_again(site):
    """Its header is kept, though no part of an event is taken from one."""
    manifest, messages, _ = STREAMS["gzip"]
    deployed = deploy(site.folder / "manifest", manifest)
    paid, placed = messages[1], messages[0]
    await publish(site, [paid, placed])
    _, found = await site.catch_up(deployed)
    first, second = found["orders"][1]
    assert (("R705", (("content-encoding", "gzip"),)), "P000") == ((first.code, first.headers), second.code)


def test_an_empty_message_that_does_not_fit_is_parked(tmp_path):
    """A message of protobuf whose fields all have their defaults has no byte."""
    manifest, _, _ = STREAMS["protobuf"]
    (deployed,) = deploy(tmp_path, manifest.replace("OrderPaid: shop.v1.OrderPaid", "OrderPaid: shop.v1.Line"), "s")
    lane = Lane(deployed, MemoryLaneStore())
    reader = event_reader(deployed.entry, deployed.tenancy)
    lane.apply(reader.read(Message(1, "s.OrderPaid", b"", "1", "", headers_block({"at": AT}))))
    lane.commit(None)
    assert ["D105"] == [one.code for one in lane.store.parked()]


def test_what_differs_between_schemas_is_told_by_their_digests(tmp_path):
    """And not by all that the files hold."""
    manifest, recipes = STREAMS["protobuf"][0], []
    for name in ("one", "other"):
        deploy(tmp_path / name, manifest, "s")
        if recipes:
            (tmp_path / name / "shop.binpb").write_bytes(DESCRIPTORS + DESCRIPTORS.replace(b"shop", b"more"))
        (one,) = load_deployment(Manifest.load(tmp_path / name / "manifest.yaml"), TENANCY)
        recipes.append(recipe(one.entry, one.program, one.tenancy))
    (told,) = recipe_differences(*recipes).values()
    before, after = re.findall(r'"descriptors": "(sha256:[0-9a-f]{16})"', told)
    assert before != after
    assert len(told) < 700


async def test_a_node_without_the_library_halts_and_says_which(site, monkeypatch):
    """Two nodes may not differ in what they park by what is installed."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="backports")

    manifest, messages, _ = STREAMS["gzip"]
    deployed = deploy(site.folder / "manifest", manifest)
    body = zstd.compress(gzip.decompress(messages[0][1]))
    await publish(site, [messages[0], ("x", body, {"Content-Encoding": "zstd"})])
    with monkeypatch.context() as patched:
        patched.setattr(compressed, "import_module", missing)
        async with site.node(deployed) as node:
            await node.run(until_caught_up=True)
            (lane,) = node.lanes
            assert "pip install 'projection-node[zstd]'" in str(lane.halted)
    _, found = await site.catch_up(deployed)
    assert (1, [], 2) == (len(found["orders"][0]), found["orders"][1], found["orders"][2])


# --- all encodings, compressions and mappings -------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
LINES = st.lists(st.fixed_dictionaries({"sku": TEXTS, "quantity": st.integers(-(2**63), 2**63 - 1)}), max_size=3)
CENTS = st.integers(-(2**50), 2**50)
NAMES = st.from_regex("[A-Za-z0-9_-]{1,20}", fullmatch=True)  # which may stand in headers and in subjects as they are
ORDER_IDS = st.sampled_from(["o-1", "ö 🚀"]) | TEXTS  # some of them again, so that what is placed is paid
TENANTS = st.sampled_from(["north", "south"]) | NAMES
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - UTC is added


class Happened(NamedTuple):
    """An event, in no form yet."""

    kind: str
    data: dict[str, Any]
    id: str
    tenant: str
    event_id: str
    at: datetime

    @property
    def as_rfc_3339(self) -> str:
        return self.at.isoformat().replace("+00:00", "Z")

    @property
    def as_epoch_us(self) -> int:
        return (self.at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


EVENTS = st.lists(
    st.builds(
        lambda placed, *more: Happened(*placed, *more),
        st.tuples(st.just("OrderPlaced"), st.fixed_dictionaries({"order": ORDER_IDS, "cents": CENTS, "lines": LINES}))
        | st.tuples(st.just("OrderPaid"), st.fixed_dictionaries({"order": ORDER_IDS, "cents": CENTS})),
        *(NAMES, TENANTS, NAMES, TIMES),
    ),
    min_size=1,
    max_size=4,
)
# Of each mapping, what a manifest says besides the encoding; `inside` takes one schema for all types.
MAPPINGS: dict[str, dict[str, Any]] = {
    "headers": {
        "event_type": "header.kind",
        "aggregate_id": "header.id",
        "timestamp": "header.at",
        "tenant_id": "header.tenant",
        "event_id": "header.event-id",
    },
    "inside": {
        "event_type": "body.kind",
        "aggregate_id": "body.id",
        "timestamp": "body.at",
        "tenant_id": "body.tenant",
        "event_id": "body.event",
        "payload": "body.data",
    },
    "subject": {
        "subjects": ["shop.<tenant>.Order-<id>.<event>.v1"],
        "event_type": "subject.<event>",
        "aggregate_id": "subject.<id>",
        "timestamp": {"from": "header.at", "as": "epoch_us"},
        "tenant_id": "subject.<tenant>",
        "event_id": "header.nats-msg-id",
    },
    "CloudEvents, binary": {"format": "cloudevents", "tenant_id": "attribute.tenant"},
    "CloudEvents, structured": {"format": "cloudevents", "tenant_id": "attribute.tenant"},
}


@pytest.fixture(scope="module")
def deployments(tmp_path_factory):
    """Of each encoding, a deployment for each mapping; and the envelope of no manifest, which knows no other encoding."""
    folder, found = tmp_path_factory.mktemp("encodings"), {}
    for name, (outside, inside) in ENCODINGS.items():
        for mapping, parts in MAPPINGS.items():
            events = {**parts, "encoding": inside if mapping == "inside" else outside}
            manifest = {"manifest": 1, "events": events, "views": {"orders": {"program": "orders.proj"}}}
            found[name, mapping] = deploy(folder, yaml.safe_dump(manifest))
    found["json", "envelope"] = deploy(folder, "manifest: 1\nviews: { orders: { program: orders.proj } }\n")
    return found


def message(sequence: int, one: Happened, encoding: str, mapping: str, compression: str | None) -> Message:
    """An event as a publisher of this kind makes a message of it."""
    more = {} if compression is None else {"Content-Encoding": compression}
    subject, attributes = "shop.orders", {"specversion": "1.0", "source": "", "type": one.kind, "id": one.event_id}
    attributes |= {"subject": one.id, "time": one.as_rfc_3339, "tenant": one.tenant}
    data = {"lines": [], **one.data}
    match mapping:
        case "headers":
            body = encoded(encoding, one.data, one.kind)
            more |= {"kind": one.kind, "id": one.id, "at": one.as_rfc_3339, "tenant": one.tenant}
            more |= {"Event-Id": one.event_id}
        case "inside":
            parts = {"kind": one.kind, "id": one.id, "at": one.as_rfc_3339, "tenant": one.tenant, "event": one.event_id}
            body = encoded(encoding, parts | {"data": data}, "Message")
        case "subject":
            body, subject = encoded(encoding, one.data, one.kind), f"shop.{one.tenant}.Order-{one.id}.{one.kind}.v1"
            more |= {"at": str(one.as_epoch_us), "Nats-Msg-Id": one.event_id}
        case "CloudEvents, binary":
            body = encoded(encoding, one.data, one.kind)
            more |= {f"ce-{name}": value for name, value in attributes.items()}
            more |= {"Content-Type": f"application/{encoding}"}
        case "CloudEvents, structured":
            as_base64 = b64encode(encoded(encoding, one.data, one.kind)).decode()
            carried = {"data": one.data} if encoding == "json" else {"data_base64": as_base64}
            typed = {"datacontenttype": f"application/{encoding}"}
            body = json.dumps({**attributes, **typed, **carried}).encode()
            more |= {"Content-Type": "application/cloudevents+json"}
        case _:
            parts = {"event_type": one.kind, "aggregate_type": "", "aggregate_id": one.id, "tenant_id": one.tenant}
            parts |= {"timestamp": one.as_rfc_3339, "event_id": one.event_id, "payload": one.data}
            body, compression, more = json.dumps(parts).encode(), None, {}
            subject = f"tenant.{one.tenant}.aggregate.%-.{one.id}"
    return Message(sequence, subject, COMPRESSIONS[compression](body), "1", "", headers_block(more))


@pytest.mark.property
@pytest.mark.parametrize("turn", range(len(COMPRESSIONS)))
@settings(max_examples=40)
@given(events=EVENTS)
def test_events_in_every_encoding_and_mapping_are_one_fold(deployments, turn, events):
    """The same envelopes, and so the same views and the same digest; in turn, each combination in each compression."""
    found = {}
    for place, ((encoding, mapping), (deployed,)) in enumerate(deployments.items()):
        compression = [*COMPRESSIONS][(place + turn) % len(COMPRESSIONS)]
        reader, lane, envelopes = event_reader(deployed.entry, deployed.tenancy), Lane(deployed, MemoryLaneStore()), []
        placed: set[tuple[str, str]] = set()
        with localcontext(EXACT):
            for number, one in enumerate(events, 1):
                event = reader.read(message(number, one, encoding, mapping, compression))
                assert event.envelope is not None, (event.error, event.no_event)
                payload = {"lines": [], **json.loads(bytes(event.envelope.payload))}
                envelopes.append(
                    Happened(
                        event.envelope.event_type,
                        payload if one.kind == "OrderPlaced" else {k: v for k, v in payload.items() if k != "lines"},
                        event.envelope.aggregate_id,
                        event.tenant_id,
                        event.envelope.event_id,
                        event.meta.time,
                    )
                )
                order = one.tenant, one.data["order"]
                placed |= {order} if one.kind == "OrderPlaced" else set()
                if order in placed:  # else it is parked, and what is parked differs in its bytes
                    lane.apply(event)
            lane.commit(None)
        assert [] == list(lane.store.parked())
        assert events == envelopes, (encoding, mapping, compression)
        found[encoding, mapping] = str(lane.store.digest()), list(lane.store.scan(None, lane.view_type))
    first = found["json", "headers"]
    assert all(first == one for one in found.values())


DECIMALS = """\
proj 1
projection orders

event OrderPlaced { amount: decimal(6) }

view Order { amount: decimal(6), aggregate: string(100) }

on OrderPlaced as e to meta.aggregate_id => { amount: e.amount, aggregate: meta.aggregate_id }
"""
AMOUNTS = st.decimals(-(10**9), 10**9, places=6) | st.decimals(-(10**9), 10**9, places=1)


@pytest.fixture(scope="module")
def with_decimals(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("decimals"), {}
    for encoding in ("json", "cbor"):
        events = {**MAPPINGS["inside"], "encoding": encoding}
        manifest = {"manifest": 1, "events": events, "views": {"orders": {"program": "orders.proj"}}}
        (found[encoding],) = deploy(folder, yaml.safe_dump(manifest), program=DECIMALS)
    return found


@pytest.mark.property
@settings(max_examples=40)
@given(events=st.lists(st.tuples(AMOUNTS, TEXTS, TIMES), min_size=1, max_size=4))
def test_decimals_and_ids_of_any_text_are_one_fold_in_json_and_cbor(with_decimals, events):
    """The encodings that have exact fractions keep every digit; an id in a body is any text."""
    found = {}
    for encoding, deployed in with_decimals.items():
        reader, lane = event_reader(deployed.entry, deployed.tenancy), Lane(deployed, MemoryLaneStore())
        with localcontext(EXACT):
            for number, (amount, aggregate_id, at) in enumerate(events, 1):
                parts = {"kind": "OrderPlaced", "id": aggregate_id, "at": at.isoformat(), "tenant": "a", "event": "e"}
                body = {**parts, "data": {"amount": amount}}
                data = (
                    cbor2.dumps(body)
                    if encoding == "cbor"
                    else msgspec.json.Encoder(decimal_format="number").encode(body)
                )
                event = reader.read(Message(number, "shop.orders", data, "1"))
                assert event.error is None, event.error
                lane.apply(event)
            lane.commit(None)
        assert [] == list(lane.store.parked())
        found[encoding] = str(lane.store.digest()), list(lane.store.scan(None, lane.view_type))
    assert found["json"] == found["cbor"]
    last = {aggregate_id: amount for amount, aggregate_id, _ in events}
    read = [msgspec.json.decode(one, type=dict[str, msgspec.Raw]) for _, one in found["json"][1]]
    assert last == {msgspec.json.decode(one["aggregate"]): Decimal(bytes(one["amount"]).decode()) for one in read}
