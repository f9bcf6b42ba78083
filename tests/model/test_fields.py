"""Reading documents as structs: what fits is kept as it is, and all that does not is told, each with its field."""

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta, field
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from projection.model.fields import FieldsInvalidError, Struct, read_struct
from projection.model.ids import ViewType
from projection.model.problems import problems


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Struct, frozen=True, kw_only=True):
    size: Annotated[int, Meta(ge=1, le=5)] = 2
    colour: Colour = Colour.RED


class Outer(Struct, frozen=True, kw_only=True):
    version: Literal[1]
    name: str
    note: str | None = None
    flag: bool = False
    names: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    inner: Inner = Inner()
    by_name: dict[ViewType, Inner] = field(default_factory=dict)
    events: str | list[dict[str, Any]] = ""


class PydanticModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PydanticInner(PydanticModel):
    size: Annotated[int, Field(ge=1, le=5)] = 2
    colour: Colour = Colour.RED


class PydanticOuter(PydanticModel):
    """The same, as pydantic has it; but for `events`, of which it tells two problems where it is neither."""

    version: Literal[1]
    name: str
    note: str | None = None
    flag: bool = False
    names: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    inner: PydanticInner = PydanticInner()
    by_name: dict[ViewType, PydanticInner] = {}
    events: Any = ""


SCALARS = st.none() | st.booleans() | st.integers(-1, 7) | st.sampled_from(["", "a", "red", "green", "A-1", 0.5, 1.0])
NAMES = st.sampled_from(["a", "b_1", "A-1", "size", "colour", "colr"])
ANYTHING = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=3)
INNER = ANYTHING | st.fixed_dictionaries({"size": st.integers(0, 6)}, optional={"colour": SCALARS, "colr": SCALARS})
DOCUMENTS = st.fixed_dictionaries(
    {"by_name": st.dictionaries(NAMES, INNER, min_size=4)},
    optional={
        "version": st.sampled_from([1, "1", 2]),  # and not True and 1.0, which pydantic takes for 1
        "name": st.just("x") | ANYTHING,
        "note": ANYTHING,
        "flag": st.booleans() | ANYTHING,
        "names": st.lists(st.just("x") | SCALARS, max_size=3) | ANYTHING,
        "inner": INNER,
        "nmae": ANYTHING,
    },
)


def plain(value: Any) -> Any:
    """A value of either as plain ones, so that they can be compared."""
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, BaseModel):
        return {name: plain(one) for name, one in dict(value).items()}
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


@given(DOCUMENTS)
@example(None)
@example([])
@example({})
@example({"version": 1, "name": "x", "by_name": []})
def test_it_takes_refuses_and_names_what_pydantic_does(document: Any) -> None:
    expected: Any
    try:
        expected = plain(PydanticOuter.model_validate_json(json.dumps(document)))
    except ValidationError as error:
        expected = {
            (one.path, one.text.replace("a valid array", "a valid list")) for one in problems(error, PydanticOuter)
        }
    try:
        found = plain(read_struct(Outer, document))
    except FieldsInvalidError as error:
        found = {(one.path, one.text) for one in error.problems}

    assert expected == found


@pytest.mark.parametrize("value", [True, 1.0, "1"])
def test_a_literal_takes_nothing_that_only_equals_it(value: Any) -> None:
    with pytest.raises(FieldsInvalidError, match=f"^field version: {value!r} is not allowed; it must be 1$"):
        read_struct(Outer, {"version": value, "name": ""})


@pytest.mark.parametrize("value", ["", "a", [], [{}], [{"x": [1, None]}]])
def test_a_field_of_two_kinds_takes_either(value: Any) -> None:
    assert value == read_struct(Outer, {"version": 1, "name": "", "events": value}).events


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        (1, "events", "1 is not allowed; it must be a valid string"),
        (["x"], "events.0", "must be a mapping, not a text"),
    ],
)
def test_where_a_field_of_two_kinds_takes_neither_one_problem_is_told(value: Any, field: str, text: str) -> None:
    with pytest.raises(FieldsInvalidError) as caught:
        read_struct(Outer, {"version": 1, "name": "", "events": value})

    assert [(field, text)] == [(one.field, one.text) for one in caught.value.problems]
