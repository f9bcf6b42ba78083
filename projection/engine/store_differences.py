"""What two builds of one view type hold differently: both stores are read side by side, in the order of their keys.

Nothing is held in memory but what is told, however many views there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projection.store.ranges import A_WHILE, after
from projection.store.records import PARKED, SUSPENDED, decode_parked, decode_suspension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.model.parked import ParkedEvent, Suspension
    from projection.store.port import Snapshot

MOST_COUNTED = 1_000  # newly parked events: beyond that, how many there are says nothing more


def differing(
    old: Snapshot, new: Snapshot, prefix: bytes, breathe: Callable[[], object] | None = None
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Keys below a prefix whose values differ, in key order, with both values; None where there is no such key.

    Args:
        old: one store.
        new: the other one.
        prefix: what the keys begin with.
        breathe: called now and then, for others to have their turn.
    """
    stop, seen = after(prefix), 0
    olds, news = old.entries(prefix, stop), new.entries(prefix, stop)
    before, now = next(olds, None), next(news, None)
    while before is not None or now is not None:
        seen += 1
        if breathe is not None and seen % A_WHILE == 0:
            breathe()
        if now is None or (before is not None and before[0] < now[0]):
            assert before is not None  # noqa: S101 - one of both is there
            yield before[0], before[1], None
            before = next(olds, None)
        elif before is None or now[0] < before[0]:
            yield now[0], None, now[1]
            now = next(news, None)
        else:
            if before[1] != now[1]:
                yield before[0], before[1], now[1]
            before, now = next(olds, None), next(news, None)


@dataclass(frozen=True, slots=True)
class NewlyParked:
    """What a new build parks or skips, or suspends, and the other build does not."""

    events: int  # up to where the other build is; no more than `MOST_COUNTED` are counted
    first: ParkedEvent | None
    suspended: Suspension | None  # a view or a tenant, if there is one
    is_ahead: bool  # whether it parks events that the other build has not come to

    def __bool__(self) -> bool:
        return self.events > 0 or self.suspended is not None

    def __str__(self) -> str:
        if self.first is None:
            one = self.suspended
            assert one is not None  # noqa: S101 - there is something
            whose = f"tenant {str(one.tenant_id)!r}" if one.view_id is None else f"the view {str(one.view_id)!r}"
            return f"{whose} is suspended from event {one.sequence} on"
        count = "one event is" if self.events == 1 else f"{self.events:,} events are"
        if self.events == MOST_COUNTED:
            count = f"{self.events:,} events or more are"
        one_view = "without a view" if self.first.view_id is None else f"for the view {str(self.first.view_id)!r}"
        return (
            f"{count} parked or skipped, for instance event {self.first.sequence} {one_view}: "
            f"{self.first.code}: {self.first.message:.200}"
        )


def newly_parked(old: Snapshot, new: Snapshot) -> NewlyParked:
    """What a new build parks that the other one does not.

    Raises:
        StorageError: a store cannot be read.
    """
    until, events, is_ahead = old.position.scanned, 0, False
    first: ParkedEvent | None = None
    for key in new_keys(old, new, PARKED):
        stored = new.get(key)
        if stored is None:
            continue
        event = decode_parked(stored)
        if event.sequence > until:
            is_ahead = True
        else:
            first, events = first or event, events + 1
        if events == MOST_COUNTED:
            break
    found = (decode_suspension(new.get(key) or b"") for key in new_keys(old, new, SUSPENDED))
    suspended = next((one for one in found if one.sequence <= until), None)
    return NewlyParked(events, first, suspended, is_ahead)


def new_keys(old: Snapshot, new: Snapshot, prefix: bytes) -> Iterator[bytes]:
    """Keys below a prefix that are only in the new store, in their order."""
    stop = after(prefix)
    olds = old.keys(prefix, stop)
    before = next(olds, None)
    for key in new.keys(prefix, stop):
        while before is not None and before < key:
            before = next(olds, None)
        if before != key:
            yield key
