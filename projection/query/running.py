"""One query on the build that answers, from its form to its page: planned, run and told, in steps."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.model.keys import ViewKey
from projection.query.answers import Explanation, QueryAnswer, Unused
from projection.query.errors import QueryLimitError
from projection.query.execution import Execution, Task
from projection.query.freshness import Wanted, age, require
from projection.query.planning import choosing
from projection.query.turns import sliced
from projection.store.indexes import described

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId
    from projection.model.query_limits import QueryLimits
    from projection.query.cursors import Cursors, Place
    from projection.query.form import Query
    from projection.query.freshness import Freshness
    from projection.query.planning import Plan
    from projection.query.serving import Prepared, Served
    from projection.store.indexes import StoredIndex
    from projection.store.port import Snapshot


class Context(NamedTuple):
    """What all queries of a process share."""

    limits: QueryLimits
    cursors: Cursors
    freshness: Freshness | None

    def head(self, served: Served, position: LanePosition, wanted: Wanted) -> dict[str, Any]:
        """What every answer from this picture says of it.

        Raises:
            NotFreshError: it is less fresh than wanted.
        """
        level = None if self.freshness is None else self.freshness.level_at(served.build.view_type, served.number)
        as_of, lag_s = age(position, level)
        if wanted.min_sequence is not None or wanted.max_lag_s is not None:
            require(position, lag_s, wanted)
        return {
            "build": served.number,
            "program": served.program,
            "scanned": position.scanned,
            "as_of": as_of,
            "lag_s": lag_s,
        }


class Ran(NamedTuple):
    """What came of a query, and how."""

    answer: QueryAnswer
    plan: Plan
    unused: Sequence[tuple[StoredIndex, str]]  # why which index was of no use
    execution: Execution
    ms: float


def wanted_by(query: Query) -> Wanted:
    """How fresh a query wants its answer."""
    return Wanted(query.min_sequence, query.wait_ms or 0, query.max_lag_s)


def run(context: Context, served: Served, tenant_id: TenantId, query: Query) -> Generator[None, None, Ran]:
    """Answer a query; at each `yield` others may have their turn. Closing it gives back all that it holds.

    Raises:
        QueryError: it is not answered.
        StorageError: the store cannot be read, or was closed meanwhile.
    """
    began = perf_counter()
    limits = context.limits
    limit = _limit(query, limits)
    prepared, canonical = yield from served.preparing(query, limits)
    with served.reader.snapshot() as snapshot:
        head = context.head(served, snapshot.position, wanted_by(query))
        after = _after(context, served, tenant_id, query, canonical, _keys_of(snapshot, tenant_id, served, prepared))
        plans, unused = prepared.possible(tenant_id, served.build.view_type, snapshot.indexes)
        plan = yield from choosing(plans, query.count, snapshot)
        if plan.ids is not None and len(plan.ids) > limits.max_ids:
            raise QueryLimitError(
                f"{len(plan.ids):,} views are asked for by their ids, and {limits.max_ids:,} may be",
                limit="max_ids",
                value=limits.max_ids,
                hint="ask for them in several queries",
                pointer="/filter",
            )
        task = Task(
            tenant_id,
            served.build.view_type,
            prepared.decode,
            None if query.filter is None else prepared.filter.matches,
            prepared.order,
            prepared.select,
            limit,
            query.count,
            after,
        )
        if query.filter is not None and not plan.decides and not prepared.filter.is_compiled:
            yield from sliced(prepared.filter.compile)
        execution = Execution(task, plan, snapshot, limits)
        page = yield from execution.run()
        incomplete = snapshot.is_incomplete(tenant_id)
    cursor = None if page.end is None else context.cursors.make(page.end, served.number, tenant_id, canonical)
    answer = QueryAnswer(
        views=page.views, next=cursor, count=page.count, degraded=page.degraded, incomplete=incomplete, **head
    )
    return Ran(answer, plan, unused, execution, (perf_counter() - began) * 1000)


def explained(ran: Ran) -> Explanation:
    """How a query was answered."""
    answer, plan = ran.answer, ran.plan
    return Explanation(
        plan=plan.words,
        index=None if plan.index is None else described(plan.index.keys),
        ranges=len(plan.ranges),
        order=plan.order,
        examined=ran.execution.examined,
        returned=len(answer.views),
        gas=ran.execution.gas,
        ms=round(ran.ms, 3),
        unused=[Unused(described(index.keys), why) for index, why in ran.unused],
        build=answer.build,
        program=answer.program,
        scanned=answer.scanned,
        as_of=answer.as_of,
        lag_s=answer.lag_s,
    )


def _limit(query: Query, limits: QueryLimits) -> int:
    limit = limits.default_limit if query.limit is None else query.limit
    if limit > limits.max_limit:
        raise QueryLimitError(
            f"{limit:,} views are asked for, and a page has at most {limits.max_limit:,}",
            limit="max_limit",
            value=limits.max_limit,
            hint="ask for fewer, and for more pages by `cursor`",
            pointer="/limit",
        )
    return limit


def _after(
    context: Context,
    served: Served,
    tenant_id: TenantId,
    query: Query,
    canonical: bytes,
    keys_of: Callable[[bytes], tuple[bytes, ...] | None],
) -> Place | None:
    if query.cursor is None:
        return None
    return context.cursors.read(query.cursor, served.number, tenant_id, canonical, keys_of)


def _keys_of(
    snapshot: Snapshot, tenant_id: TenantId, served: Served, prepared: Prepared
) -> Callable[[bytes], tuple[bytes, ...] | None]:
    """The sort keys of a view, as they are now, by its id as it stands in its key."""

    def keys_of(view_id: bytes) -> tuple[bytes, ...] | None:
        data = snapshot.get(ViewKey.prefix(tenant_id, served.build.view_type) + view_id)
        return None if data is None else prepared.order.keys_of(prepared.decode(data))

    return keys_of
