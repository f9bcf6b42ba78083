"""The columns of a view type's table: what they are called, of which type they are, and what a view has in each.

Beside `tenant_id`, `id` and `view` a table has a typed column for each field that an index of the program has for a
key, and for each that the manifest names in `columns`. What stands in them is made of the view's own values: exact
numbers stay exact.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.errors import ConfigurationError
from projection.lang import types as ty
from projection.query.errors import QueryInvalidError
from projection.sink.texts import storable, storable_json
from projection.store.indexes import declared_indexes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from projection.model.ids import ViewType
    from projection.query.paths import ViewPath
    from projection.query.schema import ViewSchema

TENANT, ID, VIEW = "tenant_id", "id", "view"
_TAKEN = {TENANT, ID, VIEW, "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}  # the last are PostgreSQL's own
MAX_NAME = 63  # bytes of a name in PostgreSQL; what is longer it cuts off, and two names become one
_HASH = 8  # hexadecimal digits
_INDEXED_TEXT = 256  # code points of all texts in one index together: an entry must stay below 2,704 bytes

Row = tuple[str | None, ...]


class Column(NamedTuple):
    """A typed column."""

    name: str
    path: str  # of the field, as in queries
    type: str  # as PostgreSQL calls it


class Shape(NamedTuple):
    """What a table looks like; two that are equal need no migration."""

    columns: tuple[Column, ...]
    indexes: tuple[tuple[tuple[str, bool], ...], ...]  # names of columns, and whether downwards

    @property
    def names(self) -> tuple[str, ...]:
        """Of all columns, in the order of a row."""
        return (TENANT, ID, VIEW, *(one.name for one in self.columns))

    @property
    def types(self) -> tuple[str, ...]:
        """Of all columns, in the order of a row."""
        return ("text", "text", "jsonb", *(one.type for one in self.columns))


class Rows:
    """Makes rows of the views of one build."""

    def __init__(self, view_type: ViewType, schema: ViewSchema, asked: Sequence[str] = ()) -> None:
        """What the views of a build are as rows.

        Args:
            view_type: for messages.
            schema: of the build.
            asked: the paths in the manifest's `columns`.

        Raises:
            ConfigurationError: a path of the manifest leads to no single value.
        """
        indexes = [keys for keys in declared_indexes(schema.program) if not any(key.many for key in keys)]
        paths = {key.path: schema.resolve(key.path) for keys in indexes for key in keys}
        for path in asked:
            found = _asked(view_type, schema, path)
            paths.setdefault(tuple(path.split(".")), found)
        names = _names(paths)
        self.shape = Shape(
            tuple(Column(names[steps], ".".join(steps), _TYPES[type(path.type)]) for steps, path in paths.items()),
            tuple(
                tuple((names[key.path], key.descending) for key in keys)
                for keys in indexes
                if sum(_longest(schema.record, key.path) for key in keys) <= _INDEXED_TEXT
            ),
        )
        self._decode = schema.decoder(frozenset(steps[0] for steps in paths)) if paths else None
        self._values = [(path.read, _WRITTEN.get(type(path.type), str)) for path in paths.values()]

    def row(self, tenant_id: str, view_id: str, view: bytes) -> Row:
        """The row of a view, each value as PostgreSQL reads its type from text; None for none."""
        head = (storable(tenant_id), storable(view_id), storable_json(view))
        if self._decode is None:
            return head
        decoded = self._decode(view)
        found = ((read(decoded), written) for read, written in self._values)
        return (*head, *(None if value is None else written(value) for value, written in found))


def _asked(view_type: ViewType, schema: ViewSchema, path: str) -> ViewPath:
    """What a path of the manifest leads to."""
    try:
        found = schema.resolve(tuple(path.split(".")))
    except QueryInvalidError as error:
        raise ConfigurationError(
            f"columns of view type {view_type}: {path!r}: {error.message}", hint=error.hint
        ) from None
    if found.names is None or found.is_id or found.is_multi or not ty.is_scalar(found.type):
        raise ConfigurationError(
            f"columns of view type {view_type}: {path!r} leads to no single value",
            hint="a column is a number, a text, a truth value or a time; all else is in the column `view`",
        )
    return found


def _names(paths: dict[tuple[str, ...], ViewPath]) -> dict[tuple[str, ...], str]:
    """What the columns are called: as their fields, but for names that are taken or too long."""
    taken, names = set(_TAKEN), {}
    for steps in paths:
        name = shortened("_".join(steps))
        while name in taken:
            name = shortened(name + "_")
        taken.add(name)
        names[steps] = name
    return names


def shortened(name: str, room: int = 0) -> str:
    """A name that PostgreSQL does not cut off, and one name alone has; with `room` for so many bytes behind it."""
    data, most = name.encode(), MAX_NAME - room
    if len(data) <= most:
        return name
    kept = data[: most - _HASH - 1].decode(errors="ignore")
    return f"{kept}_{blake2b(data, digest_size=_HASH // 2).hexdigest()}"


def _longest(record: ty.Record, path: Sequence[str]) -> int:
    """The most code points of a field that may be of any length; 0 for what is short."""
    here: ty.Type = record
    for name in path:
        here = here.inner if isinstance(here, ty.Optional) else here
        if not isinstance(here, ty.Record):
            raise TypeError(f"{here} has no fields")
        here = here.fields[name].type
    here = here.inner if isinstance(here, ty.Optional) else here
    match here:
        case ty.String():
            return here.max or ty.DEFAULT_STRING
        case ty.Enum():
            return ty.DEFAULT_STRING if here.open else max(map(len, here.members))
        case _:
            return 0


def _duration(value: timedelta) -> str:
    """A duration as an interval of days and seconds, both of its own sign, so that it reads as it was written."""
    sign, length = ("-", -value) if value.days < 0 else ("", value)
    return f"{sign}{length.days} days {sign}{length.seconds}.{length.microseconds:06} seconds"


_TYPES: dict[type, str] = {
    ty.Bool: "boolean",
    ty.Int: "bigint",
    ty.Decimal: "numeric",
    ty.String: "text",
    ty.Enum: "text",
    ty.Date: "date",
    ty.Timestamp: "timestamptz",
    ty.Duration: "interval",
}
_WRITTEN: dict[type, Callable[[Any], str]] = {
    ty.Decimal: lambda value: format(value, "f"),
    ty.String: storable,
    ty.Enum: storable,
    ty.Timestamp: lambda value: value.isoformat(),
    ty.Date: lambda value: value.isoformat(),
    ty.Duration: _duration,
}
