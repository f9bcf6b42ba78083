"""The node: one feed, the lanes it serves, and the loop that takes events from one to the other.

Events are acknowledged after every lane has committed them. The commit runs in a thread, so that the connection goes on
reading meanwhile; nothing of a lane is touched until it is through.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Self

import structlog

from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.engine.summary import Summary
from projection.errors import ConfigurationError
from projection.model.checkpoint import LanePosition
from projection.model.subjects import disjoint
from projection.store.lmdb_store import LmdbLaneStore
from projection.stream.feed import JetStreamFeed
from projection.stream.jetstream import JetStream
from projection.stream.opening import FeedLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.model.ids import ViewType
    from projection.model.settings import Settings
    from projection.store.catalog import Catalog
    from projection.stream.connection import Nats
    from projection.stream.port import Batch, Feed

log = structlog.get_logger()

_SLICE_S = 0.05  # of folding, until the connection gets its turn
_COLLECT_EVERY = 100_000  # container objects made
_SLICE_EVENTS = 256  # between two looks at the clock


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    events: int  # read so far
    pending: int  # that the server still holds


class Node:
    """The lanes of one process on one feed."""

    def __init__(self, lanes: Sequence[Lane], feed: Feed, reader: EventReader) -> None:
        self.lanes = lanes
        self.events = 0
        self._feed = feed
        self._reader = reader
        self._stopping = asyncio.Event()
        self._trouble: str | None = None
        self._told_halted: set[ViewType] = set()

    def close(self) -> None:
        """Close the stores of all lanes; idempotent."""
        for lane in self.lanes:
            lane.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Ask `run` to end after the batch it is at."""
        self._stopping.set()

    async def run(
        self, *, until_caught_up: bool = False, on_progress: Callable[[Progress], None] | None = None
    ) -> Summary:
        """Fold until stopped, until every lane has halted, or until there is nothing more to read.

        Raises:
            StreamIdentityError: the stream is not the log that was read so far.
            StreamError: another node reads under this node's name.
            StorageError: a store cannot be read or written; nothing was acknowledged that is not committed.
        """
        began = perf_counter()
        await self._feed.open()
        with ThreadPoolExecutor(os.cpu_count(), "commit") as threads, _calm_collector():
            while not self._stopping.is_set() and any(lane.halted is None for lane in self.lanes):
                batch = await self._feed.next_batch()
                if batch is not None:
                    await self._fold(batch)
                    await self._commit(threads)
                self._tell_trouble()
                if on_progress is not None:
                    on_progress(Progress(self.events, await self._feed.pending()))
                if until_caught_up and batch is None and await self._feed.caught_up():
                    break
        await self._feed.close()
        return Summary.of(self.lanes, self.events, perf_counter() - began)

    async def _fold(self, batch: Batch) -> None:
        began = perf_counter()
        for number, message in enumerate(batch.messages, 1):
            event = self._reader.read(message)
            for lane in self.lanes:
                lane.apply(event)
            if number % _SLICE_EVENTS == 0 and perf_counter() - began > _SLICE_S:
                await asyncio.sleep(0)
                began = perf_counter()
        self.events += len(batch.messages)
        for lane in self.lanes:
            lane.move_to(batch.scanned)

    async def _commit(self, threads: ThreadPoolExecutor) -> None:
        loop, identity = asyncio.get_running_loop(), self._feed.identity
        await asyncio.gather(*(loop.run_in_executor(threads, lane.commit, identity) for lane in self.lanes))
        self._tell_halts()
        reading = [lane.position.scanned for lane in self.lanes if lane.halted is None]
        if reading:
            await self._feed.acknowledge(min(reading))

    def _tell_halts(self) -> None:
        for lane in self.lanes:
            if lane.halted is not None and lane.view_type not in self._told_halted:
                self._told_halted.add(lane.view_type)
                log.error("lane halted", view_type=lane.view_type, reason=lane.halted.message)

    def _tell_trouble(self) -> None:
        trouble = getattr(self._feed, "trouble", None)
        text = None if trouble is None else trouble.message
        if text != self._trouble:
            self._trouble = text
            if text is None:
                log.info("the stream is read again")
            else:
                log.warning("the stream cannot be read for now; trying again", reason=text)


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Garbage collection at longer intervals: by default it goes through the cached views again and again.

    Nothing on an event's way makes cycles; 8 of 100 events' time went into looking for them.
    """
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def open_lanes(catalog: Catalog, deployed: Sequence[DeployedView], subjects: Sequence[str]) -> list[Lane]:
    """A lane for each view type, on the store of its build; a changed fold identity has a build of its own.

    Raises:
        StorageError: a store cannot be opened.
    """
    with ExitStack() as opened:
        lanes = []
        for one in deployed:
            build = catalog.build_for(one.entry.view_type, one.fold_identity)
            store = opened.enter_context(LmdbLaneStore.open(build.lane_path(), one.fold_identity))
            lanes.append(Lane(one, store, sees_only_own=set(subjects) == set(one.entry.subjects)))
        opened.pop_all()  # they are the node's to close from here on
    return lanes


async def open_node(settings: Settings, deployed: Sequence[DeployedView], catalog: Catalog, nats: Nats) -> Node:
    """The node that the settings describe, with its lanes open; `run` opens the feed.

    Raises:
        ConfigurationError: a view type starts where the stream has not come to yet.
        StorageError: a store cannot be opened.
        StreamError: the stream cannot be asked where a view type starts.
    """
    subjects = disjoint(
        {subject for one in deployed for subject in one.entry.subjects}, deployed[0].entry.subject_template
    )
    lanes = open_lanes(catalog, deployed, subjects)
    try:
        await _move_to_starts(lanes, JetStream(nats), settings.stream)
    except BaseException:
        for lane in lanes:
            lane.store.close()
        raise
    positions = sorted(
        (lane.position.model_copy(update={"scanned": lane.scanned}) for lane in lanes), key=lambda one: one.scanned
    )
    back = settings.back_pressure
    feed = JetStreamFeed(
        nats,
        stream=settings.stream,
        consumer=settings.consumer_name(catalog.node_id, _feed_name(subjects), 0),
        subjects=subjects,
        position=positions[0],
        ahead=positions[1:],
        limits=FeedLimits(
            back.batch, back.batch_bytes, back.linger_ms / 1000, back.in_flight, float(back.ack_timeout_s)
        ),
    )
    return Node(lanes, feed, EventReader(deployed[0].entry.subject_template, settings.tenancy))


async def _move_to_starts(lanes: Sequence[Lane], jetstream: JetStream, stream: str) -> None:
    """Have new builds begin where the manifest says."""
    for lane in lanes:
        if lane.position == LanePosition():
            lane.move_to(await _before_start(lane, jetstream, stream))


async def _before_start(lane: Lane, jetstream: JetStream, stream: str) -> int:
    """The last sequence that a new build does not read."""
    start = lane.deployed.entry.start
    if start.time is not None:
        if datetime.fromisoformat(start.time) > datetime.now(UTC):
            # Nothing tells yet which sequence that will be.
            raise ConfigurationError(f"view type {lane.view_type} starts at {start.time}, which is in the future")
        return await jetstream.last_sequence_before(stream, start.time)
    before = (start.sequence or 1) - 1
    # Behind its end, a stream could not be told from one that lost its end.
    if before and (end := (await jetstream.stream_info(stream)).state.last_seq) < before:
        raise ConfigurationError(f"view type {lane.view_type} starts at {start}, but stream {stream!r} ends at {end}")
    return before


def _feed_name(subjects: Sequence[str]) -> str:
    """Equal for equal subjects, so that a restart replaces its own consumer and no other's."""
    return hashlib.sha256("\n".join(subjects).encode()).hexdigest()[:8]
