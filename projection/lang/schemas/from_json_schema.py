"""From JSON Schema (2020-12, draft 7, and what OpenAPI adds) to the shapes of events.

What the language cannot say becomes json, or a wider type, with a note that says why. Nothing is fetched: a reference
leads to a place in the same document.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.errors import ConfigurationError
from projection.lang import types as ty
from projection.lang.schemas.declarations import member, quoted
from projection.lang.schemas.json_schema import INT_KEYS
from projection.lang.schemas.shapes import JSON, Entries, EventShape, Fields, FieldShape, Items, Single

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.schemas.shapes import Shape

_TIMED = {"date": "date", "date-time": "timestamp", "duration": "duration"}
_BASE64 = ("base64", "byte")
_OTHER_TYPES = "one of several types"


def events_of(document: Any, name: str, scale: int | None = None) -> list[EventShape]:
    """The events that a document declares: itself, or, where it is no object's schema, each of its definitions.

    Args:
        document: a schema, as JSON values.
        name: of the event, where the schema has no title.
        scale: digits behind the point of numbers of which the schema does not tell; None for as many as there are.

    Raises:
        ConfigurationError: there is no schema of an object in it.
    """
    try:
        return _events_of(document, name, scale)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:  # anything may stand anywhere
        raise ConfigurationError(f"{name}: this is no JSON Schema that can be read: {error}") from None


def _events_of(document: Any, name: str, scale: int | None) -> list[EventShape]:
    reader = _Reader(document, scale)
    if isinstance(document, dict) and not reader.is_object(document):
        definitions = {**document.get("definitions", {}), **document.get("$defs", {})}
        found = {name: one for name, one in definitions.items() if reader.is_object(one)}
        inner = reader.referred()
        if events := {name: one for name, one in found.items() if name not in inner} or found:
            return [reader.event(name, one) for name, one in events.items()]
    if not reader.is_object(document):
        raise ConfigurationError(f"{name}: this is no schema of an object, and has none under $defs")
    return [reader.event(document.get("title") or name, document)]


class _Reader:
    def __init__(self, document: Any, scale: int | None) -> None:
        self._document = document
        self._number = "decimal" if scale is None else f"decimal({scale})"
        self._open: list[str] = []  # references that are being followed

    def event(self, name: str, schema: dict[str, Any]) -> EventShape:
        """An event whose payload is of a schema."""
        self._open = []
        payload, note = self._object(self._merged(schema), name)
        if isinstance(payload, Fields):
            return EventShape(name, payload, note)
        return EventShape(name, Fields(name, ()), "its payload has no known fields: take it by `on *`, as json")

    def is_object(self, schema: Any) -> bool:
        """Whether a schema is of objects with known fields."""
        if not isinstance(schema, dict):
            return False
        return "properties" in schema or schema.get("type") == "object" or "allOf" in schema

    def referred(self) -> set[str]:
        """The names of the definitions that something in the document refers to."""
        found = set[str]()
        parts: list[Any] = [self._document]
        while parts:
            part = parts.pop()
            if isinstance(part, dict):
                reference = part.get("$ref")
                if isinstance(reference, str):
                    found.update((_steps(reference) or [])[-1:])
                parts += part.values()
            elif isinstance(part, list):
                parts += part
        return found

    # shapes

    def _shape(self, schema: Any, name: str) -> tuple[Shape, bool, str]:
        """The type of a schema's values, whether they may be null, and what is to be said about it."""
        if not isinstance(schema, dict):
            return JSON, True, "" if schema is True else "no value is allowed"
        if "$ref" in schema:
            return self._reference(schema["$ref"], name)
        may_be_null = schema.get("nullable") is True
        schema = self._merged(schema)
        kinds = schema.get("type", [])
        kinds = list(kinds) if isinstance(kinds, list) else [kinds]
        may_be_null |= "null" in kinds
        kinds = [kind for kind in kinds if kind != "null"]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                shape, has_null, note = self._either(schema[word], name)
                return shape, may_be_null or has_null, note
        if "const" in schema:
            schema = {**schema, "enum": [schema["const"]]}
        if "enum" in schema:
            may_be_null |= None in schema["enum"]
            return *self._enum([one for one in schema["enum"] if one is not None], kinds), may_be_null, ""
        if not kinds:
            kinds = [kind for kind, word in (("object", "properties"), ("array", "items")) if word in schema]
        if len(kinds) != 1:
            return JSON, may_be_null or not kinds, _OTHER_TYPES if kinds else ""
        shape, note = self._of_kind(kinds[0], schema, name)
        return shape, may_be_null, note

    def _reference(self, reference: Any, name: str) -> tuple[Shape, bool, str]:
        steps = _steps(reference)
        if steps is None:
            return JSON, True, f"{reference} leads out of this file"
        if reference in self._open:
            return JSON, True, f"{reference} holds itself"
        target: Any = self._document
        for step in steps:
            inside = isinstance(target, dict) and step in target
            if not inside:
                return JSON, True, f"{reference} leads nowhere"
            target = target[step]
        self._open.append(reference)
        found = self._shape(target, steps[-1] if steps else name)
        self._open.pop()
        return found

    def _either(self, schemas: Sequence[Any], name: str) -> tuple[Shape, bool, str]:
        """What is one of several: one type and null is an optional; texts of which some are listed are an open enum."""
        found = [self._shape(one, name) for one in schemas if one != {"type": "null"}]
        has_null = len(found) < len(schemas) or any(one[1] for one in found)
        shapes = list(dict.fromkeys(one[0] for one in found))
        if len(shapes) == 1:
            return shapes[0], has_null, found[0][2]
        texts = [one for one in shapes if isinstance(one, Single) and one.text.startswith(("enum(", "string"))]
        enums = [one.text for one in texts if one.text.startswith("enum(")]
        if len(texts) == len(shapes) == 2 and len(enums) == 1:
            return Single(enums[0].removesuffix(", ...)").removesuffix(")") + ", ...)"), has_null, ""
        return JSON, has_null, _OTHER_TYPES

    def _enum(self, values: list[Any], kinds: list[str]) -> tuple[Shape]:
        if values and all(isinstance(one, str) for one in values):
            return (Single(f"enum({', '.join(dict.fromkeys(map(member, values)))})"),)
        if values and all(isinstance(one, bool) for one in values):
            return (Single("bool"),)
        if values and all(isinstance(one, int) and not isinstance(one, bool) for one in values):
            return (Single("int" if "number" not in kinds else self._number),)
        return (JSON,)

    def _of_kind(self, kind: Any, schema: dict[str, Any], name: str) -> tuple[Shape, str]:
        match kind:
            case "boolean":
                return Single("bool"), ""
            case "integer":
                return Single("int"), ""
            case "number":
                return self._decimal(schema)
            case "string":
                return self._text(schema), ""
            case "array":
                return self._array(schema, name)
            case "object":
                return self._object(schema, name)
            case _:
                return JSON, f"{kind!r} is no type of JSON Schema"

    def _decimal(self, schema: dict[str, Any]) -> tuple[Shape, str]:
        written = str(schema.get("format", ""))
        if written.startswith("decimal(") and written[8:-1].isdigit() and int(written[8:-1]) <= ty.MAX_SCALE:
            return Single(written), ""
        step = schema.get("multipleOf")
        if isinstance(step, (int, Decimal)) and step > 0:
            exponent = Decimal(step).normalize().as_tuple().exponent
            digits = max(0, -int(exponent))
            if digits <= ty.MAX_SCALE:
                return Single(f"decimal({digits})"), ""
        return Single(self._number), "" if self._number != "decimal" else "of any number of digits behind the point"

    def _text(self, schema: dict[str, Any]) -> Shape:
        form = schema.get("format")
        most = schema.get("maxLength")
        if schema.get("contentEncoding") in _BASE64 or form == "byte":
            return Single("bytes")
        if form in _TIMED:
            return Single(_TIMED[form])
        examples = found if isinstance(found := schema.get("examples"), list) else []
        if len(examples) > 1 and all(isinstance(one, str) for one in examples) and not most:
            return Single(f"enum({', '.join(dict.fromkeys(map(member, examples)))}, ...)")
        return Single(f"string({most})" if isinstance(most, int) and 1 <= most < ty.DEFAULT_STRING else "string")

    def _array(self, schema: dict[str, Any], name: str) -> tuple[Shape, str]:
        items = schema.get("items")
        if "prefixItems" in schema or isinstance(items, list):
            return Items("list", JSON, schema.get("maxItems")), "items of different types by their places"
        item, may_be_null, note = self._shape({} if items is None else items, name.removesuffix("s") or name)
        if may_be_null and item != JSON:
            return JSON, "items that may be null"
        is_single = isinstance(item, Single) and item.text not in ("json", "bytes")
        kind = "set" if is_single and schema.get("uniqueItems") is True else "list"
        return Items(kind, item, schema.get("maxItems")), note

    def _object(self, schema: dict[str, Any], name: str) -> tuple[Shape, str]:
        properties = schema.get("properties")
        if properties or schema.get("additionalProperties") is False:
            required = schema.get("required", [])
            fields = tuple(self._field(wire, one, wire in required) for wire, one in (properties or {}).items())
            more = schema.get("additionalProperties")
            note = "further fields are ignored" if isinstance(more, dict) else ""
            return Fields(schema.get("title") or name, fields, schema.get("description", "")), note
        values = schema.get("additionalProperties", {})
        if values in ({}, True) and "properties" in schema:
            return Fields(schema.get("title") or name, (), schema.get("description", "")), ""
        if values in ({}, True) and "maxProperties" not in schema:
            return JSON, "an object with any fields"
        value, may_be_null, note = self._shape(values, name)
        if may_be_null and value != JSON:
            value, note = JSON, "values that may be null"
        return Entries(self._key(schema.get("propertyNames")), value, schema.get("maxProperties")), note

    def _key(self, names: Any) -> str:
        """The type of a map's keys."""
        if not isinstance(names, dict):
            return "string"
        if names.get("pattern") == INT_KEYS:
            return "int"
        shape, _, _ = self._shape({"type": "string", **names}, "")
        text = shape.text if isinstance(shape, Single) else ""
        return text if text.startswith(("string", "date", "enum")) else "string"

    def _field(self, wire: str, schema: Any, is_required: bool) -> FieldShape:
        shape, may_be_null, note = self._shape(schema, wire)
        inside = schema if isinstance(schema, dict) else {}
        default = "" if is_required else _default(inside.get("default"), shape)
        is_optional = not is_required or may_be_null
        doc = inside.get("description", "")
        return FieldShape(wire, shape, is_optional, default, note, doc if isinstance(doc, str) else "")

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A schema with what it takes over by `allOf`."""
        if not isinstance(schema.get("allOf"), list):
            return schema
        merged: dict[str, Any] = {}
        for one in (*schema["allOf"], {name: value for name, value in schema.items() if name != "allOf"}):
            part = self._target(one)
            part = self._merged(part) if part is not schema else {}
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged |= part
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = list(dict.fromkeys(required))
        return merged

    def _target(self, schema: Any) -> dict[str, Any]:
        """Where a schema's reference leads, inside this document; itself where it has none."""
        followed = set[str]()
        while isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
            steps = _steps(reference)
            if steps is None or reference in followed:
                return {}
            followed.add(reference)
            target: Any = self._document
            for step in steps:
                target = target.get(step) if isinstance(target, dict) else None
            schema = target
        return schema if isinstance(schema, dict) else {}


def _steps(reference: Any) -> list[str] | None:
    """The steps of a reference into the same document; None of any other."""
    if not isinstance(reference, str) or not reference.startswith("#") or (reference[1:] and reference[1] != "/"):
        return None
    return [step.replace("~1", "/").replace("~0", "~") for step in reference[2:].split("/")] if reference != "#" else []


def _default(value: Any, shape: Shape) -> str:
    """A default as programs write it; none where the type does not take it, or it is no single value."""
    text = shape.text if isinstance(shape, Single) else ""
    if isinstance(value, bool):
        return str(value).lower() if text == "bool" else ""
    if isinstance(value, str):
        is_member = text.startswith("enum(") and member(value) in text[5:-1].split(", ")
        return quoted(value) if text.startswith("string") or is_member else ""
    if isinstance(value, int) and text == "int":
        return str(value)
    return ""
