"""JSON at the boundary: bytes of an event or a view → checked values of the declared types, and views → bytes.

msgspec does in one pass in C what its types can say (docs/decisions/0002-exact-json.md), `mending` does the rest. A
view's JSON has its fields in name order, so equal views are equal bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from projection.errors import DecodeError
from projection.lang import types as ty
from projection.lang.values.mending import ROUND_IT, FloatMisfitError, MisfitError, mend_json, mend_record
from projection.lang.values.numbers import DIGITS
from projection.nested import shallow

if TYPE_CHECKING:
    from collections.abc import Callable

_UNBOUNDED = 1 << 60
_BEYOND = "a number in it is beyond every number"
_PLAIN_SCALE = 6  # decimals of up to so many digits behind the point are never written with an exponent
_encoder = msgspec.json.Encoder(decimal_format="number")  # maps are held in the order of their keys, structs have one


class Codec:
    """Decodes one record type."""

    def __init__(self, record: ty.Record) -> None:
        self._record = record
        self._decode = msgspec.json.Decoder(record.made(), float_hook=Decimal).decode
        self._mend = mend_record(record, {})
        self.encode: Callable[[Any], bytes] = encode if _may_need_exponent(record, {}) else _encoder.encode

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """The record in these bytes of JSON; undeclared fields are ignored.

        Raises:
            DecodeError: D105, with the path of the field that does not fit; D106, a binary float stands where a decimal
                is declared.
        """
        try:
            try:
                value = self._decode(data)
            except RecursionError:
                value = self._decode(shallow(bytes(data)))
            return self._mend(value) if self._mend else value
        except InvalidOperation:
            raise DecodeError(f"the payload does not fit {self._record}: {_BEYOND}", code="D105") from None
        except (msgspec.DecodeError, UnicodeDecodeError, MisfitError) as error:
            code = "D106" if isinstance(error, FloatMisfitError) else "D105"
            is_float = "got `object`" in str(error) and b'{"float":' in bytes(data)  # where no decimal is declared
            hint = f"if a binary float stands there, {ROUND_IT}" if is_float else None
            raise DecodeError(f"the payload does not fit {self._record}: {error}", hint=hint, code=code) from None


class JsonCodec:
    """Decodes any JSON but null, which is no payload."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(float_hook=Decimal).decode

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """The json in these bytes.

        Raises:
            DecodeError: D105, what is no value of json.
        """
        try:
            try:
                found = self._decode(data)
            except RecursionError:
                found = self._decode(shallow(bytes(data)))
            value = mend_json(found)
        except InvalidOperation:
            raise DecodeError(f"the payload is no json: {_BEYOND}", code="D105") from None
        except (msgspec.DecodeError, UnicodeDecodeError, MisfitError) as error:
            raise DecodeError(f"the payload is no json: {error}", code="D105") from None
        if value is None:
            raise DecodeError("the payload is null", code="D105")
        return value


def _may_need_exponent(type_: ty.Type, known: dict[ty.Record, bool]) -> bool:
    """Whether msgspec might write a value of this type with an exponent; `known` holds what was found already."""
    match type_:
        case ty.Decimal():
            return type_.scale is None or type_.scale > _PLAIN_SCALE
        case ty.Json():
            return True
        case ty.List() | ty.Set():
            return _may_need_exponent(type_.item, known)
        case ty.Map():
            return _may_need_exponent(type_.value, known)
        case ty.Optional():
            return _may_need_exponent(type_.inner, known)
        case ty.Record():
            if type_ not in known:
                known[type_] = False  # of a record inside itself; there is none
                known[type_] = any(_may_need_exponent(field.type, known) for field in type_.fields.values())
            return known[type_]
        case _:
            return False


def encode(value: Any) -> bytes:
    """A view as JSON: fields in name order, entries in key order, exact numbers with all digits of their scale."""
    data = _encoder.encode(value)
    return data if b"E-" not in data else _EXPONENT.sub(_without_exponent, data)  # 20 ns where there is none


# A stretch of JSON up to a number with an exponent, or to the end: all of it is matched once, so its cost is linear.
# Outside of texts an `E` stands in such numbers alone; msgspec writes them where 6 zeros or more begin the decimals.
_EXPONENT = re.compile(rb'((?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"E]++)*+)(?:E-([0-9]++))?')


def _without_exponent(match: re.Match[bytes]) -> bytes:
    stretch, exponent = match.groups()
    if exponent is None:
        return stretch
    before = stretch.rstrip(b"0123456789.")
    digits = stretch[len(before) :].replace(b".", b"")  # one stands before the point
    return b"%b0.%b%b" % (before, b"0" * (int(exponent) - 1), digits)


def largest(type_: ty.Type, known: dict[ty.Record, int] | None = None) -> int:
    """The most bytes of JSON that a value of this type can take; `known` holds what was found already."""
    known = {} if known is None else known  # records can be reached in more ways than there are seconds
    match type_:
        case ty.Bool():
            return 5
        case ty.Int() | ty.Date():
            return 20
        case ty.Decimal():
            return 2 * DIGITS + 8
        case ty.Timestamp():
            return 34
        case ty.String():
            return 2 + 6 * (type_.max or ty.DEFAULT_STRING)  # six for a control character
        case ty.Enum():
            return 2 + 6 * (ty.DEFAULT_STRING if type_.open else max(map(len, type_.members)))
        case ty.Duration():
            return 34
        case ty.Bytes():
            return 2 + 4 * -(-(type_.max or ty.DEFAULT_BYTES) // 3)
        case ty.Json():
            return _UNBOUNDED
        case ty.List() | ty.Set():
            return 2 + (type_.max or ty.DEFAULT_CONTAINER) * (largest(type_.item, known) + 1)
        case ty.Map():
            return 2 + (type_.max or ty.DEFAULT_CONTAINER) * (largest(type_.key) + largest(type_.value, known) + 4)
        case ty.Record():
            if type_ not in known:
                sizes = (len(encode(one.wires[0])) + 2 + largest(one.type, known) for one in type_.fields.values())
                known[type_] = 2 + sum(sizes)
            return known[type_]
        case ty.Optional():
            return max(4, largest(type_.inner, known))
        case _:
            return 0


def declared_fields(record: ty.Record, known: dict[ty.Record, int] | None = None) -> int:
    """How many fields a record declares, with those of the records in it; containers count as one."""
    known = {} if known is None else known
    if record not in known:
        inner = [one.type.inner if isinstance(one.type, ty.Optional) else one.type for one in record.fields.values()]
        known[record] = sum(declared_fields(one, known) if isinstance(one, ty.Record) else 1 for one in inner)
    return known[record]
