"""Orders in each encoding that bodies may have, by the libraries that others write them with."""

from __future__ import annotations

import gzip
import io
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import cbor2
import fastavro
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from projection.model.event_format.encodings.avro import AvroSchemas
from projection.model.event_format.encodings.protobuf import ProtobufMessages

if TYPE_CHECKING:
    from pathlib import Path

zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
COMPRESSIONS = {None: bytes, "gzip": gzip.compress, "zstd": zstd.compress}

_TYPES = descriptor_pb2.FieldDescriptorProto.Type.Value


def _field(name: str, number: int, kind: str, **more: Any) -> dict[str, Any]:
    if kind[0] == ".":
        is_enum = more.pop("is_enum", False)
        more |= {"type": _TYPES("TYPE_ENUM" if is_enum else "TYPE_MESSAGE"), "type_name": kind}
    else:
        more |= {"type": _TYPES(f"TYPE_{kind.upper()}")}
    return {"name": name, "number": number, "label": more.pop("label", 1), **more}


def _message(name: str, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "field": fields, **more}


REPEATED = 3
# What `protoc --include_imports --descriptor_set_out` makes of a file, but for the imports.
_FILE = {
    "name": "shop.proto",
    "package": "shop.v1",
    "syntax": "proto3",
    "dependency": [f"google/protobuf/{name}.proto" for name in ("timestamp", "struct", "wrappers", "duration")],
    "enum_type": [{"name": "Status", "value": [{"name": "OPEN", "number": 0}, {"name": "PAID", "number": 1}]}],
    "message_type": [
        _message("Line", _field("sku", 1, "string"), _field("quantity", 2, "int64")),
        _message(
            "OrderPlaced",
            _field("order", 1, "string"),
            _field("cents", 2, "int64"),
            _field("lines", 3, ".shop.v1.Line", label=REPEATED),
        ),
        _message("OrderPaid", _field("order", 1, "string"), _field("cents", 2, "int64")),
        _message(
            "Message",
            _field("kind", 1, "string"),
            _field("id", 2, "string"),
            _field("at", 3, ".google.protobuf.Timestamp"),
            _field("data", 4, ".shop.v1.OrderPlaced"),
            _field("tenant", 5, "string"),
            _field("event", 6, "string"),
        ),
        _message(
            "Everything",
            *(
                _field(kind, number, kind)
                for number, kind in enumerate(
                    ("double", "float", "int32", "int64", "uint32", "uint64", "sint64", "fixed64", "bool", "string"), 1
                )
            ),
            _field("bytes", 11, "bytes"),
            _field("status", 12, ".shop.v1.Status", is_enum=True),
            _field("at", 13, ".google.protobuf.Timestamp"),
            _field("wait", 14, ".google.protobuf.Duration"),
            _field("any", 15, ".google.protobuf.Value"),
            _field("note", 16, ".google.protobuf.StringValue"),
            _field("counts", 17, ".shop.v1.Everything.CountsEntry", label=REPEATED),
            _field("inner", 18, ".shop.v1.Everything"),
            _field("maybe", 19, "int64", proto3_optional=True, oneof_index=0),
            _field("many", 20, "double", label=REPEATED),
            nested_type=[
                _message(
                    "CountsEntry",
                    _field("key", 1, "int32"),
                    _field("value", 2, "int64"),
                    options={"map_entry": True},
                )
            ],
            oneof_decl=[{"name": "_maybe"}],
        ),
    ],
}
_SET = descriptor_pb2.FileDescriptorSet(file=[descriptor_pb2.FileDescriptorProto(**_FILE)])
DESCRIPTORS = _SET.SerializeToString()


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for name in _FILE["dependency"]:
        stem = name.rpartition("/")[2].partition(".")[0]
        pool.AddSerializedFile(import_module(f"google.protobuf.{stem}_pb2").DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_SET.file[0].SerializeToString())
    names = [one["name"] for one in _FILE["message_type"]]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"shop.v1.{name}")) for name in names}


MESSAGES = _classes()
assert timestamp_pb2  # registered in the pool of the library

_ORDER = [{"name": "order", "type": "string"}, {"name": "cents", "type": "long"}]
_LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "sku", "type": "string"}, {"name": "quantity", "type": "long"}],
}
_LINES = [*_ORDER, {"name": "lines", "type": {"type": "array", "items": _LINE}}]
SCHEMAS: dict[str, Any] = {
    "OrderPlaced": {"type": "record", "name": "OrderPlaced", "namespace": "shop", "fields": _LINES},
    "OrderPaid": {"type": "record", "name": "OrderPaid", "namespace": "shop", "fields": _ORDER},
    "Message": {
        "type": "record",
        "name": "Message",
        "namespace": "shop",
        "fields": [
            {"name": "kind", "type": "string"},
            {"name": "id", "type": "string"},
            {"name": "at", "type": "string"},
            {"name": "data", "type": {"type": "record", "name": "Order", "fields": _LINES}},
            {"name": "tenant", "type": "string"},
            {"name": "event", "type": "string"},
        ],
    },
}
PROTOBUF = {"descriptors": "shop.binpb", "messages": {name: f"shop.v1.{name}" for name in ("OrderPlaced", "OrderPaid")}}
AVRO = {"schemas": {name: f"{name}.avsc" for name in ("OrderPlaced", "OrderPaid")}}
# By name: what a manifest says where the type of an event is known from outside of its body, and where it is not.
ENCODINGS: dict[str, tuple[Any, Any]] = {
    "json": ("json", "json"),
    "msgpack": ("msgpack", "msgpack"),
    "cbor": ("cbor", "cbor"),
    "protobuf": ({"protobuf": PROTOBUF}, {"protobuf": {**PROTOBUF, "messages": {"*": "shop.v1.Message"}}}),
    "avro": ({"avro": AVRO}, {"avro": {"schemas": "Message.avsc"}}),
}


def write_schemas(folder: Path) -> None:
    """Write the files that manifests name."""
    (folder / "shop.binpb").write_bytes(DESCRIPTORS)
    for name, schema in SCHEMAS.items():
        (folder / f"{name}.avsc").write_text(json.dumps(schema))


def encoded(encoding: str, value: Any, message: str) -> bytes:
    """A value in an encoding, as a message or by a schema of this name."""
    match encoding:
        case "msgpack":
            return msgspec.msgpack.encode(value)
        case "cbor":
            return cbor2.dumps(value)
        case "protobuf":
            if isinstance(value.get("at"), str):
                at = timestamp_pb2.Timestamp()
                at.FromJsonString(value["at"])
                value = {**value, "at": {"seconds": at.seconds, "nanos": at.nanos}}
            return MESSAGES[message](**value).SerializeToString()
        case "avro":
            out = io.BytesIO()
            fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMAS[message]), value)
            return out.getvalue()
        case _:
            return json.dumps(value).encode()


def everything() -> Any:
    """What makes JSON of a message with a field of each kind."""
    return ProtobufMessages(DESCRIPTORS, {"*": "shop.v1.Everything"}).as_json


def avro(schema: Any) -> Any:
    """What makes JSON of what was written by a schema."""
    return AvroSchemas({"*": json.dumps(schema).encode()}).as_json
