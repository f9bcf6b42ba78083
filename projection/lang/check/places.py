"""Places: what a value must be where it is put, and what is inserted to make it so."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.library import FORMS
from projection.lang.values.numbers import rescaled

if TYPE_CHECKING:
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Span


class Typed(NamedTuple):
    """A computation and what it yields."""

    core: core.Core
    type: ty.Type


def form(name: str, span: Span, *operands: core.Core) -> core.Op:
    """An inserted operation."""
    return core.Op(span, FORMS[name], operands)


class Places:
    """Fits values into places; part of the checker of one function or handler."""

    problems: list[Diagnostic]
    warnings: list[Diagnostic]
    slots: int

    def new_slot(self) -> int:
        """A slot that nothing else uses."""
        self.slots += 1
        return self.slots - 1

    def report(self, problem: Diagnostic) -> Typed:
        """Remember a problem; what comes back fits everywhere, so that one mistake makes one diagnostic."""
        self.problems.append(problem)
        return Typed(core.Const(problem.span, None), ty.NEVER)

    def fit(self, value: Typed, place: ty.Type, what: str = "") -> core.Core:
        """The computation, with what it takes to be of the place's type: conversions, checks of bounds."""
        found, span = value.type, value.core.span
        if found == place or isinstance(found, ty.Never):
            return value.core
        if isinstance(place, ty.Never):
            # A place whose type is wrong, which is reported; or one in what was an empty list where it was named.
            return value.core if self.problems else self.report(diag.needs_place(span, f"what takes {found}")).core
        if isinstance(place, ty.Optional):
            if isinstance(found, ty.Nothing):
                return value.core
            if isinstance(found, ty.Optional):
                return self._fit_inside(value.core, found.inner, place.inner, what)
            return self.fit(value, place.inner, what)
        if isinstance(found, (ty.Optional, ty.Nothing)):
            return self.report(diag.maybe_none(span, what or "this", str(found))).core
        return self._convert(value, place, what)

    def _fit_inside(self, value: core.Core, found: ty.Type, place: ty.Type, what: str) -> core.Core:
        slot = self.new_slot()
        local = core.Local(value.span, slot)
        fitted = self.fit(Typed(local, found), place, what)
        if fitted is local:
            return value
        test = form("is_none", value.span, local)
        return core.Let(value.span, slot, value, core.If(value.span, test, core.Const(value.span, None), fitted))

    def _convert(self, value: Typed, place: ty.Type, what: str) -> core.Core:
        node, span = value.core, value.core.span
        match value.type, place:
            case (ty.Int(), ty.Decimal()):
                return self._decimal(node, "as_decimal", place.scale or 0)
            case (ty.Decimal(scale=scale), ty.Decimal(scale=wanted)):
                if wanted is None:
                    return node
                if scale is None or scale > wanted:
                    return self.report(diag.scale_unknown(span, str(value.type), str(place))).core
                return self._decimal(node, "padded", wanted)
            case (ty.String(literal=str() as text), ty.Enum()):
                if place.open or text in place.members:
                    return node
                return self.report(diag.not_a_member(span, text, place.members)).core
            case (ty.Enum(), ty.Enum()) if place.open or (
                not value.type.open and set(value.type.members) <= set(place.members)
            ):
                return node
            case (ty.String(), ty.Enum(open=True)):
                return self._bounded(node, "bounded_string", value.type.max, ty.DEFAULT_STRING)
            case (ty.Enum(), ty.String()):
                longest = None if value.type.open else max(map(len, value.type.members))
                return self._bounded(node, "bounded_string", longest, place.max)
            case (ty.String(), ty.String()):
                literal = value.type.literal
                if literal is not None and place.max is not None and len(literal) > place.max:
                    return self.report(diag.mismatch(span, f"a text of {len(literal)}", str(place), what)).core
                return self._bounded(node, "bounded_string", value.type.max, place.max)
            case (ty.List(), ty.List()):
                node = self._items(node, value.type.item, place.item, what)
                return self._bounded(node, "bounded_list", value.type.max, place.max)
            case (ty.Bytes(), ty.Bytes()):
                return self._bounded(node, "bounded_bytes", value.type.max, place.max)
            case (ty.Set(), ty.Set()) | (ty.Map(), ty.Map()):
                before = len(self.problems)
                fitted = self._parts(node, value.type, place)
                if len(self.problems) == before:
                    return fitted
                del self.problems[before:]  # the whole is reported, not its parts
        return self.report(diag.mismatch(span, str(value.type), str(place), what)).core

    def _decimal(self, node: core.Core, name: str, scale: int) -> core.Core:
        if isinstance(node, core.Const) and (value := rescaled(Decimal(node.value), scale)) is not None:
            return core.Const(node.span, value)
        if name == "as_decimal" and scale == 0:
            return form(name, node.span, node)
        return form("as_scaled" if name == "as_decimal" else name, node.span, node, core.Const(node.span, scale))

    def _bounded(self, node: core.Core, name: str, found: int | None, bound: int | None) -> core.Core:
        if bound is None or (found is not None and found <= bound):
            return node
        return form(name, node.span, node, core.Const(node.span, bound))

    def _items(self, node: core.Core, found: ty.Type, place: ty.Type, what: str) -> core.Core:
        slot = self.new_slot()
        local = core.Local(node.span, slot)
        fitted = self.fit(Typed(local, found), place, f"an item of {what}" if what else "an item")
        return node if fitted is local else core.Loop(node.span, node, (slot,), None, fitted)

    def _parts(self, node: core.Core, found: ty.Type, place: ty.Type) -> core.Core:
        """A set or a map with each of its parts fitted."""
        if isinstance(found, ty.Set) and isinstance(place, ty.Set):
            return self._bounded(self._set_items(node, found.item, place.item), "bounded_set", found.max, place.max)
        if isinstance(found, ty.Map) and isinstance(place, ty.Map):
            return self._bounded(self._entries(node, found, place), "bounded_map", found.max, place.max)
        raise AssertionError(found)

    def _set_items(self, node: core.Core, found: ty.Type, place: ty.Type) -> core.Core:
        items = form("items", node.span, node)
        fitted = self._items(items, found, place, "")
        return node if fitted is items else form("set_of", node.span, fitted)

    def _entries(self, node: core.Core, found: ty.Map, place: ty.Map) -> core.Core:
        """A map with each entry fitted; itself where nothing is to be done for any."""
        key, value = (core.Local(node.span, self.new_slot()) for _ in range(2))
        pair = (
            self.fit(Typed(key, found.key), place.key, "a key"),
            self.fit(Typed(value, found.value), place.value, "a value of a map"),
        )
        if pair == (key, value):
            return node
        source, body = form("entries", node.span, node), form("pair", node.span, *pair)
        return form("map_of", node.span, core.Loop(node.span, source, (key.slot, value.slot), None, body))
