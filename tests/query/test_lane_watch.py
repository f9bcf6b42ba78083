"""Waiting for a lane: one look at a time, however many wait; and nobody looks while nobody waits."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from patience import WITHIN_S

from projection.errors import StorageError
from projection.query.watching import LaneWatch


class Lane:
    """A position that counts how often it is looked at."""

    def __init__(self):
        self.scanned = 5
        self.looks = 0
        self.is_closed = False
        self.watch = LaneWatch(self.look, interval_s=0.001)

    def look(self):
        self.looks += 1
        if self.is_closed:
            raise StorageError("the store is closed")
        return self.scanned

    async def looked(self, times):
        until, start = monotonic() + WITHIN_S, self.looks
        while self.looks < start + times:
            assert monotonic() < until
            await asyncio.sleep(0)


async def test_where_the_lane_is_already_nobody_waits():
    lane = Lane()
    assert await lane.watch.beyond(4, WITHIN_S) == 5
    assert await lane.watch.beyond(5, 0) == 5
    assert (2, 0) == (lane.looks, lane.watch.waiting)


async def test_all_who_wait_are_woken_each_at_its_position_by_one_who_looks():
    lane = Lane()
    waiting = {
        position: asyncio.create_task(lane.watch.beyond(position, WITHIN_S))
        for position in (5, 6, 7)
        for _ in range(50)
    }
    many = [asyncio.create_task(lane.watch.beyond(6, WITHIN_S)) for _ in range(100)]
    await lane.looked(110)
    looks = lane.looks
    await lane.looked(3)
    assert lane.looks == looks + 3, "one look for all"
    lane.scanned = 7
    assert {7} == set(await asyncio.gather(waiting[5], waiting[6], *many))
    assert not waiting[7].done()
    lane.scanned = 8
    assert await waiting[7] == 8


async def test_while_nobody_waits_nobody_looks():
    lane = Lane()
    await lane.watch.beyond(5, 0.01)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        await asyncio.wait(tasks, timeout=WITHIN_S)
    looks = lane.looks
    await asyncio.sleep(0.01)
    assert (looks, 0) == (lane.looks, lane.watch.waiting)


async def test_who_has_waited_long_enough_is_told_where_the_lane_is():
    assert await Lane().watch.beyond(99, 0.005) == 5


async def test_who_gives_up_is_forgotten():
    lane = Lane()
    task = asyncio.create_task(lane.watch.beyond(99, WITHIN_S))
    await lane.looked(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lane.watch.waiting == 0


async def test_when_the_store_is_closed_all_who_wait_are_told_and_later_ones_too():
    lane = Lane()
    waiting = [asyncio.create_task(lane.watch.beyond(99, WITHIN_S)) for _ in range(3)]
    await lane.looked(4)
    lane.is_closed = True
    for task in waiting:
        with pytest.raises(StorageError, match="closed"):
            await task
    with pytest.raises(StorageError, match="closed"):
        await lane.watch.beyond(99, WITHIN_S)
    lane.is_closed = False
    lane.scanned = 100
    assert await lane.watch.beyond(99, WITHIN_S) == 100
