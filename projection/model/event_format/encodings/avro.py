"""Avro's binary encoding, made JSON by the schema that it was written with: the one module that knows `fastavro`."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import fastavro
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException

from projection.model.event_format.encodings.json_form import (
    MAX_EXPONENT,
    MAX_INTEGER_BITS,
    broken,
    encode_text,
    moment,
    require_room,
    unfit,
    write_decimal,
    write_float,
    write_octets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_SINGLE_OBJECT = b"\xc3\x01"  # what begins Avro's own frame around a message, with the schema's fingerprint
_MAY_BE_FRAMED = "; it begins as messages with the id of a schema registry do, which are not read"
_FEW = 65_536  # bytes: values of larger bodies are counted
MAX_READS = 1_000_000  # of one body; at least one a value, each of which takes up to 250 bytes of memory


class AvroSchemas:
    """Makes JSON of messages by the type of their event.

    Args:
        schemas: the JSON of the schema of each type of event; `*` of any other.

    Raises:
        ValueError: one is no schema, or of no bounded use.
    """

    def __init__(self, schemas: Mapping[str, bytes]) -> None:
        self._of = {event_type: _parsed(text) for event_type, text in schemas.items()}

    def as_json(self, body: bytes, event_type: str | None) -> bytes | None:
        """The JSON of a body; None where there is no schema for the type of its event.

        Raises:
            DecodeError: D101 it was not written by the schema, D102 it holds what has no JSON, D104 it is too large.
        """
        schema = self._of.get(event_type or "") or self._of.get("*")
        if schema is None:
            return None
        file = BytesIO(body) if len(body) <= _FEW else _Counted(body)
        try:
            value = fastavro.schemaless_reader(file, schema)
        except (EOFError, LookupError, TypeError, ValueError, _TooManyError) as error:
            raise broken("avro", f"{str(error) or 'it ends too early'}{_hint(body)}") from None
        if (left := len(body) - file.tell()) > 0:
            raise broken("avro", f"{left:,} bytes follow what its schema says{_hint(body)}")
        out = bytearray()
        _write(out, value)
        require_room(out)
        return bytes(out)


class _RefusedError(Exception):
    """A schema is one, and bodies of it have no bounds."""


class _TooManyError(Exception):
    """A body holds more values than are read."""


class _Counted(BytesIO):
    """A body whose values are counted: a list of booleans has one in each byte, and an object is 200 bytes."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """See `BytesIO`."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise _TooManyError(f"it has more than {MAX_READS:,} values")
        return super().read(size)


def _hint(body: bytes) -> str:
    return _MAY_BE_FRAMED if body[:1] == b"\0" or body[:2] == _SINGLE_OBJECT else ""


def _parsed(text: bytes) -> Any:
    named: dict[str, Any] = {}
    try:
        schema = fastavro.parse_schema(_with_own_types(json.loads(text)), named_schemas=named)
        _least(schema, named, {}, ())
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except (ValueError, SchemaParseException, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is no Avro schema: {str(error) or type(error).__name__}") from None
    return schema


def _least(schema: Any, named: Mapping[str, Any], known: dict[str, int], around: tuple[str, ...]) -> int:
    """The fewest bytes that a value takes.

    Raises:
        _RefusedError: a record holds itself, and what reads it has no bound for how deep; or a list has items without
            a byte, of which there may be any number.
    """
    match schema:
        case str() if schema in named:
            if schema in around:
                raise _RefusedError(f"the record {schema} holds itself, and such schemas are not read")
            if schema not in known:
                known[schema] = _least(named[schema], named, known, (*around, schema))
            return known[schema]
        case str():
            return int(schema != "null")
        case list():
            return 1 + min((_least(one, named, known, around) for one in schema), default=0)
        case {"type": "record" | "error", "name": name, "fields": fields}:
            inside = around if name in around else (*around, name)
            return sum(_least(one["type"], named, known, inside) for one in fields)
        case {"type": "array", "items": items}:
            if not _least(items, named, known, around):
                raise _RefusedError("an array has items without a byte, and such schemas are not read")
            return 1
        case {"type": "map", "values": values}:
            _least(values, named, known, around)
            return 1
        case {"type": "fixed", "size": size}:
            return int(size)
        case {"type": "enum"}:
            return 1
        case {"type": inner}:
            return _least(inner, named, known, around)
    return 1


def _write(out: bytearray, value: Any) -> None:
    match value:
        case None:
            out += b"null"
        case bool():
            out += b"true" if value else b"false"
        case str():
            out += encode_text(value)
        case int():
            out += b"%d" % value
        case float():
            write_float(out, value)
        case dict():
            begin = b"{"
            for key, one in value.items():
                out += begin
                out += encode_text(key)
                out += b":"
                _write(out, one)
                require_room(out)
                begin = b","
            out += b"{}" if begin == b"{" else b"}"
        case list():
            out += b"["
            for number, one in enumerate(value):
                if number:
                    out += b","
                _write(out, one)
                require_room(out)
            out += b"]"
        case bytes():
            write_octets(out, value)
        case Decimal():
            write_decimal(out, value)
        case _:
            raise unfit(f"a value is a {type(value).__name__}")


# --- logical types ----------------------------------------------------------------------------------------------------
# The library's own readers round a decimal that has more digits than its schema says, and another release may know more
# types. What a body means must not change with it, so the types have names and readers of ours.


def _decimal(octets: bytes, schema: Any, _reader: Any) -> Decimal:
    number = int.from_bytes(octets, signed=True)
    if number.bit_length() > MAX_INTEGER_BITS:
        raise unfit("a decimal has too many digits")
    return Decimal((number < 0, tuple(map(int, str(abs(number)))), -schema.get("scale", 0)))


def _date(days: int, _schema: Any, _reader: Any) -> str:
    try:
        return date.fromordinal(_EPOCH + days).isoformat()
    except (OverflowError, ValueError):
        raise unfit("a date lies outside the years 1 to 9999") from None


def _timestamp(unit: str, number: int, _schema: Any, _reader: Any) -> str:
    return moment(str(number), unit)


def _local(unit: str, number: int, _schema: Any, _reader: Any) -> str:
    return moment(str(number), unit).removesuffix("Z")


def _time(unit: str, number: int, _schema: Any, _reader: Any) -> str:
    day, _, text = moment(str(number), unit).removesuffix("Z").partition("T")
    if day != "1970-01-01":
        raise unfit("a time of day is longer than a day")
    return text


_EPOCH = date(1970, 1, 1).toordinal()
_OWN = "projection-"
_UNITS = {"millis": "ms", "micros": "us", "nanos": "ns"}
_LOGICAL: dict[str, Any] = {
    "bytes-decimal": _decimal,
    "fixed-decimal": _decimal,
    "int-date": _date,
    "int-time-millis": partial(_time, "ms"),
    "long-time-micros": partial(_time, "us"),
    **{f"long-timestamp-{name}": partial(_timestamp, unit) for name, unit in _UNITS.items()},
    **{f"long-local-timestamp-{name}": partial(_local, unit) for name, unit in _UNITS.items()},
}
for _key, _read in _LOGICAL.items():
    LOGICAL_READERS[_key.replace("-", f"-{_OWN}", 1)] = _read


def _with_own_types(schema: Any) -> Any:
    """A schema with the names of logical types that are read here, and without those that are not."""
    if isinstance(schema, list):
        return [_with_own_types(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_own_types(one) for key, one in schema.items() if key != "logicalType"}
    name = schema.get("logicalType")
    if isinstance(found.get("type"), str) and f"{found['type']}-{name}" in _LOGICAL:
        found["logicalType"] = f"{_OWN}{name}"
        scale = found.get("scale", 0)
        if not (isinstance(scale, int) and 0 <= scale <= MAX_EXPONENT):
            raise _RefusedError(f"a decimal has the scale {scale!r:.40}, which is none of 0 to {MAX_EXPONENT}")
    return found
