"""`projection why`: the events that made a view, from a file or from a stream, against replay and a node's store."""

from __future__ import annotations

import json
import re

import pytest
from command_support import COUNTER, counted, deploy, fill, in_this_process, projection, refused, write_events
from operating_support import EVENTS, copied, left_behind

OWN = COUNTER.replace("to e.id", "to meta.aggregate_id")
TEXT = """\
event 1 Counted at 2024-01-01T00:00:00Z, line 8, gas N: made
  total: 2
event 2 Counted at 2024-01-01T00:00:00Z, line 8, gas N: parked: R710 at counter.proj:9:19: NEGATIVE: -1 is below zero
event 3 Counted at 2024-01-01T00:00:00Z, line 8, gas N: waits: P000: an earlier event of this view is parked
view a after event 4: {"total":2}
"""


def why(folder, *arguments, **more_env):
    return in_this_process("why", "counter", *arguments, folder=folder, **more_env)


def answer(folder, *arguments):
    ended = why(folder, *arguments, "--format", "json")
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture
def folder(tmp_path):
    deploy(tmp_path)
    write_events(tmp_path / "events.jsonl", [counted("a", 2), counted("a", -1), counted("a", 3), counted("b", 1)])
    return tmp_path


@pytest.fixture(scope="module")
def node(nats_server, tmp_path_factory):
    """A folder that a node has left behind; the stream has the folder's name."""
    folder = left_behind(tmp_path_factory.mktemp("why") / "why", nats_server.url)
    return folder, ("--stream", folder.name, "--url", nats_server.url, "--tenant", "a")


# --- from a file -----------------------------------------------------------------------------------------------------


def test_each_event_of_a_view_says_what_it_changed_and_where_or_why_not(folder) -> None:
    ended = projection("why", "counter", "a", "--tenant", "a", "--events", "events.jsonl", folder=folder)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert re.sub(r"gas \d+", "gas N", ended.stdout) == TEXT


def test_where_no_event_is_for_a_view_those_of_unhandled_types_are_told(folder) -> None:
    """Of the right aggregate with a wrong letter, and of another case of its type, whose subjects are others."""
    own = OWN.replace("event Counted {", 'event Counted of "counter" {')
    deploy(folder, own)
    wrong = [counted("a").replace(b"Counted", b"Countd"), counted("a", aggregate_type="Counter"), counted("b")]
    write_events(folder / "events.jsonl", wrong)
    ended = why(folder, "a", "--tenant", "a", "--events", "events.jsonl")
    assert 1 == ended.returncode
    assert "note: unhandled: 2 events are of types that no program handles\n" in ended.stderr
    assert "event type 'Countd' of aggregate type 'counter'; did you mean 'Counted'?" in ended.stderr
    guess = "did you mean 'Counted' of aggregate type 'counter'?"
    assert f"event type 'Counted' of aggregate type 'Counter'; {guess}" in ended.stderr
    assert "unhandled" not in why(folder, "b", "--tenant", "a", "--events", "events.jsonl").stderr


def test_the_view_is_shown_as_it_was_after_an_event(folder) -> None:
    write_events(folder / "events.jsonl", [counted("a", 2), counted("b", 1), counted("a", 3)])
    arguments = ("a", "--tenant", "a", "--events", "events.jsonl", "--at")
    assert 'view a after event 2: {"total":2}\n' in why(folder, *arguments, 2).stdout
    assert {"total": 5} == answer(folder, *arguments, 3)["view"]


def test_with_a_field_what_changed_it_and_what_was_not_taken_is_shown(folder) -> None:
    deploy(folder, COUNTER.replace("total: int = 0", "total: int = 0, events: int = 0").replace(
        "total += e.n }", "total += e.n, events += 1 }"
    ))  # fmt: skip
    write_events(folder / "events.jsonl", [counted("a", 2), counted("a", 0), counted("a", 3), counted("a", -1)])
    found = answer(folder, "a", "total", "--tenant", "a", "--events", "events.jsonl")
    assert [1, 3, 4] == [one["sequence"] for one in found["events"]]
    assert [{"path": "total", "before": 2, "after": 5}] == found["events"][1]["changes"]
    refused(why(folder, "a", "totl", "--events", "events.jsonl"), 2, "no field 'totl'", "did you mean 'total'?")


def test_events_can_be_written_in_their_short_form(folder) -> None:
    (folder / "short.jsonl").write_text('{"type": "Counted", "data": {"id": "a", "n": 4}}\n')
    assert {"total": 4} == answer(folder, "a", "--events", "short.jsonl")["view"]


def test_an_event_that_reached_no_view_is_shown_where_it_is_of_the_views_aggregate(folder) -> None:
    events = [counted("a", 1), counted("b", 1), counted("a").replace(b'"id": "a"', b'"id": 7')]
    write_events(folder / "events.jsonl", events)
    found = answer(folder, "a", "--tenant", "a", "--events", "events.jsonl")
    assert ([1], ["1 event of the tenant reached no view, whichever they were meant for"]) == (
        [one["sequence"] for one in found["events"]],
        found["notes"],
    )
    deploy(folder, OWN)
    found = answer(folder, "a", "--tenant", "a", "--events", "events.jsonl")
    assert ([1, 3], []) == ([one["sequence"] for one in found["events"]], found["notes"])
    assert ("parked", "D105") == (found["events"][1]["outcome"], found["events"][1]["reason"]["code"])


def test_every_view_of_a_replay_is_explained_as_the_same_bytes(folder) -> None:
    write_events(folder / "events.jsonl", EVENTS)
    views = [json.loads(one) for one in in_this_process("replay", "events.jsonl", folder=folder).stdout.splitlines()]
    assert ["bad", "x"] == [one["view_id"] for one in views]
    for one in views:
        found = answer(folder, one["view_id"], "--tenant", one["tenant_id"], "--events", "events.jsonl")
        assert one["view"] == found["view"]


def test_what_is_not_there_ends_with_one_and_wrong_words_with_two(folder) -> None:
    ended = why(folder, "z", "--tenant", "a", "--events", "events.jsonl")
    assert (1, "view z after event 4: there is none\n") == (ended.returncode, ended.stdout)
    assert "no event of tenant 'a' is for such a view; name another tenant with --tenant\n" in ended.stderr
    ended = in_this_process("why", "countr", "a", "--events", "events.jsonl", folder=folder)
    refused(ended, 2, "names no view type 'countr'", "did you mean 'counter'?")
    refused(why(folder, "a", "--events", "events.jsonl", "--stream", "s"), 2, "--events goes with neither")
    refused(why(folder, "a", "--events", "events.jsonl", "--storage", "none"), 2, "there is no data folder")


# --- from a stream, beside a node ------------------------------------------------------------------------------------


def test_from_a_stream_the_answer_is_that_of_the_file_and_of_the_node(node) -> None:
    folder, source = node
    write_events(folder / "events.jsonl", EVENTS)
    for view_id in ("x", "bad"):
        of_stream = answer(folder, view_id, *source)
        of_file = answer(folder, view_id, "--tenant", "a", "--events", "events.jsonl")
        assert of_stream["agrees"] is True
        assert (of_file["events"], of_file["view"]) == (of_stream["events"], of_stream["view"])
    ended = why(folder, "x", *source)
    assert 0 == ended.returncode
    assert "note: all events of the tenant were read" in ended.stderr
    assert "note: build 1 of view type counter holds the same view, as of event 9\n" in ended.stderr


def test_where_the_id_tells_the_aggregate_only_its_subjects_are_read(nats_server, stream_name, tmp_path) -> None:
    deploy(tmp_path, OWN, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("a:1", 2), counted("b", 1), counted("a:1", 3)])
    found = answer(tmp_path, "a:1", "--tenant", "a", "--stream", stream_name, "--url", nats_server.url)
    assert [f"{stream_name}.a.aggregate.*.a%3A1"] == found["subjects"]
    assert ([1, 3], {"total": 5}, []) == ([one["sequence"] for one in found["events"]], found["view"], found["notes"])


def test_what_an_operator_dropped_is_left_out_as_in_the_node(node, tmp_path) -> None:
    folder, source = node
    here = copied(folder, tmp_path / folder.name)
    dropped = in_this_process("parked", "drop", "counter", 3, "--id", "bad", folder=here)
    assert 0 == dropped.returncode, dropped.stderr
    found = answer(here, "bad", *source)
    assert [(2, "made"), (3, "dropped"), (4, "changed"), (5, "parked"), (6, "waits")] == [
        (one["sequence"], one["outcome"]) for one in found["events"]
    ]
    assert ({"total": 6}, True) == (found["view"], found["agrees"])


def test_a_stored_view_that_is_another_one_is_said_and_ends_with_one(node) -> None:
    folder, _ = node
    write_events(folder / "other.jsonl", [counted("x", 5), *EVENTS[1:]])
    ended = why(folder, "x", "--tenant", "a", "--events", "other.jsonl", "--storage", "data")
    assert 1 == ended.returncode
    assert 'build 1 of view type counter holds another as of event 9: {"total":1}' in ended.stderr


def test_a_node_that_is_not_as_far_is_compared_where_it_stands(node, nats_server, tmp_path) -> None:
    folder, source = node
    here = copied(folder, tmp_path / "later")
    fill(nats_server.url, folder.name, [counted("later", 1)])
    write_events(here / "events.jsonl", [*EVENTS, counted("x", 100)])
    found = answer(here, "x", "--tenant", "a", "--events", "events.jsonl", "--storage", "data")
    assert ({"total": 101}, True) == (found["view"], found["agrees"])
    found = answer(here, "x", *source, "--at", 1)
    assert (None, ["not compared with build 1 of view type counter, which is at event 9"]) == (
        found["agrees"],
        found["notes"][1:],
    )


def test_a_store_that_another_program_made_is_not_compared(node, tmp_path) -> None:
    folder, source = node
    here = copied(folder, tmp_path / "changed")
    deploy(here, COUNTER.replace("total += e.n", "total += e.n + 1"), stream=folder.name)
    found = answer(here, "x", *source)
    assert ({"total": 2}, None) == (found["view"], found["agrees"])
    assert "not compared with build 1 of view type counter: it is folded differently (the program)" in found["notes"]


def test_a_server_that_is_not_there_is_one_clear_error(folder) -> None:
    refused(why(folder, "a", "--stream", "s", "--url", "nats://127.0.0.1:1"), 1, "127.0.0.1:1")
