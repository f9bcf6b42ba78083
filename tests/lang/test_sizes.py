"""What each operation's record says of sizes and costs beforehand holds for every value that it is given."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from bounds_support import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.lang.cost.abstract import Abstract
from projection.lang.cost.sizes import NONE, UNKNOWN, Size, either, of_value
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.operations import Operation, Pattern, parse_signature
from projection.lang.values.numbers import ROUNDING_MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATIONS = [one for home in (OPERATORS, BUILTINS) for found in home.values() for one in found] + list(FORMS.values())
OWN_TERMS = {"fail", "narrow", "has"}  # yield nothing, or take what no program can name
MEASURED = [one for one in OPERATIONS if one.name not in OWN_TERMS]

TEXTS = [
    "",
    "a",
    "b",
    "aé",
    "a,b,c",
    "%:%",
    "x" * 40,
    "2024-02-29",
    "1.50",
    "7",
    "half_up",
    "aaaa",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "😀",
]
SCALARS = ["bool", "int", "decimal", "string", "date", "timestamp", "duration", "bytes"]


def single(random: Random, kind: str) -> Any:
    """A value of a type without parts."""
    match kind:
        case "bool":
            return random.random() < 0.5
        case "int":
            return random.choice([0, 1, 2, 3, 5, -1, 12, 2024, random.randrange(-100, 100)])
        case "decimal":
            return random.choice([Decimal(0), Decimal("1.50"), Decimal("-2.25"), Decimal(10**30), Decimal(7)])
        case "string" | "json":
            return random.choice(TEXTS)
        case "bytes":
            return random.choice(TEXTS).encode()
        case "date":
            return date(2024, random.randrange(1, 13), random.randrange(1, 29))
        case "timestamp":
            return datetime(2024, 2, 3, random.randrange(24), 5, 6, tzinfo=UTC)
        case "duration":
            return timedelta(minutes=random.randrange(-100, 100))
    raise AssertionError(kind)


def some(random: Random, pattern: Pattern, meant: dict[str, str]) -> Any:
    """A value that a pattern takes; `meant` says what its variables stand for."""
    if pattern.optional and random.random() < 0.2:
        return None
    if pattern.name in meant:
        return single(random, meant[pattern.name])
    if pattern.name in ("list", "set", "map"):
        found = [tuple(some(random, one, meant) for one in pattern.arguments) for _ in range(random.randrange(6))]
        if pattern.name == "map":
            return dict(sorted(dict(found).items()))
        items = [item for (item,) in found]
        return items if pattern.name == "list" else tuple(sorted(set(items)))
    if pattern.name == "pair":
        return tuple(some(random, one, meant) for one in pattern.arguments)
    return single(random, pattern.name)


def variables(pattern: Pattern) -> set[str]:
    own = {pattern.name} if len(pattern.name) == 1 else set()
    return own.union(*(variables(one) for one in pattern.arguments))


def operands(random: Random, operation: Operation, count: int) -> list[list[Any]]:
    """Some lists of operands of the same types."""
    parameters, _result = parse_signature(operation.signature)
    if parameters and parameters[-1].name == "...":
        parameters = parameters[:-1] + parameters[-2:-1] * random.randrange(3)
    scalars = [Pattern(random.choice(SCALARS[:-1])) for _ in parameters]  # bytes are none: they are no text
    parameters = tuple(scalar if one.name == "scalar" else one for one, scalar in zip(parameters, scalars, strict=True))
    names = set().union(*(variables(one) for one in parameters)) if parameters else set()
    meant = {name: random.choice(SCALARS) for name in sorted(names)}
    found = [[some(random, one, meant) for one in parameters] for _ in range(count)]
    for values in found:  # scale and mode are constants, which the checker holds against lists
        if operation.name in ("round", "div") and parameters[-1].name == "string":
            values[-2:] = [random.randrange(19), random.choice(sorted(ROUNDING_MODES))]
        if operation.name in ("decimal", "padded", "as_scaled"):
            values[-1] = random.randrange(19)
    return found


def holds(operation: Operation, values: Sequence[Any], sizes: Sequence[Size]) -> bool:
    """Whether costs and result of these operands lie within what their sizes say; whether there was a result."""
    for shape in (operation.gas, operation.alloc):
        least, most = shape.within(sizes)
        assert least <= shape.sized(values, 10**9) <= most, (operation.name, shape.name, values)
    try:
        value = operation.function(*values)
    except (Failure, ArithmeticError, OverflowError):
        return False
    size = Abstract({}, 1_000_000).operated(operation, sizes)
    assert fits(value, size), (operation.name, values, value, size)
    return True


def check_all(seed: int) -> dict[str, int]:
    random, results = Random(seed), dict[str, int]()
    for operation in MEASURED:
        several = operands(random, operation, 3)
        exact = [[of_value(value) for value in values] for values in several]
        loose = exact[0]
        for sizes in exact[1:]:
            loose = [either(one, other) for one, other in zip(loose, sizes, strict=True)]
        for values, sizes in zip(several, exact, strict=True):
            holds(operation, values, loose)
            for place in range(len(sizes)):  # of one operand nothing is known
                holds(operation, values, [*sizes[:place], UNKNOWN, *sizes[place + 1 :]])
            key = f"{operation.name}: {operation.signature}"
            results[key] = results.get(key, 0) + holds(operation, values, sizes)
    return results


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_costs_and_results_of_every_operation_lie_within_what_is_known_beforehand(seed: int) -> None:
    check_all(seed)


def test_the_generator_makes_operands_that_every_operation_takes() -> None:
    counts = dict.fromkeys((f"{one.name}: {one.signature}" for one in MEASURED), 0)
    for seed in range(25):
        for name, results in check_all(seed).items():
            counts[name] += results
    assert [] == [name for name, count in counts.items() if count == 0]


@pytest.mark.parametrize("operation", MEASURED, ids=lambda one: f"{one.name}: {one.signature}")
def test_what_has_a_length_has_one_that_is_known_beforehand(operation: Operation) -> None:
    """Without a size of its own, a result of many parts would be as large as memory allows."""
    result = parse_signature(operation.signature)[1].name
    assert operation.size is not None or result not in ("string", "bytes", "list", "set", "map")


def test_none_is_of_the_size_of_none() -> None:
    assert fits(None, NONE)
    assert not fits("ab", NONE)
