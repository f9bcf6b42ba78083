"""Planning: the ways in which a query's views can be come by, and which of them is taken.

Whatever the way, the answer is the same: each view is asked the filter, unless the ranges hold just what it takes, and
the order is one for all, that of the sort keys' encodings and then of the ids. A plan says only where to look, and how
much of the order comes by itself.

What an index would spare cannot be told from the query alone, so it is measured: the entries of a range are counted up
to a bound, which takes less than a millisecond, before a plan is chosen that has to go through all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from projection.lang.values.ordering import inverted, nearest
from projection.model.escaping import escape_id
from projection.model.keys import MAX_KEY_BYTES, ViewKey
from projection.query.form import ID
from projection.store.indexes import MAX_BODY, Edge, IndexKey, index_prefix, index_range, overfull_range
from projection.store.ranges import after

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from projection.model.ids import TenantId, ViewType
    from projection.query.cursors import Place
    from projection.query.filters import Bound
    from projection.query.sorting import Order
    from projection.store.indexes import StoredIndex
    from projection.store.port import Snapshot

_MAX_RANGES = 100  # that alternatives (`in`) may make of one index
_ID_KEY = IndexKey((ID,), descending=False, type="string")
_FEW = 2_000  # entries: so many are sorted in less time than it takes to guess better


class Grain(IntEnum):
    """How much of a query's order comes by itself."""

    NONE = 0  # nothing: all that match are sorted
    KEYS = 1  # the order of the sort keys; views that are equal by them are sorted
    ALL = 2  # all of it


class Range(NamedTuple):
    """Keys of the store, from `start` on up to before `stop`."""

    start: bytes
    stop: bytes


class Plan(msgspec.Struct, frozen=True, gc=False):
    """Where to look for a query's views."""

    tenant_id: TenantId
    prefix: bytes  # what all keys that are looked at begin with: of one tenant's views, or of its entries in an index
    ranges: tuple[Range, ...]  # in key order; none overlaps another
    grain: Grain
    reverse: bool = False  # gone through from the end
    index: StoredIndex | None = None  # None: the ranges are of views
    ids: tuple[bytes, ...] | None = None  # the views with these ids, as in their keys, and no ranges
    equal: int = 0  # keys of the index of which the value is known, or the values
    narrows: bool = False  # whether it leaves out what cannot match
    decides: bool = False  # whether whatever is in the ranges matches, but for entries that are cut
    known: tuple[Any, ...] = ()  # the values that the first keys of the index have in all that match
    followed: tuple[int, ...] = ()  # the sort keys, by their numbers, that come next
    ends_with_id: bool = False  # whether the id comes then, as in views it does at once

    @property
    def words(self) -> str:
        """The plan in words."""
        if self.ids is not None:
            return "views by their ids"
        which = "all views" if self.index is None else "a whole index"
        if self.narrows:
            which = "a range of views" if self.index is None else "an index range"
        return f"{which}, {('sorted', 'sorted where equal', 'in order')[self.grain]}{', backwards' * self.reverse}"

    @property
    def shape(self) -> str:
        """The plan's class, of which there are few: see `query/measures.py`."""
        if self.ids is not None:
            return "ids"
        return f"{'scan' if self.index is None else 'index'}{'_sorted' * (self.grain is Grain.NONE)}"

    @property
    def order(self) -> str:
        """Where the order comes from: `id`, `index`, or `sorted`."""
        return "sorted" if self.grain is Grain.NONE else "id" if self.index is None else "index"

    def after(self, place: Place) -> Plan:
        """The plan without what stands before a place in the query's order; some of that may be left in."""
        if self.grain is Grain.NONE or self.ids is not None:
            return self
        if self.index is None:
            at = self.prefix + place.id
        else:
            keys = [place.keys[number] for number in self.followed]
            start, _ = index_range(self.tenant_id, self.index, self.known)
            at = start + b"".join(map(inverted, keys) if self.reverse else keys)
            at = (at + place.id + b"\x00" if self.ends_with_id else at)[: len(self.prefix) + MAX_BODY]
        if self.reverse:
            kept = [Range(one.start, min(one.stop, after(at))) for one in self.ranges]
        else:
            kept = [Range(max(one.start, at), one.stop) for one in self.ranges]
        return replace(self, ranges=tuple(one for one in kept if one.start < one.stop))


@dataclass(frozen=True)
class Wish:
    """What a plan is made for."""

    tenant_id: TenantId
    view_type: ViewType
    bounds: Mapping[tuple[str, ...], Sequence[Bound]]  # what any match fulfils, by path
    is_exact: bool  # whether whatever fulfils them matches
    order: Order

    @cached_property
    def known(self) -> set[tuple[str, ...]]:
        """The paths at which all matches have one and the same value."""
        return {path for path, bounds in self.bounds.items() if any(one.op == "eq" for one in bounds)}

    @cached_property
    def unknown(self) -> list[int]:
        """The sort keys, by their numbers, that are not the same in all matches."""
        return [number for number, key in enumerate(self.order.keys) if key.names not in self.known]


class Possible(NamedTuple):
    """The plans by which a query can be answered; and the indexes that make none, each with the reason."""

    plans: Sequence[Plan]
    unused: Sequence[tuple[StoredIndex, str]]

    @property
    def size(self) -> int:
        """How many ranges and ids they hold."""
        return sum(1 + len(plan.ranges) + len(plan.ids or ()) for plan in self.plans)


def choosing(plans: Sequence[Plan], counts: bool, snapshot: Snapshot) -> Generator[None, None, Plan]:
    """The plan to take, of all that there are; at each `yield` others may have their turn."""
    if (by_ids := next((plan for plan in plans if plan.ids is not None), None)) is not None:
        return by_ids
    narrowing = [plan for plan in plans if plan.narrows]
    if not counts and (ordered := [plan for plan in narrowing if plan.grain is Grain.ALL]):
        return max(ordered, key=lambda plan: plan.equal)
    least, size = None, _FEW
    for number, plan in enumerate(sorted(narrowing, key=lambda plan: plan.grain, reverse=True)):
        if number and number % 2 == 0:
            yield
        found = sum(1 for _ in islice(_keys(plan, snapshot), size))
        if found < size:
            least, size = plan, found
    if least is not None:
        return least
    ordered = [plan for plan in plans if plan.grain is not Grain.NONE]
    if ordered and not counts:
        return max(ordered, key=lambda plan: (plan.narrows, plan.grain, plan.index is None))
    if narrowing:
        return max(narrowing, key=lambda plan: (plan.equal, plan.grain))
    return next(plan for plan in plans if plan.index is None)


def _keys(plan: Plan, snapshot: Snapshot) -> Iterator[bytes]:
    return chain.from_iterable(snapshot.keys(*one) for one in plan.ranges)


def possible(wish: Wish, indexes: Sequence[StoredIndex]) -> Possible:
    """All plans by which a query can be answered."""
    plans = [_by_views(wish)]
    unused: list[tuple[StoredIndex, str]] = []
    if (by_ids := _by_ids(wish)) is not None:
        plans.append(by_ids)
    for index in indexes:
        found = _by_index(wish, index)
        if isinstance(found, Plan):
            plans.append(found)
        else:
            unused.append((index, found))
    return Possible(plans, unused)


def _by_ids(wish: Wish) -> Plan | None:
    wanted = _values(wish, _ID_KEY)
    if wanted is None:
        return None
    ids = tuple(escape_id(one).encode() for one in sorted(set(wanted)))
    views = _by_views(wish)
    return replace(views, ranges=(), ids=ids[::-1] if views.reverse else ids, narrows=True)


def _by_views(wish: Wish) -> Plan:
    prefix = ViewKey.prefix(wish.tenant_id, wish.view_type)
    found = _between(prefix, wish.bounds.get((ID,), ()))
    is_in_order = not wish.unknown
    return Plan(
        wish.tenant_id,
        prefix,
        (found,) if found.start < found.stop else (),
        Grain.ALL if is_in_order else Grain.NONE,
        reverse=is_in_order and wish.order.descending_ids,
        narrows=found != Range(prefix, after(prefix)),
        ends_with_id=True,
    )


def _between(prefix: bytes, bounds: Sequence[Bound]) -> Range:
    """Where the views are whose ids fulfil these bounds: keys are in the order of the ids.

    A few more may be there: the one at an exclusive end, and those that only begin with the greatest id.
    """
    start, stop = prefix, after(prefix)
    for one in bounds:
        if one.op in ("eq", "in"):
            continue
        whole = prefix + escape_id(one.value).encode()
        at = whole[:MAX_KEY_BYTES]  # of an id that no key can hold, as much as LMDB takes to look for
        if one.op in ("gt", "ge", "starts_with"):
            start = max(start, at)
        if one.op in ("lt", "le", "starts_with"):
            stop = min(stop, at if one.op == "lt" and at == whole else after(at))
    return Range(start, stop)


def _by_index(wish: Wish, index: StoredIndex) -> Plan | str:
    """The plan that an index makes possible, or why it does not help."""
    if not index.built:
        return "it is being built"
    for key in index.keys:
        if key.many and _values(wish, key) is None and not _edges(wish, key):
            return f"views that have nothing at {'.'.join(key.path)} are not in it, and the filter does not require it"
    heads: list[tuple[Any, ...]] = [()]  # the values of the first keys, where the filter names them
    equal = 0
    for key in index.keys:
        values = _values(wish, key)
        if values is None or len(heads) * len(values) > _MAX_RANGES:
            break
        heads = [(*head, value) for head in heads for value in values]
        equal += 1
    edges = _edges(wish, index.keys[equal]) if equal < len(index.keys) else {}
    order = _NONE if index.is_multi or not heads else _order(wish, index.keys, equal)
    if not equal and not edges and order.grain is Grain.NONE:
        return "neither the filter nor the order begins as it does"
    ranges = {Range(*index_range(wish.tenant_id, index, head, **edges)) for head in heads}
    if index.is_multi:
        ranges.add(Range(*overfull_range(wish.tenant_id, index)))
    return Plan(
        wish.tenant_id,
        index_prefix(index.number, wish.tenant_id),
        tuple(sorted(one for one in ranges if one.start < one.stop)),
        order.grain,
        reverse=order.reverse,
        index=index,
        equal=equal,
        narrows=equal > 0 or bool(edges),
        decides=wish.is_exact and not index.is_multi and _holds_all(wish, index.keys[:equal], heads, len(edges)),
        known=heads[0][: order.known] if heads else (),
        followed=order.followed,
        ends_with_id=order.ends_with_id,
    )


class _Order(NamedTuple):
    """What the entries of an index do for a query's order; the last four as in `Plan`."""

    grain: Grain
    reverse: bool
    known: int  # how many of the first keys have one known value
    followed: tuple[int, ...]
    ends_with_id: bool


_NONE = _Order(Grain.NONE, reverse=False, known=0, followed=(), ends_with_id=False)


def _order(wish: Wish, keys: Sequence[IndexKey], equal: int) -> _Order:
    first = next((place for place, key in enumerate(keys[:equal]) if key.path not in wish.known), equal)
    left = wish.unknown.copy()
    followed: list[int] = []
    reverse: bool | None = None
    is_dense = True  # whether the followed ones stand next to one another
    for key in keys[first:]:
        if key.path in wish.known:  # behind one that is not: the same in all that match
            is_dense = False
            continue
        wanted = wish.order.keys[left[0]] if left else None
        if wanted is None or wanted.names != key.path:
            break
        if reverse is None:
            reverse = wanted.descending != key.descending
        elif reverse != (wanted.descending != key.descending):
            break
        number = left.pop(0)
        if is_dense:
            followed.append(number)
    else:  # only the id is left in the index
        reverse = wish.order.descending_ids if reverse is None else reverse
        if not left and reverse == wish.order.descending_ids:
            return _Order(Grain.ALL, reverse, first, tuple(followed), ends_with_id=is_dense)
    if left or reverse is None:
        return _NONE
    return _Order(Grain.KEYS, reverse, first, tuple(followed), ends_with_id=False)


def _values(wish: Wish, key: IndexKey) -> list[Any] | None:
    """The values that the filter leaves at a key; None where it names none."""
    bounds = wish.bounds.get(key.path, ())
    found = next(([one.value] for one in bounds if one.op == "eq"), None)
    if found is None:
        found = next((list(one.value) for one in bounds if one.op == "in"), None)
    if found is None or not key.type.endswith("?") or key.many:  # what is missing in a list is in no index
        return None if found is not None and None in found else found
    return found


def _edges(wish: Wish, key: IndexKey) -> dict[str, Any]:
    """Between what the values at a key are, as `index_range` takes it."""
    found: dict[str, Any] = {}
    for one in wish.bounds.get(key.path, ()):
        if one.op == "starts_with":
            return {"starts_with": one.value}
        if one.op in ("gt", "ge"):
            found.setdefault("lower", Edge(one.value, one.op == "ge"))
        if one.op in ("lt", "le"):
            found.setdefault("upper", Edge(one.value, one.op == "le"))
    # Of one list, different items may fulfil different bounds.
    return dict([found.popitem()]) if key.many and found else found


def _holds_all(wish: Wish, keys: Sequence[IndexKey], heads: Sequence[tuple[Any, ...]], edges: int) -> bool:
    """Whether the ranges of these values and edges hold what fulfils all bounds, and nothing else."""
    if sum(map(len, wish.bounds.values())) != len(keys) + edges:
        return False
    return all(nearest(key.type, value)[1] for head in heads for key, value in zip(keys, head, strict=True))
