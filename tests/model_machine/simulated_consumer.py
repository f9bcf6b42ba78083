"""A pull consumer as JetStream runs it: who waits is served in turn, and told when there is nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from simulated_stream import filter_of, rfc3339

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from simulated_stream import Stored, Stream

_MAX_WAITING = 512
_NANOSECONDS = 1_000_000_000


class Delivery(NamedTuple):
    """What reaches a client's callback."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None


class Client(Protocol):
    """Where what the server sends goes to."""

    def listens(self, inbox: str) -> bool: ...
    def send(self, inbox: str, delivery: Delivery) -> None: ...


@dataclass(eq=False)
class Pull:
    """A request for messages that is not yet fulfilled."""

    client: Client
    inbox: str
    left: int
    left_bytes: int  # 0: no limit
    heartbeat_s: float
    active: float  # when anything was sent last
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class Consumer:
    """AckAll (or none), durable by name, in memory."""

    def __init__(
        self, stream: Stream, name: str, config: Mapping[str, Any], loop: asyncio.AbstractEventLoop, created: int
    ) -> None:
        self.stream = stream
        self.name = name
        self.config = dict(config)
        self.waiting: deque[Pull] = deque()
        self.delivered = (0, max(config.get("opt_start_seq", 1), stream.first) - 1)
        self.floor = self.delivered
        self._created = rfc3339(created)
        self._loop = loop
        self._takes = filter_of(config.get("filter_subjects", ()))
        self._ack_wait_s = config.get("ack_wait", 30 * _NANOSECONDS) / _NANOSECONDS
        self._upcoming = deque(
            sequence
            for sequence, found in stream.messages.items()
            if sequence > self.delivered[1] and self._takes(found.subject)
        )
        self._unacknowledged: dict[int, tuple[int, int]] = {}  # stream sequence: the consumer's, and deliveries
        self._again: deque[int] = deque()

    @property
    def info(self) -> dict[str, Any]:
        return {
            "stream_name": self.stream.name,
            "name": self.name,
            "created": self._created,
            "config": self.config,
            "delivered": {"consumer_seq": self.delivered[0], "stream_seq": self.delivered[1]},
            "ack_floor": {"consumer_seq": self.floor[0], "stream_seq": self.floor[1]},
            "num_ack_pending": len(self._unacknowledged),
            "num_redelivered": sum(times > 1 for _, times in self._unacknowledged.values()),
            "num_waiting": sum(pull.client.listens(pull.inbox) for pull in self.waiting),
            "num_pending": len(self._upcoming),
        }

    # what clients ask

    def ask(self, client: Client, inbox: str, body: Mapping[str, Any]) -> None:
        expires, heartbeat = body.get("expires", 0) / _NANOSECONDS, body.get("idle_heartbeat", 0) / _NANOSECONDS
        pull = Pull(client, inbox, body.get("batch", 1), body.get("max_bytes", 0), heartbeat, self._loop.time())
        if len(self.waiting) >= _MAX_WAITING:
            self._end(pull, "409", "Exceeded MaxWaiting", counted=False)
            return
        self.waiting.append(pull)
        self.serve()
        if pull not in self.waiting:
            return
        if body.get("no_wait"):
            self.waiting.remove(pull)
            self._end(pull, "404", "No Messages")
            return
        if expires:
            pull.timers.append(self._loop.call_later(expires, self._expire, pull))
        if heartbeat:
            pull.timers.append(self._loop.call_later(heartbeat, self._beat, pull))

    def acknowledge(self, reply: str) -> None:
        *_, sequence, number, _, _ = reply.split(".")
        if int(number) > self.floor[0] and self.floor[1] < int(sequence) <= self.delivered[1]:
            self.floor = (int(number), int(sequence))
            for one in [one for one in self._unacknowledged if one <= int(sequence)]:
                del self._unacknowledged[one]
            self._again = deque(one for one in self._again if one in self._unacknowledged)

    # what happens to it

    def stored(self, message: Stored) -> None:
        if message.sequence > self.delivered[1] and self._takes(message.subject):
            self._upcoming.append(message.sequence)
            self.serve()

    def purged(self) -> None:
        first = self.stream.first
        self._upcoming = deque(one for one in self._upcoming if one >= first)
        self._again = deque(one for one in self._again if one >= first)
        for one in [one for one in self._unacknowledged if one < first]:
            del self._unacknowledged[one]
        self.delivered = (self.delivered[0], max(self.delivered[1], first - 1))
        if not self._unacknowledged:
            self.floor = self.delivered
        elif self.floor[1] < first - 1:
            self.floor = (min(number for number, _ in self._unacknowledged.values()) - 1, first - 1)

    def deleted(self) -> None:
        while self.waiting:
            self._end(self.waiting.popleft(), "409", "Consumer Deleted", counted=False)

    def forget(self) -> None:
        """It is gone with its server, and nobody is told."""
        while self.waiting:
            for timer in self.waiting.popleft().timers:
                timer.cancel()

    def deliver_again(self) -> None:
        """Deliver what was not acknowledged once more, before anything new."""
        self._again.extend(one for one in sorted(self._unacknowledged) if one not in self._again)
        self.serve()

    def serve(self) -> None:
        while self._again or self._upcoming:
            queue = self._again or self._upcoming
            message = self.stream.messages.get(queue[0])
            if message is None:
                queue.popleft()
                continue
            times = self._unacknowledged[queue[0]][1] + 1 if queue is self._again else 1
            number = self.delivered[0] + 1
            left = len(self._upcoming) - (queue is self._upcoming)
            reply = f"$JS.ACK.{self.stream.name}.{self.name}.{times}.{message.sequence}.{number}.{message.time}.{left}"
            pull = self._next_waiting(_size(message, reply))
            if pull is None:
                return
            queue.popleft()
            self.delivered = (number, max(self.delivered[1], message.sequence))
            if self.config.get("ack_policy") != "none":
                self._unacknowledged[message.sequence] = (number, times)
                self._loop.call_later(self._ack_wait_s, self._overdue, message.sequence, number)
            pull.active = self._loop.time()
            pull.client.send(pull.inbox, Delivery(message.subject, reply, message.data, message.headers))
            if pull.left == 0 and pull.left_bytes:
                self._end(pull, "409", "Batch Completed")

    def _next_waiting(self, size: int) -> Pull | None:
        """Who is to get a message of this size; it goes to the end of the queue, if it asked for more."""
        while self.waiting:
            pull = self.waiting.popleft()
            if not pull.client.listens(pull.inbox):
                continue
            if pull.left_bytes and size > pull.left_bytes:
                self._end(pull, "409", "Message Size Exceeds MaxBytes")
                continue
            pull.left -= 1
            if pull.left_bytes:
                pull.left_bytes -= size
                if not pull.left_bytes:
                    pull.left = 0
            if pull.left:
                self.waiting.append(pull)
            return pull
        return None

    def _expire(self, pull: Pull) -> None:
        if pull in self.waiting:
            self.waiting.remove(pull)
            self._end(pull, "408", "Request Timeout")

    def _beat(self, pull: Pull) -> None:
        if pull not in self.waiting:
            return
        idle = self._loop.time() - pull.active
        if idle >= pull.heartbeat_s * 0.999:
            pull.active, idle = self._loop.time(), 0.0
            last = {"Nats-Last-Consumer": str(self.delivered[0]), "Nats-Last-Stream": str(self.delivered[1])}
            _say(pull, "100", "Idle Heartbeat", last)
        pull.timers.append(self._loop.call_later(pull.heartbeat_s - idle, self._beat, pull))

    def _end(self, pull: Pull, code: str, description: str, *, counted: bool = True) -> None:
        for timer in pull.timers:
            timer.cancel()
        left = {"Nats-Pending-Messages": str(pull.left), "Nats-Pending-Bytes": str(pull.left_bytes)}
        _say(pull, code, description, left if counted else {})

    def _overdue(self, sequence: int, number: int) -> None:
        if self._unacknowledged.get(sequence, (0, 0))[0] == number and sequence not in self._again:
            self._again.append(sequence)
            self.serve()


def _say(pull: Pull, code: str, description: str, more: Mapping[str, str]) -> None:
    pull.client.send(pull.inbox, Delivery(pull.inbox, "", b"", {"Status": code, "Description": description, **more}))


def _size(message: Stored, reply: str) -> int:
    headers = message.headers or {}
    written = sum(len(f"{name}: {value}\r\n") for name, value in headers.items()) + len("NATS/1.0\r\n\r\n")
    return len(message.subject) + len(reply) + len(message.data) + (written if headers else 0)
