"""NATS over WebSocket, as the nats library's client uses its transports; the one door to aiohttp.

Not the nats library's own transport: that one waits for minutes for a server that is silent, and passes an argument
that aiohttp is going to drop (docs/decisions/0032-websocket.md).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_GOODBYE_S = 0.5  # for what is under way to a server that may be frozen


class WebSocket:
    """One connection, from `open` to `close`; the methods are those that the library's client calls."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._pending: list[bytes] = []
        self._closing: asyncio.Task[None] | None = None

    async def open(self, url: str, context: ssl.SSLContext | None, timeout_s: float) -> None:
        """Connect.

        Args:
            url: of the server, `ws://` or `wss://`.
            context: for TLS, of a `wss://` URL.
            timeout_s: within which the server has to answer.

        Raises:
            OSError: nobody listens there, TLS fails, or what listens speaks no WebSocket.
            TimeoutError: no answer in time.
        """
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        try:
            async with asyncio.timeout(timeout_s):
                self._socket = await self._session.ws_connect(
                    url, ssl=True if context is None else context, max_msg_size=0
                )
        except aiohttp.ClientConnectorCertificateError as error:
            raise error.certificate_error from None
        except aiohttp.ClientConnectorError as error:
            raise error.os_error from None
        except aiohttp.WSServerHandshakeError as error:
            raise ConnectionError(f"it answers no WebSocket, but HTTP {error.status}") from None
        except aiohttp.ClientError as error:
            raise ConnectionError(f"it answers no WebSocket: {error}") from None
        finally:
            if self._socket is None:
                await self._session.close()

    async def connect_tls(self, *_: object) -> None:
        """Nothing: TLS is there from the beginning, or not asked for."""

    def write(self, payload: bytes) -> None:
        """Have something be sent by the next `drain`."""
        self._pending.append(payload)

    def writelines(self, payload: Iterable[bytes]) -> None:
        """The same, of several."""
        self._pending.extend(payload)

    async def drain(self) -> None:
        """Send what was written, as one frame."""
        if self._pending and self._socket is not None:
            data, self._pending = b"".join(self._pending), []
            await self._socket.send_bytes(data)

    async def read(self, _size: int) -> bytes:
        """What came in one frame; nothing where the connection has ended."""
        return await self.readline()

    async def readline(self) -> bytes:
        """The same: a server sends no half of a line in its first frames."""
        if self._socket is None:
            return b""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.ERROR:
            raise ConnectionError(f"the connection broke: {message.data}")
        return bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else b""

    def at_eof(self) -> bool:
        """Whether nothing comes any more."""
        return self._socket is None or self._socket.closed or self._closing is not None

    def close(self) -> None:
        """Begin to end the connection; idempotent."""
        if self._closing is None and self._session is not None and self._socket is not None:
            self._closing = asyncio.create_task(self._end(self._session, self._socket))

    async def wait_closed(self) -> None:
        """Wait until it has ended, which takes a moment even where the server is frozen."""
        if self._closing is not None:
            await self._closing

    async def _end(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        # The connection first: after WebSocket's own words of leave, nobody would wait for the end of TLS.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await session.close()
        with suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(_GOODBYE_S):
                await socket.close()
