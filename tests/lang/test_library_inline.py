"""What compiled code has in place of a function or a cost says the same as the function, or the cost."""

from __future__ import annotations

import ast
import decimal
from typing import TYPE_CHECKING, Any

import pytest
from library_samples import operands

from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.run.compiler import NAMES
from projection.lang.run.python_ast import template
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from projection.lang.cost.costs import Shape
    from projection.lang.operations import Operation

ALL = [
    *(one for home in (OPERATORS, BUILTINS) for overloads in home.values() for one in overloads),
    *FORMS.values(),
]
LEFT = 10**6  # what a ledger still holds: counting may stop there
INLINE = [pytest.param(one, id=f"{one.name} {one.signature}") for one in ALL if one.inline is not None]
SIZED = [
    pytest.param(one, shape, id=f"{one.name} {one.signature} {ledger}")
    for one in ALL
    for ledger, shape in (("gas", one.gas), ("alloc", one.alloc))
    if shape.template is not None
]


def value_of(text: str, values: tuple[Any, ...]) -> Any:
    """What a template yields for these operands."""
    names: list[ast.expr] = [ast.Name(f"v{position}", ast.Load()) for position in range(len(values))]
    tree = ast.fix_missing_locations(ast.Expression(template(text).filled(names, "own")))
    known = {
        "__builtins__": {},
        **NAMES,
        "left": LEFT,
        **{f"v{position}": value for position, value in enumerate(values)},
    }
    return eval(compile(tree, "<template>", "eval"), known)


def outcome(text: str | None, operation: Operation, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The value and its type, or the code of the failure."""
    try:
        with decimal.localcontext(EXACT):
            found = operation.function(*values) if text is None else value_of(text, values)
    except Failure as failure:
        return failure.code, failure.message
    except decimal.DecimalException:
        return "R702", "the result needs more than 38 digits"
    return repr(found), type(found)  # of decimals, the scale and the sign of zero show, too


@pytest.mark.parametrize("operation", INLINE)
def test_an_inline_form_yields_and_fails_as_its_function_does(operation: Operation) -> None:
    tried = 0
    for values in operands(operation):
        assert outcome(None, operation, values) == outcome(operation.inline, operation, values), values
        tried += 1
    assert tried


@pytest.mark.parametrize(("operation", "shape"), SIZED)
def test_the_template_of_a_cost_is_its_formula(operation: Operation, shape: Shape) -> None:
    for values in operands(operation):
        if (text := operation.template_of(shape, len(values))) is not None:
            assert shape.sized(values, LEFT) == value_of(text.replace("{left}", "left"), values), values
