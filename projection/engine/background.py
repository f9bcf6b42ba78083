"""Work in the background that nothing waits for but the end of the node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from projection.engine.fault_log import suppress_faults

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Background:
    """Runs what nothing depends on; that some of it fails is told, and no more."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, doing: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Begin some work; `doing` says what it is. The task ends without an error."""
        task = asyncio.create_task(_told(doing, work))
        self.watch(task)
        task.add_done_callback(lambda _: work.close())  # of one that was canceled before it began
        return task

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Wait at the end of the node for what somebody else looks after."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def unfinished(self) -> list[asyncio.Task[Any]]:
        """What is still under way."""
        return list(self._tasks)


async def _told(doing: str, work: Coroutine[object, object, None]) -> None:
    with suppress_faults(doing):
        await work
