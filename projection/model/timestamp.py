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
_moments: dict[str, Moment] = {}  # read lately, by their text: the events of one request, or one day, share theirs
_REMEMBERED = 1_024
_REMEMBERED_LENGTH = 35  # of nanoseconds with an offset


def parse_timestamp(text: str) -> Moment:
    """A moment from its RFC 3339 text; digits beyond the microsecond are cut.

    Raises:
        ValueError: the text is not an RFC 3339 timestamp with an offset, or lies outside the years 1 to 9999 in UTC.
    """
    if (moment := _moments.get(text)) is None:
        moment = _usual(text) or _any(text)
        if len(text) <= _REMEMBERED_LENGTH:
            if len(_moments) >= _REMEMBERED:
                _moments.clear()
            _moments[text] = moment
    return moment


def _usual(text: str) -> Moment | None:
    """The moment of the forms that nearly all have, `2000-01-31T12:00:00.123Z` or with an offset; None for others.

    Python's own parser is fast and takes more; what it might take besides is shut out by the places of the separators.
    """
    end = -1 if text[-1:] == "Z" else -6
    offset = _OFFSETS.get(text[end:])
    fraction = text[19:end]
    if (
        offset is None
        or text[4:17:3] != "--T::"
        or (text[11] == "2" and text[12] > "3")
        or (fraction and not (fraction[0] == "." and fraction[1:].isdecimal() and fraction.isascii()))
    ):
        return None
    try:
        local = datetime.fromisoformat(f"{text[:19]}{fraction[:7]}+00:00")
        return Moment(local - offset, offset, local.date())
    except (ValueError, OverflowError):
        return None  # and so it will be below, with a word why


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
        raise ValueError(f"{text[:64]!r} is not a point in time: {error}") from None


def _offset(text: str) -> timedelta | None:
    """East of UTC, from `Z` or `+01:00`; None where it is too much."""
    if text in "Zz":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[4:])
    if hours > 23 or minutes > 59:
        return None
    return timedelta(hours=hours, minutes=minutes) * (1 if text[0] == "+" else -1)


def format_timestamp(time: datetime) -> str:
    """An instant as text in UTC, `Z` at its end, with six digits of a second unless it is whole."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def just_after(text: str) -> str:
    """The first nanosecond behind an instant, as text in UTC.

    Raises:
        ValueError: as `parse_timestamp`; or it is the last instant there is.
    """
    moment = parse_timestamp(text).time
    match = _RFC3339.fullmatch(text)
    assert match is not None  # noqa: S101 - it was parsed
    nanoseconds = int(f"{match[3] or '0':0<9}"[:9]) + 1
    try:
        whole = moment.replace(microsecond=0) + timedelta(seconds=nanoseconds // 1_000_000_000)
    except OverflowError as error:
        raise ValueError(f"{text!r} is the last instant there is: {error}") from None
    return f"{whole.replace(tzinfo=None).isoformat()}.{nanoseconds % 1_000_000_000:09d}Z"
