"""Order-preserving encodings: bytes that compare as the values do. What an index is sorted by, and a query's result.

For each type there is one *order*, by the name of which an encoding can be found again: texts and enums of any kind
have one, and `T?` has that of `T` behind none. Of two values of one order:

- the encoding of the lesser is the lesser, compared byte by byte;
- equal values have equal encodings (1.0 and 1.00, 0 and -0), and different values different ones;
- no encoding is the beginning of another, so encodings can be put behind one another, and the first decides first.

| order | encoding |
|---|---|
| bool | one byte |
| int, date (days), timestamp and duration (microseconds), decimal(n) (units of its last place) | a byte that says how many follow, more than 0x7f for 0 and above; then the number in so many bytes, the highest first |
| decimal | for nothing 0x80; else 0x81, the exponent of the first digit as an int, the digits, 0x00; below nothing all bits of that inverted |
| string | UTF-8, which sorts as code points do, with 0x00 as 0x0101 and 0x01 as 0x0102; 0x00 |
| T? | 0x00 for none; 0x01 and the value |

An encoder is made once for a type and costs 0.1 to 0.3 µs a value; a scale-free decimal 1 µs.
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

import decimal
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.lang import types as ty

if TYPE_CHECKING:
    from collections.abc import Callable

    Encode = Callable[[Any], bytes]

NONE, PRESENT = b"\x00", b"\x01"  # what the encodings of an optional order begin with

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WIDEST = 64  # bytes of a number; the widest value, of 38 digits, takes 16, but a filter may name a wider one
_FROM_ZERO = [(0x80 + size) << 8 * size for size in range(_WIDEST)]  # added to a number, they are its first byte …
_BELOW_ZERO = [(0x80 - size) << 8 * size for size in range(_WIDEST)]  # … and bring one below zero above it
_WIDE = decimal.Context(prec=1_000, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
_INVERSE = bytes(range(255, -1, -1))
_ONE_MORE = bytes([*range(1, 256), 0])
_FIXED = re.compile(r"decimal\((\d+)\)")


def ordering(type_: ty.Type) -> Encode:
    """What encodes the values of a single type, optional or not."""
    if isinstance(type_, ty.Enum):
        return _Texts({member: _text(member) for member in type_.members}).__getitem__
    if isinstance(type_, ty.Optional):
        return _optional(ordering(type_.inner))
    return ordering_of(order_of(type_))


def order_of(type_: ty.Type) -> str:
    """The name of the order of a single type; types of one order have one encoding.

    Raises:
        TypeError: its values are no single ones.
    """
    if isinstance(type_, ty.Optional):
        return f"{order_of(type_.inner)}?"
    if not ty.is_scalar(type_):
        raise TypeError(f"{type_} has no order")
    return "string" if isinstance(type_, (ty.String, ty.Enum)) else str(type_)


def ordering_of(order: str) -> Encode:
    """What encodes the values of an order, by its name.

    Raises:
        ValueError: there is no such order.
    """
    if order.endswith("?"):
        return _optional(ordering_of(order[:-1]))
    if (fixed := _FIXED.fullmatch(order)) is not None:
        return _fixed(int(fixed[1]))
    if order not in _ENCODERS:
        raise ValueError(f"{order!r} is no order")
    return _ENCODERS[order]


def inverted(data: bytes) -> bytes:
    """All bits the other way: of two encodings the one that was the lesser is the greater."""
    return data.translate(_INVERSE)


def nearest(order: str, value: Any) -> tuple[Any, bool]:
    """The greatest value of an order that is not greater than this one, and whether it is the same.

    Numbers are compared whatever their types; an int or a fixed scale cannot hold them all. Others are as they are.
    """
    order = order.removesuffix("?")
    fixed = _FIXED.fullmatch(order)
    if not isinstance(value, (int, Decimal)) or (order != "int" and fixed is None):
        return value, True
    unit = Decimal((0, (1,), -int(fixed[1]) if fixed else 0))
    exact = Decimal(value)
    found = exact.quantize(unit, decimal.ROUND_FLOOR, _WIDE)
    return (found if fixed else int(found)), found == exact


class _Texts(dict[str, bytes]):
    """Encodings of texts: those of an enum's values are at hand."""

    def __missing__(self, text: str) -> bytes:
        return _text(text)


def _optional(encode: Encode) -> Encode:
    return lambda value: NONE if value is None else PRESENT + encode(value)


def _bool(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _integer(value: int) -> bytes:
    if value >= 0:
        size = (value.bit_length() + 7) >> 3
        return (value + _FROM_ZERO[size]).to_bytes(size + 1, "big")
    size = ((~value).bit_length() + 7) >> 3
    return (value + _BELOW_ZERO[size]).to_bytes(size + 1, "big")


def _date(value: date) -> bytes:
    return _integer(value.toordinal())


def _timestamp(value: datetime) -> bytes:
    return _integer((value - _START) // _MICROSECOND)


def _duration(value: timedelta) -> bytes:
    return _integer(value // _MICROSECOND)


def _fixed(scale: int) -> Encode:
    wide = _WIDE
    return lambda value: _integer(int(value.scaleb(scale, wide)))


def _decimal(value: Decimal | int) -> bytes:
    value = Decimal(value)
    if not value:
        return b"\x80"
    digits = bytes(value.as_tuple().digits).rstrip(b"\x00").translate(_ONE_MORE)
    size = b"\x81" + _integer(value.adjusted()) + digits + b"\x00"
    return size if value > 0 else inverted(size)


def _text(value: str) -> bytes:
    data = value.encode()
    if b"\x00" in data or b"\x01" in data:
        data = data.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
    return data + b"\x00"


_ENCODERS: dict[str, Encode] = {
    "bool": _bool,
    "int": _integer,
    "decimal": _decimal,
    "string": _text,
    "date": _date,
    "timestamp": _timestamp,
    "duration": _duration,
}
