"""Exit with 0 if the node that has the data folder answers 200: at `/health`, or at the path named, such as `/ready`.

It asks at the socket in the data folder, which is there wherever the node listens, and needs no credentials. It imports
nothing but the standard library: it runs every few seconds.
"""

from __future__ import annotations

import os
import socket
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

_TIMEOUT_S = 4.0


class _OfDataFolder(HTTPConnection):
    def connect(self) -> None:
        """Connect to the socket in the data folder."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(Path(os.environ.get("PROJECTION_STORAGE", "data"), "control.sock")))


def main(path: str) -> int:
    """Ask once; what comes back is printed, so that `docker inspect` shows it."""
    try:
        asking = _OfDataFolder("localhost")
        asking.request("GET", path)
        answer = asking.getresponse()
        print(answer.status, answer.read(4096).decode(errors="replace"))  # noqa: T201
    except (OSError, HTTPException) as error:
        print(f"the node does not answer: {error}")  # noqa: T201
        return 1
    return 0 if answer.status == HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["/health"]))
