"""Schemas of views and events for those who read them: JSON Schema, TypeScript, models of pydantic."""

from __future__ import annotations

import inspect
import json
from decimal import Decimal

import jsonschema_rs
import msgspec
import pydantic as pydantic_library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_support import imported, json_of, program

from projection.bundled import bundled
from projection.lang.schemas import pydantic as models
from projection.lang.schemas.documentation import UNDOCUMENTED, Documentation
from projection.lang.schemas.json_schema import of_events, of_record
from projection.lang.schemas.typescript import typescript
from projection.lang.values.codec import Codec
from projection.testing.folding import Projection

ALL = """\
## What is kept
## of a "thing".
view V {
  flag: bool, n: int, exact: decimal(2), any: decimal, name: string(5), raw: bytes(4), day: date, at: timestamp,
  took: duration, state: enum(open, "in work"), kind: enum(a, ...), parts: list<Part>(3), seen: set<date>(2),
  by: map<enum(x, y), int>, counts: map<string(3), list<int>>, days: map<date, Part>, more: json, note?: string,
  ## Its name elsewhere.
  other: string from "first-name",
  kinds: list<enum(a, b)>,
}
## A part.
type Part { weight: decimal(3), tag?: string(2) }
"""
EVENTS = """\
## It was made.
event Made from "thing.made" | "ThingMade" { id: string, parts: list<Part>, note?: string, n: int = 0, x: int from "y" | "z" }
type Part { weight: decimal(3), tag?: string(2) }
"""


def exported(text, form, events=False):
    checked = program(text)
    records = list(checked.events.values()) if events else [checked.view]
    return form(records, Documentation.of_program(checked.source))


# --- TypeScript ------------------------------------------------------------------------------------------------------


def test_typescript_says_what_parsing_the_json_of_a_view_yields():
    assert (
        exported(ALL, typescript).partition("/** A part. */")[2]
        == """
export interface Part {
  readonly tag: string | null;
  readonly weight: Decimal;
}

/**
 * What is kept
 * of a "thing".
 */
export interface V {
  readonly any: Decimal;
  readonly at: Timestamp;
  readonly by: { readonly [name in "x" | "y"]?: Int };
  readonly counts: { readonly [name: string]: readonly Int[] };
  readonly day: CalendarDate;
  readonly days: { readonly [name: string]: Part };
  readonly exact: Decimal;
  readonly flag: boolean;
  readonly kind: "a" | (string & {});
  readonly kinds: readonly ("a" | "b")[];
  readonly more: Json;
  readonly n: Int;
  readonly name: string;
  readonly note: string | null;
  /** Its name elsewhere. */
  readonly "first-name": string;
  readonly parts: readonly Part[];
  readonly raw: Base64;
  readonly seen: readonly CalendarDate[];
  readonly state: "open" | "in work";
  readonly took: Duration;
}
"""
    )


def test_typescript_of_events_has_fields_that_may_be_absent():
    assert (
        exported(EVENTS, typescript, events=True).partition("/** It was made. */\n")[2]
        == """\
export interface Made {
  readonly id: string;
  readonly n?: Int | null;
  readonly note?: string | null;
  readonly parts: readonly Part[];
  readonly y: Int;
}
"""
    )


def test_a_type_of_a_program_may_be_called_as_one_of_typescript_names():
    text = exported("view V { d: Decimal, e: decimal(2), j: json }\ntype Decimal { q: int }", typescript)
    assert "export type Decimal_ = number;" in text
    assert "readonly d: Decimal;" in text
    assert "readonly e: Decimal_;" in text
    assert "CalendarDate" not in text  # only what is used is there


def test_a_comment_cannot_end_the_comment_that_it_stands_in():
    assert "*\\/ x" in exported("## a */ x\nview V { n: int }", typescript)


# --- pydantic --------------------------------------------------------------------------------------------------------


def test_models_read_the_json_of_views_as_exact_values(tmp_path):
    module = imported(exported(ALL, models.pydantic), tmp_path)
    view = module.V.model_validate_json(
        '{"any": 1, "at": "2024-02-29T12:00:00Z", "by": {"x": 1}, "counts": {"a": [1]}, "day": "2024-02-29",'
        '"days": {"2024-02-29": {"tag": null, "weight": 1.500}}, "exact": 0.10, "flag": true, "kind": "other",'
        '"kinds": ["a"], "more": {"a": [null]}, "n": 7, "name": "abc", "note": null, "first-name": "Ann", "parts": [],'
        '"raw": "YQ==", "seen": ["2024-02-29"], "state": "in work", "took": "PT90S"}'
    )
    assert (Decimal("0.1"), "Ann", b"a", 90) == (view.exact, view.other, view.raw, view.took.total_seconds())
    assert Decimal("1.5") == next(iter(view.days.values())).weight
    assert 'What is kept\nof a "thing".' == inspect.getdoc(module.V)  # some versions keep a docstring's indentation
    assert "Its name elsewhere." == module.V.model_fields["other"].description


@pytest.mark.parametrize(
    ("field", "wrong"), [("exact", 0.123), ("n", 2**63), ("name", "abcdef"), ("state", "shut"), ("kinds", ["c"])]
)
def test_models_refuse_what_no_view_holds(field, wrong, tmp_path):
    text = "view V { exact: decimal(2) = 0, n: int, name: string(5), state: enum(open), kinds: list<enum(a)> }"
    module = imported(exported(text, models.pydantic), tmp_path)
    right = {"exact": 0.12, "n": 1, "name": "a", "state": "open", "kinds": []}
    module.V.model_validate(right)
    with pytest.raises(pydantic_library.ValidationError, match=field):
        module.V.model_validate({**right, field: wrong})


def test_models_of_events_take_what_may_be_absent(tmp_path):
    module = imported(exported(EVENTS, models.pydantic, events=True), tmp_path)
    made = module.Made.model_validate({"id": "A1", "parts": [{"weight": 1}], "y": 3})
    assert (None, None, 3) == (made.note, made.n, made.x)


def test_no_field_and_no_type_hides_what_a_model_needs(tmp_path):
    fields = (
        "json",
        "copy",
        "class",
        "model_config",
        "model_x",
        "int",
        "str",
        "list",
        "Field",
        "Part",
        "schema",
        "date",
    )
    types = "type Field { int: int }\ntype Part { date?: date, day?: date }\ntype BaseModel { q?: int }"
    view = ", ".join(
        f"{name}: {type_}" for name, type_ in zip(fields, ["int", "Field", "Part", "BaseModel"] * 3, strict=True)
    )
    text = exported(
        f"event E {{ {view}, last: int, more: list<string>, due?: date }}\n{types}", models.pydantic, events=True
    )
    module = imported(text, tmp_path)
    values = {"int": 1, "Field": {"int": 1}, "Part": {"date": None, "day": "2024-02-29"}, "BaseModel": {"q": None}}
    given_ = {
        name: values[type_] for name, type_ in zip(fields, ["int", "Field", "Part", "BaseModel"] * 3, strict=True)
    }
    event = module.E.model_validate({**given_, "last": 1, "more": ["a"], "due": "2024-02-29"})
    assert {**given_, "last": 1, "more": ["a"], "due": "2024-02-29"} == json.loads(event.model_dump_json(by_alias=True))


def test_the_names_that_models_have_themselves_are_those_of_pydantic():
    own = {name for name in dir(pydantic_library.BaseModel) if not name.startswith(("_", "model_"))}
    assert own == models.MODEL_NAMES


# --- real views and generated ones -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fines", "shop_orders", "shop_customers", "shop_sales"])
def test_views_of_the_examples_fit_their_schemas(name, tmp_path):
    folder = bundled(f"projections/{name}")
    projection = Projection.load(folder)
    encode = msgspec.json.Encoder(decimal_format="number").encode
    views = [(view_type, view) for _, view_type, _, view in projection.given(folder / "events.jsonl").all_views()]
    assert views
    for deployed in projection.deployed:
        record = deployed.program.checked.view
        model = getattr(imported(models.pydantic([record], UNDOCUMENTED), tmp_path), record.name)
        validator = jsonschema_rs.validator_for(of_record(record))
        for data in (encode(view) for view_type, view in views if view_type == deployed.entry.view_type):
            validator.validate(json.loads(data))
            model.model_validate_json(data)


SINGLE = (
    "bool",
    "int",
    "decimal(2)",
    "decimal",
    "string(3)",
    "enum(a, b)",
    "enum(a, ...)",
    "date",
    "timestamp",
    "duration",
)
TYPES = st.recursive(
    st.sampled_from((*SINGLE, "bytes(4)", "json", "R")),
    lambda inner: st.one_of(
        inner.map("list<{}>(3)".format),
        st.sampled_from(SINGLE).map("set<{}>(3)".format),
        st.tuples(st.sampled_from(("string(3)", "int", "date", "enum(a, b)")), inner).map(
            lambda two: "map<{}, {}>(3)".format(*two)
        ),
    ),
    max_leaves=3,
)
NAMES = ("a", "b", "json", "class")


def schemas():
    """A view and an event of the same fields."""
    fields = st.lists(st.tuples(st.sampled_from(["", "?"]), TYPES), min_size=1, max_size=4).map(
        lambda found: ", ".join(f"{name}{marker}: {type_}" for name, (marker, type_) in zip(NAMES, found, strict=False))
    )
    return fields.map(
        lambda one: program(f"view V {{ {one} }}\nevent E {{ {one} }}\ntype R {{ q: decimal(1), r?: bytes(2) }}")
    )


def plain(value):
    """A value as either side holds it."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, pydantic_library.BaseModel):
        return {field.alias or name: plain(getattr(value, name)) for name, field in type(value).model_fields.items()}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, frozenset)):
        return {str(plain(one)) if not isinstance(one, Decimal) else str(one.normalize()) for one in value}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("form", ["view", "event"])
@settings(max_examples=25)
@given(checked=schemas(), data=st.data())
def test_generated_models_and_schemas_take_all_values_of_their_types(form, checked, data, tmp_path_factory):
    encoder = msgspec.json.Encoder(decimal_format="number")
    payload = encoder.encode(data.draw(json_of(checked.events["E"])))
    codec = Codec(checked.events["E"])
    event = codec.decode(payload)
    record = checked.view if form == "view" else checked.events["E"]
    sent = codec.encode(event)  # of an event, too, as the program holds it: a producer may write a date as a timestamp
    schema = of_record(checked.view) if form == "view" else {**of_events(checked), "$ref": "#/$defs/E"}
    jsonschema_rs.validate(schema, json.loads(sent))
    module = imported(models.pydantic([record], UNDOCUMENTED), tmp_path_factory.getbasetemp())
    model = getattr(module, record.name).model_validate(json.loads(sent, parse_float=Decimal))
    assert plain(event) == plain(model)
