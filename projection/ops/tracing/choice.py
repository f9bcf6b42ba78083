"""Whether a node exports traces: OpenTelemetry's own variables say so, and reading them does not need the library."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_LEAST_KEY = 16  # characters; shorter values name a tenant or a data set, and stay readable in the log
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")


def wants_traces(environ: Mapping[str, str]) -> bool:
    """Return whether traces are exported: a variable names an exporter or an endpoint, and none disables them.

    Raises:
        ConfigurationError: a variable names an exporter or a protocol that the node does not support.
    """
    exporter = _value(environ, "OTEL_TRACES_EXPORTER")
    is_off = _value(environ, "OTEL_SDK_DISABLED").lower() == "true" or exporter == "none"
    if is_off or not (exporter or any(_value(environ, name) for name in _ENDPOINTS)):
        return False
    if exporter not in ("", "otlp"):
        raise ConfigurationError(
            f"environment variable OTEL_TRACES_EXPORTER is {exporter!r:.80}, but a node can only export by `otlp`",
            hint="set OTEL_TRACES_EXPORTER=otlp to export traces, or OTEL_TRACES_EXPORTER=none to export none",
        )
    for name in _PROTOCOLS:
        if protocol := _value(environ, name):
            if protocol != _PROTOCOL:
                raise ConfigurationError(
                    f"environment variable {name} is {protocol!r:.80}, but a node can only export by {_PROTOCOL}",
                    hint=f"set {name}={_PROTOCOL}, and name the collector's port for HTTP, usually 4318",
                )
            break  # the first one is the stronger one
    return True


def secret_headers(environ: Mapping[str, str]) -> list[str]:
    """Return the credentials among the headers that spans are sent with: values as long as keys are."""
    parts = (part.strip() for name in _HEADERS for part in environ.get(name, "").split(","))
    values = [part.partition("=")[2] or part for part in parts]
    return [one for value in values for one in (value, unquote(value)) if len(one) >= _LEAST_KEY]


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
