"""What an index can be used for is read off a filter, the same of both forms; what it cannot be used for is not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from query_support import PROGRAM

from projection.query.bounds import Bound
from projection.query.filters import compile_filter
from projection.query.form import Query
from projection.query.schema import ViewSchema

SCHEMA = ViewSchema.of("things.proj", PROGRAM.replace("n: int,", "n: int, on: date, flag: bool, by: map<string, int>,"))


def leaf(field: Any, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def one(path: str, op: Any, value: Any, *, multi: bool = False) -> Bound:
    return Bound(tuple(path.split(".")), op, value, multi)


OPEN, CHEAP = one("status", "eq", "open"), one("price", "le", Decimal("9.50"))


@pytest.mark.parametrize(
    ("text", "structured", "bounds", "is_exact"),
    [
        ('status == "open"', leaf("status", "eq", "open"), [OPEN], True),
        ('"open" == status', None, [OPEN], True),
        ("9.5 >= price", leaf("price", "le", "9.50"), [CHEAP], True),
        ('status == "open" and price <= 9.50 and n != 3',
         {"and": [leaf("status", "eq", "open"), leaf("price", "le", "9.50"), leaf("n", "ne", 3)]}, [OPEN, CHEAP], False),
        ('status == "open" and (price <= 9.50 and status == "open")',
         {"and": [leaf("status", "eq", "open"), {"and": [leaf("price", "le", "9.5"), leaf("status", "eq", "open")]}]},
         [OPEN, CHEAP], True),
        ('status in ["open", "shut"]', leaf("status", "in", ["open", "shut"]), [one("status", "in", ("open", "shut"))], True),
        ('status == "open" or status in ["shut"]', {"or": [leaf("status", "eq", "open"), leaf("status", "in", ["shut"])]},
         [one("status", "in", ("open", "shut"))], True),
        ('status == "open" or n == 1', {"or": [leaf("status", "eq", "open"), leaf("n", "eq", 1)]}, [], False),
        ('status == "open" and n == 1 or status == "shut"',
         {"or": [{"and": [leaf("status", "eq", "open"), leaf("n", "eq", 1)]}, leaf("status", "eq", "shut")]},
         [one("status", "in", ("open", "shut"))], False),
        ('starts_with(name, "a")', leaf("name", "starts_with", "a"), [one("name", "starts_with", "a")], True),
        ('"a" in name', leaf("name", "contains", "a"), [], False),
        ('"red" in tags', leaf("tags", "contains", "red"), [one("tags", "eq", "red", multi=True)], False),
        ('any(line.sku == "x" for line in lines)', leaf("lines.sku", "eq", "x"), [one("lines.sku", "eq", "x", multi=True)], False),
        ('any(line.sku == "x" and line.qty > 1 for line in lines)', None,
         [one("lines.sku", "eq", "x", multi=True), one("lines.qty", "gt", 1, multi=True)], False),
        ("home?.zip == 2", leaf("home.zip", "eq", 2), [one("home.zip", "eq", 2)], True),
        ('home != none and home.city > "a"', leaf("home.city", "gt", "a"), [one("home.city", "gt", "a")], None),
        ("rate == 1", leaf("rate", "eq", "1.0"), [one("rate", "eq", Decimal(1))], True),
        ("rate == none", leaf("rate", "eq", None), [], False),
        ("n > 1.5", None, [one("n", "gt", Decimal("1.5"))], False),  # an index would round it
        ("price == 1.005", leaf("price", "eq", "1.005"), [one("price", "eq", Decimal("1.005"))], False),
        ("flag", leaf("flag", "eq", True), [one("flag", "eq", True)], True),
        ("not flag", leaf("flag", "eq", False), [one("flag", "eq", False)], True),
        ("on < date(2001, 2, 3)", leaf("on", "lt", "2001-02-03"), [one("on", "lt", date(2001, 2, 3))], True),
        ('id == "a" or id == "b"', leaf("$id", "in", ["a", "b"]), [one("$id", "in", ("a", "b"))], True),
        ('by["a"] == 1', leaf(["by", "a"], "eq", 1), [], False),
        ('"a" in by', leaf("by", "contains", "a"), [], False),
        ("lines[0]?.qty == 1", leaf("lines.0.qty", "eq", 1), [], False),
        ("lines[0]!.qty == 1 and n == 1", None, [one("n", "eq", 1)], False),
        ("let line = lines[0]!; n == 1", None, [one("n", "eq", 1)], False),  # it fails where there is none
        ("(rate ?? 1) > 0", None, [], False),
        ('view.home != none and home.city == "a"', None, [one("home.city", "eq", "a")], False),
        ("n + 1 == 2", None, [], False),
        ("any(true for line in lines)", leaf("lines.sku", "exists", True), [], False),
        ("if home == none then false else true", leaf("home.city", "exists", True), [], False),
        ("true", None, [], True),
    ],
)  # fmt: skip
def test_the_bounds_of_a_filter_are_what_every_view_must_fulfil(text, structured, bounds, is_exact):
    for form in (text, structured) if structured else (text,):
        compiled = compile_filter(SCHEMA, Query.read({"view": "things", "filter": form}).filter)

        assert bounds == list(compiled.bounds), form
        assert is_exact in (None, compiled.is_exact), form
