"""`projection repl`: each input is answered with value, type and cost, or with what is wrong with it."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest
from command_support import COUNTER, command, environment, refused

EVENTS = [
    {"type": "Counted", "data": {"id": "a", "n": 2}},
    {"type": "Counted", "data": {"id": "a", "n": 3}},
    {"type": "Counted", "data": {"id": "b", "n": -1}},
    {"type": "Other", "data": {}},
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in EVENTS))
    return tmp_path


def repl(folder, *inputs, arguments=()):
    return subprocess.run(
        command("repl", *arguments),
        input="\n".join(inputs),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment(),
    )


def loaded(folder, *inputs, arguments=()):
    return repl(folder, *inputs, arguments=("counter.proj", "--events", "events.jsonl", *arguments))


def values(ended):
    """The answers without types and costs."""
    return [line for line in ended.stdout.splitlines() if not line.startswith("  ")]


def test_an_expression_is_answered_with_its_value_its_type_and_its_cost(folder):
    ended = repl(folder, "[n * 2 for n in [1, 2]]")
    assert (0, "") == (ended.returncode, ended.stderr)
    value, more = ended.stdout.splitlines()
    assert "[2,4]" == value
    assert more.startswith("  list<int> · ")
    assert more.endswith(" alloc")


def test_names_stay_and_can_be_given_anew(folder):
    ended = repl(folder, "let x = 3", "let y: decimal(2) = x", "x * y", 'let x = "a"', "x", "let z = 1; z + 1", "z")
    assert ["3", "3.00", "9.00", '"a"', '"a"', "2", "error[N201]: no variable `z` here"] == values(ended)[:7]
    assert 1 == ended.returncode


def test_an_input_goes_on_while_a_bracket_is_open(folder):
    assert ["[1,2]", "3"] == values(repl(folder, "[1,", " 2", "]", "3"))
    ended = repl(folder, "[1,", "", "3")  # an empty line is the way out
    assert ("error[P101]", "3") == (ended.stdout[:11], ended.stdout.splitlines()[-2])


def test_a_mistake_is_shown_with_carets_below_what_was_typed(folder):
    ended = repl(folder, "let sum_ = 1", "sum_ + smu_", "1 +", "div(sum_, 0)")
    assert (
        "error[N201]: no variable `smu_` here\n --> <input>:1:8\n  |\n1 | sum_ + smu_\n  |        ^^^^ did you mean `sum_`?\n"
        in ended.stdout
    )
    assert "error[P101]: " in ended.stdout
    assert "error[R703]: division by zero\n --> <input>:1:1\n  |\n1 | div(sum_, 0)\n  | ^^^^^^^^^^^^\n" in ended.stdout


def test_views_are_what_the_events_have_made(folder):
    ended = loaded(folder, 'view("a")', 'view("a").total', 'view("b")', 'parked("b")', ":view a", "view.total", "id")
    assert ['{"total":5}', "5", "null", '"R710"', '{"total":5}', "5", '"a"'] == values(ended)
    assert ["5"] == values(loaded(folder, "view.total", arguments=("--view", "a")))


def test_at_an_event_its_fields_are_there_and_views_are_as_before_it(folder):
    ended = loaded(folder, ":event 2", "e.n + 1", "meta.type", 'view("a").total', ":event", 'view("a").total', "e")
    assert ['e is Counted {"id": "a", "n": 3} (events.jsonl:2)', "4", '"Counted"', "2", "behind all events", "5"] == (
        values(ended)[:6]
    )
    assert "error[N201]: no variable `e` here" in ended.stdout


def test_at_an_event_every_part_of_its_message_is_there(folder):
    event = {**EVENTS[0], "headers": {"X-Channel": "web"}, "stored_at": "2024-03-01T00:00:00Z"}
    (folder / "events.jsonl").write_text(json.dumps(event))
    ended = loaded(
        folder, ":event 1", 'meta.headers["x-channel"]', 'meta.headers["other"]', "meta.stored_at", "meta.subject"
    )
    assert ['"web"', "null", '"2024-03-01T00:00:00Z"', '"tenant.%-.aggregate.aggregate.1"'] == values(ended)[1:]


def test_at_an_event_views_are_those_of_its_tenant(folder):
    event = {"type": "Counted", "tenant": "t", "data": {"id": "a", "n": 7}}
    (folder / "events.jsonl").write_text(f"{json.dumps(event)}\n{json.dumps(event)}\n")
    assert ["null"] == values(loaded(folder, 'view("a")'))
    assert ['{"total":14}'] == values(loaded(folder, 'view("a")', arguments=("--tenant", "t")))
    assert '{"total":7}' == values(loaded(folder, ":event 2", 'view("a")'))[1]


def test_commands_say_what_they_cannot_do(folder):
    ended = loaded(folder, ":evnt", ":event 9", ":event x", ":event 4", ":load none.jsonl", ":load none.proj")
    assert [
        "error: there is no command :evnt",
        "error: there is no event 9",
        "error: 'x' is no number of an event",
        "error: the program handles no event 'Other'",
        "error: there is no file 'none.jsonl'",
    ] == values(ended)[:5]
    assert "  hint: did you mean ':event'?" in ended.stdout
    assert ["error: no program is loaded"] == values(repl(folder, ":events"))


def test_events_are_listed_types_are_told_and_files_are_loaded(folder):
    ended = repl(
        folder, ":load counter.proj", ":load events.jsonl", ":events", ':type view("a")', ":help", ":quit", "x"
    )
    lines = ended.stdout.splitlines()
    assert ["counter, 0 events", "counter, 4 events"] == lines[:2]
    assert [f"{number}  " for number in (1, 2, 3, 4)] == [line[:3] for line in lines[2:6]]
    assert "view Counter?" == lines[6]
    assert lines[7].startswith("an expression ")
    assert 0 == ended.returncode


def test_a_program_that_does_not_check_is_shown_and_another_one_stays(folder):
    (folder / "bad.proj").write_text(COUNTER.replace("e.n }", "e.m }"))
    ended = loaded(folder, ":load bad.proj", 'view("a").total')
    assert "error[N204]: no field `m`" in ended.stdout
    assert ended.stdout.splitlines()[-2] == "5"
    assert 1 == repl(folder, arguments=("bad.proj",)).returncode


def test_wrong_usage(folder):
    refused(repl(folder, arguments=("--events", "events.jsonl")), 2, "events need a program")
    refused(loaded(folder, arguments=("--tenant", "x" * 300)), 2)


def test_on_a_terminal_there_is_a_prompt_names_are_completed_and_earlier_lines_come_back(folder):
    master, slave = pty.openpty()
    own = {**environment(), "TERM": "xterm", "INPUTRC": os.devnull}
    with subprocess.Popen(command("repl"), stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=own) as process:
        os.close(slave)
        shown = _until(master, b"> ")
        assert b"projection: an expression a line" in shown
        os.write(master, b"[1,\n")
        _until(master, "… ".encode())
        os.write(master, b"2]\n")
        assert b"list<int>(2)" in _until(master, b"alloc\r\n> ")
        os.write(master, b"days_betw\t")
        _until(master, b"days_between")
        os.write(master, b"\x15\x1b[A\n")  # Ctrl-U, and the line before
        assert b"error[P101]" in _until(master, b"\r\n> ")
        os.write(master, b"\x15\x04")
        assert 0 == process.wait(60)
    os.close(master)


def _until(terminal, end):
    shown = b""
    while end not in shown:
        shown += os.read(terminal, 65_536)
    return shown
