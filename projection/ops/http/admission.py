"""Requests under way: how many there may be at a time, and that no tenant takes all of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from projection.ops.http.problems import RequestError
from projection.query.errors import QueryBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request

    from projection.model.ids import TenantId
    from projection.query.shares import Shares

PROBES = frozenset({"/health", "/ready", "/metrics"})  # answered however much is under way
STREAMS = frozenset({"/v1/changes"})  # answers that have no end; they have limits of their own
WITHOUT_PLACE = PROBES | STREAMS


class Place:
    """The place of one request among those under way. It is nobody's until the credentials were looked at."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._tenant_id: TenantId | None = None
        self._taken = False
        self._is_over = False

    def take(self) -> None:
        """Begin.

        Raises:
            RequestError: too many are under way.
        """
        try:
            self._shares.take(None)
        except QueryBusyError as error:
            raise RequestError("http.busy", error.message, hint="try again in a moment") from None
        self._taken = True

    def belongs_to(self, tenant_id: TenantId) -> None:
        """Say whose request it is.

        Raises:
            QueryBusyError: too many requests of this tenant are under way.
        """
        self._give_back()
        self._shares.take(tenant_id)
        self._tenant_id, self._taken = tenant_id, True

    def end(self) -> None:
        """Give it back for good: what is still to be canceled takes it no more."""
        self._give_back()
        self._is_over = True

    def _give_back(self) -> None:
        if self._taken:
            self._shares.give_back(self._tenant_id)
            self._taken = False

    @contextmanager
    def left(self) -> Iterator[None]:
        """Leave it to others for the length of a block: who waits for events works on nothing."""
        self._give_back()
        try:
            yield
        finally:
            if not self._is_over:
                self._shares.retake(self._tenant_id)
                self._taken = True


def place_of(request: Request) -> Place:
    """The place of a request."""
    place: Place = request.scope["place"]
    return place
