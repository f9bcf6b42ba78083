"""Why a view is what it is: the events that made it, from a log, and whether a node's stored view agrees."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from projection.engine.recipes import differences
from projection.engine.unhandled import Unhandled
from projection.history.subjects import Subjects, subjects_of
from projection.history.watching import WatchedViews
from projection.model.keys import encoded_view_key, is_key_too_long
from projection.query.errors import QueryLimitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.errors import ProjectionError
    from projection.history.logs import Log
    from projection.history.watching import Effect
    from projection.model.ids import TenantId, ViewId
    from projection.store.build import Build
    from projection.store.port import ViewReader


@dataclass(frozen=True, slots=True)
class StoredView:
    """A view as the build that answers holds it."""

    build: Build
    scanned: int  # how far that build is
    view: bytes | None
    suspended_at: int | None = None  # the event from which on nothing was folded for it


@dataclass(slots=True)
class Explanation:
    """What came of the events of one view."""

    tenant_id: TenantId
    view_id: ViewId
    subjects: Subjects  # that were read
    effects: list[Effect] = field(default_factory=list)  # in the log's order; also of events that reached no view
    view: bytes | None = None  # behind the last of them
    end: int = 0  # the last sequence that was looked at
    unreached: int = 0  # events of the tenant that reached no view, where only its aggregate would say whose they are
    # Where no event is for the view: those of types that the program does not handle, which may have been meant for it.
    unhandled: Unhandled | None = None
    left_out: int = 0  # effects before the first of `effects`, where only so many are kept
    halted: ProjectionError | None = None  # the policy said so at an event; later ones were not folded
    agrees: bool | None = None  # with the stored view; None where that cannot be compared


@dataclass(slots=True)
class Bounds:
    """What one explanation may take, where others wait for the same processor and memory."""

    events: int  # of the log, that may be read
    effects: int  # that are kept, the last ones
    bytes: int  # of the views that these hold, before and after
    _held: int = 0

    def require_few(self, read: int) -> None:
        """Refuse to read on.

        Raises:
            QueryLimitError: too many events were read.
        """
        if read > self.events:
            raise QueryLimitError(
                f"more than {self.events:,} events would have to be read for the history of this view",
                limit="past_events",
                value=self.events,
                hint="`projection why`, on the node's machine, reads any number",
            )

    def keep_few(self, found: Explanation) -> None:
        """Forget the first effects beyond the bounds; the last one stays."""
        self._held += _weight(found.effects[-1])
        while len(found.effects) > 1 and (len(found.effects) > self.effects or self._held > self.bytes):
            self._held -= _weight(found.effects.pop(0))
            found.left_out += 1


def _weight(effect: Effect) -> int:
    return len(effect.before or b"") + len(effect.after or b"")


def stored_view(data: Path, deployed: DeployedView, tenant_id: TenantId, view_id: ViewId) -> StoredView | None:
    """The view in a data folder; None where its view type has none there. A node may be running.

    Raises:
        ConfigurationError: there is no such folder.
        StorageError: the folder cannot be read.
    """
    from projection.store.catalog import CatalogReader  # noqa: PLC0415 - LMDB: without a data folder it is not needed
    from projection.store.lmdb_reader import LmdbViewReader  # noqa: PLC0415

    with CatalogReader.open(data) as catalog:
        build = catalog.serving(deployed.entry.view_type)
    if build is None:
        return None
    with LmdbViewReader.open(build.lane_path()) as reader:
        return stored_in(build, reader, tenant_id, view_id)


def stored_in(build: Build, reader: ViewReader, tenant_id: TenantId, view_id: ViewId) -> StoredView:
    """The view in the open store of a build.

    Raises:
        StorageError: the store cannot be read.
    """
    key = encoded_view_key(tenant_id, build.view_type, view_id)
    with reader.snapshot() as snapshot:
        suspended = (one.sequence for one in reader.suspensions() if one.concerns(tenant_id, view_id))
        view = None if is_key_too_long(key) else snapshot.get(key)
        return StoredView(build, snapshot.position.scanned, view, min(suspended, default=None))


def folded_otherwise(stored: StoredView, deployed: DeployedView) -> str | None:
    """What keeps a fold from being that of the stored view, in a few words; None where nothing does."""
    if stored.build.base_identity != deployed.base_identity:
        return ", ".join(differences(stored.build, deployed).values()) or "this version of projection"
    if stored.suspended_at is not None:
        return f"too much is parked, and it is suspended from event {stored.suspended_at:,} on"
    return None if stored.build.lineage is None else "it was adopted from another build, or folded by a former version"


async def explain(
    log: Log,
    deployed: DeployedView,
    tenant_id: TenantId,
    view_id: ViewId,
    *,
    at: int | None = None,
    stored: StoredView | None = None,
    progress: Callable[[int], None] | None = None,
    bounds: Bounds | None = None,
) -> Explanation:
    """The events that made a view.

    Args:
        log: where they are.
        deployed: what to fold, with the operator's decisions.
        tenant_id: whose view.
        view_id: which.
        at: the last sequence to fold; None for the end of the log.
        stored: to compare with, where the log is the one that it was folded from.
        progress: takes the sequence that was come to.
        bounds: what it may take; with them, nothing is told of events that the program does not handle.

    Raises:
        QueryLimitError: more events would have to be read.
        ProjectionError: the log cannot be read.
    """
    subjects = subjects_of(deployed, tenant_id, view_id)
    read = 0
    found = Explanation(tenant_id, view_id, subjects)
    before = await log.before_start(deployed)
    views = WatchedViews(deployed, {(tenant_id, view_id)}, before)
    last = 0  # the sequence of the last event that was folded
    async with aclosing(log.read(deployed, subjects.filters, before, at)) as batches:
        async for batch in batches:
            read += len(batch)
            if bounds is not None:
                bounds.require_few(read)
            for event in batch:
                sequence = event.message.sequence
                if stored is not None and last <= stored.scanned < sequence:
                    found.agrees = found.view == stored.view
                last = sequence
                for effect in views.take(event):
                    if effect.view_id is None and not subjects.are_own:
                        found.unreached += 1
                        continue
                    if effect.view_id is not None:
                        found.view = effect.after
                    found.effects.append(effect)
                    if bounds is not None:
                        bounds.keep_few(found)
            if progress is not None and batch:
                progress(batch[-1].message.sequence)
    found.halted = views.halted
    found.end = log.end if at is None else min(at, log.end)
    if stored is not None and last <= stored.scanned <= found.end:
        found.agrees = found.view == stored.view
    if bounds is None and not any(effect.view_id for effect in found.effects):
        found.unhandled = await _unhandled(log, deployed, found, before, at)
    return found


async def _unhandled(log: Log, deployed: DeployedView, found: Explanation, before: int, at: int | None) -> Unhandled:
    """Events that may have been meant for a view, and are of no type that the program handles."""
    unhandled = Unhandled(lambda: [deployed.program])
    subjects = subjects_of(deployed, found.tenant_id, found.view_id, of_any_type=True)
    async with aclosing(log.read(deployed, subjects.filters, before, at)) as batches:
        async for batch in batches:
            for event in batch:
                if (envelope := event.envelope) is not None and event.tenant_id == found.tenant_id:
                    unhandled.count += unhandled.is_unhandled(envelope.aggregate_type, envelope.event_type)
    return unhandled
