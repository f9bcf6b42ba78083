"""UQF, the form of every query: what one says, and how it is read from JSON or from Python values.

Numbers are exact: JSON is read with decimals, never with floats. What is wrong is one error with a JSON pointer.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, TypeVar, Union, get_args

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from projection.lang.reporting import closest
from projection.lang.values.plain import plain
from projection.model.ids import ViewType  # noqa: TC001 - pydantic reads it
from projection.query.errors import QueryInvalidError, QueryLimitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projection.model.query_limits import QueryLimits

ID = "$id"  # as a field: the view's id
MAX_STEPS = 32
MAX_TEXT = 65_536  # of a filter; what one query may take is set lower
MAX_PARTS = 10_000  # operands of one `and` or `or`
MAX_NESTING = 100
MAX_SORT_KEYS = 8
MAX_SELECTED = 200
MAX_CURSOR = 4_096
_REST = 64 * 1024  # bytes of a query without its filter: views are selected, and blanks laid out

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "starts_with", "exists"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

Steps: TypeAlias = tuple[str | int, ...]


def _steps(written: Any) -> Steps:
    """A path's steps, from `"a.b.0"` or from `["a", "b", 0]`."""
    if isinstance(written, str):
        written = written.split(".")
        if "" in written:
            raise ValueError("a path has one step at least, and none is empty")
    if not isinstance(written, (list, tuple)) or any(type(step) not in (str, int) for step in written):
        raise ValueError('a path is a text such as "lines.sku", or a list of texts and numbers')
    if not written:
        raise ValueError("a path has one step at least")
    if len(written) > MAX_STEPS:
        raise ValueError(f"a path has at most {MAX_STEPS} steps")
    return tuple(written)


_STEPS_SCHEMA = {
    "description": 'Where in the view: `"a.b"`, or `["a", "b"]`. A number is an item of a list; without one, any item '
    "is meant. In a map a step is a key. `$id` is the view's id.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_STEPS,
            "items": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
        },
    ],
}
Path = Annotated[
    Steps, PlainValidator(_steps), PlainSerializer(list, return_type=list[str | int]), WithJsonSchema(_STEPS_SCHEMA)
]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class And(_Form):
    """True where all of its parts are."""

    parts: Annotated[tuple[Node, ...], Field(alias="and", min_length=1, max_length=MAX_PARTS)]


class Or(_Form):
    """True where one of its parts is."""

    parts: Annotated[tuple[Node, ...], Field(alias="or", min_length=1, max_length=MAX_PARTS)]


class Not(_Form):
    """True where its part is not."""

    part: Annotated[Node, Field(alias="not")]


class Comparison(_Form):
    """What is at a path, against a value. Where nothing is, comparisons are false; `ne` is the opposite of `eq`."""

    field: Path
    op: Operator
    value: Annotated[
        Any, Field(description="JSON of the field's type; a decimal also as a text. `exists` needs none.")
    ] = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if self.op == "exists":
            if "value" in self.model_fields_set and not isinstance(self.value, bool):
                raise ValueError("`exists` takes true, false or no value")
        elif "value" not in self.model_fields_set:
            raise ValueError(f"`{self.op}` needs a `value`")
        return self


def _kind(written: Any) -> str | None:
    """Which form of a filter it is; the tags stand in pydantic's locations and nowhere else."""
    if isinstance(written, str):
        return "<text>"
    if isinstance(written, BaseModel):
        return f"<{type(written).__name__.lower()}>"
    if isinstance(written, dict):
        return next((f"<{key}>" for key in ("and", "or", "not") if key in written), "<comparison>")
    return None


_NO_FILTER = '{"and": […]}, {"or": […]}, {"not": …} or {"field": …, "op": …, "value": …}'
_Nodes = Annotated[And, Tag("<and>")] | Annotated[Or, Tag("<or>")] | Annotated[Not, Tag("<not>")] | Annotated[
    Comparison, Tag("<comparison>")
]  # fmt: skip
Node: TypeAlias = Annotated[
    _Nodes,
    Discriminator(_kind, custom_error_type="no_filter", custom_error_message=f"a part of a filter is {_NO_FILTER}"),
]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Filter: TypeAlias = Annotated[
    Union[Annotated[_Text, Tag("<text>")], _Nodes],  # noqa: UP007 - the parts are annotated already
    Discriminator(_kind, custom_error_type="no_filter", custom_error_message=f"a filter is a text, {_NO_FILTER}"),
]
for _model in (And, Or, Not):
    _model.model_rebuild()


class SortKey(_Form):
    """What views are sorted by: what is at a path, upwards unless `desc`; where nothing is, the view comes first."""

    field: Path
    desc: bool = False


def _sort_key(written: Any) -> Any:
    if isinstance(written, str):
        return {"field": written.removeprefix("-"), "desc": written.startswith("-")}
    return written


_SORT_SCHEMA = {
    "description": 'A path, ascending; with a `-` in front, descending: `"-balance"`.',
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"field": _STEPS_SCHEMA, "desc": {"type": "boolean", "default": False}},
            "required": ["field"],
            "additionalProperties": False,
        },
    ],
}
_Sort = Annotated[SortKey, BeforeValidator(_sort_key), WithJsonSchema(_SORT_SCHEMA)]
_Whole = Annotated[int, Field(strict=True, ge=0, lt=2**63)]


class Query(_Form):
    """One question for views of one type; what is not said has the defaults of the settings."""

    view: Annotated[ViewType, Field(description="The view type.")]
    filter: Annotated[
        Filter | None, Field(description="The filter: a condition in the projection language, or a structured one.")
    ] = None
    sort: Annotated[tuple[_Sort, ...], Field(max_length=MAX_SORT_KEYS, description="By default, by id.")] = ()
    select: Annotated[
        tuple[Path, ...] | None,
        Field(min_length=1, max_length=MAX_SELECTED, description="The fields; all by default."),
    ] = None
    limit: Annotated[int, Field(strict=True, ge=1, lt=2**31, description="Views per page.")] | None = None
    cursor: Annotated[
        str | None, Field(min_length=1, max_length=MAX_CURSOR, description="`next` of the previous page.")
    ] = None
    count: Annotated[bool, Field(strict=True, description="Whether all views that match are counted.")] = False
    min_sequence: Annotated[
        _Whole | None, Field(description="The sequence of an event that must be included, from its acknowledgment.")
    ] = None
    wait_ms: Annotated[_Whole | None, Field(description="How long to wait for that event.")] = None
    max_lag_s: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False, description="The largest lag that the answer may have.")
    ] = None

    @classmethod
    def read(cls, written: bytes | str | Mapping[str, Any], limits: QueryLimits | None = None) -> Self:
        """A query from its JSON, or from Python values, which count as the JSON that they make.

        Args:
            written: the query.
            limits: what it may take; its size is looked at before anything else is. None: it is not looked at.

        Raises:
            QueryInvalidError: it is none, with a pointer to what is wrong.
            QueryLimitError: it is longer than allowed.
        """
        if limits is not None and isinstance(written, (bytes, str)) and len(written) > _REST + 2 * limits.filter_bytes:
            raise _too_long(f"the query has {len(written):,} bytes", limits, "")
        return _read(cls, written, limits)


class _Filtered(_Form):
    filter: Filter


def read_filter(text: str, limits: QueryLimits | None = None) -> Filter:
    """A filter as it stands in a URL or on a command line: a condition, or the JSON of a structured one.

    Raises:
        QueryInvalidError: it is none, with a pointer to what is wrong.
        QueryLimitError: it is longer than `limits` allow.
    """
    is_structured = text.lstrip().startswith("{")  # no condition begins so
    return _read(_Filtered, {"filter": _plain(text) if is_structured else text}, limits).filter


def _too_long(message: str, limits: QueryLimits, pointer: str) -> QueryLimitError:
    return QueryLimitError(
        f"{message}, and a filter may have {limits.filter_bytes:,} bytes", limit="filter_bytes",
        value=limits.filter_bytes, hint="make it shorter, or put a part into a function of the program",
        pointer=pointer,
    )  # fmt: skip


Model = TypeVar("Model", bound=BaseModel)


def _read(model: type[Model], written: bytes | str | Mapping[str, Any], limits: QueryLimits | None = None) -> Model:
    value = _plain(written)
    if not isinstance(value, dict):
        raise QueryInvalidError("a query is an object of JSON", pointer="")
    if limits is not None and isinstance(value.get("filter"), dict):
        size = len(_encoder.encode(value["filter"]))
        if size > limits.filter_bytes:
            raise _too_long(f"the filter is {size:,} bytes of JSON", limits, "/filter")
    if _is_deep(value):
        raise QueryInvalidError(f"the query nests more than {MAX_NESTING} levels deep", pointer="")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _invalid(error, value) from None


_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=plain)


def _plain(written: bytes | str | Mapping[str, Any]) -> Any:
    """The JSON values, with exact numbers."""
    try:
        value = _decoder.decode(written if isinstance(written, (bytes, str)) else _encoder.encode(written))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, InvalidOperation, TypeError, ValueError) as error:
        raise QueryInvalidError(f"the query is not JSON: {error}", pointer="") from None
    if isinstance(written, (bytes, str)):
        with suppress(RecursionError):  # it nests too deeply, which is seen next
            json.loads(written, object_pairs_hook=_named_once, parse_int=str, parse_float=str)
    return value


def _named_once(members: list[tuple[str, Any]]) -> None:
    """Refuse an object in which a name is there twice: the decoder would take the last one without a word."""
    names = Counter(name for name, _ in members)
    if len(names) < len(members):
        (name, _), *_ = names.most_common(1)
        raise QueryInvalidError(
            f"the name {_short(name)!r} is there {names[name]} times in one object of the query",
            hint="leave one of them",
            pointer="",
        )


def _is_deep(value: Any) -> bool:
    """Whether it nests too deeply; without recursion, for nothing has bound it yet."""
    level = [value]
    for _ in range(MAX_NESTING):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def pointer(*steps: str | int) -> str:
    """The JSON pointer of these steps."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _invalid(error: ValidationError, value: Any) -> QueryInvalidError:
    """The first thing that is wrong with a query, where it stands in what was given."""
    first = error.errors(include_url=False, include_context=True)[0]
    steps: list[str | int] = []
    here = value
    for step in first["loc"]:
        is_there = step in here if isinstance(here, dict) else isinstance(here, list) and isinstance(step, int)
        if is_there:
            here = here[step]
        elif str(step).startswith("<"):
            continue  # a tag
        steps.append(step)
    name = steps[-1] if steps else ""
    at = pointer(*steps)
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _names(steps)
        near = closest(str(name), known)
        hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(known)}"
        return QueryInvalidError(f"there is no `{_short(name)}` here", hint=hint, pointer=at)
    if kind == "missing":
        return QueryInvalidError(f"`{name}` is missing", pointer=pointer(*steps[:-1]))
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "This should").replace("tuple", "list")
    return QueryInvalidError(message[:1].lower() + message[1:], pointer=at)


def _names(steps: list[str | int]) -> list[str]:
    """What stands beside a name that is not known."""
    model: type[BaseModel] = Query if len(steps) == 1 else SortKey if steps[0] == "sort" else Comparison
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [*names, "and", "or", "not"] if model is Comparison else names


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 80 else text[:79] + "…"
