"""A reading: one feed and the lanes that read by it; each message is decoded once for all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import setcontext
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol

from projection.engine.breaker import CircuitBreaker
from projection.engine.event import event_reader
from projection.engine.fault_log import log_fault
from projection.errors import StorageDamagedError, StorageError, StreamError, StreamIdentityError
from projection.faults import contained
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from projection.engine.committer import Committer, Workshop
    from projection.engine.lane import Lane
    from projection.engine.unhandled import Unhandled
    from projection.errors import ProjectionError
    from projection.lang.reaction import Reaction
    from projection.model.envelope import Envelope
    from projection.model.settings import BackPressure
    from projection.stream.port import Batch, Feed, Message

    Takers = Sequence[tuple[Lane, Reaction | None]]

_SLICE_S = 0.02  # of folding, until the connection gets its turn
_GLANCE = 16  # events between two looks at the clock
_PERSIST_S = 0.25  # the longest that a lane which was only looked past keeps that to itself
_MAX_WEIGHT = 64 * 1024 * 1024  # bytes of views that one batch may read or change
_UNHANDLED: Takers = ()  # of a type that no program of the node handles
_MAX_TYPES = 10_000  # of events: types that come from outside may not fill the memory
_GAS_S = 11e-9  # what a unit of gas takes (docs/decisions/0006-gas-calibration.md)


class Host(Protocol):
    """What a reading needs of the node around it."""

    workshop: Workshop
    back_pressure: BackPressure
    stopping: asyncio.Event
    unhandled: Unhandled
    wants_ends: bool  # whether somebody waits for readings to come to the end of the log

    def detach(self, member: Committer, reason: str) -> None:
        """A member holds up the others: it is to read by itself from here on."""

    def halt(self, lane: Lane, error: Exception, doing: str) -> None:
        """A lane reads no more, and nothing more of it may be written; `doing` says at what it failed."""

    def finish(self, member: Committer) -> None:
        """A member has halted in front of an event; what it folded before is still to be written."""

    def changed(self) -> None:
        """Something has gone on, stopped or come back."""


class Reading:
    """Reads, folds, commits and acknowledges until all its lanes have gone, or the node stops."""

    def __init__(self, feed: Feed, members: Sequence[Committer], host: Host) -> None:
        self.feed = feed
        self.members = list(members)  # at least one; all make events of messages in the same way
        self.events = 0  # messages read
        # All members have been offered what is stored up to here; the feed goes on behind it.
        self.position = min(member.lane.scanned for member in members)
        self.caught_up = False
        self._host = host
        deployed = members[0].lane.deployed
        self._read = event_reader(deployed.entry, deployed.tenancy).read
        self._breaker = CircuitBreaker(host.changed)  # of reading a store, while there is one member
        self._guests: list[Reading] = []  # readings of one lane, near enough to join this one
        self._awaited_at: int | None = None  # where this one, a guest, is waited for
        self._is_there = asyncio.Event()
        self._takers: dict[tuple[str, str], Takers] = {}
        self._openings = 0  # of the feed, when the log was held against the members
        self._unchecked: StreamError | None = None  # why the log could not be held against them
        self._unfolded = 0  # messages of the batch under way
        self._window: tuple[float, dict[Lane, int]] = (monotonic(), {})

    @property
    def left(self) -> int | None:
        """How many messages are still to be folded; None while that is not known."""
        left = self.feed.left
        return None if left is None else left + self._unfolded

    @property
    def trouble(self) -> ProjectionError | None:
        """Why nothing is read for now."""
        return self._unchecked or self.feed.trouble or self._breaker.trouble

    async def run(self) -> None:
        """See the class.

        Raises:
            StreamError: another node reads under this node's name.
            Exception: any other means that the members cannot go on together.
        """
        setcontext(EXACT)  # of this task: each program would set it for itself
        try:
            while self.members and not self._is_to_end():
                await self._let_guests_in()
                batch = await self.feed.next_batch()
                self._unfolded = 0 if batch is None else len(batch.messages)
                if batch is not None and await self._is_one_log():
                    await self._fold(batch)
                await self._commit()
                await self.acknowledge()
                self.caught_up = batch is None and self._host.wants_ends and await self.feed.caught_up()
                self._host.changed()
        except StreamIdentityError as error:
            for member in list(self.members):
                self._halt(member, error, "reading")
        if self._awaited_at is None:
            await self._commit(even_if_young=True)

    def _is_to_end(self) -> bool:
        if self._awaited_at is not None and self.members[0].lane.scanned >= self._awaited_at:
            self._is_there.set()
            return True
        return self._host.stopping.is_set()

    # folding

    async def _fold(self, batch: Batch) -> None:
        """Offer a batch to the members, in turns with other readings and with commits."""
        for member in self.members:
            member.stream = self.feed.identity
        messages, done = batch.messages, 0
        a_lane_s, worked_s = self._host.back_pressure.work_s, 0.0  # the others' turns are no work of this one
        read_before = self.events
        while done < len(messages) and self.members and not self._host.stopping.is_set():
            before = done
            async with self._host.workshop.turn:
                began = perf_counter()
                done, refused = self._fold_some(messages, done)
                worked_s += perf_counter() - began
            self.events, self._unfolded = read_before + done, len(messages) - done
            self._count(messages, before, done, is_refused=refused is not None)
            if done:
                self._move_to(messages[done - 1].sequence, messages[done - 1].time)
            self._note_halts()
            self._spare_the_others()
            if refused is not None:
                await self._wait_or_detach(*refused, messages[done].sequence)
            else:
                self._breaker.succeeded()
                if done < len(messages) and (worked_s > a_lane_s * len(self.members) or self._is_heavy()):
                    await self._commit()
                    worked_s = 0.0
            await asyncio.sleep(0)
        self._unfolded = 0  # nobody folds what is left
        if done == len(messages):
            self._move_to(batch.scanned, batch.scanned_time)

    def _fold_some(self, messages: Sequence[Message], start: int) -> tuple[int, tuple[Lane | None, Exception] | None]:
        """Offer messages for some milliseconds; how far that came, and which lane could not take the next, and why.

        A message may be offered again: a lane that has taken it passes it over. Without a lane, it could not be read.
        """
        read, takers_of, until = self._read, self._takers.get, perf_counter() + _SLICE_S
        unhandled = self._host.unhandled
        for number in range(start, len(messages)):
            lane = None
            if messages[number].no_event:
                unhandled.passed_over(messages[number].no_event, messages[number].subject)
                continue
            try:
                event = read(messages[number])
                envelope = event.envelope
                if envelope is None and event.no_event:
                    unhandled.passed_over(event.no_event, event.message.subject)
                    continue
                if envelope is None:
                    takers: Takers = [(member.lane, None) for member in self.members]
                else:
                    known = takers_of((envelope.aggregate_type, envelope.event_type))
                    takers = self._find_takers(envelope) if known is None else known
                if takers is _UNHANDLED:
                    unhandled.count += 1
                for lane, reaction in takers:
                    lane.take(event, reaction)
            except Exception as error:  # noqa: BLE001 - it is the lane's, whatever it is, and the others go on
                return number, (lane, error)
            if number % _GLANCE == 0 and (perf_counter() > until or self._is_heavy()):
                return number + 1, None
        return len(messages), None

    def _find_takers(self, envelope: Envelope) -> Takers:
        """The members whose programs take events of this type, with their reactions."""
        if len(self._takers) >= _MAX_TYPES:
            self._takers.clear()
        key = envelope.aggregate_type, envelope.event_type
        found: Takers = [(one.lane, reaction) for one in self.members if (reaction := one.lane.reaction(*key))]
        if not found and self._host.unhandled.is_unhandled(*key):
            found = _UNHANDLED
        self._takers[key] = found
        return found

    def _count(self, messages: Sequence[Message], start: int, end: int, *, is_refused: bool) -> None:
        """Have the members count what they were offered; of a message that one refused, those that have taken it."""
        for member in self.members:
            member.lane.offered(messages[start:end])
            if is_refused and member.lane.scanned >= messages[end].sequence:
                member.lane.offered(messages[end : end + 1])

    def _move_to(self, scanned: int, time: str | None) -> None:
        """Members that handle nothing of what was read move on as well."""
        for member in self.members:
            member.lane.move_to(scanned, time)
        self.position = scanned

    def _is_heavy(self) -> bool:
        return sum(member.lane.weight for member in self.members) > _MAX_WEIGHT

    # committing

    async def _commit(self, *, even_if_young: bool = False) -> None:
        """Begin a commit of each member that has something to write; those that cannot for too long are detached."""
        for member in list(self.members):
            lane = member.lane
            if not member.busy:
                await self._settled(member)
            is_old = even_if_young or monotonic() - member.began > _PERSIST_S
            if (lane.has_changes or (is_old and lane.scanned > lane.position.scanned)) and await self._settled(member):
                member.begin()

    async def _settled(self, member: Committer) -> bool:
        """Whether the member's last commit is stored; if not, it has left."""
        patience_s = self._host.back_pressure.patience_s
        try:
            if not await (member.stored_in_time(patience_s) if len(self.members) > 1 else member.settle()):
                trouble = member.breaker.trouble
                self._detach(member, trouble.message if trouble else "its store is slow")
                return False
        except Exception as error:  # noqa: BLE001 - what could be tried again was, by the committer
            self._halt(member, error, "committing")
            return False
        return True

    async def acknowledge(self) -> None:
        """Show the server how far all members have committed."""
        if self.members:
            await self.feed.acknowledge(min(member.lane.position.scanned for member in self.members))

    # members that come and go

    def invite(self, guest: Reading) -> None:
        """Take over the one lane of another reading, at the next place where both can be."""
        if guest not in self._guests:
            self._guests.append(guest)

    async def _let_guests_in(self) -> None:
        """A guest may come in where it stands no lower than the members: so it misses no event."""
        guests, self._guests = self._guests, []
        for guest in guests:
            if await guest.come_to(self.position, self._host.back_pressure.patience_s):
                self.members += guest.members
                guest.members = []
                self._takers.clear()

    async def come_to(self, position: int, patience_s: float) -> bool:
        """End this reading once its lane is at a position or behind it; whether that came to be in time."""
        self._awaited_at = position
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._is_there.wait()
        if not self._is_there.is_set():
            self._awaited_at = None
            return False
        return True

    async def _wait_or_detach(self, lane: Lane | None, error: Exception, sequence: int) -> None:
        """An event could not be taken by a lane; without one, it could not even be read.

        Where a store could not be read, a lane by itself waits and takes the event again, and one among others is
        detached. From anything else it halts.
        """
        doing = f"folding event {sequence}"
        if lane is None and len(self.members) > 1:
            log_fault(error, doing)
            raise contained(error, doing)
        member = next((one for one in self.members if lane in (one.lane, None)), None)
        if member is None:
            return  # it was detached meanwhile, for another reason
        if not isinstance(error, StorageError) or isinstance(error, StorageDamagedError):
            self._halt(member, error, doing)
        elif len(self.members) > 1:
            self._detach(member, error.message)
        else:
            self._breaker.failed(error)
            await _first_of(self._breaker.admit(), self._host.stopping.wait())

    def _spare_the_others(self) -> None:
        """Where the programs cannot keep up with the log and one does most of the work, detach it."""
        began, before = self._window
        seconds = monotonic() - began
        if seconds < self._host.back_pressure.patience_s:
            return
        used = {member.lane: member.lane.gas - before.get(member.lane, member.lane.gas) for member in self.members}
        self._window = monotonic(), {member.lane: member.lane.gas for member in self.members}
        heaviest = max(self.members, key=lambda member: used[member.lane], default=None)
        if heaviest is None or len(self.members) == 1 or 2 * sum(used.values()) * _GAS_S < seconds:
            return
        if 2 * used[heaviest.lane] > sum(used.values()):
            self._detach(heaviest, "its program takes most of the time")

    async def _is_one_log(self) -> bool:
        """Whether the log is that of every member; asked when the feed was opened, for some may be ahead of it."""
        while self._openings != self.feed.openings and not self._host.stopping.is_set():
            opening = self.feed.openings
            try:
                for member in list(self.members):
                    try:
                        await self.feed.check(member.lane.here(member.lane.position.stream))
                    except StreamIdentityError as error:
                        self._halt(member, error, "reading")
                self._openings, self._unchecked = opening, None
            except StreamError as error:
                self._unchecked = error
                self._host.changed()
                await _first_of(asyncio.sleep(_PERSIST_S), self._host.stopping.wait())
        return self._openings == self.feed.openings

    def reads(self, lane: Lane) -> bool:
        """Whether a lane reads here."""
        return any(member.lane is lane for member in self.members)

    def dismiss(self, lane: Lane) -> None:
        """Let a lane go for good, if it reads here."""
        for member in list(self.members):
            if member.lane is lane:
                self._remove(member)

    def _note_halts(self) -> None:
        for member in list(self.members):
            if member.lane.halted is not None:
                self._remove(member)
                self._host.finish(member)

    def _halt(self, member: Committer, error: Exception, doing: str) -> None:
        if self._remove(member):
            self._host.halt(member.lane, error, doing)

    def _detach(self, member: Committer, reason: str) -> None:
        if self._remove(member):
            self._host.detach(member, reason)

    def _remove(self, member: Committer) -> bool:
        """Whether it was a member: the node may have dismissed it meanwhile."""
        if member not in self.members:
            return False
        self.members.remove(member)
        self._takers.clear()
        return True


async def _first_of(one: Coroutine[object, object, object], other: Coroutine[object, object, object]) -> None:
    """Wait for either; the other is ended."""
    tasks = {asyncio.ensure_future(one), asyncio.ensure_future(other)}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
