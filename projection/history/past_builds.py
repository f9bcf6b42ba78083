"""A whole view type as it was behind an event of the log: folded on from a backup, or from the first event.

Neither the data folder nor the backup is changed: what is folded on is a copy, in a folder that the caller gives.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from projection.engine.backup_choice import newest_before
from projection.engine.builds import open_store
from projection.engine.refilling import copy_store
from projection.engine.replayed import build_in_memory
from projection.errors import StreamIdentityError
from projection.history.aside import FoldAside
from projection.history.past import sequence_at
from projection.model.checkpoint import LanePosition
from projection.query.errors import HistoryGoneError, NotFreshError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.history.logs import Log
    from projection.store.backups import Backups
    from projection.store.build import Build
    from projection.store.port import LaneStore


@dataclass(frozen=True, slots=True)
class PastBuild:
    """A build as it was."""

    build: Build  # the one that answers
    sequence: int  # behind which event of the log
    store: LaneStore  # what it held
    events: int  # that were read for it
    behind: int  # which event
    backup: str | None = None  # the name of the one that it was folded on from


@dataclass(frozen=True, slots=True)
class Answering:
    """The build that answers in a data folder."""

    build: Build
    deployed: DeployedView  # as it folds
    position: LanePosition  # how far it is


async def past_build(
    log: Log,
    answers: Answering,
    moment: int | str,
    folder: Path,
    *,
    backups: tuple[Backups, list[str]] | None = None,
    read: Callable[[FoldAside], None] | None = None,
) -> PastBuild:
    """The views of a view type behind a sequence, or behind the last event that was stored at a time or before it.

    Args:
        log: its events.
        answers: the build that folds them, with the operator's decisions.
        moment: as `past.read_moment` gives it.
        folder: empty; the store is made there, and is the caller's to close.
        backups: where to go on from, and which of them there may be taken; None: from the first event.
        read: called for each batch that is folded.

    Raises:
        NotFreshError: the build has not come so far.
        ConfigurationError: no backup fits; says why.
        HistoryGoneError: the log no longer holds what would have to be read.
        LaneHaltedError: a policy says halt.
        StorageError: a backup cannot be read, or the folder cannot be written.
        StreamError: the log cannot be read.
    """
    at = await sequence_at(log, moment, answers.build, answers.position)
    build, name = replace(answers.build, data=folder, lineage=None), None
    earlier: frozenset[str] = frozenset()
    if backups is not None:
        place, names = backups
        name, stored, former = newest_before(place, names, answers.build, answers.position, at)
        build = replace(answers.build, data=folder, drops=former.drops)
        await asyncio.to_thread(copy_store, place, name, stored, build)
        # All decisions at once: one by one, an event may be taken that the next one leaves out.
        earlier, build = build.earlier_identities | {build.fold_identity}, replace(build, drops=answers.build.drops)
    deployed = answers.deployed.within(build)
    store = open_store(build, deployed, earlier=earlier, durability="process")
    try:
        position = store.position()
        before = await log.whole_from(deployed, answers.position, None if position == LanePosition() else position)
        fold = FoldAside(deployed, None, before=before, store=store)
        await fold.read(log, at, read=read)
        fold.end()
    except BaseException as error:
        store.close()
        if isinstance(error, StreamIdentityError):
            raise HistoryGoneError(error.message, hint=error.hint) from None
        raise
    return PastBuild(answers.build, at, store, fold.events, before, name)


async def past_of_file(
    log: Log, deployed: DeployedView, moment: int | str, read: Callable[[FoldAside], None] | None = None
) -> PastBuild:
    """The same of a file of events, in memory.

    Raises:
        NotFreshError: the file ends before.
        ConfigurationError: the moment is a time, and files do not know of any; or the file cannot be read.
        LaneHaltedError: a policy says halt.
    """
    at = await sequence_at(log, moment, None, None)
    before = await log.whole_from(deployed)
    fold = FoldAside(deployed, None, before=before)
    await fold.read(log, at, read=read)
    fold.end()
    if before < at and at > log.end:
        raise NotFreshError(f"the last event is {log.end:,}, and not {at:,}", hint="name an earlier one")
    return PastBuild(build_in_memory(deployed), at, fold.store, fold.events, before)
