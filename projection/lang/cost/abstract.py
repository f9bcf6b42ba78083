"""The abstract interpreter: runs the core on sizes instead of values, and finds what that costs at least and at most.

What it finds holds for every run. The most holds for runs that fail, too: what was charged until then is a part of it.
The least holds for runs that come to their end.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import types as ty
from projection.lang.cost.sizes import (
    CODE_POINTS,
    INTEGER,
    NONE,
    SINGLE,
    UNKNOWN,
    Origin,
    Size,
    capped,
    either,
    of_value,
    text,
    widened,
)
from projection.lang.cost.tally import ONCE, Range, Tally
from projection.lang.operations import expanded, is_variable, parse_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from projection.lang.cost.costs import Shape
    from projection.lang.operations import Operation, Pattern

# A function is looked at anew for other sizes of its arguments: so often exactly, so often more coarsely, and then once
# for all. Without an end to it, a chain of functions that call each other twice would be looked at 2ⁿ times.
_EXACTLY, _COARSELY = 8, 16
_VARIANTS = 4  # that are told apart by where the same sizes come from
_ROUNDS = 8  # until an accumulator's size holds; what still grows then is unknown
_STEP_BY_STEP = 256  # items of a fold that is followed item by item
_FOLLOWED = 100_000  # nodes of all folds of one program that are followed so
MAX_STEPS = 2_000_000  # nodes that are looked at for one program


class TooMuchWorkError(Exception):
    """Bounding a program takes more steps than it may: nodes are counted, so every machine says the same."""


Frame = dict[int, "Size | None"]  # the sizes in the slots
Context = tuple["Size", ...]  # the sizes of a call's arguments


class Abstract:
    """Runs the expressions of one program on sizes; `alloc` is the limit that bounds what they can make."""

    def __init__(self, functions: Mapping[str, core.Function], alloc: int) -> None:
        self._functions = functions
        self._longest = max(alloc, ty.DEFAULT_CONTAINER)  # items of a list, each of which costs a unit
        self._called: dict[str, dict[Context, dict[tuple[bytes, ...], tuple[Size | None, Tally]]]] = {}
        self._joined: dict[str, Context] = {}
        self._constants: dict[int, Size] = {}  # by the node's identity: a large one is looked at once
        self._steps, self._followed = 0, 0

    def run(self, node: core.Core, frame: Frame, tally: Tally) -> Size | None:
        """The size of an expression's value, None where it never comes to one; its cost is added to the tally.

        Raises:
            TooMuchWorkError: the program takes too many steps.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooMuchWorkError
        match node:
            case core.Const():
                if id(node) not in self._constants:
                    self._constants[id(node)] = of_value(node.value)
                return self._constants[id(node)]
            case core.Local():
                return frame.get(node.slot, UNKNOWN)
            case core.Get():
                base = self.run(node.base, frame, tally)
                return None if base is None else base.get(node.field)
            case core.Op():
                return self._op(node, frame, tally)
            case core.If():
                return self._if(node, frame, tally)
            case core.Let():
                frame[node.slot] = self.run(node.value, frame, tally)
                body = self.run(node.body, frame, tally)
                return None if frame[node.slot] is None else body
            case core.New():
                values = self._all(node.values, frame, tally)
                rest = [name for name in node.record.made().__struct_fields__ if name not in node.names]
                if values is None:
                    return None
                return Size(fields=(*zip(node.names, values, strict=True), *((name, SINGLE) for name in rest)))
            case core.Update():
                base = self.run(node.base, frame, tally)
                values = self._all(node.values, frame, tally)
                if base is None or values is None:
                    return None
                if base.is_unknown:
                    return UNKNOWN
                changed = dict(zip(node.names, values, strict=True))
                return Size(fields=tuple((name, changed.get(name, size)) for name, size in base.fields))
            case core.Call():
                arguments = self._all(node.arguments, frame, tally)
                if arguments is None:
                    return None
                size, cost = self._call(node.function, tuple(arguments))
                tally.add_all(cost)
                return size
            case core.Loop():
                return self._loop(node, frame, tally)
            case core.Fold():
                return self._fold(node, frame, tally)
            case core.Charge():
                tally.add(node.span, Range(node.gas, node.gas), Range(node.alloc, node.alloc))
                return self.run(node.body, frame, tally)

    def _all(self, nodes: Iterable[core.Core], frame: Frame, tally: Tally) -> list[Size] | None:
        """The sizes of operands; None where one never comes to a value. All are run, since the most holds anyway."""
        found: list[Size] | None = []
        for node in nodes:
            size = self.run(node, frame, tally)
            found = None if found is None or size is None else [*found, size]
        return found

    def _if(self, node: core.If, frame: Frame, tally: Tally) -> Size | None:
        condition = self.run(node.condition, frame, tally)
        yes, no = Tally(), Tally()
        found = [(self.run(node.yes, frame, yes), yes), (self.run(node.no, frame, no), no)]
        ending = [(size, branch) for size, branch in found if size is not None]
        tally.add_either(yes, no, [branch for _size, branch in ending or found])
        if condition is None or not ending:
            return None
        return reduce(either, [size for size, _branch in ending])

    # operations

    def _op(self, node: core.Op, frame: Frame, tally: Tally) -> Size | None:
        sizes, operation = list[Size](), node.operation
        for operand in node.operands:  # all are run, since the most holds anyway
            if (size := self.run(operand, frame, tally)) is not None:
                sizes.append(size)
        if len(sizes) < len(node.operands):
            return None
        if operation.is_sized:
            gas, alloc = Range(*operation.gas.within(sizes)), Range(*operation.alloc.within(sizes))
            origin = _largest_origin(_measured(operation.gas if operation.gas.is_sized else operation.alloc, sizes))
            tally.add(
                node.span, Range(*map(capped, gas)), Range(*map(capped, alloc)), () if origin is None else (origin,)
            )
        return None if parse_signature(operation.signature)[1].name == "never" else self.operated(operation, sizes)

    def operated(self, operation: Operation, sizes: Sequence[Size]) -> Size:
        """The size of an operation's result."""
        found = operation.size(sizes) if operation.size is not None else self._inferred(operation, sizes)
        if found.origin is None and found.most > 1:
            return replace(found, origin=_largest_origin(sizes))
        return found

    def _inferred(self, operation: Operation, sizes: Sequence[Size]) -> Size:
        """What the signature says of the result: what stands for any type is passed on, never made."""
        parameters, result = parse_signature(operation.signature)
        bound: dict[str, Size | None] = {}
        for pattern, size in zip(expanded(parameters, len(sizes)), sizes, strict=True):
            _bind(pattern, size, bound)
        return self._filled(result, bound) or UNKNOWN

    def _filled(self, pattern: Pattern, bound: Mapping[str, Size | None]) -> Size | None:
        """The size of what a pattern stands for; None where nothing does, as for the items of an empty list."""
        if pattern.optional:
            inner = self._filled(replace(pattern, optional=False), bound)
            return NONE if inner is None else either(NONE, inner)
        if is_variable(pattern.name):
            return bound.get(pattern.name, UNKNOWN)
        match pattern.name:
            case "list" | "set":
                return Size(0, self._longest, self._filled(pattern.arguments[0], bound))
            case "map":
                key, value = (self._filled(argument, bound) for argument in pattern.arguments)
                return Size(0, self._longest, value, key=key)
            case "pair":
                key, value = (self._filled(argument, bound) or UNKNOWN for argument in pattern.arguments)
                return pair(key, value)
            case "string" | "bytes":
                return text(0, CODE_POINTS * self._longest)
            case "int":
                return INTEGER
            case "json":
                return UNKNOWN
            case _:
                return SINGLE

    # functions

    def _call(self, name: str, arguments: Context) -> tuple[Size | None, Tally]:
        known, context = self._called.setdefault(name, {}), self._context(name, arguments)
        variants, traces = known.setdefault(context, {}), tuple(size.trace for size in context)
        if traces not in variants:
            if len(variants) == _VARIANTS:
                return next(iter(variants.values()))
            function, tally = self._functions[name], Tally()
            frame: Frame = dict(enumerate(context))
            variants[traces] = self.run(function.body, frame, tally), tally
        return variants[traces]

    def _context(self, name: str, arguments: Context) -> Context:
        """Sizes that take in the arguments, and for which the function was looked at already if that was often."""
        known = self._called[name]
        if arguments in known:
            return arguments
        before = self._joined.get(name, arguments)
        if len(known) < _EXACTLY:
            self._joined[name] = tuple(map(either, before, arguments))
            return arguments
        if len(known) < _COARSELY:
            self._joined[name] = tuple(widened(a, b, self._longest) for a, b in zip(before, arguments, strict=True))
        else:
            self._joined[name] = (UNKNOWN,) * len(arguments)
        return self._joined[name]

    # loops

    def _loop(self, node: core.Loop, frame: Frame, tally: Tally) -> Size | None:
        source = self.run(node.source, frame, tally)
        if source is None:
            return None
        _bind_item(node, source, frame)
        tests, bodies = Tally(), Tally()
        if node.condition is not None:
            self.run(node.condition, frame, tests)
        body = self.run(node.body, frame, bodies)
        count = self._repeated(node, source, tests, bodies, tally)
        # Of nothing, nothing is made: what the body would make of an item that is not there says nothing.
        return Size(count.least, count.most, body if count.most else None, origin=source.origin)

    def _fold(self, node: core.Fold, frame: Frame, tally: Tally) -> Size | None:
        before = self.run(node.initial, frame, tally)
        source = self.run(node.source, frame, tally)
        if before is None or source is None:
            return None
        _bind_item(node, source, frame)
        if source.most <= _STEP_BY_STEP and self._followed < _FOLLOWED:
            steps, each = self._steps, Tally()
            found = self._followed_through(node, before, source, frame, each)
            self._followed += self._steps - steps
            if found is not UNKNOWN:
                self._add_items(node, source, tally)
                tally.add_all(each, ONCE, source.origin)
                return found
        for _round in range(_ROUNDS):
            tests, bodies = Tally(), Tally()
            frame[node.accumulator] = before
            if node.condition is not None:
                self.run(node.condition, frame, tests)
            after = self.run(node.body, frame, bodies)
            if after is None or (held := widened(before, after, self._longest)) == before:
                break
            before = held if _round < _ROUNDS - 2 else UNKNOWN
        self._repeated(node, source, tests, bodies, tally)
        return before

    def _followed_through(self, node: core.Fold, before: Size, source: Size, frame: Frame, tally: Tally) -> Size | None:
        """The accumulator's size behind the last item, found item by item; unknown where that takes too long."""
        last = self._steps + _FOLLOWED - self._followed
        for step in range(source.most):
            rest = Range(max(source.least - step, 0), source.most - step)
            tests, bodies = Tally(), Tally()
            frame[node.accumulator] = before
            if node.condition is not None:
                self.run(node.condition, frame, tests)
            after = self.run(node.body, frame, bodies)
            is_certain = node.condition is None and rest.least > 0
            held = after
            if not is_certain:  # a run that comes to its end may have taken no item
                held = before if after is None else either(before, after)
            holds = held is None or held == before
            count = rest if holds else Range(min(rest.least, 1), 1)
            tally.add_all(tests, count)
            tally.add_all(bodies, count if node.condition is None else Range(0, count.most))
            if held is None or holds:
                return held
            if self._steps > last:
                return UNKNOWN
            before = held
        return before

    def _repeated(self, node: core.Loop | core.Fold, source: Size, tests: Tally, bodies: Tally, tally: Tally) -> Range:
        """Adds what a loop costs; how often its body runs."""
        taken = Range(source.least if node.condition is None else 0, source.most)
        count = self._add_items(node, source, tally)
        tally.add_all(tests, count, source.origin)
        tally.add_all(bodies, taken, source.origin)
        return taken

    def _add_items(self, node: core.Loop | core.Fold, source: Size, tally: Tally) -> Range:
        """Adds what all items are charged at entry; how many they are."""
        count, origin = Range(source.least, source.most), source.origin
        gas, alloc = Range(node.item_gas, node.item_gas), Range(node.item_alloc, node.item_alloc)
        tally.add(node.span, gas.times(count), alloc.times(count), () if origin is None else (origin,))
        return count


def pair(key: Size, value: Size) -> Size:
    """The size of an entry of a map, inside comprehensions."""
    return Size(1, 2, fields=(("key", key), ("value", value)))


def _bind_item(node: core.Loop | core.Fold, source: Size, frame: Frame) -> None:
    item = source.each or NONE  # of nothing: the body does not run, whatever it is
    if len(node.slots) == 1:
        frame[node.slots[0]] = item
    else:
        frame[node.slots[0]], frame[node.slots[1]] = item.get("key"), item.get("value")


def _bind(pattern: Pattern, size: Size | None, bound: dict[str, Size | None]) -> None:
    """Find what the type variables of a pattern stand for in a size; nothing where it has no such part."""
    if is_variable(pattern.name):
        known = bound.get(pattern.name)
        bound[pattern.name] = (size or known) if size is None or known is None else either(known, size)
        return
    parts: tuple[Size | None, ...] = (None, None)
    if size is not None and pattern.name in ("list", "set"):
        parts = (size.each,)
    elif size is not None and pattern.name == "map":
        parts = (size.each_key, size.each)
    elif size is not None and pattern.name == "pair":
        parts = (size.get("key"), size.get("value"))
    for argument, part in zip(pattern.arguments, parts, strict=False):
        _bind(argument, part, bound)


def _measured(shape: Shape, sizes: Sequence[Size]) -> Sequence[Size]:
    return [sizes[position] for position in shape.positions(len(sizes))]


def _largest_origin(sizes: Iterable[Size]) -> Origin | None:
    """Where the largest of some values was declared."""
    found = max((size for size in sizes if size.origin is not None), key=lambda size: size.nodes[1], default=None)
    return None if found is None else found.origin
