"""Turns: what takes long is done on the event loop a few milliseconds at a time, and everything else comes in between.

A piece of work is a generator that yields where others may have their turn. What cannot yield, because it recurses
through the language or through pydantic, becomes one by a thread of its own that runs only while the loop waits for
it: so it never competes for the interpreter. Why: docs/decisions/0029-bounds-of-one-turn.md.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

from projection.lang.steps import told

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

T = TypeVar("T")

SLICE_S = 0.002  # of work, until others get their turn
_STEPS_A_LOOK = 16  # steps of the language between two looks at the clock: some ten microseconds each


def exhausted(steps: Generator[None, None, T]) -> T:
    """What a piece of work comes to, without turns: for a process that does nothing else."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class Round:
    """What some pieces of work may take together in one round of the event loop."""

    def __init__(self) -> None:
        self._used = 0.0

    async def turn(self) -> None:
        """Wait for a round in which there is something left."""
        while self._used >= SLICE_S:  # noqa: ASYNC110 - the next round of the loop is what is waited for
            await asyncio.sleep(0)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is done here."""
        if not self._used:
            asyncio.get_running_loop().call_soon(self._begin)
        began = perf_counter()
        try:
            yield
        finally:
            self._used += perf_counter() - began

    def _begin(self) -> None:
        self._used = 0.0


class Turns:
    """Takes the steps of many pieces of work, so that no round of the loop is longer for it than some milliseconds."""

    def __init__(self) -> None:
        self._first = Round()
        self._others = asyncio.Lock()  # first come, first served

    async def taken(self, steps: Generator[None, None, T]) -> T:
        """Take all steps and return what they come to.

        Most work ends with its first step, which is taken in the round in which it comes, as long as the first steps
        of that round have not used up their share; of all work that goes on, one step is taken in each round.
        """
        try:
            await self._first.turn()
            with self._first.counted():
                next(steps)
            while True:
                async with self._others:
                    await asyncio.sleep(0)
                    next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            steps.close()


def sliced(compute: Callable[[], T]) -> Generator[None, None, T]:
    """Compute something that steps through the language, a slice at a time; closing the generator ends it.

    The computation may hold no lock while it steps: whoever else wants it would wait for ever. That is also true of
    `functools.cached_property`, which has one up to Python 3.11, and of modules that are imported meanwhile.

    It raises what the computation raises.
    """
    work = _Held(compute)
    try:
        while not work.goes_on():
            yield
    finally:
        work.end()
    return work.result()


class _AbandonedError(BaseException):
    """Nobody waits for the computation any more."""


class _Held(Generic[T]):
    """A computation in a thread that is held up at a step whenever its slice is used up."""

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute
        self._found: list[T] = []
        self._error: BaseException | None = None
        self._is_done = self._is_abandoned = False
        self._steps, self._until = 0, 0.0
        self._may_go, self._is_held = threading.Lock(), threading.Lock()  # each is released by the other thread
        self._may_go.acquire()
        self._is_held.acquire()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="filter", daemon=True)
        self._thread.start()

    def goes_on(self) -> bool:
        """Let it work for a slice; whether it is done."""
        self._may_go.release()
        self._is_held.acquire()
        return self._is_done

    def result(self) -> T:
        """What was computed; or raise what was raised."""
        if self._error is not None:
            raise self._error
        return self._found[0]

    def end(self) -> None:
        """End the thread; idempotent."""
        self._is_abandoned = True
        while not self._is_done:  # what it does to clean up may step as well
            self.goes_on()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._wait()
            with told(self._step):
                self._found.append(self._compute())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            self._error = error
        self._is_done = True
        self._is_held.release()

    def _step(self) -> None:
        self._steps += 1
        if self._steps % _STEPS_A_LOOK == 0 and perf_counter() >= self._until:
            gc.collect(0)  # what this slice made; a node collects rarely, and 100,000 young objects take 50 ms at once
            self._is_held.release()
            self._wait()

    def _wait(self) -> None:
        self._may_go.acquire()
        if self._is_abandoned:
            raise _AbandonedError
        self._until = perf_counter() + SLICE_S
