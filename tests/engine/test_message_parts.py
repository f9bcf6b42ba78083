"""Programs that read the message around an event: its headers, its subject, and when the log stored it."""

from __future__ import annotations

import json
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engine_support import TENANCY, deploy, envelope
from node_support import contents_of, replayed

from projection.engine.adoption import adopt
from projection.engine.event import EventReader, with_message
from projection.engine.lane import Lane
from projection.engine.replay import FileEvents, Replay
from projection.errors import ConfigurationError
from projection.history.explaining import explain
from projection.history.logs import FileLog, StreamLog
from projection.lang.run.executors import Execution
from projection.model.event_format.declaration import EventFormat
from projection.model.event_format.headers import headers_block
from projection.model.ids import TenantId, ViewId
from projection.store.catalog import Catalog
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message
from projection.stream.publisher import Outgoing, publish_all
from projection.stream.recorded import recorded_line

if TYPE_CHECKING:
    from node_support import Site

    from projection.engine.deployment import DeployedView

SEEN = """\
proj 1
projection seen

event Added { id: string, n: int = 0 }

view Seen { channel: string = "", subject: string = "", stored?: timestamp, n: int = 0 }

on Added as e to e.id
  when e.n < 0 => fail("NEGATIVE", "as asked")
  else => {
    channel: meta.headers["x-channel"] ?? "none", subject: meta.subject, stored: meta.stored_at,
    n: (view?.n ?? 0) + e.n,
  }
"""
UNSEEING = """\
proj 1
projection unseeing

event Added { id: string, n: int = 0 }

view Seen { n: int = 0 }

on Added as e to e.id
  when e.n < 0 => fail("NEGATIVE", "as asked")
  else => { n: (view?.n ?? 0) + e.n }
"""
SUBJECT = "tenant.a.aggregate.tally.1"
NOON = 1_772_359_200_123_456_789  # nanoseconds


def added(view_id: str, n: int = 1) -> bytes:
    return envelope("Added", {"id": view_id, "n": n})


def message(sequence: int, data: bytes, headers: Any = None, time: str = str(NOON)) -> Message:
    return Message(sequence, SUBJECT, data, time, "", headers_block(headers or {}))


def fold(deployed: DeployedView, *messages: Message) -> Lane:
    lane = Lane(deployed, MemoryLaneStore())
    reader = EventReader(deployed.entry.subject_template, TENANCY)
    for one in messages:
        lane.apply(reader.read(one))
    lane.commit(None)
    return lane


def views(lane: Lane) -> dict[str, Any]:
    return {str(key.view_id): json.loads(data) for key, data in lane.store.scan(None, lane.view_type)}


def parked(lane: Lane) -> list[Any]:
    return list(lane.store.parked())


async def publish(site: Site, *events: tuple[bytes, Any]) -> None:
    await publish_all(site.nats, site.stream, [Outgoing(site.subject_of(data), data, h) for data, h in events])


async def recorded(site: Site) -> list[bytes]:
    log = StreamLog(site.nats, site.stream, "test")
    async with aclosing(log.messages([f"{site.stream}.>"])) as batches:
        return [recorded_line(one) async for batch in batches for one in batch]


@pytest.mark.parametrize("execution", Execution)
def test_a_program_reads_headers_subject_and_the_time_of_storing(tmp_path, execution):
    (deployed,) = deploy(tmp_path, SEEN)
    program = type(deployed.program)(deployed.program.checked, None, execution)
    deployed = type(deployed)(deployed.entry, program, TENANCY, deployed.base_identity, deployed.fold_identity)
    lane = fold(
        deployed,
        message(1, added("a"), {"X-Channel": ["web", "shop"], "Other": "x"}),  # of two, the first
        message(2, added("b"), {"x-channel": " "}),
        message(3, added("c"), time=""),
    )
    moment = "2026-03-01T10:00:00.123456Z"  # what is finer is cut
    assert {
        "a": {"channel": "web", "subject": SUBJECT, "stored": moment, "n": 1},
        "b": {"channel": "", "subject": SUBJECT, "stored": moment, "n": 1},
        "c": {"channel": "none", "subject": SUBJECT, "stored": None, "n": 1},
    } == views(lane)


@pytest.mark.parametrize("part", ["header", "subject"])
def test_a_part_that_is_too_long_parks_the_event_for_the_program_that_reads_it(tmp_path, part):
    seen, unseeing = deploy(tmp_path, {"seen": SEEN, "unseeing": UNSEEING})
    long = message(1, added("a"), {"X-Channel": "x" * 1025})
    if part == "subject":
        long = msgspec.structs.replace(long, subject=f"tenant.a.aggregate.tally.{'x' * 1025}", headers=b"")
    reader = EventReader(seen.entry.subject_template, TENANCY)
    event = reader.read(long)
    lanes = [Lane(one, MemoryLaneStore()) for one in (seen, unseeing)]
    for lane in lanes:  # of one event, as lanes share it
        lane.apply(event)
        lane.commit(None)
    assert [("D102", None)] == [(one.code, one.view_id) for one in parked(lanes[0])]
    assert f"{part} " in parked(lanes[0])[0].message.replace("'x-channel' ", "")
    assert ([], {"a": {"n": 1}}) == (parked(lanes[1]), views(lanes[1]))


def test_what_a_parked_event_keeps_of_its_message_is_what_the_program_reads(tmp_path):
    seen, unseeing = deploy(tmp_path, {"seen": SEEN, "unseeing": UNSEEING})
    failing = message(1, added("a", -1), {"X-Channel": "web", "Other": "x"})
    (one,), (other,) = (parked(fold(deployed, failing)) for deployed in (seen, unseeing))
    assert ((("x-channel", "web"),), str(NOON)) == (one.headers, one.stored)
    assert ((), "", False) == (other.headers, other.stored, other.is_described)


def test_the_shared_event_is_left_as_it_is(tmp_path):
    """Lanes of one reading share an event, and not each program reads the same of its message."""
    (seen,) = deploy(tmp_path, SEEN)
    event = EventReader(seen.entry.subject_template, TENANCY).read(message(1, added("a"), {"x-channel": "web"}))
    before = event.meta
    whole = with_message(event, seen.program.message_parts)
    assert event.meta is before
    assert not hasattr(before, "_headers")
    assert {"x-channel": "web"} == whole.meta._headers


async def test_a_node_a_replay_and_why_read_the_same_of_messages(site):
    deployed = deploy(site.folder / "m", {"seen": SEEN, "unseeing": UNSEEING}, template=site.template)
    await publish(
        site,
        (added("a"), {"X-Channel": "web"}),
        (added("b", -1), {"x-channel": "shop"}),
        (added("b"), {"x-channel": "post"}),
        (added("c"), {"x-channel": "x" * 2000}),
        (added("d"), None),
    )
    async with site.node(deployed) as node:
        await node.run(until_caught_up=True)
        live, digests = contents_of(node), {lane.view_type: str(lane.store.digest()) for lane in node.lanes}
    lines = await recorded(site)
    replay = Replay(deployed, TENANCY)
    replay.run(lines)
    assert (live, digests) == (contents_of(replay), replay.digests())
    assert 3 == len(live["seen"][1])
    views_ = {str(key.view_id): json.loads(data) for key, data in live["seen"][0]}
    assert ("web", "none") == (views_["a"]["channel"], views_["d"]["channel"])
    moment = datetime.fromisoformat(views_["a"]["stored"])
    assert abs((moment - datetime.now(UTC)).total_seconds()) < 24 * 3600
    for log in (StreamLog(site.nats, site.stream, "test"), FileLog(lambda: iter(lines))):
        explained = await explain(log, deployed[0], TenantId("a"), ViewId("a"))
        assert json.loads(explained.view) == views_["a"]


async def test_parked_events_are_read_again_with_what_they_keep(site):
    """A corrected program adopts the views: it sees the header and the time that the events came with."""
    strict = deploy(site.folder / "m", {"seen": SEEN}, template=site.template)
    corrected = deploy(site.folder / "n", {"seen": SEEN.replace("e.n < 0", "e.n < -9")}, template=site.template)
    await publish(site, (added("a", -1), {"X-Channel": "web"}), (added("a"), {"X-Channel": "shop"}))
    await site.catch_up(strict)
    with Catalog.open(site.data) as catalog:
        adopt(catalog, corrected[0])
    _, found = await site.catch_up(corrected)
    assert found["seen"] == replayed(corrected, await recorded(site))["seen"]


async def test_a_program_that_reads_more_than_parked_events_keep_cannot_adopt_them(site):
    unseeing = deploy(site.folder / "m", {"seen": UNSEEING}, template=site.template)
    reading = UNSEEING.replace("view?.n ?? 0", 'view?.n ?? length(meta.headers["x-channel"] ?? "")')
    reads = deploy(site.folder / "n", {"seen": reading}, template=site.template)
    stored = UNSEEING.replace('"as asked"', '"as asked, {text(meta.stored_at ?? meta.time)}"')
    tells = deploy(site.folder / "o", {"seen": stored}, template=site.template)
    await publish(site, (added("a"), {"X-Channel": "web"}), (added("a", -1), {"X-Channel": "web"}))
    await site.catch_up(unseeing)
    with Catalog.open(site.data) as catalog:
        with pytest.raises(ConfigurationError, match=r'meta\.headers\["x-channel"\], which events that are parked'):
            adopt(catalog, reads[0])
        with pytest.raises(ConfigurationError, match=r"meta\.stored_at, which events that are parked"):
            adopt(catalog, tells[0])


async def test_a_program_that_reads_more_adopts_views_of_which_nothing_is_parked(site):
    unseeing = deploy(site.folder / "m", {"seen": UNSEEING}, template=site.template)
    reading = UNSEEING.replace("view?.n ?? 0", 'view?.n ?? length(meta.headers["x-channel"] ?? "")')
    reads = deploy(site.folder / "n", {"seen": reading}, template=site.template)
    await publish(site, (added("a"), {"X-Channel": "web"}))
    await site.catch_up(unseeing)
    with Catalog.open(site.data) as catalog:
        assert 0 == adopt(catalog, reads[0]).views_changed


@pytest.mark.parametrize("events", [None, {"event_type": "body.type", "payload": "body.data"}])
def test_an_envelope_may_stand_in_a_recorded_message_whatever_a_manifest_says(tmp_path, events):
    (deployed,) = deploy(tmp_path, SEEN)
    entry = deployed.entry
    if events is not None:
        entry = entry.replaced(events=EventFormat.model_validate(events))
    line = {"time": "2026-03-01T10:00:00Z", "headers": {"x": "1"}, "envelope": json.loads(added("a"))}
    event = FileEvents(entry, TENANCY).event(7, json.dumps(line).encode())
    assert event.error is None
    assert ("Added", 7, "" if events else SUBJECT) == (
        event.envelope.event_type,
        event.message.sequence,
        event.message.subject,
    )
    assert str(NOON)[:10] == event.message.time[:10]
