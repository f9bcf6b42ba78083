"""A lane: one view type's fold over the log; the unit of order, of checkpoint and of storage.

Events go in one by one, in order; every so often what they changed goes to the store in one commit. Nothing here waits,
and nothing here knows where events come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from projection.engine.parking import Parking
from projection.errors import DecodeError, ErrorClass, ProjectionError
from projection.lang.failures import Failure, key_too_long
from projection.lang.program import Applied, only_deletes
from projection.model.checkpoint import Checkpoint, LanePosition
from projection.model.ids import ViewId
from projection.model.keys import MAX_KEY_BYTES, CheckpointKey, ViewKey
from projection.model.manifest import Policy
from projection.model.subjects import matcher
from projection.store.port import Commit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.lang.program import Step
    from projection.model.checkpoint import StreamIdentity
    from projection.model.ids import TenantId
    from projection.store.port import LaneStore

    Target = tuple[TenantId, str]  # whose view, and its id

CACHED_VIEWS = 100_000  # kept decoded between batches; the lane is their only writer


_ERASED = Applied(view=None, data=None, gas=0, alloc=0)


class LaneHaltedError(ProjectionError):
    """The lane stopped in front of an event that it may not pass."""

    error_class = ErrorClass.PROGRAM
    default_code = "lane.halted"


class _Cached:
    """A view as the lane knows it: newer than the store's when `changed`."""

    __slots__ = ("changed", "data", "key", "size", "view")

    def __init__(self, key: ViewKey, view: Any, size: int) -> None:
        self.key = key
        self.view = view
        self.size = size  # of its JSON, in bytes; of a view that the program measures
        self.data: bytes | None = None  # its JSON, where that was made anyway
        self.changed = False


@dataclass(slots=True)
class _Effects:
    """What one event does, before any of it is done."""

    changes: list[tuple[_Cached, Applied]] = field(default_factory=list)
    refused: list[tuple[ViewId | None, ProjectionError]] = field(default_factory=list)
    held: list[ViewId] = field(default_factory=list)  # behind parked events of the same view
    released: list[Target] = field(default_factory=list)


class Lane:
    """Folds events into one store. `gas`, `events` and `position` tell how far it has come."""

    def __init__(self, deployed: DeployedView, store: LaneStore, *, sees_only_own: bool = False) -> None:
        """A lane on a store that no one else writes.

        Args:
            deployed: what to fold.
            store: where to; the lane claims it.
            sees_only_own: whether whoever brings the events brings none outside the lane's subjects.
        """
        self.deployed = deployed
        self.view_type = deployed.entry.view_type
        self.store = store
        self.halted: LaneHaltedError | None = None
        self.gas = 0  # used by the programs since the lane was opened
        self._epoch = store.claim()
        self._program = deployed.program
        self._matches = None if sees_only_own else matcher(deployed.entry.subjects)
        self._parking = Parking(deployed, store)
        self._base = self.position = store.position()
        self._scanned, self._applied = self.position.scanned, self.position.applied
        self._applied_time = self.position.applied_time
        self._cache: dict[Target, _Cached] = {}
        self._changed: list[_Cached] = []
        self._tenants: dict[TenantId, Event] = {}  # the last event of each tenant in this batch

    # folding

    def apply(self, event: Event) -> None:
        """Fold one event. After a halt, events are passed over until the lane is opened anew.

        Raises:
            StorageError: a view cannot be read; the batch is to be abandoned.
        """
        sequence = event.message.sequence
        if sequence <= self._scanned or self.halted is not None:
            return
        if self._matches is None or self._matches(event.message.subject):
            try:
                self._fold(event)
            except LaneHaltedError as halted:
                self.halted = halted
                return
        self._scanned = sequence

    def _fold(self, event: Event) -> None:
        if event.error is not None or event.envelope is None:
            error = event.error or DecodeError("the event has no envelope")
            return self._refuse_whole(event, error)
        reaction = self._program.reaction(event.envelope.aggregate_type, event.envelope.event_type)
        if reaction is None:
            return None
        try:
            payload, targets, gas = reaction.take(event.envelope.payload, event.meta)
        except (DecodeError, Failure) as error:
            return self._refuse_whole(event, error)
        self.gas += gas
        effects = _Effects()
        for view_id, steps in targets.items():
            self._touch(event, payload, view_id, steps, effects)
        # Only now: a halt at one view id must leave the others as they were.
        self._refuse_all(event, effects)
        for target in effects.released:
            self._parking.release(target)
        for cached, applied in effects.changes:
            self._change(cached, applied)
        return self._mark(event)

    def _touch(self, event: Event, payload: Any, view_id: str, steps: Sequence[Step], effects: _Effects) -> None:
        """What one event does to one view."""
        target = (event.tenant_id, view_id)
        is_held = self._parking.holds(target)
        if is_held and not only_deletes(steps):
            effects.held.append(ViewId(view_id))
            return
        if is_held:
            effects.released.append(target)
        try:
            cached = self._cached(target)
            # An erasure does not ask whether there is a view: what would have made it may be among the parked.
            applied = (
                _ERASED
                if is_held
                else self._program.apply(view_id, steps, payload, event.meta, cached.view, cached.size)
            )
        except Failure as failure:
            if not is_held:  # else the id is too long for a view: what waits for it is all there is to erase
                effects.refused.append((ViewId(view_id), failure))
            return
        self.gas += applied.gas
        effects.changes.append((cached, applied))

    def _cached(self, target: Target) -> _Cached:
        if (found := self._cache.get(target)) is None:
            key = ViewKey(target[0], self.view_type, ViewId(target[1]))
            if len(key.encode()) > MAX_KEY_BYTES:
                raise key_too_long(MAX_KEY_BYTES)
            data = self.store.get_view(key)
            view = None if data is None else self._program.decode_view(data)
            found = self._cache[target] = _Cached(key, view, len(data or b""))
        return found

    def _change(self, cached: _Cached, applied: Applied) -> None:
        if applied.view is cached.view:
            return
        cached.view, cached.data, cached.size = applied.view, applied.data, len(applied.data or b"")
        if not cached.changed:
            cached.changed = True
            self._changed.append(cached)

    def _mark(self, event: Event) -> None:
        self._applied, self._applied_time = event.message.sequence, event.message.time
        self._tenants[event.tenant_id] = event

    def _refuse_whole(self, event: Event, error: ProjectionError) -> None:
        """An event that reaches no view at all."""
        self._refuse_all(event, _Effects(refused=[(None, error)]))
        self._mark(event)

    def _refuse_all(self, event: Event, effects: _Effects) -> None:
        """Do what the policy says with an event that some views cannot take.

        Raises:
            LaneHaltedError: it says halt, or more would be parked than the lane may hold.
        """
        if not effects.refused and not effects.held:
            return
        where = f"view type {self.view_type}, sequence {event.message.sequence}"
        if effects.refused and self.deployed.entry.on_error is Policy.HALT:
            error = effects.refused[0][1]
            span = self._span(error)
            raise LaneHaltedError(
                f"{where}: {error.code}{f' at {span}' if span else ''}: {error.message}",
                hint="correct the program and deploy it, or let the manifest park or skip such events",
                code=error.code,
            )
        limit = self.deployed.entry.limits.parked
        if self._parking.count + len(effects.refused) + len(effects.held) > limit:
            raise LaneHaltedError(
                f"{where}: {self._parking.count} events are parked, and the lane may hold {limit}",
                hint="see why with `projection show --parked`, and deploy a corrected program",
            )
        for view_id, error in effects.refused:
            self._parking.refuse(event, view_id, error, self._span_in_file(error))
        for view_id in effects.held:
            self._parking.hold(event, view_id)

    def _span(self, error: ProjectionError) -> str | None:
        return self._program.place(error) if isinstance(error, Failure) else None

    def _span_in_file(self, error: ProjectionError) -> str | None:
        """The same by the file's name alone: what is stored may not depend on where a manifest lies."""
        span = self._span(error)
        return None if span is None else PurePath(span).name

    # committing

    @property
    def scanned(self) -> int:
        """The last sequence that was folded or passed over, committed or not."""
        return self._scanned

    @property
    def parked(self) -> int:
        """How many events are parked or were skipped."""
        return self._parking.count

    def move_to(self, scanned: int) -> None:
        """The feed has looked this far without a gap."""
        if self.halted is None:
            self._scanned = max(self._scanned, scanned)

    def commit(self, stream: StreamIdentity | None) -> None:
        """Write what the events since the last commit changed, and how far the lane is. May run in another thread.

        Raises:
            StaleCommitError: someone else owns the store; this lane is over.
            StorageError: the store cannot be written; nothing of the batch was.
        """
        if self._scanned == self._base.scanned and stream == self._base.stream:
            return
        position = LanePosition(
            scanned=self._scanned,
            applied=self._applied,
            applied_time=self._applied_time,
            stream=stream,
        )
        parked, released = self._parking.pending()
        self.store.commit(
            Commit(
                epoch=self._epoch,
                base=self._base,
                position=position,
                views={cached.key: self._encoded(cached) for cached in self._changed},
                checkpoints={
                    CheckpointKey(tenant_id, self.view_type): _checkpoint(event)
                    for tenant_id, event in self._tenants.items()
                },
                parked=parked,
                released=released,
            )
        )
        self._base = self.position = position
        for cached in self._changed:
            cached.changed, cached.data = False, None
        self._changed = []
        self._tenants = {}
        self._parking.committed()
        if len(self._cache) > CACHED_VIEWS:
            for target in list(self._cache)[: len(self._cache) - CACHED_VIEWS // 2]:
                del self._cache[target]

    def _encoded(self, cached: _Cached) -> bytes | None:
        return None if cached.view is None else cached.data or self._program.encode_view(cached.view)


def _checkpoint(event: Event) -> Checkpoint:
    metadata = (
        {}
        if event.envelope is None
        else {
            "event_type": event.envelope.event_type,
            "timestamp": event.envelope.timestamp,
        }
    )
    return Checkpoint(sequence=event.message.sequence, metadata=metadata)
