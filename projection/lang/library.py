"""The library: every operator and builtin of edition 1."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from projection.lang import failures, numbers, types
from projection.lang.costs import added, constant, linear, n_log_n, searched, smaller, walked
from projection.lang.operations import ABSENT, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from projection.lang.costs import Shape

FREE = constant(0)

OPERATORS: dict[str, list[Operation]] = {}  # by symbol; the first that takes the operands is meant
BUILTINS: dict[str, list[Operation]] = {}  # by name
FORMS: dict[str, Operation] = {}  # what the checker inserts; programs cannot name them


def _operation(
    home: dict[str, list[Operation]],
    name: str,
    signature: str,
    gas: Shape,
    alloc: Shape,
    function: Callable[..., Any],
    doc: str = "",
    examples: Iterable[tuple[str, str]] = (),
    scale: Callable[[Sequence[types.Type], Sequence[Any]], int | None] | None = None,
) -> None:
    home.setdefault(name, []).append(Operation(name, signature, gas, alloc, function, doc, tuple(examples), scale))


def _operator(symbol: str, signature: str, gas: Shape, alloc: Shape, function: Callable[..., Any], **more: Any) -> None:
    _operation(OPERATORS, symbol, signature, gas, alloc, function, **more)


def _builtin(
    name: str,
    signature: str,
    gas: Shape,
    alloc: Shape,
    function: Callable[..., Any],
    doc: str,
    *examples: tuple[str, str],
    scale: Callable[[Sequence[types.Type], Sequence[Any]], int | None] | None = None,
) -> None:
    _operation(BUILTINS, name, signature, gas, alloc, function, doc, examples, scale)


def _form(name: str, signature: str, gas: Shape, alloc: Shape, function: Callable[..., Any]) -> None:
    FORMS[name] = Operation(name, signature, gas, alloc, function, "", ())


# --- scales of decimal results ---------------------------------------------------------------------------------------


def _scale_of(type_: types.Type) -> int | None:
    return 0 if isinstance(type_, types.Int) else cast("types.Decimal", type_).scale


def _larger_scale(operands: Sequence[types.Type], _constants: Sequence[Any]) -> int | None:
    scales = [_scale_of(operand) for operand in operands]
    return None if None in scales else max(cast("list[int]", scales))


def _summed_scale(operands: Sequence[types.Type], _constants: Sequence[Any]) -> int | None:
    scales = [_scale_of(operand) for operand in operands]
    return None if None in scales else sum(cast("list[int]", scales))


def _own_scale(operands: Sequence[types.Type], _constants: Sequence[Any]) -> int | None:
    return _scale_of(operands[0])


def _item_scale(operands: Sequence[types.Type], _constants: Sequence[Any]) -> int | None:
    item = cast("types.List", operands[0]).item
    return None if isinstance(item, types.Never) else _scale_of(item)


def _constant_scale(position: int) -> Callable[[Sequence[types.Type], Sequence[Any]], int | None]:
    def scale(_operands: Sequence[types.Type], constants: Sequence[Any]) -> int | None:
        return None if constants[position] is ABSENT else cast("int", constants[position])

    return scale


# --- operators -------------------------------------------------------------------------------------------------------


def _concat(a: str, b: str) -> str:
    return a + b


_operator("+", "int, int -> int", constant(2), FREE, lambda a, b: numbers.checked_int(a + b))
_operator("+", "decimal, decimal -> decimal", constant(4), FREE, numbers.add, scale=_larger_scale)
_operator("+", "string, string -> string", added(2, shift=4), added(1, shift=4), _concat)
_operator("-", "int, int -> int", constant(2), FREE, lambda a, b: numbers.checked_int(a - b))
_operator("-", "decimal, decimal -> decimal", constant(4), FREE, numbers.subtract, scale=_larger_scale)
_operator("*", "int, int -> int", constant(3), FREE, lambda a, b: numbers.checked_int(a * b))
_operator("*", "decimal, decimal -> decimal", constant(6), FREE, numbers.multiply, scale=_summed_scale)
_operator("negative", "int -> int", constant(2), FREE, lambda a: numbers.checked_int(-a))
_operator("negative", "decimal -> decimal", constant(4), FREE, numbers.negate, scale=_own_scale)
_operator("not", "bool -> bool", constant(1), FREE, lambda a: not a)

# Comparisons: the checker has proved that both sides are of one kind. An int beside a decimal is made one.
for _symbol, _compare in {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}.items():
    for _kind in ("int", "date", "timestamp"):
        _operator(_symbol, f"{_kind}, {_kind} -> bool", constant(2), FREE, _compare)
    _operator(_symbol, "decimal, decimal -> bool", constant(4), FREE, _compare)
    _operator(_symbol, "string, string -> bool", smaller(2, shift=5), FREE, _compare)

_form("same", "T?, T? -> bool", constant(2), FREE, lambda a, b: a == b)  # single values, and none
_form("same_text", "string?, string? -> bool", smaller(2, shift=5), FREE, lambda a, b: a == b)
_form("same_parts", "T?, T? -> bool", walked(2), FREE, lambda a, b: a == b)
_form("is_none", "T? -> bool", constant(2), FREE, lambda a: a is None)
_operator("in", "T, list<T> -> bool", searched(2), FREE, lambda item, items: item in items)
_operator("in", "K, map<K, V> -> bool", constant(3), FREE, lambda key, entries: key in entries)
_operator("in", "string, string -> bool", added(4, shift=3), FREE, lambda part, text: part in text)


def _item_at(items: list[Any], index: int) -> Any:
    return items[index] if 0 <= index < len(items) else None


_operator("[]", "list<T>, int -> T?", constant(3), FREE, _item_at)
_operator("[]", "map<K, V>, K -> V?", constant(3), FREE, lambda entries, key: entries.get(key))


# --- forms: what the checker inserts ---------------------------------------------------------------------------------


def _asserted(value: Any, path: str) -> Any:
    if value is None:
        raise failures.nothing_there(path)
    return value


def _bounded(what: str) -> Callable[[Any, int], Any]:
    def check(value: Any, bound: int) -> Any:
        if len(value) > bound:
            raise failures.beyond_bound(what, len(value), bound)
        return value

    return check


def _as_decimal(value: int, scale: int) -> Decimal:
    result = numbers.rescaled(Decimal(value), scale)
    if result is None:
        raise failures.inexact_decimal()
    return result


def _padded(value: Decimal, scale: int) -> Decimal:
    result = numbers.rescaled(value, scale)
    if result is None:
        raise failures.inexact_decimal()
    return result


def _joined_lists(*parts: list[Any]) -> list[Any]:
    return [item for part in parts for item in part]


def _map_of(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return dict(sorted(dict(pairs).items()))


def _joined_maps(*parts: dict[Any, Any]) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for part in parts:
        merged |= part
    return dict(sorted(merged.items()))


def _put(entries: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    changed = entries | {key: value}
    return changed if key in entries else dict(sorted(changed.items()))


def _dropped(entries: dict[Any, Any], key: Any) -> dict[Any, Any]:
    return {one: value for one, value in entries.items() if one != key}


def text_of(value: Any) -> str:
    """A single value as text, as interpolation and JSON write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return numbers.decimal_text(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    return value.isoformat() if isinstance(value, date) else str(value)


_form("asserted", "T?, string -> T", constant(2), FREE, _asserted)
_form("as_decimal", "int, int -> decimal", constant(4), FREE, _as_decimal)
_form("padded", "decimal, int -> decimal", constant(4), FREE, _padded)
_form("bounded_string", "string, int -> string", constant(2), FREE, _bounded("a string"))
_form("bounded_list", "list<T>, int -> list<T>", constant(2), FREE, _bounded("a list"))
_form("bounded_map", "map<K, V>, int -> map<K, V>", constant(2), FREE, _bounded("a map"))
_form("list_of", "T, ... -> list<T>", constant(4, 1), constant(0, 1), lambda *items: list(items))
_form("joined_lists", "list<T>, ... -> list<T>", added(4, shift=2), added(0), _joined_lists)
_form("pair", "K, V -> pair<K, V>", constant(2), constant(1), lambda key, value: (key, value))
_form("map_of", "list<pair<K, V>> -> map<K, V>", n_log_n(6, 0, shift=1), linear(0, 0, factor=2), _map_of)
_form("joined_maps", "map<K, V>, ... -> map<K, V>", added(6), added(0), _joined_maps)
_form("entries", "map<K, V> -> list<pair<K, V>>", linear(4, 0, shift=1), linear(0, 0), lambda m: list(m.items()))
_form("put", "map<K, V>, K, V -> map<K, V>", linear(6, 0, shift=2), linear(2, 0, factor=2), _put)
_form("dropped", "map<K, V>, K -> map<K, V>", linear(6, 0, shift=2), linear(0, 0, factor=2), _dropped)
_form("text_of", "scalar -> string", constant(4), constant(1), text_of)
_form("joined_text", "string, ... -> string", added(2, shift=4), added(1, shift=4), lambda *parts: "".join(parts))


# --- builtins --------------------------------------------------------------------------------------------------------


def _fail(code: str, message: str) -> Any:
    raise failures.failed_on_purpose(code, message)


def _summed_ints(items: list[int]) -> int:
    return numbers.checked_int(sum(items))


def _summed_decimals(items: list[Decimal], zero: Decimal) -> Decimal:
    total = zero
    for item in items:
        total = numbers.add(total, item)
    return total


def _key(*parts: Any) -> str:
    return ":".join(text_of(part).replace("%", "%25").replace(":", "%3A") for part in parts)


def _take_last(items: list[Any], count: int) -> list[Any]:
    return items[-count:] if count > 0 else []


def _take(items: list[Any], count: int) -> list[Any]:
    return items[: max(count, 0)]


_ASCII_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(65, 91)})
_ASCII_UPPER = str.maketrans({chr(code): chr(code - 32) for code in range(97, 123)})

# `sum` of decimals takes the zero of its type from the checker as a second operand.
_form("sum_decimals", "list<decimal>, decimal -> decimal", linear(4, 0, factor=4), FREE, _summed_decimals)
_builtin(
    "sum",
    "list<int> -> int",
    linear(2, 0, factor=2),
    FREE,
    _summed_ints,
    "The sum; 0 of nothing.",
    ("sum([1, 2])", "3"),
)
_builtin(
    "sum", "list<decimal> -> decimal", linear(4, 0, factor=4), FREE, lambda items: _summed_decimals(items, Decimal(0)),
    "The exact sum; 0 of nothing.", ("sum([1.10, 2.20])", "3.30"), scale=_item_scale,
)  # fmt: skip
_builtin("count", "list<T> -> int", constant(2), FREE, len, "How many items.", ("count([3, 4])", "2"))
_builtin("length", "string -> int", constant(2), FREE, len, "How many code points.", ('length("café")', "4"))
_builtin("length", "list<T> -> int", constant(2), FREE, len, "How many items.", ("length([3, 4])", "2"))
_builtin("length", "map<K, V> -> int", constant(2), FREE, len, "How many entries.", ('length({["a"]: 1})', "1"))
for _name, _pick, _example in (("min", min, "3"), ("max", max, "7")):
    _builtin(
        _name, "list<S> -> S?", linear(4, 0, factor=2), FREE, lambda items, pick=_pick: pick(items, default=None),
        f"The {_name}imum; none of nothing.", (f"{_name}([7, 3])!", _example),
    )  # fmt: skip
_builtin("any", "list<bool> -> bool", linear(2, 0), FREE, any, "Whether one is true.", ("any([false, true])", "true"))
_builtin(
    "all", "list<bool> -> bool", linear(2, 0), FREE, all, "Whether none is false.", ("all([false, true])", "false")
)
_builtin(
    "first", "list<T> -> T?", constant(3), FREE, lambda items: items[0] if items else None,
    "The first item; none of nothing.", ("first([5, 6])!", "5"),
)  # fmt: skip
_builtin("take", "list<T>, int -> list<T>", linear(4, 0, shift=2), linear(0, 0), _take,
         "The first items, at most so many.", ("take([1, 2, 3], 2)", "[1, 2]"))  # fmt: skip
_builtin("take_last", "list<T>, int -> list<T>", linear(4, 0, shift=2), linear(0, 0), _take_last,
         "The last items, at most so many.", ("take_last([1, 2, 3], 2)", "[2, 3]"))  # fmt: skip
_builtin("keys", "map<K, V> -> list<K>", linear(4, 0, shift=2), linear(0, 0), list,
         "The keys, in order.", ('keys({["b"]: 1, ["a"]: 2})', '["a", "b"]'))  # fmt: skip
_builtin("values", "map<K, V> -> list<V>", linear(4, 0, shift=2), linear(0, 0), lambda m: list(m.values()),
         "The values, in the order of their keys.", ('values({["b"]: 1, ["a"]: 2})', "[2, 1]"))  # fmt: skip
_builtin(
    "abs", "int -> int", constant(2), FREE, lambda a: numbers.checked_int(abs(a)), "Without its sign.", ("abs(-2)", "2")
)
_builtin("abs", "decimal -> decimal", constant(4), FREE, lambda a: a.copy_abs(), "Without its sign.",
         ("abs(-2.50)", "2.50"), scale=_own_scale)  # fmt: skip
_builtin("div", "int, int -> int", constant(4), FREE, numbers.truncated_division,
         "The quotient, cut towards zero.", ("div(43, 5)", "8"), ("div(-43, 5)", "-8"))  # fmt: skip
_builtin("rem", "int, int -> int", constant(4), FREE, numbers.truncated_remainder,
         "The rest of `div`.", ("rem(43, 5)", "3"), ("rem(-43, 5)", "-3"))  # fmt: skip
_builtin(
    "div", "decimal, decimal, int, string -> decimal", constant(10), FREE, numbers.divided,
    "The quotient, rounded once to so many digits behind the point. Scale and mode are constants.",
    ('div(10.00, 3, 2, "half_up")', "3.33"), scale=_constant_scale(2),
)  # fmt: skip
_builtin(
    "round", "decimal, int, string -> decimal", constant(10), FREE, numbers.rounded,
    "The number with so many digits behind the point. Scale and mode are constants; the modes are "
    + ", ".join(f"`{mode}`" for mode in numbers.ROUNDING_MODES) + ".",
    ('round(2.345, 2, "half_even")', "2.34"), ('round(2.345, 2, "half_up")', "2.35"), scale=_constant_scale(1),
)  # fmt: skip
_builtin("year", "date -> int", constant(2), FREE, lambda day: day.year, "The year.")
_builtin("month", "date -> int", constant(2), FREE, lambda day: day.month, "The month, from 1.")
_builtin("day", "date -> int", constant(2), FREE, lambda day: day.day, "The day of the month, from 1.")
_builtin("lower", "string -> string", linear(4, 0, shift=3), linear(1, 0, shift=4), lambda t: t.translate(_ASCII_LOWER),
         "ASCII letters made small; all others stay.", ('lower("ABC-É")', '"abc-É"'))  # fmt: skip
_builtin("upper", "string -> string", linear(4, 0, shift=3), linear(1, 0, shift=4), lambda t: t.translate(_ASCII_UPPER),
         "ASCII letters made large; all others stay.", ('upper("abc-é")', '"ABC-é"'))  # fmt: skip
_builtin("trim", "string -> string", linear(4, 0, shift=3), linear(1, 0, shift=4), lambda t: t.strip(" \t\r\n"),
         "Without blanks, tabs and line ends around it.", ('trim(" a ")', '"a"'))  # fmt: skip
_builtin("starts_with", "string, string -> bool", linear(4, 1, shift=3), FREE, lambda t, p: t.startswith(p),
         "Whether a text begins so.", ('starts_with("abc", "ab")', "true"))  # fmt: skip
_builtin("ends_with", "string, string -> bool", linear(4, 1, shift=3), FREE, lambda t, p: t.endswith(p),
         "Whether a text ends so.", ('ends_with("abc", "bc")', "true"))  # fmt: skip
_builtin("text", "scalar -> string", constant(4), constant(1), text_of,
         "A single value as text.", ("text(1.50)", '"1.50"'))  # fmt: skip
_builtin("key", "scalar, ... -> string", added(6, shift=2), added(1, shift=4), _key,
         "A composite id: parts escaped for `:` and `%`, and joined with `:`.",
         ('key("a:b", 7)', '"a%3Ab:7"'))  # fmt: skip
_builtin("fail", "string, string -> never", constant(2), FREE, _fail,
         "A program error on purpose, with a code of your own; the manifest's policy says what happens.")  # fmt: skip
