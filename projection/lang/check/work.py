"""How much checking a program may take: counted in steps, so that the answer is the same on every machine."""

from __future__ import annotations

from projection.lang.steps import tick

MAX_STEPS = 500_000  # expressions that are checked; one of a program of 64 KiB, each once, are some 30,000


class TooMuchWorkError(Exception):
    """Checking takes more steps than it may."""


class Work:
    """The steps that are left."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def step(self) -> None:
        """One expression.

        Raises:
            TooMuchWorkError: it is one too many.
        """
        tick()
        self._left -= 1
        if self._left < 0:
            raise TooMuchWorkError
