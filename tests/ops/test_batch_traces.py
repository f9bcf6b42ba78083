"""Spans of batches, of the events in them that are recorded elsewhere, and of commits, by a reading in memory."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from random import Random

import pytest
from engine_support import Log, deploy, envelope
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from patience import WITHIN_MS, WITHIN_S, eventually

from projection.engine import breaker
from projection.engine.committer import Committer, Workshop
from projection.engine.lane import Lane
from projection.engine.reading import Reading
from projection.engine.tracing import UNTRACED, UNTRACED_COMMITS
from projection.engine.unhandled import Unhandled
from projection.errors import StaleCommitError, StorageError
from projection.model.event_format.headers import headers_block
from projection.model.settings import BackPressure
from projection.ops.tracing import batches
from projection.ops.tracing.exporting import NodeTracing
from projection.ops.tracing.spans import MAX_TEXT
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Batch

STREAM = "events"


def traceparent(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{number:016x}-{flags}"


def event(view_id: str = "x", number: int | None = None, flags: str = "01", **more):
    """Of a producer's span of this number, if it has one."""
    if number is not None:
        more["traceparent"] = traceparent(number, flags)
    return envelope("Added", {"id": view_id, "n": more.pop("n", 1)}, **more)


class InBatches:
    """A feed that hands over these batches, and then says that nothing comes."""

    identity = trouble = left = None
    openings = 1

    def __init__(self, log: Log, *sizes: int) -> None:
        self._left, self._sizes = list(log.messages), list(sizes)

    async def check(self, position: object) -> None:
        pass

    async def next_batch(self) -> Batch | None:
        await asyncio.sleep(0)
        if not self._sizes:
            return None
        count = self._sizes.pop(0)
        messages, self._left = self._left[:count], self._left[count:]
        return Batch(messages, messages[-1].sequence, messages[-1].time)

    async def acknowledge(self, sequence: int) -> None:
        pass


class TheHost:
    """A node that stops once all is stored."""

    wants_ends = False

    def __init__(self, tracing, last: int) -> None:
        self.workshop = Workshop(2, WITHIN_S)
        self.back_pressure = BackPressure(work_ms=60_000, patience_ms=WITHIN_MS)  # no pause makes two batches of one
        self.stopping = asyncio.Event()
        self.unhandled = Unhandled(list)
        self.tracing = tracing
        self.halted: list[Lane] = []
        self._last = last
        self.reading: Reading | None = None

    def halt(self, lane: Lane, error: Exception, doing: str, told: object = None) -> None:
        self.halted.append(lane)

    def finish(self, member: Committer) -> None:
        pass

    def changed(self) -> None:
        reading = self.reading
        if reading is not None and (reading.position >= self._last or not reading.members):
            self.stopping.set()


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter, monkeypatch):
    """Everything is recorded that somebody else has recorded, and nothing else."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    with NodeTracing.open("n1", STREAM, exporter) as opened:
        opened.left_s = WITHIN_S
        yield opened


async def folded(folder, tracing, events, *sizes, stores=(), headers=None, **entry):
    """The committers after these events were read in batches of these sizes."""
    log = Log(*events)
    if headers is not None:
        log.messages[:] = [
            type(one)(one.sequence, one.subject, one.data, one.time, "", headers) for one in log.messages
        ]
    host = TheHost(tracing, len(events))
    (deployed,) = deploy(folder, **entry)
    members = [Committer(Lane(deployed, store, build=7), host.workshop) for store in stores or [MemoryLaneStore()]]
    host.reading = Reading(InBatches(log, *(sizes or [len(events)])), members, host)
    await asyncio.wait_for(host.reading.run(), WITHIN_S)
    for member in members:
        if member._task is not None:
            await asyncio.wait({member._task})
    host.workshop.close()
    return members


def spans_of(tracing, exporter):
    tracing._provider.force_flush()
    return sorted(exporter.get_finished_spans(), key=lambda span: span.start_time)


def batches_of(spans):
    return [span for span in spans if span.parent is None]


def events_of(spans):
    return [span for span in spans if "projection.sequence" in span.attributes]


def linked(span):
    return [link.context.trace_id for link in span.links]


async def test_events_that_are_recorded_elsewhere_get_spans_and_others_none(tmp_path, tracing, exporter):
    events = [event("a", 1), event("b"), event("c", 3, "00"), event("d", 4, "ff"), event("e", traceparent="garbage")]
    await folded(tmp_path, tracing, events)
    spans = spans_of(tracing, exporter)
    (batch,) = batches_of(spans)
    assert [1, 4] == linked(batch) == [linked(span)[0] for span in events_of(spans)]
    assert [1, 4] == [span.attributes["projection.sequence"] for span in events_of(spans)]
    assert {batch.context.trace_id} == {span.context.trace_id for span in spans}
    assert {batch.context.span_id} == {span.parent.span_id for span in spans if span is not batch}
    assert 5 == batch.attributes["messaging.batch.message_count"]
    for span in spans:
        assert batch.start_time <= span.start_time <= span.end_time
        assert span.name.startswith("commit") or span.end_time <= batch.end_time


async def test_a_batch_of_which_nothing_is_recorded_elsewhere_is_the_samplers_to_decide(tmp_path, monkeypatch):
    found = {}
    for sampler in ("parentbased_always_off", "always_off", "parentbased_always_on"):
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        exporter = InMemorySpanExporter()
        with NodeTracing.open("n1", STREAM, exporter) as tracing:
            tracing.left_s = WITHIN_S
            for number in (None, 1):
                exporter.clear()
                await folded(tmp_path, tracing, [event(number=number)])
                found[sampler, number] = [span.name for span in spans_of(tracing, exporter)]
    stages = ["process events", "fetch events", "decode", "fold", "commit tallies"]
    with_event = sorted([*stages, "process Added"])
    assert {
        ("parentbased_always_off", None): [],
        ("parentbased_always_off", 1): with_event,
        ("always_off", None): [],
        ("always_off", 1): [],
        ("parentbased_always_on", None): sorted(stages),
        ("parentbased_always_on", 1): with_event,
    } == {case: sorted(names) for case, names in found.items()}


async def test_no_more_events_of_a_batch_get_spans_than_the_limit(tmp_path, tracing, exporter, monkeypatch):
    monkeypatch.setattr(batches, "MAX_EVENTS", 3)
    await folded(tmp_path, tracing, [event(str(n), n) for n in range(1, 11)], 4, 6)
    spans = spans_of(tracing, exporter)
    assert [[1, 2, 3], [5, 6, 7]] == [linked(batch) for batch in batches_of(spans)]
    assert [1, 2, 3, 5, 6, 7] == [linked(span)[0] for span in events_of(spans)]


@pytest.mark.parametrize("text", [None, "garbage"])
async def test_a_header_of_the_message_counts_where_the_envelope_says_nothing(tmp_path, tracing, exporter, text):
    headers = headers_block({"Traceparent": traceparent(9)})
    await folded(tmp_path, tracing, [event(traceparent=text)], headers=headers)
    assert [[9]] == [linked(span) for span in events_of(spans_of(tracing, exporter))]


async def test_an_event_that_is_refused_is_an_error(tmp_path, tracing, exporter):
    """One that is no event has no name, and its message's header tells where it comes from."""
    events = [event("a", 1), event("a", 2, n=2**63 - 1), event("b", 3), b"{"]
    headers = headers_block({"traceparent": traceparent(9)})
    await folded(tmp_path, tracing, events, headers=headers)
    told = [(span.name, span.attributes.get("error.type")) for span in events_of(spans_of(tracing, exporter))]
    assert [("process Added", None), ("process Added", "refused"), ("process Added", None), ("process", "D101")] == told


async def test_the_event_at_which_a_lane_halts_is_an_error(tmp_path, tracing, exporter):
    await folded(tmp_path, tracing, [event("a", 1), event("a", 2, n=2**63 - 1)], on_error="halt")
    spans = spans_of(tracing, exporter)
    assert ["process Added"] == [span.name for span in spans if span.attributes.get("error.type") == "refused"]


class RefusingStore(MemoryLaneStore):
    """Refuses the first commits with these errors."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    def commit(self, *arguments) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().commit(*arguments)


async def test_a_commit_that_is_tried_again_is_one_span_with_its_attempts(tmp_path, tracing, exporter, monkeypatch):
    monkeypatch.setattr(breaker, "FIRST_PAUSE_S", 0.0)
    await folded(tmp_path, tracing, [event("a", 1), event("b")], stores=[RefusingStore(StorageError("no"))])
    (commit,) = (span for span in spans_of(tracing, exporter) if span.name.startswith("commit"))
    assert {
        "db.system.name": "lmdb",
        "db.operation.name": "commit",
        "db.collection.name": "tallies",
        "projection.build": 7,
        "db.operation.batch.size": 2,
        "projection.position": 2,
        "projection.attempts": 2,
    } == commit.attributes


async def test_a_commit_that_never_will_be_stored_is_an_error(tmp_path, tracing, exporter):
    await folded(tmp_path, tracing, [event("a", 1)], stores=[RefusingStore(StaleCommitError("another owner"))])
    (commit,) = (span for span in spans_of(tracing, exporter) if span.name.startswith("commit"))
    assert ("storage.stale", False) == (commit.attributes["error.type"], commit.status.is_ok)


async def test_every_recorded_event_is_in_a_commit_of_every_lane_however_batches_and_commits_overlap(
    tmp_path, tracing, exporter
):
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    for turn in range(10):
        exporter.clear()
        sizes = [random.randint(1, 6) for _ in range(random.randint(1, 12))]
        recorded = [number for number in range(1, sum(sizes) + 1) if random.random() < 0.4]
        events = [event(random.choice("ab"), n if n in recorded else None) for n in range(1, sum(sizes) + 1)]
        members = await folded(tmp_path / str(turn), tracing, events, *sizes, stores=[MemoryLaneStore() for _ in "12"])
        spans = spans_of(tracing, exporter)
        assert recorded == sorted(linked(span)[0] for span in events_of(spans))
        assert all(member.lane.position.scanned == len(events) for member in members)
        owner = {span.context.span_id: span for span in batches_of(spans)}
        stored = [
            (n, one)
            for span in spans
            if span.name.startswith("commit")
            for one in [span.parent.span_id, *(link.context.span_id for link in span.links)]
            for n in linked(owner[one])
        ]
        assert sorted(2 * recorded) == sorted(n for n, _ in stored), "once for each lane"


async def test_batches_that_come_to_be_stored_by_one_commit_are_all_in_its_span(tmp_path, tracing, exporter):
    """The store is busy with something else, so that a commit that has begun also takes what is folded after it."""
    log = Log(event("a", 1), event("b", 2))
    host = TheHost(tracing, 2)
    member = Committer(Lane(deploy(tmp_path)[0], MemoryLaneStore()), host.workshop)
    host.reading = Reading(InBatches(log, 1, 1), [member], host)
    async with member._free:
        running = asyncio.create_task(host.reading.run())
        await eventually(lambda: host.reading.position == 2)
    await asyncio.wait_for(running, WITHIN_S)
    await member.settle()
    host.workshop.close()
    spans = spans_of(tracing, exporter)
    first, second = (batch.context.span_id for batch in batches_of(spans))
    (commit,) = (span for span in spans if span.name.startswith("commit"))
    assert (second, [first]) == (commit.parent.span_id, [link.context.span_id for link in commit.links])
    assert 2 == commit.attributes["projection.position"]


async def test_an_untraced_reading_keeps_nothing(tmp_path):
    (member,) = await folded(tmp_path, UNTRACED, [event("a", 1)])
    assert member.trace is UNTRACED_COMMITS


def known_attributes():
    """All that the library's copy of the semantic conventions names."""
    found = set()
    for package in ("opentelemetry.semconv.attributes", "opentelemetry.semconv._incubating.attributes"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            named = vars(importlib.import_module(f"{package}.{module.name}"))
            found |= {value for value in named.values() if isinstance(value, str)}
    return found


async def test_attributes_are_those_of_the_conventions_and_no_longer_than_a_bound(tmp_path, tracing, exporter):
    long = "ä😀" * 500
    events = [
        event("a", 1, event_id=long, correlation_id=long, tenant="t" * 200),
        envelope(long, {}, traceparent=traceparent(2)),
        event("secret-of-a-payload", 3),
    ]
    await folded(tmp_path, tracing, events)
    spans = spans_of(tracing, exporter)
    assert 3 == len(events_of(spans))
    named = {name for span in spans for name in span.attributes}
    assert {name for name in named if not name.startswith("projection.")} <= known_attributes()
    for span in spans:
        assert len(span.name) <= MAX_TEXT + len("process ")
        for value in span.attributes.values():
            assert not isinstance(value, str) or len(value) <= MAX_TEXT
            assert "secret-of-a-payload" not in str(value)
    kinds = {span.name: span.kind for span in spans}
    assert (SpanKind.CONSUMER, SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.INTERNAL) == tuple(
        kinds[name] for name in ("process events", "fetch events", "process Added", "commit tallies")
    )
