"""From a sample of real events to the shapes of their payloads.

What no sample can tell is guessed in the direction that refuses nothing: an enum is open, a text has no bound. Each
guess has a note that says what it rests on.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.lang import types as ty
from projection.lang.schemas.declarations import member
from projection.lang.schemas.map_keys import are_names, are_rare
from projection.lang.schemas.shapes import JSON, Entries, EventShape, Fields, FieldShape, Items, Single
from projection.lang.values.numbers import DIGITS, MAX_INT, MIN_INT
from projection.lang.values.times import parse_date, parse_duration, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.schemas.shapes import Shape

_MOST_MEMBERS = 8  # of an enum
_LONGEST_MEMBER = 32  # code points
_TIMES_EACH = 5  # how often each text is seen on average where they are taken for an enum
_INT = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_ID = re.compile(r"(?:^|[^A-Za-z])id$|I[dD]$")
# As which types texts can be read, the narrowest first: what is written as a timestamp has a date as well.
_TIMED: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("timestamp", parse_timestamp),
    ("date", parse_date),
    ("duration", parse_duration),
)


class Sample:
    """Takes payloads, and tells the events that they are of.

    Args:
        hides_values: whether the shapes must hold no value of a payload: no member of an enum, and no key of a map.
    """

    def __init__(self, *, hides_values: bool = False) -> None:
        self._events: dict[str, _Seen] = {}
        self._hides_values = hides_values

    def add(self, event_type: str, payload: Any) -> None:
        """Take one event; numbers with a fraction or an exponent are Decimals."""
        seen = self._events.get(event_type)
        if seen is None:
            seen = self._events[event_type] = _Seen(hides_values=self._hides_values)
        seen.add(payload)

    def events(self) -> list[EventShape]:
        """The events by their types' names."""
        digits: dict[str, int] = {}
        for seen in self._events.values():
            seen.collect(digits)
        for seen in self._events.values():
            seen.share(digits)
        found = []
        for name, seen in sorted(self._events.items()):
            shape, note = seen.payload(name) if set(seen.kinds) == {"object"} else (Fields(name, ()), _NO_OBJECT)
            found.append(EventShape(name, shape, note))
        return found


_NO_OBJECT = "its payloads are not always objects: take it by `on *`, as json"


class _Seen:
    """All values of one place."""

    __slots__ = (
        "_fields",
        "_hides_values",
        "_is_long",
        "_items",
        "_longest",
        "_texts",
        "_timed",
        "digits",
        "kinds",
        "whole",
    )

    def __init__(self, *, hides_values: bool) -> None:
        self._hides_values = hides_values
        self.kinds = Counter[str]()  # how many values of each kind
        self.digits = 0  # behind the point, at most
        self.whole = True  # whether all numbers are ints
        self._is_long = False  # whether a number is beyond 64 bits
        self._longest = 0  # digits of a number
        self._texts: Counter[str] | None = Counter()  # None: too many for an enum
        self._timed = _TIMED  # as which all texts can be read
        self._fields: dict[str, _Seen] = {}
        self._items: _Seen | None = None

    def add(self, value: Any) -> None:
        """Look at one value."""
        if isinstance(value, str):
            self.kinds["text"] += 1
            self._add_text(value)
        elif value is None:
            self.kinds["null"] += 1
        elif isinstance(value, bool):
            self.kinds["bool"] += 1
        elif isinstance(value, (int, Decimal)):
            self.kinds["number"] += 1
            self._add_number(value)
        elif isinstance(value, dict):
            self.kinds["object"] += 1
            for name, one in value.items():
                seen = self._fields.get(name)
                if seen is None:
                    seen = self._fields[name] = self._another()
                seen.add(one)
        else:
            self.kinds["array"] += 1
            self._items = self._items or self._another()
            for one in value:
                self._items.add(one)

    def _another(self) -> _Seen:
        return _Seen(hides_values=self._hides_values)

    def _add_text(self, text: str) -> None:
        if self._timed:
            self._timed = tuple(one for one in self._timed if one[1](text) is not None)
        if self._texts is not None:
            self._texts[text] += 1
            if len(self._texts) > _MOST_MEMBERS or len(text) > _LONGEST_MEMBER:
                self._texts = None

    def _add_number(self, number: int | Decimal) -> None:
        if isinstance(number, Decimal):
            self.whole = False
            _, digits, exponent = number.as_tuple()
            self.digits = max(self.digits, -int(exponent))
            self._longest = max(self._longest, len(digits) + max(0, int(exponent)))
        elif not MIN_INT <= number <= MAX_INT:
            self._is_long = True
            self._longest = max(self._longest, len(str(abs(number))))

    def collect(self, digits: dict[str, int]) -> None:
        """How many digits there are behind the point, at most, in fields of one name, here and in other events."""
        for name, seen in self._fields.items():
            if not seen.whole:
                digits[name] = max(digits.get(name, 0), seen.digits)
            seen.collect(digits)
        if self._items is not None:
            self._items.collect(digits)

    def share(self, digits: dict[str, int]) -> None:
        """Take numbers to be as those of fields of the same name: `0.0` may be an amount with two digits, too."""
        for name, seen in self._fields.items():
            if seen.kinds["number"] and name in digits:
                seen.whole, seen.digits = False, digits[name]
            seen.share(digits)
        if self._items is not None:
            self._items.share(digits)

    # what it comes to

    def payload(self, name: str) -> tuple[Fields, str]:
        """The fields of an event."""
        if self._hides_values and (not are_names(self._fields) or self._has_rare_keys):
            return Fields(name, ()), f"its payloads have {len(self._fields)} different keys: take it by `on *`, as json"
        return self._named_fields(name)

    def _named_fields(self, name: str) -> tuple[Fields, str]:
        count = self.kinds["object"]
        return Fields(name, tuple(seen.field(wire, count) for wire, seen in self._fields.items())), ""

    @property
    def _has_rare_keys(self) -> bool:
        return are_rare({key: sum(seen.kinds.values()) for key, seen in self._fields.items()}, self.kinds["object"])

    def field(self, wire: str, of: int) -> FieldShape:
        """The field of objects, of which there were so many."""
        shape, note = self.shape(wire)
        missing = of - sum(self.kinds.values()) + self.kinds["null"]
        notes = [note] if note else []
        if missing:
            notes.append(f"absent or null in {missing:,} of {of:,}")
        return FieldShape(wire, shape, is_optional=missing > 0, note="; ".join(notes))

    def shape(self, name: str) -> tuple[Shape, str]:
        """The type that all of the values fit, and what is to be said about it; `name` is that of the place."""
        kinds = sorted(kind for kind in self.kinds if kind != "null")
        if len(kinds) != 1:
            return JSON, f"{' or '.join(kinds)}" if kinds else "only null was seen"
        match kinds[0]:
            case "bool":
                return Single("bool"), ""
            case "number":
                return self._number()
            case "text":
                return self._text(name)
            case "array":
                return self._array(name)
            case _:
                return self._object(name)

    def _number(self) -> tuple[Shape, str]:
        if self._longest > DIGITS or self.digits > ty.MAX_SCALE:
            return JSON, f"numbers of up to {max(self._longest, self.digits)} digits"
        if self.whole:
            return (Single("decimal(0)"), "beyond 64 bits") if self._is_long else (Single("int"), "")
        return Single(f"decimal({self.digits})"), ""

    def _text(self, name: str) -> tuple[Shape, str]:
        if self._timed:
            return Single(self._timed[0][0]), ""
        texts, count = self._texts, self.kinds["text"]
        is_id = _ID.search(name) is not None
        if texts is not None and 1 < len(texts) <= count / _TIMES_EACH and not is_id:
            found = f"{len(texts)} texts in {count:,} events"
            if self._hides_values:
                return Single("string"), f"{found}: an enum?"
            members = ", ".join(member(one) for one in sorted(texts))
            return Single(f"enum({members}, ...)"), f"{found}; without `...` others are refused"
        return Single("string"), ""

    def _array(self, name: str) -> tuple[Shape, str]:
        items = self._items
        if items is None or not items.kinds:
            return Items("list", JSON), "only empty lists were seen"
        if items.kinds["null"]:
            return JSON, "a list with null in it"
        item, note = items.shape(name.removesuffix("s") or name)
        return Items("list", item), note

    def _object(self, name: str) -> tuple[Shape, str]:
        if not self._fields:
            return JSON, "only empty objects were seen"
        key = "date" if all(parse_date(one) for one in self._fields) else "string"
        if all(_INT.fullmatch(one) for one in self._fields):
            key = "int"
        has_secret_keys = self._hides_values and not are_names(self._fields)
        if key != "string" or has_secret_keys or self._has_rare_keys:
            values = self._another()
            for seen in self._fields.values():
                values.merge(seen)
            found = f"{len(self._fields)} different keys in {self.kinds['object']:,} objects"
            if not values.kinds["null"]:
                value, note = values.shape(name)
                return Entries(key, value), "; ".join(one for one in (found, note) if one)
            if self._hides_values:
                return JSON, f"{found}, some of them null"
        if self._fields.keys() == {"float"} and set(self._fields["float"].kinds) == {"number"}:
            return Fields("Float", (FieldShape("float", Single("decimal")),)), "a binary float: say how to round it"
        return self._named_fields(name)

    def merge(self, other: _Seen) -> None:
        """Take what was seen at another place as well."""
        self.kinds.update(other.kinds)
        self.digits, self._longest = max(self.digits, other.digits), max(self._longest, other._longest)
        self.whole, self._is_long = self.whole and other.whole, self._is_long or other._is_long
        self._timed = tuple(one for one in self._timed if one in other._timed)
        if self._texts is not None and other._texts is not None:
            self._texts.update(other._texts)
            self._texts = self._texts if len(self._texts) <= _MOST_MEMBERS else None
        else:
            self._texts = None
        for name, seen in other._fields.items():
            self._fields.setdefault(name, self._another()).merge(seen)
        if other._items is not None:
            self._items = self._items or self._another()
            self._items.merge(other._items)
