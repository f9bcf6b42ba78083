"""The one order of a query's results: by the encodings of its sort keys, then by the id as it stands in its key."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang import types as ty
from projection.lang.values.ordering import inverted, ordering
from projection.query.errors import QueryInvalidError
from projection.query.form import pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.query.form import Query
    from projection.query.paths import ViewPath
    from projection.query.schema import ViewSchema


class SortKey(NamedTuple):
    """One thing that views are sorted by."""

    names: tuple[str, ...] | None  # its path as indexes have it; None where no index leads there
    descending: bool
    encode: Callable[[Any], bytes]  # of a view: what an index in this direction has of it


class Order:
    """The order of a query's results. A *place* in it is made of a view's sort keys and its id: bytes that compare."""

    def __init__(self, keys: Sequence[SortKey], *, descending_ids: bool = False) -> None:
        """An order.

        Args:
            keys: that come before the id.
            descending_ids: whether views that are equal by the keys come with the last id first.
        """
        self.keys = tuple(keys)
        self.descending_ids = descending_ids
        self._encoders = [key.encode for key in keys]

    def keys_of(self, view: Any) -> tuple[bytes, ...]:
        """A view's sort keys, encoded."""
        return tuple([encode(view) for encode in self._encoders])

    def place(self, keys: bytes, view_id: bytes) -> bytes:
        """A place, by all keys as one and the id as it stands in its key."""
        return keys + (inverted(view_id + b"\x00") if self.descending_ids else view_id)


def order_of(schema: ViewSchema, query: Query) -> tuple[Order, frozenset[str]]:
    """The order that a query wants, and the fields of a view that it needs.

    Raises:
        QueryInvalidError: a sort key leads nowhere, or to more or other than one value that has an order.
    """
    keys: list[SortKey] = []
    fields: set[str] = set()
    for number, wanted in enumerate(query.sort):
        at = pointer("sort", number)
        path = schema.resolve(wanted.field, at)
        if path.is_id:  # no two views have the same: what would follow decides nothing
            return Order(keys, descending_ids=wanted.desc), frozenset(fields)
        keys.append(_sort_key(path, at, descending=wanted.desc))
        fields.add(str(path.field))
    return Order(keys), frozenset(fields)


def _sort_key(path: ViewPath, at: str, *, descending: bool) -> SortKey:
    if path.is_multi:
        raise QueryInvalidError(
            "views cannot be sorted by what leads through a list: each has many values there",
            hint="name an item by its number, such as lines.0.amount",
            pointer=at,
        )
    if not ty.is_scalar(path.type):
        raise QueryInvalidError(
            f"views cannot be sorted by {path.type}", hint="name a field that has one value", pointer=at
        )
    encode = ordering(ty.Optional(path.type) if path.is_optional else path.type)
    read: Callable[[Any], Any] = path.read
    if len(path.steps) == 1 and path.field is not None:
        read = attrgetter(path.field)  # a third of the time
    if descending:
        return SortKey(path.names, descending, lambda view: inverted(encode(read(view))))
    return SortKey(path.names, descending, lambda view: encode(read(view)))
