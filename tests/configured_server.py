"""A real server with what the product's own does not set: users, permissions, TLS, a cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
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
