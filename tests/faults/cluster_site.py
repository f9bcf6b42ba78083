"""A crash site on a cluster: its nodes and its loader reach the servers by links, and may have to show certificates."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

from cluster import SIZE, called, make_stream
from crash_log import STREAM
from crash_site import CrashSite
from loader import Loader, message
from patience import WITHIN_S, eventually

from projection.errors import StreamError
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from cluster import Cluster
    from link import Link

    from projection.stream.address import NatsConnection
    from projection.stream.frames import Delivery
    from projection.stream.jetstream import JetStream

T = TypeVar("T")
_AT_ONCE = b'{"batch": 1000, "no_wait": true}'
_ASKED_EVERY_S = 0.1


class ClusterSite(CrashSite):
    """A crash site whose stream has a copy on each server of a cluster, and whose events have message ids."""

    server: Cluster  # type: ignore[assignment] - it has an address as well

    async def _make_stream(self, jetstream: JetStream) -> None:
        await make_stream(jetstream, STREAM)

    @property
    def connection(self) -> NatsConnection:
        return self.server.connection()

    @property
    def node_settings(self) -> dict[str, str]:
        by_links = self.server.connection_by(self.server.to_nodes)
        files = {f"PROJECTION_NATS__{name.upper()}_FILE": str(path) for name, path in self.server.client_files.items()}
        return {"PROJECTION_NATS__URL": by_links.url, **files}

    def _ask(self, question: Callable[[JetStream], Awaitable[T]]) -> T:
        """Again and again while the cluster chooses whom to ask."""
        until = monotonic() + WITHIN_S
        while True:
            try:
                return super()._ask(question)
            except StreamError as error:
                if "temporarily unavailable" not in error.message or monotonic() > until:
                    raise
            sleep(_ASKED_EVERY_S)

    def _message(self, number: int, event: bytes) -> Outgoing:
        return message(number, event)

    @contextmanager
    def loading(self, over_s: float) -> Iterator[Loader]:
        """What is left of the log is published meanwhile by a process, over so many seconds; all is there at the end."""
        connection = self.server.connection_by(self.server.to_loaders)
        with Loader(connection, self.log[self.published :], self.published, over_s, self.folder) as loader:
            yield loader
        self.published = len(self.log)

    # what may happen

    def leader(self) -> int | None:
        """The server that has the stream in its charge; None while none is known to."""
        return self._ask(lambda jetstream: self.server.leader(jetstream, STREAM))

    def step_down(self) -> None:
        """Have another server take charge of the stream."""
        self._ask(lambda jetstream: self.server.step_down(jetstream, STREAM))

    def renew(self) -> None:
        """Renew all certificates in place, and have everybody sign in with them."""
        self.server.renew()
        self.server.links.tell(lambda: [link.reset() for link in self._links])

    @property
    def _links(self) -> list[Link]:
        return [*self.server.to_nodes, *self.server.to_loaders]

    def skip(self, count: int) -> None:
        """Have the stream go on behind so many sequences that hold no message."""

        async def publish_and_delete(jetstream: JetStream) -> None:
            for _ in range(count):
                gone = Outgoing(f"{STREAM}.nothing", b"")
                stored = await publish_all(jetstream.nats, STREAM, [gone])
                await called(jetstream, f"STREAM.MSG.DELETE.{STREAM}", seq=stored.last)

        self._ask(publish_and_delete)

    # and be over

    def restore(self) -> None:
        """Have all servers run and reach each other, and be reached."""
        for number in range(SIZE):
            self.server.restart(number)
        self.server.links.tell(lambda: [link.make_whole() for link in self._links])

    def mend(self) -> None:
        """The same, with level copies; before that nobody is asked: a connection to a frozen server waits for minutes."""
        self.restore()
        self._ask(self.server.mend)

    def clear(self) -> None:
        """Leave nothing behind for the next schedule on these servers."""
        self._ask(lambda jetstream: called(jetstream, f"STREAM.DELETE.{STREAM}"))

    # what it leaves

    def is_committed(self) -> bool:
        return self.has_committed(self.sequences()[-1])

    def sequences(self, position: int = 0) -> Sequence[int]:
        """As the stream has them: where its leader changes, a cluster may skip some."""

        async def held(jetstream: JetStream) -> list[int]:
            state: dict[str, Any] = {}

            async def has_come_so_far() -> bool:  # a new leader may not have, or be none yet
                answer = await called(jetstream, f"STREAM.INFO.{STREAM}", deleted_details=True)
                state.update(answer.get("state", {}))
                return "error" not in answer and state["last_seq"] >= position

            await eventually(has_come_so_far)
            deleted = set(state.get("deleted") or ())
            found = [one for one in range(max(1, state["first_seq"]), state["last_seq"] + 1) if one not in deleted]
            assert len(found) == state["messages"], state
            return found

        return self._ask(held)

    def check_stream(self) -> None:
        """The stream has each event of the log once, and in its order."""

        async def ids(jetstream: JetStream) -> list[str]:
            found: list[str] = []
            messages: list[int] = []

            async def take(delivery: Delivery) -> None:
                if delivery.reply:
                    found.append((delivery.headers or {}).get("Nats-Msg-Id", ""))

            config = {"ack_policy": "none", "mem_storage": True, "num_replicas": 1, "headers_only": True}

            async def is_made() -> bool:  # a cluster that was mended just now may be choosing its leader
                with suppress(StreamError):
                    await jetstream.create_consumer(STREAM, "ids", config)
                    messages.append((await jetstream.stream_info(STREAM)).state.messages)
                return bool(messages)

            await eventually(is_made)
            inbox = jetstream.nats.new_inbox()
            await jetstream.nats.subscribe(inbox, take)

            async def have_come() -> bool:  # a consumer that is new may not hear what it is asked
                await jetstream.nats.publish(jetstream.next_subject(STREAM, "ids"), _AT_ONCE, reply=inbox)
                await asyncio.sleep(_ASKED_EVERY_S)
                return len(found) >= messages[-1]

            await eventually(have_come)
            return found

        assert [str(number) for number in range(1, len(self.log) + 1)] == self._ask(ids)
