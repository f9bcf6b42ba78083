"""One small handler in the languages that others would embed: CEL for Python, and JavaScript in QuickJS.

All of them compute the new account from the payment and the account. Ours is compiled, counts gas and memory and is
exact; CEL is given values of its own kind, made beforehand; QuickJS is given JSON and answers with JSON, for it has no
other way. Both of them compute with floats.
"""

from __future__ import annotations

import json
import time
from decimal import localcontext
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any

import celpy
from celpy.adapter import json_to_cel

from benchmarks.handler_programs import subjects
from benchmarks.handlers import handler_alone
from projection.lang.values.numbers import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 9
_CEL = (
    '{"holder": view.holder, "balance": view.balance + event.amount, "payments": view.payments + 1, "changed_on": day}'
)
_JAVASCRIPT = """(function (event, view, day) {
  event = JSON.parse(event); view = JSON.parse(view);
  return JSON.stringify({
    balance: view.balance + event.amount, changed_on: day, holder: view.holder, payments: view.payments + 1,
  });
})"""
_DAY = "2026-01-02"


def measure() -> Iterator[dict[str, Any]]:
    """Microseconds a call, ours against each; a ratio of 0.01 is a hundred times as fast."""
    subject = next(one for one in subjects() if one.name == "small_update")
    view = json.loads(subject.views["a1"])
    ours, _by_hand = handler_alone(subject)
    expected = float(view["balance"]) + json.loads(subject.payload)["amount"]
    peers = [("cel_python", 100, _cel(json.loads(subject.payload), view))]
    if find_spec("quickjs") is not None:  # it has no wheel for every Python
        peers.append(("quickjs_json", 2_000, _quickjs(subject.payload, subject.views["a1"])))
    for name, calls, theirs in peers:
        found = theirs()
        balance = (json.loads(found) if isinstance(found, str) else found)["balance"]
        if abs(float(balance) - expected) > 1e-9:
            raise AssertionError(f"{name} comes to {balance}")
        mine, yours = [], []
        with localcontext(EXACT):
            for _ in range(ROUNDS):
                mine.append(_microseconds(ours, 2_000))
                yours.append(_microseconds(theirs, calls))
        ratio = median(a / b for a, b in zip(mine, yours, strict=True))
        yield {
            "name": f"small_update_against_{name}_us",
            "ours": round(median(mine), 2),
            "yardstick": round(median(yours), 2),
            "ratio": round(ratio, 5),
        }


def _microseconds(work: Callable[[], object], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - begin) / calls * 1e6


def _cel(event: dict[str, Any], view: dict[str, Any]) -> Callable[[], Any]:
    environment = celpy.Environment()
    program = environment.program(environment.compile(_CEL))
    known = {"event": json_to_cel(event), "view": json_to_cel(view), "day": celpy.celtypes.StringType(_DAY)}
    return lambda: program.evaluate(known)


def _quickjs(event: str, view: str) -> Callable[[], Any]:
    import quickjs  # noqa: PLC0415 - see above

    function = quickjs.Context().eval(_JAVASCRIPT)
    return lambda: function(event, view, _DAY)
