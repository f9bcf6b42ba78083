"""How long the event loop stands still at most while a hostile tenant sends the dearest queries that there are.

In process: 400 views in a store on the disk, `Queries` on an event loop, 16 queries at a time, and beside them a task
that only waits for the next round. Each round is timed in processor time of this process, so that the machine's other
work does not count; collections of garbage do. The yardstick is a turn of folding.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from projection.engine.collector import calm_collector
from projection.lang.check.checker import check
from projection.lang.source import Source
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.query_limits import QueryLimits
from projection.model.recipe import Recipe, RecipeProgram, RecipeTenancy
from projection.query.errors import QueryError
from projection.query.form import Query
from projection.query.service import Queries
from projection.query.serving import Serving
from projection.store.build import Build
from projection.store.catalog import Catalog
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.port import Commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TURN_MS = 20.0  # of folding, in which the loop stands still as well
VIEWS = 400
AT_A_TIME = 16
SECONDS_EACH = 1.0
BODIES = 64
_TENANT, _TYPE = TenantId("hostile"), ViewType("things")
_PROGRAM = """proj 1
projection things
event Made { id: string(40), doc: json }
view Thing { n: int = 0, s: string(40) = "", o: int?, doc: json, xs: list<int> = [] }
on Made as e to e.id => { doc: e.doc }
"""
_VIEW = b'{"doc":"","n":1,"o":null,"s":"a","xs":[1,2,3]}'


def measure() -> Iterator[dict[str, Any]]:
    """The longest round of the loop, in milliseconds, with each of the hostile queries and with all together."""
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder, Catalog.open(Path(folder)) as catalog:
        build = _build(catalog)
        with LmdbLaneStore.open(build.lane_path(), build.fold_identity, durability="process") as lane:
            _fill(lane)
            queries = Queries(Serving(catalog, lambda _build: lane), QueryLimits())
            with calm_collector():
                longest = asyncio.run(_longest(queries))
            queries.close()
    for name, ms in longest.items():
        print(f"hostile queries, {name}: {ms:.1f} ms", file=sys.stderr)
    worst = max(longest.values())
    yield {"name": "hostile_query_longest_stall_ms", "ours": worst, "yardstick": TURN_MS, "ratio": worst / TURN_MS}


def _build(catalog: Catalog) -> Build:
    program = RecipeProgram("things.proj", _PROGRAM, check(Source("things.proj", _PROGRAM)).digest)
    recipe = Recipe({}, RecipeTenancy(enabled=True, default=""), program)
    build = Build(catalog.data, _TYPE, catalog.reserve(_TYPE), "identity", recipe.encode())
    catalog.record(build, serves=True)
    return build


def _fill(lane: LmdbLaneStore) -> None:
    epoch, base = lane.claim(), lane.position()
    views = {ViewKey(_TENANT, _TYPE, ViewId(f"v{number}")).encode(): _VIEW for number in range(VIEWS)}
    lane.commit(Commit(epoch, base, base.model_copy(update={"scanned": 1}), views))


def _hostile(turn: int) -> dict[str, Any]:
    """Queries by what is dear in them; each turn has others, so that none is ready already."""
    path = ["doc", *["a"] * 31]
    return {
        "paths into json": {"or": [{"field": path, "op": "eq", "value": turn + value} for value in range(110)]},
        "paths into json, at the limit": {"or": [{"field": path, "op": "eq", "value": turn + n} for n in range(15)]},
        "comparisons": {"or": [{"field": "o", "op": "eq", "value": turn * 1_000 + n} for n in range(250)]},
        "interpolations": f'"{turn}{"{n}" * 4_000}" == s',
        "interpolations, at the limit": f'"{turn}{"{n}" * 1_250}" == s',
        "in": f"n in [{turn},{','.join(['1'] * 8_000)}]",
        "in, of names": f"n in [{turn},{','.join(['n'] * 3_900)}]",
        "any in any": " or ".join(f"any(any(x + y == {turn + n} for x in xs) for y in xs)" for n in range(90)),
        "long texts": f'length(repeat("\U0001f600", 15000000)) < {turn}',
        "long texts, at the limit": f'length(repeat("\U0001f600", 1500000)) < {-turn}',
        "shared lists": f"{_shared('a')}{_shared('b')}a9 == b9 or n == {turn}",
        "shared lists and small ones": f"{_shared('a')}count(x for x in range(2000) if a9 == [[x + {turn}]]) < 0",
        "much for each view": f"count(x for x in range(20000) if x * x == n + {turn}) < 0",
        "much at once": f"count(x for x in range(1000000) if x * x == n + {turn}) < 0",
    }


def _shared(name: str) -> str:
    """A list of a thousand million values that are all the same ones."""
    return f"let {name}0 = [n]; " + "".join(
        f"let {name}{n + 1} = [{', '.join([f'{name}{n}'] * 10)}]; " for n in range(9)
    )


def _bodies() -> dict[str, list[bytes]]:
    """What is sent, by name: distinct queries, more than are kept ready of the large ones."""
    found: dict[str, list[bytes]] = {}
    for turn in range(BODIES):
        for name, filter_ in _hostile(turn * 1_000).items():
            found.setdefault(name, []).append(msgspec.json.encode({"view": "things", "filter": filter_}))
    return found | {"all together": [one for some in zip(*found.values(), strict=True) for one in some]}


async def _longest(queries: Queries) -> dict[str, float]:
    await queries.query(_TENANT, Query.read({"view": "things"}))
    found = {}
    for name, bodies in _bodies().items():
        ending = time.perf_counter() + SECONDS_EACH
        asking = [asyncio.ensure_future(_asking(queries, cycle(bodies[n:] + bodies[:n]))) for n in range(AT_A_TIME)]
        found[name] = await _rounds(ending)
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return found


async def _asking(queries: Queries, bodies: Iterable[bytes]) -> None:
    for body in bodies:
        with suppress(QueryError):
            await queries.query(_TENANT, await queries.read(body))
        await asyncio.sleep(0)


async def _rounds(ending: float) -> float:
    """The longest round, in milliseconds."""
    longest, before = 0.0, time.process_time()
    while time.perf_counter() < ending:
        await asyncio.sleep(0)
        now = time.process_time()
        longest, before = max(longest, (now - before) * 1_000), now
    return longest
