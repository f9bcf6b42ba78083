"""The connection to PostgreSQL: opened with words for what is wrong, and never with the password in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import psycopg
from psycopg import conninfo, errors

from projection.errors import ConfigurationError, ErrorClass, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.sql import SQL, Composed

Connection: TypeAlias = psycopg.Connection[tuple[object, ...]]

_CONNECT_S = 10
_SCHEMES = ("postgres://", "postgresql://")
_PASSING = {"08", "40", "53", "55", "57"}  # of what passes: connections, conflicts, room, locks, an end of the server
_HINTS = {
    "28P01": "check user and password: in the URL, in PGPASSWORD or in ~/.pgpass",
    "28000": "let pg_hba.conf admit this user from this machine",
    "3D000": "create the database with `createdb`, or name another one",
    "42501": "grant what is missing; docs/postgres.md lists what a sink needs, docs/backfill.md what a load does",
}


class DatabaseError(ProjectionError):
    """PostgreSQL cannot be reached, or refuses; `is_answer` tells whether it said so itself."""

    error_class = ErrorClass.INFRASTRUCTURE
    default_code = "postgres"

    is_answer = False


class Address:
    """Where a database is; as a text it shows no password."""

    def __init__(self, url: str) -> None:
        """Read a URL.

        Raises:
            ConfigurationError: it is none of a database.
        """
        try:
            self._parameters = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:  # whose words may hold a part of the password
            self._parameters = {"port": "none"}
        if not url.startswith(_SCHEMES) or set(str(self._parameters.get("port", ""))) - set("0123456789,"):
            raise ConfigurationError(
                "the address of the database is not a PostgreSQL URL",
                hint="postgres://user@host:5432/database; escape what is special in a password, or use PGPASSWORD",
            )

    def __str__(self) -> str:
        words = {"dbname": "database", "user": "user", "host": "host", "port": "port"}
        named = {word: self._parameters.get(name) for name, word in words.items()}
        return ", ".join(f"{word} {value}" for word, value in named.items() if value) or "the default database"

    @property
    def password(self) -> str:
        """The password that the URL holds; empty: none."""
        return str(self._parameters.get("password") or "")

    def connect(self, name: str = "projection sink") -> Connection:
        """Open a connection; `name` is what the database shows for it.

        Raises:
            DatabaseError: that cannot be done.
        """
        defaults = {"connect_timeout": _CONNECT_S, "application_name": name, "tcp_user_timeout": 30_000}
        given = conninfo.make_conninfo("", **{name: str(one) for name, one in (defaults | self._parameters).items()})
        with told(f"{self} cannot be used"):
            connection = psycopg.connect(given, autocommit=True)
            try:
                (encoding,) = only(connection, "SHOW server_encoding")
                self._require_utf8(encoding)
                connection.execute("SET client_encoding TO 'UTF8'")
                connection.execute("SET client_min_messages TO 'warning'")
            except BaseException:
                connection.close()
                raise
        return connection

    def _require_utf8(self, encoding: object) -> None:
        if encoding != "UTF8":
            raise ConfigurationError(
                f"{self} holds texts in {encoding}, which cannot hold every text of a view",
                hint="make a database with `createdb --encoding UTF8 --template template0`",
            )


def only(connection: Connection, query: str | SQL | Composed, values: tuple[object, ...] = ()) -> tuple[object, ...]:
    """The one row of an answer."""
    row = connection.execute(query, values).fetchone()
    if row is None:
        raise AssertionError("the query always has one row")
    return row


@contextmanager
def told(what: str) -> Iterator[None]:
    """Errors of the library as ours.

    Raises:
        DatabaseError: for each of the library's.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _error(what, error) from None


def _error(what: str, error: psycopg.Error) -> DatabaseError:
    lines = [line for line in str(error).strip().splitlines() if not line.strip().startswith("Is the server running")]
    words = error.diag.message_primary or (lines or ["the connection was lost"])[-1]
    state = error.sqlstate or _state_of(words)
    found = DatabaseError(f"{what}: {words}", hint=_HINTS.get(state or ""))
    found.is_answer = words.startswith("invalid ") or (state is not None and state[:2] not in _PASSING)
    if state is None and isinstance(error, (psycopg.ProgrammingError, psycopg.DataError)):
        found.is_answer = True  # of the library, which was asked for what it cannot do
    return found


def _state_of(words: str) -> str | None:
    """The state that a refused connection has no other way to tell: libpq hands on the words alone."""
    if "password authentication failed" in words or "no password supplied" in words:
        return errors.InvalidPassword.sqlstate
    if "no pg_hba.conf entry" in words:
        return errors.InvalidAuthorizationSpecification.sqlstate
    if "does not exist" in words and "database" in words:
        return errors.InvalidCatalogName.sqlstate
    if "does not exist" in words and "role" in words:
        return errors.InvalidAuthorizationSpecification.sqlstate
    return None
