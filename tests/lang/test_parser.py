"""The grammar is unambiguous; whatever text comes, there are diagnostics or a program, and never a crash."""

from __future__ import annotations

import pytest
from language_support import codes_of, diagnostics_of
from lark import Lark
from yardstick import A_LOT, steps

from projection.bundled import bundled
from projection.lang.check.checker import check
from projection.lang.reporting import MAX_PROBLEMS, ProgramInvalidError
from projection.lang.source import Source

HEAD = "proj 1\nprojection p\nevent E { id: string, n: int, o?: int }\nview V { n: int }\n"


def on(expression: str) -> str:
    """A program with an expression in it."""
    return f"{HEAD}on E as e to e.id => {{ n: {expression} }}\n"


def test_the_grammar_builds_with_lark_s_strict_checks_of_ambiguity() -> None:
    grammar = bundled("grammar/projection.lark").read_text(encoding="utf-8")
    Lark(grammar, parser="lalr", lexer="contextual", strict=True, start=["program", "declaration", "expr"])


HOSTILE = {
    "10,000 parentheses": (on("(" * 10_000 + "1" + ")" * 10_000), ["P104"]),
    "10,000 open parentheses": (on("(" * 10_000), ["P101"]),
    "10,000 open brackets": (on("[" * 10_000), ["P101"]),
    "10,000 open braces": (on("{ a: " * 10_000), ["P101"]),
    "10,000 brackets": (on("[" * 10_000 + "]" * 10_000), ["P104"]),
    "an identifier of a megabyte": (on("x" * 1_000_000), ["P107"]),
    "an identifier of 60,000 letters": (on("x" * 60_000), ["N201"]),
    "two long identifiers": (on(f"let {'x' * 25_000} = 1; {'y' * 25_000}"), ["N201"]),
    "a number of 60,000 digits": (on("9" * 60_000), ["T301"]),
    "a decimal of 60,000 digits": (on("0." + "9" * 60_000), ["T301"]),
    "an edition of 60,000 digits": (HEAD.replace("proj 1", "proj " + "1" * 60_000), ["P108", "S407"]),
    "a broken edition of 60,000 digits": (HEAD.replace("proj 1", "proj " + "1" * 60_000) + "on (", ["P101", "P108"]),
    "a bound of 60,000 digits": (HEAD.replace("id: string", f"id: string({'9' * 60_000})"), ["S405", "S407"]),
    "64 KiB of comment": (on("1") + "#" * (65_536 - len(on("1"))), []),
    "64 KiB of fields": (HEAD.replace("n: int }", "n: int, " + ", ".join(f"f{n}: int = 0" for n in range(3500)) + " }") + "on E as e to e.id => { n: 1 }", ["S415"]),
    "a chain of 5,000 +": (on(" + ".join(["1"] * 5000)), ["P104"]),
    "a chain of 100 +": (on(" + ".join(["1"] * 100)), []),
    "a chain of 5,000 and": (on("if " + " and ".join(["true"] * 5000) + " then 1 else 2"), ["P104"]),
    "5,000 ??": (on("e.o ?? " * 5000 + "1"), ["P104"]),
    "5,000 not": (on("if " + "not " * 5000 + "true then 1 else 2"), ["P104"]),
    "5,000 minus signs": (on("- " * 5000 + "1"), ["P104"]),
    "5,000 else if": (on("if true then 1 else " * 3000 + "2"), ["P104"]),
    "5,000 let": (on("".join(f"let v{n} = 1; " for n in range(4000)) + "1"), ["P104"]),
    "5,000 fields of fields": (on("e" + ".n" * 5000), ["P104"]),
    "5,000 with": (HEAD + "on E as e updates e.id => view" + " with { n: 1 }" * 4000, ["P104"]),
    "a type of 5,000 lists": (HEAD.replace("id: string", f"id: {'list<' * 5000}int{'>' * 5000}"), ["P104"]),
    "a type of 40 lists": (HEAD.replace("id: string", f"id: string, xs: {'list<' * 40}int{'>' * 40}") + "on E as e to e.id => { n: 1 }", ["S411"]),
    "2,000 types in types": (on("1") + "".join(f"type T{n} {{ t: T{n + 1} }}\n" for n in range(2000)) + "type T2000 { n: int }", ["S411"]),
    "2,000 types in a circle": (on("1") + "".join(f"type T{n} {{ t: T{(n + 1) % 2000} }}\n" for n in range(2000)), ["S411"]),
    "2,000 functions in a chain": (on("1") + "".join(f"fn f{n}() -> int = f{n + 1}()\n" for n in range(1900)) + "fn f1900() -> int = 1", ["S410"]),
    "200 functions in a chain": (on("f0()") + "".join(f"fn f{n}() -> int = f{n + 1}()\n" for n in range(199)) + "fn f199() -> int = 1", ["T317"]),
    "100 functions in a circle": (on("1") + "".join(f"fn f{n}() -> int = f{(n + 1) % 100}()\n" for n in range(100)), ["N209"]),
    "functions that call two others each": (on("f0()") + "".join(f"fn f{n}() -> int = f{n + 1}() + f{n + 2}()\n" for n in range(50)) + "fn f50() -> int = 1\nfn f51() -> int = 1", []),
    "chains in chains": (on("(" * 40 + "1" + (" + 1" * 99 + ")") * 40), ["T317"]),
    "a string that is not closed": (on('"' + "x" * 60_000), ["P103"]),
    "a string of escapes that is not closed": (on('"' + "\\n" * 30_000), ["P103"]),
    "5,000 interpolations": (on('length("' + "{e.n}" * 5000 + '")'), []),
    "interpolations in interpolations": (on('"{"{"{"{1}"}"}"}"'), ["P119"]),
    "folds in folds that all widen": (on("let y = " + "".join(f"fold(a{n} = 0 for x{n} in [1] => a{n} + " for n in range(28)) + "0.5" + ")" * 28 + "; 1"), ["T301", "T319"]),
    "narrow with defaults that narrow": (on("let y = " + "narrow(e.j) ?? (" * 55 + "1" + ")" * 55 + "; 1").replace("o?: int", "o?: int, j?: json"), []),
    "constant lists that double": (on("count(" + "".join(f"let a{n} = {f'[...a{n - 1}, ...a{n - 1}]' if n else '[1]'}; " for n in range(50)) + "a49)"), []),
    "constant texts that double": (on("length(" + "".join(f"let a{n} = {f'a{n - 1} + a{n - 1}' if n else repr('x').replace(chr(39), chr(34))}; " for n in range(50)) + "a49)"), []),
    "defaults that hold each other twice": ((HEAD + "".join(f"type T{n} {{ a: T{n + 1} = {{}}, b: T{n + 1} = {{}} }}\n" for n in range(30)) + "type T30 { x: int = 1 }\non E as e to e.id => { n: 1 }").replace("view V { n: int }", "view V { n: int, t: T0 = {} }"), ["S403"]),
    "2,500 arms": (HEAD + "on E as e to e.id\n" + "  when e.n == 1 => keep\n" * 2500, ["T317"]),
    "3,000 arms that cannot be read": (HEAD + "on E as e to e.id\n" + "  when ( => keep\n" * 3000, ["P101"]),
    "4,000 steps of a test that cannot be read": (on("1") + 'test "x" {\n' + "  expect (;\n" * 4000 + "}", ["P101"]),
    "4,000 expectations": (on("1") + 'test "x" {\n' + "expect 1 == 1;\n" * 4000 + "}", []),
    "an event of 5,000 lists": (on("1") + 'test "x" { event E { n: ' + "[" * 5000 + "]" * 5000 + " }; }", ["P104"]),
    "4,500 cases": (on("match e.n { " + ", ".join(f"{n} => {n}" for n in range(4500)) + ", _ => 1 }"), ["T317"]),
    "3,000 keys to sort by": (on("count([x by " + ", ".join(["x"] * 3000) + " for x in [1]])"), ["T317"]),
    "a set of 9,000 items": (on("let s: set<int> = [" + ",".join(map(str, range(9000))) + "]; if 1 in s then 1 else 2"), []),
    "a duration of 60,000 digits": (on("let d = " + "9" * 60_000 + "d; 1"), ["P111"]),
    "maps in maps that are fitted": (HEAD.replace("n: int }\n", "n: int = 0, m: " + "map<string, " * 24 + "decimal(2)" + ">" * 24 + " }\n").replace("n: int,", "n: int, m: " + "map<string, " * 24 + "int" + ">" * 24 + ",") + "on E as e to e.id => { m: e.m }\n", []),
    "a lone surrogate": (on('length("\ud800")'), ["P102"]),
    "a lone surrogate in a comment": (on("1") + "# \udfff", ["P102"]),
    "a byte order mark": ("\ufeff" + on("1"), ["P101"]),
    "a byte order mark inside": (on("1\ufeff"), ["P102"]),
    "a NUL": (on("1\0"), ["P102"]),
    "other white space": (on("1\u00a0"), ["P102"]),
    "CRLF": (on("1").replace("\n", "\r\n"), []),
    "CR": (on("1").replace("\n", "\r"), []),
    "nothing": ("", ["P108", "P109", "S401", "S407"]),
    "blanks": ("  \n\t\n", ["P108", "P109", "S401", "S407"]),
    "a comment": ("# hello", ["P108", "P109", "S401", "S407"]),
    "no declaration": ("hello world", ["P101"]),
    "words only": ("on\nfn\nevent\ntype\nview\nindex\nproj\nprojection\n", ["P101"]),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_hostile_text_is_a_program_or_has_diagnostics_and_ends(what: str) -> None:
    text, expected = HOSTILE[what]
    found = list[str]()

    def check_and_render() -> None:
        try:
            check(Source("p", text))
        except ProgramInvalidError as error:
            found.extend(sorted({one.code for one in error.diagnostics}))
            error.render()

    assert steps(check_and_render) < A_LOT
    assert expected == found


def test_the_deepest_program_that_is_allowed_runs_through_every_pass() -> None:
    for text in (
        "(" * 3 + "if true then " * 62 + "1" + " else 2" * 62 + ")" * 3,
        "let x = [" * 20 + "1" + "]; 1" * 20,
        "match 1 { _ => " * 60 + "1" + " }" * 60,
        "abs(" * 62 + "1" + ")" * 62,
        "(view with { n: " * 30 + "1" + " }).n" * 30,
        "count([" * 30 + "1" + "])" * 30,
    ):
        program = f"{HEAD}on E as e updates e.id => view with {{ n: {text} }}\n"
        assert ("T317" in codes_of(program)) or [] == codes_of(program)


def test_of_very_many_errors_as_many_are_reported_as_anybody_reads() -> None:
    fields = ", ".join(f"some_field_{n}: 1" for n in range(2500))
    found = list[str]()
    assert (
        steps(lambda: found.extend(map(str, diagnostics_of(f"{HEAD}on E as e to e.id => {{ n: 1, {fields} }}\n"))))
        < A_LOT
    )
    assert MAX_PROBLEMS <= len(found) <= MAX_PROBLEMS + 2
    assert "P116" in found[-1]
