"""How far a change of a program reaches: which types of events both handle differently, or that this is not proven."""

from __future__ import annotations

import pytest

from projection.lang.check.checker import check
from projection.lang.reach import Reach, reach
from projection.lang.source import Source

PROGRAM = """proj 1
projection accounts

event Opened { id: string, owner: string from "holder", tier?: string }
event Moved from "moved" { id: string, amount: int, lines: list<Line>(5) = [] }
  was Sent as old => { id: old.id, amount: old.cents }
event Sent { id: string, cents: int }
event Closed of "account" { id: string }
event Noted of "other" { id: string }
event Unused { id: string }

type Line { n: int, text: string = "-" }
type Note { text: string, line: Line }

view Account { balance: int = 0, owner: string = "", marks: int = 0, last: string = "" }

fn counted(lines: list<Line>) -> int = sum(line.n for line in lines)
fn noted(text: string) -> Note = { text, line: { n: 1 } }
fn capped(n: int) -> int = if n > 80 then 80 else n

on Opened as e creates e.id => { owner: e.owner, last: if has(e.tier) then "tier" else "" }
on Moved as e updates e.id => view with { balance += capped(e.amount) + counted(e.lines) }
on Closed as e to e.id => delete
on Noted as e to e.id => (view ?? {}) with { last: noted("n").text }
on * to meta.aggregate_id => (view ?? {}) with { marks += 1 }
"""
OTHERS = "all types that have no handler of their own"


def reached(old: str, new: str) -> Reach:
    return reach(check(Source("p.proj", old)), check(Source("p.proj", new)))


def changed(*changes: tuple[str, str]) -> str:
    text = PROGRAM
    for was, now in changes:
        assert was in text
        text = text.replace(was, now)
    return text


NARROW = {
    "nothing": ([], []),
    "a body": ([("balance += capped(", "balance -= capped(")], ["Sent", "moved"]),
    "a function, through an old form": ([("n > 80", "n > 81")], ["Sent", "moved"]),
    "a function of two handlers": ([("e.owner, last", "e.owner, marks: capped(1), last"), ("n > 80", "n > 81")], ["Opened", "Sent", "moved"]),
    "how an old form is made": ([("amount: old.cents", "amount: old.cents + 1")], ["Sent"]),
    "a field of an event": ([('owner: string from "holder"', 'owner: string from "keeper"')], ["Opened"]),
    "a default of an event that is made of an old form": ([("amount: int, lines: list<Line>(5) = []", "amount: int, lines: list<Line>(5) = [], more: int = 1")], ["Sent", "moved"]),
    "a default of a type that an event holds": ([('text: string = "-"', 'text: string = "+"')], ['Noted of "other"', "Sent", "moved"]),
    "a type that only a function makes": ([("type Note { text: string, ", "type Note { more: int = 1, text: string, ")], ['Noted of "other"']),
    "the wire name of an event": ([('Moved from "moved"', 'Moved from "moved" | "shifted"')], ["shifted"]),
    "the aggregate type of an event": ([('Closed of "account"', 'Closed of "accounts"')], ['Closed of "account"', 'Closed of "accounts"']),
    "a handler more": ([("on Closed as e", "on Unused as e to e.id => keep\non Closed as e")], ["Unused"]),
    "a handler less": ([("on Closed as e to e.id => delete\n", "")], ['Closed of "account"']),
    "all the rest": ([("marks += 1", "marks += 2")], [OTHERS]),
    "the order of handlers for different events": ([("on Closed as e to e.id => delete\n", ""), ("on Moved", "on Closed as e to e.id => delete\non Moved")], []),
    "an event without a handler": ([("event Unused { id: string }", "event Unused { id: int }")], []),
    "a type that events come to hold": ([("event Unused { id: string }", "event Unused { id: string, note: Note }")], ['Noted of "other"']),
    "whether a field was given": ([('if has(e.tier) then "tier" else ""', '""')], ["Opened"]),
}  # fmt: skip
WIDE = {
    "a default of the view": ('owner: string = ""', 'owner: string = "-"'),
    "a field of the view": ("marks: int = 0", "marks: int = 0, more: int = 0"),
    "the type of a field of the view": ("balance: int = 0", "balance: decimal(2) = 0"),
    "headers": ('noted("n").text', 'meta.headers["a"] ?? ""'),
    "the subject of messages": ('noted("n").text', "meta.subject"),
    "a type of the view": ("balance: int = 0,", "balance: int = 0, line: Line = { n: 0 },"),
}


@pytest.mark.parametrize("what", NARROW)
def test_a_change_reaches_the_events_that_are_handled_differently_and_no_others(what: str) -> None:
    changes, types = NARROW[what]
    for found in (reached(PROGRAM, changed(*changes)), reached(changed(*changes), PROGRAM)):
        assert (types, "") == (found.named, found.everything)


@pytest.mark.parametrize("what", WIDE)
def test_what_concerns_all_views_reaches_everything(what: str) -> None:
    found = reached(PROGRAM, changed(WIDE[what]))
    assert not found.is_narrow
    assert found.has("any", "Thing")


def test_events_are_told_by_the_type_of_their_aggregate_first() -> None:
    found = reached(PROGRAM, changed(("on Closed as e to e.id => delete\n", "")))
    assert [True, False, False] == [
        found.has(*one) for one in (("account", "Closed"), ("other", "Closed"), ("account", "Opened"))
    ]
    rest = reached(PROGRAM, changed(("marks += 1", "marks += 2")))
    types = [("account", "Closed"), ("other", "Closed"), ("other", "Thing"), ("account", "Unused"), ("a", "Opened")]
    assert [False, True, True, True, False] == [rest.has(*one) for one in types]
