"""What things cost: named shapes over logical sizes, and the schedule of edition 1.

Gas is part of the semantics. A cost is a constant, charged with the segment it stands in, and for some operations a
part that depends on sizes, charged at the operation once its operands are known and before it works. To change a
number here is to make a new edition.

A shape is written once, as a formula over measures of operands. Executors measure values; the static bound measures
what is known of them beforehand (`sizes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.sizes import Size


def length(value: Any) -> int:
    """The logical size of a value: code points, bytes, items, entries; 1 of anything single."""
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 1


def nodes(value: Any, most: int) -> int:
    """How many values a value is made of; a shared part counts each time it is reached.

    Small lists can share their parts so often that nobody lives to count them: whatever is above `most` is only known
    to be above it.
    """
    count, waiting = 0, [value]
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        if isinstance(one, (str, bytes)):
            count += len(one) >> 5
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
        else:
            waiting += [getattr(one, name) for name in getattr(one, "__struct_fields__", ())]
    return count


class Measure(NamedTuple):
    """How large an operand is."""

    of: Callable[[Any, int], int]  # a value's; counting may stop once more than the second argument was counted
    within: Callable[[Size], tuple[int, int]]  # what it is at least and at most


LENGTH = Measure(lambda value, _left: length(value), lambda size: (size.least, size.most))
NODES = Measure(nodes, lambda size: size.nodes)


@dataclass(frozen=True, slots=True)
class Shape:
    """A cost: `constant`, plus `per_operand` for each operand written, plus a part that depends on sizes.

    That part is `formula` of a list of measures of the operands; it never falls where a measure grows. `template` is
    the same as a Python expression over operands `{0}`, `{1}`, … that have a length, for compiled code; a test holds
    both together.
    """

    name: str
    constant: int
    per_operand: int = 0
    operands: tuple[int, ...] | None = None  # which are measured; None for all
    measures: tuple[Measure, ...] = (LENGTH,)  # of each of them; one stands for all
    formula: Callable[[Sequence[int]], int] | None = None
    template: str | None = None

    @property
    def is_sized(self) -> bool:
        """Whether a part of the cost depends on sizes."""
        return self.formula is not None

    def sized(self, values: Sequence[Any], left: int) -> int:
        """The part that depends on sizes, of these operands; once it is above `left`, it is only known to be."""
        if self.formula is None:
            return 0
        chosen = values if self.operands is None else [values[one] for one in self.operands]
        measures = self.measures * len(chosen) if len(self.measures) == 1 else self.measures
        return self.formula([measure.of(value, left) for measure, value in zip(measures, chosen, strict=True)])

    def within(self, sizes: Sequence[Size]) -> tuple[int, int]:
        """The same of operands of these sizes, at least and at most."""
        if self.formula is None:
            return 0, 0
        chosen = sizes if self.operands is None else [sizes[one] for one in self.operands]
        measures = self.measures * len(chosen) if len(self.measures) == 1 else self.measures
        found = [measure.within(size) for measure, size in zip(measures, chosen, strict=True)]
        return self.formula([least for least, _most in found]), self.formula([most for _least, most in found])


def constant(cost: int, per_operand: int = 0) -> Shape:
    """The same whatever the values."""
    return Shape("constant", cost, per_operand)


def linear(cost: int, operand: int, *, factor: int = 1, shift: int = 0) -> Shape:
    """Grows with the size of one operand."""
    return Shape(
        "linear",
        cost,
        operands=(operand,),
        formula=lambda sizes: factor * sizes[0] >> shift,
        template=f"{factor} * len({{{operand}}}) >> {shift}",
    )


def added(cost: int, *, shift: int = 0, factor: int = 1) -> Shape:
    """Grows with the sizes of all operands together."""
    return Shape("added", cost, formula=lambda sizes: factor * sum(sizes) >> shift)


def product(cost: int, one: int, other: int, *, shift: int = 0) -> Shape:
    """Grows with the product of two operands' sizes."""
    return Shape("product", cost, operands=(one, other), formula=lambda sizes: sizes[0] * sizes[1] >> shift)


def smaller(cost: int, *, shift: int = 0) -> Shape:
    """Grows with the smallest operand: what a comparison looks at, at most."""
    return Shape("min", cost, formula=lambda sizes: min(sizes) >> shift)


def larger(cost: int, *, shift: int = 0) -> Shape:
    """Grows with the largest operand."""
    return Shape("max", cost, formula=lambda sizes: max(sizes) >> shift)


def n_log_n(cost: int, operand: int, *, factor: int = 1, shift: int = 0) -> Shape:
    """Grows as sorting one operand does."""
    return Shape(
        "n log n",
        cost,
        operands=(operand,),
        formula=lambda sizes: factor * sizes[0] * (sizes[0] + 1).bit_length() >> shift,
        template=f"{factor} * len({{{operand}}}) * (len({{{operand}}}) + 1).bit_length() >> {shift}",
    )


def walked(cost: int) -> Shape:
    """Grows with the nodes of the smallest operand, counted before the work."""
    return Shape("min nodes", cost, measures=(NODES,), formula=min)


def searched(cost: int) -> Shape:
    """Grows with the nodes of the first operand times the size of the second: each item is compared with it."""
    return Shape(
        "product",
        cost,
        operands=(0, 1),
        measures=(NODES, LENGTH),
        formula=lambda sizes: sizes[0] * sizes[1],
    )


# Forms that are not operations of the library.
LOCAL = 1
LET = 1
FIELD = 2
BRANCH = 1
CALL, CALL_ARGUMENT = 5, 1
RECORD, RECORD_FIELD = 6, 2
UPDATE, UPDATE_FIELD = 6, 2  # and a quarter of the record's fields
LOOP, LOOP_ITEM = 6, 2
