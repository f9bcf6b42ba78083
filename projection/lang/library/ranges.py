"""The ints that results can be, from those that the operands can be: what the static bound knows of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang.cost.sizes import INTEGER, NONE, Size, either, integer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.library.registry import Extent


def between(least: int, most: int) -> Extent:
    """An int of these, whatever the operands."""
    return lambda _sizes: integer(least, most)


def counted(sizes: Sequence[Size]) -> Size:
    """How long the first operand is."""
    return integer(sizes[0].least, sizes[0].most)


def position(sizes: Sequence[Size]) -> Size:
    """Where something stands in the first operand, from 0, or none."""
    return either(NONE, integer(0, max(sizes[0].most - 1, 0)))


def added(sizes: Sequence[Size]) -> Size:
    """The sum of two."""
    (a, b), (c, d) = sizes[0].ints, sizes[1].ints
    return integer(a + c, b + d)


def subtracted(sizes: Sequence[Size]) -> Size:
    """The difference of two."""
    (a, b), (c, d) = sizes[0].ints, sizes[1].ints
    return integer(a - d, b - c)


def multiplied(sizes: Sequence[Size]) -> Size:
    """The product of two."""
    return _corners(lambda one, other: one * other, sizes[0].ints, sizes[1].ints)


def divided(sizes: Sequence[Size]) -> Size:
    """The quotient of two, cut towards zero: largest by the divisors next to zero."""
    low, high = sizes[1].ints
    divisors = [one for one in (low, high, -1, 1) if one and low <= one <= high]
    if not divisors:
        return INTEGER  # of a division that always fails
    return _corners(lambda one, other: abs(one) // abs(other) * _sign(one * other), sizes[0].ints, divisors)


def remaining(sizes: Sequence[Size]) -> Size:
    """What a quotient leaves: less than the divisor, no more than the dividend, and of its sign."""
    (low, high), (a, b) = sizes[0].ints, sizes[1].ints
    most = max(min(max(abs(low), abs(high)), max(abs(a), abs(b)) - 1), 0)
    return integer(-most if low < 0 else 0, most if high > 0 else 0)


def negated(sizes: Sequence[Size]) -> Size:
    """The same with the other sign."""
    low, high = sizes[0].ints
    return integer(-high, -low)


def unsigned(sizes: Sequence[Size]) -> Size:
    """The same without its sign."""
    low, high = sizes[0].ints
    return integer(0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))


def chosen(pick: Callable[[int, int], int]) -> Extent:
    """The smaller or the larger of two."""

    def extent(sizes: Sequence[Size]) -> Size:
        (a, b), (c, d) = sizes[0].ints, sizes[1].ints
        return integer(pick(a, c), pick(b, d))

    return extent


def clamped(sizes: Sequence[Size]) -> Size:
    """The first, moved to the nearer of two others if it lies outside of them."""
    return chosen(min)([chosen(max)(sizes), sizes[2]])


def total(sizes: Sequence[Size]) -> Size:
    """The sum of a list."""
    if (item := sizes[0].each) is None:
        return integer(0, 0)
    return _corners(lambda count, one: count * one, (sizes[0].least, sizes[0].most), item.ints)


def _corners(operation: Callable[[int, int], int], ones: Sequence[int], others: Sequence[int]) -> Size:
    found = [operation(one, other) for one in (*ones, *_zero(ones)) for other in others]
    return integer(min(found), max(found))


def _zero(ends: Sequence[int]) -> tuple[int, ...]:
    """Zero, where it lies between two ends: there the sign changes."""
    return (0,) if ends[0] < 0 < ends[1] else ()


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
