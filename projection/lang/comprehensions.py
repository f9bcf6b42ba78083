"""Checking what goes through lists, sets and maps: comprehensions, sorting, aggregates and `fold`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.branches import Branches
from projection.lang.places import Typed, form

if TYPE_CHECKING:
    from projection.lang import syntax as syn

MAX_LOOPS = 3  # inside one another


class Comprehensions(Branches):
    """Part of the checker of one function or handler."""

    loops: int  # that are open here

    def loop(self, comprehension: syn.ListFor, item: ty.Type | None) -> Typed:
        """`[body for …]`."""
        source, slots, condition, known = self.enter(comprehension.loop)
        body = self.checked_knowing(comprehension.body, known, item)
        self.leave(comprehension.loop)
        if isinstance(body.type, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(comprehension.body.span, "an item", str(body.type)))
        return Typed(core.Loop(comprehension.span, source, slots, condition, body.core), ty.List(body.type))

    def enter(self, loop: syn.Loop) -> tuple[core.Core, tuple[int, ...], core.Core | None, frozenset[tuple[str, ...]]]:
        """The source of a `for`, the slots of its variables, its condition, and what that proves."""
        source = self.check(loop.source)
        self.loops += 1
        if self.loops == MAX_LOOPS + 1:
            self.report(diag.loops_too_deep(loop.span, MAX_LOOPS))
        node = source.core
        types: tuple[ty.Type, ...]
        match source.type:
            case ty.List(item=item) if len(loop.names) == 1:
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
        slots = tuple(self.declare(name, type_, loop.span) for name, type_ in zip(loop.names, types, strict=True))
        if loop.condition is None:
            return node, slots, None, frozenset()
        return node, slots, self.condition(loop.condition), self.proven(loop.condition)[0]

    def leave(self, loop: syn.Loop) -> None:
        """The end of the variables of a `for`."""
        self.loops -= 1
        for name in loop.names:
            self.forget(name)

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
