"""Which libraries an installation may be without, and the extra of the package that brings each."""

from __future__ import annotations

from projection.errors import ConfigurationError

EXTRAS = {
    "avro": frozenset({"fastavro"}),
    "client": frozenset({"httpx"}),
    "node": frozenset(
        {
            "cryptography", "fastapi", "httptools", "jwt", "lmdb", "nats", "prometheus_client", "starlette",
            "uvicorn", "uvloop",
        }
    ),
    "otel": frozenset({"opentelemetry"}),
    "parquet": frozenset({"pyarrow"}),
    "postgres": frozenset({"psycopg"}),
    "protobuf": frozenset({"google"}),
    "testing": frozenset({"hypothesis", "pytest", "syrupy"}),
    "websocket": frozenset({"aiohttp"}),
    "zstd": frozenset({"backports"}),
}  # fmt: skip


class MissingExtraError(ConfigurationError, ImportError):
    """What was asked for needs a library that is not installed; the hint is the command that installs it."""

    default_code = "configuration.extra"


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """What to tell people instead; None where no extra of this package brings the module."""
    library = (error.name or "").partition(".")[0]
    for extra, libraries in EXTRAS.items():
        if library in libraries:
            return MissingExtraError(
                f"this needs {library}, which is not installed", hint=f"pip install 'projection-node[{extra}]'"
            )
    return None
