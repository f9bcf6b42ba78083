"""Streams that others publish to, described in the manifest: read by a node, recorded, folded again, decided about."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from engine_support import TENANCY
from node_support import contents_of, folded
from patience import WITHIN_S

from projection.engine.adoption import adopt
from projection.engine.deployment import load_deployment
from projection.engine.lane import Lane
from projection.engine.replay import Replay
from projection.engine.sharing import Sharing
from projection.history.logs import StreamLog
from projection.model.envelope import Tenancy
from projection.model.manifest import Manifest
from projection.model.settings import BackPressure
from projection.store.catalog import Catalog
from projection.store.memory import MemoryLaneStore
from projection.stream.publisher import Outgoing, publish_all
from projection.stream.recorded import recorded_line

if TYPE_CHECKING:
    from pathlib import Path

    from node_support import Site

    from projection.engine.deployment import DeployedView

ORDERS = """\
proj 1
projection orders

event OrderPlaced { order: string, amount: decimal(2) }
event OrderPaid { order: string, amount: decimal(2) }

view Order { amount: decimal(2), paid: decimal(2) = 0.00, on: date, by: string = "" }

on OrderPlaced as e creates e.order => { amount: e.amount, on: meta.date, by: meta.aggregate_id }
on OrderPaid as e updates e.order => view with { paid += e.amount }
"""
PLACED, PAID = {"order": "o-1", "amount": 12.50}, {"order": "o-1", "amount": 2.50}
AT = "2026-03-01T10:00:00Z"
EPOCH_MS = 1_772_359_200_000
VIEW = {"amount": 12.50, "paid": 2.50, "on": "2026-03-01"}


def deploy(folder: Path, events: Any, program: str = ORDERS, tenancy: Tenancy = TENANCY) -> tuple[DeployedView, ...]:
    folder.mkdir(exist_ok=True)
    (folder / "orders.proj").write_text(program)
    views = {"orders": {"program": "orders.proj"}}
    (folder / "manifest.json").write_text(json.dumps({"manifest": 1, "events": events, "views": views}))
    return load_deployment(Manifest.load(folder / "manifest.json"), tenancy)


def cloud(name: str, data: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": name,
        "source": "/shop",
        "subject": "o-1",
        "id": "1",
        "time": AT,
        "data": data,
    }


def in_body(body: object, tail: str = "o-1", headers: dict[str, str] | None = None) -> tuple[str, bytes, Any]:
    return tail, json.dumps(body).encode(), headers


# Of each kind: what the manifest says, and the two messages, each with the end of its subject.
KINDS: dict[str, tuple[Any, list[tuple[str, bytes, Any]]]] = {
    "CloudEvents, structured": (
        "cloudevents",
        [in_body(cloud("OrderPlaced", PLACED)), in_body(cloud("OrderPaid", PAID))],
    ),
    "CloudEvents, binary": (
        "cloudevents",
        [
            in_body(
                data,
                headers={
                    "Content-Type": "application/json",
                    "ce-specversion": "1.0",
                    "ce-type": name,
                    "ce-source": "/shop",
                    "ce-subject": "o-1",
                    "ce-id": "1",
                    "ce-time": AT,
                },
            )
            for name, data in (("OrderPlaced", PLACED), ("OrderPaid", PAID))
        ],
    ),
    "bare JSON, the type in the subject": (
        {
            "subjects": ["{stream}.<id>.<event>"],
            "event_type": "subject.<event>",
            "aggregate_id": "subject.<id>",
            "timestamp": "body.at",
        },
        [in_body({**PLACED, "at": AT}, "o-1.OrderPlaced"), in_body({**PAID, "at": AT}, "o-1.OrderPaid")],
    ),
    "an envelope with its metadata in headers": (
        {"event_type": "header.event-type", "aggregate_id": "header.stream-id", "timestamp": "header.created"},
        [
            in_body(data, headers={"Event-Type": name, "Stream-Id": "o-1", "Created": AT})
            for name, data in (("OrderPlaced", PLACED), ("OrderPaid", PAID))
        ],
    ),
    "an envelope with epoch milliseconds and a version": (
        {
            "event_type": "body.eventType",
            "aggregate_id": "body.streamId",
            "timestamp": {"from": "body.timestamp", "as": "epoch_ms"},
            "payload": "body.data",
            "ignore": {"body.version": ["0"]},
        },
        [
            in_body({"eventType": "OrderPaid", "streamId": "o-1", "version": 0, "timestamp": 1, "data": PAID}),
            in_body(
                {"eventType": "OrderPlaced", "streamId": "o-1", "version": 1, "timestamp": EPOCH_MS, "data": PLACED}
            ),
            in_body({"eventType": "OrderPaid", "streamId": "o-1", "version": 2, "timestamp": EPOCH_MS, "data": PAID}),
        ],
    ),
}


async def publish(site: Site, messages: list[tuple[str, bytes, Any]]) -> None:
    outgoing = [Outgoing(f"{site.stream}.{tail}", data, headers) for tail, data, headers in messages]
    await publish_all(site.nats, site.stream, outgoing)


def of_stream(described: Any, site: Site) -> Any:
    return json.loads(json.dumps(described).replace("{stream}", site.stream))


async def recorded(site: Site, deployed: tuple[DeployedView, ...]) -> list[bytes]:
    """The stream as lines of a file."""
    lines = []
    async for batch in StreamLog(site.nats, site.stream, "test").read(deployed[0], [f"{site.stream}.>"], 0):
        lines += [recorded_line(event.message) for event in batch]
    return lines


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unprepared_stream_becomes_views(site, kind):
    described, messages = KINDS[kind]
    deployed = deploy(site.folder / "manifest", of_stream(described, site))
    await publish(site, messages)
    _, found = await site.catch_up(deployed)
    views, parked, scanned, _ = found["orders"]
    assert ([], len(messages)) == (parked, scanned)
    ((_, data),) = views
    view = json.loads(data)
    assert "o-1" == view.pop("by")
    assert VIEW == view


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_recorded_folds_to_the_same_bytes(site, kind):
    """Views, what is parked and skipped, and so the digest, where some messages cannot be taken."""
    described, messages = KINDS[kind]
    tail, _, headers = messages[-1]
    broken = (tail, b"{", headers)
    misfit = (tail, messages[-1][1].replace(b"2.5", b'"2.5"'), headers)
    deployed = deploy(site.folder / "manifest", of_stream(described, site))
    await publish(site, [*messages, broken, misfit, messages[-1]])
    async with site.node(deployed) as node:
        await node.run(until_caught_up=True)
        live, digest = contents_of(node), {lane.view_type: str(lane.store.digest()) for lane in node.lanes}
    replay = Replay(deployed, TENANCY)
    replay.run(await recorded(site, deployed))
    assert 3 == len(live["orders"][1])  # and one that waits behind them
    assert live == contents_of(replay)
    assert digest == replay.digests()


async def test_what_was_parked_is_read_again_with_its_headers_and_its_time(site):
    """A corrected program takes what waits; type and time of these events are in no body."""
    described = {"event_type": "header.event-type", "aggregate_id": "header.id"}
    strict = ORDERS.replace("decimal(2) }", "decimal(2), note: string }", 1)
    deployed = deploy(site.folder / "manifest", described, strict)
    headers = {"id": "o-9", "other": "is not kept"}
    await publish(
        site,
        [
            in_body(PLACED, headers={**headers, "Event-Type": "OrderPlaced"}),
            in_body(PAID, headers={**headers, "Event-Type": "OrderPaid"}),
        ],
    )
    _, found = await site.catch_up(deployed)
    first, second = found["orders"][1]
    assert (("event-type", "OrderPlaced"), ("id", "o-9")) == first.headers
    assert "P000" == second.code
    corrected = deploy(site.folder / "manifest", described)
    with Catalog.open(site.data) as catalog:
        adopt(catalog, corrected[0])
    _, found = await site.catch_up(corrected)
    ((_, data),) = found["orders"][0]
    assert {"amount": 12.50, "paid": 2.50, "by": "o-9"} == {k: v for k, v in json.loads(data).items() if k != "on"}
    assert [] == found["orders"][1]


async def test_the_tenant_of_a_message_that_cannot_be_read_is_known_from_outside(site):
    described = {
        "subjects": [f"{site.stream}.<tenant>.<event>"],
        "event_type": "subject.<event>",
        "tenant_id": "subject.<tenant>",
        "payload": "body.data",
    }
    deployed = deploy(site.folder / "manifest", described)
    await publish(site, [("north.OrderPlaced", b"{", None), ("south.OrderPlaced", b'{"data":{}}', None)])
    _, found = await site.catch_up(deployed)
    assert [("north", "D101"), ("south", "D105")] == [(one.tenant_id, one.code) for one in found["orders"][1]]
    off = deploy(site.folder / "manifest", described, tenancy=Tenancy(enabled=False))
    async with site.node(off, new_build=True) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        (new,) = (lane for lane in node.lanes if lane.build == 2)  # it waits: it parks for other tenants
        assert ["", ""] == [one.tenant_id for one in new.store.parked()]


async def test_messages_of_other_subjects_and_those_that_are_ignored_are_counted_and_told_once(site, logged):
    described = {
        "subjects": [f"{site.stream}.Order-<id>"],
        "event_type": "header.type",
        "ignore": {"header.kind": ["command"]},
    }
    deployed = deploy(site.folder / "manifest", described)
    order = {"type": "OrderPlaced"}
    await publish(
        site,
        [
            in_body(PLACED, "Order-1", order),
            in_body(PLACED, "Customer-1", order),
            in_body(PLACED, "Customer-2", order),
            in_body(PLACED, "Order-2", {**order, "kind": "command"}),
        ],
    )
    async with site.node(deployed) as node:
        await node.run(until_caught_up=True)
        assert {"of another subject": 2, "ignored": 1} == node.unhandled.markers
        (lane,) = node.lanes
        views, parked, scanned, applied = folded(lane.store, lane.view_type)
    assert (1, [], 4, 1) == (len(views), parked, scanned, applied)
    told = [(line["kind"], line["log_level"], line["hint"]) for line in logged if "kind" in line]
    assert [
        ("of another subject", "warning", "no template of `subjects` in the manifest has this subject"),
        ("ignored", "info", "`ignore` in the manifest says so"),
    ] == told


def test_a_description_is_part_of_the_fold_s_identity(tmp_path):
    (one,), (other,) = (deploy(tmp_path, described) for described in ("cloudevents", {"event_type": "body.type"}))
    (same,) = deploy(tmp_path, {"format": "cloudevents"})
    assert one.fold_identity == same.fold_identity != other.fold_identity


async def test_another_description_folds_a_new_build_beside_the_one_that_reads_by_the_former(site):
    """Each build goes on with what its recipe says, and they share no reading."""
    former, corrected = (
        {"event_type": "body.type", "aggregate_id": source, "payload": "body.data"}
        for source in ("body.wrong", "body.id")
    )
    bodies = [{"type": "OrderPlaced", "id": "o-9", "data": PLACED}, {"type": "OrderPaid", "id": "o-9", "data": PAID}]
    await publish(site, [in_body(one) for one in bodies[:1]])
    _, found = await site.catch_up(deploy(site.folder / "manifest", former))
    assert b'"by":""' in found["orders"][0][0][1]
    await publish(site, [in_body(one) for one in bodies[1:]])
    deployed = deploy(site.folder / "manifest", corrected)
    async with site.node(deployed, new_build=True) as node:
        assert 2 == len({lane.deployed.fold_identity for lane in node.lanes})
        await node.run(until_caught_up=True)
        stores = {lane.deployed.entry.events.aggregate_id: folded(lane.store, lane.view_type) for lane in node.lanes}
    views = {source: json.loads(contents[0][0][1]) for source, contents in stores.items()}
    assert "o-9" == views[("body.id",)]["by"]
    assert all(2.5 == view["paid"] for view in views.values())


def test_lanes_that_read_messages_in_different_ways_share_no_subscription(tmp_path):
    lanes = [
        Lane(deploy(tmp_path, described)[0], MemoryLaneStore())
        for described in ("cloudevents", {"event_type": "body.type"}, {"format": "cloudevents"})
    ]
    assert [lanes[0], lanes[2]] == Sharing(BackPressure()).largest_group(lanes)
