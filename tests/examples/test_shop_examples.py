"""The three projections of the shop, folded over a generated shop and held against plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import shop_models
from example_support import PROJECTIONS, event_of, fold

from projection.lang.program import Program
from projection.model.parked import HELD_CODE
from projection.testing.shop import shop_events, shop_lines

if TYPE_CHECKING:
    from example_support import Folded

MODELS = {
    "shop_orders": shop_models.orders,
    "shop_customers": shop_models.customers,
    "shop_sales": shop_models.sales,
}


def programs():
    return {name: Program.load(PROJECTIONS / name / "program.proj") for name in MODELS}


@pytest.fixture(scope="module")
def whole_shop() -> Folded:
    return fold(PROJECTIONS / "shop.yaml", shop_lines())


def test_a_shop_without_faults_parks_nothing(whole_shop):
    assert [whole_shop.summary.events, whole_shop.summary.parked] == [24_000, 0]
    assert set(MODELS) == set(whole_shop.views)


@pytest.mark.parametrize("view_type", MODELS)
def test_a_projection_of_the_shop_comes_to_what_plain_python_says(whole_shop, view_type):
    expected = MODELS[view_type](list(shop_events()))
    assert len(expected) > 100
    assert expected == whole_shop.views[view_type]


def test_a_paid_order_was_paid_what_its_items_come_to(whole_shop):
    paid = [order for order in whole_shop.views["shop_orders"].values() if order["status"] in ("paid", "shipped")]
    assert paid
    assert [order["total"] for order in paid] == [order["paid"] for order in paid]


def test_faulty_events_are_parked_and_only_the_views_they_are_meant_for_wait():
    events = list(shop_events(faults=12))
    folded = fold(PROJECTIONS / "shop.yaml", shop_lines(faults=12))
    sound = [event for event in events if not event["event_id"].startswith("fault-")]
    faulty = [event for event in events if event["event_id"].startswith("fault-")]
    assert len(faulty) == 12
    for view_type, program in programs().items():
        concerned = [event for event in faulty if event["event_type"] in program.checked.events]
        parked = sorted(folded.parked[view_type], key=lambda one: one.sequence)
        assert concerned
        refused = {one.sequence: event_of(one.envelope) for one in parked if one.code != HELD_CODE}
        assert concerned == list(refused.values())
        waiting = {(one.tenant_id, one.view_id) for one in parked}  # what came later for the same views is behind them
        right, found = MODELS[view_type](sound), folded.views[view_type]
        assert len(waiting) <= 12
        assert waiting >= {key for key in right.keys() | found.keys() if right.get(key) != found.get(key)}
    assert {one.code for one in folded.parked["shop_orders"]} >= {"D105", "R705"}


@pytest.mark.parametrize("ends_with", ["OrderShipped", "OrderPurged"])
def test_an_order_that_was_never_rightly_placed_is_held_back_whole_until_it_is_purged(ends_with):
    events = list(shop_events(6_000))
    last = next(event for event in reversed(events) if event["event_type"] == ends_with)
    of_order = [
        event
        for event in events
        if (event["tenant_id"], event["aggregate_id"]) == (last["tenant_id"], last["aggregate_id"])
    ]
    others = [event for event in events if event not in of_order]
    placed, *later = of_order
    assert placed["event_type"] == "OrderPlaced"
    placed["payload"] = {**placed["payload"], "currency": "no such currency"}

    folded = fold(PROJECTIONS / "shop_orders" / "manifest.yaml", map(_encode, events))

    assert shop_models.orders(others) == folded.views["shop_orders"]
    parked = sorted(folded.parked["shop_orders"], key=lambda one: one.sequence)
    codes = [] if ends_with == "OrderPurged" else ["D105", *[HELD_CODE] * len(later)]
    assert len(later) > 1
    assert codes == [one.code for one in parked]
    assert of_order[: len(codes)] == [event_of(one.envelope) for one in parked]


_encode = msgspec.json.Encoder(decimal_format="number").encode
