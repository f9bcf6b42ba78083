"""What can happen to a node from within its own process, put in from outside: the product knows nothing of it.

`run_node` is what the child runs: `projection run`, after some functions of the package, of lmdb and of the clock have
been wrapped. The faults are plain values, so that the test can hand them over.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial, wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import lmdb
from patience import WITHIN_S

from projection.engine.loading import Loading
from projection.engine.reading import Reading
from projection.lang.program import Program
from projection.model.state_digest import StateDigest
from projection.store.lmdb_store import LmdbLaneStore
from projection.stream.feed import JetStreamFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from unwritable import Unwritable

    from projection.stream.port import Feed

ACKNOWLEDGED_TOO_EARLY = 99  # the exit status of a node that told the server more than its stores hold
LIFETIME_S = int(3 * WITHIN_S)  # whatever becomes of the test, a node does not outlive it by much


class Point(StrEnum):
    """The steps of a batch, in order; a fault may strike right after each."""

    OPENED = "a transaction of the opening of a store is committed"
    RECEIVED = "a batch is received"
    FOLDED = "an event is folded into a view"
    SEALING = "a commit is being made"
    SEALED = "a commit is made, and its transaction not begun"
    PUT = "something is put into the write transaction"
    WRITTEN = "all is put, and the transaction not committed"
    STORED = "the transaction is committed"
    ACKNOWLEDGING = "all lanes are stored, and nothing is acknowledged"
    ACKNOWLEDGED = "the batch is acknowledged"


@dataclass(frozen=True, slots=True)
class Struck:
    """The process sends itself a signal when it passes a point for the n-th time."""

    point: Point
    passing: int
    signum: signal.Signals = signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Stalled:
    """The thread that passes a point for the n-th time gets no processor for a while; the others go on."""

    point: Point
    passing: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FailingCommits:
    """The disk refuses to commit the transactions of batches: so many, from the n-th on."""

    errno: int
    first: int
    times: int
    stored: bool = False  # whether they are on the disk nevertheless: an error may come after the last write


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Each commit of a batch waits that long for the disk."""

    seconds: float


@dataclass(frozen=True, slots=True)
class JumpingClock:
    """The wall clock tells another time whenever it is asked, within ten years."""

    seed: int


@dataclass(frozen=True, slots=True)
class EndlessLoading:
    """A build goes on without waiting for the disk, however near it has come."""


@dataclass(frozen=True, slots=True)
class UnwritableLog:
    """Nothing of the node's log can be written."""

    why: Unwritable


Inside: TypeAlias = Struck | Stalled | FailingCommits | SlowDisk | JumpingClock | EndlessLoading | UnwritableLog


def run_node(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], faults: Sequence[Inside], reading: Event
) -> None:
    """`projection run` in this process; its stderr goes to `node.log` of the folder, its stdout to `node.out`.

    Where its log cannot be written, `node.log` has only what the interpreter says of a fatal error.

    Args:
        folder: the working directory.
        arguments: of the command.
        environment: the settings; others that this process has are dropped.
        faults: what is to happen to it.
        reading: set once the node has opened a feed.
    """
    from projection.cli.main import main

    signal.alarm(LIFETIME_S)
    os.chdir(folder)
    log = os.open("node.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.enable(log)
    os.dup2(os.open("node.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    for name in [name for name in os.environ if name.startswith("PROJECTION_")]:
        del os.environ[name]
    os.environ.update({"PROJECTION_HTTP__LISTEN": "127.0.0.1:0", **environment})
    sys.argv = ["projection", "run", *arguments]
    _Instruments(faults, reading).put_in()
    with ExitStack() as opened:
        for fault in faults:
            if isinstance(fault, UnwritableLog):
                log = opened.enter_context(fault.why.opened())
        os.dup2(log, 2)
        main()


class _Instruments:
    """Counts the passings of the points, and strikes."""

    def __init__(self, faults: Sequence[Inside], reading: Event) -> None:
        self._faults = faults
        self._reading = reading
        self._passed: Counter[Point] = Counter()
        self._commits = 0  # of batches
        self._lock = Lock()
        self._has_received = False
        self._stored: dict[Feed, int] = {}  # how far all lanes have committed that read by a feed

    def put_in(self) -> None:
        JetStreamFeed._open = self._around_opening(JetStreamFeed._open)
        Reading.acknowledge = self._knowing_what_is_stored(Reading.acknowledge)
        JetStreamFeed.acknowledge = self._around_acknowledging(JetStreamFeed.acknowledge)
        if not self._faults:
            return
        lmdb.open = partial(_Environment, lmdb.open, self)
        JetStreamFeed.next_batch = self._around_receiving(JetStreamFeed.next_batch)
        Program.apply = self._after(Point.FOLDED, Program.apply)
        StateDigest.plus = self._after(Point.SEALING, StateDigest.plus)
        LmdbLaneStore.commit = self._before(Point.SEALED, LmdbLaneStore.commit)
        for fault in self._faults:
            if isinstance(fault, JumpingClock):
                _let_the_clock_jump(random.Random(fault.seed))
            if isinstance(fault, EndlessLoading):
                Loading.look = lambda *_: None

    def passed(self, point: Point) -> None:
        with self._lock:
            self._passed[point] += 1
            number = self._passed[point]
        for fault in self._faults:
            if isinstance(fault, Struck) and (fault.point, fault.passing) == (point, number):
                os.kill(os.getpid(), fault.signum)
            if isinstance(fault, Stalled) and (fault.point, fault.passing) == (point, number):
                time.sleep(fault.seconds)

    def passed_in_store(self, point: Point) -> None:
        """Before the first batch, what is written belongs to the opening of the stores."""
        if self._has_received:
            self.passed(point)
        elif point is Point.STORED:
            self.passed(Point.OPENED)

    def commit(self, transaction: lmdb.Transaction) -> None:
        """Commit as the disk lets us."""
        self.passed_in_store(Point.WRITTEN)
        error = self._refusal() if self._has_received else None
        for fault in self._faults:
            if isinstance(fault, SlowDisk) and self._has_received:
                time.sleep(fault.seconds)  # the interpreter is free meanwhile, as in an fsync
        if error is None or error.is_late:
            transaction.commit()
            self.passed_in_store(Point.STORED)
        if error is not None:
            raise error

    def _refusal(self) -> _DiskError | None:
        with self._lock:
            self._commits += 1
        for fault in self._faults:
            if isinstance(fault, FailingCommits) and fault.first <= self._commits < fault.first + fault.times:
                return _DiskError(fault)
        return None

    def _around_opening(self, open_feed: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(open_feed)
        async def tell(feed: JetStreamFeed) -> None:
            await open_feed(feed)
            self._reading.set()

        return tell

    def _around_receiving(self, next_batch: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(next_batch)
        async def receive(feed: JetStreamFeed) -> Any:
            batch = await next_batch(feed)
            if batch is not None and batch.messages:
                self._has_received = True
                self.passed(Point.RECEIVED)
            return batch

        return receive

    def _knowing_what_is_stored(self, acknowledge: Callable[..., Any]) -> Callable[..., Any]:
        """The server shows how far a reading is acknowledged, and not which lanes read by it: so it is checked here."""

        @wraps(acknowledge)
        async def ask_before(reading: Reading) -> None:
            positions = [member.lane.store.position().scanned for member in reading.members]
            self._stored[reading.feed] = min(positions, default=0)
            await acknowledge(reading)

        return ask_before

    def _around_acknowledging(self, acknowledge: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(acknowledge)
        async def pass_both(feed: JetStreamFeed, sequence: int) -> None:
            if sequence > self._stored[feed]:
                os._exit(ACKNOWLEDGED_TOO_EARLY)
            self.passed(Point.ACKNOWLEDGING)
            await acknowledge(feed, sequence)
            self.passed(Point.ACKNOWLEDGED)

        return pass_both

    def _before(self, point: Point, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **more: Any) -> Any:
            self.passed(point)
            return function(*args, **more)

        return run

    def _after(self, point: Point, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **more: Any) -> Any:
            result = function(*args, **more)
            self.passed(point)
            return result

        return run


class _DiskError(lmdb.DiskError):
    """What lmdb raises when a write fails, as lmdb itself would raise it."""

    def __init__(self, fault: FailingCommits) -> None:
        super().__init__(f"mdb_txn_commit: {os.strerror(fault.errno)}")
        self.code = fault.errno
        self.is_late = fault.stored


class _Environment:
    """An LMDB environment whose write transactions pass the points."""

    def __init__(self, connect: Callable[..., Any], instruments: _Instruments, *args: Any, **more: Any) -> None:
        self._environment = connect(*args, **more)
        self._instruments = instruments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def begin(self, *args: Any, write: bool = False, **more: Any) -> Any:
        transaction = self._environment.begin(*args, write=write, **more)
        return _Writing(transaction, self._instruments) if write else transaction


class _Writing:
    """A write transaction, or a cursor of one, that passes a point after each entry which it puts."""

    def __init__(self, wrapped: Any, instruments: _Instruments) -> None:
        self._wrapped = wrapped
        self._instruments = instruments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __enter__(self) -> Self:
        self._wrapped.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._wrapped.__exit__(*error)

    def cursor(self, *args: Any, **more: Any) -> _Writing:
        return _Writing(self._wrapped.cursor(*args, **more), self._instruments)

    def put(self, *args: Any, **more: Any) -> bool:
        result = self._wrapped.put(*args, **more)
        self._instruments.passed_in_store(Point.PUT)
        return bool(result)

    def delete(self, *args: Any, **more: Any) -> bool:
        result = self._wrapped.delete(*args, **more)
        self._instruments.passed_in_store(Point.PUT)
        return bool(result)

    def putmulti(self, items: Sequence[tuple[bytes, bytes]], *args: Any, **more: Any) -> tuple[int, int]:
        consumed = added = 0
        for item in items:
            counts = self._wrapped.putmulti([item], *args, **more)
            consumed, added = consumed + counts[0], added + counts[1]
            self._instruments.passed_in_store(Point.PUT)
        return consumed, added

    def commit(self) -> None:
        self._instruments.commit(self._wrapped)


def _let_the_clock_jump(dice: random.Random) -> None:
    """No call tells when it is; the monotonic clock, which never jumps on any machine, stays."""
    ten_years = 10 * 365 * 86_400.0
    now, now_ns, right = time.time, time.time_ns, datetime

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return right.now(tz) + timedelta(seconds=dice.uniform(-ten_years, ten_years))

    time.time = lambda: now() + dice.uniform(-ten_years, ten_years)
    time.time_ns = lambda: now_ns() + int(dice.uniform(-ten_years, ten_years) * 1e9)
    for name, module in list(sys.modules.items()):
        if name.startswith("projection") and getattr(module, "datetime", None) is right:
            module.datetime = Jumping  # type: ignore[attr-defined]
