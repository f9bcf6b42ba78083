"""What things cost: named shapes over logical sizes, and the schedule of edition 1.

Gas is part of the semantics. A cost is a constant, charged with the segment it stands in, and for some operations a
part that depends on sizes, charged at the operation once its operands are known and before it works. To change a
number here is to make a new edition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def length(value: Any) -> int:
    """The logical size of a value: code points, items, entries; 1 of anything single."""
    return len(value) if isinstance(value, (str, list, dict)) else 1


@dataclass(frozen=True, slots=True)
class Shape:
    """A cost: `constant`, plus `per_operand` for each operand written, plus what `sized` makes of the operands.

    `sized` is also given what is left of the ledger: counting stops once more than that has been counted.
    """

    name: str
    constant: int
    per_operand: int = 0
    sized: Callable[[Sequence[Any], int], int] | None = None


def constant(cost: int, per_operand: int = 0) -> Shape:
    """The same whatever the values."""
    return Shape("constant", cost, per_operand)


def linear(cost: int, operand: int, *, factor: int = 1, shift: int = 0) -> Shape:
    """Grows with the size of one operand."""
    return Shape("linear", cost, 0, lambda values, _left: factor * length(values[operand]) >> shift)


def added(cost: int, *, shift: int = 0) -> Shape:
    """Grows with the sizes of all operands together."""
    return Shape("added", cost, 0, lambda values, _left: sum(map(length, values)) >> shift)


def smaller(cost: int, *, shift: int = 0) -> Shape:
    """Grows with the smallest operand: what a comparison looks at, at most."""
    return Shape("min", cost, 0, lambda values, _left: min(map(length, values)) >> shift)


def n_log_n(cost: int, operand: int, *, factor: int = 1, shift: int = 0) -> Shape:
    """Grows as sorting one operand does."""
    return Shape("n log n", cost, 0, lambda values, _left: factor * _n_log_n(length(values[operand])) >> shift)


def walked(cost: int) -> Shape:
    """Grows with the nodes of the smallest operand, counted before the work."""
    return Shape("min nodes", cost, 0, lambda values, left: min(nodes(value, left) for value in values))


def searched(cost: int) -> Shape:
    """Grows with the nodes of the first operand times the size of the second: each item is compared with it."""
    return Shape("product", cost, 0, lambda values, left: nodes(values[0], left) * length(values[1]))


def nodes(value: Any, most: int) -> int:
    """How many values a value is made of; a shared part counts each time it is reached.

    Small lists can share their parts so often that nobody lives to count them: whatever is above `most` is only known
    to be above it.
    """
    count, waiting = 0, [value]
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        if isinstance(one, str):
            count += len(one) >> 5
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
        else:
            waiting += [getattr(one, name) for name in getattr(one, "__struct_fields__", ())]
    return count


def _n_log_n(size: int) -> int:
    return size * (size + 1).bit_length()


# Forms that are not operations of the library.
LOCAL = 1
LET = 1
FIELD = 2
BRANCH = 1
CALL, CALL_ARGUMENT = 5, 1
RECORD, RECORD_FIELD = 6, 2
UPDATE, UPDATE_FIELD = 6, 2  # and a quarter of the record's fields
LOOP, LOOP_ITEM = 6, 2
