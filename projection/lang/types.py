"""The types of the language, as the checker and the codecs see them; how values are held while a program runs.

| type | held as | | type | held as |
|---|---|---|---|---|
| bool, int, string, enum | `bool`, `int`, `str`, `str` | | list | `list` |
| decimal | `decimal.Decimal` | | set | `tuple`, sorted, nothing twice |
| bytes | `bytes` | | map | `dict`, in key order |
| date, timestamp | `date`, `datetime` in UTC | | record, event, view | a generated `msgspec.Struct` |
| duration | `timedelta` | | json | `None`, `bool`, `int`, `Decimal`, `str`, `list`, `dict` in key order |

`none` is `None`. Values are never changed once made.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from projection.lang.immutable import Immutable
from projection.lang.source import Span

DEFAULT_STRING = 65_536  # code points
DEFAULT_BYTES = 65_536
DEFAULT_CONTAINER = 10_000  # items, entries
MAX_SCALE = 18
MAX_DEPTH = 32  # records, lists and maps inside one another


class Bool(Immutable, frozen=True):
    """true or false."""

    def __str__(self) -> str:
        return "bool"


class Int(Immutable, frozen=True):
    """64 bits, signed; overflow is an error."""

    def __str__(self) -> str:
        return "int"


class Decimal(Immutable, frozen=True):
    """Up to 38 digits, exact; `scale` is the number of digits behind the point, None where only the value knows."""

    scale: int | None = None

    def __str__(self) -> str:
        return "decimal" if self.scale is None else f"decimal({self.scale})"


class String(Immutable, frozen=True):
    """Code points; `max` is None for a value whose length only the value knows. A literal knows its text."""

    max: int | None = None
    literal: str | None = None

    def __str__(self) -> str:
        if self.literal is not None:
            return f'the text "{self.literal}"'
        return "string" if self.max in (None, DEFAULT_STRING) else f"string({self.max})"


class Bytes(Immutable, frozen=True):
    """Bytes, in JSON as base64; `max` as for strings."""

    max: int | None = None

    def __str__(self) -> str:
        return "bytes" if self.max in (None, DEFAULT_BYTES) else f"bytes({self.max})"


class Date(Immutable, frozen=True):
    """A calendar date."""

    def __str__(self) -> str:
        return "date"


class Timestamp(Immutable, frozen=True):
    """An instant, whole microseconds, UTC."""

    def __str__(self) -> str:
        return "timestamp"


class Duration(Immutable, frozen=True):
    """A length of time, whole microseconds in 64 bits; a day is 24 hours."""

    def __str__(self) -> str:
        return "duration"


class Enum(Immutable, frozen=True):
    """One of some texts; an open one may also be any other text, which only `_` matches."""

    members: tuple[str, ...]
    open: bool = False

    def __str__(self) -> str:
        return f"enum({', '.join(self.members)}{', …' if self.open else ''})"


class List(Immutable, frozen=True):
    """Items in order; `max` as for strings."""

    item: Type
    max: int | None = None

    def __str__(self) -> str:
        return f"list<{self.item}>" + (f"({self.max})" if self.max not in (None, DEFAULT_CONTAINER) else "")


class Set(Immutable, frozen=True):
    """Single values in their order, each once; `max` as for strings."""

    item: Type
    max: int | None = None

    def __str__(self) -> str:
        return f"set<{self.item}>" + (f"({self.max})" if self.max not in (None, DEFAULT_CONTAINER) else "")


class Map(Immutable, frozen=True):
    """Entries in the order of their keys; `max` as for strings."""

    key: Type
    value: Type
    max: int | None = None

    def __str__(self) -> str:
        return f"map<{self.key}, {self.value}>" + (f"({self.max})" if self.max not in (None, DEFAULT_CONTAINER) else "")


class Json(Immutable, frozen=True):
    """A value of JSON of any shape, but null, which is none wherever it is read."""

    def __str__(self) -> str:
        return "json"


class Optional(Immutable, frozen=True):
    """A value, or none."""

    inner: Type

    def __str__(self) -> str:
        return f"{self.inner}?"


class Nothing(Immutable, frozen=True):
    """The type of `none` before it has a place."""

    def __str__(self) -> str:
        return "none"


class Never(Immutable, frozen=True):
    """The type of what never yields a value: `fail(…)`."""

    def __str__(self) -> str:
        return "never"


class Pair(Immutable, frozen=True):
    """A key and a value, inside map comprehensions only; programs cannot name it."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"({self.key}, {self.value})"


REQUIRED = object()  # the default of a field that has none


class Field(Immutable, frozen=True):
    """A declared field; `wires` are the JSON names it is read from, in order of preference."""

    name: str
    type: Type
    wires: tuple[str, ...]
    default: Any
    span: Span

    @property
    def required(self) -> bool:
        """Whether a record cannot be made without it."""
        return self.default is REQUIRED and not isinstance(self.type, Optional)


class Record(Struct, eq=False):
    """Named fields. Two records are one type only if they are one declaration."""

    name: str
    kind: str  # `type`, `view`, `event` or `meta`
    fields: dict[str, Field] = field(default_factory=dict)
    line: int | None = None
    from_outside: bool = False  # whether an event holds it: then its JSON is not only what this program has written
    asked: set[str] = field(default_factory=set)  # the fields of which the program asks whether an event gave them
    struct: type[Any] | None = None  # the generated class, in field-name order; made once the schema is whole

    def __str__(self) -> str:
        return self.name if self.kind == "type" else f"{self.kind} {self.name}"

    def made(self) -> type[Any]:
        """The generated class."""
        if self.struct is None:
            raise AssertionError(f"{self} is used before its schema is whole")
        return self.struct


Type = (
    Bool | Int | Decimal | String | Bytes | Date | Timestamp | Duration | Enum | List | Set | Map | Json | Record
    | Optional | Nothing | Never | Pair
)  # fmt: skip

BOOL, INT, DATE, TIMESTAMP, DURATION, JSON = Bool(), Int(), Date(), Timestamp(), Duration(), Json()
NOTHING, NEVER = Nothing(), Never()
TEXT, BYTES = String(), Bytes()

META = Record("meta", "meta")
_META_FIELDS: dict[str, Type] = {
    "aggregate_id": TEXT,
    "aggregate_type": TEXT,
    "correlation_id": Optional(TEXT),
    "date": DATE,
    "event_id": Optional(TEXT),
    "sequence": INT,
    "tenant_id": TEXT,
    "time": TIMESTAMP,
    "type": TEXT,
    "headers": Map(TEXT, TEXT),
    "subject": TEXT,
    "stored_at": Optional(TIMESTAMP),
}
# Parts of the message that an event came in, and the fields that hold them, which no program can name. They are there
# only for programs that read them (`projection.lang.message_parts`).
OF_MESSAGE = {"headers": "_headers", "subject": "_subject", "stored_at": "_stored_at"}
for _name, _type in _META_FIELDS.items():
    META.fields[_name] = Field(_name, _type, (_name,), REQUIRED, Span(0, 0))


def is_scalar(type_: Type) -> bool:
    """Whether it is a single, present value: what goes into a text, is sorted, and is put into sets.

    Bytes are none: they are no text before somebody says how they are written.
    """
    return isinstance(type_, (Bool, Int, Decimal, String, Date, Timestamp, Duration, Enum))


def holds_json(type_: Type) -> bool:
    """Whether a value can have json inside, whose parts Python compares too loosely: there, `true` would equal 1."""
    known = set[int]()

    def holds(one: Type) -> bool:
        match one:
            case Json():
                return True
            case Optional():
                return holds(one.inner)
            case List():
                return holds(one.item)
            case Map():
                return holds(one.value)
            case Record() if id(one) not in known:
                known.add(id(one))  # records can be reached in more ways than there are seconds
                return any(holds(part.type) for part in one.fields.values())
            case _:
                return False

    return holds(type_)


def optional(type_: Type) -> Type:
    """`T?`; `T??` is `T?`, and what never comes stays so."""
    return type_ if isinstance(type_, (Optional, Nothing)) else Optional(type_)


def loosened(type_: Type) -> Type:
    """The type without bounds: they hold where a value enters an event or a view, not inside an expression."""
    match type_:
        case String():
            return TEXT
        case Bytes():
            return BYTES
        case List():
            return List(loosened(type_.item))
        case Set():
            return Set(loosened(type_.item))
        case Map():
            return Map(type_.key, loosened(type_.value))
        case Optional():
            return Optional(loosened(type_.inner))
        case _:
            return type_


def comparable(a: Type, b: Type) -> bool:
    """Whether two present values can be equal: numbers with numbers, texts with texts, and what holds such values.

    It is the same whichever comes first.
    """
    if a == b or isinstance(a, Never) or isinstance(b, Never):
        return True
    match a, b:
        case ((Int() | Decimal()), (Int() | Decimal())):
            return True
        case (String(), String()):
            return True
        case (Bytes(), Bytes()):
            return True
        case (Enum(), Enum()):
            return a.open or b.open or not set(a.members).isdisjoint(b.members)
        case (Enum(), String(literal=literal)):
            return literal is None or a.open or literal in a.members
        case (String(), Enum()):
            return comparable(b, a)
        case (List(), List()):
            return comparable(a.item, b.item)
        case (Set(), Set()):
            return comparable(a.item, b.item)
        case (Map(), Map()):
            return comparable(a.key, b.key) and comparable(a.value, b.value)
    return False


def join(a: Type, b: Type) -> Type | None:
    """The type of what is either; None where there is none."""
    if a == b or isinstance(b, Never):
        return a
    if isinstance(a, Never):
        return b
    if isinstance(a, (Nothing, Optional)) or isinstance(b, (Nothing, Optional)):
        inner_a = a.inner if isinstance(a, Optional) else a
        inner_b = b.inner if isinstance(b, Optional) else b
        if isinstance(inner_a, Nothing):
            return optional(inner_b)
        if isinstance(inner_b, Nothing):
            return optional(inner_a)
        inner = join(inner_a, inner_b)
        return None if inner is None else optional(inner)
    match a, b:
        case (Int(), Decimal()):
            return b
        case (Decimal(), Int()):
            return a
        case (Decimal(), Decimal()):
            return Decimal()  # the scale is only the value's to know
        case (Enum(), String(literal=str() as text)):
            return a if a.open or text in a.members else None
        case (String(literal=str() as text), Enum()):
            return b if b.open or text in b.members else None
        case (String(), String()):
            return String(None if a.max is None or b.max is None else max(a.max, b.max))
        case (Bytes(), Bytes()):
            return Bytes(None if a.max is None or b.max is None else max(a.max, b.max))
        case (List(), List()):
            item = join(a.item, b.item)
            return None if item is None else List(item)
        case (Set(), Set()):
            item = join(a.item, b.item)
            return None if item is None else Set(item)
        case (Map(), Map()):
            key, value = join(a.key, b.key), join(a.value, b.value)
            return None if key is None or value is None else Map(key, value)
    return None
