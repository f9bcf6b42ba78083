"""Filters: from either form to a routine of the language, gas-metered, and the bounds that indexes can use."""

from __future__ import annotations

from decimal import Decimal, getcontext, setcontext
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from projection.lang import core
from projection.lang import types as ty
from projection.lang.check.filters import GIVEN, NAME, Condition, checked_filter
from projection.lang.cost.segments import with_charges
from projection.lang.failures import Failure
from projection.lang.reporting import Diagnostic, ProgramInvalidError
from projection.lang.run.compiler import Compiled
from projection.lang.run.executors import Execution, Interpreted
from projection.lang.source import Source, Span
from projection.lang.steps import tick
from projection.lang.values.numbers import EXACT, rescaled
from projection.lang.values.plain import plain_text
from projection.model.query_limits import QueryLimits
from projection.query.bounds import Bound, Bounds, bounds_of
from projection.query.comparisons import POINTER, bounds_of_tree, checked, fields_of, nodes_of, require_nodes
from projection.query.errors import FilterFailedError, QueryInvalidError, QueryLimitError
from projection.query.structured import condition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.run.executors import Routine
    from projection.query.comparisons import Tree
    from projection.query.form import Filter
    from projection.query.schema import ViewSchema

__all__ = ["Bound", "CompiledFilter", "compile_filter"]

VIEW_GAS = 500_000  # for one view: some six milliseconds, in which nobody else has a turn
# For one view, a tenth of what a program has: 1,600,000 code points of new text, at most 6.4 MB. A unit of gas of
# `repeat` and `pad_…` may take a hundred times as long as others; this bounds them to two milliseconds.
VIEW_ALLOC = 100_000
_DEFAULTS = QueryLimits()
_ALL = Condition(core.Const(Span(0, 0), value=True), GIVEN)


class CompiledFilter:
    """A filter that can be asked of views.

    Args:
        make: makes its routine, when a view is first asked about.
        fields: the view's own fields that it reads.
        bounds: what every view that it takes fulfils; where they are exact, it takes all that fulfil them.
        text: as it was written; None where it is structured.
        offset: where the text begins, in the spans of failures.
        gas: what it may use on all views together.
        nodes: of its computation.
    """

    def __init__(
        self,
        make: Callable[[], Routine],
        fields: frozenset[str],
        bounds: Bounds,
        text: str | None,
        offset: int,
        gas: int,
        nodes: int,
    ) -> None:
        self.fields = fields
        self.bounds = bounds.bounds
        self.is_exact = bounds.is_exact
        self._make: Callable[[], Routine] | None = make
        self._made: Routine | None = None
        self._text = text
        self._offset = offset
        self._gas = gas
        self.nodes = nodes

    @property
    def is_compiled(self) -> bool:
        """Whether it can be asked of a view at once."""
        return self._made is not None

    def compile(self) -> Routine:
        """Compile it; else the first view that it is asked of waits for that."""
        if self._made is None and self._make is not None:  # no lock: a thread may be held up in here
            self._made = self._make()
            self._make = None  # and with it what it is made of
        assert self._made is not None  # noqa: S101 - whoever takes the one away has put the other there
        return self._made

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
        around = getcontext()
        if around is not EXACT:
            setcontext(EXACT)
        given = min(gas, VIEW_GAS)
        try:
            found, left, _alloc = (self._made or self.compile())(given, VIEW_ALLOC, view, plain_text(view_id))
        except Failure as failure:
            raise self._failed(failure, view_id, is_all=given == gas) from None
        finally:
            if around is not EXACT:
                setcontext(around)
        return found, gas - given + left

    def _failed(self, failure: Failure, view_id: str, *, is_all: bool) -> QueryLimitError | FilterFailedError:
        if failure.code == "O901" and is_all:
            return QueryLimitError(
                f"the filter has used its {self._gas:,} gas before it has seen all views", value=self._gas, limit="gas",
                hint="narrow the query by a field that is indexed, or let the filter compute less", pointer=POINTER,
            )  # fmt: skip
        message = {
            "O901": f"it uses more than the {VIEW_GAS:,} gas that one view may take",
            "O902": f"it makes more than the {VIEW_ALLOC:,} units of memory that one view may take",
        }.get(failure.code, failure.message)
        span: Span | None = None
        excerpt: str | None = None
        if self._text is not None and failure.span is not None and failure.span.start >= self._offset:
            span = failure.span.moved(-self._offset)  # those before the text lie in a function of the program
            excerpt = _excerpt(Diagnostic(failure.code, message, span), self._text)
        shown = view_id if len(view_id) <= 200 else view_id[:199] + "…"
        return FilterFailedError(
            f"the filter fails on view {shown!a}: {message} ({failure.code})",
            hint=_HINTS.get(failure.code),
            pointer=POINTER, span=span, excerpt=excerpt,
        )  # fmt: skip


_HINTS = {
    "R704": "ask first whether it is there, as in `a != none and a.b > 1`, or write `?.` and `??`",
    "O901": "let the filter compute less for each view, or let the program keep what it computes in a field",
    "O902": "let the filter make shorter texts and lists, or let the program keep what it makes in a field",
}


def compile_filter(
    schema: ViewSchema,
    filter_: Filter | None,
    limits: QueryLimits = _DEFAULTS,
    execution: Execution = Execution.COMPILED,
) -> CompiledFilter:
    """The filter of a query, checked against the views of its type; None takes all.

    Raises:
        QueryInvalidError: it does not fit the views, with a pointer to where, and of a text the place in it.
        QueryLimitError: it is too long, too deep, or compares or computes too much.
    """
    tree: Tree | None = None
    if filter_ is None or isinstance(filter_, str):
        condition = _ALL if filter_ is None else _of_text(schema, filter_, limits)
        nodes = _nodes(condition.core)
        require_nodes(nodes, limits)
        fields, bounds = _fields(condition.core, schema), bounds_of(condition.core)
    else:
        condition, tree = _ALL, checked(schema, filter_, limits)
        nodes, fields, bounds = nodes_of(tree), fields_of(tree), bounds_of_tree(tree)
    if bounds.is_exact and not all(_is_of_its_type(bound, schema) for bound in bounds.bounds):
        bounds = bounds._replace(is_exact=False)  # an index rounds such numbers

    def routine() -> Routine:
        functions = schema.program.core.functions
        is_compiled = execution is Execution.COMPILED
        made = Compiled(functions, library=schema.functions) if is_compiled else Interpreted(functions)
        one = condition if tree is None else condition_of(tree, schema.scope)
        return made.routine(with_charges(one.core), GIVEN, one.slots)

    text = filter_ if isinstance(filter_, str) else None
    return CompiledFilter(routine, fields, bounds, text, condition.offset, limits.gas, nodes)


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
    """The line of a problem with its place marked."""
    return replace(problem, help="").render(Source(NAME, text)).partition("\n")[2]


def _nodes(node: core.Core) -> int:
    """How many nodes a computation has: what it takes to compile it."""
    count, waiting = 0, [node]
    while waiting:
        tick()
        count += 1
        waiting += core.parts(waiting.pop())
    return count


def _is_of_its_type(bound: Bound, schema: ViewSchema) -> bool:
    """Whether what is at the path can be each of the bound's numbers."""
    type_ = schema.resolve(bound.path).type
    scale = 0 if isinstance(type_, ty.Int) else type_.scale if isinstance(type_, ty.Decimal) else None
    values = bound.value if bound.op == "in" else (bound.value,)
    return scale is None or all(_fits(value, scale) for value in values)


def _fits(value: Any, scale: int) -> bool:
    tick()
    return rescaled(Decimal(value), scale) is not None


def _fields(node: core.Core, schema: ViewSchema) -> frozenset[str]:
    """The view's own fields that a computation reads: all, where it passes the view on as a whole."""
    found = set[str]()
    waiting = [node]
    while waiting:
        tick()
        one = waiting.pop()
        match one:
            case core.Get(base=core.Local(slot=core.VIEW)):
                found.add(one.field)
            case core.Local(slot=core.VIEW):
                return frozenset(schema.record.fields)
            case _:
                waiting += core.parts(one)
    return frozenset(found)
