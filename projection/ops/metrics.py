"""Metrics for Prometheus: what the node knows of itself is read when it is asked for, requests are counted as they end.

Labels have few values, all of them the operator's: view types, builds, endpoints, statuses. No id, tenant or text of a
request ever becomes one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from projection.model.distribution import Distribution
from projection.ops import metric_declarations as declared
from projection.ops.metric_families import Exposition, Families
from projection.ops.node_metrics import NodeNumbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.engine.live_backups import LiveBackups
    from projection.engine.node import Node
    from projection.engine.tasks import Tasks
    from projection.query.service import Queries

__all__ = ["Metrics"]

_OWN = (*declared.NODE, *declared.BUILDS, *declared.STORES, *declared.QUERIES, *declared.WORK)


class Metrics:
    """The numbers of one node and its server."""

    def __init__(
        self,
        node: Node,
        queries: Queries,
        streams: Callable[[], int],
        tasks: Tasks,
        backups: LiveBackups,
        data: Path | None = None,
    ) -> None:
        """The numbers of a node.

        Args:
            node: open.
            queries: that are answered from it.
            streams: says how many streams of changes are open.
            tasks: the node's long operations.
            backups: of its data folder.
            data: that folder.
        """
        self._node = NodeNumbers(node, data)
        self._queries = queries
        self._streams = streams
        self._tasks = tasks
        self._backups = backups
        self._requests = Counter[tuple[str, int]]()
        self._durations = defaultdict[str, Distribution](Distribution)
        self._process = ProcessCollector(registry=None)

    def answered(self, endpoint: str, status: int, seconds: float, trace_id: str = "") -> None:
        """Count a request; the endpoint is a path with names in braces, so there are few.

        Args:
            endpoint: that answered.
            status: with which.
            seconds: that it took.
            trace_id: of the trace which tells more of it, where there is one.
        """
        self._requests[endpoint, status] += 1
        self._durations[endpoint].add(seconds, trace_id)

    async def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All numbers as they are now, and the media type of that text: one that a header `accept` names, if it does.

        A node of many builds has many numbers: after each build and each family, others have their turn.
        """
        families = Families(_OWN)
        for _ in self._node.adding(families):
            await asyncio.sleep(0)
        self._add(families)
        exposition = Exposition(accept)
        found = []
        for family in (*families, *self._process.collect()):
            if family.samples:
                found.append(exposition.text(family))
                await asyncio.sleep(0)
        return b"".join((*found, exposition.end)), exposition.media_type

    def _add(self, families: Families) -> None:
        measures = self._queries.measures
        for shape, distribution in measures.seconds.items():
            families.add_distribution(declared.QUERY_TIME, distribution, shape)
            families.add(declared.QUERY_EXAMINED, measures.examined[shape], shape)
        for code, count in measures.failures.items():
            families.add(declared.QUERY_FAILURES, count, code)
        families.add(declared.QUERIES_UNDER_WAY, self._queries.under_way)
        families.add(declared.FOLLOWERS, self._streams())
        for (endpoint, status), count in self._requests.items():
            families.add(declared.HTTP_REQUESTS, count, endpoint, str(status))
        for endpoint, distribution in self._durations.items():
            families.add_distribution(declared.HTTP_TIME, distribution, endpoint)
        for kind, count in self._tasks.under_way().items():
            families.add(declared.OPERATIONS, count, kind)
        families.add(declared.BACKUP_AT, self._backups.last_good)
        families.add(declared.BACKUP_FAILURES, self._backups.failures)
