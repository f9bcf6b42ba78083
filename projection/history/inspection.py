"""What is in a stream, read off a sample of its messages: subjects, encodings, headers and the fields of bodies."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from projection.model.event_format.headers import all_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.stream.port import Message

MOST_DISTINCT = 5_000  # values of one place that are told apart
_MOST_PLACES = 500  # fields and headers that are looked at
_MAX_DEPTH = 3  # of fields
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xff\x06\x00\x00sNaPpY": "snappy"}


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
        self.encodings: Counter[str] = Counter()
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
        encoding, body = encoding_of(message.data)
        self.encodings[encoding] += 1
        is_object = isinstance(body, dict)
        if is_object:
            for path, value in _fields(body):
                self._note(self.fields, path, value)
        self.samples.append((message, body if is_object else None))

    def _note(self, places: dict[Any, Seen], key: Any, value: Any) -> None:
        if key in places or len(places) < _MOST_PLACES:
            places.setdefault(key, Seen()).add(value)

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
        case Decimal() | float():
            return "number"
        case dict():
            return "object"
        case _:
            return "list"


def encoding_of(data: bytes) -> tuple[str, Any]:
    """How a body is written, and what it holds where that is JSON."""
    if not data:
        return "empty", None
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return name, None
    try:
        body = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    else:
        return ("JSON object" if isinstance(body, dict) else "JSON, no object"), body
    try:
        if isinstance(body := msgspec.msgpack.decode(data), (dict, list)):
            return "msgpack", None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    try:
        data.decode()
    except UnicodeDecodeError:
        return "binary", None
    return "text", None


def _fields(body: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in body.items():
        if value is None:
            continue
        here = (*path, name)
        yield here, value
        if isinstance(value, dict) and len(here) < _MAX_DEPTH:
            yield from _fields(value, here)
