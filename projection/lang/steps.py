"""Steps: parsing, checking and compiling tell whoever runs them how far they are, so that they can be held up.

A program is read at once, at the start. A filter comes from outside, while the node has other things to do: a query
holds its thread up here, and lets it go on in its next turn.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Told(threading.local):
    at_step: Callable[[], None] | None = None


_told = _Told()


def tick() -> None:
    """Tell of one piece of work: a token that is read, a node that is looked at. What it raises ends the work."""
    if (at_step := _told.at_step) is not None:
        at_step()


@contextmanager
def told(at_step: Callable[[], None]) -> Iterator[None]:
    """Have a function called at each step that this thread takes meanwhile."""
    before, _told.at_step = _told.at_step, at_step
    try:
        yield
    finally:
        _told.at_step = before
