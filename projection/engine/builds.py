"""Which builds a node folds for a manifest, and the opening of their stores."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from projection.engine.fault_log import log_fault
from projection.engine.recipes import deployed_by, differences, recipe_of
from projection.engine.requeue import parked_in, settle
from projection.errors import ConfigurationError, StorageDamagedError
from projection.faults import contained
from projection.lang.run.executors import Execution
from projection.model.files import is_folder
from projection.model.parked import Drop
from projection.model.promotion import BY_SETTINGS
from projection.store.build import Build
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.model.ids import ViewType
    from projection.model.promotion import Gate
    from projection.store.audit import AuditRecord
    from projection.store.catalog import Catalog

log = structlog.get_logger(component="builds")


@dataclass(frozen=True, slots=True)
class PlannedBuild:
    """A build that the node folds."""

    deployed: DeployedView  # as this build folds it
    build: Build
    replaces: Build | None = None  # the build that answers until this one is level with it
    follows: bool = False  # whether it answered before, or was rolled back, and is folded on


def plan_builds(
    catalog: Catalog,
    deployed: Sequence[DeployedView],
    *,
    new_build: bool = False,
    follow: bool = True,
    execution: Execution = Execution.COMPILED,
) -> list[PlannedBuild]:
    """The builds to fold for what is deployed; those that are missing are made, unless one answers already.

    Args:
        catalog: of the data folder.
        deployed: what the manifest deploys; view types that it does not name are left alone.
        new_build: whether a view type that is folded differently from now on, or of which some views or tenants are
            suspended, may begin anew, beside the build that goes on answering.
        follow: whether former builds that follow are folded on.
        execution: how the programs of former builds are run.

    Raises:
        ConfigurationError: view types are folded differently from now on, and nobody said what to do about it;
            nothing was made.
        StorageError: the catalog cannot be read or written.
    """
    serving = [catalog.serving(one.entry.view_type) for one in deployed]
    found = [_found(catalog, one, answers) for one, answers in zip(deployed, serving, strict=True)]
    if new_build:
        pairs = zip(found, serving, strict=True)
        found = [None if build == answers and _lacks_events(build) else build for build, answers in pairs]
    else:
        _require_found(deployed, serving, found)
    planned = []
    for one, answers, former in zip(deployed, serving, found, strict=True):
        build = begun(catalog, one, answers) if former is None else former
        if former is not None and build.recipe != (recipe := recipe_of(one).encode()) and not build.gate.rolled_back:
            # Comments, indexes: the fold is the same.
            build = replace(build, recipe=recipe)
            catalog.record(build)
        if answers is not None and answers.number != build.number and build.gate.rolled_back:
            log.warning(
                "the manifest's program was rolled back: the former build answers and is folded",
                view_type=build.view_type,
                answers=answers.number,
                rolled_back=build.number,
                hint=f"`projection promote {build.view_type}` has it answer, another program replaces it",
            )
            planned += _former(answers, execution)
        else:
            replaces = None if answers is None or answers.number == build.number else answers
            if replaces is not None:
                build = taking_decisions(catalog, one, build, replaces)
            planned.append(PlannedBuild(one.within(build), build, replaces))
            planned += [] if replaces is None else _former(replaces, execution)
        follower = catalog.follower(one.entry.view_type)
        if follow and follower is not None and follower.number not in _numbers(planned, follower.view_type):
            planned += _former(_decided(catalog, follower), execution, follows=True)
    return planned


def _decided(catalog: Catalog, follower: Build) -> Build:
    """A build that follows, with what was decided meanwhile about the one that answers, as far as that can be."""
    try:
        answers = catalog.require(follower.view_type)
        return taking_decisions(catalog, deployed_by(follower), follower, answers, anew=False)
    except Exception as error:  # noqa: BLE001 - others are folded, and this one may be as well
        log_fault(error, f"telling {follower} what was decided")
        return follower


def _numbers(planned: Iterable[PlannedBuild], view_type: ViewType) -> set[int]:
    return {one.build.number for one in planned if one.build.view_type == view_type}


def _former(build: Build, execution: Execution, *, follows: bool = False) -> list[PlannedBuild]:
    """The folding of a build by what it keeps of its program; none where that cannot be used."""
    try:
        return [PlannedBuild(deployed_by(build, execution), build, follows=follows)]
    except Exception as error:  # noqa: BLE001 - it can be read all the same, and others are folded
        log_fault(error, f"preparing {build}")
        reason = contained(error, f"preparing {build}").message
        told = "a former build is not folded on" if follows else "a former build answers and is not folded on"
        log.warning(told, build=str(build), reason=reason)
        return []


def _found(catalog: Catalog, one: DeployedView, answers: Build | None) -> Build | None:
    """The build of this program, manifest and tenancy: the one that answers, else the last that was begun.

    Another one may be under way to take the place of the one that answers: by an operator's word, or since events are
    missing there.
    """
    candidate = catalog.candidate(one.entry.view_type)
    if candidate is not None and candidate.base_identity == one.base_identity:
        return candidate
    same = [build for build in catalog.builds(one.entry.view_type) if build.base_identity == one.base_identity]
    if answers is not None and answers.base_identity == one.base_identity:
        later = [build for build in same if build.number > answers.number and build.lineage is None]
        return later[-1] if later and _lacks_events(answers) else answers
    return same[-1] if same else None


def begun(
    catalog: Catalog,
    one: DeployedView,
    answers: Build | None,
    audit: AuditRecord | None = None,
    gate: Gate = BY_SETTINGS,
) -> Build:
    """Begin a new build. It serves where none does; else it takes over the decisions of the one that does.

    Args:
        catalog: of the data folder.
        one: what is to be folded.
        answers: the build that answers for the view type, if one does.
        audit: of an operator's word that this one is to take its place, which holds for later starts as well.
        gate: when it may answer.

    Raises:
        StorageError: the catalog cannot be written.
    """
    build = Build(
        catalog.data,
        one.entry.view_type,
        catalog.reserve(one.entry.view_type),
        one.base_identity,
        recipe_of(one).encode(),
        drops=() if answers is None else answers.drops,
        gate=gate,
    )
    catalog.record(build, serves=answers is None, is_candidate=answers is not None and audit is not None, audit=audit)
    return build


def remove_build(catalog: Catalog, build: Build, audit: AuditRecord) -> None:
    """Forget a build that does not serve, and delete what it came to.

    Raises:
        StorageError: the catalog cannot be written; nothing changed.
    """
    catalog.forget(build, audit)
    remove_leftovers(catalog, build.view_type)


def remove_leftovers(catalog: Catalog, view_type: ViewType) -> None:
    """Delete the folders of builds that the catalog does not know: what made or deleted them was interrupted."""
    known = {str(build.number) for build in catalog.builds(view_type)}
    for folder in (catalog.data / view_type).iterdir():
        if folder.name.isdecimal() and folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _require_found(
    deployed: Sequence[DeployedView], serving: Sequence[Build | None], found: Sequence[Build | None]
) -> None:
    changed = [
        (answers, ", ".join(differences(answers, one).values()))
        for one, answers, build in zip(deployed, serving, found, strict=True)
        if answers is not None and build is None
    ]
    if changed:
        named = changed[0][0].view_type if len(changed) == 1 else "--all"
        raise ConfigurationError(
            "; ".join(f"{what or 'something'} changed since {answers} was made" for answers, what in changed),
            hint="`projection run --new-build` folds anew from the start, while the former build answers until the new "
            f"one has caught up; `projection adopt {named}` has the new program take over the views as they are, and "
            "run what is parked; `projection run --as-deployed` goes on as before, until it is told one of these",
        )


def open_store(
    build: Build, deployed: DeployedView, *, loads: bool = False, earlier: Iterable[str] = (), **options: Any
) -> LmdbLaneStore:
    """The store of a build, for writing; a decision whose effect a crash prevented has it now.

    Args:
        build: whose store. One that was adopted is written with durability `sync`: no log gives it back.
        deployed: as the build folds it.
        loads: whether it does not answer, so that it need not be on the disk until it has caught up.
        earlier: identities that it may have beside those of before one decision.
        options: as `LmdbLaneStore.open` takes them.

    Raises:
        StorageDamagedError: it lacks what an adopted build began with.
        StorageError: it cannot be opened, or was folded by something else.
    """
    if build.lineage is not None:
        options["durability"] = "sync"
        loads = False
        if build.lineage.scanned and not is_folder(
            build.lane_path()
        ):  # an empty store in its place would be answered from
            raise _lost(build)
    known = {*build.earlier_identities, *earlier}
    store = LmdbLaneStore.open(build.lane_path(), build.fold_identity, earlier=known, loads=loads, **options)
    try:
        if store.is_loading:
            scanned = store.position().scanned
            log.info(
                "a build is folded without waiting for the disk until it has caught up",
                build=str(build),
                scanned=scanned,
            )
        if store.discarded:
            log.warning("a store that was not on the disk when the machine went down is folded anew", build=str(build))
        if store.waits_for_disk and options.get("durability") == "process":
            log.warning(
                "a store waits for the disk until the next start: it has no room for its mark", build=str(build)
            )
        _require_lineage(build, store)
        settle(store, deployed)
    except BaseException:
        store.close()
        raise
    return store


def _lacks_events(build: Build | None) -> bool:
    """Whether a build has passed over events of views or tenants that are suspended there, or holds them no more."""
    if build is None or not is_folder(build.lane_path()):
        return False
    try:
        with LmdbViewReader.open(build.lane_path()) as reader:
            return bool(reader.suspensions())
    except StorageDamagedError:
        return True


def taking_decisions(
    catalog: Catalog, deployed: DeployedView, build: Build, answers: Build, *, anew: bool = True
) -> Build:
    """Have a build that may replace the one that answers know the decisions made about that one since it was begun.

    A build that has already taken an event which was dropped is folded anew. An adopted one cannot be, and without
    `anew` none is: it keeps the event, which is told.

    Raises:
        StorageError: a store or the catalog cannot be read or written.
    """
    for drop in answers.drops:
        if drop in build.drops:
            continue
        if not can_take(build, drop):
            found = {"build": str(build), "sequence": drop.sequence, "tenant": drop.tenant_id, "view": drop.view_id}
            if build.lineage is not None:
                log.error("a build keeps an event that was dropped since: it was adopted and cannot be folded", **found)
                continue
            if not anew:
                log.warning("a former build keeps an event that was dropped since: it had taken it", **found)
                continue
            log.warning("a build is folded anew: it had taken an event that was dropped since", **found)
            shutil.rmtree(build.lane_path())
        build = build.decided(drop)
        catalog.record(build)
        open_store(build, deployed.within(build), loads=True).close()
    return build


def can_take(build: Build, drop: Drop, open_: Callable[[Path], LmdbViewReader] = LmdbViewReader.open) -> bool:
    """Whether a decision can have its effect on a build: it has not come to the event, or has parked it alike.

    Args:
        build: whose store is looked at.
        drop: the decision.
        open_: opens the store.

    Raises:
        StorageError: it cannot be read.
    """
    if not is_folder(build.lane_path()):
        return True
    try:
        return _takes(build, drop, open_)
    except StorageDamagedError:
        return False


def _takes(build: Build, drop: Drop, open_: Callable[[Path], LmdbViewReader]) -> bool:
    with open_(build.lane_path()) as reader:
        if reader.position().scanned < drop.sequence:
            return True
        if any(one.concerns(drop.tenant_id, drop.view_id) for one in reader.suspensions()):
            return False
        return any(Drop(one.sequence, one.tenant_id, one.view_id) == drop for one in parked_in(reader))


def _require_lineage(build: Build, store: LmdbLaneStore) -> None:
    if build.lineage is not None and store.position().scanned < build.lineage.scanned:
        raise _lost(build)


def _lost(build: Build) -> StorageDamagedError:
    return StorageDamagedError(
        f"the store of {build} is gone, and the log does not give it back: it was adopted",
        hint="bring back a copy of it, or let `projection run --new-build` fold the views anew",
    )
