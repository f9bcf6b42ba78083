"""`projection gas`: the bounds of every handler, under the limits of the manifest that names its program."""

from __future__ import annotations

import json

from command_support import COUNTER, deploy, projection, refused

from projection.bundled import bundled
from projection.lang.check.checker import check
from projection.lang.cost.bounds import bounds_of, view_gas
from projection.lang.program import Limits
from projection.lang.source import Source

FINES = bundled("projections/fines/fine_summary.proj")


def test_each_handler_has_its_bounds_and_its_largest_terms(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    ended = projection("gas", "counter.proj", folder=tmp_path)
    assert (0, "") == (ended.returncode, ended.stderr)
    head, view, handler, route, gas, *_ = ended.stdout.splitlines()
    (bound,) = bounds_of(check(Source("p", COUNTER)), Limits())
    assert "counter.proj: gas 200,000, route_gas 10,000, alloc 1,000,000" == head
    assert view.startswith("  reading the view takes ")
    assert "     8  on Counted" == handler
    assert f"        route {bound.route.gas.most}" == route
    assert f"        gas   {bound.body.gas.least} to {bound.body.gas.most}" == gas
    assert '  line 9: fail("NEGATIVE", "{e.n} is below zero")\n' in ended.stdout
    assert 6 == len(projection("gas", "counter.proj", "--terms", "0", folder=tmp_path).stdout.splitlines())


def test_limits_are_those_of_the_manifest_and_what_may_go_beyond_is_marked(tmp_path):
    deploy(tmp_path)
    manifest = next(tmp_path.glob("manifest.*"))
    ended = projection("gas", folder=tmp_path)
    assert ended.stdout.startswith("counter.proj as counter: gas 200,000,")
    assert " !" not in ended.stdout
    (tmp_path / "tight.json").write_text(
        json.dumps({"manifest": 1, "views": {"c": {"program": "counter.proj", "limits": {"gas": 1, "route_gas": 1}}}})
    )
    ended = projection("gas", manifest.name, "tight.json", folder=tmp_path)
    assert ["counter.proj as counter: gas 200,000", "counter.proj as c: gas 1"] == [
        line.partition(",")[0] if "as c:" in line else line.partition(", ")[0]
        for line in ended.stdout.splitlines()
        if line.startswith("counter")
    ]
    assert 2 == ended.stdout.count(" !\n")


def test_what_a_view_takes_counts_against_the_limit_of_gas(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    counter = check(Source("p", COUNTER))
    (bound,) = bounds_of(counter, Limits())
    needed = bound.body.gas.most + 2 * view_gas(counter.view, Limits()).most
    for gas, marks in ((needed, 0), (needed - 1, 1)):
        views = {"counter": {"program": "counter.proj", "limits": {"gas": gas}}}
        (tmp_path / "m.json").write_text(json.dumps({"manifest": 1, "views": views}))
        assert marks == projection("gas", "m.json", folder=tmp_path).stdout.count(" !\n")


def test_json_has_a_program_a_line_with_what_lowers_each_term(tmp_path):
    ended = projection("gas", FINES.parent, "--format", "json", folder=tmp_path)
    summary, totals = map(json.loads, ended.stdout.splitlines())
    assert ("fine_summary", "office_totals") == (summary["view_type"], totals["view_type"])
    payment = summary["handlers"][-1]
    assert ["Payment"] == payment["events"]
    assert payment["gas"]["min"] < payment["gas"]["max"]
    assert {"name": "Fine.payments", "type": "list<Paid>(100)"} in [
        one for term in payment["terms"] for one in term["lowered_by"]
    ]
    assert {"gas": 200_000, "route_gas": 10_000, "alloc": 1_000_000} == summary["limits"]


def test_a_program_that_does_not_check_is_told_and_the_others_are_shown(tmp_path):
    (tmp_path / "a.proj").write_text(COUNTER.replace("e.n }", "e.m }"))
    (tmp_path / "b.proj").write_text(COUNTER)
    ended = projection("gas", folder=tmp_path)
    assert (1, True) == (ended.returncode, ended.stdout.startswith("b.proj: "))
    assert ended.stderr.startswith("error[N204]: no field `m`")
    (tmp_path / "empty").mkdir()
    refused(projection("gas", "empty", folder=tmp_path), 2, "empty/ holds no program and no manifest")
