"""A release may add a builtin: no program that is there changes by it, whatever its functions and variables are called."""

from __future__ import annotations

from typing import Any

import pytest
from language_support import meta

from projection.lang.check.checker import check, scope_of
from projection.lang.check.comprehensions import AGGREGATES
from projection.lang.check.expressions import SPECIAL
from projection.lang.check.filters import checked_filter
from projection.lang.digest import canonical
from projection.lang.library import BUILTINS
from projection.lang.program import Limits, Program
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution
from projection.lang.source import Source

# Its function, a variable, a field of an event, of a record and of the view, all of one name.
PROGRAM = """proj 1
projection p
event E {{ id: string, xs: list<int>(10), {0}: int = 1 }}
type Row {{ {0}: int }}
view V {{ n: int = 0, {0}: int = 0, rows: list<Row>(10) = [] }}

## More than all of them.
fn {0}(xs: list<int>) -> int = sum(x for x in xs) + count(xs) + length("ab") + max([1, 2])!
fn twice(xs: list<int>) -> int = 2 * {0}(xs)

on E as e to e.id =>
  let n = {0}(e.xs) + twice(e.xs);
  {{ n, {0}: e.{0}, rows: [{{ {0}: n }}] }}

test "it is the program's own" {{
  event E {{ id: "a", xs: [1, 2] }};
  expect {0}([1, 2]) == view("a").n - twice([1, 2]);
}}
"""
SELF_USED = ("sum", "count", "length", "max")  # by the function above, which may not call itself
_OTHERS = sorted({*BUILTINS} - {*SELF_USED, *AGGREGATES})
NAMES = ["median", *SPECIAL, *sorted({*AGGREGATES} - {*SELF_USED}), *_OTHERS[::10]]
PAYLOAD = b'{"id":"a","xs":[1,2,3]}'


def meaning(name: str, text: str = PROGRAM) -> Any:
    """All that a stored build depends on, and all that an author is told."""
    source = Source("p", text.format(name))
    scope = scope_of(source)
    found = [scope.checked.digest, canonical(scope.checked.core.handlers), [str(one) for one in scope.checked.warnings]]
    for execution in Execution:
        program = Program(scope.checked, Limits(), execution)
        reaction = program.reaction("x", "E")
        assert reaction is not None
        event, targets, gas = reaction.take(PAYLOAD, meta())
        applied = program.apply("a", targets["a"], event, meta(), None, 0)
        found += [program.encode_view(applied.view), gas, applied.gas, applied.alloc]
    found.append(canonical(checked_filter(scope, f"{name}([n]) > 3").core))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_program_whose_function_has_the_name_of_a_new_builtin_means_what_it_meant(name, monkeypatch):
    added = BUILTINS.get(name, BUILTINS["count"])
    monkeypatch.delitem(BUILTINS, name, raising=False)
    before = meaning(name)
    monkeypatch.setitem(BUILTINS, name, added)
    assert before == meaning(name)


def test_a_function_hides_all_that_a_builtin_takes():
    assert ["T301"] == codes_of_program("fn length(n: int) -> int = n", 'length("abc")')


def codes_of_program(function: str, expression: str) -> list[str]:
    text = f"proj 1\nprojection p\nevent E {{ id: string }}\nview V {{ n: int }}\n{function}\n"
    text += f"on E as e to e.id => {{ n: {expression} }}\n"
    try:
        check(Source("p", text))
    except ProgramInvalidError as error:
        return [one.code for one in error.diagnostics]
    return []


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate_is_a_form_that_no_function_hides(name):
    """`name(… for …)` is grammar, and not a call."""
    call = f"{name}(x > 0 for x in [1, 2])" if name in ("any", "all") else f"{name}(x for x in [1, 2])"
    own = f"fn {name}(text: string) -> int = 7"
    assert codes_of_program("", f"if {call} == {call} then 1 else 0") == []
    assert codes_of_program(own, f'if {call} == {call} then {name}("x") else 0') == []


def test_a_default_calls_no_function_of_the_program():
    text = "proj 1\nprojection p\nevent E { id: string, n: int = length(1) }\nview V { n: int }\n"
    text += "fn length(n: int) -> int = n\non E as e to e.id => { n: e.n }\n"
    with pytest.raises(ProgramInvalidError) as caught:
        check(Source("p", text))
    assert ["S403"] == [one.code for one in caught.value.diagnostics]
