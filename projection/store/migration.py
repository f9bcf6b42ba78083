"""Migrating a data folder of store format 2 to format 3, where it is.

What changed: a view id ends its key as it is, so that keys are in the order of the ids (format 2 percent-escaped it);
the state digest takes a parked event's facts, and not its JSON; and a fold's identity leaves out what is at its
default. Views, parked events, positions and decisions stay what they are. A build with events that reached no view gets
a lineage: format 2 left their views alone, where a fold of today has them wait, so the two must not look equal. An
index that has an entry of a renamed view is built anew; whoever follows changes begins anew, since the build goes by
another identity.

Each lane is migrated in one transaction, and the catalog last, in one of its own. So a migration that is killed
begins again with the lanes that it has not reached.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from projection.errors import StorageDamagedError
from projection.model.escaping import escape_id, unescape_part
from projection.model.files import is_file
from projection.model.keys import VIEWS
from projection.model.parked import Disposition, parked_digest
from projection.model.recipe import Recipe
from projection.model.state_digest import StateDigest, entry_digest
from projection.store.build import Lineage
from projection.store.changes import POINTERS, ChangeIndex, Stage
from projection.store.dirty_mark import DirtyMark
from projection.store.format import FORMER_VERSION, Kind, stamp, version_of
from projection.store.indexes import StoredIndexes
from projection.store.lmdb_opening import open_to_write
from projection.store.ranges import entries_below
from projection.store.records import (
    CHANGES,
    DIGEST,
    FOLD_IDENTITY,
    INDEXES,
    PARKED,
    decode_parked,
    encode_parked,
    parked_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from projection.store.build import Build
    from projection.store.lmdb_env import Environment, Transaction


def _log() -> Any:
    import structlog  # noqa: PLC0415 - who asks a replay gets here, too, and needs none of the node's libraries

    return structlog.get_logger(component="store")


def is_of_former_format(environment: Environment) -> bool:
    """Tell whether an environment was written in format 2.

    Raises:
        StorageError: the environment cannot be read.
    """
    with environment.read() as transaction:
        return version_of(transaction) == FORMER_VERSION


def migrate(
    data: Path, environment: Environment, builds: Iterable[Build], record: Callable[[Transaction, Build], None]
) -> None:
    """Migrate a data folder that this process has locked.

    Args:
        data: the folder.
        environment: of its catalog.
        builds: all that the catalog holds, those of a view type in the order of their numbers.
        record: writes a build into the catalog.

    Raises:
        StorageError: the folder cannot be read or written; the next attempt goes on.
    """
    identities: dict[str, str] = {}
    renamed = [_renamed(build, identities, _refuses_as_before(build.lane_path())) for build in builds]
    for build in renamed:
        for lane in sorted(build.lane_path().parent.glob("[0-9]*")):
            _migrate_lane(lane, identities)

    def write(transaction: Transaction) -> None:
        for build in renamed:
            record(transaction, build)
        stamp(transaction, Kind.CATALOGUE)

    environment.update(write)
    _log().info("the data folder was migrated to this version's store format", folder=str(data))


def _refuses_as_before(path: Path) -> bool:
    """Tell whether a lane holds an event that reached no view: today it would wait at the views it is meant for.

    No fold of today makes the state of such a lane, so that it must not go by the identity of one.
    """
    if not is_file(path / "data.mdb") or DirtyMark(path).is_outlived():
        return False
    try:
        environment = open_to_write(path)
        with environment.closed_on_error(), environment.read() as transaction:
            found = any(decode_parked(stored).view_id is None for _, stored in entries_below(transaction, PARKED))
        environment.close()
    except StorageDamagedError:  # told when it is migrated
        return False
    return found


def _renamed(build: Build, identities: dict[str, str], refuses_as_before: bool) -> Build:
    """The build under its new identity; `identities` learns by which new one each of its old ones goes."""
    try:
        base = Recipe.decode(build.recipe).base_identity
    except ValueError:  # nobody can fold by it, today as before
        base = build.base_identity
    lineage = build.lineage
    if lineage is not None:
        lineage = lineage._replace(fold_identity=identities.get(lineage.fold_identity, lineage.fold_identity))
    elif refuses_as_before:
        lineage = Lineage(build.fold_identity, 0)
    found = replace(build, base_identity=base, lineage=lineage)
    identities[build.base_identity] = base
    for drops in (build.drops, *(tuple(one for one in build.drops if one != last) for last in build.drops)):
        before, after = replace(build, drops=drops), replace(found, drops=drops)
        identities[before.fold_identity] = after.fold_identity
    return found


def _migrate_lane(path: Path, identities: Mapping[str, str]) -> None:
    if not is_file(path / "data.mdb") or DirtyMark(path).is_outlived():  # which is discarded when it is opened
        return
    try:
        environment = open_to_write(path)
        with environment.closed_on_error():
            without_view = environment.update(lambda transaction: _lane(transaction, identities))
        environment.close()
        if without_view:
            _log().warning(
                "events that reached no view are parked as the former version left them: today they would wait at "
                "the views that they are meant for. Answers of their tenants say `incomplete`; "
                "`projection run --new-build` folds anew",
                store=str(path),
                events=without_view,
            )
    except StorageDamagedError as error:
        _log().warning("a store is damaged and was not migrated", store=str(path), reason=error.message)


def _lane(transaction: Transaction, identities: Mapping[str, str]) -> int:
    """Migrate one lane; how many events are parked without a view in it."""
    if version_of(transaction) != FORMER_VERSION:
        return 0  # migrated before the last attempt was killed
    of_views, is_any_renamed = _views(transaction)
    gained = of_views + _parked(transaction, identities)
    if (digest := transaction.get(DIGEST)) is not None:
        transaction.put(DIGEST, str(StateDigest.parse(digest.decode()).plus(gained)).encode())
    _indexes(transaction, is_any_renamed=is_any_renamed)
    _changes(transaction)
    identity = transaction.get(FOLD_IDENTITY, b"").decode()
    transaction.put(FOLD_IDENTITY, identities.get(identity, identity).encode())
    stamp(transaction, Kind.LANE)
    parked = (decode_parked(stored) for _, stored in entries_below(transaction, PARKED))
    return sum(one.view_id is None and one.disposition is Disposition.PARKED for one in parked)


def _views(transaction: Transaction) -> tuple[int, bool]:
    """Rename views whose ids were escaped; what the digest gains by that, and whether there were any."""
    escaped = [key for key, _ in entries_below(transaction, VIEWS) if b"%" in key.split(b":", 3)[3]]
    gained = 0
    # A new key is shorter than its old one and may be the old one of another view, which by then is renamed.
    for old in sorted(escaped, key=len):
        prefix, view_id = old[: old.rindex(b":") + 1], old[old.rindex(b":") + 1 :]
        new = prefix + escape_id(unescape_part(view_id.decode())).encode()
        view = transaction.get(old, b"")
        gained += entry_digest(new, view) - entry_digest(old, view)
        transaction.delete(old)
        transaction.put(new, view)
    return gained, bool(escaped)


def _parked(transaction: Transaction, identities: Mapping[str, str]) -> int:
    """Rename parked events; what the digest gains by that and by taking less of them."""
    gained = 0
    for old in [key for key, _ in entries_below(transaction, PARKED)]:
        stored = transaction.get(old, b"")
        event = decode_parked(stored)
        event = event.model_copy(update={"fold_identity": identities.get(event.fold_identity, event.fold_identity)})
        gained += parked_digest(event) - entry_digest(old, stored)
        transaction.delete(old)
        transaction.put(parked_key(event), encode_parked(event))
    return gained


def _indexes(transaction: Transaction, *, is_any_renamed: bool) -> None:
    """Have the indexes built anew, in the background, where entries of theirs are of renamed views."""
    if (stored := transaction.get(INDEXES)) is None:
        return
    indexes = StoredIndexes.decode(stored)
    if is_any_renamed:
        declared = [index.keys for index in indexes.indexes]
        indexes = indexes.declare((), is_empty=False).declare(declared, is_empty=False)
    begun = tuple(replace(index, progress=None) for index in indexes.indexes)
    transaction.put(INDEXES, replace(indexes, indexes=begun).encode())


def _changes(transaction: Transaction) -> None:
    """Have the index of last changes filled anew, in the background, where entries of it are of escaped ids."""
    if (stored := transaction.get(CHANGES)) is None:
        return
    index = replace(ChangeIndex.decode(stored), progress=None)
    if index.is_recorded and any(b"%" in key.split(b":", 2)[2] for key, _ in entries_below(transaction, POINTERS)):
        index = replace(index, stage=Stage.CLEARING)
    transaction.put(CHANGES, index.encode())
