"""The feed from JetStream: opened anew after whatever happens, at the place where it stood, without loss or repeat."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from projection.errors import StreamError, StreamIdentityError
from projection.jitter import jittered
from projection.stream.flow import Flow
from projection.stream.identity import check_identity, require_history
from projection.stream.jetstream import STREAM_NOT_FOUND, JetStream
from projection.stream.log_end import LogEnd
from projection.stream.losses import require_limits
from projection.stream.node_name import TAKEN
from projection.stream.opening import SILENCE_S, FeedLimits, Opening, Reader
from projection.stream.port import Batch
from projection.stream.server_choice import ServerChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.checkpoint import LanePosition, StreamIdentity
    from projection.stream.connection import Nats
    from projection.stream.jetstream import StreamInfo
    from projection.stream.log_end import Look
    from projection.stream.node_name import NodeName

_GATHER_S = 0.5  # the longest wait for a batch to fill while the server holds more
_LOOK_S = 0.25  # between two looks at an idle stream
_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 2.0
_ANSWER_S = 1.5  # what a server that lost its leader was asked is never answered: better to ask anew soon
_LONGEST_ANSWER_S = 10.0  # of a server that is slow
_IMPATIENT = 3  # failures in a row, until a server is taken for a slow one


class JetStreamFeed:
    """Implements `Feed`. One task reads; cancelling `next_batch` loses nothing.

    Trouble with the server ends an opening and nothing else: `next_batch` then tries again, with a growing pause, for
    as long as it is called, and returns None meanwhile; `trouble` says what the matter is.
    """

    def __init__(
        self,
        nats: Nats,
        *,
        stream: str,
        consumer: str,
        subjects: Sequence[str],
        position: LanePosition,
        limits: FeedLimits | None = None,
        node_name: NodeName | None = None,
    ) -> None:
        """A feed that is still closed.

        Args:
            nats: the connection; it stays the caller's to close.
            stream: the stream's name.
            consumer: what the names of its consumers begin with; each opening has another one.
            subjects: what to read; disjoint, wildcards allowed.
            position: where the reader stands. Reading begins at `scanned + 1`.
            limits: how much to read at once.
            node_name: to be held while the feed reads; None where any number of processes may read under one name.
        """
        self.trouble: StreamError | None = None
        self.openings = 0
        self.consumer: str | None = None  # the name of the one that was read by last
        self.level: tuple[int, float] | None = None
        self.identity: StreamIdentity | None = position.stream
        self._jetstream = JetStream(nats)
        self._reader = Reader(stream, consumer, tuple(subjects))
        self._log_end = LogEnd(self._jetstream, self._reader)
        self._node_name = node_name
        self._position = position
        self._limits = limits or FeedLimits()
        self._choice = ServerChoice(nats)
        self._flow = Flow(self._limits.batch_bytes // 4, 2 * self._limits.in_flight)
        self._opening: Opening | None = None
        self._looking: asyncio.Task[Look] | None = None
        self._is_look_due = False  # whether the last look failed
        self._abandoned: list[str] = []  # consumers that nobody reads by any more
        self._deleting: set[asyncio.Task[None]] = set()
        self._taken = 0  # messages on their way out of the opening
        self._left_at = 0.0  # when `next_batch` returned last
        self._looked_at = 0.0
        self._awaited: tuple[int, float] | None = None  # a message that the log holds and that does not come, since
        self._failures = 0
        self._retry_at = 0.0
        self._checkpoints: deque[tuple[int, str]] = deque()  # last sequence of each returned batch, and its reply

    async def open(self) -> None:
        """See `Feed.open`."""
        await self._open()

    async def check(self, position: LanePosition) -> None:
        """See `Feed.check`."""
        await self._identity(position)

    async def next_batch(self) -> Batch | None:
        """See `Feed.next_batch`."""
        if self._node_name is not None and (taken := self._node_name.taken) is not None:
            raise taken
        if self._opening is None:
            await self._reopen()
        opening = self._opening
        if opening is None:
            return None
        now = monotonic()
        opening.heard = min(now, opening.heard + now - self._left_at)  # time spent elsewhere is no silence
        try:
            await self._gather(opening)
            opening.check()
            if opening.broken is not None:
                await self._drop(opening.broken)
                return None
            if opening.is_heard and not self._is_look_due:
                self.trouble = None
            if opening.messages:
                return await self._take(opening)
            return await self._look(opening)
        except StreamIdentityError:
            raise
        except StreamError as error:
            await self._drop(error.message)
        finally:
            self._left_at = monotonic()
        return None

    @property
    def is_heard(self) -> bool:
        """See `Feed.is_heard`."""
        return self._opening is not None and self._opening.is_heard

    async def caught_up(self) -> bool:
        """See `Feed.caught_up`. False while the server cannot be asked."""
        if self._opening is None:
            return False
        try:
            _, unread = await self._log_end.unread(self._position.scanned)
        except StreamError:
            return False
        return unread is None

    async def acknowledge(self, sequence: int) -> None:
        """See `Feed.acknowledge`."""
        reply = None
        while self._checkpoints and self._checkpoints[0][0] <= sequence:
            reply = self._checkpoints.popleft()[1]
        if reply is not None:
            try:
                await self._jetstream.nats.publish(reply, b"+ACK")
            except StreamError:
                return  # a display: the next one shows as much

    @property
    def left(self) -> int | None:
        """See `Feed.left`."""
        return None if self._opening is None else self._opening.left + self._taken

    async def last_sequence(self) -> int:
        """See `Feed.last_sequence`."""
        return (await self._jetstream.stream_info(self._reader.stream)).state.last_seq

    async def close(self) -> None:
        """See `Feed.close`. The consumer stays for a while, for it shows how far the reading came."""
        await self._end_opening()
        for task in self._deleting:
            task.cancel()
        await asyncio.gather(*self._deleting, return_exceptions=True)
        if self._node_name is not None:
            await self._node_name.leave(self)

    async def forget(self) -> None:
        """See `Feed.forget`."""
        opening = self._opening
        await self._end_opening()
        if opening is not None:
            with suppress(StreamError):  # a consumer is forgotten by itself soon
                await self._identity(self._position)
                await self._jetstream.delete_consumer(self._reader.stream, opening.consumer)
        await self.close()

    async def _end_opening(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        opening, self._opening = self._opening, None
        if opening is not None:
            await opening.end()

    async def _delete(self, consumer: str) -> None:
        with suppress(StreamError):  # it is forgotten by itself soon
            await self._jetstream.delete_consumer(self._reader.stream, consumer)

    def _delete_abandoned(self) -> None:
        """Delete the consumers that were abandoned, whose servers may be gone: nobody waits for that."""
        while self._abandoned:
            task = asyncio.create_task(self._delete(self._abandoned.pop()))
            self._deleting.add(task)
            task.add_done_callback(self._deleting.discard)

    async def _identity(self, position: LanePosition) -> tuple[StreamIdentity, StreamInfo]:
        stream = self._reader.stream
        info = await self._jetstream.stream_info(stream)
        require_limits(stream, info.config)
        found = await check_identity(
            stream, info, position, lambda sequence: self._jetstream.message_time(stream, sequence)
        )
        return found, info

    async def _open(self) -> None:
        impatience = 2.0 ** max(0, self._failures - _IMPATIENT)
        self._jetstream.timeout_s = min(_LONGEST_ANSWER_S, _ANSWER_S * impatience)
        _, info = await self._identity(self._position)
        self._delete_abandoned()  # only now: of a stream of interest, they may be all that keeps its messages
        if self._node_name is not None:
            if not self.openings:
                await self._check_permissions(info.state.last_seq)
            await self._node_name.enter(self, info.config)
        opening = Opening(self._jetstream, self._reader, self._limits, self._flow)
        try:
            await opening.start(self._position.scanned + 1, info.config)
            # Again: a consumer ends with its stream, so that the one which has it now is the one that is read.
            self.identity, _ = await self._identity(self._position)
        except BaseException:
            await opening.end()
            self._abandoned.append(opening.consumer)
            raise
        self._position = self._position.model_copy(update={"stream": self.identity})
        self._awaited = None
        self._left_at = monotonic()
        self._opening, self.consumer = opening, opening.consumer
        self.openings += 1

    async def _check_permissions(self, last_sequence: int) -> None:
        """Ask for what only a later start needs, so that its refusal is told at the first one.

        Raises:
            StreamError: the server refuses it, or does not answer.
        """
        jetstream, stream = self._jetstream, self._reader.stream
        await asyncio.gather(
            jetstream.message(stream, max(1, last_sequence)),
            jetstream.delete_consumer(
                stream, f"{self._reader.consumer}_{uuid4().hex[:8]}"
            ),  # there is none of this name
        )

    async def _reopen(self) -> None:
        pause = self._retry_at - monotonic()
        if pause > 0:
            await asyncio.sleep(min(pause, self._limits.linger_s))
            return
        try:
            await self._open()
        except StreamIdentityError:
            raise
        except StreamError as error:
            if error.code == TAKEN:
                raise
            self._choice.failed(error)
            self._fail(error)

    async def _drop(self, reason: str) -> None:
        opening = self._opening
        await self._end_opening()
        if opening is not None:
            self._abandoned.append(opening.consumer)
        self._fail(StreamError(f"reading stream {self._reader.stream!r} was interrupted: {reason}"))

    def _fail(self, error: StreamError) -> None:
        self.trouble = error
        # The first retry is at once: a deleted consumer or a new leader is no reason to wait.
        pause = min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2**self._failures) if self._failures else 0.0
        self._retry_at = monotonic() + jittered(pause)
        self._failures = min(self._failures + 1, 10)

    async def _gather(self, opening: Opening) -> None:
        """Wait until there is a batch to hand over: a full one while the server holds more, else after the linger."""
        await opening.ask()
        if not opening.messages:
            await self._wait(opening, 1, self._limits.linger_s)
        begun = monotonic()
        while opening.messages and not opening.full and opening.broken is None:
            behind = opening.pending > 0
            left = (_GATHER_S if behind else self._limits.linger_s) - (monotonic() - begun)
            seen = len(opening.messages)
            if left <= 0:
                return
            await self._wait(opening, self._limits.batch, min(left, self._limits.linger_s))
            if behind and len(opening.messages) == seen:
                return  # more is there, and it does not come: what is here need not wait for it

    @staticmethod
    async def _wait(opening: Opening, count: int, timeout_s: float) -> None:
        opening.wake_at = count
        opening.arrived.clear()
        if opening.broken is None and len(opening.messages) < count:
            try:
                async with asyncio.timeout(timeout_s):
                    await opening.arrived.wait()
            except TimeoutError:
                return

    async def _take(self, opening: Opening) -> Batch | None:
        first, scanned = opening.messages[0].sequence, self._position.scanned
        if first <= scanned:  # an end that a former leader told, which the log does not have
            await self._drop(f"message {first} came, and the stream had been read up to {scanned}")
            return None
        messages, reply = opening.take()
        self._taken = len(messages)
        try:
            last = messages[-1]
            if last.sequence - self._position.scanned > len(messages):
                await self._log_end.require_history(opening.consumer, self._position.scanned, messages)
            self._checkpoints.append((last.sequence, reply))
            await opening.ask()
        finally:
            self._taken = 0
        self._advance(scanned=last.sequence, scanned_time=last.time, applied=last.sequence, applied_time=last.time)
        return Batch(messages, last.sequence, last.time)

    async def _look(self, opening: Opening) -> Batch | None:
        """Move on over messages that are not ours, while nothing comes.

        The log is asked beside the reading: where it has no leader for now, what the consumer delivers is not held up.
        """
        looking = self._looking
        if looking is None:
            is_idle = (
                opening.is_heard and not self._jetstream.nats.heard_in_part
            )  # else there is something, and it comes
            if is_idle and monotonic() - self._looked_at >= _LOOK_S:
                self._looked_at = monotonic()
                self._looking = asyncio.create_task(self._log_end.look(self._position.scanned))
                self._looking.add_done_callback(lambda _: opening.arrived.set())
            return None
        if not looking.done():
            return None
        self._looking = None
        self._looked_at = monotonic()
        try:
            look = looking.result()
        except StreamError as error:
            if isinstance(error, StreamIdentityError) or error.code == STREAM_NOT_FOUND:
                raise
            self._is_look_due, self.trouble = True, error
            self._choice.failed(error)
            return None
        if self._is_look_due:
            self._is_look_due, self.trouble = False, None
        return None if look.after != self._position.scanned else await self._looked(look)

    async def _looked(self, look: Look) -> Batch | None:
        last = look.state.last_seq
        self._failures = 0
        self._choice.answered()
        if look.unread is not None:
            if self._awaited is None or self._awaited[0] != look.unread:
                self._awaited = (look.unread, monotonic())
            elif monotonic() - self._awaited[1] > SILENCE_S:
                await self._drop(f"message {look.unread} is stored and does not come")
            return None
        if last >= look.after:  # else it is not the log that was read
            self.level = look.after, look.moment
        if look.again is None:
            return None
        if self.identity is None or look.again.created != self.identity.created or look.again.state.last_seq < last:
            await self._drop("the stream is no longer the one that was asked")
            return None
        require_history(self._reader.stream, look.again, look.after + 1)
        stored = look.state.last_time or self._position.scanned_time
        self._advance(scanned=last, scanned_time=stored)
        return Batch((), last, stored)

    def _advance(self, **update: object) -> None:
        self._failures = 0
        self._choice.answered()
        self._awaited = None
        self._position = self._position.model_copy(update=update)
