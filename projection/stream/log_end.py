"""The end of the log, as far as one reader is concerned: what it holds of ours behind a sequence, and what it lost."""

from __future__ import annotations

from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from projection.errors import StreamError
from projection.stream.identity import require_history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.stream.jetstream import JetStream, StreamInfo, StreamState
    from projection.stream.opening import Reader
    from projection.stream.port import Message


@dataclass(frozen=True, slots=True)
class Look:
    """What the log said when it was asked whether it holds anything behind a sequence."""

    after: int
    moment: float  # Unix time, before it was asked
    state: StreamState
    unread: int | None  # the first message of ours behind it
    again: StreamInfo | None = None  # asked last, where it holds messages that are not ours


class LogEnd:
    """Asks the log what a reader's consumer cannot tell."""

    def __init__(self, jetstream: JetStream, reader: Reader) -> None:
        self._jetstream = jetstream
        self._reader = reader

    async def look(self, after: int) -> Look:
        """What there is behind a sequence.

        Raises:
            StreamError: the log cannot be asked.
        """
        moment = time()
        state, unread = await self.unread(after)
        if unread is not None or state.last_seq <= after:
            return Look(after, moment, state, unread)
        # Asked last: what is still there now was there when the log was asked for messages of ours.
        return Look(after, moment, state, None, await self._jetstream.stream_info(self._reader.stream))

    async def unread(self, after: int) -> tuple[StreamState, int | None]:
        """The end of the log, and then the first message of ours behind a sequence and up to that end, if any.

        The log is asked and not the consumer: on a busy server a consumer's count of pending messages runs behind the
        stream, and a message would be passed over for ever (14 of 6,413 looks found it so). The end is read first:
        what is stored later is not spoken of.

        Raises:
            StreamError: the log cannot be asked.
        """
        stream, start = self._reader.stream, after + 1
        state = (await self._jetstream.stream_info(stream)).state
        if state.last_seq < start:
            return state, None
        for subject in self._reader.subjects:
            found = await self._jetstream.next_sequence(stream, subject, start)
            if found is not None and found <= state.last_seq:
                return state, found
        return state, None

    async def require_history(self, consumer: str, after: int, messages: Sequence[Message]) -> None:
        """Make sure that what a batch jumped over is not ours.

        A stream goes on in silence behind what it lost, and a consumer behind what somebody told it to leave out. Asked
        after the batch came: what begins before the batch was whole when the batch was made.

        Args:
            consumer: by which the batch came.
            after: where the reader stood.
            messages: the batch.

        Raises:
            StreamIdentityError: the stream has lost what was not read yet.
            StreamError: the consumer was changed, or the log cannot be asked.
        """
        info = await self._jetstream.stream_info(self._reader.stream)
        found = await self._jetstream.consumer_info(self._reader.stream, consumer)
        if found is None or set(found.config.filter_subjects) != set(self._reader.subjects):
            raise StreamError(f"somebody changed consumer {consumer!r}")
        needed = after + 1
        for message in messages:  # what is in the batch is needed no more
            if message.sequence != needed:
                break
            needed += 1
        require_history(self._reader.stream, info, needed)
