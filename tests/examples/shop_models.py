"""What the projections of the shop must come to, in plain Python: no schema, no gas, nothing of the language."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from example_support import Views

Event = dict[str, Any]
ZERO = Decimal("0.00")


def orders(events: Iterable[Event]) -> Views:
    histories: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event["aggregate_type"] == "order":
            histories[event["tenant_id"], event["payload"]["order_id"]].append(event)
    return {
        key: order(history)
        for key, history in histories.items()
        if all(event["event_type"] != "OrderPurged" for event in history)
    }


def order(history: list[Event]) -> dict[str, Any]:
    """One order, read off its whole history."""
    lines: dict[str, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}  # payloads, by the type of event
    for event in history:
        payload = last[event["event_type"]] = event["payload"]
        if event["event_type"] == "ItemAdded":
            lines[payload["sku"]] = payload
        elif event["event_type"] == "ItemRemoved":
            del lines[payload["sku"]]
    steps = {"OrderShipped": "shipped", "OrderPaid": "paid", "OrderCancelled": "cancelled", "OrderPlaced": "open"}
    return {
        "customer_id": last["OrderPlaced"]["customer_id"],
        "currency": last["OrderPlaced"]["currency"],
        "status": next(status for step, status in steps.items() if step in last),
        "items": [
            {name: line[name] for name in ("sku", "name", "quantity", "unit_price")}
            | {"price": line["quantity"] * line["unit_price"]}
            for line in lines.values()
        ],
        "pieces": sum(line["quantity"] for line in lines.values()),
        "total": sum((line["quantity"] * line["unit_price"] for line in lines.values()), ZERO),
        "paid": last.get("OrderPaid", {}).get("amount", ZERO),
        "carrier": last.get("OrderShipped", {}).get("carrier"),
        "cancel_reason": last.get("OrderCancelled", {}).get("reason"),
        "placed_on": history[0]["timestamp"][:10],
        "updated_on": history[-1]["timestamp"][:10],
    }


def customers(events: Iterable[Event]) -> Views:
    views: Views = {}
    for event in events:
        tenant, kind, payload = event["tenant_id"], event["event_type"], event["payload"]
        key = (tenant, payload.get("customer_id", ""))
        if kind == "CustomerRegistered":
            views[key] = {
                "name": payload["name"],
                "email": payload["email"],
                "orders_placed": 0,
                "orders_paid": 0,
                "orders_cancelled": 0,
                "spent": ZERO,
                "vouchers_given": ZERO,
                "vouchers_received": ZERO,
                "registered_on": event["timestamp"][:10],
            }
        elif kind == "CustomerRenamed":
            views[key]["name"] = payload["name"]
        elif kind == "CustomerErased":
            del views[key]
        elif kind in ("OrderPlaced", "OrderPaid", "OrderCancelled"):
            views[key][f"orders_{kind.removeprefix('Order').lower()}"] += 1
            views[key]["spent"] += payload["amount"] if kind == "OrderPaid" else 0
        elif kind == "VoucherShared":
            views[tenant, payload["from_customer"]]["vouchers_given"] += payload["amount"]
            cents = int(payload["amount"] * 100) // len(payload["to_customers"])
            for receiver in payload["to_customers"]:
                views[tenant, receiver]["vouchers_received"] += Decimal(cents) / 100
    return views


def sales(events: Iterable[Event]) -> Views:
    days: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event["event_type"] in ("OrderPlaced", "OrderPaid", "OrderCancelled"):
            days[event["tenant_id"], event["timestamp"][:10]].append(event)
    views: Views = {}
    for (tenant, day), of_day in days.items():
        kinds = [event["event_type"] for event in of_day]
        paid = [event["payload"]["amount"] for event in of_day if event["event_type"] == "OrderPaid"]
        views[tenant, day] = {
            "day": day,
            "orders_placed": kinds.count("OrderPlaced"),
            "orders_paid": len(paid),
            "orders_cancelled": kinds.count("OrderCancelled"),
            "revenue": sum(paid, ZERO),
            "largest_payment": max(paid, default=ZERO),
        }
    return views
