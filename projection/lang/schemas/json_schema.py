"""The JSON Schema (draft 2020-12) of what the JSON of a view, or of an event's payload, looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang import types as ty
from projection.lang.schemas.documentation import UNDOCUMENTED
from projection.lang.values.numbers import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from projection.lang.check.checker import CheckedProgram
    from projection.lang.schemas.documentation import Documentation

DIALECT = "https://json-schema.org/draft/2020-12/schema"

INT_KEYS = "^-?[0-9]+$"  # the pattern of the names in an object that stands for a map with ints as keys

_SIMPLE: dict[type, dict[str, Any]] = {
    ty.Bool: {"type": "boolean"},
    ty.Int: {"type": "integer", "minimum": MIN_INT, "maximum": MAX_INT},
    ty.Date: {"type": "string", "format": "date"},
    ty.Timestamp: {"type": "string", "format": "date-time"},
    ty.Duration: {"type": "string", "format": "duration"},
    ty.Json: {},
}


def of_record(record: ty.Record, documentation: Documentation = UNDOCUMENTED) -> dict[str, Any]:
    """The schema of a view, or an event's payload, with those of the records in it under `$defs`."""
    known: dict[str, dict[str, Any]] = {}
    schema = _Schemas(documentation, is_event=record.kind == "event").record(record, known)
    return schema | ({"$defs": dict(sorted(known.items()))} if known else {})


def of_events(program: CheckedProgram, documentation: Documentation = UNDOCUMENTED) -> dict[str, Any]:
    """One schema with the payload of each event, by its type on the wire, and the records in them, under `$defs`."""
    known: dict[str, dict[str, Any]] = {}
    schemas = _Schemas(documentation, is_event=True)
    events = {
        (program.event_declarations[name].wires or (name,))[0]: schemas.record(one, known)
        for name, one in program.events.items()
    }
    return {"$schema": DIALECT, "title": program.name, "$defs": known | events}


class _Schemas:
    """Makes schemas of one kind: all that a view has is there, and nothing else; an event may lack and have more."""

    def __init__(self, documentation: Documentation, *, is_event: bool) -> None:
        self._documentation = documentation
        self._is_event = is_event

    def record(self, record: ty.Record, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """An object; the records in it are put into `known`."""
        fields = [one for _name, one in sorted(record.fields.items())]
        schema: dict[str, Any] = {
            "title": record.name,
            **self._description(record),
            "type": "object",
            "properties": {one.wires[0]: self._of(one.type, known) | self._description(record, one) for one in fields},
        }
        if self._is_event:
            return schema | {"required": [one.wires[0] for one in fields if one.required and len(one.wires) == 1]}
        return schema | {"required": [one.wires[0] for one in fields], "additionalProperties": False}  # none is null

    def _description(self, record: ty.Record, field: ty.Field | None = None) -> dict[str, str]:
        text = self._documentation.of(record, field)
        return {"description": text} if text else {}

    def _of(self, type_: ty.Type, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
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
                most = type_.max or ty.DEFAULT_CONTAINER
                return {"type": "array", "items": self._of(type_.item, known), "maxItems": most}
            case ty.Set():
                items, most = self._of(type_.item, known), type_.max or ty.DEFAULT_CONTAINER
                unique = {} if self._is_event else {"uniqueItems": True}  # of an event, what comes twice is one
                return {"type": "array", "items": items, **unique, "maxItems": most}
            case ty.Map():
                values, most = self._of(type_.value, known), type_.max or ty.DEFAULT_CONTAINER
                return {"type": "object", **_keys(type_.key), "additionalProperties": values, "maxProperties": most}
            case ty.Optional():
                return {"anyOf": [self._of(type_.inner, known), {"type": "null"}]}
            case ty.Record():
                if type_.name not in known:
                    known[type_.name] = {}  # records can be reached in more ways than one
                    known[type_.name] = self.record(type_, known)
                return {"$ref": f"#/$defs/{type_.name}"}
            case _:
                return dict(_SIMPLE[type(type_)])


def _keys(type_: ty.Type) -> dict[str, Any]:
    """What the names in an object look like that stands for a map."""
    match type_:
        case ty.Int():
            return {"propertyNames": {"pattern": INT_KEYS}}
        case ty.Date():
            return {"propertyNames": {"format": "date"}}
        case ty.Enum(open=False):
            return {"propertyNames": {"enum": list(type_.members)}}
        case ty.String(max=int() as most) if most < ty.DEFAULT_STRING:
            return {"propertyNames": {"maxLength": most}}
        case _:
            return {}
