"""The stack of deploy/compose.yaml, with the profile `observe`: an alert fires where something is wrong, and ends once it is mended."""

from __future__ import annotations

import json
import re
import shutil
import sys
from time import sleep
from typing import TYPE_CHECKING

import pytest
from compose_stack import DEPLOY, IN_IMAGE, Stack, require_namespaces
from patience import wait_until
from prometheus_tools import HEADERS_SINCE, version

from projection.stream.embedded import server_binary

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROJECTION = [sys.executable, "-m", "projection"]
TRACE = "0af7651916cd43dd8448eb211c80319c"
LOOK_S = 0.5  # between two questions to Prometheus, which looks at its rules every 15 seconds
EVENT = {
    "tenant_id": "north",
    "aggregate_type": "visit",
    "aggregate_id": "1",
    "event_type": "Visited",
    "timestamp": "2026-03-02T08:00:00Z",
    "payload": {"page": "home", "seconds": 20},
}


def needed(*names: str) -> str:
    """The first of these programs that is installed."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no stack was run: {names[0]} is not installed (Debian: prometheus, prometheus-alertmanager)")
    return found


def only_shorter(alerts: str) -> str:
    """The rules with other durations, and nothing else."""
    return re.sub(r"^( +for:) \S+$", r"\1 1s", alerts, flags=re.MULTILINE)


def without_headers(prometheus: str) -> str:
    """The configuration for a Prometheus that cannot send headers of one's own."""
    return re.sub(r"^ +http_headers:\n(?: {6,}.*\n)+", "", prometheus, flags=re.MULTILINE)


class Observed:
    """The stack, and what is asked of it."""

    def __init__(self, stack: Stack, nats: list[str], folder: Path) -> None:
        self.stack, self._nats, self._folder = stack, nats, folder

    def start_nats(self) -> None:
        self.stack.start("nats", self._nats)

    def start_node(self) -> None:
        self.stack.start("node", [*PROJECTION, "run"], **IN_IMAGE)

    def publish(self, event: dict[str, object]) -> None:
        file = self._folder / "events.jsonl"
        file.write_text(json.dumps(event) + "\n")
        ran = self.projection("load", str(file), "--create")
        assert 0 == ran.returncode, ran.stderr

    def projection(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command in the node's container."""
        return self.stack.run("node", *PROJECTION, *arguments, **IN_IMAGE)

    def firing(self) -> set[str]:
        """The names of alerts that fire, as Prometheus says."""
        sleep(LOOK_S)
        told = self.stack.get("http://prometheus:9090/api/v1/alerts") or {"data": {"alerts": []}}
        return {one["labels"]["alertname"] for one in told["data"]["alerts"] if one["state"] == "firing"}

    def arrived(self) -> set[str]:
        """The names of alerts that Alertmanager has."""
        sleep(LOOK_S)
        told = self.stack.get("http://alertmanager:9093/api/v2/alerts") or []
        return {one["labels"]["alertname"] for one in told}

    def value(self, expression: str) -> float | None:
        """A number of Prometheus."""
        sleep(LOOK_S)
        told = self.stack.get(f"http://prometheus:9090/api/v1/query?query={expression}")
        result = told["data"]["result"] if told else []
        return float(result[0]["value"][1]) if result else None

    def traces(self) -> str:
        """The exemplars of commits that Prometheus keeps, as JSON."""
        sleep(LOOK_S)
        asked = "query_exemplars?query=projection_commit_seconds_bucket&start=0&end=9999999999"
        return json.dumps(self.stack.get(f"http://prometheus:9090/api/v1/{asked}"))

    def fires(self, alert: str) -> bool:
        """Whether an alert fires, and has come to Alertmanager; others may, as where the disk of this machine is full."""
        return alert in self.firing() & self.arrived()

    def is_over(self, alert: str) -> bool:
        """Whether an alert fires no longer, and Alertmanager knows it."""
        return alert not in self.firing() | self.arrived()

    def until(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            assert self.stack.runs(), self.stack.told()
            return condition()

        wait_until(holds, self.stack.told)


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    require_namespaces()
    prometheus, alertmanager = needed("prometheus"), needed("alertmanager", "prometheus-alertmanager")
    nats, of = str(server_binary()), version(prometheus)
    assert of is not None
    (tmp_path / "gateway").write_text("of-the-gateway-0123456789abcdef\n")
    (tmp_path / "grafana").write_text("of-grafana\n")
    alerts = (DEPLOY / "observe/alerts.yml").read_text()
    instead = {"observe/alerts.yml": only_shorter(alerts)}
    told = ["exactly the configuration of deploy/, with durations of alerts of 1 s"]
    access: dict[str, str | None] = {}
    if of < HEADERS_SINCE:
        instead["observe/prometheus.yml"] = without_headers((DEPLOY / "observe/prometheus.yml").read_text())
        access = {f"PROJECTION_HTTP__ACCESS__{name}": None for name in ("MODE", "SECRET_FILE")}
        access |= {"PROJECTION_HTTP__LISTEN": "127.0.0.1:7070"}
        told.append("without `http_headers`, which this Prometheus has not, and so without access control of the node")
    files = {}
    for number, (name, text) in enumerate(instead.items()):
        files[name] = tmp_path / f"instead-{number}.yml"
        files[name].write_text(text)
    print(f"nats-server, node, prometheus {of[0]}.{of[1]} and alertmanager ran:", *told, sep="\n")
    with Stack(tmp_path, {"SECRETS_FOLDER": str(tmp_path)}, files, access) as stack:
        one = Observed(stack, [nats], tmp_path)
        one.start_nats()
        one.start_node()
        stack.start("alertmanager", [alertmanager])
        stack.start("prometheus", [prometheus])
        yield one


def test_only_durations_are_changed_and_headers_left_out() -> None:
    alerts = (DEPLOY / "observe/alerts.yml").read_text()
    pairs = [*zip(alerts.splitlines(), only_shorter(alerts).splitlines(), strict=True)]
    assert {"for"} == {before.split(":")[0].strip() for before, after in pairs if before != after}
    headers = (DEPLOY / "observe/prometheus.yml").read_text()
    left = without_headers(headers)
    assert headers.startswith(left)
    assert "http_headers" in headers.removeprefix(left).splitlines()[0]


@pytest.mark.long
def test_alerts_fire_arrive_and_end_once_their_cause_is_mended(observed: Observed) -> None:
    observed.until(lambda: observed.value("up") == 1.0)
    observed.publish(EVENT | {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    observed.until(lambda: observed.value("projection_ready") == 1.0)
    observed.until(lambda: observed.is_over("ProjectionNotReady"))
    observed.until(lambda: TRACE in observed.traces())

    observed.publish(EVENT | {"payload": {"page": "home", "seconds": "long"}})
    observed.until(lambda: observed.fires("ProjectionEventsParked"))
    (parked,) = map(json.loads, observed.projection("parked", "list", "--all-tenants", "--json").stdout.splitlines())
    dropped = observed.projection("parked", "drop", "pages", str(parked["sequence"]), "--id", "home")
    assert 0 == dropped.returncode, dropped.stderr
    observed.until(lambda: observed.is_over("ProjectionEventsParked"))

    observed.stack.kill("nats")
    observed.until(lambda: observed.fires("ProjectionNotReady"))
    observed.start_nats()
    observed.until(lambda: observed.value("projection_ready") == 1.0)
    observed.until(lambda: observed.is_over("ProjectionNotReady"))

    observed.stack.kill("node")
    observed.until(lambda: observed.fires("ProjectionNodeDown"))
    observed.start_node()
    observed.until(lambda: observed.is_over("ProjectionNodeDown"))
    assert 0 == observed.stack.stop("node"), observed.stack.log("node").read_text()
