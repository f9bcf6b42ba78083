"""Places for what is under way at a time, of which no tenant can take all.

A tenant gets one more place while it holds fewer than are free: one busy tenant takes half of them, two take a third
each. So a place is left for the next tenant, as long as there are more places than busy tenants, and no limit for each
tenant has to be set.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from projection.query.errors import QueryBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.model.ids import TenantId


class Shares:
    """See the module."""

    def __init__(self, places: int, what: str) -> None:
        """So many places.

        Args:
            places: how many.
            what: they are for, in the plural, for messages.
        """
        self._places = places
        self._what = what
        self._taken: Counter[TenantId | None] = Counter()  # None: not known yet whose it is
        self._waiting: dict[asyncio.Future[None], TenantId | None] = {}  # in the order in which they came

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken.total()

    def take(self, tenant_id: TenantId | None) -> None:
        """Take a place, which is to be given back.

        Raises:
            QueryBusyError: there is none for this tenant now.
        """
        if not self._is_free_for(tenant_id):
            raise self._busy(tenant_id)
        self._taken[tenant_id] += 1

    async def take_within(self, seconds: float, tenant_id: TenantId | None) -> None:
        """The same, and wait for a while for one that becomes free.

        Raises:
            QueryBusyError: none did.
        """
        if self._is_free_for(tenant_id):
            self._taken[tenant_id] += 1
            return
        given = asyncio.get_running_loop().create_future()
        self._waiting[given] = tenant_id
        try:
            async with asyncio.timeout(seconds):
                await given
        except BaseException as error:
            if given.done() and not given.cancelled():  # it was given at the same moment
                self.give_back(tenant_id)
            if isinstance(error, TimeoutError):
                raise self._busy(tenant_id) from None
            raise
        finally:
            self._waiting.pop(given, None)

    def retake(self, tenant_id: TenantId | None) -> None:
        """Take a place that was given back for a while; there is always one."""
        self._taken[tenant_id] += 1

    def give_back(self, tenant_id: TenantId | None) -> None:
        """Give a place back; the tenant that has waited longest and is below its share gets it."""
        self._taken[tenant_id] -= 1
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]
        for given, waiting in list(self._waiting.items()):
            if not given.done() and self._is_free_for(waiting):
                self._taken[waiting] += 1
                del self._waiting[given]
                given.set_result(None)
                return

    @contextmanager
    def place(self, tenant_id: TenantId | None) -> Iterator[None]:
        """A place for the length of a block.

        Raises:
            QueryBusyError: there is none for this tenant now.
        """
        self.take(tenant_id)
        try:
            yield
        finally:
            self.give_back(tenant_id)

    def _is_free_for(self, tenant_id: TenantId | None) -> bool:
        free = self._places - self.taken
        return free > 0 and (free > self._taken[tenant_id] or not self._taken[tenant_id])

    def _busy(self, tenant_id: TenantId | None) -> QueryBusyError:
        own, hint = self._taken[tenant_id], "ask again in a moment, or ask for less at a time"
        if own and self.taken < self._places:
            return QueryBusyError(
                f"{own:,} of {self.taken:,} {self._what} are of this tenant; it may have as many as are free, "
                f"of {self._places:,} in all",
                hint=hint,
            )
        return QueryBusyError(f"all {self._places:,} slots for {self._what} are in use", hint=hint)
