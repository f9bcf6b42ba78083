"""What is measured of queries: how long which kinds of them took, what they looked at, and why some were refused."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING

from projection.model.distribution import Distribution

if TYPE_CHECKING:
    from projection.errors import ProjectionError

VIEW, PAST = "view", "past"  # shapes of what is no query in the form of docs/query.md: those have that of their plan
SHAPES = (VIEW, "ids", "index", "index_sorted", "scan", "scan_sorted", PAST)


class QueryMeasures:
    """Counts queries by shape: there are few shapes, whatever is asked."""

    def __init__(self) -> None:
        self.seconds = {shape: Distribution() for shape in SHAPES}
        self.examined = Counter[str]()  # views that were looked at
        self.failures = Counter[str]()  # by the code of the error

    def answered(self, shape: str, began: float, examined: int = 1) -> None:
        """Count a query that was answered.

        Args:
            shape: how it was answered.
            began: when, by the performance counter.
            examined: views that it looked at.
        """
        self.seconds[shape].add(perf_counter() - began)
        self.examined[shape] += examined

    def refused(self, error: ProjectionError) -> None:
        """Count a query that was not answered."""
        self.failures[error.code] += 1
