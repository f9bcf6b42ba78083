"""RFC 3339 timestamps: an instant and the offset it was written with; the laxness of Python's own parser is fenced."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import msgspec

_RFC3339 = re.compile(  # hours by the pattern: some versions of `fromisoformat` take 24:00:00
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When an event happened, and how that was written."""

    time: datetime  # UTC, whole microseconds
    offset: timedelta  # east of UTC
    date: date  # the calendar date as written


@lru_cache(maxsize=4096)  # events of one instant come together: daily batches, transactions
def parse_timestamp(text: str) -> Moment:
    """A moment from its RFC 3339 text; digits beyond the microsecond are cut.

    Raises:
        ValueError: the text is not an RFC 3339 timestamp with an offset, or lies outside the years 1 to 9999 in UTC.
    """
    try:
        return _usual(text) or _any(text)
    except OverflowError as error:
        raise ValueError(f"{text[:64]!r} is not a point in time: {error}") from None


def _usual(text: str) -> Moment | None:
    """The moment of a text in the form that nearly all have, `2000-01-31T12:00:00Z` or with an offset; else None.

    Python's own parser is fast and takes more: what it might take besides is shut out by the places of the separators.
    """
    offset = _offset(text[19:])
    if offset is None or text[4:17:3] != "--T::" or (text[11] == "2" and text[12] > "3"):
        return None
    try:
        local = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return None
    return Moment(local - offset, offset, local.date())


@lru_cache(maxsize=4096)
def _offset(text: str) -> timedelta | None:
    """East of UTC, from `Z` or `+01:00`; None of anything else."""
    if text == "Z":
        return timedelta()
    if (match := _OFFSET.fullmatch(text)) is None or int(match[2]) > 23 or int(match[3]) > 59:
        return None
    return timedelta(hours=int(match[2]), minutes=int(match[3])) * (1 if match[1] == "+" else -1)


def _any(text: str) -> Moment:
    if (match := _RFC3339.fullmatch(text)) is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 timestamp with an offset, like 2000-01-01T00:00:00+01:00")
    day, clock, fraction, written = match.groups()
    offset = _offset(written.upper())
    if offset is None:
        raise ValueError(f"{text[:64]!r} has an offset beyond 23:59")
    try:
        local = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}+00:00")
    except ValueError as error:
        raise ValueError(f"{text[:64]!r} is not a point in time: {error}") from None
    return Moment(local - offset, offset, local.date())


def format_timestamp(time: datetime) -> str:
    """An instant as text in UTC, `Z` at its end, with six digits of a second unless it is whole."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
