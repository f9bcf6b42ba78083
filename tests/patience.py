"""How long a test waits: for minutes, because a machine may be slow and busy, and never longer than for its event.

Only a test that fails takes this long. No test decides anything by how fast the machine is.
"""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN_S = 300.0
WITHIN_MS = int(1_000 * WITHIN_S)
_LOOK_S = 0.005  # between two looks at a condition of which nobody tells


def never_came() -> str:
    return "it did not come to pass"


def wait_until(condition: Callable[[], Any], told: Callable[[], str] = never_came) -> None:
    """Return once a condition holds; `told` describes what is there if it never does."""
    end = monotonic() + WITHIN_S
    while not condition():
        assert monotonic() < end, told()
        sleep(_LOOK_S)


async def eventually(
    condition: Callable[[], Any], running: asyncio.Task[Any] | None = None, told: Callable[[], str] = never_came
) -> None:
    """Return once a condition holds, plain or awaited; fail at once if the task it depends on ends."""
    end = monotonic() + WITHIN_S
    while True:
        found = condition()
        if await found if isawaitable(found) else found:
            return
        assert running is None or not running.done(), running
        assert monotonic() < end, told()
        await asyncio.sleep(_LOOK_S)
