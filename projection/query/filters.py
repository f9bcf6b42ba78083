"""Filters: from either form to a routine of the language, gas-metered, and the bounds that indexes can use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import getcontext, setcontext
from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang.check.filters import GIVEN, NAME, Condition, checked_filter
from projection.lang.cost.segments import with_charges
from projection.lang.failures import Failure
from projection.lang.program import Limits
from projection.lang.reporting import Diagnostic, ProgramInvalidError
from projection.lang.run.executors import Execution, executor
from projection.lang.source import Source, Span
from projection.lang.values.numbers import EXACT
from projection.model.query_limits import QueryLimits
from projection.query.bounds import Bound, bounds_of
from projection.query.errors import FilterFailedError, QueryInvalidError, QueryLimitError
from projection.query.structured import POINTER, structured

if TYPE_CHECKING:
    from projection.lang.run.executors import Routine
    from projection.query.form import Filter
    from projection.query.schema import ViewSchema

__all__ = ["Bound", "CompiledFilter", "compile_filter"]

_ALLOC = Limits().alloc  # for each view
_DEFAULTS = QueryLimits()
_EXCERPT = 160  # code points of a line, at most


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter that is ready to be asked of views.

    Args:
        fields: the view's own fields that it reads.
        bounds: what every view that it takes fulfils; others may, too.
        is_exact: whether it takes all that fulfil them, and fails on none.
        text: as it was written; None where it is structured.
        offset: where the text begins, in the spans of failures.
        gas: what it may use on all views together.
        routine: of gas, alloc, a view and its id; None where all views are taken.
    """

    fields: frozenset[str] = frozenset()
    bounds: tuple[Bound, ...] = ()
    is_exact: bool = True
    text: str | None = None
    offset: int = 0
    gas: int = _DEFAULTS.gas
    routine: Routine | None = None

    def matches(self, gas: int, view: Any, view_id: str) -> tuple[bool, int]:
        """Whether it takes a view, and what is then left of the gas.

        Args:
            gas: what is left for this view and all that follow.
            view: decoded, with the fields that it reads at least.
            view_id: of the view.

        Raises:
            QueryLimitError: the gas is used up.
            FilterFailedError: the filter fails on this view.
        """
        if self.routine is None:
            return True, gas
        around = getcontext()
        if around is not EXACT:
            setcontext(EXACT)
        try:
            found, left, _alloc = self.routine(gas, _ALLOC, view, view_id)
        except Failure as failure:
            raise self._failed(failure, view_id) from None
        finally:
            if around is not EXACT:
                setcontext(around)
        return found, left

    def _failed(self, failure: Failure, view_id: str) -> QueryLimitError | FilterFailedError:
        if failure.code == "O901":
            return QueryLimitError(
                f"the filter has used its {self.gas:,} gas before it has seen all views", value=self.gas, limit="gas",
                hint="narrow the query by a field that is indexed, or let the filter compute less", pointer=POINTER,
            )  # fmt: skip
        span: Span | None = None
        excerpt: str | None = None
        if self.text is not None and failure.span is not None and failure.span.start >= self.offset:
            span = failure.span.moved(-self.offset)  # those before the text lie in a function of the program
            excerpt = _excerpt(Diagnostic(failure.code, failure.message, span), self.text)
        shown = view_id if len(view_id) <= 200 else view_id[:199] + "…"
        return FilterFailedError(
            f"the filter fails on view {shown!a}: {failure.message} ({failure.code})",
            hint="ask first whether it is there, as in `a != none and a.b > 1`, or write `?.` and `??`"
            if failure.code == "R704" else None,
            pointer=POINTER, span=span, excerpt=excerpt,
        )  # fmt: skip


def compile_filter(
    schema: ViewSchema,
    filter_: Filter | None,
    limits: QueryLimits = _DEFAULTS,
    execution: Execution = Execution.COMPILED,
) -> CompiledFilter:
    """The filter of a query, checked against the views of its type; None takes all.

    Raises:
        QueryInvalidError: it does not fit the views, with a pointer to where, and of a text the place in it.
        QueryLimitError: it is too long, too deep, or compares too much.
    """
    if filter_ is None:
        return CompiledFilter()
    text = filter_ if isinstance(filter_, str) else None
    condition = _of_text(schema, filter_, limits) if isinstance(filter_, str) else structured(schema, filter_, limits)
    node = condition.core
    routine = executor(execution, schema.program.core.functions).routine(with_charges(node), GIVEN, condition.slots)
    bounds, is_exact = bounds_of(node)
    return CompiledFilter(_fields(node, schema), bounds, is_exact, text, condition.offset, limits.gas, routine)


def _of_text(schema: ViewSchema, text: str, limits: QueryLimits) -> Condition:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.filter_bytes:
        raise QueryLimitError(
            f"the filter has {size:,} bytes, and {limits.filter_bytes:,} are allowed", limit="filter_bytes",
            value=limits.filter_bytes, hint="make it shorter, or put a part into a function of the program",
            pointer=POINTER,
        )  # fmt: skip
    try:
        return checked_filter(schema.scope, text)
    except ProgramInvalidError as error:
        first = error.diagnostics[0]
        guess = first.label if first.label.startswith("did you mean") else ""
        raise QueryInvalidError(
            f"the filter is wrong: {first.message} ({first.code})", hint=guess or first.help or None, pointer=POINTER,
            span=first.span, excerpt=_excerpt(first, text),
        ) from None  # fmt: skip


def _excerpt(problem: Diagnostic, text: str) -> str:
    """The problem with its line and the place marked; of a long line, what is around the place."""
    line, column = Source(NAME, text).position(problem.span.start)
    shown = Source(NAME, text).line(line)
    cut = max(0, column - 1 - _EXCERPT // 2) if len(shown) > _EXCERPT else 0
    at = line - 1 + column - 1 - cut
    span = Span(at, at + min(problem.span.end - problem.span.start, _EXCERPT // 2))
    return replace(problem, span=span, fix=None).render(Source(NAME, "\n" * (line - 1) + shown[cut : cut + _EXCERPT]))


def _fields(node: core.Core, schema: ViewSchema) -> frozenset[str]:
    """The view's own fields that a computation reads: all, where it passes the view on as a whole."""
    found = set[str]()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        match one:
            case core.Get(base=core.Local(slot=core.VIEW)):
                found.add(one.field)
            case core.Local(slot=core.VIEW):
                return frozenset(schema.record.fields)
            case _:
                waiting += core.parts(one)
    return frozenset(found)
