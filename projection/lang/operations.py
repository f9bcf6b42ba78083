"""What an operation is: one record with its signature, both costs, its doc, its examples and its function.

Checker, executors, documentation and tests all read that record; none knows an operation otherwise. A record without a
cost shape for both ledgers cannot be made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from projection.lang import types as ty
from projection.lang.cost.costs import Shape
from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from projection.lang.cost.sizes import Size

_TOKEN = re.compile(r"[A-Za-z]+|[<>?,]|\.\.\.")
_IN_LINE = 64  # operands whose lengths are added in one expression; Python cannot compile a sum of thousands

ABSENT = object()  # the constant of an operand that is none


@dataclass(frozen=True, slots=True)
class Pattern:
    """A type in a signature; a single capital letter stands for any type throughout.

    `S` stands for any single value's, `E` for any that does not hold json, whose equality is not Python's.
    """

    name: str
    arguments: tuple[Pattern, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator or builtin.

    `function` takes the operands' values, in order, and raises `Failure` without a span. `scale` computes the scale of
    a decimal result from the operands' types and constants (`ABSENT` where an operand is no constant). `size` tells the
    size of the result from those of the operands; without it, only the result's type bounds it. `inline` is the
    function as a Python expression over operands `{0}`, `{1}`, … and `{_}`, a variable of its own, for compiled code;
    it may name what `compiler.NAMES` holds, and a test holds it against the function.
    """

    name: str
    signature: str
    gas: Shape
    alloc: Shape
    function: Callable[..., Any]
    doc: str
    examples: tuple[tuple[str, str], ...]  # an expression, and what it yields
    scale: Callable[[Sequence[ty.Type], Sequence[Any]], int | None] | None = None
    size: Callable[[Sequence[Size]], Size] | None = None
    inline: str | None = None
    is_sized: bool = field(init=False)  # whether a part of its cost depends on sizes

    def __post_init__(self) -> None:
        if not (isinstance(self.gas, Shape) and isinstance(self.alloc, Shape)):
            raise TypeError(f"`{self.name}` needs a cost shape for gas and one for memory")
        object.__setattr__(self, "is_sized", self.gas.is_sized or self.alloc.is_sized)

    def template_of(self, shape: Shape, count: int) -> str | None:
        """The template of one of its shapes for so many operands; None where there is none.

        What has a length for certain is measured by `len`, everything else by `length`, which takes longer.
        """
        if shape.template is None or count > _IN_LINE:
            return None
        lengths = " + ".join(f"len({{{position}}})" for position in range(count))
        text = shape.template.replace("{sum}", f"({lengths})")
        for position, one in enumerate(expanded(parse_signature(self.signature)[0], count)):
            if one.optional or one.name not in _LENGTHY:
                text = text.replace(f"len({{{position}}})", f"length({{{position}}})")
        return text

    def result(self, types: Sequence[ty.Type], constants: Sequence[Any]) -> ty.Type | None:
        """The type of the result for operands of these types; None where the operation does not take them."""
        parameters, result = parse_signature(self.signature)
        parameters = expanded(parameters, len(types))
        if len(parameters) != len(types):
            return None
        bound: dict[str, ty.Type] = {}
        yielded = _variables(result)
        if not all(_match(pattern, type_, bound, yielded) for pattern, type_ in zip(parameters, types, strict=True)):
            return None
        kept = {name: type_ for name, type_ in bound.items() if name in yielded}
        if any(_holds_ints(pattern, type_, kept) for pattern, type_ in zip(parameters, types, strict=True)):
            return None
        if self.scale is not None:
            return ty.Decimal(self.scale(types, constants))
        return _fill(result, bound)

    def wanted(self, types: Sequence[ty.Type]) -> tuple[ty.Type | None, ...]:
        """The decimal that an operand has to be made first, where it is an int beside decimals; None where it stays."""
        parameters, result = parse_signature(self.signature)
        parameters = expanded(parameters, len(types))
        bound: dict[str, ty.Type] = {}
        yielded = _variables(result)
        for pattern, type_ in zip(parameters, types, strict=True):
            _match(pattern, type_, bound, yielded)
        kept = {name: type_ for name, type_ in bound.items() if name in yielded} | {"decimal": ty.Decimal(0)}
        places = [kept.get(pattern.name) for pattern in parameters]
        return tuple(
            place if isinstance(type_, ty.Int) and isinstance(place, ty.Decimal) else None
            for place, type_ in zip(places, types, strict=True)
        )


def _variables(*patterns: Pattern) -> frozenset[str]:
    """What stands for any type in some patterns."""
    found = {pattern.name for pattern in patterns if is_variable(pattern.name)}
    return frozenset(found.union(*(_variables(*pattern.arguments) for pattern in patterns)))


def _holds_ints(pattern: Pattern, type_: ty.Type, bound: dict[str, ty.Type]) -> bool:
    """Whether a list or set of ints stands beside decimals, which would make it one of both."""
    if pattern.name not in ("list", "set") or not isinstance(type_, (ty.List, ty.Set)):
        return False
    (item,) = pattern.arguments
    if isinstance(type_.item, ty.Int):
        return isinstance(bound.get(item.name), ty.Decimal)
    return _holds_ints(item, type_.item, bound)


_LENGTHY = frozenset({"string", "bytes", "list", "set", "map"})


def expanded(parameters: tuple[Pattern, ...], count: int) -> tuple[Pattern, ...]:
    """The parameters for so many operands: `...` repeats the one before."""
    if not parameters or parameters[-1].name != "...":
        return parameters
    return parameters[:-1] + parameters[-2:-1] * (count - len(parameters) + 1)


_parsed: dict[str, tuple[tuple[Pattern, ...], Pattern]] = {}


def parse_signature(text: str) -> tuple[tuple[Pattern, ...], Pattern]:
    """Parameters and result of a signature such as `list<T>, int -> list<T>`; `...` repeats the one before."""
    if text not in _parsed:
        left, _, right = text.partition("->")
        _parsed[text] = (tuple(_patterns(left)), _patterns(right)[0])
    return _parsed[text]


def _patterns(text: str) -> list[Pattern]:
    tokens = _TOKEN.findall(text)[::-1]

    def one() -> Pattern:
        name, arguments = tokens.pop(), list[Pattern]()
        if tokens and tokens[-1] == "<":
            while tokens.pop() in "<,":
                arguments.append(one())
                if tokens[-1] == ">":
                    tokens.pop()
                    break
        is_optional = bool(tokens) and tokens[-1] == "?"
        if is_optional:
            tokens.pop()
        return Pattern(name, tuple(arguments), is_optional)

    found = list[Pattern]()
    while tokens:
        found.append(one())
        if tokens and tokens[-1] == ",":
            tokens.pop()
    return found


_CLASSES: dict[str, tuple[type, ...]] = {
    "bool": (ty.Bool,),
    "int": (ty.Int,),
    "decimal": (ty.Decimal, ty.Int),  # the one implicit conversion
    "string": (ty.String, ty.Enum),
    "bytes": (ty.Bytes,),
    "date": (ty.Date,),
    "timestamp": (ty.Timestamp,),
    "duration": (ty.Duration,),
    "json": (ty.Json,),
    "scalar": (ty.Bool, ty.Int, ty.Decimal, ty.String, ty.Enum, ty.Date, ty.Timestamp, ty.Duration),
}


def is_variable(name: str) -> bool:
    """Whether a name in a signature stands for any type."""
    return len(name) == 1 and name.isupper()


def _match(pattern: Pattern, type_: ty.Type, bound: dict[str, ty.Type], yielded: Container[str]) -> bool:
    """Whether a parameter takes a type; what stands for any type is only compared where it is not `yielded`."""
    tick()
    if isinstance(type_, ty.Never):
        return True
    if pattern.optional:
        if isinstance(type_, ty.Nothing):
            return True
        type_ = type_.inner if isinstance(type_, ty.Optional) else type_
    if is_variable(pattern.name):
        if isinstance(type_, (ty.Optional, ty.Nothing)):
            return False
        if (pattern.name == "S" and not ty.is_scalar(type_)) or (pattern.name == "E" and ty.holds_json(type_)):
            return False
        known = bound.setdefault(pattern.name, type_)
        if (joined := ty.join(known, type_)) is None:
            return pattern.name not in yielded and ty.comparable(known, type_)
        bound[pattern.name] = joined
        return True
    if pattern.name in ("list", "set"):
        kind = ty.List if pattern.name == "list" else ty.Set
        return isinstance(type_, kind) and _match(pattern.arguments[0], type_.item, bound, yielded)
    if pattern.name == "map":
        return (
            isinstance(type_, ty.Map)
            and _match(pattern.arguments[0], type_.key, bound, yielded)
            and _match(pattern.arguments[1], type_.value, bound, yielded)
        )
    if pattern.name == "pair":
        return isinstance(type_, ty.Pair) and all(
            _match(one, part, bound, yielded)
            for one, part in zip(pattern.arguments, (type_.key, type_.value), strict=True)
        )
    return isinstance(type_, _CLASSES[pattern.name])


_PLAIN: dict[str, ty.Type] = {
    "bool": ty.BOOL, "int": ty.INT, "decimal": ty.Decimal(), "string": ty.TEXT, "date": ty.DATE,
    "timestamp": ty.TIMESTAMP, "duration": ty.DURATION, "bytes": ty.BYTES, "json": ty.JSON, "never": ty.NEVER,
}  # fmt: skip


def _fill(pattern: Pattern, bound: dict[str, ty.Type]) -> ty.Type:
    filled: ty.Type
    if is_variable(pattern.name):
        filled = bound.get(pattern.name, ty.NEVER)
    elif pattern.name in ("list", "set"):
        item = _fill(pattern.arguments[0], bound)
        filled = ty.List(item) if pattern.name == "list" else ty.Set(item)
    elif pattern.name in ("map", "pair"):
        key, value = (_fill(argument, bound) for argument in pattern.arguments)
        filled = ty.Map(key, value) if pattern.name == "map" else ty.Pair(key, value)
    else:
        filled = _PLAIN[pattern.name]
    return ty.optional(filled) if pattern.optional else filled
