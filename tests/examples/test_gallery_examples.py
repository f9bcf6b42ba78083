"""Projections of the gallery, held against plain Python that looks at all of their events at once."""

from __future__ import annotations

import random

import gallery_models
import pytest
from example_support import PROJECTIONS, event_of, fold

MODELS = {
    "bank_ledger": gallery_models.accounts,
    "inventory": gallery_models.stock,
    "sessions": gallery_models.visitors,
    "audit_log": gallery_models.trails,
    "leaderboard": gallery_models.boards,
}
STEP = 7  # events


def folded(name, lines):
    return fold(PROJECTIONS / name / "manifest.yaml", lines).views[name]


def lines_of(name):
    return (PROJECTIONS / name / "events.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("name", MODELS)
def test_an_example_comes_to_what_plain_python_says(name):
    lines = lines_of(name)
    for count in range(len(lines), 0, -STEP):  # on the way as well, lest what is wrong there is made good again
        views = folded(name, lines[:count])
        assert MODELS[name](map(event_of, lines[:count])) == views, f"after event {count}"


@pytest.mark.parametrize("seed", range(5))
def test_sessions_are_the_same_in_whatever_order_the_events_come(seed):
    lines = [line for line in lines_of("sessions") if b"2024-05-04" not in line]  # which comes too late, or does not
    expected = folded("sessions", lines)
    random.Random(seed).shuffle(lines)
    assert expected == folded("sessions", lines), f"seed {seed}"


def test_money_is_neither_made_nor_lost_but_for_what_is_parked():
    fold_ = fold(PROJECTIONS / "bank_ledger" / "manifest.yaml", lines_of("bank_ledger"))
    views = fold_.views["bank_ledger"]
    events = list(map(event_of, lines_of("bank_ledger")))
    paid_in = sum(event["payload"]["amount"] for event in events if event["event_type"] == "CashPaidIn")
    parked = sum(events[one.sequence - 1]["payload"]["amount"] for one in fold_.parked["bank_ledger"])
    assert paid_in + parked == sum(view["balance"] for view in views.values())
    assert parked > 0
