"""RFC 3339 timestamps: an instant and the offset it was written with; the laxness of Python's own parser is fenced."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import msgspec

_RFC3339 = re.compile(  # hours by the pattern: some versions of `fromisoformat` take 24:00:00
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When an event happened, and how that was written."""

    time: datetime  # UTC, whole microseconds
    offset: timedelta  # east of UTC
    date: date  # the calendar date as written


_OFFSETS: dict[str, timedelta] = {}  # by their text, as they come; there are 2,881 that are right


def parse_timestamp(text: str) -> Moment:
    """A moment from its RFC 3339 text; digits beyond the microsecond are cut.

    Raises:
        ValueError: the text is not an RFC 3339 timestamp with an offset, or lies outside the years 1 to 9999 in UTC.
    """
    # The form that nearly all have, `2000-01-31T12:00:00Z` or with an offset: Python's own parser is fast and takes
    # more, and what it might take besides is shut out by the places of the separators.
    offset = _OFFSETS.get(text[19:])
    try:
        if offset is not None and text[4:17:3] == "--T::" and not (text[11] == "2" and text[12] > "3"):
            local = datetime.fromisoformat(text[:19] + "+00:00")
            return Moment(local - offset, offset, local.date())
    except ValueError:
        pass  # and so it will be below, with a word why
    except OverflowError as error:
        raise _no_moment(text, error) from None
    return _any(text)


def _any(text: str) -> Moment:
    if (match := _RFC3339.fullmatch(text)) is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 timestamp with an offset, like 2000-01-01T00:00:00+01:00")
    day, clock, fraction, written = match.groups()
    offset = _offset(written)
    if offset is None:
        raise ValueError(f"{text[:64]!r} has an offset beyond 23:59")
    _OFFSETS[written] = offset
    try:
        local = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}+00:00")
        return Moment(local - offset, offset, local.date())
    except (ValueError, OverflowError) as error:
        raise _no_moment(text, error) from None


def _offset(text: str) -> timedelta | None:
    """East of UTC, from `Z` or `+01:00`; None where it is too much."""
    if text in "Zz":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[4:])
    if hours > 23 or minutes > 59:
        return None
    return timedelta(hours=hours, minutes=minutes) * (1 if text[0] == "+" else -1)


def _no_moment(text: str, error: Exception) -> ValueError:
    return ValueError(f"{text[:64]!r} is not a point in time: {error}")


def format_timestamp(time: datetime) -> str:
    """An instant as text in UTC, `Z` at its end, with six digits of a second unless it is whole."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
