"""Coverage of programs: what a test run has come to in them, and what is said of the rest."""

from __future__ import annotations

import pytest
from author_support import FINES, PASSING, QUIET, run, write
from hypothesis import given
from hypothesis import strategies as st

from projection.lang.check.checker import check
from projection.lang.run.covering import Part, points
from projection.lang.source import Source
from projection.testing.coverage import Coverage, measuring
from projection.testing.coverage_reports import as_lcov, shortfall, table
from projection.testing.folding import Projection

TALLY = """\
proj 1
projection tally

event Counted { id: string, by?: int, marks: list<int>(9) = [] }
event Closed { id: string }

view Tally { count: int = 0, note?: string, marks: list<int>(9) = [] }

fn high(count: int) -> bool = count > 10

on Counted as e to e.id
  when e.by == none => keep
  when high(e.by) and length(e.marks) > 0 => { count: 0, note: "too many", marks: [m for m in e.marks if m > 5] }
  else => { count: (view?.count ?? 0) + e.by }

on Closed as e to e.id => delete
"""


@pytest.fixture
def tally(tmp_path):
    (tmp_path / "tally.proj").write_text(TALLY)
    return Projection.load(tmp_path / "tally.proj")


def covered(projection, *events):
    coverage = Coverage()
    with measuring(coverage):
        projection.given(list(events))
    (program,) = coverage.programs()
    return program


def counted(**data):
    return {"type": "Counted", "data": {"id": "a", **data}}


def missed(program):
    return [program.described(point).partition(": ")[2] for point in program.missed]


def test_what_no_event_came_to_is_told_in_the_order_of_the_text(tally):
    assert [
        "the function that is `count > 10` was never called",
        "`e.by == none` was never false",
        "`high(e.by)` was never false",
        "`high(e.by)` was never true",
    ] == missed(covered(tally, counted()))[:4]


def test_an_arm_is_covered_once_an_event_took_it(tally):
    words = missed(covered(tally, counted(), counted(by=3), counted(by=12)))
    assert "`high(e.by)` was never true" not in words
    assert "`on Closed as e to e.id` never ran" in words
    assert "nothing came into `[m for m in e.marks if m > 5]`" in words


def test_each_side_of_an_and_counts_by_itself(tally):
    whole = "`high(e.by) and length(e.marks) > 0` was never"
    assert [f"{whole} true"] == [word for word in missed(covered(tally, counted(by=12))) if word.startswith(whole)]
    assert "`high(e.by)` was never true" not in missed(covered(tally, counted(by=12)))
    both = missed(covered(tally, counted(by=12, marks=[1])))
    assert [f"{whole} false"] == [word for word in both if word.startswith(whole)]


def test_a_comprehension_is_covered_by_an_item_that_its_condition_takes(tally):
    told = "nothing came into `[m for m in e.marks if m > 5]`"
    assert told in missed(covered(tally, counted(by=12, marks=[5])))
    assert told not in missed(covered(tally, counted(by=12, marks=[5, 6])))


def test_events_that_come_to_everything_leave_nothing_missed(tally):
    events = [counted(), counted(by=3), counted(by=12), counted(by=12, marks=[1]), counted(by=12, marks=[9])]
    program = covered(tally, *events, {"type": "Closed", "data": {"id": "a"}}, counted(by=3))
    assert ([], 100.0) == (missed(program), program.percent)


@given(st.lists(st.builds(counted, by=st.none() | st.integers(-20, 20), marks=st.lists(st.integers(0, 9), max_size=9))))
def test_what_is_folded_and_what_it_costs_are_the_same_while_it_is_measured(events):
    program = check(Source("tally.proj", TALLY))
    coverage = Coverage()
    plain = _tally(program).given(events)
    with measuring(coverage):
        measured = _tally(program).given(events)
    assert list(plain.all_views()) == list(measured.all_views())
    assert plain.gas_by_event == measured.gas_by_event
    assert bool(events) == any(point.part is Part.HANDLER for point, hits in _hits(coverage) if hits)


def _hits(coverage):
    return [item for one in coverage.programs() for item in one.hits.items()]


def _tally(program):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        (Path(folder) / "tally.proj").write_text(program.source.text)
        return Projection.load(Path(folder) / "tally.proj")


def test_what_two_processes_count_is_added_up(tally):
    whole, one, other = Coverage(), Coverage(), Coverage()
    events = [counted(by=12), counted(by=12, marks=[6]), counted()]
    for coverage, given_events in ((whole, events), (one, events[:1]), (other, events[1:])):
        with measuring(coverage):
            for event in given_events:
                tally.given(event)
    for name, text, counts in other.counts():
        one.add(name, text, counts)
    assert whole.counts() == one.counts()


def test_what_is_outside_of_a_measurement_is_not_counted(tally):
    coverage = Coverage()
    with measuring(coverage):
        pass
    tally.given(counted())
    assert [] == coverage.programs()


def test_the_table_shows_all_programs_and_never_rounds_up_to_a_hundred(tally, tmp_path):
    coverage = Coverage()
    coverage.name(tally.deployed[0].program)
    lines = list(table(coverage))
    assert "program" == lines[0].split()[0]
    assert [f"{tmp_path}/tally.proj", "14", "14", "0.0", "%"] == lines[1].split()
    assert len(points(tally.deployed[0].program.checked.core)) == 14 == len(lines) - 2
    (program,) = coverage.programs()
    for point in list(program.hits)[:-1]:
        program.hits[point] = 1
    assert "92.8 % of the programs is covered, and 92.9 % should be" == shortfall(coverage, 92.9)
    assert shortfall(coverage, 92.8) is shortfall(coverage, None) is None


def test_lcov_has_the_lines_the_handlers_and_the_outcomes_of_conditions(tally, tmp_path):
    coverage = Coverage()
    with measuring(coverage):
        tally.given([counted(), counted(by=3)])
    lines = as_lcov(coverage).splitlines()
    assert ["TN:", f"SF:{tmp_path}/tally.proj"] == lines[:2]
    assert {"FN:11,handler:11", "FNDA:2,handler:11", "FNDA:0,handler:16", "FNF:3", "FNH:2"} <= set(lines)
    assert {"DA:9,1", "DA:11,2", "DA:13,1", "DA:16,0", "end_of_record"} <= set(lines)
    assert ["1", "0", "1", "0"] == [line.split(",")[-1] for line in lines if line.startswith("BRDA:13,")]
    coverage = Coverage()
    with measuring(coverage):
        tally.given(counted())
    never_computed = [line for line in as_lcov(coverage).splitlines() if line.startswith("BRDA:13,")]
    assert ["-"] * 4 == [line.split(",")[-1] for line in never_computed]


def test_projection_test_reports_programs_without_tests_too_and_fails_under_a_bound(tmp_path):
    write(tmp_path, {"fines.proj": FINES + PASSING, "other.proj": TALLY})
    status, output = run("projection", "test", "--coverage", folder=tmp_path)
    assert status == 0
    assert ["fines.proj", "2", "0", "100.0", "%"] == output.splitlines()[2].split()
    assert "  16:1: `on Closed as e to e.id` never ran" in output
    status, output = run("projection", "test", "--fail-under", "50", "--lcov", "cov.info", folder=tmp_path)
    assert status == 1
    assert "12.5 % of the programs is covered, and 50 % should be" in output
    assert "SF:fines.proj" in (tmp_path / "cov.info").read_text()


def test_projection_test_says_where_lcov_cannot_be_written(tmp_path):
    write(tmp_path, {"fines.proj": FINES + PASSING})
    status, output = run("projection", "test", "--lcov", "no/such/cov.info", folder=tmp_path)
    assert (2, True) == (status, "no/such/cov.info cannot be written: No such file or directory" in output)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_pytest_reports_the_same_from_one_process_or_several(tmp_path, workers):
    write(tmp_path, {"pytest.ini": "[pytest]\n", "fines.proj": FINES + PASSING, "tally.proj": TALLY})
    write(tmp_path, {"test_it.py": "def test_it(projection):\n    projection('tally').given([])\n"})
    options = ("--projection-coverage", "--projection-lcov", "cov.info", "--projection-fail-under", "40")
    status, output = run("pytest", "-q", *QUIET, *workers, *options, folder=tmp_path)
    assert status == 1
    assert ["fines.proj", "2", "0", "100.0", "%"] in [line.split() for line in output.splitlines()]
    assert "  16:1: `on Closed as e to e.id` never ran" in output
    assert "12.5 % of the programs is covered, and 40 % should be" in output
    assert "FNDA:3,handler:11" in (tmp_path / "cov.info").read_text()
