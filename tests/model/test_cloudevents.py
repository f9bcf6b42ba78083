"""CloudEvents as others make them: the examples of the specification, and messages of its Python SDK, in both modes."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import DecodeError
from projection.model.event_format.declaration import EventFormat
from projection.model.event_format.headers import headers_block
from projection.model.event_format.plan import NoEvent
from projection.model.event_format.reader import FormatReader

if TYPE_CHECKING:
    from projection.model.envelope import Envelope

# --- https://github.com/cloudevents/spec, v1.0.2: formats/json-format.md, 3.2 ------------------------------------------
_COMMON = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
}
THRIFT = {
    **_COMMON,
    "id": "A234-1234-1234",
    "datacontenttype": "application/vnd.apache.thrift.binary",
    "data_base64": b64encode(b"\x80\x01\x00\x01").decode(),  # the specification has an ellipsis there
}
XML = {
    **_COMMON,
    "id": "B234-1234-1234",
    "unsetextension": None,
    "datacontenttype": "application/xml",
    "data": '<much wow="xml"/>',
}
OBJECT = {
    **_COMMON,
    "subject": None,
    "id": "C234-1234-1234",
    "datacontenttype": "application/json",
    "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
}
STRING = {**_COMMON, "subject": None, "id": "D234-1234-1234", "data": "I'm just a string"}
# bindings/nats-protocol-binding.md, 3.1.3.2 and 3.1.4, as of 1.0.3
NATS_HEADERS = {
    "ce-specversion": "1.0",
    "ce-type": "com.example.someevent",
    "ce-time": "2018-04-05T03:56:24Z",
    "ce-id": "1234-1234-1234",
    "ce-source": "/mycontext/subcontext",
    "ce-datacontenttype": "application/json",
}
ENCODED = ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀")


class Stored(NamedTuple):
    """A message as far as an event is made of it."""

    data: bytes
    headers: bytes = b""
    subject: str = "mySubject"
    time: str = "1767225600123456789"


DESCRIBED = EventFormat.model_validate(
    {"format": "cloudevents", "tenant_id": "attribute.comexampleothervalue", "correlation_id": "attribute.flag"}
)


def read(data: object, headers: dict[str, str] | None = None, described: EventFormat = DESCRIBED) -> Envelope:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return FormatReader(described).read(Stored(body, headers_block(headers or {})))


def binary(event: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """An event of the specification, re-encoded in the binary mode that its HTTP examples show."""
    outside = {
        f"ce-{name}": str(value)
        for name, value in event.items()
        if value is not None and name not in ("data", "data_base64", "datacontenttype")
    }
    kind = event.get("datacontenttype", "application/json")
    data = event["data"] if kind == "application/xml" else json.dumps(event.get("data"))
    return data.encode(), {**outside, "content-type": kind}


def parts(envelope: Envelope) -> tuple[Any, ...]:
    """All that an event says."""
    fixed = (envelope.event_type, envelope.aggregate_type, envelope.aggregate_id, envelope.timestamp)
    more = (envelope.event_id, envelope.tenant_id, envelope.correlation_id, json.loads(bytes(envelope.payload)))
    return (*fixed, *more)


# --- the specification -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [OBJECT, STRING])
@pytest.mark.parametrize("is_binary", [False, True])
def test_the_examples_of_the_specification_are_read_in_both_modes(event: dict[str, Any], *, is_binary: bool) -> None:
    structured = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
    found = read(*binary(event)) if is_binary else read(event, structured)
    time = "2018-04-05T17:31:00Z"
    assert parts(found) == ("com.example.someevent", "/mycontext", "", time, event["id"], "5", None, event["data"])


def test_data_that_is_no_json_is_named_or_is_the_text_that_it_is_in_structured_mode() -> None:
    with pytest.raises(DecodeError, match="the data of the CloudEvent is application/xml; JSON is read"):
        read(*binary(XML))
    assert XML["data"] == json.loads(bytes(read(XML).payload))
    with pytest.raises(DecodeError) as refused:
        read(THRIFT)
    assert "D101" == refused.value.code


def test_the_batch_of_the_specification_is_refused() -> None:
    with pytest.raises(DecodeError, match="a batch of CloudEvents"):
        read([THRIFT, OBJECT], {"content-type": "application/cloudevents-batch+json"})


def test_the_example_of_the_binding_for_nats_is_read() -> None:
    found = read({"a": 1}, NATS_HEADERS)
    assert "com.example.someevent" == found.event_type
    assert ("/mycontext/subcontext", "2018-04-05T03:56:24Z") == (found.aggregate_type, found.timestamp)


@pytest.mark.parametrize("text", [ENCODED[0], ENCODED[0].lower(), f'"{ENCODED[0]}"', quote(ENCODED[1], safe="")])
def test_headers_are_percent_decoded_as_the_binding_says(text: str) -> None:
    assert ENCODED[1].lower() == read({}, {**NATS_HEADERS, "Ce-Subject": text}).aggregate_id.lower()


@pytest.mark.parametrize(
    "kind", ["application/json;%20charset=utf-8", "text/json", "model/gltf+json", "APPLICATION/JSON"]
)
def test_data_is_json_by_whatever_type_says_so(kind: str) -> None:
    assert read({}, {**NATS_HEADERS, "ce-datacontenttype": kind})
    assert read({}, {**NATS_HEADERS, "ce-datacontenttype": "", "Content-Type": kind.replace("%20", " ")})


@pytest.mark.parametrize("kind", ["application/xml", "application/jsonl", "json", "application/avro"])
def test_data_of_another_type_is_refused_by_the_header_of_the_binding(kind: str) -> None:
    with pytest.raises(DecodeError, match=f"the data of the CloudEvent is {kind}; JSON is read"):
        read({}, {**NATS_HEADERS, "ce-datacontenttype": kind})


def test_what_is_ignored_need_not_be_json() -> None:
    described = EventFormat.model_validate({"format": "cloudevents", "ignore": {"attribute.type": [XML["type"]]}})
    with pytest.raises(NoEvent):
        read(*binary(XML), described=described)


@pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/cloudevents+avro"])
@pytest.mark.parametrize("source", ["header.content-type", "header.kind", "subject"])
def test_what_is_ignored_by_what_stands_outside_may_be_a_batch_or_of_another_format(kind: str, source: str) -> None:
    headers = {"content-type": kind, "kind": "odd"}
    value = {"header.content-type": kind, "header.kind": "odd", "subject": "mySubject"}[source]
    described = EventFormat.model_validate({"format": "cloudevents", "ignore": {source: [value]}})
    with pytest.raises(NoEvent):
        read(b"\xff", headers, described)
    others = EventFormat.model_validate({"format": "cloudevents", "ignore": {source: ["other"]}})
    with pytest.raises(DecodeError, match="one CloudEvent as JSON, or in binary mode, is read"):
        read(b"\xff", headers, others)


def test_a_tenant_is_known_of_a_message_whose_data_is_none() -> None:
    data, headers = binary(XML)
    assert "5" == FormatReader(DESCRIBED).tenant_of(Stored(data, headers_block(headers)))


@pytest.mark.parametrize("body", [b"", b"null"])
def test_an_event_without_data_is_one_in_both_modes(body: bytes) -> None:
    nothing = {name: value for name, value in OBJECT.items() if name != "data"}
    assert b"{}" == bytes(read(nothing).payload) == bytes(read({**nothing, "data": None}).payload)
    assert b"{}" == bytes(read(body, NATS_HEADERS).payload)


@pytest.mark.parametrize("flag", [True, False])
def test_a_boolean_attribute_is_its_canonical_text_in_both_modes(*, flag: bool) -> None:
    text = json.dumps(flag)
    assert (
        text
        == read({**OBJECT, "flag": flag}).correlation_id
        == read({}, {**NATS_HEADERS, "ce-flag": text}).correlation_id
    )


def test_messages_are_known_for_no_events_by_a_boolean() -> None:
    described = EventFormat.model_validate({"event_type": "body.type", "ignore": {"body.draft": ["true"]}})
    with pytest.raises(NoEvent):
        read({"type": "x", "draft": True}, described=described)
    assert "x" == read({"type": "x", "draft": False}, described=described).event_type


# --- the SDK -----------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
DATA = st.dictionaries(
    TEXT, st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists, max_leaves=4), max_size=3
)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds one


@given(
    attributes=st.fixed_dictionaries(
        {"type": TEXT, "source": TEXT, "id": TEXT, "time": TIMES},
        optional={"subject": TEXT, "comexampleothervalue": st.integers(-(2**31), 2**31 - 1), "flag": TEXT},
    ),
    data=st.one_of(st.none(), DATA),
    json_type=st.sampled_from([None, "application/json", "application/vnd.shop+json"]),
)
def test_what_the_sdk_makes_is_one_event_in_every_mode(
    attributes: dict[str, Any], data: Any, json_type: str | None
) -> None:
    """In binary mode by both names of the type of the data, and in structured mode with data as JSON and as base64."""
    typed = {**attributes, "specversion": "1.0", **({"datacontenttype": json_type} if json_type else {})}
    event = CloudEvent(typed, data)
    messages = [to_binary(event, JSONFormat()), to_structured(event, JSONFormat())]
    if data is not None:
        messages.append(to_structured(CloudEvent(typed, json.dumps(data).encode()), JSONFormat()))
    number = attributes.get("comexampleothervalue")
    expected = (
        attributes["type"],
        attributes["source"],
        attributes.get("subject", ""),
        attributes["time"],
        attributes["id"],
        None if number is None else str(number),
        attributes.get("flag"),
        {} if data is None else data,
    )
    as_nats = dict(messages[0].headers)
    if kind := as_nats.pop("content-type", None):
        as_nats["ce-datacontenttype"] = kind
    for body, headers in [*((one.body, dict(one.headers)) for one in messages), (messages[0].body, as_nats)]:
        found = list(parts(read(body, headers)))
        found[3] = datetime.fromisoformat(found[3])
        assert expected == tuple(found)
