"""The sink's life: every view type in turn, as long as one likes, through outages of the database and of the node."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from projection.errors import ConfigurationError, ProjectionError, StorageError
from projection.query.errors import QueryError, UnknownViewTypeError
from projection.query.serving import Serving
from projection.sink.database import DatabaseError, told
from projection.sink.filling import Filling, Step
from projection.sink.tables import prepare
from projection.store.catalog import CatalogReader
from projection.store.changes import Stage, change_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from projection.model.ids import ViewType
    from projection.sink.database import Address, Connection
    from projection.sink.filling import Lag
    from projection.store.build import Build

log = structlog.get_logger()

PACE_S = 0.1  # between two looks: what changes more often is written less often
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.1, 10.0  # before another try
_FILES_EVERY_S = 1.0  # between two looks whether the files are still those that were opened
_BEHIND_S = 30.0  # from then on the log says that a table is behind


class Stopping(Protocol):
    """Tells when to end."""

    def is_set(self) -> bool: ...  # noqa: D102
    def wait(self, timeout: float) -> bool: ...  # noqa: D102


class _Pause(NamedTuple):
    """A view type that failed: what was said, and when it is tried again."""

    told: str
    until: float
    seconds: float


class Sink:
    """Keeps tables as the views are. It reads a node's data folder, in another process than the node."""

    def __init__(
        self,
        folder: Path,
        address: Address,
        schema: str,
        view_types: Sequence[ViewType] = (),
        columns: Mapping[ViewType, Sequence[str]] | None = None,
    ) -> None:
        """A sink.

        Args:
            folder: the node's data folder.
            address: of the database.
            schema: of it, for all that is the sink's.
            view_types: which; none: all that keep changes.
            columns: by view type, the paths of further fields that have a column of their own.
        """
        self.is_connected = False
        self.fillings: dict[ViewType, Filling] = {}
        self._folder = folder
        self._address = address
        self._schema = schema
        self._wanted = tuple(view_types)
        self._columns = columns or {}
        self._failed: dict[ViewType, _Pause] = {}
        self._behind: set[ViewType] = set()
        self._trouble = ""  # of database or folder, as the log has it
        self._pause = _FIRST_PAUSE_S
        self._has_begun = False  # every table was looked at once: what is wrong by then may pass

    @property
    def lags(self) -> dict[ViewType, Lag]:
        """How far each table is behind."""
        return {view_type: filling.lag for view_type, filling in self.fillings.items()}

    def run(self, stopping: Stopping, *, until_level: bool = False) -> None:
        """Write until it is to stop, or until every table is level with the node.

        Args:
            stopping: asked between two steps; a step under way is ended first.
            until_level: end as soon as there is nothing left to write, and raise what would be tried again.

        Raises:
            ConfigurationError: there is no such folder or view type, `columns` is wrong, a table is in the way.
            DatabaseError: at the first try, the database is there and refuses.
            ProjectionError: with `until_level`, whatever goes wrong.
        """
        while not stopping.is_set():
            try:
                with self._connected() as connection, self._opened() as (serving, is_same):
                    if self._write(connection, serving, is_same, stopping, until_level=until_level):
                        return
            except (DatabaseError, StorageError, ConfigurationError, QueryError) as error:
                if until_level or (not self._has_begun and _is_for_good(error)):
                    raise
                if not self._trouble or (_is_for_good(error) and error.message != self._trouble):  # once an outage
                    log.warning("the sink waits, and tries again", reason=error.message, hint=error.hint)
                self._trouble = error.message
            self._look()
            stopping.wait(self._pause)
            self._pause = min(2 * self._pause, _LAST_PAUSE_S)

    def _look(self) -> None:
        """See how far the tables are behind: the lag grows also while the database is away."""
        try:
            with self._opened() as (serving, _):
                for filling in self.fillings.values():
                    filling.look(serving)
        except (StorageError, ConfigurationError):
            for filling in self.fillings.values():
                filling.look(None)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        connection = self._address.connect()
        try:
            with told(f"schema {self._schema!r} cannot be prepared"):
                prepare(connection, self._schema)
            self.is_connected = True
            yield connection
        finally:
            self.is_connected = False
            connection.close()

    @contextmanager
    def _opened(self) -> Iterator[tuple[Serving, _SameFiles]]:
        with CatalogReader.open(self._folder) as catalog:
            serving = Serving(catalog)
            try:
                yield serving, _SameFiles(self._folder)
            finally:
                serving.close()

    def _write(
        self, connection: Connection, serving: Serving, is_same: _SameFiles, stopping: Stopping, *, until_level: bool
    ) -> bool:
        """Go round the view types until everything is done; False: the folder is to be opened anew."""
        for known in self.fillings.values():
            known.serve_from(serving)
        while not stopping.is_set():
            began = monotonic()
            is_level = True
            for view_type in self._wanted or _with_changes(serving):
                if stopping.is_set():
                    return True
                filling = self.fillings.get(view_type)
                if filling is None:
                    asked = self._columns.get(view_type, ())
                    filling = self.fillings[view_type] = Filling(serving, self._schema, view_type, asked)
                is_level &= self._stepped(filling, connection, is_strict=until_level)
                if connection.closed:
                    raise DatabaseError(f"{self._address} cannot be used: the connection was lost")
                self._tell_lag(view_type, filling.lag)
            self._has_begun, self._pause = True, _FIRST_PAUSE_S
            if self._trouble:
                log.info("the sink writes again")
                self._trouble = ""
            if is_level and until_level:
                return True
            if not is_same(serving.of(view_type).build for view_type in self.fillings):
                log.info("the node's data folder is another one, and is opened again")
                return False
            if is_level:  # with many tenants to ask for, that takes its time
                stopping.wait(max(PACE_S, monotonic() - began))
        return True

    def _stepped(self, filling: Filling, connection: Connection, *, is_strict: bool) -> bool:
        """Take a step of one view type; whether it is level. One that fails waits, and the others go on."""
        view_type = filling.view_type
        failed = self._failed.get(view_type)
        if failed is not None and monotonic() < failed.until:
            return True  # nothing to do now
        try:
            found = filling.step(connection)
        except ProjectionError as error:
            if is_strict or connection.closed or (not self._has_begun and _is_for_good(error)):
                raise
            if not isinstance(error, (DatabaseError, StorageError, QueryError, ConfigurationError)):
                raise
            if failed is None or failed.told != error.message:
                log.warning(
                    "a table waits, and is tried again", view_type=view_type, reason=error.message, hint=error.hint
                )
            seconds = _FIRST_PAUSE_S if failed is None else min(2 * failed.seconds, _LAST_PAUSE_S)
            self._failed[view_type] = _Pause(error.message, monotonic() + seconds, seconds)
            return True
        if self._failed.pop(view_type, None) is not None:
            log.info("a table is written again", view_type=view_type)
        return found is Step.LEVEL

    def _tell_lag(self, view_type: ViewType, lag: Lag) -> None:
        if lag.seconds > _BEHIND_S and view_type not in self._behind:
            self._behind.add(view_type)
            log.warning("a table is behind", view_type=view_type, events=lag.events, seconds=round(lag.seconds))
        elif not lag.seconds and view_type in self._behind:
            self._behind.discard(view_type)
            log.info("a table has caught up again", view_type=view_type, scanned=lag.scanned)


def _is_for_good(error: ProjectionError) -> bool:
    """Whether trying again is of no use before somebody has seen to it."""
    if isinstance(error, DatabaseError):
        return error.is_answer
    return isinstance(error, (ConfigurationError, UnknownViewTypeError))


def _with_changes(serving: Serving) -> list[ViewType]:
    """The view types that keep changes; one whose store cannot be read is tried, and says so."""
    found = []
    for view_type in serving.catalog.view_types():
        with serving.of(view_type).reader.snapshot() as snapshot:
            if change_index(snapshot).stage in (Stage.ON, Stage.FILLING):
                found.append(view_type)
    return found


class _SameFiles:
    """Tells whether catalog and stores are the files that were opened: who deletes a folder makes another one."""

    def __init__(self, folder: Path) -> None:
        self._catalog = folder / "catalog" / "data.mdb"
        self._known = {self._catalog: _inode(self._catalog)}
        self._again = monotonic() + _FILES_EVERY_S

    def __call__(self, builds: Iterable[Build]) -> bool:
        """Look, once a second, at the files of these builds and at those that were looked at before."""
        if monotonic() < self._again:
            return True
        self._again = monotonic() + _FILES_EVERY_S
        for path in (self._catalog, *(build.lane_path() / "data.mdb" for build in builds)):
            if self._known.setdefault(path, found := _inode(path)) != found:
                return False
        return True


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
