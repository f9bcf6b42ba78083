"""Every case of `cases/` does what its file says (format: cases/README.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from language_support import TIME, Case, Expression, Fold, Outcome, all_cases, plenty

from projection.errors import DecodeError
from projection.lang.codec import encode
from projection.lang.diagnostics import ProgramInvalidError
from projection.lang.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.lang.diagnostics import Diagnostic
    from projection.lang.source import Source, Span


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_a_case_does_what_its_file_says(case: Case) -> None:
    assert case.expected, "the case expects nothing"
    run = _run_program if re.search(r"^proj\b", case.text, re.MULTILINE) else _run_expression
    actual = run(case)
    assert len(case.expected) == len(actual), actual
    assert case.expected == [_as_expected(one, other) for one, other in zip(case.expected, actual, strict=True)]


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
        lines = [f"= {encode(expression.run(case.event, meter)).decode()}"]
    except Failure as failure:
        lines = [f"fails {failure.code} {_place(expression.source, failure.span, first_line)} {failure.message}"]
    if len(case.expected) > 1:
        lines.append(f"gas {meter.used} alloc {meter.alloc_limit - meter.alloc}")
    return lines


def _run_program(case: Case) -> list[str]:
    try:
        fold = Fold(case.text)
    except ProgramInvalidError as error:
        return _diagnostics(error)
    if any(line.startswith("warning ") for line in case.expected):
        checked = fold.program.checked
        return _shown(checked.source, checked.warnings)
    lines: list[str] = []
    outcome, problem = Outcome(0, {}, {}), None
    for line in case.expected:
        word, _, rest = line.partition(" ")
        if word == "ok":
            lines.append("ok")
        elif word == "event":
            assert problem is None, f"an event {problem} and nothing said so"
            lines.append(line)
            try:
                outcome = _event(fold, rest)
            except Failure as failure:
                place = _place(fold.program.checked.source, failure.span)
                problem = f"fails {failure.code} {place} {failure.message}"
                outcome = Outcome(failure.gas, {"": failure.gas}, {})
            except DecodeError as error:
                problem = f"refused {error.code} {error.message}"
        elif word in ("fails", "refused"):
            lines.append(problem or "nothing failed")
            problem = None
        elif word == "gas":
            alloc = f" alloc {sum(outcome.alloc.values())}" if outcome.alloc else ""  # unknown when it failed
            lines.append(f"gas {sum(outcome.gas.values())}{alloc}")
        elif line.startswith("route gas"):
            lines.append(f"route gas {outcome.route_gas}")
        else:
            view = fold.views.get(word)
            lines.append(f"{word} gone" if view is None else f"{word} = {view.decode()}")
    assert problem is None, problem
    return lines


def _event(fold: Fold, text: str) -> Outcome:
    name, _, rest = text.partition(" ")
    payload, _, time = rest.rpartition(" at ") if re.search(r" at \S+$", rest) else (rest, "", TIME)
    aggregate_type, _, event_type = name.rpartition("/")
    return fold.apply(event_type, payload, time, aggregate_type or "fine")
