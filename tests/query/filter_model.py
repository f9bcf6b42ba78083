"""What a filter means, in plain Python, told by nothing of the package; generated filters; each as a text, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from view_schemas import DECIMALS, KEYS, SINGLE, TEXTS, Kind, typed, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Draw = Callable[[st.SearchStrategy[Any]], Any]

ORDERED = ("lt", "le", "gt", "ge")


# --- meaning ---------------------------------------------------------------------------------------------------------


def takes(node: Any, view: Any, kind: Kind, view_id: str) -> bool:
    """Whether a structured filter takes a view, which is JSON of a kind."""
    match node:
        case {"and": parts}:
            return all(takes(part, view, kind, view_id) for part in parts)
        case {"or": parts}:
            return any(takes(part, view, kind, view_id) for part in parts)
        case {"not": part}:
            return not takes(part, view, kind, view_id)
    path, op, value = node["field"], node["op"], node.get("value")
    found = [(view_id, "string")] if path == ["$id"] else list(reached(view, kind, path))
    if op == "exists" or (op in ("eq", "ne") and value is None):
        return bool(found) == (op == "ne" or (op == "exists" and value is not False))
    is_true = any(compares(one, there, "eq" if op == "ne" else op, value) for one, there in found)
    return is_true != (op == "ne")


def reached(value: Any, kind: Kind, path: list[Any]) -> Iterator[tuple[Any, Kind]]:
    """What a path leads to in a value: nothing, one value, or several."""
    if kind[0] == "opt":
        kind = kind[1]
    if value is None:
        return
    if not path:
        yield value, kind
        return
    step, rest = path[0], path[1:]
    if kind == "json":
        if isinstance(value, dict) and isinstance(step, str):
            yield from reached(value.get(step), kind, rest)
        elif isinstance(value, list) and isinstance(step, int):
            yield from reached(value[step] if step < len(value) else None, kind, rest)
        return
    match kind:
        case ("record", fields):
            yield from reached(value[step], dict(fields)[step], rest)
        case ("map", _key, inner):
            yield from reached(value.get(str(step)), inner, rest)
        case ("list", inner) if isinstance(step, int):
            yield from reached(value[step] if step < len(value) else None, inner, rest)
        case ("list" | "set", inner):
            for item in value:
                yield from reached(item, inner, path)


def compares(found: Any, kind: Kind, op: str, value: Any) -> bool:
    """One comparison of what is there."""
    if op == "in":
        return any(compares(found, kind, "eq", one) for one in value)
    if op == "contains" and isinstance(found, list):
        return any(typed(one, kind[1]) == typed(value, kind[1]) for one in found)
    if op == "contains" and isinstance(found, dict):
        return str(value) in found
    if op == "contains":
        return value in found
    if op == "starts_with":
        return found.startswith(value)
    if kind == "json":
        return _shown(found) == _shown(value)
    one, other = typed(found, kind), typed(value, kind)
    return {"eq": one == other, "lt": op == "lt" and one < other, "le": op == "le" and one <= other,
            "gt": op == "gt" and one > other, "ge": op == "ge" and one >= other}[op]  # fmt: skip


def _shown(value: Any) -> Any:
    """JSON so that `true` is not 1, and members have no order."""
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list) else (type(value).__name__, value)


# --- generated filters -----------------------------------------------------------------------------------------------


class Comparing(NamedTuple):
    """A path, what it leads to, and what can be asked there."""

    path: list[Any]
    kind: Kind


@st.composite
def filters(draw: Draw, kind: Kind, depth: int = 3) -> Any:
    """A structured filter of views of a kind."""
    shape = draw(st.sampled_from(["leaf", "leaf", "and", "or", "not"])) if depth else "leaf"
    if shape == "leaf":
        return draw(comparisons(kind))
    if shape == "not":
        return {"not": draw(filters(kind, depth - 1))}
    return {shape: draw(st.lists(filters(kind, depth - 1), min_size=1, max_size=3))}


@st.composite
def comparisons(draw: Draw, kind: Kind) -> Any:
    """One comparison."""
    path, there = draw(paths(kind)) if draw(st.integers(0, 9)) else (["$id"], "string")
    op = draw(st.sampled_from(_operators(there)))
    leaf: dict[str, Any] = {"field": path, "op": op}
    if op == "exists":
        return leaf | draw(st.sampled_from([{}, {"value": True}, {"value": False}]))
    if op in ("eq", "ne") and not draw(st.integers(0, 5)):
        return leaf | {"value": None}
    return leaf | {"value": draw(_operand(there, op))}


@st.composite
def paths(draw: Draw, kind: Kind) -> tuple[list[Any], Kind]:
    """A path, and the kind of what is there."""
    path: list[Any] = []
    here, each, must = kind, 0, False  # an item is only meant if the path goes on into it
    while True:
        if here[0] == "opt":
            here = here[1]
        is_item, must = must, False
        stays = bool(path) and not is_item and not draw(st.integers(0, 2))
        if here == "json" and not stays and len(path) < 6:
            path.append(draw(st.sampled_from(["a", "b", 0, 1])))
            continue
        match here:
            case ("record", fields) if not stays:
                name, here = draw(st.sampled_from(list(fields)))
                path.append(name)
            case ("map", key, inner) if not stays:
                step = draw(values(key))
                path.append("a" if is_item and step.isdigit() else step)  # a number would mean that item
                here = inner
            case ("list", inner) if not stays and not is_item and draw(st.booleans()):
                path.append(draw(st.integers(0, 2)))
                here = inner
            case ("list", inner) if not stays and each < 3 and _goes_on(inner):
                each, must = each + 1, True
                here = inner
            case _:
                return path, here


def _goes_on(kind: Kind) -> bool:
    """Whether a path that means any item can go on into it."""
    return kind[0] == "record" or (kind[0] == "map" and kind[1] != "int") or (kind[0] == "list" and _goes_on(kind[1]))


def _operators(kind: Kind) -> list[str]:
    if kind in ("string", "enum", "open"):
        return ["eq", "ne", *ORDERED, "in", "contains", "starts_with", "exists"]
    if kind == "bool":
        return ["eq", "ne", "in", "exists"]
    if kind in SINGLE:
        return ["eq", "ne", *ORDERED, "in", "exists"]
    if kind == "json":
        return ["eq", "ne", "exists"]
    is_simple = kind[0] == "map" or (kind[0] in ("list", "set") and kind[1] in SINGLE)
    return ["contains", "exists"] if is_simple else ["exists"]


def _operand(kind: Kind, op: str) -> st.SearchStrategy[Any]:
    if op == "in":
        return st.lists(_operand(kind, "eq"), max_size=3)
    if op == "contains" and kind[0] in ("list", "set", "map"):
        return values(kind[1])
    if kind in ("string", "enum", "open") and op in (*ORDERED, "contains", "starts_with"):
        return TEXTS
    if kind in ("cents", "decimal"):
        return st.one_of(values(kind), values("int"), DECIMALS)  # of more digits; as a text
    return values(kind)


# --- the same as a text ----------------------------------------------------------------------------------------------


class NoTextError(Exception):
    """A filter that cannot be written as a text of the language."""


class Writer:
    """Writes a structured filter as a condition of the language."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._names = 0

    def text(self, node: Any) -> str:
        match node:
            case {"and": parts}:
                return " and ".join(f"({self.text(part)})" for part in parts)
            case {"or": parts}:
                return " or ".join(f"({self.text(part)})" for part in parts)
            case {"not": part}:
                return f"not ({self.text(part)})"
        path, op, value = node["field"], node["op"], node.get("value")
        if op == "exists" or (op in ("eq", "ne") and value is None):
            is_wanted = op == "ne" or (op == "exists" and value is not False)
            there = self._at(path, lambda _here, _kind: "true")
            return there if is_wanted else f"not ({there})"
        text = self._at(path, lambda here, kind: self._test(here, kind, "eq" if op == "ne" else op, value))
        return f"not ({text})" if op == "ne" else text

    def _at(self, path: list[Any], test: Callable[[str, Kind], str]) -> str:
        return test("id", "string") if path == ["$id"] else self._on("view", self._kind, path, test)

    def _on(self, here: str, kind: Kind, path: list[Any], test: Callable[[str, Kind], str]) -> str:
        if kind[0] == "opt":
            name = self._name()
            return f"(let {name} = {here}; {name} != none and {self._on(name, kind[1], path, test)})"
        if not path:
            return test(here, kind)
        step, rest = path[0], path[1:]
        match kind:
            case ("record", fields):
                return self._on(f"{here}.{step}", dict(fields)[step], rest, test)
            case ("map", key, inner):
                return self._on(f"{here}[{_literal(step, key)}]", ("opt", inner), rest, test)
            case ("list", inner) if isinstance(step, int):
                return self._on(f"{here}[{step}]", ("opt", inner), rest, test)
            case ("list", inner):
                name = self._name()
                return f"any({self._on(name, inner, path, test)} for {name} in {here})"
        return self._on(
            f"{here}[{_literal(step, 'string' if isinstance(step, str) else 'int')}]", ("opt", "json"), rest, test
        )

    def _test(self, here: str, kind: Kind, op: str, value: Any) -> str:
        if kind == "json":
            raise NoTextError
        if op == "in":
            return f"{here} in [{', '.join(_literal(one, kind) for one in value)}]"
        if op == "contains":
            return f"{_literal(value, kind[1] if kind[0] in ('list', 'set', 'map') else 'string')} in {here}"
        if op == "starts_with":
            return f"starts_with({here}, {_literal(value, 'string')})"
        symbol = {"eq": "==", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}[op]
        return f"{here} {symbol} {_literal(value, kind)}"

    def _name(self) -> str:
        self._names += 1
        return f"x{self._names}"


def _literal(value: Any, kind: Kind) -> str:
    if kind == "bool":
        return str(value).lower()
    if kind == "int":
        return str(value)
    if kind in ("cents", "decimal"):
        return format(typed(value, kind), "f")
    text = '"' + "".join(one if one.isalnum() and one.isascii() else f"\\u{{{ord(one):x}}}" for one in value) + '"'
    if kind in ("date", "timestamp", "duration"):
        return f"parse_{kind}({text})!"
    return f"parse_base64({text})!" if kind == "bytes" else text


assert set(KEYS) <= set(SINGLE)
