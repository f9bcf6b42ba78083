"""Bodies in other encodings than JSON: what JSON each becomes, and what a manifest says of them."""

from __future__ import annotations

import io
import json
import math
from base64 import b64encode
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import cbor2
import fastavro
import msgspec
import pytest
from encoded import (
    DESCRIPTORS,
    ENCODINGS,
    MESSAGES,
    avro,
    encoded,
    everything,
    write_schemas,
)
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from projection.errors import ConfigurationError, DecodeError
from projection.model.event_format.declaration import EventFormat
from projection.model.event_format.encodings.cbor import cbor_as_json
from projection.model.event_format.encodings.declaration import Encoding
from projection.model.event_format.encodings.msgpack import msgpack_as_json
from projection.model.event_format.headers import headers_block
from projection.model.event_format.plan import NoEvent
from projection.model.event_format.reader import FormatReader
from projection.model.manifest import Manifest
from projection.model.timestamp import parse_timestamp

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode


# --- one rule for each kind of value ----------------------------------------------------------------------------------

KEYS = st.text(max_size=5).map("k{}".format) | st.integers(-(2**63), 2**64 - 1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=20),
    max_leaves=20,
)


def as_form(value: Any) -> Any:
    """What a value is to become, as it is read from JSON."""
    match value:
        case float():
            name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            return {"float": Decimal(repr(value)) if math.isfinite(value) else name}
        case bytes():
            return b64encode(value).decode()
        case list():
            return [as_form(one) for one in value]
        case dict():
            return {str(key): as_form(one) for key, one in value.items()}
    return value


@pytest.mark.property
@given(VALUES)
@example([-1, -32, -33, -128, -129, 127, 128, 255, 256, 2**16, 2**32, -(2**15) - 1, -(2**31) - 1])
@example(["x" * 31, "x" * 32, "x" * 256, "x" * 65_536, b"x" * 256, b"x" * 65_536, [1] * 65_536, {"k": {}}])
def test_a_value_becomes_the_json_that_it_means(value):
    """What is written by msgspec and by cbor2 is read, whatever width it has."""
    for encode, read in ((msgspec.msgpack.encode, msgpack_as_json), (cbor2.dumps, cbor_as_json)):
        found = decode_exactly(read(encode(value), None))
        assert str(as_form(value)) == str(found)  # as texts, for 1 == 1.0 == True


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_become_rfc_3339(moment):
    at = MESSAGES["Everything"]()
    at.at.FromDatetime(moment)
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    texts = [
        decode_exactly(msgpack_as_json(msgspec.msgpack.encode(moment), None)),
        decode_exactly(cbor_as_json(cbor2.dumps(moment), None)),
        decode_exactly(cbor_as_json(cbor2.dumps(cbor2.CBORTag(1, seconds)), None)),
        decode_exactly(everything()(at.SerializeToString(), None))["at"],
    ]
    out = io.BytesIO()
    schema = {"type": "long", "logicalType": "timestamp-micros"}
    fastavro.schemaless_writer(out, schema, moment)
    texts.append(decode_exactly(avro(schema)(out.getvalue(), None)))
    whole = moment.replace(microsecond=0)
    assert [moment, moment, whole, moment, moment] == [parse_timestamp(text).time for text in texts]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (cbor2.CBORTag(1, 1772359200.123), '"2026-03-01T10:00:00.123000Z"'),
        (cbor2.CBORTag(1, -1), '"1969-12-31T23:59:59Z"'),
        (2**64, "18446744073709551616"),
        (-(2**64) - 1, "-18446744073709551617"),
        (Decimal("1.50"), "1.50"),
        (Decimal("-15E+3"), "-1.5E+4"),
        (cbor2.CBORTag(55799, {"a": 1}), '{"a":1}'),
        (cbor2.CBORTag(32, "http://a"), '"http://a"'),
        (cbor2.undefined, "null"),
    ],
)
def test_what_cbor_says_by_tags_is_understood(written, expected):
    assert expected.encode() == cbor_as_json(cbor2.dumps(written), None)


def test_what_has_no_length_ends_at_its_break():
    body = bytes.fromhex("bf 61 61 9f 01 02 ff 7f 61 62 61 63 ff 5f 41 00 ff ff")
    assert b'{"a":[1,2],"bc":"AA=="}' == cbor_as_json(body, None)


def test_a_message_has_all_its_fields_but_those_that_can_be_absent():
    message = MESSAGES["Everything"](
        double=0.1,
        float=0.1,
        int32=-5,
        uint64=2**64 - 1,
        bytes=b"ab",
        status=7,
        counts={3: 4, -1: 5},
        many=[1, math.nan],
    )
    message.at.FromJsonString("2026-03-01T10:00:00.123456789Z")
    message.wait.FromTimedelta(timedelta(seconds=-1.5))
    message.note.value = "x"
    message.any.struct_value.update({"n": 1.5, "l": [None, True, {}]})
    found = decode_exactly(everything()(message.SerializeToString(), None))
    empty = decode_exactly(everything()(b"", None))
    nothing = {"float": Decimal("0.0")}
    assert {"double": nothing, "float": nothing, "string": "", "bytes": "", "bool": False, "status": "OPEN"} == {
        name: value for name, value in empty.items() if value is False or value not in (0, [], {})
    }
    assert {
        "double": {"float": Decimal("0.1")},
        "float": {"float": Decimal("0.10000000149011612")},  # of 32 bits, which is another number
        "int32": -5,
        "uint64": 2**64 - 1,
        "bytes": "YWI=",
        "status": "7",  # which the descriptors do not know
        "at": "2026-03-01T10:00:00.123456Z",
        "wait": "-PT1.500000000S",
        "note": "x",
        "any": {"l": [None, True, {}], "n": {"float": Decimal("1.5")}},
        "counts": {"-1": 5, "3": 4},
        "many": [{"float": Decimal("1.0")}, {"float": "NaN"}],
    } == {name: value for name, value in found.items() if name not in empty or value != empty[name]}
    assert "maybe" not in empty
    assert 0 == decode_exactly(everything()(MESSAGES["Everything"](maybe=0).SerializeToString(), None))["maybe"]


def test_avro_s_logical_types_are_what_they_stand_for():
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "id", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
            {"name": "ratio", "type": "double"},
            {"name": "raw", "type": {"type": "fixed", "name": "F", "size": 2}},
            {"name": "status", "type": {"type": "enum", "name": "S", "symbols": ["OPEN", "PAID"]}},
            {"name": "counts", "type": {"type": "map", "values": "int"}},
            {"name": "open", "type": {"type": "int", "logicalType": "time-millis"}},
            {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
            {
                "name": "exact",
                "type": {"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "precision": 4},
            },
            {"name": "other", "type": {"type": "int", "logicalType": "phase-of-the-moon"}},
        ],
    }
    value = {
        "amount": Decimal("-12.50"),
        "at": datetime(2026, 3, 1, 10, 0, 0, 123_000, tzinfo=UTC),
        "day": 19_782,
        "id": None,
        "ratio": 0.5,
        "raw": b"\x00\xff",
        "status": "PAID",
        "counts": {"a": 1},
        "open": time(8, 30),
        "local": datetime(2026, 3, 1, 10),  # noqa: DTZ001 - it is at no place
        "exact": Decimal(1_234),
        "other": 3,
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    assert (
        b'{"amount":-12.50,"at":"2026-03-01T10:00:00.123000Z","day":"2024-02-29","id":null,"ratio":{"float":0.5},'
        b'"raw":"AP8=","status":"PAID","counts":{"a":1},"open":"08:30:00","local":"2026-03-01T10:00:00",'
        b'"exact":1234,"other":3}'
    ) == avro(schema)(out.getvalue(), None)


def test_a_decimal_of_avro_keeps_the_digits_that_its_schema_does_not_allow():
    """The library rounds it to its precision."""
    schema = {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2}
    assert b"1234.56" == avro(schema)(b"\x06" + (123_456).to_bytes(3), None)


def test_texts_are_escaped_in_one_way_for_good():
    """Gas is counted by it."""
    text = "".join(map(chr, (*range(32), 0x22, 0x2F, 0x5C, 0x7F, 0x85, 0x2028, 0xFFFF, 0x1F600)))
    escapes = {0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r"}
    control = "".join(escapes.get(one, f"\\u{one:04x}") for one in range(32))
    expected = f'"{control}\\"/\\\\\x7f\x85\u2028\uffff\U0001f600"'.encode()
    assert [expected] * 2 == [
        msgpack_as_json(msgspec.msgpack.encode(text), None),
        cbor_as_json(cbor2.dumps(text), None),
    ]


# --- what a manifest says ---------------------------------------------------------------------------------------------


def load(folder: Path, events: Any) -> Manifest:
    write_schemas(folder)
    (folder / "orders.proj").write_text("proj 1\n")
    manifest = {"manifest": 1, "events": events, "views": {"orders": {"program": "orders.proj"}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Manifest.load(folder / "manifest.json")


def described(encoding: Any, **parts: Any) -> dict[str, Any]:
    return {"event_type": "header.kind", "encoding": encoding, **parts}


def identity(manifest: Manifest) -> str:
    return sha256(json.dumps(manifest.views[0].fold_terms(), sort_keys=True).encode()).hexdigest()


def test_the_identities_of_folds_of_json_are_those_that_they_always_were(tmp_path):
    mapped = {
        "event_type": "body.type",
        "subjects": ["a.<id>"],
        "aggregate_id": "subject.<id>",
        "timestamp": {"from": ["body.at", "stored"], "as": "epoch_ms"},
        "ignore": {"header.k": ["v"]},
    }
    was = {
        "a17ae268d9d69954523328f9c4b615a5fe8637b3f5a6ab580a00a51e54f472c5": "cloudevents",
        "5ae216da678277fc8f93b72e9682c7fa26a476afa15239fc306c88fd9da68c2a": mapped,
    }
    assert list(was) == [identity(load(tmp_path, events)) for events in was.values()]
    assert list(was)[1] == identity(load(tmp_path, {**mapped, "encoding": "json"}))


def test_each_encoding_and_what_its_schemas_say_is_an_identity_of_its_own(tmp_path):
    found = {identity(load(tmp_path, described(one))) for pair in ENCODINGS.values() for one in pair[:1]}
    assert len(ENCODINGS) == len(found)
    before = identity(load(tmp_path, described(ENCODINGS["protobuf"][0])))
    (tmp_path / "other").mkdir()
    renamed = {"protobuf": {**ENCODINGS["protobuf"][0]["protobuf"], "descriptors": "other/same.bin"}}
    (tmp_path / "other/same.bin").write_bytes(DESCRIPTORS)
    assert before == identity(load(tmp_path, described(renamed)))
    (tmp_path / "other/same.bin").write_bytes(DESCRIPTORS + DESCRIPTORS.replace(b"shop", b"more"))
    assert before != identity(load(tmp_path, described(renamed)))


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_a_build_keeps_of_a_manifest_reads_without_its_files(name, tmp_path):
    loaded = load(tmp_path, described(ENCODINGS[name][0])).views[0].events
    again = EventFormat.model_validate(json.loads(json.dumps(loaded.terms())))
    assert (loaded, hash(loaded)) == (again, hash(again))
    body = encoded(name, {"order": "o-1", "cents": 5}, "OrderPaid")
    (tmp_path / "shop.binpb").unlink()
    found = FormatReader(again).read(Stored(body, {"kind": "OrderPaid"}))
    assert {"order": "o-1", "cents": 5} == json.loads(bytes(found.payload))


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("xml", "is no encoding: json, msgpack, cbor"),
        ({"msgpack": {}}, "is no encoding"),
        ("protobuf", "descriptors: FILE"),
        ("avro", "schemas: {EVENT_TYPE: FILE}"),
        ({"protobuf": {"descriptors": "a"}}, "messages"),
        ({"protobuf": {"descriptors": "a", "messages": {}}}, "messages"),
    ],
)
def test_what_is_no_encoding_is_refused(encoding, said):
    with pytest.raises(ValidationError) as caught:
        EventFormat.model_validate(described(encoding))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        (
            {"protobuf": {"descriptors": "gone.bin", "messages": "a.B"}},
            "protobuf.descriptors: 'gone.bin' does not exist",
        ),
        ({"protobuf": {"descriptors": "../x", "messages": "a.B"}}, "not a path inside the manifest's folder"),
        ({"protobuf": {"descriptors": "shop.binpb", "messages": "a.B"}}, "no message 'a.B'; it has shop.v1.Everything"),
        ({"protobuf": {"descriptors": "orders.proj", "messages": "a.B"}}, "protoc --include_imports"),
        ({"avro": {"schemas": {"*": "gone.avsc"}}}, r"avro.schemas.*: 'gone.avsc' does not exist"),
        ({"avro": {"schemas": "orders.proj"}}, "no Avro schema"),
    ],
)
def test_schemas_that_cannot_be_used_are_refused_with_their_field(encoding, said, tmp_path):
    with pytest.raises(ConfigurationError, match=r"field events\.encoding") as caught:
        load(tmp_path, described(encoding))
    assert said in str(caught.value)


def test_a_type_that_is_in_the_body_cannot_say_how_the_body_is_read(tmp_path):
    events = described(ENCODINGS["avro"][0], event_type="body.kind")
    with pytest.raises(ConfigurationError, match=r"body\.kind is read by the schema of its type"):
        load(tmp_path, events)
    load(tmp_path, described(ENCODINGS["avro"][1], event_type="body.kind"))


# --- in messages ------------------------------------------------------------------------------------------------------


class Stored:
    subject, time = "shop.orders", "1767225600123456789"

    def __init__(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.data, self.headers = data, headers_block(headers or {})


def reader(encoding: Any, **parts: Any) -> FormatReader:
    return FormatReader(EventFormat.model_validate(described(encoding, **parts)))


def test_a_message_of_a_type_without_a_schema_is_no_event(tmp_path):
    loaded = load(tmp_path, described(ENCODINGS["protobuf"][0])).views[0].events
    with pytest.raises(NoEvent, match="of a type without a schema"):
        FormatReader(loaded).read(Stored(b"\xff", {"kind": "OrderRenamed"}))


def test_what_is_ignored_is_so_before_its_body_is_read():
    found = reader("msgpack", ignore={"header.kind": ["draft"]})
    with pytest.raises(NoEvent, match="ignored"):
        found.read(Stored(b"\xc1", {"kind": "draft", "content-encoding": "br"}))


@pytest.mark.parametrize("seconds", [1772359200.125, "1772359200.125"])
def test_a_float_can_be_a_time(seconds):
    body = msgspec.msgpack.encode({"at": seconds})
    found = reader("msgpack", timestamp={"from": "body.at", "as": "epoch_s"}).read(Stored(body, {"kind": "OrderPaid"}))
    assert "2026-03-01T10:00:00.125000Z" == found.timestamp


CE = {"ce-specversion": "1.0", "ce-type": "OrderPaid", "ce-id": "1", "ce-source": "/s"}


@pytest.mark.parametrize(
    ("content_type", "encoding", "written"),
    [
        ("application/msgpack", "msgpack", "msgpack"),
        ("application/x-msgpack; v=1", "msgpack", "msgpack"),
        ("", "msgpack", "msgpack"),
        ("application/json", "msgpack", "json"),
        ("application/cbor", "cbor", "cbor"),
        ("application/protobuf", "protobuf", "protobuf"),
        ("application/avro", "avro", "avro"),
    ],
)
def test_the_data_of_a_cloudevent_is_read_by_its_content_type(content_type, encoding, written, tmp_path):
    loaded = load(tmp_path, {"format": "cloudevents", "encoding": ENCODINGS[encoding][0]}).views[0].events
    body = encoded(written, {"order": "o-1", "cents": 5}, "OrderPaid")
    binary = Stored(body, CE | ({"Content-Type": content_type} if content_type else {}))
    structured = {"specversion": "1.0", "type": "OrderPaid", "id": "1", "source": "/s"}
    as_base64 = structured | {"datacontenttype": content_type or None, "data_base64": b64encode(body).decode()}
    in_json = structured | {"data": {"order": "o-1", "cents": 5}}
    for message in (binary, *(Stored(json.dumps(one).encode()) for one in (as_base64, in_json))):
        found = FormatReader(loaded).read(message)
        assert ("OrderPaid", {"order": "o-1", "cents": 5}) == (found.event_type, json.loads(bytes(found.payload)))


@pytest.mark.parametrize("content_type", ["application/cbor", "text/plain", "application/cloudevents+protobuf"])
def test_other_data_of_a_cloudevent_is_refused_as_before(content_type, tmp_path):
    events = {"format": "cloudevents", "encoding": "msgpack"}
    loaded = EventFormat.model_validate(events)
    with pytest.raises(DecodeError, match="CloudEvent") as caught:
        FormatReader(loaded).read(Stored(b"\x80", CE | {"Content-Type": content_type}))
    assert "D102" == caught.value.code


def test_an_encoding_is_named_as_manifests_name_it():
    assert ["json", "msgpack"] == [Encoding.model_validate(one).model_dump() for one in ("json", "msgpack")]
