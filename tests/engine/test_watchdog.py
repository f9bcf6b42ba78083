"""The watchdog: it reports that the node hangs, once, with the place; and what becomes of an event is no business of it."""

from __future__ import annotations

import asyncio
from time import monotonic

from patience import WITHIN_S

from projection.engine.watchdog import Watchdog

PATIENCE_S = 0.1


def hang_until(condition) -> None:
    """Keep the loop from coming round, as a program or a disk would that takes too long."""
    until = monotonic() + WITHIN_S
    while not condition():
        assert monotonic() < until


async def test_a_loop_that_does_not_come_round_is_reported_once_with_the_place_it_hangs_at(logged):
    async with Watchdog(PATIENCE_S) as watchdog:
        hang_until(lambda: any(one["log_level"] == "error" for one in logged))
        assert watchdog.held_up
        reported = [one for one in logged if one["log_level"] == "error"]
        until = monotonic() + 4 * PATIENCE_S
        hang_until(lambda end=until: monotonic() > end)  # it goes on hanging: nothing new
        assert reported == [one for one in logged if one["log_level"] == "error"]
    (one,) = reported
    assert "event loop has not come round" in one["event"]
    assert "hang_until" in one["at"]
    assert one["for_s"] >= PATIENCE_S


async def test_a_loop_that_comes_round_again_is_told_and_may_be_reported_anew(logged):
    well_again = asyncio.Semaphore(0)
    async with Watchdog(PATIENCE_S, well_again.release) as watchdog:
        for _ in range(2):
            hang_until(lambda: watchdog.held_up)
            await asyncio.wait_for(well_again.acquire(), WITHIN_S)
    levels = [one["log_level"] for one in logged]
    assert len(levels) >= 4  # more on a machine that itself keeps the loop from coming round
    assert ["error", "info"] * (len(levels) // 2) == levels
