"""Declared metrics as families of Prometheus' library for Python, and their text."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.samples import Exemplar

from projection.ops.metric_declarations import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from projection.model.distribution import Distribution
    from projection.ops.metric_declarations import Metric as Declared

_KINDS = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily, Kind.HISTOGRAM: HistogramMetricFamily}
_END = b"# EOF\n"  # of an exposition as OpenMetrics
_OPEN_METRICS = "application/openmetrics-text"


class Families:
    """The families of one exposition, made of declarations as values for them come in; those without any are empty."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        """A family for each of these."""
        self._families = {one: _family(one) for one in declared}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def add(self, one: Declared, value: float | None, *labels: str) -> None:
        """Add a value; None: there is none for now."""
        if value is not None:
            self._families[one].add_metric(labels, value)

    def add_info(self, one: Declared, *labels: str) -> None:
        """Add what an info metric says."""
        self._families[one].add_metric((), dict(zip(one.labels, labels, strict=True)))

    def add_distribution(self, one: Declared, distribution: Distribution, *labels: str) -> None:
        """Add the buckets of a histogram."""
        bounds = (*map(str, distribution.bounds), "+Inf")
        buckets: list[Sequence[Any]] = [
            (bound, float(count))
            if found is None
            else (bound, float(count), Exemplar({"trace_id": found[0]}, *found[1:]))
            for bound, count, found in zip(bounds, accumulate(distribution.counts), distribution.exemplars, strict=True)
        ]
        self._families[one].add_metric(labels, buckets, distribution.total)


def _family(one: Declared) -> Any:
    if one.kind is Kind.INFO:
        return InfoMetricFamily(one.name, one.help)  # its labels are what it says
    return _KINDS[one.kind](one.name, one.help, labels=one.labels, unit=one.unit)


class Exposition:
    """The text of metrics in the format that a client accepts: OpenMetrics, or else that of old."""

    def __init__(self, accept: str) -> None:
        """An exposition for a request with this header `accept`; empty: it had none."""
        # Not all of the header goes to the library, which answers with the version that a client makes up.
        self._encode, self.media_type = choose_encoder(_OPEN_METRICS if _takes_open_metrics(accept) else "")

    def text(self, family: Metric) -> bytes:
        """The text of one family, of which `end` comes after the last."""
        return self._encode(_One(family)).removesuffix(_END)

    @property
    def end(self) -> bytes:
        """What an exposition ends with."""
        return _END if self.media_type.startswith(_OPEN_METRICS) else b""


def _takes_open_metrics(accept: str) -> bool:
    for one in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in one.split(";"))
        if media_type == "application/openmetrics-text":
            return not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", part) for part in parameters)
    return False


class _One:
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        """See the library's `Collector`."""
        return (self._family,)
