"""The builds that answer: at every query the catalog is asked which one that is, so that no former one does."""

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
from projection.query.turns import sliced
from projection.query.watching import LaneWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

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

PREPARED_BYTES = 16 * 1024**2  # of queries that all builds together keep ready, as far as their weight is known:
_QUERY_WEIGHT = 64 * 1024  # bytes of one without its filter: its plans, and what decodes and selects
_BYTE_WEIGHT = 32  # bytes that a byte of it takes: a list of short numbers weighs most
_NODE_WEIGHT = 384  # bytes that a node of a filter's computation takes with its compiled form
_ORDERS = 256  # of queries of one build that are kept ready
_PLANNED_RANGES = 256  # of plans of one query that are, for all tenants together
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
    weight: int  # bytes, estimated

    def possible(self, tenant_id: TenantId, view_type: ViewType, indexes: Sequence[StoredIndex]) -> Possible:
        """The plans by which it can be answered for a tenant; made once, as long as the indexes are the same."""
        made_for, found = self.plans.get(tenant_id, (None, None))
        if found is None or made_for is not indexes:
            found = possible(Wish(tenant_id, view_type, self.bounds, self.is_exact, self.order), indexes)
            self.plans[tenant_id] = indexes, found
            if sum(plans.size for _, plans in self.plans.values()) > _PLANNED_RANGES:
                self.plans.clear()
        return found


class PreparedQueries:
    """The queries that are kept ready, of all builds together: those that come from outside may not fill the memory."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Served, bytes], Prepared] = {}  # the one that was used last at the end
        self._weight = 0  # of these

    def __contains__(self, key: tuple[Served, bytes]) -> bool:
        """Whether the query of a build, by its canonical form, is ready."""
        return key in self._kept

    def get(self, key: tuple[Served, bytes], prepare: Callable[[], Prepared]) -> Prepared:
        """A query made ready, now or before."""
        if (prepared := self._kept.get(key)) is None:
            prepared = prepare()
        if (former := self._kept.pop(key, None)) is not None:  # perhaps of another thread, meanwhile
            self._weight -= former.weight
        self._kept[key] = prepared
        self._weight += prepared.weight
        while self._weight > PREPARED_BYTES and len(self._kept) > 1:
            self._weight -= self._kept.pop(next(iter(self._kept))).weight
        return prepared

    def drop(self, served: Served) -> None:
        """Forget those of a build that no longer answers."""
        for key in [key for key in self._kept if key[0] is served]:
            self._weight -= self._kept.pop(key).weight


def canonical_form(query: Query) -> bytes:
    """What tells queries apart but for their tenant and page: view type, filter, sort and selection."""
    filter_ = query.filter.model_dump() if isinstance(query.filter, BaseModel) else query.filter
    sort = [(key.field, key.desc) for key in query.sort]
    return _canonical((str(query.view), filter_, sort, query.select))


def _unusable(build: Build, error: Exception) -> StorageError:
    return StorageError(
        f"the program that {build} keeps cannot be used: {error}", hint="use the version that made the build"
    )


class Served:
    """A build that answers, with what its queries share.

    Its program is read when the first query needs it: a view, or where it stands, is told without.
    """

    def __init__(
        self, build: Build, reader: ViewReader, *, is_own: bool, prepared: PreparedQueries | None = None
    ) -> None:
        """A build that answers.

        Args:
            build: which.
            reader: of its store.
            prepared: where its queries are kept ready beside those of others; None: by themselves.
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
            program = Recipe.decode(build.recipe).program
        except ValueError as error:
            raise _unusable(build, error) from None
        self.program = program.digest
        self._text = program.name, program.text
        self._schema: ViewSchema | None = None
        self._is_reading = False  # the program, for some query
        self._prepared = PreparedQueries() if prepared is None else prepared
        self._orders: dict[tuple[tuple[Steps, bool], ...], tuple[Order, frozenset[str]]] = {}  # by what queries write

    @property
    def schema(self) -> ViewSchema:
        """The schema of its program.

        Raises:
            StorageError: this version of the package cannot read its program.
        """
        if self._schema is None:  # no lock: a thread may be held up in here
            try:
                self._schema = ViewSchema.of(*self._text)
            except ProgramInvalidError as error:
                raise _unusable(self.build, error) from None
        return self._schema

    def reading(self) -> Generator[None, None, None]:
        """Read its program, where that was not done yet; at each `yield` others may have their turn.

        Raises:
            StorageError: this version of the package cannot read its program.
        """
        while self._is_reading and self._schema is None:  # for another query, which has its own turns
            yield
        if self._schema is None:
            self._is_reading = True
            try:
                yield from sliced(lambda: self.schema)
            finally:
                self._is_reading = False

    def preparing(self, query: Query, limits: QueryLimits) -> Generator[None, None, tuple[Prepared, bytes]]:
        """`prepared`; at each `yield` others may have their turn."""
        canonical = canonical_form(query)
        if (self, canonical) not in self._prepared:
            yield from self.reading()
            yield from sliced(lambda: self._kept(canonical, query, limits))
        return self._kept(canonical, query, limits), canonical

    def prepared(self, query: Query, limits: QueryLimits) -> tuple[Prepared, bytes]:
        """A query made ready, and its canonical form.

        Raises:
            QueryInvalidError: it does not fit the views.
            QueryLimitError: it is longer or deeper than may be, or computes too much.
            StorageError: this version of the package cannot read the build's program.
        """
        canonical = canonical_form(query)
        return self._kept(canonical, query, limits), canonical

    def _kept(self, canonical: bytes, query: Query, limits: QueryLimits) -> Prepared:
        """A query made ready, now or before."""
        return self._prepared.get((self, canonical), lambda: self._prepare(query, limits, len(canonical)))

    def _prepare(self, query: Query, limits: QueryLimits, length: int) -> Prepared:
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
            _QUERY_WEIGHT + _BYTE_WEIGHT * length + _NODE_WEIGHT * filter_.nodes,
        )

    def _order(self, query: Query) -> tuple[Order, frozenset[str]]:
        sort = tuple((key.field, key.desc) for key in query.sort)
        if (found := self._orders.get(sort)) is None:
            if len(self._orders) >= _ORDERS:
                self._orders.clear()
            found = self._orders[sort] = order_of(self.schema, query)
        return found

    def close(self) -> None:
        """Give the reader back; idempotent. What still reads raises at its next step."""
        self._prepared.drop(self)
        if self._is_own:
            self.reader.close()


class Builds(Protocol):
    """The builds that there are, and which of them answer: what a catalog tells."""

    @property
    def cursor_key(self) -> bytes: ...  # noqa: D102
    def view_types(self) -> list[ViewType]: ...  # noqa: D102
    def builds(self, view_type: ViewType) -> list[Build]: ...  # noqa: D102
    def build(self, view_type: ViewType, number: int) -> Build: ...  # noqa: D102
    def serving_number(self, view_type: ViewType) -> int | None: ...  # noqa: D102


class Serving:
    """Finds the build that answers for a view type, and its reader."""

    def __init__(self, catalog: Builds, reader_of: ReaderOf | None = None) -> None:
        """Serve from a data folder, or from builds in memory.

        Args:
            catalog: of the folder; the caller's to close.
            reader_of: gives the store of a build that is open in this process, where LMDB must not open it again; it
                stays its owner's to close. Others are opened for reading.
        """
        self.catalog = catalog
        self._reader_of = reader_of
        self._served: dict[ViewType, Served] = {}
        self._prepared = PreparedQueries()

    def of(self, view_type: ViewType) -> Served:
        """The build that answers for a view type now.

        Raises:
            UnknownViewTypeError: there is none.
            StorageError: the catalog, or the build's store, cannot be read.
        """
        number = self.catalog.serving_number(view_type)
        served = self._served.get(view_type)
        if served is not None and served.number == number:
            return served
        if number is None:
            known = ", ".join(self.catalog.view_types()) or "none yet"
            raise UnknownViewTypeError(f"there is no view type {str(view_type)!r}", hint=f"there are: {known}")
        return self._open(self.catalog.build(view_type, number), served)

    def _open(self, build: Build, former: Served | None) -> Served:
        reader = None if self._reader_of is None else self._reader_of(build)
        is_own = reader is None
        if reader is None:
            from projection.store.lmdb_reader import LmdbViewReader  # noqa: PLC0415 - files of events have no LMDB

            reader = LmdbViewReader.open(build.lane_path())
        try:
            served = self._served[build.view_type] = Served(build, reader, is_own=is_own, prepared=self._prepared)
        except BaseException:
            if is_own:
                reader.close()
            raise
        if former is not None:
            former.close()
        return served

    def release(self, view_type: ViewType) -> None:
        """Close what was opened here for a view type; the next query opens it anew, or takes what is open by then."""
        if (served := self._served.pop(view_type, None)) is not None:
            served.close()

    def close(self) -> None:
        """Close what was opened here; idempotent."""
        for served in self._served.values():
            served.close()
        self._served.clear()
