"""Indexes of a lane's views: what is declared, what the store keeps, and the entries of a view."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self, TypeAlias

from projection.model.escaping import escape_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.ids import TenantId


class IndexKey(NamedTuple):
    """One key of an index: where it is in the view, its direction, and the type of what is there."""

    path: tuple[str, ...]
    descending: bool
    type: str


DeclaredIndex: TypeAlias = tuple[IndexKey, ...]


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index as a store keeps it; used by queries once it is `built`."""

    number: int  # from 1 on, never used again in this store
    keys: DeclaredIndex
    built: bool
    progress: str | None = None  # of one that is not built: the last view key whose entries are there


@dataclass(frozen=True, slots=True)
class StoredIndexes:
    """All indexes of a store, and those whose entries are still to be deleted."""

    indexes: tuple[StoredIndex, ...] = ()
    dropped: tuple[int, ...] = ()
    last_number: int = 0
    EMPTY: ClassVar[StoredIndexes]

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
                    tuple(IndexKey(tuple(path), descending, type_) for path, descending, type_ in one["keys"]),
                    one["built"],
                    one["progress"],
                )
                for one in fields["indexes"]
            )
            return cls(indexes, tuple(fields["dropped"]), fields["last_number"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{data[:80]!r} is no record of indexes") from error


StoredIndexes.EMPTY = StoredIndexes()


def index_prefix(number: int, tenant_id: TenantId | None = None) -> bytes:
    """What the entries of an index begin with, and no others: of one tenant, or of all."""
    prefix = b"index:%d:" % number
    return prefix if tenant_id is None else prefix + escape_part(tenant_id).encode() + b":"
