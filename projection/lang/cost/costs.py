"""What things cost: named shapes over logical sizes, and the schedule of edition 1.

Gas is part of the semantics. A cost is a constant, charged with the segment it stands in, and for some operations a
part that depends on sizes, charged at the operation once its operands are known and before it works. To change a
number here is to make a new edition.

A shape is written once, as a formula over measures of operands. Executors measure values; the static bound measures
what is known of them beforehand (`sizes`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang.cost.node_counts import compared_nodes, fewer_nodes, nodes
from projection.lang.cost.sizes import capped
from projection.lang.immutable import Immutable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.cost.sizes import Size


def length(value: Any) -> int:
    """The logical size of a value: code points, bytes, items, entries; 1 of anything single."""
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 1


def weight(items: Any, _left: int) -> int:
    """The size of single values that are compared one with another: how many, and what their texts weigh besides."""
    first = next(iter(items), None)
    return len(items) + (sum(map(len, items)) >> TEXT_SHIFT if isinstance(first, str) else 0)


def key_weight(pairs: Any, _left: int) -> int:
    """The same of the keys of pairs."""
    return weight([key for key, _value in pairs], _left)


def _weight_within(size: Size) -> tuple[int, int]:
    return _weighed(size, size.each)


def _key_weight_within(size: Size) -> tuple[int, int]:
    return _weighed(size, None if size.each is None else size.each.get("key"))


def _weighed(size: Size, item: Size | None) -> tuple[int, int]:
    if item is None or not (item.is_text or item.is_unknown):
        return size.least, size.most
    return (
        size.least + (size.least * item.least >> TEXT_SHIFT),
        capped(size.most + (size.most * item.most >> TEXT_SHIFT)),
    )


def _total_within(size: Size) -> tuple[int, int]:
    return (0, 0) if size.each is None else (size.least * size.each.least, capped(size.most * size.each.most))


def number(value: int, _left: int) -> int:
    """An int itself, as far as it is above 0 and anyone counts."""
    return capped(max(value, 0))


def _number_within(size: Size) -> tuple[int, int]:
    least, most = size.ints
    return number(least, 0), number(most, 0)


def hits(text: Any, part: Any) -> int:
    """How often a text or bytes hold a part, from left to right; nothing stands nowhere."""
    return text.count(part) if part else 0


def total(items: Any) -> int:
    """How long the texts or lists of a list are together."""
    return sum(map(len, items))


class Measure(NamedTuple):
    """How large an operand is, or several together."""

    of: Callable[..., int]  # of their values; counting may stop once more than the last argument was counted
    within: Callable[..., tuple[int, int]]  # what it is at least and at most, from their sizes
    text: str  # `of` as a Python expression over `{0}` and `{1}`, and `{left}`

    def written(self, *operands: int) -> str:
        """The expression over these operands."""
        places = dict(zip(("{0}", "{1}"), (f"{{{operand}}}" for operand in operands), strict=False))
        return re.sub(r"\{[01]\}", lambda match: places[match[0]], self.text)


SHORT_TEXT = 255  # code points; of texts up to that, nothing is measured where they are compared
TEXT_SHIFT = 7  # 128 code points weigh as much as one value where values are compared

LENGTH = Measure(lambda value, _left: length(value), lambda size: (size.least, size.most), "len({0})")
NODES = Measure(nodes, lambda size: size.nodes, "nodes({0}, {left})")
WEIGHT = Measure(weight, _weight_within, "weight({0}, {left})")  # of a list or set of single values
KEY_WEIGHT = Measure(key_weight, _key_weight_within, "key_weight({0}, {left})")  # of a list of pairs
TOTAL = Measure(lambda items, _left: total(items), _total_within, "total({0})")  # of a list: of its texts or lists
NUMBER = Measure(number, _number_within, "number({0}, {left})")
COMPARED_NODES = Measure(  # of a value and the items that it is compared with, each for half a unit
    lambda value, items, left: compared_nodes(value, items, 2 * left + 1),
    lambda value, items: (value.nodes[0] * items.least, capped(value.nodes[1] * items.most)),
    "compared_nodes({0}, {1}, 2 * {left} + 1)",
)
HITS = Measure(  # of a text and what is searched there
    lambda text, part, _left: hits(text, part),
    lambda text, part: (0, text.most // max(part.least, 1)),
    "hits({0}, {1})",
)


class Shape(Immutable, frozen=True):
    """A cost: `constant`, plus `per_operand` for each operand written, plus a part that depends on sizes.

    That part is `formula` of a list of measures of the operands; it never falls where a measure grows. `template` is
    the same as a Python expression over operands `{0}`, `{1}`, … for compiled code; `{sum}` stands for the lengths of
    all, `{left}` for what is left of the ledger. A test holds both together.
    """

    name: str
    constant: int
    per_operand: int = 0
    operands: tuple[int | tuple[int, ...], ...] | None = None  # which are measured, alone or together; None for all
    measures: tuple[Measure, ...] = (LENGTH,)  # of each of them; one stands for all
    formula: Callable[[Sequence[int]], int] | None = None
    template: str | None = None

    def __str__(self) -> str:
        """How documentation shows the cost: `3`, `2 + 1 an operand`, `4 + length`."""
        terms = [str(self.constant)] if self.constant or not self.is_sized else []
        terms += [f"{self.per_operand} an operand"] if self.per_operand else []
        return " + ".join([*terms, *([self.name] if self.is_sized else [])])

    @property
    def is_sized(self) -> bool:
        """Whether a part of the cost depends on sizes."""
        return self.formula is not None

    def sized(self, values: Sequence[Any], left: int) -> int:
        """The part that depends on sizes, of these operands; once it is above `left`, it is only known to be."""
        if self.formula is None:
            return 0
        return self.formula([measure.of(*chosen, left) for measure, chosen in self._measured(values)])

    def within(self, sizes: Sequence[Size]) -> tuple[int, int]:
        """The same of operands of these sizes, at least and at most."""
        if self.formula is None:
            return 0, 0
        found = [measure.within(*chosen) for measure, chosen in self._measured(sizes)]
        return self.formula([least for least, _most in found]), self.formula([most for _least, most in found])

    def positions(self, count: int) -> tuple[int, ...]:
        """Which of so many operands are measured."""
        chosen = range(count) if self.operands is None else self.operands
        return tuple(one for each in chosen for one in ((each,) if isinstance(each, int) else each))

    def _measured(self, operands: Sequence[Any]) -> list[tuple[Measure, tuple[Any, ...]]]:
        chosen = range(len(operands)) if self.operands is None else self.operands
        measures = self.measures * len(chosen) if len(self.measures) == 1 else self.measures
        return [
            (measure, (operands[one],) if isinstance(one, int) else tuple(operands[each] for each in one))
            for measure, one in zip(measures, chosen, strict=True)
        ]


def constant(cost: int, per_operand: int = 0) -> Shape:
    """The same whatever the values."""
    return Shape("constant", cost, per_operand)


def linear(cost: int, operand: int, *, factor: int = 1, shift: int = 0, measure: Measure = LENGTH) -> Shape:
    """Grows with the size of one operand."""
    return Shape(
        "linear",
        cost,
        operands=(operand,),
        measures=(measure,),
        formula=lambda sizes: factor * sizes[0] >> shift,
        template=_scaled(measure.written(operand), factor, shift),
    )


def sorting(size: int) -> int:
    """How many comparisons it takes to sort so many, at most."""
    return size * (size + 1).bit_length()


def _listed(measures: tuple[Measure, ...]) -> str:
    """The measures of the first two operands."""
    one, other = measures * 2 if len(measures) == 1 else measures
    return f"{one.written(0)}, {other.written(1)}"


def _scaled(size: str, factor: int, shift: int) -> str:
    return (f"{factor} * " if factor != 1 else "") + size + (f" >> {shift}" if shift else "")


def added(cost: int, *, per_operand: int = 0, shift: int = 0, factor: int = 1) -> Shape:
    """Grows with the sizes of all operands together."""
    return Shape(
        "added",
        cost,
        per_operand,
        formula=lambda sizes: factor * sum(sizes) >> shift,
        template=_scaled("{sum}", factor, shift),
    )


def both(cost: int, one: int = 0, other: int = 1, *, shift: int = 0, factor: int = 1) -> Shape:
    """Grows with the sizes of two operands together."""
    return Shape(
        "added",
        cost,
        operands=(one, other),
        formula=lambda sizes: factor * (sizes[0] + sizes[1]) >> shift,
        template=_scaled(f"(len({{{one}}}) + len({{{other}}}))", factor, shift),
    )


def product(
    cost: int,
    operands: tuple[int, int] = (0, 1),
    *,
    shift: int = 0,
    measures: tuple[Measure, Measure] = (LENGTH, LENGTH),
) -> Shape:
    """Grows with the product of two operands' sizes."""
    return Shape(
        "product",
        cost,
        operands=operands,
        measures=measures,
        formula=lambda sizes: sizes[0] * sizes[1] >> shift,
        template=_scaled(
            " * ".join(one.written(operand) for one, operand in zip(measures, operands, strict=True)), 1, shift
        ),
    )


def smaller(cost: int, *, shift: int = 0, measures: tuple[Measure, ...] = (LENGTH,)) -> Shape:
    """Grows with the smaller of two operands: what a comparison looks at, at most."""
    return Shape(
        "min",
        cost,
        operands=(0, 1),
        measures=measures,
        formula=lambda sizes: min(sizes) >> shift,
        template=_scaled(f"min({_listed(measures)})", 1, shift),
    )


def larger(cost: int, *, shift: int = 0, measures: tuple[Measure, ...] = (LENGTH,)) -> Shape:
    """Grows with the larger of two operands."""
    return Shape(
        "max",
        cost,
        operands=(0, 1),
        measures=measures,
        formula=lambda sizes: max(sizes) >> shift,
        template=_scaled(f"max({_listed(measures)})", 1, shift),
    )


def n_log_n(cost: int, operand: int, *, factor: int = 1, shift: int = 0, measure: Measure = LENGTH) -> Shape:
    """Grows as sorting one operand does."""
    return Shape(
        "n log n",
        cost,
        operands=(operand,),
        measures=(measure,),
        formula=lambda sizes: factor * sorting(sizes[0]) >> shift,
        template=_scaled(f"sorting({measure.written(operand)})", factor, shift),
    )


def counted_nodes(factor: int) -> Measure:
    """The nodes of a value, each for so many units: nobody counts what nobody can pay."""
    return Measure(
        lambda value, left: nodes(value, left // factor), NODES.within, f"nodes({{0}}, {{left}} // {factor})"
    )


def walked(cost: int, *, factor: int) -> Shape:
    """Grows with the nodes of the smaller of two operands, counted before the work."""
    measure = Measure(
        lambda one, other, left: fewer_nodes(one, other, left // factor),
        lambda one, other: (min(one.nodes[0], other.nodes[0]), min(one.nodes[1], other.nodes[1])),
        f"fewer_nodes({{0}}, {{1}}, {{left}} // {factor})",
    )
    return Shape(
        "min nodes",
        cost,
        operands=((0, 1),),
        measures=(measure,),
        formula=lambda sizes: factor * sizes[0],
        template=_scaled(measure.written(0, 1), factor, 0),
    )


def searched(cost: int, value: int, items: int) -> Shape:
    """Grows with the nodes of a value times the size of a list or set: each item is compared with it."""
    return Shape(
        "product",
        cost,
        operands=((value, items),),
        measures=(COMPARED_NODES,),
        formula=lambda sizes: sizes[0] >> 1,
        template=_scaled(COMPARED_NODES.written(value, items), 1, 1),
    )


def scanned(
    cost: int, text: int, part: int, *, hits: int | None = None, by: int | None = None, parts: int | None = None
) -> Shape:
    """Grows with a text and what is searched in it.

    And by where it is found (so much for each of `hits`), by what is put there (`by` is an operand), and by the
    pattern's own length once more (`parts` is a shift).

    CPython's search compares up to 3,000,000 times where both are chosen against it, before it changes its method.
    """
    shift = 6 if hits is None else 4  # where they are counted, the text is searched more than once

    def formula(sizes: Sequence[int]) -> int:
        length_, sought, *more = sizes
        found = (length_ + sought >> shift) + (min(length_ * sought, 3_000_000) >> 10)
        if hits is not None:
            found += hits * more[0]
        if by is not None:
            found += length_ + more[0] * more[1] >> 8
        return found if parts is None else found + (sought >> parts)

    own, its = f"len({{{text}}})", f"len({{{part}}})"
    template = f"({own} + {its} >> {shift}) + (min({own} * {its}, 3000000) >> 10)"
    if hits is not None:
        template += f" + {hits} * hits({{{text}}}, {{{part}}})"
    if by is not None:
        template += f" + ({own} + hits({{{text}}}, {{{part}}}) * len({{{by}}}) >> 8)"
    if parts is not None:
        template += f" + ({its} >> {parts})"
    return Shape(
        "search",
        cost,
        template=template,
        operands=(text, part, *(() if hits is None else ((text, part),)), *(() if by is None else (by,))),
        measures=(LENGTH, LENGTH, *(() if hits is None else (HITS,)), *(() if by is None else (LENGTH,))),
        formula=formula,
    )


# Forms that are not operations of the library.
LOCAL = 1
LET = 1
FIELD = 1
BRANCH = 1
CALL, CALL_ARGUMENT = 5, 1
RECORD, RECORD_FIELD = 3, 1
UPDATE, UPDATE_FIELD = 4, 1  # and a quarter of the record's fields
LOOP, LOOP_ITEM = 6, 1

# The boundary: events and views are checked against their schemas where they come in and go out.
EVENT = 30  # and 1 for each byte of the payload
VIEW, VIEW_SHIFT = 8, 4  # and 1 for each declared field, and a part of the bytes of its JSON; read and written alike
SMALL_VIEW = 4096  # bytes; of a view whose schema keeps it as small, they cost nothing
