"""The calls that queries come by, whatever carries them: one view, a page of views, how it was found, what there is.

All happens in the caller's thread, so in a node on its event loop: a query works for two milliseconds at a time, one
query after another, and everything else has its turn in between. Why: docs/decisions/0019-queries-in-turns.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from projection.errors import ProjectionError, StorageError
from projection.model.keys import MAX_KEY_BYTES, encoded_view_key
from projection.query.answers import CatalogAnswer, CatalogEntry, CatalogIndex, ViewAnswer
from projection.query.cursors import Cursors
from projection.query.errors import QueryLimitError, ViewMissingError
from projection.query.form import Query
from projection.query.freshness import ANY
from projection.query.measures import VIEW, QueryMeasures
from projection.query.running import Context, explained, run, wanted_by
from projection.query.shares import Shares
from projection.query.turns import Turns, exhausted
from projection.store.changes import Stage, change_index
from projection.store.indexes import described

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from contextlib import AbstractContextManager

    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.query_limits import QueryLimits
    from projection.query.answers import Explanation, QueryAnswer
    from projection.query.freshness import Freshness, Wanted
    from projection.query.running import Ran
    from projection.query.schema import ViewSchema
    from projection.query.serving import Served, Serving

_Answer = TypeVar("_Answer")

_NOTHING = nullcontext()
_BUSY_S = 0.5  # that a query waits for others to end, before it is refused


class Queries:
    """Answers queries from the builds of a data folder."""

    def __init__(self, serving: Serving, limits: QueryLimits, freshness: Freshness | None = None) -> None:
        """Answer queries.

        Args:
            serving: the builds that answer; closed with this.
            limits: what a query may take.
            freshness: what the node of this process knows; None where there is none.

        Raises:
            StorageError: the catalog cannot be read.
        """
        key = serving.catalog.cursor_key
        self.serving = serving
        self.limits = limits
        self.measures = QueryMeasures()
        self._context = Context(limits, Cursors(key), freshness)
        self._etag_key = key
        self._places = Shares(limits.concurrent, "queries under way")
        self._waits = Shares(limits.waiting, "requests that wait for a sequence")
        self._turns = Turns()

    # one view

    async def view(
        self,
        tenant_id: TenantId,
        view_type: ViewType,
        view_id: ViewId,
        wanted: Wanted = ANY,
        *,
        while_waiting: AbstractContextManager[None] = _NOTHING,
    ) -> ViewAnswer:
        """One view; `while_waiting` is entered for as long as it only waits for a sequence.

        Raises:
            UnknownViewTypeError: there is no such view type.
            ViewMissingError: there is no such view.
            NotFreshError: the answer would be less fresh than wanted.
            QueryBusyError: too many wait.
            StorageError: the store cannot be read.
        """
        try:
            if wanted.min_sequence is not None:
                await self._reach(tenant_id, view_type, wanted, while_waiting)
            began = perf_counter()
            answer = self.view_now(tenant_id, view_type, view_id, wanted)
        except ProjectionError as error:
            self.measures.refused(error)
            raise
        self.measures.answered(VIEW, began)
        return answer

    def view_now(self, tenant_id: TenantId, view_type: ViewType, view_id: ViewId, wanted: Wanted = ANY) -> ViewAnswer:
        """The same without waiting."""
        return self._on_serving(view_type, lambda served: self._view_of(served, tenant_id, view_type, view_id, wanted))

    def _view_of(
        self, served: Served, tenant_id: TenantId, view_type: ViewType, view_id: ViewId, wanted: Wanted
    ) -> ViewAnswer:
        key = encoded_view_key(tenant_id, view_type, view_id)
        with served.reader.snapshot() as snapshot:
            head = self._context.head(served, snapshot.position, wanted)
            data = snapshot.get(key) if len(key) <= MAX_KEY_BYTES else None
            degraded, incomplete = snapshot.is_degraded(tenant_id, view_id), snapshot.is_incomplete(tenant_id)
        if data is None:
            hint = "events of it are parked" if degraded else None
            if incomplete and not degraded:
                hint = "some events of this tenant reached no view, and it may be meant by one of them"
            raise ViewMissingError(f"there is no {view_type} with the id {str(view_id)!r:.200}", hint=hint)
        return ViewAnswer(id=str(view_id), view=msgspec.Raw(data), degraded=degraded, incomplete=incomplete, **head)

    def etag(self, tenant_id: TenantId, view_type: ViewType, answer: ViewAnswer) -> str:
        """What tells states of a view apart, without quotes; of no use to another tenant."""
        tag = blake2b(key=self._etag_key, digest_size=12, person=b"etag")
        for part in (tenant_id.encode(), view_type.encode(), answer.id.encode(), bytes(answer.view)):
            tag.update(b"%d:" % len(part))
            tag.update(part)
        tag.update(b"-" if answer.degraded else b"+")
        tag.update(b"-" if answer.incomplete else b"+")
        return tag.hexdigest()

    # pages

    async def read(self, written: bytes) -> Query:
        """A query from its JSON, in its turn: reading a long one takes milliseconds.

        Raises:
            QueryInvalidError: it is none.
            QueryLimitError: it is longer than allowed.
        """
        return await self._turns.taken(_read(written, self.limits))

    async def query(
        self, tenant_id: TenantId, query: Query, *, while_waiting: AbstractContextManager[None] = _NOTHING
    ) -> QueryAnswer:
        """A page of views; `while_waiting` is entered for as long as it only waits for a sequence.

        Raises:
            QueryError: it is not answered; says why.
            StorageError: the store cannot be read.
        """
        return (await self._run(tenant_id, query, while_waiting)).answer

    async def explain(
        self, tenant_id: TenantId, query: Query, *, while_waiting: AbstractContextManager[None] = _NOTHING
    ) -> Explanation:
        """How a query is answered: it is run, and its views are left out.

        Raises:
            QueryError: as in `query`.
            StorageError: the store cannot be read.
        """
        return explained(await self._run(tenant_id, query, while_waiting))

    @property
    def under_way(self) -> int:
        """How many queries take turns now."""
        return self._places.taken

    async def _run(self, tenant_id: TenantId, query: Query, while_waiting: AbstractContextManager[None]) -> Ran:
        try:
            if query.min_sequence is not None:
                await self._reach(tenant_id, query.view, wanted_by(query), while_waiting)
            began = perf_counter()
            ran = await self._ran(tenant_id, query)
        except ProjectionError as error:
            self.measures.refused(error)
            raise
        self.measures.answered(ran.plan.shape, began, ran.execution.examined)
        return ran

    async def _ran(self, tenant_id: TenantId, query: Query) -> Ran:
        async with self._place(tenant_id):
            served = self.serving.of(query.view)
            try:
                return await self._turns.taken(run(self._context, served, tenant_id, query))
            except StorageError:
                if (successor := self.serving.of(query.view)) is served:
                    raise
                return await self._turns.taken(run(self._context, successor, tenant_id, query))

    def run_now(self, tenant_id: TenantId, query: Query) -> Ran:
        """The same without waiting and without turns: for a process that does nothing else."""

        def ran(served: Served) -> Ran:
            served.prepared(query, self.limits)
            return exhausted(run(self._context, served, tenant_id, query))

        return self._on_serving(query.view, ran)

    def _on_serving(self, view_type: ViewType, answer: Callable[[Served], _Answer]) -> _Answer:
        """Answer from the build that serves; once more where another one took its place meanwhile."""
        served = self.serving.of(view_type)
        try:
            return answer(served)
        except StorageError:
            if (successor := self.serving.of(view_type)) is served:
                raise
            return answer(successor)

    @asynccontextmanager
    async def _place(self, tenant_id: TenantId) -> AsyncIterator[None]:
        """One of the places for queries that are under way."""
        await self._places.take_within(_BUSY_S, tenant_id)
        try:
            yield
        finally:
            self._places.give_back(tenant_id)

    # waiting

    async def _reach(
        self, tenant_id: TenantId, view_type: ViewType, wanted: Wanted, while_waiting: AbstractContextManager[None]
    ) -> None:
        """Wait until the build that serves has come to a sequence, as long as is wanted; whether it has is seen later.

        Raises:
            QueryLimitError: that is longer than one may wait.
            QueryBusyError: too many wait.
            UnknownViewTypeError: there is no such view type.
            StorageError: the store cannot be read.
        """
        before = (wanted.min_sequence or 0) - 1
        until = asyncio.get_running_loop().time() + require_wait(wanted, self.limits) / 1000
        if not wanted.wait_ms or await self.serving.of(view_type).watch.beyond(before, 0) > before:
            return
        with self._waits.place(tenant_id), while_waiting:
            while True:
                served = self.serving.of(view_type)
                try:
                    await served.watch.beyond(before, until - asyncio.get_running_loop().time())
                except StorageError:
                    if self.serving.of(view_type) is served:
                        raise
                    continue
                return

    # what there is

    async def ready(self, view_type: ViewType) -> None:
        """Read the program of the build that answers for a view type, in turns, so that `schema` is there at once.

        Raises:
            UnknownViewTypeError: there is none.
            StorageError: the store cannot be read.
        """
        await self._turns.taken(self.serving.of(view_type).reading())

    def schema(self, view_type: ViewType) -> ViewSchema:
        """The schema of the build that answers for a view type.

        Raises:
            UnknownViewTypeError: there is none.
            StorageError: the store cannot be read.
        """
        return self.serving.of(view_type).schema

    async def catalog(self) -> CatalogAnswer:
        """The view types that can be asked for.

        Raises:
            StorageError: a store cannot be read.
        """
        return await self._turns.taken(self._cataloguing())

    def catalog_now(self) -> CatalogAnswer:
        """The same without turns."""
        return exhausted(self._cataloguing())

    def _cataloguing(self) -> Generator[None, None, CatalogAnswer]:
        entries = []
        for view_type in self.serving.catalog.view_types():
            yield from self.serving.of(view_type).reading()
            entries.append(self._on_serving(view_type, self._entry))
            yield
        return CatalogAnswer(entries)

    def _entry(self, served: Served) -> CatalogEntry:
        view_type = served.build.view_type
        with served.reader.snapshot() as snapshot:
            head = self._context.head(served, snapshot.position, ANY)
            indexes = [CatalogIndex(described(index.keys), index.built) for index in snapshot.indexes]
            changes = change_index(snapshot).stage is Stage.ON
        return CatalogEntry(
            view=str(view_type),
            json_schema=served.schema.json_schema(),
            indexes=indexes,
            builds=[build.number for build in self.serving.catalog.builds(view_type)],
            changes=changes,
            **head,
        )

    def close(self) -> None:
        """Close what was opened for reading; idempotent."""
        self.serving.close()


def require_wait(wanted: Wanted, limits: QueryLimits) -> int:
    """How many milliseconds a query wants to wait.

    Raises:
        QueryLimitError: that is longer than one may.
    """
    if wanted.wait_ms > limits.max_wait_ms:
        raise QueryLimitError(
            f"wait_ms is {wanted.wait_ms:,}, and {limits.max_wait_ms:,} is allowed",
            limit="max_wait_ms",
            value=limits.max_wait_ms,
            hint="wait for less, and ask again",
            pointer="/wait_ms",
        )
    return wanted.wait_ms


def _read(written: bytes, limits: QueryLimits) -> Generator[None, None, Query]:
    yield from ()
    return Query.read(written, limits)
