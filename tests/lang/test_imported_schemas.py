"""Event declarations out of JSON Schemas, and out of samples of real events: they check, and take what they were made of."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_support import program

from projection.errors import ConfigurationError
from projection.lang.schemas.declarations import declarations
from projection.lang.schemas.from_json_schema import events_of
from projection.lang.schemas.from_samples import Sample
from projection.lang.schemas.json_schema import of_events
from projection.lang.values.codec import Codec

FINES = Path(__file__).resolve().parents[3] / "shared/data/road_traffic_fines.jsonl.gz"
encode = msgspec.json.Encoder(decimal_format="number").encode
decode = msgspec.json.Decoder(float_hook=Decimal).decode


def of_schema(schema, scale=None):
    """The declarations of a schema, which check."""
    text = declarations(events_of(decode(json.dumps(schema)), "E", scale))
    program(text)
    return text


def of_sample(*payloads, name="E"):
    """The declarations of some payloads, which check and take these."""
    sample = Sample()
    for one in payloads:
        sample.add(name, decode(json.dumps(one)) if not isinstance(one, bytes) else decode(one))
    text = declarations(sample.events())
    ((_, event),) = program(text).events.items()
    for one in payloads:
        Codec(event).decode(one if isinstance(one, bytes) else json.dumps(one).encode())
    return text


def field(text):
    """The type and the rest of the declaration of a field `f`."""
    (line,) = [line.strip() for line in text.splitlines() if line.strip().startswith(("f:", "f?:"))]
    return line.rstrip(",").replace(",  #", "  #")


# --- JSON Schema -----------------------------------------------------------------------------------------------------

FIELDS = [
    ({"type": "boolean"}, "f: bool"),
    ({"type": "integer"}, "f: int"),
    ({"type": "number"}, "f: decimal  # of any number of digits behind the point"),
    ({"type": "number", "multipleOf": 0.01}, "f: decimal(2)"),
    ({"type": "number", "format": "decimal(4)"}, "f: decimal(4)"),
    ({"type": "string"}, "f: string"),
    ({"type": "string", "maxLength": 80}, "f: string(80)"),
    ({"type": "string", "format": "date"}, "f: date"),
    ({"type": "string", "format": "date-time"}, "f: timestamp"),
    ({"type": "string", "format": "duration"}, "f: duration"),
    ({"type": "string", "format": "email"}, "f: string"),
    ({"type": "string", "contentEncoding": "base64"}, "f: bytes"),
    ({"enum": ["a", "in work", "b"]}, 'f: enum(a, "in work", b)'),
    ({"const": "a"}, "f: enum(a)"),
    ({"enum": ["a", None]}, "f?: enum(a)"),
    ({"enum": [1, 2]}, "f: int"),
    ({"enum": [1, "a"]}, "f: json"),
    ({"anyOf": [{"enum": ["a", "b"]}, {"type": "string"}]}, "f: enum(a, b, ...)"),
    ({"type": ["string", "null"]}, "f?: string"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "f?: int"),
    ({"type": "integer", "nullable": True}, "f?: int"),
    ({"type": ["string", "integer"]}, "f: json  # one of several types"),
    ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "f: json  # one of several types"),
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 5}, "f: list<int>(5)"),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "f: set<string>"),
    ({"type": "array"}, "f: list<json>"),
    ({"type": "array", "items": {"type": ["integer", "null"]}}, "f: json  # items that may be null"),
    ({"type": "array", "prefixItems": [{}]}, "f: list<json>  # items of different types by their places"),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, "f: map<string, int>"),
    (
        {"type": "object", "additionalProperties": {}, "propertyNames": {"format": "date"}, "maxProperties": 3},
        "f: map<date, json>(3)",
    ),
    ({"type": "object"}, "f: json  # an object with any fields"),
    ({"$ref": "#/$defs/Code"}, "f: string(3)"),
    ({"$ref": "#/$defs/Loop"}, "f: Loop"),
    ({"$ref": "other.json#/x"}, "f?: json  # other.json#/x leads out of this file"),
    ({"$ref": "#/$defs/None"}, "f?: json  # #/$defs/None leads nowhere"),
    ({"allOf": [{"$ref": "#/$defs/Code"}, {"description": "a"}]}, "f: string(3)"),
    ({}, "f?: json"),
    (True, "f?: json"),
]
DEFINITIONS = {
    "Code": {"type": "string", "maxLength": 3},
    "Loop": {"type": "object", "properties": {"f2": {"$ref": "#/$defs/Loop"}}},
}


@pytest.mark.parametrize(("schema", "expected"), FIELDS, ids=str)
def test_a_field_of_a_schema_becomes_the_type_that_takes_its_values(schema, expected):
    document = {"type": "object", "properties": {"f": schema}, "required": ["f"], "$defs": DEFINITIONS}
    assert expected == field(of_schema(document))


def test_what_a_schema_does_not_require_is_optional_or_has_its_default():
    properties = {
        "f": {"type": "integer"},
        "g": {"type": "integer", "default": 3},
        "h": {"enum": ["a", "b"], "default": "b"},
        "k": {"type": "string", "default": "a {b}"},
        "m": {"type": "array", "items": {"type": "integer"}, "default": []},
    }
    assert (
        of_schema({"properties": properties})
        == """\
event E {
  f?: int,
  g: int = 3,
  h: enum(a, b) = "b",
  k: string = "a \\{b\\}",
  m?: list<int>,
}
"""
    )


def test_objects_become_types_and_those_that_say_the_same_become_one():
    line = {
        "type": "object",
        "properties": {"sku-code": {"type": "string"}},
        "required": ["sku-code"],
        "description": "A line.",
    }
    document = {
        "title": "order.placed",
        "description": "It was placed.",
        "type": "object",
        "properties": {
            "lines": {"type": "array", "items": line},
            "gift": {"allOf": [{"$ref": "#/definitions/line"}]},
            "to": {"type": "object", "properties": {"int": {"type": "number", "description": "What\nit is."}}},
        },
        "required": ["lines", "gift", "to"],
        "definitions": {"line": line},
    }
    assert (
        of_schema(document, scale=2)
        == """\
## It was placed.
event OrderPlaced from "order.placed" {
  lines: list<Line>,
  gift: Line,
  to: To,
}

## A line.
type Line {
  sku_code: string from "sku-code",
}

type To {
  ## What
  ## it is.
  int?: decimal(2),
}
"""
    )


def test_a_document_of_definitions_is_one_event_for_each_that_no_other_refers_to():
    document = {
        "$defs": {
            "Paid": {"type": "object", "properties": {"by": {"$ref": "#/$defs/By"}}},
            "By": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "Sent": {"type": "object"},
        }
    }
    assert ["Paid", "Sent"] == [one.wire for one in events_of(document, "E")]


@pytest.mark.parametrize(
    "document",
    [3, [], {"type": "string"}, {"$defs": {"A": {"type": "string"}}}, {"properties": 3}],
)
def test_what_is_no_schema_of_an_object_is_refused(document):
    with pytest.raises(ConfigurationError, match="E: this is no"):
        events_of(document, "E")


def test_an_object_that_only_refers_to_itself_has_no_known_fields():
    text = of_schema({"allOf": [{"$ref": "#"}]})
    assert text == "# its payload has no known fields: take it by `on *`, as json\nevent E {}\n"


# --- samples ---------------------------------------------------------------------------------------------------------

SAMPLES = [
    ([True, False], "f: bool"),
    ([1, 2], "f: int"),
    ([1, 2**63], "f: decimal(0)  # beyond 64 bits"),
    ([1, 1.25, 0.5], "f: decimal(2)"),
    (["a", "b"], "f: string"),
    (["2024-02-29", "2024-03-01"], "f: date"),
    (["2024-02-29T12:00:00Z", "2024-02-29T12:00:00.123456789+01:00"], "f: timestamp"),
    (["2024-02-29", "2024-02-29T12:00:00Z"], "f: date"),
    (["PT90S", "P1D"], "f: duration"),
    (["a", "b"] * 5, "f: enum(a, b, ...)  # 2 texts in 10 events; without `...` others are refused"),
    (["a", ""] * 5, 'f: enum("", a, ...)  # 2 texts in 10 events; without `...` others are refused'),
    (["a"] * 10, "f: string"),
    ([None, None], "f?: json  # only null was seen; absent or null in 2 of 2"),
    ([1, None], "f?: int  # absent or null in 1 of 2"),
    ([1, "a"], "f: json  # number or text"),
    ([[1], []], "f: list<int>"),
    ([[], []], "f: list<json>  # only empty lists were seen"),
    ([[1, None]], "f: json  # a list with null in it"),
    ([[[1.5]], [[2]]], "f: list<list<decimal(1)>>"),
    ([{"2024-02-29": 1}, {"2024-03-01": 2.5}], "f: map<date, decimal(1)>  # 2 different keys in 2 objects"),
    ([{"1": "a"}, {"-7": "b"}], "f: map<int, string>  # 2 different keys in 2 objects"),
    ([{f"key {n}": n} for n in range(12)], "f: map<string, int>  # 12 different keys in 12 objects"),
    ([{}], "f: json  # only empty objects were seen"),
]


@pytest.mark.parametrize(("values", "expected"), SAMPLES, ids=str)
def test_a_field_of_a_sample_becomes_a_type_that_takes_all_that_was_seen(values, expected):
    assert expected == field(of_sample(*({"f": value} for value in values)))


def test_numbers_keep_the_digits_of_their_text_also_zeros_and_exponents():
    assert "f: decimal(2)" == field(of_sample(b'{"f": 1.50}'))
    assert "f: decimal(0)" == field(of_sample(b'{"f": 1e3}'))
    assert "f: json  # numbers of up to 20 digits" == field(of_sample(b'{"f": 0.00000000000000000001}'))


def test_ids_are_no_enums_however_few_were_seen():
    text = of_sample(*({"user_id": f"u{n % 2}", "orderId": "a", "paid": f"p{n % 2}"} for n in range(10)))
    assert "user_id: string,\n  orderId: string,\n  paid: enum(p0, p1, ...)" in text


def test_fields_of_one_name_have_the_digits_of_all_of_them():
    sample = Sample()
    sample.add("A", {"amount": Decimal("0.0"), "lines": [{"amount": 3}]})
    sample.add("B", {"amount": Decimal("12.50")})
    assert 3 == declarations(sample.events()).count("amount: decimal(2)")


def test_names_that_are_none_in_the_language_are_read_from_the_wire():
    text = of_sample({"first-name": "a", "first name": "b", "$type": "c", "1st": 1, "type": "d", "é": 1}, name="e.v-1")
    assert (
        text
        == """\
event EV1 from "e.v-1" {
  first_name: string from "first-name",
  first_name_2: string from "first name",
  type: string from "$type",
  f_1st: int from "1st",
  type_2: string from "type",
  unnamed: int from "é",
}
"""
    )


def test_a_field_whose_name_no_program_can_read_is_left_out_with_a_word():
    assert '# "a\\"b" is left out: no program can read a field of such a name' in of_sample({'a"b': 1, "f": 2})


def test_events_whose_names_are_taken_get_others():
    sample = Sample()
    for name in ("int", "a.b", "AB", "A-B"):
        sample.add(name, {})
    events = program(declarations(sample.events())).event_declarations
    assert {"AB": (), "AB2": ("A-B",), "AB3": ("a.b",), "Int": ("int",)} == {
        name: one.wires for name, one in events.items()
    }


def test_an_event_that_is_not_always_an_object_says_so():
    sample = Sample()
    sample.add("E", [1])
    assert declarations(sample.events()).startswith("# its payloads are not always objects")


def test_values_that_nest_beyond_what_types_may_become_json():
    value = {"f": 1}
    for _ in range(60):
        value = {"f": value}
    of_sample(value)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.sampled_from([0.5, 1.25, 1e20, 1e-7]),
        st.sampled_from(["a", "", "2024-02-29", "2024-02-29T12:00:00Z", "PT1S", '\x00{"', "\u2028"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "a-b", "1", "2024-02-29", "type"]), inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "a_b", "a-b", "int", '"']), JSON, max_size=3), min_size=1, max_size=4
    )
)
def test_declarations_of_any_sample_check_and_take_every_event_of_it(payloads):
    first = of_sample(*payloads)
    assert first == of_sample(*payloads)


# --- there and back --------------------------------------------------------------------------------------------------

SINGLE = (
    "bool",
    "int",
    "decimal(2)",
    "string(3)",
    "string",
    "enum(a, b)",
    "enum(a, b, ...)",
    "date",
    "timestamp",
    "duration",
)
TYPES = st.recursive(
    st.sampled_from((*SINGLE, "bytes", "R")),
    lambda inner: st.one_of(
        inner.map("list<{}>(3)".format),
        st.tuples(st.sampled_from(("string(3)", "string", "int", "date", "enum(a, b)")), inner).map(
            lambda two: "map<{}, {}>".format(*two)
        ),
    ),
    max_leaves=3,
)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["", "?"]), TYPES), min_size=1, max_size=5))
def test_what_is_exported_as_json_schema_is_imported_as_the_same_events(fields):
    written = ", ".join(f"f{number}{marker}: {type_}" for number, (marker, type_) in enumerate(fields))
    used = "R" if "R" in written else "int"
    before = program(f'event E from "e.1" {{ {written}, r: {used} }}\ntype R {{ q: decimal(1), r?: int }}')
    text = declarations(events_of(decode(json.dumps(of_events(before))), "-"))
    after = program(text)
    assert [("e.1",)] == [one.wires for one in after.event_declarations.values()]
    ((_, old), (_, new)) = (*before.events.items(), *after.events.items())
    assert {name: str(one.type) for name, one in old.fields.items()} == {
        name: str(one.type) for name, one in new.fields.items()
    }


# --- the fines -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not FINES.exists(), reason="the fines are not here: ../shared/data")
def test_the_first_fines_become_declarations_that_take_them():
    sample, taken = Sample(), []
    with gzip.open(FINES) as file:
        for line in islice(file, 20_000):
            event = decode(line)
            taken.append(event)
            sample.add(event["event_type"], event["payload"])
    text = declarations(sample.events(), ["read off"], "fines")
    assert text.startswith("proj 1\nprojection fines\n\n# read off\n")
    checked = program(text.partition("# read off")[2].partition("\n")[2])
    codecs = {name: Codec(one) for name, one in checked.events.items()}
    for event in taken:
        codecs[event["event_type"]].decode(encode(event["payload"]))
    fine = {name: str(one.type) for name, one in checked.events["CreateFine"].fields.items()}
    assert {"amount": "decimal(2)", "total_paid_so_far": "decimal(2)", "article": "int"}.items() <= fine.items()
    assert "enum(A, C, M, R, …)" == fine["vehicle_class"]
