"""Declared bounds of maps hold however a map is made, by paths of `with` and by comprehensions: what is kept can be read."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from projection.lang.check.checker import check
from projection.lang.failures import Failure
from projection.lang.program import Meta, Program
from projection.lang.source import Source

PROGRAM = """proj 1
projection p
event E {{ id: string(8), k: string(8) }}
type Inner {{ m: map<string(8), int>(2) = {{}} }}
view V {{ m: map<string(8), int>(2) = {{}}, inner: Inner, by: map<string(8), Inner>(2) }}
on E as e to e.id => (view ?? {{ inner: {{}}, by: {{["x"]: {{}}}} }}) with {{ {update} }}
"""
META = Meta(
    aggregate_id="a",
    aggregate_type="a",
    correlation_id=None,
    date=date(2020, 1, 1),
    event_id=None,
    sequence=1,
    tenant_id="",
    time=datetime(2020, 1, 1, tzinfo=UTC),
    type="E",
)


@pytest.mark.parametrize("update", ["m[e.k]: 1", "inner.m[e.k]: 1", 'by["x"].m[e.k]: 1'])
def test_an_entry_beyond_the_bound_of_its_map_is_an_error_wherever_the_path_leads(update):
    program = Program(check(Source("p.proj", PROGRAM.format(update=update))))
    view = None
    for key in ("a", "b", "a"):  # the last is in the map already
        view = applied(program, key, view)
        assert view == program.decode_view(program.encode_view(view))
    with pytest.raises(Failure, match="a map of 3 does not fit its declared bound of 2"):
        applied(program, "c", view)


def applied(program, key, view):
    reaction = program.reaction("", "E")
    event, targets, _gas = reaction.take(b'{"id": "x", "k": "%s"}' % key.encode(), META)
    return program.apply("x", targets["x"], event, META, view).view


def test_a_map_made_by_a_comprehension_takes_the_bound_of_its_places_keys():
    source = PROGRAM.replace("by: map", "made: map<string(3), int>(2) = {{}}, by: map")
    program = Program(check(Source("p.proj", source.format(update="made: {[k]: 1 for k in [e.k]}"))))
    assert applied(program, "abc", None).made == {"abc": 1}
    with pytest.raises(Failure, match="a string of 4 does not fit its declared bound of 3"):
        applied(program, "abcd", None)
