"""The door to the simulated server: the methods of `Nats`, over a wire on which everything may go wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from simulated_stream import filter_of

from projection.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from simulated_consumer import Delivery
    from simulated_server import SimulatedServer

    from projection.stream.frames import Receiver

_REQUEST_S = 5.0
_RECONNECT_S = 0.25
_LATENCY_S = 0.0005


class SimulatedSubscription:
    """A task calls back, a message at a time and some time after it came."""

    def __init__(self, nats: SimulatedNats, subject: str, callback: Callable[[Delivery], Awaitable[None]]) -> None:
        self.takes = filter_of([subject])
        self._nats = nats
        self._callback = callback
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def end(self) -> None:
        self._nats.subscriptions.discard(self)
        self._task.cancel()

    def arrive(self, delivery: Delivery) -> None:
        self._arrived.put_nowait(delivery)

    async def _serve(self) -> None:
        while True:
            await self._callback(await self._arrived.get())


class BulkSubscription:
    """A receiver is called while the connection is read."""

    def __init__(self, nats: SimulatedNats, subject: str, receiver: Receiver) -> None:
        self.takes = filter_of([subject])
        self.arrive = receiver.receive
        self._nats = nats

    async def end(self) -> None:
        self._nats.subscriptions.discard(self)


class SimulatedNats:
    """One client's connection, as `projection.stream.connection.Nats`.

    `drop` and `repeat` tell how many of the next messages that come to a subscription are lost or come twice. `bulk` tells
    whether messages are handed over as they are read, or by a task for each subscription, as the library does it.
    `acknowledging` is told of what is acknowledged, when it is.
    """

    hosts = "nats://simulated"
    api = "$JS.API"
    heard_in_part = 0.0

    def __init__(self, server: SimulatedServer) -> None:
        self.losses = 0
        self.latency_s = _LATENCY_S
        self.bulk = True
        self.acknowledging: Callable[[str], None] = lambda subject: None
        self.drop = 0
        self.repeat = 0
        self.subscriptions: set[SimulatedSubscription | BulkSubscription] = set()
        self._server = server
        self._connected = True
        self._closed = False
        self._inboxes = 0
        self._answers: dict[str, asyncio.Future[Delivery]] = {}
        self._out: deque[tuple[str, bytes, str, dict[str, str] | None]] = deque()
        self._in: deque[tuple[str, Delivery]] = deque()
        self._reconnecting: asyncio.TimerHandle | None = None

    # as the real one

    async def close(self) -> None:
        self.cut_off()

    async def request(self, subject: str, body: bytes = b"", *, timeout_s: float = _REQUEST_S) -> bytes:
        inbox = self.new_inbox()
        answer = self._answers[inbox] = asyncio.get_running_loop().create_future()
        try:
            await self.publish(subject, body, reply=inbox)
            delivery = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise StreamError(f"{self.hosts} does not answer a request to {subject!r}: no answer") from None
        finally:
            self._answers.pop(inbox, None)
        if (delivery.headers or {}).get("Status") == "503":
            raise StreamError(f"nobody at {self.hosts} answers requests to {subject!r}")
        return delivery.data

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._require_connection()
        if subject.startswith("$JS.ACK."):
            self.acknowledging(subject)
        self._out.append((subject, data, reply, dict(headers) if headers else None))
        self._server.loop.call_later(self.latency_s, self._pump_out)

    async def subscribe(self, subject: str, callback: Callable[[Delivery], Awaitable[None]]) -> SimulatedSubscription:
        self._require_connection()
        made = SimulatedSubscription(self, subject, callback)
        self.subscriptions.add(made)
        return made

    async def subscribe_in_bulk(self, subject: str, receiver: Receiver) -> SimulatedSubscription | BulkSubscription:
        if not self.bulk:

            async def receive(delivery: Delivery) -> None:
                receiver.receive(delivery)

            return await self.subscribe(subject, receive)
        self._require_connection()
        made = BulkSubscription(self, subject, receiver)
        self.subscriptions.add(made)
        return made

    def refused(self, subject: str) -> str | None:
        return None

    def go_elsewhere(self) -> None:
        """There is one server."""

    def new_inbox(self) -> str:
        self._inboxes += 1
        return f"_INBOX.{id(self)}.{self._inboxes}"

    def _require_connection(self) -> None:
        if self._closed:
            raise StreamError(f"the connection to {self.hosts} was closed")
        if not self._connected:
            raise StreamError(f"the connection to {self.hosts} is lost; it is tried again")

    # as the server sees it

    def listens(self, inbox: str) -> bool:
        return self._connected and (inbox in self._answers or any(one.takes(inbox) for one in self.subscriptions))

    def send(self, inbox: str, delivery: Delivery) -> None:
        if self._connected:
            self._in.append((inbox, delivery))
            self._server.loop.call_later(self.latency_s, self._pump_in)

    # what happens to it

    def lose(self) -> None:
        """The connection breaks; what is under way is lost. It comes back by itself."""
        self._break()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._reconnecting = self._server.loop.call_later(_RECONNECT_S, self._reconnect)

    def cut_off(self) -> None:
        """Its process is gone: nothing goes out or comes in, ever again."""
        if not self._closed:
            self._closed = True
            self._break()
            self._server.gone(self)

    def pump(self) -> None:
        """Let pass what a frozen server held up."""
        while self._out and not self._server.frozen:
            self._pump_out()
        while self._in and not self._server.frozen:
            self._pump_in()

    def _break(self) -> None:
        self._connected = False
        self.losses += 1
        self._out.clear()
        self._in.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(StreamError(f"the connection to {self.hosts} was lost during a request"))

    def _reconnect(self) -> None:
        if self._closed:
            return
        if self._server.up and not self._server.frozen:
            self._connected = True
        else:
            self._reconnecting = self._server.loop.call_later(_RECONNECT_S, self._reconnect)

    def _pump_out(self) -> None:
        if self._out and not self._server.frozen:
            subject, data, reply, headers = self._out.popleft()
            self._server.take(self, subject, data, reply, headers)

    def _pump_in(self) -> None:
        if not self._in or self._server.frozen:
            return
        inbox, delivery = self._in.popleft()
        answer = self._answers.get(inbox)
        if answer is not None:
            if not answer.done():
                answer.set_result(delivery)
            return
        copies = 1
        if self.drop:
            self.drop, copies = self.drop - 1, 0
        elif self.repeat:
            self.repeat, copies = self.repeat - 1, 2
        for subscription in self.subscriptions:
            if subscription.takes(inbox):
                for _ in range(copies):
                    subscription.arrive(delivery)
