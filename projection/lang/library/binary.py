"""Bytes: from and to text, digests, and ids made from names."""

from __future__ import annotations

import hashlib
import re
import uuid

from projection.lang import failures
from projection.lang.cost.costs import constant, linear
from projection.lang.library import extents, ranges
from projection.lang.library.registry import FREE, builtin
from projection.lang.values.octets import base64_text, parse_base64

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def _parse_hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def _parse_utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _uuid5(namespace: str, name: str) -> str:
    if _UUID.fullmatch(namespace) is None:
        raise failures.malformed(namespace, "UUID")
    return str(uuid.uuid5(uuid.UUID(namespace), name))


builtin(
    "length", "bytes -> int", gas=constant(1), alloc=FREE, function=len, inline="len({0})", size=ranges.counted,
    doc="The number of bytes.", examples=[('length(utf8("é"))', "2")],
)  # fmt: skip
builtin(
    "utf8", "string -> bytes", gas=linear(8, 0, shift=7), alloc=linear(1, 0, shift=4),
    function=lambda text: text.encode(), size=extents.text_like(0, 4),
    doc="The string as UTF-8 bytes.", examples=[('utf8("é")', '"w6k="')],
)  # fmt: skip
builtin(
    "parse_utf8", "bytes -> string?", gas=linear(8, 0, shift=7), alloc=linear(1, 0, shift=4), function=_parse_utf8,
    size=extents.text_like(0), doc="The bytes decoded as UTF-8; none if they are invalid.",
    examples=[('parse_utf8(utf8("é"))', '"é"'), ('parse_utf8(parse_hex("ff")!)', "none")],
)  # fmt: skip
builtin(
    "hex", "bytes -> string", gas=linear(8, 0, shift=4), alloc=linear(1, 0, shift=3), function=lambda data: data.hex(),
    size=extents.text_like(0, 2), doc="The bytes as lower-case hexadecimal digits.",
    examples=[('hex(utf8("az"))', '"617a"')],
)  # fmt: skip
builtin(
    "parse_hex", "string -> bytes?", gas=linear(30, 0), alloc=linear(1, 0, shift=4), function=_parse_hex,
    size=extents.text_like(0), doc="The bytes from hexadecimal digits; none if they are invalid.",
    examples=[('hex(parse_hex("617A")!)', '"617a"'), ('parse_hex("6")', "none")],
)  # fmt: skip
builtin(
    "base64", "bytes -> string", gas=linear(15, 0, shift=5), alloc=linear(1, 0, shift=3), function=base64_text,
    size=extents.text_like(0, 2, 4), doc="The bytes as padded base64 (RFC 4648).",
    examples=[('base64(utf8("a"))', '"YQ=="')],
)  # fmt: skip
builtin(
    "parse_base64", "string -> bytes?", gas=linear(40, 0, shift=2), alloc=linear(1, 0, shift=4),
    function=parse_base64, size=extents.text_like(0),
    doc="The bytes from padded base64; none if it is invalid.",
    examples=[('parse_utf8(parse_base64("YQ==")!)', '"a"'), ('parse_base64("YQ")', "none")],
)  # fmt: skip
builtin(
    "sha256", "string -> bytes", gas=linear(30, 0, shift=5), alloc=linear(4, 0, shift=4), size=extents.texts(32, 32),
    function=lambda text: hashlib.sha256(text.encode()).digest(), doc="The SHA-256 digest of the string in UTF-8.",
    examples=[('take(hex(sha256("abc")), 8)', '"ba7816bf"')],
)  # fmt: skip
builtin(
    "sha256", "bytes -> bytes", gas=linear(30, 0, shift=5), alloc=constant(4), size=extents.texts(32, 32),
    function=lambda data: hashlib.sha256(data).digest(), doc="The SHA-256 digest.",
    examples=[('length(sha256(utf8("abc")))', "32")],
)  # fmt: skip
builtin(
    "uuid5", "string, string -> string", gas=linear(300, 1, shift=5), alloc=linear(6, 1, shift=4), function=_uuid5,
    size=extents.texts(36, 36), doc="The UUID (version 5) of a name in a namespace, which is also a UUID.",
    examples=[
        ('uuid5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "example.org")', '"aad03681-8b63-5304-89e0-8ca8f49461b5"'),
        ('uuid5("dns", "example.org")', "fails R716"),
    ],
)  # fmt: skip
