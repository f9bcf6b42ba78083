"""The store's port: what a lane reads, and the one call by which it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from projection.errors import StaleCommitError
from projection.model.state_digest import StateDigest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from projection.model.checkpoint import Checkpoint, LanePosition
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.keys import CheckpointKey, ViewKey
    from projection.model.parked import ParkedEvent, Suspension, Unrecorded
    from projection.store.indexes import DeclaredIndex, StoredIndex

    EntriesOf = Callable[[bytes, bytes], Mapping[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one batch changes; it is written whole or not at all."""

    epoch: int  # the owner's, from `claim`
    base: LanePosition  # the position that the batch was computed from
    position: LanePosition  # the position after it
    views: Mapping[bytes, bytes | None] = field(default_factory=dict)  # JSON by `ViewKey.encode`; None deletes a view
    entries: Mapping[bytes, bytes | None] = field(default_factory=dict)  # of indexes, by their keys; None deletes one
    checkpoints: Mapping[CheckpointKey, Checkpoint] = field(default_factory=dict)
    parked: Sequence[ParkedEvent] = ()
    # Deleted views: what was parked for them before this commit is discarded, and they are suspended no more. With None
    # the same for a tenant as a whole, and for what has reached none of its views.
    released: Sequence[tuple[TenantId, ViewId | None]] = ()
    suspended: Sequence[Suspension] = ()  # added after `released`
    unreached: Mapping[TenantId, int] = field(default_factory=dict)  # parked events without a view: all there are now
    unrecorded: Unrecorded | None = None  # skipped events that are not kept: all there are now; None: as before
    unparked: Sequence[ParkedEvent] = ()  # taken out of what is parked one by one, before `parked` is added
    digest: StateDigest = StateDigest.EMPTY  # of everything that the store holds after the commit
    view_count: int | None = None  # views that the store holds after it; None: as many more as the commit adds
    fold_identity: str | None = None  # what the store is folded by from here on; None: by what it was

    def is_stored(self, epoch: int, position: LanePosition, digest: StateDigest) -> bool:
        """Whether a store that holds these has the commit already; if not, it may be written.

        A disk may fail after a commit was written, and it is written again; where `position` is `base`, that changes
        nothing more.

        Raises:
            StaleCommitError: the stored epoch is not the owner's, or the stored position not what the batch was
                computed from.
        """
        require_epoch(self.epoch, epoch)
        if self.base == position:
            return False
        if self.position == position and self.digest == digest:
            return True
        raise StaleCommitError(f"the batch was computed from {self.base!r}, but the lane is at {position!r}")


def require_epoch(epoch: int, stored: int) -> None:
    """Refuse what someone wants to write who is no longer the lane's owner.

    Raises:
        StaleCommitError: the epoch is not the stored one.
    """
    if epoch != stored:
        raise StaleCommitError(f"the lane has a new owner: this is of epoch {epoch}, the lane's is {stored}")


@dataclass(frozen=True, slots=True)
class Audit:
    """What a store says of itself, beside what is counted in it: both in one consistent picture."""

    position: LanePosition
    fold_identity: str
    digest: StateDigest  # as the commits have carried it forward
    recomputed: StateDigest  # of what is there
    view_count: int  # as the commits have carried it forward
    views: int  # that are there
    parked: int  # parked and skipped events that are there
    suspended: Sequence[Suspension] = ()

    @property
    def agrees(self) -> bool:
        """Whether the store holds what its commits left in it."""
        return (self.digest, self.view_count) == (self.recomputed, self.views)


class Snapshot(Protocol):
    """One consistent picture of a lane's store, however long it is looked at; it belongs to one thread.

    Every call may raise a StorageError: the store cannot be read, or was closed meanwhile.
    """

    @property
    def position(self) -> LanePosition:
        """How far the lane had come."""

    @property
    def indexes(self) -> tuple[StoredIndex, ...]:
        """The indexes that the store keeps, built or not yet."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a view's encoded key, or of an index entry's; None where there is none."""

    def entries(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with `start` ≤ key < `stop`, in key order, or in the reverse of it."""

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """The same keys without the values: for counting, and where a value may be large."""

    def has_degraded(self, tenant_id: TenantId) -> bool:
        """Whether some view of the tenant may be degraded; False is certain."""

    def is_degraded(self, tenant_id: TenantId, view_id: ViewId) -> bool:
        """Whether events wait for this view, or it is suspended: it is not what it should be."""

    def is_incomplete(self, tenant_id: TenantId) -> bool:
        """Whether any view of the tenant may lack an event: one has reached no view, or the tenant is suspended."""


class ViewReader(Protocol):
    """Reading a lane's store; another process may be writing it."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One consistent picture. While it is held, its pages are not used again: let go of it soon.

        Raises:
            StorageError: the store cannot be read.
        """

    def get_view(self, key: ViewKey) -> bytes | None:
        """The view's JSON, or None where there is none.

        Raises:
            StorageError: the store cannot be read.
        """

    def get(self, encoded: bytes) -> bytes | None:
        """The same by the encoded key of the view, for those who have it at hand.

        Raises:
            StorageError: the store cannot be read.
        """

    def get_checkpoint(self, key: CheckpointKey) -> Checkpoint | None:
        """A tenant's progress, or None where the lane has applied nothing for it.

        Raises:
            StorageError: the store cannot be read.
        """

    def position(self) -> LanePosition:
        """How far the lane has come; the default position where nothing was committed yet.

        Raises:
            StorageError: the store cannot be read.
        """

    def scan(self, tenant_id: TenantId | None, view_type: ViewType) -> Iterator[tuple[ViewKey, bytes]]:
        """Views in the order of their encoded keys: of one tenant, or of all; one consistent picture.

        Raises:
            StorageError: the store cannot be read.
        """

    def parked(self) -> Iterator[ParkedEvent]:
        """Parked and skipped events in the order of tenant, view id and sequence; one consistent picture.

        Raises:
            StorageError: the store cannot be read.
        """

    def suspensions(self) -> list[Suspension]:
        """Views and tenants for which nothing is folded any more, in the order of their keys.

        Raises:
            StorageError: the store cannot be read.
        """

    def unrecorded(self) -> Unrecorded:
        """Skipped events that are counted and not kept.

        Raises:
            StorageError: the store cannot be read.
        """

    def count_views(self) -> int:
        """How many views the store holds.

        Raises:
            StorageError: the store cannot be read.
        """

    def digest(self) -> StateDigest:
        """The state digest that the last commit left; of views, parked and skipped events.

        Raises:
            StorageError: the store cannot be read.
        """

    def fold_identity(self) -> str:
        """What the store is folded by.

        Raises:
            StorageError: the store cannot be read.
        """

    def audit(self) -> Audit:
        """Go through everything that the store holds, and set it beside what the commits left.

        Raises:
            StorageError: the store cannot be read.
        """

    def close(self) -> None:
        """Give back what the reader holds; idempotent."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class LaneStore(ViewReader, Protocol):
    """A lane's store, opened by its owner."""

    @property
    def is_loading(self) -> bool:
        """Whether commits do not wait for the disk yet, for a build is being folded that does not answer."""

    def end_loading(self) -> None:
        """Have everything on the disk, and commit from here on as the settings say; nobody may write meanwhile.

        Takes as long as the disk takes to write it. Idempotent.

        Raises:
            StorageDamagedError: the disk refused it; the store is discarded when it is opened next.
            StorageError: it cannot be done now; everything is as it was.
        """

    def claim(self) -> int:
        """Raise the epoch by one and return it: from here on no commit of an earlier epoch succeeds.

        Raises:
            StorageError: the store cannot be written.
        """

    def commit(self, commit: Commit, on_written: Callable[[], None] | None = None) -> None:
        """Write a batch in one transaction. To write again what is stored already does nothing.

        Args:
            commit: what to write.
            on_written: called once, in this thread, when only the wait for the disk is left.

        Raises:
            StaleCommitError: the epoch is not the stored one, or the base is not the stored position; nothing changed.
            StorageDamagedError: what is stored cannot be read; to write again does not help.
            StorageError: the store cannot be written; nothing changed, or everything: the same commit may be written
                again. `on_written` may have been called.
        """

    def declare_indexes(self, declared: Sequence[DeclaredIndex]) -> tuple[StoredIndex, ...]:
        """Have these indexes and no others: those that are missing are to be built, unless there is no view yet.

        From here on each commit brings the entries of all of them, whether they are built or not.

        Raises:
            StorageError: the store cannot be written; nothing changed.
        """

    def build_indexes(
        self, epoch: int, entries_of: EntriesOf, views: int, on_written: Callable[[], None] | None = None
    ) -> bool:
        """Bring the indexes some way towards what was declared, in one transaction; whether there is more to do.

        Args:
            epoch: the owner's.
            entries_of: gives, for a view's encoded key and its JSON, the entries of all indexes.
            views: how many views, or entries of an index that is no longer declared, to go through.
            on_written: as in `commit`.

        Raises:
            StaleCommitError: the epoch is not the stored one; nothing changed.
            StorageError: the store cannot be written; nothing changed.
        """

    def declare_changes(self, *, wanted: bool) -> None:
        """Have the index of last changes (`projection/store/changes.py`) or not; in an empty store it is there at once.

        Raises:
            StorageError: the store cannot be written; nothing changed.
        """

    def build_changes(self, epoch: int, entries: int, on_written: Callable[[], None] | None = None) -> bool:
        """Fill or clear the index of last changes some way, in one transaction; whether there is more to do.

        Args:
            epoch: the owner's.
            entries: how many views, or entries that are no longer wanted, to go through.
            on_written: as in `commit`.

        Raises:
            StaleCommitError: the epoch is not the stored one; nothing changed.
            StorageError: the store cannot be written; nothing changed.
        """

    def delete_prefix(self, tenant_id: TenantId, view_type: ViewType) -> int:
        """Delete one tenant's views of one view type, and its checkpoint, and nothing else; how many views it were.

        Raises:
            StorageError: the store cannot be written; nothing changed.
        """
