"""`projection run` answers queries: while the node runs, and no longer; and what keeps it from starting."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from command_support import counted, deploy, environment, eventually, fill, projection, refused, scanned, started
from patience import WITHIN_MS, WITHIN_S

from projection.cli.run import _Signals
from projection.errors import EXIT_SIGNAL
from projection.stream.embedded import EmbeddedServer

OUTAGES = 20
PATIENT = {"PROJECTION_QUERY__MAX_WAIT_MS": str(WITHIN_MS)}


def test_the_command_tells_it_and_starts_nothing(tmp_path):
    deploy(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        refused(projection("run", "--listen", at, folder=tmp_path), 2, f"http.listen: {at} is in use", "hint: ")
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
    with started("run", *at, folder=tmp_path, **PATIENT) as node:
        eventually(lambda: any(line["event"] == "serving" for line in lines()), node)
        url = next(line["url"] for line in lines() if line["event"] == "serving")
        asked = {"min_sequence": last, "wait_ms": WITHIN_MS}
        answer = httpx.get(f"{url}/v1/views/counter/x", params=asked, headers={"x-tenant-id": "a"}, timeout=WITHIN_S)
        assert (200, {"total": 2}) == (answer.status_code, answer.json()["view"])
        eventually(lambda: httpx.get(f"{url}/ready", timeout=WITHIN_S).json()["ready"], node)
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=WITHIN_S)
    assert 0 == node.returncode
    (told,) = (line for line in lines() if line["event"] == "request" and line["path"].startswith("/v1"))
    assert ("GET", "/v1/views/counter/x", 200, "a") == tuple(
        told[name] for name in ("method", "path", "status", "tenant")
    )
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", timeout=WITHIN_S)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGUSR1])
def test_a_hook_before_the_stop_and_sigterm_begin_the_same_drain(first, tmp_path, nats_server, stream_name):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    at = ("--url", nats_server.url, "--stream", stream_name)
    with started("run", *at, folder=tmp_path, PROJECTION_HTTP__DRAIN_S="3600") as node:
        url = url_of(tmp_path, node)
        eventually(lambda: httpx.get(f"{url}/ready").status_code == 200, node)
        node.send_signal(first)
        eventually(lambda: httpx.get(f"{url}/ready").status_code == 503, node)
        if first == signal.SIGUSR1:
            node.send_signal(signal.SIGTERM)  # the platform's own, behind the hook
        answer = httpx.get(f"{url}/v1/views/counter/x", headers={"x-tenant-id": "a"}, timeout=WITHIN_S)
        assert (200, {"total": 1}, "close") == (
            answer.status_code,
            answer.json()["view"],
            answer.headers["connection"],
        )
        node.send_signal(signal.SIGINT)
        node.communicate(timeout=WITHIN_S)
    assert EXIT_SIGNAL + signal.SIGINT == node.returncode
    assert 1 == (tmp_path / "stderr.txt").read_text().count("the node is draining")


def test_until_caught_up_serves_nobody(tmp_path, nats_server, stream_name):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = ("--url", nats_server.url, "--stream", stream_name, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        ran = projection("run", "--until-caught-up", *at, folder=tmp_path)
    assert (0, "") == (ran.returncode, ran.stderr)


def url_of(folder, node):
    """Where a node says that it serves."""
    log = folder / "stderr.txt"

    def found():
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return next((line["url"] for line in lines if line["event"] == "serving"), None)

    eventually(found, node)
    return found()


def test_a_node_whose_view_types_have_all_halted_answers_and_is_not_ready(tmp_path, nats_server, stream_name):
    deploy(tmp_path, stream=stream_name, on_error="halt")
    fill(nats_server.url, stream_name, [counted("x"), counted("x", -1), counted("x")])
    at = ("--url", nats_server.url, "--stream", stream_name)
    with started("run", *at, folder=tmp_path, **PATIENT) as node:
        url = url_of(tmp_path, node)
        eventually(lambda: "NEGATIVE" in httpx.get(f"{url}/ready", timeout=WITHIN_S).text, node)
        assert 503 == httpx.get(f"{url}/ready", timeout=WITHIN_S).status_code
        asked = {"min_sequence": 1, "wait_ms": WITHIN_MS}
        answer = httpx.get(f"{url}/v1/views/counter/x", params=asked, headers={"x-tenant-id": "a"}, timeout=WITHIN_S)
        assert (200, {"total": 1}) == (answer.status_code, answer.json()["view"])
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=WITHIN_S)
    assert 1 == node.returncode


def test_a_node_answers_before_there_is_a_server_and_reads_once_there_is(tmp_path):
    deploy(tmp_path, stream="late")
    server = EmbeddedServer(tmp_path / "nats")
    with server:
        fill(server.url, "late", [counted("x")])
        at = ("--url", server.url, "--stream", "late")
        assert 0 == projection("run", "--until-caught-up", *at, folder=tmp_path).returncode
    with started("run", *at, folder=tmp_path) as node:
        url = url_of(tmp_path, node)
        eventually(lambda: "nothing listens there" in httpx.get(f"{url}/ready", timeout=WITHIN_S).text, node)
        answer = httpx.get(f"{url}/v1/views/counter/x", headers={"x-tenant-id": "a"}, timeout=WITHIN_S)
        assert (200, {"total": 1}) == (answer.status_code, answer.json()["view"])
        assert (200, 503) == tuple(
            httpx.get(f"{url}/{name}", timeout=WITHIN_S).status_code for name in ("health", "ready")
        )
        with server:
            last = fill(server.url, "late", [counted("x")])
            eventually(lambda: scanned(tmp_path / "data", "counter") == last, node)
            eventually(lambda: httpx.get(f"{url}/ready", timeout=WITHIN_S).status_code == 200, node)


@pytest.mark.long
def test_a_node_loses_its_server_twenty_times_and_recovers_each_time(tmp_path):
    """It says why it is not ready, serves what it has, and loses and doubles nothing."""
    deploy(tmp_path, stream="late")
    server = EmbeddedServer(tmp_path / "nats")
    with server:
        fill(server.url, "late", [counted("x")])
        at = ("--url", server.url, "--stream", "late")
        assert 0 == projection("run", "--until-caught-up", *at, folder=tmp_path).returncode
    with started("run", *at, folder=tmp_path) as node:
        url = url_of(tmp_path, node)

        def ready():
            return httpx.get(f"{url}/ready", timeout=WITHIN_S)

        for total in range(1, OUTAGES + 1):
            eventually(lambda: ready().status_code == 503 and "stream" in ready().json()["troubles"], node)
            assert 200 == httpx.get(f"{url}/health", timeout=WITHIN_S).status_code
            answer = httpx.get(f"{url}/v1/views/counter/x", headers={"x-tenant-id": "a"}, timeout=WITHIN_S)
            assert (200, {"total": total}) == (answer.status_code, answer.json()["view"])
            with server:
                last = fill(server.url, "late", [counted("x")])
                eventually(lambda last=last: scanned(tmp_path / "data", "counter") == last, node)
                eventually(lambda: ready().status_code == 200, node)
                if total % 2:
                    server.kill()  # as a crash, where the other ends are orderly
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=WITHIN_S)
    assert 0 == node.returncode


def test_a_signal_while_nobody_answers_the_connection_ends_it_with_0(tmp_path):
    deploy(tmp_path)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with started("run", "--url", f"nats://127.0.0.1:{silent.getsockname()[1]}", folder=tmp_path) as node:
            url_of(tmp_path, node)
            node.send_signal(signal.SIGTERM)
            out, _ = node.communicate(timeout=WITHIN_S)
    assert (0, 0) == (node.returncode, json.loads(out)["events"])


STOPPED_AT_AN_IMPORT = """
import os, signal, sys
from projection.cli.main import main

class Finder:
    module = sys.argv.pop()

    def find_spec(self, name, *_):
        if name == self.module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Finder())
main()
"""


@pytest.mark.parametrize("module", ["asyncio", "projection.store.catalog"])
def test_a_signal_while_the_command_is_still_being_loaded_ends_it_with_0(tmp_path, module):
    deploy(tmp_path)
    run = ("run", "--url", "nats://127.0.0.1:1", module)
    ran = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_AN_IMPORT, *run],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=WITHIN_S,
    )
    assert (0, 0) == (ran.returncode, json.loads(ran.stdout)["events"]), ran.stderr


async def test_a_signal_that_comes_before_there_is_a_node_stops_it_when_it_is_there():
    stopped = []

    class TheNode:
        def stop(self):
            stopped.append(True)

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    try:
        signals = _Signals()
        signal.raise_signal(signal.SIGTERM)
        assert [] == stopped
        signals.stop_by(TheNode().stop)
    finally:
        for one, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(one, handler)
    assert [True] == stopped
