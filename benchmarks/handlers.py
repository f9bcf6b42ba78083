"""Handlers, compiled, with gas and memory counted, against the same written by hand in Python (`handler_programs`).

Two measures for each program: the handler alone, from a decoded event and view to the new view; and the whole way, from
the JSON of the event and of the view to the JSON of the new view. Both sides must come to the same.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal, localcontext
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.handler_programs import Plain, Subject, subjects
from projection.engine.event import meta_of
from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.source import Source
from projection.lang.values.numbers import EXACT
from projection.model.envelope import decode_envelope
from projection.model.ids import TenantId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 15  # both sides in turn; the median of the ratios counts


def measure() -> Iterator[dict[str, Any]]:
    """A line for each program and measure, and the median ratio of each measure."""
    for measure_, timed in (("handler", handler_alone), ("whole_way", _whole_way)):
        ratios = []
        for subject in subjects():
            ours, by_hand = timed(subject)
            line = _compared(f"{measure_}_{subject.name}_us", subject.calls, ours, by_hand)
            ratios.append(line["ratio"])
            yield line
        yield {
            "name": f"{measure_}_median",
            "ours": round(median(ratios), 2),
            "yardstick": 1,
            "ratio": round(median(ratios), 2),
        }


def _compared(name: str, calls: int, ours: Callable[[], object], yardstick: Callable[[], object]) -> dict[str, Any]:
    """Microseconds a call of both, in turn."""
    found: tuple[list[float], list[float]] = ([], [])
    with localcontext(EXACT):  # which `apply` and `route` set where it is not
        for _ in range(ROUNDS):
            for side, work in zip(found, (ours, yardstick), strict=True):
                begin = time.perf_counter()
                for _ in range(calls):
                    work()
                side.append((time.perf_counter() - begin) / calls * 1e6)
    ratio = median(a / b for a, b in zip(*found, strict=True))
    return {
        "name": name,
        "ours": round(median(found[0]), 2),
        "yardstick": round(median(found[1]), 2),
        "ratio": round(ratio, 2),
    }


# --- the two sides ----------------------------------------------------------------------------------------------------


class Ours:
    """A program, and what it does with the subject's type of event."""

    def __init__(self, subject: Subject) -> None:
        self.program = Program(check(Source(f"{subject.name}.proj", subject.source)))
        reaction = self.program.reaction("thing", subject.event_type)
        if reaction is None:
            raise AssertionError(subject)
        self.reaction = reaction

    def whole(self, data: bytes, views: dict[str, bytes]) -> dict[str, bytes]:
        """From JSON to JSON."""
        envelope = decode_envelope(data)
        meta = meta_of(envelope, _TENANT, 1)
        payload, targets, _gas = self.reaction.take(envelope.payload, meta)
        found = {}
        for view_id, steps in targets.items():
            data = views.get(view_id, b"")
            view = self.program.decode_view(data) if data else None
            applied = self.program.apply(view_id, steps, payload, meta, view, len(data))
            found[view_id] = applied.data or self.program.encode_view(applied.view)
        return found


_TENANT = TenantId("t")
_TIMES = [
    f"2026-{1 + n % 12:02}-{1 + n % 28:02}T{n % 24:02}:{n % 60:02}:{n // 60 % 60:02}+01:00" for n in range(10_000)
]


def _envelope(subject: Subject, number: int) -> bytes:
    return (
        f'{{"tenant_id": "t", "aggregate_type": "thing", "aggregate_id": "x", "event_type": "{subject.event_type}", '
        f'"timestamp": "{_TIMES[number % len(_TIMES)]}", "payload": {subject.payload}}}'
    ).encode()


def _each_decimal(value: Plain, paths: tuple[str, ...], make: Callable[[Any], Any]) -> Plain:
    for path in paths:
        name, is_list, inner = path.partition("[].")
        if is_list:
            for item in value[name]:
                item[inner] = make(item[inner])
        else:
            value[name] = make(value[name])
    return value


def _read_event(subject: Subject, data: bytes) -> Plain:
    event: Plain = orjson.loads(data)
    _each_decimal(event["payload"], subject.event_decimals, lambda number: Decimal(str(number)))
    return event


def _read_view(subject: Subject, data: bytes) -> Plain:
    return _each_decimal(orjson.loads(data), subject.decimals, Decimal)  # texts: by hand, decimals are stored so


def _whole_by_hand(subject: Subject, data: bytes, views: dict[str, bytes]) -> dict[str, bytes]:
    event = _read_event(subject, data)
    decoded = {view_id: _read_view(subject, view) for view_id, view in views.items()}
    changed = subject.by_hand(event, decoded, event["timestamp"][:10])
    return {view_id: orjson.dumps(view, default=str) for view_id, view in changed.items()}


def _require_equal(subject: Subject, ours: dict[str, bytes], by_hand: dict[str, bytes]) -> None:
    def plain(view: bytes, paths: tuple[str, ...]) -> Plain:
        return _each_decimal(json.loads(view, parse_float=Decimal), paths, Decimal)

    left = {view_id: plain(view, subject.decimals) for view_id, view in ours.items()}
    right = {view_id: plain(view, subject.decimals) for view_id, view in by_hand.items()}
    if left != right:
        raise AssertionError(f"{subject.name}: the two sides disagree\n{left}\n{right}")


def _texts(subject: Subject) -> dict[str, bytes]:
    """The views as they are stored by hand."""
    views = {}
    for view_id, view in subject.views.items():
        plain = _each_decimal(json.loads(view, parse_float=Decimal), subject.decimals, str)
        views[view_id] = orjson.dumps(plain)
    return views


# --- measures ---------------------------------------------------------------------------------------------------------


def handler_alone(subject: Subject) -> tuple[Callable[[], object], Callable[[], object]]:
    """What is compiled, called as the node calls it: the way to each view, and what becomes of it."""
    ours, data = Ours(subject), _envelope(subject, 0)
    envelope = decode_envelope(data)
    meta = meta_of(envelope, _TENANT, 1)
    payload, targets, _gas = ours.reaction.take(envelope.payload, meta)
    views = {view_id: ours.program.decode_view(view.encode()) for view_id, view in subject.views.items()}
    limits = ours.program.limits
    (run,) = {id(one): one for steps in targets.values() for one, _ in steps}.values()

    def work() -> object:
        found = None
        items, gas, alloc = (None,), limits.route_gas, limits.alloc
        if run.source is not None:
            items, gas, alloc = run.source(gas, alloc, None, None, payload, meta)
        for item in items:
            view_id, gas, alloc = run.route(gas, alloc, None, None, payload, meta, item)
            found = run.body(limits.gas, limits.alloc, views.get(view_id), view_id, payload, meta, item)
        return found

    plain, by_hand = _read_event(subject, data), subject.by_hand
    decoded = {view_id: _read_view(subject, view) for view_id, view in _texts(subject).items()}
    return work, lambda: by_hand(plain, decoded, plain["timestamp"][:10])


def _whole_way(subject: Subject) -> tuple[Callable[[], object], Callable[[], object]]:
    ours = Ours(subject)
    events = [_envelope(subject, number) for number in range(10_000)]
    views, texts = {view_id: view.encode() for view_id, view in subject.views.items()}, _texts(subject)
    _require_equal(subject, ours.whole(events[0], views), _whole_by_hand(subject, events[0], texts))
    one, other = iter(events * 100), iter(events * 100)
    return (
        lambda: ours.whole(next(one), views),
        lambda: _whole_by_hand(subject, next(other), texts),
    )


if __name__ == "__main__":
    for found in measure():
        print(json.dumps(found), flush=True)
    sys.exit()
