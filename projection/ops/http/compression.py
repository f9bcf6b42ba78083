"""Compression of answers, for those who ask for it and where it pays."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message

    from projection.ops.http.credentials import Headers

_LEAST = 1_024  # bytes; less fits into a packet anyway
_IN_THREAD = 32_768  # bytes, from which on the event loop does not wait: some 300 µs
_LEVEL = 1  # of views' JSON, a quarter remains; level 6 makes a fifth and takes three times as long
_REFUSED = re.compile(rb"q\s*=\s*0(\.0*)?$")


def takes_gzip(headers: Headers) -> bool:
    """Whether a request's headers say that its answer may be compressed."""
    for name, value in headers:
        if name == b"accept-encoding":
            for one in value.split(b","):
                coding, _, quality = one.strip().partition(b";")
                if coding.strip().lower() in (b"gzip", b"*"):
                    return not _REFUSED.fullmatch(quality.strip())
    return False


async def compressed(head: Message, message: Message) -> None:
    """Compress a whole body, and have its head say so; small ones stay as they are."""
    body = message.get("body", b"")
    if len(body) < _LEAST:
        return
    if len(body) < _IN_THREAD:
        packed = gzip.compress(body, _LEVEL, mtime=0)
    else:
        packed = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
    message["body"] = packed
    head["headers"] = [(name, value) for name, value in head["headers"] if name != b"content-length"] + [
        (b"content-length", b"%d" % len(packed)),
        (b"content-encoding", b"gzip"),
    ]
