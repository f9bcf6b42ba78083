"""Dates, timestamps and durations: their arithmetic, their texts, and the texts they are read from.

A timestamp is an instant in UTC, in whole microseconds; a duration a number of microseconds in 64 bits, so a day has 24
hours always. There is no clock, no local time and no time zone database.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from projection.lang import failures

if TYPE_CHECKING:
    from collections.abc import Iterable

MICROSECOND = timedelta(microseconds=1)
MIN_DURATION, MAX_DURATION = -(2**63) * MICROSECOND, (2**63 - 1) * MICROSECOND
START = datetime(1, 1, 1, tzinfo=UTC)  # a Monday, so whole weeks from here begin on Mondays

Day = TypeVar("Day", date, datetime)


# --- arithmetic ------------------------------------------------------------------------------------------------------


def checked(duration: timedelta) -> timedelta:
    """The duration, if 64 bits of microseconds hold it.

    Raises:
        Failure: R713.
    """
    if MIN_DURATION <= duration <= MAX_DURATION:
        return duration
    raise failures.time_overflow()


def total(durations: Iterable[timedelta]) -> timedelta:
    """The sum, which alone has to fit 64 bits of microseconds.

    Raises:
        Failure: R713.
    """
    microseconds = sum(duration // MICROSECOND for duration in durations)
    if not -(2**63) <= microseconds < 2**63:
        raise failures.time_overflow()
    return microseconds * MICROSECOND


def multiplied(duration: timedelta, factor: int) -> timedelta:
    """The duration so many times.

    Raises:
        Failure: R713.
    """
    try:
        return checked(duration * factor)
    except OverflowError:
        raise failures.time_overflow() from None


def moved(instant: datetime, by: timedelta) -> datetime:
    """The instant so much later.

    Raises:
        Failure: R713.
    """
    try:
        return instant + by
    except OverflowError:
        raise failures.time_overflow() from None


def moved_days(day: Day, days: int) -> Day:
    """So many days later.

    Raises:
        Failure: R713.
    """
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise failures.time_overflow() from None


def moved_months(day: Day, months: int) -> Day:
    """So many months later, on the same day of the month or, where there is none, on the month's last.

    Raises:
        Failure: R713.
    """
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= years <= 9999:
        raise failures.time_overflow()
    last = monthrange(years, month + 1)[1]
    return day.replace(year=years, month=month + 1, day=min(day.day, last))


def months_between(start: date, end: date) -> int:
    """The months that `start` can be moved by without passing `end`; negative where `end` is earlier."""
    if end < start:
        return -months_between(end, start)
    months = (end.year - start.year) * 12 + end.month - start.month
    return months if moved_months(start, months) <= end else months - 1


def truncated(instant: datetime, step: timedelta) -> datetime:
    """The last instant up to this one that lies whole steps behind the start of the year 1.

    Raises:
        Failure: R715: the step is not longer than nothing.
    """
    if step < MICROSECOND:
        raise failures.out_of_range("the step", duration_text(step), "PT0.000001S", duration_text(MAX_DURATION))
    return instant - (instant - START) % step


def day_of(year: int, month: int, day: int) -> date:
    """The date of these numbers.

    Raises:
        Failure: R715.
    """
    last = monthrange(year, month)[1] if 1 <= year <= 9999 and 1 <= month <= 12 else 31
    for what, value, most in (("the year", year, 9999), ("the month", month, 12), ("the day", day, last)):
        if not 1 <= value <= most:
            raise failures.out_of_range(what, value, 1, most)
    return date(year, month, day)


# --- texts -----------------------------------------------------------------------------------------------------------


def timestamp_text(instant: datetime) -> str:
    """RFC 3339, in UTC, with the digits of the second that there are."""
    return instant.isoformat()[: -len("+00:00")] + "Z"


def duration_text(duration: timedelta) -> str:
    """ISO 8601 in days and seconds: `P1DT30S`, `-PT0.25S`, `P0D`."""
    size = abs(duration)
    seconds = f"{size.seconds}.{size.microseconds:06}".rstrip("0") if size.microseconds else f"{size.seconds}"
    days = f"{size.days}D" if size.days else ""
    clock = f"T{seconds}S" if size.seconds or size.microseconds else ""
    return ("-" if duration < timedelta() else "") + "P" + (days + clock or "0D")


_DAY = r"(\d{4}-\d\d-\d\d)"
# Some versions of `fromisoformat` take 24:00:00. That a fraction ends makes the cost of any text the same.
_CLOCK = r"[Tt ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.(\d{1,30}))?"
_OFFSET = r"([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_DATE = re.compile(f"{_DAY}(?:{_CLOCK}{_OFFSET}?)?", re.ASCII)
_TIMESTAMP = re.compile(_DAY + _CLOCK + _OFFSET, re.ASCII)
_NUMBER = r"(\d{1,30}(?:\.\d{1,30})?)"
_DURATION = re.compile(
    rf"([+-]?)P(?=[\dT])(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII | re.IGNORECASE,
)
_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000)  # microseconds of a day, an hour, a minute, a second


def parse_date(text: str) -> date | None:
    """The date that a text is, or that a timestamp is written with; None where it is neither."""
    is_plain = len(text) == 10 and text.isascii() and text[4] == text[7] == "-"  # Python reads `2024-W09-4`, too
    match = None if is_plain else _DATE.fullmatch(text)
    try:
        return date.fromisoformat(text if is_plain else match[1] if match else "")
    except ValueError:
        return None


def parse_timestamp(text: str) -> datetime | None:
    """The instant that a text of RFC 3339 is, digits behind the microsecond cut; None where it is none."""
    if (match := _TIMESTAMP.fullmatch(text)) is None:
        return None
    fraction, offset = match[2], match[3]
    if fraction is not None and len(fraction) > 6:  # versions of Python differ in what they make of such
        text = f"{text[:26]}{offset}"
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_duration(text: str) -> timedelta | None:
    """The duration that a text of ISO 8601 in days, hours, minutes and seconds is; None where it is none.

    What is less than a microsecond is cut. None, too, where 64 bits of microseconds do not hold it.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    sign, *numbers = match.groups()
    *others, _last = (number for number in numbers if number is not None)
    if "." in "".join(others):  # only the last number may have a fraction
        return None
    size = parts = 0  # microseconds, and 10**-30 of them
    for number, unit in zip(numbers, _UNITS, strict=True):
        if number is not None:
            whole, _, fraction = number.partition(".")
            size += int(whole) * unit
            if fraction:
                parts += int(f"{fraction:0<30}") * unit
    size += parts // 10**30
    if sign == "-":
        size = -size
    return timedelta(microseconds=size) if -(2**63) <= size < 2**63 else None
