"""Free slots: the variables that a part of the core reads and does not set itself."""

from __future__ import annotations

from projection.lang import core
from projection.lang.steps import tick


def free_slots(node: core.Core, found: dict[int, frozenset[int]]) -> frozenset[int]:
    """The slots that are read before anything in the node sets them.

    `found` keeps those of branches, by identity: a branch is asked for again by the one that it is in.
    """
    tick()
    match node:
        case core.Local():
            return frozenset([node.slot])
        case core.Let():
            return free_slots(node.value, found) | free_slots(node.body, found) - {node.slot}
        case core.Loop():
            return free_slots(node.source, found) | _inside(node, found) - set(node.slots)
        case core.Fold():
            inside = _inside(node, found) - {*node.slots, node.accumulator}
            return free_slots(node.initial, found) | free_slots(node.source, found) | inside
        case core.If():
            if id(node) not in found:
                found[id(node)] = _all(core.parts(node), found)
            return found[id(node)]
        case _:
            return _all(core.parts(node), found)


def _all(nodes: tuple[core.Core, ...], found: dict[int, frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*[free_slots(node, found) for node in nodes])


def _inside(node: core.Loop | core.Fold, found: dict[int, frozenset[int]]) -> frozenset[int]:
    condition = frozenset[int]() if node.condition is None else free_slots(node.condition, found)
    return condition | free_slots(node.body, found)
