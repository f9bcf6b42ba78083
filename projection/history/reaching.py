"""Which views a deployment can change: those of the events that both programs handle differently."""

from __future__ import annotations

from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING

from projection.engine.event import with_message
from projection.engine.scope import Scope, scope_of, unsettled
from projection.errors import DecodeError, StorageError
from projection.history.comparison import Pair, subjects_of
from projection.lang.failures import Failure
from projection.lang.reach import Reach
from projection.model.ids import ViewId
from projection.model.subjects import matcher
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.engine.inventory import ReaderOf
    from projection.history.logs import Log
    from projection.history.watching import Target
    from projection.store.build import Build
    from projection.store.port import ViewReader

MOST = 1_000_000  # views that are remembered
_MOST_PART = 0.25  # of all views: to fold more of them takes longer than to fold everything


def stored_scope(answers: Build, deployed: DeployedView, open_already: ReaderOf | None = None) -> Scope:
    """Tell what deploying this reaches and folds anew, by what the build that answers holds as well.

    `open_already` is as for `build_states`.
    """
    scope = scope_of(answers, deployed)
    try:
        with _reader(answers, open_already) as reader:
            if scope.reach.is_narrow and any(one.view_id is None for one in reader.suspensions()):
                reach = Reach(everything="a tenant is suspended, and all its views lack events")
                return Scope(reach, reach.everything)
            return scope._replace(why_all=scope.why_all or unsettled(answers, reader))
    except StorageError as error:
        return Scope(Reach(everything=error.message), error.message)


def too_many(touched: int, views: int, *, is_whole: bool) -> str:
    """Tell why all views are folded rather than those that a change reaches; empty where they are few enough."""
    if not is_whole:
        return f"the change reaches more than {touched:,} views"
    return f"the change reaches {touched:,} views, and there are {views:,}" if touched > _MOST_PART * views else ""


def _reader(build: Build, open_already: ReaderOf | None) -> AbstractContextManager[ViewReader]:
    if open_already is None:
        return LmdbViewReader.open(build.lane_path())
    if (found := open_already(build)) is None:
        raise StorageError(f"the store of build {build.number} is not open in this node")
    return nullcontext(found)


class TouchedViews:
    """The views of certain types of events by either of two programs, and those for which such an event fails."""

    def __init__(self, pair: Pair, found: Reach, before: Iterable[int]) -> None:
        """None so far.

        Args:
            pair: the programs, which differ in nothing else.
            found: what the change reaches.
            before: the last sequence that each of them does not read.
        """
        self.views: set[Target] = set()
        self.events = 0  # that were read of these types
        self.is_whole = True  # whether all such views are remembered
        self._reach = found
        self._sides = [(one, matcher(one.entry.subjects), start) for one, start in zip(pair, before, strict=True)]

    def take(self, event: Event) -> None:
        """Note whose views an event touches."""
        envelope = event.envelope
        if envelope is None or not self._reach.has(envelope.aggregate_type, envelope.event_type):
            return
        self.events += 1
        for deployed, reads, before in self._sides:
            if event.message.sequence > before and reads(event.message.subject):
                self._note(event, deployed)

    def _note(self, event: Event, deployed: DeployedView) -> None:
        event = with_message(event, deployed.program.message_parts)
        if (envelope := event.envelope) is None:
            return
        reaction = deployed.program.reaction(envelope.aggregate_type, envelope.event_type)
        if reaction is None:
            return
        ids: Iterable[str]
        try:
            _, ids, _ = reaction.take(envelope.payload, event.meta)
        except (DecodeError, Failure):
            ids = reaction.known_ids(envelope.payload, event.meta).ids
        for view_id in ids:
            if len(self.views) < MOST:
                self.views.add((event.tenant_id, ViewId(view_id)))
            elif (event.tenant_id, view_id) not in self.views:
                self.is_whole = False


async def touched_views(
    pair: Pair, found: Reach, log: Log, progress: Callable[[int], None], until: int | None = None
) -> TouchedViews:
    """Read the log for the views that a change can reach.

    Args:
        pair: the present program and the new one.
        found: what the change reaches.
        log: the events.
        progress: takes the sequence that was come to.
        until: the last sequence that counts; None for the end of the log.

    Raises:
        ProjectionError: the log cannot be read.
    """
    before = await log.before_start(pair.old), await log.before_start(pair.new)
    touched = TouchedViews(pair, found, before)
    async with aclosing(log.read(pair.new, subjects_of([pair]), min(before), until)) as batches:
        async for batch in batches:
            for event in batch:
                touched.take(event)
            if batch:
                progress(batch[-1].message.sequence)
    return touched
