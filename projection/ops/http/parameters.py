"""Queries as they stand in an address: `?status=paid&balance[gt]=100&sort=-balance&limit=20`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from projection.lang import types as ty
from projection.ops.http.problems import RequestError
from projection.query.errors import QueryLimitError
from projection.query.form import ID, OPERATORS, Query, read_filter
from projection.query.freshness import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projection.model.ids import ViewType
    from projection.model.query_limits import QueryLimits
    from projection.query.paths import ViewPath
    from projection.query.schema import ViewSchema

    Parameters = Sequence[tuple[str, str]]

FRESHNESS = ("min_sequence", "wait_ms", "max_lag_s")
_LISTS = ("sort", "select")  # with commas, or several times
_ONCE = ("filter", "limit", "cursor", "count", *FRESHNESS)
_FIELD = re.compile(r"(?P<path>.*?)(?:\[(?P<op>[a-z_]+)\])?", re.DOTALL)
_MAX_FIELDS = 2_000
_MAX_DIGITS = 20
_TRUTHS = {"true": True, "false": False}


def read_parameters(query_string: bytes) -> Parameters:
    """The parameters of an address, in their order.

    Raises:
        RequestError: they are not UTF-8 once they are unescaped, or too many.
    """
    if not query_string:
        return ()
    try:
        return parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise RequestError("http.invalid", "the parameters are no UTF-8 once they are unescaped") from None
    except ValueError:
        raise RequestError("http.invalid", f"an address has at most {_MAX_FIELDS:,} parameters") from None


def none_expected(query_string: bytes, known: Sequence[str] = ()) -> None:
    """Refuse parameters that mean nothing: a slip of the pen is not a default.

    Raises:
        RequestError: there are such.
    """
    for name, _ in read_parameters(query_string):
        if name not in known:
            raise _unknown(name, known)


def read_texts(query_string: bytes, known: Sequence[str]) -> dict[str, str]:
    """Parameters that may be there once each.

    Raises:
        RequestError: one is not known, or is there twice.
    """
    found: dict[str, str] = {}
    for name, text in read_parameters(query_string):
        if name not in known:
            raise _unknown(name, known)
        if name in found:
            raise RequestError("http.invalid", f"the parameter {name} is there twice")
        found[name] = text
    return found


def read_number(texts: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 1 on.

    Raises:
        RequestError: it is none, or is beyond what is allowed.
    """
    text = texts.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS or not 1 <= int(text) <= most:
        raise _wrong(name, f"a whole number from 1 to {most:,}")
    return int(text)


def read_wanted(parameters: Parameters) -> Wanted:
    """How fresh an answer to this request must be.

    Raises:
        RequestError: a parameter is not known, there twice, or no number.
    """
    given: dict[str, Any] = {}
    for name, text in parameters:
        if name not in FRESHNESS:
            raise _unknown(name, FRESHNESS)
        _put(given, name, text)
    return Wanted(given.get("min_sequence"), given.get("wait_ms", 0), given.get("max_lag_s"))


def read_query(
    view_type: ViewType, parameters: Parameters, schema_of: Callable[[ViewType], ViewSchema], limits: QueryLimits
) -> Query:
    """The query that the parameters of `GET /v1/views/{view_type}` make.

    Args:
        view_type: whose views.
        parameters: of the address.
        schema_of: gives the schema of a view type; asked where a field's type decides what a text means.
        limits: what a query may take; conditions are counted before they are looked at.

    Raises:
        RequestError: a parameter is there twice, or is no number.
        QueryError: the query cannot be understood.
    """
    given: dict[str, Any] = {"view": str(view_type)}
    conditions: list[dict[str, Any]] = []
    ids: list[str] = []
    for name, text in parameters:
        if name in _ONCE:
            _put(given, name, text, limits)
        elif name in _LISTS:
            given.setdefault(name, []).extend(text.split(","))
        elif name == "id":
            ids.append(text)
        else:
            if len(conditions) == limits.filter_leaves:
                raise QueryLimitError(
                    f"there are more conditions than {limits.filter_leaves:,}",
                    limit="filter_leaves",
                    value=limits.filter_leaves,
                    hint="ask for less at a time, or send the query by POST /v1/query",
                    pointer="/filter",
                )
            _add_condition(conditions, name, text, schema_of(view_type))
    if ids:
        conditions.append({"field": ID, "op": "in", "value": ids})
        given.setdefault("limit", len(ids))
    filter_ = given.pop("filter", None)
    if conditions:
        if filter_ is not None:
            raise RequestError(
                "http.invalid",
                "the parameter filter cannot be combined with conditions on fields or ids",
                hint="put all of them into filter, or send the query by POST /v1/query",
            )
        given["filter"] = {"and": conditions}
    query = Query.read(given, limits)
    return query if filter_ is None else query.model_copy(update={"filter": filter_})


def _put(given: dict[str, Any], name: str, text: str, limits: QueryLimits | None = None) -> None:
    if name in given:
        raise RequestError("http.invalid", f"the parameter {name} is there twice")
    if name == "filter":
        given[name] = read_filter(text, limits)
    elif name == "cursor":
        given[name] = text
    elif name == "count":
        if text not in _TRUTHS:
            raise _wrong(name, "true or false")
        given[name] = _TRUTHS[text]
    elif name == "max_lag_s":
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
            raise _wrong(name, "a number of seconds, like 2.5")
        given[name] = float(text)
    else:
        if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
            raise _wrong(name, "a whole number")
        given[name] = int(text)


def _add_condition(conditions: list[dict[str, Any]], name: str, text: str, schema: ViewSchema) -> None:
    match = _FIELD.fullmatch(name)
    path, op = (name, "eq") if match is None else (match["path"], match["op"] or "eq")
    if not path or op not in OPERATORS:
        raise RequestError(
            "http.invalid",
            f"the parameter {name[:80]!r} is not a condition: FIELD=VALUE or FIELD[OP]=VALUE",
            hint=f"operators are {', '.join(OPERATORS)}",
        )
    value: Any = _TRUTHS.get(text, text) if op == "exists" else _value(text, op, schema.resolve(_steps(path)))
    if op == "in":
        for one in conditions:  # each time one more of the values
            if (one["field"], one["op"]) == (path, op):
                one["value"].append(value)
                return
        value = [value]
    conditions.append({"field": path, "op": op, "value": value})


def _steps(path: str) -> tuple[str, ...]:
    steps = tuple(path.split("."))
    if "" in steps:
        raise RequestError("http.invalid", f"the parameter {path[:80]!r} is no path: a step of it is empty")
    return steps


def _value(text: str, op: str, path: ViewPath) -> Any:
    """A text as JSON of what is compared; what is none of it stays a text, and is refused as one."""
    type_ = path.type
    if op == "contains" and isinstance(type_, (ty.List, ty.Set)):
        type_ = type_.item
    if path.is_optional and text == "null" and not isinstance(type_, (ty.String, ty.Enum)):
        return None
    if isinstance(type_, ty.Bool):
        return _TRUTHS.get(text, text)
    if isinstance(type_, ty.Int) and re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII):
        return int(text)
    return text


def _wrong(name: str, wanted: str) -> RequestError:
    return RequestError("http.invalid", f"the parameter {name} is not {wanted}")


def _unknown(name: str, known: Sequence[str]) -> RequestError:
    return RequestError(
        "http.invalid",
        f"the parameter {name[:80]!r} means nothing here",
        hint=f"known here: {', '.join(known)}" if known else None,
    )
