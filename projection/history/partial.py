"""A new build that begins with what the present one holds: only views that a change of the program reaches fold anew.

The present build's store is copied. Out of the copy, the views are taken that had events which both programs handle
differently, and the log is folded by the new program for these views alone. What comes out is what a fold of everything
comes to, by `projection.lang.reach`. Where that is not proven, nothing is left of the copy.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from projection.engine.outcomes import PartFolded
from projection.engine.recipes import deployed_by
from projection.engine.scope import discard_draft, scope_of, unsettled
from projection.engine.verification import verified
from projection.errors import ProjectionError
from projection.history.aside import FoldAside
from projection.history.comparison import Pair
from projection.history.reaching import too_many, touched_views
from projection.model.checkpoint import LanePosition
from projection.store.host import boot_id
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.port import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from projection.engine.deployment import DeployedView
    from projection.history.logs import Log
    from projection.history.watching import Target
    from projection.model.settings import Durability
    from projection.store.build import Build
    from projection.store.catalog_reading import CatalogReading

    Telling = Callable[[int, int], None]  # takes the sequence that was come to, about, and the last one


class _FoldsAllError(Exception):
    """It is not proven that some views need not be folded."""


async def fold_partly(catalog: CatalogReading, build: Build, log: Log, told: Telling) -> PartFolded:
    """Make the store of a new build at `Build.draft_path`, out of that of the build that answers.

    Args:
        catalog: of the data folder; a node may be folding the build that answers.
        build: the new one, which has no store yet.
        log: the events.
        told: takes how far it is, again and again.

    Returns:
        What was folded; or why all has to be, and then there is nothing at that place.
    """
    began = perf_counter()
    audited = max((one.number for one in catalog.audit()), default=0)
    answers = catalog.require(build.view_type)
    discard_draft(build)  # of a process that was killed
    try:
        folded, views, events = await _Draft(answers, build).fold(log, told)
    except (_FoldsAllError, ProjectionError) as error:
        discard_draft(build)
        return PartFolded(why_all=error.message if isinstance(error, ProjectionError) else str(error))
    except BaseException:
        discard_draft(build)
        raise
    seconds = round(perf_counter() - began, 3)
    return PartFolded("", folded, views, events, seconds, answers.number, answers.fold_identity, audited)


class _Draft:
    """A copy of the store of the build that answers, on its way to be that of a new build."""

    def __init__(self, answers: Build, build: Build) -> None:
        self._answers = answers
        self._build = build
        self._path = build.draft_path()

    async def fold(self, log: Log, told: Telling) -> tuple[int, int, int]:
        """How many views were folded anew, of how many, and how many sequences of the log were read for it.

        Raises:
            _FoldsAllError: it is not proven that the others need not be.
            ProjectionError: the log or a store cannot be read or written.
        """
        scope = scope_of(self._answers, new := deployed_by(self._build))
        if scope.why_all:
            raise _FoldsAllError(scope.why_all)
        position, views = self._copy()
        touched: Collection[Target] = ()
        before = position.scanned
        if scope.reach.named:
            before = await log.whole_from(new, position)
            pair = Pair(deployed_by(self._answers), new)
            until = position.scanned
            found = await touched_views(pair, scope.reach, log, lambda at: told((before + at) // 2, until), until)
            if why := too_many(len(found.views), views, is_whole=found.is_whole):
                raise _FoldsAllError(why)
            touched = found.views
        with self._opened() as store:
            await self._fold(store, new, touched, log, before, told)
        return len(touched), views, position.scanned - before

    def _copy(self) -> tuple[LanePosition, int]:
        """Copy the store; how far it is, and how many views it holds."""
        with LmdbViewReader.open(self._answers.lane_path()) as reader:
            reader.copy_to(self._path)
        with LmdbViewReader.open_still(self._path) as copy:
            if why := unsettled(self._answers, copy):
                raise _FoldsAllError(why)
            position, views = copy.position(), copy.count_views()
        if problems := verified(self._answers, LmdbViewReader.open_still, at=self._path).problems:
            raise _FoldsAllError(f"the store of build {self._answers.number} is not sound: {problems[0]}")
        return position, views

    def _opened(self) -> LmdbLaneStore:
        """The copy for writing: all of it is brought to the disk when it is closed."""
        durability: Durability = "sync" if boot_id() is None else "process"
        earlier = {self._answers.fold_identity}
        return LmdbLaneStore.open(self._path, self._build.fold_identity, earlier=earlier, durability=durability)

    async def _fold(
        self,
        store: LmdbLaneStore,
        deployed: DeployedView,
        touched: Collection[Target],
        log: Log,
        before: int,
        told: Telling,
    ) -> None:
        """Take the touched views out of the copy, and fold the log for them alone."""
        position, identity = store.position(), self._build.fold_identity
        applied = position
        if before < position.scanned:
            # Of a lane that has read nothing yet, so that it reads everything once more.
            _move(store, LanePosition(), identity)
            fold = FoldAside(deployed, None, before=before, store=store, views=touched)
            fold.erase(sorted(touched))
            await fold.read(log, position.scanned, read=lambda now: _require_untroubled(now, told, position.scanned))
            _require_untroubled(fold, told, position.scanned)
            applied = store.position()
        known = {"applied": applied.applied, "applied_time": applied.applied_time}
        _move(store, position.model_copy(update=known), identity)


def _require_untroubled(fold: FoldAside, told: Telling, until: int) -> None:
    """Tell how far the fold is, if nothing is parked: how much may be parked of a tenant depends on all its views."""
    if fold.parked:
        one = next(iter(fold.store.parked()), None)
        what = "an event" if one is None else f"event {one.sequence:,} ({one.code}: {one.message})"
        raise _FoldsAllError(f"the new program parks or skips {what}")
    told((until + fold.seen) // 2, until)


def _move(store: LmdbLaneStore, position: LanePosition, identity: str) -> None:
    """Have a store say how far it is, and by what it is folded from here on."""
    base, digest = store.position(), store.digest()
    store.commit(Commit(store.claim(), base, position, digest=digest, fold_identity=identity))
