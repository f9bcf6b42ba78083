"""The same views in SQLite, read through the standard library: one table of JSON texts, an expression index, WAL.

It is what a team would set up that keeps its views in SQLite by hand. The table is `WITHOUT ROWID`, so that a point
read descends one tree. The statements are kept prepared by the connection. Beside the bare statements there are the
answers that the node gives: with position and parked events, of one moment.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SCHEMA = """\
CREATE TABLE views (
  tenant TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, view TEXT NOT NULL,
  PRIMARY KEY (tenant, type, id)
) WITHOUT ROWID;
CREATE INDEX by_status_and_balance
  ON views (tenant, type, json_extract(view, '$.status'), json_extract(view, '$.balance') DESC);
CREATE TABLE position (type TEXT PRIMARY KEY, scanned INTEGER NOT NULL, time TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO position VALUES ('fine_summary', 561470, '2026-01-01T00:00:00Z');
CREATE TABLE parked (
  tenant TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY (tenant, type, id, sequence)
) WITHOUT ROWID;
"""
_POINT = "SELECT view FROM views WHERE tenant = ? AND type = ? AND id = ?"
_POSITION = "SELECT scanned, time FROM position WHERE type = ?"
_IS_PARKED = "SELECT 1 FROM parked WHERE tenant = ? AND type = ? AND id = ? LIMIT 1"
_PARKED = "SELECT DISTINCT id FROM parked WHERE tenant = ? AND type = ?"
_RANGE = """\
SELECT id, view FROM views
WHERE tenant = ? AND type = ? AND json_extract(view, '$.status') = ? AND json_extract(view, '$.balance') < ?
ORDER BY json_extract(view, '$.balance') DESC, id LIMIT ?"""


class SqliteViews:
    """One open database; tenant and view type go with every query, as they do in the node."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def view(self, tenant_id: str, view_type: str, view_id: str) -> str | None:
        """The JSON of one view."""
        row: tuple[str] | None = self._connection.execute(_POINT, (tenant_id, view_type, view_id)).fetchone()
        return None if row is None else row[0]

    def query(self, tenant_id: str, view_type: str, status: str, below: float, limit: int) -> list[tuple[str, str]]:
        """The views of a status with a balance below the given one, the highest first: ids and JSON."""
        return self._connection.execute(_RANGE, (tenant_id, view_type, status, below, limit)).fetchall()

    def view_with_position(self, tenant_id: str, view_type: str, view_id: str) -> tuple[Any, ...]:
        """A view, whether events of it are parked, and the position of both, of one moment: as the node answers."""
        self._connection.execute("BEGIN")
        position = self._connection.execute(_POSITION, (view_type,)).fetchone()
        view = self.view(tenant_id, view_type, view_id)
        parked = self._connection.execute(_IS_PARKED, (tenant_id, view_type, view_id)).fetchone()
        self._connection.execute("COMMIT")
        return view, parked is not None, position

    def query_with_position(
        self, tenant_id: str, view_type: str, status: str, below: float, limit: int
    ) -> tuple[Any, ...]:
        """The same of a page: one view more than wanted, which tells whether there is a next page."""
        self._connection.execute("BEGIN")
        position = self._connection.execute(_POSITION, (view_type,)).fetchone()
        views = self.query(tenant_id, view_type, status, below, limit + 1)
        parked = {row[0] for row in self._connection.execute(_PARKED, (tenant_id, view_type))}
        self._connection.execute("COMMIT")
        return views[:limit], len(views) > limit, [view_id for view_id, _ in views if view_id in parked], position

    def plan(self) -> str:
        """How SQLite answers the query, in its words."""
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {_RANGE}", ("", "", "", 0, 1)).fetchall()
        return "; ".join(row[3] for row in rows)


@contextmanager
def sqlite_views(path: Path, views: Iterable[tuple[str, str, str, str]]) -> Iterator[SqliteViews]:
    """A database made of these views (tenant, type, id, JSON), checkpointed and analysed, and open for reading."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO views VALUES (?, ?, ?, ?)", views)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield SqliteViews(connection)


def as_row(tenant_id: Any, view_type: Any, view_id: Any, view: bytes) -> tuple[str, str, str, str]:
    """A row of the table."""
    return str(tenant_id), str(view_type), str(view_id), view.decode()
