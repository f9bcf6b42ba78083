"""Cursors: a place in a query's order, sealed, so that only this tenant can go on with only this query from there.

The order of a result is one, whatever plan found it. So a cursor needs no more than sort keys and id of the last view,
and the next page begins behind it, also by another plan.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from projection.query.errors import CursorGoneError, CursorInvalidError
from projection.query.sealing import Seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.model.ids import TenantId

_MAX_KEYS = 2_000  # bytes of sort keys in a cursor: with the longest id it stays below what a query takes
_BEGIN_AGAIN = "start again with the first page"


class Place(msgspec.Struct, frozen=True):
    """Behind which view a page begins."""

    keys: tuple[bytes, ...]  # its sort keys, encoded; inverted where they are descending
    id: bytes  # as in its key


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    build: int
    id: bytes
    keys: tuple[bytes, ...] | bytes  # a digest, where they are too long for a cursor


class Cursors:
    """Makes and reads the cursors of one data folder."""

    def __init__(self, key: bytes) -> None:
        self._seal = Seal(key, "cursor 3")  # ids of store format 2 were in another order: its cursors are refused

    def make(self, place: Place, build: int, tenant_id: TenantId, query: bytes) -> str:
        """The cursor of a place in the results of one tenant's query, which is in its canonical form."""
        is_long = sum(map(len, place.keys)) > _MAX_KEYS
        payload = _Payload(build, place.id, _digest(place.keys) if is_long else place.keys)
        return self._seal.close(msgspec.msgpack.encode(payload), tenant_id.encode(), query)

    def read(
        self,
        cursor: str,
        build: int,
        tenant_id: TenantId,
        query: bytes,
        keys_of: Callable[[bytes], tuple[bytes, ...] | None],
    ) -> Place:
        """The place that a cursor means.

        Args:
            cursor: what a page gave as its `next`.
            build: the one that answers.
            tenant_id: whose query it is.
            query: in its canonical form.
            keys_of: gives the sort keys of the view with an id, as it is now.

        Raises:
            CursorInvalidError: it was not made here, for this tenant and this query.
            CursorGoneError: its build no longer answers; or its view, whose sort keys are too long for a cursor, has
                changed since.
        """
        payload = self._seal.open(cursor, tenant_id.encode(), query)
        if payload is None:
            raise CursorInvalidError(
                "the cursor is not one of this tenant and this query",
                hint="repeat the query as it was, with the cursor that its last page gave; or leave the cursor out",
            )
        found = msgspec.msgpack.decode(payload, type=_Payload)
        if found.build != build:
            raise CursorGoneError(
                f"the cursor belongs to build {found.build}, and build {build} answers now", hint=_BEGIN_AGAIN
            )
        if isinstance(found.keys, tuple):
            return Place(found.keys, found.id)
        keys = keys_of(found.id)
        if keys is None or _digest(keys) != found.keys:
            raise CursorGoneError("the view that the last page ended with has changed since", hint=_BEGIN_AGAIN)
        return Place(keys, found.id)


def _digest(keys: tuple[bytes, ...]) -> bytes:
    digest = blake2b(digest_size=16)
    for key in keys:  # no encoding is the beginning of another
        digest.update(key)
    return digest.digest()
