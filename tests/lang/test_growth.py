"""Every phase takes time in proportion to the source: each form of the grammar, nested and repeated, is counted.

What is counted are lines of Python that run, so the machine does not matter. A form that is in no family fails.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from growth_support import DEEP, DEEPER, Family, families, forms

from projection.lang import reporting
from projection.lang.check import work
from projection.lang.check.checker import CheckedProgram, check
from projection.lang.check.sessions import NO_PROGRAM, Session
from projection.lang.compatibility import changes, reasons
from projection.lang.cost.bounds import problems
from projection.lang.partition import partitioning
from projection.lang.program import Limits, Program
from projection.lang.reach import reach
from projection.lang.reporting import MAX_PROBLEMS, ProgramInvalidError
from projection.lang.schemas.documentation import UNDOCUMENTED, Documentation
from projection.lang.schemas.json_schema import of_events, of_record
from projection.lang.schemas.pydantic import pydantic
from projection.lang.schemas.typescript import typescript
from projection.lang.source import Source
from projection.lang.syntax.formatter import formatted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

MOST = 2.3  # times as much for twice the text; of what grows with the square of it, 4 times
MOST_COMPILED = 3.0  # the same of the compiler, which takes a step where a branch becomes a function of its own
LITTLE = 1_000  # lines; what grows by less says nothing
HEAD = "proj 1\nprojection p\nevent E { id: string, n: int }\nview V { n: int = 0 }\n"
HANDLER = "on E as e to e.id => { n: e.n }\n"
FAMILIES = list(families())
SHORT = {  # what a mistake was found in, and a few of the others
    "fold: fold(a# = 0 for x# in [«»] => a# + 1.5)",
    "if: if («») then e.flag else e.n == #",
    'set_path: by["a#"]: #',
    "or: («») or e.n == #",
    "type_size: m#",
}


def counted(work_: Callable[[], Any]) -> tuple[int, Any]:
    """Count the lines of Python that a piece of work runs; return the count and the result."""
    count = 0

    def line(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        found = work_()
    finally:
        sys.settrace(before)
    return count, found


def phases(text: str) -> dict[str, int]:
    """What each phase takes for a program."""
    source = Source("p.proj", text)
    count, checked = counted(lambda: check(source))
    return {"check": count} | {name: counted(phase)[0] for name, phase in behind(source, checked).items()}


def prepared(text: str) -> None:
    """Run all phases, and count nothing."""
    source = Source("p.proj", text)
    for phase in behind(source, check(source)).values():
        phase()


def behind(source: Source, checked: CheckedProgram) -> dict[str, Callable[[], object]]:
    """What is done with a program that is checked, phase by phase."""
    return {
        "bounds": lambda: problems(checked, Limits()),
        "partition": lambda: partitioning(checked),
        "compile": lambda: compiled(checked),
        "compare": lambda: (changes(checked, checked), reasons(checked, checked)),
        "schemas": lambda: (of_record(checked.view), of_events(checked)),
        "reach": lambda: reach(checked, checked),
        "documentation": lambda: Documentation.of_program(source),
        "typescript": lambda: typescript([checked.view, *checked.events.values()], UNDOCUMENTED),
        "pydantic": lambda: pydantic([checked.view, *checked.events.values()], UNDOCUMENTED),
        "format": lambda: formatted(source),
    }


def compiled(checked: CheckedProgram) -> None:
    """All that a node makes of a program before it folds."""
    program = Program(checked, Limits())
    for event in checked.event_declarations.values():
        program.reaction(event.aggregate_type or "O", (event.wires or (event.name,))[0])


def growth(of: Callable[[int], str], sizes: tuple[int, int, int]) -> dict[str, float]:
    """How many times as much each phase takes for what is added last, which is twice what was added before."""
    prepared(of(sizes[0]))  # what is only done when a form is met for the first time is not counted
    few, some, many = (phases(of(size)) for size in sizes)
    return {name: (many[name] - some[name]) / max(some[name] - few[name], LITTLE) for name in few}


def test_every_form_of_the_grammar_has_a_family() -> None:
    assert {family.form for family in FAMILIES} == forms()
    assert {family.name for family in FAMILIES} >= SHORT


def too_fast(family: Family) -> dict[str, float]:
    """The phases that grow faster than a family's text."""
    found = growth(family.of, family.sizes)
    if family.sizes in (DEEP, DEEPER):  # where a group begins to break, the formatter takes a step: it has its own test
        del found["format"]
    return {name: times for name, times in found.items() if times > (MOST_COMPILED if name == "compile" else MOST)}


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_phase_takes_more_than_in_proportion_to_the_source(family: Family) -> None:
    assert {} == too_fast(family)


@pytest.mark.parametrize("family", [one for one in FAMILIES if one.name in SHORT], ids=lambda family: family.name)
def test_what_once_grew_too_fast_does_not(family: Family) -> None:
    assert {} == too_fast(family)


@pytest.mark.parametrize("outer", ["e.o ?? («»)", "min(«», #)", "if e.flag then («») else e.n"])
def test_the_formatter_takes_work_in_proportion_to_the_depth(outer: str) -> None:
    sources = [Source("p.proj", text) for text in deep(outer)]
    formatted(sources[0])
    few, some, many = (counted(lambda source=source: formatted(source))[0] for source in sources)
    assert many - some < MOST * (some - few)


@pytest.mark.parametrize("outer", ["e.o ?? («»)", "min(«», #)", "if e.flag then («») else e.n"])
def test_the_compiler_takes_work_in_proportion_to_the_depth(outer: str) -> None:
    programs = [check(Source("p.proj", text)) for text in deep(outer)]
    compiled(programs[0])
    few, some, many = (counted(lambda one=one: compiled(one))[0] for one in programs)
    assert many - some < MOST * (some - few)


def deep(outer: str) -> list[str]:
    """A family's programs, as deep as may be."""
    (family,) = (one for one in FAMILIES if one.sizes == DEEP and one.name.endswith(f": {outer}"))
    return [family.of(depth) for depth in (15, 30, 60)]


def test_what_a_change_reaches_takes_work_in_proportion_to_functions_that_call_one_another_and_types_of_events() -> (
    None
):
    def program(count: int) -> CheckedProgram:
        functions = "".join(f"fn f{n + 1}(n: int) -> int = f{n}(n) + {n}\n" for n in range(count))
        events = "".join(
            f"event E{n} {{ id: string, n: int }}\non E{n} as e to e.id => {{ n: f{n}(e.n) }}\n" for n in range(count)
        )
        return check(Source("p.proj", f"{HEAD}fn f0(n: int) -> int = n\n{functions}{events}{HANDLER}"))

    programs = [program(count) for count in (14, 28, 56)]
    few, some, many = (counted(lambda one=one: reach(one, one))[0] for one in programs)
    assert many - some < MOST * (some - few)


# --- what is bounded by a number ----------------------------------------------------------------------------------------


def codes(text: str) -> list[str]:
    """The codes of a program's errors."""
    with pytest.raises(ProgramInvalidError) as caught:
        check(Source("p.proj", text))
    return [one.code for one in caught.value.diagnostics]


def test_folds_in_the_source_of_folds_are_checked_once_each() -> None:
    text = "e.n"
    for level in range(13):
        text = f"fold(a{level} = 0 for x{level} in [{text}] => a{level} + 1.5)"
    steps = []
    for depth in (text, text.replace("[e.n]", "[fold(a = 0 for x in [e.n] => a + 1.5)]")):
        found, _ = counted(
            lambda depth=depth: check(Source("p.proj", f"{HEAD}on E as e to e.id when {depth} == 1 => keep\n"))
        )
        steps.append(found)
    assert steps[1] < 1.2 * steps[0]


@pytest.mark.parametrize("wrong", ["none", "mistake", '"text"'])
def test_after_so_many_errors_the_rest_is_not_looked_at(wrong: str) -> None:
    text = HEAD + HANDLER + "".join(f"fn f{number}() -> int = {wrong}\n" for number in range(MAX_PROBLEMS - 1))
    assert MAX_PROBLEMS - 1 == len(codes(text))
    many = codes(text + f"fn g(a: int) -> int = [{', '.join([wrong] * 5)}]\n" * 3)
    assert (MAX_PROBLEMS + 2, "P116") == (len(many), many[-1])


def test_names_are_guessed_at_for_the_errors_that_are_told_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many errors would be compared with each of many names."""
    compared = []
    monkeypatch.setattr(reporting, "_edit_distance", lambda *names: compared.append(names) or 100)
    members = ", ".join(f"member_{number}" for number in range(400))
    wrong = " ".join(f'"membre_{number}" => {number},' for number in range(1_000))
    codes(f"{HEAD}type Kind = enum({members})\nfn f(k: Kind) -> int = match k {{ {wrong} _ => 0 }}\n{HANDLER}")
    assert len(compared) <= 400 * (MAX_PROBLEMS + 1)


@pytest.mark.parametrize("count", [32, 33, 4_000])
def test_a_view_has_few_indexes(count: int) -> None:
    text = HEAD + HANDLER + "index by n\n" * count
    if count == 32:
        check(Source("p.proj", text))
    else:
        assert ["S414"] == codes(text)


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("type T = enum({})\n", "m{}"),
        ("type T {{ {} }}\n", "m{}: int"),
        ("event X {{ {} }}\n", "m{}: int"),
        ("view W {{ {} }}\n", "m{}: int = 0"),
    ],
)
def test_a_declaration_has_few_parts(whole: str, part: str) -> None:
    def declared(count: int) -> str:
        text = whole.format(", ".join(part.format(number) for number in range(count)))
        text = HEAD.replace("view V { n: int = 0 }\n", text) if "view" in whole else HEAD + text
        return text + HANDLER.replace("n: e.n", "") if "view" in whole else text + HANDLER

    check(Source("p.proj", declared(500)))
    assert ["S415"] == codes(declared(501))


def test_a_program_that_takes_too_many_steps_to_check_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Source("p.proj", NO_PROGRAM))
    monkeypatch.setattr(work, "MAX_STEPS", 20)
    assert ["P117"] == codes(f"{HEAD}fn f() -> list<int> = [{', '.join(['1'] * 30)}]\n{HANDLER}")
    with pytest.raises(ProgramInvalidError) as caught:
        session.evaluate(f"[{', '.join(['1'] * 30)}]")
    assert ["P117"] == [one.code for one in caught.value.diagnostics]


def test_a_fold_whose_type_never_holds_is_an_error() -> None:
    assert ["T303"] == codes(f"{HEAD}on E as e to e.id when length(fold(a = [] for x in [e.n] => [a])) == 1 => keep\n")
