"""Messages of a log that are no events, by their headers: what a server or a key-value client leaves where data was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DELETE_MARKER = "delete marker"  # of the server, where the last message of a subject was removed
TOMBSTONE = "tombstone"  # of a key-value bucket: a key was deleted or purged
COUNTER = "counter"  # of a stream that adds up numbers
_DELETED = ("DEL", "PURGE")
_HEADERS = re.compile(rb"\r\n(?:(Nats-Marker-Reason)|(KV-Operation):\s*(?:DEL|PURGE)\s*\r|(Nats-Incr))")
_WORDS = {1: DELETE_MARKER, 2: TOMBSTONE, 3: COUNTER}


def no_event(headers: Mapping[str, str] | None, *, is_empty: bool) -> str:
    """What a message is, by its headers and whether it has no data, where it is no event; else empty."""
    if not headers:
        return ""
    if "Nats-Incr" in headers:
        return COUNTER
    if is_empty and "Nats-Marker-Reason" in headers:
        return DELETE_MARKER
    return TOMBSTONE if is_empty and headers.get("KV-Operation") in _DELETED else ""


def no_event_in(data: bytes, start: int, end: int, *, is_empty: bool) -> str:
    """Return the same, of headers as they stand in a buffer."""
    found = _HEADERS.search(data, start, end)
    if found is None or found.lastindex is None or not (is_empty or found.lastindex == 3):
        return ""
    return _WORDS[found.lastindex]
