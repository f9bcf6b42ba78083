"""The feed from JetStream: opened anew after whatever happens, at the place where it stood, without loss or repeat."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from random import uniform
from time import monotonic, time
from typing import TYPE_CHECKING
from uuid import uuid4

from projection.errors import StreamError, StreamIdentityError
from projection.stream.identity import check_identity, require_history
from projection.stream.jetstream import JetStream, nanoseconds
from projection.stream.losses import require_limits
from projection.stream.opening import SILENCE_S, TAKEN, FeedLimits, Opening, Reader
from projection.stream.port import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.checkpoint import LanePosition, StreamIdentity
    from projection.stream.connection import Nats
    from projection.stream.jetstream import StreamState
    from projection.stream.port import Message

_GATHER_S = 0.5  # the longest wait for a batch to fill while the server holds more
_LOOK_S = 0.25  # between two looks at an idle stream
_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 2.0


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
    ) -> None:
        """A feed that is still closed.

        Args:
            nats: the connection; it stays the caller's to close.
            stream: the stream's name.
            consumer: the consumer's name, which no other node may use.
            subjects: what to read; disjoint, wildcards allowed.
            position: where the reader stands. Reading begins at `scanned + 1`.
            limits: how much to read at once.
        """
        self.trouble: StreamError | None = None
        self.openings = 0
        self.level: tuple[int, float] | None = None
        self.identity: StreamIdentity | None = position.stream
        self._jetstream = JetStream(nats)
        self._reader = Reader(stream, consumer, tuple(subjects), uuid4().hex)
        self._position = position
        self._limits = limits or FeedLimits()
        self._opening: Opening | None = None
        self._taken = 0  # messages on their way out of the opening
        self._left_at = 0.0  # when `next_batch` returned last
        self._looked_at = 0.0
        self._awaited: tuple[int, float] | None = None  # a message that the log holds and that does not come, since
        self._failures = 0
        self._retry_at = 0.0
        self._checkpoints: deque[tuple[int, str]] = deque()  # last sequence of each returned batch, and its reply

    async def open(self) -> None:
        """See `Feed.open`. A consumer of our name that another process left is replaced, at the first opening."""
        await self._open()

    async def check(self, position: LanePosition) -> None:
        """See `Feed.check`."""
        await self._identity(position)

    async def next_batch(self) -> Batch | None:
        """See `Feed.next_batch`."""
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
            if opening.messages:
                return await self._take(opening)
            if monotonic() - self._looked_at >= _LOOK_S:
                self._looked_at = monotonic()
                return await self._look()
        except StreamIdentityError:
            raise
        except StreamError as error:
            await self._drop(error.message)
        finally:
            self._left_at = monotonic()
        return None

    async def caught_up(self) -> bool:
        """See `Feed.caught_up`. False while the server cannot be asked."""
        if self._opening is None:
            return False
        try:
            _, unread = await self._unread()
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
        """See `Feed.close`."""
        opening, self._opening = self._opening, None
        if opening is not None:
            await opening.end()

    async def forget(self) -> None:
        """See `Feed.forget`."""
        await self.close()
        with suppress(StreamError):  # it is forgotten by itself after a day
            await self._jetstream.delete_consumer(self._reader.stream, self._reader.consumer)

    async def _identity(self, position: LanePosition) -> StreamIdentity:
        stream = self._reader.stream
        info = await self._jetstream.stream_info(stream)
        require_limits(stream, info.config)
        return await check_identity(
            stream, info, position, lambda sequence: self._jetstream.message_time(stream, sequence)
        )

    async def _open(self) -> None:
        await self._identity(self._position)
        opening = Opening(self._jetstream, self._reader, self._limits)
        try:
            await opening.start(self._position.scanned + 1, take_over=self.openings == 0)
            # Again: a consumer ends with its stream, so that the one which has it now is the one that is read.
            self.identity = await self._identity(self._position)
        except BaseException:
            await opening.end()
            raise
        self._position = self._position.model_copy(update={"stream": self.identity})
        self._awaited = None
        self._left_at = monotonic()
        self._opening = opening
        self.openings += 1
        self.trouble = None

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
            self._fail(error)

    async def _drop(self, reason: str) -> None:
        await self.close()
        self._fail(StreamError(f"reading stream {self._reader.stream!r} was interrupted: {reason}"))

    def _fail(self, error: StreamError) -> None:
        self.trouble = error
        # The first retry is at once: a deleted consumer or a new leader is no reason to wait.
        pause = min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2**self._failures) if self._failures else 0.0
        self._retry_at = monotonic() + uniform(0.5, 1.0) * pause  # noqa: S311 - jitter, not a secret
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
                await asyncio.wait_for(opening.arrived.wait(), timeout_s)
            except TimeoutError:
                return

    async def _take(self, opening: Opening) -> Batch:
        messages, reply = opening.take()
        self._taken = len(messages)
        try:
            last = messages[-1]
            if last.sequence - self._position.scanned > len(messages):
                await self._require_history(messages)
            self._checkpoints.append((last.sequence, reply))
            await opening.ask()
        finally:
            self._taken = 0
        self._advance(scanned=last.sequence, scanned_time=last.time, applied=last.sequence, applied_time=last.time)
        return Batch(messages, last.sequence, last.time)

    async def _require_history(self, messages: Sequence[Message]) -> None:
        """Make sure that what a batch jumped over is not ours.

        A stream goes on in silence behind what it lost, and a consumer behind what somebody told it to leave out. Asked
        after the batch came: what begins before the batch was whole when the batch was made.
        """
        info = await self._jetstream.stream_info(self._reader.stream)
        consumer = await self._jetstream.consumer_info(self._reader.stream, self._reader.consumer)
        if consumer is None or set(consumer.config.filter_subjects) != set(self._reader.subjects):
            raise StreamError(f"somebody changed consumer {self._reader.consumer!r}")
        needed = self._position.scanned + 1
        for message in messages:  # what is in the batch is needed no more
            if message.sequence != needed:
                break
            needed += 1
        require_history(self._reader.stream, info, needed)

    async def _look(self) -> Batch | None:
        """Move on over messages that are not ours, while nothing comes."""
        moment = time()
        state, unread = await self._unread()
        last = state.last_seq
        self._failures = 0
        if unread is not None:
            if self._awaited is None or self._awaited[0] != unread:
                self._awaited = (unread, monotonic())
            elif monotonic() - self._awaited[1] > SILENCE_S:
                await self._drop(f"message {unread} is stored and does not come")
            return None
        if last >= self._position.scanned:  # else it is not the log that was read
            self.level = self._position.scanned, moment
        if last <= self._position.scanned or self._opening is None or self._opening.messages:
            return None
        # Asked last: what is still there now was there when the log was asked for messages of ours.
        info = await self._jetstream.stream_info(self._reader.stream)
        if self.identity is None or info.created != self.identity.created or info.state.last_seq < last:
            await self._drop("the stream is no longer the one that was asked")
            return None
        require_history(self._reader.stream, info, self._position.scanned + 1)
        stored = str(nanoseconds(state.last_ts))
        self._advance(scanned=last, scanned_time=stored)
        return Batch((), last, stored)

    async def _unread(self) -> tuple[StreamState, int | None]:
        """The end of the log, and then the first message of ours up to there that was not returned yet, if any.

        The log is asked and not the consumer: on a busy server a consumer's count of pending messages runs behind the
        stream, and a message would be passed over for ever (14 of 6,413 looks found it so). The end is read first:
        what is stored later is not spoken of.
        """
        stream, start = self._reader.stream, self._position.scanned + 1
        state = (await self._jetstream.stream_info(stream)).state
        if state.last_seq < start:
            return state, None
        for subject in self._reader.subjects:
            found = await self._jetstream.next_sequence(stream, subject, start)
            if found is not None and found <= state.last_seq:
                return state, found
        return state, None

    def _advance(self, **update: object) -> None:
        self._failures = 0
        self._awaited = None
        self._position = self._position.model_copy(update=update)
