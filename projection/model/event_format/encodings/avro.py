"""Avro's binary encoding, made JSON by the schema that it was written with: the one module that knows `fastavro`."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

import fastavro
from fastavro.schema import SchemaParseException

from projection.model.event_format.encodings.json_form import (
    broken,
    encode_text,
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
MAX_READS = 2_000_000  # of one body; about one a value, each of which takes up to 250 bytes of memory


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
        except OverflowError as error:
            raise unfit(f"a date or a timestamp cannot be read: {error}") from None
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
        schema = fastavro.parse_schema(json.loads(text), named_schemas=named)
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
        case datetime() | date() | time():
            out += b'"%b"' % value.isoformat().replace("+00:00", "Z").encode()
        case UUID():
            out += b'"%b"' % str(value).encode()
        case _:
            raise unfit(f"a value is a {type(value).__name__}")
