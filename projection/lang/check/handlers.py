"""Checking handlers: what events they take, where these go, and what becomes of the view there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.comprehensions import UNNAMED
from projection.lang.check.depths import MAX_DEPTH, depth
from projection.lang.check.places import Typed
from projection.lang.digest import canonical
from projection.lang.run.folding import folded
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.lang.check.branches import Paths
    from projection.lang.check.expressions import Expressions
    from projection.lang.check.schema import Schema
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Span

EVERY = "*"  # in the place of events: all types without a handler of their own


class HandlerChecker:
    """Checks the handlers of a program, one after the other.

    `expressions` makes a checker of expressions; `depths` tells how deep functions compute. `calls` are the functions
    that were called.
    """

    def __init__(
        self,
        schema: Schema,
        expressions: Callable[[], Expressions],
        problems: list[Diagnostic],
        warnings: list[Diagnostic],
        depths: Mapping[str, int],
    ) -> None:
        self._schema = schema
        self._expressions = expressions
        self._problems = problems
        self._warnings = warnings
        self._depths = depths
        self._routes: dict[tuple[str, str], Span] = {}
        self.calls: set[str] = set()

    def check(self, written: syn.Handler) -> core.Handler:
        """One handler, with problems reported."""
        before = len(self._problems)
        handler = self._handler(written)
        levels = depth(self._depths, handler.source, handler.route, handler.body)
        events = written.events or ((EVERY, written.span),)
        if levels > MAX_DEPTH:
            name = f"on {events[0][0]}"
            self._problems.append(diag.too_deep_a_computation(written.span, name, levels, MAX_DEPTH))
        # What did not check, or may hold what could not be read, has no route to compare: its types are not known.
        if len(self._problems) == before and not self._schema.unreadable:
            source = None if handler.source is None else folded(handler.source)
            place = canonical((source, folded(handler.route)))
            for name, span in events:
                if (first := self._routes.get((name, place))) is not None:
                    line = self._schema.source.position(first.start)[0]
                    self._problems.append(diag.same_route_twice(span, name, line, first))
                self._routes.setdefault((name, place), written.span)
        return handler

    def _handler(self, handler: syn.Handler) -> core.Handler:
        event = self._event(handler)
        view = self._schema.view
        checker = self._expressions()
        checker.slots = core.FIRST_FREE
        checker.no_view = "in a route, which reads only the event"
        checker.declare("meta", ty.META, handler.span, core.META, "")
        if handler.name is not None and handler.name_span is not None:
            checker.declare(handler.name, event, handler.name_span, core.EVENT, "event")
        source, known = self._source(checker, handler)
        checker.present = known
        place = ty.Optional(ty.TEXT)
        route = checker.fit(checker.check(handler.id, place), place, "a view id")
        self._warn_of_ambiguous_id(checker, handler.id)
        checker.declare("id", ty.TEXT, handler.span, core.ID, "")
        if handler.target != "creates":  # without a readable declaration, nothing about `view` is known to be wrong
            optional = ty.NEVER if view is None else ty.Optional(view)
            checker.predeclare("view", view or ty.NEVER if handler.target == "updates" else optional, core.VIEW)
        checker.no_view = "while it is created"
        body = self._body(checker, handler, view or ty.NEVER)
        checker.close()
        if isinstance(event, ty.Record):
            for name, _span in handler.events:  # of what several events have in common, each must keep it
                self._schema.events[name].asked |= event.asked
        self.calls |= checker.calls
        # A condition could spare the view, and would look at one that its parked events are missing from.
        only_deletes = all(isinstance(arm.result, syn.Delete) and arm.condition is None for arm in handler.arms)
        events = tuple(name for name, _span in handler.events)
        return core.Handler(handler.span, events, handler.target, source, route, body, checker.slots, only_deletes)

    def _event(self, handler: syn.Handler) -> ty.Type:
        """The type of the event variable: of several events, what they have in common; of all others, json."""
        if not handler.events:
            return ty.JSON
        events: list[ty.Record] = []
        for name, span in handler.events:
            if (event := self._schema.events.get(name)) is None:
                if name not in self._schema.unreadable:
                    self._problems.append(diag.unknown_event(span, name, self._schema.events))
            else:
                events.append(event)
        if len(events) != len(handler.events):
            return ty.NEVER
        if len(events) == 1:
            return events[0]
        common = ty.Record(", ".join(event.name for event in events), "event", line=events[0].line)
        for name, field in events[0].fields.items():
            if all(name in event.fields and event.fields[name].type == field.type for event in events):
                common.fields[name] = field
        return common

    def _source(self, checker: Expressions, handler: syn.Handler) -> tuple[core.Core | None, Paths]:
        """The items of a handler's `for`; its variable is in scope from there on."""
        loop = handler.loop
        if loop is None:
            return None, frozenset()
        if len(loop.names) != 1:
            self._problems.append(diag.not_iterable(loop.span, "a route with two variables"))
        source = checker.check(loop.source)
        if not isinstance(source.type, (ty.List, ty.Set, ty.Never)):
            source = checker.report(diag.not_iterable(loop.source.span, str(source.type)))
        item = source.type.item if isinstance(source.type, (ty.List, ty.Set)) else ty.NEVER
        slot = core.ITEM
        if loop.names[0] != UNNAMED:
            checker.declare(loop.names[0], item, loop.name_spans[0], slot, "variable of `for`")
        if loop.condition is None:
            return source.core, frozenset()
        condition = checker.condition(loop.condition)
        node = core.Loop(loop.span, source.core, (slot,), condition, core.Local(loop.span, slot))
        return node, checker.proven(loop.condition)[0]

    def _body(self, checker: Expressions, handler: syn.Handler, view: ty.Type) -> core.Core:
        arms: list[tuple[core.Core | None, core.Core]] = []
        for position, arm in enumerate(handler.arms):
            condition = arm_condition(checker, handler.arms, position, self._problems, self._warnings)
            if_true, if_false = (
                checker.proven(arm.condition) if arm.condition is not None else (frozenset(), frozenset())
            )
            match arm.result:
                case syn.Keep(span=span):
                    result: core.Core = core.Const(span, core.KEEP)
                case syn.Delete(span=span):
                    result = core.Const(span, core.DELETE)
                case expression:
                    before, checker.present = checker.present, checker.present | if_true
                    result = checker.fit(Typed(*checker.check(expression, view)), view, "the result")
                    checker.present = before
            arms.append((condition, result))
            checker.present |= if_false
        node: core.Core = core.Const(handler.span, core.KEEP)
        for condition, result in reversed(arms):
            node = result if condition is None else core.If(condition.span, condition, result, node)
        return node

    # ids

    def _warn_of_ambiguous_id(self, checker: Expressions, written: syn.Expression) -> None:
        """Two free texts side by side could have been cut elsewhere."""
        parts: Sequence[str | syn.Expression] = ()
        if isinstance(written, syn.Text):
            parts = written.parts
        elif isinstance(written, syn.Chain) and written.operators[0] == "+":
            parts = written.operands
        free = [
            self._schema.source.text[part.span.start : part.span.end]
            for part in parts
            if not isinstance(part, str) and _is_free(checker.type_of(part))
        ]
        if len(free) > 1:
            self._warnings.append(diag.ambiguous_id(written.span, free))


def arm_condition(
    checker: Expressions,
    arms: Sequence[syn.Arm | syn.Made],
    position: int,
    problems: list[Diagnostic],
    warnings: list[Diagnostic],
) -> core.Core | None:
    """The condition of an arm, which leaves something to all arms; None where it has none."""
    written = arms[position].condition
    if written is None:
        return None
    before = len(problems)
    condition = checker.condition(written)
    always = checker.constant_truth(condition) if len(problems) == before else None
    if always is False:
        problems.append(diag.unreachable_arm(written.span, "its condition is always false"))
    elif always and position + 1 < len(arms):
        behind = arms[position + 1].span
        problems.append(diag.unreachable_arm(behind, "the condition before it is always true"))
    elif always:
        warnings.append(diag.constant_condition(written.span, always=True))
    return condition


def _is_free(type_: ty.Type) -> bool:
    return isinstance(type_, ty.String) and type_.literal is None
