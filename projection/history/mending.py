"""What differs between a build's store and a fold of some of its views aside, and the one commit that puts it right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.errors import DecodeError
from projection.history.changes import changes
from projection.model.escaping import escape_id
from projection.model.keys import VIEWS, ViewKey, encoded_view_key, is_key_too_long
from projection.model.parked import Disposition, Unrecorded, parked_digest
from projection.model.state_digest import entry_digest
from projection.store.indexes import Indexer, index_prefix
from projection.store.port import Commit
from projection.store.ranges import after
from projection.store.records import parked_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projection.history.aside import FoldAside
    from projection.model.checkpoint import Checkpoint
    from projection.model.ids import TenantId, ViewId
    from projection.model.keys import CheckpointKey
    from projection.model.parked import ParkedEvent, Suspension
    from projection.model.state_digest import StateDigest
    from projection.store.lmdb_reader import LmdbLane
    from projection.store.port import Audit, Snapshot

_SHOWN = 100  # views that are told one by one
_UNREADABLE = "(all of it: what was stored cannot be read)"


@dataclass(frozen=True, slots=True)
class DifferentView:
    """A view that the store holds otherwise than its events make it."""

    view_id: ViewId
    fields: tuple[str, ...]  # paths that differ; none where the view was missing, or should not be there
    stored: bool  # whether the store held one
    made: bool  # whether there should be one


@dataclass(frozen=True, slots=True)
class Differences:
    """What a store holds otherwise; and what has to be written."""

    compared: int  # views
    views: int  # that differ
    grown: int  # how many views more there are when all is put right
    shown: tuple[DifferentView, ...]  # the first of them
    parked: int  # parked events, of the store or of the fold, that the other one lacks
    suspended: int  # suspensions likewise
    entries: int  # of indexes
    commit: Commit  # without epoch, digest and count of views, which are still to be said
    gained: int  # what the digest of what is stored gains by it
    is_whole: bool  # whether all that a build holds was compared

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        commit = self.commit
        of_views = commit.views or commit.entries or commit.checkpoints
        of_parking = commit.parked or commit.unparked or commit.suspended or commit.released or commit.unreached
        return bool(of_views or of_parking or commit.unrecorded)


class _Side:
    """What is parked, skipped and suspended for some targets."""

    def __init__(
        self, parked: Iterable[ParkedEvent], suspensions: Iterable[Suspension], unrecorded: Unrecorded
    ) -> None:
        found = {parked_key(one): one for one in parked}
        self.parked = {key: one for key, one in found.items() if one.disposition is Disposition.PARKED}
        self.skipped = [one for one in found.values() if one.disposition is Disposition.SKIPPED]
        self.suspended = {(one.tenant_id, one.view_id): one for one in suspensions}
        self.unrecorded = unrecorded

    @property
    def skips(self) -> int:
        """The digest of all that was skipped: how much of it is kept is no part of a fold."""
        return sum(map(parked_digest, self.skipped)) + self.unrecorded.digest


def differences(store: LmdbLane, fold: FoldAside) -> Differences:
    """Compare a store with a fold up to the same event.

    What was recorded as skipped concerns no view, and is counted beyond a limit for the build as a whole. So it is
    compared where everything is, and else left as it is.

    Args:
        store: of the build; nobody writes to it meanwhile.
        fold: of one view, of one tenant, or of everything.

    Raises:
        StorageError: the store cannot be read.
    """
    view_id = fold.view_id
    position = store.position()
    here = _stored(store, fold)
    there = _Side(fold.store.parked(), fold.store.suspensions(), fold.store.unrecorded())
    views: dict[bytes, bytes | None] = {}
    shown: list[DifferentView] = []
    compared = grown = gained = 0
    with store.snapshot() as snapshot:
        entries = _Entries(snapshot, fold)
        for key, stored, made in _pairs(snapshot, fold):
            compared += 1
            entries.add(key, stored, made)
            if stored != made:
                views[key] = made
                grown += (made is not None) - (stored is not None)
                gained += _digest(key, made) - _digest(key, stored)
                if len(shown) < _SHOWN:
                    shown.append(_different(key, stored, made))
        wanted = entries.changed()
    released = [target for target in here.suspended if target not in there.suspended]
    suspended = [one for target, one in there.suspended.items() if here.suspended.get(target) != one]
    unparked = [one for key, one in here.parked.items() if not _is_alike(one, there.parked.get(key))]
    parked = [one for key, one in there.parked.items() if not _is_alike(one, here.parked.get(key))]
    gained += sum(map(parked_digest, parked)) - sum(map(parked_digest, unparked))
    gained += sum(one.digest for one in suspended)
    gained -= sum(one.digest for target, one in here.suspended.items() if there.suspended.get(target) != one)
    unrecorded: Unrecorded | None = None
    if fold.is_whole and here.skips != there.skips:
        unparked, parked, unrecorded = [*unparked, *here.skipped], [*parked, *there.skipped], there.unrecorded
        gained += there.skips - here.skips
        here.skipped = []
    kept = [
        one
        for one in (*there.parked.values(), *here.skipped)  # a release takes all that is there
        if (one.tenant_id, one.view_id) in released and one not in parked
    ]
    commit = Commit(
        epoch=0,
        base=position,
        position=position,
        views=views,
        entries=wanted,
        parked=[*parked, *kept],
        unparked=unparked,
        released=released,
        suspended=suspended,
        checkpoints=_checkpoints(store, fold) if view_id is None else {},
        unreached=_unreached(store, fold, here, there) if view_id is None else {},
        unrecorded=unrecorded,
    )
    return Differences(
        compared,
        len(views),
        grown,
        tuple(shown),
        len(parked) + len(unparked),
        len(released) + len(suspended),
        len(wanted),
        commit,
        gained,
        fold.is_whole,
    )


def digest_after(found: Differences, audit: Audit) -> StateDigest:
    """The digest that the store says of itself from here on.

    Where the store agreed with its digest, the digest has followed what was wrong, and follows what is right. Where it
    did not, damage came below the commits, and perhaps elsewhere, too: the digest stays, so that it goes on telling of
    what is still wrong, unless everything was compared.

    Args:
        found: what is written.
        audit: of the store before.
    """
    follows = found.is_whole or audit.digest == audit.recomputed
    return audit.recomputed.plus(found.gained) if follows else audit.digest


def _stored(store: LmdbLane, fold: FoldAside) -> _Side:
    tenant_id, view_id = fold.tenant_id, fold.view_id
    suspensions = [one for one in store.suspensions() if tenant_id in (None, one.tenant_id)]
    if tenant_id is not None and view_id is not None:
        of_view = [one for one in suspensions if one.view_id == view_id]
        return _Side(store.parked_for(tenant_id, view_id), of_view, Unrecorded())
    parked = (one for one in store.parked() if tenant_id in (None, one.tenant_id))
    return _Side(parked, suspensions, store.unrecorded())


def _pairs(snapshot: Snapshot, fold: FoldAside) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Each view's key with what is stored and what was made; one of these may be None."""
    view_type = fold.deployed.entry.view_type
    if fold.tenant_id is not None and fold.view_id is not None:
        key = encoded_view_key(fold.tenant_id, view_type, fold.view_id)
        stored = made = None
        if not is_key_too_long(key):  # else there is no such view
            stored, made = snapshot.get(key), fold.store.get(key)
        if (stored, made) != (None, None):
            yield key, stored, made
        return
    folded = {key.encode(): view for key, view in fold.store.scan(fold.tenant_id, view_type)}
    prefix = VIEWS if fold.tenant_id is None else ViewKey.prefix(fold.tenant_id, view_type)
    for key, stored in snapshot.entries(prefix, after(prefix)):
        yield key, stored, folded.pop(key, None)
    for key, view in folded.items():
        yield key, None, view


class _Entries:
    """The entries of indexes that views should have, and which of them are otherwise."""

    def __init__(self, snapshot: Snapshot, fold: FoldAside) -> None:
        program, self._fold, self._snapshot = fold.deployed.program, fold, snapshot
        self._decode = program.decode_view
        self._indexer = Indexer(snapshot.indexes, program.checked.view)
        self._prefixes = tuple(index_prefix(one.number, fold.tenant_id) for one in snapshot.indexes if one.built)
        self._wanted: dict[bytes, bytes] = {}
        self._changed: dict[bytes, bytes | None] = {}  # of indexes that are still being built

    def add(self, key: bytes, stored: bytes | None, made: bytes | None) -> None:
        """Take in a view."""
        if not self._indexer.indexes:
            return
        wanted = {} if made is None else self._indexer.entries(key, self._decode(made))
        self._wanted |= {entry: view_id for entry, view_id in wanted.items() if entry.startswith(self._prefixes)}
        if stored == made or len(self._prefixes) == len(self._indexer.indexes):
            return
        try:
            had = {} if stored is None else self._indexer.entries(key, self._decode(stored))
        except DecodeError:  # whatever it had is none of any view's, and queries pass it over
            had = {}
        changed = dict.fromkeys(had) | wanted
        self._changed |= {entry: of for entry, of in changed.items() if not entry.startswith(self._prefixes)}

    def changed(self) -> dict[bytes, bytes | None]:
        """What is to be written: entries to add, and with None entries to take away."""
        only = None if self._fold.view_id is None else escape_id(self._fold.view_id).encode()
        for prefix in self._prefixes:
            for entry, view_id in self._snapshot.entries(prefix, after(prefix)):
                if only in (None, view_id) and self._wanted.get(entry) == view_id:
                    del self._wanted[entry]
                elif only in (None, view_id):
                    self._changed[entry] = None
        return self._changed | self._wanted


def _different(key: bytes, stored: bytes | None, made: bytes | None) -> DifferentView:
    view_id = ViewKey.parse(key.decode()).view_id
    fields: tuple[str, ...] = ()
    if stored is not None and made is not None:
        try:
            fields = tuple(one.path for one in changes(stored, made))
        except ValueError:  # it is no JSON, or no text
            fields = (_UNREADABLE,)
    return DifferentView(view_id, fields, stored is not None, made is not None)


def _digest(key: bytes, view: bytes | None) -> int:
    return 0 if view is None else entry_digest(key, view)


def _is_alike(one: ParkedEvent, other: ParkedEvent | None) -> bool:
    """Whether both are parked, for the same reason; how it is put into words makes no difference."""
    return other is not None and parked_digest(one) == parked_digest(other)


def _checkpoints(store: LmdbLane, fold: FoldAside) -> dict[CheckpointKey, Checkpoint]:
    wanted = ((key, made, store.get_checkpoint(key)) for key, made in fold.checkpoints())
    return {key: made for key, made, stored in wanted if made != stored}


def _unreached(store: LmdbLane, fold: FoldAside, here: _Side, there: _Side) -> dict[TenantId, int]:
    """How many parked events have reached no view, of tenants of which the store says otherwise."""
    stored, wanted = (
        Counter(one.tenant_id for one in side.parked.values() if one.view_id is None) for side in (here, there)
    )
    with store.snapshot() as snapshot:
        return {
            tenant_id: wanted[tenant_id]
            for tenant_id in {*stored, *wanted, *fold.tenants}
            if wanted[tenant_id] != snapshot.unreached(tenant_id)
        }
