"""Timestamps as producers write them, made RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from projection.model.timestamp import format_timestamp

TimeForm = Literal["rfc3339", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "dotnet_ticks"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)
# Of each form that counts: from when on, and how many of its units are a second.
_COUNTED = {
    "epoch_s": (_EPOCH, 1),
    "epoch_ms": (_EPOCH, 1_000),
    "epoch_us": (_EPOCH, 1_000_000),
    "epoch_ns": (_EPOCH, 1_000_000_000),
    "dotnet_ticks": (_YEAR_1, 10_000_000),
}
_NUMBER = re.compile(r"(-?)(\d{1,25})(?:\.(\d{1,25}))?(?:[eE]([+-]?\d{1,2}))?", re.ASCII)


def counted_timestamp(text: str, form: TimeForm) -> str:
    """Return an RFC 3339 timestamp; what is finer than a microsecond is cut, towards the past.

    Args:
        text: a decimal number, as it stands in JSON, in a header or in a subject.
        form: what it counts.

    Raises:
        ValueError: it is no number, or lies outside the years 1 to 9999.
    """
    since, units = _COUNTED[form]
    if (match := _NUMBER.fullmatch(text)) is None:
        raise ValueError(f"{text[:64]!r} is no number of at most 50 digits, and so no {form}")
    sign, whole, fraction, exponent = match.groups(default="")
    shift = int(exponent or 0) - len(fraction)
    number = int(sign + whole + fraction) * 1_000_000 * 10 ** max(shift, 0)
    try:
        return format_timestamp(since + timedelta(microseconds=number // (units * 10 ** max(-shift, 0))))
    except OverflowError:
        raise ValueError(f"{text[:64]!r} as {form} lies outside the years 1 to 9999") from None


def with_offset(text: str, offset: str) -> str:
    """Return an RFC 3339 timestamp, which gets an offset where it has none."""
    has_one = text[-1:] in ("Z", "z") or (len(text) > 6 and text[-6] in "+-" and text[-3] == ":")
    return text if has_one else text + offset
