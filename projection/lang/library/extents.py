"""The sizes of results, from the sizes of the operands: what the static bound knows before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang.cost.costs import NUMBER
from projection.lang.cost.sizes import NONE, SINGLE, Size, capped, either, integer, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.library.registry import Extent


def like(operand: int) -> Extent:
    """As large as an operand."""
    return lambda sizes: sizes[operand]


def part_of(operand: int) -> Extent:
    """As large as an operand, or smaller."""
    return lambda sizes: resized(sizes[operand], 0, sizes[operand].most)


def some_of(operand: int) -> Extent:
    """As large as an operand or smaller, but something if the operand is."""
    return lambda sizes: resized(sizes[operand], min(sizes[operand].least, 1), sizes[operand].most)


def at_most(operand: int, count: int) -> Extent:
    """As large as an operand, but no larger than the number that another is."""

    def extent(sizes: Sequence[Size]) -> Size:
        size, (least, most) = sizes[operand], sizes[count].ints
        return resized(size, min(size.least, max(least, 0)), min(size.most, max(most, 0)))

    return extent


def item_of(operand: int) -> Extent:
    """As large as an item of an operand, or none."""
    return lambda sizes: either(sizes[operand].each or NONE, NONE)


def either_of(*operands: int) -> Extent:
    """As large as one of some operands."""

    def extent(sizes: Sequence[Size]) -> Size:
        found = sizes[operands[0]]
        for operand in operands[1:]:
            found = either(found, sizes[operand])
        return found

    return extent


def joined(sizes: Sequence[Size]) -> Size:
    """As large as all operands together."""
    found = either_of(*range(len(sizes)))(sizes)
    return resized(found, sum(size.least for size in sizes), capped(sum(size.most for size in sizes)))


def united(sizes: Sequence[Size]) -> Size:
    """As large as all operands together, or as the largest of them."""
    return resized(joined(sizes), max(size.least for size in sizes), joined(sizes).most)


def below(operand: int) -> Extent:
    """The list of the ints from 0 up to and without an operand."""

    def extent(sizes: Sequence[Size]) -> Size:
        least, most = NUMBER.within(sizes[operand])
        return Size(least, most, item=integer(0, max(most - 1, 0)))

    return extent


def items(least: int, most: int, item: Size = SINGLE) -> Size:
    """A list or a set of so many items."""
    return Size(least, most, item=item)


def resized(size: Size, least: int, most: int) -> Size:
    """The same kind of value, of another length."""
    return Size(
        least, most, size.item, size.fields, size.is_text, None, size.key, size.is_partial, size.is_unknown, size.origin
    )


def texts(least: int, most: int) -> Callable[[Sequence[Size]], Size]:
    """A text of so many code points, whatever the operands; also of bytes."""
    return lambda _sizes: text(least, most)


def text_like(operand: int, factor: int = 1, more: int = 0) -> Extent:
    """A text of at most so many times an operand's length."""
    return lambda sizes: text(0, capped(sizes[operand].most * factor + more))
