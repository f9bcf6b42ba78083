"""A lane's commits, for whoever waits for them: readings, the end of the node, and whoever closes the store."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import WITHIN_S, eventually

from projection.engine.committer import Committer, Workshop
from projection.errors import StaleCommitError

if TYPE_CHECKING:
    from collections.abc import Callable

WAITS, GIVES_UP, IS_CANCELED = "waits", "gives up", "is canceled"


class HeldLane:
    """A lane whose store writes once it may, and fails if it is told to."""

    position = SimpleNamespace(stream=None)

    def __init__(self, error: Exception | None = None) -> None:
        self.may_write = threading.Event()
        self.commits = 0
        self.is_writing = False
        self.is_closed = False
        self.store = self
        self._error = error

    def seal(self, stream: object) -> None:
        pass

    def write(self, on_written: Callable[[], None]) -> None:
        assert not self.is_writing
        self.is_writing = True
        assert self.may_write.wait(WITHIN_S)
        assert not self.is_closed
        self.is_writing = False
        on_written()
        if self._error is not None:
            raise self._error

    def committed(self) -> None:
        self.commits += 1

    def close(self) -> None:
        assert not self.is_writing
        self.is_closed = True


def committer_of(lane: HeldLane, workshop: Workshop | None = None) -> Committer:
    anything: Any = lane
    return Committer(anything, workshop or Workshop(2, WITHIN_S))


@given(st.lists(st.sampled_from([WAITS, GIVES_UP, IS_CANCELED]), min_size=2, max_size=6), st.booleans())
@pytest.mark.property
def test_however_many_wait_for_a_commit_and_whoever_of_them_leaves_all_are_told_the_same(who, fails):
    asyncio.run(_wait_for_a_commit(who, StaleCommitError("somebody else owns the store") if fails else None))


async def _wait_for_a_commit(who: list[str], error: Exception | None) -> None:
    lane = HeldLane(error)
    committer = committer_of(lane)
    committer.begin()
    waiters = [asyncio.create_task(committer.settle(0.0 if how == GIVES_UP else None)) for how in who]
    await eventually(lambda: lane.is_writing)
    for how, waiter in zip(who, waiters, strict=True):
        if how == IS_CANCELED:
            waiter.cancel()
        if how == GIVES_UP:
            assert await waiter is False
    lane.may_write.set()
    told = await asyncio.gather(*waiters, committer.settle(), return_exceptions=True)
    for how, answer in zip([*who, WAITS], told, strict=True):
        if how == IS_CANCELED:
            assert isinstance(answer, asyncio.CancelledError)
        elif how == WAITS:
            assert (error or True) is answer
    assert (0 if error else 1) == lane.commits


async def test_nothing_is_begun_once_a_store_is_being_closed():
    lane = HeldLane()
    committer = committer_of(lane)
    committer.begin()
    closing = asyncio.create_task(committer.close())
    await eventually(lambda: lane.is_writing)
    lane.may_write.set()
    assert await committer.settle()
    committer.begin()  # by a reading that waited for the same commit
    assert not committer.busy
    await closing
    assert lane.is_closed
    await committer.between_commits(lane.write)
    assert not lane.is_writing


async def test_a_store_stays_open_for_a_thread_that_nobody_waits_for_any_more():
    lane = HeldLane()
    committer = committer_of(lane)
    building = asyncio.create_task(committer.between_commits(lane.write))
    await eventually(lambda: lane.is_writing)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    closing = asyncio.create_task(committer.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not lane.is_closed
    lane.may_write.set()
    await closing
    assert lane.is_closed


@pytest.mark.parametrize("busy_with", ["commit", "index"])
async def test_a_commit_that_waits_for_the_turn_of_others_is_not_late_and_one_that_waits_for_its_own_store_is(
    busy_with,
):
    lanes, workshop = (HeldLane(), HeldLane()), Workshop(2, WITHIN_S)
    slow, other = (committer_of(lane, workshop) for lane in lanes)
    indexing = None
    if busy_with == "index":  # a piece of an index that is written to the same store
        indexing = asyncio.create_task(slow.between_commits(lanes[0].write))
        await eventually(lambda: lanes[0].is_writing)
    slow.begin()
    await eventually(lambda: lanes[0].is_writing)
    other.begin()
    for member in (slow, other):  # as if both had waited for long already
        await asyncio.sleep(0)
        member._since -= WITHIN_S
    lanes[1].may_write.set()
    waiting = asyncio.create_task(other.stored_in_time(WITHIN_S))
    assert not await slow.stored_in_time(WITHIN_S)
    assert not waiting.done()
    lanes[0].may_write.set()
    assert await waiting
    assert await slow.settle()
    if indexing is not None:
        await indexing
    workshop.close()
