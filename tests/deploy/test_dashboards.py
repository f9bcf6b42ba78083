"""The dashboards of deploy/: each panel says what it shows, and asks for metrics that a node has."""

from __future__ import annotations

import importlib.util
import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from prometheus_tools import promtool
from promql import DEPLOY, OF_PROMETHEUS, documented, unknown

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "dashboards").glob("*.json"))}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]
UNITS = {"none", "short", "s", "bytes", "Bps", "cps", "reqps", "percentunit"}  # of Grafana's, those that are used here
VARIABLES = {"datasource", "instance", "view_type", "__rate_interval"}


def expressions() -> dict[str, str]:
    """Each expression by where it stands, with Grafana's variables as they are filled in."""
    return {
        f"{name}: {panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def test_the_files_are_those_that_their_description_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_dashboards", DEPLOY / "make_dashboards.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert {"overview", "view-type", "store", "queries"} == DASHBOARDS.keys()
    files = {path.stem: path.read_text() for path in (DEPLOY / "dashboards").iterdir()}
    again = {name: made.text(dashboard) for name, dashboard in made.dashboards().items()}
    assert files == again, "`python deploy/make_dashboards.py` writes them anew"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"][:1].isupper()
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    for one in (panel, *panel["targets"]):
        assert {"type": "prometheus", "uid": "${datasource}"} == one["datasource"]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_dashboard_is_for_any_data_source_node_and_view_type(dashboard: dict[str, Any]) -> None:
    made = {one["name"] for one in dashboard["templating"]["list"]}
    text = json.dumps(dashboard)
    assert {"datasource", "instance"} <= made
    assert set(re.findall(r"\$\{?(\w+)", text)) - {"__all"} <= (made | {"__rate_interval"}) <= VARIABLES
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert 'instance=~"$instance"' in target["expr"] or "ALERTS" in target["expr"], panel["title"]
    for what in ("id", "title"):
        found = [panel[what] for panel in dashboard["panels"]]
        assert len(found) == len(set(found))
    for one, other in combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_their_identifiers_are_their_own_and_grafana_finds_the_files() -> None:
    assert len(DASHBOARDS) == len({one["uid"] for one in DASHBOARDS.values()})
    provider = yaml.safe_load((DEPLOY / "observe/grafana/dashboards/provider.yaml").read_text())
    sources = yaml.safe_load((DEPLOY / "observe/grafana/datasources/sources.yaml").read_text())
    grafana = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
    (folder,) = (one["options"]["path"] for one in provider["providers"])
    assert f"./dashboards:{folder}:ro" in grafana["volumes"]
    assert "prometheus" in {one["type"] for one in sources["datasources"]}


@pytest.mark.parametrize("expression", [pytest.param(one, id=where) for where, one in expressions().items()])
def test_an_expression_asks_for_metrics_and_labels_that_are_documented(expression: str) -> None:
    assert [] == unknown(expression, documented() | OF_PROMETHEUS)


def test_what_is_unknown_is_noticed() -> None:
    known = {"a_total": frozenset({"code"}), "b_bucket": frozenset({"le"})}
    assert [] == unknown('sum by (code) (rate(a_total{code=~"5..", code!="}"}[5m])) > 1e3 unless b_bucket', known)
    assert ["metric c"] == unknown("a_total and on (code) c", known)
    assert ["label kind of a_total"] == unknown('a_total{code="1", kind="x"}', known)
    assert ["label kind"] == unknown("sum without (kind) (a_total) offset 5m", known)


def test_prometheus_parses_every_expression(tmp_path: Any) -> None:
    rules = [{"record": f"expression:{number}", "expr": one} for number, one in enumerate(expressions().values())]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
