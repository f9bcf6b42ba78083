"""Folding: what can only ever come to one value is computed when a program is checked, before its segments are cut.

Operations on constants, branches that are never taken, fields of constant records. What would fail stays, and fails
when it is reached; calls and loops stay, for what they cost is theirs to charge.
"""

from __future__ import annotations

from decimal import getcontext, setcontext
from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang.cost.costs import nodes
from projection.lang.failures import Failure
from projection.lang.run.interpreter import Interpreter, Meter
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NODES = 1_000  # of a value that is kept in place of its computation
_BUDGET = 10_000  # gas and alloc of one operation

_interpreter = Interpreter({})


def folded(node: core.Core, known: Mapping[int, core.Const] | None = None) -> core.Core:
    """The same computation with its constant parts computed; `known` holds the slots whose value is constant.

    It recurses as deep as the node nests.
    """
    known = known or {}
    match node:
        case core.Local() if node.slot in known:
            return core.Const(node.span, known[node.slot].value)
        case core.Const() | core.Local():
            return node
        case core.If():
            return _if(node, known)
        case core.Let():
            return _let(node, known)
        case core.Get():
            return _computed(core.Get(node.span, folded(node.base, known), node.field))
        case core.Op():
            return _computed(core.Op(node.span, node.operation, _all(node.operands, known)))
        case core.New():
            return _computed(core.New(node.span, node.record, node.names, _all(node.values, known)))
        case core.Update():
            base, values = folded(node.base, known), _all(node.values, known)
            return _computed(core.Update(node.span, node.record, base, node.names, values))
        case core.Call():
            return core.Call(node.span, node.function, _all(node.arguments, known))
        case core.Loop() | core.Fold():
            return _loop(node, known)
        case core.Charge():
            raise AssertionError("a tree is folded before it is cut")


def _all(parts: tuple[core.Core, ...], known: Mapping[int, core.Const]) -> tuple[core.Core, ...]:
    return tuple([folded(part, known) for part in parts])


def _if(node: core.If, known: Mapping[int, core.Const]) -> core.Core:
    condition = folded(node.condition, known)
    if isinstance(condition, core.Const):
        return folded(node.yes if condition.value else node.no, known)
    return core.If(node.span, condition, folded(node.yes, known), folded(node.no, known))


def _let(node: core.Let, known: Mapping[int, core.Const]) -> core.Core:
    value = folded(node.value, known)
    if isinstance(value, core.Const):
        return folded(node.body, {**known, node.slot: value})
    return core.Let(node.span, node.slot, value, folded(node.body, known))


def _loop(node: core.Loop | core.Fold, known: Mapping[int, core.Const]) -> core.Core:
    source = folded(node.source, known)
    condition = None if node.condition is None else folded(node.condition, known)
    body = folded(node.body, known)
    if isinstance(node, core.Loop):
        return core.Loop(node.span, source, node.slots, condition, body)
    return core.Fold(node.span, node.accumulator, folded(node.initial, known), source, node.slots, condition, body)


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
