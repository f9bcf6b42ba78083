"""Waiting for a lane to come further: one look at its committed position every so often, however many wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_S = 0.01  # between two looks; one look takes some microseconds


class LaneWatch:
    """Tells when a lane has committed beyond a position. It reads the store, so another process may be writing it.

    While nobody waits, nothing is looked at. The one who looks goes on until nobody waits, or the store is closed.
    """

    def __init__(self, scanned: Callable[[], int], interval_s: float = _INTERVAL_S) -> None:
        """A watch.

        Args:
            scanned: gives the lane's committed position; raises StorageError where it cannot be read.
            interval_s: between two looks.
        """
        self._scanned = scanned
        self._interval_s = interval_s
        self._waiting: dict[asyncio.Future[int], int] = {}  # each for a position beyond this one
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def beyond(self, position: int, timeout_s: float) -> int:
        """Wait until the lane has committed more than up to `position`, or for so long; where it is then.

        Raises:
            StorageError: its store cannot be read, or was closed meanwhile.
        """
        scanned = self._scanned()
        if scanned > position or timeout_s <= 0:
            return scanned
        woken: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = position
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(timeout_s):
                return await woken
        except TimeoutError:
            return self._scanned()
        finally:
            self._waiting.pop(woken, None)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._interval_s)
            try:
                scanned = self._scanned()
            except Exception as error:  # noqa: BLE001 - those who wait are told, whatever it is
                for woken in self._waiting:
                    if not woken.done():
                        woken.set_exception(error)
                return
            for woken, position in self._waiting.items():
                if scanned > position and not woken.done():
                    woken.set_result(scanned)
