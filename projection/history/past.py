"""A view as it was behind an event of the log: folded anew from its own events, up to there.

What answers is what the program that answers today makes of them, with the decisions of operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from projection.errors import StreamIdentityError
from projection.history.aside import FoldAside
from projection.model.keys import ViewKey
from projection.model.parked import Disposition
from projection.model.timestamp import parse_timestamp
from projection.query.errors import HistoryGoneError, NotFreshError, QueryInvalidError, QueryLimitError

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.history.logs import Log
    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId, ViewId
    from projection.store.build import Build
    from projection.store.lmdb_reader import LmdbLane

_DIGITS = 19  # of a sequence


@dataclass(frozen=True, slots=True)
class Known:
    """What a build says of a tenant: what its fold alone cannot tell of a single view."""

    position: LanePosition  # how far the build has come
    suspended_at: int | None = None  # the event from which on nothing is folded for the tenant as a whole
    unreached_at: int | None = None  # the first of its events that is parked and has reached no view


@dataclass(frozen=True, slots=True)
class PastView:
    """A view as it was."""

    sequence: int  # behind which event of the log
    view: bytes | None  # its JSON; None where there was none
    degraded: bool  # events of it were parked, or it was suspended
    incomplete: bool  # some event of the tenant had reached no view
    events: int  # that were read for it
    are_own: bool  # whether these were its own aggregate's, and not all of its tenant


def read_moment(text: str) -> int | str:
    """A sequence, or a time as RFC 3339 has it.

    Raises:
        QueryInvalidError: it is neither.
    """
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text):
        return int(text)
    try:
        time = parse_timestamp(text).time
    except ValueError:
        raise QueryInvalidError(
            f"{text[:64]!r} is neither the sequence of an event nor a time",
            hint="as 4711, or 2026-03-02T08:00:00Z",
        ) from None
    if time > datetime.now(UTC):
        raise QueryInvalidError(f"{text} is in the future, and nobody knows what will have been stored by then")
    return text


def known_of(reader: LmdbLane, tenant_id: TenantId) -> Known:
    """What a build holds of a tenant beside its views.

    Raises:
        StorageError: its store cannot be read.
    """
    suspended = [one.sequence for one in reader.suspensions() if one.tenant_id == tenant_id and one.view_id is None]
    waiting = (one for one in reader.parked_for(tenant_id, None) if one.disposition is Disposition.PARKED)
    unreached = (one.sequence for one in waiting)
    return Known(reader.position(), min(suspended, default=None), min(unreached, default=None))


async def past_view(
    log: Log,
    deployed: DeployedView,
    tenant_id: TenantId,
    view_id: ViewId,
    moment: int | str,
    *,
    build: Build | None = None,
    known: Known | None = None,
    most: int | None = None,
) -> PastView:
    """A view as it was behind a sequence, or behind the last event that was stored at a time or before it.

    Args:
        log: its events.
        deployed: what folds it, with the operator's decisions.
        tenant_id: whose it is.
        view_id: which.
        moment: as `read_moment` gives it.
        build: the one that answers; None where the log is a file.
        known: what that says of the tenant.
        most: how many events may be read; None for any number.

    Raises:
        NotFreshError: the build, or the log, has not come so far.
        HistoryGoneError: the log no longer holds all that the view was made of.
        QueryLimitError: more events would have to be read.
        ConfigurationError: the log knows no times.
        LaneHaltedError: a policy says halt, in a file of events.
        StreamError: the log cannot be read.
    """
    at = await sequence_at(log, moment, build, None if known is None else known.position)
    try:
        before = await log.whole_from(deployed, None if known is None else known.position)
        suspended_at = None if known is None else known.suspended_at
        fold = FoldAside(deployed, tenant_id, view_id, before=before, suspended_at=suspended_at)
        await fold.read(log, at, read=None if most is None else lambda now: _require_few(now, most))
    except StreamIdentityError as error:
        raise HistoryGoneError(error.message, hint=error.hint) from None
    if known is None and before < at and at > log.end:
        raise NotFreshError(f"the last event is {log.end:,}, and not {at:,}", hint="name an earlier one")
    with fold.store.snapshot() as snapshot:
        is_degraded = snapshot.is_degraded(tenant_id, view_id)
    suspended = suspended_at is not None and suspended_at <= at
    unreached = known is not None and known.unreached_at is not None and known.unreached_at <= at
    return PastView(
        at,
        fold.store.get_view(ViewKey(tenant_id, deployed.entry.view_type, view_id)),
        is_degraded or suspended,
        suspended or unreached,
        fold.events,
        fold.subjects.are_own,
    )


async def sequence_at(log: Log, moment: int | str, build: Build | None, position: LanePosition | None) -> int:
    """The sequence that a moment names.

    Args:
        log: the events.
        moment: as `read_moment` gives it.
        build: the one that answers; None where the log is a file.
        position: how far it has come.

    Raises:
        NotFreshError: the build has not come so far.
        ConfigurationError: the log knows no times.
        StreamError: the log cannot be read.
    """
    at = moment if isinstance(moment, int) else await log.last_at(moment)
    if position is not None and at > position.scanned:
        raise NotFreshError(
            f"{build} has come to event {position.scanned:,}, and not to {at:,}",
            hint="ask for an earlier one, or again in a moment",
        )
    return at


def _require_few(fold: FoldAside, most: int) -> None:
    if fold.events > most:
        raise QueryLimitError(
            f"more than {most:,} events would have to be read for this view",
            limit="past_events",
            value=most,
            hint="`projection query --at`, on the node's machine, reads any number",
        )
