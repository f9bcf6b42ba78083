"""Spans of what is over: made at its end, with the times when it began and ended, so that nothing is open meanwhile."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import Attributes

    from projection.model.traceparent import TraceParent

MAX_TEXT = 256  # characters of what comes from outside: ids, subjects, paths
_ROOT = Context()


class Spans:
    """Makes spans."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.look_at_clock()

    def look_at_clock(self) -> None:
        """Take the time of day from now on as it is now: spans that are made until the next time fit together."""
        self._epoch = time_ns() - int(perf_counter() * 1e9)

    def add(
        self,
        name: str,
        times: tuple[float, float],
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: SpanContext | None = None,
        links: Sequence[Link] = (),
        error: str | None = None,
    ) -> SpanContext | None:
        """Make a span, and return how others refer to it; None where the sampler leaves it out.

        Args:
            name: of the operation; of few values.
            times: when it began and ended, by `perf_counter`.
            attributes: of the span.
            kind: the side of a conversation that it is.
            parent: what it belongs to; None: it is the first of its trace.
            links: to spans of other traces.
            error: the class of the error that it ended with.
        """
        began, ended = (self._epoch + int(one * 1e9) for one in times)
        context = _ROOT if parent is None else set_span_in_context(NonRecordingSpan(parent), _ROOT)
        span = self._tracer.start_span(name, context, kind, attributes, links, began)
        if not span.is_recording():
            return None
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)
        return span.get_span_context()


def remote(parent: TraceParent) -> SpanContext:
    """How a span of somebody else is referred to."""
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))


def bounded(text: str) -> str:
    """What comes from outside, as an attribute may hold it: not too long, and text that can be encoded."""
    return text[:MAX_TEXT].encode(errors="replace").decode()
