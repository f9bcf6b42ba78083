"""MessagePack, made JSON in one pass."""

from __future__ import annotations

from struct import Struct

from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.encodings.json_form import (
    broken,
    encode_text,
    one_value_as_json,
    require_room,
    short_key,
    too_deep,
    too_short,
    unfit,
    write_float,
    write_moment,
    write_octets,
)

_UNSIGNED = {size: Struct(f">{form}").unpack_from for size, form in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))}
_SIGNED = {size: Struct(f">{form}").unpack_from for size, form in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))}
_FLOATS = {4: Struct(">f").unpack_from, 8: Struct(">d").unpack_from}
_SIZES = (1, 2, 4, 8)
_TIMESTAMP = -1  # the one extension that the specification defines
_NANOSECONDS = 1_000_000_000


def msgpack_as_json(body: bytes, _event_type: str | None) -> bytes:
    """The JSON of a body.

    Raises:
        DecodeError: D101 it is no MessagePack, D102 it holds what has no JSON, D104 its JSON is too large.
    """
    return one_value_as_json("msgpack", body, _value)


def _value(data: bytes, at: int, out: bytearray, levels: int) -> int:
    """Append one value, and return where the next begins."""
    first = data[at]
    at += 1
    if first < 0x80:
        out += b"%d" % first
    elif 0xA0 <= first < 0xC0:
        return _text(data, at, first - 0xA0, out)
    elif first < 0x90:
        return _map(data, at, first - 0x80, out, levels)
    elif first < 0xA0:
        return _list(data, at, first - 0x90, out, levels)
    elif first >= 0xE0:
        out += b"%d" % (first - 0x100)
    elif 0xD9 <= first <= 0xDB:
        size = _SIZES[first - 0xD9]
        return _text(data, at + size, _UNSIGNED[size](data, at)[0], out)
    elif 0xCC <= first <= 0xD3:
        size = _SIZES[first & 3]
        out += b"%d" % (_UNSIGNED if first < 0xD0 else _SIGNED)[size](data, at)[0]
        return at + size
    elif first in (0xCA, 0xCB):
        size = 4 if first == 0xCA else 8
        write_float(out, _FLOATS[size](data, at)[0])
        return at + size
    elif first in (0xC0, 0xC2, 0xC3):
        out += b"null" if first == 0xC0 else b"true" if first == 0xC3 else b"false"
    elif first in (0xDC, 0xDD):
        size = _SIZES[first - 0xDB]
        return _list(data, at + size, _UNSIGNED[size](data, at)[0], out, levels)
    elif first in (0xDE, 0xDF):
        size = _SIZES[first - 0xDD]
        return _map(data, at + size, _UNSIGNED[size](data, at)[0], out, levels)
    elif 0xC4 <= first <= 0xC6:
        size = _SIZES[first - 0xC4]
        octets, at = _taken(data, at + size, _UNSIGNED[size](data, at)[0])
        write_octets(out, octets)
    else:
        return _extension(data, at, first, out)
    return at


def _taken(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    end = at + length
    if end > len(data):
        raise too_short("msgpack")
    return data[at:end], end


def _text(data: bytes, at: int, length: int, out: bytearray) -> int:
    octets, end = _taken(data, at, length)
    out += encode_text(octets.decode())
    return end


def _list(data: bytes, at: int, count: int, out: bytearray, levels: int) -> int:
    if not levels:
        raise too_deep()
    begin, levels = len(out), levels - 1
    for _ in range(count):
        out += b","
        at = _value(data, at, out, levels)
        if len(out) > MAX_ENVELOPE_BYTES:
            require_room(out)
    out[begin : begin + 1] = b"["  # the first comma
    out += b"]"
    return at


def _map(data: bytes, at: int, count: int, out: bytearray, levels: int) -> int:
    if not levels:
        raise too_deep()
    begin, levels, size = len(out), levels - 1, len(data)
    for _ in range(count):
        first = data[at]  # short keys and short texts are most of what there is: they take no call of ours
        if 0xA0 <= first < 0xC0 and (end := at + first - 0x9F) < size:
            out += short_key(data[at + 1 : end])
            at = end
        else:
            at = _long_key(data, at, first, out)
        first = data[at]
        if 0xA0 <= first < 0xC0 and (end := at + first - 0x9F) <= size:
            out += encode_text(data[at + 1 : end].decode())
            at = end
        else:
            at = _value(data, at, out, levels)
        if len(out) > MAX_ENVELOPE_BYTES:
            require_room(out)
    out[begin : begin + 1] = b"{"  # the first comma
    out += b"}"
    return at


def _long_key(data: bytes, at: int, first: int, out: bytearray) -> int:
    out += b","
    if 0xA0 <= first < 0xC0 or 0xD9 <= first <= 0xDB:
        at = _value(data, at, out, 0)
    elif first < 0x80 or first >= 0xE0 or 0xCC <= first <= 0xD3:
        out += b'"'
        at = _value(data, at, out, 0)
        out += b'"'
    else:
        raise unfit("a key of a map is neither a text nor an integer")
    out += b":"
    return at


def _extension(data: bytes, at: int, first: int, out: bytearray) -> int:
    """Append a timestamp; of other extensions nobody knows what they mean."""
    if first == 0xC1:
        raise broken("msgpack", "a byte 0xC1 begins no value")
    if 0xD4 <= first <= 0xD8:
        length = 1 << (first - 0xD4)
    else:
        size = _SIZES[first - 0xC7]
        length = _UNSIGNED[size](data, at)[0]
        at += size
    kind = _SIGNED[1](data, at)[0]
    octets, end = _taken(data, at + 1, length)
    if kind != _TIMESTAMP or length not in (4, 8, 12):
        raise unfit(f"it has an extension of type {kind} and {length:,} bytes; only timestamps are read")
    if length == 4:
        seconds, nanoseconds = int.from_bytes(octets), 0
    elif length == 8:
        seconds, nanoseconds = int.from_bytes(octets) & (1 << 34) - 1, int.from_bytes(octets) >> 34
    else:
        seconds, nanoseconds = int.from_bytes(octets[4:], signed=True), int.from_bytes(octets[:4])
    if nanoseconds >= _NANOSECONDS:
        raise unfit("a timestamp has more nanoseconds than a second")
    write_moment(out, seconds * _NANOSECONDS + nanoseconds)
    return end
