"""Static bounds: what each handler costs at least and at most, from the declared sizes alone.

For every run, of any event on any view: what it is charged is at most the bound, and at least the bound if it comes to
its end. What a ledger is charged stops at its limit, so a bound above that means that some run may end there.

Some costs are no program's: checking a payload costs by its length (`payload_gas`), reading and writing a view by its
fields and its JSON (`view_gas`).
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.cost import costs
from projection.lang.cost.abstract import MAX_STEPS, Abstract, TooMuchWorkError
from projection.lang.cost.sizes import MOST, NONE, SINGLE, Origin, Size, Sizes, either
from projection.lang.cost.tally import ONCE, ZERO, Part, Range, Tally
from projection.lang.reporting import Diagnostic
from projection.lang.values.codec import declared_fields, largest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.program import Limits
    from projection.lang.source import Span

MAX_PAYLOAD = 8 * 1024 * 1024  # bytes; larger events never come in (`projection.model.envelope`)
ANY_EVENT = "*"  # the name of what a handler without names takes
_SHOWN = 60  # code points of an operation
_NAMED = 3  # terms in a diagnostic
_TELLING = 100  # what is less than this part of the whole is not worth a word


class Bound(NamedTuple):
    """What one computation takes of both ledgers."""

    gas: Range = ZERO
    alloc: Range = ZERO

    def plus(self, other: Bound) -> Bound:
        """Both, one after the other."""
        return Bound(self.gas.plus(other.gas), self.alloc.plus(other.alloc))


class Term(NamedTuple):
    """One place that makes up a part of the most, and the declarations that lower it when they are made smaller."""

    span: Span
    text: str  # of the place, on one line
    gas: int
    alloc: int
    origins: tuple[Origin, ...]  # from the outermost loop inwards


class HandlerBound(NamedTuple):
    """The bounds of one `on`."""

    span: Span
    events: tuple[str, ...]  # none of `on *`
    route: Bound  # for one event, `for` and all its items included
    body: Bound  # for one item on one view
    runs: Range  # how often one event may run the body on one view
    route_terms: tuple[Term, ...]  # the largest first
    body_terms: tuple[Term, ...]
    via: tuple[str, ...] = ()  # see `core.Handler`
    is_known: bool = True  # False where finding it out takes too much work: then nothing is said of the most

    def apply(self) -> Bound:
        """What one event takes on one view that it reaches."""
        runs = Range(1, max(1, self.runs.most))
        return Bound(self.body.gas.times(runs), self.body.alloc.times(runs))


def payload_gas() -> Range:
    """What checking an event's payload costs, beside what routes may cost; undeclared fields count."""
    return Range(costs.EVENT, costs.EVENT + MAX_PAYLOAD)


def view_gas(view: ty.Record, limits: Limits) -> Range:
    """What reading a view costs, and writing it costs again."""
    fields, most = costs.VIEW + declared_fields(view), min(largest(view), limits.view_bytes)
    is_measured = largest(view) > min(costs.SMALL_VIEW, limits.view_bytes)
    return Range(fields, fields + (most >> costs.VIEW_SHIFT if is_measured else 0))


def bounds_of(checked: CheckedProgram, limits: Limits) -> tuple[HandlerBound, ...]:
    """The bounds of every handler, in source order."""
    abstract, sizes = Abstract(checked.core.functions, limits.alloc), Sizes()
    return tuple(_bounded(checked, handler, abstract, sizes) for handler in checked.core.handlers)


def _bounded(checked: CheckedProgram, handler: core.Handler, abstract: Abstract, sizes: Sizes) -> HandlerBound:
    try:
        return _handler(checked, handler, abstract, sizes)
    except TooMuchWorkError:
        most = Bound(Range(0, MOST), Range(0, MOST))
        span, events, via = handler.span, handler.events, handler.via
        return HandlerBound(span, events, most, most, Range(0, MOST), (), (), via, is_known=False)


def _handler(checked: CheckedProgram, handler: core.Handler, abstract: Abstract, sizes: Sizes) -> HandlerBound:
    view = sizes.of(checked.view)
    events = [sizes.of(checked.events[name]) for name in handler.events] or [sizes.of(ty.JSON)]
    event = reduce(either, events)
    held = {"updates": view, "creates": NONE}.get(handler.target, either(NONE, view))
    frame: dict[int, Size | None] = {core.EVENT: event, core.META: sizes.of(ty.META), core.ITEM: SINGLE}
    routing, runs, origin = Tally(), ONCE, None
    if handler.source is not None:
        items = abstract.run(handler.source, frame, routing)
        runs = ZERO if items is None else Range(items.least, items.most)
        frame[core.ITEM] = SINGLE if items is None else items.each or SINGLE
        origin = None if items is None else items.origin
    each = Tally()
    frame[core.ID] = abstract.run(handler.route, frame, each)
    routing.add_all(each, runs, origin)
    frame[core.VIEW] = held
    working, repeated = Tally(), Tally()
    abstract.run(handler.body, frame, working)
    repeated.add_all(working, Range(1, max(1, runs.most)), origin)
    return HandlerBound(
        handler.span,
        handler.events,
        Bound(routing.gas, routing.alloc),
        Bound(working.gas, working.alloc),
        runs,
        _terms(checked, routing.parts.values()),
        _terms(checked, repeated.parts.values()),
        handler.via,
    )


def _terms(checked: CheckedProgram, parts: Iterable[Part]) -> tuple[Term, ...]:
    largest_first = sorted(parts, key=lambda part: (-part.gas, -part.alloc, part.span))
    return tuple(
        Term(part.span, _text(checked, part.span), part.gas, part.alloc, part.origins) for part in largest_first
    )


def _text(checked: CheckedProgram, span: Span) -> str:
    text = " ".join(checked.source.text[span.start : span.end].split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# --- against limits --------------------------------------------------------------------------------------------------


class _Ledger(NamedTuple):
    """What one type of event asks of one ledger."""

    name: str
    limit: int
    least: int
    most: int
    span: Span  # of the handler that takes the least of all that it does
    terms: Sequence[Term]


def problems(checked: CheckedProgram, limits: Limits) -> list[Diagnostic]:
    """G501 where no run can stay within a limit, G502 where some run may not.

    The payload is left out: it is limited in bytes, and a publisher can always send more than is declared.
    """
    bounds, found = bounds_of(checked, limits), list[Diagnostic]()
    told: set[tuple[tuple[Span, tuple[str, ...]], ...]] = set()
    for event in dict.fromkeys(event for bound in bounds for event in bound.events or (ANY_EVENT,)):
        taking = [bound for bound in bounds if event in (bound.events or (ANY_EVENT,))]
        spans = tuple((bound.span, bound.via) for bound in taking)
        if spans in told:
            continue  # what takes several events is told of once
        told.add(spans)
        if unknown := next((bound for bound in taking if not bound.is_known), None):
            found.append(diag.too_much_to_bound(unknown.span, event, MAX_STEPS))
            continue
        is_accepted = any(checked.source.accepts(bound.span.start, "G502") for bound in taking)
        for ledger in (_routing(limits, taking), *_applying(checked, limits, taking)):
            if ledger.least > ledger.limit:
                found.append(diag.always_beyond_limit(ledger.span, event, ledger.name, ledger.least, ledger.limit))
            elif ledger.most > ledger.limit and not is_accepted:
                found.append(_warning(checked, event, ledger))
    return found


def _routing(limits: Limits, taking: Sequence[HandlerBound]) -> _Ledger:
    """All routes of an event share one budget."""
    least, most = sum(one.route.gas.least for one in taking), sum(one.route.gas.most for one in taking)
    terms = sorted((term for one in taking for term in one.route_terms), key=lambda term: -term.gas)
    return _Ledger("route_gas", limits.route_gas, least, most, taking[0].span, terms)


def _applying(checked: CheckedProgram, limits: Limits, taking: Sequence[HandlerBound]) -> tuple[_Ledger, _Ledger]:
    """Handlers share the budget of a view that they meet on; whether they meet, nobody knows beforehand."""
    view = view_gas(checked.view, limits)
    gas = 2 * view.most + sum(one.apply().gas.most for one in taking)
    alloc = sum(one.apply().alloc.most for one in taking)
    terms = [term for one in taking for term in one.body_terms] + _view_terms(checked, 2 * view.most)
    dearest = max(taking, key=lambda one: one.body.gas.least)
    largest_ = max(taking, key=lambda one: one.body.alloc.least)
    return (
        _Ledger("gas", limits.gas, dearest.body.gas.least, gas, dearest.span, sorted(terms, key=lambda one: -one.gas)),
        _Ledger(
            "alloc", limits.alloc, largest_.body.alloc.least, alloc, largest_.span,
            sorted(terms, key=lambda one: -one.alloc),
        ),
    )  # fmt: skip


def _view_terms(checked: CheckedProgram, gas: int) -> list[Term]:
    """Reading and writing a view, which its largest field is the reason for."""
    view = checked.view
    if not view.fields:
        return []
    field = max(view.fields.values(), key=lambda one: largest(one.type))
    origin = Origin(f"{view.name}.{field.name}", str(field.type), field.span)
    return [Term(field.span, f"view {view.name}", gas, 0, (origin,))]


def _warning(checked: CheckedProgram, event: str, ledger: _Ledger) -> Diagnostic:
    amounts = [(term, term.alloc if ledger.name == "alloc" else term.gas) for term in ledger.terms[:_NAMED]]
    telling = [(term, amount) for term, amount in amounts if amount * _TELLING >= ledger.most]
    named = [_advice(checked, term, amount) for term, amount in telling]
    declared = dict.fromkeys(origin.span for term, _amount in telling for origin in term.origins[:2])
    most = shown(ledger.most)
    return diag.may_go_beyond_limit(ledger.span, event, ledger.name, most, ledger.limit, named, tuple(declared))


def _advice(checked: CheckedProgram, term: Term, amount: int) -> str:
    """A term in a diagnostic: the place, what it comes to, and the declarations that lower it."""
    line = checked.source.position(term.span.start)[0]
    declared = " and ".join(
        f"`{one.name}: {one.type}` (line {checked.source.position(one.span.start)[0]})" for one in term.origins[:2]
    )
    return f"`{term.text}` (line {line}) up to {shown(amount)}" + (
        f"; declare a smaller bound for {declared}" if declared else ""
    )


def shown(number: int) -> str:
    """A cost for people, who stop reading somewhere."""
    return f"{number:,}" if number < 10**15 else "more than 10^15"
