"""The digest of a program is what it means: nothing else changes it, and everything of that does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from language_support import CASES, read_cases
from program_changes import changed as changed_tokens
from program_changes import laid_out_otherwise, renamed, reordered

from projection.bundled import bundled
from projection.lang.check.checker import check
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source

PROGRAM = """proj 1
## Accounts.
projection accounts

event Opened { id: string, owner: string from "holder", limit: decimal(2) = 0 }
event Moved from "moved" { id: string, amount: decimal(2), on?: date, lines: list<Line>(5) = [] }

type Line { n: int, text?: string }

view Account { balance: decimal(2) = 0.00, owner: string(20), state: enum(open, closed) = "open", note?: string }
index by state, balance desc

fn moved(account: Account, plus: decimal(2)) -> Account =
  let balance = account.balance + plus;
  account with { balance, state: if balance < 0 then "closed" else account.state }

fn counted(lines: list<Line>) -> int = sum(line.n for line in lines if line.n > 1)

on Opened as e creates e.id => { owner: e.owner }
on Moved as e updates e.id
  when counted(e.lines) > 3 => keep
  else => moved(view, e.amount)
on Moved as e to key("all", e.id) => { owner: "all", note: view?.note! }
"""

SAME = {
    "comments": ("## Accounts.\n", "# nothing\n"),
    "layout": ("event Opened { id: string, ", "event Opened {\n  id: string,   # its id\n  "),
    "trailing commas": ("text?: string }", "text?: string, }"),
    "parentheses": ("account.balance + plus;", "((account.balance) + plus);"),
    "a parameter's name": ("account: Account, plus: decimal(2)) -> Account =\n  let balance = account.balance + plus;", "account: Account, more: decimal(2)) -> Account =\n  let balance = account.balance + more;"),
    "a variable's name": ("line.n for line in lines if line.n", "l.n for l in lines if l.n"),
    "the event's name in a handler": ("on Opened as e creates e.id => { owner: e.owner }", "on Opened as opened creates opened.id => { owner: opened.owner }"),
    "how a path is written": ("view?.note!", "view?. note !"),
    "a short field": ("with { balance, state", "with { balance: balance, state"),
    "a function's name": ("counted(", "how_many("),
    "a test": ("on Opened as e creates", 'test "none" { expect view("a") == none; }\non Opened as e creates'),
    "a function that nothing calls": ("fn moved(", "fn other() -> int = 1\nfn moved("),
    "a constant that is computed": ("> 3", "> 2 + 1"),
    "a condition that is always true": ("sum(line.n for line", "sum(if 1 < 2 then line.n else 0 for line"),
    "indexes": ("index by state, balance desc\n", ""),
    "the name of the projection": ("projection accounts", "projection other"),
    "Windows line ends": ("\n", "\r\n"),
}  # fmt: skip

OTHER = {
    "an operator": ("account.balance + plus", "account.balance - plus"),
    "a comparison": ("balance < 0", "balance <= 0"),
    "a constant": ("> 3", "> 4"),
    "a text": ('owner: "all"', 'owner: "ALL"'),
    "the scale of a constant": ("balance < 0 ", "balance < 0.0 "),
    "a condition": (" if line.n > 1", ""),
    "the order of branches": ('then "closed" else account.state', 'then account.state else "closed"'),
    "the type of a field": ("text?: string }", "text?: int }"),
    "a bound": ("string(20)", "string(21)"),
    "a bound of a list": ("list<Line>(5)", "list<Line>(6)"),
    "a scale": ("view Account { balance: decimal(2)", "view Account { balance: decimal(3)"),
    "a member of an enum": ("enum(open, closed)", "enum(open, closed, lost)"),
    "an open enum": ("enum(open, closed)", "enum(open, closed, ...)"),
    "whether a field is optional": ("text?: string }", "text: string }"),
    "a default": ("limit: decimal(2) = 0 ", "limit: decimal(2) = 1 "),
    "whether there is a default": ("limit: decimal(2) = 0 ", "limit: decimal(2) "),
    "a default of the view": ('= "open", note', '= "closed", note'),
    "a wire name of a field": ('from "holder"', 'from "keeper"'),
    "a second wire name": ('from "holder"', 'from "holder" | "owner"'),
    "a wire name of an event": ('Moved from "moved"', 'Moved from "shifted"'),
    "the aggregate type": ('Moved from "moved" {', 'Moved from "moved" of "account" {'),
    "the kind of target": ("on Opened as e creates", "on Opened as e to"),
    "the route": ('key("all", e.id)', 'key("all", e.id, 1)'),
    "a result": ("=> keep\n", "=> delete\n"),
    "an arm": ("  when counted(e.lines) > 3 => keep\n  else => ", "  => "),
    "a handler more": ("on Opened as", 'on Opened to "x" => delete\non Opened as'),
    "an assertion": ("view?.note! }", "view?.note }"),
}


def digest_of(text: str) -> str:
    """The digest of a program."""
    return check(Source("p.proj", text)).digest


def changed(change: tuple[str, str]) -> str:
    """The program with all that the first text says said as the second says it."""
    assert change[0] in PROGRAM
    return PROGRAM.replace(*change)


@pytest.mark.parametrize("what", sorted(SAME))
def test_what_changes_no_view_and_no_failure_does_not_change_the_digest(what: str) -> None:
    assert digest_of(PROGRAM) == digest_of(changed(SAME[what]))


@pytest.mark.parametrize("what", sorted(OTHER))
def test_what_may_change_a_view_changes_the_digest(what: str) -> None:
    assert digest_of(PROGRAM) != digest_of(changed(OTHER[what]))


def test_the_order_of_declarations_does_not_change_the_digest_but_that_of_handlers_does() -> None:
    head, rest = PROGRAM.split("event Opened", 1)
    declarations, handlers = ("event Opened" + rest).split("on Opened as", 1)
    parts = declarations.rstrip().split("\n\n")
    handler_parts = ("on Opened as" + handlers).split("\non Moved as e to key")
    turned = head + "\n\n".join(reversed(parts)) + "\n\n" + "on Opened as" + handlers
    assert digest_of(PROGRAM) == digest_of(turned)
    swapped = head + declarations + "on Moved as e to key" + handler_parts[1] + handler_parts[0] + "\n"
    assert digest_of(PROGRAM) != digest_of(swapped)


def test_the_order_of_fields_does_not_change_the_digest() -> None:
    fields = 'owner: string(20), state: enum(open, closed) = "open", note?: string'
    other = 'note?: string, state: enum(open, closed) = "open", owner: string(20)'
    assert digest_of(PROGRAM) == digest_of(changed((fields, other)))


def test_every_program_of_the_cases_has_a_digest_of_its_own() -> None:
    cases = [case for path in CASES.glob("*.cases") for case in read_cases(path) if case.text.startswith("proj")]
    valid = {case.text: case for case in cases if not case.expected[0].startswith("error")}.values()
    digests = {digest_of(case.text): case.title for case in valid}
    assert len(valid) > 30
    assert sorted(digests.values()) == sorted(case.title for case in valid)


def test_the_digest_is_the_same_in_every_process() -> None:
    path = bundled("projections/fines/fine_summary.proj")
    script = (
        "import sys; from pathlib import Path; from projection.lang.program import Program\n"
        "print(Program.load(Path(sys.argv[1])).digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    }
    assert {digest_of(path.read_text(encoding="utf-8")) + "\n"} == found


# --- all programs there are ------------------------------------------------------------------------------------------

EXAMPLES = sorted(bundled("projections").glob("**/*.proj"))
VALID = [
    case
    for path in sorted(CASES.glob("*.cases"))
    for case in read_cases(path)
    if case.text.startswith("proj") and not case.expected[0].startswith("error")
]
PROGRAMS = [
    *(pytest.param(path.read_text(encoding="utf-8"), id=path.parent.name + "/" + path.stem) for path in EXAMPLES),
    *(pytest.param(case.text, id=str(case)) for case in VALID),
]
ENOUGH = 12  # changes of each example program that are programs, of some hundreds


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_laid_out_reordered_or_renamed_keeps_its_digest(text: str) -> None:
    before = digest_of(text)
    for otherwise in (laid_out_otherwise(text), reordered(text), renamed(text)):
        assert otherwise != text
        assert before == digest_of(otherwise)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_token_of_a_program_changed_changes_its_digest(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    before, valid = digest_of(text), 0
    changes = list(changed_tokens(text, seed=1))
    random.Random(1).shuffle(changes)
    for what, other in changes:
        try:
            after = digest_of(other)
        except ProgramInvalidError:
            continue
        assert before != after, what
        valid += 1
        if valid == ENOUGH:
            return
    raise AssertionError(f"only {valid} of {len(changes)} changes are programs")


# Digests of programs whose meaning has not changed: a stored build of one of them is not folded anew after an upgrade.
GOLDEN = dict(line.split() for line in Path(__file__).with_name("digests.txt").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_program_of_the_gallery_keeps_its_digest_from_release_to_release(path: Path) -> None:
    assert digest_of(path.read_text(encoding="utf-8")) == GOLDEN[f"{path.parent.name}/{path.name}"]
