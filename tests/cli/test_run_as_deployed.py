"""`projection run --as-deployed`: what was deployed last is folded, whatever happened to the manifest meanwhile."""

from __future__ import annotations

import json

import pytest
from command_support import COUNTER, counted, deploy, fill, line, projection, refused, write_manifest

TWICE = COUNTER.replace("total += e.n }", "total += 2 * e.n }")


@pytest.fixture
def at(nats_server, stream_name):
    """The options that say where the stream is."""
    return ("--url", nats_server.url, "--stream", stream_name, "--until-caught-up")


def shown(folder, view_type="counter"):
    return projection("show", view_type, "--tenant", "a", folder=folder).stdout


def test_a_manifest_that_was_edited_and_not_deployed_keeps_no_node_from_starting(
    tmp_path, nats_server, stream_name, at
):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    assert 0 == projection("run", "--as-deployed", *at, folder=tmp_path).returncode  # nothing was deployed before
    assert line("x", 1) == shown(tmp_path)
    deploy(tmp_path, TWICE, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    refused(projection("run", *at, folder=tmp_path), 2, "the program changed since build 1", "--as-deployed")
    ran = projection("run", "--as-deployed", *at, folder=tmp_path)
    assert (0, "") == (ran.returncode, ran.stderr)
    assert line("x", 2) == shown(tmp_path)
    assert 0 == projection("deploy", folder=tmp_path).returncode
    (tmp_path / "manifest.yaml").write_text("nonsense")
    assert 0 == projection("run", "--as-deployed", *at, folder=tmp_path).returncode
    assert line("x", 4) == shown(tmp_path)


def test_without_a_manifest_what_was_deployed_goes_on_and_where_nothing_was_it_says_so(
    tmp_path, nats_server, stream_name, at
):
    refused(projection("run", *at, folder=tmp_path), 2, "there is no manifest at", "--manifest")
    refused(projection("run", "--as-deployed", *at, folder=tmp_path), 2, "there is no manifest at", "--manifest")
    assert not (tmp_path / "data").exists()
    manifest = deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    assert 0 == projection("run", *at, folder=tmp_path).returncode
    manifest.unlink()
    (tmp_path / "counter.proj").unlink()
    fill(nats_server.url, stream_name, [counted("x")])
    assert 0 == projection("run", *at, folder=tmp_path).returncode
    assert line("x", 2) == shown(tmp_path)


def test_what_a_deployment_has_left_out_stays_left_out(tmp_path, nats_server, stream_name, at):
    deploy(tmp_path, stream=stream_name)
    (tmp_path / "other.proj").write_text(COUNTER.replace("projection counter", "projection other"))
    both = {name: {"program": f"{name}.proj"} for name in ("counter", "other")}
    write_manifest(tmp_path, both, stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    assert 0 == projection("run", *at, folder=tmp_path).returncode
    for leave in ("deploy", "run"):  # an order, and a start with the changed manifest
        write_manifest(tmp_path, both, stream_name)
        assert 0 == projection("run", *at, folder=tmp_path).returncode
        before = shown(tmp_path, "other")
        write_manifest(tmp_path, {"counter": both["counter"]}, stream_name)
        assert 0 == projection(leave, *(at if leave == "run" else ()), folder=tmp_path).returncode
        (tmp_path / "manifest.yaml").unlink()
        fill(nats_server.url, stream_name, [counted("x")])
        ran = projection("run", "--as-deployed", *at, folder=tmp_path)
        assert 1 == json.loads(ran.stdout)["views"], ran.stderr
        assert before == shown(tmp_path, "other")
        assert before.replace("other", "counter") != shown(tmp_path)
