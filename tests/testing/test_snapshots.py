"""A snapshot: one text for one result, readable, exact, and in the form of an expectation."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from author_support import CREATED, FINES, PAID, write

from projection.testing.cases import ScenarioCase
from projection.testing.folding import Projection
from projection.testing.snapshots import difference, mismatch, scalar, snapshot_text

NORTH = {"type": "fine.created", "tenant": "north", "data": {"id": "2000", "amount": 0.5}}
UNSEEN = 'A\u2028\u202e\x85\x7f\ufeff\n"é'


@pytest.fixture
def fines(tmp_path) -> Projection:
    return Projection.load(write(tmp_path, {"fines.proj": FINES}) / "fines.proj")


def test_a_snapshot_has_views_in_key_order_one_field_a_line_then_parked_events_then_gas(fines):
    folded = fines.given([CREATED, PAID, NORTH, {"type": "Paid", "tenant": "north", "data": {"id": "x", "amount": 1}}])
    text = snapshot_text(folded)
    assert """\
views:
  fines:
    A1:
      amount: 35.00
      paid: 10.10
      payments:
        - amount: 10.10
          on: "2000-01-01"
tenants:
  north:
    fines:
      "2000":
        amount: 0.50
        paid: 0.00
        payments: []
parked:
  - event: 4
    type: "Paid"
    tenant: "north"
    view_type: "fines"
    view: "x"
    code: "R705"
    message: "the handler updates view 'x', which does not exist"
gas:
  fines: """ == text[: text.index("fines: ", text.index("gas:")) + 7]
    assert text.endswith(f"fines: {folded.gas()}\n")


def test_no_views_and_no_parked_events_are_said_too(fines):
    assert "views: {}\nparked: []\ngas:\n  fines: 0\n" == snapshot_text(fines.given([]))


def test_a_comment_in_the_program_does_not_change_a_snapshot(fines, tmp_path):
    before = snapshot_text(fines.given([PAID]))
    write(tmp_path, {"fines.proj": FINES.replace("event Created", "# a comment\n\nevent Created")})
    assert before == snapshot_text(Projection.load(tmp_path / "fines.proj").given([PAID]))


def test_what_cannot_be_seen_is_written_as_an_escape(fines):
    text = snapshot_text(fines.given({"type": "fine.created", "data": {"id": UNSEEN, "amount": 1}}))
    assert r'    "A\u2028\u202e\u0085\u007f\ufeff\n\"é":' in text.split("\n")


def test_a_snapshot_can_be_copied_into_an_expectation(fines, tmp_path):
    events = [CREATED, PAID, NORTH, {"type": "Paid", "data": {"id": UNSEEN, "amount": 1}}]
    events.append({"type": "fine.created", "data": {"id": "true", "amount": 1}})
    text = snapshot_text(fines.given(events))
    expect = "".join(f"  {line}\n" for line in text.splitlines())
    write(tmp_path, {"copy.scenario.yaml": f"program: fines.proj\nevents: {json.dumps(events)}\nexpect:\n{expect}"})
    assert ScenarioCase(tmp_path / "copy.scenario.yaml", "copy").run([].append) is None


def test_a_difference_stands_below_the_keys_that_it_is_about(fines):
    old, new = snapshot_text(fines.given([CREATED, NORTH])), snapshot_text(fines.given([CREATED, PAID, NORTH]))
    *lines, _, removed, added = difference(old, new)
    assert [
        "  views:",
        "    fines:",
        "      A1:",
        "-       paid: 0.00",
        "-       payments: []",
        "+       paid: 10.10",
        "+       payments:",
        "+         - amount: 10.10",
        '+           on: "2000-01-01"',
    ] == lines
    assert removed.startswith("-   fines: ")
    assert added.startswith("+   fines: ")
    assert [] == list(difference(old, old))


def test_the_keys_above_stand_once_for_all_differences_below_them():
    old, new = "a:\n  x: 1\n  y: 2\n  z: 3\n", "a:\n  x: 0\n  y: 2\n  z: 0\n"
    assert ["  a:", "-   x: 1", "+   x: 0", "-   z: 3", "+   z: 0"] == list(difference(old, new))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("35.00"), "35.00"),
        (True, "true"),
        (None, "null"),
        ({"a": [Decimal("1.0")]}, '{"a": [1.0]}'),
    ],
)
def test_a_value_on_one_line_is_its_json_with_all_digits(value, text):
    assert text == scalar(value)


def test_a_snapshot_that_is_not_there_fails_and_says_what_writes_it(tmp_path):
    error = mismatch(tmp_path / "x.scenario.views", None, "views: {}\n")
    assert "there is no snapshot" in error.message
    assert "`projection test --update` writes it" in str(error.hint)


def test_a_difference_of_thousands_of_lines_is_cut_short(tmp_path):
    lines = mismatch(tmp_path, "", "".join(f"{number}\n" for number in range(5000))).message.splitlines()
    assert "… and 4900 more lines" == lines[-1]
    assert 102 == len(lines)
