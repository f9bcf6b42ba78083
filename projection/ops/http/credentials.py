"""Credentials: what a request shows of whose it is, and what is made of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from projection.ops.http.problems import RequestError

if TYPE_CHECKING:
    from projection.model.ids import TenantId

Headers = Sequence[tuple[bytes, bytes]]  # as they came, names in lower case


class Principal(NamedTuple):
    """Who asks."""

    tenant_id: TenantId | None  # None: nobody's views; empty: the default tenant's
    scopes: frozenset[str]


class Way(Protocol):
    """One way of being let in."""

    def principal(self, headers: Headers) -> Principal:
        """Who a request's headers say it is.

        Raises:
            RequestError: the credentials are missing or not accepted.
        """

    async def look(self) -> None:
        """Take in what has changed outside; called before a request's credentials are asked for."""


def only(headers: Headers, name: bytes) -> bytes | None:
    """The value of a header; None where there is none.

    Raises:
        RequestError: there are two, of which one might be a stranger's.
    """
    found = [value for key, value in headers if key == name]
    if len(found) > 1:
        raise RequestError("http.invalid", f"the header {name.decode()} is there {len(found)} times")
    return found[0] if found else None
