"""`projection diff`: two programs over the same events, from files, folders and commits of git."""

from __future__ import annotations

import json
import subprocess

import pytest
from command_support import (
    COUNTER,
    counted,
    deploy,
    fill,
    in_this_process,
    projection,
    refused,
    write_events,
    write_manifest,
)

DOUBLE = COUNTER.replace("total += e.n", "total += 2 * e.n")
STRICT = COUNTER.replace("when e.n < 0", "when e.n < 1")
TABLE = """\
counter: 3 views → 2; 2 changed, 1 only old
  fields: total in 2
  parked or skipped: 0 → 1: 1 newly, 0 no longer, 0 for another reason

view id  tenant  differs   from event          fields
a        a       changed   1 Counted (line 8)  total: 1 → 2
b        a       changed   2 Counted (line 8)  total: 5 → 15
c        a       only old  4 Counted (line 8)

event  tenant  view id  parked before  parked now
    4  a       c                       R710
"""


def diff(folder, *arguments):
    return in_this_process("diff", *arguments, folder=folder)


def answer(folder, *arguments):
    ended = diff(folder, *arguments, "--format", "json")
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def git(folder, *arguments) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "old.proj").write_text(COUNTER)
    (tmp_path / "new.proj").write_text(DOUBLE.replace("when e.n < 0", "when e.n == 0"))
    write_events(tmp_path / "events.jsonl", [counted("a", 1), counted("b", 0), counted("b", 5), counted("c", 0)])
    return tmp_path


def test_views_fields_events_gas_and_parked_changes_are_shown_and_end_with_one(folder) -> None:
    write_events(folder / "events.jsonl", [counted("a", 1), counted("b", 2), counted("b", 3), counted("c", 0)])
    (folder / "new.proj").write_text(DOUBLE.replace("when e.n < 0", "when e.n < 1").replace("2 * e.n", "e.n * e.n + 1"))
    ended = projection("diff", "old.proj", "new.proj", "--events", "events.jsonl", folder=folder)
    shown = "".join(one for one in ended.stdout.splitlines(keepends=True) if "  gas: " not in one)
    assert (1, TABLE, "") == (ended.returncode, shown, ended.stderr)
    assert "  gas: " in ended.stdout


def test_programs_that_come_to_the_same_end_with_none(folder) -> None:
    (folder / "new.proj").write_text(
        "# another comment\n" + COUNTER.replace("projection counter", "projection another")
    )
    ended = diff(folder, "old.proj", "new.proj", "--events", "events.jsonl")
    assert (0, "counter: 3 views; all equal\n", "") == (
        ended.returncode,
        ended.stdout.partition("  gas")[0],
        ended.stderr,
    )


def test_as_json_all_is_counted_and_as_many_as_wanted_are_told(folder) -> None:
    status, found = answer(folder, "old.proj", "new.proj", "--events", "events.jsonl", "--limit", 1)
    (one,) = found["view_types"]
    assert (1, 1, 2, {"total": 1}, 3) == (status, one["changed"], one["only_old"], one["fields"], one["newly_parked"])
    assert [
        {
            "tenant_id": "a",
            "view_id": "a",
            "differs": "changed",
            "changes": [{"path": "total", "before": 1, "after": 2}],
            "first": {"sequence": 1, "event_type": "Counted", "old_lines": [8], "new_lines": [8]},
        }
    ] == one["views"]
    assert [{"tenant_id": "a", "view_id": "b", "sequence": 2, "old": None, "new": "R710"}] == one["parked"]


def test_a_program_is_deployed_as_the_manifest_on_the_other_side_says(folder) -> None:
    write_manifest(
        folder, {"counter": {"program": "old.proj", "on_error": "skip"}, "more": {"program": "new.proj"}}, None
    )
    (folder / "new.proj").write_text(STRICT)
    ended = diff(folder, "new.proj", "manifest.yaml", "--events", "events.jsonl")
    refused(ended, 2, "does not tell which view type new.proj is: it has counter, more")
    write_manifest(folder, {"counter": {"program": "old.proj", "on_error": "skip"}}, None)
    status, found = answer(folder, "manifest.yaml", "new.proj", "--events", "events.jsonl")
    # Were it parked, event 3 would wait behind event 2.
    assert (1, [2, 4]) == (status, [one["sequence"] for one in found["view_types"][0]["parked"]])


def test_view_types_of_one_side_only_are_named(folder) -> None:
    (folder / "one.yaml").write_text(json.dumps({"manifest": 1, "views": {"x": {"program": "old.proj"}}}))
    (folder / "two.yaml").write_text(json.dumps({"manifest": 1, "views": {"y": {"program": "old.proj"}}}))
    ended = diff(folder, "one.yaml", "two.yaml", "--events", "events.jsonl")
    assert (1, "view type x: only in one.yaml\nview type y: only in two.yaml\n") == (ended.returncode, ended.stdout)


def test_a_commit_of_git_can_be_compared_with_what_is_there_now(folder) -> None:
    inner = folder / "inner"
    inner.mkdir()
    deploy(inner)
    write_events(inner / "events.jsonl", [counted("a", 1)])
    git(folder, "init", "-q")
    git(folder, "add", "inner")
    git(folder, "commit", "-qm", "one")
    deploy(inner, DOUBLE)
    for old in ("HEAD:inner/counter.proj", "HEAD:./counter.proj", "HEAD:inner", "HEAD:inner/manifest.yaml"):
        new = "counter.proj" if old.endswith("proj") else "."
        status, found = answer(inner, old, new, "--events", "events.jsonl")
        assert (1, {"total": 1}) == (status, found["view_types"][0]["fields"]), old
    refused(diff(inner, "HEAD:inner/x.proj", ".", "--events", "events.jsonl"), 2, "'HEAD:inner/x.proj'", "REF:./PATH")
    refused(diff(inner, "no:inner", ".", "--events", "events.jsonl"), 2, "'no:inner' is not a path")


def test_from_a_stream_the_result_is_that_of_the_file(folder, nats_server, stream_name) -> None:
    for name in ("old", "new"):
        (folder / name).mkdir()
        deploy(folder / name, (folder / f"{name}.proj").read_text(), stream=stream_name)
    fill(nats_server.url, stream_name, [counted("a", 1), counted("b", 0), counted("b", 5), counted("c", 0)])
    of_stream = answer(folder, "old", "new", "--stream", stream_name, "--url", nats_server.url)
    assert answer(folder, "old", "new", "--events", "events.jsonl") == of_stream


def test_what_cannot_be_compared_is_told_in_one_sentence(folder) -> None:
    refused(diff(folder, "old.proj", "new.proj"), 2, "either --events or --stream")
    refused(diff(folder, "old.proj", "none.proj", "--events", "events.jsonl"), 2, "there is no 'none.proj'")
    (folder / "new.proj").write_text(COUNTER.replace("e.n < 0", "e.m < 0"))
    ended = diff(folder, "old.proj", "new.proj", "--events", "events.jsonl")
    refused(ended, 2, "new.proj does not check: new.proj:9:10: ")
    write_manifest(folder, {"counter": {"program": "old.proj"}}, None)
    other = {"manifest": 1, "subject_template": "x.<type>.<id>", "views": {"counter": {"program": "old.proj"}}}
    (folder / "other.yaml").write_text(json.dumps(other))
    refused(diff(folder, "manifest.yaml", "other.yaml", "--events", "events.jsonl"), 2, "the subject templates differ")
