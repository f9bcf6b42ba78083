"""Messages of a log in a file, one a line: what `dump` writes, and `load`, `replay` and tests read again.

A line is a JSON object with the message's `sequence`, `subject`, `time`, `headers` and `body`. A body that is no JSON,
or JSON over several lines, is there as `body_base64`; it comes back byte for byte either way.

Authors may write an `envelope` instead of a body: then that is what the message holds, whatever a manifest says of
messages, and it needs no subject.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec

from projection.errors import DecodeError
from projection.model.event_format.headers import all_headers, headers_block
from projection.model.timestamp import parse_timestamp
from projection.stream.port import Message

_NANOSECONDS = 1_000_000_000


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    sequence: int | None = None
    subject: str | None = None
    time: str | None = None
    headers: dict[str, str | list[str]] = {}
    body: msgspec.Raw = msgspec.Raw()
    body_base64: str | None = None
    envelope: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Line).decode
_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode


def is_recorded(line: bytes) -> bool:
    """Whether a line holds a recorded message, and not an envelope or its short form."""
    if b'"subject"' not in line and b'"envelope"' not in line:
        return False
    names = _names(line)
    has_body = "subject" in names and not names.isdisjoint(("body", "body_base64"))
    return "event_type" not in names and (has_body or "envelope" in names)


def holds_envelope(line: bytes) -> bool:
    """Whether a recorded line has an envelope in place of a body."""
    return b'"envelope"' in line and "envelope" in _names(line)


def _names(line: bytes) -> frozenset[str]:
    try:
        return frozenset(_decode_names(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()


def recorded_line(message: Message) -> bytes:
    """A message as a line, without its end."""
    nanoseconds = int(message.time)
    moment = datetime.fromtimestamp(nanoseconds // _NANOSECONDS, UTC)
    body: dict[str, Any] = {"body": msgspec.Raw(message.data)}
    if not _is_a_line_of_json(message.data):
        body = {"body_base64": b64encode(message.data).decode()}
    fields = {
        "sequence": message.sequence,
        "subject": message.subject,
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % _NANOSECONDS:09d}Z",
        "headers": {name: text for name, text in all_headers(message.headers).items() if not _is_a_guard(name)},
        **body,
    }
    return _encode({name: value for name, value in fields.items() if value != {}})


def _is_a_guard(header: str) -> bool:
    """Whether a header told the server what to check before it stored the message, as `load` does."""
    return header.lower().startswith("nats-expected-")


def recorded_message(line: bytes, sequence: int) -> Message:
    """The inverse of `recorded_line`.

    Args:
        line: of the file.
        sequence: of a message that says none.

    Raises:
        DecodeError: D101, the line is no recorded message.

    Returns:
        The message; its subject is empty where an envelope has none.
    """
    try:
        found = _decode(line)
        body = bytes(found.body) or bytes(found.envelope)
        if (found.body_base64 is not None and body) or (bytes(found.body) and bytes(found.envelope)):
            raise _refused("it has two bodies")
        if found.subject is None and not bytes(found.envelope):
            raise _refused("it has no subject")
        if found.body_base64 is not None:
            body = b64decode(found.body_base64, validate=True)
        time = "" if found.time is None else _nanoseconds(found.time)
        headers = headers_block(found.headers)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise _refused(str(error)) from None
    number = sequence if found.sequence is None else found.sequence
    return Message(number, found.subject or "", body, time, "", headers)


def unnumbered(line: bytes) -> bytes:
    """A recorded line without its sequence: where it stands says which message it is."""
    fields = _decode_names(line)
    fields.pop("sequence", None)
    return _encode(fields)


def _refused(why: str) -> DecodeError:
    return DecodeError(f"this is not a recorded message: {why}", code="D101")


def _is_a_line_of_json(data: bytes) -> bool:
    try:
        return b"\n" not in data and bytes(_decode_raw(data)) == data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _nanoseconds(text: str) -> str:
    """Since the epoch, of an RFC 3339 timestamp; all nine digits count."""
    moment = parse_timestamp(text)
    seconds = int(moment.time.replace(microsecond=0).timestamp())
    _, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))][:9] if dot else ""
    return str(seconds * _NANOSECONDS + int(f"{digits:0<9}"))
