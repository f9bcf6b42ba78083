"""Indexes of a lane's views: what is declared, what the store keeps, the entries of a view, and where to look for them.

An entry's key is `index:<number>:<tenant>:` and a *body*: the encodings of the index's keys (`lang/values/ordering.py`,
all bits inverted for `desc`), then the view id, escaped as in the view's key, and 0x00. Its value is the id, escaped.
So the entries of a tenant stand in the order of the index, and views that are equal by it in that of their ids.

A body longer than `MAX_BODY` bytes is *cut*: to so many bytes, and a hash of the whole. Entries that agree up to there
are a *group*, whose order only their views tell.

Where a key leads through lists or sets, a view has an entry for each combination of different values that its keys
have, and none where there is nothing in the list. There each body begins with 0x01; a view that would have more than
`MAX_ENTRIES` has one instead, which begins with 0x00 and stands outside of the order: whoever looks for something in
such an index looks there as well.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import reduce
from hashlib import blake2b
from itertools import product
from math import prod
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeAlias

from projection.lang import types as ty
from projection.lang.values.ordering import PRESENT, inverted, nearest, order_of, ordering, ordering_of
from projection.model.escaping import escape_part
from projection.store.ranges import after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang.check.checker import CheckedProgram
    from projection.model.ids import TenantId

    Part = Callable[[Any], bytes]  # of a view: what one key adds to the body
    Parts = Callable[[Any], list[bytes]]  # the same where a key has several values, or none
    _End = tuple[bytes, bool]  # an encoding, and whether the end is after all that begins with it, or before

ENTRIES = b"index:"  # what the keys of all entries begin with, and no others
MAX_BODY = 256  # bytes: with the longest tenant and the hash the key stays below LMDB's 511
MAX_ENTRIES = 1_000  # of one view in one index
_HASH = 16  # bytes
_OVERFULL, _IN_ORDER = b"\x00", b"\x01"


# --- what is declared and what is kept --------------------------------------------------------------------------------


class IndexKey(NamedTuple):
    """One key of an index."""

    path: tuple[str, ...]  # names of fields, from the view on
    descending: bool
    type: str  # the order of the values there, as `ordering.order_of` names it
    many: bool = False  # whether the path leads through lists or sets: a view may have any number of values there


DeclaredIndex: TypeAlias = tuple[IndexKey, ...]


def described(keys: DeclaredIndex) -> str:
    """What stands behind `index by` in a program."""
    return ", ".join(".".join(key.path) + (" desc" if key.descending else "") for key in keys)


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index as a store keeps it; used by queries once it is `built`."""

    number: int  # from 1 on, never used again in this store
    keys: DeclaredIndex
    built: bool
    progress: str | None = None  # of one that is not built: the last view key whose entries are there

    @property
    def is_multi(self) -> bool:
        """Whether a view may have several entries, or none: then it narrows a search, and gives no order."""
        return any(key.many for key in self.keys)


@dataclass(frozen=True, slots=True)
class StoredIndexes:
    """All indexes of a store, and those whose entries are still to be deleted."""

    indexes: tuple[StoredIndex, ...] = ()
    dropped: tuple[int, ...] = ()
    last_number: int = 0
    EMPTY: ClassVar[StoredIndexes]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be built nor deleted."""
        return not self.dropped and all(index.built for index in self.indexes)

    def declare(self, declared: Sequence[DeclaredIndex], *, is_empty: bool) -> StoredIndexes:
        """These indexes and no others; what is added is built already where the store `is_empty`."""
        wanted = list(dict.fromkeys(declared))
        kept = [index for index in self.indexes if index.keys in wanted]
        known = {index.keys for index in kept}
        added = [
            StoredIndex(self.last_number + place, keys, is_empty)
            for place, keys in enumerate((keys for keys in wanted if keys not in known), 1)
        ]
        gone = [index.number for index in self.indexes if index.keys not in wanted]
        return replace(
            self,
            indexes=tuple(kept + added),
            dropped=(*self.dropped, *gone),
            last_number=self.last_number + len(added),
        )

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
            indexes = tuple(
                StoredIndex(
                    one["number"],
                    tuple(IndexKey(tuple(path), *others) for path, *others in one["keys"]),
                    one["built"],
                    one["progress"],
                )
                for one in fields["indexes"]
            )
            return cls(indexes, tuple(fields["dropped"]), fields["last_number"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{data[:80]!r} is no record of indexes") from error


StoredIndexes.EMPTY = StoredIndexes()


def declared_indexes(checked: CheckedProgram) -> tuple[DeclaredIndex, ...]:
    """The indexes that a program declares, in its order, each once."""
    declared = (
        tuple(_declared_key(checked.view, tuple(path.split(".")), descending) for path, descending in keys)
        for keys in checked.indexes
    )
    return tuple(dict.fromkeys(declared))


def _declared_key(record: ty.Record, path: tuple[str, ...], descending: bool) -> IndexKey:
    type_, lists = _at(record, path)
    return IndexKey(path, descending, order_of(type_), any(lists))


def _at(record: ty.Record, path: tuple[str, ...]) -> tuple[ty.Type, list[bool]]:
    """The type of the values at a path, an optional one where there may be none; and which fields on it are lists."""
    here: ty.Type = record
    lists, may_be_none = [], False
    for name in path:
        if not isinstance(here, ty.Record):
            raise TypeError(f"{here} has no fields")
        here = here.fields[name].type
        if isinstance(here, ty.Optional):
            here, may_be_none = here.inner, True
        lists.append(isinstance(here, (ty.List, ty.Set)))
        if isinstance(here, (ty.List, ty.Set)):
            here, may_be_none = here.item, False  # where there is no list, there are no items
    return (ty.optional(here) if may_be_none else here), lists


# --- the entries of a view --------------------------------------------------------------------------------------------


class Indexer:
    """Makes the entries of views, for all indexes of a store."""

    def __init__(self, indexes: Sequence[StoredIndex], record: ty.Record) -> None:
        """Prepare.

        Args:
            indexes: as the store keeps them.
            record: the view type that they were declared for.
        """
        self.indexes = tuple(indexes)
        self._single = [
            (index_prefix(index.number), [_part(record, key) for key in index.keys])
            for index in indexes
            if not index.is_multi
        ]
        self._multi = [
            (index_prefix(index.number), [_parts(record, key) for key in index.keys])
            for index in indexes
            if index.is_multi
        ]

    def entries(self, view_key: bytes, view: Any) -> dict[bytes, bytes]:
        """The entries of a view, by their keys.

        Args:
            view_key: the view's, encoded.
            view: decoded.
        """
        return {key: value for key, value in self.changes(view_key, None, view).items() if value is not None}

    def changes(self, view_key: bytes, before: Any, after: Any) -> dict[bytes, bytes | None]:
        """The entries that a view's change adds, and those that it takes away; 2 µs for an index of two keys.

        Args:
            view_key: the view's, encoded.
            before: the view as it was, decoded; None where there was none.
            after: as it is; None where it is gone.
        """
        _, tenant, _, view_id = view_key.split(b":", 3)
        last = view_id + b"\x00"
        found: dict[bytes, bytes | None] = {}
        for prefix, parts in self._single:
            old = None if before is None else b"".join([part(before) for part in parts])
            new = None if after is None else b"".join([part(after) for part in parts])
            if old != new:
                start = b"%b%b:" % (prefix, tenant)
                if old is not None:
                    found[start + _cut(old + last)] = None
                if new is not None:
                    found[start + _cut(new + last)] = view_id
        for prefix, several in self._multi:
            start = b"%b%b:" % (prefix, tenant)
            olds, news = _combinations(several, before), _combinations(several, after)
            found |= {start + _cut(old + last): None for old in olds if old not in news}
            found |= {start + _cut(new + last): view_id for new in news if new not in olds}
        return found


def _combinations(several: Sequence[Parts], view: Any) -> dict[bytes, None]:
    """What stands before the id in the bodies of a multi index; a dictionary for the sake of its order."""
    if view is None:
        return {}
    values = [parts(view) for parts in several]
    if prod(map(len, values)) > MAX_ENTRIES:
        return {_OVERFULL: None}
    return dict.fromkeys(_IN_ORDER + b"".join(one) for one in product(*values))


def _part(record: ty.Record, key: IndexKey) -> Part:
    """What a key that has one value adds to the body."""
    encode = ordering(_at(record, key.path)[0])
    get: Callable[[Any], Any] = attrgetter(".".join(key.path))
    if any(isinstance(_at(record, key.path[:depth])[0], ty.Optional) for depth in range(1, len(key.path))):
        get = _through(key.path)
    if key.descending:
        return lambda view: inverted(encode(get(view)))
    return lambda view: encode(get(view))


def _through(path: tuple[str, ...]) -> Callable[[Any], Any]:
    """What leads along a path on which a record may be missing."""
    return lambda view: reduce(lambda here, name: None if here is None else getattr(here, name), path, view)


def _parts(record: ty.Record, key: IndexKey) -> Parts:
    """What a key adds to the bodies where some key leads through lists: each thing once."""
    type_, lists = _at(record, key.path)
    encode, path = ordering(type_), list(zip(key.path, lists, strict=True))
    flip = inverted if key.descending else bytes
    return lambda view: [flip(found) for found in dict.fromkeys(encode(value) for value in _values(view, path))]


def _values(here: Any, path: Sequence[tuple[str, bool]]) -> list[Any]:
    """All values at a path of fields, of which some are lists; where a record is missing, none is the one value."""
    if here is None:
        return [] if any(is_list for _, is_list in path) else [None]
    if not path:
        return [here]
    (name, is_list), *path = path
    if is_list:
        return [value for item in getattr(here, name) or () for value in _values(item, path)]
    return _values(getattr(here, name), path)


def _cut(body: bytes) -> bytes:
    if len(body) <= MAX_BODY:
        return body
    return body[:MAX_BODY] + blake2b(body, digest_size=_HASH).digest()


# --- where entries are ------------------------------------------------------------------------------------------------


def index_prefix(number: int, tenant_id: TenantId | None = None) -> bytes:
    """What the entries of an index begin with, and no others: of one tenant, or of all."""
    prefix = b"%b%d:" % (ENTRIES, number)
    return prefix if tenant_id is None else prefix + escape_part(tenant_id).encode() + b":"


def entry_key(tenant_id: TenantId, index: StoredIndex, body: bytes) -> bytes:
    """The key of the entry that has this body, without the byte that a multi index puts before it."""
    return index_prefix(index.number, tenant_id) + _cut((_IN_ORDER if index.is_multi else b"") + body)


def group_of(key: bytes) -> bytes | None:
    """What all entries have in common that are cut where this one is; None of an entry that is not cut."""
    body = key.split(b":", 3)[3]
    return key[:-_HASH] if len(body) > MAX_BODY else None


def overfull_range(tenant_id: TenantId, index: StoredIndex) -> tuple[bytes, bytes]:
    """Where the views are that have too many values for a multi index: from a key on, and up to before another."""
    start = index_prefix(index.number, tenant_id)
    return start + _OVERFULL, start + _IN_ORDER


class Edge(NamedTuple):
    """One end of a range of values."""

    value: Any
    inclusive: bool = True


def index_range(
    tenant_id: TenantId,
    index: StoredIndex,
    equal: Sequence[Any] = (),
    *,
    lower: Edge | None = None,
    upper: Edge | None = None,
    starts_with: str | None = None,
) -> tuple[bytes, bytes]:
    """Where entries of one tenant are: from a key on, and up to before another.

    All entries are there that fit. Some may be there that do not: where bodies are cut, and where an equal number is
    none of the key's type, for then the nearest one is looked for; so ask the view. An end leaves out none, which is
    neither less nor greater than anything; as an end, a number may be of any type and scale.

    Args:
        tenant_id: whose.
        index: where.
        equal: the values of its first keys.
        lower: least value of the next key; None: there is no such end.
        upper: greatest value of the next key.
        starts_with: what the text of the next key begins with.
    """
    common = (_IN_ORDER if index.is_multi else b"") + b"".join(map(_encoded, index.keys, equal))
    low, high = (b"", False), (b"", True)
    if lower is not None or upper is not None or starts_with is not None:
        low, high = _ends(index.keys[len(equal)], lower, upper, starts_with)
    places = []
    for (data, is_behind), is_stop in ((low, False), (high, True)):
        body = common + data
        is_cut = len(body) > MAX_BODY  # in a group any entry may fit
        key = index_prefix(index.number, tenant_id) + body[:MAX_BODY]
        places.append(after(key) if (is_stop if is_cut else is_behind) else key)
    return places[0], places[1]


def _ends(key: IndexKey, lower: Edge | None, upper: Edge | None, starts_with: str | None) -> tuple[_End, _End]:
    present = PRESENT if key.type.endswith("?") else b""
    encode = ordering_of(key.type)
    low, high = (present, False), (present, True)
    if starts_with is not None:
        text = present + ordering_of("string")(starts_with)[:-1]
        low, high = (text, False), (text, True)
    if lower is not None:
        value, is_same = nearest(key.type, lower.value)
        low = encode(value), not (lower.inclusive and is_same)
    if upper is not None:
        value, is_same = nearest(key.type, upper.value)
        high = encode(value), upper.inclusive or not is_same
    if key.descending:
        return (inverted(high[0]), not high[1]), (inverted(low[0]), not low[1])
    return low, high


def _encoded(key: IndexKey, value: Any) -> bytes:
    data = ordering_of(key.type)(nearest(key.type, value)[0])
    return inverted(data) if key.descending else data
