"""Sizes: what is known of a value before any program runs, from the declared types alone."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 2**62  # beyond every ledger; sums and products stop here


@dataclass(frozen=True, slots=True)
class Size:
    """How large a value is, at least and at most.

    `least` and `most` bound its logical size: code points, bytes, items, entries; 1 of a single value and of none.
    `item` is the size of each item of a list or set, and of each value of a map; `fields` those of a record, by name.
    `number` is the value of an int that is a constant.
    """

    least: int = 1
    most: int = 1
    item: Size | None = None
    fields: tuple[tuple[str, Size], ...] = ()
    is_text: bool = False  # strings and bytes, whose length weighs less than that of lists
    number: int | None = None

    @property
    def nodes(self) -> tuple[int, int]:
        """How many values it is made of (`costs.nodes`), at least and at most."""
        if self.is_text:
            return 1 + (self.least >> 5), capped(1 + (self.most >> 5))
        least, most = 1, 1
        if self.item is not None:
            inner = self.item.nodes
            least, most = 1 + self.least * inner[0], 1 + self.most * inner[1]
        for _name, field in self.fields:
            inner = field.nodes
            least, most = least + inner[0], most + inner[1]
        return least, capped(most)


SINGLE = Size()


def capped(number: int) -> int:
    """The number, as far as anyone counts."""
    return min(number, MOST)


def either(one: Size, other: Size) -> Size:
    """What is known of a value that is one or the other."""
    item = one.item if other.item is None else other.item if one.item is None else either(one.item, other.item)
    theirs = dict(other.fields)
    fields = (
        tuple((name, either(size, theirs[name]) if name in theirs else size) for name, size in one.fields)
        or other.fields
    )
    return Size(
        min(one.least, other.least),
        max(one.most, other.most),
        item,
        fields,
        one.is_text or other.is_text,
        one.number if one.number == other.number else None,
    )
