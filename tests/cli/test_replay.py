"""`projection replay`: events of a file, folded with no server and no store."""

from __future__ import annotations

import gzip
import json

import pytest
from command_support import COUNTER, counted, deploy, in_this_process, line, projection, refused, write_events


def test_views_are_printed_one_a_line_in_the_order_of_their_keys_and_parked_events_are_not(tmp_path):
    deploy(tmp_path)
    odd = counted("é/1", 5, tenant="b:c")
    events = [counted("y"), odd, counted("x", 2), counted("x", 3), counted("z", -1), counted("z"), b"not JSON"]
    ended = projection("replay", write_events(tmp_path / "e.jsonl", events), folder=tmp_path)
    expected = line("x", 5) + line("y", 1) + line("é/1", 5, "b:c")
    assert (0, expected) == (ended.returncode, ended.stdout)


def test_what_is_in_no_view_is_told_on_stderr_with_codes_and_guesses(tmp_path):
    deploy(tmp_path)
    events = [counted("x", -1), counted("x"), counted("x"), b"not JSON", counted("y").replace(b"Counted", b"counted")]
    ended = projection("replay", write_events(tmp_path / "e.jsonl", events), folder=tmp_path)
    assert (0, "") == (ended.returncode, ended.stdout)
    told = ended.stderr.splitlines()
    assert ["D101", "P000", "R710"] == [line.partition(" with ")[2][:4] for line in told[:3]]
    assert "note: counter: 2 events are parked with P000; the first is event 2: " in told[1]
    assert "note: counter: 1 event is parked with R710; the first is event 1: NEGATIVE: -1 is below zero" in told[2]
    assert [
        "note: unhandled: 1 event is of a type that no program handles",
        "note: unhandled: event type 'counted' of aggregate type 'counter'; did you mean 'Counted'?",
    ] == told[3:]
    deploy(tmp_path, on_error="skip")
    skipping = projection("replay", "e.jsonl", folder=tmp_path)
    assert "note: counter: 1 event is skipped with R710; the first is event 1: " in skipping.stderr


def test_the_interpreter_comes_to_the_same_as_the_compiler(tmp_path):
    deploy(tmp_path)
    file = write_events(tmp_path / "e.jsonl", [counted("y"), counted("x", 2), counted("x", 3), counted("z", -1)])
    compiled = projection("replay", file, folder=tmp_path)
    ended = projection("replay", file, folder=tmp_path, PROJECTION_EXECUTION="interpreted")
    assert (0, compiled.stdout) == (ended.returncode, ended.stdout)
    refused(projection("replay", file, folder=tmp_path, PROJECTION_EXECUTION="guessed"), 2, "PROJECTION_EXECUTION")


def test_the_summary_is_one_object_of_numbers(tmp_path):
    deploy(tmp_path)
    events = [
        counted("x"),
        counted("y"),
        counted("x", -1),
        counted("x"),
        b"{",
        counted("y").replace(b"event_type", b"e"),
    ]
    ended = projection("replay", "--summary", write_events(tmp_path / "e.jsonl", events), folder=tmp_path)
    summary = json.loads(ended.stdout)
    assert ["events", "views", "parked", "unhandled", "gas", "seconds", "digests"] == list(summary)
    assert (6, 2, 4) == (summary["events"], summary["views"], summary["parked"])
    assert isinstance(summary["gas"], int)
    assert 0 < summary["gas"]
    assert 0 <= summary["seconds"]
    again = projection("replay", "--summary", "e.jsonl", folder=tmp_path)
    assert {"counter": 64} == {name: len(digest) for name, digest in summary["digests"].items()}
    assert summary["digests"] == json.loads(again.stdout)["digests"]


def test_a_compressed_file_and_a_manifest_elsewhere_give_the_same(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    manifest = deploy(elsewhere)
    events = [counted("x"), b"", counted("y", 7)]
    plain = write_events(tmp_path / "e.jsonl", events)
    packed = tmp_path / "e.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    ended = [projection("replay", "--manifest", manifest, path, folder=tmp_path) for path in (plain, packed)]
    assert [line("x", 1) + line("y", 7)] * 2 == [one.stdout for one in ended]


def test_an_empty_file_makes_no_views(tmp_path):
    deploy(tmp_path)
    ended = projection("replay", write_events(tmp_path / "e.jsonl", []), folder=tmp_path)
    assert (0, "", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_a_view_of_2_mb_is_parked_and_the_others_are_as_without_it(tmp_path):
    program = """\
proj 1
projection counter
event Counted { id: string, n: int, texts: list<string(65536)>(100) = [] }
view Counter { total: int = 0, texts: list<string(65536)>(100) = [] }
on Counted as e to e.id =>
  let counter = view ?? {};
  counter with { total += e.n, texts: e.texts }
"""
    deploy(tmp_path, program)
    large = json.loads(counted("large"))
    large["payload"]["texts"] = ["t" * 65_536] * 32
    events = [counted("x"), json.dumps(large).encode(), counted("x"), counted("large")]
    path = write_events(tmp_path / "e.jsonl", events)
    expected = line("x", 2).replace('"total"', '"texts":[],"total"')
    assert expected == projection("replay", path, folder=tmp_path).stdout
    summary = json.loads(projection("replay", "--summary", path, folder=tmp_path).stdout)
    assert (4, 1, 2) == (summary["events"], summary["views"], summary["parked"])


def test_a_policy_of_halt_ends_with_the_event_and_the_reason(tmp_path):
    deploy(tmp_path, on_error="halt")
    path = write_events(tmp_path / "e.jsonl", [counted("x"), counted("x", -7), counted("x")])
    ended = projection("replay", path, folder=tmp_path)
    refused(ended, 1, "view type counter, sequence 2: R710 at counter.proj:", "-7 is below zero", "hint: ")


# what is wrong before anything is folded


def test_a_broken_program_is_told_with_its_first_error_and_where_to_see_all(tmp_path):
    deploy(tmp_path, COUNTER.replace("e.n }", "e.m }"))
    ended = projection("replay", write_events(tmp_path / "e.jsonl", []), folder=tmp_path)
    refused(ended, 1, "counter.proj: 1 error; the first: no field `m` in event Counted", "hint: `projection check")


def test_a_manifest_that_names_no_program_is_told(tmp_path):
    manifest = deploy(tmp_path)
    (tmp_path / "counter.proj").unlink()
    ended = projection("replay", "--manifest", manifest, write_events(tmp_path / "e.jsonl", []), folder=tmp_path)
    refused(ended, 2, "field views.counter.program: 'counter.proj' does not exist")


def test_a_file_a_manifest_or_a_config_that_is_not_there_is_told(tmp_path):
    deploy(tmp_path)
    events = write_events(tmp_path / "e.jsonl", [])
    refused(projection("replay", "none.jsonl", folder=tmp_path), 2, "there is no file 'none.jsonl'")
    refused(projection("replay", "--manifest", "none.yaml", events, folder=tmp_path), 2, "none.yaml")
    refused(projection("replay", "--config", "none.yaml", events, folder=tmp_path), 2, "none.yaml")


@pytest.mark.parametrize(
    ("file", "env", "said"),
    [
        ("back_pressure: {batch: none}", {}, ("file projection.yaml, field back_pressure.batch", "'none'")),
        ("strem: events", {}, ("file projection.yaml, field strem", "did you mean 'stream'?")),
        ("", {"PROJECTION_BACK_PRESSURE__BATCH": "0"}, ("environment variable PROJECTION_BACK_PRESSURE__BATCH", "'0'")),
        ("", {"PROJECTION_STREEM": "x"}, ("environment variable PROJECTION_STREEM is not known",)),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_its_source(tmp_path, file, env, said):
    deploy(tmp_path)
    (tmp_path / "projection.yaml").write_text(file or "{}")
    refused(projection("replay", write_events(tmp_path / "e.jsonl", []), folder=tmp_path, **env), 2, *said)


def test_a_start_at_a_time_cannot_be_replayed_from_a_file_and_that_is_said(tmp_path):
    deploy(tmp_path, start={"time": "2020-01-01T00:00:00Z"})
    ended = projection("replay", write_events(tmp_path / "e.jsonl", [counted("x")]), folder=tmp_path)
    refused(ended, 1, "view type counter starts at a time", "hint: ")


def test_a_folder_of_files_is_one_log_wherever_a_file_is_taken(tmp_path):
    deploy(tmp_path)
    events = [counted("x"), counted("y", 5), counted("x", 2), counted("y", 1), counted("x", 4)]
    write_events(tmp_path / "all.jsonl", events)
    (tmp_path / "months").mkdir()
    write_events(tmp_path / "months/2026-01.jsonl", events[:2])
    (tmp_path / "months/2026-02.jsonl.gz").write_bytes(gzip.compress(b"\n".join(events[2:4])))
    write_events(tmp_path / "months/2026-03.jsonl", events[4:])
    for command in (
        ("replay",),
        ("why", "counter", "x", "--tenant", "a", "--events"),
        ("trace", "counter.proj", "--event", "5", "--events"),
    ):
        one, many = (in_this_process(*command, path, folder=tmp_path) for path in ("all.jsonl", "months"))
        assert one.stdout
        assert (0, one.stdout.replace("all.jsonl:5", "months/2026-03.jsonl:1")) == (many.returncode, many.stdout)
