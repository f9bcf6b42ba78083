"""Checking `was`: how old forms of events become new ones, and the handlers that old forms so have.

An old form has no handlers of its own. For each handler of the event that it becomes there is one more, of the old
form: the same, over a new event that it makes of the old one. So whatever runs, bounds, measures or shows handlers
needs to know nothing of old forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.handlers import arm_condition
from projection.lang.check.places import Typed
from projection.lang.check.rewriting import FIRST_FREE, META, OLD, over_made_event, over_old_event
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.lang.check.expressions import Expressions
    from projection.lang.check.schema import Schema
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Span

MAX_WAYS = 32  # in which old forms become one event, over any number of steps


class Upcast(NamedTuple):
    """One `was`: a function that makes an event of its old form; of one that becomes none, it makes none."""

    name: str  # of the function; no program can name one so
    old: str


class UpcastChecker:
    """Checks the old forms of a program's events.

    `expressions` makes a checker of expressions. `functions` are what makes new events, by name; `calls` are the
    functions of the program that these call.
    """

    def __init__(
        self,
        schema: Schema,
        expressions: Callable[[], Expressions],
        problems: list[Diagnostic],
        warnings: list[Diagnostic],
    ) -> None:
        self._schema = schema
        self._expressions = expressions
        self._problems = problems
        self._warnings = warnings
        self._upcasts: dict[str, list[Upcast]] = {}  # by the event that is made
        self.functions: dict[str, core.Function] = {}
        self.calls: set[str] = set()

    def check(self, program: syn.Program) -> None:
        """All old forms, with problems reported."""
        for event in program.declarations:
            if isinstance(event, syn.Event) and self._schema.event_declarations.get(event.name) is event:
                self._event(event)
        self._require_an_end()
        self._require_no_handlers(program)

    def _event(self, event: syn.Event) -> None:
        seen: set[str] = set()
        for one in event.upcasts:
            if one.old in seen:
                self._problems.append(diag.old_form_twice(one.old_span, event.name, one.old))
                continue
            seen.add(one.old)
            old = self._schema.events.get(one.old)
            if old is None and one.old not in self._schema.unreadable:
                self._problems.append(diag.unknown_event(one.old_span, one.old, self._schema.events))
            name = upcast_name(event.name, one.old)
            body, slots = self._made(one, self._schema.events[event.name], old)
            self.functions[name] = core.Function(name, slots, body)
            self._upcasts.setdefault(event.name, []).append(Upcast(name, one.old))

    def _made(self, written: syn.Upcast, event: ty.Record, old: ty.Record | None) -> tuple[core.Core, int]:
        checker = self._expressions()
        checker.slots = FIRST_FREE
        checker.no_view = "in `was`, which makes an event of an old one"
        checker.declare("meta", ty.META, written.span, META, "")
        if written.name is not None and written.name_span is not None:
            checker.declare(written.name, ty.NEVER if old is None else old, written.name_span, OLD, "event")
        arms: list[tuple[core.Core | None, core.Core]] = []
        for position, arm in enumerate(written.arms):
            condition = arm_condition(checker, written.arms, position, self._problems, self._warnings)
            if_true, if_false = (
                checker.proven(arm.condition) if arm.condition is not None else (frozenset(), frozenset())
            )
            before, checker.present = checker.present, checker.present | if_true
            made = checker.fit(Typed(*checker.check(arm.result, event)), event, f"the {event}")
            checker.present = before | if_false
            arms.append((condition, made))
        checker.close()
        self.calls |= checker.calls
        node: core.Core = core.Const(written.span, None)
        for condition, made in reversed(arms):
            node = made if condition is None else core.If(condition.span, condition, made, node)
        return node, checker.slots

    # events among one another

    def _require_an_end(self) -> None:
        """An event is never an old form of itself, and not made in more ways than anybody follows."""
        ways: dict[str, int] = {}  # no recursion, for nothing has bound how long a chain is
        for first in self._upcasts:
            trail = [first]
            while trail:
                name = trail[-1]
                olds = [one.old for one in self._upcasts.get(name, ())]
                following = None if name in ways else next((old for old in olds if old not in ways), None)
                if following is None:
                    ways[name] = min(sum(1 + ways[old] for old in olds), MAX_WAYS + 1)
                    trail.pop()
                elif following in trail:
                    self._refuse(diag.event_was_itself, [*trail[trail.index(following) :], following])
                    return
                else:
                    trail.append(following)
        if (many := next((name for name, count in ways.items() if count > MAX_WAYS), None)) is not None:
            what = "ways in which old forms become one event"
            self._refuse(lambda span, _: diag.too_many_parts(span, what, ways[many], MAX_WAYS), [many])

    def _refuse(self, problem: Callable[[Span, list[str]], Diagnostic], events: list[str]) -> None:
        span = self._schema.event_declarations[events[0]].name_span
        self._problems.append(problem(span, events))
        self._upcasts.clear()  # what follows from them would be said in vain

    def _require_no_handlers(self, program: syn.Program) -> None:
        becomes = {one.old: name for name, upcasts in self._upcasts.items() for one in upcasts}
        for handler in program.declarations:
            for name, span in handler.events if isinstance(handler, syn.Handler) else ():
                if name in becomes:
                    self._problems.append(diag.handler_of_old_form(span, name, becomes[name]))

    # handlers

    def handlers(self, handler: core.Handler) -> Iterator[core.Handler]:
        """A handler, and those that it is of old forms of its events: source, route and body are not folded yet."""
        yield handler
        for name in handler.events:
            yield from self._of_old_forms(replace(handler, events=(name,)))

    def _of_old_forms(self, handler: core.Handler) -> Iterator[core.Handler]:
        for one in self._upcasts.get(handler.events[0], ()):
            derived = self._before(handler, one)
            yield derived
            yield from self._of_old_forms(derived)

    def _before(self, handler: core.Handler, upcast: Upcast) -> core.Handler:
        made, slots, source = self.functions[upcast.name], handler.slots, handler.source
        step = self._schema.work.step
        if source is not None:
            source, slots = over_old_event(source, made, [], slots, step)
        route, slots = over_old_event(handler.route, made, None, slots, step)
        body, slots = over_made_event(handler.body, made, slots, step)
        return replace(
            handler,
            events=(upcast.old,),
            source=source,
            route=route,
            body=body,
            slots=slots,
            via=(upcast.name, *handler.via),
        )


def upcast_name(event: str, old: str) -> str:
    """The name of the function that makes an event of its old form."""
    return f"{event} was {old}"
