"""What a manifest says of the messages of a stream, and the envelopes that are made of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from projection.errors import DecodeError
from projection.model.event_format.declaration import EventFormat
from projection.model.event_format.headers import headers_block
from projection.model.event_format.plan import NoEvent
from projection.model.event_format.reader import FormatReader
from projection.model.event_format.times import counted_timestamp
from projection.model.timestamp import parse_timestamp

STORED = "1767225600123456789"  # 2026-01-01T00:00:00.123456789Z


class Stored(NamedTuple):
    subject: str = "shop.order.o-1.placed"
    data: bytes = b"{}"
    headers: bytes = b""
    time: str = STORED


def declared(**parts: Any) -> EventFormat:
    return EventFormat.model_validate({"event_type": "body.eventType", **parts})


def read(described: EventFormat, body: object = None, *, headers: dict[str, str] | None = None, **message: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return FormatReader(described).read(Stored(data=data, headers=headers_block(headers or {}), **message))


ORDER = {"eventType": "Placed", "orderId": 17, "created": "2026-03-01T10:00:00+01:00", "data": {"amount": 12.50}}


def test_each_part_is_found_where_the_manifest_says():
    described = declared(
        subjects=["shop.<type>.<id>.<event>"],
        aggregate_type="subject.<type>",
        aggregate_id="body.orderId",
        timestamp="body.created",
        tenant_id="header.X-Tenant",
        payload="body.data",
        event_id="header.Nats-Msg-Id",
        correlation_id={"constant": "none"},
    )
    found = read(described, ORDER, headers={"x-tenant": "north", "Nats-Msg-Id": "m1"})
    assert ("Placed", "order", "17", "north", "m1", "none", "2026-03-01T10:00:00+01:00", b'{"amount": 12.5}') == (
        found.event_type,
        found.aggregate_type,
        found.aggregate_id,
        found.tenant_id,
        found.event_id,
        found.correlation_id,
        found.timestamp,
        bytes(found.payload),
    )


def test_what_is_not_said_has_a_default():
    found = read(declared(), ORDER)
    assert ("", "", None, "2026-01-01T00:00:00.123456Z", ORDER) == (
        found.aggregate_type,
        found.aggregate_id,
        found.tenant_id,
        found.timestamp,
        json.loads(bytes(found.payload)),
    )


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"a": "A", "b": {"c": "C"}}, {"t": "T"}, "A"),
        ({"a": None, "b": {"c": "C"}}, {"t": "T"}, "C"),
        ({"b": {}}, {"t": "T"}, "T"),
        ({"b": None}, {}, "placed"),
    ],
)
def test_a_part_is_taken_from_the_first_source_that_is_there(body, headers, expected):
    described = declared(
        subjects=["shop.*.*.<event>"], event_type=["body.a", "body.b.c", "header.t", "subject.<event>"]
    )
    assert expected == read(described, body, headers=headers).event_type


def test_a_field_inside_of_the_payload_may_be_a_part_too():
    body = {"type": "Placed", "data": {"id": "o-7", "lines": [1, 2.50]}, "other": 1}
    described = declared(event_type="body.type", aggregate_id="body.data.id", payload="body.data")
    found = read(described, body)
    assert ("o-7", b'{"id": "o-7", "lines": [1, 2.5]}') == (found.aggregate_id, bytes(found.payload))


def test_keys_of_any_kind_can_be_named():
    body = {"@type": "Placed", "a.b": {"x y": 5, "": 6}}
    described = declared(event_type="body.@type", aggregate_id='body."a.b"."x y"', event_id='body."a.b".""')
    found = read(described, body)
    assert ("Placed", "5", "6") == (found.event_type, found.aggregate_id, found.event_id)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", "D101", "not JSON"),
        (b"{", "D101", "not JSON"),
        (b'{"eventType":"\xff"}', "D101", "not JSON"),
        (b"[]", "D102", "Expected `object`, got `array`"),
        ({}, "D102", "no event_type: nothing at body.eventType"),
        ({"eventType": True}, "D102", "`$.eventType`"),
        ({"eventType": "x" * 1_025}, "D102", "Expected `str` of length <= 1024"),
        ({"eventType": "Placed", "created": "yesterday"}, None, None),  # whoever reads the time says so
        (b'{"eventType":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "D102", "eventType"),
        (b'{"x":' + b"[" * 100_000, "D101", "not JSON"),
    ],
)
def test_what_is_wrong_with_a_message_is_said_with_a_code(body, code, said):
    described = declared(timestamp=["body.created", "stored"])
    if code is None:
        assert "yesterday" == read(described, body).timestamp
        return
    with pytest.raises(DecodeError, match="event") as error:
        read(described, body)
    assert code == error.value.code
    assert said in str(error.value)


def test_a_payload_that_is_missing_is_said():
    with pytest.raises(DecodeError, match=r"no payload: nothing at body.data"):
        read(declared(payload="body.data"), {"eventType": "Placed"})


class TestSubjects:
    @pytest.mark.parametrize(
        ("template", "subject", "expected"),
        [
            ("shop.<type>.<id>", "shop.order.7", "7"),
            ("legacy.Order-<id>.>", "legacy.Order-7.placed.v2", "7"),
            ("legacy.<id>_v2", "legacy.a%b-c_v2", "a%b-c"),
            ("*.<id>", "shop.o.7", None),
            ("legacy.Order-<id>", "legacy.Customer-7", None),
            ("shop.<type>.<id>", "shop.order", None),
        ],
    )
    def test_a_message_of_another_form_is_no_event(self, template, subject, expected):
        described = declared(subjects=[template], aggregate_id="subject.<id>")
        if expected is None:
            with pytest.raises(NoEvent, match="other subject"):
                read(described, ORDER, subject=subject)
        else:
            assert expected == read(described, ORDER, subject=subject).aggregate_id

    def test_the_first_template_that_fits_counts(self):
        described = declared(
            subjects=["shop.<type>.<id>", "legacy.Order-<id>"],
            aggregate_type=["subject.<type>", {"constant": "order"}],
            aggregate_id="subject.<id>",
        )
        found = [read(described, ORDER, subject=one) for one in ("shop.sale.7", "legacy.Order-8")]
        assert [("sale", "7"), ("order", "8")] == [(one.aggregate_type, one.aggregate_id) for one in found]

    @pytest.mark.parametrize(
        ("templates", "expected"),
        [
            (["shop.<type>.<id>", "shop.order.<id>"], ("shop.*.*",)),
            (["legacy.Order-<id>.>", "shop.<id>"], ("legacy.*.>", "shop.*")),
            (["a.*.c", "a.b.*"], (">",)),
            (["a.>", "a.b"], ("a.>",)),
        ],
    )
    def test_they_are_read_by_filters_that_take_no_subject_twice(self, templates, expected):
        assert expected == declared(subjects=templates).filters

    def test_without_any_all_are_read(self):
        assert (">",) == declared().filters


def test_what_is_ignored_is_no_event():
    described = declared(ignore={"header.kind": ["command", "query"], "body.draft": ["1"]})
    for message in (
        {"headers": {"Kind": "command"}},
        {"headers": {"Kind": "command"}, "body": b"\xff no JSON"},
        {"body": {**ORDER, "draft": 1}},
    ):
        with pytest.raises(NoEvent, match="ignored"):
            read(described, message.get("body", ORDER), headers=message.get("headers"))
    assert "Placed" == read(described, {**ORDER, "draft": 2}, headers={"kind": "event"}).event_type


class TestTimestamps:
    @pytest.mark.parametrize(
        ("form", "value", "expected"),
        [
            ("epoch_s", 1_767_225_600, "2026-01-01T00:00:00Z"),
            ("epoch_s", "1767225600.5", "2026-01-01T00:00:00.500000Z"),
            ("epoch_ms", 1_767_225_600_123, "2026-01-01T00:00:00.123000Z"),
            ("epoch_us", -1, "1969-12-31T23:59:59.999999Z"),
            ("epoch_ns", "-1", "1969-12-31T23:59:59.999999Z"),  # cut towards the past, as every timestamp
            ("dotnet_ticks", 639_028_224_001_234_567, "2026-01-01T00:00:00.123456Z"),
            ("dotnet_ticks", 0, "0001-01-01T00:00:00Z"),
        ],
    )
    def test_counted_ones_are_exact(self, form, value, expected):
        described = declared(timestamp={"from": "body.at", "as": form})
        assert expected == read(described, {"eventType": "Placed", "at": value}).timestamp

    @given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)), st.integers(0, 999))  # noqa: DTZ001
    def test_every_microsecond_is_its_own(self, moment, nanoseconds):
        since = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
        expected = moment.replace(tzinfo=UTC)
        for form, factor in (("epoch_us", 1), ("epoch_ns", 1_000)):
            text = str(since * factor + (nanoseconds if factor > 1 else 0))
            assert expected == parse_timestamp(counted_timestamp(text, form)).time

    @pytest.mark.parametrize(
        "value", ["", "x", "NaN", "1_000", "٣", "1e99", "9" * 26, 10**18, True, None, [], "0x10", " 5"]
    )
    def test_what_is_no_time_is_said(self, value):
        described = declared(timestamp={"from": "body.at", "as": "epoch_s"})
        with pytest.raises(DecodeError, match="timestamp") as error:
            read(described, {"eventType": "Placed", "at": value})
        assert "D102" == error.value.code

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-03-01T10:00:00", "2026-03-01T10:00:00+01:00"),
            ("2026-03-01T10:00:00.25", "2026-03-01T10:00:00.25+01:00"),
            ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
            ("2026-03-01T10:00:00-05:00", "2026-03-01T10:00:00-05:00"),
        ],
    )
    def test_one_without_an_offset_gets_that_of_the_manifest(self, text, expected):
        described = declared(timestamp={"from": "body.at", "offset": "+01:00"})
        assert expected == read(described, {"eventType": "Placed", "at": text}).timestamp


CLOUD = {
    "specversion": "1.0",
    "type": "com.example.placed",
    "source": "/shop",
    "subject": "o-7",
    "id": "A234-1234-1234",
    "time": "2026-03-05T17:31:00Z",
    "traceparent": "00-1-2-03",
}
TEXT = st.text(
    st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=("Cs", "Cc")), max_size=40
)


def parts(envelope: Any) -> tuple[Any, ...]:
    return (
        envelope.event_type,
        envelope.aggregate_type,
        envelope.aggregate_id,
        envelope.event_id,
        envelope.timestamp,
        envelope.traceparent,
        json.loads(bytes(envelope.payload)),
    )


class TestCloudEvents:
    described = EventFormat.model_validate("cloudevents")

    def both(self, attributes: dict[str, str], data: object) -> tuple[Any, Any]:
        """The same event in binary and in structured mode."""
        headers = {f"ce-{name}": quote(value, safe="/:") for name, value in attributes.items()}
        binary = read(self.described, data, headers={**headers, "Content-Type": "application/json"})
        structured = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        return binary, read(self.described, {**attributes, "data": data}, headers=structured)

    @given(TEXT.map(lambda text: f"x{text}"), TEXT, TEXT, TEXT)
    def test_both_modes_are_one_event(self, kind, source, subject, name):
        attributes = {**CLOUD, "type": kind, "source": source, "subject": subject, "id": name}
        binary, structured = self.both(attributes, {"amount": 12})
        expected = (kind, source, subject, name, CLOUD["time"], CLOUD["traceparent"], {"amount": 12})
        assert expected == parts(structured)
        assert expected == parts(binary)

    def test_a_server_without_headers_had_structured_ones(self):
        assert "com.example.placed" == read(self.described, {**CLOUD, "data": 1}).event_type

    def test_what_is_optional_may_be_absent(self):
        least = {name: CLOUD[name] for name in ("specversion", "type", "source", "id")}
        found = read(self.described, least)
        assert ("", "2026-01-01T00:00:00.123456Z", b"{}") == (found.aggregate_id, found.timestamp, bytes(found.payload))

    def test_data_may_be_base64(self):
        assert b'{"a":1}' == bytes(read(self.described, {**CLOUD, "data_base64": "eyJhIjoxfQ=="}).payload)

    def test_quoted_headers_of_older_producers_are_read(self):
        headers = {"ce-specversion": "1.0", "ce-type": r'"a \"b\" c"', "ce-source": "/s", "ce-id": "1"}
        assert 'a "b" c' == read(self.described, {}, headers=headers).event_type

    @pytest.mark.parametrize(
        ("headers", "body", "said"),
        [
            ({"content-type": "application/cloudevents-batch+json"}, [], "a batch of CloudEvents"),
            ({"content-type": "application/cloudevents+avro"}, {}, "application/cloudevents+avro"),
            ({}, {"type": "x"}, "no specversion"),
            ({}, {**CLOUD, "specversion": "0.3"}, "version '0.3'"),
            ({"ce-specversion": "2.0"}, {}, "version '2.0'"),
            ({"ce-specversion": "1.0", "ce-type": "%C0%A0"}, {}, "header"),
            ({"ce-specversion": "1.0"}, {}, "no event_type: nothing at header.ce-type"),
            ({"ce-specversion": "1.0", "content-type": "application/xml"}, {}, "application/xml"),
            ({}, {**CLOUD, "data_base64": "!"}, "no base64"),
            ({}, {**CLOUD, "type": 5.5}, "`$.type`"),
        ],
    )
    def test_what_cannot_be_read_is_said(self, headers, body, said):
        with pytest.raises(DecodeError) as error:
            read(self.described, body, headers=headers)
        assert said in str(error.value)

    def test_a_part_may_be_taken_from_an_extension(self):
        described = EventFormat.model_validate({"format": "cloudevents", "tenant_id": "attribute.tenant"})
        assert "north" == read(described, {**CLOUD, "tenant": "north"}).tenant_id
        headers = {"ce-specversion": "1.0", "ce-type": "x", "ce-tenant": "north"}
        assert "north" == read(described, {}, headers=headers).tenant_id
        assert "north" == FormatReader(described).tenant_of(Stored(data=b"{", headers=headers_block(headers)))

    def test_what_is_ignored_is_so_in_both_modes(self):
        described = EventFormat.model_validate({"format": "cloudevents", "ignore": {"attribute.type": ["draft"]}})
        draft = {**CLOUD, "type": "draft"}
        binary = {f"ce-{name}": value for name, value in draft.items()}
        for headers, body in ((binary, b"no JSON"), ({}, draft)):
            with pytest.raises(NoEvent, match="ignored"):
                read(described, body, headers=headers)
        assert "com.example.placed" == read(described, CLOUD).event_type
        assert "com.example.placed" == read(described, {}, headers={**binary, "ce-type": CLOUD["type"]}).event_type


class TestRefusals:
    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            ({"event_type": "eventType"}, "is not where a part of an event can be"),
            ({"event_type": "body."}, "is not where a part"),
            ({"event_type": "body.a b"}, 'body."a.b".c'),
            ({"event_type": r'body."\""'}, "is not where a part"),
            ({"event_type": "subject.event"}, "subject.<event>"),
            ({"event_type": "subject.<event>"}, "event_type: subject.<event> is in none of `subjects`"),
            ({"event_type": "header.a b"}, "is not where a part"),
            ({"event_type": "attribute.type"}, "say `format: cloudevents`"),
            ({"event_type": "stored"}, "only `timestamp` can be taken from it"),
            ({"event_type": []}, "event_type"),
            ({"format": "cloudevents", "payload": "body.data"}, "attribute.data"),
            ({"payload": "header.x"}, "a payload is in the body"),
            ({"subjects": ["shop.<a>.<a>"]}, "names <a> twice"),
            ({"subjects": ["shop.<a><b>"]}, "two places in one token"),
            ({"subjects": ["shop.<A>"]}, "a place is written <name>"),
            ({"subjects": ["shop..x"]}, "is not a subject template"),
            ({"subjects": ["shop.>.x"]}, "can only be the last token"),
            ({"subjects": [".".join(f"<p{n}>" for n in range(17))]}, "17 places"),
            ({"timestamp": {"from": "stored", "as": "epoch"}}, "epoch_s"),
            ({"timestamp": {"from": "body.at", "offset": "CET"}}, "no offset from UTC"),
            ({"ignore": {"kind": ["x"]}}, "is not where a part"),
            ({"ignore": {"body": ["x"]}}, "is all of an event"),
            ({"ignore": {"subject.<x>": ["x"]}}, "subject.<x> is in none of `subjects`"),
            ({"ignore": {"attribute.type": ["x"]}}, "say `format: cloudevents`"),
            ({"ignore": {"header.kind": []}}, "ignore"),
            ({"unknown": 1}, "unknown"),
        ],
    )
    def test_what_describes_no_stream_is_refused(self, parts, said):
        with pytest.raises(ValidationError) as error:
            declared(**parts)
        assert said in str(error.value)

    def test_an_event_without_a_type_cannot_be_described(self):
        with pytest.raises(ValidationError, match="event_type"):
            EventFormat.model_validate({"payload": "body"})


def test_what_is_at_its_default_is_no_part_of_an_identity():
    assert {"event_type": ["body.eventType"]} == declared(timestamp="stored", payload="body", ignore={}).terms()


def test_it_comes_back_from_its_terms():
    described = declared(
        subjects=["a.<id>"], timestamp={"from": ["body.at", "stored"], "as": "epoch_ms"}, ignore={"header.k": ["v"]}
    )
    for one in (described, EventFormat.model_validate("cloudevents")):
        again = EventFormat.model_validate(json.loads(json.dumps(one.terms())))
        assert (one, hash(one)) == (again, hash(again))


# --- whatever comes ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("9" * 5_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "data", "type"]), inner),
    max_leaves=8,
)
WHOLE = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "data", "at", "a", "specversion", "source"), JSON))
HOSTILE_BODIES = (
    st.binary(max_size=30)
    | WHOLE.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b'{"type":' + b"9" * 5_000 + b"}", b'{"data":' * 5_000, b"[" * 200_000, b'{"type":"\\ud800"}'])
)
HOSTILE_HEADERS = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [b"ce-type: a", b"ce-specversion: 1.0", b"type: %ff", b"ce-id: \xff", b":", b"content-type: x", b"at: 1"]
    )
).map(lambda lines: b"\r\n".join((b"NATS/1.0", *lines, b"", b"")))
FORMATS = [
    {"event_type": ["body.type", "header.type"], "timestamp": {"from": ["body.at", "header.at"], "as": "epoch_ms"}},
    {"event_type": "body.a.b", "aggregate_id": "body.a.a", "payload": "body.a", "timestamp": ["body.at", "stored"]},
    {
        "event_type": "subject.<x>",
        "subjects": ["shop.<x>.*.*"],
        "payload": ["body.data", "body"],
        "event_id": "body.data.a",
    },
    {"format": "cloudevents"},
    {"format": "cloudevents", "tenant_id": "header.type", "payload": ["attribute.data", "attribute.a"]},
]


@given(st.sampled_from(FORMATS), HOSTILE_BODIES, HOSTILE_HEADERS, st.sampled_from(["shop.order.o-1.placed", "", "x"]))
def test_whatever_comes_is_an_envelope_or_a_refusal_with_a_code(parts, body, headers, subject):
    reader = FormatReader(EventFormat.model_validate(parts))
    found, refusal = None, ""
    try:
        found = reader.read(Stored(subject, body, headers))
    except DecodeError as error:
        refusal = error.code
    except NoEvent as error:
        refusal = str(error)
    if found is None:
        assert refusal in ("D101", "D102", "of another subject")
        return
    texts = [found.event_type, found.aggregate_type, found.aggregate_id, found.timestamp]
    optional = [found.tenant_id, found.event_id, found.correlation_id, found.traceparent, found.trace_id]
    assert {str} == {type(text) for text in texts + [one for one in optional if one is not None]}
    assert all(len(text) <= 1_024 for text in texts[:3])
    msgspec.json.decode(bytes(found.payload), type=msgspec.Raw)  # which is JSON
