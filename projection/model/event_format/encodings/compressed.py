"""Compressed bodies: what the header `content-encoding` says is undone, up to the size that an event may have."""

from __future__ import annotations

import sys
import zlib
from importlib import import_module
from typing import Any, Protocol

from projection.errors import DecodeError
from projection.extras import missing_extra
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.encodings.json_form import broken

HEADER = "content-encoding"
_READ = "gzip and zstd are read"
_UNREAD = {"s2": "no library for Python reads S2", "snappy": "Snappy is not read", "br": "Brotli is not read"}
_MOST_PARTS = 64  # of one body, each of which may be empty


class _Decompressor(Protocol):
    """What gzip and zstd have in common: one member or frame, undone as far as it is asked for."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes more."""


def decompressed(body: bytes, coding: str) -> bytes:
    """A body as it was before it was compressed.

    Args:
        body: as it came.
        coding: what the header says.

    Raises:
        DecodeError: D101 the body is damaged or ends too early, D102 the coding is none that is read, D104 the body is
            larger than an event may be.
        ConfigurationError: the coding takes a library that is not installed.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name in ("gzip", "x-gzip"):
        return _undone("gzip", body, lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), zlib.error)
    if name == "zstd":
        zstd = _zstd()
        return _undone("zstd", body, zstd.ZstdDecompressor, zstd.ZstdError)
    why = f": {_UNREAD[name]}" if name in _UNREAD else ""
    raise DecodeError(f"the body of the event has the content-encoding {name[:40]!r}{why}; {_READ}", code="D102")


def _undone(name: str, body: bytes, make: Any, error: type[Exception]) -> bytes:
    """All members of a compressed body, one behind another; no more is undone than an event may have."""
    found, rest = bytearray(), body
    for _ in range(_MOST_PARTS):
        one: _Decompressor = make()
        try:
            found += one.decompress(rest, MAX_ENVELOPE_BYTES + 1 - len(found))
            if not one.eof and len(found) <= MAX_ENVELOPE_BYTES:  # the end may still be to be read
                found += one.decompress(getattr(one, "unconsumed_tail", b""), 1)
        except error as wrong:
            raise broken(name, str(wrong)) from None
        if len(found) > MAX_ENVELOPE_BYTES:
            raise DecodeError(
                f"the event is more than {MAX_ENVELOPE_BYTES} bytes once decompressed; no more are allowed",
                code="D104",
            )
        if not one.eof:
            raise broken(name, "it ends too early")
        if not (rest := one.unused_data):
            return bytes(found)
    raise broken(name, f"it has more than {_MOST_PARTS} parts")


def _zstd() -> Any:
    try:  # before Python 3.14, it is that of backports-zstd
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None
