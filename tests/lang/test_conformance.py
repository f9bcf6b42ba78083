"""The conformance cases are whole: enough of them, each states what it charges, and all of the language stands in one.

That each holds is tested by test_cases.py. What the language has is read off its registries.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from language_support import Expression, all_cases
from test_diagnostics import GENERATED, codes_in

from projection.lang import core, diagnostics, failures
from projection.lang.check.checker import check
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from language_support import Case

    from projection.lang.operations import Operation

LEAST = 600

# The checker takes the form `sum_decimals` for it: it knows the zero of the type.
NEVER_RUN = {("sum", "list<decimal> -> decimal")}

# What no text can show in a case: its length, bytes that are no text, a manifest, another version, the keys of a store.
WITHOUT_CASE = GENERATED.keys() | {"G503", "P110", "P117", "R708", "S412", "S480", "L680", "C801", "C802", "C803"}


def test_there_are_as_many_cases_as_another_implementation_needs() -> None:
    assert len(all_cases()) >= LEAST


def test_titles_tell_the_cases_of_a_file_apart() -> None:
    names = list(map(str, all_cases()))
    assert [] == sorted({name for name in names if names.count(name) > 1})


def test_whatever_runs_states_its_value_or_its_failure_and_both_ledgers() -> None:
    for case in all_cases():
        runs = [line for line in case.expected if re.match(r"= |fails ", line) or line.startswith("event ")]
        refused = [line for line in case.expected if line.startswith("refused ")]
        failed = [line for line in case.expected if line.startswith("fails ")] if case.is_program else []
        stated = [line for line in case.expected if re.fullmatch(r"gas \d+ alloc \d+", line)]
        assert len(runs) - len(refused) - len(failed) == len(stated), case


def test_every_operator_builtin_and_form_stands_in_a_case() -> None:
    known = {*_all(OPERATORS), *_all(BUILTINS), *_all({name: [one] for name, one in FORMS.items()})}
    seen = {(node.operation.name, node.operation.signature) for node in _nodes() if isinstance(node, core.Op)}
    assert NEVER_RUN == known - seen


def test_every_kind_of_node_stands_in_a_case() -> None:
    assert set(core.Core.__args__) == {type(node) for node in _nodes()}


def test_every_code_stands_in_a_case() -> None:
    lines = [line.split() for case in all_cases() for line in case.expected]
    shown = {words[1] for words in lines if words[0] in ("error", "warning", "fails", "refused")}
    assert (codes_in(diagnostics) | codes_in(failures) | {"D105"}) - shown == WITHOUT_CASE


def _all(home: dict[str, list[Operation]]) -> Iterator[tuple[str, str]]:
    return ((one.name, one.signature) for overloads in home.values() for one in overloads)


@cache
def _nodes() -> tuple[core.Core, ...]:
    """All nodes of all cases that run."""
    waiting, found = [root for case in all_cases() for root in _roots(case)], []
    while waiting:
        found.append(waiting.pop())
        waiting += core.parts(found[-1])
    return tuple(found)


def _roots(case: Case) -> list[core.Core]:
    try:
        if not case.is_program:
            return [Expression(case.text, case.prelude).core]
        program = check(Source("p.proj", case.text)).core
    except ProgramInvalidError:
        return []
    parts = [part for one in program.handlers for part in (one.source, one.route, one.body) if part is not None]
    return [*parts, *(function.body for function in program.functions.values())]
