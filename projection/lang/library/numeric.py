"""Numbers: rounding, division, comparison of two, conversions, sums, and numbers from and as text."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.lang import failures
from projection.lang.cost.costs import both, constant, linear, smaller
from projection.lang.cost.sizes import Size, capped, text
from projection.lang.library import extents, ranges, scales
from projection.lang.library.registry import FREE, builtin
from projection.lang.types import MAX_SCALE
from projection.lang.values import numbers, times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

_MODES = ", ".join(f"`{mode}`" for mode in numbers.ROUNDING_MODES)


def _scaled(scale: int) -> int:
    if not 0 <= scale <= MAX_SCALE:
        raise failures.out_of_range("the scale", scale, 0, MAX_SCALE)
    return scale


# --- signs, and two beside one another -------------------------------------------------------------------------------


def _sign(number: Any) -> int:
    return int(number > 0) - int(number < 0)


builtin(
    "abs", "int -> int", gas=constant(5), alloc=FREE, function=lambda a: numbers.checked_int(abs(a)),
    size=ranges.unsigned,
    doc="The absolute value; an error for the smallest int.",
    examples=[("abs(-2)", "2"), ("abs(-9223372036854775808)", "fails R701")],
)  # fmt: skip
builtin(
    "abs", "decimal -> decimal", gas=constant(2), alloc=FREE, function=lambda a: a.copy_abs(), scale=scales.own,
    doc="The absolute value.", examples=[("abs(-2.50)", "2.50")], inline="{0}.copy_abs()",
)  # fmt: skip
builtin(
    "abs", "duration -> duration", gas=constant(5), alloc=FREE, function=lambda a: times.checked(abs(a)),
    doc="The absolute value.", examples=[("abs(-90s)", '"PT90S"')],
)  # fmt: skip
builtin(
    "sign", "decimal -> int", gas=constant(12), alloc=FREE, function=_sign, size=ranges.between(-1, 1),
    doc="-1, 0 or 1.", examples=[("sign(-2.50)", "-1"), ("sign(0)", "0")],
)  # fmt: skip
builtin(
    "sign", "duration -> int", gas=constant(12), alloc=FREE, function=lambda a: _sign(a // times.MICROSECOND),
    size=ranges.between(-1, 1), doc="-1, 0 or 1.", examples=[("sign(3h)", "1")],
)  # fmt: skip

for _name, _pick, _which, _text, _date in (
    ("min", min, "smaller", '"a"', '"2024-02-29"'),
    ("max", max, "larger", '"b"', '"2024-03-01"'),
):
    builtin(
        _name, "int, int -> int", gas=constant(4), alloc=FREE, function=_pick, inline=f"{_name}({{0}}, {{1}})",
        size=ranges.chosen(_pick), doc=f"The {_which} of two.", examples=[(f"{_name}(7, 3)", f"{_pick(7, 3)}")],
    )  # fmt: skip
    builtin(
        _name, "decimal, decimal -> decimal", gas=constant(5), alloc=FREE, function=_pick, scale=scales.common,
        doc=f"The {_which} of two; the first if they are equal.",
        examples=[(f"{_name}(1.5, 1.25)", f"{_pick(1.5, 1.25)}")],
    )  # fmt: skip
    builtin(
        _name, "string, string -> string", gas=smaller(10, shift=8), alloc=FREE, function=_pick,
        size=extents.either_of(0, 1), doc=f"The {_which} of two.", examples=[(f'{_name}("b", "a")', _text)],
    )  # fmt: skip
    builtin(
        _name, "S, S -> S", gas=constant(5), alloc=FREE, function=_pick, doc=f"The {_which} of two.",
        examples=[(f"{_name}(date(2024, 3, 1), date(2024, 2, 29))", _date)],
    )  # fmt: skip


def _clamped(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


builtin(
    "clamp", "int, int, int -> int", gas=constant(10), alloc=FREE, function=_clamped, size=ranges.clamped,
    doc="The number, limited to a range.",
    examples=[("clamp(120, 0, 100)", "100"), ("clamp(-1, 0, 100)", "0"), ("clamp(7, 0, 100)", "7")],
)  # fmt: skip
builtin(
    "clamp", "decimal, decimal, decimal -> decimal", gas=constant(12), alloc=FREE, function=_clamped,
    scale=scales.common, doc="The number, limited to a range.",
    examples=[("clamp(0.05, 0.10, 0.90)", "0.10")],
)  # fmt: skip


# --- division and rounding -------------------------------------------------------------------------------------------


def _parts(duration: timedelta) -> Decimal:
    return Decimal(duration // times.MICROSECOND)


def _divided_durations(a: timedelta, b: timedelta) -> int:
    return numbers.truncated_division(a // times.MICROSECOND, b // times.MICROSECOND)


def _remaining_duration(a: timedelta, b: timedelta) -> timedelta:
    return numbers.truncated_remainder(a // times.MICROSECOND, b // times.MICROSECOND) * times.MICROSECOND


builtin(
    "div", "int, int -> int", gas=constant(6), alloc=FREE, function=numbers.truncated_division, size=ranges.divided,
    doc="The quotient, truncated towards zero.",
    examples=[("div(43, 5)", "8"), ("div(-43, 5)", "-8"), ("div(1, 0)", "fails R703")],
)  # fmt: skip
builtin(
    "div", "decimal, decimal, int, string -> decimal", gas=constant(250), alloc=FREE, scale=scales.named(2),
    function=lambda a, b, scale, mode: numbers.divided(a, b, _scaled(scale), mode),
    doc="The quotient, rounded once to this many decimal places. Scale and mode are constants.",
    examples=[('div(10.00, 3, 2, "half_up")', "3.33"), ('div(1, 0.00, 2, "up")', "fails R703")],
)  # fmt: skip
builtin(
    "div", "duration, duration -> int", gas=constant(30), alloc=FREE, function=_divided_durations,
    doc="How many times one duration fits into another.", examples=[("div(50h, 1d)", "2"), ("div(-50h, 1d)", "-2")],
)  # fmt: skip
builtin(
    "div", "duration, duration, int, string -> decimal", gas=constant(350), alloc=FREE, scale=scales.named(2),
    function=lambda a, b, scale, mode: numbers.divided(_parts(a), _parts(b), _scaled(scale), mode),
    doc="The quotient of two durations, rounded. Scale and mode are constants.",
    examples=[('div(90m, 1h, 2, "half_up")', "1.50")],
)  # fmt: skip
builtin(
    "rem", "int, int -> int", gas=constant(6), alloc=FREE, function=numbers.truncated_remainder, size=ranges.remaining,
    doc="The remainder of `div`, with the sign of the first number.",
    examples=[("rem(43, 5)", "3"), ("rem(-43, 5)", "-3")],
)  # fmt: skip
builtin(
    "rem", "duration, duration -> duration", gas=constant(35), alloc=FREE, function=_remaining_duration,
    doc="The remainder of `div`, with the sign of the first duration.",
    examples=[("rem(50h, 1d)", '"PT7200S"')],
)  # fmt: skip
builtin(
    "round", "decimal, int, string -> decimal", gas=constant(10), alloc=FREE, scale=scales.named(1),
    function=lambda value, scale, mode: numbers.rounded(value, _scaled(scale), mode),
    doc=f"The number rounded to this many decimal places. Scale and mode are constants; the modes are {_MODES}.",
    examples=[('round(2.345, 2, "half_even")', "2.34"), ('round(2.345, 2, "half_up")', "2.35")],
)  # fmt: skip


def _format_extent(sizes: Sequence[Size]) -> Size:
    return text(1, capped(2 * numbers.DIGITS + 12 * sizes[1].most + sizes[2].most))


# --- conversions -----------------------------------------------------------------------------------------------------

builtin(
    "int", "decimal -> int", gas=constant(20), alloc=FREE, function=numbers.whole,
    doc="The number as an int; an error if decimal places would be lost.",
    examples=[("int(2.00)", "2"), ("int(2.50)", "fails R714"), ('int(round(2.50, 0, "half_up"))', "3")],
)  # fmt: skip
builtin(
    "decimal", "decimal, int -> decimal", gas=constant(12), alloc=FREE, scale=scales.named(1),
    function=lambda value, scale: numbers.exactly(value, _scaled(scale)),
    doc="The same number with this many decimal places; an error if digits would be lost. The scale is a "
    "constant.",
    examples=[("decimal(7, 2)", "7.00"), ("decimal(2.500, 1)", "2.5"), ("decimal(2.55, 1)", "fails R714")],
)  # fmt: skip
builtin(
    "format", "decimal, string, string -> string", gas=both(100, 1, 2, factor=12, shift=8),
    alloc=both(4, 1, 2, factor=12, shift=4), function=numbers.grouped_text, size=_format_extent,
    doc="The number as a string, with a thousands separator and a decimal separator. Round first.",
    examples=[('format(-1234567.5, ",", ".")', '"-1,234,567.5"'), ('format(1234, ".", ",")', '"1.234"')],
)  # fmt: skip
builtin(
    "parse_int", "string -> int?", gas=constant(25), alloc=FREE, function=numbers.parse_int,
    doc="The int from digits with or without a `-`; none if it is invalid.",
    examples=[
        ('parse_int("-12")', "-12"), ('parse_int("1_000")', "none"), ('parse_int("9999999999999999999")', "none"),
    ],
)  # fmt: skip
builtin(
    "parse_decimal", "string -> decimal?", gas=constant(60), alloc=FREE, function=numbers.parse_decimal,
    doc="The number from a string, with all its decimal places; none if it is invalid. No exponents.",
    examples=[('parse_decimal("12.50")', "12.50"), ('parse_decimal("1e3")', "none"), ('parse_decimal(".5")', "none")],
)  # fmt: skip


# --- sums ------------------------------------------------------------------------------------------------------------


def sum_decimals(items: list[Decimal], zero: Decimal) -> Decimal:
    """The exact sum, from the zero of its type."""
    total = zero
    for item in items:
        total = numbers.add(total, item)
    return total


builtin(
    "sum", "list<int> -> int", gas=linear(12, 0, shift=2), alloc=FREE,
    function=lambda items: numbers.checked_int(sum(items)), size=ranges.total, doc="The sum; 0 for no items.",
    examples=[("sum([1, 2])", "3"), ("sum([9223372036854775807, 1])", "fails R701")],
)  # fmt: skip
builtin(
    "sum", "list<decimal> -> decimal", gas=linear(12, 0, factor=2), alloc=FREE, scale=scales.of_items,
    function=lambda items: sum_decimals(items, Decimal(0)), inline="sum({0}, Decimal(0))",
    doc="The exact sum; 0 for no items.",
    examples=[("sum([1.10, 2.20])", "3.30")],
)  # fmt: skip
builtin(
    "sum", "list<duration> -> duration", gas=linear(16, 0, factor=8), alloc=FREE, function=times.total,
    doc="The sum; `0s` for no items.",
    examples=[("sum([30m, 45m])", '"PT4500S"')],
)  # fmt: skip
