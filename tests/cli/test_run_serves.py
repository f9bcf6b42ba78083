"""`projection run` answers queries: while the node runs, and no longer; and what keeps it from starting."""

from __future__ import annotations

import json
import signal
import socket

import httpx
import pytest
from command_support import counted, deploy, eventually, fill, projection, refused, started
from patience import WITHIN_S


def test_the_command_tells_it_and_starts_nothing(tmp_path):
    deploy(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        refused(projection("run", "--listen", at, folder=tmp_path), 2, f"http.listen: {at} is taken", "hint: ")
    refused(
        projection("run", "--listen", "0.0.0.0:1", folder=tmp_path), 2, "option --listen", "0.0.0.0:1 can be reached"
    )
    assert not (tmp_path / "data").exists()


def test_a_node_answers_while_it_runs_and_ends_with_what_was_asked(tmp_path, nats_server, stream_name):
    deploy(tmp_path, stream=stream_name)
    last = fill(nats_server.url, stream_name, [counted("x"), counted("x")])
    log = tmp_path / "stderr.txt"

    def lines():
        return [json.loads(line) for line in log.read_text().splitlines()]

    at = ("--url", nats_server.url, "--stream", stream_name)
    with started("run", *at, folder=tmp_path) as node:
        eventually(lambda: any(line["event"] == "serving" for line in lines()), node)
        url = next(line["url"] for line in lines() if line["event"] == "serving")
        asked = {"min_sequence": last, "wait_ms": 20_000}
        answer = httpx.get(f"{url}/v1/views/counter/x", params=asked, headers={"x-tenant-id": "a"}, timeout=WITHIN_S)
        assert (200, {"total": 2}) == (answer.status_code, answer.json()["view"])
        assert httpx.get(f"{url}/ready").json()["ready"]
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=WITHIN_S)
    assert 0 == node.returncode
    (told,) = (line for line in lines() if line["event"] == "request" and line["path"].startswith("/v1"))
    assert ("GET", "/v1/views/counter/x", 200, "a") == tuple(
        told[name] for name in ("method", "path", "status", "tenant")
    )
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_until_caught_up_serves_nobody(tmp_path, nats_server, stream_name):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = ("--url", nats_server.url, "--stream", stream_name, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        ran = projection("run", "--until-caught-up", *at, folder=tmp_path)
    assert (0, "") == (ran.returncode, ran.stderr)
