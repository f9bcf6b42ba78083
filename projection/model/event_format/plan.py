"""How the parts of an envelope are got from a message: the sources of a manifest, made into functions once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol, cast

import msgspec

from projection.errors import DecodeError
from projection.model.envelope import MAX_TEXT
from projection.model.event_format.bodies import ABSENT, Bodies, Field
from projection.model.event_format.cloudevents import data_of, is_json, require_readable, require_version, unescaped
from projection.model.event_format.encodings.compressed import HEADER, decompressed
from projection.model.event_format.times import counted_timestamp, with_offset
from projection.nested import shallow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.model.envelope import Envelope
    from projection.model.event_format.encodings.coding import AsJson
    from projection.model.event_format.sources import Source
    from projection.model.event_format.times import TimeForm

    Getter = Callable[[Any, "StoredMessage", Sequence[str | None], Mapping[str, str]], Any]

TEXTS = ("event_type", "aggregate_type", "aggregate_id", "tenant_id", "event_id", "correlation_id", "traceparent")
# Of an envelope, where nothing is said of a part, or it is not there.
_DEFAULTS = dict.fromkeys((*TEXTS, "trace_id", "timestamp")) | {
    "aggregate_type": "",
    "aggregate_id": "",
    "payload": ABSENT,
}
_TEXT = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | int
NO_SCHEMA, IGNORED = "of a type without a schema", "ignored"
_TEXT_OR_FLAG = _TEXT | bool  # as attributes of CloudEvents may be, and what tells events from others
_NOTHING, _NULL = msgspec.Raw(b"{}"), b"null"
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_text = msgspec.json.Decoder(str).decode


class StoredMessage(Protocol):
    """What of a message an event is made of."""

    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> bytes: ...  # noqa: D102
    @property
    def headers(self) -> bytes: ...  # noqa: D102 - as NATS carries them; empty: none
    @property
    def time(self) -> str: ...  # noqa: D102 - when it was stored, in nanoseconds since the epoch


class _Decoded(NamedTuple):
    """A message whose body was made JSON."""

    subject: str
    data: bytes
    headers: bytes
    time: str


class NoEvent(Exception):  # noqa: N818 - nothing is wrong
    """A message that is no event; its argument says in a word what it is."""


class Plan:
    """Gets the parts of messages of one kind.

    A body is decoded into an object that is the envelope already, as far as its parts are fields of the body; what is
    elsewhere is then set.

    Args:
        parts: the sources of each part of an envelope, and of `ignored_0` and so on, one each.
        ignored: the values of these that make a message no event.
        form: how timestamps are written.
        offset: of timestamps that name none.
        places: what the subject says, by the names of its places, in order.
        version: where a message says of which version of CloudEvents it is; None where it need not be one.
        as_json: what makes JSON of data that is written otherwise.
        media_types: what the type of such data may be, in CloudEvents.
    """

    def __init__(
        self,
        parts: Mapping[str, Sequence[Source]],
        ignored: Sequence[frozenset[str]],
        form: TimeForm,
        offset: str | None,
        places: Sequence[str],
        version: Source | None = None,
        as_json: AsJson | None = None,
        media_types: Sequence[str] = (),
    ) -> None:
        self._as_json, self._media_types = as_json, media_types
        self._form, self._offset, self._places = form, offset, places
        self._named = {part: ", ".join(map(_shown, sources)) for part, sources in parts.items()}
        self._fields: dict[str, Field] = {}  # of bodies, by attribute; those of parts that are nowhere else by the part
        self.header_names: set[str] = set()
        # What is no event may have any body: that is known from outside of it first, where it can be.
        self._ignored_outside, self._ignored_inside = (
            [
                (self._getter(f"ignored_{number}", parts[f"ignored_{number}"][0], _TEXT_OR_FLAG), values)
                for number, values in enumerate(ignored)
                if (parts[f"ignored_{number}"][0].kind == "body") == is_inside
            ]
            for is_inside in (False, True)
        )
        self._outer_tenant = [self._getter("", one, _TEXT) for one in parts["tenant_id"] if one.kind != "body"]
        self._outer_type = [self._getter("", one, _TEXT) for one in parts["event_type"] if one.kind != "body"]
        self._version = None if version is None else self._getter("version", version, str)
        self._is_binary = version is not None and version.kind == "ce"
        text = _TEXT if version is None else _TEXT_OR_FLAG
        texts = {part: self._getters(part, parts[part], text) for part in TEXTS}
        self._elsewhere = [(part, getters) for part, getters in texts.items() if getters and part not in self._fields]
        self._in_body = [part for part in TEXTS if part in self._fields]
        is_counted = form != "rfc3339"
        self._times = self._getters("timestamp", parts["timestamp"], msgspec.Raw if is_counted else str)
        self._is_stored = [source.kind == "stored" for source in parts["timestamp"]]
        self._is_time_direct = "timestamp" in self._fields and not is_counted and offset is None
        self._payloads = self._getters("payload", parts["payload"], msgspec.Raw)
        self._is_payload_direct = "payload" in self._fields
        others = {name: default for name, default in _DEFAULTS.items() if name not in self._fields}
        self._bodies = Bodies(self._fields, others)

    def envelope(
        self, message: StoredMessage, groups: Sequence[str], headers: Mapping[str, str], *, is_coded: bool = False
    ) -> Envelope:
        """The envelope of a message.

        Args:
            message: of the log.
            groups: what its subject says at each place.
            headers: of the message, those of `header_names`, and how its body is compressed.
            is_coded: whether its body is written in the encoding that the manifest names.

        Raises:
            NoEvent: the manifest says that it is none.
            DecodeError: see `FormatReader.read`.
        """
        self.require_event(message, groups, headers)
        if self._is_binary and message.data:
            require_readable(headers, self._media_types)
        is_coded = is_coded and not (self._is_binary and not message.data)  # an event without data
        if is_coded or HEADER in headers:
            data = decompressed(message.data, headers.get(HEADER, ""))
            if is_coded:
                event_type = self._outer(self._outer_type, "event_type", message, groups, headers)
                data = self._converted(data, event_type)
            message = _Decoded(message.subject, data, message.headers, message.time)
        found = self._bodies.read(message.data)
        if self._version is not None:
            require_version(self._version(found, message, groups, headers))
        _require_event(self._ignored_inside, found, message, groups, headers)
        for part, getters in self._elsewhere:
            for get in getters:
                if (value := get(found, message, groups, headers)) is not None:
                    setattr(found, part, _text(part, value))
                    break
        for part in self._in_body:
            if (value := getattr(found, part)).__class__ is not str:
                setattr(found, part, _DEFAULTS[part] if value is None else _text(part, value))
        if found.event_type is None:
            raise self._missing("event_type")
        if not self._is_time_direct or found.timestamp is None:
            found.timestamp = self._time(found, message, groups, headers)
        if not self._is_payload_direct or found.payload is ABSENT:
            found.payload = self._payload(found, message, groups, headers)
        return cast("Envelope", found)

    def require_event(self, message: StoredMessage, groups: Sequence[str], headers: Mapping[str, str]) -> None:
        """Pass over a message that is known from outside of its body to be no event, whatever its form.

        Raises:
            NoEvent: it is none.
        """
        _require_event(self._ignored_outside, None, message, groups, headers)

    def outer_tenant(self, message: StoredMessage, groups: Sequence[str], headers: Mapping[str, str]) -> str | None:
        """The tenant, as far as it can be told without the body."""
        return self._outer(self._outer_tenant, "tenant_id", message, groups, headers)

    def _outer(self, getters: Sequence[Getter], part: str, *where: Any) -> str | None:
        values = (get(None, *where) for get in getters)
        return next((_text(part, value) for value in values if value is not None), None)

    def _converted(self, data: bytes, event_type: str | None) -> bytes:
        """The JSON of data in the encoding of the manifest."""
        if self._as_json is None:
            return data
        if (found := self._as_json(data, event_type)) is None:
            raise NoEvent(NO_SCHEMA)
        return found

    def _time(self, *where: Any) -> str:
        for get, is_stored in zip(self._times, self._is_stored, strict=True):
            if (value := get(*where)) is None:
                continue
            try:
                if is_stored:
                    return counted_timestamp(value, "epoch_ns")
                if self._form == "rfc3339":
                    return with_offset(value, self._offset) if self._offset else str(value)
                text = _number_text(bytes(value)) if isinstance(value, msgspec.Raw) else value
                return counted_timestamp(_decode_text(text) if text.startswith('"') else text, self._form)
            except ValueError as error:
                raise DecodeError(f"the timestamp of the event: {error}", code="D102") from None
        raise self._missing("timestamp")

    def _payload(self, *where: Any) -> msgspec.Raw:
        for get in self._payloads:
            if (value := get(*where)) is not None:
                return cast("msgspec.Raw", value)
        raise self._missing("payload")

    def _of_base64(self, text: str | None, media_type: str | None, event_type: str) -> msgspec.Raw | None:
        """The data of a structured CloudEvent in another encoding than JSON."""
        if text is None:
            return None
        data = data_of(text)
        return whole(data if is_json(media_type or "") else self._converted(data, event_type))

    def _missing(self, part: str) -> DecodeError:
        return DecodeError(f"the event has no {part}: nothing at {self._named[part]}", code="D102")

    def _getters(self, part: str, sources: Sequence[Source], type_: Any) -> list[Getter]:
        if len(sources) == 1:
            return [self._getter(part, sources[0], type_)]
        return [self._getter(f"{part}_{number}", source, type_) for number, source in enumerate(sources)]

    def _getter(self, name: str, source: Source, type_: Any) -> Getter:
        """What takes a source out of body, message, the subject's groups and headers; None where nothing is there.

        Args:
            name: of the attribute of a body that it is to be.
            source: where it is.
            type_: of a field of a body.
        """
        match source.kind:
            case "constant":
                text = source.path[0]
                return lambda _body, _message, _groups, _headers: text
            case "subject":
                if not source.path:
                    return lambda _body, message, _groups, _headers: message.subject
                if source.path[0] not in self._places:  # it is in another template's subjects
                    return lambda _body, _message, _groups, _headers: None
                place = self._places.index(source.path[0])
                return lambda _body, _message, groups, _headers: groups[place]
            case "header":
                header = source.path[0]
                self.header_names.add(header)
                return lambda _body, _message, _groups, headers: headers.get(header)
            case "stored":
                return lambda _body, message, _groups, _headers: message.time or None
            case "ce":  # a header that holds an attribute of a CloudEvent
                attribute = source.path[0]
                self.header_names.add(attribute)
                return lambda _body, _message, _groups, headers: unescaped(headers.get(attribute))
            case "base64":
                self._fields[name] = Field(source.path, str)
                if self._as_json is None:
                    return lambda body, _message, _groups, _headers: _of_base64(getattr(body, name))
                self._fields[written := f"{name}_written"] = Field(("datacontenttype",), str)
                return lambda body, _message, _groups, _headers: self._of_base64(
                    getattr(body, name), getattr(body, written), body.event_type
                )
            case "data":  # of a CloudEvent in binary mode
                return lambda _body, message, _groups, _headers: _present(whole(message.data or _NULL)) or _NOTHING
            case "nothing":
                return lambda _body, _message, _groups, _headers: _NOTHING
            case _ if not source.path:
                return lambda _body, message, _groups, _headers: whole(message.data)
            case _:
                self._fields[name] = Field(source.path, type_)
                if type_ is msgspec.Raw:
                    return lambda body, _message, _groups, _headers: _present(getattr(body, name))
                return lambda body, _message, _groups, _headers: getattr(body, name)


def _number_text(raw: bytes) -> str:
    """A number as it stands in JSON; of a binary float, its digits."""
    return raw.removeprefix(b'{"float":').removesuffix(b"}").decode()


def _require_event(ignored: Sequence[tuple[Getter, frozenset[str]]], *where: Any) -> None:
    for get, values in ignored:
        value = get(*where)
        if value is not None and _text("ignored part", value) in values:
            raise NoEvent(IGNORED)


def _shown(source: Source) -> str:
    return f"header.{source.path[0]}" if source.kind == "ce" else str(source)


def _of_base64(text: str | None) -> msgspec.Raw | None:
    return None if text is None else whole(data_of(text))


def _present(raw: msgspec.Raw) -> msgspec.Raw | None:
    return None if raw is ABSENT or bytes(raw) == b"null" else raw


def _text(part: str, value: str | int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # Python writes no integer of very many digits.
    is_long = isinstance(value, int) and value.bit_length() > 4 * MAX_TEXT
    text = "" if is_long else str(value)
    if is_long or len(text) > MAX_TEXT:
        raise DecodeError(f"the {part} of the event is longer than {MAX_TEXT} characters", code="D102")
    return text


def whole(body: bytes) -> msgspec.Raw:
    """A body as it came.

    Raises:
        DecodeError: D101, it is no JSON.
    """
    try:
        try:
            return _decode_raw(body)
        except RecursionError:
            return _decode_raw(shallow(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"the event is not JSON: {error}", code="D101") from None
