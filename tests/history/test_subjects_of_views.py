"""Which subjects a view's events can have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from history_support import ACCOUNT, OWN, deployed
from hypothesis import example, given
from hypothesis import strategies as st

from projection.history.subjects import subjects_of
from projection.lang.check.checker import check
from projection.lang.library import BUILTINS
from projection.lang.partition import partitioning
from projection.lang.source import Source
from projection.model.envelope import Tenancy
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId

KEY = next(one.function for one in BUILTINS["key"])
HEAD = 'proj 1\nprojection p\nevent E of "thing" { n: int }\nview V { n: int = 0 }\n'


def aggregates(route: str, view_id: str) -> frozenset[str] | None:
    return partitioning(check(Source("p.proj", f"{HEAD}on E as e to {route} => {{ n: 1 }}\n"))).aggregate_ids(view_id)


@pytest.mark.parametrize(
    ("route", "view_id", "expected"),
    [
        ("meta.aggregate_id", "A1", {"A1"}),
        ('"order-{meta.aggregate_id}!"', "order-A1!", {"A1"}),
        ('"order-{meta.aggregate_id}!"', "order-!", {""}),
        ('"order-{meta.aggregate_id}!"', "invoice-A1!", set()),
        ('"aa{meta.aggregate_id}a"', "aa", set()),
        ("key(meta.aggregate_id, e.n)", "A%3A1:7", {"A:1"}),
        ("key(meta.aggregate_id, e.n)", "A1", set()),
        ('key("k", meta.aggregate_id)', "k:A1", {"A1"}),
        ('key("k", meta.aggregate_id)', "l:A1", set()),
        ("if e.n > 0 then meta.aggregate_id else none", "A1", {"A1"}),
        ('"all"', "all", None),
        ("meta.aggregate_type", "thing", None),
    ],
)
def test_the_aggregate_is_read_off_the_views_id_where_all_routes_show_it(route, view_id, expected) -> None:
    assert expected == aggregates(route, view_id)


@given(st.text(max_size=6), st.integers(0, 9))
@example("%3A", 0)
@example(":%25", 0)
def test_no_aggregate_is_missed_whatever_its_id_is(aggregate_id: str, n: int) -> None:
    assert aggregate_id in aggregates("key(meta.aggregate_id, e.n)", KEY(aggregate_id, n))
    assert aggregate_id in aggregates('"x{meta.aggregate_id}%3A"', f"x{aggregate_id}%3A")


def test_only_the_subjects_of_the_views_own_aggregate_are_read() -> None:
    whole = subjects_of(deployed(OWN), TenantId("t"), ViewId("a:1"))
    assert (("tenant.t.aggregate.*.a%3A1",), True) == whole
    typed = OWN.replace("event Moved", 'event Moved of "account"').replace("event Opened", 'event Opened of "account"')
    within = deployed(typed, subjects=("tenant.*.aggregate.*.*",))
    half = deployed(OWN.replace("event Moved", 'event Moved of "account"'))
    assert ("tenant.t.aggregate.*.a",) == subjects_of(half, TenantId("t"), ViewId("a")).filters
    assert ("tenant.t.aggregate.account.a",) == subjects_of(within, TenantId("t"), ViewId("a")).filters


def test_of_the_default_tenant_both_names_are_read() -> None:
    named = replace(deployed(OWN), tenancy=Tenancy(default=TenantId("main")))
    filters = subjects_of(named, TenantId("main"), ViewId("a")).filters
    assert ("tenant.%-.aggregate.*.a", "tenant.main.aggregate.*.a") == filters
    assert ("tenant.%-.aggregate.*.a",) == subjects_of(deployed(OWN), DEFAULT_TENANT, ViewId("a")).filters


def test_where_the_id_does_not_tell_all_of_the_tenant_is_read_and_of_no_other() -> None:
    assert (("tenant.t.aggregate.*.*",), False) == subjects_of(deployed(ACCOUNT), TenantId("t"), ViewId("a"))


def test_an_id_that_no_route_makes_has_no_subjects() -> None:
    keyed = OWN.replace("meta.aggregate_id", 'key("k", meta.aggregate_id)')
    assert ((), True) == subjects_of(deployed(keyed), TenantId("t"), ViewId("a"))
