"""The change feed: for each client a stream of what changes, which waits for the lane and for the client.

A stream reads nothing ahead: while its client does not take what it was given, it stands still and costs one chunk. All
streams together read for some milliseconds in each round of the event loop; where they want more they are told later,
and so less, for only the newest state of a view is told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Self

from projection.errors import StorageError
from projection.query.changes import Following, Picture, Places
from projection.query.errors import CursorInvalidError, QueryBusyError
from projection.query.filters import VIEW_GAS
from projection.query.turns import Round, Turns, sliced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from projection.model.ids import TenantId
    from projection.model.query_limits import QueryLimits
    from projection.query.changes import Event, Place, Sent
    from projection.query.form import Query
    from projection.query.serving import Prepared, Served, Serving

HEARTBEAT_S = 15.0  # of silence, until the client is given a sign of life
PACE_S = 0.1  # between two looks for one client: what changes more often is told less often
_LOOK_S = 1.0  # until a waiting stream looks whether another build answers


class Message(NamedTuple):
    """What a client is given: an event, or, with none, only where it stands."""

    event: Event | None
    id: str  # with which it can go on behind this


class ChangeFeed:
    """Opens streams of changes, as many as there may be at a time."""

    def __init__(
        self, serving: Serving, key: bytes, limits: QueryLimits, *, streams: int, streams_per_tenant: int
    ) -> None:
        """A feed.

        Args:
            serving: gives the builds.
            key: of the data folder; seals places.
            limits: what a filter may be.
            streams: how many there may be at a time.
            streams_per_tenant: how many of one tenant.
        """
        self._serving = serving
        self._key = key
        self._limits = limits
        self._streams = streams
        self._streams_per_tenant = streams_per_tenant
        self._open: Counter[TenantId] = Counter()
        self._round = Round()
        self._turns = Turns()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._open.total()

    async def ready(self, query: Query) -> None:
        """Make a query ready, in turns, so that `open` finds it so.

        Raises:
            UnknownViewTypeError, QueryInvalidError, QueryLimitError: the query cannot be answered.
            StorageError: the catalog, or the build's store, cannot be read.
        """
        await self._turns.taken(_readying(self._serving.of(query.view), query, self._limits))

    def open(self, tenant_id: TenantId, query: Query, *, last: str | None = None, present: bool = False) -> Stream:
        """Open a stream of the changes of one tenant's views; it is to be closed.

        Args:
            tenant_id: whose views.
            query: of which type, with which filter, and what of them; the rest of it has no meaning here.
            last: the id of the last message that the client was given; None: it has been given nothing.
            present: whether all views come first that are there now, where `last` is None, or was not given here: a
                client that is led to another node begins anew.

        Raises:
            QueryBusyError: too many streams are open.
            ChangesOffError: the view type keeps no changes.
            CursorInvalidError: `last` was not given to this tenant, for this query, and `present` is false.
            UnknownViewTypeError, QueryInvalidError, QueryLimitError: the query cannot be answered.
        """
        for count, most, whose in (
            (self._open.total(), self._streams, "in all"),
            (self._open[tenant_id], self._streams_per_tenant, "of this tenant"),
        ):
            if count >= most:
                raise QueryBusyError(f"{count} streams of changes are open {whose}", hint="close one, or wait")
        source = _Source(self._serving, query, self._limits, self._turns)
        served = source.now()
        following, places = Following(tenant_id, query.view), Places(self._key, tenant_id, source.followed)
        with served.reader.snapshot() as snapshot:
            picture = Picture.of(served, snapshot)
            place = following.begin(picture, present=present)
            if last is not None:
                try:
                    place = places.read(last)
                except CursorInvalidError:
                    if not present:
                        raise
                    place = following.begin_anew(picture)
        self._open[tenant_id] += 1
        return Stream(source, following, places, place, self._round, lambda: self._left(tenant_id))

    def _left(self, tenant_id: TenantId) -> None:
        self._open[tenant_id] -= 1
        self._open += Counter()  # forgets tenants without streams


class _Source:
    """The build that answers a query."""

    sent: Sent  # what it sends of its views
    followed: bytes  # the query, in its canonical form

    def __init__(self, serving: Serving, query: Query, limits: QueryLimits, turns: Turns) -> None:
        self._serving = serving
        self._query = query
        self._limits = limits
        self._turns = turns
        self._number: int | None = None

    async def ready(self) -> None:
        """Make the query ready for the build that answers now, in turns, where that is another one."""
        served = self._serving.of(self._query.view)
        if served.number != self._number:
            await self._turns.taken(_readying(served, self._query, self._limits))

    def now(self) -> Served:
        """The build that answers now; another one may send other things.

        Raises:
            UnknownViewTypeError, QueryInvalidError, QueryLimitError: it cannot answer.
            StorageError: the catalog, or the build's store, cannot be read.
        """
        served = self._serving.of(self._query.view)
        if served.number != self._number:
            prepared, self.followed = served.prepared(self._query, self._limits)
            self._number, self.sent = served.number, _sent(prepared)
        return served


class Stream:
    """One client's stream; `ChangeFeed.open` makes it."""

    def __init__(
        self,
        source: _Source,
        following: Following,
        places: Places,
        place: Place,
        round_: Round,
        on_close: Callable[[], None],
    ) -> None:
        self._source = source
        self._following = following
        self._places = places
        self._place = place
        self._round = round_
        self._on_close: Callable[[], None] | None = on_close

    async def messages(self) -> AsyncGenerator[list[Message], None]:
        """What comes, some at a time, for as long as one takes it; a lone id after each silence of `HEARTBEAT_S`.

        The lists are the receiver's: one that is emptied before the next is asked for takes no memory meanwhile.

        Raises:
            QueryError: the view type keeps no changes any more, or the filter fails on a view.
            StorageError: the store cannot be read.
        """
        loop = asyncio.get_running_loop()
        is_level = False
        yield [Message(None, self._places.write(self._place))]
        heard = loop.time()
        while True:
            await self._source.ready()
            await self._round.turn()
            served = self._source.now()
            try:
                with self._round.counted():
                    is_level, found = self._read(served, is_level=is_level)
                if found or loop.time() >= heard + HEARTBEAT_S:
                    yield found or [Message(None, self._places.write(self._place))]
                    heard = loop.time()
                if is_level:
                    await asyncio.sleep(PACE_S)
                    await served.watch.beyond(self._place.scanned, _LOOK_S)
                else:
                    await asyncio.sleep(0)
            except StorageError:
                if self._source.now().number == served.number:
                    raise  # else it was closed because another build answers now

    def _read(self, served: Served, *, is_level: bool) -> tuple[bool, list[Message]]:
        """Whether nothing more is there, and what the client is given; `is_level`: whether it knew of that before."""
        with served.reader.snapshot() as snapshot:
            picture = Picture.of(served, snapshot)
            chunk = self._following.read(picture, self._place, self._source.sent)
            self._place = chunk.place
            found = [Message(event, self._places.write(place)) for event, place in chunk.events]
            if chunk.is_level and (found or not is_level):
                found.append(Message(self._following.level(picture), self._places.write(chunk.place)))
        return chunk.is_level, found

    def close(self) -> None:
        """Make room for another stream; idempotent."""
        if self._on_close is not None:
            self._on_close()
            self._on_close = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _readying(served: Served, query: Query, limits: QueryLimits) -> Generator[None, None, None]:
    prepared, _ = yield from served.preparing(query, limits)
    if query.filter is not None and not prepared.filter.is_compiled:
        yield from sliced(prepared.filter.compile)


def _sent(prepared: Prepared) -> Sent:
    """What is sent of a view, by a query made ready."""
    matches, decode, select = prepared.filter.matches, prepared.decode, prepared.select

    def sent(view: bytes, view_id: str) -> bytes | None:
        if not matches(VIEW_GAS, decode(view), view_id)[0]:
            return None
        return view if select is None else select(view)

    return sent
