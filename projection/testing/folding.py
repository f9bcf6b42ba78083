"""A fold for authors, in memory, by the engine that the node runs: what comes of some events.

`Projection.load(Path("fine_summary.proj")).given(events).view("A1")` is one view; see also `views`, `parked` and `gas`.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.engine.deployment import load_deployment
from projection.engine.parking import LaneHaltedError
from projection.engine.replay import FileEvents, Replay
from projection.engine.starts import before_start_in_file
from projection.errors import ConfigurationError
from projection.history.watching import WatchedViews
from projection.model.envelope import Tenancy
from projection.model.escaping import unescape_token
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.keys import ViewKey
from projection.model.parked import Disposition
from projection.model.problems import did_you_mean
from projection.model.subjects import matcher
from projection.testing.coverage import measured
from projection.testing.finding import manifest_of
from projection.testing.given import FIRST_TIME, given_events, recorded_by

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.history.watching import Effect
    from projection.model.manifest import ManifestView
    from projection.model.parked import ParkedEvent
    from projection.testing.given import Events, GivenEvent

DEFAULT_AGGREGATE = "aggregate"  # the type of an event's aggregate where neither program nor manifest names one
_TENANCY = Tenancy()


class NoSuchViewError(ConfigurationError, LookupError):
    """A test asks for a view that is not there, or that it does not name well enough."""


class Parked(NamedTuple):
    """An event that a view could not take."""

    sequence: int  # of the event, from 1
    event: str  # its type
    tenant: str
    view_type: str
    view_id: str | None  # None where the event reached no view
    code: str
    message: str
    place: str | None  # `file:line:column` of the program
    skipped: bool  # whether the policy goes on behind it


class EventGas(NamedTuple):
    """What one event cost, for each view type that it was given to."""

    sequence: int
    event: str
    gas: dict[str, int]


class Projection:
    """Programs that are deployed together, to be given events."""

    def __init__(
        self, name: str, deployed: Sequence[DeployedView], folder: Path, warn: Callable[[str], None] | None = None
    ) -> None:
        self.name = name
        self.deployed = tuple(deployed)
        self._folder = folder  # what paths of events start from
        self._warn = warn

    @classmethod
    def load(cls, path: Path, view_type: str | None = None) -> Projection:
        """A program, a manifest, or a folder with either.

        Args:
            path: of a `.proj` file, of a manifest, or of a folder.
            view_type: the one of a manifest that is wanted; else all.

        Raises:
            ConfigurationError: there is nothing of the kind, or the manifest is wrong.
            ProgramInvalidError: a program does not check.
        """
        manifest = manifest_of(path)
        views = [view for view in manifest.views if view_type in (None, view.view_type)]
        chosen = manifest.replaced(views=tuple(views))
        name = view_type or (str(views[0].view_type) if len(views) == 1 else manifest.path.resolve().parent.name)
        return cls(name, load_deployment(chosen, _TENANCY), manifest.path.parent)

    def used_in(self, folder: Path, warn: Callable[[str], None]) -> Projection:
        """The same for tests in a folder, which paths of events start from; `warn` takes sentences on likely slips."""
        return Projection(self.name, self.deployed, folder, warn)

    def given(self, events: Events, after: Sequence[GivenEvent] = ()) -> Folded:
        """What comes of these events; `projection/testing/given.py` says how they can be written.

        Args:
            events: one or several, or a path of a file.
            after: what was given before them.

        Raises:
            ConfigurationError: something is no event; names the place.
        """
        __tracebackhide__ = True  # a traceback of pytest ends where the test asks
        time = after[-1].envelope.timestamp if after else FIRST_TIME
        recorded = recorded_by(self.deployed[0].entry, self.deployed[0].tenancy)
        new = tuple(given_events(events, self._folder, self.aggregate_of, time, recorded))
        if self._warn is not None:
            for event in new:
                self._warn_of(event, self._warn)
        return self.fold((*after, *new))

    def _warn_of(self, event: GivenEvent, warn: Callable[[str], None]) -> None:
        """Who writes the short form writes for these programs; a whole log also holds what others take."""
        if event.is_short and not self.takes(event):
            known = did_you_mean(event.event_type, self.event_types())
            warn(f"{event.place}: no program of {self.name} takes event {event.event_type!r}; {known}")

    def fold(self, events: tuple[GivenEvent, ...]) -> Folded:
        """What comes of events that have been read already.

        Raises:
            ConfigurationError: one is given a subject that is not read.
        """
        filters = list(dict.fromkeys(one for view in self.deployed for one in view.entry.subjects))
        is_read = matcher(filters)
        for event in events:
            if event.subject is not None and not is_read(event.subject):
                raise ConfigurationError(
                    f"{event.place}: no view type reads the subject {event.subject!r}",
                    hint=f"subjects that are read: {', '.join(filters)}",
                )
        return Folded(self, events)

    def takes(self, event: GivenEvent) -> bool:
        """Whether some program reacts to such an event."""
        return any(one.program.reaction(event.envelope.aggregate_type, event.event_type) for one in self.deployed)

    def event_types(self) -> list[str]:
        """The names under which events of the programs are published, sorted."""
        return sorted({wire for one in self.deployed for wire, _ in _wires(one)})

    def aggregate_of(self, event_type: str) -> str:
        """The type of aggregate of an event: as its program says, else as the manifest's subjects do."""
        for one in self.deployed:
            for wire, aggregate_type in _wires(one):
                if wire == event_type:
                    return aggregate_type or _type_in_subjects(one.entry) or DEFAULT_AGGREGATE
        return DEFAULT_AGGREGATE

    def __repr__(self) -> str:
        of = ", ".join(one.entry.view_type for one in self.deployed)
        return f"<projection {self.name}: views {of}; events {', '.join(self.event_types())}>"


class Folded:
    """What came of some events. The fold happens once, here; the rest are ways to look at it."""

    def __init__(self, projection: Projection, given: tuple[GivenEvent, ...]) -> None:
        self.projection = projection
        self.given_events = given
        self.halted: LaneHaltedError | None = None  # a policy said halt; nothing later was folded
        self.gas_by_event: list[EventGas] = []
        replay = Replay(measured(projection.deployed), _TENANCY)
        try:
            replay.run(self._watched(replay.lanes))
        except LaneHaltedError as halted:
            self.halted = halted
            for lane in replay.lanes:
                lane.commit(None)
        self._views: dict[ViewKey, bytes] = {}
        found = [item for lane in replay.lanes for item in lane.store.scan(None, lane.view_type)]
        self._views.update(sorted(found, key=lambda item: item[0].encode()))
        self._parked = [self._as_parked(one) for lane in replay.lanes for one in lane.store.parked()]
        self._parked.sort(key=lambda one: (one.sequence, one.view_type, one.view_id or ""))

    def _watched(self, lanes: Sequence[Lane]) -> Iterator[bytes]:
        """The envelopes, one by one; when the fold comes for the next, the last one's gas is known."""
        for sequence, event in enumerate(self.given_events, 1):
            before = [lane.gas for lane in lanes]
            yield event.line
            used = {str(lane.view_type): lane.gas - gas for lane, gas in zip(lanes, before, strict=True)}
            self.gas_by_event.append(EventGas(sequence, event.event_type, used))

    def _as_parked(self, one: ParkedEvent) -> Parked:
        return Parked(
            sequence=one.sequence,
            event=self.given_events[one.sequence - 1].event_type,
            tenant=str(one.tenant_id),
            view_type=str(one.view_type),
            view_id=None if one.view_id is None else str(one.view_id),
            code=one.code,
            message=one.message,
            place=one.span,
            skipped=one.disposition is Disposition.SKIPPED,
        )

    def given(self, events: Events) -> Folded:
        """What comes of these events behind those that were given already."""
        __tracebackhide__ = True
        return self.projection.given(events, after=self.given_events)

    def view(self, view_id: str, *, of: str | None = None, tenant: str | None = None) -> dict[str, Any]:
        """One view, as its readers get it: a number with a fraction is a Decimal, everything else as in JSON.

        Args:
            view_id: which.
            of: its view type; needed where there are several.
            tenant: whose; needed where the views are of several tenants.

        Raises:
            NoSuchViewError: it is not there; says which are, and whether an event of it is parked.
        """
        __tracebackhide__ = True
        views = self.views(of=of, tenant=tenant)
        if view_id not in views:
            known = did_you_mean(view_id, views)
            waiting = [one for one in self._parked if one.view_id == view_id]
            why = "".join(f"; {described(one)}" for one in waiting[:1])
            raise NoSuchViewError(f"there is no view {view_id!r}{why}", hint=known)
        return views[view_id]

    def views(self, *, of: str | None = None, tenant: str | None = None) -> dict[str, dict[str, Any]]:
        """The views of one type and one tenant by their ids, in key order; see `view`.

        Raises:
            NoSuchViewError: there are several types or tenants, and none is named; or there is no such type.
        """
        __tracebackhide__ = True
        types = [str(one.entry.view_type) for one in self.projection.deployed]
        if of is not None and of not in types:
            raise NoSuchViewError(f"there is no view type {of!r}", hint=did_you_mean(of, types))
        tenants = list(dict.fromkeys(str(key.tenant_id) for key in self._views))
        of = _the_one(of, types, "of", "view types")
        tenant = _the_one(tenant, tenants or [""], "tenant", "tenants")
        return {id_: view for owner, kind, id_, view in self.all_views() if (owner, kind) == (tenant, of)}

    def all_views(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Tenant, view type, id and view of all views, in key order."""
        for key, data in self._views.items():
            view = json.loads(data, parse_float=Decimal)
            yield str(key.tenant_id), str(key.view_type), str(key.view_id), view

    def held(self, view_id: str) -> Any:
        """A view of the default tenant and the first view type as programs hold it; None where there is none."""
        if not view_id:
            return None
        deployed = self.projection.deployed[0]
        data = self._views.get(ViewKey(DEFAULT_TENANT, deployed.entry.view_type, ViewId(view_id)))
        return None if data is None else deployed.program.decode_view(data)

    def parked_as(self, view_id: str) -> str | None:
        """The code that the first event of a view was parked with; None where none is parked."""
        return next((one.code for one in self._parked if one.view_id == view_id), None)

    def parked(self) -> list[Parked]:
        """The events that views could not take, in order; also those that the policy skipped."""
        return list(self._parked)

    def gas(self, *, of: str | None = None) -> int:
        """What the programs used for all events, or one of them; an event that was parked costs nothing here."""
        return sum(used for one in self.gas_by_event for kind, used in one.gas.items() if of in (None, kind))

    def last_change(self, tenant: str, view_type: str, view_id: str) -> Iterator[str]:
        """Lines on the event that changed a view last, and on the handlers that did: folds it once more."""
        (deployed,) = (one for one in self.projection.deployed if one.entry.view_type == view_type)
        folded = self.given_events[: len(self.gas_by_event)]  # not those behind a halt
        if not folded:
            return
        read = FileEvents(deployed.entry, _TENANCY).event
        views = WatchedViews(deployed, {(TenantId(tenant), ViewId(view_id))}, before_start_in_file(deployed))
        last: Effect | None = None
        for sequence, event in enumerate(folded, 1):
            for effect in views.take(read(sequence, event.line)):
                last = effect if effect.changes else last
        if last is None:
            return
        sequence, source = last.event.message.sequence, deployed.program.checked.source
        yield f"{view_id} was last changed by event {sequence}, {folded[sequence - 1]}, in"
        yield from (f"{source.name}:{line}: {source.line(line).strip()}" for line in last.lines)

    def __repr__(self) -> str:
        ended = f", halted: {self.halted.message}" if self.halted else ""
        shown = "".join(f"\n  {kind} {id_!r} of {owner!r}" for owner, kind, id_, _ in self.all_views())
        shown += "".join(f"\n  {described(one)}" for one in self._parked)
        count = len(self.given_events)
        return f"<{self.projection.name} given {count} event{'s' * (count != 1)}: {self.gas()} gas{ended}{shown}>"


def described(one: Parked) -> str:
    """A sentence on a parked event."""
    where = f" at {one.place}" if one.place else ""
    became = "skipped" if one.skipped else "parked"
    return f"event {one.sequence} ({one.event}) is {became}: {one.code}{where}: {one.message}"


def _the_one(named: str | None, known: Collection[str], argument: str, what: str) -> str:
    __tracebackhide__ = True
    if named is not None:
        return named
    if len(known) > 1:
        shown = ", ".join(map(repr, known))
        raise NoSuchViewError(f"there are {len(known)} {what}: {shown}", hint=f"name one with `{argument}=…`")
    return next(iter(known))


def _wires(one: DeployedView) -> Iterator[tuple[str, str | None]]:
    """The names under which events are published, each with the aggregate type that its program asks for."""
    for name, event in one.program.checked.event_declarations.items():
        for wire in event.wires or (name,):
            yield wire, event.aggregate_type


def _type_in_subjects(entry: ManifestView) -> str | None:
    if entry.events is not None:
        return None
    at = entry.subject_template.tokens.index("<type>")
    found = entry.subjects[0].split(".")[at]
    return None if found == "*" else unescape_token(found)
