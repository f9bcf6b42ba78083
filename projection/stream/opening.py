"""One opening of a feed: a new consumer, and the pulls that keep it busy, for as long as its chain is whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from projection.errors import StreamError
from projection.stream.chain import Chain
from projection.stream.jetstream import CONSUMER_EXISTS, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.stream.connection import Subscription
    from projection.stream.frames import Delivery
    from projection.stream.jetstream import ConsumerInfo, JetStream
    from projection.stream.port import Message

TAKEN = "stream.taken"  # another node reads under our consumer's name
_PULL_MESSAGES = 2_000  # a request
_EXPIRES_S = 2.0
_HEARTBEAT_S = 0.5
SILENCE_S = _EXPIRES_S + 1.0
_LOOK_S = 0.05  # between two looks whether another process still reads
_QUIET_S = 0.2  # without a request: nobody reads
_INSTANCE = "projection_instance"
_ENDED_AS_ASKED = ("Batch Completed", "Message Size Exceeds MaxBytes")  # the two 409s that are no trouble


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """How much a feed asks for, holds and hands over at once."""

    batch: int = 20_000  # messages
    batch_bytes: int = 64 * 1024 * 1024
    linger_s: float = 0.02
    in_flight: int = 4  # pull requests' worth of messages under way
    ack_wait_s: float = 24 * 3600.0
    forgotten_after_s: float = 24 * 3600.0  # the server deletes a consumer that nobody pulls from any more


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads what: the names by which the server knows a feed."""

    stream: str
    consumer: str
    subjects: Sequence[str]
    instance: str  # tells this process's feed from another's under the same consumer name


class Opening:
    """What is read through one consumer. Its messages come without a gap, or `broken` says why they do no longer."""

    def __init__(self, jetstream: JetStream, reader: Reader, limits: FeedLimits) -> None:
        self.broken: str | None = None
        self.heard = monotonic()  # when anything came last
        self.arrived = asyncio.Event()  # set when `wake_at` messages wait, or all is over
        self.wake_at = 1
        self._jetstream = jetstream
        self._nats = jetstream.nats
        self._losses = self._nats.losses
        self._reader = reader
        self._limits = limits
        self._chain = Chain()
        self._requests: dict[str, int] = {}  # inbox of each request under way: the bytes it allows
        self._asked = 0  # messages under way at most
        self._asking: asyncio.Task[None] | None = None
        self._request_number = 0
        self._request_bytes = max(1, limits.batch_bytes // (8 * limits.in_flight))
        self._inbox = self._nats.new_inbox()
        self._subscription: Subscription | None = None

    async def start(self, sequence: int, *, take_over: bool) -> None:
        """Make the consumer at a sequence and ask for the first messages.

        A consumer is deleted and made anew, never reset: pulls that outlive a reset go on swallowing messages.

        Args:
            sequence: the first to read.
            take_over: whether a consumer that another process left under our name, and reads no more, may be replaced.

        Raises:
            StreamError: the server cannot be used, or (TAKEN) another node reads under our name.
        """
        reader = self._reader
        found = await self._jetstream.consumer_info(reader.stream, reader.consumer)
        if found is not None:
            is_ours = found.config.metadata.get(_INSTANCE) == reader.instance
            if not is_ours and not (take_over and await self._is_left(found)):
                raise self._taken()
            await self._jetstream.delete_consumer(reader.stream, reader.consumer)
        self._chain.sequence = sequence - 1
        config: dict[str, object] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": sequence,
            "ack_policy": "all",
            "ack_wait": seconds(self._limits.ack_wait_s),
            "max_ack_pending": -1,  # the default stops the feed at 1,000 unacknowledged messages
            "max_deliver": -1,  # at a limit the server skips a message in silence
            "filter_subjects": list(reader.subjects),
            "num_replicas": 1,
            "mem_storage": True,
            "inactive_threshold": seconds(self._limits.forgotten_after_s),
            "metadata": {_INSTANCE: reader.instance},
        }
        try:
            made = await self._jetstream.create_consumer(reader.stream, reader.consumer, config)
        except StreamError as error:
            raise (self._taken() if error.code == CONSUMER_EXISTS else error) from None
        self._chain.pending = made.num_pending
        self._subscription = await self._nats.subscribe_in_bulk(f"{self._inbox}.*", self)
        self.heard = monotonic()
        await self.ask()

    async def _is_left(self, found: ConsumerInfo | None) -> bool:
        """Whether nobody pulls from the consumer: what a node asked for ends with its connection, or expires soon."""
        began, quiet_since = monotonic(), None
        while found is not None:
            now = monotonic()
            if found.num_waiting:
                quiet_since = None  # between two requests a node that reads may have none for a moment
                if now - began > SILENCE_S:
                    return False
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= _QUIET_S:
                return True
            await asyncio.sleep(_LOOK_S)
            found = await self._jetstream.consumer_info(self._reader.stream, self._reader.consumer)
        return True

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
            self._break("the connection was lost")
        elif self._requests and monotonic() - self.heard > SILENCE_S:
            why = f": {self._nats.refusal}" if self._nats.refusal else ""
            self._break(f"nothing was heard for {SILENCE_S:.0f} s{why}")

    def take(self) -> tuple[list[Message], str]:
        """At most one batch of the waiting messages, at least one; and where to acknowledge them."""
        return self._chain.take(self._limits.batch, self._limits.batch_bytes)

    async def ask(self) -> None:
        """Keep requests under way: the next is out before the last one is consumed, and none while a batch waits."""
        while self._wants_more():
            self._request_number += 1
            inbox = f"{self._inbox}.{self._request_number}"
            body = {
                "batch": _PULL_MESSAGES,
                "max_bytes": self._request_bytes,
                "expires": seconds(_EXPIRES_S),
                "idle_heartbeat": seconds(_HEARTBEAT_S),
            }
            self._requests[inbox] = self._request_bytes
            self._asked += _PULL_MESSAGES
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._reader.stream}.{self._reader.consumer}"
            try:
                await self._nats.publish(subject, msgspec.json.encode(body), reply=inbox)
            except StreamError as error:
                self._break(error.message)

    def receive(self, delivery: Delivery) -> None:
        """See `Receiver.receive`."""
        if self.broken is not None:
            return
        if not delivery.reply:
            self._status(delivery)
            self._heard(0)
        elif (problem := self._chain.add(delivery)) is None:
            self._heard(1)
        else:
            self._break(problem)

    def receive_frames(self, data: bytes, position: int, sid: bytes) -> int:
        """See `Receiver.receive_frames`."""
        if self.broken is not None:
            return position
        before = len(self._chain.messages)
        position = self._chain.add_frames(data, position, sid)
        if count := len(self._chain.messages) - before:
            self._heard(count)
        return position

    def _heard(self, messages: int) -> None:
        self.heard = monotonic()
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
            and not self.full
        )

    def _status(self, delivery: Delivery) -> None:
        headers = delivery.headers or {}
        code, description = headers.get("Status", ""), headers.get("Description", "").strip()
        if code == "100":
            return
        if code not in ("404", "408") and not (code == "409" and description.startswith(_ENDED_AS_ASKED)):
            self._break(f"the server ended a pull: {code} {description}".rstrip())
            return
        allowed = self._requests.pop(delivery.subject, 0)
        self._asked -= int(headers.get("Nats-Pending-Messages", 0))
        if code == "409" and int(headers.get("Nats-Pending-Bytes", 0)) == allowed == self._request_bytes:
            self._request_bytes *= 2  # not even the first message fitted

    def _break(self, reason: str) -> None:
        if self.broken is None:
            self.broken = reason
            self.arrived.set()

    def _taken(self) -> StreamError:
        return StreamError(
            f"another node reads stream {self._reader.stream!r} as consumer {self._reader.consumer!r}",
            hint="give each node its own node id",
            code=TAKEN,
        )
