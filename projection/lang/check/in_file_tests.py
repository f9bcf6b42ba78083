"""Tests that stand in the program's own file: events, and what is expected of the views that they make."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from projection.errors import DecodeError
from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.access import is_header
from projection.lang.check.expressions import Expressions
from projection.lang.check.places import Typed, form
from projection.lang.cost.segments import with_charges
from projection.lang.immutable import Immutable
from projection.lang.syntax import nodes as syn
from projection.lang.values.codec import Codec, encode
from projection.lang.values.mending import parse_timestamp
from projection.lang.values.numbers import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from projection.lang.check.expressions import Signature
    from projection.lang.check.schema import Schema
    from projection.lang.reporting import Diagnostic
    from projection.lang.source import Span


class Given(Immutable, frozen=True):
    """An event that a test folds; `payload` is its JSON by names on the wire, `at` its timestamp as written.

    `stored_at`, `subject` and `headers` are of the message that it came in, as far as the test says something of that.
    """

    span: Span
    event_type: str  # on the wire
    aggregate_type: str | None  # None where neither the test says it nor the program
    aggregate_id: str | None  # None where the test does not say it
    payload: bytes
    at: str | None
    stored_at: str | None = None
    subject: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Lookup(Immutable, frozen=True):
    """What stands in a slot before an expectation is computed: a view or none, or the code that parked an id or none.

    `id` is computed in the expectation's own frame, after the lookups before it.
    """

    kind: Literal["view", "parked"]
    slot: int
    id: core.Core


class Expect(Immutable, frozen=True):
    """A condition that must be true here, in a frame of `slots`.

    `parts` are the two sides of a comparison, each with its place in the text: what a failure shows.
    """

    span: Span
    condition: core.Core
    lookups: tuple[Lookup, ...]
    slots: int
    parts: tuple[tuple[Span, core.Core], ...]


class Test(Immutable, frozen=True):
    """A test: its steps run in order, from no view at all."""

    __test__ = False  # pytest collects classes of this name

    name: str
    span: Span
    steps: tuple[Given | Expect, ...]


class Expectation(Expressions):
    """The checker of one `expect`: there, `view(ID)` and `parked(ID)` look at what the events have made."""

    def __init__(
        self,
        schema: Schema,
        functions: Mapping[str, Signature],
        problems: list[Diagnostic],
        warnings: list[Diagnostic],
    ) -> None:
        super().__init__(schema, functions, problems, warnings)
        self.lookups: list[Lookup] = []
        self.no_view = "in a test without an id: `view(ID)`"

    def call(self, call: syn.Call, place: ty.Type | None) -> Typed:
        """`view(ID)`, `parked(ID)`, or any other call."""
        if call.name == "view":
            return self._lookup("view", call, self.schema.view or ty.NEVER)
        if call.name == "parked":
            return self._lookup("parked", call, ty.TEXT)
        return super().call(call, place)

    def reached(self, value: Typed, base: syn.Expression) -> Typed:
        """The fields of `view(ID)` can be read directly: where there is no view, the expectation has failed."""
        if isinstance(base, syn.Call) and base.name == "view" and isinstance(value.type, ty.Optional):
            path = core.Const(base.span, self.schema.source.text[base.span.start : base.span.end])
            return Typed(form("asserted", base.span, value.core, path), value.type.inner)
        return value

    def _lookup(self, kind: Literal["view", "parked"], call: syn.Call, found: ty.Type) -> Typed:
        if len(call.arguments) != 1:
            return self.report(diag.wrong_argument_count(call.span, kind, "one id", len(call.arguments)))
        before, self.variables = self.variables, {}  # it is looked up before anything of the expectation is computed
        id_ = self.fitted(call.arguments[0], ty.TEXT, "the id")
        self.variables = before
        slot = self.new_slot()
        self.lookups.append(Lookup(kind, slot, id_))
        return Typed(core.Local(call.span, slot), ty.optional(found) if found is not ty.NEVER else found)


class TestChecker:
    """Checks the tests of a program; whether their events fit the `schema` only where that is sound.

    `expectation` makes a checker of one `expect`; `calls` are the functions that were called.
    """

    __test__ = False

    def __init__(
        self, schema: Schema, expectation: Callable[[], Expectation], problems: list[Diagnostic], *, is_sound: bool
    ) -> None:
        self._schema = schema
        self._expectation = expectation
        self._problems = problems
        self._is_sound = is_sound
        self.calls: set[str] = set()

    def check(self, tests: Iterable[syn.Test], *, takes_all: bool) -> tuple[Test, ...]:
        """The tests, with problems reported; `takes_all` says whether there is an `on *`."""
        first: dict[str, Span] = {}
        found: list[Test] = []
        for test in tests:
            if (span := first.get(test.name)) is not None:
                line = self._schema.source.position(span.start)[0]
                self._problems.append(diag.already_declared(test.name_span, test.name, line, span))
            first.setdefault(test.name, test.name_span)
            steps = [
                self._expect(step) if isinstance(step, syn.Expect) else self._given(step, takes_all=takes_all)
                for step in test.steps
            ]
            found.append(Test(test.name, test.span, tuple(step for step in steps if step is not None)))
        return tuple(found)

    def _expect(self, expect: syn.Expect) -> Expect:
        checker = self._expectation()
        condition = checker.condition(expect.condition)
        self.calls |= checker.calls
        parts: list[tuple[Span, core.Core]] = []
        node = condition
        if isinstance(expect.condition, syn.Compare) and isinstance(node, core.Op):
            if node.operation.name == "not" and isinstance(node.operands[0], core.Op):  # `!=`, `not in`
                node = node.operands[0]
            parts = [(side.span, with_charges(side)) for side in node.operands]
        return Expect(
            expect.span, with_charges(condition), tuple(checker.lookups), checker.slots, tuple(parts)
        )  # fmt: skip

    # events

    def _given(self, given: syn.Given, *, takes_all: bool) -> Given | None:
        declared, wire = self._declared(given)
        if declared is None and not (given.is_wire and takes_all):
            if given.name not in self._schema.unreadable:
                known = [] if given.is_wire else self._schema.events
                names = dict.fromkeys([*known, *self._schema.wires()])
                self._problems.append(diag.unknown_event(given.name_span, given.name, names))
            return None
        for moment in (given.at, given.stored_at):
            if moment is not None and not _is_timestamp(moment[0]):
                self._problems.append(diag.bad_timestamp(moment[1], moment[0]))
        payload = encode(_plain(given.payload))
        aggregate_type, aggregate_id = given.aggregate or (None if declared is None else declared.aggregate_type, None)
        at, stored_at, subject = (part and part[0] for part in (given.at, given.stored_at, given.subject))
        found = Given(
            given.span, wire, aggregate_type, aggregate_id, payload, at, stored_at, subject, self._headers(given)
        )
        if declared is None:
            return found
        before = len(self._problems)
        self._object(given.payload, self._schema.events[declared.name])
        if self._is_sound and len(self._problems) == before:
            self._decoded(given, self._schema.events[declared.name], payload)
        return found

    def _headers(self, given: syn.Given) -> tuple[tuple[str, str], ...]:
        found = {}
        for name, span, value in () if given.headers is None else given.headers.members:
            if not isinstance(value, syn.JsonValue) or not isinstance(text := value.value, str):
                self._problems.append(diag.bad_header(span, f"the header `{name}` is no text", "write a text"))
            elif not is_header(name) or "\r" in text or "\n" in text:
                help_ = "a name is of letters, digits and `-`; a text stands on one line"
                self._problems.append(diag.bad_header(span, "no message has such a header", help_))
            else:
                found[name] = text
        return tuple(found.items())

    def _declared(self, given: syn.Given) -> tuple[syn.Event | None, str]:
        """The declaration that a test names, as it is declared or as on the wire; and the name that is published."""
        events = self._schema.event_declarations
        if not given.is_wire and (declared := events.get(given.name)) is not None:
            return declared, (declared.wires or (declared.name,))[0]
        return next((one for one in events.values() if given.name in (one.wires or (one.name,))), None), given.name

    def _object(self, written: syn.JsonObject, record: ty.Record) -> None:
        """A record's fields by their names on the wire: known, once, and all that must be there."""
        fields = {wire: field for field in record.fields.values() for wire in field.wires}
        given: set[str] = set()
        for name, span, value in written.members:
            if name in given:
                self._problems.append(diag.given_twice(span, f"`{name}`"))
            given.add(name)
            if (field := fields.get(name)) is None:
                self._problems.append(diag.unknown_field(span, name, str(record), fields, record.line))
            else:
                self._inside(value, field.type)
        missing = [one.wires[0] for one in record.fields.values() if one.required and not given.intersection(one.wires)]
        if missing:
            self._problems.append(diag.missing_fields(written.span, str(record), missing))

    def _inside(self, value: syn.Json, type_: ty.Type) -> None:
        inner = type_.inner if isinstance(type_, ty.Optional) else type_
        match value, inner:
            case syn.JsonObject(), ty.Record():
                self._object(value, inner)
            case syn.JsonObject(members=members), ty.Map():
                for _name, _span, one in members:
                    self._inside(one, inner.value)
            case syn.JsonList(items=items), ty.List():
                for one in items:
                    self._inside(one, inner.item)

    def _decoded(self, given: syn.Given, event: ty.Record, payload: bytes) -> None:
        """The payload is read as it will be read when the test runs; what does not fit is shown at its field."""
        try:
            Codec(event).decode(payload)
        except DecodeError as error:
            path = re.search(r"`\$\.([^`.\[]+)", error.message)
            spans = (one.span for name, _span, one in given.payload.members if path is not None and name == path[1])
            why = error.message.removeprefix(f"the payload does not fit {event}: ")
            self._problems.append(diag.payload_misfit(next(spans, given.payload.span), str(event), why))


def _is_timestamp(text: str) -> bool:
    try:
        parse_timestamp(text)
    except ValueError:
        return False
    return True


def _plain(written: syn.Json) -> Any:
    match written:
        case syn.JsonObject():
            return {name: _plain(value) for name, _span, value in written.members}
        case syn.JsonList():
            return [_plain(item) for item in written.items]
        case syn.JsonValue(value=int() as number) if not MIN_INT <= number <= MAX_INT:
            return Decimal(number)
        case syn.JsonValue():
            return written.value
