"""What the static bound is told of an operation holds for it: the size of its result, and what it costs."""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any

import pytest
from bounds_support import fits
from library_samples import operands

from projection.lang.cost.costs import SHORT_TEXT
from projection.lang.cost.sizes import SINGLE, UNKNOWN, Size, either, integer, text
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from projection.lang.operations import Operation

ALL = [
    *(one for home in (OPERATORS, BUILTINS) for overloads in home.values() for one in overloads),
    *(one for one in FORMS.values() if one.name not in ("narrow", "has")),  # not of values alone
]
OPERATIONS = [pytest.param(one, id=f"{one.name} {one.signature}") for one in ALL]


def joined(values: list[Any]) -> Size | None:
    """What is known of one of some values."""
    sizes = [size_of(value) for value in values]
    found = sizes[0] if sizes else None
    for size in sizes[1:]:
        found = either(found or size, size)
    return found


def size_of(value: Any) -> Size:
    """All that can be known of a value."""
    if isinstance(value, (str, bytes)):
        return text(len(value), len(value))
    if isinstance(value, tuple) and len(value) == 2:  # a pair; sets of two items do as pairs of them, too
        return Size(1, 2, fields=(("key", size_of(value[0])), ("value", size_of(value[1]))))
    if isinstance(value, (list, tuple)):
        return Size(len(value), len(value), item=joined(list(value)))
    if isinstance(value, dict):
        return Size(len(value), len(value), item=joined(list(value.values())), key=joined(list(value)))
    return integer(value, value) if type(value) is int else SINGLE


def runs(operation: Operation) -> list[tuple[tuple[Any, ...], list[Size]]]:
    """Operands with their sizes, without those whose sizes nobody can tell."""
    found = []
    for values in operands(operation):
        if not any(isinstance(value, tuple) and len(value) == 2 for value in values):
            found.append((values, [size_of(value) for value in values]))
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_costs_lie_within_what_the_sizes_of_the_operands_say(operation: Operation) -> None:
    for values, sizes in runs(operation):
        for shape in (operation.gas, operation.alloc):
            least, most = shape.within(sizes)
            assert least <= shape.sized(values, 10**9) <= most, values
            unknown_least, unknown_most = shape.within([UNKNOWN] * len(values))
            assert unknown_least <= least
            assert most <= unknown_most


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_yields_a_value_as_large_as_it_says_or_fails_with_a_code(operation: Operation) -> None:
    for values, sizes in runs(operation):
        if operation.gas.sized(values, 10**6) + operation.alloc.sized(values, 10**6) > 10**6:
            continue  # never run: the ledgers end first
        try:
            with decimal.localcontext(EXACT):
                result = operation.function(*values)
        except (Failure, decimal.DecimalException):
            continue
        if operation.size is not None:
            assert fits(result, operation.size(sizes)), (values, result, operation.size(sizes))


def test_comparing_texts_costs_by_their_size_once_both_are_long() -> None:
    short, long = "a" * SHORT_TEXT, "a" * (SHORT_TEXT + 1)
    assert FORMS["same_text"].gas.sized((short, long), 0) == 0
    assert FORMS["same_text"].gas.sized((long, long), 0) == 1
