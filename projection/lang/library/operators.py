"""What programs write with symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang.cost.costs import both, constant, scanned, searched, smaller
from projection.lang.library import extents, ranges, scales
from projection.lang.library.registry import FREE, operator
from projection.lang.values import numbers, times

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

_CHECKED = "({{_}} if -9223372036854775808 <= ({{_}} := {0}) <= 9223372036854775807 else int_overflow())"


def _checked(expression: str) -> str:
    """The expression of ints if 64 bits hold it."""
    return _CHECKED.format(expression)


def _multiplied_duration(factor: int, duration: timedelta) -> timedelta:
    return times.multiplied(duration, factor)


def _between(end: datetime, start: datetime) -> timedelta:
    return end - start


# --- arithmetic ------------------------------------------------------------------------------------------------------

operator(
    "+", "int, int -> int", gas=constant(2), alloc=FREE, function=lambda a, b: numbers.checked_int(a + b),
    size=ranges.added,
    inline=_checked("{0} + {1}"),
)  # fmt: skip
operator(
    "+", "decimal, decimal -> decimal", gas=constant(3), alloc=FREE, function=numbers.add, scale=scales.largest,
    inline="{0:n} + {1:n}",
)  # fmt: skip
operator(
    "+", "string, string -> string", gas=both(8, shift=8), alloc=both(1, shift=4), function=lambda a, b: a + b,
    size=extents.joined, inline="{0} + {1}",
)  # fmt: skip
operator(
    "+", "bytes, bytes -> bytes", gas=both(8, shift=8), alloc=both(1, shift=4), function=lambda a, b: a + b,
    size=extents.joined, inline="{0} + {1}",
)  # fmt: skip
operator("+", "timestamp, duration -> timestamp", gas=constant(5), alloc=FREE, function=times.moved)
operator("+", "duration, duration -> duration", gas=constant(6), alloc=FREE, function=lambda a, b: times.checked(a + b))
operator(
    "-", "int, int -> int", gas=constant(2), alloc=FREE, function=lambda a, b: numbers.checked_int(a - b),
    size=ranges.subtracted,
    inline=_checked("{0} - {1}"),
)  # fmt: skip
operator(
    "-", "decimal, decimal -> decimal", gas=constant(3), alloc=FREE, function=numbers.subtract, scale=scales.largest,
    inline="{0:n} - {1:n}",
)  # fmt: skip
operator("-", "timestamp, timestamp -> duration", gas=constant(2), alloc=FREE, function=_between, inline="{0} - {1}")
operator("-", "timestamp, duration -> timestamp", gas=constant(5), alloc=FREE, function=lambda a, b: times.moved(a, -b))
operator("-", "duration, duration -> duration", gas=constant(6), alloc=FREE, function=lambda a, b: times.checked(a - b))
operator(
    "*", "int, int -> int", gas=constant(3), alloc=FREE, function=lambda a, b: numbers.checked_int(a * b),
    size=ranges.multiplied,
    inline=_checked("{0} * {1}"),
)  # fmt: skip
operator(
    "*", "decimal, decimal -> decimal", gas=constant(4), alloc=FREE, function=numbers.multiply, scale=scales.summed,
    inline="(({_} := {0:n} * {1:n}) or {_}.copy_abs())",  # there is no negative zero
)  # fmt: skip
operator("*", "duration, int -> duration", gas=constant(16), alloc=FREE, function=times.multiplied)
operator("*", "int, duration -> duration", gas=constant(16), alloc=FREE, function=_multiplied_duration)
operator(
    "negative", "int -> int", gas=constant(2), alloc=FREE, function=lambda a: numbers.checked_int(-a),
    size=ranges.negated,
    inline=_checked("-{0}"),
)  # fmt: skip
operator("negative", "decimal -> decimal", gas=constant(2), alloc=FREE, function=numbers.negate, scale=scales.own,
         inline="-{0}")  # fmt: skip
operator("negative", "duration -> duration", gas=constant(4), alloc=FREE, function=lambda a: times.checked(-a))
operator("not", "bool -> bool", gas=constant(1), alloc=FREE, function=lambda a: not a, inline="not {0}")


# --- comparisons: the checker has proved that both sides are of one kind; an int beside a decimal is made one --------

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
for _symbol, _compare in _COMPARISONS.items():
    for _kind, _gas in {
        "int": constant(1),
        "date": constant(1),
        "timestamp": constant(1),
        "duration": constant(1),
        "decimal": constant(1),
        "string": smaller(8, shift=8),
        "bytes": smaller(8, shift=8),
    }.items():
        operator(
            _symbol, f"{_kind}, {_kind} -> bool", gas=_gas, alloc=FREE, function=_compare,
            inline=f"{{0:n}} {_symbol} {{1:n}}" if _kind == "decimal" else f"{{0}} {_symbol} {{1}}",
        )  # fmt: skip


# --- what is in something --------------------------------------------------------------------------------------------


def _item_at(items: list[Any], index: int) -> Any:
    return items[index] if 0 <= index < len(items) else None


def _member_at(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _element_at(value: Any, index: int) -> Any:
    return _item_at(value, index) if isinstance(value, list) else None


def _is_in(item: Any, items: Any) -> bool:
    return item in items


operator("in", "E, list<E> -> bool", gas=searched(40, 0, 1), alloc=FREE, function=_is_in, inline="{0} in {1}")
operator("in", "E, set<E> -> bool", gas=searched(40, 0, 1), alloc=FREE, function=_is_in, inline="{0} in {1}")
operator("in", "K, map<K, V> -> bool", gas=constant(2), alloc=FREE, function=_is_in, inline="{0} in {1}")
operator("in", "string, string -> bool", gas=scanned(8, 1, 0), alloc=FREE, function=_is_in, inline="{0} in {1}")

operator(
    "[]", "list<T>, int -> T?", gas=constant(2), alloc=FREE, function=_item_at, size=extents.item_of(0),
    inline="({0}[{1}] if 0 <= {1} < len({0}) else None)",
)  # fmt: skip
operator(
    "[]", "map<K, V>, K -> V?", gas=constant(2), alloc=FREE, function=lambda entries, key: entries.get(key),
    size=extents.item_of(0), inline="{0}.get({1})",
)  # fmt: skip
operator("[]", "json, string -> json?", gas=constant(4), alloc=FREE, function=_member_at)
operator("[]", "json, int -> json?", gas=constant(4), alloc=FREE, function=_element_at)
