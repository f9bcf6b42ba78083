"""Reading a source in the order of its key: no row before every transaction has ended that may write a lower key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from psycopg import sql

from projection.errors import ConfigurationError
from projection.sink.database import DatabaseError, only, told

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from projection.backfill.tables import Source
    from projection.sink.database import Address, Connection

PAGE = 5_000  # rows of one statement, and so of one snapshot
_CHUNK = 500  # rows in memory at once, at most
_CHUNK_BYTES = 8 * 1024 * 1024
_FIRST_OWN = 16_384  # the first oid that is no catalog's
_SESSION = """
SET default_transaction_read_only TO on; SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO'; SET IntervalStyle TO 'iso_8601';
SET extra_float_digits TO 1
"""
# All relations that this transaction has read, so that the tables behind a view, a query or a partition are among them,
# and the sequences that belong to these.
_READ = """
WITH here AS (SELECT relation FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= %s)
SELECT array_agg(DISTINCT relation) FROM (
  SELECT relation FROM here UNION
  SELECT d.objid FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN here ON relation = d.refobjid
  WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
) AS watched
"""
# Who inserts has this lock on the table before the statement takes a number, and who takes one has it on the sequence;
# both until the transaction ends.
_WRITERS = """
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = ANY (%s)
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# What is prepared for two-phase commit has another name than it had while it ran.
_OPEN = """
SELECT pid FROM pg_locks WHERE virtualtransaction = ANY (%s) OR (virtualtransaction LIKE '-1/%%'
AND locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = ANY (%s)) LIMIT 1
"""


class Row(NamedTuple):
    """One row: its key, its body and the columns that a message takes."""

    key: str
    body: bytes | None
    texts: Sequence[str | None]


class Horizon(NamedTuple):
    """How far a source went at a moment, and the transactions that were writing to it then."""

    key: str
    writers: list[str]
    relations: list[int]


def connected(address: Address) -> Connection:
    """Open a connection that only reads, and writes times and numbers in one way.

    Raises:
        DatabaseError: that cannot be done.
    """
    connection = address.connect("projection load")
    connection.prepare_threshold = None
    with told(f"{address} cannot be used"):
        connection.execute(_SESSION)
    return connection


class Reader:
    """Reads one source; every method raises DatabaseError, and may be called again with another connection."""

    def __init__(self, source: Source, body: str | None, texts: Sequence[str]) -> None:
        """A reader of these columns; see `Source.body_of` for the body.

        Raises:
            ConfigurationError: the body's column cannot be one.
        """
        self._source = source
        self._columns = sql.SQL(", ").join(
            [source.text_of(source.key), source.body_of(body), *map(source.text_of, texts)]
        )
        self._what = f"{source.name} cannot be read"

    def checked_key(self, connection: Connection, key: str) -> str:
        """A key that somebody named, as the database writes it.

        Raises:
            ConfigurationError: it is none.
        """
        kind = self._source.key_type
        try:
            with told(self._what):
                query = sql.SQL("SELECT (%s::{})::text").format(sql.SQL(kind))
                return str(only(connection, query, (key,))[0])
        except DatabaseError as error:
            if not error.is_answer:
                raise
            raise ConfigurationError(
                f"--after: {key!r} is no key of {self._source.name}, whose keys are of type {kind}"
            ) from None

    def horizon(self, connection: Connection, after: str | None) -> Horizon | None:
        """How far the source goes now; None where nothing is behind a key.

        The key is read before the writers. Whoever holds a lower one and is not among these has ended by then.

        Raises:
            ConfigurationError: a row has no key.
        """
        source = self._source
        with told(self._what), connection.transaction():
            last = connection.execute(
                sql.SQL("SELECT {} FROM {}{} ORDER BY {} DESC LIMIT 1").format(
                    source.text_of(source.key), source.rows, self._where([(">", after)]), source.key_column
                ),
                _given(after),
            ).fetchone()
            if last is None:
                return None
            (relations,) = only(connection, _READ, (_FIRST_OWN,))
            writers = [str(name) for (name,) in connection.execute(_WRITERS, (relations,))]
            nameless = connection.execute(
                sql.SQL("SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1").format(source.rows, source.key_column), ()
            ).fetchone()
        if nameless is not None:
            raise ConfigurationError(
                f"a row of {source.name} has no key: column {source.key!r} is null",
                hint="name another column by --key, or leave such rows out by --query",
            )
        return Horizon(str(last[0]), writers, relations if isinstance(relations, list) else [])

    def writer(self, connection: Connection, horizon: Horizon) -> str | None:
        """One transaction that may still write a key up to the horizon, in words; None: nobody may."""
        with told(self._what):
            found = connection.execute(_OPEN, (horizon.writers, horizon.relations)).fetchone()
        if found is None:
            return None
        return "a prepared transaction" if found[0] is None else f"the transaction of the database's process {found[0]}"

    def rows(self, connection: Connection, after: str | None, upto: str) -> Generator[list[Row]]:
        """Give the rows behind a key, up to another one, in order, some at a time.

        Raises:
            ConfigurationError: two rows have one key.
        """
        sign, known = ">", after  # the next page begins with the last row of this one, and with a second of its key
        while True:
            count = 0
            for read in self._page(connection, [(sign, after), ("<=", upto)]):
                is_begun = sign == ">=" and not count and read[0].key == known
                count += len(read)
                chunk = read[1:] if is_begun else read
                for row in chunk:
                    if row.key == known:
                        raise ConfigurationError(
                            f"two rows of {self._source.name} have the key {row.key}",
                            hint="name a column by --key whose values are unique",
                        )
                    known = row.key
                if chunk:
                    yield chunk
            if count < PAGE:
                return
            sign, after = ">=", known

    def _page(self, connection: Connection, bounds: Sequence[tuple[str, str | None]]) -> Generator[list[Row]]:
        query = sql.SQL("SELECT {} FROM {}{} ORDER BY {} LIMIT {}").format(
            self._columns, self._source.rows, self._where(bounds), self._source.key_column, sql.Literal(PAGE)
        )
        chunk: list[Row] = []
        size = 0
        with told(self._what), connection.cursor() as cursor:
            for key, body, *texts in cursor.stream(query, _given(*(bound for _, bound in bounds))):
                data = body.encode() if isinstance(body, str) else body
                row = Row(str(key), data if isinstance(data, bytes) else None, cast("list[str | None]", texts))
                if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
                chunk.append(row)
                size += len(row.body or b"")
        if chunk:
            yield chunk

    def _where(self, bounds: Sequence[tuple[str, str | None]]) -> sql.Composed:
        kind = sql.SQL(self._source.key_type)
        given = [
            sql.SQL("{} {} %s::{}").format(self._source.key_column, sql.SQL(sign), kind)
            for sign, bound in bounds
            if bound is not None
        ]
        return sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(given)) if given else sql.Composed([])


def _given(*bounds: str | None) -> tuple[str, ...]:
    return tuple(bound for bound in bounds if bound is not None)
