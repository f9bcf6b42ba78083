"""The numbers of a node, of its builds and of their stores, as they are when they are asked for."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from projection import __version__
from projection.engine.log_writer import LINES
from projection.errors import StorageError
from projection.ops import metric_declarations as declared
from projection.query.freshness import age
from projection.store.lmdb_reader import LmdbLane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.committer import Committer
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.engine.reading import Reading
    from projection.ops.metric_families import Families

_UNKNOWN = "unknown"
_UNRECORDED = ("skipped", "", "unrecorded")


@cache
def commit_of_image() -> str:
    """The commit that the container image was built of, as `deploy/Dockerfile` notes it beside the package."""
    try:
        found = json.loads((Path(sys.prefix) / "build.json").read_bytes())["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return _UNKNOWN
    return found if isinstance(found, str) and found.isalnum() and len(found) <= 64 else _UNKNOWN


class NodeNumbers:
    """Adds what a node says of itself."""

    def __init__(self, node: Node, data: Path | None) -> None:
        """Of a node, and of the disk that its data folder is on."""
        self._node = node
        self._data = data
        self._began = time()

    def adding(self, families: Families) -> Iterator[None]:
        """Add all numbers, as they are now; at each `yield` others may have their turn."""
        self._add_node(families)
        self._add_log_lines(families)
        yield
        readings = self._node.health.readings
        for lane, member in list(self._node.health.committers.items()):
            labels = (lane.view_type, str(lane.build))
            self._add_build(families, lane, readings.get(lane), labels)
            _add_work(families, lane, member, readings.get(lane), labels)
            _add_parked(families, lane, labels)
            with suppress(StorageError):  # the store says so elsewhere, and the other numbers are wanted all the more
                _add_store(families, lane, labels)
            yield
        for unopened in self._node.health.unopened:
            families.add(declared.HALTED, 1, unopened.build.view_type, str(unopened.build.number))
        for view_type, held in self._node.health.waiting.items():
            families.add(declared.HELD, 1, view_type, str(held.build), held.gate)

    def _add_node(self, families: Families) -> None:
        node, health = self._node, self._node.health
        families.add(declared.READY, int(node.is_ready))
        families.add(declared.EVENTS_TO_GO, health.events_to_go or 0)
        families.add(declared.CATCH_UP, health.catch_up_s)
        families.add(declared.STREAM_UP, int(health.can_read))
        families.add(declared.REOPENINGS, health.reopenings)
        families.add(declared.EVENTS, node.events)
        families.add(declared.UNHANDLED, node.unhandled.count)
        for kind, count in node.unhandled.markers.items():
            families.add(declared.PASSED_OVER, count, kind)
        families.add_distribution(declared.LOOP_DELAY, health.loop.delays)
        families.add(declared.LOOP_STALLS, health.loop.stalls)
        measures = node.workshop.measures
        families.add(declared.LOG_CLOCK, measures.log_clock_offset_s)
        families.add_distribution(declared.BATCH, measures.batches)
        for stage, distribution in measures.stages.items():
            families.add_distribution(declared.STAGE, distribution, stage)
        if self._data is not None:
            with suppress(OSError):
                disk = shutil.disk_usage(self._data)
                families.add(declared.DISK_FREE, disk.free)
                families.add(declared.DISK_SIZE, disk.total)

    def _add_log_lines(self, families: Families) -> None:
        for level, count in LINES.by_level.items():
            families.add(declared.LOG_LINES, count, level)
        families.add(declared.LOG_SUPPRESSED, LINES.suppressed)
        families.add(declared.LOG_DROPPED, LINES.dropped)

    def _add_build(self, families: Families, lane: Lane, reading: Reading | None, labels: tuple[str, str]) -> None:
        health, roster, position = self._node.health, self._node.roster, lane.position
        families.add_info(declared.BUILD_INFO, __version__, commit_of_image(), *labels, lane.deployed.program.digest)
        serves = lane not in roster.cutovers.standby and lane not in roster.followers
        families.add(declared.SERVES, int(serves), *labels)
        if (end := health.log_end) is not None:
            families.add(declared.PROGRESS, min(1.0, position.scanned / end) if end else 1.0, *labels)
        families.add(declared.HALTED, int(lane.halted is not None), *labels)
        families.add(declared.PAUSED, int(roster.is_paused(lane)), *labels)
        families.add(declared.SCANNED, position.scanned, *labels)
        if position.scanned_time:
            families.add(declared.SCANNED_AT, int(position.scanned_time) / 1e9, *labels)
        lag_s = age(position, None if reading is None else reading.feed.level).lag_s
        families.add(declared.LAG, max(0.0, time() - self._began) if lag_s is None else lag_s, *labels)
        families.add(declared.LAG_EVENTS, None if reading is None else reading.left, *labels)


def _add_work(
    families: Families, lane: Lane, member: Committer, reading: Reading | None, labels: tuple[str, str]
) -> None:
    families.add(declared.FOLDED, member.offered, *labels)
    families.add(declared.GAS, lane.gas, *labels)
    families.add_distribution(declared.COMMIT, member.durations, *labels)
    circuits = {"commit": member.breaker} | ({} if reading is None else {"read": reading.breaker})
    for circuit, breaker in circuits.items():
        families.add(declared.CIRCUIT_OPEN, int(breaker.trouble is not None), *labels, circuit)
        families.add(declared.CIRCUIT_FAILURES, breaker.failures, *labels, circuit)
    cache_ = lane.cache
    families.add(declared.CACHE_HITS, max(0, cache_.asked - cache_.loaded), *labels)
    families.add(declared.CACHE_MISSES, cache_.loaded, *labels)
    families.add(declared.CACHE_BYTES, cache_.bytes, *labels)


def _add_parked(families: Families, lane: Lane, labels: tuple[str, str]) -> None:
    whole = 0
    for parked_as, count in lane.parked_by_code.items():
        families.add(declared.PARKED, count, *labels, *map(str, parked_as))
        whole += count
    families.add(declared.PARKED, lane.parked - whole, *labels, *_UNRECORDED)  # also where nothing is parked
    families.add(declared.SUSPENDED, len(lane.suspensions), *labels)


def _add_store(families: Families, lane: Lane, labels: tuple[str, str]) -> None:
    families.add(declared.VIEWS, lane.store.count_views(), *labels)
    if not isinstance(lane.store, LmdbLane):
        return
    figures = lane.store.figures()
    families.add(declared.STORE_BYTES, figures.size, *labels)
    families.add(declared.STORE_USED, figures.used, *labels)
    families.add(declared.STORE_FREE_PAGES, figures.free_pages, *labels)
    families.add(declared.STORE_MAP, figures.map_size, *labels)
    families.add(declared.STORE_FILL, figures.size / figures.map_size, *labels)
    families.add(declared.STORE_READERS, figures.readers, *labels)
    families.add(declared.STORE_OLDEST, figures.oldest_reader, *labels)
