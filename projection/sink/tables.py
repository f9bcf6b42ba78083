"""The tables of a sink: made, filled, exchanged and dropped, always in a transaction of the caller's.

A view type has one table that is read, called as the view type, and at times a draft: a table that is filled and takes
the place of the other by its name once it is level. `sink$position` says of each what it was made of and how far it is.
Names with a `$` can be no view type's.
"""

from __future__ import annotations

import json
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from psycopg import errors, sql

from projection.errors import ConfigurationError
from projection.sink.columns import ID, TENANT, VIEW, Column, Shape, shortened
from projection.sink.database import only
from projection.sink.reading import Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.ids import ViewType
    from projection.sink.columns import Row
    from projection.sink.database import Connection

POSITION = "sink$position"
SERVING, DRAFT = "serving", "draft"
_LOCK_WAIT = "5s"  # for readers of a table that is exchanged; those who come meanwhile wait behind us


class Part(NamedTuple):
    """A table, as `sink$position` has it."""

    part: str  # SERVING or DRAFT
    table: str
    shape: Shape
    mark: Mark
    filled_to: bytes | None  # of a draft that is being filled: the key of the last view in it
    is_filled: bool


class Tables:
    """The tables of one view type in one schema of a database."""

    def __init__(self, schema: str, view_type: ViewType) -> None:
        self.schema = schema
        self.view_type = view_type
        self.name = shortened(view_type)
        self._position = sql.Identifier(schema, POSITION)

    def lock(self, connection: Connection) -> dict[str, Part]:
        """What there is of the view type; nobody else changes it before the transaction ends."""
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self.schema}.{POSITION}.{self.view_type}",)
        )
        rows = connection.execute(
            sql.SQL(
                "SELECT part, table_name, shape::text, build, fold, stream, generation, since, scanned, filled_to,"
                " is_filled FROM {} WHERE view_type = %s"
            ).format(self._position),
            (self.view_type,),
        ).fetchall()
        parts = {str(row[0]): _part(row) for row in rows}
        for name, part in list(parts.items()):
            if not _exists(connection, self.schema, part.table):  # somebody has dropped it
                self._forget(connection, name)
                del parts[name]
        return parts

    def create(self, connection: Connection, shape: Shape, mark: Mark, program: str, *, is_first: bool) -> None:
        """Make an empty draft; `is_first`: where no table is read yet.

        Raises:
            ConfigurationError: a table of another's has its name, or the one that it will have.
        """
        name = shortened(self.view_type, len("$draft")) + "$draft"
        for taken in (name, self.name) if is_first else (name,):
            if _exists(connection, self.schema, taken):
                raise ConfigurationError(
                    f"schema {self.schema} has a table {taken!r} that no sink has made",
                    hint="drop or rename it, or name another schema with --schema",
                )
        columns = [
            sql.SQL("{} {}{} NOT NULL").format(sql.Identifier(name), sql.SQL(type_), sql.SQL(collation))
            for name, type_, collation in (
                (TENANT, "text", ' COLLATE "C"'),
                (ID, "text", ' COLLATE "C"'),
                (VIEW, "jsonb", ""),
            )
        ] + [
            sql.SQL("{} {}").format(
                sql.Identifier(one.name), sql.SQL('text COLLATE "C"' if one.type == "text" else one.type)
            )
            for one in shape.columns
        ]
        table = sql.Identifier(self.schema, name)
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)))
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (view_type, part, table_name, shape, build, program, fold, stream, generation, since,"
                " scanned, is_filled) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, false)"
            ).format(self._position),
            (
                self.view_type, DRAFT, name, json.dumps(shape), mark.build, program, mark.fold, mark.stream,
                mark.generation, mark.since, mark.scanned,
            ),
        )  # fmt: skip

    def drop(self, connection: Connection, part: Part) -> None:
        """Take a draft away."""
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(self.schema, part.table)))
        self._forget(connection, part.part)

    def copy(self, connection: Connection, part: Part, rows: Sequence[Row], filled_to: bytes | None) -> None:
        """Put more rows into a draft; None: these are the last."""
        table = sql.Identifier(self.schema, part.table)
        names = sql.SQL(", ").join(map(sql.Identifier, part.shape.names))
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(table, names)) as out:
            for row in rows:
                out.write_row(row)
        if filled_to is None:
            self._finish(connection, part)
        connection.execute(
            sql.SQL("UPDATE {} SET filled_to = %s, is_filled = %s WHERE view_type = %s AND part = %s").format(
                self._position
            ),
            (filled_to, filled_to is None, self.view_type, part.part),
        )

    def _finish(self, connection: Connection, part: Part) -> None:
        table = sql.Identifier(self.schema, part.table)
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({}, {})").format(table, sql.Identifier(TENANT), sql.Identifier(ID))
        )
        for keys in part.shape.indexes:
            written = [
                sql.SQL("{}{}").format(sql.Identifier(name), sql.SQL(" DESC" if is_descending else ""))
                for name, is_descending in keys
            ]
            connection.execute(
                sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.SQL(", ").join([sql.Identifier(TENANT), *written]))
            )
        # Not switched on; a session without a tenant sees nothing, also where the setting was reset to an empty text.
        connection.execute(
            sql.SQL(
                "CREATE POLICY tenant ON {} USING ({} = nullif(current_setting('projection.tenant', true), ''))"
            ).format(table, sql.Identifier(TENANT))
        )
        connection.execute(sql.SQL("ANALYZE {}").format(table))

    def apply(self, connection: Connection, part: Part, rows: Sequence[Row], gone: Sequence[tuple[str, str]]) -> None:
        """Put rows in place of those of the same views, and take away others."""
        table = sql.Identifier(self.schema, part.table)
        if rows:
            names, types = part.shape.names, part.shape.types
            given = [sql.Identifier(f"c{number}") for number in range(len(names))]
            values = [sql.SQL("{}::{}").format(one, sql.SQL(type_)) for one, type_ in zip(given, types, strict=True)]
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS given ({}) ON CONFLICT ({}, {}) DO UPDATE SET {}"
                ).format(
                    table,
                    sql.SQL(", ").join(map(sql.Identifier, names)),
                    sql.SQL(", ").join(values),
                    sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
                    sql.SQL(", ").join(given),
                    sql.Identifier(TENANT),
                    sql.Identifier(ID),
                    sql.SQL(", ").join(
                        sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in names[2:]
                    ),
                ),
                [list(column) for column in zip(*rows, strict=True)],
            )
        if gone:
            connection.execute(
                sql.SQL(
                    "DELETE FROM {} AS held USING unnest(%s::text[], %s::text[]) AS gone (tenant_id, id)"
                    " WHERE held.{} = gone.tenant_id AND held.{} = gone.id"
                ).format(table, sql.Identifier(TENANT), sql.Identifier(ID)),
                [list(column) for column in zip(*gone, strict=True)],
            )

    def reach(self, connection: Connection, part: Part, mark: Mark, as_of: str | None) -> None:
        """Say how far a table is."""
        connection.execute(
            sql.SQL("UPDATE {} SET scanned = %s, stream = %s, as_of = %s WHERE view_type = %s AND part = %s").format(
                self._position
            ),
            (mark.scanned, mark.stream, as_of, self.view_type, part.part),
        )

    def exchange(self, connection: Connection, draft: Part, former: Part | None) -> str | None:
        """Have the draft be the table that is read; what a table was kept as because others depend on it, else None."""
        table, target = sql.Identifier(self.schema, draft.table), sql.Identifier(self.schema, self.name)
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_WAIT)))
        kept = None
        if former is not None:
            self._hand_over(connection, former, table)
            kept = f"{shortened(self.view_type, 14)}$former{token_hex(3)}"
            connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(target, sql.Identifier(kept)))
            self._forget(connection, SERVING)
        connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(table, sql.Identifier(self.name)))
        connection.execute(
            sql.SQL("UPDATE {} SET part = %s, table_name = %s WHERE view_type = %s AND part = %s").format(
                self._position
            ),
            (SERVING, self.name, self.view_type, DRAFT),
        )
        if kept is not None:
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(self.schema, kept)))
                kept = None
            except errors.DependentObjectsStillExist:
                pass
        return kept

    def _hand_over(self, connection: Connection, former: Part, table: sql.Identifier) -> None:
        """Give the draft what others have made of the table: policies, whether they count, and who may do what."""
        place = (self.schema, former.table)
        connection.execute(sql.SQL("DROP POLICY tenant ON {}").format(table))
        for name, kind, roles, command, using, check in connection.execute(
            "SELECT policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies"
            " WHERE schemaname = %s AND tablename = %s",
            place,
        ).fetchall():
            to = [sql.SQL("PUBLIC") if role == "public" else sql.Identifier(role) for role in roles]  # type: ignore[attr-defined]
            connection.execute(
                sql.SQL("CREATE POLICY {} ON {} AS {} FOR {} TO {}{}{}").format(
                    sql.Identifier(str(name)),
                    table,
                    sql.SQL(str(kind)),
                    sql.SQL(str(command)),
                    sql.SQL(", ").join(to),
                    sql.SQL("" if using is None else f" USING ({using})"),
                    sql.SQL("" if check is None else f" WITH CHECK ({check})"),
                )
            )
        kept = "FROM pg_class WHERE oid = %s::regclass"
        oid = (f"{_quoted(self.schema)}.{_quoted(former.table)}",)
        enabled, forced = only(connection, f"SELECT relrowsecurity, relforcerowsecurity {kept}", oid)
        for is_so, how in ((enabled, "ENABLE"), (forced, "FORCE")):
            if is_so:
                connection.execute(sql.SQL("ALTER TABLE {} {} ROW LEVEL SECURITY").format(table, sql.SQL(how)))
        for privilege, may_grant, role in connection.execute(
            "SELECT acl.privilege_type, acl.is_grantable, CASE acl.grantee WHEN 0 THEN NULL"
            " ELSE pg_get_userbyid(acl.grantee) END FROM pg_class, aclexplode(relacl) AS acl"
            " WHERE pg_class.oid = %s::regclass AND acl.grantee <> relowner",
            oid,
        ).fetchall():
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}{}").format(
                    sql.SQL(str(privilege)),
                    table,
                    sql.SQL("PUBLIC") if role is None else sql.Identifier(str(role)),
                    sql.SQL(" WITH GRANT OPTION" if may_grant else ""),
                )
            )

    def _forget(self, connection: Connection, part: str) -> None:
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE view_type = %s AND part = %s").format(self._position), (self.view_type, part)
        )


def prepare(connection: Connection, schema: str) -> None:
    """Make the schema, and what says how far its tables are, where they are not there yet."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{schema}.{POSITION}",))
        if not only(connection, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", (schema,))[0]:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        if not _exists(connection, schema, POSITION):
            connection.execute(
                sql.SQL(
                    'CREATE TABLE {} (view_type text COLLATE "C", part text, table_name text NOT NULL,'
                    " shape jsonb NOT NULL, build bigint NOT NULL, program text NOT NULL, fold text NOT NULL,"
                    " stream text NOT NULL, generation bigint NOT NULL, since bigint NOT NULL, scanned bigint NOT NULL,"
                    " as_of timestamptz, filled_to bytea, is_filled boolean NOT NULL, PRIMARY KEY (view_type, part))"
                ).format(sql.Identifier(schema, POSITION))
            )


def _exists(connection: Connection, schema: str, name: str) -> bool:
    """Whether a relation of that name is there."""
    return only(connection, "SELECT to_regclass(%s)::text", (f"{_quoted(schema)}.{_quoted(name)}",))[0] is not None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _part(row: tuple[object, ...]) -> Part:
    part, table, shape, build, fold, stream, generation, since, scanned, filled_to, is_filled = row
    columns, indexes = json.loads(str(shape))
    return Part(
        str(part),
        str(table),
        Shape(
            tuple(Column(*one) for one in columns),
            tuple(tuple((name, is_descending) for name, is_descending in keys) for keys in indexes),
        ),
        Mark(int(str(build)), str(fold), str(stream), int(str(generation)), int(str(since)), int(str(scanned))),
        None if filled_to is None else bytes(filled_to),  # type: ignore[call-overload]
        bool(is_filled),
    )
