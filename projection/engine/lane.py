"""A lane: one view type's fold over the log; the unit of order, of checkpoint and of storage.

Events go in one by one, in order; every so often what they changed is made into one commit, a value. Nothing here
waits, nothing here writes, and nothing here knows where events come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.engine.event import with_message
from projection.engine.parking import LaneHaltedError, Parking, Trouble
from projection.engine.tally import SAMPLED, Tally
from projection.engine.view_cache import CACHED_BYTES, CachedView, ViewCache
from projection.errors import DecodeError, ProjectionError, StorageDamagedError
from projection.lang.failures import Failure, key_too_long
from projection.lang.program import Applied, only_deletes
from projection.model.checkpoint import Checkpoint, LanePosition
from projection.model.ids import ViewId
from projection.model.keys import MAX_KEY_BYTES, CheckpointKey, encoded_view_key, is_key_too_long
from projection.model.subjects import matcher
from projection.store.indexes import Indexer, declared_indexes
from projection.store.port import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.engine.event_log import EventLog
    from projection.engine.loading import Loaded
    from projection.engine.parking import ParkedAs
    from projection.lang.program import Step
    from projection.lang.reaction import Reaction
    from projection.model.checkpoint import StreamIdentity
    from projection.model.envelope import Envelope
    from projection.model.ids import TenantId
    from projection.model.parked import ParkedEvent, Suspension
    from projection.store.port import LaneStore
    from projection.stream.port import Message

    Target = tuple[TenantId, str]  # whose view, and its id

_FOLD_ANEW = "move the build's folder away; it is then rebuilt"
_MOST_PARKED_BYTES = 64 * 1024 * 1024  # of one event that is parked for more views than an event may touch
_ERASED = Applied(view=None, data=None, gas=0, alloc=0)


class Lane:
    """Folds events into one store. `gas` and `position` tell how far it has come."""

    def __init__(
        self,
        deployed: DeployedView,
        store: LaneStore,
        *,
        build: int = 0,
        sees_only_own: bool = False,
        shares: Collection[str] = (),
        cached_bytes: int = CACHED_BYTES,
    ) -> None:
        """A lane on a store that no one else writes.

        Args:
            deployed: what to fold.
            store: where to; the lane claims it.
            build: the number of the build, where the catalog has one.
            sees_only_own: whether whoever brings the events brings none outside the lane's subjects.
            shares: the subjects of a reading that it may share with others, which are made for the same ones.
            cached_bytes: of views' JSON that the lane may keep at hand; decoded, they take some times as much.
        """
        self.deployed = deployed
        self.view_type = deployed.entry.view_type
        self.build = build
        self.store = store
        self.shares = frozenset(shares)
        self.halted: ProjectionError | None = None
        self.gas = 0  # used by the programs since the lane was opened
        self.tally = Tally()
        self.loaded: Loaded | None = None  # what it took to fold it, where it did not answer and that was measured
        self.epoch = store.claim()
        self._program = deployed.program
        self._message_parts = deployed.program.message_parts
        self._matches = None if sees_only_own else matcher(deployed.entry.subjects)
        self._parking = Parking(deployed, store)
        self._cache = ViewCache(cached_bytes)
        checked = deployed.program.checked
        self.indexer = Indexer(store.declare_indexes(declared_indexes(checked)), checked.view)
        self.position = store.position()  # as it is stored
        self._scanned = self._counted = self.position.scanned
        self.messages = 0 if self.position == LanePosition() else self.position.messages  # see `LanePosition`
        self._last_applied: Event | None = None
        self._seen: tuple[int, str | None] = (self._scanned, self.position.scanned_time)  # by `move_to`, and when
        self._digest = store.digest()
        self._tenants: dict[TenantId, Event] = {}  # the last event of each tenant in this batch
        self._under_way: Commit | None = None

    def log_events_by(self, event_log: EventLog) -> None:
        """Tell of events that the lane cannot take; by itself it tells nobody."""
        self._parking.event_log = event_log

    # folding

    def reaction(self, aggregate_type: str, event_type: str) -> Reaction | None:
        """What the program does with events of this type; None where it takes none."""
        return self._program.reaction(aggregate_type, event_type)

    def apply(self, event: Event) -> None:
        """Fold one event, whatever it is. After a halt, events are passed over until the lane is opened anew.

        Raises:
            StorageError: a view cannot be read; the event has had no effect and may be applied again.
        """
        envelope = event.envelope
        reaction = None
        if envelope is not None:
            reaction = self._program.reaction(envelope.aggregate_type, envelope.event_type)
        if envelope is None or reaction is not None:
            self.take(event, reaction)
        self.offered((event.message,))
        self.move_to(event.message.sequence, event.message.time)

    def offered(self, messages: Sequence[Message]) -> None:
        """Count messages that the lane was offered, also those of which its program takes nothing."""
        if self.messages is None or not messages:
            return
        before, matches = self._counted, self._matches
        if matches is None and self.halted is None and messages[0].sequence > before:
            self.messages += len(messages)
        else:
            end = messages[-1].sequence if self.halted is None else self._scanned
            new = (one for one in messages if before < one.sequence <= end)
            self.messages += sum(matches is None or matches(one.subject) for one in new)
        self._counted = max(before, messages[-1].sequence)

    def take(self, event: Event, reaction: Reaction | None) -> None:
        """Fold one event that has the program's reaction, or one that is no event at all and has none.

        Raises:
            StorageError: as in `apply`.
        """
        message = event.message
        if message.sequence <= self._scanned or self.halted is not None:
            return
        if self._matches is not None and not self._matches(message.subject):
            return
        if self._message_parts is not None:
            event = with_message(event, self._message_parts)
        try:
            self._fold(event, reaction)
        except LaneHaltedError as halted:
            self.halted = halted
            if self._parking.event_log is not None:
                self._parking.event_log.halted(event, halted)
            return
        self._scanned = message.sequence

    def _fold(self, event: Event, reaction: Reaction | None) -> None:
        envelope = event.envelope
        if self.deployed.drops and self._is_dropped(event):
            pass
        elif envelope is None or reaction is None:
            self._refuse(event, [None], event.error or DecodeError("the event has no envelope"))
        else:
            try:
                payload, targets, gas = reaction.take(envelope.payload, event.meta)
            except (DecodeError, Failure) as error:
                self._refuse(event, self._meant_for(event, envelope, reaction), error)
            else:
                self.gas += gas
                self._touch(event, payload, targets)
        self._last_applied = self._tenants[event.tenant_id] = event

    def _is_dropped(self, event: Event, view_id: str | None = None) -> bool:
        """Whether an operator has decided to leave an event out, at a view or altogether."""
        sequence, tenant_id = event.message.sequence, event.tenant_id
        return any((sequence, tenant_id, one) in self.deployed.drops for one in (None, view_id))

    def _touch(self, event: Event, payload: Any, targets: Mapping[str, Sequence[Step]], *, again: bool = False) -> None:
        """What an event does to views: to all of them, or, when the lane halts, to none."""
        tenant_id, meta = event.tenant_id, event.meta
        if self._parking.tenants and tenant_id in self._parking.tenants:
            targets = {view_id: steps for view_id, steps in targets.items() if only_deletes(steps)}
        changes: list[tuple[CachedView, Applied]] = []
        trouble: Trouble | None = None
        queues, drops = self._parking.queues, self.deployed.drops
        self._cache.asked += len(targets)
        for view_id, steps in targets.items():
            target = (tenant_id, view_id)
            if drops or (queues and target in queues):
                trouble = trouble or Trouble()
                if not self._may_touch(event, target, steps, changes, trouble):
                    self._cache.asked -= 1
                    continue
            try:
                cached = self._cache.get(target) or self._load(target)
                applied = self._program.apply(view_id, steps, payload, meta, cached.view, cached.size)
            except Failure as failure:
                trouble = trouble or Trouble()
                trouble.refused.append((ViewId(view_id), failure))
                continue
            self.gas += applied.gas
            self.tally.add(steps, applied.gas)
            if applied.view is not cached.view:
                changes.append((cached, applied))
                if event.message.sequence % SAMPLED == 0:
                    self.tally.hot_views.saw(target)
        # Only now: a halt at one view id must leave the others as they were.
        if trouble is not None and not self._parking.receive(event, trouble, again=again):
            self._touch(event, payload, targets)  # its tenant is suspended by it, but erasures go on
            return
        for cached, applied in changes:
            self._cache.change(cached, applied.view, applied.data)

    def _may_touch(
        self,
        event: Event,
        target: Target,
        steps: Sequence[Step],
        changes: list[tuple[CachedView, Applied]],
        trouble: Trouble,
    ) -> bool:
        """Whether an event goes on to a view; not where an operator dropped it there, or where others wait.

        An erasure does not wait: it erases the view, if there is one, and what is parked for it.
        """
        if self._is_dropped(event, target[1]):
            return False
        if not self._parking.holds(target):
            return True
        if only_deletes(steps):
            trouble.released.append(target)
            self._cache.asked += 1
            try:
                cached = self._cache.get(target) or self._load(target)
            except Failure:  # the id is too long for a view: what waits for it is all there is to erase
                return False
            if cached.view is not None:
                changes.append((cached, _ERASED))
        else:
            trouble.held.append(ViewId(target[1]))
        return False

    def _load(self, target: Target) -> CachedView:
        encoded = encoded_view_key(target[0], self.view_type, target[1])
        if is_key_too_long(encoded):
            self._cache.asked -= 1  # there is no such view
            raise key_too_long(MAX_KEY_BYTES)
        data = self.store.get(encoded)
        return self._cache.put(target, encoded, None if data is None else self._decoded(encoded, data), data)

    def entries_of(self, encoded: bytes, data: bytes) -> dict[bytes, bytes]:
        """The entries of a stored view in the indexes of the store.

        Raises:
            StorageDamagedError: it is no view of this type.
        """
        return self.indexer.entries(encoded, self._decoded(encoded, data))

    def _decoded(self, encoded: bytes, data: bytes) -> Any:
        try:
            return self._program.decode_view(data)
        except DecodeError as error:  # no program can leave such a view
            raise StorageDamagedError(f"view {encoded.decode()} is damaged: {error.message}", hint=_FOLD_ANEW) from None

    def _meant_for(self, event: Event, envelope: Envelope, reaction: Reaction) -> list[str | None]:
        """The views of an event that fails before it is routed; None for those that are not known.

        The event is kept whole for each of them: where that would be too much, the others count as unknown.
        """
        known = reaction.known_ids(envelope.payload, event.meta)
        size = max(
            len(event.message.data), len(bytes(envelope.payload))
        )  # of a compressed event, the payload is larger
        most = max(self.deployed.entry.limits.ids_per_event, _MOST_PARKED_BYTES // size)
        ids = known.ids[:most]
        return [*ids] if ids and known.complete and ids == known.ids else [*ids, None]

    def _refuse(
        self, event: Event, view_ids: Sequence[str | None], error: ProjectionError, *, again: bool = False
    ) -> None:
        """Do what the policy says with an event that fails before it is routed: at the views that it is meant for."""
        refused = [
            (None if view_id is None else ViewId(view_id), error)
            for view_id in view_ids
            if not self._is_dropped(event, view_id)
        ]
        if refused:
            self._parking.receive(event, Trouble(refused=refused), again=again)

    # what an operator decides about parked events

    @property
    def suspensions(self) -> Sequence[Suspension]:
        """The views and tenants for which nothing is folded any more."""
        return self._parking.suspensions

    def unpark(self, event: ParkedEvent) -> None:
        """Take one stored event out of what is parked."""
        self._parking.discard(event)

    def refold(self, event: Event, view_id: ViewId) -> None:
        """Fold an event that was parked for one view again, for that view; the lane's position stays.

        Raises:
            LaneHaltedError: the policy says halt.
            StorageError: the view cannot be read.
        """
        event = with_message(event, self._message_parts)
        envelope = event.envelope
        if envelope is None or (reaction := self.reaction(envelope.aggregate_type, envelope.event_type)) is None:
            return
        if self._is_dropped(event, view_id):
            return
        try:
            payload, targets, gas = reaction.take(envelope.payload, event.meta)
        except (DecodeError, Failure) as error:
            self._refuse(event, [view_id], error, again=True)
            return
        self.gas += gas
        if view_id in targets:  # else it no longer goes there
            self._touch(event, payload, {view_id: targets[view_id]}, again=True)

    # position

    @property
    def scanned(self) -> int:
        """The last sequence that was folded or passed over, committed or not."""
        return self._scanned

    def here(self, stream: StreamIdentity | None) -> LanePosition:
        """How far the lane has come in this stream, committed or not."""
        applied, applied_time = self.position.applied, self.position.applied_time
        if self._last_applied is not None:
            applied, applied_time = self._last_applied.message.sequence, self._last_applied.message.time
        return LanePosition(
            scanned=self._scanned,
            scanned_time=self._seen[1] if self._seen[0] == self._scanned else applied_time,
            applied=applied,
            applied_time=applied_time,
            stream=stream,
            messages=self.messages if self._scanned else None,  # at its start, a lane says nothing yet
        )

    @property
    def parked(self) -> int:
        """How many events are parked or were skipped."""
        return self._parking.recorded

    @property
    def parked_by_code(self) -> Mapping[ParkedAs, int]:
        """The same by what was done with them, and why."""
        return self._parking.by_code

    @property
    def cache(self) -> ViewCache:
        """The views at hand, to be looked at only."""
        return self._cache

    @property
    def weight(self) -> int:
        """Bytes of views that were read or changed since the last commit; what it bounds is memory."""
        return self._cache.weight

    @property
    def has_changes(self) -> bool:
        """Whether a commit would write more than how far the log was looked at."""
        return bool(self._tenants) or self._parking.has_changes or self._cache.has_changes

    def move_to(self, scanned: int, time: str | None = None) -> None:
        """The feed has looked this far without a gap; `time` is when the log stored what is there."""
        if self.halted is None and scanned > self._scanned:
            self._scanned, self._seen = scanned, (scanned, time)
            self._counted = max(self._counted, scanned)  # what is before its start is never the lane's

    # committing

    def commit(self, stream: StreamIdentity | None) -> None:
        """Write all that was folded since the last commit, and how far the lane is, and wait until it is stored.

        Raises:
            StaleCommitError: someone else owns the store; this lane is over.
            StorageError: the store cannot be written; the next call tries the same commit again.
        """
        if self._under_way is not None:
            self.write()
            self.committed()
        self.seal(stream)
        self.write()
        self.committed()

    def write(self, on_written: Callable[[], None] | None = None) -> None:
        """Write the commit under way, if there is one. May run in another thread, beside a fold.

        LMDB's calls let go of the interpreter and want it back; beside a fold they are slow until `on_written` is
        called. From then on it is the disk that works. `committed` ends the commit, in the thread that folds.

        Raises:
            StaleCommitError: someone else owns the store; this lane is over.
            StorageError: the store cannot be written; the commit is under way still, to be written again.
        """
        if self._under_way is not None:
            self.store.commit(self._under_way, on_written)

    def seal(self, stream: StreamIdentity | None, *, always: bool = False) -> None:
        """Make a commit of all that was folded since the last one, if none is under way and there is something.

        With `always`, there need be nothing: the store is to know by what it is folded from here on.

        May run in another thread, but not beside a fold. A lane that was halted from outside has nothing to write: it
        goes on behind its last commit.
        """
        if self._under_way is not None or (self.halted is not None and not isinstance(self.halted, LaneHaltedError)):
            return
        position = self.here(stream)
        if position == self.position and not self.has_changes and not always:
            return
        sealed = self._cache.seal(self._program.encode_view, self.indexer.changes if self.indexer.indexes else None)
        parking = self._parking.seal()
        self._digest = self._digest.plus(sealed.gained + parking.gained)
        tenants, self._tenants = self._tenants, {}
        self._under_way = Commit(
            epoch=self.epoch,
            base=self.position,
            position=position,
            views=sealed.views,
            entries=sealed.entries,
            checkpoints={
                CheckpointKey(tenant_id, self.view_type): _checkpoint(event) for tenant_id, event in tenants.items()
            },
            parked=parking.parked,
            released=parking.released,
            unparked=parking.unparked,
            suspended=parking.suspended,
            unreached=parking.unreached,
            unrecorded=parking.unrecorded,
            digest=self._digest,
            fold_identity=self.deployed.fold_identity,
        )

    @property
    def under_way(self) -> Commit | None:
        """The commit that is being written; None where there is none."""
        return self._under_way

    def committed(self) -> None:
        """What was written is stored."""
        if self._under_way is not None:
            self.position = self._under_way.position
            self._under_way = None
            self._cache.trim()


def _checkpoint(event: Event) -> Checkpoint:
    envelope = event.envelope
    metadata = {} if envelope is None else {"event_type": envelope.event_type, "timestamp": envelope.timestamp}
    return Checkpoint(sequence=event.message.sequence, metadata=metadata)
