"""Events as authors write them: envelopes or their short form, as values of Python, JSON, JSON lines or files of these.

The short form says what matters in a test, and the rest has defaults:

    {"type": "Payment", "data": {"fine_id": "A1", "amount_paid": 10.10}, "at": "2001-02-03T00:00:00Z"}

What it says of the message that the event came in (`headers`, `subject`, `stored_at`) makes it a recorded message, with
an envelope for its body.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from projection.engine.replay import FileEvents
from projection.errors import ConfigurationError, DecodeError, ProjectionError
from projection.inputs import read_input
from projection.lang.values.plain import plain
from projection.model.envelope import Envelope, decode_envelope
from projection.model.problems import did_you_mean
from projection.model.timestamp import parse_timestamp
from projection.stream.file_feed import event_files, read_events
from projection.stream.recorded import is_recorded, recorded_message, unnumbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from projection.model.envelope import Tenancy
    from projection.model.manifest import ManifestView

FIRST_TIME = "2000-01-01T00:00:00Z"  # of a first event that names none; a later one has that of the event before it
DEFAULT_ID = "1"  # of the aggregate
MAX_SHOWN = 200  # characters of a payload in a message

OneEvent: TypeAlias = Mapping[str, Any] | str | bytes
Events: TypeAlias = OneEvent | PathLike[str] | Iterable[OneEvent]


class GivenEvent(NamedTuple):
    """One event: the line that it is in a log, what it says, where it was written, and whether in the short form."""

    line: bytes  # of its envelope, or of a recorded message
    envelope: Envelope
    place: str
    is_short: bool
    subject: str | None = None  # that the short form names

    @property
    def event_type(self) -> str:
        """Its type."""
        return self.envelope.event_type

    def __str__(self) -> str:
        payload = bytes(self.envelope.payload).decode()
        shown = payload if len(payload) <= MAX_SHOWN else payload[:MAX_SHOWN] + "…"
        return f"{self.event_type} {shown} ({self.place})"


class _Short(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    at: str | None = None
    id: str = DEFAULT_ID
    aggregate: str | None = None
    tenant: str = ""
    event_id: str | None = None
    correlation_id: str | None = None
    headers: dict[str, str] = {}
    subject: str | None = None
    stored_at: str | None = None


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_short = msgspec.json.Decoder(_Short)
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=plain).encode


def given_events(
    events: Events,
    folder: Path,
    aggregate_of: Callable[[str], str],
    time: str = FIRST_TIME,
    recorded: Callable[[bytes], Envelope | None] | None = None,
) -> Iterator[GivenEvent]:
    """The events in their order.

    Args:
        events: one event or several: mappings, texts of JSON or JSON lines, or a path of a `.jsonl`, `.jsonl.gz` or
            `.json` file.
        folder: what a path starts from.
        aggregate_of: the type of aggregate that an event of this type belongs to, where its short form names none.
        time: of a first event that names none.
        recorded: see `recorded_by`; None where there can be no recorded message.

    Raises:
        ConfigurationError: a file cannot be read, or something is no event; names the line of a file.
    """
    for place, data in _pieces(events, folder):
        if recorded is not None and is_recorded(data):
            if (envelope := _recorded(data, place, recorded)) is None:
                continue
            event = GivenEvent(unnumbered(data), envelope, place, is_short=False)
        else:
            event = given_event(data, place, time, aggregate_of)
        time = event.envelope.timestamp
        yield event


def _pieces(events: Events, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each event's JSON with its place."""
    if isinstance(events, Mapping):
        yield "the event", _json(events, "the event")
    elif isinstance(events, PathLike):
        yield from _of_file(folder / events)
    elif isinstance(events, (str, bytes)):
        data = _json(events, "the text")
        yield from _of_array(data, "event {}") if _is_array(data) else _of_lines(data)
    else:
        for number, event in enumerate(events, 1):
            place = f"event {number}"
            yield place, _json(event, place)


def _of_file(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in event_files(path):
            yield from _of_file(file)
        return
    if path.suffix == ".json":
        try:
            data = read_input(path)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        yield from _of_array(data, f"{path}, event {{}}") if _is_array(data) else [(str(path), data)]
        return
    for line, data in read_events(path):
        yield f"{path}:{line}", data


def _of_lines(data: bytes) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            yield f"line {number}", line


def _is_array(data: bytes) -> bool:
    return data.lstrip().startswith(b"[")


def _of_array(data: bytes, place: str) -> Iterator[tuple[str, bytes]]:
    try:
        items = _items.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{place.format('…')}: this is no JSON: {error}") from None
    for number, item in enumerate(items, 1):
        yield place.format(number), bytes(item)


def _json(event: OneEvent, place: str) -> bytes:
    if isinstance(event, bytes):
        return event
    try:
        if isinstance(event, str):
            return event.encode()
        _require_json(event)
        return _encode(event)
    except (TypeError, ValueError) as error:
        raise _no_event(place, str(error)) from None


def _require_json(value: object) -> None:
    """Refuse what is no number; msgspec would write it as null."""
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple, set, frozenset)):
        return
    for item in value:
        _require_json(item)


def recorded_by(entry: ManifestView, tenancy: Tenancy) -> Callable[[bytes], Envelope | None]:
    """What reads the lines of recorded messages by what a manifest says of them; None of one that is no event.

    It raises ProjectionError where a message cannot be read.
    """
    events = FileEvents(entry, tenancy)

    def read(line: bytes) -> Envelope | None:
        event = events.event(1, line)
        if event.error is not None:
            raise event.error
        return event.envelope

    return read


def _recorded(line: bytes, place: str, recorded: Callable[[bytes], Envelope | None]) -> Envelope | None:
    try:
        return recorded(line)
    except ProjectionError as error:
        raise ConfigurationError(f"{place}: this is no event: {error.message}", hint=error.hint) from None


def given_event(data: bytes, place: str, time: str, aggregate_of: Callable[[str], str]) -> GivenEvent:
    """The event in these bytes of JSON; see `given_events`, also for what it raises."""
    try:
        names = _fields.decode(data)
        is_short = "event_type" not in names
        line, subject = data, None
        if is_short:
            short = _shorts(data, names)
            data = _envelope(short, time, aggregate_of)
            line, subject = _in_message(short, data), short.subject
        envelope = decode_envelope(data)
        parse_timestamp(envelope.timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, DecodeError, ValueError) as error:
        raise _no_event(place, str(error)) from None
    return GivenEvent(line, envelope, place, is_short, subject)


def _shorts(data: bytes, names: Mapping[str, object]) -> _Short:
    for name in names:
        if name not in _Short.__struct_fields__:
            raise ValueError(f"the field {name!r} is not known; {did_you_mean(name, _Short.__struct_fields__)}")
    return _short.decode(data)


def _in_message(short: _Short, envelope: bytes) -> bytes:
    """The line of an event: its envelope, or the message that it came in, where something is said of that."""
    parts = {"subject": short.subject, "time": short.stored_at, "headers": short.headers}
    said = {name: value for name, value in parts.items() if value}
    if not said:
        return envelope
    line = _encode({**said, "envelope": msgspec.Raw(envelope)})
    recorded_message(line, 1)  # which says what is wrong with it
    return line


def _envelope(short: _Short, time: str, aggregate_of: Callable[[str], str]) -> bytes:
    fields = {
        "tenant_id": short.tenant,
        "aggregate_type": aggregate_of(short.type) if short.aggregate is None else short.aggregate,
        "aggregate_id": short.id,
        "event_type": short.type,
        "timestamp": short.at or time,
        "payload": short.data,
        "event_id": short.event_id,
        "correlation_id": short.correlation_id,
    }
    return _encode({name: value for name, value in fields.items() if value is not None})


def _no_event(place: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{place}: this is no event: {why}",
        hint='write an envelope, or its short form {"type": …, "data": {…}}',
    )
