"""Dates, timestamps and durations: their parts, arithmetic by calendar, and reading them from text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from projection.lang.cost.costs import constant
from projection.lang.library import ranges
from projection.lang.library.registry import FREE, builtin
from projection.lang.values import times

_LEAP_DAY = "date(2024, 2, 29)"
_INSTANT = "timestamp(date(2024, 2, 29), 90m)"


# --- making them -----------------------------------------------------------------------------------------------------


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


builtin(
    "date", "int, int, int -> date", gas=constant(35), alloc=FREE, function=times.day_of,
    doc="The date of a year, a month and a day; an error if there is no such date.",
    examples=[("date(2024, 2, 29)", '"2024-02-29"'), ("date(2023, 2, 29)", "fails R715")],
)  # fmt: skip
builtin(
    "date", "timestamp, duration -> date", gas=constant(6), alloc=FREE,
    function=lambda instant, offset: times.moved(instant, offset).date(),
    doc="The date of an instant at an offset from UTC: `0h` for UTC itself.",
    examples=[
        ("date(timestamp(date(2024, 2, 29), 23h), 2h)", '"2024-03-01"'), (f"date({_INSTANT}, -2h)", '"2024-02-28"'),
    ],
)  # fmt: skip
builtin(
    "timestamp", "date -> timestamp", gas=constant(30), alloc=FREE, function=_midnight,
    doc="The start of a date in UTC.", examples=[(f"timestamp({_LEAP_DAY})", '"2024-02-29T00:00:00Z"')],
)  # fmt: skip
builtin(
    "timestamp", "date, duration -> timestamp", gas=constant(40), alloc=FREE,
    function=lambda day, time: times.moved(_midnight(day), time),
    doc="The start of a date in UTC, plus a duration.",
    examples=[(f"timestamp({_LEAP_DAY}, 9h + 30m)", '"2024-02-29T09:30:00Z"')],
)  # fmt: skip
builtin(
    "parse_date", "string -> date?", gas=constant(12), alloc=FREE, function=times.parse_date,
    doc="The date from a string, or as written in a timestamp; none if it is neither.",
    examples=[('parse_date("2024-02-29")', '"2024-02-29"'), ('parse_date("2023-02-29")', "none")],
)  # fmt: skip
builtin(
    "parse_timestamp", "string -> timestamp?", gas=constant(60), alloc=FREE, function=times.parse_timestamp,
    doc="The instant from a string with an offset (RFC 3339); digits beyond microseconds are cut off; none if it is "
    "invalid.",
    examples=[
        ('parse_timestamp("2024-02-29T01:00:00+02:00")', '"2024-02-28T23:00:00Z"'),
        ('parse_timestamp("2024-02-29T01:00:00")', "none"),
    ],
)  # fmt: skip
builtin(
    "parse_duration", "string -> duration?", gas=constant(120), alloc=FREE, function=times.parse_duration,
    doc="The duration from a string (ISO 8601: days, hours, minutes, seconds); digits beyond microseconds are cut off; "
    "none if it is invalid.",
    examples=[('parse_duration("P1DT1H")', '"P1DT3600S"'), ('parse_duration("P1M")', "none")],
)  # fmt: skip


# --- their parts -----------------------------------------------------------------------------------------------------


def _total_seconds(duration: timedelta) -> Decimal:
    return Decimal(duration // times.MICROSECOND).scaleb(-6)


for _name, _part, _doc, _value, _ends in (
    ("year", lambda day: day.year, "The year.", "2024", (1, 9999)),
    ("month", lambda day: day.month, "The month, from 1.", "2", (1, 12)),
    ("day", lambda day: day.day, "The day of the month, from 1.", "29", (1, 31)),
    ("weekday", lambda day: day.isoweekday(), "The day of the week, from 1 for Monday to 7 for Sunday.", "4", (1, 7)),
    ("day_of_year", lambda day: day.timetuple().tm_yday, "The day of the year, from 1.", "60", (1, 366)),
):
    builtin(
        _name, "date -> int", gas=constant(40 if _name == "day_of_year" else 3), alloc=FREE, function=_part, doc=_doc,
        size=ranges.between(*_ends), examples=[(f"{_name}({_LEAP_DAY})", _value)],
    )  # fmt: skip
for _name, _part, _doc, _value, _ends in (
    ("hour", lambda instant: instant.hour, "The hour in UTC, from 0 to 23.", "1", (0, 23)),
    ("minute", lambda instant: instant.minute, "The minute, from 0 to 59.", "30", (0, 59)),
    ("second", lambda instant: instant.second, "The second, from 0 to 59.", "0", (0, 59)),
):
    builtin(
        _name, "timestamp -> int", gas=constant(3), alloc=FREE, function=_part, doc=_doc,
        size=ranges.between(*_ends), examples=[(f"{_name}({_INSTANT})", _value)],
    )  # fmt: skip


_DAYS, _MONTHS = (date.max - date.min).days, 12 * date.max.year  # between the ends of the calendar, at most


# --- by calendar -----------------------------------------------------------------------------------------------------


def _end_of_month(day: date) -> date:
    return times.moved_months(day.replace(day=1), 1) - timedelta(days=1) if day < _LAST_MONTH else date.max


_LAST_MONTH = date.max.replace(day=1)

for _kind, _begin in (("date", _LEAP_DAY), ("timestamp", f"timestamp({_LEAP_DAY})")):
    _end = "" if _kind == "date" else "T00:00:00Z"
    builtin(
        "add_days", f"{_kind}, int -> {_kind}", gas=constant(30), alloc=FREE, function=times.moved_days,
        doc="The date this many days later, or earlier.",
        examples=[(f"add_days({_begin}, 1)", f'"2024-03-01{_end}"'), (f"add_days({_begin}, 9999999)", "fails R713")],
    )  # fmt: skip
    builtin(
        "add_months", f"{_kind}, int -> {_kind}", gas=constant(80), alloc=FREE, function=times.moved_months,
        doc="The date this many months later, or earlier; on the last day of a shorter month.",
        examples=[
            (f"add_months({_begin}, 12)", f'"2025-02-28{_end}"'), (f"add_months({_begin}, -1)", f'"2024-01-29{_end}"'),
        ],
    )  # fmt: skip
    builtin(
        "add_years", f"{_kind}, int -> {_kind}", gas=constant(80), alloc=FREE,
        function=lambda day, years: times.moved_months(day, 12 * years),
        doc="The date this many years later, or earlier; 29 February becomes 28 if necessary.",
        examples=[
            (f"add_years({_begin}, 1)", f'"2025-02-28{_end}"'), (f"add_years({_begin}, 4)", f'"2028-02-29{_end}"'),
        ],
    )  # fmt: skip

builtin(
    "days_between", "date, date -> int", gas=constant(5), alloc=FREE, function=lambda start, end: (end - start).days,
    size=ranges.between(-_DAYS, _DAYS),
    doc="The days from the first date to the second; negative if it is earlier.",
    examples=[(f"days_between({_LEAP_DAY}, date(2024, 3, 1))", "1"), (f"days_between({_LEAP_DAY}, {_LEAP_DAY})", "0")],
)  # fmt: skip
builtin(
    "months_between", "date, date -> int", gas=constant(80), alloc=FREE, function=times.months_between,
    size=ranges.between(-_MONTHS, _MONTHS),
    doc="How many whole months, as `add_months` counts them, lie between two dates; negative where the second is "
    "before the first.",
    examples=[
        ("months_between(date(2024, 1, 31), date(2024, 2, 28))", "0"),
        ("months_between(date(2024, 1, 31), date(2024, 2, 29))", "1"),
    ],
)  # fmt: skip
for _name, _move, _doc, _value in (
    ("start_of_month", lambda day: day.replace(day=1), "The first day of its month.", "2024-02-01"),
    ("end_of_month", _end_of_month, "The last day of its month.", "2024-02-29"),
    ("start_of_week", lambda day: day - timedelta(days=day.weekday()), "The Monday of its week.", "2024-02-26"),
    ("start_of_year", lambda day: day.replace(month=1, day=1), "The first day of its year.", "2024-01-01"),
):
    builtin(
        _name, "date -> date", gas=constant(120 if _name == "end_of_month" else 25), alloc=FREE, function=_move,
        doc=_doc, examples=[(f"{_name}({_LEAP_DAY})", f'"{_value}"')],
    )  # fmt: skip
builtin(
    "truncate", "timestamp, duration -> timestamp", gas=constant(30), alloc=FREE, function=times.truncated,
    doc="The last instant of a regular grid not after this one, in UTC: `1h` for full hours, `1d` for midnight, "
    "`7d` for midnight on Mondays.",
    examples=[
        (f"truncate({_INSTANT}, 1h)", '"2024-02-29T01:00:00Z"'),
        (f"truncate({_INSTANT}, 7d)", '"2024-02-26T00:00:00Z"'),
        (f"truncate({_INSTANT}, 0s)", "fails R715"),
    ],
)  # fmt: skip
builtin(
    "total_seconds", "duration -> decimal", gas=constant(25), alloc=FREE, function=_total_seconds,
    scale=lambda _operands, _constants: 6, doc="The duration in seconds; `div(d, 1h)` gives its whole hours.",
    examples=[("total_seconds(90m)", "5400.000000"), ("total_seconds(-250ms)", "-0.250000")],
)  # fmt: skip
