"""The dashboards of deploy/: each panel says what it shows, and asks for metrics that a node has."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_tools import promtool
from promql import DEPLOY, OF_PROMETHEUS, documented, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_lines_of_durations_have_the_traces_that_were_measured_in_them() -> None:
    for dashboard in DASHBOARDS.values():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                is_of_buckets = panel["type"] == "timeseries" and "_bucket{" in target["expr"]
                assert is_of_buckets == target.get("exemplar", False), panel["title"]


def lost(ours: object, theirs: object, where: str) -> Iterator[str]:
    """Where a value says something that another one does not."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from lost(value, theirs[name], f"{where}.{name}")
            elif value is not None:
                yield f"{where}.{name}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{where}[{number}]")
    elif ours != theirs:
        yield f"{where}: {ours!r} is read as {theirs!r}"


def read_by_grafana(dashboard: dict[str, Any]) -> Any:
    """What Grafana's own model of dashboards, panels and queries keeps of one; it drops the fields that it has not."""
    schema = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard",
        reason="Grafana's schema is not installed, so no dashboard was compared with it; `pip install --group deploy`",
    )
    encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    return json.loads(encoder.JSONEncoder().encode(schema.Dashboard.from_json(dashboard)))


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_grafana_knows_every_field(dashboard: dict[str, Any]) -> None:
    assert [] == [*lost(dashboard, read_by_grafana(dashboard), "dashboard")]


@pytest.mark.parametrize("place", ["dashboard", "panel", "options", "target"])
def test_a_field_that_grafana_does_not_know_is_noticed(place: str) -> None:
    wrong = json.loads(json.dumps(DASHBOARDS["overview"]))
    panel = wrong["panels"][0]
    {"dashboard": wrong, "panel": panel, "options": panel["options"], "target": panel["targets"][0]}[place]["odd"] = 1
    (found,) = lost(wrong, read_by_grafana(wrong), "dashboard")
    assert found.endswith(".odd")


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
