"""TLS handshakes, which count from the moment at which a connection is accepted.

A server of the event loop tells its protocol of a connection once the handshake is over: those that say nothing would
be counted by nobody, and nobody could end them to make room.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from projection.ops.http.connections import Connections

HANDSHAKE_S = 10.0  # from the connection to the end of the handshake
_GOODBYE_S = 5.0  # for the peer to confirm the end of the encryption
_PAUSE_S = 1.0  # until the next connection is accepted, where there is no file for it


class Handshake:
    """A connection before it is encrypted."""

    def __init__(self, accepted: socket.socket) -> None:
        self._accepted = accepted

    def make_room(self) -> None:
        """See `Connection`."""
        with suppress(OSError):  # it has gone already
            self._accepted.shutdown(socket.SHUT_RDWR)


class TlsServer:
    """Accepts connections, and gives each one whose handshake succeeds a protocol; like a server of the event loop."""

    def __init__(
        self,
        bound: socket.socket,
        tls: ssl.SSLContext,
        connections: Connections,
        protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        """Accept connections in the running event loop, until it is closed."""
        self._bound = bound
        self._tls = tls
        self._all = connections
        self._protocol = protocol
        self._tasks = {asyncio.create_task(self._accept())}

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._bound)
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                continue
            one = Handshake(accepted)
            if not self._all.add(one):
                accepted.close()  # nothing can be told before it is encrypted
                continue
            task = loop.create_task(self._encrypt(one, accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _encrypt(self, one: Handshake, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError:  # it is none, it took too long, or the peer has gone
            accepted.close()
        finally:
            self._all.remove(one)

    def close(self) -> None:
        """Accept nobody any more, and end the handshakes."""
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until that is so."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
