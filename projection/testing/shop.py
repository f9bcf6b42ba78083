"""A shop's domain events, generated: the same for the same arguments, on every machine and every version of Python.

Every customer and every order has a life that makes sense, so a right projection takes all of it and parks nothing:

    for event in shop_events(1_000):
        print(event["tenant_id"], event["event_type"], event["payload"])
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEFAULT_TENANTS = ("north", "south", "east", "café/7")
EVENTS_PER_FAULT = 10  # at least; so that every fault finds an order that it can spoil

_START = datetime(2024, 1, 1, 8, tzinfo=UTC)
_OFFSETS = tuple(timezone(timedelta(minutes=minutes)) for minutes in (60, 0, -300, 330))  # one a tenant, in turn
_FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Esi", "Fatima", "Grace", "Håkon", "Inês", "Juan", "Kōji", "Łucja")
_LAST_NAMES = ("Abara", "Brandt", "Costa", "Dubois", "Endo", "Fischer", "García", "Hansen", "Ivanov", "O'Neill")
_CURRENCIES = ("EUR", "CHF", "USD", "EUR")  # one a tenant, so that its sums are sums of one money
_CARRIERS = ("DHL", "La Poste", "Correos", "bike 🚲")
_REASONS = ("changed my mind", "found it cheaper", "too slow", 'said "never mind"')
_PRODUCTS = (
    ("TEA-001", "Green tea, 100 g", "4.95"),
    ("TEA-002", "Earl Grey, 250 g", "11.20"),
    ("TEA-003", "Rooibos, 1 kg", "24.00"),
    ("COF-001", "Espresso beans, 500 g", "9.99"),
    ("COF-002", "Café crème, 1 kg", "17.49"),
    ("COF-003", "Decaf, 250 g", "6.10"),
    ("CUP-001", 'Cup "Lighthouse"', "7.50"),
    ("CUP-002", "Glass cup, set of 6", "29.90"),
    ("POT-001", "Teapot, cast iron", "64.00"),
    ("POT-002", "Moka pot ☕", "32.25"),
    ("SWT-001", "Honey, 350 g", "5.35"),
    ("SWT-002", "Sugar cubes", "0.89"),
    ("SWT-003", "Crème brûlée mix", "3.15"),
    ("KIT-001", "Kettle, 1.7 l", "39.95"),
    ("KIT-002", "Kitchen scale", "18.05"),
    ("KIT-003", "Paper filters, 100", "2.01"),
)

_CENT = Decimal("0.01")

T = TypeVar("T")
_encode = msgspec.json.Encoder(decimal_format="number").encode


def shop_events(
    count: int = 24_000, seed: int = 1, tenants: Sequence[str] = DEFAULT_TENANTS, *, faults: int = 0
) -> Iterator[dict[str, Any]]:
    """The first `count` events of a shop with these tenants, as envelopes, in time order.

    Amounts are decimals with two places. Tenants share no customers and no orders, but the ids of these look alike.

    Args:
        count: how many events, the faulty ones among them.
        seed: another seed is another shop.
        tenants: whose events they are; the first one has the first two events.
        faults: how many events no right projection can take, spread evenly: an amount that is a text, no order id, an
            order that nobody placed, in turn. Their `event_id` begins with `fault-`; the events around them are those
            of a stream without faults.

    Raises:
        ValueError: there is no tenant, or there are fewer than `EVENTS_PER_FAULT` events for each fault.
    """
    if not tenants:
        raise ValueError("a shop needs at least one tenant")
    if faults * EVENTS_PER_FAULT > count:
        raise ValueError(f"{faults} faults need at least {faults * EVENTS_PER_FAULT} events, not {count}")
    return _events(count, seed, tenants, faults)


def shop_lines(
    count: int = 24_000, seed: int = 1, tenants: Sequence[str] = DEFAULT_TENANTS, *, faults: int = 0
) -> Iterator[bytes]:
    """The events of `shop_events`, each as one line of JSON without its line end; an amount is a number, like 19.90.

    Raises:
        ValueError: as in `shop_events`.
    """
    return map(_encode, shop_events(count, seed, tenants, faults=faults))


def _events(count: int, seed: int, tenants: Sequence[str], faults: int) -> Iterator[dict[str, Any]]:
    dice = _Dice(seed)
    shops = [_Shop(dice, number, tenant) for number, tenant in enumerate(tenants)]
    fault_at = {number * count // (faults + 1): number for number in range(1, faults + 1)}
    time = _START
    number = 0
    for index in range(count):
        if (fault := fault_at.get(index)) is not None:
            shop = shops[fault % len(shops)]
            if shop.latest is None:
                shop = shops[0]
            yield shop.envelope(shop.faulty_event(fault), time, f"fault-{seed}-{fault:04d}")
            continue
        # The first tenant registers a customer and places an order: a fault finds an order there in any case.
        shop = shops[0] if number < 2 else dice.one_of(shops)
        number += 1
        time += timedelta(milliseconds=500 + dice.below(1_200_000))
        yield shop.envelope(shop.next_event(), time, f"shop-{seed}-{number:07d}")


class _Dice:
    """Chance that comes out the same everywhere: of `random`, only `random()` is promised to stay as it is."""

    def __init__(self, seed: int) -> None:
        self.roll = random.Random(seed).random  # noqa: S311 - it makes examples, not secrets

    def below(self, bound: int) -> int:
        return int(self.roll() * bound)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def take(self, pool: list[T]) -> T:
        index = self.below(len(pool))
        pool[index], pool[-1] = pool[-1], pool[index]
        return pool.pop()


class _Event(NamedTuple):
    """What happened, before it is known when."""

    aggregate_type: str
    aggregate_id: str
    event_type: str
    payload: dict[str, Any]
    correlation_id: str | None = None


@dataclass(slots=True)
class _Order:
    order_id: str
    customer_id: str
    correlation_id: str
    lines: dict[str, Decimal] = field(default_factory=dict)  # sku → quantity times unit price

    def event(self, event_type: str, **payload: object) -> _Event:
        whole = {"order_id": self.order_id, **payload}
        return _Event("order", self.order_id, event_type, whole, self.correlation_id)


class _Shop:
    """One tenant's customers and orders, and what can happen to them next."""

    def __init__(self, dice: _Dice, number: int, tenant: str) -> None:
        self.latest: _Order | None = None
        self._dice = dice
        self._number = number
        self._tenant = tenant
        self._offset = _OFFSETS[number % len(_OFFSETS)]
        self._currency = _CURRENCIES[number % len(_CURRENCIES)]
        self._registered = self._placed = self._vouchers = 0
        self._customers: list[str] = []
        self._orders_of: dict[str, int] = {}  # customer → how many open orders
        self._open: list[_Order] = []
        self._paid: list[_Order] = []
        self._cancelled: list[_Order] = []
        # How often each thing happens where it can; about as many orders are closed as are placed.
        chances: dict[Callable[[], _Event | None], int] = {
            self._add_item: 420,
            self._pay: 125,
            self._ship: 120,
            self._place: 110,
            self._register: 60,
            self._remove_item: 50,
            self._cancel: 20,
            self._rename: 20,
            self._share_voucher: 15,
            self._purge: 5,
            self._erase: 3,
        }
        self._actions = tuple(chances)
        self._odds = tuple(accumulate(chances.values()))

    def envelope(self, event: _Event, time: datetime, event_id: str) -> dict[str, Any]:
        envelope = {
            "tenant_id": self._tenant,
            "aggregate_type": event.aggregate_type,
            "aggregate_id": event.aggregate_id,
            "event_type": event.event_type,
            "timestamp": time.astimezone(self._offset).isoformat(timespec="milliseconds"),
            "event_id": event_id,
        }
        if event.correlation_id is not None:
            envelope["correlation_id"] = event.correlation_id
        return {**envelope, "payload": event.payload}

    def next_event(self) -> _Event:
        if not self._customers:
            return self._register()
        if self.latest is None:
            return self._place()
        while True:
            happen = self._actions[bisect_right(self._odds, self._dice.below(self._odds[-1]))]
            if (event := happen()) is not None:
                return event

    def faulty_event(self, number: int) -> _Event:
        order = self.latest
        if order is None:
            raise AssertionError("a fault came before the first order")
        if number % 3 == 1:
            return order.event("OrderPaid", customer_id=order.customer_id, amount="19.90")
        if number % 3 == 2:
            item = {"sku": "TEA-001", "name": "Green tea, 100 g", "quantity": 1, "unit_price": Decimal("4.95")}
            return _Event("order", order.order_id, "ItemAdded", item, order.correlation_id)
        unknown = _Order(f"O-nobody-{number}", order.customer_id, f"corr-nobody-{number}")
        return unknown.event("OrderShipped", carrier="DHL")

    def _register(self) -> _Event:
        self._registered += 1
        customer = f"C{self._registered:05d}"
        self._customers.append(customer)
        name = self._name()
        email = f"{customer.lower()}@example.com"
        return self._of_customer("CustomerRegistered", customer, name=name, email=email)

    def _rename(self) -> _Event:
        return self._of_customer("CustomerRenamed", self._dice.one_of(self._customers), name=self._name())

    def _erase(self) -> _Event | None:
        customer = self._dice.one_of(self._customers)
        if self._orders_of.get(customer):
            return None
        self._customers.remove(customer)
        return self._of_customer("CustomerErased", customer)

    def _share_voucher(self) -> _Event | None:
        others = list(self._customers)
        if len(others) < 2:
            return None
        giver = self._dice.take(others)
        receivers = [self._dice.take(others) for _ in range(min(1 + self._dice.below(5), len(others)))]
        self._vouchers += 1
        voucher = f"gift.{self._vouchers:04d}"  # the dot tells whether subjects escape their tokens
        payload = {
            "from_customer": giver,
            "to_customers": receivers,
            "amount": Decimal(5 * len(receivers)).quantize(_CENT),
        }
        return _Event("voucher", voucher, "VoucherShared", payload)

    def _place(self) -> _Event:
        self._placed += 1
        customer = self._dice.one_of(self._customers)
        order = _Order(f"O{self._placed:06d}", customer, f"corr-{self._number}-{self._placed:06d}")
        self._open.append(order)
        self._orders_of[customer] = self._orders_of.get(customer, 0) + 1
        self.latest = order
        return order.event("OrderPlaced", customer_id=customer, currency=self._currency)

    def _add_item(self) -> _Event | None:
        if not self._open:
            return None
        order = self._dice.one_of(self._open)
        sku, name, price = self._dice.one_of(_PRODUCTS)
        if sku in order.lines:
            return None
        quantity, unit_price = 1 + self._dice.below(4), Decimal(price)
        order.lines[sku] = quantity * unit_price
        return order.event("ItemAdded", sku=sku, name=name, quantity=quantity, unit_price=unit_price)

    def _remove_item(self) -> _Event | None:
        if not self._open or not (order := self._dice.one_of(self._open)).lines:
            return None
        sku = self._dice.one_of(list(order.lines))
        del order.lines[sku]
        return order.event("ItemRemoved", sku=sku)

    def _pay(self) -> _Event | None:
        if not self._open or not self._open[index := self._dice.below(len(self._open))].lines:
            return None
        order = self._close(index)
        self._paid.append(order)
        return order.event("OrderPaid", customer_id=order.customer_id, amount=sum(order.lines.values()))

    def _cancel(self) -> _Event | None:
        if not self._open:
            return None
        order = self._close(self._dice.below(len(self._open)))
        self._cancelled.append(order)
        return order.event("OrderCancelled", customer_id=order.customer_id, reason=self._dice.one_of(_REASONS))

    def _ship(self) -> _Event | None:
        if not self._paid:
            return None
        order = self._dice.take(self._paid)
        carrier = {"carrier": self._dice.one_of(_CARRIERS)} if self._dice.below(10) < 7 else {}
        return order.event("OrderShipped", **carrier)

    def _purge(self) -> _Event | None:
        return self._dice.take(self._cancelled).event("OrderPurged") if self._cancelled else None

    def _close(self, index: int) -> _Order:
        order = self._open.pop(index)
        self._orders_of[order.customer_id] -= 1
        return order

    def _name(self) -> str:
        return f"{self._dice.one_of(_FIRST_NAMES)} {self._dice.one_of(_LAST_NAMES)}"

    @staticmethod
    def _of_customer(event_type: str, customer: str, **payload: object) -> _Event:
        return _Event("customer", customer, event_type, {"customer_id": customer, **payload})
