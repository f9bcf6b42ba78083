"""A reading: one feed and the lanes that read by it; each message is decoded once for all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import setcontext
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, Any, Protocol

from projection.engine.breaker import CircuitBreaker
from projection.engine.event import event_reader, recorded_parent
from projection.engine.event_log import is_told_of_each
from projection.engine.fault_log import log_fault
from projection.engine.offers import Offers
from projection.engine.sharing import heaviest
from projection.errors import StorageDamagedError, StorageError, StreamError, StreamIdentityError
from projection.faults import contained
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from projection.engine.committer import Committer, Workshop
    from projection.engine.event import Event
    from projection.engine.lane import Lane
    from projection.engine.tracing import Tracing
    from projection.engine.unhandled import Unhandled
    from projection.errors import ProjectionError
    from projection.model.settings import BackPressure
    from projection.stream.port import Batch, Feed, Message

    Told = dict[str, Any]  # what log lines about an event carry

_SLICE_S = 0.02  # of folding, until the connection gets its turn
_GLANCE = 16  # events between two looks at the clock
_PERSIST_S = 0.25  # the longest that a lane which was only looked past keeps that to itself
_MAX_WEIGHT = 64 * 1024 * 1024  # bytes of views that one batch may read or change


class Host(Protocol):
    """What a reading needs of the node around it."""

    workshop: Workshop
    back_pressure: BackPressure
    stopping: asyncio.Event
    unhandled: Unhandled
    tracing: Tracing
    wants_ends: bool  # whether somebody waits for readings to come to the end of the log

    def detach(self, member: Committer, reason: str, told: Told | None = None) -> None:
        """A member holds up the others: it is to read by itself from here on. `told` is of the event that did it."""

    def halt(self, lane: Lane, error: Exception, doing: str, told: Told | None = None) -> None:
        """A lane reads no more, and nothing more of it may be written.

        Args:
            lane: which.
            error: why.
            doing: at what it failed.
            told: what the log says of the event at which it did, if it was at one.
        """

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
        self._offers = Offers(event_reader(deployed.entry, deployed.tenancy).read, lambda: self.members, host.unhandled)
        self._trace = host.tracing.of_reading(self.members)
        self.breaker = CircuitBreaker(host.changed)  # of reading a store, while there is one member
        self._guests: list[Reading] = []  # readings of one lane, near enough to join this one
        self._awaited_at: int | None = None  # where this one, a guest, is waited for
        self._is_there = asyncio.Event()
        self._openings = 0  # of the feed, when the log was held against the members
        self._unchecked: StreamError | None = None  # why the log could not be held against them
        self._unfolded = 0  # messages of the batch under way
        self._decoding_s = self._folding_s = 0.0  # that the batch under way took so far
        self._latest: Sequence[Event] = ()  # events that were folded last
        self._window: tuple[float, dict[Lane, int]] = (monotonic(), {})

    @property
    def left(self) -> int | None:
        """How many messages are still to be folded; None while that is not known."""
        left = self.feed.left
        return None if left is None else left + self._unfolded

    @property
    def trouble(self) -> ProjectionError | None:
        """Why nothing is read for now."""
        return self.stream_trouble or self.breaker.trouble

    @property
    def stream_trouble(self) -> StreamError | None:
        """Why the log cannot be read for now."""
        return self._unchecked or self.feed.trouble

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
                began = perf_counter()
                batch = await self.feed.next_batch()
                self._unfolded = 0 if batch is None else len(batch.messages)
                if batch is not None and batch.messages:
                    self._trace.received(began)
                    self._received(batch, perf_counter() - began)
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

    def _received(self, batch: Batch, seconds: float) -> None:
        """Measure a batch; `seconds` is how long it took to come."""
        measures = self._host.workshop.measures
        measures.batches.add(len(batch.messages))
        measures.stages["receive"].add(seconds)
        if self.feed.left == 0 and (stored := batch.messages[-1].time).isdecimal():
            measures.log_clock_offset_s = int(stored) / 1e9 - time()

    # folding

    async def _fold(self, batch: Batch) -> None:
        """Offer a batch to the members, in turns with other readings and with commits."""
        for member in self.members:
            member.stream = self.feed.identity
        messages, done = batch.messages, 0
        a_lane_s, worked_s = self._host.back_pressure.work_s, 0.0  # the others' turns are no work of this one
        read_before = self.events
        self._decoding_s = self._folding_s = 0.0
        while done < len(messages) and self.members and not self._host.stopping.is_set():
            before = done
            async with self._host.workshop.turn:
                began, decoding_s = perf_counter(), self._decoding_s
                done, refused = self._fold_some(messages, done)
                worked_s += perf_counter() - began
                self._trace.folded(began, done - before, self._decoding_s - decoding_s)
            self.events, self._unfolded = read_before + done, len(messages) - done
            self._count(messages, before, done, is_refused=refused is not None)
            if done:
                self._move_to(messages[done - 1].sequence, messages[done - 1].time)
            self._note_halts()
            self._spare_the_others()
            if refused is not None:
                await self._wait_or_detach(*refused, messages[done])
            else:
                self.breaker.succeeded()
                if done < len(messages) and (worked_s > a_lane_s * len(self.members) or self._is_heavy()):
                    await self._commit()
                    worked_s = 0.0
            await asyncio.sleep(0)
        self._unfolded = 0  # nobody folds what is left
        if messages:
            self._measure_fold()
        if done == len(messages):
            self._move_to(batch.scanned, batch.scanned_time)

    def _measure_fold(self) -> None:
        stages = self._host.workshop.measures.stages
        recorded = next(filter(None, map(recorded_parent, reversed(self._latest))), None)
        trace_id = "" if recorded is None else recorded.trace  # an exemplar is to lead to a trace that there is
        self._latest = ()
        stages["decode"].add(self._decoding_s, trace_id)
        stages["fold"].add(self._folding_s, trace_id)
        for member in self.members:
            member.trace_id = trace_id or member.trace_id

    def _fold_some(self, messages: Sequence[Message], start: int) -> tuple[int, tuple[Lane | None, Exception] | None]:
        """Offer messages for some milliseconds; how far that came, and which lane could not take the next, and why.

        A message may be offered again: a lane that has taken it passes it over. Without a lane, it could not be read.
        """
        until, done, tells_each = perf_counter() + _SLICE_S, start, is_told_of_each()
        while done < len(messages):
            began = perf_counter()
            events, refused = self._offers.decode(messages[done : done + _GLANCE - (done - 1) % _GLANCE])
            decoded = perf_counter()
            taken, refused_by = self._trace.offer(self._offers.offer, events)
            if tells_each:
                self._offers.tell(events[:taken])
            now, self._latest = perf_counter(), events
            self._decoding_s += decoded - began
            self._folding_s += now - decoded
            done += taken
            if refused_by is not None:
                return done, refused_by
            if refused is not None:
                return done, (None, refused)
            if now > until or self._is_heavy():
                break
        return done, None

    def _count(self, messages: Sequence[Message], start: int, end: int, *, is_refused: bool) -> None:
        """Have the members count what they were offered; of a message that one refused, those that have taken it."""
        for member in self.members:
            member.offered += end - start
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
        self._trace.hand_over()
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
                self._offers.forget()

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

    async def _wait_or_detach(self, lane: Lane | None, error: Exception, message: Message) -> None:
        """An event could not be taken by a lane; without one, it could not even be read.

        Where a store could not be read, a lane by itself waits and takes the event again, and one among others is
        detached. From anything else it halts.
        """
        doing, told = f"folding event {message.sequence}", self._offers.about(message, lane)
        if lane is None and len(self.members) > 1:
            log_fault(error, doing, **told)
            raise contained(error, doing)
        member = next((one for one in self.members if lane in (one.lane, None)), None)
        if member is None:
            return  # it was detached meanwhile, for another reason
        if not isinstance(error, StorageError) or isinstance(error, StorageDamagedError):
            self._halt(member, error, doing, told)
        elif len(self.members) > 1:
            self._detach(member, error.message, told)
        else:
            self.breaker.failed(error)
            await _first_of(self.breaker.admit(), self._host.stopping.wait())

    def _spare_the_others(self) -> None:
        """Where the programs cannot keep up with the log and one does most of the work, detach it."""
        began, before = self._window
        seconds = monotonic() - began
        if seconds < self._host.back_pressure.patience_s:
            return
        used = [member.lane.gas - before.get(member.lane, member.lane.gas) for member in self.members]
        self._window = monotonic(), {member.lane: member.lane.gas for member in self.members}
        if (most := heaviest(used, seconds)) is not None:
            self._detach(self.members[most], "its program takes most of the time")

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

    def _halt(self, member: Committer, error: Exception, doing: str, told: Told | None = None) -> None:
        if self._remove(member):
            self._host.halt(member.lane, error, doing, told)

    def _detach(self, member: Committer, reason: str, told: Told | None = None) -> None:
        if self._remove(member):
            self._host.detach(member, reason, told)

    def _remove(self, member: Committer) -> bool:
        """Whether it was a member: the node may have dismissed it meanwhile."""
        if member not in self.members:
            return False
        self.members.remove(member)
        self._offers.forget()
        return True


async def _first_of(one: Coroutine[object, object, object], other: Coroutine[object, object, object]) -> None:
    """Wait for either; the other is ended."""
    tasks = {asyncio.ensure_future(one), asyncio.ensure_future(other)}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
