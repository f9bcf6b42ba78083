"""`projection test`: the tests of pytest's plugin, without pytest."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree as ET

import pytest
from author_support import CHECKOUT, FAILING, FINES, PASSING, QUIET, run, write

SCENARIO = "program: fines.proj\nevents: [{type: fine.created, data: {id: A1, amount: 35}}]\n"
FILES = {
    "fines.proj": FINES + PASSING + FAILING,
    "broken.proj": FINES.replace("e.amount }", "e.amont }", 1) + PASSING,
    "untested.proj": FINES,
    "below/fines.proj": FINES,
    "below/agreed.scenario.yaml": SCENARIO + "expect: {views: {fines: {A1: {amount: 35}}}}\n",
    "below/failing.scenario.yaml": SCENARIO + "expect: {views: {fines: {A1: {amount: 36}}}}\n",
    "below/new.scenario.json": '{"program": "fines.proj", "events": []}',
    "below/wrong.scenario.toml": "events = 1\n",
}


@pytest.fixture
def project(tmp_path):
    return write(tmp_path, {"pytest.ini": "[pytest]\n", **FILES})


def run_test(folder, *arguments):
    return run("projection", "test", *arguments, folder=folder)


def outcomes_of_command(output):
    return {name: verdict == "ok" for verdict, name in re.findall(r"^(ok|FAILED) +(.+::.+)$", output, re.MULTILINE)}


def outcomes_of_pytest(output):
    found = re.findall(r"^(.+::.+?) (PASSED|FAILED) +\[ *\d+%\]$", output, re.MULTILINE)
    return {name: verdict == "PASSED" for name, verdict in found}


def failures(output, mark):
    """The failures' texts, without what a runner puts around them."""
    return [line.strip() for line in output.splitlines() if mark(line)]


@pytest.mark.parametrize("folder", ["project", CHECKOUT / "projections"])
def test_both_runners_find_the_same_tests_with_the_same_results(folder, request):
    folder = request.getfixturevalue(folder) if isinstance(folder, str) else folder
    status, by_pytest = run("pytest", "-v", *QUIET, f"--rootdir={folder}", "-c", "/dev/null", folder=folder)
    own_status, by_command = run_test(folder)
    assert (status, outcomes_of_pytest(by_pytest)) == (own_status, outcomes_of_command(by_command))
    assert outcomes_of_command(by_command)
    for line in by_command.splitlines():
        if line.startswith("       "):
            assert line[7:] in by_pytest.splitlines(), line


def test_it_tells_each_test_and_the_reasons_of_those_that_failed(project):
    status, output = run_test(project)
    assert 1 == status
    assert {
        "below/agreed.scenario.yaml::agreed": True,
        "below/failing.scenario.yaml::failing": False,
        "below/new.scenario.json::new": False,
        "below/wrong.scenario.toml::wrong": False,
        "broken.proj::check": False,
        "fines.proj::a fine is paid in parts": True,
        "fines.proj::a fine is paid twice": False,
    } == outcomes_of_command(output)
    assert (
        "FAILED fines.proj::a fine is paid twice\n       does not hold: fines.proj:25\n       25 |   expect view"
        in output
    )
    assert output.endswith("2 passed, 5 failed\n")


def test_a_run_in_which_all_is_well_ends_with_0(project):
    assert (0, "ok     below/agreed.scenario.yaml::agreed\n1 passed, 0 failed\n") == run_test(project, "-k", "AGREED")
    status, _ = run_test(project / "below", "agreed.scenario.yaml")
    assert 0 == status


def test_update_writes_new_and_changed_snapshots_and_deletes_those_of_no_scenario(project):
    below = project / "below"
    status, output = run_test(below, "new.scenario.json", "--update")
    assert (0, True) == (status, "wrote __snapshots__/new.scenario.views" in output)
    status, output = run_test(below, "new.scenario.json", "--update")
    assert (0, False) == (status, "wrote" in output)
    for name in ("agreed.scenario.yaml", "failing.scenario.yaml", "wrong.scenario.toml"):
        (below / name).unlink()
    (below / "new.scenario.json").rename(below / "other.scenario.json")
    write(below, {"other.scenario.json": '{"program": "fines.proj", "events": [{"type": "Paid"}]}'})
    status, output = run_test(below)
    assert 1 == status
    assert "unused: __snapshots__/new.scenario.views; `projection test --update` deletes it" in output
    status, output = run_test(below, "--update")
    assert (0, True) == (status, "deleted __snapshots__/new.scenario.views" in output)
    assert ["other.scenario.views"] == [path.name for path in (below / "__snapshots__").iterdir()]


def test_a_scenario_that_cannot_run_keeps_its_snapshot(project):
    below = project / "below"
    run_test(below, "new.scenario.json", "--update")
    write(below, {"new.scenario.json": "{"})
    _, output = run_test(below, "--update")
    assert "deleted" not in output
    assert (below / "__snapshots__/new.scenario.views").exists()


def test_a_selection_by_name_deletes_no_snapshot(project):
    run_test(project / "below", "new.scenario.json", "--update")
    status, output = run_test(project, "-k", "agreed", "--update")
    assert (0, False) == (status, "deleted" in output)


def test_a_slip_in_the_type_of_an_event_is_told(project):
    write(project, {"x.scenario.yaml": "program: fines.proj\nevents: [{type: Payd}]\nexpect: {}\n"})
    _, output = run_test(project, "x.scenario.yaml")
    assert (
        "ok     x.scenario.yaml::x\n       warning: event 1: no program of fines takes event 'Payd'; did you" in output
    )


def test_junit_has_every_test_with_its_time_and_the_text_of_its_failure(project):
    run_test(project, "--junit", "results.xml")
    suite = ET.parse(project / "results.xml").getroot().find("testsuite")
    assert ("7", "5", "0") == tuple(suite.get(name) for name in ("tests", "failures", "errors"))
    cases = {f"{case.get('file')}::{case.get('name')}": case for case in suite}
    assert 7 == len(cases)
    assert cases["fines.proj::a fine is paid in parts"].find("failure") is None
    failure = cases["fines.proj::a fine is paid twice"].find("failure")
    assert "does not hold: fines.proj:25" == failure.get("message")
    assert 'view("A1").paid is 35.00' in failure.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "error: nothing does not exist"),
        (["pytest.ini"], "error: pytest.ini is neither a program (.proj) nor a scenario"),
        (["untested.proj"], "error: there is no test in untested.proj\n  hint: write a `test` into a program"),
        (["-k", "zzz"], "error: no test in . has 'zzz' in its name"),
        (
            ["--junit", "no/such/folder.xml", "-k", "agreed"],
            "error: no/such/folder.xml cannot be written: No such file",
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence(project, arguments, message):
    status, output = run_test(project, *arguments)
    assert (2, True) == (status, message in output)


def test_neither_pytest_nor_syrupy_is_imported(project):
    program = "import sys\nfrom projection.cli.main import app\ntry:\n    app(['test', '-k', 'paid'])\nfinally:\n    print(sorted({'pytest', '_pytest', 'syrupy'} & sys.modules.keys()))"
    write(project, {"alone.py": program})
    _, output = run("alone", folder=project)
    assert output.splitlines()[-1] == "[]" or "\n[]" in output
    assert "::a fine is paid in parts" in output
    assert sys.executable
