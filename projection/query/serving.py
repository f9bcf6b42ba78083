"""The builds that answer: at every query the catalogue is asked which one that is, so that no former one does."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
from pydantic import BaseModel

from projection.errors import StorageError
from projection.lang.reporting import ProgramInvalidError
from projection.model.recipe import Recipe
from projection.query.errors import UnknownViewTypeError
from projection.query.filters import compile_filter
from projection.query.planning import Wish, possible
from projection.query.schema import ViewSchema
from projection.query.selection import selected
from projection.query.sorting import order_of
from projection.query.watching import LaneWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.model.ids import TenantId, ViewType
    from projection.model.query_limits import QueryLimits
    from projection.query.filters import Bound, CompiledFilter
    from projection.query.form import Query, Steps
    from projection.query.planning import Possible
    from projection.query.sorting import Order
    from projection.store.build import Build
    from projection.store.indexes import StoredIndex
    from projection.store.port import ViewReader

    ReaderOf = Callable[[Build], ViewReader | None]

_PREPARED = 256  # queries of one build that are kept ready
_TENANTS = 64  # whose plans of one query are
_canonical = msgspec.json.Encoder(decimal_format="number").encode  # 1.5 and "1.5" are two things


class Prepared(NamedTuple):
    """A query as a build's schema has it, for all tenants and pages."""

    filter: CompiledFilter
    bounds: Mapping[tuple[str, ...], Sequence[Bound]]  # of the filter, by path
    is_exact: bool  # whether they say all that it says
    order: Order
    decode: Callable[[bytes], Any]  # what filter and order need of a view; None where that is nothing
    select: Callable[[bytes], bytes] | None
    plans: dict[TenantId, tuple[Sequence[StoredIndex], Possible]]  # by whose query it was, and for which indexes

    def possible(self, tenant_id: TenantId, view_type: ViewType, indexes: Sequence[StoredIndex]) -> Possible:
        """The plans by which it can be answered for a tenant; made once, as long as the indexes are the same."""
        made_for, found = self.plans.get(tenant_id, (None, None))
        if found is None or made_for is not indexes:
            found = possible(Wish(tenant_id, view_type, self.bounds, self.is_exact, self.order), indexes)
            if len(self.plans) >= _TENANTS:
                self.plans.clear()
            self.plans[tenant_id] = indexes, found
        return found


class Served:
    """A build that answers, with what its queries share."""

    def __init__(self, build: Build, reader: ViewReader, *, is_own: bool) -> None:
        """A build that answers.

        Args:
            build: which.
            reader: of its store.
            is_own: whether it was opened here, and is to be closed here.

        Raises:
            StorageError: this version of the package cannot read its program.
        """
        self.build = build
        self.number = build.number
        self.fold_identity = build.fold_identity
        self.reader = reader
        self.watch = LaneWatch(lambda: reader.position().scanned)
        self._is_own = is_own
        try:
            recipe = Recipe.decode(build.recipe)
            self.schema = ViewSchema.of(recipe.program.name, recipe.program.text)
        except (ValueError, ProgramInvalidError) as error:
            raise StorageError(
                f"the program that {build} keeps cannot be used: {error}", hint="use the version that made the build"
            ) from None
        self.program = recipe.program.digest
        self._prepared: dict[bytes, Prepared] = {}  # by their canonical form
        self._orders: dict[tuple[tuple[Steps, bool], ...], tuple[Order, frozenset[str]]] = {}  # by what queries write

    def prepared(self, query: Query, limits: QueryLimits) -> tuple[Prepared, bytes]:
        """A query made ready, and its canonical form: that of its view type, filter, sort and selection.

        Raises:
            QueryInvalidError: it does not fit the views.
            QueryLimitError: it is longer or deeper than may be.
        """
        filter_ = query.filter.model_dump() if isinstance(query.filter, BaseModel) else query.filter
        sort = [(key.field, key.desc) for key in query.sort]
        canonical = _canonical((str(query.view), filter_, sort, query.select))
        if (prepared := self._prepared.get(canonical)) is None:
            if len(self._prepared) >= _PREPARED:  # queries that come from outside may not fill the memory
                self._prepared.clear()
            prepared = self._prepared[canonical] = self._prepare(query, limits)
        return prepared, canonical

    def _prepare(self, query: Query, limits: QueryLimits) -> Prepared:
        filter_ = compile_filter(self.schema, query.filter, limits)
        order, sorted_by = self._order(query)
        fields = filter_.fields | sorted_by
        bounds = defaultdict(list)
        for bound in filter_.bounds:
            bounds[bound.path].append(bound)
        return Prepared(
            filter_,
            dict(bounds),
            filter_.is_exact,
            order,
            self.schema.decoder(fields) if fields else lambda _view: None,
            None if query.select is None else selected(self.schema, query.select),
            {},
        )

    def _order(self, query: Query) -> tuple[Order, frozenset[str]]:
        sort = tuple((key.field, key.desc) for key in query.sort)
        if (found := self._orders.get(sort)) is None:
            if len(self._orders) >= _PREPARED:
                self._orders.clear()
            found = self._orders[sort] = order_of(self.schema, query)
        return found

    def close(self) -> None:
        """Give the reader back; idempotent. What still reads raises at its next step."""
        if self._is_own:
            self.reader.close()


class Builds(Protocol):
    """The builds that there are, and which of them answer: what a catalogue tells."""

    @property
    def cursor_key(self) -> bytes: ...  # noqa: D102
    def view_types(self) -> list[ViewType]: ...  # noqa: D102
    def builds(self, view_type: ViewType) -> list[Build]: ...  # noqa: D102
    def build(self, view_type: ViewType, number: int) -> Build: ...  # noqa: D102
    def serving_number(self, view_type: ViewType) -> int | None: ...  # noqa: D102


class Serving:
    """Finds the build that answers for a view type, and its reader."""

    def __init__(self, catalogue: Builds, reader_of: ReaderOf | None = None) -> None:
        """Serve from a data folder, or from builds in memory.

        Args:
            catalogue: of the folder; the caller's to close.
            reader_of: gives the store of a build that is open in this process, where LMDB must not open it again; it
                stays its owner's to close. Others are opened for reading.
        """
        self.catalogue = catalogue
        self._reader_of = reader_of
        self._served: dict[ViewType, Served] = {}

    def of(self, view_type: ViewType) -> Served:
        """The build that answers for a view type now.

        Raises:
            UnknownViewTypeError: there is none.
            StorageError: the catalogue, or the build's store, cannot be read.
        """
        number = self.catalogue.serving_number(view_type)
        served = self._served.get(view_type)
        if served is not None and served.number == number:
            return served
        if number is None:
            known = ", ".join(self.catalogue.view_types()) or "none yet"
            raise UnknownViewTypeError(f"there is no view type {str(view_type)!r}", hint=f"there are: {known}")
        return self._open(self.catalogue.build(view_type, number), served)

    def _open(self, build: Build, former: Served | None) -> Served:
        reader = None if self._reader_of is None else self._reader_of(build)
        is_own = reader is None
        if reader is None:
            from projection.store.lmdb_store import LmdbViewReader  # noqa: PLC0415 - files of events have no LMDB

            reader = LmdbViewReader.open(build.lane_path())
        try:
            served = self._served[build.view_type] = Served(build, reader, is_own=is_own)
        except BaseException:
            if is_own:
                reader.close()
            raise
        if former is not None:
            former.close()
        return served

    def close(self) -> None:
        """Close what was opened here; idempotent."""
        for served in self._served.values():
            served.close()
        self._served.clear()
