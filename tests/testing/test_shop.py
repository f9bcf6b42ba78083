"""The generated shop: the same everywhere, true to itself, and faulty only where it was asked to be."""

import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.model.envelope import decode_envelope
from projection.model.ids import TenantId
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.model.timestamp import parse_timestamp
from projection.testing.shop import DEFAULT_TENANTS, EVENTS_PER_FAULT, shop_events, shop_lines

EVENT_TYPES = {
    "CustomerRegistered",
    "CustomerRenamed",
    "CustomerErased",
    "OrderPlaced",
    "ItemAdded",
    "ItemRemoved",
    "OrderPaid",
    "OrderCancelled",
    "OrderShipped",
    "OrderPurged",
    "VoucherShared",
}
FIELDS = {
    "CustomerRegistered": {"customer_id": str, "name": str, "email": str},
    "CustomerRenamed": {"customer_id": str, "name": str},
    "CustomerErased": {"customer_id": str},
    "OrderPlaced": {"order_id": str, "customer_id": str, "currency": str},
    "ItemAdded": {"order_id": str, "sku": str, "name": str, "quantity": int, "unit_price": Decimal},
    "ItemRemoved": {"order_id": str, "sku": str},
    "OrderPaid": {"order_id": str, "customer_id": str, "amount": Decimal},
    "OrderCancelled": {"order_id": str, "customer_id": str, "reason": str},
    "OrderShipped": {"order_id": str},
    "OrderPurged": {"order_id": str},
    "VoucherShared": {"from_customer": str, "to_customers": list, "amount": Decimal},
}


class ModelShop:
    """What a shop's event store would allow, in plain Python; an assertion fails on the first event that lies."""

    def __init__(self):
        self.customers = set()
        self.orders = {}

    def take(self, event_type, payload):
        order = self.orders.get(payload.get("order_id"))
        match event_type:
            case "CustomerRegistered":
                assert payload["customer_id"] not in self.customers
                self.customers.add(payload["customer_id"])
            case "CustomerRenamed":
                assert payload["customer_id"] in self.customers
            case "CustomerErased":
                open_orders = [o for o in self.orders.values() if o["status"] == "open"]
                assert payload["customer_id"] not in [o["customer_id"] for o in open_orders]
                self.customers.remove(payload["customer_id"])
            case "OrderPlaced":
                assert order is None
                assert payload["customer_id"] in self.customers
                self.orders[payload["order_id"]] = {
                    "status": "open",
                    "customer_id": payload["customer_id"],
                    "items": {},
                }
            case "ItemAdded":
                assert order["status"] == "open"
                assert payload["sku"] not in order["items"]
                assert payload["quantity"] >= 1
                assert payload["unit_price"] > 0
                order["items"][payload["sku"]] = payload["quantity"] * payload["unit_price"]
            case "ItemRemoved":
                assert order["status"] == "open"
                del order["items"][payload["sku"]]
            case "OrderPaid":
                assert ("open", payload["customer_id"]) == (order["status"], order["customer_id"])
                assert order["items"]
                assert sum(order["items"].values()) == payload["amount"]
                order["status"] = "paid"
            case "OrderCancelled":
                assert ("open", payload["customer_id"]) == (order["status"], order["customer_id"])
                order["status"] = "cancelled"
            case "OrderShipped":
                assert order["status"] == "paid"
                order["status"] = "shipped"
            case "OrderPurged":
                assert order["status"] == "cancelled"
                del self.orders[payload["order_id"]]
            case "VoucherShared":
                to = payload["to_customers"]
                assert 1 <= len(to) <= 5
                assert len(set(to)) == len(to)
                assert payload["from_customer"] not in to
                assert {payload["from_customer"], *to} <= self.customers
                assert payload["amount"] > 0


def assert_consistent(events):
    shops = defaultdict(ModelShop)
    for event in events:
        shops[event["tenant_id"]].take(event["event_type"], event["payload"])


def test_two_processes_with_other_hash_seeds_make_the_same_bytes():
    program = (
        "import hashlib; from projection.testing.shop import shop_lines\n"
        "print(hashlib.sha256(b'\\n'.join(shop_lines(5_000, faults=5))).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "12345")
    ]
    assert digests[0] == digests[1]
    # Written down, so that it is seen when another version of Python, or an edit, makes another shop.
    assert digests[0].strip() == "ed3b39214a5789a519d288ca6779678f9ed4c8da9b0c70b60c763af61a69364a"


def test_a_shop_has_as_many_events_as_were_asked_for_and_every_type_and_tenant_among_them():
    events = list(shop_events())
    assert len(events) == 24_000
    assert {event["event_type"] for event in events} == EVENT_TYPES
    assert set(DEFAULT_TENANTS) == {event["tenant_id"] for event in events}
    assert len(DEFAULT_TENANTS) >= 3
    rare = Counter(event["event_type"] for event in events)
    assert 0 < rare["CustomerErased"] < 240
    assert 0 < rare["OrderPurged"] < 240
    carriers = {"carrier" in event["payload"] for event in events if event["event_type"] == "OrderShipped"}
    assert {True, False} == carriers
    assert {1, 2, 3, 4, 5} == {len(e["payload"]["to_customers"]) for e in events if e["event_type"] == "VoucherShared"}


def test_every_event_of_a_long_shop_keeps_the_rules_of_a_shop():
    assert_consistent(shop_events(24_000))


@settings(deadline=None, max_examples=50)
@given(count=st.integers(0, 600), seed=st.integers(0, 2**32), tenants=st.integers(1, 6), data=st.data())
def test_any_shop_keeps_the_rules_and_faults_are_only_put_between_its_events(count, seed, tenants, data):
    names = [f"tenant {number}" for number in range(tenants)]
    faults = data.draw(st.integers(0, count // EVENTS_PER_FAULT))
    events = list(shop_events(count, seed, names, faults=faults))
    right = [event for event in events if not event["event_id"].startswith("fault-")]
    assert (count, count - faults) == (len(events), len(right))
    assert list(shop_events(count - faults, seed, names)) == right
    assert_consistent(right)


def test_every_payload_has_exactly_the_declared_fields_and_amounts_have_two_places():
    for event in shop_events(5_000):
        payload = dict(event["payload"])
        if event["event_type"] == "OrderShipped":
            payload.pop("carrier", None)
        assert FIELDS[event["event_type"]] == {name: type(value) for name, value in payload.items()}
        assert {-2} >= {value.as_tuple().exponent for value in payload.values() if isinstance(value, Decimal)}
        own_id = {"customer": "customer_id", "order": "order_id"}.get(event["aggregate_type"])
        assert own_id is None or payload[own_id] == event["aggregate_id"]


def test_time_goes_on_and_is_written_with_several_offsets():
    moments = [parse_timestamp(event["timestamp"]) for event in shop_events(5_000)]
    assert all(earlier.time < later.time for earlier, later in pairwise(moments))
    assert len({moment.offset for moment in moments}) >= 3
    assert date(2024, 1, 1) == moments[0].date


def test_event_ids_are_unique_and_each_order_has_one_correlation_id_of_its_own():
    events = list(shop_events(faults=9))
    assert len(events) == len({event["event_id"] for event in events})
    orders = defaultdict(set)
    for event in events:
        if event["aggregate_type"] == "order":
            orders[event["tenant_id"], event["aggregate_id"]].add(event["correlation_id"])
        else:
            assert "correlation_id" not in event
    assert {1} == {len(ids) for ids in orders.values()}
    assert len(orders) == len(set.union(*orders.values()))


def test_tenants_share_the_look_of_their_ids_so_that_a_leak_between_them_shows():
    ids = defaultdict(set)
    for event in shop_events(5_000):
        ids[event["tenant_id"]].add(event["aggregate_id"])
    assert "C00001" in set.intersection(*ids.values())
    assert "O000001" in set.intersection(*ids.values())


def test_each_line_is_an_envelope_with_a_legal_subject_and_numbers_that_lose_nothing():
    template = SubjectTemplate.parse(DEFAULT_TEMPLATE)
    exact = msgspec.json.Decoder(float_hook=Decimal)
    for event, line in zip(shop_events(2_000), shop_lines(2_000), strict=True):
        assert b"\n" not in line
        envelope = decode_envelope(line)
        subject = template.subject(TenantId(envelope.tenant_id), envelope.aggregate_type, envelope.aggregate_id)
        assert event["tenant_id"] == template.tenant_of(subject)
        assert event == exact.decode(line)
        if event["event_type"] == "OrderPaid":
            assert f'"amount":{event["payload"]["amount"]}'.encode() in line


@pytest.mark.parametrize("faults", [0, 1, 3, 30])
def test_exactly_as_many_faulty_events_as_were_asked_for(faults):
    events = list(shop_events(2_000, faults=faults))
    assert len(events) == 2_000
    assert faults == sum(event["event_id"].startswith("fault-") for event in events)


def test_faults_are_a_text_for_an_amount_then_a_missing_order_id_then_an_unknown_order_in_turn():
    placed, faulty = set(), []
    for event in shop_events(3_000, faults=30):
        if event["event_type"] == "OrderPlaced":
            placed.add((event["tenant_id"], event["aggregate_id"]))
        if event["event_id"].startswith("fault-"):
            faulty.append((event, (event["tenant_id"], event["aggregate_id"]) in placed))
    for number, (event, known) in enumerate(faulty):
        match number % 3:
            case 0:
                assert (event["event_type"], known) == ("OrderPaid", True)
                assert isinstance(event["payload"]["amount"], str)
            case 1:
                assert (event["event_type"], known) == ("ItemAdded", True)
                assert "order_id" not in event["payload"]
            case 2:
                assert (event["event_type"], known) == ("OrderShipped", False)


def test_another_seed_is_another_shop():
    shops = [[event["payload"] for event in shop_events(50, seed)] for seed in (1, 2)]
    assert shops[0] != shops[1]


def test_a_shop_without_tenants_is_refused_before_the_first_event():
    with pytest.raises(ValueError, match="at least one tenant"):
        shop_events(10, tenants=())


def test_more_faults_than_the_events_can_hold_are_refused_before_the_first_event():
    with pytest.raises(ValueError, match="2 faults need at least 20 events, not 19"):
        shop_events(19, faults=2)
