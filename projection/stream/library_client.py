"""The nats library's client, as we use it: it reads files anew for each attempt, and knows our way over WebSocket."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import nats.errors
from nats.aio.client import Client

from projection.errors import ConfigurationError
from projection.extras import missing_extra
from projection.stream.sign_in import Credentials, NKey

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from nats.aio.client import Srv

    from projection.stream.address import NatsConnection
    from projection.stream.websocket import WebSocket

_T = TypeVar("_T")
_LOOK_S = 0.1  # until an attempt that goes on is canceled once more


class LibraryClient(Client):
    """A client that is not connected yet; whatever it signs in with is read anew for each attempt to connect."""

    def __init__(self, connection: NatsConnection, connect_s: float) -> None:
        super().__init__()
        self._connection = connection
        self._coming_back: asyncio.Task[object] | None = None  # the last attempt
        self._connect_s = connect_s  # within which a server has to answer over WebSocket

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The library's own word for it."""
        return self._read(self._connection.ssl_context) or super().ssl_context

    async def _connect_to_server(self, s: Srv) -> None:
        """The library's own word for it; over WebSocket, by a transport of ours.

        A connection on which the attempt before this one failed is closed first: the library forgets it.
        """
        self.abandon()
        if not self._connection.is_websocket:
            await super()._connect_to_server(s)
            return
        s.last_attempt = monotonic()
        context = self.ssl_context if s.uri.scheme == "wss" else None
        socket = web_socket()()
        await socket.open(s.uri.geturl(), context, self._connect_s)
        self._transport = socket  # type: ignore[assignment]  # it has all that the library calls

    def abandon(self) -> None:
        """Lose the connection at once, with all that was not sent: a frozen server would never take it."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        elif self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def _attempt_reconnect(self) -> None:
        """The library's own word for it, which begins by waiting for the end of the connection that is lost.

        The library cancels a former attempt, which may swallow that (`asyncio.wait_for` in Python 3.11) and go on
        beside this one: both would read from one connection, and each lose what the other one made.
        """
        former, self._coming_back = self._coming_back, asyncio.current_task()
        while former is not None and not former.done():
            former.cancel()
            await asyncio.wait({former}, timeout=_LOOK_S)
        self.abandon()
        await super()._attempt_reconnect()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """The same: servers of which a cluster tells would be taken for ones that speak no WebSocket."""
        if self._connection.is_websocket:
            info = {**info, "connect_urls": []}
        await super()._process_info(info, initial_connection)

    def user_jwt(self) -> bytearray:
        """What the server is shown."""
        path = self._connection.credentials
        assert path is not None  # noqa: S101 - for the type checker: else nobody asks
        return bytearray(self._read(lambda: Credentials.read(path)).jwt)

    def sign(self, nonce: str) -> bytes:
        """The answer to what the server wants to have signed."""
        credentials, seed = self._connection.credentials, self._connection.nkey_seed
        if credentials is not None:
            return self._read(lambda: Credentials.read(credentials)).key.sign(nonce)
        assert seed is not None  # noqa: S101 - as above
        key = self._read(lambda: NKey.read(seed))
        self._public_nkey = key.public
        return key.sign(nonce)

    def _read(self, read: Callable[[], _T]) -> _T:
        """What is read; the library tries again after errors of its own kind, and never after others."""
        try:
            return read()
        except ConfigurationError as error:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]  # the library would forget it
            raise nats.errors.Error(error.message) from None


def web_socket() -> type[WebSocket]:
    """What carries NATS over WebSocket.

    Raises:
        MissingExtraError: its library is not installed.
    """
    try:
        from projection.stream.websocket import WebSocket  # noqa: PLC0415 - most nodes do without its library
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None
    return WebSocket
