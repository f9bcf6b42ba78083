"""Metrics of a sink for Prometheus, at a port of its own on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from projection.sink.process import Sink

_HOST = "127.0.0.1"


@contextmanager
def metrics_served(sink: Sink, port: int) -> Iterator[int]:
    """Answer at a port of loopback for as long as it is entered; 0: one that is free. Gives the port.

    Raises:
        ConfigurationError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(_OfSink(sink))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, _HOST, registry)
    except OSError as error:
        raise ConfigurationError(f"option --metrics-port: {_HOST}:{port} cannot be used: {error.strerror}") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _OfSink(Collector):
    """Reads what a sink says of itself."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def collect(self) -> Iterator[Metric]:
        """All numbers as they are now."""
        connected = GaugeMetricFamily("projection_sink_connected", "Whether the database is connected.")
        connected.add_metric((), float(self._sink.is_connected))
        of = ("view_type",)
        scanned = GaugeMetricFamily("projection_sink_scanned", "Up to where all changes are in the table.", labels=of)
        events = GaugeMetricFamily(
            "projection_sink_lag_events", "At most so many events the node has read beyond.", labels=of
        )
        seconds = GaugeMetricFamily("projection_sink_lag_seconds", "Since the table was last level.", labels=of)
        rows = CounterMetricFamily("projection_sink_rows", "Rows written and deleted.", labels=of)
        for view_type, filling in list(self._sink.fillings.items()):
            lag = filling.lag
            scanned.add_metric((view_type,), lag.scanned)
            events.add_metric((view_type,), lag.events)
            seconds.add_metric((view_type,), lag.seconds)
            rows.add_metric((view_type,), filling.rows_written)
        yield from (connected, scanned, events, seconds, rows)
