"""What the projections of the fines must come to, in plain Python: no schema, no gas, nothing of the language."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from example_support import Views

Event = dict[str, Any]
ZERO = Decimal("0.00")
STATUS_AFTER = {
    "CreateFine": "created",
    "SendFine": "sent",
    "AddPenalty": "penalised",
    "InsertDateAppealToPrefecture": "appealed",
    "AppealToJudge": "appealed",
    "SendForCreditCollection": "in_collection",
    "Payment": "part_paid",
}


def fine_summaries(events: Iterable[Event]) -> Views:
    histories: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event["event_type"] in STATUS_AFTER:
            histories[event["tenant_id"], event["payload"]["fine_id"]].append(event)
    return {key: fine(history) for key, history in histories.items()}


def fine(history: list[Event]) -> dict[str, Any]:
    """One fine, read off its whole history."""
    first = history[0]["payload"]
    sums = {"amount": first["amount"], "expense": ZERO, "penalty": ZERO, "paid": ZERO}
    balance, status, payments = sums["amount"], "created", []
    for event in history[1:]:
        kind, payload = event["event_type"], event["payload"]
        if kind == "SendFine":
            sums["expense"] += payload["expense"]
        elif kind == "AddPenalty":
            sums["penalty"] = payload["amount"] - first["amount"]
        elif kind == "Payment":
            payments.append({"amount": payload["amount_paid"], "on": event["timestamp"][:10]})
            sums["paid"] = sum((one["amount"] for one in payments), ZERO)
        balance = sums["amount"] + sums["expense"] + sums["penalty"] - sums["paid"]
        status = "paid" if balance <= 0 else STATUS_AFTER[kind]
    return sums | {
        "status": status,
        "article": first["article"],
        "vehicle": first["vehicle_class"],
        "balance": balance,
        "payments": payments,
        "updated_on": history[-1]["timestamp"][:10],
    }


def office_totals(events: Iterable[Event]) -> Views:
    years: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        years[event["tenant_id"], event["timestamp"][:4]].append(event)
    return {
        (tenant, year): {
            "year": int(year),
            "events": dict(Counter(event["event_type"] for event in of_year)),
            "fined": sum((e["payload"]["amount"] for e in of_year if e["event_type"] == "CreateFine"), ZERO),
            "collected": sum((e["payload"]["amount_paid"] for e in of_year if e["event_type"] == "Payment"), ZERO),
        }
        for (tenant, year), of_year in years.items()
    }
