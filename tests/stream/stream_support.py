"""What the tests of the stream share: a log to read, and reading it to an end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from patience import WITHIN_S

from projection.errors import StreamError
from projection.model.checkpoint import LanePosition
from projection.stream.feed import JetStreamFeed
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.stream.connection import Nats
    from projection.stream.jetstream import JetStream
    from projection.stream.port import Message


class Log:
    """A stream `name` over `name.>`; ours is what lies under `name.ours`."""

    def __init__(self, jetstream: JetStream, name: str) -> None:
        self.jetstream = jetstream
        self.nats = jetstream.nats
        self.name = name
        self.ours: list[int] = []  # sequences of what we are to read

    async def create(self, **more: object) -> Log:
        config = {"name": self.name, "subjects": [f"{self.name}.>"], **more}
        await self.jetstream._call(f"STREAM.CREATE.{self.name}", config, object)
        return self

    async def publish(self, count: int, subject: str = "ours", data: bytes = b"{}") -> None:
        messages = (Outgoing(f"{self.name}.{subject}.{number % 7}", data) for number in range(count))
        published = await publish_all(self.nats, self.name, messages)
        if subject == "ours":
            self.ours.extend(range(published.first, published.last + 1))

    async def call(self, what: str, **body: object) -> None:
        await self.jetstream._call(f"{what}.{self.name}", body, object)

    async def reachable(self) -> bool:
        try:
            return bool(await self.jetstream.stream_info(self.name))
        except StreamError:
            return False

    async def consumer(self, feed: JetStreamFeed):
        """What the server says of the consumer by which a feed reads."""
        return await self.jetstream.consumer_info(self.name, feed.consumer)

    async def delete_consumer(self, feed: JetStreamFeed) -> None:
        await self.jetstream.delete_consumer(self.name, feed.consumer)

    def feed(self, position: LanePosition | None = None, *, consumer: str = "node", nats: Nats | None = None, **more):
        return JetStreamFeed(
            nats or self.nats,
            stream=self.name,
            consumer=consumer,
            subjects=more.pop("subjects", [f"{self.name}.ours.>"]),
            position=position or LanePosition(),
            **more,
        )


async def read(feed: JetStreamFeed, last: int, *, batches: int = 10**9) -> list[Message]:
    """What the feed returns until it has scanned `last`; everything is acknowledged at once."""
    messages: list[Message] = []
    scanned, deadline = 0, monotonic() + WITHIN_S
    while scanned < last and batches:
        assert monotonic() < deadline, f"scanned {scanned} of {last}; trouble: {feed.trouble}"
        batch = await feed.next_batch()
        if batch is None:
            continue
        messages.extend(batch.messages)
        assert scanned < batch.scanned
        scanned = batch.scanned
        await feed.acknowledge(scanned)
        batches -= 1
    return messages


def sequences(messages: Iterable[Message]) -> list[int]:
    return [message.sequence for message in messages]
