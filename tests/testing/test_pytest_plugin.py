"""The pytest plugin, in real runs of pytest as an author starts them; its terminal output is what is looked at."""

from __future__ import annotations

import re
import sys

import pytest
from author_support import FAILING, FINES, PASSING, QUIET, run, write

SCENARIO = "program: fines.proj\nevents: [{type: fine.created, data: {id: A1, amount: 35}}]\n"
EXPECTING = SCENARIO + "expect: {views: {fines: {A1: {amount: 36}}}}\n"
IN_PYTHON = """\
def test_paid(projection, projection_snapshot):
    assert projection("fines").given({"type": "fine.created", "data": {"id": "A1", "amount": 35}}) == projection_snapshot
"""


@pytest.fixture
def project(tmp_path):
    """A folder of an author, who has pytest and this package and no settings."""
    return write(tmp_path, {"pytest.ini": "[pytest]\n", "fines.proj": FINES})


def run_pytest(folder, *arguments):
    return run("pytest", *QUIET, *arguments, folder=folder)


def summary(output):
    return output.splitlines()[-1].strip("= ").partition(" in ")[0]


def test_tests_of_programs_and_scenarios_are_collected_beside_those_in_python(project):
    write(project, {"fines.proj": FINES + PASSING + FAILING, "x.scenario.yaml": EXPECTING, "test_it.py": IN_PYTHON})
    _, output = run_pytest(project, "--collect-only", "-q")
    assert [
        "fines.proj::a fine is paid in parts",
        "fines.proj::a fine is paid twice",
        "test_it.py::test_paid",
        "x.scenario.yaml::x",
    ] == [line for line in output.splitlines() if "::" in line]


def test_a_failing_test_shows_the_words_of_projection_test_and_no_traceback(project):
    write(project, {"fines.proj": FINES + PASSING + FAILING, "x.scenario.yaml": EXPECTING})
    status, output = run_pytest(project)
    assert 1 == status
    assert (
        """
does not hold: fines.proj:25
25 |   expect view("A1").paid == 70.00;
view("A1").paid is 35.00
A1 was last changed by event 2, Paid {"id":"A1","amount":35.00} (fines.proj:24), in
fines.proj:11: on Paid as e updates e.id =>
"""
        in output
    )
    assert "views.fines.A1.amount: expected 36, found 35.00" in output
    assert "FAILED fines.proj::a fine is paid twice - does not hold: fines.proj:25" in output
    assert ".py" not in output.partition("FAILURES")[2]
    assert "2 failed, 1 passed" == summary(output)


@pytest.mark.parametrize(
    ("chosen", "passed"),
    [
        (["-k", "parts"], "1 passed, 1 deselected"),
        (["fines.proj::a fine is paid in parts"], "1 passed"),
        (["x.scenario.yaml"], "1 passed"),
        (["-n", "2"], "2 passed"),
    ],
)
def test_tests_can_be_chosen_and_distributed_as_any_others(project, chosen, passed):
    write(project, {"fines.proj": FINES + PASSING, "x.scenario.yaml": EXPECTING.replace("36", "35")})
    status, output = run_pytest(project, *chosen)
    assert (0, passed) == (status, summary(output))


def test_a_program_with_errors_fails_with_its_diagnostics(project):
    write(project, {"fines.proj": FINES.replace("e.amount }", "e.amont }", 1) + PASSING})
    status, output = run_pytest(project)
    assert 1 == status
    assert re.search(r"^error\[N\d+\]: no field `amont`", output, re.MULTILINE)
    assert "FAILED fines.proj::check" in output


def test_snapshots_are_compared_updated_and_reported_when_unused_as_syrupys_users_know_it(project):
    write(project, {"x.scenario.yaml": SCENARIO, "test_it.py": IN_PYTHON})
    status, output = run_pytest(project)
    assert (1, "2 failed") == (status, summary(output))
    assert "there is no snapshot __snapshots__/x.scenario.views yet" in output

    status, output = run_pytest(project, "--snapshot-update")
    assert (0, "2 passed") == (status, summary(output))
    assert "2 snapshots generated." in output
    snapshots = {path.relative_to(project): path for path in project.rglob("*.views")}
    assert ["__snapshots__/test_it/test_paid.views", "__snapshots__/x.scenario.views"] == sorted(map(str, snapshots))
    assert 1 == len({path.read_text() for path in snapshots.values()})
    status, output = run_pytest(project)
    assert (0, "2 passed") == (status, summary(output))

    write(project, {"x.scenario.yaml": SCENARIO.replace("35", "35.5")})
    status, output = run_pytest(project)
    assert 1 == status
    assert "      A1:\n-       amount: 35.00\n+       amount: 35.50" in output
    assert "1 snapshot failed. 1 snapshot passed." in output

    (project / "x.scenario.yaml").rename(project / "y.scenario.yaml")
    status, output = run_pytest(project, "--snapshot-update")
    assert 0 == status
    assert "1 snapshot passed. 1 snapshot generated. 1 unused snapshot deleted." in output
    assert "y.scenario.views" in {path.name for path in project.rglob("*.views")}
    assert "x.scenario.views" not in {path.name for path in project.rglob("*.views")}


def test_snapshots_of_others_are_left_alone(project):
    foreign = {"__snapshots__/a.test.js.snap": "exports\n", "__snapshots__/notes.txt": "mine\n"}
    write(project, {"x.scenario.yaml": SCENARIO, **foreign})
    status, _ = run_pytest(project, "--snapshot-update")
    assert 0 == status
    assert sorted([*foreign, "__snapshots__/x.scenario.views"]) == sorted(
        str(path.relative_to(project)) for path in (project / "__snapshots__").iterdir()
    )


def test_a_run_of_several_processes_finds_the_same_unused_snapshots(project):
    write(project, {"x.scenario.yaml": SCENARIO, "y.scenario.yaml": SCENARIO})
    run_pytest(project, "--snapshot-update")
    (project / "y.scenario.yaml").unlink()
    status, output = run_pytest(project, "-n", "2")
    assert 1 == status
    assert "1 snapshot unused." in output


def test_the_fixture_shows_where_the_test_asked_for_what_is_not_there(project):
    write(
        project,
        {
            "test_it.py": """\
def test_name(projection):
    projection("fine")

def test_view(projection):
    projection("fines").given({"type": "fine.created", "data": {"id": "A1", "amount": 1}}).view("A2")

def test_differs(projection):
    folded = projection("fines").given({"type": "fine.created", "data": {"id": "A1", "amount": 1}})
    assert folded.view("A1")["amount"] == 2

def test_shown(projection):
    assert repr(projection) == ""
"""
        },
    )
    _, output = run_pytest(project, "--showlocals")
    assert '>       projection("fine")\nE       projection.errors.ConfigurationError: there is no projection' in output
    assert "did you mean 'fines'?" in output
    assert "NoSuchViewError: there is no view 'A2'; known here: A1" in output
    assert re.search("folded += <fines given 1 event: ", output)
    assert "<projections: fines" in output
    assert "4 failed" == summary(output)


def test_a_slip_in_the_type_of_an_event_is_a_warning_at_the_test_that_gives_it(project):
    write(
        project,
        {
            "test_it.py": 'def test_it(projection):\n    projection("fines").given({"type": "Payd"})\n',
            "x.scenario.yaml": "program: fines.proj\nevents: [{type: Payd}]\nexpect: {}\n",
        },
    )
    status, output = run_pytest(project)
    assert 0 == status
    said = "ProjectionWarning: {}: no program of fines takes event 'Payd'; did you mean 'Paid'?"
    assert re.search(r"test_it\.py:2: " + re.escape(said.format("the event")), output)
    assert said.format("event 1") in output


def test_projections_are_also_looked_for_in_the_folders_of_the_settings(project):
    write(
        project,
        {"pytest.ini": "[pytest]\nprojection_paths = other\n", "other/more.proj": FINES.replace(" fines", " more")},
    )
    write(
        project, {"tests/test_it.py": 'def test_it(projection):\n    assert not projection("more").given([]).views()\n'}
    )
    status, _ = run_pytest(project, "tests")
    assert 0 == status


def test_without_syrupy_a_snapshot_fails_with_one_sentence_and_everything_else_works(project):
    write(project, {"fines.proj": FINES + PASSING, "x.scenario.yaml": SCENARIO})
    status, output = run_pytest(project, "-p", "no:syrupy")
    assert (1, "1 failed, 1 passed") == (status, summary(output))
    assert (
        "pytest compares snapshots with syrupy, which is not installed\nhint: install `projection-node[testing]`"
        in output
    )


def test_a_project_without_projections_loads_nothing_but_the_plugin(project):
    (project / "fines.proj").unlink()
    heavy = ("projection", "lark", "msgspec", "pydantic", "yaml")
    seen = f"sorted(name for name in sys.modules if name.partition('.')[0] in {heavy})"
    write(project, {"test_it.py": f"import sys\ndef test_it():\n    open('seen', 'w').write(' '.join({seen}))\n"})
    run_pytest(project, "-p", "no:syrupy")
    ours = ["projection", "projection.exports"]
    ours += [f"projection.testing{name}" for name in ("", ".pytest_plugin", ".recognising")]
    assert ours == (project / "seen").read_text().split()


def test_the_plugin_is_what_this_python_has_installed():
    from importlib.metadata import entry_points

    (entry,) = (one for one in entry_points(group="pytest11") if one.name == "projection")
    assert sys.modules[entry.value] is entry.load()
