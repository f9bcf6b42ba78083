"""Free slots: the variables that a part of the core reads and does not set itself."""

from __future__ import annotations

from projection.lang import core


def free_slots(node: core.Core) -> frozenset[int]:
    """The slots that are read before anything in the node sets them."""
    match node:
        case core.Local():
            return frozenset([node.slot])
        case core.Let():
            return free_slots(node.value) | free_slots(node.body) - {node.slot}
        case core.Loop():
            return free_slots(node.source) | _inside(node) - set(node.slots)
        case core.Fold():
            inside = _inside(node) - {*node.slots, node.accumulator}
            return free_slots(node.initial) | free_slots(node.source) | inside
        case _:
            return frozenset().union(*map(free_slots, core.parts(node)))


def _inside(node: core.Loop | core.Fold) -> frozenset[int]:
    condition = frozenset[int]() if node.condition is None else free_slots(node.condition)
    return condition | free_slots(node.body)
