"""A filter: a condition on one view, in the scope of its program, that stands outside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.depths import MAX_DEPTH, depth
from projection.lang.check.expressions import Expressions
from projection.lang.check.work import MAX_STEPS, TooMuchWorkError
from projection.lang.reporting import Problems, ProgramInvalidError, TooManyProblemsError
from projection.lang.run.folding import folded
from projection.lang.source import Source, Span
from projection.lang.syntax import nodes as syn
from projection.lang.syntax.parser import SURROGATE, parse_expression
from projection.lang.syntax.texts import UnreadableError

if TYPE_CHECKING:
    from projection.lang.check.checker import Scope
    from projection.lang.check.places import Typed
    from projection.lang.reporting import Diagnostic

GIVEN = 2  # slots that are filled before a filter runs: `core.VIEW`, `core.ID`
NAME = "filter"  # what its text is called in messages


class Condition(NamedTuple):
    """A checked filter: a computation of true or false, folded and without charges, in a frame of `slots`.

    The spans of what stands in the filter's text begin at `offset`; those before it are in the program's.
    """

    core: core.Core
    slots: int
    offset: int = 0


class FilterExpressions(Expressions):
    """The checker of one filter: the view's fields can be named by themselves, unless a variable is called so."""

    def __init__(self, scope: Scope, source: Source, problems: list[Diagnostic]) -> None:
        schema = scope.schema.seen_from(source, problems)
        super().__init__(schema, scope.signatures, problems, [])
        self._fields = scope.checked.view.fields
        self.predeclare("view", scope.checked.view, core.VIEW)
        self.predeclare("id", ty.TEXT, core.ID)
        self.slots = GIVEN

    def _name(self, name: syn.Name) -> Typed:
        if self._is_field(name.name):
            view = syn.Name(name.span, "view")
            return self.check(syn.Get(name.span, view, name.name, name.span, optional=False))
        return super()._name(name)

    def path(self, expression: syn.Expression) -> tuple[str, ...]:
        """See `Access.path`: `f` and `view.f` are one."""
        if isinstance(expression, syn.Name) and self._is_field(expression.name):
            return ("view", expression.name)
        return super().path(expression)

    def names(self) -> list[str]:
        """See `Expressions.names`."""
        return [*super().names(), *self._fields]

    def _is_field(self, name: str) -> bool:
        return name not in self.variables and name in self._fields


def checked_filter(scope: Scope, text: str) -> Condition:
    """Check a filter.

    Raises:
        ProgramInvalidError: with its diagnostics; their places are in the text, which is their source.
    """
    before = scope.checked.source.text + "\n"  # messages quote the text at a span; those of functions are in front
    if (surrogate := SURROGATE.search(text)) is not None:
        raise ProgramInvalidError(Source(NAME, text), [diag.unknown_character(Span(*surrogate.span()), surrogate[0])])
    problems = Problems()
    checker = FilterExpressions(scope, Source(NAME, before + text), problems)
    node: core.Core = core.Const(Span(0, 0), value=False)
    try:
        node = checker.condition(parse_expression(text, len(before)))
    except UnreadableError as stop:
        problems.append(stop.diagnostic)
    except TooManyProblemsError:
        pass  # the first ones are told
    except TooMuchWorkError:
        problems.append(diag.too_much_to_check(Span(len(before), len(before) + 1), MAX_STEPS))
    if not problems and (levels := depth(scope.depths, node)) > MAX_DEPTH:
        problems.append(diag.too_deep_a_computation(node.span, "the filter", levels, MAX_DEPTH))
    if problems:
        moved = [replace(one.moved(-len(before)), related=()) for one in problems]
        raise ProgramInvalidError(Source(NAME, text), moved)
    return Condition(folded(node), checker.slots, len(before))
