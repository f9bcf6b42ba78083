"""The subscriptions of a node: the readings by which its lanes follow the log, from their start to their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from projection.engine.fault_log import log_fault, suppress_faults
from projection.engine.reading import Reading
from projection.engine.sharing import Sharing
from projection.errors import StreamError
from projection.faults import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.background import Background
    from projection.engine.committer import Committer
    from projection.engine.lane import Lane
    from projection.engine.reading import Host
    from projection.stream.port import Feed

log = structlog.get_logger(component="stream")


class Subscriptions:
    """One reading that lanes share, and one for each lane that reads by itself."""

    def __init__(self, feeds: Callable[[Sequence[Lane], bool], Feed], host: Host, background: Background) -> None:
        """No subscription yet.

        Args:
            feeds: a closed feed for some lanes: the one that all can share, or one for a lane by itself.
            host: the node, to which readings report.
            background: forgets the consumers of readings that have ended.
        """
        self.readings: dict[Reading, asyncio.Task[None]] = {}
        self._feeds = feeds
        self._host = host
        self._background = background
        self._sharing = Sharing(host.back_pressure)
        self._shared: Reading | None = None
        self._read_before = 0  # messages, by readings that have ended
        self._reopened_before = 0  # times that those opened their feeds anew

    @property
    def events(self) -> int:
        """Messages read; one that two readings read counts twice."""
        return self._read_before + sum(reading.events for reading in self.readings)

    @property
    def reopenings(self) -> int:
        """How often reading was interrupted and begun again."""
        return self._reopened_before + sum(map(_reopenings, self.readings))

    @property
    def left(self) -> int | None:
        """Messages still to be read; None while that is not known."""
        left = [reading.left for reading in self.readings]
        known = [one for one in left if one is not None]
        return sum(known) if known and len(known) == len(left) else None

    @property
    def have_caught_up(self) -> bool:
        """Whether every reading has come to the end of the log."""
        return all(reading.caught_up for reading in self.readings)

    @property
    def unfinished(self) -> list[asyncio.Task[None]]:
        """The tasks of readings that go on."""
        return [task for task in self.readings.values() if not task.done()]

    def of(self, lane: Lane) -> Reading | None:
        """Return the reading that a lane reads by, if there is one."""
        return next((reading for reading in self.readings if reading.reads(lane)), None)

    def by_lane(self) -> dict[Lane, Reading]:
        """Return the reading of each lane that reads: asked for one by one, that takes the square of their number."""
        return {member.lane: reading for reading in self.readings for member in reading.members}

    async def begin(self, members: Sequence[Committer], *, once: bool) -> None:
        """Have the most lanes that stand near one another share a reading, and the others read by themselves.

        Args:
            members: the lanes that read.
            once: whether to open the shared reading before anything begins, so that a failure has no effect.

        Raises:
            StreamError: with `once`, the stream cannot be used.
        """
        near = self._sharing.largest_group([member.lane for member in members])
        if near:
            shared = Reading(self._feeds(near, True), [member for member in members if member.lane in near], self._host)
            if once:
                await shared.feed.open()
            self._shared = shared
            self._start(shared)
        for member in members:
            if member.lane not in near:
                self._start_alone(member)

    def _start(self, reading: Reading) -> None:
        task = self.readings[reading] = asyncio.create_task(reading.run())
        task.add_done_callback(lambda _: self._host.changed())

    def start(self, member: Committer) -> None:
        """Have a lane read that has come to the node while it runs.

        Where no reading is shared, this one is from here on: lanes that come later, or stand by themselves, join it.
        """
        if not member.lane.store.is_loading and (self._shared is None or not self._shared.members):
            self._shared = Reading(self._feeds([member.lane], True), [member], self._host)
            self._start(self._shared)
        else:
            self._start_alone(member)

    def _start_alone(self, member: Committer) -> None:
        self._start(Reading(self._feeds([member.lane], False), [member], self._host))

    def detach(self, member: Committer, reason: str, told: dict[str, Any] | None = None) -> None:
        """Have a lane that has left a reading go on by itself; `told` is what the log says of the event that did it."""
        lane = member.lane
        more = {**(told or {}), "view_type": lane.view_type, "build": lane.build}
        log.warning("a view type goes on by itself", reason=reason, **more)
        self._sharing.detach(member.lane)
        self._start_alone(member)

    def dismiss(self, lane: Lane) -> None:
        """Have nothing more read for a lane."""
        for reading in self.readings:
            reading.dismiss(lane)

    def remove_ended(self) -> None:
        """Remove readings that have ended, and have the members of one that failed go on by themselves.

        Raises:
            StreamError: the server refuses the node, so that nobody can go on.
        """
        for reading, task in list(self.readings.items()):
            if task.done() and not self._host.stopping.is_set():
                del self.readings[reading]
                self._read_before += reading.events
                self._reopened_before += _reopenings(reading)
                if reading is self._shared:
                    self._shared = None
                self._background.begin("forgetting a consumer", reading.feed.forget())
                self._see_to(reading, task.exception())

    def join(self) -> None:
        """Have lanes that read by themselves join the shared reading, where they may."""
        if self._shared is not None:
            for reading in self.readings:
                if reading is not self._shared and self._sharing.may_join(reading, self._shared):
                    self._shared.invite(reading)

    def _see_to(self, reading: Reading, error: BaseException | None) -> None:
        """Let the members of a reading that failed go on by themselves; one that was by itself already halts.

        Raises:
            StreamError: the server refuses the node, so that nobody can go on.
        """
        if error is None:
            return
        if isinstance(error, StreamError) or not isinstance(error, Exception):
            raise error
        members, reading.members = reading.members, []
        if len(members) > 1 and not self._host.stopping.is_set():
            log_fault(error, "reading")
            for member in members:
                self.detach(member, contained(error, "reading").message)
        else:
            for member in members:
                self._host.halt(member.lane, error, "reading")

    # the end

    def failures(self) -> list[BaseException]:
        """Halt the members of readings that failed, and return what members cannot be halted for."""
        found: list[BaseException] = []
        for reading, task in list(self.readings.items()):
            if task.done() and not task.cancelled():
                try:
                    self._see_to(reading, task.exception())
                except BaseException as failure:  # noqa: BLE001 - to be raised once all else is done
                    found.append(failure)
        return found

    async def close(self) -> None:
        """Acknowledge what is committed, and close the feeds; other feeds than the shared one are forgotten."""
        for reading in self.readings:
            with suppress_faults("acknowledging"):
                await reading.acknowledge()
            with suppress_faults("closing a subscription"):
                await (reading.feed.close() if reading is self._shared else reading.feed.forget())


def _reopenings(reading: Reading) -> int:
    return max(0, reading.feed.openings - 1)
