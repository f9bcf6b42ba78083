"""The trace that a message or a request belongs to: `traceparent`, as W3C Trace Context writes it."""

from __future__ import annotations

import re
from typing import NamedTuple

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A trace, and the span in it that went before."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16 hexadecimal digits
    is_sampled: bool  # whether whoever began the trace records it

    @classmethod
    def parse(cls, traceparent: str) -> TraceContext | None:
        """Return the trace that a `traceparent` names; None where it is not one: it comes from outside."""
        found = _TRACEPARENT.fullmatch(traceparent)
        if found is None or (traceparent.startswith("00") and len(traceparent) != 55):  # version 00 ends here
            return None
        return cls(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))
