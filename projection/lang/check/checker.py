"""Checking a program: all its errors in one pass, or what executors need to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.depths import MAX_DEPTH, depth
from projection.lang.check.expressions import KEYWORDS, Expressions, Signature
from projection.lang.check.handlers import EVERY, HandlerChecker
from projection.lang.check.in_file_tests import Expectation, Test, TestChecker
from projection.lang.check.lints import HANDLERS, TESTS, invisible, unused
from projection.lang.check.schema import Schema
from projection.lang.check.upcasts import UpcastChecker
from projection.lang.check.work import MAX_STEPS, TooMuchWorkError
from projection.lang.cost.segments import with_charges
from projection.lang.digest import digest
from projection.lang.immutable import Immutable
from projection.lang.message_parts import MessageParts, message_parts
from projection.lang.reporting import (
    MAX_PROBLEMS,
    Diagnostic,
    Problems,
    ProgramInvalidError,
    TooManyProblemsError,
)
from projection.lang.run.folding import folded
from projection.lang.source import Source, Span
from projection.lang.syntax import nodes as syn
from projection.lang.syntax.parser import parse
from projection.lang.values.structs import build_structs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


EDITION = 1
MAX_FUNCTIONS = 200


class CheckedProgram(Immutable, frozen=True):
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
    message_parts: MessageParts
    digest: str
    tests: tuple[Test, ...]
    warnings: tuple[Diagnostic, ...]


def check(source: Source) -> CheckedProgram:
    """Check a program.

    Raises:
        ProgramInvalidError: with every diagnostic of the file.
    """
    return scope_of(source).checked


class Scope(NamedTuple):
    """What an expression that stands outside of a program can see of it."""

    checked: CheckedProgram
    schema: Schema
    signatures: Mapping[str, Signature]
    depths: Mapping[str, int]  # how deep functions nest, by name


def scope_of(source: Source) -> Scope:
    """Check a program for expressions that are checked later.

    Raises:
        ProgramInvalidError: with every diagnostic of the file.
    """
    tree, unreadable = parse(source)
    problems = Problems(unreadable)
    checker = _Checker(source, tree, problems)
    try:
        checked = checker.run()
    except TooManyProblemsError:
        last = max(problems, key=lambda one: one.span)
        raise ProgramInvalidError(source, [*problems, diag.too_many_problems(last.span, MAX_PROBLEMS)]) from None
    except TooMuchWorkError:
        problem = diag.too_much_to_check(Span(0, 1), MAX_STEPS)
        raise ProgramInvalidError(source, [*problems, problem]) from None
    if problems or checked is None:
        raise ProgramInvalidError(source, problems)
    return Scope(checked, checker.schema, checker.signatures, checker.depths)


class _Checker:
    def __init__(self, source: Source, tree: syn.Program, problems: list[Diagnostic]) -> None:
        self.source = source
        self.tree = tree
        self.problems = problems
        self.warnings: list[Diagnostic] = []
        self.schema = Schema(source, problems)
        self.signatures: dict[str, Signature] = {}
        self.functions: dict[str, core.Function] = {}
        self.calls: dict[str, frozenset[str]] = {}
        self.callees_first: list[str] = []
        self.depths: dict[str, int] = {}
        self.upcasts = UpcastChecker(self.schema, self._expressions, problems, self.warnings)

    def run(self) -> CheckedProgram | None:
        """What was checked; None, with problems reported, where it is no program."""
        complete = not self.problems  # after a syntax error, what seems to be missing may only be unreadable
        self._head(complete=complete)
        self.schema.load(self.tree, self._constant)
        self._functions()
        handlers = self._handlers()
        self.upcasts.check(self.tree)
        self.calls[HANDLERS] |= self.upcasts.calls
        if complete and self.schema.view is None:
            self.problems.append(diag.no_view(Span(0, 1)))
        if complete and not any(isinstance(one, syn.Handler) for one in self.tree.declarations):
            self.problems.append(diag.no_handlers(Span(0, 1)))
        tests = self._tests()
        if self.problems or self.schema.view is None or self.tree.name is None:
            return None
        if (found := self._with_old_forms(handlers)) is None:
            return None
        made = {name: self.upcasts.functions[name] for one in found for name in one.via}
        every = {**self.functions, **dict(sorted(made.items()))}
        functions = {name: core.Function(name, one.slots, folded(one.body)) for name, one in every.items()}
        handlers = [one.rebuilt(folded) for one in found]
        self.warnings += [*unused(self.tree, self.schema, self.calls), *invisible(self.source)]
        return CheckedProgram(
            self.source,
            self.tree.name[0],
            EDITION,
            self.source.doc(self.tree.name[1].start),
            self.schema.view,
            self.schema.events,
            self.schema.event_declarations,
            tuple(self.schema.indexes),
            core.Program(
                {name: core.Function(name, one.slots, with_charges(one.body)) for name, one in functions.items()},
                tuple(one.rebuilt(with_charges) for one in handlers),
            ),
            message_parts(handlers, [functions[name].body for name in made]),
            digest(EDITION, self.schema, functions, handlers),
            tests,
            tuple(sorted(self.warnings, key=lambda one: one.span)),
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
        return Expressions(self.schema, self.signatures, self.problems, self.warnings)

    def _constant(self, expression: syn.Expression, place: ty.Type) -> object:
        """The value of a default."""
        before = len(self.problems)
        checker = self._expressions()
        checker.not_constant = frozenset(one.name for one in self.tree.declarations if isinstance(one, syn.Function))
        node = checker.fitted(expression, place, "the default")
        is_known = len(self.problems) == before and not self.schema.unreadable
        if not is_known or self._is_too_deep(depth({}, node), expression.span, "the default"):
            return None
        if isinstance(node := folded(node), core.Const):
            return node.value
        if self.schema.is_sound:
            self.problems.append(diag.default_not_constant(expression.span))
        return None

    # functions

    def _functions(self) -> None:
        declared = [one for one in self.tree.declarations if isinstance(one, syn.Function)]
        first: dict[str, syn.Function] = {}
        for one in declared:
            # A builtin's name may be taken: one that a release adds must not break the programs that are there.
            if one.name in first:
                span = first[one.name].name_span
                line = self.source.position(span.start)[0]
                self.problems.append(diag.already_declared(one.name_span, one.name, line, span))
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
                checker.declare(parameter.name, type_, parameter.span, what="parameter")
            body = checker.fitted(one.body, signature.result, f"the result of `{name}`")
            checker.close()
            self.functions[name] = core.Function(name, checker.slots, body)
            self.calls[name] = frozenset(checker.calls)
        if len(first) > MAX_FUNCTIONS:
            self.problems.append(diag.too_many_functions(list(first.values())[MAX_FUNCTIONS].name_span, MAX_FUNCTIONS))
        elif (cycle := self._cycle()) is not None:
            self.problems.append(diag.recursive_function(first[cycle[0]].name_span, cycle))
        for name in self.callees_first:
            levels = depth(self.depths, self.functions[name].body) + 2
            self.depths[name] = 0 if self._is_too_deep(levels, first[name].name_span, name) else levels  # told once

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

    def _handlers(self) -> list[core.Handler]:
        checker = HandlerChecker(self.schema, self._expressions, self.problems, self.warnings, self.depths)
        handlers = [checker.check(one) for one in self.tree.declarations if isinstance(one, syn.Handler)]
        self.calls[HANDLERS] = frozenset(checker.calls)
        return handlers

    def _with_old_forms(self, handlers: Iterable[core.Handler]) -> list[core.Handler] | None:
        """The handlers, each with those of old forms behind it; None, which is reported, where one nests too deeply."""
        for name, function in self.upcasts.functions.items():
            self.depths[name] = depth(self.depths, function.body) + 2
        found: list[core.Handler] = []
        for one in (derived for handler in handlers for derived in self.upcasts.handlers(handler)):
            levels = depth(self.depths, one.source, one.route, one.body)
            if self._is_too_deep(levels, one.span, f"on {', '.join(one.events) or EVERY}"):
                return None
            found.append(one)
        return found

    def _tests(self) -> tuple[Test, ...]:
        tests = [one for one in self.tree.declarations if isinstance(one, syn.Test)]
        takes_all = any(isinstance(one, syn.Handler) and not one.events for one in self.tree.declarations)
        is_sound = not self.problems
        if is_sound:
            build_structs(self.schema.records())
        checker = TestChecker(self.schema, self._expectations, self.problems, is_sound=is_sound)
        found = checker.check(tests, takes_all=takes_all)
        self.calls[TESTS] = frozenset(checker.calls)
        return found

    def _expectations(self) -> Expectation:
        return Expectation(self.schema, self.signatures, self.problems, self.warnings)

    def _is_too_deep(self, levels: int, span: Span, name: str) -> bool:
        if levels > MAX_DEPTH:
            self.problems.append(diag.too_deep_a_computation(span, name, levels, MAX_DEPTH))
        return levels > MAX_DEPTH
