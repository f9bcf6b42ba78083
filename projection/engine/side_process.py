"""A process beside the node that does some work for it; see `side_work`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from projection.engine.side_work import Said
from projection.errors import StorageError

if TYPE_CHECKING:
    from projection.engine.tasks import Task

_LONGEST_LINE = 64 << 20  # bytes


async def done_beside(work: msgspec.Struct, stopping: asyncio.Event, task: Task | None = None) -> Said:
    """Have some work done by another process, and return what came of it.

    Args:
        work: what is to be done, by the module of its class.
        stopping: the node is to end: the work is given up.
        task: told now and then how far it is; to cancel it ends the process.

    Raises:
        TaskCanceledError: the task was canceled.
        StorageError: no process could be started, it was ended by somebody, or the node is stopping.
        ProjectionError: what the work raised.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # whatever lies in the current folder is none of the program
            "-m",
            type(work).__module__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LONGEST_LINE,
            start_new_session=True,  # a terminal's Ctrl-C is for the node
        )
    except OSError as error:
        raise StorageError(f"no process could be started: {error.strerror or error}") from None
    ended = asyncio.create_task(_heard(process, work, task))
    ends = [asyncio.create_task(stopping.wait())]
    if task is not None:
        ends.append(asyncio.create_task(task.canceled.wait()))
    is_ending = False
    try:
        await asyncio.wait({ended, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            if task is not None:
                task.check()
            raise StorageError("the node is stopping, and the work was given up")
        said = ended.result()
        is_ending = True
    finally:
        for one in (ended, *ends):
            one.cancel()
        if not is_ending:  # to kill one that has ended would take its status away from the loop
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
    if said is None:
        raise StorageError(f"the process that did the work has ended with status {process.returncode}")
    if said.refused is not None:
        raise said.refused.error()
    return said


async def _heard(process: asyncio.subprocess.Process, work: msgspec.Struct, task: Task | None) -> Said | None:
    """The last line of the answer; None where there was none."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101
    with suppress(ConnectionError):
        process.stdin.write(msgspec.json.encode(work) + b"\n")
        await process.stdin.drain()
    async for line in process.stdout:
        said = msgspec.json.decode(line, type=Said)
        if said.progress is None:
            return said
        if task is not None:
            task.progress(said.progress.done, said.progress.of)
    return None
