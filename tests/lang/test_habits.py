"""What those write who come from another language: each is told what is written here."""

from __future__ import annotations

import pytest
from language_support import diagnostics_of

from projection.lang import habits
from projection.lang.check.expressions import KEYWORDS
from projection.lang.check.schema import _NAMES as TYPES
from projection.lang.library import BUILTINS

HEAD = 'proj 1\nprojection p\nevent E { id: string, n: int }\nview V { n: int = 0, t: string = "" }\n'


def program(value: str) -> str:
    return f"{HEAD}on E as e updates e.id => view with {{ n: {value} }}\n"


@pytest.mark.parametrize(
    ("value", "code", "help_"),
    [
        ("e.n > 1 ? 2 : 3", "P112", "if CONDITION then A else B"),
        ("e.id.length()", "P112", "`length(x)`"),
        ("e.id.toUpperCase()", "P112", "`upper(x)`"),
        ("1e3", "P112", "all its digits"),
        ("2.5E10", "P112", "all its digits"),
        ("e.n++", "P112", "n += 1"),
        ("e.n += 1", "P112", "n += 1"),
        ("e.n ** 2", "P112", "multiply"),
        ('f"{e.n}"', "P112", "leave it out"),
        ("e.n is none", "P112", "`==`"),
        ("e.n // 2", "P115", "div"),
        ("now()", "N206", "meta.time"),
        ("random()", "N206", "deterministic"),
        ("float(e.n)", "N206", "exact"),
        ("avg([1])", "N206", "div(sum(xs), count(xs), SCALE, MODE)"),
        ("today", "N201", "meta.date"),
    ],
)
def test_a_form_of_another_language_is_told_apart(value, code, help_):
    (problem,) = diagnostics_of(program(value))
    assert (code, True) == (problem.code, help_ in problem.help)


@pytest.mark.parametrize(
    ("line", "column"),
    [("// a comment", 1), ("-- a comment", 1), ("/* a comment */", 1), ("event F { n: int, // f\n}", 19)],
)
def test_a_comment_of_another_language_is_found_where_it_stands(line, column):
    text = program("e.n").replace("projection p\n", f"projection p\n{line}\n")
    (problem,) = diagnostics_of(text)
    assert "P112" == problem.code
    assert text.index(line) + column - 1 == problem.span.start
    assert "# …" in problem.help


@pytest.mark.parametrize("name", sorted(habits.TYPES))
def test_a_type_of_another_language_is_mended_by_the_fix(name):
    arguments = {"list": "<int>", "map": "<string, int>", "string": "(3)"}.get(habits.TYPES[name], "")
    text = f"{HEAD}type R {{ x: {name}{arguments} }}\non E as e to e.id => keep\n"
    (problem,) = diagnostics_of(text)
    (start, end), put = problem.fix
    assert () == diagnostics_of(text[:start] + put + text[end:])


def test_whatever_a_habit_is_answered_with_exists():
    assert set() == set(habits.FUNCTIONS.values()) - BUILTINS.keys()
    assert set() == set(habits.TYPES.values()) - set(TYPES)
    assert set() == set(habits.NAMES.values()) - set(KEYWORDS)
    for names in (habits.FUNCTIONS, habits.FUNCTION_HINTS):
        assert set() == names.keys() & BUILTINS.keys()
    assert set() == (habits.TYPES.keys() | habits.TYPE_HINTS.keys()) & set(TYPES)


def test_a_name_of_the_programs_own_is_no_habit():
    text = f"{HEAD}fn now() -> int = 1\ntype float = int\nfn f(today: float) -> int = today + now()\non E as e to e.id => {{ n: f(1) }}\n"
    assert () == diagnostics_of(text)


@pytest.mark.parametrize("lost", [" }\n", "= ", ": string"])
def test_a_view_that_cannot_be_read_is_the_only_thing_that_is_wrong(lost):
    before, _, behind = HEAD.rpartition(lost)
    text = f"""{before}{behind}
on E as e updates e.id => view with {{ n += e.n, m: view.q }}
on E as e to "x" => if view != none then view! with {{ n: 3 }} else {{ n: 3 }}
fn f(v: V) -> int = v.n + 1
test "t" {{ event E {{ id: "a", n: 1 }}; expect view("a").n == f(view("a")) + view("b")!.q; }}
"""
    assert [("P", 4)] == [(one.code[0], text.count("\n", 0, one.span.start) + 1) for one in diagnostics_of(text)]
