"""Checking expressions: from syntax to core, with the type of every part."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.comparisons import Comparisons
from projection.lang.check.grouping import Operators, ungrouped
from projection.lang.check.places import Typed, form
from projection.lang.immutable import Immutable
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.operations import ABSENT, Operation
from projection.lang.run.folding import Folding
from projection.lang.source import Span
from projection.lang.syntax import nodes as syn
from projection.lang.values.numbers import MAX_INT, MIN_INT, ROUNDING_MODES, negate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.lang.check.branches import Paths
    from projection.lang.check.schema import Schema
    from projection.lang.reporting import Diagnostic

KEYWORDS = frozenset(
    {
        *("proj", "projection", "event", "type", "view", "index", "by", "fn", "on", "as", "from", "of", "desc"),
        *("for", "in", "to", "creates", "updates", "when", "else", "keep", "delete"),
        *("test", "expect"),
        *("if", "then", "let", "with", "drop", "match", "and", "or", "not", "true", "false", "none"),
    }
)


SPECIAL = ("has", "narrow")  # called as functions are, but no value comes of their operands alone


class Signature(Immutable, frozen=True):
    """What a call of a program's function must know."""

    parameters: tuple[ty.Type, ...]
    result: ty.Type


class Variable(msgspec.Struct):
    """A variable in scope; `what` it is called where nobody reads it, "" where that is nothing to tell."""

    slot: int
    type: ty.Type
    span: Span
    what: str
    is_read: bool = False


class Expressions(Comparisons):
    """The checker of one function, route or handler body; `slots` counts the frame's slots as they are given out."""

    def __init__(
        self,
        schema: Schema,
        functions: Mapping[str, Signature],
        problems: list[Diagnostic],
        warnings: list[Diagnostic] | None = None,
    ) -> None:
        self.schema = schema
        self.functions = functions
        self.problems = problems
        self.warnings = [] if warnings is None else warnings
        self.slots = 0
        self.variables: dict[str, Variable] = {}
        self.present: frozenset[tuple[str, ...]] = frozenset()
        self.calls: set[str] = set()
        self.no_view = "here"
        self.not_constant: frozenset[str] = frozenset()  # functions of the program, in a default
        self.loops = 0
        self.folding = Folding()
        self.proofs: dict[int, tuple[Paths, Paths]] = {}

    # variables

    def declare(self, name: str, type_: ty.Type, span: Span, slot: int | None = None, what: str = "variable") -> int:
        """A new variable; its slot."""
        if name in KEYWORDS:
            self.report(diag.keyword_as_variable(span, name))
        elif name in self.variables:
            self.report(diag.shadowed(span, name, self.variables[name].span))
        slot = self.new_slot() if slot is None else slot
        self.variables[name] = Variable(slot, type_, span, what)
        return slot

    def forget(self, name: str) -> None:
        """The end of a variable's scope."""
        variable = self.variables.pop(name, None)
        if variable is not None and variable.what and not variable.is_read:
            self.warnings.append(diag.unused_variable(variable.span, variable.what, name))
        self.present = frozenset(path for path in self.present if path[0] != name)

    def predeclare(self, name: str, type_: ty.Type, slot: int) -> None:
        """A variable of the language, which nobody must read."""
        self.variables[name] = Variable(slot, type_, Span(0, 0), "")

    def names(self) -> list[str]:
        """What can be named here."""
        return list(self.variables)

    def close(self) -> None:
        """The end of all scopes."""
        for name in list(self.variables):
            self.forget(name)

    # expressions

    def type_of(self, expression: syn.Expression) -> ty.Type:
        """The type of an expression that is also checked elsewhere, which reports what is wrong with it."""
        problems, warnings = len(self.problems), len(self.warnings)
        found = self.check(expression).type
        del self.problems[problems:], self.warnings[warnings:]
        return found

    def fitted(self, expression: syn.Expression, place: ty.Type, what: str = "") -> core.Core:
        """An expression in a place that is of a type."""
        return self.fit(self.check(expression, place), place, what)

    def check(self, expression: syn.Expression, place: ty.Type | None = None) -> Typed:
        """An expression; the place's type helps literals and branches, and need not be what comes back."""
        self.schema.work.step()
        found = self._check(expression, place)
        if isinstance(found.type, ty.Optional) and self.path(expression) in self.present:
            return Typed(found.core, found.type.inner)
        return found

    def _check(self, expression: syn.Expression, place: ty.Type | None) -> Typed:
        if isinstance(expression, Operators):
            found = list(ungrouped(expression, self.schema.source.text))
            self.problems += found
            if found and isinstance(expression, syn.Coalesce):  # nobody knows what its operands are meant to be
                return Typed(core.Const(expression.span, None), ty.NEVER)
        match expression:
            case syn.Literal():
                return self._literal(expression)
            case syn.Text():
                return self._text(expression)
            case syn.Name():
                return self._name(expression)
            case syn.Get() | syn.At() | syn.Present():
                return self.accessed(expression, place)
            case syn.Chain():
                return (
                    self._logic(expression)
                    if expression.operators[0] in ("and", "or")
                    else self._arithmetic(expression)
                )
            case syn.Compare():
                return self.compared(expression)
            case syn.Unary(operator="-", operand=syn.Literal(value=int() | Decimal() as number)) if not isinstance(
                number, bool
            ):
                # A sign in front of a number is part of the number: -9223372036854775808 fits.
                value = negate(number) if isinstance(number, Decimal) else -number
                return self._literal(syn.Literal(expression.span, value))
            case syn.Unary():
                operand = self.check(expression.operand)
                name = "negative" if expression.operator == "-" else "not"
                return self.apply(OPERATORS[name], expression.operator, [operand], expression.span)
            case syn.Call():
                return self.call(expression, place)
            case syn.If() | syn.Let() | syn.Match() | syn.Coalesce():
                return self.branch(expression, place)
            case syn.Aggregate():
                return self.aggregate(expression, place)
            case syn.Fold():
                return self.fold(expression, place)
            case syn.With():
                return self.updated(expression)
            case _:
                return self.contained(expression, place)

    def _literal(self, literal: syn.Literal) -> Typed:
        value = literal.value
        node = core.Const(literal.span, value)
        if value is None:
            return Typed(node, ty.NOTHING)
        if isinstance(value, bool):
            return Typed(node, ty.BOOL)
        if isinstance(value, int):
            if not MIN_INT <= value <= MAX_INT:
                return self.report(diag.mismatch(literal.span, "this number", "an int of 64 bits"))
            return Typed(node, ty.INT)
        if isinstance(value, timedelta):
            return Typed(node, ty.DURATION)
        if len(value.as_tuple().digits) > 38 or -int(value.as_tuple().exponent) > 38:
            return self.report(diag.mismatch(literal.span, "this number", "a decimal of 38 digits"))
        return Typed(node, ty.Decimal(-int(value.as_tuple().exponent)))

    def _text(self, text: syn.Text) -> Typed:
        if len(text.parts) == 1 and isinstance(text.parts[0], str):
            literal = text.parts[0]
            return Typed(core.Const(text.span, literal), ty.String(len(literal), literal))
        parts: list[core.Core] = []
        for part in text.parts:
            if isinstance(part, str):
                parts.append(core.Const(text.span, part))
                continue
            value = self.check(part)
            if isinstance(value.type, (ty.String, ty.Enum)):
                parts.append(value.core)
            elif ty.is_scalar(value.type) or isinstance(value.type, ty.Never):
                parts.append(form("text_of", part.span, value.core))
            else:
                self.report(diag.not_text(part.span, str(value.type)))
        return Typed(form("joined_text", text.span, *parts), ty.TEXT)

    def _name(self, name: syn.Name) -> Typed:
        if (variable := self.variables.get(name.name)) is not None:
            variable.is_read = True
            return Typed(core.Local(name.span, variable.slot), variable.type)
        if name.name == "view":
            return self.report(diag.view_not_here(name.span, self.no_view))
        if name.name in ("keep", "delete"):
            return self.report(diag.result_as_value(name.span, name.name))
        return self.report(diag.unknown_name(name.span, name.name, self.names()))

    # operators and calls

    def apply(self, overloads: Sequence[Operation], name: str, operands: Sequence[Typed], span: Span) -> Typed:
        """The first operation that takes these operands, with ints made decimals where it wants them."""
        for position, operand in enumerate(operands, 1):
            if isinstance(operand.type, ty.Never):  # all up to it is computed: a `fail` inside still fails
                return Typed(form("list_of", span, *(one.core for one in operands[:position])), ty.NEVER)
        types = [operand.type for operand in operands]
        constants = [operand.core.value if isinstance(operand.core, core.Const) else ABSENT for operand in operands]
        for operation in overloads:
            if (result := operation.result(types, constants)) is not None:
                converted = tuple(
                    operand.core if place is None else self.fit(operand, place)
                    for operand, place in zip(operands, operation.wanted(types), strict=True)
                )
                return Typed(core.Op(span, operation, converted), result)
        for operand in operands:
            if isinstance(operand.type, (ty.Optional, ty.Nothing)):
                what = self.schema.source.text[operand.core.span.start : operand.core.span.end]
                return self.report(diag.maybe_none(operand.core.span, f"`{what}`", str(operand.type)))
        taken = [one.signature.partition("->")[0].strip() for one in overloads]
        return self.report(diag.wrong_operands(span, name, [str(one) for one in types], taken))

    def _arithmetic(self, chain: syn.Chain) -> Typed:
        value = self.check(chain.operands[0])
        for operator, operand in zip(chain.operators, chain.operands[1:], strict=True):
            span = type(chain.span)(chain.span.start, operand.span.end)
            value = self.apply(OPERATORS[operator], operator, [value, self.check(operand)], span)
        return value

    def call(self, call: syn.Call, place: ty.Type | None) -> Typed:
        """A call; the place tells what `narrow` yields."""
        if (signature := self.functions.get(call.name)) is None:
            if call.name in self.not_constant:
                return self.report(diag.default_not_constant(call.span))
            if call.name == "narrow":
                return self.narrowed(call, place)
            if call.name == "has":
                return self.presence(call)
            arguments = [self.check(argument) for argument in call.arguments]
            return self.builtin(call.name, arguments, call.span, call.name_span)
        self.calls.add(call.name)
        wanted = signature.parameters
        if len(wanted) != len(call.arguments):
            count = f"{len(wanted)} argument{'' if len(wanted) == 1 else 's'}"
            return self.report(diag.wrong_argument_count(call.span, call.name, count, len(call.arguments)))
        fitted = tuple(
            self.fitted(argument, type_, f"argument {position}")
            for position, (argument, type_) in enumerate(zip(call.arguments, wanted, strict=True), 1)
        )
        return Typed(core.Call(call.span, call.name, fitted), signature.result)

    def builtin(self, name: str, operands: list[Typed], span: Span, name_span: Span | None = None) -> Typed:
        """A function of the library on its operands."""
        if name in self.schema.unreadable:
            return Typed(core.Const(span, None), ty.NEVER)
        if name not in BUILTINS:
            return self.report(diag.unknown_function(name_span or span, name, [*BUILTINS, *SPECIAL, *self.functions]))
        found = self.apply(BUILTINS[name], name, operands, span)
        if name == "sum" and isinstance(found.type, ty.Decimal):
            # The empty sum is the zero of its type, which only the checker knows.
            zero = core.Const(span, Decimal((0, (0,), -(found.type.scale or 0))))
            return Typed(core.Op(span, FORMS["sum_decimals"], (operands[0].core, zero)), found.type)
        if isinstance(found.core, core.Op) and found.core.operation.scale is not None and name in ("round", "div"):
            return self._rounding(found, found.core)
        return found

    def _rounding(self, found: Typed, op: core.Op) -> Typed:
        """Scale and mode of a rounding are constants, so that the scale of the result is known."""
        *_, scale, mode = op.operands
        if not isinstance(scale, core.Const) or not 0 <= scale.value <= ty.MAX_SCALE:
            return self.report(diag.mismatch(scale.span, "the scale", f"a constant from 0 to {ty.MAX_SCALE}"))
        if not isinstance(mode, core.Const) or mode.value not in ROUNDING_MODES:
            return self.report(diag.mismatch(mode.span, "the mode", "one of " + ", ".join(ROUNDING_MODES)))
        return found
