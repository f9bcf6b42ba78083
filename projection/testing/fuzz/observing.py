"""What is remarkable about a fold of some events: failures, costs, what a second delivery changes, commits that matter.

Events are folded one by one by the program itself; what fails changes nothing, and the fold goes on behind it, so that
one list of events can show many things.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from projection.engine.event import with_message
from projection.engine.lane import Lane
from projection.engine.parking import LaneHaltedError
from projection.engine.replay import FileEvents, Replay
from projection.errors import DecodeError
from projection.lang.cost.bounds import HandlerBound, bounds_of, payload_gas, view_gas
from projection.lang.failures import Failure, key_too_long
from projection.lang.program import payload_gas as gas_of_payload
from projection.lang.source import Span
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId
from projection.model.keys import MAX_KEY_BYTES, encoded_view_key, is_key_too_long
from projection.model.manifest import FIRST, Policy
from projection.store.memory import MemoryLaneStore
from projection.testing.given import given_events, recorded_by
from projection.testing.json_values import Hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projection.engine.deployment import DeployedView
    from projection.lang.core import Handler
    from projection.lang.program import Applied, Limits, Step
    from projection.testing.folding import Projection
    from projection.testing.given import GivenEvent

    ShortEvents = Sequence[Mapping[str, Any]]

NEAR = 80  # per cent of a limit: what comes so far may pass it on another day
DISORDER = ("R705", "R706")
ON_PURPOSE = "R710"
_OF_IDS = ("R707", "R708")  # an id that is empty or too long is one for every handler
_OF_LEDGERS = ("O901", "O902")
_OF_GROWTH = ("R711", "R712", *_OF_LEDGERS)  # what a view that has grown may run into


class Kind(StrEnum):
    """What is remarkable."""

    FAILS = "fails"
    DISORDER = "disorder"  # a view that should be there, or should not be
    ON_PURPOSE = "on purpose"  # `fail(…)`
    FULL = "full"  # the event was taken while the view was smaller
    NEAR = "near"  # a limit of gas or memory
    BEYOND = "beyond"  # a static bound; which cannot be
    COMMITS = "commits"  # the result depends on them; which cannot be
    TWICE = "twice"  # an event that comes again changes its view again
    CHANGES = "changes"  # a handler changes a view, as it should


class Sign(NamedTuple):
    """One remarkable thing; two folds show the same where their signs are equal."""

    kind: Kind
    what: str  # a code, or a ledger
    span: Span | None = None  # of the failure, or of the handler; None where the same in many places is one thing

    def anywhere(self) -> Sign:
        """A failure that is the same wherever it happens."""
        return self._replace(span=None) if self.kind in (Kind.FAILS, Kind.NEAR) else self


class Observation(NamedTuple):
    """A sign in one fold."""

    sign: Sign
    span: Span  # of the failure, or of the handler
    message: str = ""
    number: int = 0  # of the event, from 1
    view: tuple[str, str] | None = None  # tenant and id; None where the event reached none, or it is about no view


class Subject:
    """The one program that is looked at, as it is deployed."""

    def __init__(self, projection: Projection, deployed: DeployedView) -> None:
        self.projection = projection
        self.program = deployed.program
        self.view_type = deployed.entry.view_type
        # Where the log begins is no matter here, and a lane that halts would show nothing more.
        on_error = Policy.PARK if deployed.entry.on_error is Policy.HALT else deployed.entry.on_error
        entry = deployed.entry.replaced(start=FIRST, on_error=on_error)
        self._deployed = replace(deployed, entry=entry)
        self.events = FileEvents(entry, Tenancy())
        self.hints = Hints.of(deployed.program.checked)
        self.bounds = Bounds(deployed)

    def read(self, events: Iterable[Mapping[str, Any]]) -> Iterator[GivenEvent]:
        """The events that are written in short form."""
        return given_events(
            events,
            Path(),
            self.projection.aggregate_of,
            recorded=recorded_by(self._deployed.entry, self._deployed.tenancy),
        )

    def observe(self, events: ShortEvents, *, commits: bool = False) -> list[Observation]:
        """What is remarkable about these events; with `commits`, whether they matter is looked at, too."""
        given, fold = tuple(self.read(events)), Fold(self)
        found = [one for number, event in enumerate(given, 1) for one in fold.take(number, event)]
        if commits and self._come_to(given, commits=True) != self._come_to(given, commits=False):
            message = "a commit after each event makes other views than one commit after all"
            found.append(Observation(Sign(Kind.COMMITS, "commits"), Span(0, 0), message, len(given)))
        return found

    def _come_to(self, given: Sequence[GivenEvent], *, commits: bool) -> dict[str, str]:
        """The state digest: with a commit after each event and no view at hand, or with one commit after all."""
        replay = Replay([self._deployed], Tenancy())
        if commits:
            replay.lanes = [Lane(self._deployed, MemoryLaneStore(), cached_bytes=0)]

        def envelopes() -> Iterator[bytes]:
            for event in given:
                yield event.line
                if commits:
                    replay.lanes[0].commit(None)

        with suppress(LaneHaltedError):  # more is parked than the manifest allows
            replay.run(envelopes())
        return replay.digests()


class Bounds:
    """What a program may cost at most, by what is known of it beforehand."""

    def __init__(self, deployed: DeployedView) -> None:
        program = deployed.program
        self.limits: Limits = program.limits
        self._handlers = {
            (bound.span, bound.events, bound.via): bound for bound in bounds_of(program.checked, program.limits)
        }
        self._view = view_gas(program.checked.view, program.limits)

    def route(self, handlers: Sequence[Handler]) -> int:
        """The most gas that checking and routing an event may take."""
        return payload_gas().most + sum(self._of(one).route.gas.most for one in handlers)

    def steps(self, steps: Sequence[Step]) -> tuple[int, int]:
        """The most gas and memory that these steps may take on one view."""
        bodies = [self._of(run.handler).body for run, _item in steps]
        return 2 * self._view.most + sum(one.gas.most for one in bodies), sum(one.alloc.most for one in bodies)

    def _of(self, handler: Handler) -> HandlerBound:
        return self._handlers[handler.span, handler.events, handler.via]


class Fold:
    """Views that events make, and what is remarkable about each of them."""

    def __init__(self, subject: Subject) -> None:
        self.views: dict[tuple[str, str], Any] = {}
        self._subject = subject
        self._program = subject.program
        # A view as a handler first changed it; where it made it, as it first went on with it.
        self._before: dict[tuple[tuple[str, str], Span], Any] = {}

    def take(self, number: int, event: GivenEvent) -> Iterator[Observation]:
        """Fold one event."""
        found = with_message(self._subject.events.event(number, event.line), self._program.message_parts)
        if (envelope := found.envelope) is None:
            return
        reaction = self._program.reaction(envelope.aggregate_type, envelope.event_type)
        if reaction is None:
            return
        tenant, meta = found.tenant_id, found.meta
        again = msgspec.structs.replace(meta, sequence=number + 1)
        try:
            payload, targets, gas = reaction.take(envelope.payload, meta)
        except DecodeError:
            return  # made so on purpose: no part of the program has run
        except Failure as failure:
            yield _failed(failure)._replace(number=number)
            return
        for one in self._routed(reaction.handlers, gas, gas - gas_of_payload(envelope.payload)):
            yield one._replace(number=number)
        for view_id, steps in targets.items():
            key = (tenant, view_id)
            for one in self._applied(key, steps, payload, meta, again):
                yield one._replace(number=number, view=key)

    def _routed(self, handlers: Sequence[Handler], gas: int, of_routes: int) -> Iterator[Observation]:
        yield from _near(handlers[0].span, "route_gas", of_routes, self._program.limits.route_gas)
        if gas > self._subject.bounds.route(handlers):
            yield _beyond(handlers[0].span, "route_gas", gas)

    def _applied(
        self, key: tuple[str, str], steps: Sequence[Step], payload: Any, meta: Any, again: Any
    ) -> Iterator[Observation]:
        handler, before = steps[0][0].handler, self.views.get(key)
        most_gas, most_alloc = self._subject.bounds.steps(steps)
        try:
            if is_key_too_long(encoded_view_key(TenantId(key[0]), self._subject.view_type, key[1])):
                failure = key_too_long(MAX_KEY_BYTES)
                failure.span = handler.span
                raise failure
            applied = self._run(key, steps, payload, meta, before)
        except Failure as failure:
            if failure.gas > most_gas:
                yield _beyond(handler.span, "gas", failure.gas)
            is_full = failure.code in _OF_GROWTH and self._was_taken(key, steps, payload, meta, failure)
            yield _full(failure, steps[-1][0].handler) if is_full else _failed(failure)
            return
        limits = self._program.limits
        for ledger, used, limit, most in (
            ("gas", applied.gas, limits.gas, most_gas),
            ("alloc", applied.alloc, limits.alloc, most_alloc),
        ):
            yield from _near(handler.span, ledger, used, limit)
            if used > most:
                yield _beyond(handler.span, ledger, used)
        if self._encoded(applied.view) == self._encoded(before):
            return
        for run, _item in steps:
            self._before[key, run.handler.span] = self._before.get((key, run.handler.span)) or before
            yield Observation(Sign(Kind.CHANGES, "", run.handler.span), run.handler.span)
        self.views[key] = applied.view
        yield from self._twice(key, steps, payload, again)

    def _run(self, key: tuple[str, str], steps: Sequence[Step], payload: Any, meta: Any, view: Any) -> Applied:
        size = 0 if view is None else len(self._program.encode_view(view))
        return self._program.apply(key[1], steps, payload, meta, view, size)

    def _was_taken(
        self, key: tuple[str, str], steps: Sequence[Step], payload: Any, meta: Any, failure: Failure
    ) -> bool:
        """Whether the event would not have failed so on the view as its handler first changed it."""
        first = (key, steps[-1][0].handler.span)
        if first not in self._before or (failure.code in _OF_LEDGERS and self._before[first] is None):
            return False  # to go on with a view costs more than to make it, however small it is
        try:
            self._run(key, steps, payload, meta, self._before[first])
        except Failure as earlier:
            return earlier.code != failure.code
        return True

    def _twice(self, key: tuple[str, str], steps: Sequence[Step], payload: Any, meta: Any) -> Iterator[Observation]:
        """Which handlers change the view once more where the event comes once more."""
        once = self.views[key]
        for handler in {run.handler.span: run.handler for run, _ in steps}.values():
            own = [(run, item) for run, item in steps if run.handler is handler]
            with suppress(Failure):
                if self._encoded(self._run(key, own, payload, meta, once).view) != self._encoded(once):
                    yield Observation(Sign(Kind.TWICE, "", handler.span), handler.span)

    def _encoded(self, view: Any) -> bytes | None:
        return None if view is None else self._program.encode_view(view)


def _failed(failure: Failure) -> Observation:
    kinds = {ON_PURPOSE: Kind.ON_PURPOSE, **dict.fromkeys(DISORDER, Kind.DISORDER)}
    span = failure.span or Span(0, 0)
    is_one = failure.code in (*DISORDER, *_OF_IDS)
    sign = Sign(kinds.get(failure.code, Kind.FAILS), failure.code, None if is_one else Span(span.start, span.start))
    return Observation(sign, span, failure.message)


def _full(failure: Failure, handler: Handler) -> Observation:
    return Observation(Sign(Kind.FULL, failure.code, handler.span), handler.span, failure.message)


def _near(span: Span, ledger: str, used: int, limit: int) -> Iterator[Observation]:
    if used * 100 >= limit * NEAR:
        yield Observation(Sign(Kind.NEAR, ledger, span), span, f"{used:,} of {limit:,} are used")


def _beyond(span: Span, ledger: str, used: int) -> Observation:
    return Observation(Sign(Kind.BEYOND, ledger, span), span, f"{used:,} are used")
