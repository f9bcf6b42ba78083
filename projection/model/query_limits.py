"""What one query may take of the node; whoever asks for more is told which limit it was and how to ask for less."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from projection.model.checkpoint import Frozen
from projection.model.setting_types import Count  # noqa: TC001 - pydantic reads it


class QueryLimits(Frozen):
    """Limits of each query, and of all at a time."""

    default_limit: Annotated[Count, Field(ge=1, le=100_000)] = 50  # views on a page that names no limit
    max_limit: Annotated[Count, Field(ge=1, le=100_000)] = 1_000  # views on a page
    max_ids: Annotated[Count, Field(ge=1, le=100_000)] = 1_000  # that one query may ask for by name
    scanned: Annotated[Count, Field(ge=1, le=10**12)] = 1_000_000  # views that one query may look at
    gas: Annotated[Count, Field(ge=1, le=10**15)] = 100_000_000  # for the filter, on all views together
    time_ms: Annotated[Count, Field(ge=1, le=600_000)] = 5_000  # from its first look at the store; then it lets go
    response_bytes: Annotated[Count, Field(ge=1024, le=1024**3)] = 8 * 1024**2  # of views; a page ends before it
    concurrent: Annotated[Count, Field(ge=1, le=10_000)] = 64  # queries under way in one process
    waiting: Annotated[Count, Field(ge=1, le=100_000)] = 512  # queries that wait for their `min_sequence`
    max_wait_ms: Annotated[Count, Field(ge=0, le=600_000)] = 30_000  # that a query may wait for its `min_sequence`
    past: Annotated[Count, Field(ge=1, le=1_000)] = 4  # views of the past (`at`) that are folded at a time
    past_events: Annotated[Count, Field(ge=1, le=10**9)] = 100_000  # that may be read for one of them
    filter_bytes: Annotated[Count, Field(ge=1, le=1024**2)] = 16_384  # of a filter's text, or of its JSON
    filter_depth: Annotated[Count, Field(ge=1, le=100)] = 32  # of a structured filter
    filter_nodes: Annotated[Count, Field(ge=1, le=100_000)] = 4_000  # of a filter's computation, as it is compiled
    filter_leaves: Annotated[Count, Field(ge=1, le=10_000)] = 500  # comparisons in a structured filter

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.default_limit > self.max_limit:
            raise ValueError(f"default_limit {self.default_limit} is above max_limit {self.max_limit}")
        return self
