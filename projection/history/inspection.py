"""What is in a stream, read off a sample of its messages: subjects, encodings, headers and the fields of bodies."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from projection.errors import DecodeError
from projection.lang.schemas.map_keys import are_names, are_rare
from projection.model.event_format.encodings.cbor import cbor_as_json
from projection.model.event_format.encodings.compressed import HEADER, decompressed
from projection.model.event_format.encodings.msgpack import msgpack_as_json
from projection.model.event_format.headers import all_headers, chosen_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.stream.port import Message

MOST_DISTINCT = 5_000  # values of one place that are told apart
_MOST_PLACES = 500  # fields and headers that are looked at
_MAX_DEPTH = 3  # of fields
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"\xff\x06\x00\x00S2sTwO": "s2",
}
_BINARY = (("msgpack", msgpack_as_json), ("cbor", cbor_as_json))
FRAMED = "framed by a schema registry"


class BinaryFloat(NamedTuple):
    """A number of another encoding that is no exact one."""

    digits: Any

    def __str__(self) -> str:
        return str(self.digits)


class Body(NamedTuple):
    """What a body is."""

    name: str  # as people read it
    encoding: str = ""  # as a manifest names it; empty where none reads it
    value: Any = None


class Seen:
    """The values of one place: a header, a field, or a token of a subject."""

    def __init__(self) -> None:
        self.count = 0  # messages that have it
        self.kinds: Counter[str] = Counter()
        self.values: dict[str, int] = {}  # how often each came, of the first `MOST_DISTINCT`

    def add(self, value: Any) -> None:
        """Take one value."""
        self.count += 1
        self.kinds[kind_of(value)] += 1
        if isinstance(value, (dict, list)):
            return
        text = value if isinstance(value, str) else str(value)
        if text in self.values or len(self.values) < MOST_DISTINCT:
            self.values[text] = self.values.get(text, 0) + 1

    @property
    def is_unique(self) -> bool:
        """Whether no value came twice."""
        return len(self.values) == self.count

    @property
    def kind(self) -> str:
        """What nearly all values are; empty where they differ."""
        (kind, count), *_ = self.kinds.most_common(1)
        return kind if count == self.count else ""


class SubjectShape(NamedTuple):
    """Subjects of equally many tokens, by the values of each token."""

    messages: int
    tokens: tuple[Seen, ...]


class Inspection:
    """Messages, looked at one after another."""

    def __init__(self) -> None:
        self.count = 0
        self.sizes: list[int] = []  # of bodies, in bytes
        self.encodings: Counter[str] = Counter()  # as people read them
        self.objects: Counter[str] = Counter()  # bodies that are objects, by their encodings as a manifest names them
        self.headers: dict[str, Seen] = {}  # by their names in small letters
        self.fields: dict[tuple[str, ...], Seen] = {}  # of bodies that are objects of JSON
        self.samples: list[tuple[Message, Any]] = []  # each message with its body where that is an object
        self._subjects: dict[int, list[Seen]] = {}

    def add(self, message: Message) -> None:
        """Look at one message."""
        self.count += 1
        self.sizes.append(len(message.data))
        tokens = message.subject.split(".")
        for seen, token in zip(self._subjects.setdefault(len(tokens), [Seen() for _ in tokens]), tokens, strict=True):
            seen.add(token)
        for name, value in all_headers(message.headers).items():
            self._note(self.headers, name.lower(), value if isinstance(value, str) else value[0])
        body = body_of(message)
        self.encodings[body.name] += 1
        is_object = bool(body.encoding) and isinstance(body.value, dict)
        if is_object:
            self.objects[body.encoding] += 1
            for path, value in _fields(body.value, has_floats=body.encoding != "json"):
                self._note(self.fields, path, value)
        self.samples.append((message, body.value if is_object else None))

    def _note(self, places: dict[Any, Seen], key: Any, value: Any) -> None:
        if key in places or len(places) < _MOST_PLACES:
            places.setdefault(key, Seen()).add(value)

    @property
    def named_fields(self) -> dict[tuple[str, ...], Seen]:
        """The fields whose names are no data: those below no map, whose keys may be ids or addresses."""
        maps = self.maps
        return {
            path: seen
            for path, seen in self.fields.items()
            if not any(path[:depth] in maps for depth in range(len(path)))
        }

    @property
    def maps(self) -> dict[tuple[str, ...], int]:
        """Objects that are taken for maps, by their paths; how many different keys each has."""
        keys: dict[tuple[str, ...], dict[str, int]] = {}
        for path, seen in self.fields.items():
            keys.setdefault(path[:-1], {})[path[-1]] = seen.count
        return {
            path: len(counts)
            for path, counts in keys.items()
            if not are_names(counts) or (path and are_rare(counts, self.fields[path].kinds["object"]))
        }

    @property
    def shapes(self) -> list[SubjectShape]:
        """The subjects, those with most messages first."""
        found = [SubjectShape(tokens[0].count, tuple(tokens)) for tokens in self._subjects.values()]
        return sorted(found, key=lambda shape: -shape.messages)

    @property
    def median_size(self) -> int:
        """Of bodies, in bytes."""
        return int(median(self.sizes)) if self.sizes else 0


def kind_of(value: Any) -> str:
    """What a value of JSON is."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "text"
        case int():
            return "int"
        case BinaryFloat():
            return "float"
        case Decimal() | float():
            return "number"
        case dict():
            return "object"
        case _:
            return "list"


def body_of(message: Message) -> Body:
    """What the body of a message is, once it is decompressed.

    Raises:
        ConfigurationError: what decompresses it is not installed.
    """
    coding = chosen_headers(message.headers, (HEADER,)).get(HEADER, "").strip().lower()
    try:
        data = decompressed(message.data, coding)
    except DecodeError:
        return Body(f"damaged {coding}" if coding in ("gzip", "x-gzip", "zstd") else f"compressed with {coding}")
    found = _recognized(data)
    return found._replace(name=f"{coding} of {found.name}") if coding not in ("", "identity") else found


def _recognized(data: bytes) -> Body:
    if not data:
        return Body("empty")
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return Body(f"{name} without a header {HEADER}")
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    else:
        return Body("JSON object" if isinstance(value, dict) else "JSON, no object", "json", value)
    for name, as_json in _BINARY:
        try:
            value = _decode(as_json(data, None))
        except (DecodeError, msgspec.DecodeError, ValueError):
            continue
        if isinstance(value, (dict, list)):
            return Body(name, name, value)
    if _is_text(data):
        return Body("text")
    return Body(FRAMED if data[0] == 0 and len(data) > 5 else "binary")


def _fields(
    body: dict[str, Any], path: tuple[str, ...] = (), *, has_floats: bool
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in body.items():
        if value is None:
            continue
        here = (*path, name)
        is_float = has_floats and isinstance(value, dict) and value.keys() == {"float"}
        yield here, BinaryFloat(value["float"]) if is_float else value
        if isinstance(value, dict) and not is_float and len(here) < _MAX_DEPTH:
            yield from _fields(value, here, has_floats=has_floats)


def _is_text(data: bytes) -> bool:
    """Whether it is for people: short messages of binary encodings are UTF-8 often enough."""
    try:
        return not any(one < " " and one not in "\t\r\n" for one in data.decode())
    except UnicodeDecodeError:
        return False
