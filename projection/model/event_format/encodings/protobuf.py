"""Protocol Buffers, made JSON by a descriptor set: the one module that knows the library `protobuf`."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as ParseError

from projection.model.event_format.encodings.json_form import (
    broken,
    encode_text,
    require_room,
    unfit,
    write_float,
    write_moment,
    write_octets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Write = Callable[[bytearray, Any], None]

_NANOSECONDS = 1_000_000_000
_FRAMED = "; it begins with a zero byte, as messages with the id of a schema registry do, which are not read"
_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
_KNOWN = frozenset({"any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"})


class ProtobufMessages:
    """Makes JSON of messages by the type of their event.

    Args:
        descriptors: a `FileDescriptorSet`, as `protoc --include_imports --descriptor_set_out` writes it.
        messages: the full name of the message of each type of event; `*` of any other.

    Raises:
        ValueError: it is no set of descriptors, or lacks a message.
    """

    def __init__(self, descriptors: bytes, messages: Mapping[str, str]) -> None:
        pool = descriptor_pool.DescriptorPool()
        try:
            files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
            _add(pool, files)
        except (ParseError, TypeError) as error:
            raise ValueError(f"it is no set of descriptors that is complete: {error}; {_COMMAND}") from None
        known = {f"{file.package}.{one.name}".lstrip(".") for file in files.file for one in file.message_type}
        self._writers: dict[str, list[tuple[bytes, str, bool, Write]]] = {}
        self._of: dict[str, tuple[Any, Write]] = {}
        for event_type, name in messages.items():
            try:
                descriptor = pool.FindMessageTypeByName(name)
            except KeyError:
                raise ValueError(
                    f"it has no message {name!r}; it has {', '.join(sorted(known)[:20]) or 'none'}"
                ) from None
            parse = message_factory.GetMessageClass(descriptor).FromString
            self._of[event_type] = parse, self._writer(descriptor)

    def as_json(self, body: bytes, event_type: str | None) -> bytes | None:
        """The JSON of a body; None where there is no message for the type of its event.

        Raises:
            DecodeError: D101 it is no such message, D102 it holds what has no JSON, D104 its JSON is too large.
        """
        found = self._of.get(event_type or "") or self._of.get("*")
        if found is None:
            return None
        parse, write = found
        out = bytearray()
        try:
            write(out, parse(body))
        except (ParseError, UnicodeDecodeError) as error:
            hint = _FRAMED if body.startswith(b"\0") else ""
            raise broken("protobuf", f"{error}{hint}") from None
        require_room(out)
        return bytes(out)

    def _writer(self, descriptor: Any) -> Write:
        """What appends a message of a type."""
        if (write := _WELL_KNOWN.get(name := descriptor.full_name)) is not None:
            return write
        if name in _WRAPPERS:
            return partial(_write_wrapped, self._single(descriptor.fields_by_name["value"]))
        if name not in self._writers:
            fields = self._writers[name] = []  # known before its fields, one of which may be of this type
            fields += [self._field(field) for field in descriptor.fields]
        return partial(_write_message, self._writers[name])

    def _field(self, field: Any) -> tuple[bytes, str, bool, Write]:
        """Its key, its name, whether it can be absent, and what appends its value."""
        key = encode_text(field.name) + b":"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = self._single(field.message_type.fields_by_name["value"])
            return key, field.name, False, partial(_write_map, value)
        if _is_repeated(field):
            return key, field.name, False, partial(_write_list, self._single(field))
        return key, field.name, field.has_presence, self._single(field)

    def _single(self, field: Any) -> Write:
        if field.message_type is not None:
            return self._writer(field.message_type)
        if field.enum_type is not None:
            return partial(_write_enum, {one.number: one.name for one in reversed(field.enum_type.values)})
        return _SCALARS[field.cpp_type](field)


def _is_repeated(field: Any) -> bool:
    is_repeated = getattr(field, "is_repeated", None)  # since protobuf 6.31; `label` goes
    return bool(field.label == field.LABEL_REPEATED if is_repeated is None else is_repeated)


def _add(pool: Any, files: Any) -> None:
    """Add all files to a pool, and those of Google's own types that they import and do not hold."""
    held = {file.name for file in files.file}
    for name in dict.fromkeys(one for file in files.file for one in file.dependency):
        stem = name.removeprefix("google/protobuf/").removesuffix(".proto")
        if name not in held and stem in _KNOWN:
            pool.AddSerializedFile(import_module(f"google.protobuf.{stem}_pb2").DESCRIPTOR.serialized_pb)
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())


_COMMAND = "make it with: protoc --include_imports --descriptor_set_out=FILE"


def _write_message(fields: list[tuple[bytes, str, bool, Write]], out: bytearray, message: Any) -> None:
    begin = b"{"
    for key, name, can_be_absent, write in fields:
        if can_be_absent and not message.HasField(name):
            continue
        out += begin
        out += key
        write(out, getattr(message, name))
        begin = b","
    out += b"{}" if begin == b"{" else b"}"


def _write_list(write: Write, out: bytearray, values: Any) -> None:
    out += b"["
    for number, value in enumerate(values):
        if number:
            out += b","
        write(out, value)
        require_room(out)
    out += b"]"


def _write_map(write: Write, out: bytearray, entries: Any) -> None:
    out += b"{"
    for number, key in enumerate(sorted(entries)):  # the library has them in no order
        if number:
            out += b","
        out += encode_text(str(key).lower() if isinstance(key, bool) else str(key))
        out += b":"
        write(out, entries[key])
        require_room(out)
    out += b"}"


def _write_enum(names: Mapping[int, str], out: bytearray, number: int) -> None:
    out += encode_text(names.get(number) or str(number))


def _write_text(out: bytearray, text: str) -> None:
    out += encode_text(text)


def _write_integer(out: bytearray, number: int) -> None:
    out += b"%d" % number


def _write_bool(out: bytearray, value: bool) -> None:
    out += b"true" if value else b"false"


def _write_wrapped(write: Write, out: bytearray, message: Any) -> None:
    write(out, message.value)


def _write_timestamp(out: bytearray, message: Any) -> None:
    if not 0 <= message.nanos < _NANOSECONDS:
        raise unfit("a timestamp has more nanoseconds than a second, or fewer than none")
    write_moment(out, message.seconds * _NANOSECONDS + message.nanos)


def _write_duration(out: bytearray, message: Any) -> None:
    nanoseconds = message.seconds * _NANOSECONDS + message.nanos
    whole, rest = divmod(abs(nanoseconds), _NANOSECONDS)
    out += b'"%bPT%d.%09dS"' % (b"-" if nanoseconds < 0 else b"", whole, rest)


def _write_struct(out: bytearray, message: Any) -> None:
    _write_map(_write_any_json, out, message.fields)


def _write_any_json(out: bytearray, message: Any) -> None:
    """Append a `Value`, whose numbers are floats."""
    kind = message.WhichOneof("kind")
    if kind in (None, "null_value"):
        out += b"null"
    else:
        _KINDS[kind](out, getattr(message, kind))


def _write_any_list(out: bytearray, message: Any) -> None:
    _write_list(_write_any_json, out, message.values)


_KINDS: dict[str, Write] = {
    "number_value": write_float,
    "string_value": _write_text,
    "bool_value": _write_bool,
    "struct_value": _write_struct,
    "list_value": _write_any_list,
}
_WELL_KNOWN: dict[str, Write] = {
    "google.protobuf.Timestamp": _write_timestamp,
    "google.protobuf.Duration": _write_duration,
    "google.protobuf.Struct": _write_struct,
    "google.protobuf.Value": _write_any_json,
    "google.protobuf.ListValue": _write_any_list,
}


def _of_text(field: Any) -> Write:
    return _write_text if field.type == field.TYPE_STRING else write_octets


# By `FieldDescriptor.CPPTYPE_…`: int32, int64, uint32, uint64, double, float, bool, string.
_SCALARS: dict[int, Callable[[Any], Write]] = {
    **dict.fromkeys((1, 2, 3, 4), lambda _field: _write_integer),
    **dict.fromkeys((5, 6), lambda _field: write_float),
    7: lambda _field: _write_bool,
    9: _of_text,
}
