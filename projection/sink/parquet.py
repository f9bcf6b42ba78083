"""Views as a Parquet file: a typed column for each field that is a single value, JSON for all others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from projection.lang import types as ty
from projection.lang.values.codec import encode
from projection.sink.export import head

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from projection.query.schema import ViewSchema

_GROUP_ROWS = 10_000
_GROUP_BYTES = 16 * 1024 * 1024  # of JSON; what one row group is made of is held in memory
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = 38  # of a decimal, here as there


class Parquet:
    """Writes row groups of bounded size, compressed with Zstandard."""

    def __init__(self, out: BinaryIO, schema: ViewSchema) -> None:
        record = schema.record
        names = sorted(record.fields)
        columns = [_column(record.fields[name].type) for name in names]
        self._names = names
        self._written = [written for _, written in columns]
        self._decode = schema.decoder(frozenset(names))
        fields = [(name, pa.string()) for name in head(names)]
        self._schema = pa.schema([*fields, *((name, type_) for name, (type_, _) in zip(names, columns, strict=True))])
        self._out = parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self._size = 0

    def write(self, tenant_id: str, view_id: str, view: bytes) -> None:
        """See `Writer`."""
        decoded = self._decode(view)
        values = (getattr(decoded, name) for name in self._names)
        cells = (
            None if value is None else written(value) for value, written in zip(values, self._written, strict=True)
        )
        self._rows.append((tenant_id, view_id, *cells))
        self._size += len(view)
        if len(self._rows) >= _GROUP_ROWS or self._size >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """See `Writer`."""
        if self._rows:
            self._flush()
        self._out.close()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._out.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._size = [], 0


def _column(type_: ty.Type) -> tuple[pa.DataType, Callable[[Any], Any]]:
    """The type of a column, and what makes its values of the view's."""
    inner = type_.inner if isinstance(type_, ty.Optional) else type_
    match inner:
        case ty.Bool():
            return pa.bool_(), bool
        case ty.Int():
            return pa.int64(), int
        case ty.Decimal() if inner.scale is not None:
            return pa.decimal128(_DIGITS, inner.scale), _same
        case ty.Decimal():  # of any scale: no type of Parquet holds it, and a text holds all of its digits
            return pa.string(), lambda value: format(value, "f")
        case ty.String() | ty.Enum():
            return pa.string(), str
        case ty.Bytes():
            return pa.binary(), bytes
        case ty.Date():
            return pa.date32(), _same
        case ty.Timestamp():
            return pa.timestamp("us", tz="UTC"), _same
        case ty.Duration():
            return pa.duration("us"), lambda value: value // _MICROSECOND  # the longest are too long for pyarrow itself
        case _:
            return pa.string(), lambda value: encode(value).decode()


def _same(value: Any) -> Any:
    return value
