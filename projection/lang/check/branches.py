"""Checking what chooses: `if`, `match`, `and`, `or`, `??`, `let`; and what a condition proves of optional values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.depths import MAX_DEPTH
from projection.lang.check.literals import place_beside
from projection.lang.check.places import Places, Typed, form
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.check.schema import Schema
    from projection.lang.run.folding import Folding
    from projection.lang.source import Span

    Paths = frozenset[tuple[str, ...]]


def is_known(type_: ty.Type) -> bool:
    """Whether nothing in a type is left open, as the items of an empty list are."""
    match type_:
        case ty.Never() | ty.Nothing():
            return False
        case ty.Optional():
            return is_known(type_.inner)
        case ty.List() | ty.Set():
            return is_known(type_.item)
        case ty.Map():
            return is_known(type_.key) and is_known(type_.value)
        case _:
            return True


class Branches(Places):
    """Part of the checker of one function or handler."""

    schema: Schema
    present: Paths  # the paths that are known not to be none here
    folding: Folding  # of the conditions, which hold one another
    proofs: dict[int, tuple[Paths, Paths]]  # by the condition's identity

    def check(self, expression: syn.Expression, place: ty.Type | None = None) -> Typed:
        """See `Expressions.check`."""
        raise NotImplementedError

    def fitted(self, expression: syn.Expression, place: ty.Type, what: str = "") -> core.Core:
        """See `Expressions.fitted`."""
        raise NotImplementedError

    def declare(self, name: str, type_: ty.Type, span: Span, slot: int | None = None, what: str = "variable") -> int:
        """See `Expressions.declare`."""
        raise NotImplementedError

    def forget(self, name: str) -> None:
        """See `Expressions.forget`."""
        raise NotImplementedError

    def path(self, expression: syn.Expression) -> tuple[str, ...]:
        """See `Expressions.path`."""
        raise NotImplementedError

    def same(self, left: Typed, right: Typed, span: Span) -> Typed:
        """See `Expressions.same`."""
        raise NotImplementedError

    def constant_truth(self, condition: core.Core) -> bool | None:
        """What a condition always is; None where that depends, or is too deep to be looked at yet."""
        try:
            found = self.folding.of(condition, most=MAX_DEPTH)
        except RecursionError:
            return None
        return found.value if isinstance(found, core.Const) and isinstance(found.value, bool) else None

    def proven(self, condition: syn.Expression) -> tuple[Paths, Paths]:
        """The paths that are present when the condition is true, and when it is false."""
        if id(condition) not in self.proofs:
            self.proofs[id(condition)] = self._proven(condition)
        return self.proofs[id(condition)]

    def _proven(self, condition: syn.Expression) -> tuple[Paths, Paths]:
        nothing: Paths = frozenset()
        match condition:
            case syn.Compare(operator="==" | "!=" as operator, left=left, right=right):
                for one, other in ((left, right), (right, left)):
                    if isinstance(other, syn.Literal) and other.value is None and (path := self.path(one)):
                        found = frozenset([path])
                        return (found, nothing) if operator == "!=" else (nothing, found)
            case syn.Chain(operators=("and", *_), operands=operands):
                return nothing.union(*(self.proven(operand)[0] for operand in operands)), nothing
            case syn.Chain(operators=("or", *_), operands=operands):
                return nothing, nothing.union(*(self.proven(operand)[1] for operand in operands))
            case syn.Unary(operator="not", operand=operand):
                return self.proven(operand)[::-1]
        return nothing, nothing

    def checked_knowing(self, expression: syn.Expression, known: Paths, place: ty.Type | None) -> Typed:
        """An expression where more is known to be present."""
        before, self.present = self.present, self.present | known
        value = self.check(expression, place)
        if place is not None:
            value = Typed(self.fit(value, place), place)
        self.present = before
        return value

    def condition(self, expression: syn.Expression, known: Paths = frozenset()) -> core.Core:
        """An expression that must be true or false."""
        before, self.present = self.present, self.present | known
        node = self.fitted(expression, ty.BOOL, "the condition")
        self.present = before
        return node

    def branch(self, expression: syn.If | syn.Let | syn.Match | syn.Coalesce, place: ty.Type | None) -> Typed:
        """Any of the four."""
        match expression:
            case syn.If():
                test = self._guard(expression.condition)
                if_true, if_false = self.proven(expression.condition)
                yes = self.checked_knowing(expression.yes, if_true, place)
                no = self.checked_knowing(expression.no, if_false, place)
                return self._either(expression.span, test, [yes, no], "the `else` yields")
            case syn.Let():
                return self._let(expression, place)
            case syn.Match():
                return self._match(expression, place)
            case syn.Coalesce():
                return self._coalesce(expression, place)

    def _either(self, span: Span, test: core.Core, pair: Sequence[Typed], which: str) -> Typed:
        yes, no = pair
        joined = ty.join(yes.type, no.type)
        if joined is None:
            return self.report(diag.branches_disagree(no.core.span, f"one yields {yes.type}", str(no.type), which))
        return Typed(core.If(span, test, self.fit(yes, joined), self.fit(no, joined)), joined)

    def _let(self, let: syn.Let, place: ty.Type | None) -> Typed:
        if let.type is not None:
            type_ = self.schema.place(let.type)
            value = self.fitted(let.value, type_, f"`{let.name}`")
        else:
            value, type_ = self.check(let.value)
        slot = self.declare(let.name, type_, let.name_span)
        body = self.check(let.body, place)
        self.forget(let.name)
        return Typed(core.Let(let.span, slot, value, body.core), body.type)

    def _logic(self, chain: syn.Chain) -> Typed:
        """`and`, `or`: each operand is only computed, and only checked, knowing what those before it prove."""
        is_and = chain.operators[0] == "and"
        nodes, known = list[core.Core](), self.present
        for operand in chain.operands:
            nodes.append(self.condition(operand, known))
            known |= self.proven(operand)[0 if is_and else 1]
        value = nodes[-1]
        for node in reversed(nodes[:-1]):
            span = type(chain.span)(node.span.start, chain.span.end)
            short = core.Const(node.span, not is_and)
            value = core.If(span, node, value, short) if is_and else core.If(span, node, short, value)
        return Typed(value, ty.BOOL)

    def _coalesce(self, coalesce: syn.Coalesce, place: ty.Type | None) -> Typed:
        left_place, right = place, None
        if place is None and isinstance(coalesce.left, syn.Call) and coalesce.left.name == "narrow":
            right = self.check(coalesce.right)
            left_place = ty.loosened(right.type) if is_known(right.type) else None  # `narrow(x) ?? 0` is an int
        left = self.check(coalesce.left, None if left_place is None else ty.optional(left_place))
        if isinstance(left.type, ty.Never):
            return left
        if not isinstance(left.type, (ty.Optional, ty.Nothing)):
            if right is None:
                self.check(coalesce.right, place)
            what = self.schema.source.text[coalesce.left.span.start : coalesce.left.span.end]
            needless = type(coalesce.span)(coalesce.left.span.end, coalesce.span.end)
            return self.report(diag.never_none(coalesce.left.span, what, str(left.type), needless))
        inner = left.type.inner if isinstance(left.type, ty.Optional) else ty.NEVER
        hint = place_beside(coalesce.right, inner) if is_known(inner) else None
        if right is None:
            right = self.check(coalesce.right, hint if place is None or isinstance(inner, ty.Record) else place)
        slot = self.new_slot()
        local = core.Local(left.core.span, slot)
        test = form("is_none", coalesce.span, local)
        found = self._either(coalesce.span, test, [right, Typed(local, inner)], "the left of `??` is")
        return Typed(core.Let(coalesce.span, slot, left.core, found.core), found.type)

    # match

    def _match(self, match: syn.Match, place: ty.Type | None) -> Typed:
        subject = self.check(match.subject)
        slot = self.new_slot()
        local = Typed(core.Local(match.subject.span, slot), subject.type)
        cases: list[tuple[core.Core | None, Typed]] = []
        covered: set[object] = set()
        open_end = True
        for case in match.cases:
            if not open_end:
                self.report(diag.unreachable_case(case.span))
                break
            if any(self._is_covered(pattern, covered) for pattern in case.patterns):
                self.report(diag.unreachable_case(case.span))
            test, takes_all = self._patterns(case, local, covered)
            bound = next((pattern.name for pattern in case.patterns if pattern.name is not None), None)
            if bound is not None and len(case.patterns) > 1:
                self.report(diag.binder_not_alone(case.span, bound))
            if bound is not None:
                inner = subject.type.inner if isinstance(subject.type, ty.Optional) else subject.type
                at = next(pattern.span for pattern in case.patterns if pattern.name is not None)
                self.declare(bound, inner, at, slot)
            if case.guard is not None:
                guard = self._guard(case.guard)
                test = guard if test is None else core.If(case.span, test, guard, core.Const(case.span, value=False))
            known: Paths = frozenset() if case.guard is None else self.proven(case.guard)[0]
            body = self.checked_knowing(case.body, known, place)
            if bound is not None:
                self.forget(bound)
            cases.append((test, body))
            if case.guard is None and not isinstance(subject.type, ty.Never):
                open_end = not takes_all and self._is_open(subject.type, covered)
        if open_end and not isinstance(subject.type, ty.Never):
            self.report(diag.match_not_exhaustive(match.span, self._missing(subject.type, covered)))
        value = cases[-1][1]
        for test, body in reversed(cases[:-1]):
            value = self._either(
                match.span, test or core.Const(match.span, value=True), [body, value], "another case yields"
            )
        return Typed(core.Let(match.span, slot, subject.core, value.core), value.type)

    def _guard(self, written: syn.Expression) -> core.Core:
        """A condition that should depend on something."""
        before = len(self.problems)
        guard = self.condition(written)
        if len(self.problems) == before and (always := self.constant_truth(guard)) is not None:
            self.warnings.append(diag.constant_condition(written.span, always=always))
        return guard

    def _patterns(self, case: syn.Case, subject: Typed, covered: set[object]) -> tuple[core.Core | None, bool]:
        """The test of a case (None where it takes everything that is left), and whether it takes everything."""
        test: core.Core | None = None
        for pattern in case.patterns:
            if pattern.literal is None and pattern.name is None:
                return None, True
            if pattern.name is not None:  # takes what is present
                if not isinstance(subject.type, ty.Optional):
                    return None, True
                absent = form("is_none", pattern.span, subject.core)
                one: core.Core = core.If(
                    pattern.span, absent, core.Const(pattern.span, value=False), core.Const(pattern.span, value=True)
                )
                if case.guard is None:
                    covered.add(...)
            else:
                literal = self.check(pattern.literal) if pattern.literal else subject
                one = self.same(subject, literal, pattern.span).core
                if case.guard is None and isinstance(literal.core, core.Const):
                    covered.add(_distinct(literal.core.value))
            test = one if test is None else core.If(pattern.span, test, core.Const(pattern.span, value=True), one)
        return test, False

    def _is_covered(self, pattern: syn.Pattern, covered: set[object]) -> bool:
        """Whether an earlier case takes all that this pattern could."""
        if pattern.literal is None:
            return False
        literal = self.check(pattern.literal).core
        return isinstance(literal, core.Const) and _distinct(literal.value) in covered

    def _is_open(self, type_: ty.Type, covered: set[object]) -> bool:
        """Whether some value is left that no case takes yet."""
        inner = type_.inner if isinstance(type_, ty.Optional) else type_
        if isinstance(inner, ty.Enum) and ... not in covered and len(covered) < len(inner.members):
            return True  # which need not be listed case by case
        return bool(self._missing(type_, covered))

    def _missing(self, type_: ty.Type, covered: set[object]) -> list[str]:
        """The values that no case takes yet, as far as they can be listed."""
        inner = type_.inner if isinstance(type_, ty.Optional) else type_
        missing = ["none"] if isinstance(type_, ty.Optional) and _distinct(None) not in covered else []
        if ... in covered:
            return missing
        match inner:
            case ty.Enum(open=False):
                return missing + [f'"{member}"' for member in inner.members if _distinct(member) not in covered]
            case ty.Bool():
                return missing + [str(value).lower() for value in (True, False) if _distinct(value) not in covered]
            case _:
                return [*missing, f"other values of {inner}"]


def _distinct(value: object) -> object:
    """What is equal for equal values of the language, where `true` is not 1."""
    return isinstance(value, bool), value
