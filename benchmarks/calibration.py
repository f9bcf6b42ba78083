"""What a unit of gas takes: nanoseconds of every operation, form and boundary, at three sizes, against their median.

Each is run as the whole body of a function, and what an empty function takes at the same time is subtracted. Operands
make an operation work: what is searched stands last, texts parse, sets overlap, lists are in no order. `ours` is what
lies furthest from the median, `yardstick` the median; the ratio should lie between 1/3 and 3.
"""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import partial
from math import log
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.boundary import boundaries
from projection.lang import core
from projection.lang import types as ty
from projection.lang.cost.segments import with_charges
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.operations import Pattern, is_variable, parse_signature
from projection.lang.run.executors import Execution, executor
from projection.lang.source import Span
from projection.lang.values.numbers import EXACT
from projection.lang.values.structs import build_structs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.lang.operations import Operation

    Case = tuple[str, core.Core, tuple[Any, ...]]  # its name, what is computed, and what its first slots hold

SIZES = (10, 100, 1_000)
GAS = 10**9
SPAN = Span(0, 1)
_SECONDS = 0.002  # of each try
_TRIES = 7
_LEFT_OUT = frozenset({"fail", "has", "narrow"})  # what never returns, and what takes a place or a type: see `_forms`


def measure() -> Iterator[dict[str, Any]]:
    """The two extremes, and how the interpreter fares; whatever lies outside is named on stderr."""
    found = nanoseconds_a_gas(Execution.COMPILED)
    middle = median(found.values())
    for name, each in sorted(found.items(), key=lambda item: item[1]):
        if not middle / 3 <= each <= middle * 3:
            print(f"calibration: {name}: {each:.1f} ns/gas, {each / middle:.2f} of the median", file=sys.stderr)
    inside = sum(middle / 3 <= each <= middle * 3 for each in found.values())
    print(f"calibration: {inside} of {len(found)} within a third and three times {middle:.1f} ns/gas", file=sys.stderr)
    interpreted = nanoseconds_a_gas(Execution.INTERPRETED).values()
    for name, ours in (
        ("cheapest", min(found.values())),
        ("dearest", max(found.values())),
        ("interpreted", median(interpreted)),
        ("interpreted_dearest", max(interpreted)),
    ):
        yield {
            "name": f"nanoseconds_a_gas_{name}",
            "ours": round(ours, 1),
            "yardstick": round(middle, 1),
            "ratio": round(ours / middle, 2),
        }


def nanoseconds_a_gas(execution: Execution) -> dict[str, float]:
    """What a unit of gas takes, by what is measured."""
    runs: dict[str, tuple[Callable[[], Any], Callable[[], Any], int]] = {}
    empty = partial(executor(execution, {}).routine(core.Const(SPAN, 0), 0, 0), GAS, GAS)
    with localcontext(EXACT):
        for name, node, values in _cases():
            routine = executor(execution, _FUNCTIONS).routine(with_charges(node), len(values), len(values) + 2)
            _value, left, _alloc = routine(GAS, GAS, *values)
            runs[name] = partial(routine, GAS, GAS, *values), empty, GAS - left
        runs |= {name: (run, _nothing, gas) for name, run, gas in boundaries()}
        found = {name: _nanoseconds(run, without) / gas for name, (run, without, gas) in runs.items()}
        middle = median(found.values())
        for name, each in found.items():  # once more: the machine may have been busy with something else
            if not middle / 2.5 <= each <= middle * 2.5:
                run, without, gas = runs[name]
                found[name] = min(each, _nanoseconds(run, without) / gas, key=lambda one: abs(log(one / middle)))
    return found


def _nothing() -> None:
    pass


def _nanoseconds(run: Callable[[], Any], empty: Callable[[], Any]) -> float:
    """How long one takes, without what the other takes: the least of some tries of both, one beside the other."""
    calls = 1
    while _seconds(run, calls) < _SECONDS:
        calls *= 2
    least = min(_seconds(run, calls) for _ in range(_TRIES)) / calls
    calls = max(calls, 1 << 12)
    return max(least - min(_seconds(empty, calls) for _ in range(_TRIES)) / calls, 1e-9) * 1e9


def _seconds(run: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - begin


# --- what is measured ------------------------------------------------------------------------------------------------

_FUNCTIONS = {"same": core.Function("same", 1, core.Local(SPAN, 0))}


def _cases() -> Iterator[Case]:
    yield from _forms()
    for home in (OPERATORS, BUILTINS, {name: [one] for name, one in FORMS.items()}):
        for overloads in home.values():
            for operation in overloads:
                if operation.name not in _LEFT_OUT:
                    for size in SIZES:
                        values = operands(operation, size)
                        node = core.Op(SPAN, operation, tuple(map(_local, range(len(values)))))
                        yield f"{operation.name} {operation.signature} at {size}", node, values


def _local(slot: int) -> core.Core:
    return core.Local(SPAN, slot)


def _record(size: int) -> ty.Record:
    fields = {f"f{n:02}": ty.Field(f"f{n:02}", ty.INT, (f"f{n:02}",), ty.REQUIRED, SPAN) for n in range(size)}
    record = ty.Record(f"Of{size}", "type", fields)
    build_structs([record])
    return record


def _forms() -> Iterator[Case]:
    """What is no operation of the library, and operations whose last operand is no value."""
    small, large = _record(5), _record(20)
    plus = OPERATORS["+"][0]
    for record in (small, large):
        names, made = tuple(record.fields), record.made()(**dict.fromkeys(record.fields, 1))
        for count in (1, 5):
            update = core.Update(SPAN, record, _local(0), names[:count], (_local(1),) * count)
            yield f"{count} of {len(names)} fields changed", update, (made, 2)
        yield f"record of {len(names)}", core.New(SPAN, record, names, (_local(0),) * len(names)), (1,)
        yield f"field of {len(names)}", core.Get(SPAN, _local(0), names[-1]), (made,)
    yield "let", core.Let(SPAN, 1, core.Op(SPAN, plus, (_local(0), _local(0))), _local(1)), (1,)
    yield "if", core.If(SPAN, _local(0), _local(1), _local(2)), (True, 1, 2)
    yield "call", core.Call(SPAN, "same", (_local(0),)), (1,)
    for size in SIZES:
        items, total = list(range(size)), core.Op(SPAN, plus, (_local(1), _local(2)))
        yield f"loop at {size}", core.Loop(SPAN, _local(0), (1,), None, core.Op(SPAN, plus, (_local(1),) * 2)), (items,)
        yield f"fold at {size}", core.Fold(SPAN, 1, core.Const(SPAN, 0), _local(0), (2,), None, total), (items,)
        for name, type_, value in (
            ("text", ty.List(ty.TEXT, size), [f"item{number}" for number in range(size)]),
            ("decimal", ty.List(ty.Decimal(2), size), [Decimal(number) / 4 for number in range(size)]),
            ("date", ty.List(ty.DATE, size), ["2024-02-29"] * size),
        ):
            narrow = core.Op(SPAN, FORMS["narrow"], (_local(0), core.Const(SPAN, type_)))
            yield f"narrow to {name} at {size}", narrow, (value,)


# --- operands --------------------------------------------------------------------------------------------------------


def operands(operation: Operation, size: int) -> tuple[Any, ...]:
    """Values that make an operation work, `size` long where that can be."""
    text = ("abcdefghi." * size)[:size]
    match operation.name:
        case "parse_int":
            return ("1234567",)
        case "int":
            return (Decimal("1234.00"),)
        case "parse_decimal":
            return ("1234.56",)
        case "parse_date":
            return ("2024-03-15",)
        case "parse_timestamp":
            return ("2024-03-15T12:30:00.123456+01:00",)
        case "parse_duration":
            return ("P1DT2H30M5S",)
        case "parse_hex":
            return ("0f" * (size // 2),)
        case "parse_base64":
            return (b64encode(text.encode()).decode(),)
        case "uuid5":
            return "6ba7b810-9dad-11d1-80b4-00c04fd430c8", text
        case "glob":
            return text, "a*e*" + text[-1]
        case "trim" | "trim_start" | "trim_end":
            return (f"  {text}  ",)
        case "remove_prefix" | "starts_with":
            return text, text[: size // 2]
        case "remove_suffix" | "ends_with":
            return text, text[size // 2 :]
        case "pad_start" | "pad_end":
            return "abc", size, "0"
        case "repeat":
            return "abc", size
        case "slice":
            return _value(parse_signature(operation.signature)[0][0], size, 0), 1, size - 1
        case "all":
            return ([True] * size,)
        case "any":
            return ([False] * size,)
        case "apart":
            return [f"key{number}" for number in range(size)], [f"other{number}" for number in range(size)]
        case "put":
            return _value(Pattern("map"), size, 0), "key", 1
        case "text" | "text_of" | "key":
            return (_SCALARS[size],) * (1 if operation.name != "key" else 2)
        case "div" | "round" if operation.signature.endswith("string -> decimal"):
            values = [
                _value(one, size, place) for place, one in enumerate(parse_signature(operation.signature)[0][:-2])
            ]
            return (*values, 2, "half_even")
        case "padded" | "as_scaled":
            return _value(parse_signature(operation.signature)[0][0], size, 0), 4
        case "in" | "index_of" if "list" in operation.signature or "set" in operation.signature:
            items = _value(Pattern("list", (Pattern("int"),)), size, 0)
            return (items[-1], items) if operation.name == "in" else (items, items[-1])
        case "in" if "map" in operation.signature:
            return "key000001", _value(Pattern("map"), size, 0)
        case "in":
            return text[-2:], text
        case "[]" if "json" in operation.signature:
            return ({"a": 1}, "a") if "string" in operation.signature else ([1, 2], 1)
    return _by_signature(operation, size)


_SCALARS = {10: Decimal("1234.56"), 100: date(2024, 3, 15), 1_000: datetime(2024, 3, 15, 12, 30, tzinfo=UTC)}


_OF_TWO = frozenset({"+", "joined_text", "<", "<=", ">", ">=", "min", "max"})


def _by_signature(operation: Operation, size: int) -> tuple[Any, ...]:
    patterns = parse_signature(operation.signature)[0]
    if patterns[-1].name == "...":
        patterns = patterns[:-1] + patterns[-2:-1]
    if operation.name.startswith("same_") and patterns[0].name in ("T", "E"):
        patterns = (Pattern("list", (Pattern("int"),)),) * 2
    values = [_value(pattern, size, position) for position, pattern in enumerate(patterns)]
    if operation.name.startswith("same"):
        values[1] = deepcopy(values[0]) if isinstance(values[0], list) else values[0][:-1] + values[0][-1:]
    elif operation.name.startswith("bounded_"):
        values[-1] = 10 * size
    elif operation.name in ("range", "take", "take_last", "skip", "skip_last"):
        values[-1] = size if "skip" not in operation.name else 1
    elif operation.name in _OF_TWO and isinstance(values[0], (str, bytes)):
        values[1] = values[0][:-1] + values[0][:1]  # type: ignore[operator]  # unlike in the last place only
    elif operation.name in ("union", "intersection", "difference", "is_subset"):
        values[1] = values[1][size // 2 :] if operation.name != "is_subset" else values[1]
    return tuple(values)


def _value(pattern: Pattern, size: int, position: int) -> Any:
    name = "string" if is_variable(pattern.name) or pattern.name == "scalar" else pattern.name
    match name:
        case "bool":
            return True
        case "int":
            return 7 + position
        case "decimal":
            return Decimal("1234.56") + position
        case "string":
            return ("abcdefghi." * size)[:size] if position == 0 else "d."[position - 1]
        case "bytes":
            return ("abcdefghi." * size)[:size].encode()
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
        case "duration":
            return timedelta(minutes=number)
        case "pair":
            return (f"key{number * 7919 % 1_000:06}", number)
        case "list":
            return [number]
        case _:
            return f"item{number * 7919 % 1_000:06}"
