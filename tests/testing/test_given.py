"""Events as authors write them: every form comes to the same envelope, and what is none is named with its place."""

from __future__ import annotations

import datetime as dt
import enum
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest
from author_support import CREATED, envelope

from projection.errors import ConfigurationError
from projection.model.ids import TenantId
from projection.testing.given import given_events

FULL = envelope("fine.created", '{"id": "A1", "amount": 35.00}')


def read(events, folder=Path()):
    return list(given_events(events, folder, lambda _: "fine"))


def the_one(events):
    (event,) = read(events)
    return json.loads(event.line, parse_float=Decimal)


def test_the_short_form_has_a_default_for_everything_but_the_type():
    expected = {
        "tenant_id": "",
        "aggregate_type": "fine",
        "aggregate_id": "1",
        "event_type": "Paid",
        "timestamp": "2000-01-01T00:00:00Z",
        "payload": {},
    }
    assert expected == the_one({"type": "Paid"})


def test_the_short_form_can_say_all_of_an_envelope():
    short = {"type": "Paid", "data": {"n": 1}, "at": "2001-01-01T00:00:00+01:00", "id": "A1", "aggregate": "order"}
    assert {
        "tenant_id": "north",
        "aggregate_type": "order",
        "aggregate_id": "A1",
        "event_type": "Paid",
        "timestamp": "2001-01-01T00:00:00+01:00",
        "payload": {"n": 1},
        "event_id": "e1",
        "correlation_id": "c1",
    } == the_one({**short, "tenant": "north", "event_id": "e1", "correlation_id": "c1"})


def test_an_event_that_names_no_time_has_that_of_the_one_before():
    times = [
        event.envelope.timestamp
        for event in read([{"type": "A"}, {"type": "B", "at": "2001-01-01T00:00:00Z"}, {"type": "C"}])
    ]
    assert ["2000-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"] == times


def test_an_envelope_stays_the_bytes_that_it_is():
    assert [FULL.encode()] == [event.line for event in read(FULL)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json"])
def test_a_file_is_read_from_its_folder_and_every_event_knows_its_place(tmp_path, suffix):
    text = f"[{FULL}, {json.dumps(CREATED)}]" if suffix == ".json" else f"{FULL}\n\n{json.dumps(CREATED)}\n"
    path = tmp_path / f"events{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix == ".jsonl.gz" else text.encode())
    events = read(Path(path.name), tmp_path)
    assert ["fine.created"] * 2 == [event.event_type for event in events]
    second = ", event 2" if suffix == ".json" else ":3"
    assert f"{path}{second}" == events[1].place


@pytest.mark.parametrize(
    "events",
    [
        [CREATED, FULL],
        (one for one in (CREATED, FULL.encode())),
        f"{json.dumps(CREATED)}\n{FULL}\n",
        f" [{json.dumps(CREATED)}, {FULL}]",
    ],
    ids=["list", "generator", "lines", "array"],
)
def test_texts_mappings_and_both_together_are_the_same_events(events):
    assert ["fine.created"] * 2 == [event.event_type for event in read(events)]


def test_numbers_keep_their_digits_and_values_of_python_are_written_as_json():
    data = {"exact": Decimal("35.00"), "day": dt.date(2000, 1, 2), "float": 10.10, "big": 2**63 - 1}
    (event,) = read({"type": "Paid", "data": data})
    assert b'"payload":{"exact":35.00,"day":"2000-01-02","float":10.1,"big":9223372036854775807}' in event.line


class _Text(str):  # noqa: SLOT000 - as others write them
    """As ids of a domain are."""


class _Whole(int):
    pass


class _Exact(Decimal):
    pass


class _Day(dt.date):
    """As other libraries of dates have them."""


class _Moment(dt.datetime):
    pass


class _Kind(enum.StrEnum):
    PAID = "Paid"


class _Number(enum.IntEnum):
    ONE = 1


def test_subclasses_of_plain_values_are_the_values_that_they_equal():
    data = {
        "text": _Text("A1"),
        _Text("name"): [_Whole(7), _Number.ONE, True],
        "exact": _Exact("35.00"),
        "day": _Day(2000, 1, 2),
        "at": _Moment(2000, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    }
    (event,) = read({"type": _Kind.PAID, "tenant": TenantId("north"), "data": data})
    payload = b'{"text":"A1","name":[7,1,true],"exact":35.00,"day":"2000-01-02","at":"2000-01-02T03:04:05+00:00"}'
    assert b'"payload":' + payload in event.line
    assert b'"tenant_id":"north"' in event.line


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            [CREATED, {"typ": "Paid"}],
            "event 2: this is not an event: the field 'typ' is not known; did you mean 'type'?",
        ),
        ([{"data": {}}], "event 1: this is not an event: Object missing required field `type`"),
        ([{"type": 1}], "event 1: this is not an event: Expected `str`, got `int` - at `$.type`"),
        (
            {"type": "Paid", "at": "yesterday"},
            "the event: this is not an event: 'yesterday' is not an RFC 3339 timestamp",
        ),
        ({"type": "Paid", "data": {"n": float("nan")}}, "the event: this is not an event: nan is no number of JSON"),
        (
            {"type": "Paid", "data": [{"n": Decimal("Infinity")}]},
            "the event: this is not an event: Infinity is no number",
        ),
        ({"type": "Paid", "data": {"n": object()}}, "the event: this is not an event: object is no value of JSON"),
        (
            '{"event_type": "Paid"}',
            "line 1: this is not an event: the event is not an envelope: Object missing required",
        ),
        (f"{FULL}\n{{", "line 2: this is not an event: Input data was truncated"),
        ("{\ud800}", "the text: this is not an event: 'utf-8' codec can't encode"),
        ("[1, 2", "event …: this is not JSON: Input data was truncated"),
        ("[1]", "event 1: this is not an event: Expected `object`, got `int`"),
        (Path("nothing.jsonl"), "there is no file 'nothing.jsonl'"),
        (Path("nothing.json"), "nothing.json cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_event_is_named_with_its_place(events, message):
    with pytest.raises(ConfigurationError) as caught:
        read(events)
    assert caught.value.message.startswith(message)


def test_a_line_of_a_file_that_is_no_event_is_named(tmp_path):
    (tmp_path / "events.jsonl").write_text(f'{FULL}\n\n{{"event_type": "Paid"}}\n')
    with pytest.raises(ConfigurationError, match=r"events\.jsonl:3: this is not an event: "):
        read(Path("events.jsonl"), tmp_path)


def test_what_the_short_form_says_of_the_message_makes_it_a_recorded_one():
    (plain, said) = read(
        [{"type": "Paid"}, {"type": "Paid", "headers": {"X": "1"}, "stored_at": "2001-01-01T00:00:00Z"}]
    )
    assert plain.line == json.dumps(json.loads(plain.line), separators=(",", ":")).encode()
    assert {"time": "2001-01-01T00:00:00Z", "headers": {"X": "1"}, "envelope": json.loads(plain.line)} == json.loads(
        said.line
    )
    (named,) = read({"type": "Paid", "subject": "a.b"})
    assert ("a.b", "a.b") == (named.subject, json.loads(named.line)["subject"])


@pytest.mark.parametrize(
    "more", [{"headers": {"a:b": "x"}}, {"headers": {"a": "x\r\ny"}}, {"stored_at": "today"}, {"headers": {"a": 1}}]
)
def test_a_message_that_cannot_be_is_none(more):
    with pytest.raises(ConfigurationError, match="event 1: this is not an event"):
        read([{"type": "Paid", **more}])
