"""What the tests of queries share: a data folder with a view type of everything, its views, and random queries."""

from __future__ import annotations

import random
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from patience import WITHIN_MS

from projection.errors import ErrorClass
from projection.lang.check.checker import check
from projection.lang.source import Source
from projection.lang.values.codec import Codec, encode
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.parked import Disposition, ParkedEvent
from projection.model.query_limits import QueryLimits
from projection.model.recipe import Recipe, RecipeProgram, RecipeTenancy
from projection.query.service import Queries
from projection.query.serving import Served, Serving
from projection.store.build import Build
from projection.store.catalog import Catalog
from projection.store.indexes import Indexer, declared_indexes
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.port import Commit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

THINGS = ViewType("things")
TENANT = TenantId("t")
# Prefixes of one another, separators, escapes: whose views lie next to one another.
TENANTS = [
    TENANT,
    *(TenantId(name) for name in ("", "t:", "t:things", "t%3A", "t/", "%", "_", "*", ">", ".", "é😀", "x" * 200)),
]
LONG = "long " * 60  # beyond what an index entry holds

PROGRAM = """
proj 1
projection things

event Made { id: string }
type Line { sku: string, qty: int }
type Home { city: string, zip?: int }

view Thing {
  owner: string,
  status: enum(open, shut, lost),
  n: int,
  price: decimal(2),
  rate?: decimal,
  name: string(2000),
  home?: Home,
  lines: list<Line> = [],
  tags: set<string> = [],
}
index by status, price desc
index by n
index by name, n desc
index by home.city, n
index by home.zip
index by rate desc, status
index by status, n, price
index by tags, n
index by lines.sku
index by lines.sku, lines.qty desc, n

on Made as e to e.id => keep
"""


def thing(owner: str, dice: random.Random, **fixed: Any) -> dict[str, Any]:
    """A view of few different values, so that many are equal, and of some that are too long for an index entry."""
    made: dict[str, Any] = {
        "owner": owner,
        "status": dice.choice(["open", "shut", "lost"]),
        "n": dice.choice([-300, -1, 0, 1, 2, 300]),
        "price": Decimal(dice.choice(["0.00", "0.10", "1.00", "9.99", "10.00", "-3.50"])),
        "name": dice.choice(["", "a", "ab", "b", "\x00", "é", LONG, LONG + "a", LONG + "b", LONG + "b\x01"]),
        "lines": [
            {"sku": dice.choice(["x", "y", "z"]), "qty": dice.randrange(4)} for _ in range(dice.choice([0, 1, 2, 5]))
        ],
        "tags": sorted({dice.choice(["red", "green", "blue"]) for _ in range(dice.randrange(3))}),
        "rate": Decimal(dice.choice(["0", "1", "1.00", "1.5", "-2", "1E+2"])) if dice.random() < 0.7 else None,
        "home": None,
        **fixed,
    }
    if dice.random() < 0.7:
        city = dice.choice(["rome", "Rome", "oslo", LONG + "x", LONG + "y"])
        made["home"] = {"city": city, "zip": dice.choice([1, 2, 3, None])}
    return made


IDS = [f"{number:03}" for number in range(60)] + [
    "a:b",
    "a&b",
    "a",
    "a:",
    "a%3Ab",
    "A",
    "%41",
    "é",
    "😀",
    "\uffff",
    "\x00",
    "\x01",
    "~" * 90,
]


class Site:
    """A data folder with one build of one view type, as a node would have written it."""

    def __init__(self, folder: Path, program: str = PROGRAM, *, indexes: bool = True) -> None:
        self.checked = check(Source("things.proj", program))
        self.record = self.checked.view
        self.catalog = Catalog.open(folder)
        self.codec = Codec(self.record)
        self.build = self._build(program)
        self.catalog.record(self.build, serves=True)
        self.store = self.open_store(self.build, indexes=indexes)

    def _build(self, program: str) -> Build:
        recipe = Recipe(
            {}, RecipeTenancy(enabled=True, default=""), RecipeProgram("things.proj", program, self.checked.digest)
        )
        number = self.catalog.reserve(THINGS)
        return Build(self.catalog.data, THINGS, number, f"identity {number}", recipe.encode())

    def open_store(self, build: Build, *, indexes: bool = True) -> Store:
        store = LmdbLaneStore.open(build.lane_path(), build.fold_identity, durability="process")
        return Store(self, store, indexes=indexes)

    def another_build(self, *, indexes: bool = True) -> tuple[Build, Store]:
        """A further build, which does not serve yet."""
        build = self._build(self.checked.source.text)
        self.catalog.record(build)
        return build, self.open_store(build, indexes=indexes)

    @cached_property
    def served(self) -> Served:
        """The build as queries have it."""
        return Served(self.build, self.store.lane, is_own=False)

    @contextmanager
    def queries(self, limits: QueryLimits | None = None, freshness: Any = None) -> Iterator[Queries]:
        """Queries in the process that writes, as in a node."""
        stores = {self.build.number: self.store.lane}
        queries = Queries(
            Serving(self.catalog, lambda build: stores.get(build.number)),
            limits or QueryLimits(time_ms=WITHIN_MS),
            freshness,
        )
        try:
            yield queries
        finally:
            queries.close()

    def close(self) -> None:
        self.store.lane.close()
        self.catalog.close()


class Store:
    """The store of a build, written a commit at a time, with the entries of its indexes."""

    def __init__(self, site: Site, lane: LmdbLaneStore, *, indexes: bool) -> None:
        self.lane = lane
        self.views: dict[tuple[TenantId, str], dict[str, Any]] = {}
        self._site = site
        self._epoch = lane.claim()
        self._indexer = Indexer(lane.declare_indexes(declared_indexes(site.checked) if indexes else ()), site.record)
        self._entries: dict[bytes, dict[bytes, bytes]] = {}

    def put(self, views: Mapping[tuple[TenantId, str], dict[str, Any] | None], **more: Any) -> int:
        """Commit views (None: deleted) and the position after them."""
        written: dict[bytes, bytes | None] = {}
        entries: dict[bytes, bytes | None] = {}
        for (tenant, view_id), view in views.items():
            key = ViewKey(tenant, THINGS, ViewId(view_id)).encode()
            entries |= dict.fromkeys(self._entries.pop(key, {}))
            if view is None:
                written[key] = None
                self.views.pop((tenant, view_id), None)
                continue
            decoded = self._site.codec.decode(encode(view))
            written[key] = self._site.codec.encode(decoded)
            self._entries[key] = self._indexer.entries(key, decoded)
            entries |= self._entries[key]
            self.views[tenant, view_id] = view
        base = self.lane.position()
        position = base.model_copy(update={"scanned": base.scanned + 1, "scanned_time": "1700000000123456789"})
        self.lane.commit(Commit(self._epoch, base, position, written, entries, **more))
        return position.scanned

    def park(self, tenant: TenantId, *view_ids: str | None) -> None:
        """Have events of these views parked."""
        unreached = {tenant: 1} if None in view_ids else {}
        self.put({}, parked=[_parked(tenant, view_id) for view_id in view_ids], unreached=unreached)


def _parked(tenant: TenantId, view_id: str | None) -> ParkedEvent:
    return ParkedEvent(
        tenant_id=tenant,
        view_type=THINGS,
        view_id=None if view_id is None else ViewId(view_id),
        sequence=1,
        error_class=ErrorClass.PROGRAM,
        code="R700",
        message="as asked",
        span=None,
        fold_identity="f",
        disposition=Disposition.PARKED,
        subject="s",
        envelope=b"{}",
    )


# --- queries ---------------------------------------------------------------------------------------------------------


def _compared(field: str, values: list[Any], *ops: str) -> st.SearchStrategy[dict[str, Any]]:
    one = st.sampled_from(values)
    return st.sampled_from(["eq", "lt", "le", "gt", "ge", "ne", "in", *ops]).flatmap(
        lambda op: st.builds(
            lambda value: {"field": field, "op": op, "value": value},
            st.lists(one, min_size=1, max_size=3) if op == "in" else one,
        )
    )


VALUES: dict[str, list[Any]] = {
    "status": ["open", "shut", "lost"],
    "n": [-300, -2, 0, 1, 2, 300, 2**62],
    "price": ["0.00", "1", "1.005", "9.99", "-3.5"],
    "rate": ["0", "1.0", "1.25", "100"],
    "name": ["", "a", "ab", LONG, LONG + "a", LONG + "b"],
    "home.city": ["rome", "Rome", LONG + "x"],
    "home.zip": [1, 2, 9],
    "tags": ["red", "green"],
    "lines.sku": ["x", "y"],
    "lines.qty": [0, 1, 2],
    "$id": IDS[::7],
}


def compared(field: str) -> st.SearchStrategy[dict[str, Any]]:
    """A comparison of a field, as the type of the field allows it."""
    if field == "tags":
        return st.sampled_from(VALUES[field]).map(lambda value: {"field": field, "op": "contains", "value": value})
    if field in ("status", "$id"):
        some = _compared(field, VALUES[field]).filter(lambda one: one["op"] in ("eq", "ne", "in"))
        return some | st.just({"field": "$id", "op": "starts_with", "value": "a"}) if field == "$id" else some
    return _compared(field, VALUES[field], *(["starts_with"] if field in ("name", "home.city") else []))


COMPARISONS = st.one_of(*map(compared, VALUES), st.just({"field": "rate", "op": "eq", "value": None}))
INDEXES = [
    [key.split()[0] for key in line.removeprefix("index by ").split(", ")]
    for line in PROGRAM.splitlines()
    if line.startswith("index by ")
]


def _equal(field: str) -> st.SearchStrategy[dict[str, Any]]:
    op = "contains" if field == "tags" else "eq"
    return st.sampled_from(VALUES[field]).map(lambda value: {"field": field, "op": op, "value": value})


@st.composite
def _narrowing(draw: st.DrawFn) -> dict[str, Any]:
    """What an index is made for: some of its keys are known, maybe another is bound, and maybe something else."""
    keys = draw(st.sampled_from(INDEXES))
    parts = [draw(_equal(key)) for key in keys if draw(st.integers(0, 2))]
    parts += draw(st.lists(st.sampled_from(keys).flatmap(compared), max_size=2))
    parts += draw(st.lists(COMPARISONS, max_size=1)) if draw(st.booleans()) or not parts else []
    return {"and": parts or [draw(COMPARISONS)]}


FILTERS = st.one_of(
    st.none(),
    _narrowing(),
    _narrowing(),
    COMPARISONS,
    st.lists(COMPARISONS, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
    st.lists(COMPARISONS, min_size=1, max_size=2).map(lambda parts: {"or": parts}),
    st.tuples(COMPARISONS, COMPARISONS).map(lambda both: {"and": [both[0], {"not": both[1]}]}),
)
SORTED_BY = ["status", "n", "price", "rate", "name", "home.city", "home.zip", "$id", "lines.0.qty"]


@st.composite
def _as_indexed(draw: st.DrawFn) -> list[str]:
    """As an index has it, or nearly: some keys, in one direction or the other."""
    keys = draw(st.sampled_from([keys for keys in INDEXES if not {"tags", "lines.sku"} & set(keys)]))
    kept = [key for key in keys if draw(st.integers(0, 3))] + (["$id"] if draw(st.booleans()) else [])
    return [draw(st.sampled_from(["", "-"])) + key for key in kept]


SORTS = _as_indexed() | st.lists(
    st.tuples(st.sampled_from(["", "-"]), st.sampled_from(SORTED_BY)).map("".join),
    max_size=3,
    unique_by=lambda key: key.lstrip("-"),
)


def in_order(views: Mapping[str, dict[str, Any]], ids: list[str], sort: list[str]) -> list[str]:
    """The ids in a query's order, by plain Python: nothing comes first, then the values; last by the id, in the order of code points."""
    found = sorted(ids)
    for key in reversed(sort):
        name = key.removeprefix("-")
        found.sort(key=lambda view_id: _ordered(view_id, views[view_id], name), reverse=key.startswith("-"))
    return found


def _ordered(view_id: str, view: dict[str, Any], name: str) -> tuple[bool, Any]:
    if name == "$id":
        return True, view_id
    here: Any = view
    for step in name.split("."):
        if here is None:
            break
        here = here.get(step) if isinstance(here, dict) else dict(enumerate(here)).get(int(step))
    if isinstance(here, str):
        here = here.encode()
    return here is not None, 0 if here is None else here


def filled(site: Site, seed: int, count: int = 40) -> None:
    """Views of all tenants, from a seed."""
    dice = random.Random(seed)
    site.store.put(
        {(tenant, view_id): thing(str(tenant), dice) for tenant in TENANTS for view_id in dice.sample(IDS, count)}
    )
