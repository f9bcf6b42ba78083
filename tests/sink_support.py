"""What the tests of sinks share: a data folder, a sink on it in this process, and what is in its tables."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from query_support import THINGS, Site

from projection.query.serving import Serving
from projection.sink.database import Address
from projection.sink.filling import Filling, Step
from projection.sink.tables import prepare
from projection.sink.texts import storable

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "projection"


def _digits(number: str) -> int | str:
    """A number with all of its digits and no exponent, as jsonb holds it."""
    written = format(Decimal(number), "f")
    return written if "." in written else int(written)


DECODE = msgspec.json.Decoder(float_hook=_digits).decode


class Written:
    """A site, and a sink that is stepped by hand."""

    def __init__(self, site: Site, url: str, columns: tuple[str, ...] = (), schema: str = SCHEMA) -> None:
        self.site, self.url, self.schema = site, url, schema
        self.stores = {site.build.number: site.store.lane}
        self.serving = Serving(site.catalog, lambda build: self.stores.get(build.number))
        self.open(columns)

    def open(self, columns: tuple[str, ...] = ()) -> None:
        self.connection = Address(self.url).connect()
        prepare(self.connection, self.schema)
        self.filling = Filling(self.serving, self.schema, THINGS, columns)

    def again(self, columns: tuple[str, ...] = ()) -> None:
        """As a sink that ended, and another that begins."""
        self.close()
        self.open(columns)

    def step(self) -> Step:
        return self.filling.step(self.connection)

    def level(self) -> int:
        """Step until it is level; how many steps it took."""
        count = 1
        while self.step() is not Step.LEVEL:
            count += 1
        return count

    def rows(self, what: str = "*") -> list[tuple[Any, ...]]:
        return asked(self.url, f'SELECT {what} FROM "{self.schema}".things ORDER BY tenant_id, id')

    def position(self) -> int:
        ((scanned,),) = asked(self.url, f'SELECT scanned FROM "{self.schema}"."sink$position" WHERE part = \'serving\'')
        return scanned

    def close(self) -> None:
        self.connection.close()


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def views_of(site: Site) -> dict[tuple[str, str], Any]:
    """What the table should hold: each view as its store has it, by tenant and id, as PostgreSQL has texts."""
    return {
        (storable(key.tenant_id), storable(key.view_id)): plain(DECODE(view))
        for key, view in site.store.lane.scan(None, THINGS)
    }


def views_in(url: str, table: str = "projection.things") -> dict[tuple[str, str], Any]:
    rows = asked(url, f"SELECT tenant_id, id, view::text FROM {table}")
    return {(tenant, view_id): DECODE(view) for tenant, view_id, view in rows}


def plain(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case list():
            return [plain(one) for one in value]
        case dict():
            return {storable(name): plain(one) for name, one in value.items()}
        case _:
            return value


@contextmanager
def running(target: Any) -> Iterator[threading.Event]:
    """Something that runs in a thread until the block ends; it is given what stops it."""
    stopping, failed = threading.Event(), []

    def run() -> None:
        try:
            target(stopping)
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stopping
    finally:
        stopping.set()
        thread.join()
    assert not failed, failed
