"""How often a measure had which size: counted in buckets, as a histogram of Prometheus wants it."""

from __future__ import annotations

from bisect import bisect_left
from time import time
from typing import NamedTuple

BOUNDS_S = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Exemplar(NamedTuple):
    """One measure that a trace tells more of."""

    trace_id: str
    value: float
    at: float  # Unix time


class Distribution:
    """Counts measures by bucket: `counts[n]` are those of at most `bounds[n]` and above the bound before it.

    The last count is of those above all bounds.
    """

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS_S) -> None:
        """Nothing was measured yet; the bounds ascend."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)  # the latest of each bucket
        self.total = 0.0  # the sum of all measures

    def add(self, value: float, trace_id: str = "") -> None:
        """Count one measure; `trace_id` is that of a trace which tells more of it, where there is one."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if trace_id:
            self.exemplars[bucket] = Exemplar(trace_id, value, time())
