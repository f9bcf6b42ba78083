"""Queries on a data folder for whoever has it on this machine: a command, a script. A node may be writing it."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Self

from projection.model.query_limits import QueryLimits
from projection.query.freshness import ANY
from projection.query.running import explained, wanted_by
from projection.query.service import Queries, require_wait
from projection.query.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.query.answers import CatalogAnswer, Explanation, QueryAnswer, ViewAnswer
    from projection.query.form import Query
    from projection.query.freshness import Wanted

_LOOK_S = 0.01  # between two looks at a position that is waited for


class FolderQueries:
    """The calls of `Queries`, each of which returns when it is done.

    What is not answered raises a `QueryError`, whose `code` says why.
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    @classmethod
    @contextmanager
    def open(cls, data: Path, limits: QueryLimits | None = None) -> Iterator[Self]:
        """Open a data folder for reading.

        Raises:
            ConfigurationError: there is no such folder.
            StorageError: it cannot be read.
        """
        from projection.store.catalog import CatalogReader  # noqa: PLC0415 - LMDB, which files of events do without

        with CatalogReader.open(data) as catalog:
            queries = Queries(Serving(catalog), limits or QueryLimits())
            try:
                yield cls(queries)
            finally:
                queries.close()

    def view(self, tenant_id: TenantId, view_type: ViewType, view_id: ViewId, wanted: Wanted = ANY) -> ViewAnswer:
        """See `Queries.view`."""
        self._reach(view_type, wanted)
        return self._queries.view_now(tenant_id, view_type, view_id, wanted)

    def query(self, tenant_id: TenantId, query: Query) -> QueryAnswer:
        """See `Queries.query`."""
        self._reach(query.view, wanted_by(query))
        return self._queries.run_now(tenant_id, query).answer

    def explain(self, tenant_id: TenantId, query: Query) -> Explanation:
        """See `Queries.explain`."""
        self._reach(query.view, wanted_by(query))
        return explained(self._queries.run_now(tenant_id, query))

    def catalog(self) -> CatalogAnswer:
        """See `Queries.catalog`."""
        return self._queries.catalog_now()

    def _reach(self, view_type: ViewType, wanted: Wanted) -> None:
        if wanted.min_sequence is None:
            return
        until = monotonic() + require_wait(wanted, self._queries.limits) / 1000
        while self._queries.serving.of(view_type).reader.position().scanned < wanted.min_sequence:
            if monotonic() >= until:
                return  # that it is too old is found when it is read
            sleep(_LOOK_S)
