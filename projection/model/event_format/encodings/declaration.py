"""What the manifest's `events.encoding` says: how bodies are written, and the schemas that this takes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from projection.model.checkpoint import Frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY_TYPE = "*"
MAX_SCHEMA_BYTES = 1024 * 1024
_PLAIN = ("json", "msgpack", "cbor")
_WITH_SCHEMAS = ("protobuf", "avro")


class Contents(Frozen):
    """What a file held when its manifest was read: what is folded does not change with the file."""

    base64: str

    @property
    def octets(self) -> bytes:
        """Them, as the file held them."""
        return b64decode(self.base64)


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


def _of_any_type(value: Any) -> Any:
    return ((ANY_TYPE, value),) if isinstance(value, (str, Contents)) else _pairs(value)


File = str | Contents  # its path in the manifest's folder, until it is read
EventType = Annotated[str, Field(min_length=1, max_length=1024)]


class Protobuf(Frozen):
    """A set of descriptors, and the message of each type of event; `*` is any other."""

    descriptors: File
    messages: Annotated[
        tuple[tuple[EventType, str], ...], BeforeValidator(_of_any_type), Field(min_length=1, max_length=1000)
    ]


class Avro(Frozen):
    """The schema of each type of event; `*` is any other. One schema for all is `*` alone."""

    schemas: Annotated[
        tuple[tuple[EventType, File], ...], BeforeValidator(_of_any_type), Field(min_length=1, max_length=1000)
    ]


class Encoding(Frozen):
    """How bodies are written."""

    name: Literal["json", "msgpack", "cbor", "protobuf", "avro"] = "json"
    protobuf: Protobuf | None = None
    avro: Avro | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        if isinstance(value, Encoding):
            return value
        if isinstance(value, str) and value in _PLAIN:
            return {"name": value}
        if isinstance(value, str) and value in _WITH_SCHEMAS:
            raise ValueError(f"{value} takes schemas: {_FORMS[value]}")
        if isinstance(value, dict) and len(value) == 1 and (name := next(iter(value))) in _WITH_SCHEMAS:
            return {"name": name, **value}
        raise ValueError(f"{value!r:.80} is no encoding: json, msgpack, cbor, {_FORMS['protobuf']} or {_FORMS['avro']}")

    @model_serializer
    def _to_write(self) -> Any:
        details = self.protobuf or self.avro
        return self.name if details is None else {self.name: _written(details.model_dump(mode="json"))}

    @property
    def event_types(self) -> tuple[str, ...]:
        """The types of events that have a schema of their own; empty where none is needed."""
        pairs = self.protobuf.messages if self.protobuf else self.avro.schemas if self.avro else ()
        return tuple(one for one, _ in pairs if one != ANY_TYPE)

    def files(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The files that are still to be read: in which field of it each stands, and its path."""
        if self.protobuf is not None and isinstance(self.protobuf.descriptors, str):
            yield ("protobuf", "descriptors"), self.protobuf.descriptors
        if self.avro is not None:
            yield from ((("avro", "schemas", name), one) for name, one in self.avro.schemas if isinstance(one, str))

    def with_files(self, read: Callable[[str], bytes]) -> Self:
        """The same with the contents of its files."""

        def contents(file: File) -> File:
            return Contents(base64=b64encode(read(file)).decode()) if isinstance(file, str) else file

        if self.protobuf is not None:
            held = self.protobuf.model_copy(update={"descriptors": contents(self.protobuf.descriptors)})
            return self.model_copy(update={"protobuf": held})
        if self.avro is not None:
            schemas = tuple((name, contents(one)) for name, one in self.avro.schemas)
            return self.model_copy(update={"avro": Avro(schemas=schemas)})
        return self


JSON = Encoding.model_construct()  # what is not said

_FORMS = {
    "protobuf": "{protobuf: {descriptors: FILE, messages: {EVENT_TYPE: package.Message}}}",
    "avro": "{avro: {schemas: {EVENT_TYPE: FILE}}}",
}


def _written(details: dict[str, Any]) -> dict[str, Any]:
    """Pairs as a mapping, as a manifest has them."""
    return {name: dict(value) if isinstance(value, list) else value for name, value in details.items()}
