"""The claim of one process to its node's name on a stream: a consumer at which it waits for as long as it lives.

Each opening of a feed reads by a consumer of another name, so that nothing waits for a server that is gone. What keeps
two nodes of one name apart is this consumer, which delivers nothing: the server knows at any moment whether somebody
waits there. It has as many copies as the stream, and is asked before the first opening only: a node that reads goes on
reading while it cannot be asked (docs/decisions/0030-consumers.md).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from projection.errors import StreamError
from projection.stream.jetstream import CONSUMER_EXISTS, seconds

if TYPE_CHECKING:
    from projection.stream.frames import Delivery
    from projection.stream.jetstream import ConsumerInfo, JetStream, StreamConfig

TAKEN = "stream.taken"  # another node reads under our name
EXPIRES_S = 4.0  # of what the holder waits for: so long a loop may be held up, and a name outlives a cut cable
QUIET_S = 0.2  # without anybody waiting: nobody holds the name
_RENEWED_S = 1.0
_LOOK_S = 0.05  # between two looks whether somebody waits
_ANSWERED_S = 2.0
_RETRY_S = 0.5
_FORGOTTEN_S = 30.0
_BEYOND_ANY_END = 2**62  # the first sequence that it would deliver
_INSTANCE = "projection_instance"
_GONE = ("409", "503")  # statuses by which a server says that the consumer is not there, or elsewhere


class NodeName:
    """A name that is held from the first feed's `enter` to the last one's `leave`."""

    def __init__(self, jetstream: JetStream, stream: str, name: str) -> None:
        """A claim that nobody has made yet.

        Args:
            jetstream: the server.
            stream: the stream's name.
            name: of the consumer; equal for all processes that are the same node.
        """
        self._jetstream = jetstream
        self._stream = stream
        self._name = name
        self._instance = uuid4().hex  # tells this process from others
        self._users: set[object] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # whether the last claim was answered, or is known not to be
        self._problem: StreamError | None = None  # why the name is not held
        self._was_held = False  # by this process: whoever else is found there then took it over

    @property
    def taken(self) -> StreamError | None:
        """That another node has the name; None where that is not known."""
        problem = self._problem
        return problem if problem is not None and problem.code == TAKEN else None

    async def enter(self, user: object, config: StreamConfig) -> None:
        """Hold the name for a user; where the server gives no answer, go on trying and return.

        Raises:
            StreamError: (TAKEN) another node holds the name, or the server refuses the claim.
        """
        self._users.add(user)
        if self._keeping is None or self._keeping.done():
            self._settled.clear()
            self._keeping = asyncio.create_task(self._keep(config))
        await self._settled.wait()
        if self._problem is not None and self._problem.code != StreamError.default_code:
            raise self._problem

    async def leave(self, user: object) -> None:
        """Hold the name no more for a user; with the last one it is free at once. Idempotent."""
        self._users.discard(user)
        if self._users or self._keeping is None:
            return
        keeping, self._keeping = self._keeping, None
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if self._was_held and self._problem is None:
            self._was_held = False
            with suppress(StreamError):  # else it is forgotten by itself
                await self._jetstream.delete_consumer(self._stream, self._name, timeout_s=_ANSWERED_S)

    async def _keep(self, config: StreamConfig) -> None:
        while self.taken is None:
            try:
                await self._claim(config)
                self._problem, self._was_held = None, True
                await self._hold()
            except StreamError as error:
                self._problem = error
            self._settled.set()
            if self._problem is not None:
                await asyncio.sleep(_RETRY_S)

    async def _claim(self, config: StreamConfig) -> None:
        """Have the consumer be ours.

        Raises:
            StreamError: (TAKEN) it is another's, who is alive; or the server refuses or does not answer.
        """
        jetstream, stream, name = self._jetstream, self._stream, self._name
        found = await jetstream.consumer_info(stream, name, timeout_s=_ANSWERED_S)
        if found is not None and self._is_ours(found):
            return
        if found is not None:
            if self._was_held or not await self._is_left(found):
                raise self._is_taken()
            await jetstream.delete_consumer(stream, name, timeout_s=_ANSWERED_S)
        wanted: dict[str, object] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": _BEYOND_ANY_END,
            "ack_policy": "none",
            "num_replicas": 0,  # as many as the stream has
            "mem_storage": True,
            "inactive_threshold": seconds(config.inactive_s(_FORGOTTEN_S)),
            "metadata": {_INSTANCE: self._instance},
        }
        try:
            await jetstream.create_consumer(stream, name, wanted, timeout_s=_ANSWERED_S)
        except StreamError as error:
            raise (self._is_taken() if error.code == CONSUMER_EXISTS else error) from None

    def _is_ours(self, found: ConsumerInfo) -> bool:
        return found.config.metadata.get(_INSTANCE) == self._instance

    async def _is_left(self, found: ConsumerInfo | None) -> bool:
        """Whether nobody waits at the consumer: what a node asked for ends with its connection, or expires soon."""
        began, quiet_since = monotonic(), None
        while found is not None and not self._is_ours(found):
            now = monotonic()
            if found.num_waiting:
                quiet_since = None
                if now - began > EXPIRES_S + _RENEWED_S:
                    return False
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return True
            await asyncio.sleep(_LOOK_S)
            found = await self._jetstream.consumer_info(self._stream, self._name, timeout_s=_ANSWERED_S)
        return True

    async def _hold(self) -> None:
        """Wait at the consumer, until the server says that it is not there."""
        nats, gone = self._jetstream.nats, asyncio.Event()
        losses, inbox, number = nats.losses, nats.new_inbox(), 0

        async def hear(delivery: Delivery) -> None:
            if (delivery.headers or {}).get("Status") in _GONE:
                gone.set()

        waiting = await nats.subscribe(f"{inbox}.*", hear)
        request = msgspec.json.encode({"batch": 1, "expires": seconds(EXPIRES_S)})
        subject = self._jetstream.next_subject(self._stream, self._name)
        try:
            while not gone.is_set() and losses == nats.losses:
                number += 1
                await nats.publish(subject, request, reply=f"{inbox}.{number}")
                self._settled.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RENEWED_S):
                        await gone.wait()
        finally:
            await waiting.end()

    def _is_taken(self) -> StreamError:
        return StreamError(
            f"another node reads stream {self._stream!r} as consumer {self._name!r}",
            hint="give each node its own node id",
            code=TAKEN,
        )
