"""The client that waits for its answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import httpx

from projection.client import calls, connecting
from projection.client.calls import Answer, Fresh
from projection.client.errors import BusyError, UnreachableError
from projection.client.following import Following
from projection.client.retrying import Attempts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from projection.client.answers import Catalog, Change, Explanation, Found, Page, PastView, Readiness, View
    from projection.client.calls import Call, Filter

_Value = TypeVar("_Value")


class Client:
    """Asks one node. It may be used by several threads; close it, or use it in a `with` block.

    Args:
        url: where the node listens, `http://host:port`.
        token: a bearer token, or a function that gives the one of the moment (access mode `jwt`).
        tenant: whose views (access modes `header` and `none`); with a token, the token says it.
        secret: what a gateway shares with the node (access mode `header`).
        headers: sent with each request.
        timeout_s: seconds for a connection, and for an answer, beyond what the node was asked to wait.
        tls: for a node with a certificate of your own.
        connections: kept open at most.

    Every call raises a `ClientError` where the node refuses, and an `UnreachableError` where none answers. Calls only
    read, so a connection that fails, and a node that is busy and says for how long, are tried again a few times.
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
        self._http = httpx.Client(
            **connecting.options(url, token, tenant, secret, headers, timeout_s, tls, connections)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # one view, several

    @overload
    def view(
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
    def view(
        self,
        view_type: str,
        view_id: str,
        *,
        etag: str,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> View | None: ...
    def view(
        self,
        view_type: str,
        view_id: str,
        *,
        etag: str | None = None,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> View | None:
        """One view; None if it still has that ETag.

        Raises:
            ViewMissingError: the tenant has none of this id.
            NotFreshError: `min_sequence` or `max_lag_s` was not met.
        """
        return self._ask(calls.view(view_type, view_id, Fresh(min_sequence, wait_ms, max_lag_s), etag))

    def view_at(self, view_type: str, view_id: str, at: int | str) -> PastView:
        """One view as it was after an event, by its sequence, or at a time (RFC 3339).

        Raises:
            ViewMissingError: there was none of this id then.
            NotFreshError: the node has not come so far.
            HistoryGoneError: the log no longer holds what the view was made of.
            LimitExceededError: more events would have to be read than the node reads for this.
        """
        return self._ask(calls.view_at(view_type, view_id, at))

    def views(
        self,
        view_type: str,
        view_ids: Sequence[str],
        *,
        min_sequence: int | None = None,
        wait_ms: int | None = None,
        max_lag_s: float | None = None,
    ) -> Page:
        """Those of these views that exist, in the order of their ids, from one snapshot."""
        return self._ask(calls.views(view_type, view_ids, Fresh(min_sequence, wait_ms, max_lag_s)))

    # queries

    def query(
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
        return self._ask(calls.query(view_type, fresh, **terms))

    def pages(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        count: bool | None = None,
    ) -> Iterator[Page]:
        """All pages of a query, requested lazily.

        Raises:
            CursorGoneError: another build answers by now.
        """
        while True:
            terms = {"filter": filter, "sort": sort, "select": select, "limit": limit}
            page = self._ask(calls.query(view_type, Fresh(), **terms, cursor=cursor, count=count))
            yield page
            if page.next is None:
                return
            cursor = page.next

    def iterate(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Found]:
        """All views that match a filter, fetched `limit` at a time."""
        for page in self.pages(view_type, filter=filter, sort=sort, select=select, limit=limit):
            yield from page.views

    def explain(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        sort: Sequence[str] | None = None,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Explanation:
        """How the node executes this query, and its cost."""
        return self._ask(calls.explain(view_type, filter=filter, sort=sort, select=select, limit=limit))

    # changes

    def changes(
        self,
        view_type: str,
        *,
        filter: Filter | None = None,  # noqa: A002
        select: Sequence[str] | None = None,
        snapshot: bool = False,
        last_event_id: str | None = None,
    ) -> Iterator[Change]:
        """The changes of a view type as they are committed, the newest state of each view; endless.

        A connection that is lost is made anew, for ever, and goes on where it was; only the first must succeed.

        Args:
            view_type: whose changes; its manifest entry must have opted in.
            filter: which views.
            select: which fields of them.
            snapshot: begin with all present views that match.
            last_event_id: go on behind this change.
        """
        call = calls.changes(view_type, filter, select, snapshot=snapshot)
        following = Following(last_event_id)
        while True:
            try:
                yield from self._one_stream(call, following)
            except (UnreachableError, BusyError) as error:
                following.failed(error)
            time.sleep(following.pause())

    def _one_stream(self, call: Call[None], following: Following) -> Iterator[Change]:
        arguments = connecting.stream_arguments(call, self._timeout_s, following.last_event_id)
        try:
            with self._http.stream(**arguments) as response:
                if response.status_code != 200:
                    response.read()
                    following.refused(call, connecting.answer(response))
                    return
                following.connected()
                for data in response.iter_bytes():
                    yield from following.changes(data)
        except httpx.TransportError as error:
            raise connecting.unreachable(self._http.base_url, error) from None

    # the node itself

    def catalog(self) -> Catalog:
        """The view types, with their schemas and indexes."""
        return self._ask(calls.catalog())

    def health(self) -> bool:
        """Whether the process answers that it is alive."""
        return self._ask(calls.health())

    def ready(self) -> Readiness:
        """Whether the node folds and answers."""
        return self._ask(calls.ready())

    def _ask(self, call: Call[_Value]) -> _Value:
        attempts = Attempts()
        while True:
            outcome = self._attempt(call)
            pause_s = attempts.pause_after(outcome)
            if pause_s is None:
                if isinstance(outcome, UnreachableError):
                    raise outcome
                return call.result(outcome)
            time.sleep(pause_s)

    def _attempt(self, call: Call[Any]) -> Answer | UnreachableError:
        try:
            return connecting.answer(self._http.request(**connecting.arguments(call, self._timeout_s)))
        except httpx.TransportError as error:
            return connecting.unreachable(self._http.base_url, error)
