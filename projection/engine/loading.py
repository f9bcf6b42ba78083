"""Loading: a build that does not answer is folded without waiting for the disk, until it has nearly caught up.

Then everything is brought to the disk once, and its commits wait for it as the settings say. Only then does it share a
subscription with others, which would have to wait meanwhile, and only then may it serve.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from projection.errors import StorageDamagedError, StorageError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

    from projection.engine.background import Background
    from projection.engine.committer import Committer
    from projection.engine.committers import Committers, Halt
    from projection.engine.lane import Lane
    from projection.engine.reading import Reading

log = structlog.get_logger(component="store")


class Loaded(NamedTuple):
    """What it took to fold a build that did not answer, until it had nearly caught up."""

    events: int  # sequences of the log that this process went through
    seconds: float

    @property
    def details(self) -> dict[str, Any]:
        """For the audit."""
        return {"events": self.events, "seconds": round(self.seconds, 3)}


class Loading:
    """Ends the loading of builds."""

    def __init__(self, committers: Committers, background: Background, halt: Halt, within: int) -> None:
        """Nothing has been loaded yet.

        Args:
            committers: who write to the stores.
            background: finishes what is under way when the node ends.
            halt: for a lane whose store the disk refused.
            within: how many messages may be left to a build that has nearly caught up.
        """
        self.delayed: dict[Lane, StorageError] = {}  # why loading does not end yet, although it could
        self._committers = committers
        self._background = background
        self._halt = halt
        self._within = within
        self._ending: dict[Lane, asyncio.Task[None]] = {}
        self._since: dict[Lane, tuple[float, int]] = {}  # when each was first seen, and how far it was

    def look(self, lanes: Iterable[Lane], readings: Mapping[Lane, Reading]) -> None:
        """Begin to end the loading of lanes that have nearly caught up."""
        self._ending = {lane: task for lane, task in self._ending.items() if not task.done()}
        self.delayed = {lane: error for lane, error in self.delayed.items() if lane in self._committers.by_lane}
        self._since = {lane: since for lane, since in self._since.items() if lane in self._committers.by_lane}
        for lane in lanes:
            if lane.store.is_loading:
                self._since.setdefault(lane, (monotonic(), lane.position.scanned))
            if lane.store.is_loading and lane not in self._ending and self._has_nearly_caught_up(readings.get(lane)):
                since, first = self._since[lane]
                # Before it is on the disk: from then on it may answer, and the audit says so at once.
                lane.loaded = lane.loaded or Loaded(lane.position.scanned - first, monotonic() - since)
                doing = f"bringing build {lane.build} of view type {lane.view_type} to the disk"
                self._ending[lane] = self._background.begin(doing, self._end(self._committers.by_lane[lane], doing))

    def _has_nearly_caught_up(self, reading: Reading | None) -> bool:
        return reading is not None and reading.left is not None and reading.left <= self._within

    async def _end(self, member: Committer, doing: str) -> None:
        lane = member.lane
        try:
            await member.end_loading()
        except StorageDamagedError as error:
            self._halt(lane, error, doing)
        except StorageError as error:
            self.delayed[lane] = error
            return
        self.delayed.pop(lane, None)
        if not lane.store.is_loading:
            log.info(
                "a build that was folded without waiting for the disk is on the disk",
                view_type=lane.view_type,
                build=lane.build,
            )
