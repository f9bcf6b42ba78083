"""How deep a computation nests: executors recurse as deep, so it is bounded before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 300  # levels that one computation nests, calls included

_LEVELS: dict[type, int] = {
    core.Op: 2, core.If: 2, core.Let: 2, core.Loop: 2, core.Fold: 2, core.New: 3, core.Update: 3,
}  # fmt: skip


def depth(called: Mapping[str, int], *nodes: core.Core | None) -> int:
    """How many levels the deepest of these nests; `called` tells how deep functions do.

    No recursion, for nothing has bound them yet.
    """
    deepest = 0
    waiting = [(node, 0) for node in nodes if node is not None]
    while waiting:
        tick()
        node, level = waiting.pop()
        own = _LEVELS.get(type(node), 1)
        inside = called.get(node.function, 0) if isinstance(node, core.Call) else 0
        deepest = max(deepest, level + own + inside)
        waiting += [(part, level + own) for part in core.parts(node)]
    return deepest
