"""A real server with what the product's own does not set: users, permissions, TLS, a cluster."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from patience import wait_until

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


class ConfiguredServer(EmbeddedServer):
    """The embedded server with more in its configuration, which holds from its next start on."""

    def __init__(self, directory: Path, **more: Any) -> None:
        super().__init__(directory)
        self.more = more
        """Of the server's configuration: each replaces what the embedded server says."""

    @property
    def websocket_url(self) -> str:
        """Where it listens for WebSocket, which stays so at its next start."""
        ports = self._directory / f"nats-server_{self.pid}.ports"
        (url,) = json.loads(ports.read_text())["websocket"]
        self.more["websocket"]["port"] = int(url.rpartition(":")[2])
        return url

    def _configure(self) -> Path:
        file = super()._configure()
        file.write_text(json.dumps({**json.loads(file.read_text()), **self.more}, indent=2))
        return file


class TlsFirstServer(ConfiguredServer):
    """One that says nothing before a client has begun to encrypt: its file of ports tells that it listens."""

    def _await_ready(self, guard: subprocess.Popen[bytes]) -> None:
        assert guard.stdout is not None
        self._pid = int(guard.stdout.readline())
        ports = self._directory / f"nats-server_{self._pid}.ports"

        def known() -> bool:
            with suppress(OSError, ValueError):  # not written yet, or half
                self._port = int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
                return True
            return False

        wait_until(known)
