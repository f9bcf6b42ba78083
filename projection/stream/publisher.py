"""Publishing to a stream in order, with acknowledgements in flight and every one of them checked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from projection.errors import StreamError
from projection.stream.connection import TOO_LARGE
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from projection.stream.connection import Nats
    from projection.stream.frames import Delivery
    from projection.stream.jetstream import StoredMessage

_WINDOW = 2_048
_WINDOW_BYTES = 16 * 1024 * 1024
_ACKNOWLEDGED_WITHIN_S = 5.0
_RETRIES = 8
_RETRY_PAUSE_S = 0.2
_DISORDER = "stream.disorder"


class Outgoing(NamedTuple):
    """One message to publish."""

    subject: str
    data: bytes
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What a publishing came to; both sequences are 0 where nothing was published."""

    count: int
    first: int
    last: int


async def publish_all(
    nats: Nats,
    stream: str,
    messages: Iterable[Outgoing] | AsyncIterable[Outgoing],
    *,
    window: int = _WINDOW,
    progress: Callable[[int], None] | None = None,
    alone: bool = False,
    behind: int | None = None,
) -> Published:
    """Publish messages so that the stream holds each of them once, in this order.

    At most `window` messages wait for their acknowledgement. When one is refused or does not come, nothing more is
    sent; the log itself is asked what it holds behind the last acknowledged message. If that is exactly the next of
    ours, publishing goes on behind it (eight times in a row at most), else it ends with an error. So nobody else may
    publish to the stream while an interruption is mended; until one happens, anybody may. Sequences that hold no
    message are passed over: a cluster may skip some when its leader changes, and messages can be deleted.

    Args:
        nats: the connection.
        stream: the stream that is to store the messages.
        messages: what to publish.
        window: how many messages may be unacknowledged.
        progress: called with the number of messages acknowledged so far.
        alone: whether nobody else publishes to the stream meanwhile. Then each message is stored only right behind its
            predecessor. Otherwise a cluster that changes its leader may lose some of those under way and store later
            ones, which is told, and cannot be mended. The same is left where the stream skips sequences of its own
            while messages are under way: one may have been sent for the very place that the end skips to.
        behind: with `alone`, the sequence that the first message comes right behind; None: where the stream ends.

    Raises:
        StreamError: the server cannot be used, refuses a message, or the order cannot be kept; says how many messages
            are acknowledged in order.
    """
    publishing = _Publishing(nats, stream, window, progress, alone=alone)
    await publishing.start(behind)
    try:
        async for message in _each(messages):
            await publishing.add(message)
        await publishing.finish()
    finally:
        await publishing.end()
    return Published(publishing.count, publishing.first, publishing.last)


async def _each(messages: Iterable[Outgoing] | AsyncIterable[Outgoing]) -> AsyncIterator[Outgoing]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message


class _Failure(msgspec.Struct):
    description: str = ""


class _Acknowledgement(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: _Failure | None = None


_decoder = msgspec.json.Decoder(_Acknowledgement)


@dataclass(slots=True)
class _Window:
    """Messages under way over one inbox, oldest first; a new one for every attempt, so that no late answer misleads."""

    inbox: str
    losses: int
    waiting: deque[Outgoing] = field(default_factory=deque)
    size: int = 0
    sent: int = 0
    failure: str | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class _Publishing:
    def __init__(
        self, nats: Nats, stream: str, window: int, progress: Callable[[int], None] | None, *, alone: bool
    ) -> None:
        self.count = 0  # acknowledged in order
        self.first = 0
        self.last = 0
        self._nats = nats
        self._jetstream = JetStream(nats)
        self._stream = stream
        self._limit = window
        self._progress = progress
        self._alone = alone
        self._retries = 0
        self._end = 0  # of the stream, as far as we know; our last message is not always there
        self._keeps_subjects = True  # whether a message is stored under the subject that it was published to

    async def start(self, behind: int | None) -> None:
        info = await self._jetstream.stream_info(self._stream)
        self._end = info.state.last_seq if behind is None else behind
        self._keeps_subjects = info.config.subject_transform is None
        await self._new_window()

    async def _new_window(self) -> None:
        window = _Window(self._nats.new_inbox(), self._nats.losses)

        async def acknowledge(delivery: Delivery) -> None:
            self._acknowledge(window, delivery)

        self._subscription = await self._nats.subscribe(f"{window.inbox}.*", acknowledge)
        self._window = window

    async def end(self) -> None:
        await self._subscription.end()

    async def add(self, message: Outgoing) -> None:
        """Send a message once there is room for it."""
        while True:
            window = self._window
            if len(window.waiting) >= self._limit or window.size >= _WINDOW_BYTES:
                await self._wait(window, self._limit // 2, _WINDOW_BYTES // 2)
            if window.failure is None:
                before = self._end + len(window.waiting)
                window.waiting.append(message)
                window.size += len(message.data)
                try:
                    await self._send(window, _behind(message, before) if self._alone else message)
                except StreamError as error:  # all before it is settled first: whoever goes on knows where
                    window.waiting.pop()
                    window.size -= len(message.data)
                    window.sent -= 1
                    await self.finish()
                    raise self._failed(error.message) from None
                return
            await self._mend(window)

    async def finish(self) -> None:
        """Wait for the last acknowledgement."""
        while True:
            window = self._window
            await self._wait(window, 0, 0)
            if window.failure is None:
                return
            await self._mend(window)

    async def _send(self, window: _Window, message: Outgoing) -> None:
        """Send a message; what keeps it from arriving is the window's failure.

        Raises:
            StreamError: (TOO_LARGE) the server will never take it.
        """
        window.sent += 1
        if window.losses != self._nats.losses:
            window.failure = window.failure or "the connection was lost"
        if window.failure is None:
            try:
                await self._nats.publish(
                    message.subject, message.data, reply=f"{window.inbox}.{window.sent}", headers=message.headers
                )
            except StreamError as error:
                if error.code == TOO_LARGE:
                    raise
                window.failure = error.message

    async def _wait(self, window: _Window, count: int, size: int) -> None:
        """Until at most so many messages, and bytes of them, wait; or something went wrong."""
        heard = monotonic()
        seen = len(window.waiting)
        while window.failure is None and (len(window.waiting) > count or window.size > size):
            window.moved.clear()
            try:
                async with asyncio.timeout(0.25):
                    await window.moved.wait()
            except TimeoutError:
                self._require_permission(window)
                if window.losses != self._nats.losses:
                    window.failure = "the connection was lost"
            if len(window.waiting) != seen:
                heard, seen = monotonic(), len(window.waiting)
            elif monotonic() - heard > _ACKNOWLEDGED_WITHIN_S:
                window.failure = window.failure or f"no acknowledgment arrived for {_ACKNOWLEDGED_WITHIN_S:.0f} s"

    def _acknowledge(self, window: _Window, delivery: Delivery) -> None:
        if window.failure is not None:
            return
        oldest = window.sent - len(window.waiting) + 1
        try:
            answer = _decoder.decode(delivery.data) if delivery.data else _Acknowledgement()
        except msgspec.MsgspecError:
            answer = _Acknowledgement()
        if answer.error is not None:
            window.failure = answer.error.description
        elif answer.stream != self._stream:
            subject = window.waiting[0].subject
            window.failure = f"subject {subject!r} goes to {answer.stream or 'no stream'}"
        elif delivery.subject != f"{window.inbox}.{oldest}" or answer.seq <= self.last:
            window.failure = "acknowledgments arrived out of order"
        else:
            window.size -= len(window.waiting.popleft().data)
            self._stored(answer.seq)
            self._retries = 0
        if window.failure is not None or (
            len(window.waiting) <= self._limit // 2 and window.size <= _WINDOW_BYTES // 2
        ):
            window.moved.set()

    def _stored(self, sequence: int) -> None:
        self.first = self.first or sequence
        self.last = sequence
        self._end = max(self._end, sequence)  # the server may have known the message, by its id
        self.count += 1
        if self._progress is not None:
            self._progress(self.count)

    def _require_permission(self, window: _Window) -> None:
        """End with what the server said, where it does not let us publish the oldest message: it will not later."""
        if window.waiting and (refusal := self._nats.refused(window.waiting[0].subject)) is not None:
            raise self._failed(f"{self._nats.hosts} says {refusal!r}")

    async def _mend(self, window: _Window) -> None:
        """Find out what the stream holds of the messages under way, and send the others again."""
        reason = str(window.failure)
        self._require_permission(window)
        await self._subscription.end()
        self._retries += 1
        while True:
            if self._retries > _RETRIES:
                raise self._failed(reason)
            await asyncio.sleep(_RETRY_PAUSE_S * self._retries)  # what is still on the wire arrives meanwhile
            try:
                await self._settle(window.waiting)
                await self._new_window()
                break
            except StreamError as error:
                if error.code == _DISORDER:
                    raise self._failed(f"{reason}; {error.message}") from None
                reason = error.message
                self._retries += 1
                self._nats.go_elsewhere()  # this server may be cut off from the others
        # Each of them is stored only right behind its predecessor: a copy that was still on the wire ends this attempt
        # instead of coming in between.
        self._window.waiting.extend(window.waiting)
        self._window.size = sum(len(message.data) for message in window.waiting)
        end = self._end
        for place, message in enumerate(window.waiting):
            try:
                await self._send(self._window, _behind(message, end + place))
            except StreamError as error:
                raise self._failed(error.message) from None

    async def _settle(self, waiting: deque[Outgoing]) -> None:
        """Take what the stream holds behind its end as we knew it as acknowledged, and know its end anew."""
        info = await self._jetstream.stream_info(self._stream)
        end = info.state.last_seq
        if end < self._end:  # a new leader may not have come so far yet
            raise StreamError(
                f"stream {self._stream!r} ends at sequence {end}, but it acknowledged messages up to {self._end}"
            )
        while self._end < end:
            stored = await self._jetstream.next_message(self._stream, self._end + 1)
            if stored is None or stored.seq > end:
                break
            if not waiting or not self._is_of(stored, waiting[0]):
                raise StreamError(
                    f"stream {self._stream!r} holds another message at {stored.seq} than the one to come",
                    code=_DISORDER,
                )
            waiting.popleft()
            self._stored(stored.seq)
        if self._end < end and (await self._jetstream.stream_info(self._stream)).leader != info.leader:
            raise StreamError(f"stream {self._stream!r} changed its leader")  # which may not hold yet what is there
        self._end = end

    def _is_of(self, stored: StoredMessage, sent: Outgoing) -> bool:
        return stored.data == sent.data and (stored.subject == sent.subject or not self._keeps_subjects)

    def _failed(self, reason: str) -> StreamError:
        return StreamError(
            f"publishing to stream {self._stream!r} ended: {reason}; "
            f"the first {self.count} messages are stored in order, up to sequence {self.last or self._end}",
            hint="some of the later ones may be stored, too",
        )


def _behind(message: Outgoing, sequence: int) -> Outgoing:
    """The message as the stream stores it right behind a sequence, and nowhere else."""
    guard = {"Nats-Expected-Last-Sequence": str(sequence)}
    return message._replace(headers={**(message.headers or {}), **guard})
