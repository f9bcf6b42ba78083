"""The JSON that values of other encodings become: one form for all of them, in which every number keeps its digits.

It is appended to a `bytearray` while a body is read, so a hostile body costs no more memory than its JSON may have.
"""

from __future__ import annotations

from binascii import b2a_base64
from functools import lru_cache
from math import isfinite
from struct import error as StructError  # noqa: N812
from typing import TYPE_CHECKING

import msgspec

from projection.errors import DecodeError
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.times import counted_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

MAX_LEVELS = 128  # of lists and objects inside one another; as deep as JSON is read
MAX_INTEGER_BITS = 1024
MAX_EXPONENT = 1024  # of a decimal fraction, which is written out by whoever reads it
encode_text = msgspec.json.Encoder().encode


def one_value_as_json(encoding: str, body: bytes, append: Callable[[bytes, int, bytearray, int], int]) -> bytes:
    """The JSON of a body that is one value.

    Args:
        encoding: As the manifest names it.
        body: All of the body.
        append: Appends the value at an offset to the JSON, at most so many levels deep; returns where the next begins.

    Raises:
        DecodeError: D101 it is not in the encoding, D102 it holds what has no JSON, D104 its JSON is too large.
    """
    out = bytearray()
    try:
        at = append(body, 0, out, MAX_LEVELS)
    except (IndexError, StructError):
        raise too_short(encoding) from None
    except UnicodeDecodeError as error:
        raise broken(encoding, str(error)) from None
    if at != len(body):
        raise broken(encoding, f"{len(body) - at:,} bytes follow its value")
    require_room(out)
    return bytes(out)


def write_float(out: bytearray, value: float) -> None:
    """Append a binary float, which is no exact number: an object with its shortest digits, or its name."""
    if isfinite(value):
        out += b'{"float":%b}' % repr(value).encode()
    else:
        out += b'{"float":"%b"}' % (b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity")  # noqa: PLR0124


def write_integer(out: bytearray, value: int) -> None:
    """Append an integer with all its digits.

    Raises:
        DecodeError: D102, it is longer than any number that is read.
    """
    if value.bit_length() > MAX_INTEGER_BITS:
        raise unfit(f"an integer has {value.bit_length():,} bits; {MAX_INTEGER_BITS:,} are allowed")
    out += b"%d" % value


def write_decimal(out: bytearray, value: Decimal) -> None:
    """Append a decimal fraction.

    Raises:
        DecodeError: D102, it is no number, or longer than any that is read.
    """
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > MAX_EXPONENT or len(digits) > MAX_INTEGER_BITS:
        raise unfit("a decimal fraction is no number, or has too many digits")
    out += str(value).encode()


def write_octets(out: bytearray, value: bytes) -> None:
    """Append bytes as base64, which is how the language reads `bytes`."""
    out += b'"%b"' % b2a_base64(value, newline=False)


def write_moment(out: bytearray, nanoseconds: int) -> None:
    """Append a timestamp, given in nanoseconds since 1970.

    Raises:
        DecodeError: D102, it lies outside the years 1 to 9999.
    """
    out += b'"%b"' % moment(str(nanoseconds), "ns").encode()


def moment(number: str, unit: str) -> str:
    """An RFC 3339 timestamp of a number of `s`, `ms`, `us` or `ns` since 1970.

    Raises:
        DecodeError: D102, as `write_moment`.
    """
    try:
        return counted_timestamp(number, f"epoch_{unit}")  # type: ignore[arg-type]
    except ValueError as error:
        raise unfit(f"a timestamp cannot be read: {error}") from None


@lru_cache(4096)
def short_key(octets: bytes) -> bytes:
    """A comma and the key of an object, of UTF-8 that is short; events have the same keys again and again.

    Raises:
        UnicodeDecodeError: it is none.
    """
    return b"," + encode_text(octets.decode()) + b":"


def require_room(out: bytearray) -> None:
    """Refuse a body whose JSON is larger than an event may be.

    Raises:
        DecodeError: D104.
    """
    if len(out) > MAX_ENVELOPE_BYTES:
        raise DecodeError(f"as JSON, the event is more than {MAX_ENVELOPE_BYTES} bytes, which are allowed", code="D104")


def broken(encoding: str, why: str) -> DecodeError:
    """The error of a body that is not in the encoding that the manifest names."""
    return DecodeError(f"the event is not {encoding}: {why}", code="D101")


def too_short(encoding: str) -> DecodeError:
    """The error of a body that ends within a value."""
    return broken(encoding, "it ends too early")


def unfit(why: str) -> DecodeError:
    """The error of a body that is in the encoding, and holds what has no meaning here."""
    return DecodeError(f"the event cannot be read: {why}", code="D102")


def too_deep() -> DecodeError:
    """The error of a body with too many levels."""
    return unfit(f"lists and maps lie more than {MAX_LEVELS} levels inside one another")
