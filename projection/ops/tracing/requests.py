"""Spans of requests: whoever asks may have a trace, which the answer is a part of."""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from opentelemetry.trace import Link, SpanKind

from projection.ops.tracing.spans import bounded, remote

if TYPE_CHECKING:
    from starlette.types import Scope

    from projection.model.traceparent import TraceParent
    from projection.ops.tracing.batches import LastCommits
    from projection.ops.tracing.spans import Spans

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


class RequestTraces:
    """Makes the spans of requests that were answered."""

    def __init__(self, spans: Spans, last_commits: LastCommits) -> None:
        """Nobody has asked yet.

        Args:
            spans: makes them.
            last_commits: each view type's last commit that has a span; an answer with that in it links to it.
        """
        self._spans = spans
        self._last_commits = last_commits

    def answered(
        self, scope: Scope, parent: TraceParent | None, route: str | None, status: int, seconds: float
    ) -> None:
        """Make the span of a request that was answered just now.

        Args:
            scope: of the request.
            parent: the span of whoever asks; None where there is none.
            route: the template of its path; None where there is no such address.
            status: of the answer.
            seconds: that it took.
        """
        now, method = perf_counter(), scope["method"]
        known = method if method in _METHODS else "_OTHER"
        attributes: dict[str, str | int | bool] = {
            "http.request.method": known,
            "http.response.status_code": status,
            "network.protocol.version": scope["http_version"],
            "url.path": bounded(scope["path"]),
            "url.scheme": scope["scheme"],
        }
        if known != method:
            attributes["http.request.method_original"] = bounded(method)
        if route is not None:
            attributes["http.route"] = route
        if scope.get("server") is not None:
            host, port = scope["server"]
            attributes["server.address"] = host
            if port is not None:
                attributes["server.port"] = port
        if (tenant := scope["state"].get("tenant")) is not None:
            attributes["projection.tenant"] = bounded(tenant)
        self._spans.look_at_clock()
        verb = "HTTP" if known == "_OTHER" else known
        self._spans.add(
            verb if route is None else f"{verb} {route}",
            (now - seconds, now),
            attributes,
            kind=SpanKind.SERVER,
            parent=None if parent is None else remote(parent),
            links=self._links(scope),
            error=str(status) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None,
        )

    def _links(self, scope: Scope) -> list[Link]:
        """To the last commit that has a span, where the answer has it in it."""
        if (answer := scope.get("answer")) is None:
            return []
        view_type, build, scanned = answer
        last = self._last_commits.get(view_type)
        if last is None or last.build != build or last.scanned > scanned:
            return []
        return [Link(last.context, {"projection.position": last.scanned})]
