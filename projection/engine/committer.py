"""Committing a lane: in a thread, one commit at a time, tried again until it is stored.

A commit is a value. Whatever the disk does, the same one is written again, so that nothing is folded twice and nothing
is left out. Folding and writing take turns; only the wait for the disk goes on beside the fold of the next batch.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum, auto
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from projection.engine.breaker import CircuitBreaker
from projection.engine.measures import Measures
from projection.engine.tracing import UNTRACED_COMMITS
from projection.errors import StaleCommitError, StorageDamagedError, StorageError
from projection.model.distribution import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.lane import Lane
    from projection.engine.tracing import CommitTrace
    from projection.model.checkpoint import StreamIdentity

_Result = TypeVar("_Result")
_GLANCE_S = 0.05  # between two looks whether a turn came


class Workshop:
    """What the lanes of a process share: the interpreter, of which one has its turn at a time, and threads.

    LMDB's calls let go of the interpreter and ask for it again. Beside a fold each waits for the interpreter's switch
    interval: 12,000 puts took 6 s, and 8 ms by themselves. So nothing is folded while a commit is written.
    """

    def __init__(self, lanes: int, patience_s: float) -> None:
        """A workshop.

        Args:
            lanes: how many share it. Each may have a thread hang at its store; threads wait for disks and hardly work.
            patience_s: how long one may keep the turn while it writes; beyond that something else holds its store.
        """
        self.turn = asyncio.Lock()  # first come, first served
        self.measures = Measures()
        self._patience_s = patience_s
        self._threads = ThreadPoolExecutor(lanes, "commit")

    async def run(self, prepare: Callable[[], None], write: Callable[[Callable[[], None]], None]) -> None:
        """Do both in a thread, and have the turn until `write` calls what it is given.

        Args:
            prepare: what no fold may come into, however long it takes.
            write: what a fold would slow down. It may hang, and then the others go on.
        """
        loop = asyncio.get_running_loop()
        written = asyncio.Event()
        async with self.turn:
            await loop.run_in_executor(self._threads, prepare)
            done = loop.run_in_executor(self._threads, write, lambda: _tell(loop, written))
            done.add_done_callback(lambda _: written.set())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await written.wait()
        await done

    async def alone(self, work: Callable[[], _Result]) -> _Result:
        """Do something in a thread while nothing is folded and nothing is written, however long it takes."""
        async with self.turn:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Give the threads back, whatever they are at."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _tell(loop: asyncio.AbstractEventLoop, written: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(written.set)
    except RuntimeError:  # the loop has ended: nobody waits any more
        return


class _Turn(Enum):
    """Of a commit: first its own store may be busy with something else, and then others may have the turn."""

    TO_COME = auto()
    AWAITED = auto()
    CAME = auto()


class _Took(NamedTuple):
    """When the stages of a commit began and ended, by the performance counter."""

    began: float
    written: float  # from here on only the disk worked
    ended: float


class Committer:
    """Writes one lane's commits."""

    def __init__(self, lane: Lane, workshop: Workshop, on_change: Callable[[], None] | None = None) -> None:
        self.lane = lane
        self.breaker = CircuitBreaker(on_change)
        self.began = monotonic()  # the last commit
        self.stream = lane.position.stream  # of which log it is what was folded
        self.durations = Distribution()  # of commits, from their begin until they are stored
        self.offered = 0  # messages that the lane was offered
        self.trace_id = ""  # of an event that the next commit holds, where it came with a trace that is recorded
        self.trace: CommitTrace = UNTRACED_COMMITS  # a reading that is traced brings another one
        self._workshop = workshop
        self._free = asyncio.Lock()  # nobody writes to the store
        self._task: asyncio.Task[None] | None = None  # the last commit
        self._turn: _Turn = _Turn.TO_COME  # of the last commit
        self._since = self.began  # when the last commit began, or its turn came
        self._sealing = self._written = 0.0  # when the last attempt began, and when only the disk worked
        self._took: _Took | None = None  # the last attempt, where it wrote something
        self._is_over = False

    def begin(self) -> None:
        """Have all that was folded since the last commit written; the last one must be settled.

        Returns at once. What is folded before the writing has begun is part of the commit. A lane that was retired
        writes nothing more: whoever waited for its last commit may not know of it yet.
        """
        if not self._is_over:
            self.began = self._since = monotonic()
            self._turn = _Turn.TO_COME
            trace_id, self.trace_id = self.trace_id, ""
            self.trace.begin()
            self._task = asyncio.create_task(self._write(self.stream, trace_id))

    @property
    def busy(self) -> bool:
        """Whether a commit is under way."""
        return self._task is not None and not self._task.done()

    async def settle(self, patience_s: float | None = None) -> bool:
        """Wait until the last commit is stored; whether it is. Any number may wait, and all are told the same.

        Raises:
            StaleCommitError: someone else owns the store.
            StorageDamagedError: the store holds what cannot be read.
        """
        if (task := self._task) is None:
            return True
        if not task.done():
            await asyncio.wait({task}, timeout=patience_s)
        if not task.done():
            return False
        task.result()
        return True

    async def stored_in_time(self, patience_s: float) -> bool:
        """Wait until the last commit is stored; whether its own store takes no longer than the patience for it.

        What it waits for its turn is the others' time: three hundred commits one after another may take long, and none
        of their stores is slow.

        Raises:
            StaleCommitError, StorageDamagedError: as `settle`.
        """
        while (left := self._since + patience_s - monotonic()) > 0 or self._turn is _Turn.AWAITED:
            if await self.settle(max(left, _GLANCE_S)):
                return True
        return await self.settle(0.0)

    async def between_commits(self, write: Callable[[Callable[[], None]], None]) -> None:
        """Have something else written to the store, as a commit is: in a thread, and with the turn.

        Where whoever waits is canceled, the thread goes on, and nobody else writes until it is through.

        Args:
            write: as `Workshop.run` takes it; may raise.
        """
        writing = asyncio.create_task(self._write_alone(write))
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())  # if nobody waits any more
        await asyncio.wait({writing})
        writing.result()

    async def _write_alone(self, write: Callable[[Callable[[], None]], None]) -> None:
        async with self._free:
            if not self._is_over:
                await self._workshop.run(lambda: None, write)

    async def end_loading(self) -> None:
        """Have what was loaded on the disk, and each commit from here on, if the settings say so.

        Raises:
            StorageDamagedError: the disk refused it, and the store is of no use any more.
            StorageError: it cannot be done now.
        """
        await self.between_commits(self._end_loading)

    def _end_loading(self, on_written: Callable[[], None]) -> None:
        on_written()  # only the disk works
        self.lane.store.end_loading()

    async def retire(self) -> None:
        """Write what is folded, and then nothing any more; the store stays open. Idempotent.

        Of a lane that has halted, nothing more is written than what is under way.

        Raises:
            StaleCommitError, StorageDamagedError: as `settle`; then nothing more is written, either.
        """
        try:
            await self.settle()
            if self.lane.halted is None and self.lane.scanned > self.lane.position.scanned:
                self.begin()
                await self.settle()
        finally:
            self._is_over = True
        await self.rest()

    async def close(self) -> None:
        """Close the store once nothing more is written to it, whatever the last commit came to; idempotent.

        If this is canceled, the store stays open: a thread may be writing to it.
        """
        self._is_over = True
        if self._task is not None:
            await asyncio.wait({self._task})
        async with self._free:
            self.lane.store.close()

    async def rest(self) -> None:
        """Wait until no thread writes to the store."""
        async with self._free:
            return

    async def _write(self, stream: StreamIdentity | None, trace_id: str) -> None:
        while True:
            await self.breaker.admit()
            try:
                async with self._free:
                    if self._turn is _Turn.TO_COME:
                        self._turn = _Turn.AWAITED
                    await self._workshop.run(lambda: self._seal(stream), self._write_timed)
            except (StaleCommitError, StorageDamagedError) as error:
                self.trace.end(self.lane, error)
                raise
            except StorageError as error:
                self.breaker.failed(error)
                self.trace.failed()
            else:
                self.breaker.succeeded()
                self.trace.end(self.lane)
                self.lane.committed()
                self.durations.add(monotonic() - self.began, trace_id)
                if self._took is not None:
                    stages = self._workshop.measures.stages
                    stages["commit"].add(self._took.written - self._took.began, trace_id)
                    stages["fsync"].add(self._took.ended - self._took.written, trace_id)
                return

    def _seal(self, stream: StreamIdentity | None) -> None:
        if self._turn is _Turn.AWAITED:  # if it is a further attempt, the time of the former ones counts
            self._turn, self._since = _Turn.CAME, monotonic()
        self._took, self._sealing = None, perf_counter()
        self.lane.seal(stream)

    def _write_timed(self, on_written: Callable[[], None]) -> None:
        self._written = 0.0

        def is_written() -> None:
            self._written = perf_counter()
            on_written()

        self.lane.write(is_written)
        if self._written:
            self._took = _Took(self._sealing, self._written, perf_counter())
