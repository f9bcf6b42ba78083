"""`??` beside another operator takes parentheses: `a ?? 0 + 1` means one thing to people, and another to a parser.

The tree does not keep parentheses. They show in the text between an operand and what stands before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.lang import diagnostics as diag
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Span

_COMMENT = re.compile(r"#[^\n]*")
_MAX_SHOWN = 100  # characters of an expression in a hint

Operators = syn.Chain | syn.Compare | syn.Unary | syn.Coalesce


def ungrouped(expression: Operators, text: str) -> Iterator[Diagnostic]:
    """What is wrong with the operands of an expression; `text` is that of its file."""
    operands = _operands(expression)
    for index, operand in enumerate(operands):
        before = expression.span.start if index == 0 else operands[index - 1].span.end
        if "(" in _blank(text[before : operand.span.start]):
            continue
        if isinstance(expression, syn.Coalesce):
            if isinstance(operand, syn.Chain):
                near, sign = _nearest(expression, operand, text)
                ways = [_grouped(expression.span, part, text) for part in (near, operand.span)]
                yield diag.ungrouped_coalesce(expression.span, sign, ways)
        elif isinstance(operand, syn.Coalesce):
            fix = operand.span, f"({text[operand.span.start : operand.span.end]})"
            way = _grouped(expression.span, operand.span, text)
            yield diag.ungrouped_coalesce(operand.span, _sign(expression, index), [way], fix)


def _operands(expression: Operators) -> Sequence[syn.Expression]:
    match expression:
        case syn.Chain():
            return expression.operands
        case syn.Unary():
            return (expression.operand,)
        case syn.Compare() | syn.Coalesce():
            return (expression.left, expression.right)


def _sign(expression: syn.Chain | syn.Compare | syn.Unary, index: int) -> str:
    return expression.operators[max(0, index - 1)] if isinstance(expression, syn.Chain) else expression.operator


def _nearest(coalesce: syn.Coalesce, chain: syn.Chain, text: str) -> tuple[Span, str]:
    """`??` with the operand of the chain right beside it, which was probably meant, and the sign of that operand."""
    is_left = chain is coalesce.left
    while True:
        one, other = chain.operands[-2:] if is_left else chain.operands[:2]
        sign = chain.operators[-1 if is_left else 0]
        between = _blank(text[one.span.end : other.span.start])
        before, after = between[: (at := between.index(sign))].rstrip(), between[at + 1 :].lstrip()
        near, bracket = (other, after) if is_left else (one, before)
        if isinstance(near, syn.Chain) and not bracket:
            chain = near
            continue
        if is_left:
            return type(coalesce.span)(near.span.start - len(after), coalesce.span.end), sign
        return type(coalesce.span)(coalesce.span.start, near.span.end + len(before)), sign


def _grouped(whole: Span, part: Span, text: str) -> str:
    """The text of an expression with parentheses around a part of it; where that is long, the part alone."""
    inside = f"({text[part.start : part.end]})"
    shown = text[whole.start : part.start] + inside + text[part.end : whole.end]
    return shown if len(shown) <= _MAX_SHOWN and "\n" not in shown else inside


def _blank(text: str) -> str:
    """The text with its comments blanked, every character at its place."""
    return _COMMENT.sub(lambda match: " " * len(match[0]), text)
