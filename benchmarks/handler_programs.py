"""Five programs, each beside the same handler as a good programmer writes it by hand over plain dicts and Decimals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.bundled import bundled

if TYPE_CHECKING:
    from collections.abc import Callable

ZERO = Decimal("0.00")

Plain = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """One handler, twice: `source` is ours, `by_hand` maps an event and the views it finds to the views it leaves."""

    name: str
    source: str
    event_type: str
    payload: str  # JSON
    views: dict[str, str]  # JSON by id
    by_hand: Callable[[Plain, dict[str, Plain], str], dict[str, Plain]]
    decimals: tuple[str, ...]  # paths of the decimals of a view, for reading it by hand; `lines[].price`
    event_decimals: tuple[str, ...] = ()
    calls: int = 2_000


# --- a small update ---------------------------------------------------------------------------------------------------

_SMALL = """proj 1
projection small_update
event Paid { id: string(40), amount: decimal(2) }
view Account { holder: string(80), balance: decimal(2) = 0.00, payments: int = 0, changed_on: date }
on Paid as e updates e.id => view with { balance += e.amount, payments += 1, changed_on: meta.date }
"""


def _small(event: Plain, views: dict[str, Plain], day: str) -> dict[str, Plain]:
    payload = event["payload"]
    view = views[payload["id"]]
    changed = {
        **view,
        "balance": view["balance"] + payload["amount"],
        "payments": view["payments"] + 1,
        "changed_on": day,
    }
    return {payload["id"]: changed}


# --- a list and its total ---------------------------------------------------------------------------------------------

_LINES = """proj 1
projection order_lines
event LineAdded { order: string(40), sku: string(40), quantity: int, price: decimal(2) }
type Line { sku: string(40), quantity: int, price: decimal(2) }
view Order { lines: list<Line>(1000) = [], total: decimal(2) = 0.00 }
on LineAdded as e updates e.order =>
  let lines = [...view.lines, { sku: e.sku, quantity: e.quantity, price: e.price }];
  { lines, total: sum(l.quantity * l.price for l in lines) }
"""


def _lines(event: Plain, views: dict[str, Plain], _day: str) -> dict[str, Plain]:
    payload = event["payload"]
    view = views[payload["order"]]
    line = {"sku": payload["sku"], "quantity": payload["quantity"], "price": payload["price"]}
    lines = [*view["lines"], line]
    return {payload["order"]: {"lines": lines, "total": sum((one["quantity"] * one["price"] for one in lines), ZERO)}}


def _order(lines: int) -> str:
    shown = ", ".join(f'{{"price": {n}.25, "quantity": {n % 7 + 1}, "sku": "sku-{n}"}}' for n in range(lines))
    total = sum(Decimal(f"{n}.25") * (n % 7 + 1) for n in range(lines))
    return f'{{"lines": [{shown}], "total": {total}}}'


# --- fan-out ----------------------------------------------------------------------------------------------------------

_PAYROLL = """proj 1
projection payroll
event PayrollPaid { lines: list<Pay>(100) }
type Pay { account: string(40), amount: decimal(2) }
view Account { holder: string(80), balance: decimal(2) = 0.00, changed_on: date }
on PayrollPaid as e for l in e.lines updates l.account => view with { balance += l.amount, changed_on: meta.date }
"""


def _payroll(event: Plain, views: dict[str, Plain], day: str) -> dict[str, Plain]:
    changed: dict[str, Plain] = {}
    for line in event["payload"]["lines"]:
        view = changed.get(line["account"]) or views[line["account"]]
        changed[line["account"]] = {**view, "balance": view["balance"] + line["amount"], "changed_on": day}
    return changed


# --- texts ------------------------------------------------------------------------------------------------------------

_TEXTS = """proj 1
projection customers
event Registered {
  id: string(40), first: string(80), last: string(80), city: string(80), email: string(200), tags: string(200)
}
view Customer { label: string(300), email: string(200), domain: string(200), tags: list<string(200)>(50), is_vip: bool }
on Registered as e to e.id =>
  let tags = [trim(t) for t in split(lower(e.tags), ",")];
  let email = lower(trim(e.email));
  let city = replace(e.city, "St.", "Saint");
  {
    label: "{upper(trim(e.last))}, {trim(e.first)} ({city})", email,
    domain: split(email, "@")[1] ?? "", tags, is_vip: "vip" in tags,
  }
"""


def _texts(event: Plain, _views: dict[str, Plain], _day: str) -> dict[str, Plain]:
    payload = event["payload"]
    tags = [tag.strip() for tag in payload["tags"].lower().split(",")]
    email = payload["email"].strip().lower()
    parts = email.split("@")
    last, first = payload["last"].strip().upper(), payload["first"].strip()
    customer = {
        "label": f"{last}, {first} ({payload['city'].replace('St.', 'Saint')})",
        "email": email,
        "domain": parts[1] if len(parts) > 1 else "",
        "tags": tags,
        "is_vip": "vip" in tags,
    }
    return {payload["id"]: customer}


# --- fine_summary -----------------------------------------------------------------------------------------------------


def _settle(view: Plain, day: str) -> Plain:
    balance = view["amount"] + view["expense"] + view["penalty"] - view["paid"]
    status = "paid" if balance <= 0 else view["status"]
    return {**view, "balance": balance, "status": status, "updated_on": day}


def _fines(event: Plain, views: dict[str, Plain], day: str) -> dict[str, Plain]:
    payload = event["payload"]
    view = views[payload["fine_id"]]
    changed = {
        **view,
        "paid": view["paid"] + payload["amount_paid"],
        "status": "part_paid",
        "payments": [*view["payments"], {"amount": payload["amount_paid"], "on": day}],
    }
    return {payload["fine_id"]: _settle(changed, day)}


_FINE = (
    '{"amount": 35.00, "article": 157, "balance": 48.00, "expense": 13.00, "paid": 10.00, "payments": '
    '[{"amount": 10.00, "on": "2000-02-01"}], "penalty": 10.00, "status": "part_paid", "updated_on": "2000-02-01", '
    '"vehicle": "A"}'
)
_ACCOUNT = '{"balance": 100.10, "changed_on": "2026-01-01", "holder": "Ada"}'


def subjects() -> tuple[Subject, ...]:
    """All of them."""
    line = '{"order": "o1", "sku": "sku-new", "quantity": 3, "price": 19.99}'
    accounts = {f"a{n}": _ACCOUNT for n in range(20)}
    pay = ", ".join(f'{{"account": "a{n}", "amount": {1000 + n}.50}}' for n in range(20))
    registered = (
        '{"id": "c1", "first": " Ada ", "last": "Lovelace", "city": "St. Albans", "email": " Ada@Example.ORG ", '
        '"tags": "Math, VIP ,early"}'
    )
    small = '{"balance": 100.10, "changed_on": "2026-01-01", "holder": "Ada", "payments": 3}'
    return (
        Subject("small_update", _SMALL, "Paid", '{"id": "a1", "amount": 10.10}', {"a1": small}, _small,
                ("balance",), ("amount",)),
        Subject("list_of_10", _LINES, "LineAdded", line, {"o1": _order(10)}, _lines,
                ("total", "lines[].price"), ("price",)),
        Subject("list_of_200", _LINES, "LineAdded", line, {"o1": _order(200)}, _lines,
                ("total", "lines[].price"), ("price",), calls=200),
        Subject("fan_out", _PAYROLL, "PayrollPaid", f'{{"lines": [{pay}]}}', accounts, _payroll,
                ("balance",), ("lines[].amount",), calls=300),
        Subject("texts", _TEXTS, "Registered", registered, {}, _texts, ()),
        Subject("fine_summary", bundled("projections/fines/fine_summary.proj").read_text(encoding="utf-8"), "Payment",
                '{"fine_id": "A1", "amount_paid": 10.10, "total_paid_so_far": 20.10}', {"A1": _FINE}, _fines,
                ("amount", "balance", "expense", "paid", "penalty", "payments[].amount"), ("amount_paid",)),
    )  # fmt: skip
