"""The alerts of deploy/observe: each has a page, a severity and a test in which it fires and ends, and the stack has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from container_support import CHECKOUT
from prometheus_tools import HEADERS_SINCE, TOOLS, amtool, promtool, ran, version
from promql import DEPLOY, OF_PROMETHEUS, asked_for, documented, unknown

if TYPE_CHECKING:
    from pathlib import Path

OBSERVE = DEPLOY / "observe"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((OBSERVE / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
TESTS = yaml.safe_load((OBSERVE / "alerts.test.yml").read_text())["tests"]
RUNBOOKS = CHECKOUT / "docs/deploy/runbooks"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
WITHIN_CHARACTERS = 400  # of a description: it is read on a telephone


def page(alert: str) -> str:
    """The runbook of an alert: its name in small letters, without the product's."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert.removeprefix("Projection")).lower() + ".md"


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_how_bad_it_is_what_to_do_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Projection")
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    told = rule["annotations"]
    assert ["summary", "description", "runbook_url"] == [*told]
    assert told["description"].endswith(".")
    assert len(told["description"]) < WITHIN_CHARACTERS
    assert f"docs/deploy/runbooks/{page(rule['alert'])}" == told["runbook_url"]
    assert (CHECKOUT / told["runbook_url"]).is_file()


def test_each_runbook_is_of_an_alert() -> None:
    assert {page(alert) for alert in ALERTS} == {path.name for path in RUNBOOKS.iterdir()} - {"README.md"}


def test_the_page_of_runbooks_lists_the_alerts() -> None:
    rows = re.findall(
        r"^\| \[`(\w+)`\]\((\S+)\) \| (\w+) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE
    )
    assert [
        (one["alert"], page(one["alert"]), one["labels"]["severity"], one["for"]) for one in ALERTS.values()
    ] == rows


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_asks_for_metrics_and_labels_that_are_documented(rule: dict[str, Any]) -> None:
    known = documented() | OF_PROMETHEUS
    assert [] == unknown(rule["expr"], known)
    metrics, _, _ = asked_for(rule["expr"])
    labels = frozenset.intersection(*(known[name] for name in metrics)) | {"circuit"}
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= labels


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_test_in_which_it_is_absent_fires_and_ends(alert: str) -> None:
    looks = [
        [bool(look.get("exp_alerts")) for look in test["alert_rule_test"] if look["alertname"] == alert]
        for test in TESTS
        if any(look["alertname"] == alert for look in test["alert_rule_test"])
    ]
    assert [False, True, False] in looks


def test_the_stack_has_the_rules_and_sends_what_fires() -> None:
    prometheus = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert prometheus["rule_files"] == ["/etc/prometheus/alerts.yml"]
    assert "./observe/alerts.yml:/etc/prometheus/alerts.yml:ro" in SERVICES["prometheus"]["volumes"]
    assert len(mounted) == len(set(mounted))
    (alertmanagers,) = prometheus["alerting"]["alertmanagers"]
    (target,) = alertmanagers["static_configs"][0]["targets"]
    service, port = target.split(":")
    assert [f"127.0.0.1:{port}:{port}"] == SERVICES[service]["ports"]
    for name in ("prometheus", service):
        (file,) = (word.partition("=")[2] for word in SERVICES[name]["command"] if word.startswith("--config.file="))
        assert any(volume.split(":")[1] == file for volume in SERVICES[name]["volumes"])


def test_what_alertmanager_leaves_out_are_alerts() -> None:
    settings = yaml.safe_load((OBSERVE / "alertmanager.yml").read_text())
    for rule in settings["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            assert set(re.findall(r"Projection\w+", matcher)) <= ALERTS.keys()
    assert settings["route"]["receiver"] in {one["name"] for one in settings["receivers"]}


# by their own tools


def test_which_tools_are_here_is_told() -> None:
    told = {name: version(name) for name in TOOLS}
    for name, found in told.items():
        print(f"{name}: {'not installed, so what it checks was not' if found is None else '{}.{}'.format(*found)}")
    assert {"promtool", "amtool"} == told.keys()


def test_promtool_reads_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", OBSERVE / "alerts.yml")


def test_promtool_sees_each_alert_fire_and_end() -> None:
    assert "SUCCESS" in promtool("test", "rules", OBSERVE / "alerts.test.yml")


@pytest.mark.long
@pytest.mark.parametrize("expression", ["vector(1) > 2", "vector(1)"], ids=["never", "always"])
def test_promtool_notices_each_alert_that_fires_never_or_always(expression: str, tmp_path: Path) -> None:
    rules = yaml.safe_load((OBSERVE / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = expression
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / "alerts.test.yml").write_text((OBSERVE / "alerts.test.yml").read_text())
    ended = ran("promtool", "test", "rules", tmp_path / "alerts.test.yml")
    assert 0 != ended.returncode
    assert ALERTS.keys() == set(re.findall(r"alertname: *(\w+)", ended.stdout + ended.stderr))


def test_promtool_reads_the_configuration() -> None:
    found = version("promtool")
    if found is not None and found < HEADERS_SINCE:
        pytest.skip(f"promtool {found[0]}.{found[1]} does not know http_headers; from 2.55 on it does")
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", OBSERVE / "prometheus.yml")


def test_amtool_reads_the_configuration_and_sends_every_alert_to_operators() -> None:
    file = OBSERVE / "alertmanager.yml"
    assert "SUCCESS" in amtool("check-config", file)
    for name, rule in ALERTS.items():
        labels = [f"{label}={value}" for label, value in {"alertname": name, **rule["labels"]}.items()]
        amtool("config", "routes", "test", f"--config.file={file}", "--verify.receivers=operators", *labels)


def test_amtool_reads_the_receiver_that_the_page_shows(tmp_path: Path) -> None:
    shown = re.search(
        r"^```yaml\n(receivers:\n.*?)^```", (CHECKOUT / "docs/deploy/observe.md").read_text(), re.MULTILINE | re.DOTALL
    )
    settings = yaml.safe_load((OBSERVE / "alertmanager.yml").read_text())
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(settings | yaml.safe_load(shown[1])))
    assert "SUCCESS" in amtool("check-config", file)
