"""What differs between two states of a view: each place with its path, and what stands there before and after."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = re.compile(r"\w+", re.ASCII)


class Absent(Enum):
    """Stands for what is not there; null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class Change(NamedTuple):
    """One place that differs."""

    path: str  # as `payments[0].amount`, `totals.EUR` or `totals["a b"]`
    before: Any  # values of JSON, numbers with a fraction as Decimal; ABSENT where there is nothing
    after: Any


def changes(before: bytes | None, after: bytes | None) -> list[Change]:
    """The places where two states of a view differ, in order; a state is a view's JSON, None where there is no view.

    What is new or gone is one change, as a whole.
    """
    if before == after:
        return []
    return list(_of_objects("", _decoded(before), _decoded(after)))


def concerns(path: str, place: str) -> bool:
    """Whether a change at a path is one of this place, of something in it or of something around it."""
    short, long = sorted((path, place), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def _decoded(state: bytes | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if state is None else json.loads(state, parse_float=Decimal)
    return found


def _of_objects(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if _PLAIN.fullmatch(name):
            inside = f"{path}.{name}" if path else name
        else:
            inside = f"{path}[{json.dumps(name, ensure_ascii=False)}]"
        yield from _of_values(inside, before.get(name, ABSENT), after.get(name, ABSENT))


def _of_values(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
    elif type(before) is not type(after) or before != after:
        yield Change(path, before, after)


def _of_lists(path: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
    """Item by item, but for what both begin and end with: one item put in front does not change all that follow."""
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    tail = next((at for at in range(shorter - head) if before[-1 - at] != after[-1 - at]), shorter - head)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    for at in range(max(len(old), len(new))):
        one = old[at] if at < len(old) else ABSENT
        yield from _of_values(f"{path}[{head + at}]", one, new[at] if at < len(new) else ABSENT)
