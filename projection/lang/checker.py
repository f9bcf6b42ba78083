"""Checking a program: all its errors in one pass, or what executors need to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import syntax as syn
from projection.lang import types as ty
from projection.lang.digest import canonical, described, digest
from projection.lang.expressions import KEYWORDS, Expressions, Signature
from projection.lang.in_file_tests import Test, TestChecker
from projection.lang.library import BUILTINS
from projection.lang.parser import parse
from projection.lang.places import Typed
from projection.lang.schema import Schema
from projection.lang.segments import with_charges
from projection.lang.source import Source, Span
from projection.lang.structs import build_structs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.lang.diagnostics import Diagnostic

EDITION = 1
MAX_FUNCTIONS = 200
EVERY = "*"  # in the place of events: all types without a handler of their own
MAX_COMPUTED_DEPTH = 300  # levels that one computation nests, calls included; executors recurse as deep


@dataclass(frozen=True, slots=True)
class CheckedProgram:
    """A program without errors."""

    source: Source
    name: str
    edition: int
    doc: str
    view: ty.Record
    events: Mapping[str, ty.Record]
    event_declarations: Mapping[str, syn.Event]
    indexes: tuple[tuple[tuple[str, bool], ...], ...]
    core: core.Program
    digest: str
    tests: tuple[Test, ...] = ()


def check(source: Source) -> CheckedProgram:
    """Check a program.

    Raises:
        ProgramInvalidError: with every diagnostic of the file.
    """
    tree, problems = parse(source)
    checked = _Checker(source, tree, problems).run()
    if problems or checked is None:
        raise diag.ProgramInvalidError(source, problems)
    return checked


class _Checker:
    def __init__(self, source: Source, tree: syn.Program, problems: list[Diagnostic]) -> None:
        self.source = source
        self.tree = tree
        self.problems = problems
        self.schema = Schema(source, problems)
        self.signatures: dict[str, Signature] = {}
        self.functions: dict[str, core.Function] = {}
        self.calls: dict[str, frozenset[str]] = {}
        self.callees_first: list[str] = []
        self.depths: dict[str, int] = {}

    def run(self) -> CheckedProgram | None:
        """What was checked; None, with problems reported, where it is no program."""
        complete = not self.problems  # after a syntax error, what seems to be missing may only be unreadable
        self._head(complete=complete)
        self.schema.load(self.tree, self._constant)
        self._functions()
        handlers = self._handlers()
        if complete and self.schema.view is None:
            self.problems.append(diag.no_view(Span(0, 1)))
        if complete and not any(isinstance(one, syn.Handler) for one in self.tree.declarations):
            self.problems.append(diag.no_handlers(Span(0, 1)))
        tests = self._tests()
        if self.problems or self.schema.view is None or self.tree.name is None:
            return None
        functions = {
            name: core.Function(name, function.slots, with_charges(function.body))
            for name, function in self.functions.items()
        }
        schema = sorted(described(record) for record in self.schema.records())
        events = sorted(f"{e.name}|{e.wires}|{e.aggregate_type}" for e in self.schema.event_declarations.values())
        return CheckedProgram(
            self.source,
            self.tree.name[0],
            EDITION,
            self.source.doc(self.tree.name[1].start),
            self.schema.view,
            self.schema.events,
            self.schema.event_declarations,
            tuple(self.schema.indexes),
            core.Program(functions, tuple(map(_with_charges, handlers))),
            digest(EDITION, schema, events, self.functions, handlers),
            tests,
        )

    def _head(self, *, complete: bool) -> None:
        start = Span(0, max(1, len(self.source.line(1))))
        if self.tree.edition is not None and self.tree.edition[0] != EDITION:
            self.problems.append(diag.wrong_edition(self.tree.edition[1], self.tree.edition[0]))
        elif self.tree.edition is None and complete:
            self.problems.append(diag.wrong_edition(start, None))
        if self.tree.name is None and complete:
            self.problems.append(diag.no_projection_name(start))

    def _expressions(self) -> Expressions:
        return Expressions(self.schema, self.signatures, self.problems)

    def _constant(self, expression: syn.Expression, place: ty.Type) -> object:
        """The value of a default."""
        before = len(self.problems)
        node = self._expressions().fitted(expression, place, "the default")
        if len(self.problems) > before:
            return None
        if isinstance(node, core.Const):
            return node.value
        self.problems.append(diag.default_not_constant(expression.span))
        return None

    # functions

    def _functions(self) -> None:
        declared = [one for one in self.tree.declarations if isinstance(one, syn.Function)]
        first: dict[str, syn.Function] = {}
        for one in declared:
            if one.name in first or one.name in BUILTINS:
                line = self.source.position(first[one.name].span.start)[0] if one.name in first else None
                self.problems.append(diag.already_declared(one.name_span, one.name, line))
                continue
            if one.name in KEYWORDS:
                self.problems.append(diag.keyword_as_variable(one.name_span, one.name))
            first[one.name] = one
            parameters = tuple(self.schema.place(parameter.type) for parameter in one.parameters)
            self.signatures[one.name] = Signature(parameters, self.schema.place(one.type))
        for name, one in first.items():
            checker, signature = self._expressions(), self.signatures[name]
            checker.no_view = "in a function; pass it as an argument"
            for parameter, type_ in zip(one.parameters, signature.parameters, strict=True):
                checker.declare(parameter.name, type_, parameter.span)
            body = checker.fitted(one.body, signature.result, f"the result of `{name}`")
            self.functions[name] = core.Function(name, checker.slots, body)
            self.calls[name] = frozenset(checker.calls)
        if len(first) > MAX_FUNCTIONS:
            self.problems.append(diag.too_many_functions(list(first.values())[MAX_FUNCTIONS].name_span, MAX_FUNCTIONS))
        elif (cycle := self._cycle()) is not None:
            self.problems.append(diag.recursive_function(first[cycle[0]].name_span, cycle))
        for name in self.callees_first:
            depth = self._depth(self.functions[name].body) + 2
            self.depths[name] = 0 if self._is_too_deep(depth, first[name].name_span, name) else depth  # told once

    def _cycle(self) -> list[str] | None:
        """A way from a function back to itself; without one, `callees_first` holds all functions."""
        trail: list[str] = []

        def visit(name: str) -> list[str] | None:
            if name in self.callees_first:
                return None
            if name in trail:
                return [*trail[trail.index(name) :], name]
            trail.append(name)
            for callee in sorted(self.calls[name]):
                if (found := visit(callee)) is not None:
                    return found
            trail.pop()
            self.callees_first.append(name)
            return None

        return next((found for name in self.functions if (found := visit(name)) is not None), None)

    # handlers

    def _handlers(self) -> list[core.Handler]:
        found: list[core.Handler] = []
        routes: dict[tuple[str, str], int] = {}
        for one in self.tree.declarations:
            if not isinstance(one, syn.Handler):
                continue
            before = len(self.problems)
            handler = self._handler(one)
            found.append(handler)
            depth = self._depth(handler.source, handler.route, handler.body)
            events = one.events or ((EVERY, one.span),)
            if self._is_too_deep(depth, one.span, f"on {events[0][0]}") or len(self.problems) > before:
                continue  # what did not check has no route to compare
            for name, span in events:
                route = (name, canonical((handler.source, handler.route)))
                if route in routes:
                    self.problems.append(diag.same_route_twice(span, name, routes[route]))
                routes.setdefault(route, self.source.position(one.span.start)[0])
        return found

    def _handler(self, handler: syn.Handler) -> core.Handler:
        event = self._event(handler)
        view = self.schema.view
        checker = self._expressions()
        checker.slots = core.FIRST_FREE
        checker.no_view = "in a route, which reads only the event"
        checker.declare("meta", ty.META, handler.span, core.META)
        if handler.name is not None:
            checker.declare(handler.name, event, handler.span, core.EVENT)
        source, known = self._source(checker, handler)
        before, checker.present = checker.present, known
        place = ty.Optional(ty.TEXT)
        route = checker.fit(checker.check(handler.id, place), place, "a view id")
        checker.declare("id", ty.TEXT, handler.span, core.ID)
        if view is not None and handler.target != "creates":
            type_ = view if handler.target == "updates" else ty.Optional(view)
            checker.variables["view"] = (core.VIEW, type_)
        checker.no_view = "while it is created"
        body = self._body(checker, handler, view or ty.NEVER)
        checker.present = before
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
            if (event := self.schema.events.get(name)) is None:
                if name not in self.schema.unreadable:
                    self.problems.append(diag.unknown_event(span, name, self.schema.events))
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

    def _source(
        self, checker: Expressions, handler: syn.Handler
    ) -> tuple[core.Core | None, frozenset[tuple[str, ...]]]:
        """The items of a handler's `for`; its variable is in scope from there on."""
        loop = handler.loop
        if loop is None:
            return None, frozenset()
        if len(loop.names) != 1:
            self.problems.append(diag.not_iterable(loop.span, "a route with two variables"))
        source = checker.check(loop.source)
        if not isinstance(source.type, (ty.List, ty.Never)):
            source = checker.report(diag.not_iterable(loop.source.span, str(source.type)))
        item = source.type.item if isinstance(source.type, ty.List) else ty.NEVER
        slot = checker.declare(loop.names[0], item, loop.span, core.ITEM)
        if loop.condition is None:
            return source.core, frozenset()
        condition = checker.condition(loop.condition)
        node = core.Loop(loop.span, source.core, (slot,), condition, core.Local(loop.span, slot))
        return node, checker.proven(loop.condition)[0]

    def _body(self, checker: Expressions, handler: syn.Handler, view: ty.Type) -> core.Core:
        arms: list[tuple[core.Core | None, core.Core]] = []
        for arm in handler.arms:
            condition = None if arm.condition is None else checker.condition(arm.condition)
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

    def _tests(self) -> tuple[Test, ...]:
        tests = [one for one in self.tree.declarations if isinstance(one, syn.Test)]
        takes_all = any(isinstance(one, syn.Handler) and not one.events for one in self.tree.declarations)
        is_sound = not self.problems
        if is_sound:
            build_structs(self.schema.records())
        checker = TestChecker(self.schema, self.signatures, self.problems, is_sound=is_sound)
        return checker.check(tests, takes_all=takes_all)

    # depth

    def _depth(self, *nodes: core.Core | None) -> int:
        """How many levels the deepest of these nests, calls included; no recursion, for nothing has bound them yet."""
        deepest, stack = 0, [(node, 0) for node in nodes]
        while stack:
            node, level = stack.pop()
            own, inner = _levels(node)
            called = self.depths.get(node.function, 0) if isinstance(node, core.Call) else 0
            deepest = max(deepest, level + own + called)
            stack += [(part, level + own) for part in inner]
        return deepest

    def _is_too_deep(self, depth: int, span: Span, name: str) -> bool:
        if depth > MAX_COMPUTED_DEPTH:
            self.problems.append(diag.too_deep_a_computation(span, name, depth, MAX_COMPUTED_DEPTH))
        return depth > MAX_COMPUTED_DEPTH


def _levels(node: core.Core | None) -> tuple[int, tuple[core.Core | None, ...]]:
    """How many levels a node adds, and what it computes inside."""
    match node:
        case core.Call():
            return 1, node.arguments
        case core.Loop():
            return 2, (node.source, node.condition, node.body)
        case core.Fold():
            return 2, (node.initial, node.source, node.condition, node.body)
        case core.Op():
            return 2, node.operands
        case core.If():
            return 2, (node.condition, node.yes, node.no)
        case core.Let():
            return 2, (node.value, node.body)
        case core.Get():
            return 1, (node.base,)
        case core.Charge():
            return 1, (node.body,)
        case core.New():
            return 3, node.values
        case core.Update():
            return 3, (node.base, *node.values)
        case _:
            return 1, ()


def _with_charges(handler: core.Handler) -> core.Handler:
    source = None if handler.source is None else with_charges(handler.source)
    route, body = with_charges(handler.route), with_charges(handler.body)
    return core.Handler(
        handler.span, handler.events, handler.target, source, route, body, handler.slots, handler.only_deletes
    )
