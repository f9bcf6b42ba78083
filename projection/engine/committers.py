"""The committers of a node: one for each lane, the building of its indexes, its last commit, and its end."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from projection.engine.committer import Committer
from projection.engine.event_log import EventLog
from projection.engine.indexing import build_indexes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.background import Background
    from projection.engine.committer import Workshop
    from projection.engine.lane import Lane

    Halt = Callable[[Lane, Exception, str], None]  # for an error, while something was being done


class Committers:
    """Who writes to the stores of a node's lanes."""

    def __init__(
        self, lanes: Sequence[Lane], workshop: Workshop, background: Background, on_change: Callable[[], None]
    ) -> None:
        """Committers that have nothing to write yet.

        Args:
            lanes: open.
            workshop: shared by all.
            background: finishes what nothing waits for but the end of the node.
            on_change: called when the state of one changes.
        """
        self._workshop = workshop
        self.by_lane: dict[Lane, Committer] = {}
        self._building: dict[Lane, asyncio.Task[None]] = {}  # of indexes, in the background
        self._finishing: dict[Lane, asyncio.Task[None]] = {}  # what lanes folded before they halted
        self._removed: list[Committer] = []
        self._background = background
        self._on_change = on_change
        for lane in lanes:
            self._take_on(lane)

    @property
    def are_building(self) -> bool:
        """Whether indexes are being built."""
        return any(not task.done() for task in self._building.values())

    def build_indexes(self, halt: Halt) -> None:
        """Begin to build the indexes that stores lack; a lane where that fails is halted."""
        for lane in self.by_lane:
            self._build(lane, halt)

    def add(self, lane: Lane, halt: Halt) -> Committer:
        """Add a lane, and begin to build the indexes that its store lacks."""
        member = self._take_on(lane)
        self._build(lane, halt)
        return member

    def _take_on(self, lane: Lane) -> Committer:
        lane.log_events_by(EventLog(lane))
        member = self.by_lane[lane] = Committer(lane, self._workshop, self._on_change)
        return member

    def _build(self, lane: Lane, halt: Halt) -> None:
        self._building[lane] = asyncio.create_task(self._build_indexes(self.by_lane[lane], halt))

    async def _build_indexes(self, member: Committer, halt: Halt) -> None:
        try:
            await build_indexes(member)
        except Exception as error:  # noqa: BLE001 - what can be tried again was
            halt(member.lane, error, "building indexes")
        self._on_change()

    def cancel_building(self) -> list[asyncio.Task[None]]:
        """Cancel the building of indexes: each step is done whole or not at all, and the rest at the next start."""
        for building in self._building.values():
            building.cancel()
        return list(self._building.values())

    def finish(self, member: Committer) -> None:
        """Write what a lane folded before it halted, in the background."""
        doing = f"the last commit of view type {member.lane.view_type}"
        self._finishing[member.lane] = self._background.begin(doing, _write_last(member))

    async def retire(self, lane: Lane) -> None:
        """Write what a lane that reads no more has folded, and then nothing any more; its store stays open.

        Raises:
            StaleCommitError, StorageDamagedError: it cannot be written.
        """
        tasks = [self._building.pop(lane, None), self._finishing.pop(lane, None)]
        if tasks[0] is not None:
            tasks[0].cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await self.by_lane[lane].retire()

    def replace(self, lane: Lane, new: Lane, halt: Halt) -> Committer:
        """Have a lane on the same store take the place of one that was retired."""
        del self.by_lane[lane]
        return self.add(new, halt)

    def remove(self, lane: Lane) -> asyncio.Task[None]:
        """Remove a lane, and close its store once its last commit is stored, in the background."""
        member = self.by_lane.pop(lane)
        self._finishing.pop(lane, None)
        if (building := self._building.pop(lane, None)) is not None:
            building.cancel()
        self._removed.append(member)
        return self._background.begin(f"closing a build of view type {lane.view_type}", member.close())

    async def settle(self, until: float, halt: Halt) -> bool:
        """Wait for the last commits until a moment of the monotonic clock, and return whether all is stored.

        If so, no thread writes to any store, and those of removed lanes are closed. A lane whose last commit fails is
        halted. What a halted lane folded behind its last commit does not count.
        """
        all_stored = True
        for member in self.by_lane.values():
            try:
                settled = await member.settle(max(0.0, until - monotonic()))
            except Exception as error:  # noqa: BLE001 - it is this view type's, and the others are to be settled
                if member.lane.halted is None:
                    halt(member.lane, error, "committing")
            else:
                all_stored &= settled and (not member.lane.has_changes or member.lane.halted is not None)
        try:
            async with asyncio.timeout(max(0.0, until - monotonic())):
                for member in self._removed:
                    await member.close()
                for member in self.by_lane.values():
                    await member.rest()
        except TimeoutError:
            return False
        return all_stored


async def _write_last(member: Committer) -> None:
    await member.settle()
    member.begin()
    await member.settle()
