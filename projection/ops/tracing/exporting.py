"""The exporter: spans wait in a queue of bounded length and are sent by a thread; a collector that is away costs spans.

All that OpenTelemetry has variables for is the library's to read: endpoint, headers, sampler, queue, limits.
"""

from __future__ import annotations

import logging
import os
import re
from importlib.metadata import version
from threading import Thread
from typing import TYPE_CHECKING, Self

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind

from projection.engine.tracing import Tracing
from projection.errors import ConfigurationError
from projection.ops.tracing.batches import TracedBatches
from projection.ops.tracing.requests import RequestTraces
from projection.ops.tracing.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, TraceState
    from opentelemetry.util.types import Attributes

    from projection.engine.committer import Committer
    from projection.ops.tracing.batches import LastCommits

log = structlog.get_logger(component="node")

_SERVICE = "projection-node"
_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"  # docs/decisions/0051-traces.md
_SHOWN = 300  # characters of what the library says of a failure
_NOTHING = "no reason was given"
_DEFAULTS = re.compile(r"\.? (Defaulting|Using default).*")  # what the library would do instead


class NodeTracing(Tracing):
    """The traces of one node."""

    def __init__(self, provider: TracerProvider, stream: str) -> None:
        """Use `open`."""
        self._provider = provider
        self._spans = Spans(provider.get_tracer("projection", version(_SERVICE), _SCHEMA))
        self._stream = stream
        self._last_commits: LastCommits = {}
        self.left_s = 0.0  # for the last spans, when this is closed
        self.requests = RequestTraces(self._spans, self._last_commits)

    @classmethod
    def open(cls, node: str, stream: str, exporter: SpanExporter | None = None) -> Self:
        """Begin to export, as OpenTelemetry's variables in the environment say.

        Args:
            node: the node's name.
            stream: the name of its log.
            exporter: sends spans; None: OTLP over HTTP.

        Raises:
            ConfigurationError: a variable has a value that cannot be used.
        """
        told = {"service.name": _SERVICE, "service.version": version(_SERVICE), "service.instance.id": node}
        _settle_variables()
        _quiet_library()
        try:
            resource = Resource.create({**told, **OTELResourceDetector().detect().attributes})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            if isinstance(provider.sampler, ParentBased):
                provider.sampler = _LinkBased(provider.sampler)
            provider.add_span_processor(BatchSpanProcessor(_Told(exporter or OTLPSpanExporter())))
        except ValueError as error:
            raise _unusable(str(error)) from None
        if _LAST_WORDS.text != _NOTHING:  # the library would go on, by a value of its own
            provider.shutdown()
            raise _unusable(_DEFAULTS.sub("", _LAST_WORDS.text))
        return cls(provider, stream)

    def of_reading(self, members: Sequence[Committer]) -> TracedBatches:
        """See `Tracing.of_reading`."""
        return TracedBatches(self._spans, self._stream, self._last_commits, members)

    def close(self) -> None:
        """Send what waits, for no longer than `left_s`: a collector that does not answer holds up no end."""
        ending = Thread(target=self._end, name="end of traces", daemon=True)
        ending.start()
        ending.join(self.left_s)
        if ending.is_alive():
            log.warning("the last traces were not exported", waited_s=round(self.left_s, 1))

    def _end(self) -> None:
        self._provider.force_flush()  # `shutdown` alone waits for half a minute at most
        self._provider.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LinkBased(Sampler):
    """Samples a batch that links to an event which is recorded elsewhere; all else is another sampler's to decide.

    A batch is the first span of its trace. Without it, the spans of its events would belong to nothing.
    """

    def __init__(self, otherwise: ParentBased) -> None:
        self._otherwise = otherwise

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler.should_sample`."""
        is_batch = kind is SpanKind.CONSUMER and not parent_context
        if is_batch and any(link.context.trace_flags.sampled for link in links or ()):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._otherwise.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """See `Sampler.get_description`."""
        return "LinkBased"


class _Told(SpanExporter):
    """Another exporter, of which the log tells once that it fails, and once that it works again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter.export`."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning(
                    "traces cannot be exported",
                    reason=_LAST_WORDS.text,
                    hint="check that the collector runs, and accepts OTLP over HTTP at OTEL_EXPORTER_OTLP_ENDPOINT",
                )
            self._lost += len(spans)
        elif self._lost:
            log.info("traces are exported again", lost_spans=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """See `SpanExporter.shutdown`."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanExporter.force_flush`."""
        return self._exporter.force_flush(timeout_millis)


def _unusable(why: str) -> ConfigurationError:
    if "header" in why.lower():  # and goes on with the header, which may hold a key
        why = "OTEL_EXPORTER_OTLP_HEADERS is a list such as name=value,name=value"
    return ConfigurationError(
        f"a variable OTEL_… of the environment cannot be used: {why}",
        hint="correct it, or set OTEL_TRACES_EXPORTER=none to export no traces",
    )


def _settle_variables() -> None:
    """Treat empty and missing variables as OpenTelemetry defines it, where the library takes them for wrong values."""
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value.strip()]:
        del os.environ[name]  # the same as one that is not set
    if os.environ.get("OTEL_TRACES_SAMPLER", "").lower().endswith("traceidratio"):
        os.environ.setdefault("OTEL_TRACES_SAMPLER_ARG", "1.0")


class _LastWords(logging.Handler):
    """Keeps what the library said last: it says it again at each attempt, and to stderr."""

    text = _NOTHING

    def emit(self, record: logging.LogRecord) -> None:
        """One line of it. Behind a `?` of an address there may be a key."""
        self.text = re.sub(r"\?[^\s'\")]*", "?…", record.getMessage())[:_SHOWN]


_LAST_WORDS = _LastWords(logging.WARNING)


def _quiet_library() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_LAST_WORDS]
    _LAST_WORDS.text = _NOTHING
