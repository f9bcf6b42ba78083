"""One opening of a feed: a new consumer, the pulls that keep it busy, and the check that nothing is missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from projection.errors import StreamError
from projection.stream.jetstream import CONSUMER_EXISTS, seconds
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.stream.connection import Delivery, Subscription
    from projection.stream.jetstream import ConsumerInfo, JetStream

TAKEN = "stream.taken"  # another node reads under our consumer's name
_PULL_MESSAGES = 2_000  # a request
_EXPIRES_S = 2.0
_HEARTBEAT_S = 0.5
SILENCE_S = _EXPIRES_S + 1.0
_LOOK_S = 0.05  # between two looks whether another process still reads
_FORGOTTEN_AFTER_S = 24 * 3600.0  # a consumer that nobody pulls from any more
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
        self.messages: list[Message] = []  # received and not yet taken, in order
        self.replies: list[str] = []  # where to acknowledge each of them
        self.size = 0  # bytes of them
        self.broken: str | None = None
        self.heard = monotonic()  # when anything came last
        self.arrived = asyncio.Event()  # set when `wake_at` messages wait, or all is over
        self.wake_at = 1
        self._jetstream = jetstream
        self._nats = jetstream.nats
        self._losses = self._nats.losses
        self._reader = reader
        self._limits = limits
        self._pending = 0
        self._consumer_sequence = 0
        self._sequence = 0
        self._requests: dict[str, int] = {}  # inbox of each request under way: the bytes it allows
        self._asked = 0  # messages under way at most
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
        self._sequence = sequence - 1
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
            "inactive_threshold": seconds(_FORGOTTEN_AFTER_S),
            "metadata": {_INSTANCE: reader.instance},
        }
        try:
            made = await self._jetstream.create_consumer(reader.stream, reader.consumer, config)
        except StreamError as error:
            raise (self._taken() if error.code == CONSUMER_EXISTS else error) from None
        self._pending = made.num_pending
        self._subscription = await self._nats.subscribe(f"{self._inbox}.*", self._receive)
        self.heard = monotonic()
        await self.ask()

    async def _is_left(self, found: ConsumerInfo | None) -> bool:
        """Whether nobody pulls from the consumer: what a node asked for ends with its connection, or expires soon."""
        until = monotonic() + SILENCE_S
        while found is not None and found.num_waiting:
            if monotonic() > until:
                return False
            await asyncio.sleep(_LOOK_S)
            found = await self._jetstream.consumer_info(self._reader.stream, self._reader.consumer)
        return True

    async def end(self) -> None:
        """Stop listening. The consumer stays, for it shows how far the reading came; its requests expire."""
        self._break("closed")
        if self._subscription is not None:
            await self._subscription.end()

    @property
    def pending(self) -> int:
        """How many messages the server held back when the last one came."""
        if not self.replies:
            return self._pending
        tokens = self.replies[-1].split(".")
        return int(tokens[8 if len(tokens) == 9 else 10])

    @property
    def full(self) -> bool:
        """Whether a whole batch waits."""
        return len(self.messages) >= self._limits.batch or self.size >= self._limits.batch_bytes

    def check(self) -> None:
        """Note what only time or the connection can tell: silence, or a lost connection."""
        if self._losses != self._nats.losses:
            self._break("the connection was lost")
        elif self._requests and monotonic() - self.heard > SILENCE_S:
            self._break(f"nothing was heard for {SILENCE_S:.0f} s")

    def take(self) -> tuple[list[Message], str]:
        """At most one batch of the waiting messages, at least one; and where to acknowledge them."""
        count = min(len(self.messages), self._limits.batch)
        if self.size > self._limits.batch_bytes:
            room = self._limits.batch_bytes
            for index, message in enumerate(self.messages[:count]):
                room -= len(message.data)
                if room < 0:
                    count = max(1, index)
                    break
        self._pending = self.pending
        taken, self.messages = self.messages[:count], self.messages[count:]
        reply, self.replies = self.replies[count - 1], self.replies[count:]
        self.size = sum(len(message.data) for message in self.messages)
        return taken, reply

    async def ask(self) -> None:
        """Keep requests under way: the next is out before the last one is consumed, and none while a batch waits.

        The server serves waiting requests in turn, so they end together; what is counted is the messages under way.
        """
        limits = self._limits
        while (
            self.broken is None
            and self._asked <= (limits.in_flight - 1) * _PULL_MESSAGES
            and len(self._requests) < 2 * limits.in_flight
            and not self.full
        ):
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

    async def _receive(self, delivery: Delivery) -> None:
        # Once a message: what is done here decides how fast the feed reads.
        if self.broken is not None:
            return
        self.heard = monotonic()
        reply = delivery.reply
        if not reply:
            self._status(delivery)
            await self.ask()
            return
        tokens = reply.split(".")
        try:
            if len(tokens) == 9:  # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<time>.<pending>
                _, _, _, _, delivered, stream_sequence, consumer_sequence, time, _ = tokens
            else:  # $JS.ACK.<domain>.<account>.<stream>. … .<pending>[.<random>]
                _, _, _, _, _, _, delivered, stream_sequence, consumer_sequence, time, *_ = tokens
            sequence = int(stream_sequence)
            in_chain = int(consumer_sequence) == self._consumer_sequence + 1
        except ValueError:
            self._break(f"a message came with the reply subject {reply!r}")
            return
        if not in_chain or sequence <= self._sequence or delivered != "1":
            self._break(
                f"message {sequence} came as the consumer's {consumer_sequence}, delivery {delivered}, after "
                f"{self._sequence}, which was its {self._consumer_sequence}"
            )
            return
        self._consumer_sequence += 1
        self._sequence = sequence
        data = delivery.data
        self.messages.append(Message(sequence, delivery.subject, data, time))
        self.replies.append(reply)
        self.size += len(data)
        self._asked -= 1
        if len(self.messages) >= self.wake_at or self.size >= self._limits.batch_bytes:
            self.arrived.set()
        if self._asked <= (self._limits.in_flight - 1) * _PULL_MESSAGES:
            await self.ask()

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
