"""The examples that stand in the library run."""

from __future__ import annotations

import pytest
from language_support import value_of

from projection.lang.library import BUILTINS, OPERATORS

EXAMPLES = [
    (operation.name, expression, result)
    for home in (BUILTINS, OPERATORS)
    for overloads in home.values()
    for operation in overloads
    for expression, result in operation.examples
]


@pytest.mark.parametrize(("name", "expression", "result"), EXAMPLES)
def test_an_example_of_the_library_yields_what_it_says(name: str, expression: str, result: str) -> None:
    assert value_of(result) == value_of(expression)


def test_every_builtin_says_what_it_does_and_all_but_a_few_show_it() -> None:
    builtins = [operation for overloads in BUILTINS.values() for operation in overloads]
    assert [] == [operation.name for operation in builtins if not operation.doc.endswith(".")]
    # There is no literal of a date, and an example that fails has no value.
    assert ["day", "fail", "month", "year"] == sorted(one.name for one in builtins if not one.examples)
