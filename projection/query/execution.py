"""Running a query on one picture of a store, a slice at a time, within limits.

Views come in the order of the plan's ranges. Those that match are gathered in a *group* as long as the order among them
is not told by their coming; once all further ones stand behind it, the group is sorted and goes on the page. By a plan
that gives the whole order each view is a group, and by one that gives none there is one group. Of a group no more
places are kept than the page still needs, and no views: those of the page are read again from the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from projection.model.escaping import unescape_id
from projection.model.ids import ViewId
from projection.model.keys import MAX_KEY_BYTES, ViewKey
from projection.query.answers import FoundView
from projection.query.cursors import Place
from projection.query.errors import QueryLimitError
from projection.query.planning import Grain, Range
from projection.query.turns import SLICE_S
from projection.store.indexes import MAX_BODY, group_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from projection.model.ids import TenantId, ViewType
    from projection.model.query_limits import QueryLimits
    from projection.query.planning import Plan
    from projection.query.sorting import Order
    from projection.store.port import Snapshot

    Matches = Callable[[int, Any, str], tuple[bool, int]]  # of what is left of the gas, a view and its id
    # An id as in its key; the view's JSON, where it came along; the group of its index entry, where that is cut.
    Candidate = tuple[bytes, bytes | None, bytes | None]

_CHUNK = 512  # keys that are counted between two looks at the clock
_SPARE = 256  # places that a group keeps beyond those that are wanted, so that it is sorted rarely


@dataclass(frozen=True, slots=True)
class Task:
    """A query, ready to run."""

    tenant_id: TenantId
    view_type: ViewType
    decode: Callable[[bytes], Any]  # what filter and order need of a view
    matches: Matches | None  # None: all do
    order: Order
    select: Callable[[bytes], bytes] | None  # what the answer has of a view's JSON; None: all
    limit: int  # views on the page
    counts: bool
    after: Place | None  # the page begins behind it


@dataclass(frozen=True, slots=True)
class Page:
    """What came of a run."""

    views: list[FoundView]
    end: Place | None  # of the last view; None where nothing comes after it
    count: int | None  # of all that match
    degraded: list[str]  # see `QueryAnswer`


class _Group:
    """Views whose order is not known before the last of them has come: the first of their places, in order."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._places: list[tuple[bytes, bytes]] = []  # each with the id
        self._bound: bytes | None = None  # what is not below it is not wanted
        self.last = b""  # the place that came last, or its sort keys
        self.run: bytes | None = None  # what the last one's entry has in common with others that are cut like it

    def add(self, place: bytes, view_id: bytes) -> None:
        """Put a view where it belongs."""
        if self._bound is None or place < self._bound:
            self._places.append((place, view_id))
            if len(self._places) >= 2 * self._wanted + _SPARE:
                self.ids()

    def ids(self) -> list[bytes]:
        """The ids of those that are wanted, in order."""
        self._places.sort()
        del self._places[self._wanted :]
        if len(self._places) == self._wanted:
            self._bound = self._places[-1][0] if self._places else b""
        return [view_id for _, view_id in self._places]


class Execution:
    """One run of a task by a plan, on a snapshot."""

    def __init__(self, task: Task, plan: Plan, snapshot: Snapshot, limits: QueryLimits) -> None:
        self._task = task
        self._plan = plan if task.after is None or task.counts else plan.after(task.after)
        self._snapshot = snapshot
        self._limits = limits
        self._prefix = ViewKey.prefix(task.tenant_id, task.view_type)
        self._began = perf_counter()
        self._until = self._began + SLICE_S
        self.examined = 0  # views that were looked at
        self.gas = 0  # of the filter

    def run(self) -> Generator[None, None, Page]:
        """Find the page. At each `yield` it lets others go on.

        Raises:
            QueryLimitError: a limit was reached.
            QueryError: the filter fails on a view.
            StorageError: the store cannot be read, or was closed meanwhile.
        """
        task, plan = self._task, self._plan
        ids = None
        if (
            plan.grain is Grain.ALL
            and not task.counts
            and task.after is None
            and (plan.decides or task.matches is None)
        ):
            ids = self._straight()
        count = 0
        if ids is None:
            ids, count = yield from self._found()
        return (yield from self._page(ids, count))

    def _straight(self) -> list[bytes] | None:
        """The ids of the page, where they are the first that come; None where some of them must be looked into."""
        plan, wanted = self._plan, self._task.limit + 1
        if plan.ids is not None:
            return None
        if plan.index is None:
            start = len(plan.prefix)
            ids = [key[start:] for key in islice(self._keys(plan.ranges), wanted)]
            self.examined = len(ids)
            return ids
        keys = list(islice(self._entries(), wanted))
        self.examined = len(keys)
        uncut = len(plan.prefix) + MAX_BODY
        return None if any(len(key) > uncut for key, _ in keys) else [view_id for _, view_id in keys]

    def _found(self) -> Generator[None, None, tuple[list[bytes], int]]:
        """The ids of the page in order, with one more where there is one; and how many match, where that is counted."""
        task, plan, get, prefix = self._task, self._plan, self._snapshot.get, self._prefix
        decode, order, counts, grain = task.decode, task.order, task.counts, plan.grain
        matches = task.matches
        after = None if task.after is None else order.place(b"".join(task.after.keys), task.after.id)
        most, gas, examined = self._limits.scanned, self._limits.gas, 0
        wanted, count = task.limit + 1, 0
        ids: list[bytes] = []
        group = _Group(wanted)
        # A view may have many entries in an index over lists.
        seen: set[bytes] | None = set() if plan.index is not None and plan.index.is_multi else None
        for view_id, found, run in self._candidates():
            examined += 1
            if perf_counter() > self._until:  # a large view, or a filter that computes much, may take a slice alone
                yield from self._pause()
            if examined > most:
                raise self._beyond_views()
            if seen is not None:
                if view_id in seen:
                    continue
                seen.add(view_id)
            is_full = len(ids) >= wanted  # the others are only counted
            decided = matches is None or (plan.decides and run is None)
            if is_full and decided:
                count += 1
                if plan.index is None and plan.ids is None:  # so are all that follow: their values need no look
                    passed = yield from self._passed_over(view_id, most - examined)
                    examined, count = examined + passed, count + passed
                    break
                continue
            view = None
            if not decided or order.keys:
                data = get(prefix + view_id) if found is None else found
                if data is None:
                    continue
                view = decode(data)
            if not decided and matches is not None:
                is_match, gas = matches(gas, view, unescape_id(view_id.decode()))
                if not is_match:
                    continue
            count += 1
            if is_full:
                continue
            keys = b"".join(order.keys_of(view))
            place = order.place(keys, view_id)
            if after is not None and place <= after:
                continue
            at = place if grain is Grain.ALL else keys
            if grain is not Grain.NONE and (run is None or run != group.run) and at > group.last:
                ids += group.ids()
                if len(ids) >= wanted and not counts:
                    break
                group = _Group(wanted - len(ids))
            group.add(place, view_id)
            group.last, group.run = at, run
        else:
            ids += group.ids()
        self.examined, self.gas = examined, self._limits.gas - gas
        return ids[:wanted], count

    def _passed_over(self, last: bytes, most: int) -> Generator[None, None, int]:
        """How many views follow one; only their keys are looked at."""
        at, plan = self._plan.prefix + last, self._plan
        if plan.reverse:
            rest = [Range(one.start, min(one.stop, at)) for one in plan.ranges]
        else:
            rest = [Range(max(one.start, at + b"\0"), one.stop) for one in plan.ranges]
        keys, count = self._keys([one for one in rest if one.start < one.stop]), 0
        while found := sum(1 for _ in islice(keys, _CHUNK)):
            count += found
            if count > most:
                raise self._beyond_views()
            if perf_counter() > self._until:
                yield from self._pause()
        return count

    def _candidates(self) -> Iterator[Candidate]:
        """The views that the plan leads to, in its order."""
        plan = self._plan
        if plan.ids is not None:
            for view_id in plan.ids:
                if len(self._prefix + view_id) <= MAX_KEY_BYTES:
                    yield view_id, None, None
        elif plan.index is None:
            start = len(plan.prefix)
            for key, data in self._entries():
                yield key[start:], data, None
        else:
            uncut = len(plan.prefix) + MAX_BODY
            for key, view_id in self._entries():
                yield view_id, None, None if len(key) <= uncut else group_of(key)

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        ranges, reverse, entries = self._plan.ranges, self._plan.reverse, self._snapshot.entries
        if len(ranges) == 1:
            return entries(*ranges[0], reverse=reverse)
        return chain.from_iterable(entries(*one, reverse=reverse) for one in (ranges[::-1] if reverse else ranges))

    def _keys(self, ranges: Sequence[Range]) -> Iterator[bytes]:
        reverse, keys = self._plan.reverse, self._snapshot.keys
        return chain.from_iterable(keys(*one, reverse=reverse) for one in (ranges[::-1] if reverse else ranges))

    def _page(self, ids: list[bytes], count: int) -> Generator[None, None, Page]:
        """The page of these views; it ends early where its views would be too many bytes."""
        task, snapshot, most = self._task, self._snapshot, self._limits.response_bytes
        get, prefix, select = snapshot.get, self._prefix, task.select
        views: list[FoundView] = []
        size = 0
        for view_id in ids[: task.limit]:
            if perf_counter() > self._until:
                yield from self._pause()
            data = get(prefix + view_id) or b""  # the picture has it still
            if select is not None:
                data = select(data)
            size += len(data)
            if size > most:
                break
            views.append(FoundView(_name(view_id), msgspec.Raw(data)))
        if ids and not views:
            raise self._beyond("response_bytes", most, f"one view is larger than the {most:,} bytes of an answer")
        degraded: list[str] = []
        if snapshot.has_degraded(task.tenant_id):
            shown = [view.id for view in views] + self._absent()
            degraded = [one for one in shown if snapshot.is_degraded(task.tenant_id, ViewId(one))]
        end = None
        if len(views) < len(ids):
            last = ids[len(views) - 1]
            end = Place(task.order.keys_of(task.decode(get(prefix + last) or b"")), last)
        return Page(views, end, count if task.counts else None, degraded)

    def _absent(self) -> list[str]:
        """Ids that are asked for and have no view, told with the first page: their first event may be parked."""
        ids = self._plan.ids
        if ids is None or self._task.after is not None:
            return []
        return [_name(one) for one in ids if self._snapshot.get(self._prefix + one) is None]

    def _pause(self) -> Generator[None, None, None]:
        most = self._limits.time_ms
        if (perf_counter() - self._began) * 1000 > most:
            raise self._beyond("time_ms", most, f"the query takes longer than {most:,} ms")
        yield
        self._until = perf_counter() + SLICE_S

    def _beyond_views(self) -> QueryLimitError:
        most = self._limits.scanned
        return self._beyond("scanned", most, f"{most:,} views were looked at, and that is not all")

    def _beyond(self, limit: str, value: int, message: str) -> QueryLimitError:
        hint = {
            "response_bytes": "select fewer of its fields",
            "scanned": "narrow the filter, by a field that an index begins with",
            "time_ms": "narrow the filter, by a field that an index begins with",
        }[limit]
        if self._task.counts and limit != "response_bytes":
            hint += ", or leave out the count"
        return QueryLimitError(message, limit=limit, value=value, hint=hint)


def _name(view_id: bytes) -> str:
    """A view's id, as it stands in its key."""
    return unescape_id(view_id.decode())
