"""Who is inside an environment, and how one thread comes to be alone in it."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition, RLock, get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ShutError(Exception):
    """The gate was shut for good."""


class OccupiedError(Exception):
    """Others stayed inside for longer than the patience, or the thread that wants to be alone is inside itself."""


class Gate:
    """Many may be inside at a time; one may wait until nobody is. Threads only: other processes have their own."""

    def __init__(self) -> None:
        # Reentrant, for a dropped iterator may be collected, and leave, while its own thread holds the lock.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._inside: list[int] = []  # the thread of each entry; a thread may enter many times
        self._wanted = False  # one is waiting to be alone: newcomers wait until that is over
        self._shut = False

    def enter(self) -> int:
        """Come inside; returns what `leave` wants to have back.

        Raises:
            ShutError: the gate is shut.
        """
        thread = get_ident()
        with self._lock:
            # A thread that is inside already is let in again: who wants to be alone waits for it to leave.
            while self._wanted and not self._shut and thread not in self._inside:
                self._changed.wait()
            if self._shut:
                raise ShutError
            self._inside.append(thread)
        return thread

    def leave(self, thread: int) -> None:
        """End one entry of this thread; another thread may do it, as when a dropped iterator is collected there."""
        with self._lock:
            self._inside.remove(thread)
            if self._wanted or self._shut:
                self._changed.notify_all()

    @contextmanager
    def alone(self, patience: float) -> Iterator[None]:
        """Wait until nobody is inside and keep everybody out meanwhile.

        Args:
            patience: seconds to wait.

        Raises:
            OccupiedError: somebody is still inside.
            ShutError: the gate is shut.
        """
        with self._lock:
            if get_ident() in self._inside or not self._changed.wait_for(lambda: not self._wanted, patience):
                raise OccupiedError
            self._wanted = True
            try:
                if not self._changed.wait_for(lambda: not self._inside, patience):
                    raise OccupiedError
                if self._shut:
                    raise ShutError
                yield  # the lock is held: nobody can enter
            finally:
                self._wanted = False
                self._changed.notify_all()

    def shut(self, patience: float) -> bool:
        """Let nobody in from here on, and give the other threads this many seconds to leave: whether they did.

        Idempotent.
        """
        thread = get_ident()
        with self._lock:
            self._shut = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: all(inside == thread for inside in self._inside), patience)
