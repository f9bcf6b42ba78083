"""The records of the library: their examples run, and none lacks what the rest of the language needs of it."""

from __future__ import annotations

import pytest
from language_support import value_of

from projection.lang.cost.costs import constant
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS
from projection.lang.library.registry import FREE, builtin
from projection.lang.operations import Operation

EXAMPLES = [
    pytest.param(expression, result, id=f"{name}: {expression}")
    for name, overloads in BUILTINS.items()
    for operation in overloads
    for expression, result in operation.examples
]


@pytest.mark.parametrize(("expression", "result"), EXAMPLES)
def test_an_example_of_the_library_yields_what_it_says(expression: str, result: str) -> None:
    word, _, code = result.partition(" ")
    if word != "fails":
        assert value_of(result) == value_of(expression)
        return
    with pytest.raises(Failure) as caught:
        value_of(expression)
    assert code == caught.value.code


def test_every_builtin_says_in_sentences_what_it_does() -> None:
    builtins = [operation for overloads in BUILTINS.values() for operation in overloads]
    assert [] == [one.name for one in builtins if not one.doc.endswith(".") or len(one.doc) > 200]


def test_an_operation_without_both_cost_shapes_cannot_be_made() -> None:
    for gas, alloc in ((None, FREE), (constant(1), None)):
        with pytest.raises(TypeError, match="needs a cost shape for gas and one for memory"):
            Operation("f", "int -> int", gas, alloc, abs, "Says.", ())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="alloc"):
        builtin("f", "int -> int", gas=FREE, function=abs, doc="Says.", examples=[("f(1)", "1")])  # type: ignore[call-arg]
    assert "f" not in BUILTINS


def test_a_builtin_without_a_doc_or_an_example_cannot_be_made() -> None:
    for doc, examples in (("", [("f(1)", "1")]), ("Says.", [])):
        with pytest.raises(TypeError, match="`f` needs a doc and an example"):
            builtin("f", "int -> int", gas=FREE, alloc=FREE, function=abs, doc=doc, examples=examples)
    assert "f" not in BUILTINS
