"""What it costs that messages are described: a shop's events as envelopes, and in other forms with the same parts.

All sides read the messages and fold them into views and digests in memory, all view types of the shop, as a node does
between its feed and its store. Processor time an event; the views must be the same. Amounts are whole numbers of cents,
since MessagePack has no decimals.

Other JSON may take `MOST` times what envelopes take. As in `faults`, that row has the bound for its yardstick, and a
ratio above 1 is a broken promise.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from decimal import Decimal, localcontext
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import msgspec

from projection.bundled import bundled
from projection.engine.deployment import load_deployment
from projection.engine.event import event_reader
from projection.engine.lane import Lane
from projection.lang.values.numbers import EXACT
from projection.model.envelope import Tenancy
from projection.model.event_format.headers import headers_block
from projection.model.manifest import Manifest
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message
from projection.testing.shop import shop_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.engine.deployment import DeployedView

EVENTS = 24_000
ROUNDS = 5
MOST = 1.15  # of an envelope's processor time, for JSON that a manifest describes
_TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)
_BODY = {
    "subjects": ["tenant.<tenant>.aggregate.<type>.*"],
    "event_type": "body.kind",
    "aggregate_type": "subject.<type>",
    "aggregate_id": "body.id",
    "tenant_id": "subject.<tenant>",
    "timestamp": "body.at",
    "payload": "body.data",
}
_DESCRIBED = {
    "body": _BODY,
    "msgpack": {**_BODY, "encoding": "msgpack"},
    "gzip": _BODY,
    "CloudEvents, structured": {"format": "cloudevents", "tenant_id": "attribute.tenant"},
    "CloudEvents, binary": {"format": "cloudevents", "tenant_id": "attribute.tenant"},
}


def measure() -> Iterator[dict[str, Any]]:
    """Microseconds of processor time an event, the median of some rounds in turn."""
    events = [_in_cents(event) for event in shop_events(EVENTS, tenants=("north", "south"))]
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        sides = {"envelopes": (_deployed(Path(folder), None), _messages(events, "envelopes"))}
        for kind, described in _DESCRIBED.items():
            sides[kind] = (_deployed(Path(folder), described), _messages(events, kind))
    taken: dict[str, list[float]] = {kind: [] for kind in sides}
    views: dict[str, list[Any]] = {}
    for _ in range(ROUNDS):
        for kind, (deployed, messages) in sides.items():
            seconds, views[kind] = _fold(deployed, messages)
            taken[kind].append(seconds / EVENTS * 1e6)
    if any(one != views["envelopes"] for one in views.values()):
        raise AssertionError("the views are not the same on all sides")
    yardstick = median(taken.pop("envelopes"))
    for kind, all_rounds in taken.items():
        found = median(all_rounds)
        print(f"formats: {kind}: {found:.1f} us an event, envelopes: {yardstick:.1f}", file=sys.stderr)
        yield {
            "name": f"described_{kind.replace(', ', '_').lower()}_us",
            "ours": round(found, 2),
            "yardstick": round(yardstick, 2),
            "ratio": round(found / yardstick, 3),
        }
        if kind == "body":
            share = found / yardstick
            yield {
                "name": "described_body_bound",
                "ours": round(share, 3),
                "yardstick": MOST,
                "ratio": round(share / MOST, 3),
            }


def _deployed(folder: Path, described: object) -> tuple[DeployedView, ...]:
    names = ("shop_customers", "shop_orders", "shop_sales")
    for name in names:
        (folder / f"{name}.proj").write_text(bundled(f"projections/{name}/program.proj").read_text())
    views = {name: {"program": f"{name}.proj"} for name in names}
    manifest = {"manifest": 1, "views": views} | ({} if described is None else {"events": described})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return load_deployment(Manifest.load(folder / "manifest.json"), Tenancy())


def _messages(events: Sequence[dict[str, Any]], kind: str) -> list[Message]:
    return [_message(sequence, event, kind) for sequence, event in enumerate(events, 1)]


def _in_cents(value: Any) -> Any:
    """The same with whole numbers in place of decimals."""
    if isinstance(value, Decimal):
        return int(value * 100)
    if isinstance(value, dict):
        return {name: _in_cents(one) for name, one in value.items()}
    return [_in_cents(one) for one in value] if isinstance(value, list) else value


def _message(sequence: int, event: dict[str, Any], kind: str) -> Message:
    cloud = {
        "specversion": "1.0",
        "type": event["event_type"],
        "source": event["aggregate_type"],
        "subject": event["aggregate_id"],
        "id": event["event_id"],
        "time": event["timestamp"],
        "tenant": event["tenant_id"],
    }
    headers = {}
    match kind:
        case "envelopes":
            body: Any = event
        case "body" | "msgpack" | "gzip":
            names = {"kind": "event_type", "id": "aggregate_id", "at": "timestamp", "data": "payload"}
            body = {name: event[part] for name, part in names.items()}
        case "CloudEvents, structured":
            body, headers = {**cloud, "data": event["payload"]}, {"Content-Type": "application/cloudevents+json"}
        case _:
            body, headers = event["payload"], {f"ce-{name}": value for name, value in cloud.items()}
    data = msgspec.msgpack.encode(body) if kind == "msgpack" else json.dumps(body).encode()
    if kind == "gzip":
        data, headers = gzip.compress(data), {"Content-Encoding": "gzip"}
    subject = _TEMPLATE.subject(event["tenant_id"], event["aggregate_type"], event["aggregate_id"])
    return Message(sequence, subject, data, str(sequence), "", headers_block(headers))


def _fold(deployed: Sequence[DeployedView], messages: Sequence[Message]) -> tuple[float, list[Any]]:
    read = event_reader(deployed[0].entry, deployed[0].tenancy).read
    lanes = [Lane(one, MemoryLaneStore()) for one in deployed]
    began = process_time()
    with localcontext(EXACT):
        for message in messages:
            event = read(message)
            for lane in lanes:
                lane.apply(event)
        for lane in lanes:
            lane.commit(None)
    seconds = process_time() - began
    return seconds, [list(lane.store.scan(None, lane.view_type)) for lane in lanes]
