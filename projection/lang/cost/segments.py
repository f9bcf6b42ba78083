"""Segments: where the constant cost of a program is charged.

A segment is what is computed for certain once its head is reached: a route, a handler's body, a function's body, each
branch of an `if`, each item of a comprehension. Its constant cost is charged at its head, once. An operation whose cost
depends on sizes charges that part itself. A comprehension whose item is one segment without such operations is charged
for all items at entry. This is the definition of gas, so executors cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang.cost import costs
from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class _Cost:
    """What a segment has come to so far."""

    gas: int = 0
    alloc: int = 0
    is_fixed: bool = True  # nothing in it charges by itself

    def add(self, gas: int, alloc: int = 0) -> None:
        self.gas += gas
        self.alloc += alloc


def with_charges(node: core.Core) -> core.Core:
    """A segment's body with its head in front, and all segments inside with theirs."""
    return _segment(node)[0]


def _segment(node: core.Core) -> tuple[core.Core, _Cost]:
    cost = _Cost()
    body = _cut(node, cost)
    if not cost.gas and not cost.alloc:
        return body, cost
    return core.Charge(node.span, cost.gas, cost.alloc, body), cost


def _cut_all(nodes: Iterable[core.Core], cost: _Cost) -> tuple[core.Core, ...]:
    return tuple(_cut(node, cost) for node in nodes)


def _cut(node: core.Core, cost: _Cost) -> core.Core:
    tick()
    match node:
        case core.Const():
            return node
        case core.Local():
            cost.add(costs.LOCAL)
            return node
        case core.Get():
            cost.add(costs.FIELD)
            return core.Get(node.span, _cut(node.base, cost), node.field)
        case core.Op():
            gas, alloc = node.operation.gas, node.operation.alloc
            count = len(node.operands)
            cost.add(gas.constant + gas.per_operand * count, alloc.constant + alloc.per_operand * count)
            cost.is_fixed &= not node.operation.is_sized
            return core.Op(node.span, node.operation, _cut_all(node.operands, cost))
        case core.If():
            cost.add(costs.BRANCH)
            test = _cut(node.condition, cost)
            (yes, _), (no, _) = _segment(node.yes), _segment(node.no)
            cost.is_fixed = False
            return core.If(node.span, test, yes, no)
        case core.Let():
            cost.add(costs.LET)
            return core.Let(node.span, node.slot, _cut(node.value, cost), _cut(node.body, cost))
        case core.New():
            cost.add(costs.RECORD + costs.RECORD_FIELD * len(node.names), len(node.names))
            return core.New(node.span, node.record, node.names, _cut_all(node.values, cost))
        case core.Update():
            size = len(node.record.fields)
            cost.add(costs.UPDATE + (size >> 2) + costs.UPDATE_FIELD * len(node.names), size)
            base = _cut(node.base, cost)
            return core.Update(node.span, node.record, base, node.names, _cut_all(node.values, cost))
        case core.Call():
            cost.add(costs.CALL + costs.CALL_ARGUMENT * len(node.arguments))
            cost.is_fixed = False
            return core.Call(node.span, node.function, _cut_all(node.arguments, cost))
        case core.Loop():
            cost.add(costs.LOOP)
            cost.is_fixed = False
            source = _cut(node.source, cost)
            condition, body, item_gas, item_alloc = _each(node)
            return core.Loop(node.span, source, node.slots, condition, body, item_gas, 1 + item_alloc)
        case core.Fold():
            cost.add(costs.LOOP)
            cost.is_fixed = False
            initial, source = _cut(node.initial, cost), _cut(node.source, cost)
            condition, body, item_gas, item_alloc = _each(node)
            return core.Fold(
                node.span, node.accumulator, initial, source, node.slots, condition, body, item_gas, item_alloc
            )
        case core.Charge():
            raise AssertionError("a tree is cut once")


def _each(node: core.Loop | core.Fold) -> tuple[core.Core | None, core.Core, int, int]:
    """Condition and body of a loop, and what all its items are charged at entry: gas and alloc of each."""
    item = _Cost()
    if node.condition is None:
        condition, body = None, _cut(node.body, item)
        head = node.body
    else:
        condition, body = _cut(node.condition, item), _segment(node.body)[0]
        head = node.condition
    if item.is_fixed:
        return condition, body, costs.LOOP_ITEM + item.gas, item.alloc
    if condition is None:
        return None, core.Charge(head.span, item.gas, item.alloc, body), costs.LOOP_ITEM, 0
    return core.Charge(head.span, item.gas, item.alloc, condition), body, costs.LOOP_ITEM, 0
