"""The door to the nats library: a connection that comes back by itself and fails with StreamErrors only."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import nats.errors

from projection.errors import ConfigurationError, StreamError
from projection.jitter import CHANCE
from projection.model.event_format.headers import headers_block
from projection.stream.frames import frames_of, parser_of, read_frames
from projection.stream.library_client import LibraryClient, web_socket
from projection.stream.refusals import Refusals, is_refusal, reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription

    from projection.stream.address import NatsConnection
    from projection.stream.frames import Delivery, Receiver

_CONNECT_S = 2  # a server that is there answers at once; the user waits for this one
_RECONNECT_WAIT_S = 0.25
_NEVER_S = 3_600.0
TOO_LARGE = "stream.payload"  # the code of an error: no server of this configuration takes the message
_FLUSH_S = 10.0  # of a publish; one whose connection ends in the wrong moment would wait for ever
_GOODBYE_S = 2.0  # for what is still to be sent when a connection is closed, to a server that may be frozen
_PING_S = 5  # a dead peer is found after two missed pings; the library's own default takes four minutes


class Subscription:
    """Interest in a subject, until it is ended."""

    def __init__(self, client: Client, subscription: NatsSubscription) -> None:
        self._client = client
        self._subscription = subscription

    async def end(self) -> None:
        """Take the interest back; what is still under way is dropped. Idempotent, and never fails."""
        if (frames := frames_of(self._client, self._subscription)) is not None:
            parser, sid = frames
            parser.remove(sid)
        try:
            await self._subscription.unsubscribe()
        except (nats.errors.Error, OSError):
            return  # ended before, or gone with its connection


class Nats:
    """One connection, shared by all that this process does with the server.

    Once it has been up it comes back by itself, for ever; until then each call tries to make it. While it is down every
    call fails at once, and what was queued when it went down is dropped: sent over the next connection, behind what was
    lost on the wire, it would tear a hole into an order. `losses` tells that it happened.
    """

    def __init__(self, connection: NatsConnection, name: str) -> None:
        self.hosts = connection.hosts
        self.api = connection.api
        self.losses = 0  # how often the connection was lost; what was under way at such a moment may be lost too
        self._refusals = Refusals()
        self._connection = connection
        self._name = name
        if connection.is_websocket:
            web_socket()
        self._client = LibraryClient(connection, _CONNECT_S)
        self._closed = False
        self._is_made = False  # whether the client has been connected
        self._awaited: dict[asyncio.Future[Msg], str] = {}  # answers that a lost connection will not bring; to what
        self._connecting = asyncio.Lock()
        self._last_error: Exception | None = None
        self._tries_left = 0
        self._given_up = asyncio.Event()

    @classmethod
    async def connect(cls, connection: NatsConnection, *, name: str = "projection") -> Self:
        """Connect, or fail within about two seconds; `name` is what the server shows for this client.

        Raises:
            ConfigurationError: the URL or a file that it needs cannot be read.
            StreamError: there is no server, or it refuses us.
        """
        door = cls(connection, name)
        await door._connect()
        return door

    @classmethod
    def connecting_later(cls, connection: NatsConnection, *, name: str = "projection") -> Self:
        """A connection that the first call makes: for those who go on while there is no server.

        Raises:
            ConfigurationError: the URL or a file that it needs cannot be read.
        """
        connection.check_files()
        return cls(connection, name)

    async def close(self) -> None:
        """Close the connection; idempotent."""
        self._closed = True
        await _close(self._client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def go_elsewhere(self) -> None:
        """Lose this connection, for one to the next server, where more than one is known; else do nothing."""
        if self._client.is_connected and len(self._client.servers) > 1:
            self._client.abandon()

    async def request(self, subject: str, body: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        """The answer to one request; time that a slow link spends on what comes before it does not count.

        Raises:
            StreamError: no connection, no answer in time, or nobody there to answer.
        """
        client = await self._live()
        answer = asyncio.ensure_future(client.request(subject, body, timeout=_NEVER_S))
        self._awaited[answer] = subject
        try:
            return (await self._in_time(answer, timeout_s)).data
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            if (refused := self.refused(subject)) is not None and client.is_connected:
                raise self._not_permitted(subject, refused) from None
            raise StreamError(f"the connection to {self.hosts} was lost during a request to {subject!r}") from None
        except nats.errors.NoRespondersError:
            raise StreamError(
                f"nobody at {self.hosts} answers requests to {subject!r}", hint="is JetStream enabled there?"
            ) from None
        except (nats.errors.Error, OSError) as error:
            if (refused := self.refused(subject)) is not None and isinstance(error, TimeoutError):
                raise self._not_permitted(subject, refused) from None
            raise StreamError(f"{self.hosts} does not answer a request to {subject!r}: {reason(error)}") from None
        finally:
            self._awaited.pop(answer, None)
            answer.cancel()

    async def _in_time(self, answer: asyncio.Future[Msg], timeout_s: float) -> Msg:
        began = monotonic() - self._spent_s
        while not answer.done():
            left = timeout_s - (monotonic() - self._spent_s - began)
            if left <= 0:
                raise TimeoutError
            await asyncio.wait({answer}, timeout=left)
        return answer.result()

    @property
    def heard_in_part(self) -> float:
        """When bytes of a message came last that is not whole yet, by the monotonic clock; 0 where there is none."""
        parser = parser_of(self._client)
        return 0.0 if parser is None else parser.heard_in_part

    @property
    def _spent_s(self) -> float:
        parser = parser_of(self._client)
        return 0.0 if parser is None else parser.spent_s

    def refused(self, subject: str) -> str | None:
        """What the server said, where its permissions keep our words to a subject, or any answer, from arriving."""
        return self._refusals.of(subject)

    def _not_permitted(self, subject: str, refusal: str) -> StreamError:
        return StreamError(
            f"{self.hosts} does not answer a request to {subject!r}: {refusal}",
            hint="grant the node's user what docs/operating.md lists under permissions",
            code="stream.permissions",
        )

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send one message; it is under way, and no more than that, when this returns.

        Raises:
            StreamError: no connection, or the message is one that cannot be sent.
        """
        client = self._client if self._client.is_connected else await self._live()
        # The library counts the data only, and a server that gets too much ends the connection.
        if (size := len(data) + (len(headers_block(headers)) if headers else 0)) > client.max_payload:
            raise StreamError(
                f"a message of {size} bytes to {subject!r} is larger than the {client.max_payload} bytes that "
                f"{self.hosts} takes",
                hint="raise max_payload in the server's configuration",
                code=TOO_LARGE,
            )
        try:
            await client.publish(subject, data, reply, headers=None if headers is None else dict(headers))
        except (nats.errors.Error, OSError) as error:
            raise StreamError(f"a message to {subject!r} cannot be sent to {self.hosts}: {reason(error)}") from None

    async def subscribe(self, subject: str, callback: Callable[[Delivery], Awaitable[None]]) -> Subscription:
        """Call the callback with what comes for the subject, in order.

        The library's own limits on what may wait are off: who subscribes asks only for as much as it can hold.

        Raises:
            StreamError: no connection, or the subject is none.
        """
        client = await self._live()
        return Subscription(client, await self._subscribe(client, subject, callback))

    async def subscribe_in_bulk(self, subject: str, receiver: Receiver) -> Subscription:
        """Give a receiver what comes for the subject, many messages at once where the library lets us.

        The subject is to be one that nobody publishes to before this returns.

        Raises:
            StreamError: as in `subscribe`.
        """

        async def receive(delivery: Delivery) -> None:
            receiver.receive(delivery)

        client = await self._live()
        subscription = await self._subscribe(client, subject, receive)
        if (frames := frames_of(client, subscription)) is not None:
            parser, sid = frames
            parser.add(sid, receiver)
        return Subscription(client, subscription)

    async def _subscribe(
        self, client: Client, subject: str, callback: Callable[[Delivery], Awaitable[None]]
    ) -> NatsSubscription:
        try:
            return await client.subscribe(subject, cb=callback, pending_msgs_limit=0, pending_bytes_limit=0)
        except (nats.errors.Error, OSError) as error:
            raise StreamError(f"{subject!r} cannot be subscribed at {self.hosts}: {reason(error)}") from None

    def new_inbox(self) -> str:
        """A subject that nobody else uses."""
        return self._client.new_inbox()

    async def _live(self) -> Client:
        if self._closed:
            raise StreamError(f"the connection to {self.hosts} was closed")
        if self._is_down:
            async with self._connecting:
                if self._is_down:
                    if self._is_made:
                        self._lost(self._client)
                        await _close(self._client)
                    try:
                        await self._connect()
                    except ConfigurationError as error:  # a file that was there has gone
                        raise StreamError(error.message) from None
        if not self._client.is_connected:
            why = f" ({reason(self._last_error)})" if self._last_error else ""
            raise StreamError(f"the connection to {self.hosts} is lost{why}; it is tried again")
        return self._client

    @property
    def _is_down(self) -> bool:
        """Whether nobody tries any more: the library gives up on some errors, such as an expired sign-in.

        Its attempts to come back also end, without a word, by any error that it does not expect.
        """
        client = self._client
        coming_back = client._reconnection_task  # noqa: SLF001 - the library has no public word for it
        has_ended = coming_back is not None and coming_back.done()
        return not self._is_made or client.is_closed or (has_ended and not client.is_connected)

    async def _connect(self) -> None:
        connection = self._connection
        connection.check_files()
        client = self._client = LibraryClient(connection, _CONNECT_S)
        self._is_made = False
        self._refusals.clear()
        read_frames(client)

        async def on_loss() -> None:
            self._lost(client)

        self._tries_left, self._last_error = len(connection.urls), None
        self._given_up.clear()
        options: dict[str, Any] = {}
        if connection.credentials is not None or connection.nkey_seed is not None:
            options["signature_cb"] = client.sign
        if connection.credentials is not None:
            options["user_jwt_cb"] = client.user_jwt
        if connection.user is not None:
            options["user"] = connection.user
            options["password"] = self._over_tls(client, connection.password or "")
        if connection.token is not None:
            options["token"] = self._over_tls(client, connection.token)
        attempt = asyncio.ensure_future(
            client.connect(
                CHANCE.sample(connection.urls, len(connection.urls)),  # clients spread over the servers
                dont_randomize=True,  # so that a connection which is lost is made anew to another server, in turn
                name=self._name,
                connect_timeout=_CONNECT_S,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # it is only ever slept
                ping_interval=_PING_S,
                max_outstanding_pings=2,
                flush_timeout=_FLUSH_S,
                error_cb=self._on_error,
                disconnected_cb=on_loss,
                tls=connection.ssl_context(),
                tls_handshake_first=connection.tls_first and not connection.is_websocket,
                inbox_prefix=connection.inbox_prefix,
                **options,
            )
        )
        giving_up = asyncio.ensure_future(self._given_up.wait())
        try:
            await asyncio.wait(
                {attempt, giving_up}, timeout=_CONNECT_S * len(connection.urls) + 1, return_when=asyncio.FIRST_COMPLETED
            )
            self._check(attempt, client)
            self._is_made = True
        except BaseException:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            await _close(client)
            raise
        finally:
            giving_up.cancel()

    def _check(self, attempt: asyncio.Future[None], client: LibraryClient) -> None:
        error = attempt.exception() if attempt.done() else self._last_error
        if error is not None or not attempt.done():
            raise StreamError(
                f"no connection to a NATS server at {self.hosts}: {reason(error)}",
                hint="start one there, or name another URL in the settings",
            )
        if self._connection.wants_tls and not _speaks_tls(client):
            raise StreamError(f"{self.hosts} does not speak TLS, and the settings ask for it")

    def _over_tls(self, client: Client, secret: str) -> Callable[[], str]:
        """The secret, given at the moment of signing in, when TLS is up if it is to be."""

        def give() -> str:
            if self._connection.wants_tls and not _speaks_tls(client):
                raise nats.errors.SecureConnWantedError
            return secret

        return give

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        text = str(error).removeprefix("nats: ")
        if is_refusal(text):
            self._refuse(text)
        self._tries_left -= 1
        if self._tries_left <= 0:
            self._given_up.set()

    def _refuse(self, text: str) -> None:
        parser = parser_of(self._client)
        said = "" if parser is None else parser.last_error
        self._refusals.add(said if said.lower() == text.lower() else text)
        for answer, subject in self._awaited.items():
            if self.refused(subject) is not None:
                answer.cancel()  # it will never come

    def _lost(self, client: Client) -> None:
        self.losses += 1
        self._refusals.clear()
        for answer in self._awaited:
            answer.cancel()
        _forget_pending(client)  # it would be sent later
        client._ps.reset()  # noqa: SLF001 - half a frame may have come since the library did so


def _forget_pending(client: Client) -> None:
    client._pending.clear()  # noqa: SLF001 - the library has no public word for it
    client._pending_data_size = 0  # noqa: SLF001


def _speaks_tls(client: Client) -> bool:
    # The library offers no public word on this; a server that requires no TLS gets none from it, even for `tls://`.
    server = client._current_server  # noqa: SLF001
    over_tls = server is not None and server.uri.scheme == "wss"
    return over_tls or bool(client._server_info.get("tls_required"))  # noqa: SLF001


async def _close(client: LibraryClient) -> None:
    # Closing sends what is pending; over a connection that is gone already, some versions of Python answer with a
    # TypeError, and half of the library's cleaning up is left undone.
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001 - as above
    if writer is not None and writer.is_closing():
        _forget_pending(client)
    giving_up = asyncio.get_running_loop().call_later(_GOODBYE_S, client.abandon)
    try:
        await client.close()
    except (nats.errors.Error, OSError, AssertionError):
        return  # it asserts that it was once connected
    finally:
        giving_up.cancel()
