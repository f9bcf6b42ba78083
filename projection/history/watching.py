"""Some views folded alone, event by event, by the lane that the node folds with: what each event did to each of them.

A view depends on no other view, so what other events and other views come to need not be known. One thing is not seen:
that a lane halted at an event of another view.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING

from projection.engine.event import with_message
from projection.engine.lane import Lane
from projection.engine.parking import LaneHaltedError
from projection.errors import DecodeError, ProjectionError
from projection.history.changes import changes
from projection.lang.failures import Failure
from projection.model.ids import ViewId
from projection.model.keys import ViewKey
from projection.model.manifest import Policy
from projection.model.parked import HELD_CODE
from projection.model.subjects import matcher
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.history.changes import Change
    from projection.lang.program import Step
    from projection.model.ids import TenantId
    from projection.store.port import Commit

    Target = tuple[TenantId, ViewId]


class Outcome(StrEnum):
    """What became of an event at a view."""

    MADE = "made"
    CHANGED = "changed"
    DELETED = "deleted"
    UNCHANGED = "unchanged"  # the program took it, and the view stays as it is
    PARKED = "parked"
    WAITS = "waits"  # behind a parked one
    SKIPPED = "skipped"
    DROPPED = "dropped"  # by an operator
    HALTED = "halted"  # the lane stopped in front of it


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a view did not take an event."""

    code: str
    message: str
    place: str | None = None  # `file:line:column` of the program


@dataclass(frozen=True, slots=True)
class Effect:
    """What one event did to one view."""

    event: Event
    view_id: ViewId | None  # None: the event reached no view at all
    outcome: Outcome
    before: bytes | None = None  # the view's JSON; None where there was no view
    after: bytes | None = None
    lines: tuple[int, ...] = ()  # of the program: the handlers that ran, in their order, behind what made their event
    gas: int = 0  # of decoding, routing, and this view's handlers
    reason: Reason | None = None
    releases: bool = False  # an erasure: what was parked for the view is discarded

    @property
    def is_taken(self) -> bool:
        """Whether the program took the event for the view."""
        return self.outcome in (Outcome.MADE, Outcome.CHANGED, Outcome.DELETED, Outcome.UNCHANGED)

    @property
    def changes(self) -> list[Change]:
        """What differs in the view afterwards."""
        return changes(self.before, self.after)


class _Store(MemoryLaneStore):
    """Keeps the commits that nobody has looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._new: list[Commit] = []

    def commit(self, commit: Commit, on_written: Callable[[], None] | None = None) -> None:
        super().commit(commit, on_written)
        self._new.append(commit)

    def new_commits(self) -> list[Commit]:
        found, self._new = self._new, []
        return found


class WatchedViews:
    """Some views of one view type. Events go in, in the log's order, through `take`."""

    def __init__(self, deployed: DeployedView, views: Collection[Target], before_start: int) -> None:
        """The fold before its first event.

        Args:
            deployed: what to fold, with the operator's decisions.
            views: which.
            before_start: the last sequence that the view type does not read.
        """
        self.halted: LaneHaltedError | None = None  # the policy said so; nothing later is taken
        self._deployed = deployed
        self._views: dict[TenantId, set[str]] = {}
        for tenant_id, view_id in views:
            self._views.setdefault(tenant_id, set()).add(view_id)
        self._before_start = before_start
        self._reads = matcher(deployed.entry.subjects)
        self._store = _Store()
        self._lane = Lane(deployed, self._store)

    def view(self, tenant_id: TenantId, view_id: ViewId) -> bytes | None:
        """The JSON of a view as it is now; None where there is none."""
        return self._store.get_view(ViewKey(tenant_id, self._deployed.entry.view_type, view_id))

    def take(self, event: Event) -> Iterator[Effect]:
        """Fold one event, and tell what it did to each view that it was for; nothing where it was for none of them.

        An event that reached no view is told of as well: it may have been meant for one of these.
        """
        event = with_message(event, self._deployed.program.message_parts)
        wanted = self._views.get(event.tenant_id)
        message, envelope = event.message, event.envelope
        if not wanted or message.sequence <= self._before_start or self.halted is not None:
            return
        if not self._reads(message.subject):
            return
        if envelope is None:
            yield self._reached_none(event, event.error or DecodeError("the event has no envelope"))
            return
        if (reaction := self._lane.reaction(envelope.aggregate_type, envelope.event_type)) is None:
            return
        targets: Mapping[str, Sequence[Step]]
        refusal: ProjectionError | None = None
        try:
            _, targets, _ = reaction.take(envelope.payload, event.meta)
        except (DecodeError, Failure) as error:
            refusal, known = error, reaction.known_ids(envelope.payload, event.meta)
            targets = dict.fromkeys(known.ids, ())
        for view_id, steps in targets.items():
            if view_id in wanted and self.halted is None:
                yield self._fold(event, ViewId(view_id), steps)
        if refusal is not None and self.halted is None and not (known.ids and known.complete):
            yield self._reached_none(event, refusal)

    def _fold(self, event: Event, view_id: ViewId, steps: Sequence[Step]) -> Effect:
        target = (event.tenant_id, view_id)
        source, functions = self._deployed.program.checked.source, self._deployed.program.checked.core.functions
        spans = [span for run, _ in steps for span in (*run.handler.made_by(functions), run.handler.span)]
        lines = dict.fromkeys(source.position(span.start)[0] for span in spans)
        before, gas = self.view(*target), self._lane.gas
        outcome, reason, releases = Outcome.UNCHANGED, None, False
        try:
            self._lane.refold(event, view_id)
        except LaneHaltedError as halted:
            self.halted = halted
            outcome, reason = Outcome.HALTED, Reason(halted.code, halted.message)
        self._lane.commit(None)
        after = self.view(*target)
        for commit in self._store.new_commits():
            releases = bool(commit.released)
            for one in commit.parked:
                outcome = Outcome.WAITS if one.code == HELD_CODE else Outcome(one.disposition.value)
                reason = Reason(one.code, one.message, one.span)
        if self._is_dropped(event, view_id):
            outcome, reason = Outcome.DROPPED, None
        if before != after:
            outcome = Outcome.MADE if before is None else Outcome.DELETED if after is None else Outcome.CHANGED
        gas = self._lane.gas - gas
        return Effect(event, view_id, outcome, before, after, tuple(lines), gas, reason, releases)

    def _is_dropped(self, event: Event, view_id: ViewId | None) -> bool:
        sequence, tenant_id = event.message.sequence, event.tenant_id
        return any((sequence, tenant_id, one) in self._deployed.drops for one in (None, view_id))

    def _reached_none(self, event: Event, error: ProjectionError) -> Effect:
        policy = self._deployed.entry.on_error
        place = self._deployed.program.place(error) if isinstance(error, Failure) else None
        reason = Reason(error.code, error.message, None if place is None else PurePath(place).name)
        if self._is_dropped(event, None):
            outcome = Outcome.DROPPED
        elif policy is Policy.HALT:
            outcome = Outcome.HALTED
            self.halted = LaneHaltedError(f"sequence {event.message.sequence}: {error.message}", code=error.code)
        else:
            outcome = Outcome.SKIPPED if policy is Policy.SKIP else Outcome.PARKED
        return Effect(event, None, outcome, reason=reason)
