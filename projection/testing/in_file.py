"""Runs the tests that stand in programs: their events are folded as a node folds them, their expectations computed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from projection.lang.check.in_file_tests import Given
from projection.lang.failures import Failure
from projection.lang.run.interpreter import Interpreter, Meter
from projection.lang.values.codec import encode
from projection.testing.expectations import differences
from projection.testing.failing import ExpectationError, shown_line
from projection.testing.folding import described
from projection.testing.given import FIRST_TIME, given_event
from projection.testing.snapshots import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.lang.check.in_file_tests import Expect, Test
    from projection.lang.source import Span
    from projection.testing.folding import Folded, Projection
    from projection.testing.given import GivenEvent


def run_test(projection: Projection, test: Test) -> None:
    """Run one test of a projection's only program.

    Raises:
        ExpectationError: an expectation does not hold; the message shows its line, both sides and the last event.
    """
    run = _Run(projection)
    for step in test.steps:
        if isinstance(step, Given):
            run.give(step)
        else:
            run.expect(step)


class _Run:
    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._program = projection.deployed[0].program
        self._source = self._program.checked.source
        self._given: tuple[GivenEvent, ...] = ()

    def give(self, step: Given) -> None:
        """Have one more event."""
        short = {
            "type": step.event_type,
            "data": msgspec.Raw(step.payload),
            "at": step.at,
            "aggregate": step.aggregate_type,
            "id": step.aggregate_id,
            "stored_at": step.stored_at,
            "subject": step.subject,
            "headers": dict(step.headers),
        }
        data = msgspec.json.encode({name: value for name, value in short.items() if value is not None})
        line, _ = self._source.position(step.span.start)
        time = self._given[-1].envelope.timestamp if self._given else FIRST_TIME
        event = given_event(data, f"{self._source.name}:{line}", time, self._projection.aggregate_of)
        self._given = (*self._given, event)

    def expect(self, step: Expect) -> None:
        """Compute an expectation over what has come of the events so far."""
        folded = self._projection.fold(self._given)
        limits = self._program.limits
        interpreter = Interpreter(self._program.checked.core.functions)
        meter = Meter(limits.gas, limits.alloc)
        frame: list[Any] = [None] * step.slots
        view_ids: list[str] = []
        try:
            for lookup in step.lookups:
                view_id = interpreter.run(lookup.id, frame, meter)
                view_ids += [view_id] if view_id else []  # no view has an empty id
                found = folded.held(view_id) if lookup.kind == "view" else folded.parked_as(view_id)
                frame[lookup.slot] = found
            holds = interpreter.run(step.condition, frame, meter)
        except Failure as failure:
            raise self._failed(step, folded, [f"{failure.code}: {failure.message}"], view_ids) from None
        if not holds:
            meter = Meter(limits.gas, limits.alloc)
            sides = [(self._text(span), interpreter.run(side, frame, meter)) for span, side in step.parts]
            raise self._failed(step, folded, list(_compared(sides)), view_ids)

    def _text(self, span: Span) -> str:
        return self._source.text[span.start : span.end]

    def _failed(self, step: Expect, folded: Folded, why: list[str], view_ids: list[str]) -> ExpectationError:
        lines = [f"does not hold: {shown_line(self._source, step.span)}", *why]
        view_type = self._projection.deployed[0].entry.view_type
        changes = [line for one in dict.fromkeys(view_ids) for line in folded.last_change("", view_type, one)]
        if not changes and folded.given_events:
            changes = [f"the last event was {folded.given_events[-1]}"]
        parked = [described(one) for one in folded.parked()]
        return ExpectationError("\n".join([*lines, *changes, *parked]))


def _compared(sides: list[tuple[str, Any]]) -> Iterator[str]:
    """What both sides of a comparison are; of two records, the fields that differ."""
    values = [json.loads(encode(value), parse_float=Decimal) for _, value in sides]
    if len(values) == 2 and all(isinstance(value, (dict, list)) for value in values):
        yield from differences(sides[0][0], values[1], values[0])
        return
    for (text, _), value in zip(sides, values, strict=True):
        shown = "none" if value is None else scalar(value)
        if text != shown:  # a literal says itself what it is
            yield f"{text} is {shown}"
