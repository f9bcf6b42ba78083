"""One opening of a feed: a new consumer, and the pulls that keep it busy, for as long as its chain is whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from projection.errors import StreamError
from projection.stream.chain import Chain
from projection.stream.jetstream import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.stream.connection import Subscription
    from projection.stream.flow import Flow
    from projection.stream.frames import Delivery
    from projection.stream.jetstream import JetStream, StreamConfig
    from projection.stream.port import Message

_PULL_MESSAGES = 2_000  # a request
_EXPIRES_S = 2.0
_HEARTBEAT_S = 0.5
_UNLIKE = 61  # bytes by which requests differ
SILENCE_S = 4 * _HEARTBEAT_S  # after which the consumer's server is taken for lost
_NODE = "projection_node"
_NO_SUCH_TIER = "stream.10120"  # of the account's limits, for so many copies
_PROBE = {"batch": 1, "no_wait": True}  # answered at once, with a message or that there is none
_ENDED_AS_ASKED = ("Batch Completed", "Message Size Exceeds MaxBytes")  # the two 409s that are no trouble


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """How much a feed asks for, holds and hands over at once."""

    batch: int = 20_000  # messages
    batch_bytes: int = 64 * 1024 * 1024
    linger_s: float = 0.02
    in_flight: int = 4  # pull requests' worth of messages under way
    ack_wait_s: float = 24 * 3600.0
    replicas: int = 1  # of the consumers
    forgotten_after_s: float = 60.0  # the server deletes a consumer that nobody pulls from any more


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads what: the names by which the server knows a feed."""

    stream: str
    consumer: str  # what the name of each opening's consumer begins with
    subjects: Sequence[str]


class Opening:
    """What is read through one consumer. Its messages come without a gap, or `broken` says why they do no longer."""

    def __init__(self, jetstream: JetStream, reader: Reader, limits: FeedLimits, flow: Flow) -> None:
        self.broken: str | None = None
        self.consumer = f"{reader.consumer}_{uuid4().hex[:8]}"  # another one each time: no server is waited for
        self._pull_subject = jetstream.next_subject(reader.stream, self.consumer)
        self.is_heard = False  # whether the consumer has sent anything
        self.heard = self._made = monotonic()  # when anything came last, and when the consumer was made
        self.arrived = asyncio.Event()  # set when `wake_at` messages wait, or all is over
        self.wake_at = 1
        self._jetstream = jetstream
        self._nats = jetstream.nats
        self._losses = self._nats.losses
        self._reader = reader
        self._limits = limits
        self._chain = Chain()
        self._requests: dict[
            str, tuple[int, float]
        ] = {}  # inbox of each under way: the bytes it allows, and since when
        self._asked = 0  # messages under way at most
        self._asking: asyncio.Task[None] | None = None
        self._request_number = 0
        self._flow = flow
        self._inbox = self._nats.new_inbox()
        self._subscription: Subscription | None = None

    async def start(self, sequence: int, stream: StreamConfig) -> None:
        """Make the consumer at a sequence and ask for the first messages.

        A consumer is made anew, never reset: pulls that outlive a reset go on swallowing messages.

        Args:
            sequence: the first to read.
            stream: as it is configured.

        Raises:
            StreamError: the server cannot be used.
        """
        reader = self._reader
        self._chain.sequence = sequence - 1
        config: dict[str, object] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": sequence,
            "ack_policy": "all",
            "ack_wait": seconds(self._limits.ack_wait_s),
            "max_ack_pending": -1,  # the default stops the feed at 1,000 unacknowledged messages
            "max_deliver": -1,  # at a limit the server skips a message in silence
            "filter_subjects": list(reader.subjects),
            "num_replicas": self._limits.replicas,
            "mem_storage": True,
            "inactive_threshold": seconds(stream.inactive_s(self._limits.forgotten_after_s)),
            "metadata": {_NODE: reader.consumer},
        }
        try:
            made = await self._jetstream.create_consumer(reader.stream, self.consumer, config)
        except StreamError as error:
            raise self._not_made(error) from None
        self._chain.pending = made.num_pending
        self._subscription = await self._nats.subscribe_in_bulk(f"{self._inbox}.*", self)
        self.heard = self._made = monotonic()
        await self._pull(f"{self._inbox}.0", _PROBE)
        await self.ask()

    def _not_made(self, error: StreamError) -> StreamError:
        """Why there is no consumer, in the same words each time: a trouble is told once, however often it is tried."""
        message = error.message.replace(self.consumer, f"{self._reader.consumer}_*")
        if error.code == _NO_SUCH_TIER:
            copies = self._limits.replicas
            message += (
                f". The account allows no consumer of {copies} {'copy' if copies == 1 else 'copies'}: set "
                "nats.consumer_replicas to a number that it allows, which is the stream's own"
            )
        return StreamError(message, hint=error.hint, code=error.code)

    async def end(self) -> None:
        """Stop listening. The consumer stays, for it shows how far the reading came; its requests expire."""
        self._break("closed")
        if self._asking is not None:
            self._asking.cancel()
        if self._subscription is not None:
            await self._subscription.end()

    @property
    def messages(self) -> Sequence[Message]:
        """What was received and not yet taken, in order."""
        return self._chain.messages

    @property
    def size(self) -> int:
        """How many bytes of them wait."""
        return self._chain.size

    @property
    def pending(self) -> int:
        """How many messages the server held back when the last one came."""
        return self._chain.pending

    @property
    def left(self) -> int:
        """How many messages there are that were not taken yet, here and at the server, as far as is known."""
        return self._chain.pending + len(self._chain.messages)

    @property
    def full(self) -> bool:
        """Whether a whole batch waits."""
        chain = self._chain
        return len(chain.messages) >= self._limits.batch or chain.size >= self._limits.batch_bytes

    def check(self) -> None:
        """Note what only time or the connection can tell: silence, or a lost connection."""
        if self._losses != self._nats.losses:
            if self.broken is None:
                self._flow.broke(self._under_way)
            self._break("the connection was lost")
        elif (refused := self._nats.refused(self._pull_subject)) is not None:
            self._break(refused)
        elif self._requests and monotonic() - max(self.heard, self._nats.heard_in_part) > SILENCE_S:
            self._break(f"nothing was heard for {SILENCE_S:.0f} s")

    def take(self) -> tuple[list[Message], str]:
        """At most one batch of the waiting messages, at least one; and where to acknowledge them."""
        return self._chain.take(self._limits.batch, self._limits.batch_bytes)

    async def ask(self) -> None:
        """Keep requests under way: the next is out before the last one is consumed, and none while a batch waits."""
        self._forget_expired()
        while self._wants_more():
            self._request_number += 1
            inbox, size = f"{self._inbox}.{self._request_number}", self._flow.request
            size += (
                self._request_number % _UNLIKE
            )  # equal ones might all be used up to the last byte, and end in silence
            body = {
                "batch": _PULL_MESSAGES,
                "max_bytes": size,
                "expires": seconds(_EXPIRES_S),
                "idle_heartbeat": seconds(_HEARTBEAT_S),
            }
            self._requests[inbox] = size, monotonic()
            self._asked += _PULL_MESSAGES
            await self._pull(inbox, body)

    async def _pull(self, inbox: str, body: Mapping[str, object]) -> None:
        try:
            await self._nats.publish(self._pull_subject, msgspec.json.encode(body), reply=inbox)
        except StreamError as error:
            self._break(error.message)

    def receive(self, delivery: Delivery) -> None:
        """See `Receiver.receive`."""
        if self.broken is not None:
            return
        if not delivery.reply:
            if self._is_too_early(delivery):
                return
            self._status(delivery)
            if self.broken is None:
                self._heard(0)
        elif (problem := self._chain.add(delivery)) is None:
            self._flow.moved(len(delivery.data))
            self._heard(1)
        else:
            self._break(problem)

    def receive_frames(self, data: bytes, position: int, sid: bytes) -> int:
        """See `Receiver.receive_frames`."""
        if self.broken is not None:
            return position
        before, start = len(self._chain.messages), position
        position = self._chain.add_frames(data, position, sid)
        if count := len(self._chain.messages) - before:
            self._flow.moved(position - start)
            self._heard(count)
        return position

    def _heard(self, messages: int) -> None:
        self.heard = monotonic()
        self.is_heard = True
        self._asked -= messages
        if len(self._chain.messages) >= self.wake_at or self._chain.size >= self._limits.batch_bytes:
            self.arrived.set()
        if self._wants_more() and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self.ask())  # not here: whoever reads the connection must not wait

    def _wants_more(self) -> bool:
        """Whether another request is to be sent.

        The server serves waiting requests in turn, so they end together; what is counted is the messages under way.
        """
        in_flight = self._limits.in_flight
        return (
            self.broken is None
            and self._asked <= (in_flight - 1) * _PULL_MESSAGES
            and len(self._requests) < 2 * in_flight
            and self._flow.may_ask(self._under_way)
            and not self.full
        )

    @property
    def _under_way(self) -> int:
        """Bytes that were asked for and may still come."""
        return sum(size for size, _ in self._requests.values())

    def _forget_expired(self) -> None:
        """Forget requests that are over: of one that is used up to the last byte, the server says nothing.

        Another one would have been heard of by now: by its heartbeat, or that it has expired.
        """
        now = monotonic()
        for inbox, (_, since) in list(self._requests.items()):
            if now - max(since, self.heard) > 2 * _HEARTBEAT_S or now - since > _EXPIRES_S + _HEARTBEAT_S:
                del self._requests[inbox]
        self._asked = min(self._asked, len(self._requests) * _PULL_MESSAGES)

    def _is_too_early(self, delivery: Delivery) -> bool:
        """Whether nobody took a request because the consumer is new: `ask` then sends another one.

        In a cluster, the server that we are connected to may learn where a consumer is a moment after we do.
        """
        if self.is_heard or monotonic() - self._made > SILENCE_S or (delivery.headers or {}).get("Status") != "503":
            return False
        if self._requests.pop(delivery.subject, None) is not None:
            self._asked -= _PULL_MESSAGES
        return True

    def _status(self, delivery: Delivery) -> None:
        headers = delivery.headers or {}
        code, description = headers.get("Status", ""), headers.get("Description", "").strip()
        if code == "100":
            return
        if code not in ("404", "408") and not (code == "409" and description.startswith(_ENDED_AS_ASKED)):
            self._break(f"the server ended a pull: {code} {description}".rstrip())
            return
        allowed, _ = self._requests.pop(delivery.subject, (0, 0.0))
        self._asked -= int(headers.get("Nats-Pending-Messages", 0))
        if allowed and code == "409" and int(headers.get("Nats-Pending-Bytes", 0)) == allowed:
            self._flow.did_not_fit(allowed)  # not even the first message did

    def _break(self, reason: str) -> None:
        if self.broken is None:
            self.broken = reason
            self.arrived.set()
