"""A session: expressions one after another, in the scope of a program, with names that stay. What the REPL runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.checker import scope_of
from projection.lang.check.in_file_tests import Expectation
from projection.lang.check.work import MAX_STEPS, TooMuchWorkError
from projection.lang.cost.segments import with_charges
from projection.lang.failures import Failure
from projection.lang.program import Limits
from projection.lang.reporting import Diagnostic, Problems, ProgramInvalidError, TooManyProblemsError
from projection.lang.run.folding import folded
from projection.lang.run.interpreter import Interpreter, Meter
from projection.lang.source import Source, Span
from projection.lang.syntax.parser import parse_expression
from projection.lang.syntax.texts import UnreadableError
from projection.lang.values.plain import plain_text
from projection.lang.values.structs import build_structs

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.syntax import nodes as syn

NAME = "<input>"
NO_PROGRAM = "proj 1\nprojection p\nevent E {}\nview V { n: int = 0 }\non E to none => keep\n"
_LET = re.compile(r"let\s+([A-Za-z]\w*)\b", re.ASCII)


class Evaluated(NamedTuple):
    """What an input comes to."""

    value: Any
    type: ty.Type
    gas: int
    alloc: int


class Session:
    """Evaluates inputs; `view` and `parked` look up what `view(ID)` and `parked(ID)` stand for."""

    def __init__(self, source: Source, limits: Limits | None = None) -> None:
        """Check a program.

        Raises:
            ProgramInvalidError: with every diagnostic.
        """
        self._text = source.text + "\n"
        self._scope = scope_of(Source(source.name, self._text))
        self.limits = limits or Limits()
        self._predeclared: dict[int, tuple[str, ty.Type, Any]] = {}  # by slot
        self._named: dict[str, tuple[ty.Type, Any]] = {}
        self.view: Callable[[str], Any] = lambda _id: None
        self.parked: Callable[[str], str | None] = lambda _id: None

    @property
    def checked(self) -> CheckedProgram:
        """The program."""
        return self._scope.checked

    def stand_at(self, payload: Any, meta: Any) -> None:
        """Let `e` and `meta` be a decoded event and what came with it; neither, where `meta` is None."""
        for slot in (core.EVENT, core.META):
            self._predeclared.pop(slot, None)
        if meta is not None:
            events = self.checked.events.values()
            type_ = next((one for one in events if isinstance(payload, one.made())), ty.JSON)
            self._predeclared[core.EVENT] = ("e", type_, payload)
            self._predeclared[core.META] = ("meta", ty.META, meta)

    def look_at(self, view_id: str | None, view: Any = None) -> None:
        """Let `view` and `id` be one view, which may be none; None for neither."""
        for slot in (core.VIEW, core.ID):
            self._predeclared.pop(slot, None)
        if view_id is not None:
            type_ = self.checked.view
            self._predeclared[core.VIEW] = ("view", ty.optional(type_) if view is None else type_, view)
            self._predeclared[core.ID] = ("id", ty.TEXT, plain_text(view_id))

    def names(self) -> list[str]:
        """The variables in scope."""
        return sorted({*(name for name, _type, _value in self._predeclared.values()), *self._named})

    def type_of(self, text: str) -> ty.Type:
        """The type of an expression, which is not computed.

        Raises:
            ProgramInvalidError: with its diagnostics; their places are in the text.
        """
        return self._checked(text)[1]

    def evaluate(self, text: str) -> Evaluated:
        """Compute an expression, or keep the value of `let name = expression` under its name.

        Raises:
            ProgramInvalidError: with its diagnostics; their places are in the text.
            Failure: with its span in the text, unless it lies in a function of the program; `gas` is what was used.
        """
        let = _LET.match(text)
        if let is not None and not _is_whole(text) and _is_whole(named := f"{text}; {let[1]}"):
            self._named.pop(let[1], None)
            found = self._run(named)
            self._named[let[1]] = (found.type, found.value)
            return found
        return self._run(text)

    def excerpt(self, text: str, failure: Failure) -> str:
        """A failure as a diagnostic, in the text or in the program."""
        if failure.span is None:
            return f"error[{failure.code}]: {failure.message}"
        at = len(self._text)
        if failure.span.start < at:
            return Diagnostic(failure.code, failure.message, failure.span).render(self.checked.source)
        span = Span(failure.span.start - at, failure.span.end - at)
        return Diagnostic(failure.code, failure.message, span).render(Source(NAME, text))

    def _run(self, text: str) -> Evaluated:
        expectation, type_, node = self._checked(text)
        frame: list[Any] = [None] * expectation.slots
        for slot, (_name, _type, value) in self._predeclared.items():
            frame[slot] = value
        for index, (_type, value) in enumerate(self._named.values(), core.FIRST_FREE):
            frame[index] = value
        interpreter = Interpreter(self.checked.core.functions)
        meter = Meter(self.limits.gas, self.limits.alloc)
        try:
            for lookup in expectation.lookups:
                view_id = interpreter.run(lookup.id, frame, meter)
                frame[lookup.slot] = self.view(view_id) if lookup.kind == "view" else self.parked(view_id)
            value = interpreter.run(node, frame, meter)
        except Failure as failure:
            failure.gas = meter.used
            raise
        return Evaluated(value, type_, meter.used, meter.alloc_limit - meter.alloc)

    def _checked(self, text: str) -> tuple[Expectation, ty.Type, core.Core]:
        problems = Problems()
        at = len(self._text)
        schema = self._scope.schema.seen_from(Source(NAME, self._text + text), problems)  # messages quote the text
        expectation = Expectation(schema, self._scope.signatures, problems, [])
        expectation.slots = core.FIRST_FREE
        for slot, (name, type_, _value) in self._predeclared.items():
            expectation.predeclare(name, type_, slot)
        for name, (type_, _value) in self._named.items():
            expectation.predeclare(name, type_, expectation.new_slot())
        try:
            expression: syn.Expression = parse_expression(text, at)
            typed = expectation.check(expression)
        except UnreadableError as stop:
            problems.append(stop.diagnostic)
        except TooManyProblemsError:
            pass  # the first ones are shown
        except TooMuchWorkError:
            problems.append(diag.too_much_to_check(Span(at, at + 1), MAX_STEPS))
        if problems:
            raise ProgramInvalidError(Source(NAME, text), [self._moved(one) for one in problems])
        build_structs(schema.records())
        return expectation, typed.type, with_charges(folded(typed.core))

    def _moved(self, one: Diagnostic) -> Diagnostic:
        """A diagnostic of the text by itself; other places are in the program, which is not shown."""
        at = len(self._text)
        fix = None if one.fix is None else (Span(one.fix[0].start - at, one.fix[0].end - at), one.fix[1])
        return Diagnostic(
            one.code,
            one.message,
            Span(one.span.start - at, one.span.end - at),
            one.label,
            one.help,
            one.severity,
            (),
            fix,
        )


def _is_whole(text: str) -> bool:
    """Whether it can be read."""
    try:
        parse_expression(text, 0)
    except UnreadableError:
        return False
    return True
