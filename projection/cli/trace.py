"""`projection trace`: one event through a program, value by value."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import say
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.cli.history import History
    from projection.engine.event import Event
    from projection.lang import core
    from projection.lang.failures import Failure
    from projection.lang.program import Program, Step
    from projection.lang.run.tracing import Tracing
    from projection.store.port import LaneStore

EXAMPLES = ("projection trace fine_summary.proj --events events.jsonl --event 3",)
_PIPED = 120  # columns where nobody watches a terminal


def trace(
    program: Annotated[Path, Argument(help="A program (.proj), or a manifest of one.")],
    *,
    events: Annotated[Path, Option(metavar="FILE", help="Events: one JSON envelope per line, or their short form.")],
    event: Annotated[
        int, Option(metavar="N", min=1, help="The number of the event, from 1; those before it are folded first.")
    ],
) -> None:
    """Show what one event does, value by value.

    That is its route, whether the view exists, and each expression. The two columns on the left are the line of the
    program and the gas that is charged there, before what is inside. Exit status: 0 done, 1 the event fails, or the
    program has errors, 2 there is no such event.
    """
    from projection.cli.history import History

    tracing = _Tracing(History(program, events), event)
    for line in tracing.lines():
        say(line)
    if tracing.has_failed:
        raise Exit(EXIT_FAILED)


class _Tracing:
    """One of some events, on the views that those before it made."""

    def __init__(self, history: History, number: int) -> None:
        from projection.lang.program import Program
        from projection.lang.run.tracing import Tracing

        self.has_failed = False
        self._history = history
        self._number = number
        deployed = history.deployed
        checked = deployed.program.checked
        self._tracing: Tracing = Tracing(checked.core.functions)
        self._program: Program = Program(checked, deployed.program.limits, self._tracing)
        self._width = shutil.get_terminal_size((_PIPED, 24)).columns

    def lines(self) -> Iterator[str]:
        """All that happens, in the order in which it does."""
        from projection.cli.steps import shortened
        from projection.engine.event import with_message
        from projection.errors import DecodeError
        from projection.lang.failures import Failure
        from projection.lang.program import payload_gas

        event = with_message(self._history.event(self._number), self._program.message_parts)
        given = self._history.given[self._number - 1]
        yield shortened(f"event {self._number}: {given}", self._width)
        store = self._history.store_before(self._number)
        if event.envelope is None or event.error is not None:
            yield from self._failed(str(event.error))
            return
        reaction = self._program.reaction(event.envelope.aggregate_type, event.envelope.event_type)
        if reaction is None:
            yield f"the program handles no event {event.envelope.event_type!r}: nothing happens"
            return
        try:
            payload = reaction.decode(event.envelope.payload)
            targets, _gas = reaction.route(payload, event.meta)
        except DecodeError as error:
            yield from self._failed(f"{error.code}: {error.message}")
            return
        except Failure as failure:
            yield from self._taken("route")
            yield from self._failure(failure)
            return
        routing = sum(run.gas for run in self._tracing.runs)
        yield from self._taken("route")
        yield f"check of the payload: gas {payload_gas(event.envelope.payload):,}"
        yield f"route_gas {routing:,} of {self._program.limits.route_gas:,}"
        if not targets:
            yield "no view is touched"
        for view_id, steps in targets.items():
            yield from self._apply(store, event, payload, view_id, steps)

    def _taken(self, title: str) -> Iterator[str]:
        """The steps of all routines that have run since the last time."""
        from projection.cli.steps import StepLines

        yield from ("", title)
        for run in self._tracing.runs:
            lines = StepLines(self._program.checked.source, self._width)
            for step in run.steps:
                yield from lines.lines(step)
        self._tracing.runs.clear()

    def _apply(
        self, store: LaneStore, event: Event, payload: Any, view_id: str, steps: Sequence[Step]
    ) -> Iterator[str]:
        from projection.cli.steps import shortened
        from projection.lang.failures import Failure

        data = self._history.view(store, event.tenant_id, view_id)
        view = None if data is None else self._program.decode_view(data)
        is_there = "is not there" if data is None else data.decode()
        yield from ("", shortened(f"view {view_id} {is_there}", self._width))
        if any(one.view_id == view_id and one.tenant_id == event.tenant_id for one in store.parked()):
            yield "an earlier event of this view is parked: in a node this one waits behind it"
        title = "\n".join(self._title(run.handler, item) for run, item in steps)
        try:
            size = 0 if data is None else len(data)
            applied = self._program.apply(view_id, steps, payload, event.meta, view, size)
        except Failure as failure:
            yield from self._taken(title)
            yield from self._failure(failure)
            return
        around = applied.gas - sum(run.gas for run in self._tracing.runs)
        yield from self._taken(title)
        limits = self._program.limits
        yield f"gas {applied.gas:,} of {limits.gas:,}: {around:,} for reading and writing the view"
        yield f"alloc {applied.alloc:,} of {limits.alloc:,}"
        yield from self._changes(view_id, view, applied.view)

    def _title(self, handler: core.Handler, item: Any) -> str:
        from projection.cli.steps import shortened, shown_value

        line = self._program.checked.source.position(handler.span.start)[0]
        each = "" if handler.source is None else f" for {shown_value(item)}"
        made = "".join(f", {name}" for name in reversed(handler.via))
        on = f"on {', '.join(handler.events) or '*'} {handler.target}"
        return shortened(f"{on} (line {line}{made}){each}", self._width)

    def _changes(self, view_id: str, before: Any, after: Any) -> Iterator[str]:
        from projection.cli.steps import shortened, shown_value

        if after is before:
            yield f"view {view_id} stays as it is"
        elif after is None:
            yield f"view {view_id} is deleted"
        else:
            yield f"view {view_id} is {'made' if before is None else 'changed'}"
            for name in self._program.checked.view.fields:
                old = None if before is None else shown_value(getattr(before, name))
                new = shown_value(getattr(after, name))
                if old != new:
                    yield shortened(f"{name}: {'' if old is None else f'{old} → '}{new}", self._width)

    def _failed(self, why: str) -> Iterator[str]:
        self.has_failed = True
        yield f"failed: {why}"

    def _failure(self, failure: Failure) -> Iterator[str]:
        from projection.lang.reporting import Diagnostic

        self.has_failed = True
        if failure.span is None:
            yield from self._failed(f"{failure.code}: {failure.message}")
            return
        yield ""
        yield Diagnostic(failure.code, failure.message, failure.span).render(self._program.checked.source)
