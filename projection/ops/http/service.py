"""What the endpoints serve from: one value, made by whoever starts the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import Request

    from projection.engine.node import Node
    from projection.engine.operations import Operations
    from projection.history.latest import LatestEvents
    from projection.history.past_views import PastViews
    from projection.model.http_settings import HttpSettings
    from projection.ops.http.access import Access
    from projection.ops.long_operations import LongOperations
    from projection.ops.metrics import Metrics
    from projection.ops.tracing.requests import RequestTraces
    from projection.query.change_feed import ChangeFeed
    from projection.query.service import Queries
    from projection.store.audit import Door


@dataclass(frozen=True, slots=True)
class Service:
    """A node that is asked, and what it is asked through."""

    node: Node
    operations: Operations
    long: LongOperations
    queries: Queries
    past: PastViews
    latest: LatestEvents
    access: Access
    metrics: Metrics
    changes: ChangeFeed
    settings: HttpSettings
    door: Door = "http"  # by which requests come
    traces: RequestTraces | None = None  # of requests; None: they are not traced
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # streams are to end


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service
