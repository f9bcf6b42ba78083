"""CBOR (RFC 8949), made JSON in one pass."""

from __future__ import annotations

from decimal import Decimal
from struct import Struct

from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.encodings.json_form import (
    MAX_EXPONENT,
    MAX_INTEGER_BITS,
    broken,
    encode_text,
    moment,
    one_value_as_json,
    require_room,
    short_key,
    too_deep,
    too_short,
    unfit,
    write_decimal,
    write_float,
    write_integer,
    write_octets,
)

_UNSIGNED = {24: Struct(">B"), 25: Struct(">H"), 26: Struct(">I"), 27: Struct(">Q")}
_FLOATS = {25: Struct(">e"), 26: Struct(">f"), 27: Struct(">d")}
_WORDS = {20: b"false", 21: b"true", 22: b"null", 23: b"null"}  # 23 is undefined
_MOST_PARTS = 65_536  # of a text or of bytes, each of which may be empty
_INDEFINITE, _BREAK = 31, 0xFF
_INTEGER, _NEGATIVE, _OCTETS, _TEXT, _LIST, _MAP, _TAG, _OTHER = range(8)  # major types
_MOMENT, _BIG, _NEGATIVE_BIG, _FRACTION = 1, 2, 3, 4  # tags
_REFERENCES = frozenset({25, 28, 29, 256})  # tags by which a value stands for another one of the body


def cbor_as_json(body: bytes, _event_type: str | None) -> bytes:
    """The JSON of a body.

    Raises:
        DecodeError: D101 it is no CBOR, D102 it holds what has no JSON, D104 its JSON is too large.
    """
    return one_value_as_json("cbor", body, _value)


def _value(data: bytes, at: int, out: bytearray, levels: int) -> int:
    """Append one value, and return where the next begins."""
    first = data[at]
    major, low = first >> 5, first & 0x1F
    if major == _OTHER:
        return _other(data, at + 1, low, out)
    if low < 24:
        argument: int | None = low
        at += 1
    else:
        argument, at = _argument(data, at + 1, major, low)
    if major == _TEXT:
        octets, at = _string(data, at, major, argument)
        out += encode_text(octets.decode())
    elif major == _MAP:
        return _map(data, at, argument, out, levels)
    elif major == _LIST:
        return _list(data, at, argument, out, levels)
    elif major == _OCTETS:
        octets, at = _string(data, at, major, argument)
        write_octets(out, octets)
    elif argument is None:  # only texts, bytes, lists and maps may have no length
        raise broken("cbor", "a number or a tag has no value")
    elif major == _INTEGER:
        out += b"%d" % argument
    elif major == _NEGATIVE:
        out += b"%d" % (-1 - argument)
    else:
        return _tagged(data, at, argument, out, levels)
    return at


def _argument(data: bytes, at: int, major: int, low: int) -> tuple[int | None, int]:
    """The number behind the first byte of a value; None for a length that is not said."""
    if (form := _UNSIGNED.get(low)) is not None:
        return form.unpack_from(data, at)[0], at + form.size
    if low == _INDEFINITE and _OCTETS <= major <= _MAP:
        return None, at
    raise broken("cbor", f"a byte {major << 5 | low:#x} begins no value")


def _string(data: bytes, at: int, major: int, length: int | None) -> tuple[bytes, int]:
    if length is not None:
        end = at + length
        if end > len(data):
            raise too_short("cbor")
        return data[at:end], end
    parts, count = bytearray(), 0
    while (first := data[at]) != _BREAK:
        count += 1
        if count > _MOST_PARTS:
            raise unfit(f"a text or bytes have more than {_MOST_PARTS:,} parts")
        if first >> 5 != major or first & 0x1F == _INDEFINITE:
            raise broken("cbor", "a part of a text or of bytes is none")
        length, at = (first & 0x1F, at + 1) if first & 0x1F < 24 else _argument(data, at + 1, major, first & 0x1F)
        part, at = _string(data, at, major, length)
        if major == _TEXT:
            part.decode()  # each part is a text by itself
        parts += part
    return bytes(parts), at + 1


def _list(data: bytes, at: int, count: int | None, out: bytearray, levels: int) -> int:
    if not levels:
        raise too_deep()
    begin, levels, left = len(out), levels - 1, -1 if count is None else count
    while left and not (count is None and data[at] == _BREAK):
        out += b","
        at = _value(data, at, out, levels)
        if len(out) > MAX_ENVELOPE_BYTES:
            require_room(out)
        left -= 1
    out[begin : begin + 1] = b"["  # the first comma
    out += b"]"
    return at if count is not None else at + 1


def _map(data: bytes, at: int, count: int | None, out: bytearray, levels: int) -> int:
    if not levels:
        raise too_deep()
    begin, levels, size = len(out), levels - 1, len(data)
    left = -1 if count is None else count
    while left and not (count is None and data[at] == _BREAK):
        first = data[at]  # short keys and short texts are most of what there is: they take no call of ours
        if 0x60 <= first < 0x78 and (end := at + first - 0x5F) < size:
            out += short_key(data[at + 1 : end])
            at = end
        else:
            at = _long_key(data, at, out)
        first = data[at]
        if 0x60 <= first < 0x78 and (end := at + first - 0x5F) <= size:
            out += encode_text(data[at + 1 : end].decode())
            at = end
        else:
            at = _value(data, at, out, levels)
        if len(out) > MAX_ENVELOPE_BYTES:
            require_room(out)
        left -= 1
    out[begin : begin + 1] = b"{"  # the first comma
    out += b"}"
    return at if count is not None else at + 1


def _long_key(data: bytes, at: int, out: bytearray) -> int:
    major = data[at] >> 5
    out += b","
    if major == _TEXT:
        at = _value(data, at, out, 0)
    elif major in (_INTEGER, _NEGATIVE):
        out += b'"'
        at = _value(data, at, out, 0)
        out += b'"'
    else:
        raise unfit("a key of a map is neither a text nor an integer")
    out += b":"
    return at


def _other(data: bytes, at: int, low: int, out: bytearray) -> int:
    """Append a float, or one of the values that have a name."""
    if (form := _FLOATS.get(low)) is not None:
        write_float(out, form.unpack_from(data, at)[0])
        return at + form.size
    if (word := _WORDS.get(low)) is None:
        if low in (28, 29, 30, _INDEFINITE):
            raise broken("cbor", f"a byte {_OTHER << 5 | low:#x} begins no value")
        raise unfit("it has a simple value without a meaning")
    out += word
    return at


def _tagged(data: bytes, at: int, tag: int, out: bytearray, levels: int) -> int:
    """Append what a tag makes of a value; one that says how a text is meant changes nothing."""
    if tag in (_BIG, _NEGATIVE_BIG):
        number, at = _integer(data, at, tag)
        write_integer(out, number)
        return at
    if tag == _FRACTION:
        if data[at] != _LIST << 5 | 2:
            raise unfit("a decimal fraction is not a list of exponent and digits")
        exponent, at = _integer(data, at + 1)
        number, at = _integer(data, at)
        if abs(exponent) > MAX_EXPONENT or number.bit_length() > MAX_INTEGER_BITS:
            raise unfit("a decimal fraction has too many digits")
        write_decimal(out, Decimal((number < 0, tuple(map(int, str(abs(number)))), exponent)))
        return at
    if tag in _REFERENCES:
        raise unfit(f"it has a reference to another value (tag {tag})")
    if not levels:
        raise too_deep()
    if tag != _MOMENT:
        return _value(data, at, out, levels - 1)
    written = bytearray()
    major = data[at] >> 5
    if major not in (_INTEGER, _NEGATIVE, _OTHER):
        raise unfit("a timestamp is no number")
    at = _value(data, at, written, 0)
    text = written.removeprefix(b'{"float":').removesuffix(b"}").decode()
    out += b'"%b"' % moment(text, "s").encode()
    return at


def _integer(data: bytes, at: int, tag: int | None = None) -> tuple[int, int]:
    """An integer of any length, tagged already or not."""
    major, low = data[at] >> 5, data[at] & 0x1F
    argument, at = (low, at + 1) if low < 24 else _argument(data, at + 1, major, low)
    if tag is None and major in (_INTEGER, _NEGATIVE) and argument is not None:
        return (argument if major == _INTEGER else -1 - argument), at
    if tag is None and major == _TAG and argument in (_BIG, _NEGATIVE_BIG):
        return _integer(data, at, argument)
    if tag is not None and major == _OCTETS:
        octets, at = _string(data, at, major, argument)
        if len(octets) * 8 > 2 * MAX_INTEGER_BITS:
            raise unfit(f"an integer has {len(octets):,} bytes; it may have {MAX_INTEGER_BITS // 8:,}")
        number = int.from_bytes(octets)
        return (number if tag == _BIG else -1 - number), at
    raise unfit("an integer was expected where there is another value")
