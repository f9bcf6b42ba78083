"""One view type in PostgreSQL: each step brings its table further, rows and position in one transaction.

What has been done stands in the database alone. A step reads it there, under a lock, and writes what comes behind: so a
sink that is killed, or that comes twice, leaves nothing out and nothing half done.
"""

from __future__ import annotations

from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import structlog

from projection.errors import StorageError
from projection.query.errors import QueryError
from projection.query.freshness import age
from projection.sink import reading
from projection.sink.columns import Rows
from projection.sink.database import told
from projection.sink.reading import VoidMarkError
from projection.sink.tables import DRAFT, SERVING, Tables
from projection.sink.texts import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.ids import ViewType
    from projection.query.serving import Served, Serving
    from projection.sink.database import Connection
    from projection.sink.reading import Head
    from projection.sink.tables import Part

log = structlog.get_logger()


class Step(Enum):
    """What a step came to."""

    LEVEL = "level"  # the table holds all that the node has committed
    MORE = "more"


class Lag(NamedTuple):
    """How far a table is behind the node."""

    scanned: int  # the table holds all changes up to here
    events: int  # at most so many the node has read beyond: sequences, of which some may hold none
    seconds: float  # since the table was last level


class Filling:
    """Brings the table of one view type to where the node is."""

    def __init__(self, serving: Serving, schema: str, view_type: ViewType, columns: Sequence[str] = ()) -> None:
        """Fill a table.

        Args:
            serving: the builds that answer.
            schema: of the database, where the table is or will be.
            view_type: which.
            columns: paths of further fields that have a column of their own.
        """
        self.view_type = view_type
        self.rows_written = 0  # and deleted
        self._serving = serving
        self._tables = Tables(schema, view_type)
        self._asked = tuple(columns)
        self._rows: tuple[int, Rows] | None = None  # of the build with this number
        self._done: Head | None = None  # where the store stood when the table was level with it
        self._scanned = self._ahead = 0
        self._level_at = monotonic()

    @property
    def lag(self) -> Lag:
        """How far the table was behind when it was last looked at."""
        is_level = self._done is not None
        return Lag(self._scanned, self._ahead, 0.0 if is_level else monotonic() - self._level_at)

    def serve_from(self, serving: Serving) -> None:
        """Read from now on what was opened anew; the database may be another one, too."""
        self._serving = serving
        self._rows = self._done = None

    def look(self, serving: Serving | None) -> None:
        """See how far the node has gone on while nothing can be written; None: the node's folder cannot be read."""
        if serving is not None:
            try:
                here = reading.head(serving.of(self.view_type), self.view_type)
            except (QueryError, StorageError):
                pass  # as if the folder could not be read
            else:
                if here == self._done:
                    self._level_at = monotonic()
                    return
                self._ahead = max(0, here.position.scanned - self._scanned)
        self._done = None

    def rows(self, served: Served) -> Rows:
        """What makes rows of a build's views.

        Raises:
            ConfigurationError: a path of the manifest leads to no single value.
        """
        if self._rows is None or self._rows[0] != served.number:
            self._rows = served.number, Rows(self.view_type, served.schema, self._asked)
        return self._rows[1]

    def step(self, connection: Connection) -> Step:
        """Do what comes next, in one transaction.

        Raises:
            DatabaseError: the database refuses, or the connection is lost; nothing is done, or all of it.
            ConfigurationError: a table of another's is in the way, or `columns` is wrong.
            ChangesOffError, UnknownViewTypeError, StorageError: the node's folder has nothing to copy.
        """
        served = self._serving.of(self.view_type)
        here = reading.head(served, self.view_type)
        if here == self._done:
            self._level_at = monotonic()
            return Step.LEVEL
        self._done = None
        self._ahead = max(0, here.position.scanned - self._scanned)
        rows = self.rows(served)
        with told(f"table {self._tables.name!r} cannot be written"), connection.transaction():
            parts = self._tables.lock(connection)
            draft, current = parts.get(DRAFT), parts.get(SERVING)
            try:
                if draft is not None and not draft.is_filled:
                    self._fill(connection, served, draft, rows)
                    return Step.MORE
                with connection.transaction():  # what a mark that turns out void has let in is taken out again
                    reached = self._follow(connection, served, draft or current, rows)
            except VoidMarkError as void:
                self._begin(connection, served, parts, rows, here, str(void))
                return Step.MORE
            kept = None if draft is None else self._tables.exchange(connection, draft, current)
        if draft is not None:
            self._tell_exchanged(draft, kept)
        self._scanned = reached.position.scanned
        self._ahead, self._done, self._level_at = 0, reached, monotonic()
        return Step.LEVEL

    def _fill(self, connection: Connection, served: Served, draft: Part, rows: Rows) -> None:
        """Put the next page of views into a draft."""
        _require(draft, rows)
        found, last = reading.page(served, self.view_type, draft.mark, draft.filled_to)
        self._tables.copy(connection, draft, [rows.row(*one) for one in found], last)
        self.rows_written += len(found)

    def _follow(self, connection: Connection, served: Served, part: Part | None, rows: Rows) -> Head:
        """Put into a table what changed since; where the store stood then."""
        if part is None:
            raise VoidMarkError("there is no table yet")
        _require(part, rows)
        with reading.behind(served, self.view_type, part.mark) as found:
            for piece in found.pieces:
                present = [rows.row(one.tenant_id, one.view_id, one.view) for one in piece if one.view is not None]
                gone = [(storable(one.tenant_id), storable(one.view_id)) for one in piece if one.view is None]
                self._tables.apply(connection, part, present, gone)
                self.rows_written += len(piece)
            self._tables.reach(connection, part, found.mark, age(found.head.position, None).as_of)
            return found.head

    def _begin(
        self, connection: Connection, served: Served, parts: dict[str, Part], rows: Rows, here: Head, reason: str
    ) -> None:
        """Make a new draft, to be filled from the first view on."""
        if DRAFT in parts:
            self._tables.drop(connection, parts[DRAFT])
        self._tables.create(connection, rows.shape, here.mark, served.program, is_first=SERVING not in parts)
        log.info("a table is filled anew", view_type=self.view_type, build=served.number, reason=reason)

    def _tell_exchanged(self, draft: Part, kept: str | None) -> None:
        log.info("a table was filled, and is read from now on", view_type=self.view_type, build=draft.mark.build)
        if kept is not None:
            log.warning(
                "others depend on the former table, so it was kept; it is not brought up to date any more",
                view_type=self.view_type,
                table=kept,
                hint="make them anew on the table of now, and drop this one",
            )


def _require(part: Part, rows: Rows) -> None:
    if part.shape != rows.shape:
        raise VoidMarkError("its columns are others")
