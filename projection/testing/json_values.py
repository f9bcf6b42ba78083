"""Strategies for the JSON of declared types: values that decode, of which the few that matter come often.

What matters: what sits at a declared bound, what two events share so that they meet, and what the program itself
compares with. Shrinking leads to short, plain values.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hypothesis import strategies as st

from projection.lang import core
from projection.lang import types as ty
from projection.lang.check.rewriting import META
from projection.lang.values.codec import largest
from projection.lang.values.numbers import DIGITS, MAX_INT, MIN_INT
from projection.lang.values.times import MAX_DURATION, MIN_DURATION, duration_text
from projection.model.envelope import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.message_parts import MessageParts

Values: TypeAlias = "st.SearchStrategy[Any]"

IDS = ("a", "b", "c")  # few, so that events meet on the same views

_ABSENT = object()

_FILLED = 200  # items or code points: a declared bound up to this is met often, a larger one only at the ends
_MOST_BYTES = 256 * 1024  # of a value that is as large as may be; an event has a few of these at most
_LONG_ID = 1_000  # no key of a store takes it
_LONG_HEADER = MAX_TEXT
_SOME = 3  # items of a list that is just some list
_DAYS = ("2024-02-29", "2024-03-01", "2024-12-31")
# All that UTF-8 can say. `codec="utf-8"` would be the same, but hypothesis tries each character first: a second or two.
_CHARACTERS = st.characters(exclude_categories=["Cs"])
_TEXTS = ("a", "b", "", "é😀", "A b", "{", "12", "a:b%")
OFFSETS = (timedelta(), timedelta(hours=1), timedelta(hours=-5, minutes=-30))  # of times, from UTC
_MILLION = 10**6


class _Under(NamedTuple):
    """A value under one of the further names of its field."""

    wire: str
    value: Any


@dataclass(frozen=True)
class Hints:
    """What a program tells about the values that matter to it."""

    meeting: frozenset[str]  # names of fields that view ids are made of
    texts: tuple[str, ...]  # constants, in the order of the program
    ints: tuple[int, ...]
    decimals: tuple[Decimal, ...]
    meta: frozenset[str]  # the fields of `meta` that are read
    message_parts: MessageParts

    @classmethod
    def of(cls, checked: CheckedProgram) -> Hints:
        """The hints of a program."""
        handlers = checked.core.handlers
        routes = [node for one in handlers for part in (one.source, one.route) if part for node in _nodes(part)]
        bodies = [node for one in handlers for node in _nodes(one.body)]
        functions = [node for one in checked.core.functions.values() for node in _nodes(one.body)]
        old_forms = [node for one in checked.core.functions.values() if one.makes_event for node in _nodes(one.body)]
        everything = [*routes, *bodies, *functions]
        constants = [one for node in everything if isinstance(node, core.Const) for one in _singles(node.value)]
        return cls(
            frozenset(node.field for node in routes if isinstance(node, core.Get)),
            tuple(dict.fromkeys(one for one in constants if isinstance(one, str))),
            tuple(dict.fromkeys(one for one in constants if type(one) is int and MIN_INT < one < MAX_INT)),
            tuple(dict.fromkeys(one for one in constants if isinstance(one, Decimal))),
            frozenset(
                node.field
                for node in everything
                if isinstance(node, core.Get) and isinstance(node.base, core.Local) and node.base.slot == core.META
            )
            | {
                node.field
                for node in old_forms
                if isinstance(node, core.Get) and isinstance(node.base, core.Local) and node.base.slot == META
            },
            checked.message_parts,
        )


def _nodes(node: core.Core) -> Iterable[core.Core]:
    yield node
    for part in core.parts(node):
        yield from _nodes(part)


def _singles(value: Any) -> Iterable[Any]:
    """The single values in a constant."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _singles(item)
    elif isinstance(value, dict):
        yield from value
        yield from _singles(list(value.values()))
    else:
        yield value


class JsonValues:
    """Strategies for the types of one program.

    Args:
        hints: of the program.
        extremes: whether values come from the far ends of their types, too: the largest numbers, the first and the last
            day, texts and lists of the default bounds, ids that are empty or long. Bounds that are declared and small
            are met in any case.
    """

    def __init__(self, hints: Hints, *, extremes: bool) -> None:
        self._hints = hints
        self._extremes = extremes
        self._records: dict[ty.Record, st.SearchStrategy[dict[str, Any]]] = {}

    def record(self, record: ty.Record) -> st.SearchStrategy[dict[str, Any]]:
        """Objects of JSON under the names on the wire."""
        if record not in self._records:
            names = [field.wires[0] for field in record.fields.values()]
            parts = [self._part(field) for field in record.fields.values()]
            self._records[record] = st.tuples(*parts).map(lambda values: _object(names, values))
        return self._records[record]

    def _part(self, field: ty.Field) -> Values:
        """A field's value; `_ABSENT` where it is left out, and `_Under` another name than its first."""
        inner = field.type.inner if isinstance(field.type, ty.Optional) else field.type
        given = self.of(inner, meets=field.name in self._hints.meeting)
        if len(field.wires) > 1:
            given |= st.builds(_Under, st.sampled_from(field.wires[1:]), given)
        return given if field.required else st.one_of(st.just(_ABSENT), st.none(), given, given)

    def of(self, type_: ty.Type, *, meets: bool = False) -> Values:
        """Values of a type; few different ones where they are to meet."""
        match type_:
            case ty.Bool():
                return st.booleans()
            case ty.Int():
                return st.sampled_from((1, 2, 3)) if meets else self._ints()
            case ty.Decimal():
                return self._decimals(type_.scale)
            case ty.String():
                return self._ids(type_) if meets else self._texts(type_.max or ty.DEFAULT_STRING)
            case ty.Bytes():
                return self._bytes(type_.max or ty.DEFAULT_BYTES)
            case ty.Enum():
                others = (*self._hints.texts, "other") if type_.open else ()
                return st.sampled_from(tuple(dict.fromkeys((*type_.members, *others))))
            case ty.Date():
                return st.sampled_from(_DAYS) if meets else self._dates()
            case ty.Timestamp():
                return self._timestamps()
            case ty.Duration():
                return self._durations()
            case ty.Optional():
                return st.none() | self.of(type_.inner, meets=meets)
            case ty.List() | ty.Set():
                return self._items(type_, meets=meets)
            case ty.Map():
                return self._entries(type_)
            case ty.Record():
                return self.record(type_)
            case _:
                return self.json()

    # single values

    def _ids(self, type_: ty.String) -> Values:
        most = type_.max or ty.DEFAULT_STRING
        few = st.sampled_from([one[:most] for one in IDS])
        return few | st.just("") | _long("x", min(most, _LONG_ID)) if self._extremes else few

    def _texts(self, most: int) -> Values:
        found: Values = st.sampled_from([text for text in _TEXTS if len(text) <= most])
        found |= st.text(_CHARACTERS, max_size=min(most, 8))
        found = _or_one_of(found, [text for text in self._hints.texts if len(text) <= most])
        return found | _long("x", most) if most <= _FILLED or self._extremes else found

    def _ints(self) -> Values:
        found = st.sampled_from((0, 1, 2, -1)) | st.integers(-100, 100) | st.integers(-_MILLION, _MILLION)
        found = _or_one_of(found, self._hints.ints)
        return found | st.sampled_from((MAX_INT, MIN_INT)) if self._extremes else found

    def _decimals(self, scale: int | None) -> Values:
        digits = 2 if scale is None else scale
        unit = Decimal(1).scaleb(-digits)
        units = st.integers(-100, 100) | st.integers(-(10**9), 10**9)
        found = units.map(lambda one: one * unit)
        if scale is None:
            found |= st.integers(-_MILLION, _MILLION).map(lambda one: Decimal(one).scaleb(-4))
        known = [*self._hints.decimals, *map(Decimal, self._hints.ints)]
        found = _or_one_of(found, [one for one in known if one % unit == 0])
        most = Decimal((0, (9,) * DIGITS, -digits))
        return found | st.sampled_from((most, most.copy_negate(), unit)) if self._extremes else found

    def _bytes(self, most: int) -> Values:
        found = st.binary(max_size=min(most, 8))
        if most <= _FILLED or self._extremes:
            found |= _long(b"x", most)
        return found.map(lambda data: base64.b64encode(data).decode())

    def _dates(self) -> Values:
        found = st.sampled_from((*_DAYS, "2024-02-29T23:30:00-01:00"))
        found |= st.dates(date(1970, 1, 1), date(2069, 12, 31)).map(date.isoformat)
        return found | st.sampled_from(("0001-01-01", "9999-12-31")) if self._extremes else found

    def _timestamps(self) -> Values:
        found = st.sampled_from(tuple(f"{day}T23:30:00Z" for day in _DAYS))
        found |= st.builds(
            written,
            st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - given apart
            st.sampled_from(OFFSETS),
        )
        ends = st.sampled_from(("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"))
        return found | ends if self._extremes else found

    def _durations(self) -> Values:
        found = st.sampled_from(("PT0S", "PT1H", "P1D", "-PT30M"))
        found |= st.integers(-_MILLION, _MILLION).map(lambda seconds: duration_text(timedelta(seconds=seconds)))
        ends = st.sampled_from((duration_text(MAX_DURATION), duration_text(MIN_DURATION)))
        return found | ends if self._extremes else found

    # containers

    def _items(self, type_: ty.List | ty.Set, *, meets: bool) -> Values:
        most, item = type_.max or ty.DEFAULT_CONTAINER, self.of(type_.item, meets=meets)
        found: Values = st.lists(item, max_size=min(most, _SOME))
        if isinstance(type_, ty.Set) or not (most <= _FILLED or self._extremes):
            return found
        # As many as may be, or as fit into an event of a size that somebody would send: few items, again and again.
        plain = JsonValues(self._hints, extremes=False).of(type_.item, meets=meets) if self._extremes else item
        count = min(most, _MOST_BYTES // (largest(type_.item) + 1))
        if count <= _SOME:
            return found
        return found | st.lists(plain, min_size=1, max_size=2).map(lambda few: (few * count)[:count])

    def _entries(self, type_: ty.Map) -> Values:
        most = min(type_.max or ty.DEFAULT_CONTAINER, _SOME)
        keys = self.of(type_.key).map(lambda key: key if isinstance(key, str) else str(key))
        return st.dictionaries(keys, self.of(type_.value), max_size=most)

    def json(self) -> Values:
        """Any JSON but null."""
        names = st.sampled_from(tuple(dict.fromkeys(("a", *self._hints.texts))))
        single = st.booleans() | self._ints() | self._decimals(None) | self._texts(8)

        def around(inner: Values) -> Values:
            items = st.lists(st.none() | inner, max_size=_SOME)
            return items | st.dictionaries(names, st.none() | inner, max_size=_SOME)

        return st.recursive(single, around, max_leaves=6)

    def headers(self) -> Values:
        """Headers of a message: some of those that the program reads."""
        known = [text for text in self._hints.texts if len(text) <= _LONG_HEADER and text.isprintable()]
        text = st.sampled_from(tuple(dict.fromkeys((*IDS, *known, ""))))
        if self._extremes:
            text |= _long("x", _LONG_HEADER)
        return st.fixed_dictionaries({}, optional=dict.fromkeys(self._hints.message_parts.headers, text))

    def stored(self) -> Values:
        """When a log stored a message."""
        return self._timestamps()

    def objects(self) -> Values:
        """Objects of JSON, with names that the program asks for."""
        names = st.sampled_from(tuple(dict.fromkeys((*self._hints.texts, "a"))))
        return st.dictionaries(names, self.json(), max_size=_SOME)


def _long(piece: str | bytes, count: int) -> Values:
    """A text or bytes as long as may be, made late: hypothesis writes constants out where it names a strategy."""
    return st.just(count).map(lambda count: piece * count)


def _or_one_of(found: Values, known: Sequence[Any]) -> Values:
    """Also what the program compares with: much depends on it, and chance does not come to it."""
    return found | st.sampled_from(known) if known else found


def _object(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The object of JSON with these values, by the first names of their fields."""
    named = zip(names, values, strict=True)
    pairs = (tuple(value) if isinstance(value, _Under) else (name, value) for name, value in named)
    return {name: value for name, value in pairs if value is not _ABSENT}


def written(instant: datetime, offset: timedelta) -> str:
    """An instant as RFC 3339 at an offset."""
    return instant.astimezone(timezone(offset)).isoformat().replace("+00:00", "Z")
