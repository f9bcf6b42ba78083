"""Every diagnostic and every failure has a case; a diagnostic shows what, where, and what to do."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest
from language_support import Fold, all_cases, codes_of, diagnostics_of

from projection.errors import ErrorClass
from projection.lang import diagnostics, failures
from projection.lang.check.checker import check
from projection.lang.failures import Failure
from projection.lang.program import Limits, Program
from projection.lang.reporting import ProgramInvalidError, closest
from projection.lang.source import Source, Span

HEAD = "proj 1\nprojection p\nevent E { id: string, xs: list<string>, n: int, s: string }\n"
VIEW = 'view V { n: int = 0, s: string = "" }\n'
HANDLER = "on E as e to e.id => { n: e.n }\n"

# What takes a long text to show, or a file.
GENERATED = {
    "P107": HEAD + VIEW + HANDLER + "#" * 65_536,
    "P109": "proj 1\n" + HEAD[20:] + VIEW + HANDLER,
    "P116": HEAD + VIEW + HANDLER + "".join(f"fn f{n}() -> int = none\n" for n in range(201)),
    "S410": HEAD + VIEW + HANDLER + "".join(f"fn f{n}() -> int = {n}\n" for n in range(201)),
    "S411": HEAD + VIEW + HANDLER + "type T0 { n: int }\n" + "".join(f"type T{n} {{ t: T{n - 1} }}\n" for n in range(1, 33)),
    "T317": HEAD + VIEW + "fn f0(n: int) -> int = n\n"
    + "".join(f"fn f{n}(n: int) -> int = 1 + (1 + (1 + (1 + f{n - 1}(n))))\n" for n in range(1, 40))
    + "on E as e to e.id => { n: f39(1) }\n",
}  # fmt: skip
RUNNING = {
    "R709": (HEAD + VIEW + "on E as e for x in e.xs to x => {}\n", {}),
    "R712": (HEAD + VIEW + "on E as e to e.id => { s: e.s }\n", {"view_bytes": 100}),
    "O901": (HEAD + VIEW + HANDLER, {"gas": 3}),
    "O902": (HEAD + VIEW + HANDLER, {"alloc": 1}),
}
ELSEWHERE = {
    "G501": "test_bounds.py",
    "G502": "test_bounds.py",
    "G503": "test_bounds.py",
    "P117": "test_growth.py",
    "R708": "raised by the engine, which knows the store's keys",
    "S412": "test_partition.py",
    "L680": "about events beside programs: tests/cli/test_check.py",
    "S480": "about a manifest or a scenario: tests/cli/test_check.py",
    "C801": "about two programs: test_compatibility.py",
    "C802": "about two programs: test_compatibility.py",
    "C803": "about two programs: test_compatibility.py",
}


def codes_in(module: object) -> set[str]:
    """The codes that a module has a constructor for."""
    return set(re.findall(r'(?:Diagnostic|Failure)\(\s*"([A-Z]\d{3})"', inspect.getsource(module)))


@pytest.mark.parametrize("code", sorted(GENERATED))
def test_what_is_too_long_for_a_case_is_reported_too(code: str) -> None:
    assert code in codes_of(GENERATED[code])


@pytest.mark.parametrize("code", sorted(RUNNING))
def test_a_run_beyond_its_limits_fails(code: str) -> None:
    program, limits = RUNNING[code]
    ids = ", ".join(f'"{n}"' for n in range(65))
    fold = Fold(program, Limits(**limits))
    with pytest.raises(Failure) as caught:
        fold.apply("E", f'{{"id": "a", "xs": [{ids}], "n": 1, "s": "{"x" * 100}"}}')
    assert (code, ErrorClass.PROGRAM) == (caught.value.code, caught.value.error_class)
    assert caught.value.span is not None


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "p.proj"
    file.write_bytes(b"proj 1\nprojection \xff\n")
    with pytest.raises(ProgramInvalidError, match=r"not UTF-8 \(byte 18\)") as caught:
        Program.load(file)
    assert ["P110"] == [one.code for one in caught.value.diagnostics]
    assert "error[P110]" in caught.value.render()


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "p.proj"
    file.write_bytes(b"#" * 65_535 + "é".encode())
    with pytest.raises(ProgramInvalidError) as caught:
        Program.load(file)
    assert ["P107"] == [one.code for one in caught.value.diagnostics]


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "p.proj"
    file.write_bytes(b"\xef\xbb\xbf" + (HEAD + VIEW + HANDLER).encode())
    assert Program.load(file).digest == check(Source("p", HEAD + VIEW + HANDLER)).digest


def test_every_code_has_a_case() -> None:
    shown = {
        line.split()[1]
        for case in all_cases()
        for line in case.expected
        if line.split()[0] in ("error", "warning", "fails")
    }
    shown |= GENERATED.keys() | RUNNING.keys() | ELSEWHERE.keys() | {"P110"}
    assert codes_in(diagnostics) | codes_in(failures) == shown


def test_a_code_has_one_constructor_which_names_it() -> None:
    found: dict[str, str] = {}
    for module in (diagnostics, failures):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            codes = re.findall(r'(?:Diagnostic|Failure)\(\s*"([A-Z]\d{3})"', inspect.getsource(function))
            for code in codes:
                assert (function.__doc__ or "").startswith(code)
                assert found.setdefault(code, name) == name
    assert codes_in(diagnostics) | codes_in(failures) == found.keys()


def test_a_diagnostic_is_shown_with_its_line_and_what_to_do() -> None:
    text = "\n" * 22 + (
        "proj 1\nprojection fine_summary\n"
        "event Payment { fine_id: string, amount_paid: decimal(2) }\n"
        "view Fine { paid: decimal(2), status: string(9) }\n"
        "on Payment as e updates e.fine_id =>\n"
        '  view with { paid += e.ammount_paid, status: "part_paid" }\n'
    )
    with pytest.raises(ProgramInvalidError) as caught:
        check(Source("projections/fines/fine_summary.proj", text))
    assert caught.value.render() == (
        "error[N204]: no field `ammount_paid` in event Payment\n"
        "  --> projections/fines/fine_summary.proj:28:25\n"
        "   |\n"
        '28 |   view with { paid += e.ammount_paid, status: "part_paid" }\n'
        "   |                         ^^^^^^^^^^^^ did you mean `amount_paid`?\n"
        "   = help: Payment declares amount_paid, fine_id (line 25)"
    )


def test_carets_stand_below_what_they_mean_behind_tabs_and_letters_of_two_bytes() -> None:
    text = HEAD + VIEW + 'on E as e to e.id =>\r\n\t{ s: "é{e.nn}" }\r\n'
    (problem,) = diagnostics_of(text)
    rows = problem.render(Source("p", text)).splitlines()
    assert ['6 |  { s: "é{e.nn}" }', "  |            ^^ did you mean `n`?"] == rows[3:5]


def test_a_span_of_many_lines_is_underlined_on_its_first() -> None:
    text = HEAD + "view V { n: int, m: int }\non E as e to e.id => {\n  n: 1,\n}\n"
    (problem,) = diagnostics_of(text)
    assert ["5 | on E as e to e.id => {", "  |                      ^"] == problem.render(
        Source("p", text)
    ).splitlines()[3:5]


def test_a_broken_program_says_how_many_errors_it_has_and_shows_fifty_of_them() -> None:
    text = HEAD + VIEW + "".join(f"on E as e to e.x{n} => keep\n" for n in range(60))
    with pytest.raises(ProgramInvalidError, match=r"^p.proj: 60 errors; the first: no field `x0`") as caught:
        check(Source("p.proj", text))
    assert caught.value.render().count("error[N204]") == 50
    assert caught.value.render().endswith("… and 10 more")


def test_errors_survive_the_way_to_another_process() -> None:
    with pytest.raises(ProgramInvalidError) as caught:
        check(Source("p.proj", HEAD))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.render()) == (str(caught.value), caught.value.render())
    failure = failures.nothing_there("a.b")
    failure.gas, failure.span = 7, Span(3, 5)
    copy = pickle.loads(pickle.dumps(failure))
    assert (failure.code, failure.message, failure.span, 7) == (copy.code, copy.message, copy.span, copy.gas)


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("amuont", ["amount", "amounts"], "amount"),  # a swap counts one
        ("n", ["m"], None),  # nothing of the name would be left
        ("n", ["nm"], None),
        ("ab", ["ac"], "ac"),
        ("n", ["nnn"], None),
        ("ab", ["xy"], None),
        ("abc", ["axc"], "axc"),
        ("abcdef", ["abxxef"], "abxxef"),
        ("abcdef", ["axxxef"], None),
        ("payment", ["paymentt", "payment_"], "payment_"),  # of equals the first in the alphabet
        ("x" * 65, ["x" * 64], None),
    ],
)
def test_a_suggestion_lies_within_a_third_of_the_name(name: str, candidates: list[str], expected: str | None) -> None:
    assert expected == closest(name, candidates)


def test_what_an_event_says_is_cut_in_a_message() -> None:
    assert len(failures.failed_on_purpose("C" * 10_000, "m" * 10_000).message) < 1100
    assert len(failures.view_missing("v" * 10_000).message) < 600


# --- docs/errors.md --------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs/errors.md").read_text(encoding="utf-8")
ANY_HANDLER = "on E as e to e.id => {}\n"
WITHOUT_EXAMPLE = {
    "P107",
    "P110",
    "P116",
    "P117",
    "S410",
    "S411",
    "S412",
    "S480",
    "L680",
    "T317",
    "G501",
    "G502",
    "G503",
    "C801",
    "C802",
    "C803",
}  # too long, or of another file


def sections() -> dict[str, str]:
    """What the page says about each code that its headings name."""
    parts = re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)
    return {code: part for part in parts for code in re.findall(r"[A-Z]\d{3}", part.splitlines()[0])}


def example(kind: str, section: str) -> str:
    """The program of a fence, with the lines that the page's examples stand behind."""
    (text,) = re.findall(rf"^```proj {kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    if text.startswith("proj ") or kind == "base":
        return text
    return example("base", PAGE) + text + ("" if re.search("^on ", text, re.MULTILINE) else ANY_HANDLER)


def reported(text: str, severity: str) -> set[str]:
    """The codes of a program's errors, or of the warnings of one without."""
    try:
        warnings = check(Source("p.proj", text)).warnings
    except ProgramInvalidError as error:
        return {one.code for one in error.diagnostics}
    return {one.code for one in warnings if severity == "warning"}


def test_every_code_of_the_checker_has_its_section() -> None:
    assert set() == codes_in(diagnostics) - sections().keys()


@pytest.mark.parametrize("code", sorted(codes_in(diagnostics) - WITHOUT_EXAMPLE))
def test_the_example_of_a_code_shows_it_and_what_to_write_instead_does_not(code: str) -> None:
    severity = "warning" if code.startswith("L") else "error"
    assert {code} == reported(example("wrong", sections()[code]), severity)
    assert set() == reported(example("right", sections()[code]), severity)


def test_what_a_diagnostic_offers_to_put_there_mends_it() -> None:
    offered = set()
    for code in sorted(codes_in(diagnostics) - WITHOUT_EXAMPLE):
        text = example("wrong", sections()[code])
        for problem in diagnostics_of(text):
            if problem.fix is not None:
                (start, end), put = problem.fix
                offered.add(code)
                assert problem not in diagnostics_of(text[:start] + put + text[end:])
    assert {"N201", "N206", "P112", "P113", "T308", "T320"} <= offered
