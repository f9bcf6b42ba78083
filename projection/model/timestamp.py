"""RFC 3339 timestamps: an instant and the offset it was written with; the laxness of Python's own parser is fenced."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

_RFC3339 = re.compile(  # hours by the pattern: some versions of `fromisoformat` take 24:00:00
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


class Moment(NamedTuple):
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
    if (local := _usual(text)) is not None:
        offset = local.utcoffset() or timedelta()
        try:
            return Moment(local.astimezone(UTC), offset, local.date())
        except OverflowError as error:
            raise ValueError(f"{text[:64]!r} is not a point in time: {error}") from None
    if (match := _RFC3339.fullmatch(text)) is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 timestamp with an offset, like 2000-01-01T00:00:00+01:00")
    day, clock, fraction, sign, hours, minutes = match.groups()
    offset = timedelta()
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError(f"{text[:64]!r} has an offset beyond 23:59")
        offset = timedelta(hours=int(hours), minutes=int(minutes)) * (1 if sign == "+" else -1)
    try:
        local = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}")
        return Moment((local - offset).replace(tzinfo=UTC), offset, local.date())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:64]!r} is not a point in time: {error}") from None


def _usual(text: str) -> datetime | None:
    """The time of a text in the form that nearly all have, `2000-01-31T12:00:00Z` or with an offset; else None.

    Python's own parser is eight times as fast as the pattern, and takes more: what it might take besides, the places of
    the separators shut out.
    """
    size = len(text)
    if size == 20:
        ends_well = text[19] == "Z"
    elif size == 25:
        ends_well = text[22] == ":" and text[19] in "+-" and text[20:22] < "24" and text[23] < "6"
    else:
        return None
    if not (ends_well and text[4] == text[7] == "-" and text[10] == "T" and text[13] == text[16] == ":"):
        return None
    if not (text.isascii() and text[11:13] < "24"):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def format_timestamp(time: datetime) -> str:
    """An instant as text in UTC, `Z` at its end, with six digits of a second unless it is whole."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
