"""What a unit of gas takes: nanoseconds of every operation, at three sizes, against the median of them all.

An operation is compiled as the whole body of a function, run, and what an empty function takes is subtracted. `ours` is
the operation that is furthest from the median, `yardstick` the median; the ratio should lie between 1/3 and 3.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from statistics import median
from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang.compiler import Compiled
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.numbers import EXACT
from projection.lang.operations import Pattern, is_variable, parse_signature
from projection.lang.segments import with_charges
from projection.lang.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.lang.operations import Operation

SIZES = (10, 100, 1_000)
GAS = 10**9
SPAN = Span(0, 1)
_SECONDS = 0.004  # of each of the tries
_TRIES = 5
_LEFT_OUT = frozenset({"fail", "has", "narrow"})  # they take what no variable holds: a place, a type


def measure() -> Iterator[dict[str, Any]]:
    """The two extremes; every operation that lies outside is named on stderr."""
    found: dict[str, float] = {}
    with localcontext(EXACT):
        empty = _nanoseconds(Compiled({}).routine(core.Local(SPAN, 0), 1, 1), (0,))
        for operation in _operations():
            for size in SIZES:
                values = _operands(operation, size)
                if (each := _per_gas(operation, values, empty)) is not None:
                    found[f"{operation.name} {operation.signature} at {size}"] = each
    middle = median(found.values())
    for name, each in sorted(found.items(), key=lambda item: item[1]):
        if not middle / 3 <= each <= middle * 3:
            print(f"calibration: {name}: {each:.1f} ns/gas, {each / middle:.2f} of the median", file=sys.stderr)
    inside = sum(middle / 3 <= each <= middle * 3 for each in found.values())
    print(f"calibration: {inside} of {len(found)} within a third and three times {middle:.1f} ns/gas", file=sys.stderr)
    for name, extreme in (("cheapest", min(found.values())), ("dearest", max(found.values()))):
        yield {
            "name": f"nanoseconds_a_gas_{name}",
            "ours": round(extreme, 1),
            "yardstick": round(middle, 1),
            "ratio": round(extreme / middle, 2),
        }


def _operations() -> Iterator[Operation]:
    for home in (OPERATORS, BUILTINS):
        for overloads in home.values():
            yield from (one for one in overloads if one.name not in _LEFT_OUT)
    yield from (one for one in FORMS.values() if one.name not in _LEFT_OUT)


def _per_gas(operation: Operation, values: tuple[Any, ...], empty: float) -> float | None:
    """Nanoseconds a unit of gas; None where the operation does not take these operands."""
    # Operands are reached through variables, which cost gas and time of their own: 1 and a nanosecond each.
    node = core.Op(SPAN, operation, tuple(core.Local(SPAN, slot) for slot in range(len(values))))
    routine = Compiled({}).routine(with_charges(node), len(values), len(values))
    try:
        _value, gas, _alloc = routine(GAS, GAS, *values)
    except (Failure, TypeError, ValueError, AttributeError, KeyError):
        return None
    return max(_nanoseconds(routine, values) - empty, 1.0) / int(GAS - gas)


def _nanoseconds(routine: Any, values: tuple[Any, ...]) -> float:
    calls, best = 1, float("inf")
    while True:
        begin = time.perf_counter()
        for _ in range(calls):
            routine(GAS, GAS, *values)
        if (taken := time.perf_counter() - begin) > _SECONDS:
            break
        calls *= 2
    for _ in range(_TRIES):
        begin = time.perf_counter()
        for _ in range(calls):
            routine(GAS, GAS, *values)
        taken = min(taken, time.perf_counter() - begin)
        best = taken / calls * 1e9
    return best


# --- operands ---------------------------------------------------------------------------------------------------------


def _operands(operation: Operation, size: int) -> tuple[Any, ...]:
    patterns = parse_signature(operation.signature)[0]
    if patterns[-1].name == "...":
        patterns = patterns[:-1] + patterns[-2:-1]
    values = [_value(pattern, size, position) for position, pattern in enumerate(patterns)]
    if patterns[-1].name == "string" and operation.name in ("round", "div"):
        values[-2:] = [2, "half_even"]
    elif operation.name in ("padded", "as_scaled"):
        values[-1] = 4
    elif operation.name.startswith("bounded_"):
        values[-1] = 10 * size
    elif operation.name in ("repeat", "pad_start", "pad_end", "range"):
        values = [size if isinstance(value, int) else value for value in values]
    return tuple(values)


def _value(pattern: Pattern, size: int, position: int) -> Any:
    name = "string" if is_variable(pattern.name) or pattern.name in ("scalar", "json") else pattern.name
    match name:
        case "bool":
            return True
        case "int":
            return 7 + position
        case "decimal":
            return Decimal("1234.56") + position
        case "string":
            return ("abcdefghij" * size)[:size] if position == 0 else "de"
        case "bytes":
            return (b"abcdefghij" * size)[:size] if position == 0 else b"de"
        case "date":
            return date(2024, 3, 15) + timedelta(days=position)
        case "timestamp":
            return datetime(2024, 3, 15, 12, 30, tzinfo=UTC) + timedelta(days=position)
        case "duration":
            return timedelta(hours=5 + position)
        case "list":
            return [_item(pattern.arguments[0], number) for number in range(size)]
        case "set":
            return tuple(sorted(_item(pattern.arguments[0], number) for number in range(size)))
        case "map":
            return dict(sorted((f"key{number:06}", number) for number in range(size)))
        case "pair":
            return ("key", position)
    raise AssertionError(pattern)


def _item(pattern: Pattern, number: int) -> Any:
    match pattern.name:
        case "int":
            return number * 7919 % 1_000
        case "decimal":
            return Decimal(number * 7919 % 100_000) / 100
        case "bool":
            return False
        case "duration":
            return timedelta(minutes=number)
        case "pair":
            return (f"key{number * 7919 % 1_000:06}", number)
        case "list":
            return [number]
        case _:
            return f"item{number * 7919 % 1_000:06}"
