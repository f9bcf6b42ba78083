"""Exact or error: the arithmetic of the language."""

from __future__ import annotations

import decimal
import re
from decimal import Decimal

from projection.lang import failures

MIN_INT, MAX_INT = -(2**63), 2**63 - 1
DIGITS = 38

# `Rounded` and `Clamped` are trapped besides `Inexact`: a lost zero would be a lost scale.
EXACT = decimal.Context(
    prec=DIGITS,
    Emin=-DIGITS,
    Emax=DIGITS,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[
        decimal.Inexact,
        decimal.Rounded,
        decimal.Clamped,
        decimal.InvalidOperation,
        decimal.DivisionByZero,
        decimal.Overflow,
        decimal.Subnormal,
    ],
)
_ROUNDING = decimal.Context(prec=DIGITS, Emin=-DIGITS, Emax=DIGITS, traps=[decimal.InvalidOperation, decimal.Overflow])
ROUNDING_MODES = {
    "half_up": decimal.ROUND_HALF_UP,
    "half_even": decimal.ROUND_HALF_EVEN,
    "half_down": decimal.ROUND_HALF_DOWN,
    "up": decimal.ROUND_UP,
    "down": decimal.ROUND_DOWN,
    "floor": decimal.ROUND_FLOOR,
    "ceiling": decimal.ROUND_CEILING,
}
UNITS = tuple(Decimal((0, (1,), -scale)) for scale in range(DIGITS + 1))  # 1, 0.1, 0.01, …


def checked_int(value: int) -> int:
    """The value, if 64 bits hold it.

    Raises:
        Failure: R701.
    """
    if MIN_INT <= value <= MAX_INT:
        return value
    raise failures.int_overflow()


def add(a: Decimal, b: Decimal) -> Decimal:
    """The exact sum.

    Raises:
        Failure: R702.
    """
    try:
        return EXACT.add(a, b)
    except decimal.DecimalException:
        raise failures.inexact_decimal() from None


def subtract(a: Decimal, b: Decimal) -> Decimal:
    """The exact difference.

    Raises:
        Failure: R702.
    """
    try:
        return EXACT.subtract(a, b)
    except decimal.DecimalException:
        raise failures.inexact_decimal() from None


def multiply(a: Decimal, b: Decimal) -> Decimal:
    """The exact product; there is no negative zero.

    Raises:
        Failure: R702.
    """
    try:
        product = EXACT.multiply(a, b)
    except decimal.DecimalException:
        raise failures.inexact_decimal() from None
    return product or product.copy_abs()


def negate(a: Decimal) -> Decimal:
    """The number with the other sign."""
    return a.copy_negate() if a else a


def rounded(value: Decimal, scale: int, mode: str) -> Decimal:
    """The value with exactly `scale` digits behind the point.

    Raises:
        Failure: R702: it would need more than 38 digits.
    """
    try:
        result = value.quantize(UNITS[scale], ROUNDING_MODES[mode], _ROUNDING)
    except decimal.DecimalException:
        raise failures.inexact_decimal() from None
    return result or result.copy_abs()


def rescaled(value: Decimal, scale: int) -> Decimal | None:
    """The same number written with `scale` digits behind the point; None where that would lose digits."""
    try:
        result = value.quantize(UNITS[scale], None, _ROUNDING)
    except decimal.DecimalException:
        return None
    if result != value:
        return None
    return result or result.copy_abs()


def truncated_division(a: int, b: int) -> int:
    """The quotient, cut towards zero.

    Raises:
        Failure: R703, R701.
    """
    if b == 0:
        raise failures.division_by_zero()
    quotient = abs(a) // abs(b)
    return checked_int(quotient if (a < 0) == (b < 0) else -quotient)


def truncated_remainder(a: int, b: int) -> int:
    """What the cut quotient leaves; it has the dividend's sign.

    Raises:
        Failure: R703.
    """
    if b == 0:
        raise failures.division_by_zero()
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def divided(a: Decimal, b: Decimal, scale: int, mode: str) -> Decimal:
    """The quotient rounded once, to `scale` digits behind the point.

    Raises:
        Failure: R703; R702: it would need more than 38 digits.
    """
    if not b:
        raise failures.division_by_zero()
    # Integers of any size: dividing in a decimal context first would round twice.
    (sign_a, digits_a, exp_a), (sign_b, digits_b, exp_b) = a.as_tuple(), b.as_tuple()
    shift = int(exp_a) - int(exp_b) + scale
    numerator, denominator = _integer(digits_a), _integer(digits_b)
    numerator, denominator = (
        (numerator * 10**shift, denominator) if shift >= 0 else (numerator, denominator * 10**-shift)
    )
    quotient, remainder = divmod(numerator, denominator)
    # Two guard digits say whether the rest is nothing, below, exactly or above a half; that is all rounding asks.
    twice = 2 * remainder
    guard = 0 if not remainder else 25 if twice < denominator else 50 if twice == denominator else 75
    wide = Decimal((sign_a ^ sign_b, _digits(quotient * 100 + guard), -scale - 2))
    return rounded(wide, scale, mode) if len(str(quotient)) <= DIGITS else _too_wide()


def _integer(digits: tuple[int, ...]) -> int:
    return int("".join(map(str, digits)))


def _digits(value: int) -> tuple[int, ...]:
    return tuple(map(int, str(value)))


def _too_wide() -> Decimal:
    raise failures.inexact_decimal()


def decimal_text(value: Decimal) -> str:
    """The number as text, all digits of its scale, never with an exponent."""
    return format(value, "f")


def grouped_text(value: Decimal, group: str, point: str) -> str:
    """The number as text with `group` between thousands and `point` before its decimals."""
    whole, _, decimals = decimal_text(value.copy_abs()).partition(".")
    first = len(whole) % 3 or 3
    groups = [whole[:first], *(whole[start : start + 3] for start in range(first, len(whole), 3))]
    return ("-" if value < 0 else "") + group.join(groups) + (point + decimals if decimals else "")


def whole(value: Decimal) -> int:
    """The number as an int.

    Raises:
        Failure: R714, R701.
    """
    if value != value.to_integral_value():
        raise failures.not_whole(decimal_text(value))
    return checked_int(int(value))


def exactly(value: Decimal, scale: int) -> Decimal:
    """The same number written with `scale` digits behind the point.

    Raises:
        Failure: R714, R702.
    """
    result = rescaled(value, scale)
    if result is not None:
        return result
    if value != value.quantize(UNITS[scale], decimal.ROUND_DOWN, _WIDE):
        raise failures.not_whole(decimal_text(value))
    raise failures.inexact_decimal()


_WIDE = decimal.Context(prec=3 * DIGITS)
_INT_TEXT = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DECIMAL_TEXT = re.compile(r"-?([0-9]{1,38})(?:\.([0-9]{1,38}))?", re.ASCII)


def parse_int(text: str) -> int | None:
    """The integer that a text is; None where it is none, or 64 bits do not hold it."""
    if _INT_TEXT.fullmatch(text) is None:
        return None
    value = int(text)
    return value if MIN_INT <= value <= MAX_INT else None


def parse_decimal(text: str) -> Decimal | None:
    """The number that a text is, with the digits behind its point; None where it is none or beyond 38 digits."""
    match = _DECIMAL_TEXT.fullmatch(text)
    if match is None:
        return None
    value = Decimal(text)
    if len(value.as_tuple().digits) > DIGITS:
        return None
    return value or value.copy_abs()
