"""Billing, the lookup by e-mail, erasure and the evolution of events, held against what must be true of them."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import msgspec
import pytest
from example_support import PROJECTIONS, event_of, fold

CENT = Decimal("0.01")
encode = msgspec.json.Encoder(decimal_format="number").encode


def lines_of(name):
    return (PROJECTIONS / name / "events.jsonl").read_bytes().splitlines()


def folded(name, lines):
    return fold(PROJECTIONS / name / "manifest.yaml", lines)


# --- billing ---------------------------------------------------------------------------------------------------------


def rounded(exact, mode):
    """A fraction to the cent; it has few enough digits for a decimal to be told on which side of half a cent it is."""
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(CENT, mode)


def test_an_invoice_is_what_its_days_cost_one_by_one():
    lines = lines_of("billing")
    prices = defaultdict(dict)  # by subscription: from which day on
    for event in map(event_of, lines):
        if "price" in event["payload"]:
            prices[event["aggregate_id"]][event["timestamp"][:10]] = event["payload"]["price"]
    views = folded("billing", lines).views["billing"]
    invoices = [(id_, view, invoice) for (_, id_), view in views.items() for invoice in view["invoices"]]
    assert len(invoices) == 17
    for id_, view, invoice in invoices:
        begin, end = date.fromisoformat(invoice["from"]), date.fromisoformat(invoice["until"])
        if view["status"] == "cancelled" and invoice is view["invoices"][-1]:  # a part of a period
            whole = (date.fromisoformat(view["period_until"]) - begin).days
        else:
            whole = (end - begin).days
        days = [(begin + timedelta(n)).isoformat() for n in range((end - begin).days)]
        cost = sum(Fraction(prices[id_][max(since for since in prices[id_] if since <= day)]) for day in days)
        net = rounded(cost / whole, ROUND_HALF_EVEN)
        tax = rounded(Fraction(net) * Fraction(view["tax_percent"]) / 100, ROUND_HALF_UP)
        assert [net, tax, net + tax] == [invoice["net"], invoice["tax"], invoice["gross"]], (id_, invoice)


def test_periods_follow_one_another_and_nothing_is_owed_but_what_was_billed_and_not_paid():
    lines = lines_of("billing")
    paid = defaultdict(Decimal)
    for event in map(event_of, lines):
        paid[event["aggregate_id"]] += event["payload"].get("amount", 0)
    for (_, id_), view in folded("billing", lines).views["billing"].items():
        ends = [view["started_on"], *(invoice["until"] for invoice in view["invoices"])]
        assert ends[:-1] == [invoice["from"] for invoice in view["invoices"]]
        assert view["owed"] == sum(invoice["gross"] for invoice in view["invoices"]) - paid[id_]


# --- email_lookup ----------------------------------------------------------------------------------------------------


def test_a_user_claims_the_address_that_the_user_has_now_and_the_first_to_claim_it_has_it():
    lines = lines_of("email_lookup")
    for count in range(1, len(lines) + 1):
        now, order = {}, defaultdict(list)
        for event in map(event_of, lines[:count]):
            tenant, payload = event["tenant_id"], event["payload"]
            user = (tenant, payload["realm"], payload["user_id"])
            if event["event_type"] == "UserClosed":
                now.pop(user, None)
                continue
            address = payload.get("new_email", payload.get("email")).strip().lower()
            if now.get(user) != address:
                order[tenant, payload["realm"], address].append(user)
            now[user] = address
        expected = {
            (tenant, f"{realm}:{address}"): claims
            for (tenant, realm, address), users in order.items()
            if (claims := [user[2] for user in users if now.get(user) == address])
        }
        views = folded("email_lookup", lines[:count]).views["email_lookup"]
        assert expected == {key: [claim["user_id"] for claim in view["claims"]] for key, view in views.items()}
        assert {key: users[0] for key, users in expected.items()} == {
            key: view["holder"] for key, view in views.items()
        }
        assert all(view["contested"] == (len(view["claims"]) > 1) for view in views.values())


# --- gdpr_erasure ----------------------------------------------------------------------------------------------------


def test_nothing_that_is_personal_of_the_erased_is_kept_in_any_view_or_parked_event():
    lines = lines_of("gdpr_erasure")
    personal, erased = defaultdict(set), set[str]()
    for event in map(event_of, lines):
        payload = event["payload"]
        personal[payload["customer_id"]] |= {payload[name] for name in ("name", "email", "street") if name in payload}
        erased |= {payload["customer_id"]} if event["event_type"] == "CustomerErased" else set()
    assert len(erased) == 2
    all_ = folded("gdpr_erasure", lines)
    kept = repr(all_.views) + "".join(one.envelope.decode() for of in all_.parked.values() for one in of)
    for customer, texts in personal.items():
        found = {text for text in texts if text in kept}
        assert found == (set() if customer in erased else texts), customer


def test_a_number_of_a_country_is_what_it_would_be_had_nobody_been_erased():
    lines = lines_of("gdpr_erasure")
    without = [line for line in lines if b"CustomerErased" not in line]
    before, after = (folded("gdpr_erasure", of).views["country_months"] for of in (without, lines))
    numbers = ("registered", "orders", "revenue")
    assert sum(view["erased"] for view in after.values()) == len(lines) - len(without)
    assert before == {
        key: {**view, "erased": 0} for key, view in after.items() if any(view[number] for number in numbers)
    }


# --- schema_evolution ------------------------------------------------------------------------------------------------


def rewritten(event):
    """An event in the form of today: one, or two."""
    payload = dict(event["payload"])
    if event["event_type"] in ("UserSignedUp", "MemberJoined"):
        email = payload.pop("mail", None) or payload["email"]
        payload = {"language": "de", **payload, "email": email}
        return [{**event, "event_type": "MemberJoined", "payload": payload}]
    if event["event_type"] == "MemberMoved":
        phone = payload.pop("phone", None)
        moved = {**event, "event_type": "AddressChanged", "payload": payload}
        called = {**event, "event_type": "PhoneChanged", "payload": {"member_id": payload["member_id"], "phone": phone}}
        return [moved, called] if phone else [moved]
    return [event]


@pytest.mark.parametrize("count", [5, 12, 22])
def test_a_log_that_is_written_anew_in_the_form_of_today_comes_to_the_same(count):
    lines = lines_of("schema_evolution")[:count]
    today = [encode(one) for line in lines for one in rewritten(event_of(line))]
    assert today != lines
    assert not any(b"UserSignedUp" in line or b'"mail"' in line for line in today)
    assert folded("schema_evolution", lines).views == folded("schema_evolution", today).views
