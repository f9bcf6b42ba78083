"""Reading a build's store for all tenants: pages of views for a first filling, and what changed behind a position.

No picture of the store is held while somebody else is waited for, but where one step has more to tell than fits in one
piece: LMDB uses no page again that a picture shows.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from projection.model.keys import VIEWS, encoded_view_key, owner_and_id
from projection.query.errors import ChangesOffError
from projection.store.changes import Stage, change_index, changes_after, horizon, tenants_with_changes
from projection.store.ranges import after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId, ViewType
    from projection.query.serving import Served
    from projection.store.changes import ChangeIndex
    from projection.store.port import Snapshot

PIECE_VIEWS = 2_000
PIECE_BYTES = 4 * 1024 * 1024  # of views; one that is larger goes alone


class Found(NamedTuple):
    """A view that changed."""

    tenant_id: str
    view_id: str
    view: bytes | None  # None: it is gone


class Mark(NamedTuple):
    """What a copy of a build's views was made of, and how far it is."""

    build: int
    fold: str  # the identity of the fold, decisions included
    stream: str  # the log that was folded: its name and when it was made
    generation: int  # of the index of changes; positions of another one say nothing
    since: int  # the position at which it had nothing to forget: it began there
    scanned: int  # all changes up to this position are in it


class VoidMarkError(Exception):
    """What a mark says is of no use any more: everything has to be copied anew; the argument is the reason."""


class Head(NamedTuple):
    """Where a build's store stands."""

    mark: Mark
    position: LanePosition


def head(served: Served, view_type: ViewType) -> Head:
    """Where the store stands now, as the mark of a copy that begins here.

    Raises:
        ChangesOffError: the store keeps no changes, or not yet.
        StorageError: it cannot be read.
    """
    with served.reader.snapshot() as snapshot:
        return _head(served, view_type, snapshot)


def page(
    served: Served, view_type: ViewType, mark: Mark, last: bytes | None
) -> tuple[list[tuple[str, str, bytes]], bytes | None]:
    """The views behind a key, by tenant and id, and the key of the last of them; None where no more are there.

    Raises:
        VoidMarkError: the copy that they are for has to begin anew.
        ChangesOffError, StorageError: as in `head`.
    """
    found: list[tuple[str, str, bytes]] = []
    size = PIECE_BYTES
    with served.reader.snapshot() as snapshot:
        _require(mark, _head(served, view_type, snapshot).mark, change_index(snapshot))
        for key, view in islice(snapshot.entries(VIEWS if last is None else last + b"\0", after(VIEWS)), PIECE_VIEWS):
            if size <= 0:
                return found, last
            last = key
            found.append((*owner_and_id(key), view))
            size -= len(view)
    return found, last if len(found) == PIECE_VIEWS else None


class Behind(NamedTuple):
    """What changed behind a mark, up to one position."""

    mark: Mark  # of a copy that has it all
    head: Head  # where the store stood at that moment
    pieces: Iterator[list[Found]]


@contextmanager
def behind(served: Served, view_type: ViewType, mark: Mark) -> Iterator[Behind]:
    """All that changed behind a mark, of one moment.

    Raises:
        VoidMarkError: the copy has to begin anew; also while the pieces are taken.
        ChangesOffError, StorageError: as in `head`.
    """
    with ExitStack() as held:
        snapshot = held.enter_context(served.reader.snapshot())
        here = _head(served, view_type, snapshot)
        _require(mark, here.mark, change_index(snapshot))
        reached = mark._replace(stream=here.mark.stream or mark.stream, scanned=max(mark.scanned, here.mark.scanned))
        yield Behind(reached, here, _pieces(held, snapshot, view_type, mark))


def _pieces(held: ExitStack, snapshot: Snapshot, view_type: ViewType, mark: Mark) -> Iterator[list[Found]]:
    piece: list[Found] = []
    size = PIECE_BYTES
    for tenant_id in tenants_with_changes(snapshot):
        if horizon(snapshot, tenant_id) > mark.scanned:
            raise VoidMarkError("deletions were forgotten since")
        for change in changes_after(snapshot, tenant_id, mark.scanned):
            if len(piece) >= PIECE_VIEWS or size <= 0:
                yield piece
                piece, size = [], PIECE_BYTES
            piece.append(_found(snapshot, tenant_id, view_type, change.view_id))
            size -= len(piece[-1].view or b"")
    held.close()  # before the last piece, which most often is the only one
    yield piece


def _found(snapshot: Snapshot, tenant_id: TenantId, view_type: ViewType, view_id: str) -> Found:
    return Found(tenant_id, view_id, snapshot.get(encoded_view_key(tenant_id, view_type, view_id)))


def _head(served: Served, view_type: ViewType, snapshot: Snapshot) -> Head:
    index = change_index(snapshot)
    if index.stage is not Stage.ON:
        raise ChangesOffError(
            f"view type {view_type} keeps no changes"
            + (" yet: they are being filled in" if index.stage is Stage.FILLING else ""),
            hint="set `changes: true` for it in the manifest, and restart the node",
        )
    position = snapshot.position
    stream = "" if position.stream is None else f"{position.stream.name} {position.stream.created}"
    here = position.scanned
    return Head(Mark(served.number, served.fold_identity, stream, index.generation, here, here), position)


def _require(mark: Mark, here: Mark, index: ChangeIndex) -> None:
    if mark.build != here.build:
        raise VoidMarkError("another build answers")
    if mark.stream and here.stream and mark.stream != here.stream:  # a store has none before its first event
        raise VoidMarkError("another log is folded")
    if mark.fold != here.fold or mark.generation != here.generation or mark.since < index.since:
        raise VoidMarkError("views changed without an event, or changes were not kept for a while")
