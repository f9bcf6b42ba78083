"""Mending: what msgspec's types cannot say of a value that it has decoded.

Exact decimals from numbers only, dates as they were written, defaults, further wire names, sets, json. It is done in
place right after decoding, per field that needs it.
"""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import partial
from operator import attrgetter, itemgetter, length_hint
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from projection.lang import types as ty
from projection.lang.values import times
from projection.lang.values.numbers import DIGITS, MAX_INT, MIN_INT, UNITS, parse_int, rescaled
from projection.lang.values.octets import parse_base64
from projection.lang.values.sets import as_set
from projection.lang.values.structs import others, presence

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime, timedelta

    Mend = Callable[[Any], Any]

ROUND_IT = "declare it as a type `{ float: decimal }`, and round its `float` where it is used"
# Trailing zeros may go (`Rounded` is no trap), digits may not.
_STRICT = Context(prec=DIGITS, Emin=-DIGITS, Emax=DIGITS, traps=[Inexact, InvalidOperation, Overflow])


class MisfitError(ValueError):
    """A value that its declared type does not take: why, and where, as msgspec writes it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path = ""

    def inside(self, step: str) -> MisfitError:
        """The same, seen from one level further out."""
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        return f"{self.args[0]} - at `${self.path}`" if self.path else str(self.args[0])


class FloatMisfitError(MisfitError):
    """A binary float where an exact number is declared."""


def mend_record(record: ty.Record, made: dict[ty.Record, Mend | None]) -> Mend | None:
    """What mends a record, in place; None where nothing is to be mended. `made` holds those that were made already."""
    if record not in made:
        made[record] = _mend_outside(record, made) if record.from_outside else _mend_own(record, made)
    return made[record]


def _mend_own(record: ty.Record, made: dict[ty.Record, Mend | None]) -> Mend | None:
    """Of a record that only this program writes: json inside it, and what came from an event."""
    found = ((name, mend_value(field.type, made, outside=False)) for name, field in record.fields.items())
    return _mend_fields([(name, name, mend) for name, mend in found if mend is not None])


def _mend_fields(steps: list[tuple[str, str, Mend]]) -> Mend | None:
    if not steps:
        return None

    if len(steps) == 1:  # most records have one amount, or one date
        return _mend_field(*steps[0])

    def mend_fields(value: Any) -> Any:
        wire = ""
        try:
            for name, wire, mend in steps:  # noqa: B007 - how far it came says which one failed
                setattr(value, name, mend(getattr(value, name)))
        except MisfitError as error:
            raise error.inside(f".{wire}") from None
        return value

    return mend_fields


def _mend_field(name: str, wire: str, mend: Mend) -> Mend:
    of = attrgetter(name)

    def mend_field(value: Any) -> Any:
        try:
            setattr(value, name, mend(of(value)))
        except MisfitError as error:
            raise error.inside(f".{wire}") from None
        return value

    return mend_field


def _mend_outside(record: ty.Record, made: dict[ty.Record, Mend | None]) -> Mend | None:
    plain: list[tuple[str, str, Mend]] = []  # under one name, with nothing to be put where it is absent
    fillable: list[_Fillable] = []
    for name, field in record.fields.items():
        mend, wire = mend_value(field.type, made, outside=True), field.wires[0]
        default = None if field.default is ty.REQUIRED else field.default
        if len(field.wires) == 1 and default is None and name not in record.asked:
            plain += [(name, wire, mend)] if mend else []
        elif mend or default is not None or len(field.wires) > 1 or name in record.asked:
            asked = presence(name) if name in record.asked else None
            fillable.append(_Fillable(name, others(name, field), mend, default, field.required, wire, asked))
    mend_plain = _mend_fields(plain)
    if not fillable:
        return mend_plain

    def mend_fields(value: Any) -> Any:
        if mend_plain is not None:
            mend_plain(value)
        for field in fillable:
            _fill(value, field)
        return value

    return mend_fields


class _Fillable(NamedTuple):
    """A field that may be absent or null."""

    name: str
    others: tuple[str, ...]  # the fields that take its further wire names
    mend: Mend | None
    default: Any
    required: bool
    wire: str
    asked: str | None  # the field that remembers whether it came


def _fill(value: Any, field: _Fillable) -> None:
    given = [one for name in (field.name, *field.others) if (one := getattr(value, name)) is not msgspec.UNSET]
    found = next((one for one in given if one is not None), None)
    for other in field.others:
        setattr(value, other, msgspec.UNSET)
    if field.asked is not None:
        setattr(value, field.asked, bool(given))
    if found is None:
        if field.required:
            raise MisfitError(f"Object missing required field `{field.wire}`")
        found = field.default
    elif field.mend is not None:
        try:
            found = field.mend(found)
        except MisfitError as error:
            raise error.inside(f".{field.wire}") from None
    setattr(value, field.name, found)


def mend_value(type_: ty.Type, made: dict[ty.Record, Mend | None], *, outside: bool) -> Mend | None:
    """What mends a value of a type; None where nothing is to be mended."""
    match type_:
        case ty.Decimal() if outside:
            return mend_any_decimal if type_.scale is None else _mend_decimal(type_.scale)
        case ty.Date() if outside:
            return mend_date
        case ty.Timestamp() if outside:
            return parse_timestamp
        case ty.Duration() if outside:
            return mend_duration
        case ty.Bytes() if outside:
            return partial(mend_bytes, type_.max or ty.DEFAULT_BYTES)
        case ty.Set() if outside:
            item = mend_value(type_.item, made, outside=True)
            return partial(_mend_set, item, type_.max or ty.DEFAULT_CONTAINER)
        case ty.Optional():
            inner = mend_value(type_.inner, made, outside=outside)
            return None if inner is None else partial(_mend_present, inner)
        case ty.List() if (mend := mend_value(type_.item, made, outside=outside)) is not None:
            return partial(_mend_items, mend)
        case ty.Map():
            key = mend_key(type_.key) if outside else None
            value = mend_value(type_.value, made, outside=outside)
            return partial(_mend_entries, key or _same, value or _same) if outside or value else None
        case ty.Record():
            return mend_record(type_, made)
        case ty.Json():
            return mend_json
        case _:
            return None


def _mend_present(mend: Mend, value: Any) -> Any:
    return None if value is None else mend(value)


def _mend_items(mend: Mend, items: list[Any]) -> list[Any]:
    rest = iter(items)
    try:
        return [mend(item) for item in rest]
    except MisfitError as error:
        raise error.inside(f"[{len(items) - length_hint(rest) - 1}]") from None


def _mend_set(mend: Mend | None, most: int, items: list[Any]) -> tuple[Any, ...]:
    found = as_set(items if mend is None else _mend_items(mend, items))
    if len(found) > most:
        raise MisfitError(f"Expected at most {most} different items, got {len(found)}")
    return found


def _mend_entries(key: Mend, value: Mend, entries: dict[Any, Any]) -> dict[Any, Any]:
    # Two texts may be one date: then the later text counts. Values have no order to fall back on, hence the dictionary.
    try:
        found = {key(one): value(other) for one, other in sorted(entries.items(), key=itemgetter(0))}
        return dict(sorted(found.items(), key=itemgetter(0)))
    except MisfitError as error:
        raise error.inside("[...]") from None


def _same(value: Any) -> Any:
    return value


def mend_json(value: Any, depth: int = ty.MAX_DEPTH) -> Any:
    """A decoded JSON value as programs hold it: numbers exact and within bounds, entries in key order."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if MIN_INT <= value <= MAX_INT else mend_any_decimal(value)
        case Decimal():
            return mend_any_decimal(value)
    if not depth:
        raise MisfitError(f"Values are nested more than {ty.MAX_DEPTH} levels deep")
    if isinstance(value, list):
        return [mend_json(item, depth - 1) for item in value]
    return {key: mend_json(value[key], depth - 1) for key in sorted(value)}


def _number(value: Any) -> Decimal:
    if type(value) is Decimal:
        return value
    if type(value) is int:
        return Decimal(value)
    if type(value) is dict and value.keys() == {"float"}:  # as a body in a binary encoding has it
        raise FloatMisfitError(f"Expected a number, got a binary float; {ROUND_IT}")
    raise MisfitError(f"Expected a number, got `{type(value).__name__}`")


def _mend_decimal(scale: int) -> Mend:
    quantize, unit = _STRICT.quantize, UNITS[scale]

    def mend(value: Any) -> Decimal:
        if type(value) is not Decimal:
            value = _number(value)
        try:
            found = quantize(value, unit)
        except DecimalException:
            raise MisfitError(f"{_short(value)} does not fit decimal({scale})") from None
        return found or found.copy_abs()  # there is no negative zero

    return mend


def mend_any_decimal(value: Any) -> Decimal:
    """A decimal of the scale that it was written with.

    Raises:
        MisfitError: it is no number, or needs more than 38 digits.
    """
    number = _number(value)
    exponent = int(number.as_tuple().exponent)
    found = rescaled(number, 0) if exponent > 0 else number
    if found is None or exponent <= -2 * DIGITS or len(found.as_tuple().digits) > DIGITS:
        raise MisfitError(f"{_short(number)} has more than {DIGITS} digits")
    if found and found.adjusted() < -DIGITS:  # no arithmetic would take it
        raise MisfitError(f"{_short(number)} begins more than {DIGITS} places behind the point")
    return found or found.copy_abs()


def _short(number: Decimal) -> str:
    text = str(number)
    return text if len(text) <= 48 else text[:45] + "…"


def mend_date(value: str) -> date:
    """The date as it was written, alone or with a time of day behind it.

    Raises:
        MisfitError: there is none.
    """
    if (found := times.parse_date(value)) is None:
        raise MisfitError(f"{value[:40]!a} is no date like 2000-01-31")
    return found


def mend_duration(value: str) -> timedelta:
    """A duration in whole microseconds, of which 64 bits hold the number.

    Raises:
        MisfitError: it is none.
    """
    if (found := times.parse_duration(value)) is None:
        raise MisfitError(f"{value[:40]!a} is no duration like PT90S, or longer than 106751991 days")
    return found


def mend_bytes(most: int, value: str) -> bytes:
    """Bytes from base64.

    Raises:
        MisfitError: it is none, or more than so many bytes.
    """
    if (found := parse_base64(value)) is None:
        raise MisfitError(f"{value[:40]!a} is no padded base64")
    if len(found) > most:
        raise MisfitError(f"Expected a length <= {most}")
    return found


def mend_key(type_: ty.Type) -> Mend | None:
    """What makes a map's key of its text; None where the text is the key."""
    match type_:
        case ty.Int():
            return _mend_int_key
        case ty.Date():
            return mend_date
        case _:
            return None


def _mend_int_key(text: str) -> int:
    number = parse_int(text)
    if number is None or str(number) != text:
        raise MisfitError(f"{text[:40]!a} is no int as a key has it")
    return number


def parse_timestamp(value: str) -> datetime:
    """An RFC 3339 timestamp in UTC; digits beyond the microsecond are cut."""
    if (found := times.parse_timestamp(value)) is None:
        raise MisfitError(f"{value[:40]!a} is no timestamp with an offset")
    return found
