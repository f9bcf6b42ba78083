"""Python's garbage collector while a command, or a node, runs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLLECT_EVERY = 100_000  # container objects made


@contextmanager
def calm_collector() -> Iterator[None]:
    """Garbage collection at longer intervals: by default it goes through the cached views again and again.

    Nothing on an event's way makes cycles; 8 of 100 events' time went into looking for them.
    """
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
