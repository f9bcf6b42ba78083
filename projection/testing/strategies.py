"""Events for property tests: hypothesis strategies made of what a program declares.

    projection = Projection.load(Path("accounts.proj"))

    @given(events(projection))
    def test_a_balance_is_the_sum_of_what_came(given):
        folded = projection.given(given)

Events are in the short form of docs/testing.md. They are legal: each decodes, whatever it does. Ids are few, so that
events meet on the same views; times advance, stall and go back; some events come twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.lang import types as ty
from projection.testing.given import FIRST_TIME
from projection.testing.json_values import IDS, OFFSETS, Hints, JsonValues, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.engine.deployment import DeployedView
    from projection.lang.check.checker import CheckedProgram
    from projection.lang.syntax import nodes as syn
    from projection.testing.folding import Projection

Event: TypeAlias = dict[str, Any]

OTHER_TYPE = "SomethingElse"  # of an event that `on *` takes; with a number behind where a program declares that

_HUNDREDTHS = 100
_BEGUN = 3  # views that a sequence begins with
_STEPS = (  # from the event before; where there is none, both happen at once
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=40),
    -timedelta(minutes=1),
    -timedelta(days=1),
    -timedelta(days=40),
)


class _When(NamedTuple):
    """How long behind the event before, and at which offset that is written."""

    step: timedelta
    offset: timedelta


_WHEN = (None, None, *(_When(step, offset) for step in _STEPS for offset in OFFSETS))  # None: when the one before did
_Pick: TypeAlias = "tuple[Event, _When | None] | None"  # None: the event before comes once more


def payloads(projection: Projection, event: str, *, of: str | None = None, extremes: bool = True) -> Any:
    """Payloads of one declared event, as mappings of its names on the wire.

    Args:
        projection: what the event is for.
        event: its name in the program.
        of: the view type, where there are several.
        extremes: whether values come from the far ends of their types as well: the largest numbers, the first day, the
            longest text that has no declared bound. Declared bounds of up to 200 are met in any case.

    Raises:
        ConfigurationError: there is no such event.
    """
    checked = _deployed(projection, of).program.checked
    if event not in checked.events:
        raise ConfigurationError(f"{checked.source.name} declares no event {event!r}", hint=", ".join(checked.events))
    return JsonValues(Hints.of(checked), extremes=extremes).record(checked.events[event])


def one_event(
    projection: Projection,
    *,
    of: str | None = None,
    tenants: Sequence[str] = ("",),
    extremes: bool = True,
    illegal: float = 0.0,
) -> st.SearchStrategy[Event]:
    """Single events of every type that a program handles, in short form and without a time.

    Args:
        projection: what they are for.
        of: the view type, where there are several.
        tenants: whose they are.
        extremes: as for `payloads`.
        illegal: which share of them, 0 to 1, has a payload that does not fit what is declared (D105).
    """
    return _Types(projection, _deployed(projection, of).program.checked, tenants, extremes, illegal).of()


def events(
    projection: Projection,
    *,
    of: str | None = None,
    tenants: Sequence[str] = ("",),
    min_size: int = 1,
    max_size: int = 20,
    extremes: bool = True,
    illegal: float = 0.0,
) -> st.SearchStrategy[list[Event]]:
    """Sequences of events, in the order in which they come.

    Args:
        projection: what they are for.
        of: the view type, where there are several.
        tenants: whose they are.
        min_size: at least so many.
        max_size: at most so many.
        extremes: as for `payloads`.
        illegal: as for `one_event`.
    """
    types = _Types(projection, _deployed(projection, of).program.checked, tenants, extremes, illegal)
    new = st.tuples(types.of(), st.sampled_from(_WHEN))
    picks = st.lists(st.one_of(new, new, new, new, st.none()), min_size=min_size, max_size=max_size)
    # Most views have a beginning, and what goes on with them is found only behind it.
    begun = st.lists(types.of(beginnings=True), max_size=min(_BEGUN, max_size))
    found = st.tuples(begun, picks).map(lambda both: _timed(*both)[:max_size])
    return found.filter(lambda one: len(one) >= min_size)  # where nothing came yet, nothing comes once more


def _deployed(projection: Projection, of: str | None) -> DeployedView:
    found = [one for one in projection.deployed if of in (None, one.entry.view_type)]
    if len(found) != 1:
        known = ", ".join(one.entry.view_type for one in projection.deployed)
        raise ConfigurationError(
            f"events are made for one view type, not for {of or 'all'}", hint=f"name one of {known}"
        )
    return found[0]


class _Types:
    """Events of the types that a program handles."""

    def __init__(
        self, projection: Projection, checked: CheckedProgram, tenants: Sequence[str], extremes: bool, illegal: float
    ) -> None:
        hints = Hints.of(checked)
        self._projection = projection
        self._checked = checked
        self._illegal = illegal
        self._values = JsonValues(hints, extremes=extremes)
        self._around = _around(hints, tenants, self._values)

    def of(self, *, beginnings: bool = False) -> st.SearchStrategy[Event]:
        """Events of all types, or of those that views can begin with, where there are such."""
        handlers = self._checked.core.handlers
        chosen = [one for one in handlers if not (beginnings and (one.target == "updates" or one.only_deletes))]
        taken = {name for handler in chosen or handlers for name in handler.events}
        types = [self._declared(one) for name, one in self._checked.event_declarations.items() if name in taken]
        if any(not handler.events for handler in chosen or handlers):
            other = st.just(_other_type(self._checked))
            types.append(st.fixed_dictionaries({"type": other, "data": self._values.objects()}))
        event = st.one_of(types)
        return event if self._around is None else st.tuples(event, self._around).map(lambda both: both[0] | both[1])

    def _declared(self, declared: syn.Event) -> st.SearchStrategy[Event]:
        """Events of one declaration, under any of its names."""
        record, illegal = self._checked.events[declared.name], round(self._illegal * _HUNDREDTHS)
        payload: st.SearchStrategy[Any] = self._values.record(record)
        if illegal:
            chance = st.integers(0, _HUNDREDTHS - 1).map(lambda one: one >= _HUNDREDTHS - illegal)
            legal, misfits = payload, _misfits(record, self._values)
            payload = chance.flatmap(lambda is_wrong: misfits if is_wrong else legal)

        wires = declared.wires or (declared.name,)
        heads = [self._head(declared, wire) for wire in wires]
        if len(heads) == 1:  # what need not be drawn is not: most events have one name
            return payload.map(lambda data: {**heads[0], "data": data})
        return st.tuples(st.sampled_from(heads), payload).map(lambda both: {**both[0], "data": both[1]})

    def _head(self, declared: syn.Event, wire: str) -> Event:
        is_implied = declared.aggregate_type in (None, self._projection.aggregate_of(wire))
        return {"type": wire} | ({} if is_implied else {"aggregate": declared.aggregate_type})


def _other_type(checked: CheckedProgram) -> str:
    known = {wire for name, one in checked.event_declarations.items() for wire in one.wires or (name,)}
    return next(name for name in (OTHER_TYPE, *(f"{OTHER_TYPE}{n}" for n in range(1, 1_000))) if name not in known)


def _around(hints: Hints, tenants: Sequence[str], values: JsonValues) -> st.SearchStrategy[Event] | None:
    """What stands around a payload: only what can matter to the program, so that small events stay small."""
    fields: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    if len(tenants) > 1 or tenants[0]:
        fields["tenant"] = st.sampled_from(tuple(tenants))
    parts = hints.message_parts
    if "aggregate_id" in hints.meta or parts.subject:  # which a subject has a place for
        fields["id"] = st.sampled_from(IDS)
    for name in ("event_id", "correlation_id"):
        if name in hints.meta:
            optional[name] = st.sampled_from(IDS)
    if parts.headers:
        optional["headers"] = values.headers()
    if parts.stored_at:
        optional["stored_at"] = values.stored()
    return st.fixed_dictionaries(fields, optional=optional) if fields or optional else None


def _misfits(record: ty.Record, values: JsonValues) -> Any:
    """Payloads that do not fit: no object, a field that is missing, or one of another kind."""
    return st.one_of(
        st.sampled_from(([], 7, "x")),
        *(
            st.builds(_spoilt, values.record(record), st.just(field), st.sampled_from(("absent", "null", "wrong")))
            for field in record.fields.values()
            if field.required and not isinstance(field.type, ty.Json)
        ),
    )


def _spoilt(payload: Event, field: ty.Field, how: str) -> Event:
    rest = {wire: value for wire, value in payload.items() if wire not in field.wires}
    if how == "absent":
        return rest
    wrong = [] if isinstance(field.type, (ty.Record, ty.Map)) else {"no": "value"}
    return rest | {field.wires[0]: None if how == "null" else wrong}


def _timed(begun: Sequence[Event], picks: Sequence[_Pick]) -> list[Event]:
    """The events with their times; one that happens when the event before it did has none of its own."""
    now, found = datetime.fromisoformat(FIRST_TIME), list(begun)
    for pick in picks:
        if pick is None:
            found += [_without_time(one) for one in found[-1:]]
            continue
        event, when = pick
        if when is not None:
            now += when.step
            event = {**event, "at": written(now, when.offset)}
        found.append(event)
    return found


def _without_time(event: Mapping[str, Any]) -> Event:
    return {name: value for name, value in event.items() if name != "at"}
