"""The store's port: what a lane reads, and the one call by which it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from projection.errors import StaleCommitError
from projection.model.state_digest import StateDigest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from projection.model.checkpoint import Checkpoint, LanePosition
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.keys import CheckpointKey, ViewKey
    from projection.model.parked import ParkedEvent


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one batch changes; it is written whole or not at all."""

    epoch: int  # the owner's, from `claim`
    base: LanePosition  # the position that the batch was computed from
    position: LanePosition  # the position after it
    views: Mapping[bytes, bytes | None] = field(default_factory=dict)  # JSON by `ViewKey.encode`; None deletes a view
    checkpoints: Mapping[CheckpointKey, Checkpoint] = field(default_factory=dict)
    parked: Sequence[ParkedEvent] = ()
    released: Sequence[tuple[TenantId, ViewId]] = ()  # deleted views: what was parked before this commit is discarded
    unparked: Sequence[ParkedEvent] = ()  # taken out of what is parked one by one, before `parked` is added
    digest: StateDigest = StateDigest.EMPTY  # of everything that the store holds after the commit
    fold_identity: str | None = None  # what the store is folded by from here on; None: by what it was

    def is_stored(self, epoch: int, position: LanePosition, digest: StateDigest) -> bool:
        """Whether a store that holds these has the commit already; if not, it may be written.

        A disk may fail after a commit was written, and it is written again; where `position` is `base`, that changes
        nothing more.

        Raises:
            StaleCommitError: the stored epoch is not the owner's, or the stored position not what the batch was
                computed from.
        """
        if self.epoch != epoch:
            raise StaleCommitError(
                f"the lane has a new owner: this commit is of epoch {self.epoch}, the lane's is {epoch}"
            )
        if self.base == position:
            return False
        if self.position == position and self.digest == digest:
            return True
        raise StaleCommitError(f"the batch was computed from {self.base!r}, but the lane is at {position!r}")


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

    @property
    def agrees(self) -> bool:
        """Whether the store holds what its commits left in it."""
        return (self.digest, self.view_count) == (self.recomputed, self.views)


class ViewReader(Protocol):
    """Reading a lane's store; another process may be writing it."""

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

    def delete_prefix(self, tenant_id: TenantId, view_type: ViewType) -> int:
        """Delete one tenant's views of one view type, and its checkpoint, and nothing else; how many views it were.

        Raises:
            StorageError: the store cannot be written; nothing changed.
        """
