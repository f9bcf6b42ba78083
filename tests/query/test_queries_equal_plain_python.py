"""Queries on the fines equal a plain Python filter over what `replay` makes of the same events: with indexes, without
any, and while the store is written.

Each answer is held against the replay up to the very event that it says it contains. A page after the first holds what
comes next in the order as it is then; over all pages, what did not change is there once.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from functools import total_ordering
from typing import TYPE_CHECKING, Any

import pytest
from filter_model import Writer, reached, takes
from fines_site import FINES, INDEX, MORE, FinesSite, example_events, pages, real_events
from view_schemas import typed

from projection.model.ids import TenantId
from projection.query.form import Query

if TYPE_CHECKING:
    from pathlib import Path

    from projection.query.answers import QueryAnswer

FINE = ("record", (
    ("status", "open"), ("article", "int"), ("vehicle", "string"), ("amount", "cents"), ("expense", "cents"),
    ("penalty", "cents"), ("paid", "cents"), ("balance", "cents"), ("updated_on", "date"),
    ("payments", ("list", ("record", (("amount", "cents"), ("on", "date"))))),
))  # fmt: skip
STATUSES = ["created", "sent", "penalised", "appealed", "in_collection", "part_paid", "paid"]
FIELDS: list[list[Any]] = [
    ["status"], ["article"], ["vehicle"], ["amount"], ["penalty"], ["paid"], ["balance"], ["updated_on"], ["$id"],
    ["payments", "amount"], ["payments", "on"], ["payments", 0, "amount"], ["payments", 1, "on"],
]  # fmt: skip
SORTABLE = [field for field in FIELDS if field[0] != "payments" or 0 in field or 1 in field]
SELECTABLE = [field for field in FIELDS if not {0, 1} & set(field) and field != ["$id"]]


# --- generated queries -----------------------------------------------------------------------------------------------


class Questions:
    """Random queries whose values come from the views that there are."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def query(self, views: dict[str, Any]) -> dict[str, Any]:
        dice = self._dice
        query: dict[str, Any] = {"view": "fine_summary", "limit": dice.choice([1, 2, 7, 50, 5_000])}
        if dice.random() < 0.9:
            query["filter"] = self.filter(views, dice.choice([0, 0, 1, 2]))
        if dice.random() < 0.7:
            fields = dice.sample(SORTABLE, dice.choice([1, 1, 2, 3]))
            query["sort"] = [{"field": field, "desc": dice.random() < 0.5} for field in fields]
        if dice.random() < 0.3:
            query["select"] = dice.sample(SELECTABLE, dice.choice([1, 2, 3]))
        query["count"] = dice.random() < 0.5
        return query

    def filter(self, views: dict[str, Any], depth: int) -> Any:
        dice = self._dice
        if not depth:
            return self.comparison(views)
        shape = dice.choice(["and", "and", "or", "not"])
        if shape == "not":
            return {"not": self.filter(views, depth - 1)}
        return {shape: [self.filter(views, depth - 1) for _ in range(dice.choice([2, 2, 3]))]}

    def comparison(self, views: dict[str, Any]) -> Any:
        dice = self._dice
        field = dice.choice([["status"], ["balance"], *FIELDS])
        ops = ["eq", "eq", "ne", "lt", "le", "gt", "ge", "in", "exists"]
        ops += ["starts_with", "contains"] if field in (["status"], ["vehicle"], ["$id"]) else []
        op = dice.choice(ops)
        if op == "exists":
            return {"field": field, "op": op, "value": dice.random() < 0.5}
        if op == "in":
            return {"field": field, "op": op, "value": [self._value(views, field) for _ in range(dice.randrange(4))]}
        value = self._value(views, field)
        if op in ("starts_with", "contains"):
            value = value[: dice.randrange(4)]
        return {"field": field, "op": op, "value": value}

    def _value(self, views: dict[str, Any], field: list[Any]) -> Any:
        """What some view has there, or something near it."""
        view_id = self._dice.choice(list(views))
        if field == ["$id"]:
            return view_id
        found = [value for value, _kind in reached(views[view_id], FINE, field)]
        value = self._dice.choice(found) if found else {"amount": Decimal("36.00"), "on": "2001-06-01"}[field[-1]]
        if isinstance(value, Decimal):
            value += self._dice.choice([0, 0, 0, Decimal("0.01"), -1, Decimal("0.005")])
            return str(value) if self._dice.random() < 0.5 else value
        return value


# --- plain Python ----------------------------------------------------------------------------------------------------


@total_ordering
class Downwards:  # noqa: PLW1641 - only ordered
    def __init__(self, key: Any) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Downwards) and self.key == other.key

    def __lt__(self, other: Downwards) -> bool:
        return other.key < self.key


class Expected:
    """What a query finds, by plain Python."""

    def __init__(self, query: dict[str, Any], views: dict[str, Any]) -> None:
        self._query = query
        self._views = views
        filter_ = query.get("filter")
        ids = [one for one, view in views.items() if filter_ is None or takes(filter_, view, FINE, one)]
        self.order = {one: self.place(one) for one in ids}
        self.ids = sorted(ids, key=self.order.__getitem__)

    def place(self, view_id: str) -> tuple[Any, ...]:
        keys = []
        for key in self._query.get("sort", []):
            if key["field"] == ["$id"]:
                value: Any = (True, view_id)
            else:
                found = [typed(one, kind) for one, kind in reached(self._views[view_id], FINE, key["field"])]
                value = (True, found[0]) if found else (False,)
            keys.append(Downwards(value) if key["desc"] else value)
        return (*keys, view_id)

    def page(self, behind: tuple[Any, ...] | None) -> tuple[list[str], bool]:
        """The ids of the page behind a place, and whether it is the last."""
        rest = self.ids if behind is None else [one for one in self.ids if self.order[one] > behind]
        return rest[: self._query["limit"]], len(rest) <= self._query["limit"]

    def shown(self, view_id: str) -> Any:
        select = self._query.get("select")
        return self._views[view_id] if select is None else selected(self._views[view_id], select)


def selected(view: Any, paths: list[list[str]]) -> Any:
    if isinstance(view, list):
        return [selected(item, paths) for item in view]
    return {
        name: value if [name] in paths else selected(value, [path[1:] for path in paths if path[0] == name])
        for name, value in view.items()
        if any(path[0] == name for path in paths)
    }


# --- held against one another ----------------------------------------------------------------------------------------


class Check:
    """Asks a site generated queries, and counts what happened."""

    def __init__(self, site: FinesSite, tenants: list[str], seed: int) -> None:
        self.site = site
        self.tenants = tenants
        self.dice = random.Random(seed)
        self.questions = Questions(self.dice)
        self.queries = self.pages = self.beside_writes = self.changed = 0
        self.plans: Counter[str] = Counter()

    def once(self) -> None:
        tenant = self.dice.choice(self.tenants)
        query = self.questions.query(self.site.replayed.plain[tenant])
        asked = dict(query)
        if "filter" in query and self.dice.random() < 0.5:
            asked["filter"] = Writer(FINE).text(query["filter"])
        form = Query.read(asked)
        answers: list[tuple[QueryAnswer, dict[str, bytes]]] = []
        behind: tuple[Any, ...] | None = None
        before = self.site.replayed.scanned
        for answer in pages(self.site, TenantId(tenant), form, 4):
            views = self.site.replayed.views[tenant]
            behind = self._page(answer, Expected(query, self.site.replayed.plain[tenant]), behind, views, query)
            answers.append((answer, dict(views)))
        self._once_each(answers, tenant, query)
        self.queries += 1
        self.pages += len(answers)
        self.beside_writes += self.site.replayed.scanned > before
        if not self.queries % 5:
            self.plans[self.site.plan(TenantId(tenant), form)] += 1

    def _page(
        self, answer: QueryAnswer, expected: Expected, behind: Any, views: dict[str, bytes], query: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        ids, is_last = expected.page(behind)
        assert ids == [found.id for found in answer.views], query
        assert is_last == (answer.next is None), query
        assert (len(expected.ids) if query["count"] else None) == answer.count, query
        for found in answer.views:
            data = bytes(found.view)
            assert expected.shown(found.id) == json.loads(data, parse_float=Decimal), query
            assert "select" in query or data == views[found.id]
        return expected.order[ids[-1]] if ids else behind

    def _once_each(
        self, answers: list[tuple[QueryAnswer, dict[str, bytes]]], tenant: str, query: dict[str, Any]
    ) -> None:
        """Over all pages: views that stayed the same are there once, none of them left out between two pages."""
        first, last = answers[0][1], answers[-1][1]
        shown = Counter(found.id for answer, _views in answers for found in answer.views)
        same = {one for one, view in first.items() if last.get(one) == view}
        self.changed += len(last) - len(same)
        assert not [one for one, times in shown.items() if times > 1 and one in same], query
        whole = Expected(query, {one: json.loads(first[one], parse_float=Decimal) for one in same})
        if answers[-1][0].next is not None:
            end = [one for one in whole.ids if one in shown]
            whole.ids = whole.ids[: whole.ids.index(end[-1]) + 1] if end else []
        assert set(whole.ids) == set(shown) & same, query

    def report(self, seed: int) -> str:
        return (
            f"seed {seed}: {self.queries} queries, {self.pages} pages, {self.beside_writes} beside writes, "
            f"{self.changed} views changed between pages; plans {dict(self.plans)}"
        )


def hold(folder: Path, events: list[bytes], first: int, queries: int, seed: int) -> dict[bool, Check]:
    found = {}
    for has_indexes in (True, False):
        with FinesSite(
            folder / f"{has_indexes}", events, indexes=[INDEX.strip(), *MORE] if has_indexes else []
        ) as site:
            site.fold(first)
            site.replayed.go(events[:first])
            check = found[has_indexes] = Check(site, sorted(site.replayed.views), seed)
            for _ in range(queries):
                check.once()
            print(f"indexes {has_indexes}, {check.report(seed)}")
    return found


def test_queries_on_the_example_equal_plain_python_beside_writes(tmp_path):
    seed = random.randrange(10**9)

    found = hold(tmp_path, example_events(300), 2_000, 40, seed)

    assert all(check.beside_writes > 20 and check.changed for check in found.values())
    assert "index" in str(found[True].plans)
    assert "index" not in str(found[False].plans)


@pytest.mark.long
@pytest.mark.skipif(not FINES.exists(), reason=f"{FINES.name} is not beside this checkout")
def test_queries_on_the_real_fines_equal_plain_python_beside_writes(tmp_path):
    seed = random.randrange(10**9)

    found = hold(tmp_path, real_events(60_000), 4_000, 1_050, seed)

    assert sum(check.queries for check in found.values()) >= 2_000
    assert all(check.beside_writes > 900 and check.changed for check in found.values())
