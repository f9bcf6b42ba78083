"""The JSON Schema (draft 2020-12) of what a view's JSON looks like."""

from __future__ import annotations

from typing import Any

from projection.lang import types as ty
from projection.lang.values.numbers import MAX_INT, MIN_INT

_SIMPLE: dict[type, dict[str, Any]] = {
    ty.Bool: {"type": "boolean"},
    ty.Int: {"type": "integer", "minimum": MIN_INT, "maximum": MAX_INT},
    ty.Date: {"type": "string", "format": "date"},
    ty.Timestamp: {"type": "string", "format": "date-time"},
    ty.Duration: {"type": "string", "format": "duration"},
    ty.Json: {},
}


def of_record(record: ty.Record) -> dict[str, Any]:
    """The schema of a record, with those of the records in it under `$defs`."""
    known: dict[str, dict[str, Any]] = {}
    schema = _object(record, known)
    return schema | ({"$defs": dict(sorted(known.items()))} if known else {})


def _object(record: ty.Record, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    fields = {one.wires[0]: _of(one.type, known) for _name, one in sorted(record.fields.items())}
    return {
        "title": record.name,
        "type": "object",
        "properties": fields,
        "required": list(fields),  # what is none is null
        "additionalProperties": False,
    }


def _of(type_: ty.Type, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    match type_:
        case ty.Decimal(scale=None):
            return {"type": "number"}
        case ty.Decimal():
            # How many digits it has: `multipleOf` would be asked of binary floats, and fail for decimals.
            return {"type": "number", "format": f"decimal({type_.scale})"}
        case ty.String():
            return {"type": "string", "maxLength": type_.max or ty.DEFAULT_STRING}
        case ty.Bytes():
            return {"type": "string", "contentEncoding": "base64"}
        case ty.Enum():
            return {"type": "string", "examples" if type_.open else "enum": list(type_.members)}
        case ty.List():
            return {"type": "array", "items": _of(type_.item, known), "maxItems": type_.max or ty.DEFAULT_CONTAINER}
        case ty.Set():
            items = _of(type_.item, known)
            return {"type": "array", "items": items, "uniqueItems": True, "maxItems": type_.max or ty.DEFAULT_CONTAINER}
        case ty.Map():
            values, most = _of(type_.value, known), type_.max or ty.DEFAULT_CONTAINER
            return {"type": "object", "additionalProperties": values, "maxProperties": most}
        case ty.Optional():
            return {"anyOf": [_of(type_.inner, known), {"type": "null"}]}
        case ty.Record():
            if type_.name not in known:
                known[type_.name] = {}  # records can be reached in more ways than one
                known[type_.name] = _object(type_, known)
            return {"$ref": f"#/$defs/{type_.name}"}
        case _:
            return dict(_SIMPLE[type(type_)])
