"""Core trees over a new event made trees over the old form that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang.check.places import form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Step = Callable[[], None]  # counts a node that is looked at; raises where that is one too many

OLD, META, FIRST_FREE = range(3)  # the slots of a function that makes an event: its old form, what came with it

_MOST_LEAVES = 4  # ways in which a function may end to be written out: what follows stands at the end of each
_MOST_WRITTEN = 1_000  # nodes of what follows, at all ends together: they would multiply with each step


def over_old_event(node: core.Core, made: core.Function, absent: Any, slots: int, step: Step) -> tuple[core.Core, int]:
    """A route over an event, as one over its old form.

    Of the event only what the route reads is made, where that can be told from the text. So a route costs what its id
    does, and leads to its view also where something else of the event fails.

    Args:
        node: reads the event in its slot.
        made: makes the event of its old form, or none.
        absent: what the node comes to where there is no event.
        slots: how many the frame of the node has.
        step: counts.

    Returns:
        The node, and how many slots its frame has now.
    """
    read, size = _read(node, step)
    leaves = _leaves(made.body)
    if read is None or leaves > _MOST_LEAVES or leaves * size > _MOST_WRITTEN:
        return _over_whole(node, made, absent, slots, step)
    inlined = _Inlined(node, made, read, absent, slots, step)
    return inlined.of(made.body), inlined.slots


def over_made_event(node: core.Core, made: core.Function, slots: int, step: Step) -> tuple[core.Core, int]:
    """A computation over an event as one over its old form, of which all of the event is made first."""
    return core.Let(node.span, slots, _call(made), _Rewriting(step, {core.EVENT: slots}).of(node)), slots + 1


def _over_whole(node: core.Core, made: core.Function, absent: Any, slots: int, step: Step) -> tuple[core.Core, int]:
    event = core.Local(made.body.span, slots)
    inside = _Rewriting(step, {core.EVENT: slots}).of(node)
    if _may_be_none(made.body):
        test = form("is_none", made.body.span, event)
        inside = core.If(made.body.span, test, core.Const(made.body.span, absent), inside)
    return core.Let(node.span, slots, _call(made), inside), slots + 1


def _call(made: core.Function) -> core.Call:
    span = made.body.span
    return core.Call(span, made.name, (core.Local(span, core.EVENT), core.Local(span, core.META)))


def _read(node: core.Core, step: Step) -> tuple[frozenset[str] | None, int]:
    """The fields of the event that a node reads, None where it reads the event as a whole; and how many nodes it is."""
    found, whole, size, waiting = set[str](), False, 0, [node]
    while waiting:
        one = waiting.pop()
        step()
        size += 1
        match one:
            case core.Get(base=core.Local(slot=core.EVENT), field=field):
                found.add(field)
            case core.Local(slot=core.EVENT):
                whole = True
            case _:
                waiting += core.parts(one)
    return None if whole else frozenset(found), size


def _leaves(body: core.Core) -> int:
    """In how many ways a function ends; more than any number where one of them is no record that is written out."""
    match body:
        case core.Let():
            return _leaves(body.body)
        case core.If():
            return _leaves(body.yes) + _leaves(body.no)
        case core.New() | core.Const(value=None):
            return 1
        case _:
            return _MOST_LEAVES + 1


def _may_be_none(body: core.Core) -> bool:
    match body:
        case core.Let():
            return _may_be_none(body.body)
        case core.If():
            return _may_be_none(body.yes) or _may_be_none(body.no)
        case core.Const(value=None):
            return True
        case _:
            return False


class _Rewriting:
    """The same tree with other slots, and with other nodes for some fields of the event."""

    def __init__(
        self, step: Step, slots: Mapping[int, int], shift: int = 0, fields: Mapping[str, core.Core] | None = None
    ) -> None:
        self._step, self._slots, self._shift, self._fields = step, slots, shift, fields or {}

    def slot(self, slot: int) -> int:
        """What becomes of a slot."""
        return self._slots.get(slot, slot + self._shift)

    def of(self, node: core.Core) -> core.Core:
        """The tree that a node becomes."""
        self._step()
        of = self.of
        match node:
            case core.Const():
                return node
            case core.Local():
                return core.Local(node.span, self.slot(node.slot))
            case core.Get(base=core.Local(slot=core.EVENT)) if node.field in self._fields:
                return self._fields[node.field]
            case core.Get():
                return core.Get(node.span, of(node.base), node.field)
            case core.Op():
                return core.Op(node.span, node.operation, self._all(node.operands))
            case core.If():
                return core.If(node.span, of(node.condition), of(node.yes), of(node.no))
            case core.Let():
                return core.Let(node.span, self.slot(node.slot), of(node.value), of(node.body))
            case core.New():
                return core.New(node.span, node.record, node.names, self._all(node.values))
            case core.Update():
                return core.Update(node.span, node.record, of(node.base), node.names, self._all(node.values))
            case core.Call():
                return core.Call(node.span, node.function, self._all(node.arguments))
            case core.Loop():
                condition = None if node.condition is None else of(node.condition)
                slots = tuple(map(self.slot, node.slots))
                return core.Loop(node.span, of(node.source), slots, condition, of(node.body))
            case core.Fold():
                condition = None if node.condition is None else of(node.condition)
                slots = tuple(map(self.slot, node.slots))
                first, accumulator = of(node.initial), self.slot(node.accumulator)
                return core.Fold(node.span, accumulator, first, of(node.source), slots, condition, of(node.body))
            case core.Charge():
                raise AssertionError("a tree is rewritten before it is cut")

    def _all(self, nodes: tuple[core.Core, ...]) -> tuple[core.Core, ...]:
        return tuple(map(self.of, nodes))


class _Inlined:
    """A function's body in the place of its call, with what follows from the event at each of its ends."""

    def __init__(
        self, node: core.Core, made: core.Function, read: frozenset[str], absent: Any, slots: int, step: Step
    ) -> None:
        self._node, self._read, self._absent, self._step = node, read, absent, step
        self._old = _Rewriting(step, {OLD: core.EVENT, META: core.META}, slots - FIRST_FREE)
        self.slots = slots + made.slots - FIRST_FREE  # behind those of the function

    def of(self, body: core.Core) -> core.Core:
        match body:
            case core.Let():
                slot = self._old.slot(body.slot)
                return core.Let(body.span, slot, self._old.of(body.value), self.of(body.body))
            case core.If():
                return core.If(body.span, self._old.of(body.condition), self.of(body.yes), self.of(body.no))
            case core.New():
                return self._followed(body)
            case _:
                return core.Const(body.span, self._absent)

    def _followed(self, made: core.New) -> core.Core:
        """What follows from an event that is made here."""
        fields: dict[str, core.Core] = {}
        kept: list[tuple[int, core.Core]] = []
        for name, value in zip(made.names, made.values, strict=True):
            if name not in self._read:
                continue
            found = self._old.of(value)
            if not _is_path(found):
                kept.append((self.slots, found))
                found = core.Local(found.span, self.slots)
                self.slots += 1
            fields[name] = found
        node = _Rewriting(self._step, {}, fields=fields).of(self._node)
        for slot, value in reversed(kept):
            node = core.Let(value.span, slot, value, node)
        return node


def _is_path(node: core.Core) -> bool:
    """Whether it costs no more to read it again than to keep it."""
    while isinstance(node, core.Get):
        node = node.base
    return isinstance(node, (core.Local, core.Const))
