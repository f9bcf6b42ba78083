"""`projection check --against`: which view types would fold anew and why, and which changes break others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command_support import COUNTER, deploy, projection, refused

from projection.cli.comparing import compared
from projection.errors import ConfigurationError

OTHERWISE = COUNTER.replace("n: int }", "n: int, by: string }").replace("view Counter { total", "view Counter { sum")
OTHERWISE = OTHERWISE.replace("with { total += e.n }", "with { sum += e.n }")


def git(folder, *arguments):
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A folder with one deployed program, committed as it is."""
    deploy(tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def against(folder, *arguments):
    ended = projection("check", *arguments, "--format", "json", folder=folder)
    return ended.returncode, json.loads(ended.stdout)["against"]


def test_what_did_not_change_makes_no_new_fold(repository):
    status, found = against(repository, "--against", "HEAD", "--fail-on-breaking")
    assert (0, 0, []) == (status, found["breaking"], found["changes"])
    assert [
        {"view_type": "counter", "folds_anew": False, "reasons": ["its program is the same"], "reach": None}
    ] == found["view_types"]


def test_what_does_not_check_is_not_compared_and_not_gone(repository):
    program = repository / "counter.proj"
    program.write_text(program.read_text().replace("with { total", "with { totl"))
    status, found = against(repository, "--against", "HEAD", "--fail-on-breaking")
    assert (1, 0, []) == (status, found["breaking"], found["changes"])
    assert ["it is not compared, because it has errors"] == found["view_types"][0]["reasons"]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("proj 1", "# a comment\nproj 1", "the program means the same: only comments, layout, names or tests changed"),
        (
            "let counter = view",
            "let c = view",
            "the program means the same: only comments, layout, names or tests changed",
        ),
        ("\non Counted", "\nindex by total\non Counted", "only indexes changed, which are built in the background"),
    ],
)
def test_what_means_the_same_makes_no_new_fold_and_says_why(repository, before, after, reason):
    program = (repository / "counter.proj").read_text().replace(before, after)
    (repository / "counter.proj").write_text(
        program.replace("    counter with", "    c with") if "let c " in program else program
    )
    status, found = against(repository, "--against", "HEAD")
    assert (0, 0) == (status, found["breaking"])
    assert [{"view_type": "counter", "folds_anew": False, "reasons": [reason], "reach": None}] == found["view_types"]


def test_what_a_new_fold_comes_of_is_named_of_the_program_and_of_the_manifest(repository):
    deploy(repository, COUNTER.replace("total += e.n", "total += 2 * e.n"), limits={"gas": 5000})
    _, found = against(repository, "--against", "HEAD")
    (fold,) = found["view_types"]
    assert (True, ["the program (on Counted)", "limits.gas (200,000 → 5,000)"]) == (fold["folds_anew"], fold["reasons"])


def test_where_only_some_events_are_handled_differently_their_types_are_named(repository):
    deploy(repository, COUNTER.replace("total += e.n", "total += 2 * e.n"))
    _, found = against(repository, "--against", "HEAD")
    only = {"aggregate_type": None, "event_type": "Counted"}
    assert {"any_view": False, "why": "", "event_types": [only], "all_other_types": False} == found["view_types"][0][
        "reach"
    ]
    shown = projection("check", "--against", "HEAD", folder=repository)
    told = "the program (on Counted); only views that had events of these types can differ: Counted\n"
    assert shown.stdout.startswith(f"counter: folds anew: {told}")
    deploy(repository, COUNTER.replace("total += e.n", "total += 2 * e.n"), limits={"gas": 5000})
    _, found = against(repository, "--against", "HEAD")
    assert found["view_types"][0]["reach"] is None


def test_breaking_changes_are_warnings_that_fail_only_when_told_to(repository):
    (repository / "counter.proj").write_text(OTHERWISE)
    shown = projection("check", "--against", "HEAD", folder=repository)
    assert 0 == shown.returncode
    assert shown.stdout.startswith("counter: folds anew: the program (view Counter, event Counted, on Counted)\n")
    assert "warning[C801]: this breaks readers: view Counter.total is gone\n" in shown.stdout
    assert "warning[C802]: this breaks producers: event Counted.by is new and must be there\n" in shown.stdout
    assert "note[C803]: view Counter.sum is new\n" in shown.stdout
    assert shown.stderr.endswith("against HEAD: 1 of 1 view types would fold anew; 2 breaking changes, 1 compatible\n")
    strict = projection("check", "--against", "HEAD", "--strict", folder=repository)
    assert "nothing reads the field `by`" in strict.stdout  # of its own
    failed = projection("check", "--against", "HEAD", "--fail-on-breaking", folder=repository)
    assert 1 == failed.returncode
    assert "error[C801]: this breaks readers: view Counter.total is gone\n" in failed.stdout


def test_each_change_has_its_place_and_what_was_there(repository):
    (repository / "counter.proj").write_text(OTHERWISE)
    _, found = against(repository, "--against", "HEAD")
    (new,) = [one for one in found["changes"] if one["code"] == "C802"]
    assert ("counter.proj", 4, 37) == (new["file"], new["line"], new["column"])
    assert ("producers", "event Counted.by", "", "string") == (new["side"], new["path"], new["old"], new["new"])
    assert "write `by?: …`, or give it a default: no event of today has it" == new["help"]
    (gone,) = [one for one in found["changes"] if one["code"] == "C801"]
    assert ("int", "") == (gone["old"], gone["new"])


def test_github_and_sarif_have_the_changes_beside_the_findings(repository):
    (repository / "counter.proj").write_text(OTHERWISE)
    shown = projection("check", "--against", "HEAD", "--format", "github", folder=repository).stdout
    assert "::warning file=counter.proj,line=4,endLine=4,col=37,endColumn=47,title=C802" in shown
    assert "::notice file=counter.proj,line=6" in shown
    sarif = json.loads(projection("check", "--against", "HEAD", "--format", "sarif", folder=repository).stdout)
    levels = {one["ruleId"]: one["level"] for one in sarif["runs"][0]["results"]}
    assert {"C801": "warning", "C802": "warning", "C803": "note"}.items() <= levels.items()


def test_a_file_and_a_place_in_git_can_be_named_too(repository):
    (repository / "old.proj").write_text(COUNTER)
    (repository / "counter.proj").write_text(OTHERWISE)
    for version in ("old.proj", "HEAD:counter.proj"):
        _, found = against(repository, "counter.proj", "--against", version)
        assert (version, 2) == (found["version"], found["breaking"])


def test_view_types_are_paired_by_folder_and_name(repository):
    (repository / "other").mkdir()
    deploy(repository / "other", COUNTER.replace("projection counter", "projection other"))
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    (repository / "other" / "counter.proj").write_text(OTHERWISE)
    _, found = against(repository, "--against", "HEAD")
    assert [False, True] == [one["folds_anew"] for one in found["view_types"]]
    (repository / "counter.proj").unlink()
    (repository / "manifest.yaml").unlink()
    _, found = against(repository, "--against", "HEAD~1")
    assert ["counter"] == [one["view_type"] for one in found["view_types"]]


def test_a_view_type_that_is_gone_breaks_its_readers_and_one_that_is_new_nobody(repository):
    more = COUNTER.replace("projection counter", "projection more")
    (repository / "more.proj").write_text(more)
    _, found = against(repository, ".", "--against", "HEAD")
    assert [("counter", False), ("more", True)] == [
        (one["view_type"], one["folds_anew"]) for one in found["view_types"]
    ]
    assert 0 == found["breaking"]
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    (repository / "more.proj").unlink()
    status, found = against(repository, ".", "--against", "HEAD", "--fail-on-breaking")
    assert (1, ["this breaks readers: there is no view type more any more"]) == (
        status,
        [one["message"] for one in found["changes"]],
    )


def test_changes_that_can_no_longer_be_followed_break_readers(repository):
    deploy(repository, changes=True)
    git(repository, "commit", "-aqm", "second")
    deploy(repository)
    _, found = against(repository, "--against", "HEAD")
    assert ["this breaks readers: the changes of view type counter can no longer be followed"] == [
        one["message"] for one in found["changes"]
    ]


def test_what_cannot_be_compared_is_said_in_a_sentence(repository, monkeypatch):
    monkeypatch.chdir(repository)
    Path("broken.proj").write_text("proj 1\nprojection x\n")
    for arguments, said in (
        (([Path()], "nowhere"), "nowhere.* git does not know it"),
        (([Path("counter.proj"), Path("manifest.yaml")], "counter.proj"), "is one path, and 2 are compared with it"),
        (([Path("counter.proj")], "broken.proj"), "broken.proj does not check"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            compared(*arguments, breaking_fails=False)
    refused(projection("check", "--fail-on-breaking", folder=repository), 2, "--fail-on-breaking goes with --against")
