"""Sizes: what is known of a value before any program runs, from the declared types alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, reduce
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.lang import types as ty
from projection.lang.values.numbers import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projection.lang.source import Span

MOST = 2**62  # beyond every ledger; sums and products stop here
LONGEST = 2**26  # no value is longer: neither a decoded one, nor one that the ledgers let a program make
CODE_POINTS = 64  # that a unit of alloc pays for at most, whatever makes the text
SCALAR_TEXT = 128  # code points of a scalar as text that is no text already
META_TEXT = 1024  # code points of a text in `meta`; longer ones never come in (`projection.model.envelope`)


class Origin(NamedTuple):
    """The declared field that a size comes from."""

    name: str  # `Fine.payments`
    type: str  # as declared
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Size:
    """How large a value is, at least and at most.

    `least` and `most` bound its logical size: code points, bytes, items, entries; 1 of a single value and of none.
    `item` is the size of each item of a list or set, and of each value of a map; `key` of each key of a map; `fields`
    those of a record, by name. `number` holds the least and the largest that an int can be.

    Two sizes are equal if they say the same, wherever they come from. Records can be reached in more ways than there
    are seconds, so nothing here walks a size: what takes a walk is known of each part when it is made.
    """

    least: int = 1
    most: int = 1
    item: Size | None = None
    fields: tuple[tuple[str, Size], ...] = ()
    is_text: bool = False  # strings and bytes, whose length weighs less than that of lists
    number: tuple[int, int] | None = None  # None of what is no int, or of which nothing is known
    key: Size | None = None
    is_partial: bool = False  # it may be none, or a record without some of these fields
    is_unknown: bool = False  # nothing is known of its parts
    origin: Origin | None = None
    nodes: tuple[int, int] = field(init=False)  # how many values it is made of (`costs.nodes`), at least and at most
    digest: bytes = field(init=False, repr=False)
    trace: bytes = field(init=False, repr=False)  # the same, with where it all comes from

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", self._counted())
        parts = (self.item, self.key, *(size for _name, size in self.fields))
        said = (
            self.least, self.most, tuple(name for name, _size in self.fields), self.is_text, self.number,
            self.is_partial, self.is_unknown, tuple(part and part.digest for part in parts),
        )  # fmt: skip
        object.__setattr__(self, "digest", _hashed(said))
        object.__setattr__(self, "trace", _hashed((said, self.origin, tuple(part and part.trace for part in parts))))

    def _counted(self) -> tuple[int, int]:
        if self.is_unknown:
            return 1, MOST
        if self.is_text:
            return 1 + (self.least >> 5), capped(1 + (self.most >> 5))
        least, most = 1, 1
        if self.item is not None:
            least, most = 1 + self.least * self.item.nodes[0], 1 + self.most * self.item.nodes[1]
        for _name, size in self.fields:
            least, most = least + size.nodes[0], most + size.nodes[1]
        return 1 if self.is_partial else capped(least), capped(most)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def get(self, name: str) -> Size:
        """The size of a record's field."""
        return next((size for field, size in self.fields if field == name), UNKNOWN)

    @property
    def ints(self) -> tuple[int, int]:
        """The least and the largest int that it can be."""
        return self.number or (MIN_INT, MAX_INT)

    @property
    def each(self) -> Size | None:
        """The size of each item; None where there are no items."""
        return UNKNOWN if self.is_unknown else self.item

    @property
    def each_key(self) -> Size | None:
        """The size of each key; None where there are no keys."""
        return UNKNOWN if self.is_unknown else self.key


def _hashed(said: object) -> bytes:
    return blake2b(repr(said).encode(), digest_size=16).digest()


def capped(number: int) -> int:
    """The number, as far as anyone counts."""
    return min(number, MOST)


SINGLE = Size()
INTEGER = Size(number=(MIN_INT, MAX_INT))
NONE = Size(is_partial=True)
UNKNOWN = Size(0, LONGEST, is_unknown=True, is_partial=True)


def integer(least: int, most: int) -> Size:
    """An int between these, as far as 64 bits hold them: any other has failed."""
    least, most = max(least, MIN_INT), min(most, MAX_INT)
    return Size(number=(least, most)) if least <= most else INTEGER


def text(least: int, most: int) -> Size:
    """A string of so many code points, or so many bytes."""
    return Size(least, most, is_text=True)


def either(one: Size, other: Size) -> Size:
    """What is known of a value that is one or the other."""
    return one if one == other else _either(one, other, one.trace, other.trace)


@lru_cache(maxsize=4096)
def _either(one: Size, other: Size, _trace: bytes, _other_trace: bytes) -> Size:
    if one.is_unknown or other.is_unknown:
        return UNKNOWN
    theirs, ours = dict(other.fields), dict(one.fields)
    shared = [(name, either(size, theirs[name]) if name in theirs else size) for name, size in one.fields]
    larger, smaller = (one, other) if one.most >= other.most else (other, one)
    return Size(
        min(one.least, other.least),
        max(one.most, other.most),
        _either_part(one.item, other.item),
        (*shared, *((name, size) for name, size in other.fields if name not in ours)),
        one.is_text or other.is_text,
        _either_number(one, other),
        _either_part(one.key, other.key),
        one.is_partial
        or other.is_partial
        or ours.keys() != theirs.keys()
        or (one.item is None) is not (other.item is None),
        origin=larger.origin or smaller.origin,
    )


def _either_number(one: Size, other: Size) -> tuple[int, int] | None:
    if one.number is not None and other.number is not None:
        return min(one.number[0], other.number[0]), max(one.number[1], other.number[1])
    return one.number or other.number  # the other is none: types agree, and of each int there is something known


def _either_part(one: Size | None, other: Size | None) -> Size | None:
    return (one or other) if one is None or other is None else either(one, other)


def widened(before: Size, after: Size, longest: int) -> Size:
    """What is known of a value that began as the one and grows into the other, step by step.

    What has grown may go on growing, up to `longest` items, or code points that cost as much alloc. So a few rounds
    lead to a size that holds.
    """
    return _widened(before, after, longest, before.trace, after.trace)


@lru_cache(maxsize=4096)
def _widened(before: Size, after: Size, longest: int, _trace: bytes, _after_trace: bytes) -> Size:
    both = either(before, after)
    if both.is_unknown or both == before:
        return both
    limit = CODE_POINTS * longest if both.is_text else longest
    olds, item, key = dict(before.fields), both.item, both.key
    return Size(
        before.least if both.least == before.least else 0,
        before.most if both.most == before.most else limit,
        item if item is None or before.item is None else widened(before.item, item, longest),
        tuple((name, widened(olds.get(name, size), size, longest)) for name, size in both.fields),
        both.is_text,
        _widened_number(before.number, both.number),
        key if key is None or before.key is None else widened(before.key, key, longest),
        both.is_partial,
        origin=both.origin,
    )


def _widened_number(before: tuple[int, int] | None, both: tuple[int, int] | None) -> tuple[int, int] | None:
    if before is None or both is None:
        return both
    return before[0] if both[0] == before[0] else MIN_INT, before[1] if both[1] == before[1] else MAX_INT


# --- of types --------------------------------------------------------------------------------------------------------


class Sizes:
    """The sizes of declared types; records are looked at once."""

    def __init__(self) -> None:
        self._known: dict[ty.Record, Size] = {}

    def of(self, type_: ty.Type, origin: Origin | None = None) -> Size:
        """The size of a value of a type, of which `origin` declares the bounds."""
        match type_:
            case ty.Optional():
                return either(NONE, self.of(type_.inner, origin))
            case ty.String(literal=str() as literal):
                return text(len(literal), len(literal))
            case ty.String():
                return Size(0, type_.max or ty.DEFAULT_STRING, is_text=True, origin=origin)
            case ty.Bytes():
                return Size(0, type_.max or ty.DEFAULT_BYTES, is_text=True, origin=origin)
            case ty.Enum(open=False):
                return text(min(map(len, type_.members)), max(map(len, type_.members)))
            case ty.Enum():
                return text(0, ty.DEFAULT_STRING)
            case ty.List() | ty.Set():
                return Size(0, type_.max or ty.DEFAULT_CONTAINER, self.of(type_.item, origin), origin=origin)
            case ty.Map():
                key, value = self.of(type_.key, origin), self.of(type_.value, origin)
                return Size(0, type_.max or ty.DEFAULT_CONTAINER, value, key=key, origin=origin)
            case ty.Record():
                if type_ not in self._known:
                    # A program that reads nothing of the message has a `meta` without its parts.
                    self._known[type_] = Size(fields=tuple(self._fields(type_)), is_partial=type_.kind == "meta")
                return self._known[type_]
            case ty.Int():
                return INTEGER
            case ty.Nothing():
                return NONE
            case ty.Json() | ty.Never() | ty.Pair():
                return UNKNOWN
            case _:
                return SINGLE

    def _fields(self, record: ty.Record) -> Iterator[tuple[str, Size]]:
        if record.kind == "meta":
            for name, one in record.fields.items():
                yield ty.OF_MESSAGE.get(name, name), self._of_meta(one.type)
        else:
            for name, one in record.fields.items():
                yield name, self.of(one.type, Origin(f"{record.name}.{name}", str(one.type), one.span))
        # Further wire names have fields of their own, which no program can name but which count.
        yield from ((name, SINGLE) for name in record.made().__struct_fields__ if name not in record.fields)

    def _of_meta(self, type_: ty.Type) -> Size:
        match type_:
            case ty.Optional():
                return either(NONE, self._of_meta(type_.inner))
            case ty.String():
                return text(0, META_TEXT)
            case ty.Map():
                return Size(0, ty.DEFAULT_CONTAINER, text(0, META_TEXT), key=text(0, META_TEXT))
            case _:
                return self.of(type_)


# --- of values -------------------------------------------------------------------------------------------------------


def of_value(value: Any, known: dict[int, Size] | None = None) -> Size:
    """The size of a constant; `known` holds those of its parts by identity, for parts can be shared without end."""
    if value is None:
        return NONE
    if isinstance(value, (str, bytes)):
        return text(len(value), len(value))
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = _of_value(value, known)
    return known[id(value)]


def _of_value(value: Any, known: dict[int, Size]) -> Size:
    if isinstance(value, (list, tuple)):
        return Size(len(value), len(value), _of_all(value, known))
    if isinstance(value, dict):
        return Size(len(value), len(value), _of_all(value.values(), known), key=_of_all(value, known))
    if hasattr(value, "__struct_fields__"):
        return Size(fields=tuple((name, of_value(getattr(value, name), known)) for name in value.__struct_fields__))
    return integer(value, value) if type(value) is int else SINGLE


def _of_all(values: Iterable[Any], known: dict[int, Size]) -> Size | None:
    return reduce(_either_part, (of_value(value, known) for value in values), None)
