"""Every case of `cases/` does what its file says (format: cases/README.md)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from language_support import TIME, Case, Expression, Fold, all_cases, plenty

from projection.errors import DecodeError
from projection.lang.cost.bounds import problems
from projection.lang.failures import Failure
from projection.lang.program import Limits
from projection.lang.reporting import ProgramInvalidError
from projection.lang.values.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Source, Span


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_a_case_does_what_its_file_says(case: Case) -> None:
    assert case.expected, "the case expects nothing"
    actual = outcomes(case)
    assert len(case.expected) == len(actual), actual
    assert case.expected == [_as_expected(one, other) for one, other in zip(case.expected, actual, strict=True)]


def outcomes(case: Case) -> list[str]:
    """What a case does, in the form in which its file says what it should."""
    return _run_program(case) if case.is_program else _run_expression(case)


def _as_expected(expected: str, actual: str) -> str:
    """The expected line where the actual one holds it: of a message, a part is enough."""
    pattern = r"(error|warning|fails|refused) (\S+) ?(\d+:\d+)? ?(.*)"
    wanted, found = re.fullmatch(pattern, expected), re.fullmatch(pattern, actual, re.DOTALL)
    if wanted and found and wanted.groups()[:3] == found.groups()[:3] and wanted[4] in found[4]:
        return expected
    return actual


def _place(source: Source, span: Span | None, first_line: int = 0) -> str:
    assert span is not None, "a failure has a place"
    line, column = source.position(span.start)
    return f"{line - first_line}:{column}"


def _diagnostics(error: ProgramInvalidError, first_line: int = 0) -> list[str]:
    return _shown(error.source, error.diagnostics, first_line)


def _shown(source: Source, found: Iterable[Diagnostic], first_line: int = 0) -> list[str]:
    return [
        " ".join(filter(None, (one.severity, one.code, place, one.message, one.label, one.help)))
        for one in found
        for place in (_place(source, one.span, first_line),)
    ]


def _run_expression(case: Case) -> list[str]:
    first_line = f"proj 1\nprojection cases\n{case.prelude}\nview Out {{ x: int }}\n".count("\n")
    try:
        expression = Expression(case.text, case.prelude)
    except ProgramInvalidError as error:
        return _diagnostics(error, first_line)
    meter = plenty()
    try:
        line = f"= {encode(expression.run(case.event, meter)).decode()}"
    except Failure as failure:
        line = f"fails {failure.code} {_place(expression.source, failure.span, first_line)} {failure.message}"
    return [line, f"gas {meter.used} alloc {meter.alloc_limit - meter.alloc}"]


def _run_program(case: Case) -> list[str]:
    first, limits = case.expected[0], Limits()
    if first.startswith("limits "):
        limits = Limits(**json.loads(first.removeprefix("limits ")))
    try:
        fold = Fold(case.text, limits)
    except ProgramInvalidError as error:
        return _diagnostics(error)
    if first.startswith("limits ") and re.match(r"(error|warning) G", case.expected[1]):
        return [first, *_shown(fold.program.checked.source, problems(fold.program.checked, limits))]
    if any(line.startswith("warning ") for line in case.expected):
        checked = fold.program.checked
        return _shown(checked.source, checked.warnings)
    lines: list[str] = []
    for line in case.expected:
        word, _, rest = line.partition(" ")
        if word in ("ok", "limits"):
            lines.append(line)
        elif word == "event":
            lines += [line, *_event(fold, rest)]
        elif word not in ("fails", "refused", "gas", "route"):  # those an event has told already
            view = fold.views.get(word)
            lines.append(f"{word} gone" if view is None else f"{word} = {view.decode()}")
    return lines


def _event(fold: Fold, text: str) -> list[str]:
    """What an event does, and what it is charged."""
    name, _, rest = text.partition(" ")
    payload, _, time = rest.rpartition(" at ") if re.search(r" at \S+$", rest) else (rest, "", TIME)
    aggregate_type, _, event_type = name.rpartition("/")
    try:
        outcome = fold.apply(event_type, payload, time, aggregate_type or "fine")
    except DecodeError as error:
        return [f"refused {error.code} {error.message}"]
    except Failure as failure:
        place = _place(fold.program.checked.source, failure.span)
        alloc = fold.program.limits.alloc - failure.left[1] if failure.left else 0
        return [f"fails {failure.code} {place} {failure.message}", f"gas {failure.gas} alloc {alloc}"]
    gas, alloc = sum(outcome.gas.values()), sum(outcome.alloc.values())
    return [f"route gas {outcome.route_gas}", f"gas {gas} alloc {alloc}"]
