"""Loading a table into a stream: where the stream ends is where it goes on, and each row is published once, in order.

There is no state beside the stream: the last message of the table says in its headers which row it was made of.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import aclosing, suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from projection.backfill.messages import RowMessages, key_of
from projection.backfill.reading import Reader, connected
from projection.backfill.tables import described
from projection.errors import ConfigurationError, ProjectionError, StreamError
from projection.sink.database import DatabaseError
from projection.stream.connection import TOO_LARGE
from projection.stream.jetstream import STREAM_NOT_FOUND, JetStream
from projection.stream.publisher import Published, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from projection.backfill.messages import RowTemplate
    from projection.backfill.reading import Row
    from projection.backfill.tables import Selection
    from projection.sink.database import Address, Connection
    from projection.stream.connection import Nats
    from projection.stream.publisher import Outgoing

PACE_S = 0.2  # between two looks for new rows, and for the end of a transaction
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.2, 10.0  # before another try
_TRIES = 10  # in a row, of a loading that ends by itself
_WAIT_S = 10.0  # for a transaction, until it is told
_T = TypeVar("_T")


class _Stopped(Exception):  # noqa: N818 - no error
    """Somebody said so while the database was waited for."""


class Columns(NamedTuple):
    """Which columns of a row become what of a message."""

    template: RowTemplate
    headers: Mapping[str, str]  # the column of each
    body: str | None = None  # None: the whole row


class TableLoading:
    """One loading of a table or a query; it begins where the last one ended.

    Args:
        address: of the database.
        selection: what to read of it.
        columns: which columns of a row make which parts of a message.
        tell: takes sentences for people: what is waited for.
        after: the key to begin behind, where the stream holds no row of the table yet; None: with the first.
        limit: how many rows to publish; None for all.
        follow: go on with rows that are written later, until stopped.
        shared: whether others publish to the stream meanwhile; see `alone` of `publish_all`.
    """

    def __init__(
        self,
        address: Address,
        selection: Selection,
        columns: Columns,
        tell: Callable[[str], None],
        *,
        after: str | None = None,
        limit: int | None = None,
        follow: bool = False,
        shared: bool = False,
    ) -> None:
        self.published = Published(0, 0, 0)
        self.last_key: str | None = None  # of the last row that the stream holds
        self._address, self._selection, self._wanted = address, selection, columns
        self._tell = tell
        self._after, self._limit, self._follow, self._shared = after, limit, follow, shared
        self._connection: Connection | None = None
        self._stopping = asyncio.Event()
        self._has_begun = False  # both sides were there once: what is wrong by then may pass
        self._failed: Counter[type[ProjectionError]] = Counter()  # tries in a row, of the database and of the server
        self._error: ProjectionError | None = None  # that ends the publishing of what is before it

    def stop(self) -> None:
        """Send nothing more: `run` ends as soon as everything that was sent is acknowledged."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connection to the database; idempotent."""
        if self._connection is not None:
            self._connection.close()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def check(self) -> None:
        """Ask the database what there is to read.

        Raises:
            ConfigurationError: the table or a column is not there, or cannot be used as it is to be.
            DatabaseError: the database cannot be reached, or refuses.
        """
        self._source = await self._asked(
            lambda connection: described(connection, self._address, self._selection, is_followed=self._follow)
        )
        self._messages = RowMessages(self._source, self._wanted.template, self._wanted.headers)
        self._reader = Reader(self._source, self._wanted.body, self._messages.columns)
        if (after := self._after) is not None:
            self._after = await self._asked(lambda connection: self._reader.checked_key(connection, after))

    async def run(
        self, nats: Nats, stream: str, *, create: bool = False, progress: Callable[[int], None] | None = None
    ) -> None:
        """Publish the rows behind the last one that the stream holds, once each and in order; after `check`.

        Args:
            nats: the connection.
            stream: the stream's name.
            create: make the stream where there is none, for the subjects of the template.
            progress: called with the number of rows acknowledged so far.

        Raises:
            ConfigurationError: the stream does not tell where to go on.
            ProjectionError: the database or the server cannot be used, or a row can be no message; all before it is
                stored.
        """
        jetstream = JetStream(nats)
        if create:
            await jetstream.ensure_stream(stream, [self._wanted.template.filter])
        try:
            is_done = False
            while not (is_done or self.is_stopped):
                try:
                    await self._publish(jetstream, stream, progress)
                    is_done = True
                except StreamError as error:
                    if not self._follow or error.code in (TOO_LARGE, STREAM_NOT_FOUND):
                        raise
                    await self._wait_after(error)
        except _Stopped:
            return

    async def _publish(self, jetstream: JetStream, stream: str, progress: Callable[[int], None] | None) -> None:
        """Find out where to go on, and publish until there is nothing left, or until stopped."""
        self.last_key, behind = await self._position(jetstream, stream)
        while not self.is_stopped and self._left() != 0:
            upto = await self._settled()
            self._has_begun = True
            if upto is not None:
                behind = await self._publish_to(jetstream, stream, upto, behind, progress)
            del self._failed[StreamError]
            if not self._follow:
                return
            if upto is None:
                await self._pause(PACE_S)

    async def _position(self, jetstream: JetStream, stream: str) -> tuple[str | None, int]:
        """The last row that the stream holds, and the stream's end before anything else may come behind it."""
        info = await jetstream.stream_info(stream)
        subjects = self._wanted.template.filter if info.config.subject_transform is None else ">"
        last = await jetstream.last_message(stream, subjects)
        if last is not None and (key := key_of(last.hdrs, self._source)) is not None:
            return key, max(info.state.last_seq, last.seq)
        if self._after is None:
            hint = "say by --after KEY which row the stream holds last; a key below the first, if none"
            if last is not None:
                raise ConfigurationError(
                    f"message {last.seq} of stream {stream!r}, the last of {subjects}, "
                    f"is no row of {self._source.name}",
                    hint=f"{hint}; or publish the rows under subjects of their own",
                )
            if info.state.messages < info.state.last_seq:
                raise ConfigurationError(
                    f"stream {stream!r} has lost messages, and may have held rows of {self._source.name}", hint=hint
                )
        return self._after, info.state.last_seq

    async def _settled(self) -> str | None:
        """The last key that there is, once nobody can write a lower one any more; None where nothing is new."""
        horizon = await self._asked(lambda connection: self._reader.horizon(connection, self.last_key))
        if horizon is None:
            return None
        since, is_told = monotonic(), False
        while not self.is_stopped:
            writer = await self._asked(lambda connection: self._reader.writer(connection, horizon))
            if writer is None:
                return horizon.key
            if not is_told and monotonic() - since > _WAIT_S:
                self._tell(f"waiting for {writer}, which may still write a row before {horizon.key}")
                is_told = True
            await self._pause(PACE_S)
        return None

    async def _publish_to(
        self, jetstream: JetStream, stream: str, upto: str, behind: int, progress: Callable[[int], None] | None
    ) -> int:
        """Publish the rows up to a key; the stream's end then."""
        sent: deque[str] = deque()
        before = self.published.count

        def acknowledged(count: int) -> None:
            self.last_key = sent.popleft()
            self.published = replace(self.published, count=before + count)
            if progress is not None:
                progress(before + count)

        async with aclosing(self._outgoing(upto, sent)) as messages:
            published = await publish_all(
                jetstream.nats,
                stream,
                messages,
                progress=acknowledged,
                alone=not self._shared,
                behind=None if self._shared else behind,
            )
        self.published = Published(
            self.published.count, self.published.first or published.first, published.last or self.published.last
        )
        if (error := self._error) is not None:
            raise error
        return published.last or behind

    async def _outgoing(self, upto: str, sent: deque[str]) -> AsyncGenerator[Outgoing]:
        """The messages up to a key, as many as are wanted; an error ends them, and is kept until they are stored."""
        left = self._left()
        try:
            async with aclosing(self._rows(upto)) as rows:
                async for row in rows:
                    if self.is_stopped or left == 0:
                        return
                    message = self._messages.message(row)
                    left = None if left is None else left - 1
                    sent.append(row.key)
                    yield message
        except ProjectionError as error:
            self._error = error

    async def _rows(self, upto: str) -> AsyncGenerator[Row]:
        """The rows behind the last one up to a key; a database that goes away in between is asked again."""
        after, is_done = self.last_key, False
        while not is_done and not self.is_stopped:
            try:
                connection = await asyncio.to_thread(self._connected)
                reading = self._reader.rows(connection, after, upto)
                try:
                    while (chunk := await asyncio.to_thread(next, reading, None)) is not None:
                        del self._failed[DatabaseError]
                        for row in chunk:
                            yield row
                            after = row.key
                    is_done = True
                finally:
                    if not is_done:  # its answer is still under way
                        connection.close()
                    reading.close()
            except DatabaseError as error:
                await self._wait_after(error)

    async def _asked(self, ask: Callable[[Connection], _T]) -> _T:
        """What the database answers; one that goes away in between is asked again."""
        while True:
            try:
                answer = await asyncio.to_thread(lambda: ask(self._connected()))
            except DatabaseError as error:
                await self._wait_after(error)
                if self.is_stopped:
                    raise _Stopped from None
            else:
                del self._failed[DatabaseError]
                return answer

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connected(self._address)
        return self._connection

    async def _wait_after(self, error: ProjectionError) -> None:
        """Wait before another try, for longer each time.

        Raises:
            ProjectionError: the error, where no other try is of use.
        """
        is_answer = isinstance(error, DatabaseError) and error.is_answer
        self._failed[type(error)] += 1
        failed = self._failed[type(error)]
        if is_answer or not self._has_begun or (failed > _TRIES and not self._follow):
            raise error
        if failed == 1:
            self._tell(f"waiting, and trying again: {error.message}")
        await self._pause(min(_FIRST_PAUSE_S * 2 ** min(failed - 1, 10), _LAST_PAUSE_S))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _left(self) -> int | None:
        return None if self._limit is None else self._limit - self.published.count
