"""Folding: what can only ever come to one value is computed when a program is checked, before its segments are cut.

Operations on constants, branches that are never taken, fields of constant records. What would fail stays, and fails
when it is reached; calls and loops stay, for what they cost is theirs to charge.
"""

from __future__ import annotations

from decimal import getcontext, setcontext
from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang.cost.node_counts import nodes
from projection.lang.failures import Failure
from projection.lang.run.interpreter import Interpreter, Meter
from projection.lang.steps import tick
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NODES = 1_000  # of a value that is kept in place of its computation
_BUDGET = 10_000  # gas and alloc of one operation

_interpreter = Interpreter({})


def folded(node: core.Core) -> core.Core:
    """The same computation with its constant parts computed. It recurses as deep as the node nests."""
    return Folding().of(node)


class Folding:
    """Folds computations that hold one another; what was folded before is not folded again."""

    def __init__(self) -> None:
        self._folded: dict[int, tuple[core.Core, core.Core]] = {}  # by identity, which a node keeps while it is here

    def of(self, node: core.Core, known: Mapping[int, core.Const] | None = None, most: int | None = None) -> core.Core:
        """See `folded`.

        Args:
            node: what is folded.
            known: the slots whose value is constant.
            most: how deep it may nest.

        Raises:
            RecursionError: it nests deeper than `most`.
        """
        if known:
            return self._of(node, known, most)
        if id(node) not in self._folded:
            self._folded[id(node)] = node, self._of(node, {}, most)
        return self._folded[id(node)][1]

    def _of(self, node: core.Core, known: Mapping[int, core.Const], most: int | None) -> core.Core:
        tick()
        if most is not None:
            if not most:
                raise RecursionError
            most -= 1
        match node:
            case core.Local() if node.slot in known:
                return core.Const(node.span, known[node.slot].value)
            case core.Const() | core.Local():
                return node
            case core.If():
                condition = self.of(node.condition, known, most)
                if isinstance(condition, core.Const):
                    return self.of(node.yes if condition.value else node.no, known, most)
                return core.If(node.span, condition, self.of(node.yes, known, most), self.of(node.no, known, most))
            case core.Let():
                value = self.of(node.value, known, most)
                if isinstance(value, core.Const):
                    return self.of(node.body, {**known, node.slot: value}, most)
                return core.Let(node.span, node.slot, value, self.of(node.body, known, most))
            case core.Get():
                return _computed(core.Get(node.span, self.of(node.base, known, most), node.field))
            case core.Op():
                return _computed(core.Op(node.span, node.operation, self._all(node.operands, known, most)))
            case core.New():
                return _computed(core.New(node.span, node.record, node.names, self._all(node.values, known, most)))
            case core.Update():
                base, values = self.of(node.base, known, most), self._all(node.values, known, most)
                return _computed(core.Update(node.span, node.record, base, node.names, values))
            case core.Call():
                return core.Call(node.span, node.function, self._all(node.arguments, known, most))
            case core.Loop() | core.Fold():
                return self._loop(node, known, most)
            case core.Charge():
                raise AssertionError("a tree is folded before it is cut")

    def _all(
        self, parts: tuple[core.Core, ...], known: Mapping[int, core.Const], most: int | None
    ) -> tuple[core.Core, ...]:
        return tuple([self.of(part, known, most) for part in parts])

    def _loop(self, node: core.Loop | core.Fold, known: Mapping[int, core.Const], most: int | None) -> core.Core:
        source = self.of(node.source, known, most)
        condition = None if node.condition is None else self.of(node.condition, known, most)
        body = self.of(node.body, known, most)
        if isinstance(node, core.Loop):
            return core.Loop(node.span, source, node.slots, condition, body)
        initial = self.of(node.initial, known, most)
        return core.Fold(node.span, node.accumulator, initial, source, node.slots, condition, body)


def _computed(node: core.Get | core.Op | core.New | core.Update) -> core.Core:
    """The value of a node whose parts are all constant, where there is one and it is small."""
    if not all(isinstance(part, core.Const) for part in core.parts(node)):
        return node
    if isinstance(node, core.New) and node.record.struct is None:  # its schema is not whole yet
        return node
    try:
        value = _run(node)
    except Failure:
        return node
    return core.Const(node.span, value) if nodes(value, MAX_NODES) <= MAX_NODES else node


def _run(node: core.Core) -> Any:
    around = getcontext()
    setcontext(EXACT)
    try:
        return _interpreter.run(node, [], Meter(_BUDGET, _BUDGET))
    finally:
        setcontext(around)
