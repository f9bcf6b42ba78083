"""The boundary, as the calibration measures it: events of several kinds decoded, views read, changed and written."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from projection.lang.check.checker import check
from projection.lang.program import Limits, Program, payload_gas
from projection.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (1, 30, 300)

_EVENTS = """proj 1
projection calibration
event Texts { id: string, texts: list<string>(1000) = [] }
event Ints { id: string, ints: list<int>(1000) = [] }
event Decimals { id: string, decimals: list<decimal(2)>(1000) = [] }
event Dates { id: string, dates: list<date>(1000) = [] }
event Times { id: string, times: list<timestamp>(1000) = [] }
event Records { id: string, lines: list<Line>(1000) = [] }
event Json { id: string, rest: json }
type Line { article: string, count: int, price: decimal(2) }
view V { n: int }
on Texts as e to e.id => { n: length(e.texts) }
on Ints as e to e.id => { n: length(e.ints) }
on Decimals as e to e.id => { n: length(e.decimals) }
on Dates as e to e.id => { n: length(e.dates) }
on Times as e to e.id => { n: length(e.times) }
on Records as e to e.id => { n: length([l.count + l.price for l in e.lines if l.article != ""]) }
on Json as e to e.id => { n: if e.rest.a == none then 0 else 1 }
"""

_VIEWS = """proj 1
projection calibration
event Seen {{ id: string }}
type Line {{ article: string, count: int, price: decimal(2) }}
view V {{ n: int, {field} }}
on Seen as e updates e.id => keep
"""


def boundaries() -> Iterator[tuple[str, Callable[[], Any], int]]:
    """The name of each measure, what is run, and what it is charged."""
    program = Program(check(Source("calibration.proj", _EVENTS)))
    line = {"article": "A-1234", "count": 3, "price": 12.5}
    for size in SIZES:
        for kind, payload in (
            ("Texts", {"texts": ["a text of an event"] * size}),
            ("Ints", {"ints": [12345] * size}),
            ("Decimals", {"decimals": [1234.5] * size}),
            ("Dates", {"dates": ["2024-02-29"] * size}),
            ("Times", {"times": ["2024-02-29T12:30:00.123456+01:00"] * size}),
            ("Records", {"lines": [line] * size}),
            ("Json", {"rest": [line] * size}),
            ("Ints", {"undeclared": [line] * size}),
            ("Texts", {"texts": ["long" * 200] * size}),
        ):
            reaction = program.reaction("any", kind)
            assert reaction is not None
            data = json.dumps({"id": "a-17", **payload}, separators=(",", ":")).encode()
            name = f"event {kind} {next(iter(payload))} of {len(data)} bytes"
            yield name, partial(reaction.decode, data), payload_gas(data)
    yield from _views(line)


def _views(line: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any], int]]:
    """Reading views, and writing them, which is charged alike."""
    line = {**line, "price": 12.25}
    fields = ", ".join(f"f{number}: int = 0" for number in range(20))
    views: list[tuple[str, str, dict[str, Any]]] = [
        ("of 2 fields", 'name: string(100) = ""', {"name": "a name"}),
        ("of 21 fields", fields, {f"f{number}": number for number in range(20)}),
    ]
    for size in SIZES:
        totals = {f"k{number:03}": 1.25 for number in range(size)}
        views += [
            (f"of {size} lines", "lines: list<Line>(1000)", {"lines": [line] * size}),
            (f"of {size} dates", "days: list<date>(1000)", {"days": ["2024-02-29"] * size}),
            (f"of {size} totals", "totals: map<string, decimal(2)>(1000)", {"totals": totals}),
        ]
    for name, field, value in views:
        program = Program(check(Source("calibration.proj", _VIEWS.format(field=field))), Limits(gas=10**8))
        reaction = program.reaction("any", "Seen")
        assert reaction is not None
        event, targets, _gas = reaction.take(b'{"id":"a"}', None)
        view = program.decode_view(json.dumps({"n": 1, **value}).encode())
        data = program.encode_view(view)
        gas = program.apply("a", targets["a"], event, None, view, len(data)).gas
        yield f"reading a view {name}", partial(program.decode_view, data), gas
        yield f"writing a view {name}", partial(program.encode_view, view), gas
