# ruff: noqa: S101 - these are tests; `assert` is how they speak
"""What every back end of `LaneStore` must do, as a class of tests: subclass it and say how a new store is made."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from projection.model.checkpoint import Checkpoint, LanePosition, StreamIdentity
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.keys import CheckpointKey, ViewKey
from projection.model.state_digest import StateDigest, entry_digest
from projection.store.port import Commit
from projection.testing.commit_contract import CommitContract
from projection.testing.hostile_ids import tenant_ids, view_ids
from projection.testing.index_contract import IndexContract
from projection.testing.store_owner import (
    ACME,
    ORDERS,
    ORDERS_2,
    TOO_LONG,
    VIEW_TYPES,
    Owner,
    Picture,
    order,
    parked_event,
    picture,
    property_of_stores,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


_keys = st.builds(ViewKey, tenant_ids(), st.sampled_from(VIEW_TYPES), view_ids())


class LaneStoreContract(CommitContract, IndexContract):
    """Subclass, name the subclass `Test…`, and implement `new_store`."""

    def test_a_new_store_is_empty(self) -> None:
        """Nothing was applied, nothing is held."""
        with self.new_store() as store:
            empty = Picture(LanePosition(), [], 0, [], [], StateDigest.EMPTY, store.fold_identity())
            assert empty == picture(store, [DEFAULT_TENANT])
            assert store.get_view(order("1")) is None

    @property_of_stores
    @given(views=st.dictionaries(_keys, st.binary(max_size=3000), max_size=8))
    def test_views_come_back_as_they_were_written(self, views: dict[ViewKey, bytes]) -> None:
        """Any legal key, any bytes."""
        with self.new_store() as store:
            Owner(store).write(views)
            assert views == {key: store.get_view(key) for key in views}
            assert len(views) == store.count_views()

    @property_of_stores
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
            owner.write({order("1"): b"old", order("2"): b"kept"})
            owner.write({order("1"): b"new", order("3"): None, ViewKey(ACME, ORDERS, TOO_LONG): None})
            assert [(order("1"), b"new"), (order("2"), b"kept")] == list(store.scan(ACME, ORDERS))
            owner.write({order("1"): None})
            assert [(order("2"), b"kept")] == list(store.scan(ACME, ORDERS))
            assert store.count_views() == 1

    @property_of_stores
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

    @property_of_stores
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
            gone = {*before.views} - {*kept}
            expected = before._replace(
                views=kept,
                view_count=len(kept),
                digest=before.digest.plus(-sum(entry_digest(key.encode(), view) for key, view in gone)),
                checkpoints=[item for item in before.checkpoints if item[0] != (tenant, view_type)],
            )
            assert len(before.views) - len(kept) == store.delete_prefix(tenant, view_type)
            assert expected == picture(store, tenants)
            assert store.delete_prefix(tenant, view_type) == 0
            assert store.audit().agrees

    @property_of_stores
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

    @property_of_stores
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
            owner.write(parked=[again], unparked=[alone, first, second, parked_event(9)])
            assert [parked_event(4, None), again] == list(store.parked())

    def test_a_scan_shows_one_picture_while_commits_go_on(self) -> None:
        """That of its first step."""
        views: dict[ViewKey, bytes | None] = {order(f"{number:03d}"): b"old" for number in range(50)}
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
            owner.write({order(str(number)): b"{}" for number in range(10)})
            for _ in range(2000):  # more than there are slots for readers
                assert len(list(islice(store.scan(ACME, ORDERS), 3))) == 3
            owner.write({order("1"): b"new"})

    def test_closing_twice_is_closing_once(self) -> None:
        """Also with a scan half way."""
        store = self.new_store()
        Owner(store).write({order("1"): b"{}", order("2"): b"{}"})
        scan = store.scan(ACME, ORDERS)
        next(scan)
        store.close()
        store.close()


def _runs(items: Sequence[object]) -> int:
    return sum(1 for index, item in enumerate(items) if index == 0 or items[index - 1] != item)
