"""Structured filters: from what was checked to the same core that a condition of the language comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang import types as ty
from projection.lang.check.filters import NAME, Condition, FilterExpressions
from projection.lang.check.places import Typed, form
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.run.folding import folded
from projection.lang.source import Source, Span
from projection.lang.steps import tick
from projection.query.comparisons import ORDERED, Asked, Group, Negated, operand
from projection.query.paths import Each, Field, Item, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.check.checker import Scope
    from projection.query.comparisons import Tree
    from projection.query.paths import Step

_NOWHERE = Span(0, 0)
_FALSE, _TRUE = core.Const(_NOWHERE, value=False), core.Const(_NOWHERE, value=True)
_SYMBOLS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def condition_of(tree: Tree, scope: Scope) -> Condition:
    """The core of a filter."""
    builder = _Builder(scope)
    node = builder.node(tree)
    return Condition(folded(node), builder.slots)


class _Builder:
    """Makes the core of one filter."""

    def __init__(self, scope: Scope) -> None:
        self._record = scope.checked.view
        self._language = FilterExpressions(scope, Source(NAME, ""), [])

    @property
    def slots(self) -> int:
        """Of the frame, so far."""
        return self._language.slots

    def node(self, tree: Tree) -> core.Core:
        """What a filter comes to: true or false."""
        tick()
        match tree:
            case Group():
                return _joined([self.node(part) for part in tree.parts], is_and=tree.is_and)
            case Negated():
                part = Typed(self.node(tree.part), ty.BOOL)
                return self._language.apply(OPERATORS["not"], "not", [part], _NOWHERE).core
            case Asked():
                test = self._test(tree)
                if tree.path.is_id:
                    return test(Typed(core.Local(_NOWHERE, core.ID), ty.TEXT))
                return self._at(Typed(core.Local(_NOWHERE, core.VIEW), self._record), tree.path.steps, test)

    def _test(self, asked: Asked) -> Callable[[Typed], core.Core]:
        """The comparison of what is there with the value."""
        op, type_, apply = asked.op, asked.path.type, self._language.apply
        if op == "exists":
            return lambda _found: _TRUE
        if op == "in":
            values = Typed(core.Const(_NOWHERE, asked.value), ty.List(type_))
            return lambda found: apply(OPERATORS["in"], "in", [found, values], _NOWHERE).core
        value = _constant(asked.value, operand(op, type_))
        if op == "contains":
            return lambda found: apply(OPERATORS["in"], "in", [value, found], _NOWHERE).core
        if op == "starts_with":
            return lambda found: apply(BUILTINS["starts_with"], "starts_with", [found, value], _NOWHERE).core
        if op in ORDERED:
            symbol = _SYMBOLS[op]
            return lambda found: apply(OPERATORS[symbol], symbol, [found, value], _NOWHERE).core
        return lambda found: self._language.same(found, value, _NOWHERE).core

    def _at(self, here: Typed, steps: Sequence[Step], test: Callable[[Typed], core.Core]) -> core.Core:
        """The test of what is at a path; false where nothing is; of any item, where it leads through lists."""
        tick()
        if isinstance(here.type, ty.Optional):
            slot = self._language.new_slot()
            local = core.Local(_NOWHERE, slot)
            inside = self._at(Typed(local, here.type.inner), steps, test)
            is_none = form("is_none", _NOWHERE, local)
            return core.Let(_NOWHERE, slot, here.core, core.If(_NOWHERE, is_none, _FALSE, inside))
        if not steps:
            return test(here)
        step, rest = steps[0], steps[1:]
        match step, here.type:
            case Field(), ty.Record(fields=fields):
                found = Typed(core.Get(_NOWHERE, here.core, step.name), fields[step.name].type)
            case Each(), ty.List() | ty.Set():
                slot = self._language.new_slot()
                item = self._at(Typed(core.Local(_NOWHERE, slot), here.type.item), rest, test)
                items = Typed(core.Loop(_NOWHERE, here.core, (slot,), None, item), ty.List(ty.BOOL))
                return self._language.apply(BUILTINS["any"], "any", [items], _NOWHERE).core
            case (Key(key), ty.Map()):
                found = self._entry(here, Typed(core.Const(_NOWHERE, key), here.type.key))
            case (Key(key), _):
                found = self._entry(here, Typed(core.Const(_NOWHERE, key), ty.TEXT))
            case (Item(number), _):
                found = self._entry(here, Typed(core.Const(_NOWHERE, number), ty.INT))
            case _:
                raise AssertionError(step)
        return self._at(found, rest, test)

    def _entry(self, here: Typed, key: Typed) -> Typed:
        return self._language.apply(OPERATORS["[]"], "[]", [here, key], _NOWHERE)


def _joined(parts: Sequence[core.Core], *, is_and: bool) -> core.Core:
    """All or any of the parts, from left to right, as a tree that is no deeper than it must be."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(parts[:half], is_and=is_and), _joined(parts[half:], is_and=is_and)
    return core.If(_NOWHERE, left, right, _FALSE) if is_and else core.If(_NOWHERE, left, _TRUE, right)


def _constant(value: Any, type_: ty.Type) -> Typed:
    known = ty.String(len(value), value) if isinstance(type_, ty.String) else type_
    return Typed(core.Const(_NOWHERE, value), known)
