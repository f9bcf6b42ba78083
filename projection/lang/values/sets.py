"""Sets: tuples in the order of their items, each there once; of equal items, as 1.0 and 1.00, the first.

They are made by comparing, never by hashing: whoever sends decimals can choose thousands that have one hash.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def as_set(items: Iterable[Any]) -> tuple[Any, ...]:
    """The items in order, each once."""
    return tuple([item for item, _equal in groupby(sorted(items))])


def intersection(items: tuple[Any, ...], others: tuple[Any, ...]) -> tuple[Any, ...]:
    """The items that both sets hold, as the first set has them."""
    return tuple([item for item, next_ in pairwise(sorted(items + others)) if item == next_])  # a stable sort


def difference(items: tuple[Any, ...], others: tuple[Any, ...]) -> tuple[Any, ...]:
    """The items of the first set that the second does not hold."""
    common = iter(intersection(items, others))
    found, next_ = [], next(common, None)
    for item in items:
        if item is next_:
            next_ = next(common, None)
        else:
            found.append(item)
    return tuple(found)


def is_subset(items: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether the second set holds all items of the first."""
    return len(intersection(items, others)) == len(items)


def distinct(items: Sequence[Any]) -> list[Any]:
    """The items in the order in which they stand first, each once."""
    by_item = sorted(range(len(items)), key=items.__getitem__)
    return [items[place] for place in sorted(next(same) for _item, same in groupby(by_item, key=items.__getitem__))]
