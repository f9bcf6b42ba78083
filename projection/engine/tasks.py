"""Long operations: each has an id, says how far it is and what came of it, and can be canceled.

A record of each is kept in the catalog, so that its end can be asked for later, also after a restart. What a node
could not bring to its end is either gone on with by the next one, or given up, which its record says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from projection.engine.fault_log import log_fault
from projection.errors import ConfigurationError, ProjectionError, StorageError
from projection.faults import contained

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from projection.store.audit import Author
    from projection.store.catalog import Catalog

_Came = TypeVar("_Came")
KEPT = 200  # records; the oldest that have ended go
_LOOK_S = 0.25  # the longest between two looks of who watches one
_LEAST_S = 0.1  # the shortest


class State(StrEnum):
    """What has become of an operation."""

    RUNNING = "running"
    WAITS = "waits"  # for something that an operator has to do; it goes on then
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    GIVEN_UP = "given up"  # the node ended meanwhile


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An operation, as it is told and kept."""

    id: str
    operation: str
    view_type: str
    by: str
    reason: str
    began: str  # RFC 3339
    state: str
    done: int | None = None  # how far it is, in events of the log or whatever it counts
    total: int | None = None
    rate: float | None = None  # of these a second
    left_s: float | None = None  # until it is done, if it goes on so
    ended: str | None = None
    result: Any = None  # what came of it; as the operation answers
    error: str | None = None  # why it failed
    hint: str | None = None
    error_class: str | None = None  # whose fault that is
    build: int | None = None  # that it is about, where that outlives the operation
    why: str | None = None  # it waits

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in (State.RUNNING, State.WAITS)


encoded = msgspec.json.Encoder(decimal_format="number").encode
decoded = msgspec.json.Decoder(TaskRecord, float_hook=Decimal).decode  # a result has the numbers of views


class TaskCanceledError(ProjectionError):
    """The operation was canceled."""

    error_class = ConfigurationError.error_class
    default_code = "operation.canceled"


class TaskUnknownError(ConfigurationError):
    """There is no operation of this id."""

    default_code = "operation.unknown"


class TaskLeftError(ProjectionError):
    """The node ends, and its next start goes on with the operation."""

    error_class = ConfigurationError.error_class
    default_code = "operation.left"


class TaskContext(Protocol):
    """What works on a long operation says of it, and asks."""

    def progress(self, done: int, total: int | None = None) -> None:
        """Tell how far it is, and how far it has to go where that is known."""

    def check(self) -> None:
        """Go on.

        Raises:
            ProjectionError: it is to end.
        """

    def point_of_no_return(self) -> None:
        """Go on to the end, whatever comes.

        Raises:
            ProjectionError: as in `check`.
        """


class NoTask:
    """Implements `TaskContext` where nobody asks."""

    def progress(self, done: int, total: int | None = None) -> None:
        """See `TaskContext.progress`."""

    def check(self) -> None:
        """See `TaskContext.check`."""

    def point_of_no_return(self) -> None:
        """See `TaskContext.point_of_no_return`."""


@dataclass(slots=True)
class _Pace:
    """How fast something goes: over all that was seen of it since it began, or went on."""

    since: float
    first: int

    def told(self, done: int, total: int | None) -> tuple[float | None, float | None]:
        seconds = monotonic() - self.since
        if done <= self.first or seconds <= 0:
            return None, None
        rate = (done - self.first) / seconds
        return round(rate, 1), None if total is None else round(max(0, total - done) / rate, 1)


class Task:
    """Implements `TaskContext`: one operation under way."""

    def __init__(self, record: TaskRecord, changed: Callable[[], None]) -> None:
        self.record = record
        self.may_be_canceled = True
        self.canceled_by: Author | None = None
        self.canceled = asyncio.Event()
        self._changed = changed
        self._pace: _Pace | None = None

    def progress(self, done: int, total: int | None = None) -> None:
        """See `TaskContext.progress`."""
        if self._pace is None or done < (self.record.done or 0):  # what was begun is given up, and begun anew
            self._pace = _Pace(monotonic(), done)
        rate, left_s = self._pace.told(done, total)
        self.record = msgspec.structs.replace(self.record, done=done, total=total, rate=rate, left_s=left_s)
        self._changed()

    def waits(self, why: str | None) -> None:
        """Tell that it waits for an operator, and why; None: it goes on."""
        state = State.RUNNING if why is None else State.WAITS
        if state is State.RUNNING and self.record.state == State.WAITS:
            self._pace = None  # the time that it waited is none of the work's
        if (self.record.state, self.record.why) != (state, why):
            self.record = msgspec.structs.replace(self.record, state=state, why=why)
            self._changed()

    def check(self) -> None:
        """See `TaskContext.check`: raises TaskCanceledError where somebody has canceled it."""
        if self.canceled_by is not None:
            raise TaskCanceledError(f"operation {self.record.id} was canceled", hint="nothing was changed by it")

    def point_of_no_return(self) -> None:
        """See `TaskContext.point_of_no_return`."""
        self.check()
        self.may_be_canceled = False


class Tasks:
    """The long operations of a node, by their ids."""

    def __init__(self, catalog: Catalog, wait_for: Callable[[asyncio.Task[Any]], None]) -> None:
        """None is under way.

        Args:
            catalog: of the data folder, which keeps their records.
            wait_for: has the node wait, at its end, for a task.
        """
        self._catalog = catalog
        self._wait_for = wait_for
        self._under_way: dict[str, Task] = {}
        self._news = asyncio.Event()

    def begin(
        self,
        operation: str,
        view_type: str,
        author: Author,
        work: Callable[[Task], Awaitable[_Came]],
        *,
        build: int | None = None,
        again: TaskRecord | None = None,
    ) -> tuple[Task, asyncio.Task[_Came]]:
        """Begin an operation; whoever asked for it may go.

        Args:
            operation: its name.
            view_type: what it is done to.
            author: who says so.
            work: does it, told by what it is to be measured and canceled. What it comes to is kept as JSON.
            build: which it is about, where that outlives the operation.
            again: the record of one that a node did not bring to its end, and that goes on.

        Raises:
            StorageError: the catalog cannot be written; nothing has begun.
        """
        record = again or TaskRecord(
            id=token_hex(6),
            operation=operation,
            view_type=view_type,
            by=author.name,
            reason=author.reason,
            began=_now(),
            state=State.RUNNING,
            build=build,
        )
        task = Task(record, self._changed)
        self._catalog.put_task(record.id, encoded(record), KEPT)
        self._under_way[record.id] = task
        running = asyncio.create_task(self._run(task, work))
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever waits is told
        self._wait_for(running)
        return task, running

    async def _run(self, task: Task, work: Callable[[Task], Awaitable[_Came]]) -> _Came:
        try:
            came = await work(task)
        except TaskCanceledError:
            self._end(task, State.CANCELED)
            raise
        except (TaskLeftError, asyncio.CancelledError):  # the node has ended: its next start decides
            self._under_way.pop(task.record.id, None)
            raise
        except ProjectionError as error:
            self._end(task, State.FAILED, error=error)
            raise
        except Exception as error:
            log_fault(error, task.record.operation, view_type=task.record.view_type)
            self._end(task, State.FAILED, error=contained(error, task.record.operation))
            raise
        self._end(task, State.DONE, result=msgspec.to_builtins(came, builtin_types=(Decimal,)))
        return came

    def _end(self, task: Task, state: State, *, result: Any = None, error: ProjectionError | None = None) -> None:
        record = msgspec.structs.replace(task.record, state=state, why=None, ended=_now(), left_s=None, result=result)
        if error is not None:
            told = {"error": error.message, "hint": error.hint, "error_class": str(error.error_class)}
            record = msgspec.structs.replace(record, **told)
        task.record = record
        with suppress(StorageError):  # a full disk: the next start gives it up, or goes on and finds it done
            self._catalog.put_task(task.record.id, encoded(task.record), KEPT)
        self._under_way.pop(task.record.id, None)
        self._changed()

    def unfinished(self) -> list[TaskRecord]:
        """Those that an earlier process did not bring to their ends.

        Raises:
            StorageError: the catalog cannot be read.
        """
        stored = (one for one in stored_tasks(self._catalog.task_records()) if one.state == State.RUNNING)
        return [one for one in stored if one.id not in self._under_way]

    def give_up(self, record: TaskRecord, why: str, state: State = State.GIVEN_UP) -> None:
        """Note what has become of one that an earlier process began.

        Raises:
            StorageError: the catalog cannot be written.
        """
        told = msgspec.structs.replace(record, state=state, ended=_now(), error=why or None, left_s=None)
        self._catalog.put_task(record.id, encoded(told), KEPT)

    def under_way(self) -> Counter[str]:
        """How many run now, by operation."""
        return Counter(task.record.operation for task in self._under_way.values())

    def all(self) -> list[TaskRecord]:
        """The operations that are kept, those under way as they are now, the oldest first.

        Raises:
            StorageError: the catalog cannot be read.
        """
        found = {one.id: one for one in stored_tasks(self._catalog.task_records())}
        found |= {task.record.id: task.record for task in self._under_way.values()}
        return sorted(found.values(), key=lambda one: (one.began, one.id))

    def one(self, task_id: str) -> TaskRecord:
        """One of them.

        Raises:
            TaskUnknownError: there is none of this id.
            StorageError: the catalog cannot be read.
        """
        if (task := self._under_way.get(task_id)) is not None:
            return task.record
        found = next((one for one in self.all() if one.id == task_id), None)
        if found is None:
            raise TaskUnknownError(f"there is no operation {task_id[:40]!r}", hint="`projection operations list`")
        return found

    def cancel(self, task_id: str, author: Author) -> TaskRecord:
        """Have an operation end as soon as it can; what it did not do is not done.

        Args:
            task_id: which.
            author: who says so.

        Raises:
            TaskUnknownError: there is none of this id.
            ConfigurationError: it has ended, or cannot be canceled any more.
        """
        record, task = self.one(task_id), self._under_way.get(task_id)
        if task is None:
            raise ConfigurationError(f"operation {record.id} has ended already: {record.state}")
        if not task.may_be_canceled:
            raise ConfigurationError(
                f"operation {record.id} ({record.operation}) can no longer be canceled", hint="wait until it ends"
            )
        task.canceled_by = author
        task.canceled.set()
        self._changed()
        return task.record

    async def watch(self, task_id: str) -> AsyncGenerator[TaskRecord, None]:
        """How an operation goes on, now and at each change, until it has ended.

        Raises:
            TaskUnknownError: there is none of this id.
            StorageError: the catalog cannot be read.
        """
        before = None
        while True:
            record = self.one(task_id)
            if record != before:
                yield record
            if record.has_ended:
                return
            before = record
            await asyncio.sleep(_LEAST_S)  # progress may be told for each batch
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()

    def _changed(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def stored_tasks(stored: list[bytes]) -> list[TaskRecord]:
    """The records of a catalog, the oldest first; none that this version cannot read."""
    found = []
    for one in stored:
        with suppress(msgspec.MsgspecError):
            found.append(decoded(one))
    return sorted(found, key=lambda one: (one.began, one.id))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
