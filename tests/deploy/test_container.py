"""The image is built and run as deploy/Dockerfile says: what it holds, that it starts, answers, drains and ends."""

from __future__ import annotations

import json
import signal
import tomllib
from typing import TYPE_CHECKING

import pytest
from container_support import CHECKOUT, Builder, Container, Image, built, contained, needed
from patience import WITHIN_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long
VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MAX_BYTES = 300 * 1000**2
NATS = {"PROJECTION_NATS__URL": "nats://127.0.0.1:4222"}  # of a network of its own
PROGRAM = """\
proj 1
projection pages
event Visited { page: string(40) }
view Page { visits: int = 0 }
on Visited as e to e.page => let page = view ?? {}; page with { visits += 1 }
"""
EVENT = {
    "tenant_id": "north",
    "aggregate_type": "visit",
    "aggregate_id": "1",
    "event_type": "Visited",
    "timestamp": "2026-03-02T08:00:00Z",
    "payload": {"page": "home"},
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    needed("buildah", "unshare", "nsenter")
    builder = Builder(tmp_path_factory.mktemp("image"))
    with built(builder, VERSION, COMMIT) as one:
        print(*builder.told, f"size: {one.size / 1000**2:.0f} MB in files", sep="\n")
        yield one


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Container]:
    manifest = tmp_path / "manifest"
    manifest.mkdir()
    (manifest / "pages.proj").write_text(PROGRAM)
    (manifest / "manifest.yaml").write_text("manifest: 1\nviews:\n  pages: { program: pages.proj }\n")
    (manifest / "visits.jsonl").write_text(json.dumps(EVENT) + "\n")
    with contained(image, tmp_path, manifest) as one:
        load = ("projection", "load", "/etc/projection/visits.jsonl", "--create")

        def is_loaded() -> bool:
            ran = one.run(*load, **NATS)
            assert ran.returncode in (0, 1), ran.stderr  # 1: the server beside it is not there yet
            return ran.returncode == 0

        wait_until(is_loaded)
        yield one


def test_the_image_says_what_it_is_and_how_it_is_run(image: Image) -> None:
    settings = image.settings
    labels = {name.rpartition(".")[2]: value for name, value in settings["Labels"].items() if "opencontainers" in name}
    assert (VERSION, COMMIT, "Apache-2.0") == (labels["version"], labels["revision"], labels["licenses"])
    assert {"/data": {}} == settings["Volumes"]
    assert ("10001:10001", "SIGTERM") == (settings["User"], settings["StopSignal"])
    assert "/health" == settings["Healthcheck"]["Test"][-1]
    inside = json.loads((image.root / "opt/projection/build.json").read_text())
    assert {"version": VERSION, "commit": COMMIT} == inside


def test_the_image_is_small_and_holds_no_tools(image: Image) -> None:
    assert image.size < MAX_BYTES
    tools = ("gcc", "cc", "c++", "ld", "make", "pip", "pip3", "git", "curl")
    paths = [image.root / folder / tool for folder in ("usr/bin", "opt/projection/bin") for tool in tools]
    assert [] == [path for path in paths if path.exists()]
    assert [] == [*image.root.glob("opt/projection/lib/python3*/site-packages/pip*")]
    elevated = [path for path in image.root.rglob("*") if path.is_file() and path.lstat().st_mode & 0o6000]
    assert [] == elevated
    assert not (image.root / "run/secrets").exists()


def test_it_has_the_library_of_traces_and_refuses_what_it_cannot_export_by(container: Container) -> None:
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER": "sometimes"}
    refused = container.run("projection", "run", **NATS, **wrong)
    assert 2 == refused.returncode
    assert "a variable OTEL_… of the environment cannot be used: Couldn't recognize sampler sometimes" in refused.stderr


def test_it_shows_its_commands(container: Container) -> None:
    shown = container.run("projection", "--help")
    assert (0, "") == (shown.returncode, shown.stderr)
    assert "run" in shown.stdout


def test_it_starts_with_a_url_and_a_manifest_on_a_root_that_cannot_be_written_to(container: Container) -> None:
    assert "Read-only file system" in container.run("sh", "-c", "echo > /opt/projection/x").stderr
    assert not container.health()
    with container.start(**NATS) as node:
        try:
            wait_until(lambda: node.poll() is not None or container.health("/ready"))
            assert container.health()
            assert "200 <!doctype html>" in container.asked("/console/").lower()
            assert f'commit="{COMMIT}"' in container.asked("/metrics")
            shown = container.run("projection", "show", "pages", "--tenant", "north").stdout
            assert {"visits": 1} == json.loads(shown)["view"]
            node.send_signal(signal.SIGTERM)
            said, _ = node.communicate(timeout=WITHIN_S)
            assert (0, 1) == (node.returncode, json.loads(said)["events"])
        finally:
            node.kill()


def test_it_drains_alive_and_not_ready(container: Container) -> None:
    with container.start(**NATS, PROJECTION_HTTP__DRAIN_S="3600") as node:
        try:
            wait_until(lambda: node.poll() is not None or container.health("/ready"))
            node.send_signal(signal.SIGTERM)
            wait_until(lambda: node.poll() is not None or not container.health("/ready"))
            assert container.health()
            node.send_signal(signal.SIGTERM)
            node.communicate(timeout=WITHIN_S)
            assert 128 + signal.SIGTERM == node.returncode
        finally:
            node.kill()
