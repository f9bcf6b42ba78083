"""A watchdog over the event loop: a wall clock tells when the node hangs, and never what becomes of an event."""

from __future__ import annotations

import asyncio
import sys
import traceback
from threading import Event, Thread, get_ident
from time import monotonic
from typing import TYPE_CHECKING, Self

import structlog

from projection.engine.fault_log import suppress_faults
from projection.model.distribution import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(component="node")

_BEATS = 4  # within the patience


class Watchdog:
    """Reports, once for each time, that the loop of the thread which made it has not come round for too long.

    Such a hang is a fault of the node or its machine. No event is parked for it: on another day it would fold.
    """

    def __init__(self, patience_s: float, on_change: Callable[[], None] | None = None) -> None:
        self.held_up = False
        self.stalls = 0  # times that it was
        self.delays = Distribution()  # by how much later than due the loop came round, in seconds
        self._patience_s = patience_s
        self._on_change = on_change or (lambda: None)
        self._beat = monotonic()
        self._watched = get_ident()
        self._over = Event()
        self._thread = Thread(target=self._watch, name="watchdog", daemon=True)

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._keep_beating())
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        self._beating.cancel()

    async def _keep_beating(self) -> None:
        due_s = self._patience_s / _BEATS
        while True:
            await asyncio.sleep(due_s)
            late, self._beat = monotonic() - self._beat, monotonic()
            self.delays.add(max(0.0, late - due_s))
            if self.held_up:
                self.held_up = False
                with suppress_faults("watching over the event loop"):
                    log.info("the node goes on", after_s=round(late, 1))
                    self._on_change()

    def _watch(self) -> None:
        while not self._over.wait(self._patience_s / _BEATS):
            silent = monotonic() - self._beat
            if silent > self._patience_s and not self.held_up:
                with suppress_faults("watching over the event loop"):
                    frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - the one way to see another thread
                    log.error(
                        "the node is held up: its event loop has not come round",
                        for_s=round(silent, 1),
                        at="".join(traceback.format_stack(frame, limit=8)) if frame else None,
                    )
                self.stalls += 1
                self.held_up = True  # behind the report: "the node goes on" cannot be logged before it
