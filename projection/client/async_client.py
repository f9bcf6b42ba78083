"""The client for asyncio: the calls of `Client`, awaited."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import httpx

from projection.client import calls, connecting
from projection.client.calls import Answer, Fresh
from projection.client.errors import BusyError, UnreachableError
from projection.client.following import Following
from projection.client.retrying import Attempts

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from projection.client.answers import Catalog, Change, Explanation, Found, Page, PastView, Readiness, View
    from projection.client.calls import Call, Filter

_Value = TypeVar("_Value")


class AsyncClient:
    """Asks one node, from one event loop. Use it in an `async with` block, or close it.

    Its arguments, calls and errors are those of `Client`; what that one returns is awaited here, and what it iterates
    over is iterated over with `async for`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str] | None = None,
        tenant: str | None = None,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        tls: ssl.SSLContext | None = None,
        connections: int = 20,
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            **connecting.options(url, token, tenant, secret, headers, timeout_s, tls, connections)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # one view, several

    @overload
    async def view(
        self,
        view_type: str,
        view_id: str,
        *,
        etag: None = None,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> View: ...
    @overload
    async def view(
        self,
        view_type: str,
        view_id: str,
        *,
        etag: str,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> View | None: ...
    async def view(
        self,
        view_type: str,
        view_id: str,
        *,
        etag: str | None = None,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> View | None:
        """One view; None if it still has that ETag."""
        return await self._ask(calls.view(view_type, view_id, Fresh(min_sequence, wait_ms, max_lag_s), etag))

    async def view_at(self, view_type: str, view_id: str, at: int | str) -> PastView:
        """One view as it was after an event, by its sequence, or at a time (RFC 3339)."""
        return await self._ask(calls.view_at(view_type, view_id, at))

    async def views(
        self,
        view_type: str,
        view_ids: Sequence[str],
        *,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> Page:
        """Those of these views that exist, in the order of their ids, from one snapshot."""
        return await self._ask(calls.views(view_type, view_ids, Fresh(min_sequence, wait_ms, max_lag_s)))

    # queries

    async def query(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002 - the query form's own word, here and below
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        count: bool | None = None,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> Page:
        """One page of the views that match a filter."""
        fresh = Fresh(min_sequence, wait_ms, max_lag_s)
        terms = {"filter": filter, "sort": sort, "select": select, "limit": limit, "cursor": cursor, "count": count}
        return await self._ask(calls.query(view_type, fresh, **terms))

    async def pages(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        count: bool | None = None,
    ) -> AsyncIterator[Page]:
        """All pages of a query, requested lazily."""
        while True:
            terms = {"filter": filter, "sort": sort, "select": select, "limit": limit}
            page = await self._ask(calls.query(view_type, Fresh(), **terms, cursor=cursor, count=count))
            yield page
            if page.next is None:
                return
            cursor = page.next

    async def iterate(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Found]:
        """All views that match a filter, fetched `limit` at a time."""
        async for page in self.pages(view_type, filter=filter, sort=sort, select=select, limit=limit):
            for found in page.views:
                yield found

    async def explain(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Explanation:
        """How the node executes this query, and its cost."""
        return await self._ask(calls.explain(view_type, filter=filter, sort=sort, select=select, limit=limit))

    # changes

    async def changes(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        select: Sequence[str] | None = None,
        snapshot: bool = False,
        last_event_id: str | None = None,
    ) -> AsyncIterator[Change]:
        """The changes of a view type as they are committed, the newest state of each view; endless."""
        call = calls.changes(view_type, filter, select, snapshot=snapshot)
        following = Following(last_event_id)
        while True:
            try:
                async with aclosing(self._one_stream(call, following)) as stream:
                    async for change in stream:
                        yield change
            except (UnreachableError, BusyError) as error:
                following.failed(error)
            await asyncio.sleep(following.pause())

    async def _one_stream(self, call: Call[None], following: Following) -> AsyncGenerator[Change]:
        arguments = connecting.stream_arguments(call, self._timeout_s, following.last_event_id)
        try:
            async with self._http.stream(**arguments) as response:
                if response.status_code != 200:
                    await response.aread()
                    following.refused(call, connecting.answer(response))
                    return
                following.connected()
                async for data in response.aiter_bytes():
                    for change in following.changes(data):
                        yield change
        except httpx.TransportError as error:
            raise connecting.unreachable(self._http.base_url, error) from None

    # the node itself

    async def catalog(self) -> Catalog:
        """The view types, with their schemas and indexes."""
        return await self._ask(calls.catalog())

    async def health(self) -> bool:
        """Whether the process answers that it is alive."""
        return await self._ask(calls.health())

    async def ready(self) -> Readiness:
        """Whether the node folds and answers."""
        return await self._ask(calls.ready())

    async def _ask(self, call: Call[_Value]) -> _Value:
        attempts = Attempts()
        while True:
            outcome = await self._attempt(call)
            pause_s = attempts.pause_after(outcome)
            if pause_s is None:
                if isinstance(outcome, UnreachableError):
                    raise outcome
                return call.result(outcome)
            await asyncio.sleep(pause_s)

    async def _attempt(self, call: Call[Any]) -> Answer | UnreachableError:
        try:
            return connecting.answer(await self._http.request(**connecting.arguments(call, self._timeout_s)))
        except httpx.TransportError as error:
            return connecting.unreachable(self._http.base_url, error)
