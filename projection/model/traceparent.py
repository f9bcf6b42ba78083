"""`traceparent` of the W3C's Trace Context: which span of whoever published an event, or asks, something belongs to."""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_HEADER = re.compile(rb"\r\ntraceparent:[ \t]*([!-~]*)[ \t]*\r\n", re.IGNORECASE)
_SAMPLED = 0x01
# A look at one character spares most: of a span that is recorded, the last digit of the flags is one of these.
_LAST_OF_FLAGS = slice(54, 55)
_RECORDED = frozenset("13579bdf")


class TraceParent(NamedTuple):
    """A span of somebody else, and what was decided about recording it."""

    trace_id: int  # 128 bits, not 0
    span_id: int  # 64 bits, not 0
    flags: int  # 8 bits

    @property
    def trace(self) -> str:
        """The trace's id as logs and exemplars show it: 32 hexadecimal digits."""
        return f"{self.trace_id:032x}"

    @property
    def is_sampled(self) -> bool:
        """Whether the span is recorded where it came from."""
        return bool(self.flags & _SAMPLED)


def parse_traceparent(text: str) -> TraceParent | None:
    """Return the span that a `traceparent` names; None where it is none, which is to be ignored.

    Of a later version, what it shares with version 00 is read, as the standard has it.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    parent = TraceParent(int(trace_id, 16), int(span_id, 16), int(flags, 16))
    return parent if parent.trace_id and parent.span_id else None


def parent_of(text: str | None, headers: bytes) -> TraceParent | None:
    """Return the span that an event comes from; None where there is none.

    Args:
        text: what the envelope says. Where that is no `traceparent`, the header of the message counts.
        headers: the block of them, as NATS carries it; empty: there are none.
    """
    parent = None if text is None else parse_traceparent(text)
    if parent is None and headers and (found := _HEADER.search(headers)) is not None:
        parent = parse_traceparent(found[1].decode())
    return parent


def sampled_parent(text: str | None, headers: bytes) -> TraceParent | None:
    """Return the span that an event comes from, as `parent_of`, if it is recorded."""
    if not headers and (text is None or text[_LAST_OF_FLAGS] not in _RECORDED):
        return None  # without a look at the rest
    parent = parent_of(text, headers)
    return parent if parent is not None and parent.is_sampled else None
