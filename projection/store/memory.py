"""A lane's store in memory: the reference that every other back end is compared with, and what `replay` folds into."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Self

from projection.errors import StorageError
from projection.model.checkpoint import LanePosition
from projection.model.keys import MAX_KEY_BYTES, VIEWS, CheckpointKey, ViewKey
from projection.model.parked import Disposition, Suspension, Unrecorded, parked_digest
from projection.model.state_digest import StateDigest, entry_digest
from projection.store.changes import build_changes, declare_changes, forget_tenant, record_changes
from projection.store.indexes import StoredIndexes, index_prefix
from projection.store.port import Audit, require_epoch
from projection.store.records import parked_key, suspended_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from projection.model.checkpoint import Checkpoint
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.parked import ParkedEvent
    from projection.store.indexes import DeclaredIndex, StoredIndex
    from projection.store.port import Commit, EntriesOf


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """Implements `Snapshot` on a copy."""

    position: LanePosition
    indexes: tuple[StoredIndex, ...]
    held: Mapping[bytes, bytes]
    degraded: Collection[tuple[TenantId, ViewId | None]]  # whose events wait, or who is suspended
    incomplete: Collection[TenantId]

    def get(self, key: bytes) -> bytes | None:
        """See `Snapshot.get`."""
        return self.held.get(key)

    def entries(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot.entries`."""
        found = (item for item in self.held.items() if start <= item[0] < stop)
        yield from sorted(found, reverse=reverse)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """See `Snapshot.keys`."""
        yield from sorted((key for key in self.held if start <= key < stop), reverse=reverse)

    def has_degraded(self, tenant_id: TenantId) -> bool:
        """See `Snapshot.has_degraded`."""
        return any(tenant == tenant_id for tenant, _ in self.degraded)

    def is_degraded(self, tenant_id: TenantId, view_id: ViewId) -> bool:
        """See `Snapshot.is_degraded`."""
        return (tenant_id, view_id) in self.degraded or (tenant_id, None) in self.degraded

    def is_incomplete(self, tenant_id: TenantId) -> bool:
        """See `Snapshot.is_incomplete`."""
        return tenant_id in self.incomplete


class _Records:
    """Implements `changes.Records`: the views can be read, what is recorded can be written too."""

    def __init__(self, views: Mapping[bytes, bytes], recorded: dict[bytes, bytes]) -> None:
        self._views, self._recorded = views, recorded
        self.get = recorded.get
        self.put = recorded.__setitem__

    def delete(self, key: bytes) -> None:
        self._recorded.pop(key, None)

    def entries(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from sorted(
            item for item in chain(self._views.items(), self._recorded.items()) if start <= item[0] < stop
        )

    def delete_below(self, prefix: bytes, most: int) -> int:
        doomed = sorted(key for key in self._recorded if key.startswith(prefix))[:most]
        for key in doomed:
            del self._recorded[key]
        return len(doomed)


class MemoryLaneStore:
    """Implements `LaneStore`; lives and dies with the object, and belongs to one thread."""

    is_loading = False

    def __init__(self, fold_identity: str = "") -> None:
        self._fold_identity = fold_identity
        self._views: dict[bytes, bytes] = {}  # by encoded key
        self._entries: dict[bytes, bytes] = {}  # of indexes
        self._indexes = StoredIndexes.EMPTY
        self._changed: dict[bytes, bytes] = {}  # the index of last changes
        self._records = _Records(self._views, self._changed)
        self._checkpoints: dict[CheckpointKey, Checkpoint] = {}
        self._parked: dict[tuple[TenantId, ViewId | None], dict[int, ParkedEvent]] = {}
        self._suspended: dict[tuple[TenantId, ViewId | None], Suspension] = {}
        self._unrecorded = Unrecorded()
        self._position = LanePosition()
        self._digest = StateDigest.EMPTY
        self._epoch = 0

    @contextmanager
    def snapshot(self) -> Iterator[MemorySnapshot]:
        """See `ViewReader.snapshot`."""
        waiting = {
            target
            for target, queue in self._parked.items()
            if any(event.disposition is Disposition.PARKED for event in queue.values())
        }
        degraded = {target for target in waiting if target[1] is not None} | self._suspended.keys()
        yield MemorySnapshot(
            self._position,
            self._indexes.indexes,
            {**self._views, **self._entries, **self._changed},
            degraded,
            {tenant_id for tenant_id, view_id in waiting | self._suspended.keys() if view_id is None},
        )

    def get_view(self, key: ViewKey) -> bytes | None:
        """See `ViewReader.get_view`."""
        return self.get(key.encode())

    def get(self, encoded: bytes) -> bytes | None:
        """See `ViewReader.get`."""
        return self._views.get(encoded)

    def end_loading(self) -> None:
        """See `LaneStore.end_loading`."""

    def get_checkpoint(self, key: CheckpointKey) -> Checkpoint | None:
        """See `ViewReader.get_checkpoint`."""
        return self._checkpoints.get(key)

    def position(self) -> LanePosition:
        """See `ViewReader.position`."""
        return self._position

    def scan(self, tenant_id: TenantId | None, view_type: ViewType) -> Iterator[tuple[ViewKey, bytes]]:
        """See `ViewReader.scan`."""
        prefix = VIEWS if tenant_id is None else ViewKey.prefix(tenant_id, view_type)
        for encoded, view in sorted(self._below(prefix)):
            key = ViewKey.parse(encoded.decode())
            if key.view_type == view_type:
                yield key, view

    def _below(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return [item for item in self._views.items() if item[0].startswith(prefix)]

    def parked(self) -> Iterator[ParkedEvent]:
        """See `ViewReader.parked`."""
        yield from sorted((event for queue in self._parked.values() for event in queue.values()), key=parked_key)

    def suspensions(self) -> list[Suspension]:
        """See `ViewReader.suspensions`."""
        return [self._suspended[target] for target in sorted(self._suspended, key=lambda one: suspended_key(*one))]

    def unrecorded(self) -> Unrecorded:
        """See `ViewReader.unrecorded`."""
        return self._unrecorded

    def count_views(self) -> int:
        """See `ViewReader.count_views`."""
        return len(self._views)

    def digest(self) -> StateDigest:
        """See `ViewReader.digest`."""
        return self._digest

    def fold_identity(self) -> str:
        """See `ViewReader.fold_identity`."""
        return self._fold_identity

    def audit(self) -> Audit:
        """See `ViewReader.audit`."""
        parked = list(self.parked())
        views = sum(entry_digest(key, view) for key, view in self._views.items())
        events = sum(parked_digest(event) for event in parked)
        suspended = sum(one.digest for one in self._suspended.values())
        return Audit(
            position=self._position,
            fold_identity=self._fold_identity,
            digest=self._digest,
            recomputed=StateDigest.EMPTY.plus(views + events + suspended + self._unrecorded.digest),
            view_count=len(self._views),
            views=len(self._views),
            parked=len(parked),
            suspended=self.suspensions(),
        )

    def claim(self) -> int:
        """See `LaneStore.claim`."""
        self._epoch += 1
        return self._epoch

    def commit(self, commit: Commit, on_written: Callable[[], None] | None = None) -> None:
        """See `LaneStore.commit`."""
        stored = commit.is_stored(self._epoch, self._position, self._digest)
        for key, view in commit.views.items():
            if view is not None and len(key) > MAX_KEY_BYTES:
                raise StorageError(f"the key {key[:40]!r}… is longer than {MAX_KEY_BYTES} bytes")
        if on_written is not None:
            on_written()
        if not stored:
            self._write(commit)

    def _write(self, commit: Commit) -> None:
        # Nothing fails here, so that all of it is written or, before, none.
        for held, changes in ((self._views, commit.views), (self._entries, commit.entries)):
            for key, value in changes.items():
                if value is None:
                    held.pop(key, None)
                else:
                    held[key] = value
        record_changes(self._records, commit)
        self._checkpoints.update(commit.checkpoints)
        for released in commit.released:
            self._parked.pop(released, None)
            self._suspended.pop(released, None)
        self._suspended.update(((one.tenant_id, one.view_id), one) for one in commit.suspended)
        self._unrecorded = commit.unrecorded or self._unrecorded
        for event in commit.unparked:
            self._parked.get((event.tenant_id, event.view_id), {}).pop(event.sequence, None)
        for event in commit.parked:
            self._parked.setdefault((event.tenant_id, event.view_id), {})[event.sequence] = event
        self._position, self._digest = commit.position, commit.digest
        if commit.fold_identity is not None:
            self._fold_identity = commit.fold_identity

    def declare_indexes(self, declared: Sequence[DeclaredIndex]) -> tuple[StoredIndex, ...]:
        """See `LaneStore.declare_indexes`."""
        self._indexes = self._indexes.declare(declared, is_empty=not self._views)
        return self._indexes.indexes

    def build_indexes(
        self,
        epoch: int,
        entries_of: EntriesOf,
        views: int,  # noqa: ARG002 - all at once
        on_written: Callable[[], None] | None = None,
    ) -> bool:
        """See `LaneStore.build_indexes`."""
        require_epoch(epoch, self._epoch)
        kept = tuple(index_prefix(index.number) for index in self._indexes.indexes)
        self._entries = {key: value for key, value in self._entries.items() if key.startswith(kept)}
        for key, view in self._views.items():
            self._entries.update(entries_of(key, view))
        built = tuple(replace(index, built=True) for index in self._indexes.indexes)
        self._indexes = replace(self._indexes, indexes=built, dropped=())
        if on_written is not None:
            on_written()
        return False

    def declare_changes(self, *, wanted: bool) -> None:
        """See `LaneStore.declare_changes`."""
        declare_changes(self._records, self._position.scanned, wanted=wanted, is_empty=not self._views)

    def build_changes(self, epoch: int, entries: int, on_written: Callable[[], None] | None = None) -> bool:
        """See `LaneStore.build_changes`."""
        require_epoch(epoch, self._epoch)
        is_more = build_changes(self._records, self._position.scanned, entries)
        if on_written is not None:
            on_written()
        return is_more

    def delete_prefix(self, tenant_id: TenantId, view_type: ViewType) -> int:
        """See `LaneStore.delete_prefix`."""
        doomed = self._below(ViewKey.prefix(tenant_id, view_type))
        for key, view in doomed:
            del self._views[key]
            self._digest = self._digest.plus(-entry_digest(key, view))
        self._checkpoints.pop(CheckpointKey(tenant_id, view_type), None)
        gone = tuple(index_prefix(index.number, tenant_id) for index in self._indexes.indexes)
        self._entries = {key: value for key, value in self._entries.items() if not key.startswith(gone)}
        forget_tenant(self._records, tenant_id)
        return len(doomed)

    def close(self) -> None:
        """See `ViewReader.close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
