"""Metrics for Prometheus: what the node knows of itself is read when it is asked for, requests are counted as they end.

Labels have few values, all of them the operator's: view types, builds, endpoints, statuses. No id, tenant or text of a
request ever becomes one.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from time import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as MEDIA_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from projection import __version__
from projection.engine.durations import BOUNDS_S
from projection.engine.log_writer import DROPPED
from projection.errors import StorageError
from projection.query.freshness import age

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from projection.engine.durations import Durations
    from projection.engine.lane import Lane
    from projection.engine.live_backups import LiveBackups
    from projection.engine.node import Node

__all__ = ["MEDIA_TYPE", "Metrics"]

_OF_LANE = ("view_type", "build")
_REQUEST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The numbers of one node and its server."""

    def __init__(self, node: Node, streams: Callable[[], int], backups: LiveBackups | None = None) -> None:
        """The numbers of a node and of its backups; `streams` says how many streams are open."""
        self._registry = CollectorRegistry()
        self._registry.register(_OfNode(node))
        if backups is not None:
            self._registry.register(_OfBackups(backups))
        ProcessCollector(registry=self._registry)
        Info("projection", "The package.", registry=self._registry).info({"version": __version__})
        requests = Counter(
            "projection_http_requests", "Requests that were answered.", ("endpoint", "status"), registry=self._registry
        )
        durations = Histogram(
            "projection_http_request_seconds",
            "From a request's headers to the end of its answer.",
            ("endpoint",),
            buckets=_REQUEST_S,
            registry=self._registry,
        )
        self._of = cache(lambda endpoint, status: (requests.labels(endpoint, status), durations.labels(endpoint)))
        open_streams = Gauge("projection_http_streams", "Streams of changes that are open.", registry=self._registry)
        open_streams.set_function(streams)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request; the endpoint is a path with names in braces, so there are few."""
        counter, histogram = self._of(endpoint, status)
        counter.inc()
        histogram.observe(seconds)

    def exposition(self) -> bytes:
        """All numbers as they are now, in the text format of `MEDIA_TYPE`."""
        return generate_latest(self._registry)


class _OfNode(Collector):
    """Reads what a node says of itself."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._began = time()

    def describe(self) -> Iterator[Metric]:
        """The names; without their values, for the node may not be asked yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        node = self._node
        yield GaugeMetricFamily(
            "projection_ready", "1 while the node follows the log and has caught up with it.", value=int(node.is_ready)
        )
        to_go, seconds = node.health.events_to_go, node.health.catch_up_s
        yield GaugeMetricFamily(
            "projection_events_to_go", "Messages until the node has caught up with the log.", value=to_go or 0
        )
        if seconds is not None:
            yield GaugeMetricFamily(
                "projection_catch_up_seconds", "How long that will take, if it goes on so.", value=seconds
            )
        yield CounterMetricFamily("projection_events", "Messages that were read.", value=node.events)
        yield CounterMetricFamily(
            "projection_unhandled", "Messages that no program handles.", value=node.unhandled.count
        )
        yield CounterMetricFamily(
            "projection_log_lines_dropped", "Log lines that could not be written.", value=DROPPED.count
        )
        markers = CounterMetricFamily(
            "projection_passed_over", "Messages that are no events, by kind.", labels=("kind",)
        )
        for kind, count in node.unhandled.markers.items():
            markers.add_metric((kind,), count)
        yield markers
        gauges = {
            "scanned": GaugeMetricFamily(
                "projection_scanned", "The last sequence whose effect is stored.", labels=_OF_LANE
            ),
            "lag": GaugeMetricFamily(
                "projection_lag_seconds",
                "How old the views are; where nothing tells that, how long the node has been running.",
                labels=_OF_LANE,
            ),
            "views": GaugeMetricFamily("projection_views", "Views that are stored.", labels=_OF_LANE),
            "parked": GaugeMetricFamily(
                "projection_parked", "Events that are parked or were skipped.", labels=_OF_LANE
            ),
            "halted": GaugeMetricFamily("projection_halted", "1 where a view type has halted.", labels=_OF_LANE),
        }
        gas = CounterMetricFamily("projection_gas", "Gas that programs used.", labels=_OF_LANE)
        commits = HistogramMetricFamily(
            "projection_commit_seconds", "From a commit's begin until it is stored.", labels=_OF_LANE
        )
        for lane, durations in node.durations.items():
            labels = (lane.view_type, str(lane.build))
            for name, value in _figures(node, lane, self._began).items():
                gauges[name].add_metric(labels, value)
            gas.add_metric(labels, lane.gas)
            _add(commits, labels, durations)
        for unopened in node.health.unopened:
            gauges["halted"].add_metric((unopened.build.view_type, str(unopened.build.number)), 1)
        held = GaugeMetricFamily(
            "projection_build_held",
            "1 where a build has caught up and does not answer yet, by what holds it.",
            labels=(*_OF_LANE, "gate"),
        )
        for view_type, one in node.health.waiting.items():
            held.add_metric((view_type, str(one.build), one.gate), 1)
        yield from (*gauges.values(), gas, commits, held)


class _OfBackups(Collector):
    """Reads what is known of a node's backups."""

    def __init__(self, backups: LiveBackups) -> None:
        self._backups = backups

    def describe(self) -> Iterator[Metric]:
        """See `_OfNode.describe`."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        if self._backups.last_good is not None:
            yield GaugeMetricFamily(
                "projection_backup_last_good_timestamp_seconds",
                "When the newest backup was begun.",
                value=self._backups.last_good,
            )
        yield CounterMetricFamily("projection_backup_failures", "Backups that failed.", value=self._backups.failures)


def _figures(node: Node, lane: Lane, began: float) -> dict[str, float]:
    found: dict[str, float] = {
        "scanned": lane.position.scanned,
        "parked": lane.parked,
        "halted": int(lane.halted is not None),
    }
    lag_s = age(lane.position, node.level_at(lane.view_type, lane.build)).lag_s
    found["lag"] = max(0.0, time() - began) if lag_s is None else lag_s
    try:
        found["views"] = lane.store.count_views()
    except StorageError:  # the store says so elsewhere, and the other numbers are wanted then more than ever
        return found
    return found


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], durations: Durations) -> None:
    bounds = (*map(str, BOUNDS_S), "+Inf")
    family.add_metric(labels, list(zip(bounds, map(float, accumulate(durations.counts)), strict=True)), durations.sum_s)
