"""What two builds of a view type that are in one data folder hold differently, while a node may be folding both.

Both stores are read side by side and nothing is held in memory but what is told. Where the builds stand at different
events, views that an event in between may have touched are told apart, if the log is at hand.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import TYPE_CHECKING

from projection.engine.event import with_message
from projection.engine.recipes import deployed_by
from projection.engine.store_differences import differing
from projection.errors import ConfigurationError, DecodeError
from projection.history.comparison import Pair, ParkedDifference, ViewDifference, find_first, subjects_of
from projection.lang.failures import Failure
from projection.model.files import is_folder
from projection.model.ids import ViewId
from projection.model.keys import VIEWS, ViewKey
from projection.store.catalog import CatalogReader
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.ranges import after
from projection.store.records import PARKED, SUSPENDED, decode_parked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.history.logs import Log
    from projection.model.ids import ViewType
    from projection.store.build import Build
    from projection.store.catalog_reading import CatalogReading
    from projection.store.lmdb_reader import LmdbLane
    from projection.store.snapshot import LmdbSnapshot

PATIENCE_S = 2.0  # until both builds are stored up to one event; while a node folds both, that is soon
_GLANCE_S = 0.01
MOST_TOUCHED = 100_000  # views that events between the positions touch; with more, there is nothing to compare


@dataclass(frozen=True, slots=True)
class ComparedBuild:
    """One of the builds, as it was when it was compared."""

    build: Build
    scanned: int  # how far it was
    views: int
    parked: int  # with what was skipped
    suspended: int  # views and tenants
    digest: str


@dataclass(slots=True)
class BuildComparison:
    """What differs."""

    old: ComparedBuild
    new: ComparedBuild
    kinds: Counter[str] = field(default_factory=Counter)  # views that are `only_old`, `only_new` or `changed`
    fields: Counter[str] = field(default_factory=Counter)  # in how many changed views each of them differs
    views: list[ViewDifference] = field(default_factory=list)  # the first ones in key order
    in_between: int = 0  # views that differ, and that an event touches which only one of the builds has taken
    newly_parked: int = 0  # by the new build only
    no_longer_parked: int = 0
    parked_otherwise: int = 0  # for another reason
    parked: list[ParkedDifference] = field(default_factory=list)  # the first ones in key order
    suspended: int = 0  # views and tenants that only one of them has suspended
    touched_is_known: bool = True  # whether views were told apart where the positions differ

    @property
    def is_at_one_event(self) -> bool:
        """Whether both builds were at one event."""
        return self.old.scanned == self.new.scanned

    @property
    def is_equal(self) -> bool:
        """Whether both hold the same views and park the same events, as far as they can be compared."""
        return not (self.kinds or self.newly_parked or self.no_longer_parked or self.parked_otherwise or self.suspended)

    @property
    def pair(self) -> Pair:
        """Both, as they are folded.

        Raises:
            ConfigurationError: this version of the package cannot use a build's program.
        """
        return Pair(deployed_by(self.old.build), deployed_by(self.new.build))


def compared_builds(
    catalog: CatalogReading, view_type: ViewType, old: int | None = None, new: int | None = None
) -> tuple[Build, Build]:
    """The builds to compare.

    Args:
        catalog: of the data folder.
        view_type: whose builds.
        old: the number of one; None for the build that answers.
        new: of the other; None for the one that is to replace it, or else the one that follows.

    Raises:
        ConfigurationError: there is none of a number, none to compare with, or one has folded nothing yet.
        StorageError: the catalog cannot be read.
    """
    answers, known = catalog.require(view_type), {one.number: one for one in catalog.builds(view_type)}
    beside = catalog.candidate(view_type) or catalog.follower(view_type)
    for number in (old, new):
        if number is not None and number not in known:
            shown = ", ".join(map(str, known))
            raise ConfigurationError(f"view type {view_type} has no build {number}", hint=f"it has: {shown}")
    one = answers if old is None else known[old]
    other = beside if new is None else known[new]
    if other is None:
        raise ConfigurationError(
            f"no build of view type {view_type} is under way, and none follows the one that answers",
            hint=f"name two builds; `projection builds list {view_type}` shows them",
        )
    if one.number == other.number:
        raise ConfigurationError(f"{one} is not compared with itself")
    for each in (one, other):
        if not is_folder(each.lane_path()):  # of one that was just begun, or whose draft is being made
            hint = f"`projection builds list {view_type}` shows how far it is"
            raise ConfigurationError(f"{each} has folded nothing yet", hint=hint)
    return one, other


def compare_builds(
    data: Path, view_type: ViewType, old: int | None = None, new: int | None = None, *, limit: int = 20
) -> BuildComparison:
    """Compare two builds of a view type by what their stores hold; a node may be folding them meanwhile.

    Args:
        data: the folder.
        view_type: whose builds.
        old: the number of one; None for the build that answers.
        new: of the other; None for the one that is to replace it, or else the one that follows.
        limit: how many views, and how many parked events, are told of one by one; all are counted.

    Raises:
        ConfigurationError: there is no such folder, view type or build.
        StorageError: a store cannot be read.
    """
    with CatalogReader.open(data) as catalog:
        builds = compared_builds(catalog, view_type, old, new)
    with ExitStack() as opened:
        readers = [opened.enter_context(LmdbViewReader.open(one.lane_path())) for one in builds]
        return compared(builds, (readers[0], readers[1]), limit)


async def compare_with_log(
    builds: tuple[Build, Build], log: Log, limit: int, progress: Callable[[str, int], None]
) -> BuildComparison:
    """The same, with the events: to tell apart what lies between two positions, and to find the first differences.

    Where the builds make events of messages in different ways, or one was adopted, that is left out.

    Args:
        builds: to compare, the old one first.
        log: of which they are folded.
        limit: as in `compare_builds`.
        progress: takes what is being done, and the sequence that was come to.

    Raises:
        ProjectionError: the log or a store cannot be read, or a program cannot be used.
    """
    pair = Pair(deployed_by(builds[0]), deployed_by(builds[1]))
    ways = {(str(one.entry.subject_template), one.tenancy) for one in pair}
    with ExitStack() as opened:
        readers = [opened.enter_context(LmdbViewReader.open(one.lane_path())) for one in builds]
        old, new = opened.enter_context(_at_one_event((readers[0], readers[1])))
        first, last = sorted((old.position.scanned, new.position.scanned))
        touched: Collection[bytes] | None = () if first == last else None
        if touched is None and len(ways) == 1:
            touched = await _touched(log, pair, first, last, progress)
        found = _found(builds, (old, new), limit, touched)
    if found.views and len(ways) == 1 and all(one.lineage is None for one in builds):
        await find_first(log, [found], last, progress)
    return found


def compared(
    builds: tuple[Build, Build],
    readers: tuple[LmdbLane, LmdbLane],
    limit: int,
    breathe: Callable[[], object] | None = None,
) -> BuildComparison:
    """Compare two builds whose stores are open.

    Args:
        builds: the old one first.
        readers: of their stores.
        limit: as in `compare_builds`.
        breathe: called now and then, for others to have their turn.

    Raises:
        StorageError: a store cannot be read.
    """
    with _at_one_event(readers) as (old, new):
        is_at_one_event = old.position.scanned == new.position.scanned
        return _found(builds, (old, new), limit, () if is_at_one_event else None, breathe)


@contextmanager
def _at_one_event(readers: tuple[LmdbLane, LmdbLane]) -> Iterator[tuple[LmdbSnapshot, LmdbSnapshot]]:
    """Snapshots of two stores at one position, where that comes to be soon; otherwise, as they are."""
    until = monotonic() + PATIENCE_S
    while True:
        with readers[0].snapshot() as old, readers[1].snapshot() as new:
            if old.position.scanned == new.position.scanned or monotonic() > until:
                yield old, new
                return
        sleep(_GLANCE_S)


def _found(
    builds: tuple[Build, Build],
    stores: tuple[LmdbSnapshot, LmdbSnapshot],
    limit: int,
    touched: Collection[bytes] | None,
    breathe: Callable[[], object] | None = None,
) -> BuildComparison:
    old, new = stores
    found = BuildComparison(_as_it_is(builds[0], old), _as_it_is(builds[1], new), touched_is_known=touched is not None)
    for key, before, now in differing(old, new, VIEWS, breathe):
        if touched and key in touched:
            found.in_between += 1
            continue
        parsed = ViewKey.parse(key.decode())
        difference = ViewDifference(parsed.tenant_id, parsed.view_id, before, now)
        found.kinds[difference.kind] += 1
        if difference.kind == "changed":
            found.fields.update(difference.fields)
        if len(found.views) < limit:
            found.views.append(difference)
    until = min(old.position.scanned, new.position.scanned)
    for _, before, now in differing(old, new, PARKED, breathe):
        _compare_parked(found, before, now, until, limit)
    found.suspended = sum(1 for _ in differing(old, new, SUSPENDED))
    return found


def _compare_parked(found: BuildComparison, before: bytes | None, now: bytes | None, until: int, limit: int) -> None:
    events = [None if stored is None else decode_parked(stored) for stored in (before, now)]
    event = events[0] or events[1]
    codes = [None if one is None else one.code for one in events]
    if event is None or event.sequence > until or codes[0] == codes[1]:
        return
    found.newly_parked += codes[0] is None
    found.no_longer_parked += codes[1] is None
    found.parked_otherwise += None not in codes
    if len(found.parked) < limit:
        found.parked.append(ParkedDifference(event.tenant_id, event.view_id, event.sequence, *codes))


def _as_it_is(build: Build, store: LmdbSnapshot) -> ComparedBuild:
    parked, suspended = (sum(1 for _ in store.keys(prefix, after(prefix))) for prefix in (PARKED, SUSPENDED))
    return ComparedBuild(build, store.position.scanned, store.view_count, parked, suspended, str(store.digest))


async def _touched(
    log: Log, pair: Pair, behind: int, until: int, progress: Callable[[str, int], None]
) -> set[bytes] | None:
    """The keys of the views that events between two positions are for, by either program; None for too many."""
    found: set[bytes] = set()
    async with aclosing(log.read(pair.new, subjects_of([pair]), behind, until)) as batches:
        async for batch in batches:
            for event in batch:
                found.update(*(_targets(one, event) for one in pair))
            if len(found) > MOST_TOUCHED:
                return None
            if batch:
                progress("reading what lies between the builds", batch[-1].message.sequence)
    return found


def _targets(deployed: DeployedView, event: Event) -> set[bytes]:
    envelope, program = event.envelope, deployed.program
    reaction = None if envelope is None else program.reaction(envelope.aggregate_type, envelope.event_type)
    if envelope is None or reaction is None:
        return set()
    if program.message_parts is not None:
        event = with_message(event, program.message_parts)
    try:
        _, targets, _ = reaction.take(envelope.payload, event.meta)
    except (DecodeError, Failure):
        return set()  # it is parked
    return {ViewKey(event.tenant_id, deployed.entry.view_type, ViewId(one)).encode() for one in targets}
