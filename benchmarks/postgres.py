"""A sink of PostgreSQL: rows a second of its first fill and of following, beside the same rows by COPY and upserts."""

from __future__ import annotations

import random
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from postgres_server import PostgresServer, binaries
from query_support import Site
from sink_support import Written

from projection.model.ids import TenantId

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = """
proj 1
projection things
event Made { id: string }
view Thing { owner: string(80), n: int, price: decimal(2) }
index by n
on Made as e to e.id => keep
"""
VIEWS, CHANGED = 20_000, 5_000
TENANT = TenantId("north")
_COLUMNS = "tenant_id, id, view, n"


def measure() -> Iterator[dict[str, Any]]:
    """Rows a second; the yardstick writes the same texts with psycopg, without a store, positions or other columns."""
    if (programs := binaries()) is None:
        print("postgres: no PostgreSQL here", file=sys.stderr)
        return
    dice = random.Random(7)
    with tempfile.TemporaryDirectory() as folder, PostgresServer(programs) as server:
        site = Site(Path(folder) / "data", PROGRAM, indexes=False)
        site.store.lane.declare_changes(wanted=True)
        views = {(TENANT, f"{number:06}"): _thing(dice) for number in range(VIEWS)}
        site.store.put(views)
        written = Written(site, server.new_database())
        fill = _timed(written.level)
        changed = dict(dice.sample(sorted(views.items()), CHANGED))
        site.store.put({of: _thing(dice) for of in changed})
        follow = _timed(written.level)
        rows = [(row[0], row[1], row[2], str(row[3]["n"])) for row in written.rows("tenant_id, id, view::text, view")]
        written.close()
        site.close()
        with psycopg.connect(server.new_database()) as connection:
            connection.execute("CREATE TABLE things (tenant_id text, id text, view jsonb, n bigint)")
            copy = _timed(lambda: _copy(connection, rows))
            some = rows[:CHANGED]
            upsert = _timed(lambda: _upsert(connection, some))
    yield _line("postgres_fill", VIEWS / fill, VIEWS / copy)
    yield _line("postgres_follow", CHANGED / follow, CHANGED / upsert)


def _thing(dice: random.Random) -> dict[str, Any]:
    return {"owner": f"owner {dice.randrange(1_000)}", "n": dice.randrange(1_000_000), "price": Decimal("9.99")}


def _timed(work: Any) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _copy(connection: psycopg.Connection[Any], rows: Sequence[tuple[str, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY things ({_COLUMNS}) FROM STDIN") as out:
        for row in rows:
            out.write_row(row)
    connection.execute("ALTER TABLE things ADD PRIMARY KEY (tenant_id, id)")
    connection.execute("CREATE INDEX ON things (tenant_id, n)")
    connection.commit()


def _upsert(connection: psycopg.Connection[Any], rows: Sequence[tuple[str, ...]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO things ({_COLUMNS}) VALUES (%s, %s, %s::jsonb, %s::bigint)"
            " ON CONFLICT (tenant_id, id) DO UPDATE SET view = EXCLUDED.view, n = EXCLUDED.n",
            rows,
        )
    connection.commit()


def _line(name: str, ours: float, by_hand: float) -> dict[str, Any]:
    return {"name": name, "ours": round(ours), "yardstick": round(by_hand), "ratio": round(ours / by_hand, 2)}
