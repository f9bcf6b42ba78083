"""`projection trace`: one event through a program, value by value, and what it cost line by line."""

from __future__ import annotations

import json
import re

import pytest
from command_support import COUNTER, projection, refused

from projection.bundled import bundled

FINES = bundled("projections/fines")
EVENTS = [
    {"type": "Counted", "data": {"id": "a", "n": 2}},
    {"type": "Counted", "data": {"id": "a", "n": 3}},
    {"type": "Counted", "data": {"id": "a", "n": -1}},
    {"type": "Counted", "data": {"id": "a", "n": 5}},
    {"type": "Counted", "data": {"id": "a", "n": "x"}},
    {"type": "Other", "data": {}},
]
SECOND = """\
event 2: Counted {"id": "a", "n": 3} (events.jsonl:2)

route
    8 │  e.id                              "a"
check of the payload: gas N
route_gas N of 10,000

view a {"total":2}

on Counted to (line 8)
    9 │  e.n < 0                           false
    9 │    e.n                             3
   11 │  let counter = view ?? {}          {"total":2}
   12 │  with { total }                    {"total":5}
   12 │    total += e.n                    5
   12 │      e.n                           3
gas N of 200,000: N for reading and writing the view
alloc N of 1,000,000
view a is changed
total: 2 → 5
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in EVENTS))
    return tmp_path


def trace(folder, number):
    return projection(
        "trace", "counter.proj", "--events", "events.jsonl", "--event", number, folder=folder, COLUMNS="100"
    )


def without_prices(text):
    """The same without the numbers that a schedule of gas decides."""
    text = re.sub(r"(payload: gas) \d+", r"\1 N", text)
    text = re.sub(r"^( *\d+) +\d* │", r"\1 │", text, flags=re.MULTILINE)
    return re.sub(
        r"^(.*gas|alloc) \d+ of ([\d,]+)(: \d+)?",
        lambda m: f"{m[1]} N of {m[2]}{': N' if m[3] else ''}",
        text,
        flags=re.MULTILINE,
    )


def test_each_expression_has_its_value_behind_the_events_before(folder):
    ended = trace(folder, 2)
    assert (0, SECOND, "") == (ended.returncode, without_prices(ended.stdout), ended.stderr)


def test_a_failure_is_shown_where_it_came_about_and_at_its_place(folder):
    ended = trace(folder, 3)
    assert 1 == ended.returncode
    assert '│  fail("NEGATIVE", "{e.n} is belo…  failed: R710 NEGATIVE: -1 is below zero\n' in ended.stdout
    assert "\nerror[R710]: NEGATIVE: -1 is below zero\n --> counter.proj:9:19\n  |\n9 |   when" in ended.stdout


def test_that_an_earlier_event_of_the_view_is_parked_is_said(folder):
    ended = trace(folder, 4)
    assert (0, True) == (ended.returncode, "an earlier event of this view is parked" in ended.stdout)


def test_an_event_that_does_not_fit_has_its_code_and_one_that_nobody_takes_does_nothing(folder):
    ended = trace(folder, 5)
    assert 1 == ended.returncode
    assert "failed: D105: the payload does not fit event Counted" in ended.stdout
    ended = trace(folder, 6)
    assert (0, True) == (ended.returncode, "handles no event 'Other': nothing happens" in ended.stdout)


def test_of_a_long_loop_the_first_steps_are_shown_and_the_others_are_counted(folder):
    (folder / "counter.proj").write_text(
        COUNTER.replace("n: int }", "n: int, xs: list<int>(50) = [] }", 1).replace(
            "total += e.n", "total += sum(x * e.n for x in e.xs if x > 3)"
        )
    )
    (folder / "events.jsonl").write_text(
        json.dumps({"type": "Counted", "data": {"id": "a", "n": 2, "xs": [*range(20)]}})
    )
    ended = trace(folder, 1)
    assert re.search(r"│ +… \d\d more steps\n", ended.stdout)
    assert_lines_come_to_the_whole(ended.stdout)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_lines_come_to_the_gas_of_the_whole(number):
    ended = projection("trace", "fine_summary.proj", "--events", "events.jsonl", "--event", number, folder=FINES)
    assert_lines_come_to_the_whole(ended.stdout)


def assert_lines_come_to_the_whole(shown):
    body = shown.partition("\non ")[2]
    lines = sum(int(gas or 0) for gas in re.findall(r"^ *\d+ +(\d*) │", body, re.MULTILINE))
    whole, around = re.search(r"^gas (\d+) of [\d,]+: (\d+) for", body, re.MULTILINE).groups()
    assert int(whole) == lines + int(around)


def test_what_is_not_there_is_wrong_usage(folder):
    refused(trace(folder, 7), 2, "there is no event 7", "hint: there are 6")
    assert 2 == trace(folder, 0).returncode
    refused(projection("trace", "none.proj", "--events", "events.jsonl", "--event", 1, folder=folder), 2)


def test_what_takes_the_place_of_none_is_shown_with_its_value_and_not_with_the_test_for_none(tmp_path):
    (tmp_path / "p.proj").write_text(
        "proj 1\nprojection p\nevent E { id: string, n?: int }\nview V { n: int }\non E as e to e.id => { n: e.n ?? 7 }\n"
    )
    (tmp_path / "events.jsonl").write_text('{"type": "E", "data": {"id": "a"}}\n')
    ended = projection("trace", "p.proj", "--events", "events.jsonl", "--event", "1", folder=tmp_path)
    (line,) = [line for line in ended.stdout.splitlines() if "  e.n ?? 7" in line]
    assert "7" == line.split()[-1]


def test_what_is_read_of_the_message_is_shown(tmp_path):
    program = COUNTER.replace("total += e.n", 'total += length(meta.headers["x-channel"] ?? "")')
    (tmp_path / "counter.proj").write_text(program)
    (tmp_path / "events.jsonl").write_text(json.dumps({**EVENTS[0], "headers": {"X-Channel": "web"}}))
    shown = trace(tmp_path, 1).stdout
    assert '"web"' in shown
    assert "total: 3" in shown
