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
    """A cost: `constant`, plus `per_operand` for each operand written, plus what `sized` makes of the operands."""

    name: str
    constant: int
    per_operand: int = 0
    sized: Callable[[Sequence[Any]], int] | None = None


def constant(cost: int, per_operand: int = 0) -> Shape:
    """The same whatever the values."""
    return Shape("constant", cost, per_operand)


def linear(cost: int, operand: int, *, factor: int = 1, shift: int = 0) -> Shape:
    """Grows with the size of one operand."""
    return Shape("linear", cost, 0, lambda values: factor * length(values[operand]) >> shift)


def added(cost: int, *, shift: int = 0) -> Shape:
    """Grows with the sizes of all operands together."""
    return Shape("added", cost, 0, lambda values: sum(map(length, values)) >> shift)


def smaller(cost: int, *, shift: int = 0) -> Shape:
    """Grows with the smallest operand: what a comparison looks at, at most."""
    return Shape("min", cost, 0, lambda values: min(map(length, values)) >> shift)


def n_log_n(cost: int, operand: int, *, factor: int = 1, shift: int = 0) -> Shape:
    """Grows as sorting one operand does."""
    return Shape("n log n", cost, 0, lambda values: factor * _n_log_n(length(values[operand])) >> shift)


def walked(cost: int) -> Shape:
    """Grows with the nodes of the smallest operand, counted before the work."""
    return Shape("min nodes", cost, 0, lambda values: min(map(nodes, values)))


def nodes(value: Any) -> int:
    """How many values a value is made of; a shared part counts each time it is reached."""
    if isinstance(value, list):
        return 1 + sum(map(nodes, value))
    if isinstance(value, dict):
        return 1 + sum(map(nodes, value.values()))
    if isinstance(value, str):
        return 1 + (len(value) >> 5)
    fields = getattr(value, "__struct_fields__", None)
    return 1 if fields is None else 1 + sum(nodes(getattr(value, name)) for name in fields)


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
