# ruff: noqa: S101 - these are tests; `assert` is how they speak
"""What every back end of `LaneStore` must do, as a class of tests: subclass it and say how a new store is made."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from projection.errors import ErrorClass, StaleCommitError, StorageError
from projection.model.checkpoint import Checkpoint, LanePosition, StreamIdentity
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId, ViewType
from projection.model.keys import CheckpointKey, ViewKey
from projection.model.parked import HELD_CODE, Disposition, ParkedEvent
from projection.store.port import Commit
from projection.testing.hostile_ids import tenant_ids, view_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from projection.store.port import LaneStore, ViewReader

ORDERS = ViewType("orders")
ORDERS_2 = ViewType("orders_2")
VIEW_TYPES = (ORDERS, ORDERS_2)
ACME = TenantId("acme")
TOO_LONG = ViewId("x" * 600)  # no key of the store can hold it

# A fresh store is made for each example, which on a disk takes its time; every back end runs the same functions.
_property = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow]
)


class Picture(NamedTuple):
    """Everything that can be read from a store, for comparing."""

    position: LanePosition
    views: list[tuple[ViewKey, bytes]]
    view_count: int
    checkpoints: list[tuple[CheckpointKey, Checkpoint]]
    parked: list[ParkedEvent]


def picture(
    store: ViewReader, tenants: Iterable[TenantId] = (), view_types: Iterable[ViewType] = VIEW_TYPES
) -> Picture:
    """Everything that a store holds: views of all tenants, and the checkpoints of these."""
    keys = [CheckpointKey(tenant, view_type) for tenant in sorted({*tenants}) for view_type in view_types]
    checkpoints = [(key, checkpoint) for key in keys if (checkpoint := store.get_checkpoint(key)) is not None]
    views = [item for view_type in view_types for item in store.scan(None, view_type)]
    return Picture(store.position(), views, store.count_views(), checkpoints, list(store.parked()))


def parked_event(
    sequence: int, view_id: str | None = "1", tenant_id: str = "acme", envelope: bytes = b"\xff{"
) -> ParkedEvent:
    """An event parked for a reason that does not matter here."""
    return ParkedEvent(
        tenant_id=TenantId(tenant_id),
        view_type=ORDERS,
        view_id=None if view_id is None else ViewId(view_id),
        sequence=sequence,
        error_class=ErrorClass.PROGRAM,
        code=HELD_CODE,
        message="an earlier event of “1” is parked",
        span="orders.proj:3:1",
        fold_identity="f0",
        disposition=Disposition.PARKED,
        subject="tenant.acme.aggregate.order.1",
        envelope=envelope,
    )


class Owner:
    """One who writes to a store as a lane does: each commit from the position that the last one left."""

    def __init__(self, store: LaneStore) -> None:
        self.store = store
        self.epoch = store.claim()

    def prepare(
        self,
        views: Mapping[ViewKey, bytes | None] | None = None,
        checkpoints: Mapping[CheckpointKey, Checkpoint] | None = None,
        parked: Iterable[ParkedEvent] = (),
        released: Iterable[tuple[TenantId, ViewId]] = (),
    ) -> Commit:
        """A commit that moves the lane by one event."""
        base = self.store.position()
        position = LanePosition(scanned=base.scanned + 1, applied=base.scanned + 1)
        return Commit(self.epoch, base, position, views or {}, checkpoints or {}, tuple(parked), tuple(released))

    def write(
        self,
        views: Mapping[ViewKey, bytes | None] | None = None,
        checkpoints: Mapping[CheckpointKey, Checkpoint] | None = None,
        parked: Iterable[ParkedEvent] = (),
        released: Iterable[tuple[TenantId, ViewId]] = (),
    ) -> None:
        """Prepare a commit and write it."""
        self.store.commit(self.prepare(views, checkpoints, parked, released))


def _order(view_id: str, tenant_id: TenantId = ACME) -> ViewKey:
    return ViewKey(tenant_id, ORDERS, ViewId(view_id))


_keys = st.builds(ViewKey, tenant_ids(), st.sampled_from(VIEW_TYPES), view_ids())


class LaneStoreContract:
    """Subclass, name the subclass `Test…`, and implement `new_store`."""

    def new_store(self) -> LaneStore:
        """An empty store, of its own each time; the tests close it."""
        raise NotImplementedError

    def test_a_new_store_is_empty(self) -> None:
        """Nothing was applied, nothing is held."""
        with self.new_store() as store:
            assert Picture(LanePosition(), [], 0, [], []) == picture(store, [DEFAULT_TENANT])
            assert store.get_view(_order("1")) is None

    @_property
    @given(views=st.dictionaries(_keys, st.binary(max_size=3000), max_size=8))
    def test_views_come_back_as_they_were_written(self, views: dict[ViewKey, bytes]) -> None:
        """Any legal key, any bytes."""
        with self.new_store() as store:
            Owner(store).write(views)
            assert views == {key: store.get_view(key) for key in views}
            assert len(views) == store.count_views()

    @_property
    @given(
        tenants=st.lists(tenant_ids(), unique=True, max_size=6),
        sequence=st.integers(1, 2**64 - 1),
        metadata=st.dictionaries(st.text(), st.text(), max_size=3),
    )
    def test_checkpoints_come_back_as_they_were_written(
        self, tenants: list[TenantId], sequence: int, metadata: dict[str, str]
    ) -> None:
        """One a tenant and view type."""
        checkpoints = {
            CheckpointKey(tenant, ORDERS): Checkpoint(sequence=sequence - index, metadata=metadata)
            for index, tenant in enumerate(tenants)
        }
        with self.new_store() as store:
            Owner(store).write(checkpoints=checkpoints)
            assert checkpoints == {key: store.get_checkpoint(key) for key in checkpoints}
            assert all(store.get_checkpoint(CheckpointKey(tenant, ORDERS_2)) is None for tenant in tenants)

    def test_the_position_comes_back_as_it_was_written(self) -> None:
        """With the identity of the log."""
        first = LanePosition(scanned=7, applied=5, applied_time="17", stream=StreamIdentity("events", "2000-01-01"))
        second = LanePosition(scanned=2**64 - 1, applied=2**64 - 2)
        with self.new_store() as store:
            epoch = store.claim()
            store.commit(Commit(epoch, LanePosition(), first))
            assert first == store.position()
            store.commit(Commit(epoch, first, second))
            assert second == store.position()

    def test_a_view_is_replaced_and_deleted(self) -> None:
        """The last commit counts; deleting what is not there changes nothing."""
        with self.new_store() as store:
            owner = Owner(store)
            owner.write({_order("1"): b"old", _order("2"): b"kept"})
            owner.write({_order("1"): b"new", _order("3"): None, ViewKey(ACME, ORDERS, TOO_LONG): None})
            assert [(_order("1"), b"new"), (_order("2"), b"kept")] == list(store.scan(ACME, ORDERS))
            owner.write({_order("1"): None})
            assert [(_order("2"), b"kept")] == list(store.scan(ACME, ORDERS))
            assert store.count_views() == 1

    def test_a_commit_that_fails_half_way_changes_nothing(self) -> None:
        """Views before and after the impossible one, checkpoint, parked events and position: none of it is written."""
        with self.new_store() as store:
            owner = Owner(store)
            checkpoints = {CheckpointKey(ACME, ORDERS): Checkpoint(sequence=1)}
            owner.write({_order("1"): b"old"}, checkpoints, [parked_event(1)])
            before = picture(store, [ACME])
            views = {
                _order("1"): b"new",
                _order("a"): b"{}",
                ViewKey(ACME, ORDERS, TOO_LONG): b"{}",
                _order("z"): b"{}",
            }
            checkpoints = {CheckpointKey(ACME, ORDERS): Checkpoint(sequence=2)}
            with pytest.raises(StorageError):
                owner.write(views, checkpoints, [parked_event(2)], [(ACME, ViewId("1"))])
            assert before == picture(store, [ACME])
            owner.write({_order("1"): b"newer"})
            assert store.get_view(_order("1")) == b"newer"

    def test_a_commit_of_another_base_is_refused_and_changes_nothing(self) -> None:
        """A batch that was computed from a state which is not the stored one must not be written."""
        with self.new_store() as store:
            owner = Owner(store)
            stale = owner.prepare({_order("1"): b"stale"}, parked=[parked_event(9)])
            owner.write({_order("1"): b"{}"})
            before = picture(store)
            for base in (stale.base, LanePosition(scanned=2, applied=1), LanePosition(scanned=1)):
                with pytest.raises(StaleCommitError):
                    store.commit(replace(stale, base=base))
            assert before == picture(store)

    def test_a_claim_shuts_out_the_owner_before(self) -> None:
        """Epochs only rise, and only the newest may commit."""
        with self.new_store() as store:
            former = Owner(store)
            former.write({_order("1"): b"former"})
            owner = Owner(store)
            assert former.epoch + 1 == owner.epoch
            before = picture(store)
            with pytest.raises(StaleCommitError):
                former.write({_order("1"): b"too late"})
            with pytest.raises(StaleCommitError):
                store.commit(replace(owner.prepare({_order("1"): b"too early"}), epoch=owner.epoch + 1))
            assert before == picture(store)
            owner.write({_order("1"): b"owner"})
            assert store.get_view(_order("1")) == b"owner"

    @_property
    @given(views=st.dictionaries(_keys, st.binary(max_size=10), max_size=12), others=st.lists(tenant_ids(), max_size=3))
    def test_a_scan_sees_one_tenants_views_in_the_order_of_their_keys(
        self, views: dict[ViewKey, bytes], others: list[TenantId]
    ) -> None:
        """And of all tenants when none is named; never of another view type."""
        with self.new_store() as store:
            Owner(store).write(views)
            in_order = sorted(views.items(), key=lambda item: item[0].encode())
            for view_type in VIEW_TYPES:
                of_type = [item for item in in_order if item[0].view_type == view_type]
                assert of_type == list(store.scan(None, view_type))
                for tenant in {*others, *(key.tenant_id for key in views)}:
                    of_tenant = [item for item in of_type if item[0].tenant_id == tenant]
                    assert of_tenant == list(store.scan(tenant, view_type))

    @_property
    @given(
        views=st.dictionaries(_keys, st.binary(max_size=10), min_size=1, max_size=12),
        other=tenant_ids(),
        data=st.data(),
    )
    def test_delete_prefix_takes_one_tenants_view_type_and_nothing_else(
        self, views: dict[ViewKey, bytes], other: TenantId, data: st.DataObject
    ) -> None:
        """Its views and its checkpoint; not those of tenants whose names begin with it, not its other view types."""
        tenants = sorted({other, *(key.tenant_id for key in views)})
        tenant, view_type = data.draw(st.sampled_from(tenants)), data.draw(st.sampled_from(VIEW_TYPES))
        checkpoints = {
            CheckpointKey(owner, each): Checkpoint(sequence=index)
            for index, owner in enumerate(tenants)
            for each in VIEW_TYPES
        }
        with self.new_store() as store:
            Owner(store).write(views, checkpoints, [parked_event(1, tenant_id=tenant)])
            before = picture(store, tenants)
            kept = [item for item in before.views if (item[0].tenant_id, item[0].view_type) != (tenant, view_type)]
            expected = before._replace(
                views=kept,
                view_count=len(kept),
                checkpoints=[item for item in before.checkpoints if item[0] != (tenant, view_type)],
            )
            assert len(before.views) - len(kept) == store.delete_prefix(tenant, view_type)
            assert expected == picture(store, tenants)
            assert store.delete_prefix(tenant, view_type) == 0

    @_property
    @given(
        queues=st.dictionaries(
            st.tuples(tenant_ids(), st.none() | view_ids()),
            st.lists(st.integers(1, 2**64 - 1), unique=True, max_size=3),
            max_size=6,
        ),
        envelope=st.binary(max_size=200),
    )
    def test_parked_events_come_back_a_view_at_a_time_in_the_order_of_the_log(
        self, queues: dict[tuple[TenantId, ViewId | None], list[int]], envelope: bytes
    ) -> None:
        """With envelopes of any bytes, for hostile ids, and for no id at all; a tenant's queues stand together."""
        events = [
            parked_event(sequence, view_id, tenant, envelope)
            for (tenant, view_id), sequences in queues.items()
            for sequence in sequences
        ]
        with self.new_store() as store:
            Owner(store).write(parked=events)
            found = list(store.parked())
            assert {*events} == {*found}
            assert len(events) == len(found)
            order = [(event.tenant_id, event.view_id) for event in found]
            assert len({*order}) == _runs(order)
            assert len({tenant for tenant, _ in order}) == _runs([tenant for tenant, _ in order])
            for queue, sequences in queues.items():
                assert sorted(sequences) == [e.sequence for e in found if (e.tenant_id, e.view_id) == queue]

    def test_an_id_too_long_for_a_view_is_parked_all_the_same(self) -> None:
        """For that may be the reason why it is parked; ids that differ only at their ends stay apart."""
        long, longer = parked_event(1, TOO_LONG), parked_event(2, TOO_LONG + "y")
        with self.new_store() as store:
            owner = Owner(store)
            owner.write(parked=[long, longer])
            assert {long, longer} == {*store.parked()}
            owner.write(released=[(ACME, TOO_LONG)])
            assert [longer] == list(store.parked())
            assert store.get_view(ViewKey(ACME, ORDERS, TOO_LONG)) is None

    @_property
    @given(ids=st.lists(view_ids(), min_size=1, max_size=5, unique=True), tenant=tenant_ids(), other=tenant_ids())
    @example(ids=[ViewId("b")], tenant=TenantId("a"), other=TenantId("a:=b"))  # unescaped, the other's keys begin alike
    def test_releasing_a_view_discards_what_is_parked_for_it_and_nothing_else(
        self, ids: list[ViewId], tenant: TenantId, other: TenantId
    ) -> None:
        """Not for other ids, not for other tenants, not what has no view id."""
        owners = [tenant] if tenant == other else [tenant, other]
        events = [
            parked_event(sequence, view_id, owner)
            for owner in owners
            for view_id in (*ids, None)
            for sequence in (5, 6)
        ]
        with self.new_store() as store:
            owner = Owner(store)
            owner.write(parked=events)
            owner.write(released=[(tenant, ids[0])])
            expected = {event for event in events if (event.tenant_id, event.view_id) != (tenant, ids[0])}
            assert expected == {*store.parked()}

    def test_what_is_parked_after_a_release_in_the_same_commit_stays(self) -> None:
        """The release discards what was parked before."""
        with self.new_store() as store:
            owner = Owner(store)
            owner.write(parked=[parked_event(1)])
            owner.write(parked=[parked_event(2)], released=[(ACME, ViewId("1"))])
            assert [parked_event(2)] == list(store.parked())

    def test_events_are_taken_out_one_by_one_and_may_be_parked_anew_in_the_same_commit(self) -> None:
        """What has no view id, too; what was not named stays, and what is not there is not missed."""
        alone, first, second = parked_event(1, None), parked_event(2), parked_event(3)
        again = parked_event(3, envelope=b"again")
        with self.new_store() as store:
            owner = Owner(store)
            owner.write(parked=[alone, parked_event(4, None), first, second])
            taken = replace(owner.prepare(parked=[again]), unparked=(alone, first, second, parked_event(9)))
            store.commit(taken)
            assert [parked_event(4, None), again] == list(store.parked())

    def test_a_scan_shows_one_picture_while_commits_go_on(self) -> None:
        """That of its first step."""
        views: dict[ViewKey, bytes | None] = {_order(f"{number:03d}"): b"old" for number in range(50)}
        with self.new_store() as store:
            owner = Owner(store)
            owner.write(views, parked=[parked_event(1), parked_event(2)])
            scan, parked = store.scan(None, ORDERS), store.parked()
            first, first_parked = next(scan), next(parked)
            owner.write({key: None if index % 2 else b"new" for index, key in enumerate(views)})
            owner.write(released=[(ACME, ViewId("1"))])
            assert list(views.items()) == [first, *scan]
            assert [parked_event(1), parked_event(2)] == [first_parked, *parked]
            assert store.count_views() == 25

    def test_a_scan_that_is_dropped_half_way_holds_nothing_up(self) -> None:
        """Many of them do not use anything up, and the store closes."""
        with self.new_store() as store:
            owner = Owner(store)
            owner.write({_order(str(number)): b"{}" for number in range(10)})
            for _ in range(2000):  # more than there are slots for readers
                assert len(list(islice(store.scan(ACME, ORDERS), 3))) == 3
            owner.write({_order("1"): b"new"})

    def test_closing_twice_is_closing_once(self) -> None:
        """Also with a scan half way."""
        store = self.new_store()
        Owner(store).write({_order("1"): b"{}", _order("2"): b"{}"})
        scan = store.scan(ACME, ORDERS)
        next(scan)
        store.close()
        store.close()


def _runs(items: Sequence[object]) -> int:
    return sum(1 for index, item in enumerate(items) if index == 0 or items[index - 1] != item)
