# ruff: noqa: S101 - these are tests; `assert` is how they speak
"""What every back end of `LaneStore` must do for queries: pictures, entries of indexes, and the building of indexes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import StaleCommitError
from projection.model.ids import TenantId, ViewId
from projection.model.keys import VIEWS, ViewKey
from projection.model.parked import Disposition, Suspension, Unrecorded
from projection.model.state_digest import StateDigest
from projection.store.indexes import ENTRIES, IndexKey, index_prefix
from projection.store.ranges import after
from projection.testing.hostile_ids import tenant_ids, view_ids
from projection.testing.store_owner import ACME, ORDERS, Owner, order, parked_event, picture, property_of_stores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.store.indexes import DeclaredIndex, StoredIndex
    from projection.store.port import LaneStore

_BY_A, _BY_B = ((IndexKey((name,), False, "string"),) for name in "ab")


def _entries(store: LaneStore) -> dict[bytes, bytes]:
    with store.snapshot() as snapshot:
        return dict(snapshot.entries(ENTRIES, after(ENTRIES)))


def _made(indexes: Sequence[StoredIndex], view_key: bytes, view: bytes) -> dict[bytes, bytes]:
    """One entry an index, of the view's bytes."""
    _, tenant, _, view_id = view_key.split(b":", 3)
    return {index_prefix(index.number) + tenant + b":" + view + b"\x00" + view_id: view_id for index in indexes}


class IndexContract:
    """A part of `LaneStoreContract`."""

    def new_store(self) -> LaneStore:
        """An empty store, of its own each time; the tests close it."""
        raise NotImplementedError

    @property_of_stores
    @given(
        st.lists(st.binary(min_size=1, max_size=3), unique=True, max_size=12),
        st.binary(max_size=3),
        st.binary(max_size=3),
        st.booleans(),
    )
    def test_a_picture_gives_what_lies_between_two_keys(
        self, bodies: list[bytes], start: bytes, stop: bytes, reverse: bool
    ) -> None:
        """From the first one on, up to before the second, and the other way round; nothing where they are crossed."""
        prefix = index_prefix(1, ACME)
        with self.new_store() as store:
            owner = Owner(store)
            written = {prefix + body: b"v" for body in bodies}
            store.commit(replace(owner.prepare({order("1"): b"{}"}), entries=written))
            with store.snapshot() as snapshot:
                found = snapshot.entries(prefix + start, prefix + stop, reverse=reverse)
                between = sorted(key for key in written if prefix + start <= key < prefix + stop)
                assert [key for key, _ in found] == (between[::-1] if reverse else between)
                keys = snapshot.keys(prefix + start, prefix + stop, reverse=reverse)
                assert list(keys) == (between[::-1] if reverse else between)

    def test_a_picture_stays_as_it_was(self) -> None:
        """Views, entries, position, indexes and what is parked, whatever is committed meanwhile."""
        with self.new_store() as store:
            owner = Owner(store)
            store.declare_indexes([_BY_A])
            first = {index_prefix(1, ACME) + b"x": b"1"}
            store.commit(replace(owner.prepare({order("1"): b"old"}, parked=[parked_event(1)]), entries=first))
            with store.snapshot() as snapshot:
                position, indexes = snapshot.position, snapshot.indexes
                changed = {index_prefix(1, ACME) + b"x": None, index_prefix(1, ACME) + b"y": b"1"}
                released = [(ACME, ViewId("1"))]
                store.commit(replace(owner.prepare({order("1"): b"new"}, released=released), entries=changed))
                store.declare_indexes([])
                assert (snapshot.get(order("1").encode()), snapshot.position) == (b"old", position)
                assert (snapshot.indexes, dict(snapshot.entries(ENTRIES, after(ENTRIES)))) == (indexes, first)
                assert snapshot.is_degraded(ACME, ViewId("1"))
            with store.snapshot() as snapshot:
                assert (snapshot.get(order("1").encode()), snapshot.indexes) == (b"new", ())
                assert list(snapshot.entries(ENTRIES, after(ENTRIES))) == [(index_prefix(1, ACME) + b"y", b"1")]
                assert not snapshot.is_degraded(ACME, ViewId("1"))

    def test_entries_are_written_with_their_commit_or_not_at_all(self) -> None:
        """They are no views, and the digest knows nothing of them."""
        with self.new_store() as store:
            owner = Owner(store)
            commit = replace(owner.prepare({order("1"): b"{}"}), entries={index_prefix(1, ACME) + b"x": b"1"})
            with pytest.raises(StaleCommitError):
                store.commit(replace(commit, epoch=commit.epoch + 1))
            assert _entries(store) == {}
            store.commit(commit)
            assert _entries(store) == commit.entries
            assert (store.count_views(), store.digest()) == (1, commit.digest)
            assert [key for key, _ in store.scan(None, ORDERS)] == [order("1")]
            assert store.audit().agrees

    @property_of_stores
    @given(tenant_ids(), tenant_ids(), st.none() | st.just("1"))
    def test_what_is_parked_is_told_of_its_tenant_and_view_alone(
        self, tenant: TenantId, other: TenantId, view_id: str | None
    ) -> None:
        """And what was only skipped makes no view wait."""
        skipped = parked_event(2, "skipped", tenant).model_copy(update={"disposition": Disposition.SKIPPED})
        with self.new_store() as store:
            Owner(store).write(parked=[parked_event(1, view_id, tenant), skipped])
            with store.snapshot() as snapshot:
                assert snapshot.has_degraded(tenant) or view_id is None
                assert other == tenant or not snapshot.has_degraded(other)
                for one, parked in ((ViewId("1"), view_id is not None), (ViewId("skipped"), False)):
                    assert snapshot.is_degraded(tenant, one) == parked
                    assert snapshot.is_degraded(other, one) == (parked and other == tenant)

    @property_of_stores
    @given(tenant_ids(), tenant_ids(), view_ids())
    def test_what_is_suspended_is_told_of_it_alone_and_ends_when_the_view_is_deleted(
        self, tenant: TenantId, other: TenantId, view_id: ViewId
    ) -> None:
        """A view's suspension makes that view degraded, a tenant's all of its views; both add to the digest."""
        of_view, of_tenant = Suspension(tenant, view_id, 3), Suspension(tenant, None, 4)
        with self.new_store() as store:
            owner = Owner(store)
            store.commit(replace(owner.prepare(), suspended=[of_view]))
            assert store.suspensions() == [of_view]
            assert store.audit().recomputed == StateDigest.EMPTY.plus(of_view.digest)
            with store.snapshot() as snapshot:
                assert snapshot.has_degraded(tenant)
                assert snapshot.is_degraded(tenant, view_id)
                assert snapshot.is_degraded(other, view_id) == (other == tenant)
                assert not snapshot.is_degraded(tenant, ViewId(view_id + "x"))
                assert not snapshot.is_incomplete(tenant)
            digest = StateDigest.EMPTY.plus(of_view.digest)
            store.commit(replace(owner.prepare(), base=store.position(), suspended=[of_tenant], digest=digest))
            assert store.suspensions() == [of_tenant, of_view]
            with store.snapshot() as snapshot:
                assert snapshot.is_degraded(tenant, ViewId(view_id + "x"))
                assert snapshot.is_incomplete(tenant)
                assert snapshot.is_incomplete(other) == (other == tenant)
            store.commit(replace(owner.prepare(), released=[(tenant, view_id)]))
            assert store.suspensions() == [of_tenant]

    def test_events_without_a_view_make_their_tenant_incomplete_until_the_last_is_taken_out(self) -> None:
        """Each commit says how many there are now."""
        alone = parked_event(1, None)
        with self.new_store() as store:
            owner = Owner(store)
            store.commit(replace(owner.prepare(parked=[alone]), unreached={ACME: 1}))
            with store.snapshot() as snapshot:
                assert snapshot.is_incomplete(ACME)
                assert not snapshot.is_incomplete(TenantId("other"))
                assert not snapshot.is_degraded(ACME, ViewId("1"))
            store.commit(replace(owner.prepare(unparked=[alone]), unreached={ACME: 0}))
            with store.snapshot() as snapshot:
                assert not snapshot.is_incomplete(ACME)

    def test_skipped_events_that_are_not_kept_are_counted_and_in_the_digest(self) -> None:
        """The count stays where a commit says nothing of it."""
        with self.new_store() as store:
            owner = Owner(store)
            store.commit(replace(owner.prepare(), unrecorded=Unrecorded(2, 7), digest=StateDigest.EMPTY.plus(7)))
            store.commit(owner.prepare())
            assert store.unrecorded() == Unrecorded(2, 7)
            assert store.audit().recomputed == StateDigest.EMPTY.plus(7)

    def test_declaring_the_same_indexes_again_changes_nothing(self) -> None:
        """Numbers stay; those of a store without views are built at once."""
        with self.new_store() as store:
            first = store.declare_indexes([_BY_A, _BY_B])
            assert [(one.number, one.keys, one.built) for one in first] == [(1, _BY_A, True), (2, _BY_B, True)]
            assert store.declare_indexes([_BY_B, _BY_A]) == first
            with store.snapshot() as snapshot:
                assert snapshot.indexes == first

    @property_of_stores
    @given(
        st.lists(st.lists(st.sampled_from([_BY_A, _BY_B]), unique=True), min_size=1, max_size=4),
        st.dictionaries(st.builds(order, st.sampled_from("abcdef"), tenant_ids()), st.binary(max_size=3), max_size=8),
        st.integers(1, 4),
    )
    def test_indexes_are_built_piece_by_piece(
        self, declared: list[list[DeclaredIndex]], views: dict[ViewKey, bytes], piece: int
    ) -> None:
        """In the end there are the entries of all views in what is declared, and no others; the views are as before."""
        with self.new_store() as store:
            owner = Owner(store)
            owner.write(views)
            before = picture(store)
            for one in declared:
                indexes = store.declare_indexes(one)
                while store.build_indexes(owner.epoch, partial(_made, indexes), piece):
                    pass
                expected: dict[bytes, bytes] = {}
                for key, view in views.items():
                    expected |= _made(indexes, key.encode(), view)
                assert _entries(store) == expected
                with store.snapshot() as snapshot:
                    assert all(index.built for index in snapshot.indexes)
            assert picture(store) == before

    def test_entries_go_with_the_views_of_a_tenant(self) -> None:
        """Those of its own, and of no tenant whose name begins as its does."""
        tenants = [TenantId(name) for name in ("a", "a:", "ab", "")]
        with self.new_store() as store:
            owner = Owner(store)
            (index,) = store.declare_indexes([_BY_A])
            views: dict[ViewKey, bytes | None] = {order("1", tenant): b"v" for tenant in tenants}
            entries = {index_prefix(index.number, tenant) + b"x": b"1" for tenant in tenants}
            store.commit(replace(owner.prepare(views), entries=entries))
            store.delete_prefix(tenants[0], ORDERS)
            assert _entries(store) == {key: b"1" for key in entries if key != index_prefix(1, tenants[0]) + b"x"}
            with store.snapshot() as snapshot:
                assert len(list(snapshot.entries(VIEWS, after(VIEWS)))) == 3
