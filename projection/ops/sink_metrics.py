"""Metrics of a sink for Prometheus, at a port of its own on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.registry import Collector

from projection.errors import ConfigurationError
from projection.ops import metric_declarations as declared
from projection.ops.metric_families import Families

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
        families = Families(declared.SINK)
        families.add(declared.SINK_CONNECTED, int(self._sink.is_connected))
        for view_type, filling in list(self._sink.fillings.items()):
            lag = filling.lag
            families.add(declared.SINK_SCANNED, lag.scanned, view_type)
            families.add(declared.SINK_LAG_EVENTS, lag.events, view_type)
            families.add(declared.SINK_LAG, lag.seconds, view_type)
            families.add(declared.SINK_ROWS, filling.rows_written, view_type)
        return iter(families)
