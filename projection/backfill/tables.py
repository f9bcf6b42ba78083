"""A table, or a query, of PostgreSQL: what its columns are, and which of them says the order of its rows."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from psycopg import sql

from projection.errors import ConfigurationError
from projection.sink.database import only, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.sink.database import Address, Connection

INTEGERS = frozenset({"smallint", "integer", "bigint", "numeric"})
_BYTES = "bytea"
_BODIES = frozenset({"json", "jsonb", "text", "character varying", _BYTES})
_ROWS = sql.Identifier("rows")
_TABLE = """
SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_PRIMARY_KEY = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s AND i.indisprimary
"""
_IS_UNIQUE = """
SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %s AND a.attname = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
"""
_CACHED = """
SELECT s.seqcache FROM pg_sequence s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s AND a.attname = %s
"""


def _name(*names: str) -> sql.Identifier:
    """A name in a statement that takes values: a `%` in it is no place for one."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


class Selection(NamedTuple):
    """What to read, as it was asked for: one of table and query, and the column of the order."""

    table: str | None = None
    query: str | None = None
    key: str | None = None


class Source(NamedTuple):
    """A table or a query as the database knows it."""

    name: str  # as ids of messages begin: the same for as long as table or query is the same
    rows: sql.Composed  # what stands behind FROM
    key: str
    key_type: str
    columns: Mapping[str, str]  # their types, by name

    @property
    def key_column(self) -> sql.Composed:
        """The key, as SQL."""
        return sql.SQL("{}.{}").format(_ROWS, _name(self.key))

    def text_of(self, column: str) -> sql.Composed:
        """A column as its text."""
        return sql.SQL("{}.{}::text").format(_ROWS, _name(column))

    def body_of(self, column: str | None) -> sql.Composed:
        """A column that is a body; None: the whole row as a JSON object, with bytes in base64.

        Raises:
            ConfigurationError: the column's type is none of a body.
        """
        if column is None:
            fields = sql.SQL(", ").join(map(self._field, self.columns))
            alias = "one"
            while alias in self.columns:  # which would hide it
                alias += "_"
            return sql.SQL("row_to_json((SELECT {0} FROM (SELECT {1}) AS {0}))::text").format(_name(alias), fields)
        if (kind := self.type_of(column, "--body")) not in _BODIES:
            raise ConfigurationError(
                f"--body: column {column!r} is of type {kind}; a body is json, jsonb, text or bytea",
                hint="without --body, the whole row is the body, as a JSON object",
            )
        return sql.SQL("{}.{}").format(_ROWS, _name(column)) if kind == _BYTES else self.text_of(column)

    def _field(self, column: str) -> sql.Composed:
        value, name = sql.SQL("{}.{}").format(_ROWS, _name(column)), _name(column)
        if self.columns[column] == _BYTES:  # PostgreSQL breaks lines in base64
            value = sql.SQL("translate(encode({}, 'base64'), E'\\n', '')").format(value)
        return sql.SQL("{} AS {}").format(value, name)

    def type_of(self, column: str, option: str) -> str:
        """The type of a column.

        Raises:
            ConfigurationError: there is no such column.
        """
        if column not in self.columns:
            raise ConfigurationError(
                f"{option}: {self.name} has no column {column!r}", hint=f"it has {', '.join(self.columns)}"
            )
        return self.columns[column]


def described(connection: Connection, address: Address, selection: Selection, *, is_followed: bool) -> Source:
    """What the database says of a table or query.

    Args:
        connection: to it.
        address: of it, for what is told.
        selection: the table or query.
        is_followed: whether rows that are written later are read as well; their keys must then be in that order.

    Raises:
        ConfigurationError: it is not there, or has no key that can be used.
        DatabaseError: the database refuses.
    """
    with told(f"{address} cannot be used"):
        (is_standby,) = only(connection, "SELECT pg_is_in_recovery()")
        (database,) = only(connection, "SELECT current_database()")
    if is_standby:
        raise ConfigurationError(
            f"{address} is a standby, which cannot tell what transactions are still to write", hint="name the primary"
        )
    if selection.table is None:
        query = (selection.query or "").strip().rstrip(";")
        digest = blake2b(query.encode(), digest_size=6).hexdigest()
        rows = sql.SQL("({}\n) AS {}").format(sql.SQL(query.replace("%", "%%")), _ROWS)
        name, oid, where = f"{database}.query-{digest}", None, "the query"
    else:
        with told(f"table {selection.table!r} cannot be read"):
            found = connection.execute(_TABLE, (selection.table,)).fetchone()
        if found is None:
            raise ConfigurationError(
                f"there is no table {selection.table!r} in {address}",
                hint="name its schema too: --table SCHEMA.TABLE, with capitals in double quotes as in SQL",
            )
        oid, schema, table = found
        rows = sql.SQL("{} AS {}").format(_name(str(schema), str(table)), _ROWS)
        name, where = f"{database}.{schema}.{table}", f"table {selection.table!r}"
    with told(f"{where} cannot be read"):
        columns = _columns(connection, rows, where)
        key = selection.key or _primary_key(connection, oid, where)
        key_type = Source(name, rows, key, "", columns).type_of(key, "--key")
        _require_order(connection, oid, where, key, key_type, is_chosen=selection.key is not None, follows=is_followed)
    return Source(quote(name, safe=".:-_"), rows, key, key_type, columns)


def _columns(connection: Connection, rows: sql.Composed, where: str) -> dict[str, str]:
    cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(rows), ())
    columns: dict[str, str] = {}
    for column in cursor.description or ():
        if column.name in columns:
            raise ConfigurationError(
                f"{where} has two columns {column.name!r}", hint="give one another name: … AS name"
            )
        (kind,) = only(connection, "SELECT format_type(%s::oid, NULL)", (column.type_code,))
        columns[column.name] = str(kind)
    return columns


def _primary_key(connection: Connection, oid: object, where: str) -> str:
    found = [] if oid is None else [str(name) for (name,) in connection.execute(_PRIMARY_KEY, (oid,))]
    if len(found) == 1:
        return found[0]
    why = f"the primary key of {where} has {len(found)} columns" if found else f"{where} has no primary key"
    raise ConfigurationError(why, hint="name the column that says the order of the rows: --key COLUMN")


def _require_order(
    connection: Connection, oid: object, where: str, key: str, key_type: str, *, is_chosen: bool, follows: bool
) -> None:
    """Refuse a key by which rows could be missed."""
    if key_type not in INTEGERS and (follows or not is_chosen):
        what = f"--key: column {key!r}" if is_chosen else f"the primary key {key!r} of {where}"
        raise ConfigurationError(
            f"{what} is of type {key_type}, which does not say in which order rows are written",
            hint="name a column that counts up, of type integer, bigint or numeric: --key COLUMN",
        )
    if oid is None:
        return
    if not only(connection, _IS_UNIQUE, (oid, key))[0]:
        raise ConfigurationError(
            f"--key: column {key!r} of {where} has no unique index of its own, so two rows may have one key",
            hint="name another column, or say by --query that its values are unique all the same",
        )
    cached = connection.execute(_CACHED, (oid, key)).fetchone()
    if follows and cached is not None and cached[0] != 1:
        raise ConfigurationError(
            f"the sequence of {key!r} hands each session {cached[0]} numbers at a time, so they are used out of order",
            hint="ALTER SEQUENCE … CACHE 1",
        )
