"""Reading a lane's store in LMDB, in any process of the host."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Self, TypeVar

from projection.model.checkpoint import Checkpoint
from projection.model.keys import VIEWS, CheckpointKey, ViewKey
from projection.model.parked import parked_digest
from projection.model.state_digest import StateDigest, entry_digest
from projection.store.format import Kind, check_stamp
from projection.store.lmdb_opening import open_still, open_to_read
from projection.store.port import Audit
from projection.store.ranges import after, counted, entries_below, entries_between
from projection.store.records import (
    EPOCH,
    OF_LANE,
    PARKED,
    VIEW_COUNT,
    decode_parked,
    parked_prefix,
)
from projection.store.snapshot import (
    LmdbSnapshot,
    declared_indexes,
    stored_digest,
    stored_identity,
    stored_number,
    stored_position,
    stored_suspensions,
    stored_unrecorded,
    unreadable,
    used_bytes,
)
from projection.store.streamed_copy import StreamedCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.parked import ParkedEvent, Suspension, Unrecorded
    from projection.store.indexes import DeclaredIndex, StoredIndex
    from projection.store.lmdb_env import Environment, EnvironmentFigures

_Lane = TypeVar("_Lane", bound="LmdbLane")


class LmdbLane:
    """What reader and owner share: reading. Safe to use from several threads."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def snapshot(self) -> LmdbSnapshot:
        """See `ViewReader.snapshot`."""
        return LmdbSnapshot(self._environment)

    def get_view(self, key: ViewKey) -> bytes | None:
        """See `ViewReader.get_view`."""
        return self.get(key.encode())

    def get(self, encoded: bytes) -> bytes | None:
        """See `ViewReader.get`."""
        return self._environment.get(encoded)

    def get_checkpoint(self, key: CheckpointKey) -> Checkpoint | None:
        """See `ViewReader.get_checkpoint`."""
        stored = self._environment.get(key.encode())
        with self._understood():
            return None if stored is None else Checkpoint.model_validate_json(stored)

    def position(self) -> LanePosition:
        """See `ViewReader.position`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_position(transaction)

    def scan(self, tenant_id: TenantId | None, view_type: ViewType) -> Iterator[tuple[ViewKey, bytes]]:
        """See `ViewReader.scan`. The picture is that of the first step; it is given back with the iterator."""
        prefix = VIEWS if tenant_id is None else ViewKey.prefix(tenant_id, view_type)
        with self._understood(), self._environment.read() as transaction:
            for encoded, view in entries_below(transaction, prefix):
                key = ViewKey.parse(encoded.decode())
                if key.view_type == view_type:
                    yield key, view

    def parked(self) -> Iterator[ParkedEvent]:
        """See `ViewReader.parked`. The picture is that of the first step; it is given back with the iterator."""
        with self._understood(), self._environment.read() as transaction:
            for _, stored in entries_below(transaction, PARKED):
                yield decode_parked(stored)

    def parked_for(self, tenant_id: TenantId, view_id: ViewId | None) -> Iterator[ParkedEvent]:
        """Those of `parked` that are parked for one view, or reached none, without a look at the others."""
        with self._understood(), self._environment.read() as transaction:
            for _, stored in entries_below(transaction, parked_prefix(tenant_id, view_id)):
                if (event := decode_parked(stored)).view_id == view_id:  # of a long id, keys hold the begin
                    yield event

    def parked_behind(self, key: bytes | None, prefix: bytes = PARKED) -> Iterator[tuple[bytes, ParkedEvent]]:
        """Those of `parked` whose keys begin with a prefix and come after a key, each with its own; None: all."""
        with self._understood(), self._environment.read() as transaction:
            start = prefix if key is None else key + b"\x00"
            for found, stored in entries_between(transaction, start, after(prefix)):
                yield found, decode_parked(stored)

    def suspensions(self) -> list[Suspension]:
        """See `ViewReader.suspensions`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_suspensions(transaction)

    def unrecorded(self) -> Unrecorded:
        """See `ViewReader.unrecorded`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_unrecorded(transaction)

    def count_views(self) -> int:
        """See `ViewReader.count_views`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_number(transaction, VIEW_COUNT)

    def figures(self) -> EnvironmentFigures:
        """Say how large the store is.

        Raises:
            StorageError: the store cannot be read.
        """
        return self._environment.figures()

    def used_bytes(self) -> int:
        """What the pages are that the last commit's state is on; the rest of the file is free, or keeps count of that.

        Raises:
            StorageError: the store cannot be read.
        """
        with self._environment.read() as transaction:
            return used_bytes(transaction)

    def digest(self) -> StateDigest:
        """See `ViewReader.digest`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_digest(transaction)

    def fold_identity(self) -> str:
        """See `ViewReader.fold_identity`."""
        with self._understood(), self._environment.read() as transaction:
            return stored_identity(transaction)

    def audit(self, seen: Callable[[int], object] | None = None) -> Audit:
        """See `ViewReader.audit`. Keeps the pages of that picture from being used again as long as it takes.

        Args:
            seen: told now and then how many more entries were read.
        """
        with self._understood(), self._environment.read() as transaction:
            views, of_views = _summed(counted(entries_below(transaction, VIEWS), seen), entry_digest)
            parked, of_parked = _summed(
                counted(entries_below(transaction, PARKED), seen),
                lambda _, stored: parked_digest(decode_parked(stored)),
            )
            suspended = stored_suspensions(transaction)
            not_kept = sum(one.digest for one in suspended) + stored_unrecorded(transaction).digest
            return Audit(
                position=stored_position(transaction),
                fold_identity=stored_identity(transaction),
                digest=stored_digest(transaction),
                recomputed=StateDigest.EMPTY.plus(of_views + of_parked + not_kept),
                view_count=stored_number(transaction, VIEW_COUNT),
                views=views,
                parked=parked,
                suspended=suspended,
            )

    def count_entries(self) -> int:
        """How many entries the store has, of views and of everything else.

        Raises:
            StorageError: the store cannot be read.
        """
        with self._environment.read() as transaction:
            return int(transaction.stat()["entries"])

    def indexes_when(self, declared: Sequence[DeclaredIndex]) -> tuple[StoredIndex, ...]:
        """What `declare_indexes` would answer; nothing is written.

        Raises:
            StorageError: the store cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            return declared_indexes(transaction, declared).indexes

    def copy_to(self, path: Path) -> None:
        """Make a compacted copy of one consistent picture, in a new directory: complete and on the disk, or not there.

        Takes as long as the disk takes to write it; reading and writing go on meanwhile. Its owner has to claim it.

        Raises:
            StorageError: there is something at `path`, it cannot be written, or the store cannot be read.
        """
        self._environment.copy_to(path)

    @contextmanager
    def streamed(self) -> Iterator[LaneCopy]:
        """A snapshot to be copied piece by piece; its pages are kept from being used again until the end of the block.

        Raises:
            StorageError: the store cannot be read.
        """
        with self._understood(), self._environment.read() as transaction:
            yield LaneCopy(self._environment, transaction)

    def beside(self, kind: type[_Lane]) -> _Lane:
        """Another view of this store, which this process has open; it is closed with this one."""
        return kind(self._environment)

    def close(self) -> None:
        """See `ViewReader.close`. Waits for reads and writes of other threads; open scans raise at their next step."""
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:  # pydantic's and json's errors are ValueErrors
            raise unreadable(self._environment.path, error) from None


class LaneCopy(StreamedCopy):
    """A snapshot of a lane that is being copied: what it says of itself is what the copy will hold."""

    @property
    def position(self) -> LanePosition:
        """How far the lane is."""
        return stored_position(self.transaction)

    @property
    def digest(self) -> StateDigest:
        """The state digest that the last commit left."""
        return stored_digest(self.transaction)

    @property
    def fold_identity(self) -> str:
        """What it was folded by."""
        return stored_identity(self.transaction)

    @property
    def views(self) -> int:
        """How many views there are."""
        return stored_number(self.transaction, VIEW_COUNT)

    @property
    def fingerprint(self) -> str:
        """Hex; equal for two snapshots of one build that hold the same. Who may write to it makes no difference."""
        digest = sha256()
        for key, value in entries_below(self.transaction, OF_LANE):
            if key != EPOCH:
                digest.update(b"%d:%d:" % (len(key), len(value)) + key + value)
        return digest.hexdigest()


class LmdbViewReader(LmdbLane):
    """Implements `ViewReader`, for any process but the writing one: LMDB opens an environment once in a process."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a lane's store for reading, while another process may be writing it.

        Raises:
            StorageDamagedError: the data file is not LMDB's, or damaged, or the power went before it was on the disk.
            StorageError: there is no store, it is of another format version, or it cannot be read.
        """
        return cls._checked(open_to_read(path))

    @classmethod
    def open_still(cls, path: Path) -> Self:
        """Open a store that nobody writes to, such as a copy; nothing is written beside it.

        Raises:
            StorageDamagedError, StorageError: as in `open`.
        """
        return cls._checked(open_still(path))

    @classmethod
    def _checked(cls, environment: Environment) -> Self:
        with environment.closed_on_error(), environment.read() as transaction:
            check_stamp(transaction, Kind.LANE, environment.path)
        return cls(environment)


def _summed(entries: Iterable[tuple[bytes, bytes]], digest: Callable[[bytes, bytes], int]) -> tuple[int, int]:
    """Count entries, and add up their digests."""
    count = total = 0
    for key, value in entries:
        count += 1
        total += digest(key, value)
    return count, total
