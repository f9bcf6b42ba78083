"""The index of last changes: one entry a view, where its last commit left it, and what is forgotten."""

import tempfile
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projection.errors import StaleCommitError
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.keys import ViewKey
from projection.store import changes
from projection.store.changes import END, ChangeIndex, Stage, change_index, changes_after, disagreements, horizon
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore
from projection.testing.hostile_ids import tenant_ids, view_ids
from projection.testing.store_owner import ACME, ORDERS, TOO_LONG, Owner, order, property_of_stores

A, B, C = (ViewId(name) for name in "abc")


@pytest.fixture(params=["memory", "lmdb"])
def new_store(request, tmp_path):
    """Makes an empty store of each back end."""
    if request.param == "memory":
        return lambda: MemoryLaneStore("f0")
    return lambda: LmdbLaneStore.open(Path(tempfile.mkdtemp(dir=tmp_path)) / "0", "f0")


@pytest.fixture
def store(new_store):
    with new_store() as store:
        store.declare_changes(wanted=True)
        yield store


@pytest.fixture
def few_tombstones(monkeypatch):
    """A tenant may have three."""
    monkeypatch.setattr(changes, "MAX_TOMBSTONES", 3)


def found(store, tenant_id=ACME, after=0, part=END):
    """The changes behind a place: position and id."""
    with store.snapshot() as snapshot:
        return [(one.scanned, one.view_id) for one in changes_after(snapshot, tenant_id, after, part)]


def index(store) -> ChangeIndex:
    with store.snapshot() as snapshot:
        return change_index(snapshot)


def horizon_of(store, tenant_id=ACME) -> int:
    with store.snapshot() as snapshot:
        return horizon(snapshot, tenant_id)


def settle(store, entries=2):
    while store.build_changes(store.claim(), entries):
        pass


def everything(store):
    with store.snapshot() as snapshot:
        return dict(snapshot.entries(b"change", b"changet")) | dict(snapshot.entries(b"tombstone", b"tombstonet"))


def test_nothing_is_recorded_unless_it_is_switched_on(new_store):
    with new_store() as store:
        Owner(store).write({order("a"): b"{}"})
        store.declare_changes(wanted=False)
        assert not store.build_changes(store.claim(), 10)
        assert ChangeIndex.OFF == index(store)
        assert everything(store) == {}


def test_a_view_has_one_entry_and_it_moves_with_each_commit(store):
    owner = Owner(store)
    owner.write({order("a"): b"1", order("b"): b"1"})
    owner.write({order("c"): b"1"})
    owner.write({order("a"): b"2"})

    assert found(store) == [(1, B), (2, C), (3, A)]
    assert len(everything(store)) == 6  # an entry and a pointer each


def test_what_changed_behind_a_place_is_found_in_the_order_of_positions_and_ids(store):
    owner = Owner(store)
    owner.write({order("b"): b"1", order("a"): b"1", order("c"): b"1"})
    owner.write({order("d"): b"1"})

    assert found(store, after=1, part=b"a") == [(1, B), (1, C), (2, "d")]
    assert found(store, after=1) == [(2, "d")]
    assert found(store, after=2) == []


def test_a_deleted_view_leaves_a_tombstone_that_moves_when_it_is_made_again(store):
    owner = Owner(store)
    owner.write({order("a"): b"1", order("b"): b"1"})
    owner.write({order("a"): None})
    assert found(store) == [(1, B), (2, A)]
    owner.write({order("a"): b"2"})
    assert found(store) == [(1, B), (3, A)]
    owner.write({order("a"): None})
    assert found(store) == [(1, B), (4, A)]


def test_what_came_and_went_between_two_commits_leaves_nothing(store):
    owner = Owner(store)
    owner.write({order("a"): None, ViewKey(ACME, ORDERS, TOO_LONG): None})
    assert found(store) == []
    owner.write({order("b"): b"1"})
    owner.write({order("b"): None})
    owner.write({order("b"): None})
    assert found(store) == [(3, B)]


def test_a_commit_that_is_written_again_changes_nothing(store):
    owner = Owner(store)
    owner.write({order("a"): b"1", order("b"): b"1"})
    commit = owner.prepare({order("a"): None, order("b"): b"2"})
    store.commit(commit)
    before = everything(store), index(store)
    store.commit(commit)
    assert before == (everything(store), index(store))


def test_a_commit_that_is_refused_moves_no_entry(store):
    owner = Owner(store)
    owner.write({order("a"): b"1"})
    before = everything(store)
    with pytest.raises(StaleCommitError):
        store.commit(replace(owner.prepare({order("a"): None}), epoch=owner.epoch - 1))
    assert before == everything(store)


def test_entries_are_moved_in_the_transaction_of_their_commit(tmp_path):
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        store.declare_changes(wanted=True)
        owner = Owner(store)
        before = store._environment._lmdb.info()["last_txnid"]
        owner.write({order("a"): b"1"})
        assert before + 1 == store._environment._lmdb.info()["last_txnid"]


def test_the_index_outlives_the_process_that_wrote_it(tmp_path):
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        store.declare_changes(wanted=True)
        owner = Owner(store)
        owner.write({order("a"): b"1", order("b"): b"1"})
        owner.write({order("a"): None})
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        store.declare_changes(wanted=True)
        assert index(store).generation == 1
        Owner(store).write({order("b"): b"2"})
        assert found(store) == [(2, A), (3, B)]


def test_keys_of_the_longest_tenants_and_ids_are_legal_and_their_ids_come_back_whole(store):
    tenant = TenantId("t" * 200)
    ids = [ViewId("ü" * 145 + end) for end in ("", "x", "y")]
    short = [ViewId(":" * 160 + end) for end in ("x", "y")]  # 480 bytes once escaped
    owner = Owner(store)
    owner.write({ViewKey(tenant, ORDERS, one): b"1" for one in ids} | {order(one): b"1" for one in short})
    owner.write({ViewKey(tenant, ORDERS, ids[1]): None, order(short[0]): b"2"})

    assert {(1, ids[0]), (1, ids[2]), (2, ids[1])} == {*found(store, tenant)}
    assert [(1, short[1]), (2, short[0])] == found(store)
    with store.snapshot() as snapshot:
        keys = [key for prefix in (b"change", b"tombstone") for key, _ in snapshot.entries(prefix, prefix + b"t")]
    assert max(map(len, keys)) <= 511


@property_of_stores
@given(
    tenants=st.lists(tenant_ids(), unique=True, min_size=2, max_size=4),
    ids=st.lists(view_ids(), unique=True, min_size=1, max_size=4),
    data=st.data(),
)
@example(tenants=[TenantId("a"), TenantId("a:b"), DEFAULT_TENANT], ids=[ViewId("b:1"), ViewId("1")], data=None)
def test_the_changes_of_a_tenant_are_its_own_whatever_it_is_called(tenants, ids, data):
    """Against a plain model; and what is deleted of one touches nobody else's."""
    keys = st.builds(lambda tenant, one: ViewKey(tenant, ORDERS, one), st.sampled_from(tenants), st.sampled_from(ids))
    steps = st.lists(st.dictionaries(keys, st.none() | st.just(b"{}"), min_size=1, max_size=5), min_size=1, max_size=6)
    commits = (
        [{ViewKey(t, ORDERS, i): b"{}" for t in tenants for i in ids}, {ViewKey(tenants[0], ORDERS, ids[0]): None}]
        if data is None
        else data.draw(steps)
    )
    last: dict[ViewKey, int] = {}
    with (
        MemoryLaneStore() as memory,
        tempfile.TemporaryDirectory() as folder,
        LmdbLaneStore.open(Path(folder, "0"), "f0") as on_disk,
    ):
        for store in (memory, on_disk):
            store.declare_changes(wanted=True)
        there = set()
        for position, views in enumerate(commits, 1):
            for store in (memory, on_disk):
                Owner(store).write(views)
            for key, view in views.items():
                if view is not None or key in there:
                    last[key] = position
                (there.discard if view is None else there.add)(key)
        for tenant in tenants:
            expected = {(position, key.view_id) for key, position in last.items() if key.tenant_id == tenant}
            assert expected == {*found(memory, tenant)}
            assert found(memory, tenant) == found(on_disk, tenant)
        assert everything(memory) == everything(on_disk)
        gone = tenants[0]
        for store in (memory, on_disk):
            before = {tenant: found(store, tenant) for tenant in tenants[1:]}
            store.delete_prefix(gone, ORDERS)
            assert found(store, gone) == []
            assert before == {tenant: found(store, tenant) for tenant in tenants[1:]}


class TestTombstones:
    @pytest.fixture(autouse=True)
    def _few(self, few_tombstones):
        """Three a tenant."""

    def test_the_oldest_are_forgotten_and_the_horizon_says_up_to_where(self, store):
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abcdef"})
        for name in "abc":
            owner.write({order(name): None})
        assert horizon_of(store) == 0
        owner.write({order("d"): None, order("e"): None})

        assert found(store) == [(1, "f"), (4, C), (5, "d"), (5, "e")]
        assert horizon_of(store) == 3
        assert len(everything(store)) == 2 + 3 * 3 + 1  # nothing is left of those that were forgotten

    def test_those_of_one_tenant_do_not_shorten_another_ones(self, store):
        owner = Owner(store)
        other = TenantId("acme:")
        owner.write({order(name, tenant): b"1" for name in "abcd" for tenant in (ACME, other)})
        owner.write({order("a", other): None})
        owner.write({order(name): None for name in "abcd"})

        assert (horizon_of(store), horizon_of(store, other)) == (3, 0)
        assert (2, A) in found(store, other)

    def test_a_view_that_is_made_again_gives_its_place_back(self, store):
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abcd"})
        for _ in range(5):
            owner.write({order("a"): None})
            owner.write({order("a"): b"2"})
        owner.write({order(name): None for name in "abc"})
        assert horizon_of(store) == 0
        owner.write({order("d"): None})
        assert horizon_of(store) == 12


class TestSwitchingOnAndOff:
    def test_an_existing_store_is_filled_in_pieces_while_commits_go_on(self, new_store):
        with new_store() as store:
            owner = Owner(store)
            owner.write({order(name): b"1" for name in "abcdef"} | {order("a", TenantId("b")): b"1"})
            store.declare_changes(wanted=True)
            assert (Stage.FILLING, 1) == (index(store).stage, index(store).since)
            assert store.build_changes(owner.epoch, 2)
            owner.write({order("a"): b"2", order("b"): None, order("e"): b"2", order("f"): None, order("g"): b"1"})
            assert store.build_changes(owner.epoch, 2)
            while store.build_changes(owner.epoch, 2):
                pass

            assert index(store).stage is Stage.ON
            assert found(store) == [(1, C), (1, "d"), (2, A), (2, B), (2, "e"), (2, "g")]
            assert found(store, TenantId("b")) == [(1, A)]

    def test_a_new_store_has_nothing_to_fill(self, new_store):
        with new_store() as store:
            store.declare_changes(wanted=True)
            assert index(store).stage is Stage.ON

    def test_what_was_recorded_is_cleared_in_pieces_and_nothing_is_recorded_meanwhile(self, store):
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abc"})
        owner.write({order("a"): None})
        store.declare_changes(wanted=False)
        assert store.build_changes(owner.epoch, 2)
        owner.write({order("d"): b"1"})
        settle(store)

        assert index(store).stage is Stage.OFF
        assert everything(store) == {}

    @pytest.mark.parametrize("pieces", [0, 1, 100])
    def test_switched_on_again_it_is_another_generation_and_knows_every_view(self, store, pieces):
        """However far it was cleared."""
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abc"})
        owner.write({order("a"): None})
        store.declare_changes(wanted=False)
        for _ in range(pieces):
            store.build_changes(owner.epoch, 2)
        owner.write({order("b"): b"2", order("d"): b"1"})
        store.declare_changes(wanted=True)
        settle(store)

        assert (Stage.ON, 2) == (index(store).stage, index(store).generation)
        assert found(store) == [(3, B), (3, C), (3, "d")]

    def test_switched_off_while_it_is_filled_it_is_cleared(self, new_store):
        with new_store() as store:
            owner = Owner(store)
            owner.write({order(name): b"1" for name in "abc"})
            store.declare_changes(wanted=True)
            store.build_changes(owner.epoch, 2)
            store.declare_changes(wanted=False)
            settle(store)
            assert everything(store) == {}

    def test_who_is_no_longer_the_owner_fills_nothing(self, new_store):
        with new_store() as store:
            owner = Owner(store)
            owner.write({order("a"): b"1"})
            store.declare_changes(wanted=True)
            store.claim()
            with pytest.raises(StaleCommitError):
                store.build_changes(owner.epoch, 2)

    def test_a_decision_that_changes_views_and_moves_nothing_begins_another_generation(self, store):
        """Clients that stand at this position would not hear of it."""
        owner = Owner(store)
        owner.write({order("a"): b"1"})
        commit = owner.prepare({order("a"): b"2"})
        store.commit(replace(commit, position=commit.base))
        assert index(store).generation == 2
        owner.write({order("a"): b"3"})
        assert index(store).generation == 2


def test_a_store_that_was_closed_while_it_was_filled_is_filled_on_when_it_is_opened_again(tmp_path):
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abcdef"})
        store.declare_changes(wanted=True)
        assert store.build_changes(owner.epoch, 2)
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        store.declare_changes(wanted=True)
        assert (index(store).stage, index(store).progress) == (Stage.FILLING, str(order("b")))
        settle(store)
        assert [one for _, one in found(store)] == [*"abcdef"]
        assert wrong(store) == []


def wrong(store):
    with store.snapshot() as snapshot:
        return disagreements(snapshot)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (b"changed:acme:a", None, "3 entries, which are not the 2 that its views lead to"),
        (b"changed:acme:a", b"00000000000000000009", "3 entries, which are not the 3 that"),
        (b"changed:acme:a", b"00000000000000000001-", "0 views, which are not the 1 that it holds"),
        (b"change:acme:00000000000000000001:a", None, "2 entries, which are not the 3 that"),
        (
            b"tombstone:acme:00000000000000000002:b",
            None,
            "1 tombstones, which are not the 2 that deleted views lead to",
        ),
        (b"view:acme:orders:z", b"1", "1 views, which are not the 2 that it holds"),
    ],
)
def test_an_index_that_does_not_fit_its_views_is_told(tmp_path, key, value, problem):
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        store.declare_changes(wanted=True)
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abc"})
        owner.write({order("b"): None, order("c"): None})
        assert wrong(store) == []
    with lmdb.open(str(tmp_path / "0")) as environment, environment.begin(write=True) as transaction:
        assert transaction.delete(key) if value is None else transaction.put(key, value)
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        assert any(problem in one for one in wrong(store))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"stage": "gone"}'])
def test_a_record_that_cannot_be_read_is_told(text):
    with pytest.raises(ValueError, match=r"."):
        ChangeIndex.decode(text)


def test_what_is_stored_is_readable_in_the_file(tmp_path):
    with LmdbLaneStore.open(tmp_path / "0", "f0") as store:
        store.declare_changes(wanted=True)
        owner = Owner(store)
        owner.write({order("a:1"): b"1", order("b"): b"1"})
        owner.write({order("b"): None})
    with lmdb.open(str(tmp_path / "0"), readonly=True) as environment, environment.begin() as transaction:
        held = {key: value for key, value in transaction.cursor() if key.startswith((b"change", b"tombstone"))}
    assert held == {
        b"change:acme:00000000000000000001:a:1": b"",
        b"change:acme:00000000000000000002:b": b"",
        b"changed:acme:a:1": b"00000000000000000001",
        b"changed:acme:b": b"00000000000000000002-",
        b"tombstone:acme:00000000000000000002:b": b"",
        b"tombstones:acme": b"1 0",
    }
