"""Generated view types: a schema as a small tree of its own, its program's text, and views as JSON.

Kinds: a single value's name, and ("opt", K), ("list", K), ("set", K), ("map", key, K), ("record", ((name, K), …)).
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

SINGLE = {
    "bool": "bool",
    "int": "int",
    "cents": "decimal(2)",
    "decimal": "decimal",
    "string": "string(30)",
    "enum": "enum(red, green, blue)",
    "open": "enum(red, green, ...)",
    "date": "date",
    "timestamp": "timestamp",
    "duration": "duration",
    "bytes": "bytes(40)",
}
SETTABLE = [kind for kind in SINGLE if kind != "bytes"]
KEYS = ["string", "int", "date", "enum"]
NAMES = ["a", "b", "c", "type", "to", "with"]  # words of the language may name fields

Kind = Any


# --- schemas ---------------------------------------------------------------------------------------------------------

single = st.sampled_from(list(SINGLE))


def kinds(depth: int = 2) -> st.SearchStrategy[Kind]:
    """Any kind but an optional one."""
    if not depth:
        return single
    inner = kinds(depth - 1)
    return st.one_of(
        single,
        st.just("json"),
        st.tuples(st.just("list"), inner),
        st.tuples(st.just("set"), st.sampled_from(SETTABLE)),
        st.tuples(st.just("map"), st.sampled_from(KEYS), inner),
        records(depth - 1),
    )


def records(depth: int) -> st.SearchStrategy[Kind]:
    """A record of one to four fields, some of which may be none."""
    one = kinds(depth)
    field = st.one_of(one, st.tuples(st.just("opt"), one))
    names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
    return names.flatmap(lambda given: st.tuples(*[field for _ in given]).map(
        lambda found: ("record", tuple(zip(given, found, strict=True)))
    ))  # fmt: skip


views = records(3)


def program_of(view: Kind) -> str:
    """A program whose views are of this record."""
    declared: list[str] = []

    def written(kind: Kind) -> str:
        if isinstance(kind, str):
            return SINGLE.get(kind, kind)
        match kind:
            case ("opt", inner):
                return written(inner) + "?"
            case ("list" | "set" as what, inner):
                return f"{what}<{written(inner)}>"
            case ("map", key, inner):
                return f"map<{SINGLE[key]}, {written(inner)}>"
            case ("record", fields):
                body = fields_of(fields)
                declared.append(f"type R{len(declared)} {{ {body} }}")
                return f"R{len(declared) - 1}"
        raise AssertionError(kind)

    def fields_of(fields: Any) -> str:
        return ", ".join(f"{name}: {written(kind)}" for name, kind in fields)

    body = fields_of(view[1])
    return "\n".join(
        ["proj 1", "projection generated", "event E {}", *declared, f"view V {{ {body} }}", "on E to none => keep", ""]
    )


# --- values: JSON of a kind ------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.sampled_from(["", "a", "ab", "b", "red", "é", "\U0001d4b3", 'say "no"', "{x}", "a\\b", "\x00", "0", "1"]),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
NEW_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
DECIMALS = st.decimals(-1000, 1000, places=3).map(str)
_single: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
    "cents": st.one_of(st.integers(-3, 3), st.integers(-(10**9), 10**9)).map(lambda n: Decimal(n).scaleb(-2)),
    "decimal": st.one_of(st.sampled_from(["0", "1", "1.0", "1.00", "-0.5", "0.000001"]), DECIMALS).map(Decimal),
    "string": TEXTS,
    "enum": st.sampled_from(["red", "green", "blue"]),
    "open": st.sampled_from(["red", "green", "mauve"]),
    "date": st.dates(date(1999, 12, 30), date(2000, 1, 3)).map(str),
    "timestamp": st.integers(-(10**11), 10**11).map(
        lambda n: f"{NEW_YEAR + timedelta(microseconds=n):%Y-%m-%dT%H:%M:%S.%fZ}"
    ),
    "duration": st.integers(-3, 10**6).map(lambda n: f"PT{n}S" if n >= 0 else f"-PT{-n}S"),
    "bytes": st.binary(max_size=3).map(lambda b: base64.b64encode(b).decode()),
}
_json = st.recursive(
    st.one_of(st.booleans(), st.integers(-2, 2), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """JSON values of a kind, with exact numbers."""
    if kind == "json":
        return _json
    if isinstance(kind, str):
        return _single[kind]
    match kind:
        case ("opt", inner):
            return st.one_of(st.none(), values(inner))
        case ("list", inner):
            return st.lists(values(inner), max_size=3)
        case ("set", inner):
            return st.lists(values(inner), max_size=3).map(lambda items: _as_set(items, inner))
        case ("map", key, inner):
            entries = st.dictionaries(values(key).map(str), values(inner), max_size=3)
            return entries.map(
                lambda found: dict(sorted(found.items(), key=lambda pair: typed(_key(pair[0], key), key)))
            )
        case ("record", fields):
            return st.fixed_dictionaries({name: values(one) for name, one in sorted(fields)})
    raise AssertionError(kind)


def _as_set(items: list[Any], kind: Kind) -> list[Any]:
    found: list[Any] = []
    for item in sorted(items, key=lambda one: typed(one, kind)):
        if not found or typed(found[-1], kind) != typed(item, kind):
            found.append(item)
    return found


def _key(text: str, kind: Kind) -> Any:
    return int(text) if kind == "int" else text


def stored(view: Any) -> bytes:
    """A view's bytes as a store holds them: numbers with all their digits."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(key)}:{written(one)}" for key, one in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(written, value)) + "]"
        return format(value, "f") if isinstance(value, Decimal) else json.dumps(value)

    return written(view).encode()


def typed(value: Any, kind: Kind) -> Any:
    """A JSON value as Python compares it."""
    match kind:
        case "cents" | "decimal":
            return Decimal(value)
        case "date":
            return date.fromisoformat(value)
        case "timestamp":
            return datetime.fromisoformat(value).astimezone(UTC)
        case "duration":
            seconds = Decimal(value.strip("-PTS"))
            return timedelta(seconds=int(-seconds if value.startswith("-") else seconds))
        case "bytes":
            return base64.b64decode(value)
    return value
