"""Indexes in the background: what a store lacks of those that are declared for it, and what it holds of others.

A lane declares its indexes when it is opened; from then on its commits bring the entries of what they change. Those of
all other views are brought here, and those of indexes that are no longer declared are deleted: a bounded piece at a
time, between two commits of the lane. A kill at any moment costs the round of pieces that is under way
(`projection/store/index_building.py`).
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from projection.engine.breaker import CircuitBreaker
from projection.errors import StaleCommitError, StorageDamagedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.committer import Committer

    Build = Callable[[int, Callable[[], None]], bool]  # of so many views; says when it is written, and if there is more

log = structlog.get_logger(component="store")

_PIECE_S = 0.01  # that a piece is to take: half of what a turn of folding may
_FEWEST, _MOST = 16, 16_384  # views or entries in a piece


async def build_indexes(member: Committer) -> None:
    """Bring a lane's store to what its program and manifest declare; returns once nothing is left to do.

    Takes no more than half of the time: after each piece it waits for as long as its work took. What the disk takes is
    no one else's time.

    Raises:
        StaleCommitError: someone else owns the store.
        StorageDamagedError: the store holds what cannot be read.
    """
    lane = member.lane
    await _in_pieces(
        member, "indexes", lambda size, told: lane.store.build_indexes(lane.epoch, lane.entries_of, size, told)
    )
    await _in_pieces(member, "changes", lambda size, told: lane.store.build_changes(lane.epoch, size, told))


async def _in_pieces(member: Committer, what: str, build: Build) -> None:
    breaker, size, count = CircuitBreaker(), _FEWEST, 0
    is_more, work_s = True, 0.0

    def piece(on_written: Callable[[], None]) -> None:
        nonlocal is_more, work_s
        began, is_written = perf_counter(), False

        def written() -> None:
            nonlocal work_s, is_written
            work_s = perf_counter() - began  # the rest is the disk's, which a small piece takes as long
            is_written = True
            on_written()

        is_more = build(size, written)
        if not is_written:  # the piece was no transaction
            work_s = perf_counter() - began

    while is_more:
        await breaker.admit()
        try:
            await member.between_commits(piece)
        except (StaleCommitError, StorageDamagedError):
            raise
        except StorageError as error:
            if breaker.trouble is None:
                log.warning("building waits", what=what, view_type=member.lane.view_type, reason=error.message)
            breaker.failed(error)
            continue
        breaker.succeeded()
        count += 1
        if work_s > _PIECE_S:
            size = max(size // 2, _FEWEST)
        elif work_s < _PIECE_S / 2:
            size = min(size * 2, _MOST)
        await asyncio.sleep(work_s)
    if count > 1:
        log.info("built", what=what, view_type=member.lane.view_type)
