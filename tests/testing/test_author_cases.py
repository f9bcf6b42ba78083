"""Tests in programs and scenario files: what they hold against what came of the events, and how they fail."""

from __future__ import annotations

from decimal import Decimal

import pytest
from author_support import CREATED, FAILING, FINES, PAID, PASSING, write

from projection.errors import ConfigurationError, ProjectionError
from projection.testing.cases import cases_below, cases_of
from projection.testing.expectations import differences
from projection.testing.failing import failure_text

EVENTS = f"events: [{CREATED}, {PAID}]\n"


@pytest.fixture
def said(tmp_path, monkeypatch):
    """What a test in a program, or a scenario, says when it fails; empty where it passes."""
    monkeypatch.chdir(tmp_path)

    def said(text: str, name: str = "fines.scenario.yaml", program: str = FINES) -> str:
        write(tmp_path, {"fines.proj": program, name: text})
        from pathlib import Path

        case = cases_of(Path(name))[-1]
        try:
            case.run([].append)
        except ProjectionError as error:
            return failure_text(error)
        return ""

    return said


def expecting(expect: str, events: str = EVENTS) -> str:
    return f"program: fines.proj\n{events}expect: {expect}\n"


# --- tests in programs -----------------------------------------------------------------------------------------------


def test_an_in_file_test_holds_after_the_events_that_stand_before_it(said):
    assert "" == said(FINES + PASSING, "fines.proj")


WIRES = """\
proj 1
projection names

event Deed from "Drafted" | "Signed" | "deed.noted" { id: string }
event Sealed from "Sealing" { id: string }
event Sealing from "Sealed" { id: string }

view Names { types: string = "" }

on Deed, Sealed, Sealing as e to e.id =>
  let names = view ?? {};
  names with { types: "{names.types} {meta.type}" }
"""


@pytest.mark.parametrize(
    ("name", "published_as"),
    [
        ("Deed", "Drafted"),
        ("Signed", "Signed"),
        ('"Signed"', "Signed"),
        ('"deed.noted"', "deed.noted"),
        ("Sealed", "Sealing"),  # a name that is declared is the declared one, whatever else is called so on the wire
        ('"Sealed"', "Sealed"),
    ],
)
def test_an_event_is_called_as_it_is_declared_or_as_it_is_on_the_wire(said, name, published_as):
    test = f'test "names" {{ event {name} {{ id: "A" }}; expect view("A").types == " {published_as}"; }}'
    assert "" == said(f"{WIRES}{test}\n", "names.proj")


def test_an_event_is_of_the_aggregate_that_the_test_says(said):
    program = """\
proj 1
projection doors

event Opened {}
event Closed of "door" {}

view Door { open: bool }

on Opened to key(meta.aggregate_type, meta.aggregate_id) => { open: true }
on Closed to key(meta.aggregate_type, meta.aggregate_id) => { open: false }

test "doors" {
  event Opened {} of "door" "A" at "2026-01-01T00:00:00Z";
  event Opened {} of "gate" "A";
  event Closed {} of "gate" "A";
  event Closed {} of "door" "A";
  event Opened {};
  event Closed {};
  expect view("door:A").open == false;
  expect view("gate:A").open and view("aggregate:1").open;
  expect view("door:1").open == false;
}
"""
    assert "" == said(program, "doors.proj")


def test_an_event_that_is_called_wrongly_is_told_what_there_is(said):
    text = said(f'{WIRES}test "names" {{ event Sined {{ id: "A" }}; }}\n', "names.proj")
    assert "no event `Sined` is declared" in text
    assert "did you mean `Signed`?" in text


def test_a_failing_expectation_shows_its_line_both_sides_the_event_and_the_handler(said):
    assert said(FINES + FAILING, "fines.proj").splitlines() == [
        "does not hold: fines.proj:17",
        '17 |   expect view("A1").paid == 70.00;',
        'view("A1").paid is 35.00',
        'A1 was last changed by event 2, Paid {"id":"A1","amount":35.00} (fines.proj:16), in',
        "fines.proj:11: on Paid as e updates e.id =>",
    ]


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ('expect view("A9").paid == 1.00;', ['R704: `view("A9")` is none']),
        ('expect view("") != none;', ['view("") is none']),
        (
            'event Paid { id: "A9", amount: 1.00 };\n  expect parked("A9") == none;',
            [
                'parked("A9") is "R705"',
                'the last event was Paid {"id":"A9","amount":1.00} (fines.proj:15)',
                "event 1 (Paid) is parked: R705 at fines.proj:11:1: the handler updates view 'A9', which does not exist",
            ],
        ),
        (
            """event Created { id: "A", amount: 1.00 };
  event Created { id: "B", amount: 2.00 };
  expect view("A") == view("B");""",
            [
                'view("A").amount: expected 2.00, found 1.00',
                'A was last changed by event 1, Created {"id":"A","amount":1.00} (fines.proj:15), in',
                "fines.proj:10: on Created as e creates e.id => { amount: e.amount }",
                'B was last changed by event 2, Created {"id":"B","amount":2.00} (fines.proj:16), in',
                "fines.proj:10: on Created as e creates e.id => { amount: e.amount }",
            ],
        ),
    ],
    ids=["no view", "empty id", "parked", "records"],
)
def test_a_failing_expectation_says_what_differs(said, steps, lines):
    program = FINES.replace(' from "fine.created"', "")
    found = said(f'{program}\ntest "x" {{\n  {steps}\n}}\n', "fines.proj").splitlines()
    assert lines == found[2:]


def test_an_expectation_over_several_lines_is_shown_whole(said):
    found = said(f'{FINES}\ntest "x" {{\n  expect\n    1 ==\n    2;\n}}\n', "fines.proj")
    assert "does not hold: fines.proj:15\n15 |   expect\n16 |     1 ==\n17 |     2;" == found


def test_a_program_that_does_not_check_fails_as_one_test_with_its_diagnostics(said):
    found = said(FINES.replace("e.amount }", "e.amont }", 1) + PASSING, "fines.proj")
    assert found.startswith("error[N")
    assert "did you mean `amount`?" in found


def test_a_program_without_tests_is_not_even_checked(tmp_path):
    write(tmp_path, {"broken.proj": "proj 1\n# test\nprojection"})
    assert [] == list(cases_below(tmp_path))


# --- scenarios -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expect",
    [
        "{views: {fines: {A1: {paid: 10.10}}}}",
        "{views: {fines: {A1: {paid: 10.1, payments: [{on: '2000-01-01'}]}, A2: null}}}",
        "{views: {fines: {A1: {}}}, gas: {fines: 100000}, parked: []}",
        "{tenants: {north: {fines: {A1: null}}}}",
    ],
)
def test_a_scenario_holds_where_all_that_it_names_is_so(said, expect):
    assert "" == said(expecting(expect))


@pytest.mark.parametrize(
    ("expect", "line"),
    [
        ("{views: {fines: {A1: {paid: 10.11}}}}", "views.fines.A1.paid: expected 10.11, found 10.10"),
        ("{views: {fines: {A1: {paid: '10.10'}}}}", 'views.fines.A1.paid: expected "10.10", found 10.10'),
        ("{views: {fines: {A1: {paid: true}}}}", "views.fines.A1.paid: expected true, found 10.10"),
        (
            "{views: {fines: {A1: {payd: 1}}}}",
            "views.fines.A1.payd: expected 1, but there is no such field; did you mean 'paid'?",
        ),
        (
            "{views: {fines: {A1: {payments: []}}}}",
            'views.fines.A1.payments: expected [], found [{"amount": 10.10, "on": "2000-01-01"}]',
        ),
        ("{views: {fines: {A1: null}}}", "views.fines.A1: expected to be absent, but it is there"),
        ("{views: {fines: {A2: {}}}}", "views.fines.A2: expected, but there is no such view; known here: A1"),
        ("{views: {fine: {}}}", "views.fine: there is no such view type; did you mean 'fines'?"),
        (
            "{tenants: {north: {fines: {A1: {}}}}}",
            "tenants.north.fines.A1: expected, but there is no such view; known here: nothing",
        ),
        ("{parked: [{code: R705}]}", 'parked: expected an event with code "R705", but 0 are parked'),
        ("{gas: {fines: 1}}", "gas.fines: expected at most 1, found …"),
        ("{gas: {fine: 1}}", "gas.fine: there is no such view type; did you mean 'fines'?"),
        ("{halted: R706}", 'halted: expected "R706", found null'),
    ],
)
def test_a_scenario_names_everything_that_differs(said, expect, line):
    first, *lines = said(expecting(expect)).splitlines()
    assert "fines.scenario.yaml does not give the expected result:" == first
    wanted, _, open_end = line.partition("…")
    assert lines[0].startswith(wanted) if open_end or line.endswith("…") else wanted == lines[0]


@pytest.mark.parametrize(
    ("expected", "found", "is_same"),
    [
        (True, 1, False),
        (1, True, False),
        (Decimal("1.0"), 1, True),
        ("1", 1, False),
        (None, 0, False),
        (True, True, True),
    ],
)
def test_values_are_equal_as_those_of_json_are(expected, found, is_same):
    assert is_same == (not list(differences("x", expected, found)))


def test_below_a_view_that_differs_stand_the_event_and_the_handler_that_changed_it(said):
    assert said(expecting("{views: {fines: {A1: {amount: 1, paid: 1}}}}")).splitlines()[1:] == [
        "views.fines.A1.amount: expected 1, found 35.00",
        "views.fines.A1.paid: expected 1, found 10.10",
        '  A1 was last changed by event 2, Paid {"id":"A1","amount":10.1} (event 2), in',
        "  fines.proj:11: on Paid as e updates e.id =>",
    ]


def test_what_is_parked_is_never_passed_over_in_silence(said):
    found = said(expecting("{views: {}}", f"events: [{PAID}]\n"))
    assert "parked: not expected, but event 1 (Paid) is parked: R705 at fines.proj:11:1: " in found
    assert "" == said(expecting("{parked: [{event: 1, code: R705}]}", f"events: [{PAID}]\n"))
    assert 'parked[0].code: expected "R706", found "R705"' in said(
        expecting("{parked: [{code: R706}]}", f"events: [{PAID}]\n")
    )


def test_events_can_stand_in_a_file_and_formats_are_those_of_manifests(said, tmp_path):
    write(tmp_path, {"events.jsonl": '{"type": "fine.created", "data": {"id": "A1", "amount": 0.10}}\n'})
    toml = 'program = "fines.proj"\nevents = "events.jsonl"\n[expect.views.fines.A1]\namount = 0.10\n'
    assert "" == said(toml, "in_toml.scenario.toml")
    json = (
        '{"program": "fines.proj", "events": "events.jsonl", "expect": {"views": {"fines": {"A1": {"amount": 0.1}}}}}'
    )
    assert "" == said(json, "in_json.scenario.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("program: fines.proj\n", "scenario fines.scenario.yaml: field events: is missing"),
        (
            "program: fines.proj\nevents: []\nexpects: {}\n",
            "scenario fines.scenario.yaml: field expects: is not known; did you mean 'expect'?",
        ),
        ("events: []\n", "scenario fines.scenario.yaml: a scenario names either a `program` or a `manifest`"),
        (
            "program: fines.proj\nevents: []\nexpect: {parked: 1, gas: {fines: no}}\n",
            "scenario fines.scenario.yaml: field expect.parked: 1 is not allowed; it must be a valid list; field expect.gas",
        ),
        ("program: fine.proj\nevents: []\n", "scenario fines.scenario.yaml: there is no file fine.proj"),
        ("program: fines.proj\nevents: none.jsonl\n", "there is no file 'none.jsonl'"),
        ("program: fines.proj\nevents: [{}]\n", "event 1: this is not an event: Object missing required field `type`"),
        ("program: [", "fines.scenario.yaml, line 1, column 11: "),
    ],
)
def test_a_scenario_that_cannot_be_read_fails_with_one_sentence(said, text, message):
    assert said(text).startswith(message)


def test_two_scenarios_of_one_name_are_refused_for_they_would_share_a_snapshot(said, tmp_path):
    write(tmp_path, {"fines.scenario.json": "{}"})
    assert said(expecting("{}")).startswith(
        "fines.scenario.yaml has the name of fines.scenario.json\nhint: rename one of them"
    )


def test_a_path_that_is_no_test_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        list(cases_below(tmp_path / "none"))
    write(tmp_path, {"events.jsonl": ""})
    with pytest.raises(ConfigurationError, match="is neither a program"):
        list(cases_below(tmp_path / "events.jsonl"))
