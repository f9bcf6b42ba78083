"""`projection check`: every error of every program and manifest, each with its place and what to do."""

from __future__ import annotations

import json

from command_support import COUNTER, deploy, projection, refused

from projection.bundled import bundled

FINES = """\
proj 1
projection fine_summary

event Payment { amount_paid: decimal(2), fine_id: string }

view Fine { status: enum(created, part_paid, paid) = "created", paid: decimal(2) = 0.00 }

on Payment as e updates e.fine_id =>
  view with { paid += e.ammount_paid, status: "part_paid" }
"""
DIAGNOSTIC = """\
error[N204]: no field `ammount_paid` in event Payment
 --> fines/fine_summary.proj:9:25
  |
9 |   view with { paid += e.ammount_paid, status: "part_paid" }
  |                         ^^^^^^^^^^^^ did you mean `amount_paid`?
  = help: Payment declares amount_paid, fine_id (line 4)
"""


def test_what_is_right_prints_nothing_and_says_how_much_was_checked(tmp_path):
    deploy(tmp_path)
    ended = projection("check", folder=tmp_path)
    assert (0, "", "checked 1 program and 1 manifest: 0 errors\n") == (ended.returncode, ended.stdout, ended.stderr)


def test_the_bundled_examples_are_right(tmp_path):
    ended = projection("check", bundled("projections"), folder=tmp_path)
    assert (0, "") == (ended.returncode, ended.stdout)
    assert ended.stderr.endswith(": 0 errors\n")


def test_a_diagnostic_shows_the_place_the_line_what_was_meant_and_what_there_is(tmp_path):
    (tmp_path / "fines").mkdir()
    (tmp_path / "fines" / "fine_summary.proj").write_text(FINES)
    ended = projection("check", "fines", folder=tmp_path)
    assert (1, DIAGNOSTIC, "checked 1 program and 0 manifests: 1 error\n") == (
        ended.returncode,
        ended.stdout,
        ended.stderr,
    )


def test_the_gutter_is_as_wide_as_the_line_number(tmp_path):
    (tmp_path / "fines").mkdir()
    (tmp_path / "fines" / "fine_summary.proj").write_text(FINES.replace("\non Payment", "\n\n\non Payment"))
    wide = (
        DIAGNOSTIC.replace(":9:", ":11:")
        .replace("\n9 |", "\n11 |")
        .replace("\n  ", "\n   ")
        .replace("\n -->", "\n  -->")
    )
    assert wide == projection("check", "fines", folder=tmp_path).stdout


def test_all_errors_of_all_files_are_shown_in_one_pass(tmp_path):
    """Of two programs, of a manifest, and of a program that only the manifest names; each once."""
    (tmp_path / "a.proj").write_text(FINES)
    (tmp_path / "b.proj").write_text(FINES.replace("on Payment as e", "on Payments as e"))
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "c.proj").write_text(FINES.replace("e.fine_id", "e.fine_no"))
    (tmp_path / "one.json").write_text(json.dumps({"manifest": 1, "views": {"x": {"program": "named/c.proj"}}}))
    (tmp_path / "two.json").write_text(json.dumps({"manifest": 1, "views": {"y": {"program": "none.proj"}}}))
    ended = projection("check", "a.proj", "b.proj", "one.json", "two.json", "a.proj", folder=tmp_path)
    assert 1 == ended.returncode
    places = [text.partition(":")[0] for text in ended.stdout.split("--> ")[1:]]
    assert ["a.proj", "b.proj", "named/c.proj", "named/c.proj"] == places
    assert "error: manifest two.json, field views.y.program: 'none.proj' does not exist" in ended.stdout
    assert "checked 3 programs and 2 manifests: 5 errors\n" == ended.stderr


def test_in_a_folder_hidden_files_are_left_out_and_the_way_to_it_may_go_anywhere(tmp_path):
    """Up by `..`, or through a folder with a dot: only what is hidden inside counts as hidden."""
    inside = tmp_path / ".work" / "shop"
    (inside / ".trash").mkdir(parents=True)
    (inside / "here").mkdir()
    deploy(inside)
    (inside / ".trash" / "old.proj").write_text("nonsense")
    for path, folder in ((inside, tmp_path), ("..", inside / "here"), ("../shop", inside)):
        ended = projection("check", path, folder=folder)
        assert (0, "checked 1 program and 1 manifest: 0 errors\n") == (ended.returncode, ended.stderr)


def test_a_program_that_is_not_text_is_told(tmp_path):
    (tmp_path / "p.proj").write_bytes(COUNTER.encode() + b"\xff")
    ended = projection("check", "p.proj", folder=tmp_path)
    assert (1, True) == (ended.returncode, "p.proj" in ended.stdout)
    assert "UTF-8" in ended.stdout


def test_a_path_that_cannot_be_checked_is_wrong_usage(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    refused(projection("check", "nowhere", folder=tmp_path), 2, "nowhere does not exist")
    refused(
        projection("check", "notes.txt", folder=tmp_path), 2, "notes.txt is neither a program (.proj) nor a manifest"
    )
    refused(projection("check", "empty", folder=tmp_path), 2, "empty/ holds no program and no manifest", "hint: ")
