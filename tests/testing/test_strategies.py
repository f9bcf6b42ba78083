"""Events made of what a program declares: legal, of every form that is declared, and near to what matters."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from author_support import write
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.testing.folding import Projection
from projection.testing.strategies import events, one_event, payloads

EVERY_TYPE = """\
proj 1
projection every
type Row { q: int, name: string(9) = "-", tags: list<string(4)>(4) = [], took?: duration }
type Color = enum(red, green)
event In from "in" | "In.v1" of "thing" {
  id: string(20), n: int from "n" | "number", d: decimal(2), any: decimal, s: string, flag: bool, day: date,
  at: timestamp, took: duration, data: bytes(40), color: Color, kind: enum(a, b, ...), j: json, late: string = "-",
  opt?: int, cost?: decimal(2), maybe?: json, row: Row, more?: Row, xs: list<int>(6), rows: list<Row>(120),
  m: map<string, int>(6), by: map<int, Row>(3), notes: map<date, string>(3), counts: map<Color, int>(3),
  tags: set<string(2)>(6), sums: set<decimal>(4), blobs: list<bytes(4)>, deep: decimal(18),
}
event Out { id: string(20) }
view V { n: int = 0 }
on In as e to e.id => { n: if e.s == "the word" then 1 else 2 }
on Out as e for x in [e.id] to "{x} {meta.aggregate_id} {meta.event_id ?? meta.tenant_id}" => { n: 1 }
on * as e to meta.aggregate_id => { n: narrow(e.found) ?? 0 }
"""
# Hypothesis writes out what it has found, and events from the ends of their types are large.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
MANY = settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
FINDING = settings(MANY, max_examples=3_000, phases=[Phase.generate])


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("every"), {"every.proj": EVERY_TYPE})
    return Projection.load(folder / "every.proj")


def is_legal(projection, event):
    """Whether the event is taken by what the program declares."""
    return not [one for one in projection.given(event).parked() if one.code == "D105"]


def some(strategy, condition):
    """One of what the strategy makes; fails where none of many is such."""
    return find(strategy, condition, settings=FINDING)


def data(of):
    """A condition on the payload of an event `In`."""
    return lambda event: event["type"] in ("in", "In.v1") and of(event["data"])


@pytest.mark.parametrize("extremes", [False, True])
def test_every_event_fits_what_is_declared(every, extremes):
    @MANY
    @given(one_event(every, extremes=extremes))
    def decodes(event):
        assert every.takes(next(iter(every.given(event).given_events)))
        assert is_legal(every, event)

    decodes()


def test_no_illegal_event_fits_and_the_share_of_them_is_what_was_asked_for(every):
    handled = one_event(every, illegal=1.0).filter(lambda event: event["type"] != "SomethingElse")

    @settings(MANY, max_examples=40)
    @given(handled)
    def fails(event):
        assert not is_legal(every, event), event

    fails()
    some(one_event(every, illegal=0.3), lambda event: not is_legal(every, event))
    some(one_event(every, illegal=0.3), data(lambda payload: isinstance(payload, dict) and "rows" in payload))


def test_names_on_the_wire_and_the_ways_to_leave_a_field_out_all_come(every):
    single = one_event(every)
    some(single, lambda event: event["type"] == "In.v1")
    some(single, data(lambda payload: "number" in payload))
    some(single, data(lambda payload: "n" in payload))
    for left_out in ("opt", "late", "more"):
        some(single, data(lambda payload, name=left_out: name not in payload))
        some(single, data(lambda payload, name=left_out: payload.get(name, 0) is None))
        some(single, data(lambda payload, name=left_out: payload.get(name) is not None))


def test_open_enums_full_lists_and_what_the_program_compares_with_come(every):
    plain = one_event(every, extremes=False)
    some(plain, data(lambda payload: payload["kind"] not in ("a", "b")))
    some(plain, data(lambda payload: len(payload["rows"]) == 120))
    some(plain, data(lambda payload: len(payload["data"]) == 56))  # 40 bytes in base64
    some(plain, data(lambda payload: payload["s"] == "the word"))
    some(plain, lambda event: event["type"] == "SomethingElse" and "found" in event["data"])


def test_only_extremes_come_from_the_ends_of_types(every):
    is_far = lambda payload: abs(payload["xs"][0] if payload["xs"] else 0) > 10**18  # noqa: E731
    some(payloads(every, "In"), is_far)
    some(payloads(every, "In"), lambda payload: len(payload["s"]) == 65_536)
    some(payloads(every, "In"), lambda payload: len(payload["blobs"]) > 3)

    @MANY
    @given(payloads(every, "In", extremes=False))
    def stays_near(payload):
        assert not is_far(payload)
        assert len(json.dumps(payload, default=str)) < 60_000  # the ends of types give hundreds of thousands

    stays_near()


def test_events_meet_on_few_ids(every):
    @MANY
    @given(one_event(every, extremes=False))
    def has_few(event):
        assert event["data"].get("id", "a") in ("a", "b", "c")
        assert event["id"] in ("a", "b", "c")

    has_few()


def times_of(sequence, now="2000-01-01T00:00:00+00:00"):
    found = []
    for event in sequence:
        now = event.get("at", now)
        found.append(datetime.fromisoformat(now))
    return found


def test_times_advance_stall_and_go_back_and_are_written_at_other_offsets(every):
    sequences = events(every, min_size=2)
    some(sequences, lambda one: times_of(one)[1] > times_of(one)[0])
    some(sequences, lambda one: times_of(one)[1] < times_of(one)[0])
    some(sequences, lambda one: times_of(one)[1] == times_of(one)[0])
    some(sequences, lambda one: one[1].get("at", "").endswith("-05:30"))


def test_some_events_come_twice_in_a_row_and_sequences_keep_their_size(every):
    some(events(every, min_size=2), lambda one: one[-1] == one[-2] and one[-1]["type"] != "Out")

    @MANY
    @given(events(every, min_size=2, max_size=4))
    def is_in_size(sequence):
        assert 2 <= len(sequence) <= 4

    is_in_size()


def test_tenants_are_those_that_are_named(every):
    some(one_event(every, tenants=("north", "south")), lambda event: event["tenant"] == "south")

    @MANY
    @given(one_event(every))
    def has_none(event):
        assert "tenant" not in event

    has_none()


def test_an_event_of_another_kind_of_aggregate_names_it(tmp_path):
    text = 'event A from "x" of "one" {}\nevent B from "x" of "two" {}\nview V { n: int = 0 }\n'
    text += 'on A to "a" => { n: 1 }\non B to "b" => { n: 2 }\n'
    projection = Projection.load(write(tmp_path, {"p.proj": f"proj 1\nprojection p\n{text}"}) / "p.proj")
    assert "a" in projection.given(some(one_event(projection), lambda event: "aggregate" not in event)).views()
    assert "b" in projection.given(some(one_event(projection), lambda event: event.get("aggregate") == "two")).views()


def test_where_there_are_several_view_types_one_is_named():
    shop = Projection.load(Path(__file__).parents[2] / "projections/shop.yaml")
    with pytest.raises(ConfigurationError, match="events are made for one view type, not for all"):
        events(shop)
    with pytest.raises(ConfigurationError, match="declares no event 'Nothing'"):
        payloads(shop, "Nothing", of="shop_sales")
    assert isinstance(events(shop, of="shop_sales"), st.SearchStrategy)
