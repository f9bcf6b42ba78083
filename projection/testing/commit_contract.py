# ruff: noqa: S101 - these are tests; `assert` is how they speak
"""What a commit must be in every back end of `LaneStore`: whole, fenced, repeatable, and true to its digest."""

from __future__ import annotations

from dataclasses import replace
from threading import get_ident
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import StaleCommitError, StorageError
from projection.model.checkpoint import Checkpoint, LanePosition
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.keys import CheckpointKey, ViewKey
from projection.store.records import parked_key
from projection.testing.store_owner import (
    ACME,
    ORDERS,
    TOO_LONG,
    VIEW_TYPES,
    Owner,
    order,
    parked_event,
    picture,
    property_of_stores,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.parked import ParkedEvent
    from projection.store.port import LaneStore

_tenants = st.sampled_from([DEFAULT_TENANT, ACME])  # few, so that changes meet
_ids = st.sampled_from([ViewId("1"), ViewId("2")])
_keys = st.builds(ViewKey, _tenants, st.sampled_from(VIEW_TYPES), _ids)


class _Changes(TypedDict):
    views: dict[ViewKey, bytes | None]
    parked: list[ParkedEvent]
    released: list[tuple[TenantId, ViewId]]
    unparked: list[ParkedEvent]


class _Step(NamedTuple):
    """What one event changes."""

    views: dict[ViewKey, bytes | None]
    released: list[tuple[TenantId, ViewId]]
    unparked: list[tuple[int, ViewId | None, TenantId]]
    parked: list[tuple[TenantId, ViewId | None]]


def _merged(steps: Sequence[tuple[int, _Step]]) -> _Changes:
    """What the events of a batch change together; each has its sequence."""
    views: dict[ViewKey, bytes | None] = {}
    parked: dict[bytes, ParkedEvent] = {}
    released: list[tuple[TenantId, ViewId]] = []
    unparked: list[ParkedEvent] = []
    for sequence, step in steps:
        views |= step.views
        released += step.released
        taken_out = [parked_event(*one) for one in step.unparked]
        unparked += taken_out
        gone = {parked_key(event) for event in taken_out}
        parked = {
            key: event
            for key, event in parked.items()
            if (event.tenant_id, event.view_id) not in step.released and key not in gone
        }
        for tenant_id, view_id in step.parked:
            event = parked_event(sequence, view_id, tenant_id)
            parked[parked_key(event)] = event
    return {"views": views, "parked": [*parked.values()], "released": released, "unparked": unparked}


class CommitContract:
    """The part of `LaneStoreContract` that is about `commit` and `claim`."""

    def new_store(self) -> LaneStore:
        """An empty store, of its own each time; the tests close it."""
        raise NotImplementedError

    def test_a_commit_that_fails_half_way_changes_nothing(self) -> None:
        """Views before and after the impossible one, checkpoint, parked events and position: none of it is written."""
        with self.new_store() as store:
            owner = Owner(store)
            checkpoints = {CheckpointKey(ACME, ORDERS): Checkpoint(sequence=1)}
            owner.write({order("1"): b"old"}, checkpoints, [parked_event(1)])
            before = picture(store, [ACME])
            views = {
                order("1"): b"new",
                order("a"): b"{}",
                ViewKey(ACME, ORDERS, TOO_LONG): b"{}",
                order("z"): b"{}",
            }
            checkpoints = {CheckpointKey(ACME, ORDERS): Checkpoint(sequence=2)}
            with pytest.raises(StorageError):
                owner.write(views, checkpoints, [parked_event(2)], [(ACME, ViewId("1"))])
            assert before == picture(store, [ACME])
            owner.write({order("1"): b"newer"})
            assert store.get_view(order("1")) == b"newer"

    def test_a_commit_of_another_base_is_refused_and_changes_nothing(self) -> None:
        """A batch that was computed from a state which is not the stored one must not be written."""
        with self.new_store() as store:
            owner = Owner(store)
            stale = owner.prepare({order("1"): b"stale"}, parked=[parked_event(9)])
            owner.write({order("1"): b"{}"})
            before = picture(store)
            for base in (stale.base, LanePosition(scanned=2, applied=1), LanePosition(scanned=1)):
                with pytest.raises(StaleCommitError):
                    store.commit(replace(stale, base=base))
            assert before == picture(store)

    def test_a_commit_that_is_stored_may_be_written_again(self) -> None:
        """Nothing changes, and each time it is told once when all is written."""
        with self.new_store() as store:
            owner = Owner(store)
            owner.write({order("1"): b"old", order("2"): b"old"}, parked=[parked_event(1)])
            released = [(ACME, ViewId("1"))]
            commit = owner.prepare({order("1"): b"new", order("2"): None}, None, [parked_event(2)], released)
            pictures, told = [], []
            for _ in range(3):
                store.commit(commit, lambda: told.append(True))
                pictures.append(picture(store))
            assert [pictures[0]] * 3 == pictures
            assert told == [True] * 3
            owner.write({order("3"): b"later"})
            with pytest.raises(StaleCommitError):
                store.commit(commit)

    def test_a_commit_that_ends_where_the_lane_is_with_another_digest_is_refused(self) -> None:
        """It is another one; and a former owner may not even write what is stored."""
        with self.new_store() as store:
            owner = Owner(store)
            mine, theirs = owner.prepare({order("1"): b"mine"}), owner.prepare({order("1"): b"theirs"})
            store.commit(mine)
            before = picture(store)
            with pytest.raises(StaleCommitError):
                store.commit(theirs)
            Owner(store)
            with pytest.raises(StaleCommitError):
                store.commit(mine)
            assert before == picture(store)

    def test_a_commit_that_does_not_move_the_lane_may_be_written_again(self) -> None:
        """As an operator's decision does: it changes state and fold identity where the lane stands."""
        with self.new_store() as store:
            owner = Owner(store)
            owner.write({order("1"): b"{}"}, parked=[parked_event(1), parked_event(2)])
            decision = owner.prepare({order("1"): None}, unparked=[parked_event(1)], fold_identity="f1")
            decision = replace(decision, position=decision.base)
            for _ in range(2):
                store.commit(decision)
                assert decision.base == store.position()
                assert [parked_event(2)] == list(store.parked())
                assert store.count_views() == 0
                assert store.fold_identity() == "f1"
                assert store.audit().agrees

    def test_the_fold_identity_changes_with_the_commit_that_says_so(self) -> None:
        """Not with others, and not with one that is refused."""
        with self.new_store() as store:
            owner, first = Owner(store), store.fold_identity()
            stale = owner.prepare(fold_identity="f2")
            owner.write({order("1"): b"{}"})
            assert first == store.fold_identity()
            owner.write(fold_identity="f1")
            with pytest.raises(StaleCommitError):
                store.commit(stale)
            owner.write()
            assert store.fold_identity() == "f1"

    def test_a_commit_is_told_to_be_written_before_it_is_valid(self) -> None:
        """In the caller's thread; an error that comes of it undoes the commit."""
        threads: list[int] = []

        def told() -> None:
            threads.append(get_ident())
            raise UnicodeError

        with self.new_store() as store:
            owner = Owner(store)
            owner.write({order("1"): b"old"})
            before = picture(store)
            with pytest.raises(UnicodeError):
                store.commit(owner.prepare({order("1"): b"new"}), told)
            assert [get_ident()] == threads
            assert before == picture(store)

    @property_of_stores
    @given(
        steps=st.lists(
            st.builds(
                _Step,
                views=st.dictionaries(_keys, st.none() | st.binary(max_size=20), max_size=3),
                released=st.lists(st.tuples(_tenants, _ids), max_size=1),
                unparked=st.lists(st.tuples(st.integers(1, 10), st.none() | _ids, _tenants), max_size=2),
                parked=st.lists(st.tuples(_tenants, st.none() | _ids), max_size=3),
            ),
            min_size=1,
            max_size=10,
        ),
        cuts=st.sets(st.integers(1, 10)),
    )
    def test_the_digest_that_commits_carry_forward_is_that_of_what_is_there(
        self, steps: list[_Step], cuts: set[int]
    ) -> None:
        """After every commit; and the same in the end, however the events were put into batches."""
        with self.new_store() as one_by_one, self.new_store() as in_batches:
            owner, other, batch = Owner(one_by_one), Owner(in_batches), []
            for sequence, step in enumerate(steps, 1):
                owner.write(**_merged([(sequence, step)]))
                assert one_by_one.audit().agrees
                batch.append((sequence, step))
                if sequence in cuts or sequence == len(steps):
                    other.write(**_merged(batch))
                    assert in_batches.audit().agrees
                    batch = []
            left, right = picture(one_by_one), picture(in_batches)
            assert (left.views, left.parked, left.digest) == (right.views, right.parked, right.digest)
            audit = one_by_one.audit()
            assert (len(left.views), len(left.parked), left.digest, left.position) == (
                audit.views,
                audit.parked,
                audit.digest,
                audit.position,
            )

    def test_a_claim_shuts_out_the_owner_before(self) -> None:
        """Epochs only rise, and only the newest may commit."""
        with self.new_store() as store:
            former = Owner(store)
            former.write({order("1"): b"former"})
            owner = Owner(store)
            assert former.epoch + 1 == owner.epoch
            before = picture(store)
            with pytest.raises(StaleCommitError):
                former.write({order("1"): b"too late"})
            with pytest.raises(StaleCommitError):
                store.commit(replace(owner.prepare({order("1"): b"too early"}), epoch=owner.epoch + 1))
            assert before == picture(store)
            owner.write({order("1"): b"owner"})
            assert store.get_view(order("1")) == b"owner"
