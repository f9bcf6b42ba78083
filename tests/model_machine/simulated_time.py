"""An event loop whose time does not pass: it leaps to the next thing that is due, so that waits cost nothing."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_ROUND_S = 1e-6  # work takes time as well: a wait that is shorter than a clock can tell ends


class StuckError(RuntimeError):
    """Nothing is due, ever: whoever waits would wait for good."""


class _Leaping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.rounds = 0
        self.is_last: Callable[[], bool] = lambda: False

    def select(self, timeout: float | None = None) -> list[Any]:
        self.rounds += 1
        self.now += _ROUND_S
        found = super().select(0)
        if not self.is_last() and not found:
            if timeout is None:
                raise StuckError
            self.now += timeout
        return found


class SimulatedLoop(asyncio.SelectorEventLoop):
    """What would run in a thread runs in the loop's own, `thread_s` after it was asked for, and is known as late again.

    So every schedule is the same each time it is run; between the two moments lies what a crash can part: the work is
    done, and nobody knows.
    """

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)
        self.thread_s = 0.001
        self._threads: list[asyncio.Future[Any]] = []

    def time(self) -> float:
        return self._leaping.now

    @property
    def rounds(self) -> int:
        """How many times the loop has gone round: a count of moments."""
        return self._leaping.rounds

    def run_until(self, done: Callable[[], bool]) -> None:
        """Go round until something is so; asked in each round."""

        def is_last() -> bool:
            if done():
                self.stop()
                return True
            return False

        self._leaping.is_last = is_last
        try:
            self.run_forever()
        finally:
            self._leaping.is_last = lambda: False

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        self._threads = [one for one in self._threads if not one.done()]
        self._threads.append(future)

        def work() -> None:
            if future.cancelled():
                return
            try:
                tell, outcome = future.set_result, func(*args)
            except Exception as error:  # noqa: BLE001 - it is told to who waits
                tell, outcome = future.set_exception, error
            self.call_later(self.thread_s, lambda: None if future.done() else tell(outcome))

        self.call_later(self.thread_s, work)
        return future

    def kill_threads(self) -> None:
        """What was not begun is not done, and what was done is not told."""
        for future in self._threads:
            future.cancel()


@contextmanager
def clocks_of(loop: asyncio.AbstractEventLoop, modules: dict[str, Any]) -> Iterator[None]:
    """Have the package's modules read the loop's time where they read the monotonic clock."""
    changed = [
        (module, name, vars(module)[name])
        for path, module in modules.items()
        if path.startswith("projection.")
        for name in ("monotonic", "perf_counter")
        if name in vars(module)
    ]
    for module, name, _ in changed:
        setattr(module, name, loop.time)
    try:
        yield
    finally:
        for module, name, clock in changed:
            setattr(module, name, clock)
