"""What makes JSON of bodies, by the encoding that a manifest names."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from projection.errors import ConfigurationError
from projection.extras import missing_extra
from projection.model.event_format.encodings.cbor import cbor_as_json
from projection.model.event_format.encodings.declaration import Contents
from projection.model.event_format.encodings.msgpack import msgpack_as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.model.event_format.encodings.declaration import Encoding

    # The JSON of a body whose event has this type, as far as that is known; None where the type has no schema.
    AsJson = Callable[[bytes, str | None], bytes | None]

# Of CloudEvents, which say how their data is written.
MEDIA_TYPES = {
    "json": (),
    "msgpack": ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"),
    "cbor": ("application/cbor",),
    "protobuf": ("application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"),
    "avro": ("application/avro", "application/x-avro", "application/vnd.apache.avro", "avro/binary"),
}


@lru_cache(64)
def coding(encoding: Encoding) -> AsJson | None:
    """What makes JSON of bodies; None where they are JSON.

    Raises:
        ValueError: a schema is none.
        ConfigurationError: the encoding takes a library that is not installed.
    """
    try:
        if encoding.protobuf is not None:
            from projection.model.event_format.encodings.protobuf import ProtobufMessages  # noqa: PLC0415 - an extra

            return ProtobufMessages(_held(encoding.protobuf.descriptors), dict(encoding.protobuf.messages)).as_json
        if encoding.avro is not None:
            from projection.model.event_format.encodings.avro import AvroSchemas  # noqa: PLC0415 - an extra

            return AvroSchemas({name: _held(one) for name, one in encoding.avro.schemas}).as_json
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None
    return {"msgpack": msgpack_as_json, "cbor": cbor_as_json}.get(encoding.name)


def _held(file: str | Contents) -> bytes:
    if isinstance(file, Contents):
        return file.octets
    raise ConfigurationError(f"events.encoding: the file {file!r} was not read", hint="load the manifest from its file")
