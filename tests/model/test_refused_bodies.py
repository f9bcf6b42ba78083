"""Bodies that are damaged, hostile or of no meaning here: each is refused with a code, and costs little."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest
from encoded import (
    COMPRESSIONS,
    MESSAGES,
    SCHEMAS,
    avro,
    encoded,
    everything,
    zstd,
)
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import ConfigurationError, DecodeError
from projection.model.event_format.encodings import compressed
from projection.model.event_format.encodings.avro import MAX_READS
from projection.model.event_format.encodings.cbor import cbor_as_json
from projection.model.event_format.encodings.compressed import decompressed
from projection.model.event_format.encodings.msgpack import msgpack_as_json

MIB = 1024 * 1024
decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode


def code_of(read: Any, body: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        read(body, None)
    return caught.value.code


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "D101"),
        (b"\xc1", "D101"),
        (b"\x01\x01", "D101"),
        (b"\x92\x01", "D101"),
        (b"\xa2a", "D101"),
        (b"\xa1\xff", "D101"),
        (b"\xdd\xff\xff\xff\xff", "D101"),
        (b"\xdb\xff\xff\xff\xffab", "D101"),
        (b"\xcf\x00", "D101"),
        (b"\x81\xc3\x01", "D102"),  # keys that are neither texts nor integers
        (b"\x81\xcb" + b"\0" * 8 + b"\x01", "D102"),
        (b"\x81\xc4\x01a\x01", "D102"),
        (b"\xd4\x05a", "D102"),  # extensions
        (b"\xc7\x00\x01", "D102"),
        (b"\xd4\xffa", "D102"),
        (b"\xd7\xff" + b"\xff" * 8, "D102"),  # a nanosecond too many
        (b"\xc7\x0c\xff" + b"\0" * 4 + b"\x7f" + b"\xff" * 7, "D102"),  # a year too far
        (b"\x91" * 128 + b"\x90", "D102"),
        (b"\x91" * 100_000, "D102"),
        (b"\xdb" + (8 * MIB).to_bytes(4) + b"a" * 8 * MIB, "D104"),
    ],
)
def test_what_msgpack_cannot_say_is_refused(body, code):
    assert code == code_of(msgpack_as_json, body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "D101"),
        ("ff", "D101"),
        ("1f", "D101"),
        ("1c", "D101"),
        ("df", "D101"),
        ("fc", "D101"),
        ("0101", "D101"),
        ("8201", "D101"),
        ("6261", "D101"),
        ("61ff", "D101"),
        ("9bffffffffffffffff", "D101"),
        ("7f6161", "D101"),
        ("7f4161ff", "D101"),
        ("7f7f6161ffff", "D101"),
        ("7f61c361a9ff", "D101"),  # one character in two texts
        ("a1f501", "D102"),
        ("a1410001", "D102"),
        ("a1c2410001", "D102"),
        ("f0", "D102"),
        ("d81c80", "D102"),  # shared values, and references to them
        ("d81d00", "D102"),
        ("7f" + "60" * 65_537 + "ff", "D102"),
        ("c26100", "D102"),
        ("c482018203", "D102"),
        ("c4821a7fffffff01", "D102"),
        ("c4c3", "D102"),
        ("c16161", "D102"),
        ("c1f97e00", "D102"),
        ("c11b7fffffffffffffff", "D102"),
        ("c2590101" + "ff" * 257, "D102"),
        ("81" * 128 + "80", "D102"),
        ("c6" * 100_000 + "00", "D102"),
    ],
)
def test_what_cbor_cannot_say_is_refused(body, code):
    assert code == code_of(cbor_as_json, bytes.fromhex(body))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff", "D101"),
        (b"\0\0\0\0\x07\0\x0a\x00", "D101"),
        (b"\x52\x01\xff", "D101"),  # no UTF-8
        (b"\x92\x01" * 200, "D101"),
        (b"\x6a\x02\x10\xff", "D101"),
        (b"\x6a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "D102"),  # a timestamp of fewer nanoseconds than none
    ],
)
def test_what_is_no_such_message_is_refused(body, code):
    assert code == code_of(everything(), body)


@pytest.mark.parametrize(
    ("schema", "body", "code"),
    [
        ("string", b"", "D101"),
        ("string", b"\x08ab", "D101"),
        ("string", b"\x02\xff", "D101"),
        ("string", b"\x02aa", "D101"),
        ("string", b"\x01", "D101"),
        (["null", "string"], b"\x08", "D101"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x08", "D101"),
        ({"type": "array", "items": "boolean"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "D101"),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"\xff" * 9 + b"\x01", "D102"),
        ({"type": "int", "logicalType": "date"}, b"\xfe\xff\xff\xff\x0f", "D102"),
        ({"type": "int", "logicalType": "time-millis"}, b"\x01", "D102"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, b"\x84\x02" + b"\x7f" * 130, "D102"),
    ],
)
def test_what_was_not_written_by_the_schema_is_refused(schema, body, code):
    assert code == code_of(avro(schema), body)


@pytest.mark.parametrize("begin", [b"\0\0\0\0\x07", b"\xc3\x01" + b"8bytes.."])
def test_the_frame_of_a_schema_registry_is_told(begin):
    body = encoded("avro", {"order": "o-1", "cents": 5}, "OrderPaid")
    with pytest.raises(DecodeError, match="the id of a schema registry") as caught:
        avro(SCHEMAS["OrderPaid"])(begin + body, None)
    assert "D101" == caught.value.code
    with pytest.raises(DecodeError, match="the id of a schema registry"):
        everything()(b"\0\0\0\0\x07\0" + body, None)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}, "record L holds itself"),
        ({"type": "array", "items": "null"}, "items without a byte"),
        ({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}, "items without a byte"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "items without a byte"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": -1}, "the scale -1"),
        ("nothing", "no Avro schema"),
        ({"type": "record"}, "no Avro schema"),
        (5, "no Avro schema"),
    ],
)
def test_a_schema_whose_bodies_have_no_bounds_is_refused(schema, said):
    with pytest.raises(ValueError, match=said):
        avro(schema)


# --- whatever comes ---------------------------------------------------------------------------------------------------

READERS = {
    "msgpack": msgpack_as_json,
    "cbor": cbor_as_json,
    "protobuf": everything(),
    "avro": avro(SCHEMAS["OrderPlaced"]),
    "avro of any": avro(
        ["null", "long", "double", {"type": "map", "values": ["bytes", {"type": "array", "items": "string"}]}]
    ),
}
SOUND = [
    *(msgspec.msgpack.encode(one) for one in ([1, 2.5, {"a": None}], datetime(2026, 3, 1, tzinfo=UTC))),
    *(cbor2.dumps(one) for one in ([1, 2.5, {"a": None}], datetime(2026, 3, 1, tzinfo=UTC), 2**70, Decimal("1.5"))),
    MESSAGES["Everything"](double=1, string="a", counts={1: 2}, many=[1, 2]).SerializeToString(),
    encoded("avro", {"order": "o-1", "cents": 5, "lines": [{"sku": "s", "quantity": 2}]}, "OrderPlaced"),
]


def outcome(read: Any, *arguments: Any) -> tuple[str, bytes]:
    """The code of a refusal, and what was read, or else null."""
    try:
        return "", read(*arguments)
    except DecodeError as error:
        return error.code, b"null"


@st.composite
def hostile_bodies(draw: st.DrawFn) -> bytes:
    """Anything, and what is nearly sound."""
    body = bytearray(draw(st.binary(max_size=40) | st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(body)


@pytest.mark.property
@given(hostile_bodies())
def test_whatever_comes_is_json_or_a_refusal(body):
    for read in READERS.values():
        code, found = outcome(read, body, None)
        assert code in ("", "D101", "D102")
        msgspec.json.decode(found, type=msgspec.Raw)


@pytest.mark.property
@given(hostile_bodies(), st.sampled_from(["gzip", "zstd"]), st.booleans())
def test_whatever_is_compressed_or_is_not_comes_out_or_is_refused(body, name, is_compressed):
    code, found = outcome(decompressed, COMPRESSIONS[name](body) if is_compressed else body, name)
    assert code in (("",) if is_compressed else ("", "D101"))
    assert body == found or not is_compressed


def peak_of(read: Any, *arguments: Any) -> tuple[int, str]:
    """The memory that reading takes at most, in bytes, and the code of a refusal."""
    tracemalloc.start()
    try:
        read(*arguments)
    except DecodeError as error:
        return tracemalloc.get_traced_memory()[1], error.code
    finally:
        tracemalloc.stop()
    return 0, ""


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("times", [1, 40])
def test_a_bomb_takes_no_more_memory_than_an_event_may_have(name, times):
    part = COMPRESSIONS[name](b"\0" * (1 * MIB)) if times > 1 else COMPRESSIONS[name](b"\0" * 80 * MIB)
    body = part * times
    assert len(body) < 100_000
    peak, code = peak_of(decompressed, body, name)
    assert "D104" == code
    assert peak < 20 * MIB


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (msgpack_as_json, b"\xdd" + (100_000).to_bytes(4) + b"\x90" * 99_999),
        (msgpack_as_json, (b"\xdd\x00\xff\xff\xff") * 20_000),
        (cbor_as_json, b"\x9f" + b"\x80" * 100_000),
        (cbor_as_json, b"\x5f" + b"\x40" * 60_000),
        (avro({"type": "array", "items": "boolean"}), b"\x01" * 60_000),
    ],
)
def test_a_body_of_many_values_takes_a_few_bytes_for_each(read, body):
    peak, code = peak_of(read, body, None)
    assert code in ("D101", "D102")
    assert peak < 40 * len(body) + 64 * 1024


_IN_A_PROCESS = """
import re
from encoded import DESCRIPTORS
from projection.errors import DecodeError
from projection.model.event_format.encodings.protobuf import ProtobufMessages

def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) * 1024

read, code = ProtobufMessages(DESCRIPTORS, {"*": "shop.v1.OrderPlaced"}).as_json, ""
read(b"", None)
body = b"\\x1a\\0" * (4 * 1024 * 1024)  # `lines`, each of them empty
before = peak()
try:
    read(body, None)
except DecodeError as error:
    code = error.code
print(code, len(body), peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell a process its peak")
def test_a_message_of_many_messages_takes_the_memory_that_the_page_says():
    """The parser of Protocol Buffers allocates outside of Python: only the process shows it."""
    ended = subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS],
        check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    code, size, peak = ended.stdout.split()
    assert ("D104", 8 * MIB) == (code, int(size))
    assert int(peak) < 40 * int(size)


def test_the_values_of_a_large_body_are_counted(monkeypatch):
    monkeypatch.setattr("projection.model.event_format.encodings.avro.MAX_READS", 1_000)
    body = b"\x80\x80\x10" + b"\x01" * 131_072 + b"\0"
    with pytest.raises(DecodeError, match="more than 1,000 values"):
        avro({"type": "array", "items": "boolean"})(body, None)
    assert MAX_READS > 131_072


# --- compressed bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gzip", "x-gzip", " GZIP", "zstd"])
def test_what_a_header_says_is_undone(name):
    compress = COMPRESSIONS["zstd" if name == "zstd" else "gzip"]
    assert b"ab" * 50 == decompressed(compress(b"ab" * 50), name)
    assert b"abcd" == decompressed(compress(b"ab") + compress(b"cd"), name)
    assert b"" == decompressed(compress(b""), name)


@pytest.mark.parametrize(
    ("body", "name", "code", "said"),
    [
        (gzip.compress(b"ab" * 50, mtime=0)[:-1], "gzip", "D101", "not gzip: it ends too early"),
        (gzip.compress(b"ab" * 50, mtime=0)[:12], "gzip", "D101", "not gzip"),
        (gzip.compress(b"ab", mtime=0) + b"x" * 20, "gzip", "D101", "not gzip"),
        (b"{}", "gzip", "D101", "not gzip"),
        (b"", "gzip", "D101", "not gzip"),
        (gzip.compress(b"", mtime=0) * 65, "gzip", "D101", "more than 64 parts"),
        (zstd.compress(b"ab" * 50)[:-1], "zstd", "D101", "not zstd: it ends too early"),
        (zstd.compress(b"ab" * 50)[:-5] + b"12345", "zstd", "D101", "not zstd"),
        (b"{}", "zstd", "D101", "not zstd"),
        (b"{}", "br", "D102", "'br': Brotli is not read; gzip and zstd are read"),
        (b"{}", "s2", "D102", "no library for Python reads S2"),
        (b"{}", "gzip, zstd", "D102", "gzip and zstd are read"),
    ],
)
def test_what_is_damaged_or_unknown_is_refused(body, name, code, said):
    with pytest.raises(DecodeError, match=said) as caught:
        decompressed(body, name)
    assert code == caught.value.code


def test_the_library_that_is_missing_is_named(monkeypatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr(compressed, "import_module", missing)
    monkeypatch.setattr(compressed.sys, "version_info", (3, 13))
    with pytest.raises(ConfigurationError, match=r"pip install 'projection-node\[zstd\]'"):
        decompressed(b"", "zstd")
