"""`projection check`: every error of every program and manifest, each with its place and what to do."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess

import pytest
from command_support import COUNTER, command, deploy, environment, projection, refused

from projection.bundled import bundled
from projection.lang.check.checker import check
from projection.lang.cost.bounds import problems
from projection.lang.program import Limits
from projection.lang.source import Source

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
    assert (0, "") == (ended.returncode, ended.stdout)
    assert ended.stderr.startswith("counter.proj: partition_by allowed: tenant, view; not subject, because `e.id` at ")
    assert ended.stderr.endswith("\nchecked 1 program and 1 manifest: 0 errors\n")


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
    assert ["a.proj", "b.proj", "named/c.proj", "named/c.proj", "two.json"] == places
    assert "error[S480]: field views.y.program: 'none.proj' does not exist" in ended.stdout
    assert " --> two.json:1:33\n" in ended.stdout
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
        assert (0, "checked 1 program and 1 manifest: 0 errors") == (ended.returncode, ended.stderr.splitlines()[-1])


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


# --- manifests and fixtures --------------------------------------------------------------------------------------------

MANIFEST = """\
manifest: 1
views:
  counter:
    program: counter.proj
    on_error: forgive
    limits: {gas: 1}
"""
EVENT = {
    "aggregate_type": "counter", "aggregate_id": "1", "event_type": "Counted", "timestamp": "2024-01-01T00:00:00Z",
    "payload": {"id": "a", "n": 1},
}  # fmt: skip


def test_what_is_wrong_with_a_manifest_is_shown_in_its_line(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    ended = projection("check", "manifest.yaml", folder=tmp_path)
    assert 1 == ended.returncode
    assert ended.stdout.startswith("error[S480]: field views.counter.on_error: 'forgive' is not allowed; ")
    assert " --> manifest.yaml:5:5\n  |\n5 |     on_error: forgive\n  |     ^^^^^^^^\n" in ended.stdout


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("m.toml", 'manifest = 1\n[views.counter]\nprogram = "none.proj"\n', "m.toml:3:1"),
        ("m.json", '{"manifest": 1,\n "views": {"counter": {"program": "none.proj"}}}', "m.json:2:24"),
        ("m.yaml", "manifest: 1\nviews: {counter: {}}\n", "m.yaml:2:9"),
        ("m.yaml", "manifest: 1\nviews: [\n", "m.yaml:3:1"),
        ("m.json", '{"manifest": 1,\n "views": ]}', "m.json:2:11"),
    ],
)
def test_manifests_of_every_format_are_pointed_into(tmp_path, name, text, place):
    (tmp_path / name).write_text(text)
    ended = projection("check", name, folder=tmp_path)
    assert 1 == ended.returncode
    assert f"--> {place}\n" in ended.stdout


def test_a_program_is_checked_under_the_limits_of_each_manifest_that_names_it(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    (tmp_path / "manifest.yaml").write_text(MANIFEST.replace("forgive", "park"))
    (tmp_path / "other.yaml").write_text(MANIFEST.replace("forgive", "park").replace("gas: 1}", "gas: 200000}"))
    assert 0 == projection("check", "other.yaml", folder=tmp_path).returncode
    ended = projection("check", "manifest.yaml", "other.yaml", folder=tmp_path)
    assert 1 == ended.returncode
    assert ended.stdout.startswith("error[G501]: on Counted: at least ")
    assert ended.stderr.endswith("checked 1 program and 2 manifests: 1 error\n")


def test_a_manifest_may_not_split_the_log_in_a_way_that_a_route_does_not_allow(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    manifest = MANIFEST.replace("on_error: forgive", "partition_by: subject").replace("    limits: {gas: 1}\n", "")
    (tmp_path / "manifest.yaml").write_text(manifest)
    ended = projection("check", folder=tmp_path)
    assert 1 == ended.returncode
    assert ended.stdout.startswith("error[S412]: no `partition_by: subject`: `e.id` ")
    (tmp_path / "manifest.yaml").write_text(manifest.replace("subject", "view"))
    assert 0 == projection("check", folder=tmp_path).returncode
    report = json.loads(projection("check", "--format", "json", folder=tmp_path).stdout)
    (program,) = report["programs"]
    assert ("counter.proj", "counter", ["tenant", "view"]) == (
        program["file"],
        program["name"],
        program["partition_by"],
    )
    assert 64 == len(program["digest"])


def test_a_warning_fails_only_when_asked(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    counter = check(Source("counter.proj", COUNTER))
    tight = next(gas for gas in range(1, 1_000) if ["G502"] == [one.code for one in problems(counter, Limits(gas=gas))])
    (tmp_path / "manifest.yaml").write_text(MANIFEST.replace("forgive", "park").replace("gas: 1}", f"gas: {tight}}}"))
    ended = projection("check", folder=tmp_path)
    assert 0 == ended.returncode
    assert ended.stderr.endswith("checked 1 program and 1 manifest: 0 errors, 1 warning\n")
    assert ended.stdout.startswith("warning[G502]: ")
    assert 1 == projection("check", "--strict", folder=tmp_path).returncode


def test_the_events_beside_a_program_are_envelopes_that_fit_it(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    lines = [
        json.dumps(EVENT),
        "nonsense",
        "",
        json.dumps({**EVENT, "timestamp": "yesterday"}),
        json.dumps({**EVENT, "payload": {"id": "a", "n": "one"}}),
        json.dumps({**EVENT, "event_type": "Other", "payload": {}}),
        json.dumps({"type": "Counted", "data": {"id": "a", "n": 1}}),
        json.dumps({"type": "Counted", "data": {"id": "a"}}),
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    (tmp_path / "notes.jsonl").write_text("nonsense")
    ended = projection("check", "counter.proj", folder=tmp_path)
    assert ended.stderr.endswith("checked 1 program, 0 manifests and 1 fixture: 4 errors, 1 warning\n")
    headers = [line for line in ended.stdout.splitlines() if line.startswith(("error", "warning", " -->"))]
    codes = ["error[D101", "error[D102", "error[D105", "warning[L680", "error[D105"]
    assert codes == [line.partition("]")[0] for line in headers[::2]]
    assert [f" --> events.jsonl:{line}:1" for line in (2, 4, 5, 6, 8)] == headers[1::2]


def test_events_beside_programs_that_none_of_them_handles_are_warned_of_once_a_type(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    other = COUNTER.replace("projection counter", "projection other").replace("Counted", "Noted")
    (tmp_path / "other.proj").write_text(other)
    names = ("Counted", "Noted", "Countd", "Countd", "Shipped")
    lines = [json.dumps({**EVENT, "event_type": name}) for name in names]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    (tmp_path / "s.scenario.yaml").write_text(
        'program: counter.proj\nevents:\n  - {type: Counted, data: {id: "a", n: 1}}\n  - {type: noted, data: {}}\n'
    )
    ended = projection("check", folder=tmp_path)
    assert 0 == ended.returncode
    assert ended.stderr.endswith("and 2 fixtures: 0 errors, 3 warnings\n")
    warnings = [one for one in ended.stdout.split("\n\n") if one]
    assert [
        (
            "warning[L680]: no program here handles events of type 'Countd' of aggregate type 'counter'\n"
            " --> events.jsonl:3:1\n  = help: did you mean 'Counted'?"
        ),
        (
            "warning[L680]: no program here handles events of type 'Shipped' of aggregate type 'counter'\n"
            " --> events.jsonl:5:1"
        ),
        (
            "warning[L680]: no program here handles events of type 'noted' of aggregate type 'aggregate'\n"
            " --> s.scenario.yaml:4:1\n  = help: did you mean 'Noted'?"
        ),
    ] == [one.strip() for one in warnings]
    assert 1 == projection("check", "--strict", folder=tmp_path).returncode


def test_a_scenario_beside_a_program_names_what_is_there_and_events_that_fit(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    (tmp_path / "good.scenario.yaml").write_text(
        'program: counter.proj\nevents:\n  - {type: Counted, data: {id: "a", n: 1}}\nexpect: {}\n'
    )
    assert 0 == projection("check", "counter.proj", folder=tmp_path).returncode
    (tmp_path / "bad.scenario.yaml").write_text(
        'program: countre.proj\nevents:\n  - {type: Counted, data: {id: "a", n: 1}}\n  - {type: Counted, data: {}}\n'
    )
    (tmp_path / "odd.scenario.yaml").write_text("program: counter.proj\nevent: []\n")
    ended = projection("check", "counter.proj", folder=tmp_path)
    assert "error[S480]: there is no file countre.proj\n --> bad.scenario.yaml:1:1\n" in ended.stdout
    assert " --> bad.scenario.yaml:4:5\n" in ended.stdout
    assert " --> odd.scenario.yaml:1:1\n" in ended.stdout
    assert "error[D105]: " in ended.stdout


# --- forms -------------------------------------------------------------------------------------------------------------


def report(tmp_path, form, program=FINES):
    """A report in a form; its program stands in a folder whose name must be escaped."""
    folder = tmp_path / "fines, 100%"
    folder.mkdir(exist_ok=True)
    (folder / "fine summary.proj").write_text(program)
    ended = projection("check", "--format", form, folder=tmp_path)
    assert (1, "checked 1 program and 0 manifests: 1 error\n") == (ended.returncode, ended.stderr)
    return ended.stdout


def test_json_has_every_field_of_every_finding(tmp_path):
    assert {
        "version": 1,
        "checked": {"programs": 1, "manifests": 0, "fixtures": 0},
        "errors": 1,
        "warnings": 0,
        "programs": [],
        "findings": [
            {
                "code": "N204",
                "severity": "error",
                "message": "no field `ammount_paid` in event Payment",
                "label": "did you mean `amount_paid`?",
                "help": "Payment declares amount_paid, fine_id (line 4)",
                "file": "fines, 100%/fine summary.proj",
                "line": 9,
                "column": 25,
                "end_line": 9,
                "end_column": 37,
                "related": [],
                "fix": {
                    "file": "fines, 100%/fine summary.proj",
                    "line": 9,
                    "column": 25,
                    "end_line": 9,
                    "end_column": 37,
                    "text": "amount_paid",
                },
            }
        ],
    } == json.loads(report(tmp_path, "json"))


def test_annotations_are_workflow_commands_with_everything_escaped(tmp_path):
    assert (
        "::error file=fines%2C 100%25/fine summary.proj,line=9,endLine=9,col=25,endColumn=37,"
        "title=N204%3A no field `ammount_paid` in event Payment::no field `ammount_paid` in event Payment%0A"
        "did you mean `amount_paid`?%0APayment declares amount_paid, fine_id (line 4)\n"
    ) == report(tmp_path, "github")


def test_sarif_has_a_rule_for_each_code_and_a_region_for_each_result(tmp_path):
    log = json.loads(report(tmp_path, "sarif"))
    (run,) = log["runs"]
    assert ("2.1.0", "unicodeCodePoints") == (log["version"], run["columnKind"])
    (rule,), (result,) = run["tool"]["driver"]["rules"], run["results"]
    assert ("N204", "A field that was not declared.") == (rule["id"], rule["shortDescription"]["text"])
    assert rule["help"].keys() == {"text", "markdown"}
    assert ("N204", 0, "error") == (result["ruleId"], result["ruleIndex"], result["level"])
    assert [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "fines%2C%20100%25/fine%20summary.proj"},
                "region": {"startLine": 9, "startColumn": 25, "endLine": 9, "endColumn": 37},
            }
        }
    ] == result["locations"]


def test_a_fix_is_told_in_json_and_in_sarif(tmp_path):
    program = FINES.replace("e.ammount_paid", "(e.amount_paid ?? 1.00)")
    (finding,) = json.loads(report(tmp_path, "json", program))["findings"]
    assert ("T320", "") == (finding["code"], finding["fix"]["text"])
    (result,) = json.loads(report(tmp_path, "sarif", program))["runs"][0]["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    region = change["replacements"][0]["deletedRegion"]
    assert (finding["fix"]["column"], finding["fix"]["end_column"]) == (region["startColumn"], region["endColumn"])


def test_what_is_right_is_an_empty_report_in_every_form(tmp_path):
    deploy(tmp_path)
    assert "" == projection("check", "--format", "github", folder=tmp_path).stdout
    assert [] == json.loads(projection("check", "--format", "json", folder=tmp_path).stdout)["findings"]
    assert [] == json.loads(projection("check", "--format", "sarif", folder=tmp_path).stdout)["runs"][0]["results"]


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_findings_are_coloured_unless_nobody_wants_colours(tmp_path, no_color):
    (tmp_path / "p.proj").write_text(FINES)
    master, slave = pty.openpty()
    own = environment(TERM="xterm-256color", **({"NO_COLOR": "1"} if no_color else {}))
    with subprocess.Popen(command("check"), stdout=slave, stderr=subprocess.DEVNULL, cwd=tmp_path, env=own) as process:
        os.close(slave)
        shown = b""
        while b"(line 4)" not in shown:
            shown += os.read(master, 65_536)
        assert 1 == process.wait(60)
    os.close(master)
    colours = re.compile(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert bool(colours.search(shown)) is not no_color
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode().replace("\r\n", "\n")
    assert DIAGNOSTIC.replace("fines/fine_summary", "p").strip() in plain


def test_of_very_many_findings_a_terminal_gets_the_first_of_each_file(tmp_path):
    (tmp_path / "p.proj").write_text(FINES + "".join(f"on E{n} as e to e.id => keep\n" for n in range(60)))
    ended = projection("check", folder=tmp_path)
    assert 50 == ended.stdout.count("error[")
    assert ended.stdout.endswith("… and 11 more in p.proj\n")
