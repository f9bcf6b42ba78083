"""Following changes: whoever follows, in whatever pieces, ends with the tenant's present views that match."""

from contextlib import contextmanager
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.model.ids import TenantId, ViewId
from projection.model.keys import ViewKey
from projection.query.changes import Changed, Deleted, Following, Picture, Place, Places, Reset, Unmatched
from projection.query.errors import ChangesOffError, CursorInvalidError
from projection.store import changes
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore
from projection.store.records import CHANGES
from projection.testing.hostile_ids import tenant_ids
from projection.testing.store_owner import ACME, ORDERS, Owner, order, parked_event

A, B, C = (ViewId(name) for name in "abc")
FOLLOWING = Following(ACME, ORDERS)


def even(view: bytes, _view_id: str) -> bytes | None:
    """The filter of these tests takes even numbers."""
    return view if int(view) % 2 == 0 else None


def everything(view: bytes, _view_id: str) -> bytes | None:
    return view


@contextmanager
def picture(store, build=1, fold="f0"):
    with store.snapshot() as snapshot:
        yield Picture(snapshot, build, fold, "digest")


class Client:
    """Keeps what it is told, as a client should."""

    def __init__(self, store, following=FOLLOWING, *, sent=everything, present=True, build=1):
        self.store, self.following, self.sent, self.build = store, following, sent, build
        self.views = {}
        self.told = []
        with picture(store, build) as now:
            self.place = following.begin(now, present=present)

    def read(self, **sizes):
        """Take one chunk; whether more is there."""
        with picture(self.store, self.build) as now:
            chunk = self.following.read(now, self.place, self.sent, **sizes)
        for event, _ in chunk.events:
            self.told.append(event)
            match event:
                case Reset():
                    self.views = {}
                case Changed():
                    self.views[event.id] = bytes(event.view)
                case Deleted() | Unmatched():
                    self.views.pop(event.id, None)
        self.place = chunk.place
        return not chunk.is_level

    def read_all(self, **sizes):
        while self.read(**sizes):
            pass
        return self.views

    def heard(self):
        told, self.told = self.told, []
        return [(event.name, getattr(event, "id", None)) for event in told]


@pytest.fixture
def store():
    with MemoryLaneStore() as store:
        store.declare_changes(wanted=True)
        yield store


def test_one_who_begins_now_hears_what_changes_from_now_on(store):
    owner = Owner(store)
    owner.write({order("a"): b"1"})
    client = Client(store, present=False)
    assert client.read_all() == {}
    owner.write({order("b"): b"1"})
    owner.write({order("a"): None})
    client.read_all()
    assert client.heard() == [("changed", B), ("deleted", A)]


def test_one_who_wants_the_present_hears_of_every_view_and_of_none_that_is_gone_or_does_not_match(store):
    owner = Owner(store)
    owner.write({order(name): b"2" for name in "abc"} | {order("d"): b"1"})
    owner.write({order("a"): None})
    client = Client(store, sent=even)
    client.read_all()
    assert client.heard() == [("changed", B), ("changed", C)]


def test_the_newest_state_is_told_once_however_often_a_view_changed(store):
    owner = Owner(store)
    client = Client(store)
    for number in range(5):
        owner.write({order("a"): b"%d" % number})
    assert client.read_all() == {A: b"4"}
    assert client.heard() == [("changed", A)]


def test_a_view_that_no_longer_matches_is_told_by_its_id_alone(store):
    owner = Owner(store)
    owner.write({order("a"): b"2", order("b"): b"2"})
    client = Client(store, sent=even)
    client.read_all()
    owner.write({order("a"): b"3"})
    assert client.read_all() == {B: b"2"}
    assert client.told[-1] == Unmatched(A, 2)


def test_a_view_whose_events_are_parked_is_told_as_degraded(store):
    owner = Owner(store)
    owner.write({order("1"): b"1", order("2"): b"1"}, parked=[parked_event(1, "1"), parked_event(1, "2", "other")])
    client = Client(store)
    client.read_all()
    assert [(event.id, event.degraded) for event in client.told] == [("1", True), ("2", False)]


def test_a_chunk_ends_at_its_entries_and_at_its_bytes_and_a_large_view_goes_alone(store):
    Owner(store).write({order(name): b"1" * 100 for name in "abcdef"})
    client = Client(store)
    assert client.read(entries=2)
    assert [A, B] == list(client.views)
    assert client.read(size=150)
    assert len(client.views) == 4
    assert client.read(size=1)
    assert len(client.views) == 5
    assert not client.read()
    assert len(client.views) == 6


def test_a_chunk_takes_no_more_than_its_slice_of_time(store, monkeypatch):
    Owner(store).write({order(f"{number:03d}"): b"1" for number in range(100)})
    client = Client(store)
    monkeypatch.setattr("projection.query.changes.perf_counter", iter(range(1000)).__next__)  # each look, a second
    assert client.read()
    assert len(client.views) == 1


def test_another_build_begins_with_a_reset_and_tells_everything_anew(store):
    Owner(store).write({order("a"): b"1", order("b"): b"1"})
    client = Client(store)
    client.read_all()
    client.heard()
    with MemoryLaneStore() as other:
        other.declare_changes(wanted=True)
        Owner(other).write({order("b"): b"2"})
        client.store, client.build = other, 2
        assert client.read_all() == {B: b"2"}
        assert client.told[0] == Reset(2, "digest", "build")


def test_what_nobody_recorded_in_between_is_told_anew(store):
    owner = Owner(store)
    owner.write({order("a"): b"1", order("b"): b"1"})
    client = Client(store)
    client.read_all()
    store.declare_changes(wanted=False)
    owner.write({order("a"): None})
    while store.build_changes(owner.epoch, 10):
        pass
    with pytest.raises(ChangesOffError, match="keeps no changes"):
        client.read()
    store.declare_changes(wanted=True)
    with pytest.raises(ChangesOffError, match="still being prepared"):
        client.read()
    while store.build_changes(owner.epoch, 10):
        pass
    assert client.read_all() == {B: b"1"}
    assert client.told[-2].reason == "generation"


def test_one_who_followed_a_copy_of_the_store_that_recorded_more_is_told_everything_anew(store):
    """Such as the store before it was folded anew: its generations have the same numbers."""
    with MemoryLaneStore() as copy:
        copy.declare_changes(wanted=True)
        owner, other = Owner(store), Owner(copy)
        for one in (owner, other):
            one.write({order("a"): b"1", order("b"): b"1"})
        for one in (owner, other):
            switch(one)
        client = Client(copy)
        client.read_all()
        client.heard()
        for one in (owner, other):
            one.write({order("a"): None})
        switch(owner, generation=2)
        client.store = store
        assert client.read_all() == {B: b"1"}
        assert client.heard() == [("reset", None), ("changed", B)]


def test_one_who_followed_before_a_decision_is_told_everything_anew_also_where_the_store_was_folded_anew(store):
    """Then the decision was in it from its start, and no commit tells of it."""
    Owner(store).write({order("a"): b"1"})
    client = Client(store)
    client.read_all()
    with picture(store, fold="f1") as now:
        chunk = FOLLOWING.read(now, client.place, everything)
    assert [event.name for event, _ in chunk.events] == ["reset", "changed"]


def switch(owner, generation=None):
    """Off and on again; as another generation than it would be, where that is named."""
    store = owner.store
    for wanted in (False, True):
        store.declare_changes(wanted=wanted)
        while store.build_changes(owner.epoch, 10):
            pass
    if generation is not None:
        with store.snapshot() as snapshot:
            store._records.put(CHANGES, replace(changes.change_index(snapshot), generation=generation).encode())


class TestTheHorizon:
    @pytest.fixture(autouse=True)
    def _one_tombstone(self, monkeypatch):
        monkeypatch.setattr(changes, "MAX_TOMBSTONES", 1)

    def test_one_who_was_away_while_deletions_were_forgotten_is_told_everything_anew(self, store):
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abc"})
        client = Client(store)
        client.read_all()
        client.heard()
        owner.write({order("a"): None})
        owner.write({order("b"): None})
        assert client.read_all() == {C: b"1"}
        assert client.heard() == [("reset", None), ("changed", C)]

    def test_one_who_heard_of_all_that_is_forgotten_goes_on(self, store):
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abc"})
        client = Client(store)
        for name in "ab":
            owner.write({order(name): None})
            client.read_all()
        assert "reset" not in dict(client.heard())

    def test_one_who_is_half_way_through_the_present_goes_on_though_older_deletions_are_forgotten(self, store):
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abcdef"})
        for name in "ab":
            owner.write({order(name): None})
        client = Client(store)
        while client.read(entries=1):
            pass
        assert client.heard() == [("changed", one) for one in "cdef"]

    def test_one_who_is_in_the_midst_of_the_position_up_to_which_they_are_forgotten_is_told_anew(self, store):
        """It may not have heard of all that were deleted there."""
        owner = Owner(store)
        owner.write({order(name): b"1" for name in "abc"})
        client = Client(store)
        client.read_all()
        owner.write({order(name): None for name in "ab"})
        client.place = msgspec.structs.replace(client.place, scanned=2, part=b"")
        assert client.read_all() == {C: b"1"}
        assert ("reset", None) in client.heard()


_tenants = st.lists(tenant_ids(), unique=True, min_size=2, max_size=3)
_ids = st.sampled_from([A, B, C, ViewId("a:"), ViewId("ü" * 200)])
_values = st.none() | st.integers(0, 5)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.dictionaries(st.tuples(st.integers(0, 2), _ids), _values, max_size=4)),
        st.tuples(st.just("decide"), st.dictionaries(st.tuples(st.integers(0, 2), _ids), _values, max_size=2)),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 3), st.integers(1, 40)),
        st.tuples(st.just("switch"), st.integers(1, 3)),
    ),
    max_size=25,
)


_lives = given(tenants=_tenants, steps=_steps, from_now=st.booleans())


@pytest.mark.parametrize("back_end", ["memory", "lmdb"])
@_lives
def test_a_client_ends_with_the_views_that_match_however_it_read_and_whatever_happened(
    tmp_path_factory, back_end, tenants, steps, from_now
):
    """One a tenant, cut at any place and going on from the text of that place; none hears of another tenant."""
    path = tmp_path_factory.mktemp("lane") / "0"
    _live(MemoryLaneStore() if back_end == "memory" else LmdbLaneStore.open(path, "f0"), tenants, steps, from_now)


@pytest.mark.long
@settings(max_examples=5_000)
@_lives
def test_many_clients_end_with_the_views_that_match(tenants, steps, from_now):
    """The same, with many more lives."""
    _live(MemoryLaneStore(), tenants, steps, from_now)


def _live(store, tenants, steps, from_now):
    with store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "MAX_TOMBSTONES", 2)
        store.declare_changes(wanted=True)
        owner = Owner(store)
        clients = [
            Client(store, Following(tenant, ORDERS), sent=even, present=bool(index % 2) or not from_now)
            for index, tenant in enumerate(tenants)
        ]
        present: dict[ViewKey, bytes] = {}
        for step in steps:
            match step:
                case ("commit" | "decide") as kind, cells:
                    views = {
                        ViewKey(tenants[tenant % len(tenants)], ORDERS, view_id): value
                        if value is None
                        else b"%d%02d" % (tenant % len(tenants) + 1, value)
                        for (tenant, view_id), value in cells.items()
                    }
                    commit = owner.prepare(views)
                    if kind == "decide" and views:
                        commit = replace(commit, position=commit.base)
                    store.commit(commit)
                    present.update(views)
                case "read", who, entries, size:
                    client = clients[who % len(clients)]
                    places = Places(b"key", client.following.tenant_id, b"")
                    client.read(entries=entries, size=size)
                    client.place = places.read(places.write(client.place))
                case "switch", pieces:
                    for wanted in (False, True):
                        store.declare_changes(wanted=wanted)
                        for _ in range(pieces if not wanted else 100):
                            store.build_changes(owner.epoch, 3)
        with store.snapshot() as snapshot:
            assert changes.disagreements(snapshot) == []
        for number, client in enumerate(clients, 1):
            expected = {
                key.view_id: view
                for key, view in present.items()
                if key.tenant_id == client.following.tenant_id and view is not None and int(view) % 2 == 0
            }
            assert expected == client.read_all(entries=2)
            assert all(bytes(e.view).startswith(b"%d" % number) for e in client.told if isinstance(e, Changed))


class TestPlacesAsTexts:
    PLACE = Place(3, "f0", 1, 7, 20, "ü".encode())

    @given(tenant_ids(), st.binary(max_size=20))
    def test_they_come_back(self, tenant, followed):
        places = Places(b"key", tenant, followed)
        assert self.PLACE == places.read(places.write(self.PLACE))

    @given(tenant_ids(), tenant_ids(), st.sampled_from([b"", b"f"]), st.sampled_from([b"", b"f"]))
    def test_another_tenants_or_anothers_filters_are_refused(self, tenant, other, followed, other_followed):
        text = Places(b"key", tenant, followed).write(self.PLACE)
        if (tenant, followed) != (other, other_followed):
            with pytest.raises(CursorInvalidError):
                Places(b"key", other, other_followed).read(text)

    @given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
    def test_whatever_else_comes_is_refused(self, text):
        with pytest.raises(CursorInvalidError, match="event id is not one of this tenant"):
            Places(b"key", TenantId("a"), b"").read(text)

    def test_those_of_another_folder_and_changed_ones_are_refused(self):
        text = Places(b"key", ACME, b"").write(self.PLACE)
        for wrong in (Places(b"other", ACME, b"").write(self.PLACE), text[:-2], text + "A", "A" + text[1:]):
            if wrong != text:
                with pytest.raises(CursorInvalidError):
                    Places(b"key", ACME, b"").read(wrong)
