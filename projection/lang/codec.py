"""JSON at the boundary: bytes of an event or a view → checked values of the declared types, and views → bytes.

msgspec does in one pass in C what its types can say (docs/decisions/0002-exact-json.md); what they cannot — exact
decimals from numbers only, dates as written, defaults, wire names — is mended in place right after, per field that
needs it. A view's JSON has its fields in name order, so equal views are equal bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import msgspec

from projection.errors import DecodeError
from projection.lang import types as ty
from projection.lang.numbers import DIGITS, MAX_INT, MIN_INT, rescaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Mend = Callable[[Any], Any]

_DAY = r"(\d{4}-\d\d-\d\d)"
_CLOCK = r"[Tt ]((?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d+))?"  # some versions of `fromisoformat` take 24:00:00
_OFFSET = r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))"
_DATE = re.compile(f"{_DAY}(?:{_CLOCK}{_OFFSET}?)?", re.ASCII)
_TIMESTAMP = re.compile(_DAY + _CLOCK + _OFFSET, re.ASCII)
_encoder = msgspec.json.Encoder(decimal_format="number")  # maps are held in the order of their keys, structs have one


class _MisfitError(ValueError):
    """A value that its declared type does not take: why, and where, as msgspec writes it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path = ""

    def inside(self, step: str) -> _MisfitError:
        """The same, seen from one level further out."""
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        return f"{self.args[0]} - at `${self.path}`" if self.path else str(self.args[0])


def build_structs(records: Iterable[ty.Record]) -> None:
    """Generate the class of every record, with its fields in name order."""
    for record in records:
        if record.struct is None:
            _build(record)


def _build(record: ty.Record) -> type[Any]:
    if record.struct is None:
        names = sorted(record.fields)
        fields: list[tuple[str, Any]] = [(name, _annotation(record.fields[name])) for name in names]
        renames: dict[str, str] = {}
        for name in names:
            wires = record.fields[name].wires
            renames[name] = wires[0]
            # Further wire names are read into fields of their own, which mending empties into the first.
            for other, wire in zip(_others(name, record.fields[name]), wires[1:], strict=True):
                fields.append((other, _annotation(record.fields[name]) | msgspec.UnsetType))
                renames[other] = wire
        record.struct = msgspec.defstruct(
            record.name,
            [_with_default(name, type_, record) for name, type_ in fields],
            rename=renames,
            kw_only=True,
            gc=False,
        )
    return record.struct


def _others(name: str, field: ty.Field) -> tuple[str, ...]:
    """The fields that take the further wire names; no program can name one so, and unset they are not encoded."""
    return tuple(f"_{position}_{name}" for position in range(1, len(field.wires)))


def _with_default(name: str, type_: Any, record: ty.Record) -> Any:
    own = record.fields.get(name)
    if own is None:
        return (name, type_, msgspec.UNSET)
    if own.required and len(own.wires) == 1:
        return (name, type_)
    return (name, type_, None)


def _annotation(field: ty.Field) -> Any:
    type_ = _msgspec_type(field.type)
    return type_ if field.required and len(field.wires) == 1 else Optional[type_]  # noqa: UP045 - built at run time


def _msgspec_type(type_: ty.Type) -> Any:
    match type_:
        case ty.Bool():
            return bool
        case ty.Int():
            return Annotated[int, msgspec.Meta(ge=MIN_INT, le=MAX_INT)]
        case ty.String():
            return Annotated[str, msgspec.Meta(max_length=type_.max or ty.DEFAULT_STRING)]
        case ty.Enum(open=False):
            return Literal[type_.members]
        case ty.Enum():
            return Annotated[str, msgspec.Meta(max_length=ty.DEFAULT_STRING)]
        case ty.Date() | ty.Timestamp():
            return str
        case ty.List():
            items = list[_msgspec_type(type_.item)]  # type: ignore[misc,valid-type]
            return Annotated[items, msgspec.Meta(max_length=type_.max or ty.DEFAULT_CONTAINER)]
        case ty.Map():
            entries = dict[_msgspec_type(type_.key), _msgspec_type(type_.value)]  # type: ignore[misc,valid-type]
            return Annotated[entries, msgspec.Meta(max_length=type_.max or ty.DEFAULT_CONTAINER)]
        case ty.Record():
            return _build(type_)
        case ty.Optional():
            return Optional[_msgspec_type(type_.inner)]  # noqa: UP045 - built at run time
        case _:
            return Any  # decimals: a number as its text says it, which no msgspec type is


class Codec:
    """Decodes one record type, and encodes it."""

    def __init__(self, record: ty.Record) -> None:
        self._record = record
        self._decoder = msgspec.json.Decoder(_build(record), float_hook=_decimal)
        self._mend = _mend_record(record, {})

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """The record in these bytes of JSON; undeclared fields are ignored.

        Raises:
            DecodeError: D105, with the path of the field that does not fit.
        """
        try:
            value = self._decoder.decode(data)
            return self._mend(value) if self._mend else value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _MisfitError) as error:
            raise DecodeError(f"the payload does not fit {self._record}: {error}", code="D105") from None


def encode(value: Any) -> bytes:
    """A view as JSON: fields in name order, entries in key order, exact numbers."""
    return _encoder.encode(value)


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
        case ty.List():
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


def declared_fields(record: ty.Record) -> int:
    """How many fields a record declares, with those of the records in it; containers count as one."""
    inner = [
        field.type.inner if isinstance(field.type, ty.Optional) else field.type for field in record.fields.values()
    ]
    return sum(declared_fields(one) if isinstance(one, ty.Record) else 1 for one in inner)


# --- mending: what msgspec's types cannot say ------------------------------------------------------------------------


def _mend_record(record: ty.Record, made: dict[ty.Record, Mend | None]) -> Mend | None:
    """What mends a record; `made` holds those that were made already."""
    if record not in made:
        made[record] = _make_mend(record, made)
    return made[record]


def _make_mend(record: ty.Record, made: dict[ty.Record, Mend | None]) -> Mend | None:
    steps: list[tuple[str, tuple[str, ...], Mend | None, Any, bool, str]] = []
    for name, field in record.fields.items():
        others = _others(name, field)
        mend = _mend_value(field.type, made)
        default = None if field.default is ty.REQUIRED else field.default
        if others or mend or default is not None:
            steps.append((name, others, mend, default, field.required, field.wires[0]))
    if not steps:
        return None

    def mend_fields(value: Any) -> Any:
        for name, others, mend, default, required, wire in steps:
            found = getattr(value, name)
            for other in others:
                if found is None and (further := getattr(value, other)) is not msgspec.UNSET:
                    found = further
                setattr(value, other, msgspec.UNSET)
            if found is None:
                if required:
                    raise _MisfitError(f"Object missing required field `{wire}`")
                found = default
            elif mend is not None:
                try:
                    found = mend(found)
                except _MisfitError as error:
                    raise error.inside(f".{wire}") from None
            setattr(value, name, found)
        return value

    return mend_fields


def _mend_value(type_: ty.Type, made: dict[ty.Record, Mend | None]) -> Mend | None:
    match type_:
        case ty.Decimal():
            return _mend_any_decimal if type_.scale is None else _mend_decimal(type_.scale)
        case ty.Date():
            return _mend_date
        case ty.Timestamp():
            return parse_timestamp
        case ty.Optional():
            return _mend_value(type_.inner, made)
        case ty.List() if (mend := _mend_value(type_.item, made)) is not None:
            return partial(_mend_items, mend)
        case ty.Map():
            key, value = _mend_value(type_.key, made), _mend_value(type_.value, made)
            return partial(_mend_entries, key or _same, value or _same)
        case ty.Record():
            return _mend_record(type_, made)
        case _:
            return None


def _mend_items(mend: Mend, items: list[Any]) -> list[Any]:
    found: list[Any] = []
    try:
        for item in items:
            found.append(mend(item))  # noqa: PERF401 - how many there are says which one failed
    except _MisfitError as error:
        raise error.inside(f"[{len(found)}]") from None
    return found


def _mend_entries(key: Mend, value: Mend, entries: dict[Any, Any]) -> dict[Any, Any]:
    # A dictionary first: two texts may be one date, and values have no order to fall back on.
    try:
        return dict(sorted({key(one): value(other) for one, other in entries.items()}.items()))
    except _MisfitError as error:
        raise error.inside("[...]") from None


def _same(value: Any) -> Any:
    return value


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]} is beyond every number") from None


def _number(value: Any) -> Decimal:
    if type(value) is Decimal:
        return value
    if type(value) is int:
        return Decimal(value)
    raise _MisfitError(f"Expected a number, got `{type(value).__name__}`")


def _mend_decimal(scale: int) -> Mend:
    def mend(value: Any) -> Decimal:
        number = _number(value)
        found = rescaled(number, scale)
        if found is None:
            raise _MisfitError(f"{_short(number)} does not fit decimal({scale})")
        return found

    return mend


def _mend_any_decimal(value: Any) -> Decimal:
    number = _number(value)
    exponent = int(number.as_tuple().exponent)
    found = rescaled(number, 0) if exponent > 0 else number
    if found is None or exponent <= -2 * DIGITS or len(found.as_tuple().digits) > DIGITS:
        raise _MisfitError(f"{_short(number)} has more than {DIGITS} digits")
    return found or found.copy_abs()


def _short(number: Decimal) -> str:
    text = str(number)
    return text if len(text) <= 48 else text[:45] + "…"


def _mend_date(value: str) -> date:
    match = _DATE.fullmatch(value)
    try:
        return date.fromisoformat(match[1] if match else "")
    except ValueError:
        raise _MisfitError(f"{value[:40]!r} is no date like 2000-01-31") from None


def parse_timestamp(value: str) -> datetime:
    """An RFC 3339 timestamp in UTC; digits beyond the microsecond are cut."""
    match = _TIMESTAMP.fullmatch(value)
    try:
        day, clock, fraction, sign, hours, minutes = match.groups() if match else ("",) * 6
        local = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        return (local - offset).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _MisfitError(f"{value[:40]!r} is no timestamp with an offset") from None
