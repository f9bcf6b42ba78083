"""The index of last changes: for each view of a lane when it changed last, so that a client can ask what is new.

An entry stands at the position of the commit that changed its view, and moves with the next change: there is one a
view, however often it changes. What was deleted keeps its entry, a tombstone, for those who have not heard of it; of
each tenant the last `MAX_TOMBSTONES` are kept.

- `change:{tenant}:{scanned}:{id}`: the entry. A long id is cut, and then the value is the whole id, escaped as in keys.
- `changed:{tenant}:{id}`: where the view's entry stands, with a `-` behind it where that is a tombstone.
- `tombstone:{tenant}:{scanned}:{id}`: the tombstones in the order of their age.
- `tombstones:{tenant}`: how many there are, and where the last one stood that was forgotten: the tenant's horizon.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self

from projection.model.escaping import escape_part, unescape_id, unescape_part
from projection.model.ids import TenantId
from projection.model.keys import VIEWS
from projection.model.state_digest import entry_digest
from projection.store.ranges import after
from projection.store.records import CHANGES, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.store.port import Commit, Snapshot

MAX_TOMBSTONES = 100_000  # of one tenant, 200 bytes or so each; who was away for longer gets everything anew
END = b"\xff"  # sorts after every view id, for no text has this byte
_ENTRIES, POINTERS, _TOMBSTONES, _TENANTS = b"change:", b"changed:", b"tombstone:", b"tombstones:"
PREFIXES = (_ENTRIES, POINTERS, _TOMBSTONES, _TENANTS)  # what all keys of the index begin with, and no others
_DIGITS = 20  # of a stream sequence


class Stage(StrEnum):
    """What a store has of the index."""

    OFF = "off"
    CLEARING = "clearing"  # nothing is recorded; what was is deleted piece by piece
    FILLING = "filling"  # changes are recorded; views that have not changed since are added piece by piece
    ON = "on"  # every view has its entry


@dataclass(frozen=True, slots=True)
class ChangeIndex:
    """A store's record of its index of changes."""

    stage: Stage = Stage.OFF
    wanted: bool = False  # whether it is to be filled once it is cleared
    generation: int = 0  # positions of another generation say nothing: changes were not recorded in between
    since: int = 0  # where the entries of views stand that have not changed since it was switched on
    progress: str | None = None  # while filling: the last view key that was looked at
    OFF: ClassVar[ChangeIndex]

    @property
    def is_recorded(self) -> bool:
        """Whether commits record what they change."""
        return self.stage in (Stage.FILLING, Stage.ON)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be filled or cleared."""
        return self.stage in (Stage.OFF, Stage.ON)

    def declare(self, *, wanted: bool, scanned: int, is_empty: bool) -> ChangeIndex:
        """Switched on or off; `scanned` is the lane's position, and in an empty store there is nothing to fill."""
        if self.stage is Stage.CLEARING or not wanted:
            return replace(self, wanted=wanted, stage=Stage.CLEARING) if self.stage is not Stage.OFF else self
        return self if self.is_recorded else self._begun(scanned, is_empty=is_empty)

    def cleared(self, scanned: int) -> ChangeIndex:
        """Nothing is left of what was recorded."""
        return self._begun(scanned) if self.wanted else replace(self, stage=Stage.OFF)

    def _begun(self, scanned: int, *, is_empty: bool = False) -> ChangeIndex:
        return ChangeIndex(Stage.ON if is_empty else Stage.FILLING, True, self.generation + 1, scanned)

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The inverse of `encode`.

        Raises:
            ValueError: the bytes are no such record.
        """
        try:
            fields = json.loads(data)
            return cls(**{**fields, "stage": Stage(fields["stage"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{data[:80]!r} is no record of changes") from error


ChangeIndex.OFF = ChangeIndex()
_decoded = lru_cache(maxsize=256)(ChangeIndex.decode)  # every commit and every look of a client asks


class Records(Protocol):
    """What a back end lends for a transaction."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None where there is none."""

    def put(self, key: bytes, value: bytes) -> object:
        """Set the value of a key."""

    def delete(self, key: bytes) -> object:
        """Take a key away, if it is there."""

    def entries(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with `start` ≤ key < `stop`, in key order."""

    def delete_below(self, prefix: bytes, most: int) -> int:
        """Delete the first keys that begin with `prefix`, at most so many; how many it were."""


class Change(NamedTuple):
    """A view that changed; whether it is there still, the view itself tells."""

    scanned: int  # the position of the commit that changed it last
    part: bytes  # what tells it from others of that position: the id as it stands in the entry's key
    view_id: str


# reading


def change_index(found: Snapshot | Records) -> ChangeIndex:
    """The store's record.

    Raises:
        ValueError: it cannot be read.
    """
    stored = found.get(CHANGES)
    return ChangeIndex.OFF if stored is None else _decoded(stored)


def horizon(found: Snapshot, tenant_id: TenantId) -> int:
    """Up to which position deletions of a tenant's views may be forgotten; 0 where none is."""
    return _tombstones(found, escape_part(tenant_id).encode())[1]


def changes_after(snapshot: Snapshot, tenant_id: TenantId, scanned: int, part: bytes = END) -> Iterator[Change]:
    """A tenant's changes behind this place, in the order of positions; of one position, in that of `part`."""
    prefix = b"%b%b:" % (_ENTRIES, escape_part(tenant_id).encode())
    start = b"%b%0*d:%b\0" % (prefix, _DIGITS, scanned, part)
    for key, value in snapshot.entries(start, after(prefix)):
        position, of_id = key[len(prefix) :].split(b":", 1)
        yield Change(int(position), of_id, unescape_id((value or of_id).decode()))


def tenants_with_changes(snapshot: Snapshot) -> Iterator[TenantId]:
    """All tenants of which something has changed since the index was switched on, in the order of their keys."""
    start = _ENTRIES
    while (key := next(iter(snapshot.keys(start, after(_ENTRIES))), None)) is not None:
        tenant = key.split(b":", 2)[1]
        yield TenantId(unescape_part(tenant.decode()))
        start = after(b"%b%b:" % (_ENTRIES, tenant))


def disagreements(snapshot: Snapshot) -> list[str]:
    """What the index should not say, a sentence each; none where it is sound, or not complete at the moment."""
    if change_index(snapshot).stage is not Stage.ON:
        return []
    views, present, entries, leading, tombstones, leading_to_deleted = (_Total() for _ in range(6))
    for key, _ in snapshot.entries(VIEWS, after(VIEWS)):
        _, tenant, _, view_id = key.split(b":", 3)
        views.add(b"%b:%b" % (tenant, shortened(view_id)))
    for key, place in snapshot.entries(POINTERS, after(POINTERS)):
        _, tenant, part = key.split(b":", 2)
        at = b"%b:%b:%b" % (tenant, place[:_DIGITS], part)
        leading.add(at)
        if place.endswith(b"-"):
            leading_to_deleted.add(at)
        else:
            present.add(b"%b:%b" % (tenant, part))
    for prefix, total in ((_ENTRIES, entries), (_TOMBSTONES, tombstones)):
        for key, _ in snapshot.entries(prefix, after(prefix)):
            total.add(key[len(prefix) :])
    return [
        f"its index of changes has {one.count:,} {what}, which are not the {other.count:,} {wanted}"
        for one, other, what, wanted in (
            (present, views, "views", "that it holds"),
            (entries, leading, "entries", "that its views lead to"),
            (tombstones, leading_to_deleted, "tombstones", "that deleted views lead to"),
        )
        if one != other
    ]


@dataclass(slots=True)
class _Total:
    """How many there are, and the sum of their digests, which no order changes."""

    count: int = 0
    digests: int = 0

    def add(self, item: bytes) -> None:
        self.count += 1
        self.digests += entry_digest(item, b"")


# writing


def record_changes(records: Records, commit: Commit) -> None:
    """Note in a commit's own transaction which views it changes; does nothing where that is switched off."""
    index = change_index(records)
    if not commit.views or not index.is_recorded:
        return
    scanned = commit.position.scanned
    if scanned == commit.base.scanned:  # an operator's decision changes views and moves nothing: all begin anew
        records.put(CHANGES, replace(index, generation=index.generation + 1).encode())
    gained: dict[bytes, int] = {}  # tombstones, by tenant
    for key in sorted(commit.views):
        _, tenant, _, view_id = key.split(b":", 3)
        grown = _move(records, tenant, view_id, scanned, is_deleted=commit.views[key] is None)
        if grown:
            gained[tenant] = gained.get(tenant, 0) + grown
    for tenant, grown in gained.items():
        count, forgotten = _tombstones(records, tenant)
        count += grown
        if count > MAX_TOMBSTONES:
            forgotten = _forget(records, tenant, count - MAX_TOMBSTONES)
            count = MAX_TOMBSTONES
        records.put(_TENANTS + tenant, b"%d %d" % (count, forgotten))


def _move(records: Records, tenant: bytes, view_id: bytes, scanned: int, *, is_deleted: bool) -> int:
    """Put a view's entry where it belongs now; how many tombstones more there are."""
    part = shortened(view_id)
    pointer = b"%b%b:%b" % (POINTERS, tenant, part)
    before = records.get(pointer)
    was_deleted = before is not None and before.endswith(b"-")
    if is_deleted and (before is None or was_deleted):
        return 0  # it came and went between two commits: nobody has seen it
    if before is not None:
        at = b"%b:%b:%b" % (tenant, before[:_DIGITS], part)
        records.delete(_ENTRIES + at)
        if was_deleted:
            records.delete(_TOMBSTONES + at)
    at = b"%b:%0*d:%b" % (tenant, _DIGITS, scanned, part)
    records.put(_ENTRIES + at, b"" if part == view_id else view_id)
    records.put(pointer, b"%0*d%b" % (_DIGITS, scanned, b"-" if is_deleted else b""))
    if is_deleted:
        records.put(_TOMBSTONES + at, b"")
    return is_deleted - was_deleted


def _forget(records: Records, tenant: bytes, count: int) -> int:
    """Take away a tenant's oldest tombstones; where the last of them stood."""
    prefix = b"%b%b:" % (_TOMBSTONES, tenant)
    position = b"0"
    for key, _ in list(islice(records.entries(prefix, after(prefix)), count)):
        position, part = key[len(prefix) :].split(b":", 1)
        records.delete(key)
        records.delete(b"%b%b:%b:%b" % (_ENTRIES, tenant, position, part))
        records.delete(b"%b%b:%b" % (POINTERS, tenant, part))
    return int(position)


def _tombstones(found: Snapshot | Records, tenant: bytes) -> tuple[int, int]:
    count, forgotten = (found.get(_TENANTS + tenant) or b"0 0").split()
    return int(count), int(forgotten)


def declare_changes(records: Records, scanned: int, *, wanted: bool, is_empty: bool) -> None:
    """Switch the index on or off."""
    before = change_index(records)
    declared = before.declare(wanted=wanted, scanned=scanned, is_empty=is_empty)
    if declared != before:
        records.put(CHANGES, declared.encode())


def build_changes(records: Records, scanned: int, entries: int) -> bool:
    """Go through so many views or entries, to fill or to clear the index; whether there is more to do."""
    index = change_index(records)
    if index.is_settled:
        return False
    work = _clear_some if index.stage is Stage.CLEARING else _fill_some
    index = work(records, index, scanned, entries)
    records.put(CHANGES, index.encode())
    return not index.is_settled


def _clear_some(records: Records, index: ChangeIndex, scanned: int, entries: int) -> ChangeIndex:
    for prefix in (_ENTRIES, POINTERS, _TOMBSTONES, _TENANTS):
        entries -= records.delete_below(prefix, entries)
        if entries == 0:
            return index
    return index.cleared(scanned)


def _fill_some(records: Records, index: ChangeIndex, _scanned: int, views: int) -> ChangeIndex:
    start = VIEWS if index.progress is None else index.progress.encode() + b"\0"
    keys = [key for key, _ in islice(records.entries(start, after(VIEWS)), views)]
    for key in keys:
        _, tenant, _, view_id = key.split(b":", 3)
        if records.get(b"%b%b:%b" % (POINTERS, tenant, shortened(view_id))) is None:  # else it has changed since
            _move(records, tenant, view_id, index.since, is_deleted=False)
    if len(keys) < views:
        return replace(index, stage=Stage.ON, progress=None)
    return replace(index, progress=keys[-1].decode())


def forget_tenant(records: Records, tenant_id: TenantId) -> None:
    """Take away what is recorded of a tenant, whose views are deleted all at once: everybody begins anew."""
    index = change_index(records)
    tenant = escape_part(tenant_id).encode()
    for prefix in (_ENTRIES, POINTERS, _TOMBSTONES):
        below = b"%b%b:" % (prefix, tenant)
        while records.delete_below(below, MAX_TOMBSTONES):
            pass
    records.delete(_TENANTS + tenant)
    if index.is_recorded:
        records.put(CHANGES, replace(index, generation=index.generation + 1).encode())
