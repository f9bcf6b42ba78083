"""LMDB and memory, put through the same random lives, hold the same at every moment."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from projection.errors import StorageError
from projection.model.checkpoint import Checkpoint, LanePosition
from projection.model.ids import TenantId, ViewId
from projection.model.keys import CheckpointKey, ViewKey
from projection.store.changes import change_index
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore
from projection.store.port import Commit
from projection.store.ranges import after
from projection.testing.store_owner import TOO_LONG, VIEW_TYPES, digest_after, parked_event, picture

TENANTS = [TenantId(name) for name in ("", "a", "a:", "ab", "%", "😀")]
IDS = [ViewId(name) for name in ("1", "1:", "1!", "12", "-", "=1", "é")]
_tenants, _ids, _types = st.sampled_from(TENANTS), st.sampled_from(IDS), st.sampled_from(VIEW_TYPES)
_view_keys = st.builds(ViewKey, _tenants, _types, _ids)


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "0"
        self.lmdb = self._open()
        self.memory = MemoryLaneStore("f0")
        self.sequence = 0
        self.last: Commit | None = None

    def _open(self) -> LmdbLaneStore:
        return LmdbLaneStore.open(self.path, "f0", map_size=64 << 10)

    def teardown(self) -> None:
        self.lmdb.close()
        shutil.rmtree(self.path.parent)

    def both(self, action) -> None:
        """The same outcome, were it an error."""
        outcomes = []
        for store in (self.memory, self.lmdb):
            try:
                outcomes.append(action(store))
            except StorageError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]

    @rule()
    def claim(self) -> None:
        self.both(lambda store: store.claim())

    @rule(
        epoch_off=st.sampled_from([0] * 8 + [-1, 1]),
        base_off=st.sampled_from([0] * 8 + [-1, 1]),
        views=st.dictionaries(_view_keys, st.none() | st.binary(max_size=3000), max_size=5),
        impossible=st.sampled_from([False] * 9 + [True]),
        checkpoints=st.dictionaries(st.builds(CheckpointKey, _tenants, _types), st.integers(0, 99), max_size=3),
        parked=st.lists(st.tuples(_tenants, st.none() | _ids | st.just(TOO_LONG), st.binary(max_size=30)), max_size=3),
        released=st.lists(st.tuples(_tenants, _ids | st.just(TOO_LONG)), max_size=2),
    )
    def commit(self, *, epoch_off, base_off, views, impossible, checkpoints, parked, released) -> None:
        if impossible:
            views |= {ViewKey(TENANTS[1], VIEW_TYPES[0], TOO_LONG): b"{}"}
        self.sequence += 1
        commit = Commit(
            epoch=self.memory._epoch + epoch_off,
            base=self.memory.position().model_copy(update={"scanned": self.memory.position().scanned + base_off}),
            position=LanePosition(scanned=self.sequence, applied=self.sequence - 1),
            views={key.encode(): view for key, view in views.items()},
            checkpoints={key: Checkpoint(sequence=number) for key, number in checkpoints.items()},
            parked=[parked_event(self.sequence, view_id, tenant, envelope) for tenant, view_id, envelope in parked],
            released=released,
        )
        commit = replace(commit, digest=digest_after(self.memory, commit))
        self.last = commit
        self.both(lambda store: store.commit(commit))

    @precondition(lambda self: self.last is not None)
    @rule()
    def commit_again(self) -> None:
        """Whether it was written or not."""
        self.both(lambda store: store.commit(self.last))

    @rule(tenant=_tenants, view_type=_types)
    def delete_prefix(self, tenant, view_type) -> None:
        self.both(lambda store: store.delete_prefix(tenant, view_type))

    @rule(wanted=st.booleans())
    def declare_changes(self, wanted) -> None:
        self.both(lambda store: store.declare_changes(wanted=wanted))

    @rule(entries=st.integers(1, 5))
    def build_changes(self, entries) -> None:
        epoch = self.memory._epoch
        self.both(lambda store: store.build_changes(epoch, entries))

    @precondition(lambda self: self.sequence % 3 == 2)
    @rule()
    def reopen(self) -> None:
        self.lmdb.close()
        self.lmdb = self._open()

    @rule(tenant=_tenants, view_type=_types, view_id=_ids)
    def read(self, tenant, view_type, view_id) -> None:
        self.both(lambda store: store.get_view(ViewKey(tenant, view_type, view_id)))
        self.both(lambda store: list(store.scan(tenant, view_type)))

    @invariant()
    def hold_the_same(self) -> None:
        assert picture(self.memory, TENANTS) == picture(self.lmdb, TENANTS)
        assert self.memory.audit() == self.lmdb.audit()
        assert self.lmdb.audit().agrees
        assert _changes(self.memory) == _changes(self.lmdb)


def _changes(store):
    """Whether changes are kept, and all that is kept of them."""
    with store.snapshot() as snapshot:
        kept = [dict(snapshot.entries(prefix, after(prefix))) for prefix in (b"change", b"tombstone")]
        return change_index(snapshot), kept


TwoStores.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestTwoStores = TwoStores.TestCase
