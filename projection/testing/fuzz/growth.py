"""What grows without end: one kind of event, again and again on one view, and how large that becomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from projection.lang import types as ty
from projection.lang.values.codec import encode
from projection.testing.fuzz.observing import Fold, Kind, Subject
from projection.testing.given import FIRST_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.testing.fuzz.observing import Observation
    from projection.testing.fuzz.searching import Found

    Event = Mapping[str, Any]

_LOOKS = (8, 16, 32)  # after so many events, the last of which are twice those before
_LEAST = 1  # bytes an event; a counter gets a digit now and then
_MOST = 2_000  # events, to see whether a bound is met; their cost grows with the view
_FAILURES = (Kind.FAILS, Kind.FULL)


class Growth(NamedTuple):
    """A field that grows with each event of a kind."""

    field: str  # its path in the view; empty where nothing was seen to grow before the view was full
    type: str  # as it is declared
    bytes_an_event: int
    met: Observation | None  # what the view runs into after so many events; None where it was not seen to
    number: int  # of that event among those of its kind, from 1
    events: Sequence[Event]  # those that lead to the view, and of the kind: all until it is full, or the first two


def growth(subject: Subject, found: Found) -> Growth | None:
    """Whether the view grows with each event like the one that was found to change it; None where it does not.

    First with the event as it is, then with other values in the fields that no id is made of.
    """
    before, event = found.events[: found.observation.number - 1], found.events[found.observation.number - 1]
    varying = _Varying(subject, event)
    for vary in (lambda _count: event, varying.event):
        result = _grown(subject, found.observation, before, vary)
        if result is not None:
            return result
    return None


def _grown(subject: Subject, at: Observation, before: Sequence[Event], vary: Callable[[int], Event]) -> Growth | None:
    fold = Fold(subject)
    looks: list[bytes] = []
    field, type_, rate = "", "", 0
    events = chain(before, (vary(count) for count in range(1, _MOST + 1)))
    for number, event in enumerate(subject.read(events), 1):
        failed = [one for one in fold.take(number, event) if one.sign.kind in _FAILURES and one.view == at.view]
        count = number - len(before)
        if failed:
            is_met = failed[0].sign.kind is Kind.FULL
            leading = [*before, *map(vary, range(1, count + 1))]
            return Growth(field, type_, rate, failed[0], count, leading) if is_met else None
        if count in _LOOKS:
            view = None if at.view is None else fold.views.get(at.view)
            looks.append(b"" if view is None else encode(view))
        if count == _LOOKS[-1]:
            first, second, third = map(len, looks)
            rate = (third - second) // (_LOOKS[2] - _LOOKS[1])
            if rate < _LEAST or third - second < (second - first) * 3 // 2:
                return None
            field, declared = _largest(subject.program.checked.view, looks[1], looks[2])
            type_ = str(declared)
            if (getattr(declared, "max", None) or _MOST) >= _MOST:
                break
    return Growth(field, type_, rate, None, 0, [*before, vary(1), vary(2)]) if field else None


def _largest(record: ty.Record, before: bytes, after: bytes) -> tuple[str, ty.Type]:
    """The path of the field that has grown most between two states of a record, and its type."""
    parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
    old, new = parts.decode(before), parts.decode(after)
    name = max(new, key=lambda one: len(bytes(new[one])) - len(bytes(old.get(one, b""))))
    type_ = record.fields[name].type
    inner = type_.inner if isinstance(type_, ty.Optional) else type_
    if isinstance(inner, ty.Record) and old.get(name, b"null") != b"null":
        path, found = _largest(inner, bytes(old[name]), bytes(new[name]))
        return f"{name}.{path}", found
    return name, inner


class _Varying:
    """Makes an event others, which go to the same view."""

    def __init__(self, subject: Subject, event: Event) -> None:
        self._event = event
        checked = subject.program.checked
        names = (name for name, one in checked.event_declarations.items() if event["type"] in (one.wires or (name,)))
        name = next(names, None)
        self._record = None if name is None else checked.events[name]
        self._hints = subject.hints

    def event(self, count: int) -> Event:
        """The one of this number, a day behind the one before."""
        event = self._event
        day = datetime.fromisoformat(FIRST_TIME) + timedelta(days=count)
        data = event["data"] if self._record is None else self._object(self._record, event["data"], count)
        return {**event, "data": data, "at": day.isoformat()}

    def _object(self, record: ty.Record, found: Mapping[str, Any], count: int) -> dict[str, Any]:
        wires = {wire: field for field in record.fields.values() for wire in field.wires}
        return {
            wire: value if wires[wire].name in self._hints.meeting else self._value(wires[wire].type, value, count)
            for wire, value in found.items()
        }

    def _value(self, type_: ty.Type, value: Any, count: int) -> Any:
        match type_:
            case ty.Optional() if value is not None:
                return self._value(type_.inner, value, count)
            case ty.String() if value not in self._hints.texts:
                text = f"{count:05}"
                return text if type_.max is None or len(text) <= type_.max else value
            case ty.Int() if value not in self._hints.ints:
                return count
            case ty.Decimal():
                return Decimal(count)
            case ty.Date():
                return (datetime.fromisoformat(FIRST_TIME) + timedelta(days=count)).date().isoformat()
            case ty.Record() if value is not None:
                return self._object(type_, value, count)
            case ty.List() | ty.Set() if value:
                return [self._value(type_.item, value[0], count)]
            case _:
                return value
