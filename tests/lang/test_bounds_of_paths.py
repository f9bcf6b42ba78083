"""A declared bound holds also where a path of `with` puts an entry into a map: what is kept can be read again."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from projection.lang.checker import check
from projection.lang.program import Program, make_meta
from projection.lang.source import Source

PROGRAM = """proj 1
projection p
event E {{ id: string(8), k: string(8) }}
type Inner {{ m: map<string(8), int>(2) = {{}} }}
view V {{ m: map<string(8), int>(2) = {{}}, inner: Inner = {{}}, by: map<string(8), Inner>(2) = {{}} }}
on E as e to e.id => (view ?? {{ by: {{["x"]: {{}}}} }}) with {{ {update} }}
"""
META = {
    **dict.fromkeys(("aggregate_id", "aggregate_type", "tenant_id", "type"), ""),
    **dict.fromkeys(("correlation_id", "event_id")),
    **{"date": date(2020, 1, 1), "time": datetime(2020, 1, 1, tzinfo=UTC), "sequence": 1},
}


@pytest.mark.parametrize("update", ["m[e.k]: 1", "inner.m[e.k]: 1", 'by["x"].m[e.k]: 1'])
def test_an_entry_beyond_the_bound_of_its_map_is_an_error_wherever_the_path_leads(update):
    program = Program(check(Source("p.proj", PROGRAM.format(update=update))))
    view, meta = None, make_meta(**META)
    with pytest.raises(Exception, match="a map of 3 does not fit its declared bound of 2"):  # noqa: PT012
        for count, key in enumerate(("a", "b", "a", "c")):
            reaction = program.reaction("", "E")
            event = reaction.decode(b'{"id": "x", "k": "%s"}' % key.encode())
            targets, _gas = reaction.route(event, meta)
            view = program.apply("x", targets["x"], event, meta, view).view
            assert program.encode_view(view) == program.encode_view(program.decode_view(program.encode_view(view)))
            assert count < 3
