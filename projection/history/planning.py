"""What a deployment would cost, and which of some views it would change: looked at beforehand."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from projection.engine.deploying import FoldsAnew, GoesBack
from projection.engine.inventory import build_states
from projection.engine.recipes import deployed_by
from projection.history.comparison import Pair, ViewDifference, subjects_of
from projection.history.estimating import measured, tried
from projection.history.reaching import stored_scope, too_many, touched_views
from projection.history.watching import WatchedViews
from projection.model.keys import VIEWS, ViewKey
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.ranges import after

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from projection.engine.deploying import Step
    from projection.engine.inventory import ReaderOf
    from projection.engine.scope import Scope
    from projection.history.estimating import FoldPace
    from projection.history.logs import Log
    from projection.history.reaching import TouchedViews
    from projection.history.watching import Target
    from projection.lang.reach import Reach
    from projection.store.build import Build
    from projection.store.catalog_reading import CatalogReading


@dataclass(slots=True)
class PlannedStep:
    """A step of a deployment, with what it takes."""

    step: Step
    bytes: int | None  # on the disk, by what the build that answers takes; None: nothing more, or not known
    after: int | None  # the last event that is not read again; None: nothing is
    events: int | None = None  # to be read, at most; None: none, or not known
    pace: FoldPace | None = None  # None: not known
    is_at_most: bool = False  # whether the pace is that of a whole fold, and only some views are folded
    views: int | None = None  # of the build that answers; None: not known
    scope: Scope | None = None  # what the change of the program reaches; None where no build is folded
    touched: TouchedViews | None = None  # the views that it reaches, where somebody looked
    sampled: int = 0  # views that were folded aside, by both programs
    differing: list[ViewDifference] = field(default_factory=list)  # those of them that would differ

    @property
    def folds(self) -> FoldsAnew | GoesBack | None:
        """The step, where a build is folded beside the one that answers."""
        return self.step if isinstance(self.step, FoldsAnew | GoesBack) else None

    @property
    def reach(self) -> Reach | None:
        """What the change of the program reaches; None where no build is folded."""
        return None if self.scope is None else self.scope.reach

    @property
    def is_partial(self) -> bool:
        """Whether a new build begins with what the present one holds, as far as is known beforehand."""
        return isinstance(self.step, FoldsAnew) and self.scope is not None and self.scope.is_partial

    @property
    def in_words(self) -> str | None:
        """Which views fold anew, as a sentence without its end; None where no new build replaces another."""
        if not isinstance(self.step, FoldsAnew) or self.scope is None:
            return None
        if not self.is_partial or self.touched is None or self.views is None:
            return self.scope.in_words
        count = len(self.touched.views)
        if why := too_many(count, self.views, is_whole=self.touched.is_whole):
            return self.scope._replace(why_all=why).in_words
        return f"folds {count:,} of {self.views:,} views anew"

    @property
    def rests_on(self) -> str | None:
        """What the time rests on, as a sentence without its end; None where nothing tells how fast folding is."""
        if self.pace is None:
            return None
        return f"at most; {self.pace.rests_on}" if self.is_at_most else self.pace.rests_on

    @property
    def seconds(self) -> float | None:
        """How long it takes to fold the events, by what is known of that; None: nothing is folded, or not known."""
        return None if self.events is None or self.pace is None else self.pace.seconds(self.events)


def planned(catalog: CatalogReading, steps: Sequence[Step], open_already: ReaderOf | None = None) -> list[PlannedStep]:
    """What each step of a deployment takes, as far as the data folder tells.

    Args:
        catalog: of the data folder.
        steps: what a deployment would do.
        open_already: as for `build_states`.

    Raises:
        StorageError: the folder cannot be read.
    """
    found, audit = [], catalog.audit()
    for step in steps:
        states = {one.build.number: one for one in build_states(catalog, step.view_type, open_already)}
        match step:
            case FoldsAnew():
                found.append(PlannedStep(step, states[step.answers.number].bytes, 0))
            case GoesBack():
                found.append(PlannedStep(step, None, states[step.build.number].scanned or 0))
            case _:
                found.append(PlannedStep(step, None, None))
        if (folds := found[-1].folds) is not None:
            found[-1].views = states[folds.answers.number].views
            found[-1].scope = stored_scope(folds.answers, folds.deployed, open_already)
            found[-1].pace = measured(audit, folds.view_type)
            if found[-1].is_partial:
                part = measured(audit, folds.view_type, of_parts=True)
                found[-1].pace, found[-1].is_at_most = part or found[-1].pace, part is None
    return found


async def look_closer(one: PlannedStep, log: Log, count: int, progress: Callable[[str, int], None]) -> None:
    """Look for the views that a step can change, fold some of them by both programs, and see how long folding takes.

    Args:
        one: a step that folds.
        log: the events.
        count: how many views are folded; if it is proven which views the step can change, only such ones.
        progress: takes what is being done, and the sequence that was come to.

    Raises:
        ProjectionError: the log cannot be read, or the program of the build that answers cannot be used.
    """
    if (step := one.folds) is None or one.reach is None:
        return
    if one.reach.is_narrow:
        pair = Pair(deployed_by(step.answers), step.deployed)
        one.touched = await touched_views(pair, one.reach, log, partial(progress, "looking for views that can change"))
        known = sorted(one.touched.views)
        views = sorted(Random(0).sample(known, min(count, len(known))))  # noqa: S311 - the same views each time
    else:
        views = some_views(step.answers, count)
    await look_ahead(one, log, views, partial(progress, "folding views by both programs"))
    one.pace = one.pace or await tried(log, step.deployed)


def some_views(build: Build, count: int) -> list[Target]:
    """Some of the views of a build, drawn at random and always the same ones of the same store.

    Raises:
        StorageError: the store cannot be read.
    """
    dice, drawn = Random(0), []  # noqa: S311 - the same views each time are what is wanted
    with LmdbViewReader.open(build.lane_path()) as reader, reader.snapshot() as store:
        for seen, key in enumerate(store.keys(VIEWS, after(VIEWS))):
            if seen < count:
                drawn.append(key)
            elif (place := dice.randrange(seen + 1)) < count:
                drawn[place] = key
    keys = [ViewKey.parse(key.decode()) for key in sorted(drawn)]
    return [(key.tenant_id, key.view_id) for key in keys]


async def look_ahead(one: PlannedStep, log: Log, views: Collection[Target], progress: Callable[[int], None]) -> None:
    """Fold some views by both programs, from the first event to the last, and note which of them would differ.

    Both know the decisions about the build that answers: a new build takes them over.

    Nothing is looked at where both make events of messages in different ways.

    Args:
        one: a step that folds.
        log: the events.
        views: which.
        progress: takes the sequence that was come to.

    Raises:
        ProjectionError: the log cannot be read, or the program of the build that answers cannot be used.
    """
    if (step := one.folds) is None:
        return
    pair = Pair(deployed_by(step.answers), replace(step.deployed, drops=frozenset(step.answers.drops)))
    if len({(str(each.entry.subject_template), each.tenancy) for each in pair}) > 1:
        return
    before = await log.before_start(pair.old), await log.before_start(pair.new)
    sides = WatchedViews(pair.old, views, before[0]), WatchedViews(pair.new, views, before[1])
    async with aclosing(log.read(pair.new, subjects_of([pair]), min(before))) as batches:
        async for batch in batches:
            for event in batch:
                for side in sides:
                    for _ in side.take(event):
                        pass
            if batch:
                progress(batch[-1].message.sequence)
    one.sampled = len(views)
    for target in views:
        old, new = (side.view(*target) for side in sides)
        if old != new:
            one.differing.append(ViewDifference(*target, old, new))
