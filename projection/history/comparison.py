"""What another program, or another manifest, would make of the same events: two folds side by side.

The log is read once for the result, and once more, up to the last event that is looked for, to find where the views
that are told of began to differ. Both folds are held in memory: their views, and not the log.
"""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from projection.engine.lane import Lane
from projection.history.changes import changes
from projection.history.watching import WatchedViews
from projection.model.subjects import disjoint
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.errors import ProjectionError
    from projection.history.changes import Change
    from projection.history.logs import Log
    from projection.history.watching import Effect
    from projection.model.ids import TenantId, ViewId

_BATCH = 20_000  # events between two commits; the result does not depend on it


class Pair(NamedTuple):
    """One view type in both versions. They have one subject template and one tenancy."""

    old: DeployedView
    new: DeployedView


@dataclass(frozen=True, slots=True)
class First:
    """The first event behind which a view differs, and what it did to the view in each version."""

    event: Event
    old: Effect | None  # None: it was not for this view
    new: Effect | None


@dataclass(slots=True)
class ViewDifference:
    """A view that is not the same in both."""

    tenant_id: TenantId
    view_id: ViewId
    old: bytes | None  # JSON; None where there is none
    new: bytes | None
    first: First | None = None

    @property
    def kind(self) -> str:
        """`only_old`, `only_new` or `changed`."""
        return "only_new" if self.old is None else "only_old" if self.new is None else "changed"

    @property
    def changes(self) -> list[Change]:
        """The places that differ."""
        return changes(self.old, self.new)

    @property
    def fields(self) -> set[str]:
        """The fields in which these places are."""
        return {change.path.partition(".")[0].partition("[")[0] for change in self.changes}


class ParkedDifference(NamedTuple):
    """An event that is parked or skipped in one version only, or for another reason in each."""

    tenant_id: TenantId
    view_id: ViewId | None  # None where it reached no view
    sequence: int
    old: str | None  # the code; None where the event was taken
    new: str | None


@dataclass(slots=True)
class Side:
    """What one version came to."""

    views: int
    gas: int
    parked: int  # with what was skipped
    halted: ProjectionError | None


@dataclass(slots=True)
class Comparison:
    """What differs in one view type."""

    pair: Pair
    old: Side
    new: Side
    kinds: Counter[str] = field(default_factory=Counter)  # how many views are only here or there, or changed
    fields: Counter[str] = field(default_factory=Counter)  # in how many changed views each of them differs
    views: list[ViewDifference] = field(default_factory=list)  # the first ones in key order
    parked: list[ParkedDifference] = field(default_factory=list)  # all, in order

    @property
    def by_field(self) -> dict[str, int]:
        """`fields`, the most frequent first, then by name."""
        return dict(sorted(self.fields.items(), key=lambda item: (-item[1], item[0])))

    @property
    def is_equal(self) -> bool:
        """Whether both come to the same views and park the same events for the same reasons."""
        halted = [None if side.halted is None else side.halted.message for side in (self.old, self.new)]
        return not self.kinds and not self.parked and halted[0] == halted[1]


async def compare(log: Log, pairs: Sequence[Pair], most: int, progress: Callable[[str, int], None]) -> list[Comparison]:
    """Fold both versions of some view types and find what differs.

    Args:
        log: the events.
        pairs: at least one; all have one subject template and one tenancy.
        most: how many views of each type are told of one by one, with the event that made the difference.
        progress: takes what is being done, and the sequence that was come to.

    Raises:
        ProjectionError: the log cannot be read.
    """
    folds = [
        (_lane(one.old, await log.before_start(one.old)), _lane(one.new, await log.before_start(one.new)))
        for one in pairs
    ]
    lanes = [lane for fold in folds for lane in fold]
    uncommitted = 0
    async with aclosing(log.read(pairs[0].new, subjects_of(pairs), min(lane.scanned for lane in lanes))) as batches:
        async for batch in batches:
            for event in batch:
                for lane in lanes:
                    lane.apply(event)
            uncommitted += len(batch)
            if uncommitted >= _BATCH:
                uncommitted = _commit(lanes)
            if batch:
                progress("folding", batch[-1].message.sequence)
    _commit(lanes)
    found = [_compared(pair, *fold, most) for pair, fold in zip(pairs, folds, strict=True)]
    searches = [one for one in found if one.views]
    if searches:
        await find_first(log, searches, log.end, progress)
    return found


def _lane(deployed: DeployedView, before_start: int) -> Lane:
    lane = Lane(deployed, MemoryLaneStore())
    lane.move_to(before_start)
    return lane


def _commit(lanes: Iterable[Lane]) -> int:
    for lane in lanes:
        lane.commit(None)
    return 0


def subjects_of(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """What both versions of some view types read together."""
    filters = {subject for pair in pairs for deployed in pair for subject in deployed.entry.subjects}
    return disjoint(filters, pairs[0].new.entry.all_subjects)


def _compared(pair: Pair, old: Lane, new: Lane, most: int) -> Comparison:
    found = Comparison(pair, _side(old), _side(new))
    for difference in _view_differences(old, new):
        found.kinds[difference.kind] += 1
        if difference.kind == "changed":
            found.fields.update(difference.fields)
        if len(found.views) < most:
            found.views.append(difference)
    parked = [
        {(one.tenant_id, one.view_id, one.sequence): one.code for one in lane.store.parked()} for lane in (old, new)
    ]
    for key in sorted({*parked[0], *parked[1]}, key=lambda key: (key[2], key[0], key[1] or "")):
        codes = parked[0].get(key), parked[1].get(key)
        if codes[0] != codes[1]:
            found.parked.append(ParkedDifference(*key, *codes))
    return found


def _side(lane: Lane) -> Side:
    return Side(lane.store.count_views(), lane.gas, lane.parked, lane.halted)


def _view_differences(old: Lane, new: Lane) -> Iterator[ViewDifference]:
    """In key order, but what is only in the new one comes last."""
    for key, view in old.store.scan(None, old.view_type):
        other = new.store.get_view(key._replace(view_type=new.view_type))
        if other != view:
            yield ViewDifference(key.tenant_id, key.view_id, view, other)
    for key, view in new.store.scan(None, new.view_type):
        if old.store.get_view(key._replace(view_type=old.view_type)) is None:
            yield ViewDifference(key.tenant_id, key.view_id, None, view)


class Searched(Protocol):
    """Views of one view type that differ, and by what they were folded."""

    @property
    def pair(self) -> Pair:
        """Both versions of the view type."""

    @property
    def views(self) -> Sequence[ViewDifference]:
        """Those whose first differences are looked for."""


class _Search:
    """For the first differences of one view type."""

    def __init__(self, found: Searched, before_old: int, before_new: int) -> None:
        self.wanted = {(one.tenant_id, one.view_id): one for one in found.views}
        self._old = WatchedViews(found.pair.old, self.wanted, before_old)
        self._new = WatchedViews(found.pair.new, self.wanted, before_new)

    def take(self, event: Event) -> None:
        effects = [{one.view_id: one for one in side.take(event)} for side in (self._old, self._new)]
        for view_id in {*effects[0], *effects[1]} - {None}:
            target = (event.tenant_id, view_id)
            if target in self.wanted and self._old.view(*target) != self._new.view(*target):
                self.wanted.pop(target).first = First(event, effects[0].get(view_id), effects[1].get(view_id))


async def find_first(log: Log, found: Sequence[Searched], until: int, progress: Callable[[str, int], None]) -> None:
    """Fold views that differ alone, by both versions, and note at each the first event behind which it differs.

    Args:
        log: the events.
        found: at least one; all have one subject template and one tenancy.
        until: the last sequence that is read.
        progress: as `compare` takes it.

    Raises:
        ProjectionError: the log cannot be read.
    """
    starts = [(await log.before_start(one.pair.old), await log.before_start(one.pair.new)) for one in found]
    searches = [_Search(one, *before) for one, before in zip(found, starts, strict=True)]
    pairs = [one.pair for one in found]
    after = min(min(before) for before in starts)
    async with aclosing(log.read(pairs[0].new, subjects_of(pairs), after, until)) as batches:
        async for batch in batches:
            for event in batch:
                for search in searches:
                    search.take(event)
            if batch:
                progress("looking for the first differences", batch[-1].message.sequence)
            if not any(search.wanted for search in searches):
                break
