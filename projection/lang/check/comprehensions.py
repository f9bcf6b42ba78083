"""Checking what goes through lists, sets and maps: comprehensions, sorting, aggregates and `fold`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.branches import Branches
from projection.lang.check.places import Typed, form
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.check.branches import Paths
    from projection.lang.operations import Operation
    from projection.lang.source import Span

MAX_LOOPS = 3  # inside one another
MAX_WIDENED = 5  # times that the type of an accumulator is made wider, from what its items make of it
UNNAMED = "_"  # a variable that nobody reads
AGGREGATES = ("sum", "count", "min", "max", "any", "all", "distinct", "first")


class Comprehensions(Branches):
    """Part of the checker of one function or handler."""

    loops: int  # that are open here

    def apply(self, overloads: Sequence[Operation], name: str, operands: Sequence[Typed], span: Span) -> Typed:
        """See `Expressions.apply`."""
        raise NotImplementedError

    def builtin(self, name: str, operands: list[Typed], span: Span, name_span: Span | None = None) -> Typed:
        """See `Expressions.builtin`."""
        raise NotImplementedError

    # lists

    def loop(self, comprehension: syn.ListFor | syn.Aggregate, item: ty.Type | None) -> Typed:
        """`[body by keys for …]`: a list, sorted where there are keys."""
        source, slots, condition, known = self.enter(comprehension.loop)
        body = self.checked_knowing(comprehension.body, known, item)
        keys = [self._sort_key(key, known) for key in comprehension.keys]
        self.leave(comprehension.loop)
        if isinstance(body.type, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(comprehension.body.span, "an item", str(body.type)))
        span, value = comprehension.span, body.core
        for key in keys:
            value = form("pair", span, key.core, value)
        node: core.Core = core.Loop(span, source, slots, condition, value)
        for written in reversed(comprehension.keys):  # sorting is stable: the last key first, and each unwraps its pair
            node = form("sorted_by_desc" if written.descending else "sorted_by", span, node)
        return Typed(node, ty.List(body.type))

    def _sort_key(self, written: syn.SortKey, known: Paths) -> Typed:
        key = self.checked_knowing(written.key, known, None)
        if isinstance(key.type, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(written.key.span, "a key to sort by", str(key.type)))
        if not ty.is_scalar(key.type) and not isinstance(key.type, ty.Never):
            return self.report(diag.mismatch(written.key.span, str(key.type), "a single value", "a key to sort by"))
        return key

    def enter(self, loop: syn.Loop) -> tuple[core.Core, tuple[int, ...], core.Core | None, Paths]:
        """The source of a `for`, the slots of its variables, its condition, and what that proves."""
        source, types = self._iterated(loop)
        return (source, *self._opened(loop, types))

    def _iterated(self, loop: syn.Loop) -> tuple[core.Core, tuple[ty.Type, ...]]:
        """The source of a `for`, and the types of its variables."""
        source = self.check(loop.source)
        node = source.core
        types: tuple[ty.Type, ...]
        match source.type:
            case ty.List(item=item) | ty.Set(item=item) if len(loop.names) == 1:
                types = (item,)
            case ty.Map(key=key, value=value) if len(loop.names) == 2:
                types = (key, value)
                node = form("entries", loop.source.span, node)
            case ty.Never():
                types = (ty.NEVER,) * len(loop.names)
            case _:
                names = "two variables" if len(loop.names) == 2 else "one variable"
                self.report(diag.not_iterable(loop.source.span, f"{source.type} with {names}"))
                types = (ty.NEVER,) * len(loop.names)
        return node, types

    def _opened(self, loop: syn.Loop, types: tuple[ty.Type, ...]) -> tuple[tuple[int, ...], core.Core | None, Paths]:
        """The slots of the variables of a `for`, its condition, and what that proves."""
        self.loops += 1
        if self.loops == MAX_LOOPS + 1:
            self.report(diag.loops_too_deep(loop.span, MAX_LOOPS))
        variables = zip(loop.names, loop.name_spans, types, strict=True)
        slots = tuple(self._loop_variable(name, type_, span) for name, span, type_ in variables)
        if loop.condition is None:
            return slots, None, frozenset()
        return slots, self.condition(loop.condition), self.proven(loop.condition)[0]

    def _loop_variable(self, name: str, type_: ty.Type, span: Span) -> int:
        return self.new_slot() if name == UNNAMED else self.declare(name, type_, span, what="variable of `for`")

    def leave(self, loop: syn.Loop) -> None:
        """The end of the variables of a `for`."""
        self.loops -= 1
        for name in loop.names:
            if name != UNNAMED:
                self.forget(name)

    # aggregates

    def aggregate(self, aggregate: syn.Aggregate, place: ty.Type | None) -> Typed:
        """`name(body by keys for …)`: an operation on the list that the loop makes."""
        name, span = aggregate.name, aggregate.span
        if name == "group":
            return self._group(aggregate, place)
        if name not in AGGREGATES:
            return self.report(diag.unknown_function(aggregate.name_span, name, (*AGGREGATES, "group")))
        if aggregate.keys and name not in ("min", "max", "first"):
            return self.report(diag.no_sorting(aggregate.keys[0].span, name))
        if not aggregate.keys or name == "first":
            return self.builtin(name, [self.loop(aggregate, None)], span)
        # The least or largest by some keys is the first in their order.
        keys = tuple(syn.SortKey(key.span, key.key, key.descending != (name == "max")) for key in aggregate.keys)
        sorted_ = syn.Aggregate(span, name, aggregate.name_span, aggregate.body, keys, aggregate.loop)
        return self.builtin("first", [self.loop(sorted_, None)], span)

    def _group(self, group: syn.Aggregate, place: ty.Type | None) -> Typed:
        if len(group.keys) != 1 or group.keys[0].descending:
            return self.report(diag.group_key(group.span))
        key_place, item_place = None, None
        if isinstance(place, ty.Map):
            key_place, item_place = place.key, place.value.item if isinstance(place.value, ty.List) else None
        source, slots, condition, known = self.enter(group.loop)
        body = self.checked_knowing(group.body, known, item_place)
        key = self.checked_knowing(group.keys[0].key, known, key_place)
        self.leave(group.loop)
        pair = form("pair", group.span, key.core, body.core)
        pairs = core.Loop(group.span, source, slots, condition, pair)
        key_type = self.as_key(key) if key_place is None else key_place
        return Typed(form("grouped", group.span, pairs), ty.Map(key_type, ty.List(self.as_value(body))))

    def fold(self, fold: syn.Fold, place: ty.Type | None) -> Typed:
        """`fold(name = initial for … => body)`; the type of `name` takes the first value and all that follow."""
        initial = self.check(fold.initial, place)
        type_ = ty.loosened(initial.type) if place is None else place
        source, types = self._iterated(fold.loop)
        for widened in range(MAX_WIDENED + 1):
            before = len(self.problems), len(self.warnings)
            slots, condition, known = self._opened(fold.loop, types)
            accumulator = self.declare(fold.name, type_, fold.name_span, what="accumulator")
            before_item, self.present = self.present, self.present | known
            body = self.check(fold.body, type_ if place is not None or isinstance(type_, ty.Record) else None)
            self.present = before_item
            joined = type_ if place is not None else ty.join(type_, ty.loosened(body.type))
            self.forget(fold.name)
            self.leave(fold.loop)
            if joined is None or joined == type_ or self.loops >= MAX_LOOPS:  # each level may take its time again
                break
            if widened == MAX_WIDENED:  # each item makes it wider: a list, a list of lists, a list of those
                joined = None
                break
            # Once more, with a type that is wide enough: int, decimal(2), decimal.
            del self.problems[before[0] :], self.warnings[before[1] :]
            type_ = joined
        if joined is None:
            text = f"it begins as {type_}"
            return self.report(diag.branches_disagree(fold.body.span, text, str(body.type), "an item makes it"))
        first, rest = self.fit(initial, type_, f"`{fold.name}`"), self.fit(body, type_, f"`{fold.name}`")
        return Typed(core.Fold(fold.span, accumulator, first, source, slots, condition, rest), type_)

    # maps

    def map_for(self, comprehension: syn.MapFor, place: ty.Type | None) -> Typed:
        """`{[key]: value for …}`."""
        source, slots, condition, known = self.enter(comprehension.loop)
        key_place, value_place = (place.key, place.value) if isinstance(place, ty.Map) else (None, None)
        key = self.checked_knowing(comprehension.key, known, key_place)
        value = self.checked_knowing(comprehension.value, known, value_place)
        self.leave(comprehension.loop)
        pair = form("pair", comprehension.span, key.core, value.core)
        pairs = core.Loop(comprehension.span, source, slots, condition, pair)
        key_type = self.as_key(key) if key_place is None else key_place  # a bound of the place's keys holds by now
        return Typed(form("map_of", comprehension.span, pairs), ty.Map(key_type, self.as_value(value)))

    def as_key(self, key: Typed) -> ty.Type:
        """The type of a map's keys, from one of them."""
        if isinstance(key.type, (ty.String, ty.Int, ty.Date, ty.Enum, ty.Never)):
            return ty.TEXT if isinstance(key.type, ty.String) else key.type
        return self.report(diag.mismatch(key.core.span, str(key.type), "string, int, date or enum", "a key")).type

    def as_value(self, value: Typed) -> ty.Type:
        """The type of a map's values, from one of them."""
        if isinstance(value.type, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(value.core.span, "a value of a map", str(value.type))).type
        return value.type
