"""How many values a value is made of. What is counted here is priced elsewhere (`costs`), and nobody yields meanwhile.

So what is counted is bounded by what can be paid, and a part that comes again is looked at once.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def nodes(value: Any, most: int) -> int:
    """How many values a value is made of; a shared part counts each time it is reached.

    Small lists can share their parts so often that nobody lives to count them: whatever is above `most` is only known
    to be above it.
    """
    count, waiting = 0, [value]
    while waiting and count <= most:
        if count > _FEW:
            return _many_nodes(0, [value], most)  # from the top, where equal parts come together
        one = waiting.pop()
        count += 1
        if isinstance(one, (str, bytes)):
            count += len(one) >> 5
        elif isinstance(one, (list, tuple, dict)):
            if count + len(one) > most:
                return most + 1
            parts = one.values() if isinstance(one, dict) else one
            kinds = set(map(type, parts))
            if kinds <= _SINGLE:  # the many that need not be looked at one by one
                count += len(one)
            else:
                waiting += parts
        elif type(one) not in _SINGLE:
            waiting += [getattr(one, name) for name in getattr(one, "__struct_fields__", ())]
    return count


def _many_nodes(count: int, level: list[Any], most: int) -> int:
    """The same of a level and what is below, besides those counted: each level in a few calls, since nobody yields."""
    while level:
        count += len(level)
        if count > most:
            return count
        below: list[Any] = []
        for kind, alike in _by_kind(level):
            if len(alike) > _FEW and 2 * len(set(map(id, alike))) <= len(alike):
                for times, some in _by_times(alike):  # looked at once, counted so many times
                    count += times * _many_nodes(-len(some), some, (most - count) // times)
                    if count > most:
                        return count
            elif issubclass(kind, (str, bytes)):
                count += sum([len(one) >> 5 for one in alike])
            elif issubclass(kind, (list, tuple, dict)):
                if count + len(below) + sum(map(len, alike)) > most:
                    return most + 1
                below += chain.from_iterable(map(dict.values, alike) if issubclass(kind, dict) else alike)
            else:
                for name in getattr(kind, "__struct_fields__", ()):
                    below += map(attrgetter(name), alike)
        level = below
    return count


def _by_kind(values: list[Any]) -> Iterable[tuple[type, list[Any]]]:
    """The values that have parts or a length, with those of one type together."""
    kinds = set(map(type, values))
    if len(kinds) == 1:
        return [(kind, values) for kind in kinds - _SINGLE]
    found: dict[type, list[Any]] = {kind: [] for kind in kinds}
    for value in values:
        found[type(value)].append(value)
    return [(kind, alike) for kind, alike in found.items() if kind not in _SINGLE]


def _by_times(values: list[Any]) -> Iterable[tuple[int, list[Any]]]:
    """The distinct ones among some values, by how often each is there."""
    distinct = {id(one): one for one in values}
    found: dict[int, list[Any]] = {}
    for one, times in Counter(map(id, values)).items():
        found.setdefault(times, []).append(distinct[one])
    return found.items()


def fewer_nodes(one: Any, other: Any, most: int) -> int:
    """How many values the smaller of two is made of, as `nodes` counts; the larger is not counted much further."""
    at_hand = min(_FEW, most)
    while (least := min(nodes(one, at_hand), nodes(other, at_hand))) > at_hand < most:
        at_hand = min(8 * at_hand, most)
    return least


def compared_nodes(value: Any, items: Any, most: int) -> int:
    """How many values are looked at, where a value is compared with each of some items."""
    return nodes(value, most // len(items)) * len(items) if items else 0


_FEW = 64
_SINGLE = frozenset({bool, int, Decimal, date, datetime, timedelta, type(None)})
