"""Operands to try operations of the library on: edge values of every type, by what the signature says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

from projection.lang.operations import Operation, Pattern, is_variable, parse_signature
from projection.lang.values.numbers import ROUNDING_MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALARS: dict[str, list[Any]] = {
    "bool": [False, True],
    "int": [0, 1, -1, 2, 7, 2**63 - 1, -(2**63), 4_294_967_296],
    "decimal": [
        Decimal(text) for text in ("0", "0.00", "1", "-1.50", "1.500", "9" * 38, "-" + "9" * 20 + "." + "9" * 18)
    ],
    "string": ["", "a", "abc", "ÀÉß aBc\u00a0", " \t a\r\n", "a" * 600],
    "bytes": [b"", b"a", bytes(range(256)), b"a" * 600],
    "date": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "timestamp": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 1, 2, 3, 4, UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ],
    "duration": [timedelta(), timedelta(hours=1), -timedelta(days=400), (2**63 - 1) * timedelta(microseconds=1)],
    "json": [True, 1, {"a": 1}, [1, None]],
}


def operands(operation: Operation) -> Iterator[tuple[Any, ...]]:
    """Combinations of edge values for all parameters."""
    patterns = parse_signature(operation.signature)[0]
    if patterns[-1].name == "...":
        for count in (1, 2, 3):
            yield from product(*[_values(patterns[0])[:4]] * count)
        return
    limit = {1: 99, 2: 99}.get(len(patterns), 4)
    values = [_values(pattern)[:limit] for pattern in patterns]
    if operation.name in ("round", "div") and patterns[-1].name == "string":
        values[-1] = list(ROUNDING_MODES)  # a constant, which the checker has looked at
    if operation.name in ("padded", "as_scaled"):
        values[-1] = [0, 2, 18]  # the same
    yield from product(*values)


def _values(pattern: Pattern) -> list[Any]:
    found = _present(pattern)
    return [None, *found] if pattern.optional else found


def _present(pattern: Pattern) -> list[Any]:
    if is_variable(pattern.name) or pattern.name == "scalar":
        return SCALARS["int"][:5]
    if pattern.name in SCALARS:
        return SCALARS[pattern.name]
    inner = [_present(argument) for argument in pattern.arguments]
    match pattern.name:
        case "list":
            return [[], inner[0][:1], inner[0][:3], (inner[0] * 300)[:300]]
        case "set":
            return [(), tuple(sorted(set(inner[0][:1]))), tuple(sorted(set(inner[0])))]
        case "map":
            return [{}, dict(zip(sorted(inner[0][:3]), inner[1], strict=False))]
        case "pair":
            return list(zip(inner[0], inner[1], strict=False))
    raise AssertionError(pattern)
